//! Builds, by the engine's own builders.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Docker;
use super::credentials::{Keeper, registry_of};
use super::images::from_registry;
use crate::core::builder::{self, Builder};
use crate::core::desired::Build;
use crate::core::failure::{Failure, FailureKind};
use crate::engine::Progress;

mod buildkit;
mod classic;
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
    let engine = &docker.facts().await?.info;
    if let Some(message) = builder::refusal(build, engine) {
        return Err(Failure::new(FailureKind::Invalid, call, message));
    }
    match builder::builder(build, engine) {
        Builder::Classic => classic::build(docker, &call, reference, build, progress).await,
        Builder::BuildKit => buildkit::build(docker, &call, reference, build, progress).await,
    }
}

/// Build arguments with their values; what has none anywhere is not passed on. Docker's proxies are among them.
fn arguments(docker: &Docker, build: &Build, keeper: &Keeper) -> BTreeMap<String, String> {
    let own = |name: &String| docker.environment.get(name).cloned();
    let given = |(name, value): (&String, &Option<String>)| {
        Some((name.clone(), value.clone().or_else(|| own(name))?))
    };
    let mut arguments = keeper.proxies(&docker.address.to_string());
    arguments.extend(build.args.iter().filter_map(given));
    arguments
}

/// How the builders say that a step's command failed. The command stands there too, whatever words it has.
const STEP_FAILED: &[&str] =
    &["executor failed running", "did not complete successfully", "returned a non-zero code"];

/// A failed build, with the end of what it printed. What is not the build's fault keeps its kind.
fn explained(mut failure: Failure, printed: &[String], keeper: &Keeper) -> Failure {
    if STEP_FAILED.iter().any(|words| failure.message.contains(words)) {
        failure.kind = FailureKind::BuildFailed;
    } else {
        let host = registry_in(&failure.message).unwrap_or("docker.io").to_owned();
        failure = from_registry(failure, &host, keeper.hosts().contains(&host), keeper);
    }
    let others_fault = matches!(
        failure.kind,
        FailureKind::DiskFull
            | FailureKind::Timeout
            | FailureKind::Unreachable
            | FailureKind::ImageNotFound
            | FailureKind::RegistryUnreachable
            | FailureKind::RegistryUntrusted
            | FailureKind::Denied
    );
    if !others_fault {
        failure.kind = FailureKind::BuildFailed;
    }
    let last = printed.get(printed.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    if !last.is_empty() {
        failure.message = format!("{}\nthe build printed last:\n{}", failure.message, last.join("\n"));
    }
    failure
}

/// The host that a message of the engine names: in an address, else in an image's reference.
fn registry_in(message: &str) -> Option<&str> {
    let address = message.split_once("http://").or_else(|| message.split_once("https://"));
    if let Some((_, rest)) = address {
        return rest.split(['/', '"', ' ']).next().filter(|host| !host.is_empty());
    }
    let mut words = message.split_whitespace().map(|word| word.trim_matches(['"', '[', ']']));
    words.find_map(|word| Some(registry_of(word)).filter(|host| word.starts_with(*host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_build_shows_the_end_of_what_it_printed() {
        let keeper = Keeper::open(&BTreeMap::new()).unwrap();
        let printed: Vec<String> = (1..=30).map(|number| format!("line {number}")).collect();
        let failure = Failure::new(FailureKind::Unavailable, "build image a", "RUN returned 1");
        let failure = explained(failure, &printed, &keeper);
        assert_eq!(failure.kind, FailureKind::BuildFailed);
        assert!(failure.message.starts_with("RUN returned 1\n") && failure.message.ends_with("line 30"));
        assert!(!failure.message.contains("line 10\n") && failure.message.contains("line 11\n"));
        let full = Failure::new(FailureKind::DiskFull, "build image a", "no space left on device");
        assert_eq!(explained(full, &[], &keeper).kind, FailureKind::DiskFull);
    }

    #[test]
    fn the_registry_is_found_in_what_the_engine_says() {
        assert_eq!(registry_in("Head \"http://127.0.0.1:5000/v2/\": no"), Some("127.0.0.1:5000"));
        assert_eq!(registry_in("failed to load r.example:5000/a:1: denied"), Some("r.example:5000"));
        assert_eq!(registry_in("RUN returned 1"), None);
        let keeper = Keeper::open(&BTreeMap::new()).unwrap();
        let words = "executor failed running [/bin/sh -c echo denied: x509: no such image]: exit code: 1";
        let failure = Failure::new(FailureKind::ImageNotFound, "build image a", words);
        assert_eq!(explained(failure, &[], &keeper).kind, FailureKind::BuildFailed);
    }
}
