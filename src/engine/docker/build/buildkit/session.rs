//! The other way round: what BuildKit asks its client for during a build. Files, secrets, credentials, an agent.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::stream;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use super::files::{self, Tree};
use super::grpc::{self, Body, Code, Messages, Status};
use super::messages::{Bytes, CredentialsResponse, Empty, Health, Named};
use crate::engine::docker::credentials::{Credentials, Keeper};
use crate::secret::Secret;

/// Everything that is answered, as the engine is told beforehand.
pub(super) const METHODS: &[&str] = &[CHECK, CREDENTIALS, SECRET, AGENT, FORWARD, FILES];

const CHECK: &str = "/grpc.health.v1.Health/Check";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// The id of the agent that is meant where none is named.
const DEFAULT_AGENT: &str = "default";

/// gRPC's word for "serving".
const SERVING: i32 = 1;

/// Bytes that an agent says at once.
const CHUNK: usize = 32 * 1024;

/// What one build may ask for.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) directories: BTreeMap<String, Tree>,
    pub(super) secrets: BTreeMap<String, Source>,
    pub(super) agents: BTreeMap<String, PathBuf>,
    pub(super) keeper: Keeper,
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// A file, whatever is in it.
    File(PathBuf),
    /// A text.
    Text(Secret),
}

/// Answers one request.
pub(super) async fn answer(
    offer: Arc<Offer>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let (head, body) = request.into_parts();
    let mut messages = Messages::new(body);
    Ok(match path.as_str() {
        CHECK => grpc::answer(Ok(Health { status: SERVING })),
        CREDENTIALS => grpc::answer(credentials(&offer, &mut messages).await),
        SECRET => grpc::answer(secret(&offer, &mut messages).await),
        AGENT => grpc::answer(agent_is_there(&offer, &mut messages).await),
        FORWARD => forward(&offer, &head.headers, messages).await,
        FILES => directory(&offer, &head.headers, messages),
        other => grpc::refusal(&Status::new(Code::UNIMPLEMENTED, format_args!("{other} is not offered"))),
    })
}

async fn name(messages: &mut Messages) -> Result<String, Status> {
    Ok(messages.next::<Named>().await?.unwrap_or_default().name)
}

async fn credentials(offer: &Offer, messages: &mut Messages) -> Result<CredentialsResponse, Status> {
    let host = name(messages).await?;
    let found = offer.keeper.find(&host).await;
    let found = found.map_err(|failure| Status::new(Code::INTERNAL, failure.message))?;
    Ok(match found {
        None => CredentialsResponse::default(),
        Some(Credentials::Password { user, password }) => {
            CredentialsResponse { user, secret: password.expose().to_owned() }
        }
        Some(Credentials::Token(token)) => {
            CredentialsResponse { user: String::new(), secret: token.expose().to_owned() }
        }
    })
}

async fn secret(offer: &Offer, messages: &mut Messages) -> Result<Bytes, Status> {
    let id = name(messages).await?;
    match offer.secrets.get(&id) {
        Some(Source::Text(secret)) => Ok(Bytes { data: secret.expose().as_bytes().to_vec() }),
        Some(Source::File(path)) => {
            let unread = |error| {
                Status::new(Code::INTERNAL, format_args!("{} cannot be read: {error}", path.display()))
            };
            Ok(Bytes { data: tokio::fs::read(path).await.map_err(unread)? })
        }
        None => {
            let message = format_args!("secret {id} not found: `build.secrets` has none");
            Err(Status::new(Code::NOT_FOUND, message))
        }
    }
}

fn agent<'o>(offer: &'o Offer, id: &str) -> Result<&'o PathBuf, Status> {
    let id = if id.is_empty() { DEFAULT_AGENT } else { id };
    let unknown =
        || Status::new(Code::NOT_FOUND, format_args!("ssh agent {id} not found: `build.ssh` has none"));
    offer.agents.get(id).ok_or_else(unknown)
}

async fn agent_is_there(offer: &Offer, messages: &mut Messages) -> Result<Empty, Status> {
    agent(offer, &name(messages).await?).map(|_| Empty {})
}

/// Carries what is said between a step of the build and an agent.
async fn forward(offer: &Offer, headers: &HeaderMap, mut messages: Messages) -> Response<Body> {
    let id = headers.get("buildkit.ssh.id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let opened = async {
        let path = agent(offer, id)?;
        let unreachable = |error| {
            Status::new(Code::UNAVAILABLE, format_args!("no ssh agent at {}: {error}", path.display()))
        };
        UnixStream::connect(path).await.map_err(unreachable)
    };
    let (from_agent, mut to_agent) = match opened.await {
        Ok(socket) => socket.into_split(),
        Err(status) => return grpc::refusal(&status),
    };
    drop(tokio::spawn(async move {
        while let Ok(Some(Bytes { data })) = messages.next().await {
            if to_agent.write_all(&data).await.is_err() {
                return;
            }
        }
    }));
    grpc::streamed(stream::unfold(from_agent, said))
}

async fn said(mut agent: OwnedReadHalf) -> Option<(bytes::Bytes, OwnedReadHalf)> {
    let mut data = vec![0; CHUNK];
    let read = agent.read(&mut data).await.ok().filter(|read| *read > 0)?;
    data.truncate(read);
    Some((grpc::framed(&Bytes { data }), agent))
}

fn directory(offer: &Offer, headers: &HeaderMap, messages: Messages) -> Response<Body> {
    let name = files::asked_for(headers);
    match offer.directories.get(&name) {
        Some(tree) => grpc::streamed(files::talk(tree.clone(), headers, messages)),
        None => {
            let message = format_args!("the directory {name} is no part of this build");
            grpc::refusal(&Status::new(Code::NOT_FOUND, message))
        }
    }
}
