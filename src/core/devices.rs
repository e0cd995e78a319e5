//! Devices that a container is given by what they can do, and limits of block devices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Devices by driver, number, name or capability: GPUs, most of all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceRequest {
    /// Driver; empty for whichever has the capabilities.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// How many; −1 for all, 0 where they are named.
    pub count: i64,
    /// Their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_ids: Vec<String>,
    /// What they must be able to do, all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Options of the driver.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// Limits of single block devices, each a path with a weight or rate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BlockDevices {
    /// Relative weights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weight_device: Vec<(String, i64)>,
    /// Bytes a second to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_read_bps: Vec<(String, i64)>,
    /// Operations a second to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_read_iops: Vec<(String, i64)>,
    /// Bytes a second to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_write_bps: Vec<(String, i64)>,
    /// Operations a second to write.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub device_write_iops: Vec<(String, i64)>,
}

impl BlockDevices {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a device is told by its name in the Container Device Interface: `vendor.com/class=name`.
pub fn is_cdi(name: &str) -> bool {
    let Some((kind, device)) = name.split_once('=') else { return false };
    let Some((vendor, class)) = kind.split_once('/') else { return false };
    let sound = |word: &str, inner: &str| {
        word.ends_with(|c: char| c.is_ascii_alphanumeric())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || inner.contains(c))
    };
    let letter_first = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    sound(vendor, "_-.")
        && letter_first(vendor)
        && sound(class, "_-")
        && letter_first(class)
        && sound(device, "_-.:")
        && device.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qualified_name_has_vendor_class_and_device() {
        for name in ["vendor.com/gpu=0", "a/b=c", "nvidia.com/gpu=GPU-1:2"] {
            assert!(is_cdi(name), "{name}");
        }
        for name in [
            "/dev/a=b",
            "vendor/gpu",
            "vendor=gpu",
            "vendor.com/=0",
            "vendor.com/gpu=",
            "v/c=d:/dev/d:rwm",
            "0v/c=d",
            "v/c=d-",
        ] {
            assert!(!is_cdi(name), "{name}");
        }
    }
}
