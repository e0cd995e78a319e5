//! BuildKit, over the engine's two ways to it: `/grpc`, where it is asked to build, and `/session`, where it asks
//! back for files, secrets and credentials. It is the way that buildx, and so Compose, takes.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest, Sha256};
use tokio_util::task::AbortOnDropHandle;

use self::grpc::{Messages, Status};
use self::inputs::Inputs;
use self::messages::{Empty, SolveRequest, StatusRequest, StatusResponse};
use self::progress::Steps;
use self::session::{Offer, Source};
use super::{BUILD_SILENCE, arguments, explained};
use crate::core::desired::{Build, BuildSecret};
use crate::core::failure::{Failure, FailureKind};
use crate::engine::Progress;
use crate::engine::docker::credentials::Keeper;
use crate::engine::docker::{Docker, classify, dial};

mod attributes;
mod files;
mod grpc;
mod inputs;
mod messages;
mod progress;
mod session;

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";

/// The last words of a step may come after the end of the build that they explain.
const LAST_WORDS: Duration = Duration::from_secs(3);

pub(super) async fn build(
    docker: &Docker,
    call: &str,
    reference: &str,
    build: &Build,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let failed = |message: String| Failure::new(FailureKind::BuildFailed, call, message);
    let opened = {
        let build = build.clone();
        tokio::task::spawn_blocking(move || Inputs::open(&build)).await
    };
    let inputs = opened.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
    let secrets = secrets(build).map_err(failed)?;
    let mut steps = Steps::new(&texts(&secrets));
    let keeper = Keeper::open(&docker.environment)?;
    let offer = Offer {
        directories: inputs.directories.clone(),
        secrets,
        agents: agents(docker, build).map_err(failed)?,
        keeper: keeper.clone(),
    };
    let name = session_name();
    let _session = open_session(docker, call, &name, build, offer).await?;
    let (mut control, _connection) = open_control(docker, call).await?;
    let request = attributes::request(build, reference, &arguments(docker, build, &keeper), &inputs, &name);
    let outcome = solve(docker, call, &mut control, request, &mut steps, progress).await;
    outcome.map_err(|failure| match failure.kind {
        // It says nothing on the build.
        FailureKind::Unavailable => failure,
        _ => explained(failure, &steps.last_words(), &keeper),
    })
}

/// Builds, and passes on what happens meanwhile.
async fn solve(
    docker: &Docker,
    call: &str,
    control: &mut SendRequest<Full<bytes::Bytes>>,
    request: SolveRequest,
    steps: &mut Steps,
    progress: Progress<'_>,
) -> Result<(), Failure> {
    let mut follower = control.clone();
    let follow = StatusRequest { reference: request.reference.clone() };
    let mut solving = std::pin::pin!(grpc::call::<Empty>(control, SOLVE, &request));
    let mut news: Option<Messages> = None;
    let mut opening = std::pin::pin!(grpc::open(&mut follower, STATUS, &follow));
    let mut ended = None;
    loop {
        let following = news.is_some();
        let limit = if ended.is_some() { LAST_WORDS } else { BUILD_SILENCE };
        let next = async {
            match &mut news {
                Some(messages) => messages.next::<StatusResponse>().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            opened = &mut opening, if !following && ended.is_none() => match opened {
                Ok(messages) => news = Some(messages),
                // Without news there is still the end; the end says what is wrong.
                Err(_) => ended = Some(solving.as_mut().await),
            },
            said = next => match said {
                Ok(Some(said)) => steps.take(said, progress),
                _ if ended.is_some() => break,
                _ => ended = Some(solving.as_mut().await),
            },
            end = &mut solving, if ended.is_none() => ended = Some(end),
            () = tokio::time::sleep(limit) => {
                if ended.is_none() {
                    return Err(classify::timed_out(&docker.address, call, limit));
                }
                break;
            }
        }
        if ended.is_some() && !following {
            break;
        }
    }
    match ended {
        Some(Err(status)) => Err(failure(call, &status)),
        _ => Ok(()),
    }
}

fn failure(call: &str, status: &Status) -> Failure {
    let mut message = status.message.as_str();
    // Each layer of BuildKit adds that the one below has failed.
    for head in [
        "failed to solve: ",
        "rpc error: code = Unknown desc = ",
        "failed to solve with frontend dockerfile.v0: ",
    ] {
        message = message.strip_prefix(head).unwrap_or(message);
    }
    let by_words = classify::by_words(message).unwrap_or(FailureKind::BuildFailed);
    let kind = if status.code == grpc::Code::BROKEN { FailureKind::Unavailable } else { by_words };
    Failure::new(kind, call, message)
}

/// Opens the way on which BuildKit asks back. It is closed when this is dropped, which ends the build.
async fn open_session(
    docker: &Docker,
    call: &str,
    name: &str,
    build: &Build,
    offer: Offer,
) -> Result<AbortOnDropHandle<()>, Failure> {
    // What the engine keeps of a directory, it finds again by this.
    let shared = hex::encode(Sha256::digest(build.context.as_bytes()));
    let mut headers = vec![
        ("X-Docker-Expose-Session-Uuid", name.to_owned()),
        ("X-Docker-Expose-Session-Name", "operator".to_owned()),
        ("X-Docker-Expose-Session-Sharedkey", shared),
    ];
    headers.extend(
        session::METHODS.iter().map(|method| ("X-Docker-Expose-Session-Grpc-Method", (*method).to_owned())),
    );
    let io = dial::upgraded(docker, call, "/session", &headers).await?;
    let offer = Arc::new(offer);
    let answer = service_fn(move |request| session::answer(Arc::clone(&offer), request));
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, answer);
    Ok(AbortOnDropHandle::new(tokio::spawn(async {
        // How it ends is told by the build's own end.
        let _end = serving.await;
    })))
}

/// Opens the way on which BuildKit is asked.
async fn open_control(
    docker: &Docker,
    call: &str,
) -> Result<(SendRequest<Full<bytes::Bytes>>, AbortOnDropHandle<()>), Failure> {
    let io = dial::upgraded(docker, call, "/grpc", &[]).await?;
    let broken = |error: hyper::Error| Failure::new(FailureKind::Unavailable, call, error);
    let opened = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (control, connection) = opened.map_err(broken)?;
    let connection = tokio::spawn(async {
        // What breaks it, breaks the calls on it, and they tell.
        let _end = connection.await;
    });
    Ok((control, AbortOnDropHandle::new(connection)))
}

/// A name that no other session has.
fn session_name() -> String {
    // Each state is seeded by the system's randomness.
    let word = || format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    format!("{}{}", word(), word())
}

fn secrets(build: &Build) -> Result<BTreeMap<String, Source>, String> {
    let mut secrets = BTreeMap::new();
    for (id, secret) in &build.secrets {
        let source = match secret {
            BuildSecret::File(path) => {
                let path = PathBuf::from(path);
                if let Err(error) = std::fs::File::open(&path) {
                    return Err(format!("the secret {id} cannot be read: {}: {error}", path.display()));
                }
                Source::File(path)
            }
            BuildSecret::Variable { value: Some(value), .. } => Source::Text(value.clone()),
            BuildSecret::Variable { name, value: None } => {
                return Err(format!(
                    "the secret {id} comes from the variable {name}, which is not set: set it"
                ));
            }
        };
        secrets.insert(id.clone(), source);
    }
    Ok(secrets)
}

/// The secrets that are texts, so that they can be left out of what is shown.
fn texts(secrets: &BTreeMap<String, Source>) -> Vec<String> {
    let text = |source: &Source| match source {
        Source::Text(secret) => Some(secret.expose().to_owned()),
        Source::File(path) => std::fs::read_to_string(path).ok(),
    };
    secrets.values().filter_map(text).collect()
}

/// The sockets of the agents.
fn agents(docker: &Docker, build: &Build) -> Result<BTreeMap<String, PathBuf>, String> {
    use std::os::unix::fs::FileTypeExt;
    let mut agents = BTreeMap::new();
    for (id, path) in &build.ssh {
        let own = docker.environment.get("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
        let Some(path) = path.as_ref().or(own) else {
            return Err(format!(
                "the build wants the ssh agent {id}, and SSH_AUTH_SOCK is not set: start one with `eval $(ssh-agent)`, or \
                 name its socket as {id}=PATH"
            ));
        };
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.file_type().is_socket() => {
                drop(agents.insert(id.clone(), PathBuf::from(path)));
            }
            Ok(_) => {
                return Err(format!(
                    "{path} for the ssh agent {id} is no socket: keys are not read, so add it to an agent with \
                     `ssh-add {path}` and name the agent's socket"
                ));
            }
            Err(error) => return Err(format!("{path} for the ssh agent {id} cannot be used: {error}")),
        }
    }
    Ok(agents)
}
