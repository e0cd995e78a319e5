//! Devices: by path, by name, by what they can do; and limits of block devices.

use super::container::some;
use crate::compose::model;
use crate::core::devices::{BlockDevices, DeviceRequest, is_cdi};

/// A device by its path in full, or by its name in the Container Device Interface as it is.
pub(super) fn device(device: &model::DeviceMapping) -> String {
    if device.source == device.target && is_cdi(&device.source) {
        return device.source.clone();
    }
    let permissions = if device.permissions.is_empty() { "rwm" } else { &device.permissions };
    let target = if device.target.is_empty() { &device.source } else { &device.target };
    format!("{}:{target}:{permissions}", device.source)
}

/// What is reserved in `deploy`, then `gpus`: the order in which Compose asks for them.
pub(super) fn requests(service: &model::Service) -> Vec<DeviceRequest> {
    let reserved = service
        .deploy
        .iter()
        .filter_map(|deploy| deploy.resources.reservations.as_ref())
        .flat_map(|reservations| &reservations.devices)
        .map(request);
    let gpus = service.gpus.iter().map(|gpu| {
        let mut request = request(gpu);
        request.capabilities.push("gpu".to_owned());
        request
    });
    reserved.chain(gpus).collect()
}

fn request(device: &model::DeviceRequest) -> DeviceRequest {
    DeviceRequest {
        driver: device.driver.clone(),
        count: device.count,
        device_ids: device.device_ids.clone(),
        capabilities: device.capabilities.clone(),
        options: device.options.clone(),
    }
}

/// `blkio_config` without its weight for all, which changes in place.
pub(super) fn block_devices(service: &model::Service) -> BlockDevices {
    let Some(blkio) = &service.blkio_config else { return BlockDevices::default() };
    let rates = |devices: &[model::ThrottleDevice]| {
        devices.iter().map(|device| (device.path.clone(), device.rate.0)).collect()
    };
    BlockDevices {
        weight_device: blkio.weight_device.iter().map(|it| (it.path.clone(), it.weight)).collect(),
        device_read_bps: rates(&blkio.device_read_bps),
        device_read_iops: rates(&blkio.device_read_iops),
        device_write_bps: rates(&blkio.device_write_bps),
        device_write_iops: rates(&blkio.device_write_iops),
    }
}

/// `cpu_percent` in the hundredths that the engine counts in.
pub(super) fn cpu_percent(service: &model::Service) -> Option<i64> {
    some(service.cpu_percent.hundredths())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_known_by_its_path_or_by_its_name() {
        let mapped = |source: &str, target: &str, permissions: &str| {
            device(&model::DeviceMapping {
                source: source.into(),
                target: target.into(),
                permissions: permissions.into(),
            })
        };
        assert_eq!(mapped("/dev/a", "/dev/b", "r"), "/dev/a:/dev/b:r");
        assert_eq!(mapped("/dev/a", "", ""), "/dev/a:/dev/a:rwm");
        assert_eq!(mapped("vendor.com/gpu=0", "vendor.com/gpu=0", "rwm"), "vendor.com/gpu=0");
        assert_eq!(mapped("vendor.com/gpu=all", "/dev/gpu", ""), "vendor.com/gpu=all:/dev/gpu:rwm");
    }
}
