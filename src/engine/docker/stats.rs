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
    if docker.address.is_local()
        && let Some(memory) = from_outside(docker, id, &call).await?
    {
        return Ok(without_cache(&memory));
    }
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

/// Reads the container's cgroup, where we are on the engine's machine: at once, where the engine waits for its next
/// look at all containers, which it takes once a second. `None` where the cgroup is out of sight: for an operator
/// that is in a container itself, and for an engine that is in a virtual machine.
async fn from_outside(
    docker: &Docker,
    id: &ContainerId,
    call: &str,
) -> Result<Option<ContainerMemoryStats>, Failure> {
    let found =
        docker.call(call, READ, async |client| client.inspect_container(id.as_str(), None).await).await?;
    let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let memory = || {
        let [usage, details] = files(&read(&format!("/proc/{}/cgroup", pid?))?, id)?;
        parse(&[read(&usage)?, read(&details)?].concat())
    };
    Ok(memory())
}

/// The files that say what a process's cgroup uses, by what `/proc` says of the process. Only where the container's
/// id is in the path: elsewhere the process is another one that has the same number.
fn files(cgroups: &str, id: &ContainerId) -> Option<[String; 2]> {
    cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (root, usage) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.current"),
            list if list.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.usage_in_bytes")
            }
            _ => return None,
        };
        path.contains(id.as_str())
            .then(|| [format!("{root}{path}/{usage}"), format!("{root}{path}/memory.stat")])
    })
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
    fn a_containers_cgroup_is_found_by_its_id_alone() {
        let id = ContainerId::new("0f".repeat(32));
        let one = format!("9:name=systemd:/docker/{id}\n4:memory:/docker/{id}\n0::/docker/{id}\n");
        let v1 = format!("/sys/fs/cgroup/memory/docker/{id}");
        assert_eq!(
            files(&one, &id).unwrap(),
            [format!("{v1}/memory.usage_in_bytes"), format!("{v1}/memory.stat")]
        );
        let two = format!("0::/system.slice/docker-{id}.scope\n");
        let v2 = format!("/sys/fs/cgroup/system.slice/docker-{id}.scope");
        assert_eq!(files(&two, &id).unwrap(), [format!("{v2}/memory.current"), format!("{v2}/memory.stat")]);
        assert_eq!(files(&two, &ContainerId::new("aa".repeat(32))), None);
        assert_eq!(files("", &id), None);
    }

    #[test]
    fn memory_in_use_leaves_out_the_cache_of_either_cgroup_version() {
        assert_eq!(used("100\ncache 50\ninactive_file 1\ntotal_inactive_file 30\n"), Some(70));
        assert_eq!(used("100\nanon 1\ninactive_file 40\n"), Some(60));
        assert_eq!(used("100\ninactive_file 200\n"), Some(100));
        assert_eq!(used("cat: no such file\n"), None);
    }
}
