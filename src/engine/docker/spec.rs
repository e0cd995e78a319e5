//! What a container was made from: the inverse of `create`.
//!
//! The engine writes its own defaults into a container, where they look as if they had been asked for.
//! What it fills in by itself reads as nothing said here, so that a container equals the desired spec that
//! it was made from. Three things are never given back: the platform, the MAC address that was asked for
//! (only the one in use), and whether a bind may create its host path.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::{
    ContainerConfig, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    NetworkSettings,
};

use super::client::Facts;
use super::create::UNCONFINED_PATHS;
use super::{devices, mounts, ports};
use crate::core::ids::ContainerId;
use crate::core::labels;
use crate::core::spec::{ContainerSpec, Healthcheck, Logging};
use crate::secret::Secret;

/// Docker's `/dev/shm` where nothing is asked.
const DEFAULT_SHM: i64 = 64 * 1024 * 1024;

/// Reads a container's spec.
pub(super) fn read(
    id: &ContainerId,
    config: &ContainerConfig,
    host: &HostConfig,
    networks: Option<&NetworkSettings>,
    facts: &Facts,
) -> ContainerSpec {
    let published = host.port_bindings.as_ref().map(ports::read_bindings).unwrap_or_default();
    let network_mode = network_mode(host.network_mode.as_deref().unwrap_or_default());
    let expose = ports::read_exposed(config.exposed_ports.as_deref().unwrap_or_default(), &published);
    let mut spec = ContainerSpec {
        image: config.image.clone().unwrap_or_default(),
        command: config.cmd.clone().filter(|words| !words.is_empty()),
        entrypoint: config.entrypoint.clone(),
        environment: environment(config.env.as_deref().unwrap_or_default()),
        unset: unset(config.env.as_deref().unwrap_or_default()),
        labels: own_labels(config.labels.iter().flatten()),
        ports: published,
        expose,
        mounts: mounts::read(host, config.volumes.as_deref().unwrap_or_default()),
        tmpfs: sorted(host.tmpfs.iter().flatten()),
        annotations: sorted(host.annotations.iter().flatten()),
        healthcheck: config.healthcheck.as_ref().and_then(healthcheck),
        user: text(config.user.as_ref()),
        working_dir: text(config.working_dir.as_ref()),
        hostname: hostname(id, config, host, facts),
        domainname: text(config.domainname.as_ref()),
        stop_signal: text(config.stop_signal.as_ref()),
        stop_grace_period: config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()),
        stdin_open: config.open_stdin == Some(true),
        tty: config.tty == Some(true),
        links: links(host, networks),
        network_mode,
        ..ContainerSpec::default()
    };
    name_spaces(host, facts, &mut spec);
    rights(host, &mut spec);
    surroundings(host, facts, &mut spec);
    devices::read(host, &mut spec);
    spec
}

fn name_spaces(host: &HostConfig, facts: &Facts, spec: &mut ContainerSpec) {
    let cgroup = host.cgroupns_mode.filter(|mode| *mode != HostConfigCgroupnsModeEnum::EMPTY);
    spec.cgroup = cgroup.map(|mode| mode.to_string()).filter(|mode| mode != facts.cgroup);
    spec.ipc = text(host.ipc_mode.as_ref()).filter(|mode| mode != "private");
    spec.pid = text(host.pid_mode.as_ref());
    spec.uts = text(host.uts_mode.as_ref());
    spec.userns_mode = text(host.userns_mode.as_ref());
    spec.cgroup_parent = text(host.cgroup_parent.as_ref());
    spec.runtime = text(host.runtime.as_ref()).filter(|runtime| *runtime != facts.runtime);
    spec.isolation = host
        .isolation
        .map(|isolation| isolation.to_string())
        .filter(|isolation| !isolation.is_empty() && isolation != "default");
}

fn rights(host: &HostConfig, spec: &mut ContainerSpec) {
    spec.privileged = host.privileged == Some(true);
    spec.read_only = host.readonly_rootfs == Some(true);
    spec.cap_add = host.cap_add.iter().flatten().map(|name| capability(name)).collect();
    spec.cap_drop = host.cap_drop.iter().flatten().map(|name| capability(name)).collect();
    let shares_host =
        spec.privileged || [&spec.ipc, &spec.pid].iter().any(|mode| mode.as_deref() == Some("host"));
    spec.security_opt = host
        .security_opt
        .iter()
        .flatten()
        // The engine's own addition to containers that share the host's name spaces.
        .filter(|option| !(shares_host && *option == "label=disable"))
        .cloned()
        .collect();
    let empty = |paths: Option<&Vec<String>>| paths.is_some_and(Vec::is_empty);
    if !spec.privileged && empty(host.masked_paths.as_ref()) && empty(host.readonly_paths.as_ref()) {
        spec.security_opt.push(UNCONFINED_PATHS.to_owned());
    }
    spec.group_add = host.group_add.iter().flatten().cloned().collect();
}

fn surroundings(host: &HostConfig, facts: &Facts, spec: &mut ContainerSpec) {
    spec.volumes_from = host.volumes_from.clone().unwrap_or_default();
    spec.init = host.init;
    spec.dns = host.dns.clone().unwrap_or_default();
    spec.dns_opt = host.dns_options.clone().unwrap_or_default();
    spec.dns_search = host.dns_search.clone().unwrap_or_default();
    spec.extra_hosts = host.extra_hosts.iter().flatten().cloned().collect();
    spec.sysctls = sorted(host.sysctls.iter().flatten());
    spec.storage_opt = sorted(host.storage_opt.iter().flatten());
    spec.shm_size = host.shm_size.filter(|size| *size > 0 && *size != DEFAULT_SHM);
    spec.logging = host.log_config.as_ref().and_then(|logging| read_logging(logging, facts));
    spec.oom_kill_disable = host.oom_kill_disable.filter(|disabled| *disabled);
    spec.oom_score_adj = host.oom_score_adj.filter(|score| *score != 0);
    spec.mem_swappiness = host.memory_swappiness.filter(|value| *value >= 0);
    spec.cpu_count = host.cpu_count.filter(|count| *count != 0);
    spec.cpu_percent = host.cpu_percent.filter(|percent| *percent != 0);
    spec.ulimits = host
        .ulimits
        .iter()
        .flatten()
        .filter_map(|limit| Some((limit.name.clone()?, (limit.soft?, limit.hard?))))
        .collect();
}

/// The modes that are no network's name; a network's name says nothing that `networks` does not.
fn network_mode(mode: &str) -> Option<String> {
    match mode {
        "default" => Some("bridge".to_owned()),
        "host" | "none" | "bridge" => Some(mode.to_owned()),
        other if other.starts_with("container:") => Some(other.to_owned()),
        _ => None,
    }
}

/// The host name that was asked for. The engine makes one from the id, takes its machine's on the host's
/// network, and the other container's in a shared network.
fn hostname(id: &ContainerId, config: &ContainerConfig, host: &HostConfig, facts: &Facts) -> Option<String> {
    let name = text(config.hostname.as_ref())?;
    let mode = host.network_mode.as_deref().unwrap_or_default();
    let uts_of_host = mode == "host" || host.uts_mode.as_deref() == Some("host");
    let by_engine =
        name == id.short() || (uts_of_host && name == facts.machine) || mode.starts_with("container:");
    (!by_engine).then_some(name)
}

/// The variables with a value.
pub(super) fn environment(entries: &[String]) -> BTreeMap<String, Secret> {
    let pairs = entries.iter().filter_map(|entry| entry.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), Secret::new(value))).collect()
}

/// The names without a value: what the image says of them is taken away.
fn unset(entries: &[String]) -> BTreeSet<String> {
    entries.iter().filter(|entry| !entry.contains('=')).cloned().collect()
}

/// Labels without Compose's and ours.
pub(super) fn own_labels<'a>(
    all: impl Iterator<Item = (&'a String, &'a String)>,
) -> BTreeMap<String, String> {
    sorted(all.filter(|(key, _)| !labels::is_reserved(key)))
}

/// A health check; `None` where nothing is said.
pub(super) fn healthcheck(check: &HealthConfig) -> Option<Healthcheck> {
    let read = Healthcheck {
        test: check.test.clone().unwrap_or_default(),
        interval: check.interval.unwrap_or(0),
        timeout: check.timeout.unwrap_or(0),
        start_period: check.start_period.unwrap_or(0),
        start_interval: check.start_interval.unwrap_or(0),
        retries: check.retries.unwrap_or(0),
    };
    (read != Healthcheck::default()).then_some(read)
}

fn read_logging(logging: &HostConfigLogConfig, facts: &Facts) -> Option<Logging> {
    let driver = logging.typ.clone().unwrap_or_default();
    let options = sorted(logging.config.iter().flatten());
    let said = !options.is_empty() || (!driver.is_empty() && driver != facts.info.log_driver);
    said.then_some(Logging { driver, options })
}

/// `CAP_NET_ADMIN` and `net_admin` are one capability; some engines answer in the long form.
fn capability(name: &str) -> String {
    let upper = name.to_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// Links stand with the network; those of the default bridge as `/target:/own name/alias`.
fn links(host: &HostConfig, networks: Option<&NetworkSettings>) -> Vec<String> {
    let endpoints = networks.and_then(|settings| settings.networks.as_ref());
    let on_network = endpoints
        .iter()
        .flat_map(|endpoints| endpoints.values())
        .find_map(|endpoint| endpoint.links.clone().filter(|links| !links.is_empty()));
    on_network.unwrap_or_else(|| {
        let plain = |link: &String| match link.split_once(':') {
            Some((target, alias)) => {
                let alias = alias.rsplit('/').next().unwrap_or(alias);
                format!("{}:{alias}", target.trim_start_matches('/'))
            }
            None => link.clone(),
        };
        host.links.iter().flatten().map(plain).collect()
    })
}

pub(super) fn text(value: Option<&String>) -> Option<String> {
    value.filter(|text| !text.is_empty()).cloned()
}

fn sorted<'a>(map: impl Iterator<Item = (&'a String, &'a String)>) -> BTreeMap<String, String> {
    map.map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_entry_without_a_value_is_no_variable() {
        let entries = ["A=1".to_owned(), "B".to_owned(), "C=".to_owned(), "D=x=y".to_owned()];
        let read = environment(&entries);
        let shown: Vec<_> = read.iter().map(|(key, value)| (key.as_str(), value.expose())).collect();
        assert_eq!(shown, [("A", "1"), ("C", ""), ("D", "x=y")]);
        assert_eq!(unset(&entries).into_iter().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn a_networks_name_is_no_network_mode() {
        assert_eq!(network_mode("shop_default"), None);
        assert_eq!(network_mode("default").as_deref(), Some("bridge"));
        assert_eq!(network_mode("container:0f").as_deref(), Some("container:0f"));
    }

    #[test]
    fn a_capability_has_one_spelling() {
        assert_eq!(capability("CAP_NET_ADMIN"), "NET_ADMIN");
        assert_eq!(capability("net_admin"), "NET_ADMIN");
    }

    #[test]
    fn links_of_the_default_bridge_read_as_they_are_written() {
        let host = HostConfig { links: Some(vec!["/db:/web/database".to_owned()]), ..HostConfig::default() };
        assert_eq!(links(&host, None), ["db:database"]);
    }
}
