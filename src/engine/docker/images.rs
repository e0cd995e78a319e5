//! Images: what they give to containers, and how they are fetched.

use std::time::Duration;

use bollard::models::{CreateImageInfo, ImageConfig, ImageInspect};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{Stream, StreamExt};

use super::client::{READ, image_in_path};
use super::credentials::{Keeper, registry_of};
use super::{Docker, classify, mounts, spec};
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ImageId;
use crate::core::observed::Image;
use crate::core::spec::ContainerSpec;
use crate::core::time::Timestamp;
use crate::engine::Progress;

/// The longest silence of a pull. Progress comes every few hundred milliseconds while bytes flow and while
/// a layer is unpacked; only the check of a very large layer is silent, and it stays below this.
const PULL_SILENCE: Duration = Duration::from_mins(5);

pub(super) async fn inspect(docker: &Docker, reference: &str) -> Result<Option<Image>, Failure> {
    let call = format!("inspect image {reference}");
    let path = image_in_path(reference).ok_or_else(|| no_reference(&call, reference))?;
    let found = docker.attempt(&call, READ, async |client| client.inspect_image(&path).await).await?;
    match found {
        Ok(found) => Ok(Some(image(found))),
        Err(error) if classify::has_code(&error, 404) => Ok(None),
        Err(error) => Err(docker.failure(&call, &error)),
    }
}

fn no_reference(call: &str, reference: &str) -> Failure {
    Failure::new(FailureKind::Invalid, call, format!("{reference:?} is no image reference"))
}

fn image(found: ImageInspect) -> Image {
    let defaults = found.config.map(|config| defaults(&config)).unwrap_or_default();
    let tagged_at = found.metadata.and_then(|metadata| tagged(&metadata.last_tag_time?));
    let digests = found.repo_digests.unwrap_or_default();
    Image { id: found.id.map(ImageId::new), digests, defaults, tagged_at }
}

/// When it was last tagged here. An engine writes the year 1 for "never", and so it does for what was pulled.
fn tagged(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at.as_second() > 0).then(|| Timestamp::from_millis(at.as_millisecond()))
}

/// What a container gets from its image where nothing else is said.
fn defaults(config: &ImageConfig) -> ContainerSpec {
    let volumes = config.volumes.iter().flatten();
    ContainerSpec {
        command: config.cmd.clone().filter(|words| !words.is_empty()),
        entrypoint: config.entrypoint.clone().filter(|words| !words.is_empty()),
        environment: spec::environment(config.env.as_deref().unwrap_or_default()),
        labels: spec::own_labels(config.labels.iter().flatten()),
        expose: config.exposed_ports.iter().flatten().cloned().collect(),
        healthcheck: config.healthcheck.as_ref().and_then(spec::healthcheck),
        user: spec::text(config.user.as_ref()),
        working_dir: spec::text(config.working_dir.as_ref()),
        stop_signal: spec::text(config.stop_signal.as_ref()),
        mounts: volumes.map(|target| (target.clone(), mounts::anonymous())).collect(),
        ..ContainerSpec::default()
    }
}

pub(super) async fn pull(
    docker: &Docker,
    reference: &str,
    platform: Option<&str>,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let call = format!("pull image {reference}");
    if image_in_path(reference).is_none() {
        return Err(no_reference(&call, reference));
    }
    let (name, tag) = split(reference);
    let mut options = CreateImageOptionsBuilder::new().from_image(name).tag(tag);
    if let Some(platform) = platform {
        options = options.platform(platform);
    }
    let host = registry_of(reference);
    let keeper = Keeper::open(&docker.environment)?;
    let credentials = keeper.find(host).await?;
    let client = docker.client(&call)?;
    let given = credentials.as_ref().map(|credentials| credentials.for_engine(host));
    let lines = client.create_image(Some(options.build()), None, given);
    let pulled = follow(docker, &call, PULL_SILENCE, lines, |line| {
        if let Some(line) = pull_line(&line) {
            progress(&line);
        }
    })
    .await;
    pulled.map_err(|failure| from_registry(failure, host, credentials.is_some(), &keeper))
}

/// A failure that a registry may be behind: what it is, and the way out.
pub(super) fn from_registry(mut failure: Failure, host: &str, known: bool, keeper: &Keeper) -> Failure {
    if let Some(kind) = classify::by_registry_words(&failure.message) {
        failure.kind = kind;
    }
    let place = keeper.place();
    let way_out = match failure.kind {
        FailureKind::Denied if known => {
            format!("{host} does not take the credentials in {place}: log in anew with `docker login {host}`")
        }
        FailureKind::Denied => {
            format!("there are no credentials for {host} in {place}: log in with `docker login {host}`")
        }
        FailureKind::ImageNotFound => {
            "is its name right, and has it been pushed? A private one needs `docker login`".to_owned()
        }
        FailureKind::RegistryUnreachable => {
            format!("does {host} run, and does the engine's machine reach it?")
        }
        FailureKind::RegistryUntrusted => format!(
            "put the certificate of who signed for {host} into /etc/docker/certs.d/{host}/ca.crt on the engine's \
             machine, or name {host} in `insecure-registries` of its daemon.json"
        ),
        _ => return failure,
    };
    failure.message = format!("{}; {way_out}", failure.message);
    failure
}

/// Name and tag or digest. A pull without a tag would fetch every tag there is.
fn split(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        // With both a tag and a digest the digest decides, as in the CLI.
        return (untagged(name).0, digest);
    }
    let (name, tag) = untagged(reference);
    (name, tag.unwrap_or("latest"))
}

/// A colon before the last slash is a registry's port.
fn untagged(reference: &str) -> (&str, Option<&str>) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (reference, None),
    }
}

/// `1f2e: Downloading 12.0 MB of 40.0 MB`.
fn pull_line(line: &CreateImageInfo) -> Option<String> {
    let status = line.status.as_deref().filter(|status| !status.is_empty())?;
    let of = line.progress_detail.as_ref().and_then(|detail| Some((detail.current?, detail.total?)));
    let amount = match of {
        Some((current, total)) if total > 0 => format!(" {} of {}", megabytes(current), megabytes(total)),
        _ => String::new(),
    };
    Some(match line.id.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => format!("{id}: {status}{amount}"),
        None => format!("{status}{amount}"),
    })
}

fn megabytes(bytes: i64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

/// Reads a stream of progress to its end. What takes long may take as long as it likes, but not in silence.
pub(super) async fn follow<T>(
    docker: &Docker,
    call: &str,
    silence: Duration,
    lines: impl Stream<Item = Result<T, bollard::errors::Error>>,
    mut each: impl FnMut(T),
) -> Result<(), Failure> {
    let mut lines = std::pin::pin!(lines);
    loop {
        match tokio::time::timeout(silence, lines.next()).await {
            Err(_) => return Err(classify::timed_out(&docker.address, call, silence)),
            Ok(None) => return Ok(()),
            Ok(Some(Ok(line))) => each(line),
            Ok(Some(Err(error))) => return Err(docker.failure(call, &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_tag_means_latest() {
        assert_eq!(split("redis"), ("redis", "latest"));
        assert_eq!(split("host:5000/a/redis"), ("host:5000/a/redis", "latest"));
        assert_eq!(split("host:5000/redis:7"), ("host:5000/redis", "7"));
        assert_eq!(split("redis:7@sha256:0f"), ("redis", "sha256:0f"));
    }

    #[test]
    fn progress_reads_like_a_sentence() {
        let line = CreateImageInfo {
            id: Some("1f2e".to_owned()),
            status: Some("Downloading".to_owned()),
            progress_detail: Some(bollard::models::ProgressDetail {
                current: Some(12_340_000),
                total: Some(40_000_000),
            }),
            error_detail: None,
        };
        assert_eq!(pull_line(&line).unwrap(), "1f2e: Downloading 12.3 MB of 40.0 MB");
        assert_eq!(pull_line(&CreateImageInfo::default()), None);
    }
}
