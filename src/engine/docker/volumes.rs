//! Volumes.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions};
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde::Deserialize;

use super::client::{READ, WRITE, in_path, instead};
use super::inspect::moment;
use super::networks::hashed;
use super::{Docker, classify};
use crate::core::desired;
use crate::core::failure::{Failure, FailureKind};
use crate::core::observed::Volume;

pub(super) async fn list(docker: &Docker) -> Result<Vec<Volume>, Failure> {
    let call = "list volumes";
    let caller = docker.caller(call)?;
    let ask = async move {
        let all = None::<ListVolumesOptions>;
        let found = caller.call(call, READ, async |client| client.list_volumes(all).await).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(volume).collect())
    };
    docker.questions.volumes.ask(ask).await
}

fn volume(volume: bollard::models::Volume) -> Volume {
    Volume {
        name: volume.name,
        driver: volume.driver,
        options: volume.options.into_iter().collect(),
        created_at: volume.created_at.as_deref().and_then(moment),
        size: None,
        labels: volume.labels.into_iter().collect(),
    }
}

/// What `docker system df -v` says of volumes. Engines before API 1.42 always say all, and from 1.52 on in another place.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DiskUsage {
    volumes: Option<Vec<Used>>,
    volume_usage: Option<Usage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    items: Option<Vec<Used>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Used {
    name: String,
    usage_data: Option<Size>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    size: i64,
}

/// Counting files may take an engine long.
const COUNT: Duration = Duration::from_secs(30);

pub(super) async fn sizes(docker: &Docker) -> Result<BTreeMap<String, i64>, Failure> {
    let call = "read the sizes of volumes";
    let read = async |client: &bollard::Docker| {
        // bollard's own type knows only what the newest engines say.
        let body: Vec<Bytes> = instead(client, EXPORT, USAGE).export_container("-").try_collect().await?;
        Ok(body.concat())
    };
    let body = docker.call(call, COUNT, read).await?;
    parse(&body).map_err(|error| Failure::new(FailureKind::Invalid, call, error))
}

/// The path of a call whose answer is read as it is, and what is asked for in its place.
const EXPORT: &str = "/containers/-/export";
const USAGE: &str = "/system/df?type=volume&verbose=1";

fn parse(body: &[u8]) -> serde_json::Result<BTreeMap<String, i64>> {
    let usage: DiskUsage = serde_json::from_slice(body)?;
    let newer = usage.volume_usage.and_then(|usage| usage.items);
    let all = usage.volumes.into_iter().chain(newer).flatten();
    // -1 is the engine's "unknown".
    let known = all.filter_map(|it| Some((it.name, it.usage_data?.size))).filter(|(_, size)| *size >= 0);
    Ok(known.collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_older_and_newer_engines() {
        let volumes = r#"[{"Name":"a","UsageData":{"RefCount":1,"Size":42}},{"Name":"b","UsageData":{"RefCount":0,"Size":-1}},
            {"Name":"c"}]"#;
        let expected = BTreeMap::from([("a".to_owned(), 42)]);
        let older = format!(r#"{{"LayersSize":7,"Images":[],"Volumes":{volumes}}}"#);
        let newer = format!(r#"{{"VolumeUsage":{{"TotalSize":42,"Items":{volumes}}}}}"#);
        assert_eq!(parse(older.as_bytes()).unwrap(), expected);
        assert_eq!(parse(newer.as_bytes()).unwrap(), expected);
        assert_eq!(parse(br#"{"Volumes":null}"#).unwrap(), BTreeMap::new());
        assert!(parse(b"<html>").is_err());
    }
}
