//! Networks, and containers' places on them.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::ListNetworksOptionsBuilder;

use super::client::{READ, WRITE, in_path, with_body};
use super::inspect::moment;
use super::{Docker, classify};
use crate::core::desired;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::{ContainerId, short};
use crate::core::observed::Network;
use crate::core::spec::Endpoint;

pub(super) async fn list(docker: &Docker) -> Result<Vec<Network>, Failure> {
    let call = "list networks";
    let caller = docker.caller(call)?;
    let ask = async move {
        let options = ListNetworksOptionsBuilder::new().build();
        let found = caller.call(call, READ, async |client| client.list_networks(Some(options)).await).await?;
        Ok(found.into_iter().filter_map(network).collect())
    };
    docker.questions.networks.ask(ask).await
}

fn network(network: bollard::models::Network) -> Option<Network> {
    Some(Network {
        id: network.id?,
        name: network.name?,
        driver: network.driver.unwrap_or_default(),
        options: network.options.unwrap_or_default().into_iter().collect(),
        internal: network.internal.unwrap_or_default(),
        attachable: network.attachable.unwrap_or_default(),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6.unwrap_or_default(),
        ipam: network.ipam.map(addresses).unwrap_or_default(),
        created_at: network.created.as_deref().and_then(moment).unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
    })
}

pub(super) async fn create(
    docker: &Docker,
    network: &desired::Network,
    labels: &BTreeMap<String, String>,
) -> Result<String, Failure> {
    let call = format!("create network {}", network.name);
    let mut body = serde_json::to_value(request(network, labels))
        .map_err(|error| Failure::new(FailureKind::Invalid, &call, error))?;
    if let Some(fields) = body.as_object_mut() {
        // Before Docker 25 the engine makes a second network of the same name unless it is told to look.
        fields.insert("CheckDuplicate".to_owned(), true.into());
    }
    let created = docker
        .attempt(&call, WRITE, async |client| {
            with_body(client, &body).create_network(NetworkCreateRequest::default()).await
        })
        .await?;
    match created {
        Ok(answer) => Ok(answer.id),
        Err(error) if classify::has_code(&error, 409) => match existing(docker, &network.name, labels).await?
        {
            Some(id) => Ok(id),
            None => Err(docker.failure(&call, &error)),
        },
        Err(error) => Err(docker.failure(&call, &error)),
    }
}

/// The network that an earlier call made, whose answer was lost: of this name, with just these labels.
async fn existing(
    docker: &Docker,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> Result<Option<String>, Failure> {
    let networks = list(docker).await?;
    let ours = networks.into_iter().find(|found| found.name == name && found.labels == *labels);
    Ok(ours.map(|found| found.id))
}

fn request(network: &desired::Network, labels: &BTreeMap<String, String>) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: network.name.clone(),
        driver: some_text(&network.driver),
        internal: Some(network.internal),
        attachable: Some(network.attachable),
        enable_ipv4: network.enable_ipv4,
        enable_ipv6: network.enable_ipv6,
        ipam: ipam(&network.ipam),
        options: Some(hashed(&network.driver_opts)),
        labels: Some(hashed(labels)),
        ..NetworkCreateRequest::default()
    }
}

fn ipam(ipam: &desired::Ipam) -> Option<Ipam> {
    if *ipam == desired::Ipam::default() {
        return None;
    }
    let pool = |pool: &desired::IpamPool| IpamConfig {
        subnet: pool.subnet.clone(),
        ip_range: pool.ip_range.clone(),
        gateway: pool.gateway.clone(),
        auxiliary_addresses: (!pool.aux_addresses.is_empty()).then(|| hashed(&pool.aux_addresses)),
    };
    Some(Ipam {
        driver: some_text(&ipam.driver),
        config: Some(ipam.config.iter().map(pool).collect()),
        options: (!ipam.options.is_empty()).then(|| hashed(&ipam.options)),
    })
}

/// As it is shown again, with what the engine chose.
fn addresses(ipam: Ipam) -> desired::Ipam {
    let text = |value: Option<String>| value.filter(|text| !text.is_empty());
    let pool = |pool: IpamConfig| desired::IpamPool {
        subnet: text(pool.subnet),
        ip_range: text(pool.ip_range),
        gateway: text(pool.gateway),
        aux_addresses: pool.auxiliary_addresses.unwrap_or_default().into_iter().collect(),
    };
    desired::Ipam {
        driver: ipam.driver.unwrap_or_default(),
        config: ipam.config.unwrap_or_default().into_iter().map(pool).collect(),
        options: ipam.options.unwrap_or_default().into_iter().collect(),
    }
}

pub(super) async fn remove(docker: &Docker, id: &str) -> Result<(), Failure> {
    let call = format!("remove network {}", short(id));
    match docker.attempt(&call, WRITE, async |client| client.remove_network(&in_path(id)).await).await? {
        Err(error) if !classify::has_code(&error, 404) => {
            let mut failure = docker.failure(&call, &error);
            if failure.kind == FailureKind::InUse
                && let Ok(names) = names_on(docker, id).await
            {
                failure.message = format!("{}: {}", failure.message, kept_by(&names));
            }
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// The names of the containers that run on a network.
async fn names_on(docker: &Docker, id: &str) -> Result<Vec<String>, Failure> {
    let call = format!("inspect network {}", short(id));
    let found =
        docker.call(&call, READ, async |client| client.inspect_network(&in_path(id), None).await).await?;
    let endpoints = found.containers.unwrap_or_default().into_values();
    let mut names: Vec<String> = endpoints.filter_map(|endpoint| endpoint.name).collect();
    names.sort();
    Ok(names)
}

/// Why a network that is in use cannot go, and what to do.
fn kept_by(names: &[String]) -> String {
    if names.is_empty() {
        // Seen with Docker 20.10, after a program that ended while it started.
        return "no container is on it; where this lasts, the engine has lost one, and forgets it when it is restarted".to_owned();
    }
    format!("{} on it: `docker network disconnect` takes them off", names.join(", "))
}

pub(super) async fn connect(
    docker: &Docker,
    network: &str,
    id: &ContainerId,
    endpoint: &Endpoint,
) -> Result<(), Failure> {
    let call = format!("connect container {} to network {network}", id.short());
    let request = NetworkConnectRequest {
        container: id.as_str().to_owned(),
        endpoint_config: Some(settings(endpoint)),
    };
    let connected = docker
        .attempt(&call, WRITE, async |client| client.connect_network(&in_path(network), request).await)
        .await?;
    match connected {
        Ok(()) => Ok(()),
        // Also said of a dead container's endpoint that was left behind: then it is not us who is there.
        Err(error) if classify::says(&error, "already exists in network") => {
            if is_on(docker, network, id).await? { Ok(()) } else { Err(docker.failure(&call, &error)) }
        }
        Err(error) if classify::says(&error, "is already attached to network") => Ok(()),
        Err(error) => Err(docker.failure(&call, &error)),
    }
}

async fn is_on(docker: &Docker, network: &str, id: &ContainerId) -> Result<bool, Failure> {
    let call = format!("inspect container {}", id.short());
    let found =
        docker.call(&call, READ, async |client| client.inspect_container(id.as_str(), None).await).await?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    Ok(networks
        .iter()
        .any(|(name, endpoint)| name == network || endpoint.network_id.as_deref() == Some(network)))
}

pub(super) async fn disconnect(docker: &Docker, network: &str, id: &ContainerId) -> Result<(), Failure> {
    let call = format!("disconnect container {} from network {network}", id.short());
    let request = NetworkDisconnectRequest { container: id.as_str().to_owned(), force: Some(false) };
    let gone = docker
        .attempt(&call, WRITE, async |client| client.disconnect_network(&in_path(network), request).await)
        .await?;
    match gone {
        Err(error) if classify::has_code(&error, 404) || classify::says(&error, "is not connected to") => {
            Ok(())
        }
        Err(error) => Err(docker.failure(&call, &error)),
        Ok(()) => Ok(()),
    }
}

/// An endpoint as the engine takes it.
pub(super) fn settings(endpoint: &Endpoint) -> EndpointSettings {
    let fixed = endpoint.ipv4_address.is_some()
        || endpoint.ipv6_address.is_some()
        || !endpoint.link_local_ips.is_empty();
    EndpointSettings {
        aliases: Some(endpoint.aliases.iter().cloned().collect()),
        ipam_config: fixed.then(|| EndpointIpamConfig {
            ipv4_address: endpoint.ipv4_address.clone(),
            ipv6_address: endpoint.ipv6_address.clone(),
            link_local_ips: (!endpoint.link_local_ips.is_empty()).then(|| endpoint.link_local_ips.clone()),
        }),
        driver_opts: (!endpoint.driver_opts.is_empty()).then(|| hashed(&endpoint.driver_opts)),
        links: (!endpoint.links.is_empty()).then(|| endpoint.links.clone()),
        mac_address: endpoint.mac_address.clone(),
        gw_priority: (endpoint.gw_priority != 0).then_some(endpoint.gw_priority),
        ..EndpointSettings::default()
    }
}

/// An endpoint as it was asked for, but for its MAC address: only the one in use is shown. The engine adds the
/// container's short id to the aliases; nobody asked for it. It may add the host name too: that stays, for it is
/// often a name that was asked for.
pub(super) fn endpoint(settings: &EndpointSettings, id: &ContainerId) -> Endpoint {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let aliases = settings.aliases.iter().flatten().filter(|alias| *alias != id.short());
    let text = |value: Option<String>| value.filter(|text| !text.is_empty());
    Endpoint {
        aliases: aliases.cloned().collect(),
        ipv4_address: text(ipam.ipv4_address),
        ipv6_address: text(ipam.ipv6_address),
        link_local_ips: ipam.link_local_ips.unwrap_or_default(),
        driver_opts: settings.driver_opts.clone().unwrap_or_default().into_iter().collect(),
        mac_address: None,
        gw_priority: settings.gw_priority.unwrap_or(0),
        links: settings.links.clone().unwrap_or_default(),
        priority: 0,
    }
}

/// A map as bollard takes it.
pub(super) fn hashed(map: &BTreeMap<String, String>) -> HashMap<String, String> {
    map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
