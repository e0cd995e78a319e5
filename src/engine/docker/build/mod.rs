//! Builds, by the engine's own builder.

use std::time::Duration;

use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};

use super::Docker;
use super::client::with_query;
use super::images::follow;
use super::networks::hashed;
use crate::core::desired::Build;
use crate::core::failure::{Failure, FailureKind};
use crate::engine::Progress;

mod context;
mod ignore;

/// The longest silence of a build. A compiler may say nothing for many minutes; half an hour of silence is a
/// build that waits for something that will not come.
const BUILD_SILENCE: Duration = Duration::from_mins(30);

/// How much of its output a failed build is reported with: enough for the failed command and its error.
const LAST_LINES: usize = 20;

pub(super) async fn build(
    docker: &Docker,
    reference: &str,
    build: &Build,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let call = format!("build image {reference}");
    let context = context::open(build)
        .await
        .map_err(|message| Failure::new(FailureKind::BuildFailed, &call, message))?;
    let client = with_query(docker.client(&call)?, &repeated(build));
    let options = options(docker, reference, build, &context.dockerfile);
    let lines = client.build_image(options, None, Some(bollard::body_try_stream(context.tar)));
    let mut printed = Vec::new();
    let outcome = follow(docker, &call, BUILD_SILENCE, lines, |line| {
        for text in lines_of(&line) {
            progress(&text);
            printed.push(text);
        }
    })
    .await;
    outcome.map_err(|failure| explained(failure, &printed))
}

/// Parameters that the engine takes several times, and the size that bollard's 32 bits do not hold.
fn repeated(build: &Build) -> Vec<(&'static str, String)> {
    let tags = build.tags.iter().map(|tag| ("t", tag.clone()));
    let hosts = build.extra_hosts.iter().map(|host| ("extrahosts", host.clone()));
    let shm = build.shm_size.map(|size| ("shmsize", size.to_string()));
    tags.chain(hosts).chain(shm).collect()
}

fn options(docker: &Docker, reference: &str, build: &Build, dockerfile: &str) -> BuildImageOptions {
    let own = |name: &String| docker.environment.get(name).cloned();
    let args = build
        .args
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.clone().or_else(|| own(name))?)));
    let mut options = BuildImageOptionsBuilder::new()
        .dockerfile(dockerfile)
        .t(reference)
        .nocache(build.no_cache)
        .rm(true)
        .forcerm(true)
        .buildargs(&args.collect())
        .labels(&hashed(&build.labels))
        .cachefrom(&build.cache_from);
    if build.pull {
        options = options.pull("true");
    }
    if let Some(network) = &build.network {
        options = options.networkmode(network);
    }
    if let Some(platform) = &build.platform {
        options = options.platform(platform);
    }
    if let Some(target) = &build.target {
        options = options.target(target);
    }
    options.build()
}

/// What one message of the engine prints.
fn lines_of(line: &BuildInfo) -> Vec<String> {
    let status = line.status.as_ref().map(|status| match &line.id {
        Some(id) => format!("{id}: {status}"),
        None => status.clone(),
    });
    let texts = line.stream.as_deref().into_iter().chain(status.as_deref());
    texts.flat_map(str::lines).map(str::trim_end).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

/// A failed build, with the end of what it printed. What is not the build's fault keeps its kind.
fn explained(mut failure: Failure, printed: &[String]) -> Failure {
    let engines_fault = matches!(
        failure.kind,
        FailureKind::DiskFull
            | FailureKind::Timeout
            | FailureKind::Unreachable
            | FailureKind::ImageNotFound
            | FailureKind::Denied
    );
    if !engines_fault {
        failure.kind = FailureKind::BuildFailed;
    }
    let last = printed.get(printed.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    if !last.is_empty() {
        failure.message = format!("{}\nthe build printed last:\n{}", failure.message, last.join("\n"));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_shows_the_end_of_what_it_printed() {
        let printed: Vec<String> = (1..=30).map(|number| format!("line {number}")).collect();
        let failure = Failure::new(FailureKind::Unavailable, "build image a", "RUN returned 1");
        let failure = explained(failure, &printed);
        assert_eq!(failure.kind, FailureKind::BuildFailed);
        assert!(failure.message.starts_with("RUN returned 1\n") && failure.message.ends_with("line 30"));
        assert!(!failure.message.contains("line 10\n") && failure.message.contains("line 11\n"));
        let full = Failure::new(FailureKind::DiskFull, "build image a", "no space left on device");
        assert_eq!(explained(full, &[]).kind, FailureKind::DiskFull);
    }
}
