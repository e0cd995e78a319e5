//! What happens on the engine, as far as it concerns one stack.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::stream::{self, LocalBoxStream, StreamExt};

use super::Docker;
use super::client::Caller;
use super::ears::{Ear, Ears};
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
enum Listening {
    Asked(Ear),
    Hearing(Ear),
    Ended,
}

/// Events of the stack's containers, and all of networks, volumes and images: they are rare, few of them carry
/// labels, and an external network or a pulled image concerns any stack.
pub(super) fn listen<'a>(
    docker: &'a Docker,
    stack: &StackName,
) -> LocalBoxStream<'a, Result<EngineEvent, Failure>> {
    let ear = docker.ears.listen(stack, jiff::Timestamp::now().as_second() - OVERLAP_SECONDS);
    let next = move |state: Listening| async move {
        let mut ear = match state {
            Listening::Ended => return None,
            Listening::Hearing(ear) => ear,
            Listening::Asked(ear) => match docker.caller(CALL) {
                Ok(caller) => {
                    let ears = docker.ears.clone();
                    docker.ears.begin(|since| tokio::spawn(hear(caller, since, ears)).abort_handle());
                    ear
                }
                Err(failure) => return Some((Err(failure), Listening::Ended)),
            },
        };
        let heard = ear.next(CALL).await;
        let state = if heard.is_ok() { Listening::Hearing(ear) } else { Listening::Ended };
        Some((heard, state))
    };
    stream::unfold(Listening::Asked(ear), next).boxed_local()
}

/// Hears what happens from this second on, for all.
async fn hear(caller: Caller, since: i64, ears: Ears) {
    let mut heard = pin!(caller.client().events(Some(options(since))));
    let failure = loop {
        match heard.next().await {
            Some(Ok(message)) => ears.tell(&event(message)),
            Some(Err(error)) => break caller.failure(CALL, &error),
            None => {
                let message = format!("{} ended the stream", caller.address());
                break Failure::new(FailureKind::Unavailable, CALL, message);
            }
        }
    };
    ears.end(&failure);
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
        let event = event(message);
        signals.insert(ContainerId::new(event.id), event.at);
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

fn event(message: EventMessage) -> EngineEvent {
    let actor = message.actor.unwrap_or_default();
    let nanoseconds = message.time_nano.map(|nanoseconds| nanoseconds / 1_000_000);
    let millis = nanoseconds.or_else(|| message.time.map(|seconds| seconds.saturating_mul(1_000)));
    EngineEvent {
        at: Timestamp::from_millis(millis.unwrap_or(0)),
        kind: message.typ.map(|kind| kind.to_string()).unwrap_or_default(),
        action: message.action.unwrap_or_default(),
        id: actor.id.unwrap_or_default(),
        attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
    }
}
