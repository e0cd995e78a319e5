//! A new container: the body of the create call, as Compose would send it.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, EndpointSettings, HealthConfig, HostConfig,
    HostConfigCgroupnsModeEnum, HostConfigIsolationEnum, HostConfigLogConfig, NetworkingConfig,
    ResourcesUlimits,
};
use bollard::query_parameters::CreateContainerOptionsBuilder;
use serde_json::Value;

use super::client::{ApiVersion, READ, WRITE, in_path, with_body};
use super::networks::{self, hashed};
use super::{Docker, classify, limits, mounts, ports};
use crate::core::action::NewContainer;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::spec::{ContainerSpec, Endpoint, Healthcheck};

/// The security option that the engine does not know by name: Compose turns it into two empty lists.
pub(super) const UNCONFINED_PATHS: &str = "systempaths=unconfined";

pub(super) async fn create(docker: &Docker, new: &NewContainer) -> Result<ContainerId, Failure> {
    let call = format!("create container {}", new.name);
    let api = docker.facts().await?.api;
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
        Ok(answer) => Ok(ContainerId::new(answer.id)),
        Err(error) => {
            let failure = docker.failure(&call, &error);
            match failure.kind {
                FailureKind::NameConflict => existing(docker, new).await?.ok_or(failure),
                _ => Err(failure),
            }
        }
    }
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
    if api < ApiVersion::MANY_NETWORKS
        && spec.healthcheck.as_ref().is_some_and(|check| check.start_interval > 0)
    {
        return Err("a health check's start_interval needs Docker 25 or newer".to_owned());
    }
    let body = ContainerCreateBody {
        hostname: spec.hostname.clone(),
        domainname: spec.domainname.clone(),
        user: spec.user.clone(),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        exposed_ports: Some(ports::exposed(&spec.ports, &spec.expose)),
        tty: Some(spec.tty),
        open_stdin: Some(spec.stdin_open),
        env: Some(spec.environment.iter().map(|(key, value)| format!("{key}={}", value.expose())).collect()),
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
    if let (Some(address), Some(fields)) = (&spec.mac_address, body.as_object_mut()) {
        // Where it stood before Docker 25; newer engines take it from the network (see `networking`).
        fields.insert("MacAddress".to_owned(), address.as_str().into());
    }
    Ok(body)
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
        let settings = EndpointSettings {
            links: (!new.spec.links.is_empty()).then(|| new.spec.links.clone()),
            mac_address: new.spec.mac_address.clone().filter(|_| many && is_first),
            ..networks::settings(endpoint)
        };
        (name.clone(), settings)
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
        cap_add: Some(spec.cap_add.iter().cloned().collect()),
        cap_drop: Some(spec.cap_drop.iter().cloned().collect()),
        dns: Some(spec.dns.clone()),
        dns_options: Some(spec.dns_opt.clone()),
        dns_search: Some(spec.dns_search.clone()),
        extra_hosts: Some(spec.extra_hosts.iter().cloned().collect()),
        group_add: Some(spec.group_add.iter().cloned().collect()),
        links: (!spec.links.is_empty()).then(|| spec.links.clone()),
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
    devices(spec, &mut host);
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
    limits::write(&new.resources, &mut host)?;
    Ok(host)
}

/// Compose marks foreign containers by a prefix that the engine does not know.
fn without_prefix(from: &str) -> String {
    from.strip_prefix("container:").unwrap_or(from).to_owned()
}

fn devices(spec: &ContainerSpec, host: &mut HostConfig) {
    let (named, mapped): (Vec<_>, Vec<_>) = spec.devices.iter().partition(|device| is_cdi(device));
    let mapping = |device: &&String| {
        let mut parts = device.splitn(3, ':');
        let path = parts.next().unwrap_or_default();
        DeviceMapping {
            path_on_host: Some(path.to_owned()),
            path_in_container: Some(parts.next().unwrap_or(path).to_owned()),
            cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
        }
    };
    host.devices = Some(mapped.iter().map(mapping).collect());
    host.device_cgroup_rules = Some(spec.device_cgroup_rules.clone());
    if !named.is_empty() {
        host.device_requests = Some(vec![DeviceRequest {
            driver: Some("cdi".to_owned()),
            device_ids: Some(named.into_iter().cloned().collect()),
            ..DeviceRequest::default()
        }]);
    }
}

/// A device by its name in the Container Device Interface, as `vendor.com/gpu=0`.
fn is_cdi(device: &str) -> bool {
    !device.starts_with('/') && device.contains('=')
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
        let spec =
            ContainerSpec { mac_address: Some("02:00:00:00:00:01".to_owned()), ..ContainerSpec::default() };
        let on = |api| {
            let body = body(&new(spec.clone()), api).unwrap();
            let endpoint = body["NetworkingConfig"]["EndpointsConfig"]["shop_b"]["MacAddress"].clone();
            (body["MacAddress"].clone(), endpoint)
        };
        let address = Value::from("02:00:00:00:00:01");
        assert_eq!(on(old()), (address.clone(), Value::Null));
        assert_eq!(on(ApiVersion::MANY_NETWORKS), (address.clone(), address));
    }

    #[test]
    fn a_start_interval_needs_an_engine_that_has_it() {
        let healthcheck = Some(Healthcheck { start_interval: 5, ..Healthcheck::default() });
        let new = new(ContainerSpec { healthcheck, ..ContainerSpec::default() });
        assert!(body(&new, old()).unwrap_err().contains("start_interval"));
        assert_eq!(body(&new, ApiVersion::MANY_NETWORKS).unwrap()["Healthcheck"]["StartInterval"], 5);
    }

    #[test]
    fn devices_go_where_their_kind_goes() {
        let devices = ["/dev/fuse", "/dev/a:/dev/b", "/dev/c:/dev/d:r", "vendor.com/gpu=0"];
        let spec = ContainerSpec { devices: devices.map(str::to_owned).to_vec(), ..ContainerSpec::default() };
        let body = body(&new(spec), old()).unwrap();
        let host = &body["HostConfig"];
        let mapped: Vec<_> = host["Devices"]
            .as_array()
            .unwrap()
            .iter()
            .map(|device| {
                let part = |name: &str| device[name].as_str().unwrap().to_owned();
                format!("{} {} {}", part("PathOnHost"), part("PathInContainer"), part("CgroupPermissions"))
            })
            .collect();
        assert_eq!(mapped, ["/dev/fuse /dev/fuse rwm", "/dev/a /dev/b rwm", "/dev/c /dev/d r"]);
        assert_eq!(host["DeviceRequests"][0]["DeviceIDs"], serde_json::json!(["vendor.com/gpu=0"]));
    }
}
