//! From a Compose project and what the manifest lays over it to the desired state, by Compose's rules for
//! what reaches the engine.
//!
//! Whatever the operator cannot carry over yet is a fault at its place (see `refused`), never dropped in silence.

mod backoff;
mod build;
mod config_hash;
mod container;
mod content;
mod devices;
mod files;
mod forms;
mod heal;
mod hooks;
mod job;
mod mounts;
mod networks;
mod notifications;
mod probes;
mod redis;
mod reference;
mod refused;
mod resources;
mod rollout;
mod security;
mod traffic;

pub(super) use notifications::notifications;

use std::collections::BTreeMap;
use std::path::Path;

use super::faults::{Findings, Places};
use super::manifest::{ServiceOverlay, Spec};
use super::period;
use crate::compose::FileView;
use crate::compose::model;
use crate::core::desired::{Condition, Dependency, Desired, ImageSource, Origin, PullPolicy, Service};
use crate::core::ids::{ServiceName, StackName};
use crate::core::overrides::Overrides;
use crate::core::sync;
use crate::secret::Secret;

/// One service on its way from Compose's model to the desired state.
#[derive(Clone, Copy)]
struct Source<'a> {
    places: Places<'a>,
    files: &'a dyn FileView,
    name: &'a str,
    service: &'a model::Service,
    spec: &'a Spec,
    overlay: &'a ServiceOverlay,
}

/// Makes the desired state. What is wrong goes to `findings`; with faults in it, the result is only fit for
/// finding more of them.
pub(super) fn compile(
    places: Places<'_>,
    files: &dyn FileView,
    spec: &Spec,
    findings: &mut Findings,
) -> Desired {
    let project = places.project;
    let no_overlay = ServiceOverlay::default();
    let mut services = BTreeMap::new();
    for (name, service) in &project.model.services {
        let overlay = spec.services.get(name).unwrap_or(&no_overlay);
        let source = Source { places, files, name, service, spec, overlay };
        services.insert(ServiceName::from(name.as_str()), compile_service(source, findings));
    }
    traffic::tell_proxies(places, &mut services, findings);
    sync::tell_jobs(&mut services);
    Desired {
        stack: StackName::new(project.name.as_str()),
        origin: origin(places),
        commit: None,
        services,
        inactive: project.disabled.keys().map(|name| ServiceName::from(name.as_str())).collect(),
        networks: networks::networks(places, findings),
        volumes: mounts::volumes(places),
        prune: spec.prune,
        backoff: backoff::of_stack(places, spec, findings),
        breaker: heal::breaker(spec),
        atomic: spec.atomic,
        overrides: Overrides::default(),
        images_first: false,
        recreate: [].into(),
        only: None,
        teardown: None,
    }
}

fn origin(places: Places<'_>) -> Origin {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Origin {
        config_files: places.project.compose_files.iter().map(|path| text(path)).collect(),
        working_dir: text(&places.project.working_dir),
        environment_files: places.project.environment_files.iter().map(|path| text(path)).collect(),
    }
}

fn compile_service(source: Source<'_>, findings: &mut Findings) -> Service {
    refused::refuse(source, findings);
    forms::check(source, findings);
    let service = source.service;
    let mut spec = container::container(source, findings);
    let (command, live) = redis::live(source, &mut spec, findings);
    let resources = resources::resources(source, findings);
    let replicas = replicas(source, findings);
    // What is nowhere in its environment is no secret of its.
    let is_given =
        |secret: &&Secret| spec.environment.values().any(|it| it.expose().contains(secret.expose()));
    let secrets = source.places.project.secrets.iter().filter(is_given).cloned().collect();
    let service = Service {
        replicas,
        secrets,
        rollout: rollout::rollout(source, replicas, findings),
        scaled: None,
        container_name: container::said(&service.container_name),
        image: ImageSource {
            pinned: None,
            pull_policy: pull_policy(source, findings),
            nameless: service.image.is_empty(),
            build: service.build.as_ref().map(|build| build::build(source, build, findings)),
        },
        spec,
        command,
        files: files::files(source, findings),
        content: content::content(source, findings),
        hooks: hooks::hooks(source, findings),
        probes: probes::probes(source, live.as_ref(), findings),
        heal: heal::heal(source, &resources, findings),
        by_hand: heal::by_hand(source, findings),
        resources,
        networks: networks::endpoints(source, findings),
        live,
        traffic: traffic::traffic(source, findings),
        depends_on: depends_on(source, findings),
        backoff: backoff::of_service(source, findings),
        wave: source.overlay.wave.unwrap_or_default(),
        job: None,
        config_hash: config_hash::config_hash(source),
    };
    job::job(source, service, findings)
}

/// The manifest's word, then Compose's two, then one.
fn replicas(source: Source<'_>, findings: &mut Findings) -> u32 {
    if let Some(replicas) = source.overlay.replicas {
        return replicas;
    }
    let service = source.service;
    let deployed = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
    let (count, field): (_, &[&str]) = match (service.scale, deployed) {
        (Some(count), _) => (count, &["scale"]),
        (None, Some(count)) => (count, &["deploy", "replicas"]),
        (None, None) => (1, &[]),
    };
    u32::try_from(count).unwrap_or_else(|_| {
        let message = format!("service `{}` cannot have {count} replicas", source.name);
        findings.faults.push(source.places.in_service(source.name, field, message).help("give 0 or more"));
        0
    })
}

fn pull_policy(source: Source<'_>, findings: &mut Findings) -> PullPolicy {
    match source.service.pull_policy.as_str() {
        "" | "missing" | "if_not_present" => PullPolicy::Missing,
        "never" => PullPolicy::Never,
        "always" => PullPolicy::Always,
        "build" => PullPolicy::Build,
        "daily" => PullPolicy::Every(period::DAY),
        "weekly" => PullPolicy::Every(period::DAY * 7),
        other => match other.strip_prefix("every_").map(period::parse) {
            Some(Some(age)) => PullPolicy::Every(age),
            Some(None) => {
                let message = format!("the pull policy `{other}` has no duration that can be read");
                let fault = source.places.in_service(source.name, &["pull_policy"], message);
                findings.faults.push(fault.help("write every_12h, every_3d or every_1w2d"));
                PullPolicy::Missing
            }
            // What the schema lets through and means nothing is what Compose takes for `missing`.
            None => PullPolicy::Missing,
        },
    }
}

fn depends_on(source: Source<'_>, findings: &mut Findings) -> BTreeMap<ServiceName, Dependency> {
    let mut dependencies = BTreeMap::new();
    for (name, dependency) in &source.service.depends_on {
        let condition = match dependency.condition.as_str() {
            "" | "service_started" => Condition::Started,
            "service_healthy" => Condition::Healthy,
            "service_completed_successfully" => Condition::CompletedSuccessfully,
            other => {
                let path = ["depends_on", name.as_str(), "condition"];
                let message = format!("`{other}` is not a condition of `depends_on`");
                let fault = source.places.in_service(source.name, &path, message);
                findings.faults.push(
                    fault.help("use service_started, service_healthy or service_completed_successfully"),
                );
                continue;
            }
        };
        let dependency =
            Dependency { condition, restart: dependency.restart, required: dependency.required.0 };
        dependencies.insert(ServiceName::from(name.as_str()), dependency);
    }
    dependencies
}
