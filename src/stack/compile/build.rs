//! How an image is built.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::container::{extra_hosts, image, platform, said, some};
use crate::compose::{model, parse_bool};
use crate::core::builder::{Builder, Demand};
use crate::core::desired::{Build, BuildSecret};
use crate::core::ids::ServiceName;
use crate::core::labels;
use crate::secret::Secret;
use crate::stack::faults::Findings;

/// What names another service's image among the contexts.
const SERVICE: &str = "service:";

/// The build of a service's image.
pub(super) fn build(source: Source<'_>, build: &model::Build, findings: &mut Findings) -> Build {
    let builder = builder(source, findings);
    let (contexts, after) = contexts(source, build, findings);
    Build {
        builder,
        context: build.context.clone(),
        dockerfile: said(&build.dockerfile),
        dockerfile_inline: said(&build.dockerfile_inline),
        args: build.args.clone(),
        target: said(&build.target),
        labels: build.labels.clone(),
        project_labels: project_labels(source),
        cache_from: build.cache_from.clone(),
        cache_to: build.cache_to.clone(),
        network: said(&build.network),
        extra_hosts: extra_hosts(&build.extra_hosts),
        shm_size: some(build.shm_size.0),
        ulimits: build.ulimits.iter().map(|(name, limit)| (name.clone(), limit.bounds())).collect(),
        no_cache: build.no_cache,
        pull: build.pull,
        platforms: built_platforms(source, build, findings),
        tags: build.tags.clone(),
        isolation: said(&build.isolation).filter(|isolation| isolation != "default"),
        entitlements: entitlements(build),
        contexts,
        after,
        secrets: secrets(source, build, findings),
        ssh: ssh(source, build),
        attestations: attestations(build),
        demands: demands(source, build, builder, findings),
    }
}

/// `DOCKER_BUILDKIT`, as the Docker CLI reads it.
fn builder(source: Source<'_>, findings: &mut Findings) -> Option<Builder> {
    let word = source.places.project.environment.get("DOCKER_BUILDKIT").filter(|word| !word.is_empty())?;
    match parse_bool(word) {
        Some(true) => Some(Builder::BuildKit),
        Some(false) => Some(Builder::Classic),
        None => {
            let message = format!("DOCKER_BUILDKIT is `{word}`, which is neither true nor false");
            let fault = source.places.in_service(source.name, &["build"], message);
            findings
                .faults
                .push(fault.help("set it to 1 for BuildKit, to 0 for the classic builder, or not at all"));
            None
        }
    }
}

/// What Compose's own builds carry.
fn project_labels(source: Source<'_>) -> BTreeMap<String, String> {
    [
        (labels::PROJECT, source.places.project.name.as_str()),
        (labels::SERVICE, source.name),
        (labels::VERSION, labels::COMPOSE_VERSION),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// The platforms that the build is for: the service's own, where it has one and the build is for it.
fn built_platforms(source: Source<'_>, build: &model::Build, findings: &mut Findings) -> Vec<String> {
    match platform(source) {
        Some(platform) if build.platforms.is_empty() || build.platforms.contains(&platform) => vec![platform],
        Some(platform) => {
            let message = format!("the build of `{}` is not for its platform {platform}", source.name);
            let fault = source.places.in_service(source.name, &["build", "platforms"], message);
            findings.faults.push(fault.help(format!("add {platform} to `build.platforms`")));
            Vec::new()
        }
        None => build.platforms.clone(),
    }
}

/// Further contexts, with a service's image in its place, and the services that must be built before.
fn contexts(
    source: Source<'_>,
    build: &model::Build,
    findings: &mut Findings,
) -> (BTreeMap<String, String>, BTreeSet<ServiceName>) {
    let project = source.places.project;
    let (mut contexts, mut after) = (BTreeMap::new(), BTreeSet::new());
    for (name, value) in &build.additional_contexts {
        let Some(other) = value.strip_prefix(SERVICE) else {
            contexts.insert(name.clone(), value.clone());
            continue;
        };
        if leads_to(&project.model.services, other, source.name, &mut BTreeSet::new()) {
            let message = format!("the images of `{}` and `{other}` are built from each other", source.name);
            let place = ["build", "additional_contexts", name.as_str()];
            let fault = source.places.in_service(source.name, &place, message);
            findings.faults.push(fault.help("take one of the two contexts out"));
            continue;
        }
        contexts.insert(name.clone(), format!("docker-image://{}", image(project, other)));
        after.insert(ServiceName::from(other));
    }
    (contexts, after)
}

/// Whether the image of `from` is built from that of `to`, over however many others.
fn leads_to(
    services: &BTreeMap<String, model::Service>,
    from: &str,
    to: &str,
    seen: &mut BTreeSet<String>,
) -> bool {
    if from == to {
        return true;
    }
    let build = services.get(from).and_then(|service| service.build.as_ref());
    seen.insert(from.to_owned())
        && build.is_some_and(|build| {
            let others = build.additional_contexts.values().filter_map(|value| value.strip_prefix(SERVICE));
            others.into_iter().any(|other| leads_to(services, other, to, seen))
        })
}

fn entitlements(build: &model::Build) -> BTreeSet<String> {
    let privileged = build.privileged.then(|| "security.insecure".to_owned());
    build.entitlements.iter().cloned().chain(privileged).collect()
}

/// Secrets by the id that the Dockerfile knows them by.
fn secrets(
    source: Source<'_>,
    build: &model::Build,
    findings: &mut Findings,
) -> BTreeMap<String, BuildSecret> {
    let project = source.places.project;
    let mut secrets = BTreeMap::new();
    for (index, reference) in build.secrets.iter().enumerate() {
        let place = ["build", "secrets", &index.to_string()];
        let name = &reference.source;
        let Some(declared) = project.model.secrets.get(name) else { continue };
        let id = said(&reference.target).unwrap_or_else(|| name.clone());
        if !declared.file.is_empty() {
            secrets.insert(id, BuildSecret::File(declared.file.clone()));
        } else if !declared.content.is_empty() {
            // Of a file that was decrypted.
            let value = Some(Secret::new(&declared.content));
            secrets.insert(id, BuildSecret::Variable { name: name.clone(), value });
        } else if !declared.environment.is_empty() {
            let value = project.environment.get(&declared.environment).map(Secret::new);
            secrets.insert(id, BuildSecret::Variable { name: declared.environment.clone(), value });
        } else {
            let message =
                format!("the secret `{name}` of the build of `{}` has no file and no variable", source.name);
            let fault = source.places.in_service(source.name, &place, message);
            findings.faults.push(fault.help("a build takes secrets from `file` or `environment` only"));
        }
        if !reference.uid.is_empty() || !reference.gid.is_empty() || reference.mode.is_some() {
            let message = format!("uid, gid and mode of the secret `{name}` have no effect on a build");
            let warning = source.places.in_service(source.name, &place, message);
            findings.warnings.push(warning.help("the Dockerfile's own `RUN --mount` gives them"));
        }
    }
    secrets
}

/// Sockets of agents by id: `default` or `id=path`.
fn ssh(source: Source<'_>, build: &model::Build) -> BTreeMap<String, Option<String>> {
    let project = source.places.project;
    let full = |path: &str| match (path.strip_prefix("~/"), project.environment.get("HOME")) {
        (Some(rest), Some(home)) => format!("{home}/{rest}"),
        _ => project.working_dir.join(path).to_string_lossy().into_owned(),
    };
    let entry = |entry: &String| match entry.split_once('=') {
        Some((id, path)) => (id.to_owned(), said(path).map(|path| full(&path))),
        None => (entry.clone(), None),
    };
    build.ssh.iter().map(entry).collect()
}

/// Attestations with their attributes; a plain yes has none.
fn attestations(build: &model::Build) -> BTreeMap<String, String> {
    [("provenance", &build.provenance), ("sbom", &build.sbom)]
        .into_iter()
        .filter(|(_, asked)| is_asked(asked))
        .map(|(kind, asked)| {
            let attributes =
                if parse_bool(asked) == Some(true) { String::new() } else { format!(",{asked}") };
            (kind.to_owned(), format!("type={kind}{attributes}"))
        })
        .collect()
}

fn is_asked(word: &str) -> bool {
    !word.is_empty() && parse_bool(word) != Some(false)
}

/// What not every builder gives. Where the builder is known already, what it cannot give is a fault now.
fn demands(
    source: Source<'_>,
    build: &model::Build,
    builder: Option<Builder>,
    findings: &mut Findings,
) -> BTreeMap<Demand, String> {
    let inline = |cache: &String| cache.split(',').any(|field| field.trim() == "type=inline");
    let network = !matches!(build.network.as_str(), "" | "default" | "none" | "host");
    let asked = [
        (Demand::Contexts, !build.additional_contexts.is_empty()),
        (Demand::SharedMemory, build.shm_size.0 != 0),
        (Demand::Ulimits, !build.ulimits.is_empty()),
        (Demand::Secrets, !build.secrets.is_empty()),
        (Demand::Ssh, !build.ssh.is_empty()),
        (Demand::Entitlements, !build.entitlements.is_empty()),
        (Demand::Privileged, build.privileged),
        (Demand::CacheTo, !build.cache_to.iter().all(inline)),
        (Demand::Provenance, is_asked(&build.provenance)),
        (Demand::Sbom, is_asked(&build.sbom)),
        (Demand::Platforms, build.platforms.len() > 1 && platform(source).is_none()),
        (Demand::Isolation, !matches!(build.isolation.as_str(), "" | "default")),
        (Demand::Network, network),
    ];
    let mut demands = BTreeMap::new();
    for (demand, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        let field = demand.field();
        let at = |message: String| source.places.in_service(source.name, &["build", field], message);
        match builder {
            Some(builder) if !demand.is_for(builder) => {
                let (who, instead) = match builder {
                    Builder::Classic => ("the classic builder", "take DOCKER_BUILDKIT=0 away"),
                    Builder::BuildKit => ("BuildKit", "set DOCKER_BUILDKIT=0 for the classic builder"),
                };
                let message = format!("`build.{field}` of service `{}` is not for {who}", source.name);
                findings.faults.push(at(message).help(format!("remove it, or {instead}")));
            }
            _ => {
                let place = at(String::new()).span.map(|span| span.to_string());
                demands.insert(demand, place.unwrap_or_else(|| source.name.to_owned()));
            }
        }
    }
    demands
}
