//! What happens on the engine, as far as it concerns one stack.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::Docker;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::{ContainerId, StackName};
use crate::core::labels;
use crate::core::time::Timestamp;
use crate::engine::EngineEvent;

/// The events that can change a decision. Left out by the engine itself are those that only look
/// (`top`, `attach`, every `exec` of a health check), which a stack of fifty makes ten a second of.
const ACTIONS: &[&str] = &[
    "create",
    "start",
    "restart",
    "stop",
    "kill",
    "die",
    "oom",
    "pause",
    "unpause",
    "destroy",
    "rename",
    "update",
    "health_status",
    "connect",
    "disconnect",
    "remove",
    "pull",
    "tag",
    "untag",
    "delete",
    "load",
    "import",
];

/// The stream begins this long before it was asked for, so that nothing falls between asking and the first
/// look at the engine. Hearing an event twice costs a look.
const OVERLAP_SECONDS: i64 = 1;

const CALL: &str = "listen to the engine's events";

/// Where the listening is.
enum Listening<'a> {
    Asked,
    Hearing(LocalBoxStream<'a, Result<EventMessage, bollard::errors::Error>>),
    Ended,
}

/// Events of the stack's containers, and all of networks, volumes and images: they are rare, few of them carry
/// labels, and an external network or a pulled image concerns any stack.
pub(super) fn listen<'a>(
    docker: &'a Docker,
    stack: &StackName,
) -> LocalBoxStream<'a, Result<EngineEvent, Failure>> {
    let stack = stack.clone();
    let since = jiff::Timestamp::now().as_second() - OVERLAP_SECONDS;
    let next = move |(state, stack): (Listening<'a>, StackName)| async move {
        let mut heard = match state {
            Listening::Ended => return None,
            Listening::Hearing(heard) => heard,
            Listening::Asked => match docker.client(CALL) {
                Ok(client) => client.events(Some(options(since))).boxed_local(),
                Err(failure) => return Some((Err(failure), (Listening::Ended, stack))),
            },
        };
        loop {
            match heard.next().await {
                Some(Ok(message)) => {
                    if let Some(event) = event(message, &stack) {
                        return Some((Ok(event), (Listening::Hearing(heard), stack)));
                    }
                }
                Some(Err(error)) => {
                    return Some((Err(docker.failure(CALL, &error)), (Listening::Ended, stack)));
                }
                None => {
                    let message = format!("{} ended the stream", docker.address);
                    let failure = Failure::new(FailureKind::Unavailable, CALL, message);
                    return Some((Err(failure), (Listening::Ended, stack)));
                }
            }
        }
    };
    stream::unfold((Listening::Asked, stack), next).boxed_local()
}

/// What an engine remembers it says at once. One whose clock is behind ours would go on listening until it is now there
/// too: what it has said by then is all.
const REMEMBERS_WITHIN: Duration = Duration::from_secs(1);

/// When each of the stack's containers was last sent a signal, among the last 256 events of the engine.
pub(super) async fn signals(
    docker: &Docker,
    stack: &StackName,
) -> Result<BTreeMap<ContainerId, Timestamp>, Failure> {
    let call = "read the engine's last events";
    let mut heard = docker.client(call)?.events(Some(past_signals(stack)));
    let mut enough = pin!(tokio::time::sleep(REMEMBERS_WITHIN));
    let mut signals = BTreeMap::new();
    loop {
        let message = tokio::select! {
            message = heard.next() => message,
            () = &mut enough => None,
        };
        let Some(message) = message else { return Ok(signals) };
        let message = message.map_err(|error| docker.failure(call, &error))?;
        if let Some(event) = event(message, stack) {
            signals.insert(ContainerId::new(event.id), event.at);
        }
    }
}

fn past_signals(stack: &StackName) -> bollard::query_parameters::EventsOptions {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), vec!["kill".to_owned()]),
        ("label".to_owned(), vec![format!("{}={stack}", labels::PROJECT)]),
    ]);
    let now = jiff::Timestamp::now();
    let until = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
    EventsOptionsBuilder::new().since("0").until(&until).filters(&filters).build()
}

fn options(since: i64) -> bollard::query_parameters::EventsOptions {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let filters: HashMap<String, Vec<String>> = HashMap::from([
        ("type".to_owned(), words(&["container", "network", "volume", "image"])),
        ("event".to_owned(), words(ACTIONS)),
    ]);
    EventsOptionsBuilder::new().since(&since.to_string()).filters(&filters).build()
}

/// The event, where it is one of the stack's; `None` for another's.
fn event(message: EventMessage, stack: &StackName) -> Option<EngineEvent> {
    let actor = message.actor.unwrap_or_default();
    let attributes: BTreeMap<String, String> = actor.attributes.unwrap_or_default().into_iter().collect();
    let kind = message.typ?.to_string();
    let is_ours = attributes.get(labels::PROJECT).is_some_and(|project| project == stack.as_str());
    if kind == "container" && !is_ours {
        return None;
    }
    let nanoseconds = message.time_nano.map(|nanoseconds| nanoseconds / 1_000_000);
    let millis = nanoseconds.or_else(|| message.time.map(|seconds| seconds.saturating_mul(1_000)));
    Some(EngineEvent {
        at: Timestamp::from_millis(millis.unwrap_or(0)),
        kind,
        action: message.action.unwrap_or_default(),
        id: actor.id.unwrap_or_default(),
        attributes,
    })
}
