//! How an image is built.

use super::Source;
use super::container::{extra_hosts, platform, said, some};
use crate::compose::model;
use crate::core::desired::Build;
use crate::stack::faults::Findings;

/// The build of a service's image.
pub(super) fn build(source: Source<'_>, build: &model::Build, findings: &mut Findings) -> Build {
    Build {
        context: build.context.clone(),
        dockerfile: said(&build.dockerfile),
        dockerfile_inline: said(&build.dockerfile_inline),
        args: build.args.clone(),
        target: said(&build.target),
        labels: build.labels.clone(),
        cache_from: build.cache_from.clone(),
        network: said(&build.network),
        extra_hosts: extra_hosts(&build.extra_hosts),
        shm_size: some(build.shm_size.0),
        no_cache: build.no_cache,
        pull: build.pull,
        platform: built_platform(source, build, findings),
        tags: build.tags.clone(),
    }
}

/// The platform that the service runs on, where the build is for it; else the only one it is for.
fn built_platform(source: Source<'_>, build: &model::Build, findings: &mut Findings) -> Option<String> {
    let platforms = build.platforms.as_slice();
    match (platform(source), platforms) {
        (Some(platform), platforms) if platforms.is_empty() || platforms.contains(&platform) => {
            Some(platform)
        }
        (Some(platform), _) => {
            let message = format!("the build of `{}` is not for its platform {platform}", source.name);
            let fault = source.places.in_service(source.name, &["build", "platforms"], message);
            findings.faults.push(fault.help(format!("add {platform} to `build.platforms`")));
            None
        }
        (None, [only]) => Some(only.clone()),
        (None, _) => None,
    }
}
