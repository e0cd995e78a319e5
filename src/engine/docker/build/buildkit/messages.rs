//! The messages between BuildKit and its clients, as far as they are used here. Numbers as in its `.proto` files.

use std::collections::BTreeMap;

use prost::Message;

/// `moby.buildkit.v1.SolveRequest`: builds something.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SolveRequest {
    #[prost(string, tag = "1")]
    pub(super) reference: String,
    /// Engines before Docker 25 know this one and the next only, later ones `exporters`.
    #[prost(string, tag = "3")]
    pub(super) exporter: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(super) exporter_attributes: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub(super) session: String,
    #[prost(string, tag = "6")]
    pub(super) frontend: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) attributes: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(super) cache: Option<CacheOptions>,
    #[prost(string, repeated, tag = "9")]
    pub(super) entitlements: Vec<String>,
    #[prost(message, repeated, tag = "13")]
    pub(super) exporters: Vec<Exporter>,
}

/// `moby.buildkit.v1.CacheOptions`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct CacheOptions {
    #[prost(message, repeated, tag = "4")]
    pub(super) exports: Vec<Exporter>,
    #[prost(message, repeated, tag = "5")]
    pub(super) imports: Vec<Exporter>,
}

/// `moby.buildkit.v1.Exporter` and `CacheOptionsEntry`, which look alike.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exporter {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(super) attributes: BTreeMap<String, String>,
}

/// `moby.buildkit.v1.StatusRequest`: follows a build.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusRequest {
    #[prost(string, tag = "1")]
    pub(super) reference: String,
}

/// `moby.buildkit.v1.StatusResponse`: what happened since the last one.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) vertexes: Vec<Vertex>,
    #[prost(message, repeated, tag = "2")]
    pub(super) statuses: Vec<VertexStatus>,
    #[prost(message, repeated, tag = "3")]
    pub(super) logs: Vec<VertexLog>,
}

/// `moby.buildkit.v1.Vertex`: a step.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Vertex {
    #[prost(string, tag = "1")]
    pub(super) digest: String,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(bool, tag = "4")]
    pub(super) cached: bool,
    #[prost(message, optional, tag = "5")]
    pub(super) started: Option<Moment>,
    #[prost(message, optional, tag = "6")]
    pub(super) completed: Option<Moment>,
    #[prost(string, tag = "7")]
    pub(super) error: String,
}

/// `moby.buildkit.v1.VertexStatus`: how far a part of a step is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VertexStatus {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(int64, tag = "4")]
    pub(super) current: i64,
    #[prost(int64, tag = "5")]
    pub(super) total: i64,
    #[prost(message, optional, tag = "8")]
    pub(super) completed: Option<Moment>,
}

/// `moby.buildkit.v1.VertexLog`: what a step printed.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VertexLog {
    #[prost(string, tag = "1")]
    pub(super) vertex: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) text: Vec<u8>,
}

/// `google.protobuf.Timestamp`, of which only counts that it is there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Moment {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
}

/// A message without fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Empty {}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Health {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

/// A message whose first field is a name: `CredentialsRequest`, `GetSecretRequest`, `CheckAgentRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Named {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `moby.filesync.v1.CredentialsResponse`. Never printed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct CredentialsResponse {
    #[prost(string, tag = "1")]
    pub(super) user: String,
    #[prost(string, tag = "2")]
    pub(super) secret: String,
}

/// A message of bytes: `GetSecretResponse` and the `BytesMessage` of agents. Never printed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Bytes {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) data: Vec<u8>,
}

/// Said by no formatting: these two carry secrets.
const UNSAID: &str = "(hidden)";

impl std::fmt::Debug for CredentialsResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(UNSAID)
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(UNSAID)
    }
}

/// `fsutil.types.Packet`: one word of the talk about files.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub(super) id: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) data: Vec<u8>,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum PacketKind {
    Stat = 0,
    Request = 1,
    Data = 2,
    Finished = 3,
    Error = 4,
}

/// `fsutil.types.Stat`: a file, without its content.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Stat {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    /// As Go's `os.FileMode` has it.
    #[prost(uint32, tag = "2")]
    pub(super) mode: u32,
    #[prost(int64, tag = "5")]
    pub(super) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(super) modified: i64,
    #[prost(string, tag = "7")]
    pub(super) link: String,
}
