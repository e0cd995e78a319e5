//! What a container uses.

use std::collections::HashMap;

use bollard::models::ContainerMemoryStats;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::TryStreamExt;

use super::Docker;
use super::client::READ;
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;

/// Memory in use; 0 of a container that does not run.
pub(super) async fn memory(docker: &Docker, id: &ContainerId) -> Result<i64, Failure> {
    let call = format!("read the memory of container {}", id.short());
    // One shot: without it the engine measures twice, a second apart, for the processor's sake.
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let stats = docker
        .call(&call, READ, async |client| client.stats(id.as_str(), Some(options)).try_next().await)
        .await?;
    Ok(stats.and_then(|stats| stats.memory_stats).map_or(0, |memory| without_cache(&memory)))
}

/// Usage without the page cache that the kernel would give back first, as `docker stats` shows it: cgroup v1
/// names it `total_inactive_file`, v2 `inactive_file`.
fn without_cache(memory: &ContainerMemoryStats) -> i64 {
    let usage = memory.usage.unwrap_or(0);
    let none = HashMap::new();
    let details = memory.stats.as_ref().unwrap_or(&none);
    let cache = details.get("total_inactive_file").or_else(|| details.get("inactive_file")).copied();
    let used = cache.filter(|cache| *cache < usage).map_or(usage, |cache| usage - cache);
    i64::try_from(used).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(usage: u64, details: &[(&str, u64)]) -> i64 {
        let stats = details.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        without_cache(&ContainerMemoryStats {
            usage: Some(usage),
            stats: Some(stats),
            ..ContainerMemoryStats::default()
        })
    }

    #[test]
    fn memory_in_use_leaves_out_the_cache_of_either_cgroup_version() {
        assert_eq!(used(100, &[("total_inactive_file", 30), ("inactive_file", 1)]), 70);
        assert_eq!(used(100, &[("inactive_file", 40)]), 60);
        assert_eq!(used(100, &[("inactive_file", 200)]), 100);
        assert_eq!(used(0, &[]), 0);
    }
}
