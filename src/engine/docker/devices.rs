//! Devices and limits of block devices, in both directions.

use bollard::models::{DeviceMapping, DeviceRequest, HostConfig, ResourcesBlkioWeightDevice, ThrottleDevice};

use super::networks::hashed;
use crate::core::devices::{self, BlockDevices, is_cdi};
use crate::core::spec::ContainerSpec;

/// The driver of devices that are asked for by their name in the Container Device Interface.
const CDI: &str = "cdi";

pub(super) fn write(spec: &ContainerSpec, host: &mut HostConfig) -> Result<(), String> {
    let (named, mapped): (Vec<_>, Vec<_>) = spec.devices.iter().partition(|device| is_cdi(device));
    host.devices = Some(mapped.into_iter().map(|device| mapping(device)).collect());
    host.device_cgroup_rules = Some(spec.device_cgroup_rules.clone());
    let mut requests: Vec<DeviceRequest> = spec.device_requests.iter().map(request).collect();
    if !named.is_empty() {
        requests.push(DeviceRequest {
            driver: Some(CDI.to_owned()),
            device_ids: Some(named.into_iter().cloned().collect()),
            ..DeviceRequest::default()
        });
    }
    host.device_requests = (!requests.is_empty()).then_some(requests);
    write_block_devices(&spec.blkio_config, host)
}

fn mapping(device: &str) -> DeviceMapping {
    let mut parts = device.splitn(3, ':');
    let path = parts.next().unwrap_or_default();
    DeviceMapping {
        path_on_host: Some(path.to_owned()),
        path_in_container: Some(parts.next().unwrap_or(path).to_owned()),
        cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
    }
}

fn request(request: &devices::DeviceRequest) -> DeviceRequest {
    DeviceRequest {
        driver: Some(request.driver.clone()),
        count: Some(request.count),
        device_ids: (!request.device_ids.is_empty()).then(|| request.device_ids.clone()),
        capabilities: Some(vec![request.capabilities.clone()]),
        options: Some(hashed(&request.options)),
    }
}

fn write_block_devices(limits: &BlockDevices, host: &mut HostConfig) -> Result<(), String> {
    let rates = |devices: &[(String, i64)]| {
        let rate =
            |(path, rate): &(String, i64)| ThrottleDevice { path: Some(path.clone()), rate: Some(*rate) };
        (!devices.is_empty()).then(|| devices.iter().map(rate).collect::<Vec<_>>())
    };
    let weight = |(path, weight): &(String, i64)| {
        let weight =
            usize::try_from(*weight).map_err(|_| format!("blkio weight {weight} is out of range"))?;
        Ok::<_, String>(ResourcesBlkioWeightDevice { path: Some(path.clone()), weight: Some(weight) })
    };
    let weights: Vec<_> = limits.weight_device.iter().map(weight).collect::<Result<_, _>>()?;
    host.blkio_weight_device = (!weights.is_empty()).then_some(weights);
    host.blkio_device_read_bps = rates(&limits.device_read_bps);
    host.blkio_device_read_iops = rates(&limits.device_read_iops);
    host.blkio_device_write_bps = rates(&limits.device_write_bps);
    host.blkio_device_write_iops = rates(&limits.device_write_iops);
    Ok(())
}

pub(super) fn read(host: &HostConfig, spec: &mut ContainerSpec) {
    spec.devices = host.devices.iter().flatten().map(read_mapping).collect();
    spec.device_cgroup_rules = host.device_cgroup_rules.clone().unwrap_or_default();
    for request in host.device_requests.iter().flatten() {
        if request.driver.as_deref() == Some(CDI) {
            spec.devices.extend(request.device_ids.clone().unwrap_or_default());
        } else {
            spec.device_requests.push(read_request(request));
        }
    }
    spec.blkio_config = read_block_devices(host);
}

fn read_mapping(device: &DeviceMapping) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!(
        "{}:{}:{}",
        part(&device.path_on_host),
        part(&device.path_in_container),
        part(&device.cgroup_permissions)
    )
}

fn read_request(request: &DeviceRequest) -> devices::DeviceRequest {
    devices::DeviceRequest {
        driver: request.driver.clone().unwrap_or_default(),
        count: request.count.unwrap_or(0),
        device_ids: request.device_ids.clone().unwrap_or_default(),
        capabilities: request.capabilities.iter().flatten().flatten().cloned().collect(),
        options: request.options.clone().unwrap_or_default().into_iter().collect(),
    }
}

fn read_block_devices(host: &HostConfig) -> BlockDevices {
    let rates = |devices: &Option<Vec<ThrottleDevice>>| {
        let rate = |device: &ThrottleDevice| Some((device.path.clone()?, device.rate?));
        devices.iter().flatten().filter_map(rate).collect()
    };
    let weight = |device: &ResourcesBlkioWeightDevice| {
        Some((device.path.clone()?, i64::try_from(device.weight?).ok()?))
    };
    BlockDevices {
        weight_device: host.blkio_weight_device.iter().flatten().filter_map(weight).collect(),
        device_read_bps: rates(&host.blkio_device_read_bps),
        device_read_iops: rates(&host.blkio_device_read_iops),
        device_write_bps: rates(&host.blkio_device_write_bps),
        device_write_iops: rates(&host.blkio_device_write_iops),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_go_where_their_kind_goes_and_come_back_from_there() {
        let gpu = devices::DeviceRequest {
            count: -1,
            capabilities: vec!["gpu".to_owned()],
            ..devices::DeviceRequest::default()
        };
        let rate = |path: &str| vec![(path.to_owned(), 1024)];
        let asked = ContainerSpec {
            devices: ["/dev/fuse:/dev/fuse:rwm", "/dev/c:/dev/d:r", "vendor.com/gpu=0"]
                .map(str::to_owned)
                .to_vec(),
            device_requests: vec![gpu],
            device_cgroup_rules: vec!["c 1:3 rwm".to_owned()],
            blkio_config: BlockDevices {
                weight_device: rate("/dev/a"),
                device_read_bps: rate("/dev/b"),
                device_read_iops: rate("/dev/c"),
                device_write_bps: rate("/dev/d"),
                device_write_iops: rate("/dev/e"),
            },
            ..ContainerSpec::default()
        };
        let mut host = HostConfig::default();
        write(&asked, &mut host).unwrap();
        let mut found = ContainerSpec::default();
        read(&host, &mut found);
        assert_eq!(found, asked);
        let host = serde_json::to_value(&host).unwrap();
        assert_eq!(host["DeviceRequests"][0]["Capabilities"], serde_json::json!([["gpu"]]));
        assert_eq!(host["DeviceRequests"][1]["DeviceIDs"], serde_json::json!(["vendor.com/gpu=0"]));
        assert_eq!(host["Devices"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_device_that_is_only_named_is_the_same_in_the_container() {
        let mapping = mapping("/dev/fuse");
        assert_eq!(read_mapping(&mapping), "/dev/fuse:/dev/fuse:rwm");
    }
}
