//! Who sends a service its requests, and what of it a proxy is told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Source;
use crate::core::desired::Service;
use crate::core::ids::ServiceName;
use crate::core::live::{LiveSettings, Software};
use crate::core::traffic::Traffic;
use crate::stack::faults::{Findings, Places};
use crate::stack::period::Period;

/// How long the last requests have, where nobody says otherwise.
const DRAIN: Duration = Duration::from_secs(5);

/// Where Caddy's admin API listens unless it is told otherwise.
const ADMIN_PORT: u16 = 2019;

pub(super) fn traffic(source: Source<'_>, findings: &mut Findings) -> Option<Traffic> {
    let said = source.overlay.traffic.as_ref()?;
    if said.caddy.port == 0 {
        let message = format!("service `{}` cannot take requests at port 0", source.name);
        let fault = source.places.in_overlay(source.name, &["traffic", "caddy", "port"], message);
        findings
            .faults
            .push(fault.help("give the port that the `reverse_proxy` in Caddy's configuration says"));
    }
    Some(Traffic {
        proxy: ServiceName::from(said.caddy.service.as_str()),
        port: said.caddy.port,
        drain: said.drain.map_or(DRAIN, Period::duration),
    })
}

/// Each proxy is told of the services behind it: they are what is asked of it and set in it while it runs.
pub(super) fn tell_proxies(
    places: Places<'_>,
    services: &mut BTreeMap<ServiceName, Service>,
    findings: &mut Findings,
) {
    let behind = services.iter().filter_map(|(name, service)| {
        let traffic = service.traffic.clone()?;
        // One that is not there is told where all that leads nowhere is.
        let proxy = services.get(&traffic.proxy)?;
        let is_near = service.networks.keys().any(|network| proxy.networks.contains_key(network));
        Some((name.clone(), traffic, is_near))
    });
    let behind: Vec<(ServiceName, Traffic, bool)> = behind.collect();
    for (name, traffic, is_near) in behind {
        let fault = |message: String, help: String| {
            places.in_overlay(name.as_str(), &["traffic", "caddy", "service"], message).help(help)
        };
        let proxy = &traffic.proxy;
        let Some(service) = services.get_mut(proxy) else { continue };
        if *proxy == name {
            let message = format!("service `{name}` cannot be its own proxy");
            findings.faults.push(fault(message, "name the service that Caddy is".to_owned()));
            continue;
        }
        if !is_near {
            let message = format!("`{proxy}` cannot reach service `{name}`: they have no network in common");
            findings.faults.push(fault(message, "put both on one network in the Compose files".to_owned()));
            continue;
        }
        let live = service.live.get_or_insert_with(|| LiveSettings {
            software: Software::Caddy,
            settings: BTreeMap::new(),
            password: None,
            port: ADMIN_PORT,
        });
        if live.software != Software::Caddy {
            let message = format!("`{proxy}` is a redis, and no proxy of service `{name}`");
            findings.faults.push(fault(message, "name the service that Caddy is".to_owned()));
            continue;
        }
        live.settings.insert(name.to_string(), traffic.by_name(&name));
    }
}
