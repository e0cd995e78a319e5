//! What networks and volumes were made with, held against what they should be: no engine changes that of one that is there.
//!
//! Only what was asked for counts. What the engine adds by itself (options, the addresses of a network that asks for none) is
//! no difference, nor are labels: they alone are no reason to break connections.

use std::collections::BTreeMap;

use super::addresses::{Subnet, ip};
use super::desired::{self, IpamPool};
use super::fields::FieldChange;
use super::labels;
use super::observed::{EngineInfo, Network, Volume};
use super::redact;

/// How options begin that the engine adds by itself: its own, and those that its configuration has for all networks
/// (`default-network-opts`).
const ADDED: &str = "com.docker.network.";

/// What of a network of the stack's own is another than it should be.
pub fn network_changes(wanted: &desired::Network, found: &Network, engine: &EngineInfo) -> Vec<FieldChange> {
    let Some(mut comparing) = Comparing::of("networks", &wanted.name, &found.labels, &wanted.config_hash)
    else {
        return Vec::new();
    };
    let by_default = if engine.windows { "nat" } else { "bridge" };
    comparing.word("driver", &wanted.driver, &found.driver, by_default);
    comparing.map("driver_opts", &wanted.driver_opts, &found.options);
    comparing.asked("internal", Some(wanted.internal), found.internal);
    comparing.asked("attachable", Some(wanted.attachable), found.attachable);
    if let Some(found) = found.enable_ipv4 {
        comparing.asked("enable_ipv4", wanted.enable_ipv4, found);
    }
    comparing.asked("enable_ipv6", wanted.enable_ipv6, found.enable_ipv6);
    comparing.word("ipam.driver", &wanted.ipam.driver, &found.ipam.driver, "default");
    comparing.map("ipam.options", &wanted.ipam.options, &found.ipam.options);
    comparing.pools(&wanted.ipam.config, &found.ipam.config);
    comparing.changes
}

/// What of a volume of the stack's own is another than it should be.
pub fn volume_changes(wanted: &desired::Volume, found: &Volume) -> Vec<FieldChange> {
    let Some(mut comparing) = Comparing::of("volumes", &wanted.name, &found.labels, &wanted.config_hash)
    else {
        return Vec::new();
    };
    comparing.word("driver", &wanted.driver, &found.driver, "local");
    comparing.map("driver_opts", &wanted.driver_opts, &found.options);
    comparing.changes
}

/// One object, as far as it has been compared.
struct Comparing {
    object: String,
    /// What is there and not asked for was asked for once.
    knows: bool,
    changes: Vec<FieldChange>,
}

impl Comparing {
    /// Of an object, by what its label tells of the definition that it was made from. `None` where that is this very one:
    /// whatever the engine shows is what came of it. Of another one, what is no longer asked for may be left.
    fn of(kind: &str, name: &str, labels: &BTreeMap<String, String>, hash: &str) -> Option<Self> {
        let made_from = labels.get(labels::CONFIG_HASH);
        if made_from.is_some_and(|label| label == hash && !hash.is_empty()) {
            return None;
        }
        Some(Self { object: format!("{kind}.{name}"), knows: made_from.is_some(), changes: Vec::new() })
    }

    fn differs(&mut self, field: &str, from: Option<String>, to: Option<String>) {
        self.changes.push(FieldChange::new(format!("{}.{field}", self.object), from, to));
    }

    /// A word for which the engine has a default, which may have the name `default` too.
    fn word(&mut self, field: &str, wanted: &str, found: &str, by_default: &str) {
        let asked = !matches!(wanted, "" | "default");
        let expected = if asked { wanted } else { by_default };
        // The engine shows a plugin with its tag.
        let untagged = |name: &str| name.strip_suffix(":latest").unwrap_or(name).to_owned();
        if untagged(found) != untagged(expected) && !found.is_empty() && (asked || self.knows) {
            self.differs(field, Some(found.to_owned()), Some(expected.to_owned()));
        }
    }

    /// What the engine's configuration decides where nobody asks.
    fn asked(&mut self, field: &str, wanted: Option<bool>, found: bool) {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            self.differs(field, Some(found.to_string()), Some(wanted.to_string()));
        }
    }

    fn map(&mut self, field: &str, wanted: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
        for (key, value) in wanted {
            if found.get(key) != Some(value) {
                let from = found.get(key).map(|value| redact::option(key, value));
                self.differs(&format!("{field}.{key}"), from, Some(redact::option(key, value)));
            }
        }
        let left = found.iter().filter(|(key, _)| !wanted.contains_key(*key) && !key.starts_with(ADDED));
        for (key, value) in left.filter(|_| self.knows).collect::<Vec<_>>() {
            self.differs(&format!("{field}.{key}"), Some(redact::option(key, value)), None);
        }
    }

    /// Pools are held against those of the same subnet, then against one of the same version of IP. Who asks for none takes
    /// what the engine chooses, and who asks for none of a version too.
    fn pools(&mut self, wanted: &[IpamPool], found: &[IpamPool]) {
        let mut rest: Vec<&IpamPool> = found.iter().collect();
        let mut pairs = Vec::new();
        let mut other = Vec::new();
        for pool in wanted.iter().filter(|pool| pool.subnet().is_some()) {
            match rest.iter().position(|found| is_same_subnet(pool, found)) {
                Some(place) => pairs.push((pool, Some(rest.remove(place)))),
                None => other.push(pool),
            }
        }
        for pool in other {
            let place = rest.iter().position(|found| is_ipv4(found) == is_ipv4(pool));
            pairs.push((pool, place.map(|place| rest.remove(place))));
        }
        for (pool, found) in &pairs {
            self.pool(pool, *found);
        }
        let asked = |left: &&&IpamPool| pairs.iter().any(|(pool, _)| is_ipv4(pool) == is_ipv4(left));
        for left in rest.iter().filter(asked).filter(|_| self.knows).collect::<Vec<_>>() {
            self.differs("ipam.subnet", left.subnet.clone(), None);
        }
    }

    fn pool(&mut self, wanted: &IpamPool, found: Option<&IpamPool>) {
        let Some(found) = found else {
            self.differs("ipam.subnet", None, wanted.subnet.clone());
            return;
        };
        if !is_same_subnet(wanted, found) {
            self.differs("ipam.subnet", found.subnet.clone(), wanted.subnet.clone());
        }
        let is_same_range = match (wanted.range(), found.range()) {
            (Some(wanted), Some(found)) => wanted.is_same(found),
            (wanted, found) => wanted.is_none() && (found.is_none() || !self.knows),
        };
        if !is_same_range {
            self.differs("ipam.ip_range", found.ip_range.clone(), wanted.ip_range.clone());
        }
        let is_same_gateway = match (gateway(wanted), gateway(found)) {
            (Some(wanted), Some(found)) => wanted == found,
            (Some(_), None) => false,
            (None, Some(address)) => !self.knows || is_first(address, found),
            (None, None) => true,
        };
        if !is_same_gateway {
            self.differs("ipam.gateway", found.gateway.clone(), wanted.gateway.clone());
        }
        let addresses = |pool: &IpamPool| -> BTreeMap<String, String> {
            let canonical = |text: &String| ip(text).map_or_else(|| text.clone(), |it| it.to_string());
            pool.aux_addresses.iter().map(|(name, address)| (name.clone(), canonical(address))).collect()
        };
        self.map("ipam.aux_addresses", &addresses(wanted), &addresses(found));
    }
}

fn is_ipv4(pool: &IpamPool) -> bool {
    pool.subnet().is_none_or(Subnet::is_ipv4)
}

fn is_same_subnet(one: &IpamPool, other: &IpamPool) -> bool {
    one.subnet().zip(other.subnet()).is_some_and(|(one, other)| one.is_same(other))
}

/// Some engines write the length of the prefix behind it.
fn gateway(pool: &IpamPool) -> Option<::core::net::IpAddr> {
    let text = pool.gateway.as_deref()?;
    ip(text.split_once('/').map_or(text, |(address, _)| address))
}

/// Whether an address is one that the engine chooses for a gateway where none is asked for.
fn is_first(address: ::core::net::IpAddr, pool: &IpamPool) -> bool {
    let firsts = [pool.subnet(), pool.range()].into_iter().flatten().flat_map(|it| [it.nth(0), it.nth(1)]);
    firsts.flatten().any(|first| first == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn pool(subnet: &str, gateway: &str, range: &str) -> IpamPool {
        let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let (subnet, gateway, ip_range) = (said(subnet), said(gateway), said(range));
        IpamPool { subnet, ip_range, gateway, aux_addresses: BTreeMap::new() }
    }

    /// A network as Docker makes it of nothing, by another definition.
    fn plain() -> Network {
        let mut network = Network {
            name: "net".into(),
            driver: "bridge".into(),
            labels: pairs(&[(labels::CONFIG_HASH, "old")]),
            ..Network::default()
        };
        network.ipam.driver = "default".into();
        network.ipam.config = vec![pool("172.18.0.0/16", "172.18.0.1", "")];
        network
    }

    fn of(pools: &[IpamPool]) -> Network {
        let mut network = plain();
        network.ipam.config = pools.to_vec();
        network
    }

    fn wants(change: impl FnOnce(&mut desired::Network)) -> desired::Network {
        let mut network =
            desired::Network { name: "net".into(), config_hash: "new".into(), ..desired::Network::default() };
        change(&mut network);
        network
    }

    fn asks(pools: &[IpamPool]) -> desired::Network {
        wants(|it| it.ipam.config = pools.to_vec())
    }

    /// As `field: from → to`.
    fn told(wanted: &desired::Network, found: &Network) -> Vec<String> {
        let nothing = || "-".to_owned();
        let changes = network_changes(wanted, found, &EngineInfo::default()).into_iter();
        let text = |it: FieldChange| {
            let field = it.field.trim_start_matches("networks.net.").to_owned();
            format!("{field}: {} → {}", it.from.unwrap_or_else(nothing), it.to.unwrap_or_else(nothing))
        };
        changes.map(text).collect()
    }

    #[test]
    fn what_the_engine_chose_is_no_difference() {
        let mut chosen = plain();
        chosen.options = pairs(&[("com.docker.network.enable_ipv4", "true")]);
        chosen.enable_ipv4 = Some(true);
        assert_eq!(told(&wants(|_| {}), &chosen), [""; 0]);
        assert_eq!(told(&wants(|it| it.driver = "bridge".into()), &chosen), [""; 0]);
        assert_eq!(told(&wants(|it| it.driver = "default".into()), &chosen), [""; 0]);
        let labelled = wants(|it| it.labels = pairs(&[("a", "b")]));
        assert_eq!(told(&labelled, &chosen), [""; 0], "labels alone");
        let six = of(&[pool("172.18.0.0/16", "", ""), pool("fd00::/64", "fd00::1", "")]);
        assert_eq!(told(&asks(&[pool("172.18.0.0/16", "", "")]), &six), [""; 0], "a pool of IPv6 beside");
    }

    #[test]
    fn every_field_that_was_asked_for_is_compared() {
        for (wanted, expected) in [
            (wants(|it| it.driver = "macvlan".into()), "driver: bridge → macvlan"),
            (wants(|it| it.internal = true), "internal: false → true"),
            (wants(|it| it.attachable = true), "attachable: false → true"),
            (wants(|it| it.enable_ipv6 = Some(true)), "enable_ipv6: false → true"),
            (wants(|it| it.driver_opts = pairs(&[("mtu", "9000")])), "driver_opts.mtu: - → 9000"),
            (wants(|it| it.ipam.driver = "mine".into()), "ipam.driver: default → mine"),
            (wants(|it| it.ipam.options = pairs(&[("a", "b")])), "ipam.options.a: - → b"),
            (asks(&[pool("10.9.0.0/24", "", "")]), "ipam.subnet: 172.18.0.0/16 → 10.9.0.0/24"),
            (asks(&[pool("172.18.0.0/16", "172.18.0.9", "")]), "ipam.gateway: 172.18.0.1 → 172.18.0.9"),
            (asks(&[pool("172.18.0.0/16", "", "172.18.5.0/24")]), "ipam.ip_range: - → 172.18.5.0/24"),
            (asks(&[pool("fd00::/64", "", "")]), "ipam.subnet: - → fd00::/64"),
        ] {
            assert_eq!(told(&wanted, &plain()), [expected]);
            let unlabelled = Network { labels: BTreeMap::new(), ..plain() };
            assert_eq!(told(&wanted, &unlabelled), [expected], "without a label");
            let made_from_this = Network { labels: pairs(&[(labels::CONFIG_HASH, "new")]), ..plain() };
            assert_eq!(told(&wanted, &made_from_this), [""; 0], "made from this very definition");
        }
        let four = Network { enable_ipv4: Some(true), ..plain() };
        assert_eq!(told(&wants(|it| it.enable_ipv4 = Some(false)), &four), ["enable_ipv4: true → false"]);
    }

    #[test]
    fn what_is_no_longer_asked_for_is_seen_where_a_label_says_that_it_was() {
        let macvlan = Network { driver: "macvlan".into(), ..plain() };
        let internal = Network { internal: true, ..plain() };
        let mtu = Network { options: pairs(&[("mtu", "9000")]), ..plain() };
        let pools = [pool("10.9.0.0/24", "10.9.0.7", "10.9.0.128/25"), pool("10.8.0.0/24", "", "")];
        let asked = asks(&[pool("10.9.0.0/24", "", "")]);
        for (wanted, found, expected) in [
            (wants(|_| {}), macvlan, vec!["driver: macvlan → bridge"]),
            (wants(|_| {}), internal, vec!["internal: true → false"]),
            (wants(|_| {}), mtu, vec!["driver_opts.mtu: 9000 → -"]),
            (wants(|_| {}), of(&pools), vec![]),
            (
                asked.clone(),
                of(&pools),
                vec![
                    "ipam.ip_range: 10.9.0.128/25 → -",
                    "ipam.gateway: 10.9.0.7 → -",
                    "ipam.subnet: 10.8.0.0/24 → -",
                ],
            ),
            (asked, of(&[pool("10.9.0.0/24", "10.9.0.1", "")]), vec![]),
        ] {
            assert_eq!(told(&wanted, &found), expected);
            let unlabelled = Network { labels: BTreeMap::new(), ..found };
            let kept = told(&wanted, &unlabelled);
            assert!(kept.is_empty() || kept == ["internal: true → false"], "{kept:?}");
        }
    }

    #[test]
    fn a_volume_differs_in_its_driver_and_its_options() {
        let found = Volume {
            name: "data".into(),
            driver: "local".into(),
            options: pairs(&[("type", "nfs")]),
            labels: pairs(&[(labels::CONFIG_HASH, "old")]),
            ..Volume::default()
        };
        let wanted = |driver: &str, opts: &[(&str, &str)]| desired::Volume {
            name: "data".into(),
            driver: driver.into(),
            driver_opts: pairs(opts),
            config_hash: "new".into(),
            ..desired::Volume::default()
        };
        let told = |wanted: &desired::Volume, found: &Volume| {
            FieldChange::told(&volume_changes(wanted, found), "volumes.data.")
        };
        for (wanted, expected) in [
            (wanted("", &[("type", "nfs")]), ""),
            (wanted("local", &[("type", "nfs")]), ""),
            (wanted("nfs4", &[("type", "nfs")]), "driver local → nfs4"),
            (wanted("", &[("type", "cifs")]), "driver_opts.type nfs → cifs"),
            (
                wanted("", &[("type", "nfs"), ("o", "addr=nas,password=canary")]),
                "driver_opts.o nothing → addr=nas,password=(hidden)",
            ),
            (wanted("", &[]), "driver_opts.type nfs → nothing"),
        ] {
            assert_eq!(told(&wanted, &found), expected);
            let made_from_this = Volume { labels: pairs(&[(labels::CONFIG_HASH, "new")]), ..found.clone() };
            assert_eq!(told(&wanted, &made_from_this), "");
        }
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        let mut found = pool("fd00:0:0::/64", "fd00:0:0::1/64", "fd00::10:0/112");
        found.aux_addresses = pairs(&[("router", "fd00:0::5")]);
        let mut wanted = pool("fd00::7/64", "fd00::1", "fd00::10:9/112");
        wanted.aux_addresses = pairs(&[("router", "fd00::5")]);
        assert_eq!(told(&asks(&[wanted.clone()]), &of(&[found.clone()])), [""; 0]);
        wanted.aux_addresses = pairs(&[("router", "fd00::6")]);
        let expected = ["ipam.aux_addresses.router: fd00::5 → fd00::6"];
        assert_eq!(told(&asks(&[wanted]), &of(&[found])), expected);
    }
}
