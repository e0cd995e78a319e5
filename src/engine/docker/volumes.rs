//! Volumes.

use std::collections::BTreeMap;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};

use super::client::{READ, WRITE, in_path};
use super::networks::hashed;
use super::{Docker, classify};
use crate::core::desired;
use crate::core::failure::Failure;
use crate::core::observed::Volume;

pub(super) async fn list(docker: &Docker) -> Result<Vec<Volume>, Failure> {
    let found = docker
        .call("list volumes", READ, async |client| client.list_volumes(None::<ListVolumesOptions>).await)
        .await?;
    let volume = |volume: bollard::models::Volume| Volume {
        name: volume.name,
        driver: volume.driver,
        labels: volume.labels.into_iter().collect(),
    };
    Ok(found.volumes.unwrap_or_default().into_iter().map(volume).collect())
}

/// The engine itself answers with the volume that is there, so that this is safe to repeat.
pub(super) async fn create(
    docker: &Docker,
    volume: &desired::Volume,
    labels: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let call = format!("create volume {}", volume.name);
    let request = VolumeCreateRequest {
        name: Some(volume.name.clone()),
        driver: (!volume.driver.is_empty()).then(|| volume.driver.clone()),
        driver_opts: Some(hashed(&volume.driver_opts)),
        labels: Some(hashed(labels)),
        cluster_volume_spec: None,
    };
    docker.call(&call, WRITE, async |client| client.create_volume(request).await).await.map(drop)
}

pub(super) async fn remove(docker: &Docker, name: &str) -> Result<(), Failure> {
    let call = format!("remove volume {name}");
    let gentle = RemoveVolumeOptions { force: false };
    let removed = docker
        .attempt(&call, WRITE, async |client| client.remove_volume(&in_path(name), Some(gentle)).await)
        .await?;
    match removed {
        Err(error) if !classify::has_code(&error, 404) => Err(docker.failure(&call, &error)),
        _ => Ok(()),
    }
}
