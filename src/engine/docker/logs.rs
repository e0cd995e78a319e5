//! What a container printed.

use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::TryStreamExt;

use super::Docker;
use super::client::READ;
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;

pub(super) async fn tail(docker: &Docker, id: &ContainerId, lines: usize) -> Result<Vec<String>, Failure> {
    let call = format!("read the log of container {}", id.short());
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines.to_string()).build();
    let printed = docker
        .call(&call, READ, async |client| {
            let mut printed = Vec::new();
            let mut parts = std::pin::pin!(client.logs(id.as_str(), Some(options)));
            while let Some(part) = parts.try_next().await? {
                printed.extend_from_slice(part.as_ref());
            }
            Ok(printed)
        })
        .await?;
    let text = String::from_utf8_lossy(&printed);
    let all: Vec<String> = text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect();
    Ok(all.into_iter().rev().take(lines).rev().collect())
}
