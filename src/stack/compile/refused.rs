//! What the Compose files ask for and the operator cannot carry over yet. Each is a fault at its place: a field
//! that is dropped in silence would make another container than the one that was asked for.

use super::Source;
use crate::compose::model;
use crate::stack::faults::Findings;

/// Something that is asked for: where, and what to do instead.
struct Refusal {
    field: &'static [&'static str],
    asked: bool,
    help: &'static str,
}

const fn refusal(field: &'static [&'static str], asked: bool, help: &'static str) -> Refusal {
    Refusal { field, asked, help }
}

const REMOVE: &str = "remove the field, or leave this service to `docker compose`";

/// Tells what of a service is refused, and what has no effect.
pub(super) fn refuse(source: Source<'_>, findings: &mut Findings) {
    let service = source.service;
    for refusal in of_service(service).into_iter().filter(|refusal| refusal.asked) {
        let name = refusal.field.join(".");
        let message = format!("`{name}` of service `{}` is not supported yet", source.name);
        findings
            .faults
            .push(source.places.in_service(source.name, refusal.field, message).help(refusal.help));
    }
    for (key, place) in &service.networks {
        for (field, asked) in place.iter().flat_map(of_endpoint) {
            if asked {
                let message =
                    format!("`{field}` of service `{}` on a network is not supported yet", source.name);
                let place = ["networks", key.as_str(), field];
                findings.faults.push(source.places.in_service(source.name, &place, message).help(REMOVE));
            }
        }
    }
    warn(source, findings);
}

fn of_service(service: &model::Service) -> Vec<Refusal> {
    let blkio = service.blkio_config.clone().unwrap_or_default();
    let devices_reserved = service
        .deploy
        .iter()
        .filter_map(|deploy| deploy.resources.reservations.as_ref())
        .any(|reserved| !reserved.devices.is_empty());
    let cdi =
        service.devices.iter().any(|device| device.source == device.target && device.source.contains('='));
    vec![
        refusal(&["annotations"], !service.annotations.is_empty(), REMOVE),
        refusal(&["blkio_config", "weight_device"], !blkio.weight_device.is_empty(), REMOVE),
        refusal(&["blkio_config", "device_read_bps"], !blkio.device_read_bps.is_empty(), REMOVE),
        refusal(&["blkio_config", "device_read_iops"], !blkio.device_read_iops.is_empty(), REMOVE),
        refusal(&["blkio_config", "device_write_bps"], !blkio.device_write_bps.is_empty(), REMOVE),
        refusal(&["blkio_config", "device_write_iops"], !blkio.device_write_iops.is_empty(), REMOVE),
        refusal(&["cpu_count"], service.cpu_count != 0, "it works on Windows only; use `cpus`"),
        refusal(&["cpu_percent"], service.cpu_percent.0 > 0.0, "it works on Windows only; use `cpus`"),
        refusal(&["credential_spec"], service.credential_spec.is_some(), REMOVE),
        refusal(&["devices"], cdi, "CDI devices are not passed on yet; name the device by its path"),
        refusal(&["deploy", "resources", "reservations", "devices"], devices_reserved, REMOVE),
        refusal(&["gpus"], !service.gpus.is_empty(), REMOVE),
        refusal(&["models"], !service.models.is_empty(), REMOVE),
        refusal(&["provider"], service.provider.is_some(), REMOVE),
        refusal(&["use_api_socket"], service.use_api_socket, "mount the engine's socket as a bind"),
    ]
}

fn of_endpoint(place: &model::ServiceNetwork) -> [(&'static str, bool); 3] {
    [
        ("gw_priority", place.gw_priority != 0),
        ("interface_name", !place.interface_name.is_empty()),
        ("mac_address", !place.mac_address.is_empty()),
    ]
}

/// Tells what only Swarm acts on: Compose passes it over too, and says nothing.
fn warn(source: Source<'_>, findings: &mut Findings) {
    let Some(deploy) = &source.service.deploy else { return };
    let no_effect: [(&[&str], bool); 4] = [
        (&["deploy", "mode"], !matches!(deploy.mode.as_str(), "" | "replicated")),
        (&["deploy", "endpoint_mode"], !deploy.endpoint_mode.is_empty()),
        (&["deploy", "placement"], deploy.placement != model::Placement::default()),
        (&["deploy", "update_config"], deploy.update_config.is_some() || deploy.rollback_config.is_some()),
    ];
    for (field, _) in no_effect.into_iter().filter(|(_, asked)| *asked) {
        let message = format!("`{}` of service `{}` has no effect", field.join("."), source.name);
        findings.warnings.push(source.places.in_service(source.name, field, message));
    }
}
