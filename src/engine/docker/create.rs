//! A new container: the body of the create call, as Compose would send it.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigIsolationEnum, HostConfigLogConfig, NetworkingConfig, ResourcesUlimits,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use serde_json::Value;

use super::client::{READ, WRITE, in_path, with_body};
use super::networks::{self, hashed};
use super::{Docker, classify, containers, devices, limits, mounts, ports};
use crate::core::action::NewContainer;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::needs::{self, ApiVersion};
use crate::core::spec::{ContainerSpec, Endpoint, Healthcheck};

/// The security option that the engine does not know by name: Compose turns it into two empty lists.
pub(super) const UNCONFINED_PATHS: &str = "systempaths=unconfined";

pub(super) async fn create(docker: &Docker, new: &NewContainer) -> Result<ContainerId, Failure> {
    let call = format!("create container {}", new.name);
    let facts = docker.facts().await?;
    let needs = needs::of_container(&new.spec, &new.networks);
    if let Some(need) = needs.iter().find(|need| !need.is_met(&facts.info)) {
        // Judged long before; an engine may have been exchanged since.
        let message = need.sentence(&format!("container {}", new.name), &facts.info);
        return Err(Failure::new(FailureKind::Invalid, call, message));
    }
    let api = facts.api;
    let body = body(new, api).map_err(|message| Failure::new(FailureKind::Invalid, &call, message))?;
    let mut options = CreateContainerOptionsBuilder::new().name(&new.name);
    if let Some(platform) = &new.spec.platform {
        options = options.platform(platform);
    }
    let options = options.build();
    let created = docker
        .attempt(&call, WRITE, async |client| {
            let client = with_body(client, &body);
            client.create_container(Some(options), ContainerCreateBody::default()).await
        })
        .await?;
    match created {
        Ok(answer) => {
            let id = ContainerId::new(answer.id);
            match discarded(&answer.warnings) {
                Some(warning) => {
                    // A container that is not what was asked for is none that anybody wants.
                    containers::remove(docker, &id).await?;
                    Err(Failure::new(FailureKind::Invalid, call, warning))
                }
                None => Ok(id),
            }
        }
        Err(error) => {
            let failure = docker.failure(&call, &error);
            match failure.kind {
                FailureKind::NameConflict => existing(docker, new).await?.ok_or(failure),
                _ => Err(failure),
            }
        }
    }
}

/// What the engine took and let fall, in its own words; it calls that a warning. What has an effect on Windows only
/// was told of when the files were read.
fn discarded(warnings: &[String]) -> Option<&str> {
    let warnings = warnings.iter().map(|warning| warning.trim());
    warnings.into_iter().find(|warning| warning.contains("discarded") && !warning.contains("CPU percent"))
}

/// The container that an earlier call made, whose answer was lost: of this name, with just these labels,
/// not yet started.
async fn existing(docker: &Docker, new: &NewContainer) -> Result<Option<ContainerId>, Failure> {
    let call = format!("inspect container {}", new.name);
    let found = docker
        .attempt(&call, READ, async |client| client.inspect_container(&in_path(&new.name), None).await)
        .await?;
    let found = match found {
        Ok(found) => found,
        Err(error) if classify::has_code(&error, 404) => return Ok(None),
        Err(error) => return Err(docker.failure(&call, &error)),
    };
    let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
    let never_ran = found.state.and_then(|state| state.started_at).is_some_and(|at| at.starts_with("0001-"));
    // The image's labels are among them.
    let ours = new.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
    Ok(found.id.filter(|_| never_ran && ours && !new.labels.is_empty()).map(ContainerId::new))
}

fn body(new: &NewContainer, api: ApiVersion) -> Result<Value, String> {
    let spec = &new.spec;
    let body = ContainerCreateBody {
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        user: spec.user.clone(),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(ports::exposed(&spec.ports, &spec.expose)),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin_open),
        env: Some(environment(spec)),
        cmd: spec.command.clone(),
        healthcheck: spec.healthcheck.as_ref().map(health),
        image: Some(spec.image.clone()),
        working_dir: spec.working_dir.clone(),
        entrypoint: spec.entrypoint.clone(),
        labels: Some(hashed(&new.labels)),
        stop_signal: spec.stop_signal.clone(),
        stop_timeout: spec.stop_grace_period.map(|seconds| i64::try_from(seconds).unwrap_or(i64::MAX)),
        host_config: Some(host_config(new)?),
        networking_config: Some(networking(new, api)),
        ..ContainerCreateBody::default()
    };
    let mut body = serde_json::to_value(body).map_err(|error| error.to_string())?;
    if let (Some(address), Some(fields)) = (container_mac_address(new, api), body.as_object_mut()) {
        fields.insert("MacAddress".to_owned(), address.as_str().into());
    }
    Ok(body)
}

/// The MAC address of the container, where the engine has none by network (before Docker 25), or where there is no
/// network to give it to.
fn container_mac_address(new: &NewContainer, api: ApiVersion) -> Option<&String> {
    let first = new.first_network().map(|(_, endpoint)| endpoint);
    match first {
        Some(_) if api >= ApiVersion::MANY_NETWORKS => None,
        Some(endpoint) => endpoint.mac_address.as_ref().or(new.spec.mac_address.as_ref()),
        None => new.spec.mac_address.as_ref(),
    }
}

fn environment(spec: &ContainerSpec) -> Vec<String> {
    let given = spec.environment.iter().map(|(key, value)| format!("{key}={}", value.expose()));
    given.chain(spec.unset.iter().cloned()).collect()
}

fn health(check: &Healthcheck) -> HealthConfig {
    HealthConfig {
        test: (!check.test.is_empty()).then(|| check.test.clone()),
        interval: Some(check.interval),
        timeout: Some(check.timeout),
        retries: Some(check.retries),
        start_period: Some(check.start_period),
        start_interval: (check.start_interval > 0).then_some(check.start_interval),
    }
}

/// All networks where the engine takes them, else the first; the others are connected by later actions.
fn networking(new: &NewContainer, api: ApiVersion) -> NetworkingConfig {
    let many = api >= ApiVersion::MANY_NETWORKS;
    let first = new.first_network();
    let endpoint = |(name, endpoint): (&String, &Endpoint)| {
        let is_first = first.is_some_and(|(first, _)| first == name);
        let of_container = new.spec.mac_address.as_ref().filter(|_| is_first);
        let mac_address = endpoint.mac_address.as_ref().or(of_container).filter(|_| many).cloned();
        (name.clone(), EndpointSettings { mac_address, ..networks::settings(endpoint) })
    };
    let endpoints: HashMap<_, _> = if many {
        new.networks.iter().map(endpoint).collect()
    } else {
        first.map(endpoint).into_iter().collect()
    };
    NetworkingConfig { endpoints_config: Some(endpoints) }
}

fn host_config(new: &NewContainer) -> Result<HostConfig, String> {
    let spec = &new.spec;
    let network = || new.first_network().map(|(name, _)| name.clone());
    let mut host = HostConfig {
        network_mode: spec.network_mode.clone().or_else(network),
        port_bindings: Some(ports::bindings(&spec.ports)),
        volumes_from: Some(spec.volumes_from.iter().map(|from| without_prefix(from)).collect()),
        ipc_mode: spec.ipc.clone(),
        pid_mode: spec.pid.clone(),
        uts_mode: spec.uts.clone(),
        userns_mode: spec.userns_mode.clone(),
        cgroupns_mode: spec.cgroup.as_deref().map(cgroup).transpose()?,
        cgroup_parent: spec.cgroup_parent.clone(),
        runtime: spec.runtime.clone(),
        isolation: spec.isolation.as_deref().map(isolation).transpose()?,
        init: spec.init,
        privileged: Some(spec.privileged),
        readonly_rootfs: Some(spec.read_only),
        annotations: (!spec.annotations.is_empty()).then(|| hashed(&spec.annotations)),
        cap_add: Some(capabilities(&spec.cap_add)),
        cap_drop: Some(capabilities(&spec.cap_drop)),
        dns: Some(spec.dns.clone()),
        dns_options: Some(spec.dns_opt.clone()),
        dns_search: Some(spec.dns_search.clone()),
        extra_hosts: Some(spec.extra_hosts.iter().cloned().collect()),
        group_add: Some(spec.group_add.iter().cloned().collect()),
        links: (!spec.links.is_empty()).then(|| spec.links.clone()),
        cpu_count: spec.cpu_count,
        cpu_percent: spec.cpu_percent,
        sysctls: Some(hashed(&spec.sysctls)),
        shm_size: spec.shm_size,
        storage_opt: Some(hashed(&spec.storage_opt)),
        oom_kill_disable: spec.oom_kill_disable,
        oom_score_adj: spec.oom_score_adj,
        memory_swappiness: spec.mem_swappiness,
        ..HostConfig::default()
    };
    if let Some(logging) = &spec.logging {
        let driver = (!logging.driver.is_empty()).then(|| logging.driver.clone());
        host.log_config = Some(HostConfigLogConfig { typ: driver, config: Some(hashed(&logging.options)) });
    }
    devices::write(spec, &mut host)?;
    security(spec, &mut host);
    host.ulimits = Some(
        spec.ulimits
            .iter()
            .map(|(name, (soft, hard))| ResourcesUlimits {
                name: Some(name.clone()),
                soft: Some(*soft),
                hard: Some(*hard),
            })
            .collect(),
    );
    mounts::write(&spec.mounts, &mut host)?;
    host.tmpfs = Some(hashed(&spec.tmpfs));
    limits::write(&new.resources, &mut host)?;
    Ok(host)
}

/// Compose marks foreign containers by a prefix that the engine does not know.
fn without_prefix(from: &str) -> String {
    from.strip_prefix("container:").unwrap_or(from).to_owned()
}

/// In the spelling that the docker command gives them, sorted and once each.
fn capabilities(names: &BTreeSet<String>) -> Vec<String> {
    let spelt = names.iter().map(|name| match name.trim().to_ascii_uppercase() {
        all if all == "ALL" => all,
        name if name.starts_with("CAP_") => name,
        name => format!("CAP_{name}"),
    });
    spelt.collect::<BTreeSet<_>>().into_iter().collect()
}

fn security(spec: &ContainerSpec, host: &mut HostConfig) {
    let named = spec.security_opt.iter().filter(|option| *option != UNCONFINED_PATHS);
    host.security_opt = Some(named.cloned().collect());
    if spec.security_opt.iter().any(|option| option == UNCONFINED_PATHS) {
        host.masked_paths = Some(Vec::new());
        host.readonly_paths = Some(Vec::new());
    }
}

fn cgroup(word: &str) -> Result<HostConfigCgroupnsModeEnum, String> {
    word.parse().map_err(|_| format!("there is no cgroup name space {word:?}; it is host or private"))
}

fn isolation(word: &str) -> Result<HostConfigIsolationEnum, String> {
    word.parse().map_err(|_| format!("there is no isolation {word:?}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::ids::Replica;
    use crate::core::spec::Resources;

    fn new(spec: ContainerSpec) -> NewContainer {
        let endpoint = |priority| Endpoint { priority, ..Endpoint::default() };
        NewContainer {
            name: "shop-web-1".to_owned(),
            replica: Replica { service: "web".into(), number: 1 },
            spec,
            resources: Resources::default(),
            labels: BTreeMap::new(),
            networks: [("shop_a".to_owned(), endpoint(0)), ("shop_b".to_owned(), endpoint(9))].into(),
        }
    }

    fn old() -> ApiVersion {
        ApiVersion::parse("1.43").unwrap()
    }

    #[test]
    fn an_old_engine_gets_one_network_and_a_new_one_all() {
        let body = |api| body(&new(ContainerSpec::default()), api).unwrap();
        let networks = |body: &Value| {
            let endpoints = body["NetworkingConfig"]["EndpointsConfig"].as_object().unwrap();
            let mut names: Vec<String> = endpoints.keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(networks(&body(old())), ["shop_b"]);
        assert_eq!(networks(&body(ApiVersion::MANY_NETWORKS)), ["shop_a", "shop_b"]);
        assert_eq!(body(old())["HostConfig"]["NetworkMode"], "shop_b");
    }

    #[test]
    fn a_mac_address_stands_where_each_engine_looks_for_it() {
        let address = || Some("02:00:00:00:00:01".to_owned());
        let of_service = new(ContainerSpec { mac_address: address(), ..ContainerSpec::default() });
        let mut of_network = new(ContainerSpec::default());
        of_network.networks.get_mut("shop_b").unwrap().mac_address = address();
        let on = |new: &NewContainer, api| {
            let body = body(new, api).unwrap();
            let endpoint = body["NetworkingConfig"]["EndpointsConfig"]["shop_b"]["MacAddress"].clone();
            (body["MacAddress"].clone(), endpoint)
        };
        let address = Value::from("02:00:00:00:00:01");
        for new in [&of_service, &of_network] {
            assert_eq!(on(new, old()), (address.clone(), Value::Null));
            assert_eq!(on(new, ApiVersion::MANY_NETWORKS), (Value::Null, address.clone()));
        }
        let alone = NewContainer { networks: BTreeMap::new(), ..of_service };
        assert_eq!(body(&alone, ApiVersion::MANY_NETWORKS).unwrap()["MacAddress"], address);
    }

    #[test]
    fn what_the_engine_lets_fall_is_heard() {
        let warnings =
            ["linux does not support CPU percent. Percent discarded.", "Memory limited without swap."];
        assert_eq!(discarded(&warnings.map(str::to_owned)), None);
        let warning = "Your kernel does not support Block I/O weight. Weight discarded. ".to_owned();
        assert_eq!(
            discarded(&[warning]),
            Some("Your kernel does not support Block I/O weight. Weight discarded.")
        );
    }

    #[test]
    fn capabilities_are_spelt_as_the_docker_command_spells_them() {
        let names = ["net_admin", "CAP_NET_ADMIN", "ALL", "chown"].map(str::to_owned).into();
        assert_eq!(capabilities(&names), ["ALL", "CAP_CHOWN", "CAP_NET_ADMIN"]);
    }

    #[test]
    fn a_variable_without_a_value_goes_as_its_name() {
        let unset = ["HOME".to_owned()].into();
        let spec = ContainerSpec { unset, ..ContainerSpec::default() };
        assert_eq!(body(&new(spec), old()).unwrap()["Env"], serde_json::json!(["HOME"]));
    }
}
