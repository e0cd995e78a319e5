//! Who sends a service its requests, where that is told before a replica stops: a proxy that keeps a list of addresses.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::ServiceName;
use super::observed::{Container, LiveState, State};
use super::view::{Replicas, View};

/// The proxy before a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// The service that is the proxy.
    pub proxy: ServiceName,
    /// The port at which the replicas take requests.
    pub port: u16,
    /// How long a replica that gets no new requests has for those that it has.
    pub drain: Duration,
}

/// What a proxy says of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// It sends it requests.
    Yes,
    /// It sends it none.
    No,
    /// It does not say.
    Unknown,
}

impl Traffic {
    /// What the proxy knows the service by before its replicas are put in: the address in its own file.
    pub fn by_name(&self, service: &ServiceName) -> String {
        format!("{service}:{}", self.port)
    }

    /// Where this proxy reaches a replica: on a network that both are on.
    pub fn address(&self, replica: &Container, proxy: &Container) -> Option<String> {
        let mut shared = replica.networks.iter().filter(|(name, _)| proxy.networks.contains_key(*name));
        let (_, place) = shared.find(|(_, place)| !place.ip_address.is_empty())?;
        Some(format!("{}:{}", place.ip_address, self.port))
    }

    /// The proxies that can be asked and told.
    pub fn proxies<'a>(&self, view: &View<'a>) -> Vec<&'a Container> {
        let replicas = view.replicas(self.proxy.as_str()).into_iter().flat_map(Replicas::all);
        replicas.filter(|proxy| proxy.state == State::Running).collect()
    }

    /// What the proxies say of a replica; `None` where none of them runs.
    pub fn routed(&self, service: &ServiceName, replica: &Container, view: &View<'_>) -> Option<Routed> {
        let proxies = self.proxies(view);
        let all: Vec<Routed> = proxies.iter().map(|proxy| self.routes(service, replica, proxy)).collect();
        let says = |routed| all.contains(&routed).then_some(routed);
        says(Routed::Yes).or(says(Routed::Unknown)).or(says(Routed::No))
    }

    /// Whether this proxy sends requests to a replica. One that has no list of the service sends it nothing that anybody
    /// could take away.
    fn routes(&self, service: &ServiceName, replica: &Container, proxy: &Container) -> Routed {
        let LiveState::Read(settings) = &proxy.live else { return Routed::Unknown };
        let Some(list) = settings.get(service.as_str()) else { return Routed::Unknown };
        let address = self.address(replica, proxy);
        let by_name = self.by_name(service);
        let mut upstreams = list.split_whitespace();
        if upstreams.any(|it| it == by_name || Some(it) == address.as_deref()) {
            Routed::Yes
        } else {
            Routed::No
        }
    }
}

/// The value of a list of upstreams: in order, each once.
pub fn list<'a>(upstreams: impl IntoIterator<Item = &'a str>) -> String {
    let upstreams: BTreeSet<&str> = upstreams.into_iter().collect();
    upstreams.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::ContainerId;
    use crate::core::observed::Attachment;

    fn at(address: &str) -> Container {
        let mut container = Container::created(ContainerId::new(address), address);
        let place = Attachment { ip_address: address.to_owned(), ..Attachment::default() };
        container.networks.insert("edge".to_owned(), place);
        container
    }

    #[test]
    fn a_proxy_routes_to_those_of_its_list_and_by_name_to_all() {
        let traffic = Traffic { proxy: ServiceName::from("caddy"), port: 80, drain: Duration::from_secs(1) };
        let api = ServiceName::from("api");
        let routes = |list: Option<&str>| {
            let mut proxy = at("10.0.0.9");
            proxy.live = list.map_or(LiveState::Unread, |list| {
                LiveState::Read([("api".to_owned(), list.to_owned())].into())
            });
            traffic.routes(&api, &at("10.0.0.2"), &proxy)
        };
        assert_eq!(routes(None), Routed::Unknown);
        assert_eq!(routes(Some("")), Routed::No);
        assert_eq!(routes(Some("10.0.0.22:80 10.0.0.3:80")), Routed::No);
        assert_eq!(routes(Some("10.0.0.2:80 10.0.0.3:80")), Routed::Yes);
        assert_eq!(routes(Some("api:80")), Routed::Yes);
    }

    #[test]
    fn a_replica_that_shares_no_network_with_the_proxy_has_no_address_there() {
        let traffic = Traffic { proxy: ServiceName::from("caddy"), port: 80, drain: Duration::from_secs(1) };
        let mut proxy = at("10.0.0.9");
        assert_eq!(traffic.address(&at("10.0.0.2"), &proxy).as_deref(), Some("10.0.0.2:80"));
        assert_eq!(traffic.address(&at(""), &proxy), None, "it does not run");
        proxy.networks.clear();
        assert_eq!(traffic.address(&at("10.0.0.2"), &proxy), None);
    }
}
