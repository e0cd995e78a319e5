//! What is counted and measured, before anybody asks for it.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use super::SourceFigures;
use crate::core::action::{Action, Call, Cause};
use crate::core::event::{Event, EventKind};
use crate::core::heal::WhyRestart;
use crate::core::ids::{ServiceName, StackName};
use crate::core::reason::Reason;
use crate::core::status::{Condition, ServiceStatus, StackStatus};
use crate::core::time::Timestamp;

/// From a decision at once to one that waited for a busy engine: a look at fifty containers takes some 30 ms.
const RECONCILING: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// From a call that the engine answers at once to an image that is pulled or built.
const ACTING: [f64; 11] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0];

/// All of them.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) started: Timestamp,
    pub(super) files_refused: bool,
    pub(super) stacks: BTreeMap<StackName, StackFigures>,
    /// How long calls took, of all stacks: by stack and action it would be a thousand series.
    pub(super) acting: BTreeMap<&'static str, Histogram>,
    pub(super) sources: BTreeMap<String, SourceFigures>,
}

/// Those of one stack.
#[derive(Debug)]
pub(super) struct StackFigures {
    pub(super) reconciled: u64,
    pub(super) failed: u64,
    pub(super) took: Histogram,
    /// By verb, and whether it was done.
    pub(super) actions: BTreeMap<(&'static str, bool), u64>,
    pub(super) restarts: BTreeMap<(ServiceName, &'static str), u64>,
    pub(super) events: BTreeMap<EventKind, u64>,
    /// How it stands; nothing until it was decided on.
    pub(super) standing: Option<Standing>,
    /// Whether its engine answers, where it was asked.
    pub(super) engine_up: Option<bool>,
}

/// How a stack stands.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) condition: Condition,
    pub(super) drift: u64,
    pub(super) services: BTreeMap<ServiceName, ServiceFigures>,
}

/// How a service stands.
#[derive(Debug)]
pub(super) struct ServiceFigures {
    pub(super) desired: u32,
    pub(super) ready: u32,
    pub(super) updated: u32,
    pub(super) backing_off: u64,
}

impl Figures {
    pub(super) fn new(started: Timestamp) -> Self {
        let (stacks, acting, sources) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { started, files_refused: false, stacks, acting, sources }
    }

    /// A call took so long.
    pub(super) fn took(&mut self, verb: &'static str, took: Duration) {
        self.acting.entry(verb).or_insert_with(|| Histogram::new(ACTING)).observe(took.as_secs_f64());
    }
}

impl StackFigures {
    /// Something happened to it.
    pub(super) fn happened(&mut self, event: &Event) {
        *self.events.entry(event.kind).or_default() += 1;
    }
}

impl Default for StackFigures {
    fn default() -> Self {
        Self {
            reconciled: 0,
            failed: 0,
            took: Histogram::new(RECONCILING),
            actions: BTreeMap::new(),
            restarts: BTreeMap::new(),
            events: BTreeMap::new(),
            standing: None,
            engine_up: None,
        }
    }
}

impl Standing {
    pub(super) fn of(status: &StackStatus) -> Self {
        let services = status.services.iter().filter(|service| !service.is_converged()).count();
        // Containers of services that are gone are told of, and nothing is wrong with them.
        let beside = status.waiting.iter().filter(|waiting| waiting.reason != Reason::Orphaned).count();
        Self {
            condition: status.condition,
            drift: services as u64 + beside as u64,
            services: status.services.iter().map(|it| (it.service.clone(), ServiceFigures::of(it))).collect(),
        }
    }
}

impl ServiceFigures {
    fn of(service: &ServiceStatus) -> Self {
        let containers = service.containers.iter().map(|it| (it.reason, it.next_retry));
        let waiting = service.waiting.iter().map(|it| (Some(it.reason), it.until));
        let backs_off = |(reason, next): &(Option<Reason>, Option<Timestamp>)| {
            next.is_some() && reason.is_some_and(is_back_off)
        };
        Self {
            desired: service.desired,
            ready: service.ready,
            updated: service.up_to_date,
            backing_off: containers.chain(waiting).filter(backs_off).count() as u64,
        }
    }
}

/// Whether what waits for this until some moment failed, and is tried again then.
fn is_back_off(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::CrashLoopBackOff
            | Reason::ImagePullBackOff
            | Reason::BuildFailed
            | Reason::ImageMissing
            | Reason::CreateError
            | Reason::StartError
            | Reason::HookFailed
            | Reason::UpdateError
            | Reason::PortConflict
            | Reason::NameConflict
            | Reason::DiskFull
            | Reason::Denied
            | Reason::EngineError
            | Reason::NetworkDiffers
            | Reason::LiveUnreadable
    )
}

/// Why an action brings something back that ran before, in a word; nothing where it does not.
pub(super) fn restart(action: &Action) -> Option<&'static str> {
    match (&action.call, &action.cause) {
        (Call::StartContainer(_), Cause::Exited { oom_killed: true, .. }) => Some("out_of_memory"),
        (Call::StartContainer(_), Cause::Exited { .. }) => Some("exited"),
        (Call::StartContainer(_), Cause::StoppedByHand) => Some("stopped_by_hand"),
        (Call::StartContainer(_), Cause::StoppedWithEngine) => Some("stopped_with_engine"),
        (Call::CreateContainer(_), Cause::RemovedByHand) => Some("removed_by_hand"),
        (Call::StartContainer(_), Cause::Restart(why)) => Some(match why {
            WhyRestart::Probe { .. } => "probe",
            WhyRestart::Unhealthy { .. } => "unhealthy",
            WhyRestart::Memory { .. } => "memory",
            WhyRestart::Dependency { .. } => "dependency",
            WhyRestart::Asked { .. } => "asked",
            WhyRestart::Age { .. } => "age",
        }),
        _ => None,
    }
}
