//! What a container uses.

use std::collections::HashMap;

use bollard::models::ContainerMemoryStats;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::TryStreamExt;

use super::Docker;
use super::client::READ;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::live::RunIn;

/// The files of a container's own cgroup that say what it uses: v1, then v2. Of each pair, the first has the
/// figure and the second the details.
const FILES: &[[&str; 2]] = &[
    ["/sys/fs/cgroup/memory/memory.usage_in_bytes", "/sys/fs/cgroup/memory/memory.stat"],
    ["/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"],
];

/// Memory in use; 0 of a container that does not run.
pub(super) async fn memory(docker: &Docker, id: &ContainerId) -> Result<i64, Failure> {
    let call = format!("read the memory of container {}", id.short());
    // One shot: without it the engine measures twice, a second apart, for the processor's sake.
    let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
    let stats = docker
        .call(&call, READ, async |client| client.stats(id.as_str(), Some(options)).try_next().await)
        .await?;
    match stats.and_then(|stats| stats.memory_stats).filter(|memory| memory.usage.is_some()) {
        Some(memory) => Ok(without_cache(&memory)),
        None => from_inside(docker, id, &call).await,
    }
}

/// Asks the container itself. An engine answers without figures for what does not run, and also where it
/// cannot read the cgroups of its machine: a 0 in that case would let a limit below the usage pass.
async fn from_inside(docker: &Docker, id: &ContainerId, call: &str) -> Result<i64, Failure> {
    for files in FILES {
        match docker.run_in(id, &["cat", files[0], files[1]], Vec::new()).await {
            Ok(output) if output.code == 0 => {
                if let Some(memory) = parse(&output.stdout) {
                    return Ok(without_cache(&memory));
                }
            }
            // Not running: nothing in use.
            Err(failure) if failure.kind == FailureKind::InUse => return Ok(0),
            Err(failure) => return Err(failure),
            Ok(_) => {}
        }
    }
    Err(Failure::new(FailureKind::Invalid, call, "neither the engine nor the container can tell"))
}

/// Reads a figure in bytes, followed by lines of `name value`.
fn parse(text: &str) -> Option<ContainerMemoryStats> {
    let (usage, details) = text.split_once('\n')?;
    let pair = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    Some(ContainerMemoryStats {
        usage: Some(usage.trim().parse().ok()?),
        stats: Some(details.lines().filter_map(pair).collect()),
        ..ContainerMemoryStats::default()
    })
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

    fn used(text: &str) -> Option<i64> {
        parse(text).map(|memory| without_cache(&memory))
    }

    #[test]
    fn memory_in_use_leaves_out_the_cache_of_either_cgroup_version() {
        assert_eq!(used("100\ncache 50\ninactive_file 1\ntotal_inactive_file 30\n"), Some(70));
        assert_eq!(used("100\nanon 1\ninactive_file 40\n"), Some(60));
        assert_eq!(used("100\ninactive_file 200\n"), Some(100));
        assert_eq!(used("cat: no such file\n"), None);
    }
}
