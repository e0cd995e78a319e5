//! The engine's machine, where that is this one: what listens on it, and how much room its disk has.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::net::UnixStream;

use super::Docker;
use super::connect::Host as Place;
use crate::core::failure::Failure;
use crate::core::fit::{Disk, Host, Listener};
use crate::live::sockets::{LISTENING, sockets};

/// The sockets that systemd listens on for an engine that it starts.
const ACTIVATED: &[&str] = &["/var/run/docker.sock", "/run/docker.sock"];

/// What is known of the machine. Nothing of one that is behind a network, a tunnel or a virtual machine: only where the
/// engine itself listens on a socket of this machine, and sees the same network and the same files as we do.
pub(super) async fn read(docker: &Docker) -> Result<Host, Failure> {
    let Place::Unix(socket) = &docker.address.host else { return Ok(Host::default()) };
    let facts = docker.facts().await?;
    let is_here = facts.info.itself.is_none() && read_line("/proc/sys/kernel/hostname") == facts.machine;
    let Some(pid) = listener_of(socket).await.filter(|_| is_here) else { return Ok(Host::default()) };
    Ok(Host {
        listening: if shares("net", pid) { listening() } else { BTreeSet::new() },
        disk: shares("mnt", pid).then(|| disk(&facts.root)).flatten(),
    })
}

/// The process that listens on a socket, where it is an engine, or starts one when somebody connects.
async fn listener_of(socket: &str) -> Option<i32> {
    let stream = UnixStream::connect(socket).await.ok()?;
    let pid = stream.peer_cred().ok()?.pid()?;
    let name = read_line(&format!("/proc/{pid}/comm"));
    (name == "dockerd" || pid == 1 && ACTIVATED.contains(&socket)).then_some(pid)
}

/// Whether a process is in the same name space as this one.
fn shares(kind: &str, pid: i32) -> bool {
    let space = |of: &str| fs::read_link(format!("/proc/{of}/ns/{kind}")).ok();
    space("self").is_some_and(|own| space(&pid.to_string()) == Some(own))
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The addresses on which somebody listens.
fn listening() -> BTreeSet<Listener> {
    // A socket that listens, and one for datagrams that is bound and not connected.
    let tables = [("tcp", LISTENING), ("tcp6", LISTENING), ("udp", "07"), ("udp6", "07")];
    let listeners = tables.into_iter().flat_map(|(table, state)| {
        let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        listeners_in(&text, table.trim_end_matches('6'), state)
    });
    listeners.collect()
}

fn listeners_in(table: &str, protocol: &str, state: &str) -> Vec<Listener> {
    let listener = |(address, found): (&str, &str)| {
        let (ip, port) = address.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok().filter(|_| found == state)?;
        Some(Listener { protocol: protocol.to_owned(), ip: address_of(ip)?.to_string(), port })
    };
    sockets(table).filter_map(listener).collect()
}

/// The kernel writes addresses as words in the machine's own order of bytes.
fn address_of(hex: &str) -> Option<IpAddr> {
    let bytes = hex::decode(hex).ok()?;
    let words = bytes.chunks_exact(4).filter_map(|word| <[u8; 4]>::try_from(word).ok());
    let in_order: Vec<u8> = words.flat_map(|word| u32::from_be_bytes(word).to_ne_bytes()).collect();
    if let Ok(octets) = <[u8; 4]>::try_from(in_order.as_slice()) {
        return Some(Ipv4Addr::from(octets).into());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(in_order.as_slice()).ok()?);
    Some(address.to_ipv4_mapped().map_or_else(|| address.into(), IpAddr::from))
}

/// The room where the engine keeps its data.
fn disk(root: &str) -> Option<Disk> {
    let found = rustix::fs::statvfs(root).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Disk { path: root.to_owned(), free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
        .filter(|disk| disk.total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_tell_who_listens() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 20 4 30 10 -1
   2: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4244 1 0
   3: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4245 1 0
   4: nonsense
";
        let found: Vec<String> = listeners_in(table, "tcp", "0A")
            .into_iter()
            .map(|it| format!("{} {} {}", it.protocol, it.ip, it.port))
            .collect();
        if cfg!(target_endian = "little") {
            assert_eq!(found, ["tcp 127.0.0.1 8080", "tcp :: 80", "tcp 127.0.0.1 81"]);
        }
    }

    #[test]
    fn the_room_of_a_directory_is_known_and_of_none_is_not() {
        let found = disk("/").unwrap();
        assert!(found.free <= found.total && found.total > 0, "{found:?}");
        assert_eq!(disk("/there/is/no/such/directory"), None);
    }
}
