//! What a container is made of, field by field.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::{devices, mounts, security};
use crate::compose::{Project, model};
use crate::core::spec::{ContainerSpec, Healthcheck, Logging, Port};
use crate::secret::Secret;
use crate::stack::faults::Findings;

/// The part of a service that cannot change in place.
pub(super) fn container(source: Source<'_>, findings: &mut Findings) -> ContainerSpec {
    let service = source.service;
    ContainerSpec {
        image: image(source.places.project, source.name),
        command: service.command.0.clone(),
        entrypoint: service.entrypoint.0.clone(),
        environment: environment(service),
        unset: unset(service),
        annotations: service.annotations.clone(),
        labels: service.labels.clone(),
        ports: ports(source, findings),
        expose: service.expose.iter().cloned().collect(),
        mounts: mounts::mounts(source, findings),
        tmpfs: mounts::memory(source, findings),
        volumes_from: service.volumes_from.clone(),
        healthcheck: service.healthcheck.as_ref().map(healthcheck),
        user: said(&service.user),
        working_dir: said(&service.working_dir),
        hostname: said(&service.hostname),
        domainname: said(&service.domainname),
        stop_signal: said(&service.stop_signal),
        stop_grace_period: service.stop_grace_period.map(|grace| grace.to_std().as_secs()),
        init: service.init,
        stdin_open: service.stdin_open,
        tty: service.tty,
        platform: platform(source),
        runtime: said(&service.runtime),
        isolation: said(&service.isolation),
        ulimits: service.ulimits.iter().map(|(name, limit)| (name.clone(), limit.bounds())).collect(),
        shm_size: some(service.shm_size.0),
        logging: service.logging.as_ref().map(logging),
        storage_opt: service.storage_opt.clone(),
        oom_kill_disable: service.oom_kill_disable.then_some(true),
        oom_score_adj: some(service.oom_score_adj),
        mem_swappiness: some(service.mem_swappiness.0),
        cpu_count: some(service.cpu_count),
        cpu_percent: devices::cpu_percent(service),
        device_requests: devices::requests(service),
        blkio_config: devices::block_devices(service),
        security_opt: security::options(source, findings),
        ..isolation(service)
    }
}

/// Name spaces, rights and name resolution.
fn isolation(service: &model::Service) -> ContainerSpec {
    ContainerSpec {
        network_mode: said(&service.network_mode),
        ipc: said(&service.ipc),
        pid: said(&service.pid),
        uts: said(&service.uts),
        userns_mode: said(&service.userns_mode),
        cgroup: said(&service.cgroup),
        cgroup_parent: said(&service.cgroup_parent),
        mac_address: said(&service.mac_address),
        privileged: service.privileged,
        read_only: service.read_only,
        cap_add: service.cap_add.iter().cloned().collect(),
        cap_drop: service.cap_drop.iter().cloned().collect(),
        devices: service.devices.iter().map(devices::device).collect(),
        device_cgroup_rules: service.device_cgroup_rules.clone(),
        dns: service.dns.clone(),
        dns_opt: service.dns_opt.clone(),
        dns_search: service.dns_search.clone(),
        extra_hosts: extra_hosts(&service.extra_hosts),
        group_add: service.group_add.iter().cloned().collect(),
        links: service.links.clone(),
        external_links: service.external_links.clone(),
        sysctls: service.sysctls.clone(),
        ..ContainerSpec::default()
    }
}

/// The image's name; what is only built is called `PROJECT-SERVICE`.
pub(super) fn image(project: &Project, name: &str) -> String {
    match project.model.services.get(name).map(|service| service.image.as_str()) {
        None | Some("") => format!("{}-{name}", project.name),
        Some(image) => image.to_owned(),
    }
}

/// The platform of the image: its own, else `DOCKER_DEFAULT_PLATFORM`, as with Compose.
pub(super) fn platform(source: Source<'_>) -> Option<String> {
    let default = source.places.project.environment.get("DOCKER_DEFAULT_PLATFORM");
    said(&source.service.platform).or_else(|| default.and_then(|platform| said(platform)))
}

/// Lines for `/etc/hosts` in the engine's form.
pub(super) fn extra_hosts(hosts: &[model::ExtraHost]) -> BTreeSet<String> {
    hosts.iter().map(|line| format!("{}:{}", line.host, line.address)).collect()
}

/// The text, where there is one.
pub(super) fn said(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// The number, where one is given: Compose's model writes "not given" as 0.
pub(super) fn some(number: i64) -> Option<i64> {
    (number != 0).then_some(number)
}

/// The variables with a value.
fn environment(service: &model::Service) -> BTreeMap<String, Secret> {
    let given = |(name, value): (&String, &Option<String>)| {
        value.as_ref().map(|value| (name.clone(), Secret::new(value.as_str())))
    };
    service.environment.iter().filter_map(given).collect()
}

/// The names without a value, which nothing in the caller's environment has: those of the image are taken away.
fn unset(service: &model::Service) -> BTreeSet<String> {
    let nameless = |(name, value): (&String, &Option<String>)| value.is_none().then(|| name.clone());
    service.environment.iter().filter_map(nameless).collect()
}

fn ports(source: Source<'_>, findings: &mut Findings) -> BTreeSet<Port> {
    let mut ports = BTreeSet::new();
    for (index, port) in source.service.ports.iter().enumerate() {
        let Some(target) = u16::try_from(port.target).ok().filter(|target| *target != 0) else {
            let message = format!("{} is not a port", port.target);
            let place = ["ports", &index.to_string()];
            findings
                .faults
                .push(source.places.in_service(source.name, &place, message).help("use 1 to 65535"));
            continue;
        };
        let protocol = if port.protocol.is_empty() { "tcp" } else { &port.protocol };
        ports.insert(Port {
            target,
            protocol: protocol.to_owned(),
            host_ip: port.host_ip.clone(),
            published: port.published.clone(),
        });
    }
    ports
}

fn healthcheck(check: &model::Healthcheck) -> Healthcheck {
    let nanoseconds = |duration: Option<model::Duration>| duration.map_or(0, |duration| duration.nanoseconds);
    Healthcheck {
        test: if check.disable { vec!["NONE".to_owned()] } else { check.test.clone() },
        interval: nanoseconds(check.interval),
        timeout: nanoseconds(check.timeout),
        start_period: nanoseconds(check.start_period),
        start_interval: nanoseconds(check.start_interval),
        retries: check.retries.unwrap_or(0),
    }
}

fn logging(logging: &model::Logging) -> Logging {
    Logging { driver: logging.driver.clone(), options: logging.options.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switched_off_health_check_is_none_not_the_images() {
        let off = model::Healthcheck { disable: true, ..model::Healthcheck::default() };
        assert_eq!(healthcheck(&off).test, ["NONE"]);
        assert!(!healthcheck(&off).is_enabled());
    }
}
