//! Where this process runs: in which container, and on a machine that was started when.

use crate::core::ids::ContainerId;

/// Digits of a container's id.
const ID: usize = 64;

/// The container of this process. Docker mounts three files of a container's own into it, from a directory with its id in
/// the name; where it does not, nothing is known.
pub(super) fn container() -> Option<ContainerId> {
    found_in(&std::fs::read_to_string("/proc/self/mountinfo").ok()?)
}

/// What the kernel calls the time since this machine was started.
pub(super) fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

fn found_in(mounts: &str) -> Option<ContainerId> {
    let own = mounts.lines().filter(|line| {
        let mut fields = line.split(' ').skip(4);
        matches!(fields.next(), Some("/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf"))
    });
    let mut ids = own.filter_map(|line| {
        let (_, rest) = line.split_once("/containers/")?;
        let id = rest.get(..ID)?;
        (rest.as_bytes().get(ID) == Some(&b'/') && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then_some(id)
    });
    ids.next().map(ContainerId::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_that_docker_mounts_tell_the_container() {
        let id = "0123456789abcdef".repeat(4);
        let line = |path: &str, at: &str| format!("744 718 8:1 {path} {at} rw,relatime - ext4 /dev/sda1 rw");
        let hosts = line(&format!("/var/lib/docker/containers/{id}/hosts"), "/etc/hosts");
        let root = line("/", "/");
        assert_eq!(found_in(&format!("{root}\n{hosts}\n")), Some(ContainerId::new(id.as_str())));
        // Docker's whole directory, mounted by somebody who looks at others.
        let others = line(&format!("/var/lib/docker/containers/{id}/x"), "/logs");
        for none in [root, others, line("/containers/short/hosts", "/etc/hosts"), String::new()] {
            assert_eq!(found_in(&none), None, "{none}");
        }
    }
}
