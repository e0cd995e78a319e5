//! Which builder makes an image, and what it cannot do. Found out before anything is changed: a build that drops
//! what was asked for makes another image.

use serde::{Deserialize, Serialize};

use super::desired::Build;
use super::needs::ApiVersion;
use super::observed::EngineInfo;

/// The two builders of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Builder {
    /// The one since Docker 18.09, with secrets, agents and further contexts.
    BuildKit,
    /// The one before: one container for each step.
    Classic,
}

/// Something that a build asks for and that not every builder gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Demand {
    /// `additional_contexts`.
    Contexts,
    /// `shm_size`.
    SharedMemory,
    /// `ulimits`.
    Ulimits,
    /// `secrets`.
    Secrets,
    /// `ssh`.
    Ssh,
    /// `entitlements`.
    Entitlements,
    /// `privileged`.
    Privileged,
    /// `cache_to`.
    CacheTo,
    /// `provenance`.
    Provenance,
    /// `sbom`.
    Sbom,
    /// More than one of `platforms`.
    Platforms,
    /// `isolation`.
    Isolation,
    /// A `network` other than `default`, `none` and `host`.
    Network,
}

/// The API of Docker 23, whose BuildKit (0.10) takes further contexts, limits and the size of `/dev/shm`.
const DOCKER_23: ApiVersion = ApiVersion(1, 42);

/// The API of Docker 18.09, the first with BuildKit.
const DOCKER_18_09: ApiVersion = ApiVersion(1, 39);

impl Demand {
    /// The field of `build`.
    pub fn field(self) -> &'static str {
        match self {
            Self::Contexts => "additional_contexts",
            Self::SharedMemory => "shm_size",
            Self::Ulimits => "ulimits",
            Self::Secrets => "secrets",
            Self::Ssh => "ssh",
            Self::Entitlements => "entitlements",
            Self::Privileged => "privileged",
            Self::CacheTo => "cache_to",
            Self::Provenance => "provenance",
            Self::Sbom => "sbom",
            Self::Platforms => "platforms",
            Self::Isolation => "isolation",
            Self::Network => "network",
        }
    }

    /// Whether a builder can ever give it.
    pub fn is_for(self, builder: Builder) -> bool {
        match builder {
            Builder::BuildKit => !matches!(self, Self::Isolation | Self::Network),
            Builder::Classic => {
                matches!(self, Self::Isolation | Self::Network | Self::SharedMemory | Self::Ulimits)
            }
        }
    }

    /// What an engine must be for it, where its BuildKit is not enough.
    fn missing(self, engine: &EngineInfo) -> Option<&'static str> {
        match self {
            Self::Contexts | Self::SharedMemory | Self::Ulimits if is_before(engine, DOCKER_23) => {
                Some("the BuildKit of Docker 23 or later")
            }
            Self::CacheTo | Self::Provenance | Self::Sbom | Self::Platforms if !engine.containerd_images => {
                Some(
                    "an engine that keeps its images in containerd (`features: {containerd-snapshotter: true}` in its daemon.json, Docker 24 or later)",
                )
            }
            _ => None,
        }
    }
}

/// The builder for a build: the one that is asked for, else BuildKit where the engine has it, as with Compose.
pub fn builder(build: &Build, engine: &EngineInfo) -> Builder {
    let without = engine.windows || is_before(engine, DOCKER_18_09);
    build.builder.unwrap_or(if without { Builder::Classic } else { Builder::BuildKit })
}

/// Why this engine cannot make this image as it is asked for: place, reason and way out.
pub fn refusal(build: &Build, engine: &EngineInfo) -> Option<String> {
    let builder = builder(build, engine);
    build.demands.iter().find_map(|(demand, place)| {
        let (field, version) = (demand.field(), &engine.version);
        let head = format!("{place}: `build.{field}`");
        if !demand.is_for(builder) {
            return Some(match builder {
                Builder::Classic => {
                    format!("{head} needs BuildKit, which the engine ({version}) does not have: remove the field")
                }
                Builder::BuildKit => format!(
                    "{head} is not known to BuildKit: remove the field, or take the classic builder with DOCKER_BUILDKIT=0"
                ),
            });
        }
        let missing = (builder == Builder::BuildKit).then(|| demand.missing(engine)).flatten()?;
        let classic = if demand.is_for(Builder::Classic) {
            ", or take the classic builder with DOCKER_BUILDKIT=0"
        } else {
            ""
        };
        Some(format!("{head} needs {missing}, and this engine is {version}: remove the field{classic}"))
    })
}

/// Whether the engine's API is older than this. One that does not say is taken for a new one.
fn is_before(engine: &EngineInfo, version: ApiVersion) -> bool {
    ApiVersion::parse(&engine.api_version).is_some_and(|known| known < version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(api: &str) -> EngineInfo {
        EngineInfo { api_version: api.into(), version: "20.10.24".into(), ..EngineInfo::default() }
    }

    fn asking(demand: Demand) -> Build {
        Build { demands: [(demand, "compose.yaml:4:7".to_owned())].into(), ..Build::default() }
    }

    #[test]
    fn buildkit_is_taken_where_it_is_and_not_ruled_out() {
        let any = Build::default();
        assert_eq!(builder(&any, &engine("1.41")), Builder::BuildKit);
        assert_eq!(builder(&any, &engine("1.38")), Builder::Classic);
        assert_eq!(builder(&any, &EngineInfo { windows: true, ..engine("1.45") }), Builder::Classic);
        let classic = Build { builder: Some(Builder::Classic), ..Build::default() };
        assert_eq!(builder(&classic, &engine("1.41")), Builder::Classic);
    }

    #[test]
    fn what_an_engine_cannot_build_is_told_with_place_reason_and_way_out() {
        let said = |demand, api| refusal(&asking(demand), &engine(api)).unwrap_or_default();
        let contexts = said(Demand::Contexts, "1.41");
        assert!(contexts.starts_with("compose.yaml:4:7: `build.additional_contexts` needs"), "{contexts}");
        assert!(contexts.contains("Docker 23") && contexts.contains("20.10.24"), "{contexts}");
        assert!(said(Demand::SharedMemory, "1.41").ends_with("DOCKER_BUILDKIT=0"));
        assert_eq!(said(Demand::Contexts, "1.42"), "");
        assert!(said(Demand::Platforms, "1.47").contains("containerd"));
        let containerd = EngineInfo { containerd_images: true, ..engine("1.47") };
        assert_eq!(refusal(&asking(Demand::Platforms), &containerd), None);
        assert!(said(Demand::Secrets, "1.38").contains("needs BuildKit"));
        assert!(said(Demand::Isolation, "1.47").contains("DOCKER_BUILDKIT=0"));
        let classic = Build { builder: Some(Builder::Classic), ..asking(Demand::SharedMemory) };
        assert_eq!(refusal(&classic, &engine("1.41")), None);
    }
}
