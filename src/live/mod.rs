//! Software that runs in containers: how it is asked how it is, and how it is given settings.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::core::ids::ContainerId;
use crate::engine::Answer;

pub mod caddy;
pub mod probe;
pub mod redis;
pub(crate) mod sockets;

/// An address on the same machine answers within a millisecond or not at all; a wrong guess (an engine in a virtual
/// machine) costs this much before the other way is taken.
const CONNECT: Duration = Duration::from_millis(300);

/// Connects to a container's address, if it can be reached from here.
async fn connect(address: &str, port: u16) -> io::Result<TcpStream> {
    tokio::time::timeout(CONNECT, TcpStream::connect((address, port))).await?
}

/// A way to run a command in a running container, for software that cannot be reached over the network.
pub trait RunIn {
    /// Whether containers' own addresses are likely to be reachable from here.
    fn reaches_addresses(&self) -> bool;

    /// Runs a command to its end. Secrets go into the environment (`NAME=value`): arguments stand in every
    /// process list.
    fn run_in<'a>(
        &'a self,
        id: &'a ContainerId,
        command: &'a [&'a str],
        environment: Vec<String>,
    ) -> Answer<'a, Output>;
}

/// The code of a command that was not run at all: its standard error says why.
pub const NOT_RUN: i64 = -1;

/// What a command said, and how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Exit code; 126 and 127 for a program that is not there.
    pub code: i64,
}
