//! The builder before BuildKit: one container for each step.

use std::collections::{BTreeMap, HashMap};

use bollard::auth::DockerCredentials;
use bollard::models::BuildInfo;
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder};
use serde_json::json;

use super::{BUILD_SILENCE, arguments, context, explained};
use crate::core::desired::Build;
use crate::core::failure::{Failure, FailureKind};
use crate::engine::Progress;
use crate::engine::docker::Docker;
use crate::engine::docker::client::with_query;
use crate::engine::docker::credentials::Keeper;
use crate::engine::docker::images::follow;
use crate::engine::docker::networks::hashed;

/// The label by which Compose marks what this builder made, instead of its others.
const BUILDER_LABEL: &str = "com.docker.compose.image.builder";

pub(super) async fn build(
    docker: &Docker,
    call: &str,
    reference: &str,
    build: &Build,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let failed = |message| Failure::new(FailureKind::BuildFailed, call, message);
    let keeper = Keeper::open(&docker.environment)?;
    let (dockerfile, tar) = if build.is_remote() {
        if build.dockerfile_inline.is_some() {
            let message = "the classic builder takes no `dockerfile_inline` for a context that the engine fetches: \
                           put the Dockerfile there, or take BuildKit";
            return Err(failed(message.to_owned()));
        }
        (build.dockerfile.clone().unwrap_or_default(), bollard::body_full(bytes::Bytes::new()))
    } else {
        let context = context::open(build).await.map_err(failed)?;
        (context.dockerfile, bollard::body_try_stream(context.tar))
    };
    let client = with_query(docker.client(call)?, &further(build));
    let options = options(reference, build, &arguments(docker, build, &keeper), &dockerfile);
    let lines = client.build_image(options, Some(credentials(&keeper, progress).await), Some(tar));
    let mut printed = Vec::new();
    let outcome = follow(docker, call, BUILD_SILENCE, lines, |line| {
        for text in lines_of(&line) {
            progress(&text);
            printed.push(text);
        }
    })
    .await;
    outcome.map_err(|failure| explained(failure, &printed, &keeper))
}

/// The credentials for every registry that there are any for: which ones the Dockerfile needs is not known here.
async fn credentials(keeper: &Keeper, progress: Progress<'_>) -> HashMap<String, DockerCredentials> {
    let mut all = HashMap::new();
    for host in keeper.hosts() {
        match keeper.find(&host).await {
            Ok(Some(found)) => {
                let given = found.for_engine(&host);
                all.insert(given.serveraddress.clone().unwrap_or_default(), given);
            }
            Ok(None) => {}
            // It may be needed or not; a build that does need it says that it was refused.
            Err(failure) => progress(&failure.message),
        }
    }
    all
}

/// Parameters that the engine takes several times or that bollard does not have, and the size that its 32 bits
/// do not hold.
fn further(build: &Build) -> Vec<(&'static str, String)> {
    let tags = build.tags.iter().map(|tag| ("t", tag.clone()));
    let hosts = build.extra_hosts.iter().map(|host| ("extrahosts", host.clone()));
    let shm = build.shm_size.map(|size| ("shmsize", size.to_string()));
    let isolation = build.isolation.clone().map(|isolation| ("isolation", isolation));
    let limit =
        |(name, (soft, hard)): (&String, &(i64, i64))| json!({"Name": name, "Soft": soft, "Hard": hard});
    let limits: Vec<_> = build.ulimits.iter().map(limit).collect();
    let limits = (!limits.is_empty()).then(|| ("ulimits", json!(limits).to_string()));
    tags.chain(hosts).chain(shm).chain(isolation).chain(limits).collect()
}

fn options(
    reference: &str,
    build: &Build,
    arguments: &BTreeMap<String, String>,
    dockerfile: &str,
) -> BuildImageOptions {
    let mut labels = build.labels.clone();
    labels.insert(BUILDER_LABEL.to_owned(), "classic".to_owned());
    let mut options = BuildImageOptionsBuilder::new()
        .dockerfile(dockerfile)
        .t(reference)
        .nocache(build.no_cache)
        .rm(true)
        .forcerm(true)
        .buildargs(&hashed(arguments))
        .labels(&hashed(&labels))
        .cachefrom(&build.cache_from);
    if build.is_remote() {
        options = options.remote(&build.context);
    }
    if build.pull {
        options = options.pull("true");
    }
    if let Some(network) = &build.network {
        options = options.networkmode(network);
    }
    if let Some(platform) = build.platforms.first() {
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
