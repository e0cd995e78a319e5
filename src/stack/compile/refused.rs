//! What the Compose files ask for and the operator cannot carry over. Each is a fault at its place: a field
//! that is dropped in silence would make another container than the one that was asked for.

use super::Source;
use crate::compose::model;
use crate::stack::faults::Findings;

/// Something that is asked for: where, and what to do instead.
struct Refusal {
    field: &'static [&'static str],
    asked: bool,
    why: &'static str,
    help: &'static str,
}

/// Tells what of a service is refused, and what has no effect.
pub(super) fn refuse(source: Source<'_>, findings: &mut Findings) {
    let service = source.service;
    for refusal in of_service(service).into_iter().filter(|refusal| refusal.asked) {
        let name = refusal.field.join(".");
        let message = format!("`{name}` of service `{}` {}", source.name, refusal.why);
        findings
            .faults
            .push(source.places.in_service(source.name, refusal.field, message).help(refusal.help));
    }
    warn(source, findings);
}

fn of_service(service: &model::Service) -> Vec<Refusal> {
    let start_interval = service
        .healthcheck
        .as_ref()
        .is_some_and(|check| check.start_interval.is_some() && check.start_period.is_none());
    vec![
        Refusal {
            field: &["credential_spec"],
            asked: service.credential_spec.is_some(),
            why: "works on Windows only, and Docker Compose does not pass it on",
            help: "remove it; for a user of its own in the container use `user`",
        },
        Refusal {
            field: &["healthcheck", "start_interval"],
            asked: start_interval,
            why: "has no meaning without `start_period`, and the engine refuses it",
            help: "give `healthcheck.start_period` as well",
        },
        Refusal {
            field: &["models"],
            asked: !service.models.is_empty(),
            why: "needs Docker Model Runner, a plugin of the docker command that the operator does not call",
            help: "run the model as a service, and name its address in `environment`",
        },
        Refusal {
            field: &["provider"],
            asked: service.provider.is_some(),
            why: "is a program that `docker compose up` runs on its user's machine; the operator runs containers only",
            help: "run the program yourself, and give what it provides to the other services in `environment`",
        },
        Refusal {
            field: &["use_api_socket"],
            asked: service.use_api_socket,
            why: "would copy every password of the operator's Docker configuration into the container",
            help: "mount /var/run/docker.sock as a volume, and what registries it needs as a secret",
        },
    ]
}

/// Tells what has no effect: what only Swarm acts on, which Compose passes over without a word, and what only
/// Windows has.
fn warn(source: Source<'_>, findings: &mut Findings) {
    let service = source.service;
    let nothing = model::Deploy::default();
    let deploy = service.deploy.as_ref().unwrap_or(&nothing);
    let reserved = deploy.resources.reservations.as_ref();
    let no_effect: [(&[&str], bool, &str); 7] = [
        (&["deploy", "mode"], !matches!(deploy.mode.as_str(), "" | "replicated"), ""),
        (&["deploy", "endpoint_mode"], !deploy.endpoint_mode.is_empty(), ""),
        (&["deploy", "placement"], deploy.placement != model::Placement::default(), ""),
        (&["deploy", "labels"], !deploy.labels.is_empty(), ""),
        (
            &["deploy", "resources", "reservations", "generic_resources"],
            reserved.is_some_and(|reserved| !reserved.generic_resources.is_empty()),
            "",
        ),
        (&["cpu_count"], service.cpu_count != 0, " but on Windows; use `cpus`"),
        (&["cpu_percent"], service.cpu_percent.0 > 0.0, " but on Windows; use `cpus`"),
    ];
    for (field, _, but) in no_effect.into_iter().filter(|(_, asked, _)| *asked) {
        let message = format!("`{}` of service `{}` has no effect{but}", field.join("."), source.name);
        findings.warnings.push(source.places.in_service(source.name, field, message));
    }
}
