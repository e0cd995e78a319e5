//! Whether what should run fits the machine that it is to run on: memory, processors, ports and room on the disk.
//!
//! What does not fit is told with both figures, and stands in nobody's way: limits are seldom used up all at once, and only
//! the engine knows for certain whether it takes a port.

use std::collections::BTreeSet;

use serde::Serialize;

use super::desired::Service;
use super::fields;
use super::ids::ServiceName;
use super::replace::{Strategy, may_have};
use super::spec::Port;
use super::view::{Replicas, View};

/// Of the room for images and containers less than this share is too little, in per cent: the kubelet evicts from there
/// (`imagefs.available`).
const DISK_PERCENT: u64 = 15;

/// Billionths of a processor.
const PROCESSOR: i64 = 1_000_000_000;

/// What is known of the engine's machine beyond what the engine says; nothing where that is another one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The addresses that its programs listen on, those in containers included.
    pub listening: BTreeSet<Listener>,
    /// Where the engine keeps images and containers.
    pub disk: Option<Disk>,
}

/// An address that a program listens on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// The address; `0.0.0.0` or `::` for all.
    pub ip: String,
    /// The port.
    pub port: u16,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The directory in it that matters.
    pub path: String,
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes that it has room for.
    pub total: u64,
}

/// Something that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The service; `None` for all together.
    pub service: Option<ServiceName>,
    /// What there is too little of.
    pub of: Resource,
    /// In a sentence, with both figures.
    pub message: String,
}

/// What there may be too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// Memory.
    Memory,
    /// Processors.
    Cpus,
    /// A port of the host.
    Port,
    /// Room on the disk.
    Disk,
}

/// All that does not fit: of each service, then of all together.
pub fn misfits(view: &View<'_>, host: &Host) -> Vec<Misfit> {
    let engine = &view.observed.engine;
    let processors = i64::from(engine.cpus).saturating_mul(PROCESSOR);
    let mut found = Vec::new();
    let mut memory = Sum::default();
    for (name, service, replicas) in view.services().filter(|(_, service, _)| service.replicas > 0) {
        let mut add = |of, message| found.push(Misfit { service: Some(name.clone()), of, message });
        let beside = beside(service, replicas);
        if let Some(limit) = service.resources.memory.filter(|limit| *limit > 0) {
            memory.add(limit, service.replicas, beside);
            if 0 < engine.memory && engine.memory < limit {
                let (limit, has) = (size(limit), size(engine.memory));
                add(Resource::Memory, format!("its memory limit is {limit}, and the machine has {has}"));
            }
        }
        // Those of all together are no matter: who has to wait for a processor is slow, and who lacks memory dies.
        if let Some(limit) = processors_of(service).filter(|limit| 0 < processors && processors < *limit) {
            let (limit, has) = (fields::cpus(limit), engine.cpus);
            add(Resource::Cpus, format!("it may use {limit} processors, and the machine has {has}"));
        }
        for message in taken_ports(service, view, host) {
            add(Resource::Port, message);
        }
    }
    let mut add = |of, message| found.push(Misfit { service: None, of, message });
    if let Some(sum) = memory.over(engine.memory) {
        add(Resource::Memory, format!("{sum}, and the machine has {}", size(engine.memory)));
    }
    if let Some(Disk { path, free, total }) = &host.disk
        && free.saturating_mul(100) < total.saturating_mul(DISK_PERCENT)
    {
        let percent = free.saturating_mul(100).checked_div(*total).unwrap_or(0);
        let [free, total] = [free, total].map(|bytes| size(i64::try_from(*bytes).unwrap_or(i64::MAX)));
        add(
            Resource::Disk,
            format!("of {total} for images and containers at {path}, {free} ({percent} %) are free"),
        );
    }
    found
}

/// The memory that all replicas may use, and what runs beside them while they are replaced.
#[derive(Default)]
struct Sum {
    replicas: i64,
    beside: i64,
}

impl Sum {
    fn add(&mut self, limit: i64, replicas: u32, beside: i64) {
        self.replicas = self.replicas.saturating_add(limit.saturating_mul(replicas.into()));
        self.beside = self.beside.saturating_add(limit.saturating_mul(beside));
    }

    /// What is too much, in words.
    fn over(&self, has: i64) -> Option<String> {
        let all = self.replicas.saturating_add(self.beside);
        if has <= 0 || all <= has {
            return None;
        }
        if self.replicas > has {
            return Some(format!("the memory limits of all replicas come to {}", size(self.replicas)));
        }
        Some(format!(
            "the memory limits of all replicas, with those that run beside them while they are replaced, come to {}",
            size(all)
        ))
    }
}

/// How many more containers than replicas run while the old ones are replaced.
fn beside(service: &Service, replicas: &Replicas<'_>) -> i64 {
    let running = replicas.outdated.iter().filter(|old| old.container.state.is_alive()).count();
    match replicas.strategy {
        Strategy::StartFirst => i64::try_from(replicas.bounds(service).surge.min(running)).unwrap_or(0),
        Strategy::StopFirst(_) => 0,
    }
}

/// How much of the processors a container may use, in billionths.
fn processors_of(service: &Service) -> Option<i64> {
    let resources = &service.resources;
    // The kernel's period where none is given.
    let by_quota = || {
        let period = resources.cpu_period.filter(|period| *period > 0).unwrap_or(fields::DEFAULT_CPU_PERIOD);
        Some(resources.cpu_quota?.saturating_mul(PROCESSOR) / period)
    };
    resources.nano_cpus.or_else(by_quota).filter(|limit| *limit > 0)
}

/// Which of its host ports others have.
fn taken_ports(service: &Service, view: &View<'_>, host: &Host) -> Vec<String> {
    let fixed = service.spec.ports.iter().filter_map(|port| Some((port, port.fixed()?)));
    fixed.filter_map(|(port, number)| taken(port, number, view, host)).collect()
}

fn taken(port: &Port, number: u16, view: &View<'_>, host: &Host) -> Option<String> {
    // What our own containers have is handed over.
    let mut own = view.observed.containers.values().filter(|container| container.state.is_alive());
    if own.any(|container| may_have(&container.spec, port)) {
        return None;
    }
    let named = format!("{number}/{}", port.protocol);
    let listener = host.listening.iter().find(|listener| is_in_the_way(listener, port, number));
    // On which address another one has it is not known: on all, or on the one that somebody listens on.
    let publisher = view.observed.publisher(&named);
    if let Some(other) = publisher.filter(|_| port.is_everywhere() || listener.is_some()) {
        return Some(format!(
            "host port {named} is taken by the container {}{}",
            other.name,
            other.of_project()
        ));
    }
    let Listener { ip, .. } = listener?;
    let ip = if ip.contains(':') { format!("[{ip}]") } else { ip.clone() };
    Some(format!(
        "host port {named} is taken by a program outside of containers, which listens on {ip}:{number}"
    ))
}

fn is_in_the_way(listener: &Listener, port: &Port, number: u16) -> bool {
    if listener.port != number || listener.protocol != port.protocol {
        return false;
    }
    let is_v6 = |ip: &str| ip.contains(':');
    let any = |ip: &str| matches!(ip, "0.0.0.0" | "::");
    match port.host_ip.as_str() {
        // All addresses of both kinds.
        "" => true,
        ip => is_v6(ip) == is_v6(&listener.ip) && (any(ip) || any(&listener.ip) || ip == listener.ip),
    }
}

/// `1.5G`, `512M`.
fn size(bytes: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = UNITS.into_iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", tenths(bytes, unit)))
}

fn tenths(amount: i64, unit: i64) -> String {
    let tenths = amount.saturating_mul(10).saturating_add(unit / 2) / unit;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        let shown = [0, 1 << 20, 3 << 29, (16 << 30) - 1, i64::MAX].map(size);
        assert_eq!(shown[..4], ["0", "1M", "1.5G", "16G"]);
    }

    #[test]
    fn a_program_is_in_the_way_of_a_port_where_their_addresses_meet() {
        let port = |host_ip: &str| Port {
            target: 80,
            protocol: "tcp".into(),
            host_ip: host_ip.into(),
            published: "8080".into(),
        };
        let listener = |ip: &str, port| Listener { protocol: "tcp".into(), ip: ip.into(), port };
        for (host_ip, ip, number, expected) in [
            ("", "127.0.0.1", 8080, true),
            ("", "::", 8080, true),
            ("", "0.0.0.0", 8081, false),
            ("127.0.0.1", "0.0.0.0", 8080, true),
            ("127.0.0.1", "10.0.0.1", 8080, false),
            ("0.0.0.0", "10.0.0.1", 8080, true),
            ("127.0.0.1", "::", 8080, false),
            ("::1", "::", 8080, true),
        ] {
            let found = is_in_the_way(&listener(ip, number), &port(host_ip), 8080);
            assert_eq!(found, expected, "{host_ip:?} and {ip}:{number}");
        }
        let datagrams = Listener { protocol: "udp".into(), ..listener("0.0.0.0", 8080) };
        assert!(!is_in_the_way(&datagrams, &port(""), 8080));
    }

    #[test]
    fn processors_are_limited_by_number_or_by_quota() {
        let limited = |nano: Option<i64>, quota: Option<i64>, period: Option<i64>| {
            let mut service = Service::default();
            let resources = &mut service.resources;
            (resources.nano_cpus, resources.cpu_quota, resources.cpu_period) = (nano, quota, period);
            processors_of(&service)
        };
        assert_eq!(limited(None, None, None), None);
        assert_eq!(limited(Some(1_500_000_000), None, None), Some(1_500_000_000));
        assert_eq!(limited(None, Some(50_000), None), Some(500_000_000));
        assert_eq!(limited(None, Some(50_000), Some(25_000)), Some(2_000_000_000));
    }
}
