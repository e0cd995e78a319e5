//! How a stack stands: per service and per container, with the reason for all that is not as it should be.

use serde::{Deserialize, Serialize};

use super::decide::{Decision, Waiting, is_hopeless};
use super::desired::Service;
use super::ids::{Replica, ServiceName, StackName};
use super::memory::Memory;
use super::observed::{Container, Health, State};
use super::overrides::Scale;
use super::reason::Reason;
use super::redact;
use super::time::Timestamp;
use super::view::{Replicas, View, is_completed, serves};

/// The state of a stack at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackStatus {
    /// The stack.
    pub stack: StackName,
    /// In one word.
    pub condition: Condition,
    /// Its services, by name.
    pub services: Vec<ServiceStatus>,
    /// What waits, and is no service's own.
    pub waiting: Vec<Waiting>,
    /// It stays as it is until somebody changes something.
    #[serde(default)]
    pub stuck: bool,
}

impl StackStatus {
    /// Whether everything is as it should be; of what is paused, whether nothing waits for the pause to end.
    pub fn is_converged(&self) -> bool {
        is_converged(self.condition, &self.waiting) && self.services.iter().all(ServiceStatus::is_converged)
    }
}

fn is_converged(condition: Condition, waiting: &[Waiting]) -> bool {
    match condition {
        Condition::Ready => true,
        Condition::Paused => !waiting.iter().any(|waiting| waiting.stuck),
        Condition::Progressing | Condition::Degraded => false,
    }
}

/// A stack or service in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Condition {
    /// As it should be.
    Ready,
    /// On its way there.
    Progressing,
    /// Left as it is, since somebody said so.
    Paused,
    /// Not as it should be, and not getting there by itself.
    Degraded,
}

/// The state of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: ServiceName,
    /// In one word.
    pub condition: Condition,
    /// Replicas that should be.
    pub desired: u32,
    /// Replicas that are ready (or have done their work).
    pub ready: u32,
    /// Replicas of the current revision.
    pub up_to_date: u32,
    /// Its containers, by number.
    pub containers: Vec<ContainerStatus>,
    /// What it waits for beyond its containers.
    pub waiting: Vec<Waiting>,
    /// Who wants that many replicas, where it is not the files.
    #[serde(default)]
    pub scaled: Option<Scale>,
    /// It stays as it is until somebody changes something.
    #[serde(default)]
    pub stuck: bool,
}

impl ServiceStatus {
    /// Whether it is as it should be; where it is paused, whether nothing waits for the pause to end.
    pub fn is_converged(&self) -> bool {
        is_converged(self.condition, &self.waiting)
    }
}

/// The state of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// Short id.
    pub id: String,
    /// What it is doing.
    pub state: State,
    /// Its health, where it has a check or, without one, probes that say whether it is ready.
    pub health: Option<Health>,
    /// It does what it is there for.
    pub ready: bool,
    /// It is of the current revision.
    pub up_to_date: bool,
    /// Restarts, the engine's and ours.
    pub restarts: u32,
    /// Exit code of its last run, where that ended.
    pub exit_code: Option<i64>,
    /// When it last started.
    pub started_at: Option<Timestamp>,
    /// Why it is not as it should be.
    pub reason: Option<Reason>,
    /// Why, in a sentence.
    pub message: Option<String>,
    /// When it is tried again.
    pub next_retry: Option<Timestamp>,
    /// What its health check printed last, where that fails, without the secrets in it.
    #[serde(default)]
    pub check_said: Option<String>,
}

/// The state of a stack, from the same decision that acts on it.
pub fn status(view: &View<'_>, memory: &Memory, decision: &Decision) -> StackStatus {
    let services: Vec<ServiceStatus> = view
        .services()
        .map(|(name, service, replicas)| {
            let waiting: Vec<&Waiting> =
                decision.waiting.iter().filter(|w| w.service.as_ref() == Some(name)).collect();
            let mut containers: Vec<ContainerStatus> =
                replicas.all().map(|c| container(c, service, replicas, memory, &waiting)).collect();
            // What is kept of a revision that was given up is there to be looked at.
            if memory.given_up(name, view.desired).is_some() && !replicas.outdated.is_empty() {
                for kept in &mut containers {
                    kept.up_to_date &= kept.state.is_alive();
                }
            }
            containers.sort_by(|a, b| a.name.len().cmp(&b.name.len()).then_with(|| a.name.cmp(&b.name)));
            let count = |wanted: fn(&&ContainerStatus) -> bool| {
                u32::try_from(containers.iter().filter(wanted).count()).unwrap_or(u32::MAX)
            };
            let ready = count(|c| c.ready);
            // What it lacks may be no service's own: the network that is made first, another's image.
            // On a way back nobody waits for a job.
            let rests = service.is_job() && view.desired.overrides.is_back();
            let acts = ready < service.replicas && !rests
                || decision.actions.iter().any(|action| action.service.as_ref() == Some(name));
            ServiceStatus {
                service: name.clone(),
                condition: condition(waiting.iter().copied(), acts),
                desired: service.replicas,
                ready,
                up_to_date: count(|c| c.up_to_date),
                scaled: service.scaled.clone(),
                stuck: decision.actions.is_empty() && is_hopeless(waiting.iter().copied(), |_| false),
                waiting: waiting
                    .into_iter()
                    .filter(|waiting| containers.iter().all(|c| c.name != waiting.subject))
                    .cloned()
                    .collect(),
                containers,
            }
        })
        .collect();
    let known = |waiting: &&Waiting| {
        waiting.service.as_ref().is_none_or(|name| !view.desired.services.contains_key(name))
    };
    StackStatus {
        stack: view.desired.stack.clone(),
        condition: services
            .iter()
            .map(|service| service.condition)
            .fold(condition(decision.waiting.iter(), !decision.actions.is_empty()), Condition::max),
        services,
        waiting: decision.waiting.iter().filter(known).cloned().collect(),
        stuck: decision.actions.is_empty() && is_hopeless(&decision.waiting, |_| false),
    }
}

fn health_by_probes(container: &Container, why: Option<&&Waiting>) -> Option<Health> {
    match (container.probed.is_ready()?, why.map(|waiting| waiting.reason)) {
        (true, _) => Some(Health::Healthy),
        (false, Some(Reason::Unhealthy)) => Some(Health::Unhealthy),
        (false, _) => Some(Health::Starting),
    }
}

/// Whether that it runs, and what checks it there may be, is not believed for now.
fn is_doubted(reason: Reason) -> bool {
    matches!(reason, Reason::NotReady | Reason::CrashLoopBackOff)
}

fn condition<'a>(waiting: impl Iterator<Item = &'a Waiting>, acts: bool) -> Condition {
    waiting
        .map(|waiting| match waiting.reason {
            Reason::Orphaned => Condition::Ready,
            Reason::RolledBack if !waiting.stuck => Condition::Ready,
            Reason::Paused => Condition::Paused,
            Reason::Unhealthy | Reason::CrashLoopBackOff => Condition::Degraded,
            _ if waiting.stuck => Condition::Degraded,
            _ => Condition::Progressing,
        })
        .chain(acts.then_some(Condition::Progressing))
        .max()
        .unwrap_or(Condition::Ready)
}

fn container(
    container: &Container,
    service: &Service,
    replicas: &Replicas<'_>,
    memory: &Memory,
    waiting: &[&Waiting],
) -> ContainerStatus {
    let of_it = || waiting.iter().filter(|waiting| waiting.subject == container.name);
    let why = of_it().next();
    let crashes = container.replica().and_then(|replica: Replica| memory.crashes(&replica));
    let ours = crashes.map_or(0, |crashes| crashes.of_container(&container.id));
    let ended = !matches!(container.state, State::Running | State::Created | State::Paused);
    let completed = is_completed(container, service);
    let said = Some(container.check_said.expose()).filter(|said| !said.is_empty());
    let fails = container.health == Some(Health::Unhealthy);
    ContainerStatus {
        name: container.name.clone(),
        id: container.id.short().to_owned(),
        state: container.state,
        health: container.health.or_else(|| health_by_probes(container, why)),
        ready: serves(container, service) && !of_it().any(|waiting| is_doubted(waiting.reason)),
        up_to_date: replicas.current.iter().any(|current| current.id == container.id),
        restarts: container.restart_count.saturating_add(ours),
        exit_code: ended.then_some(container.exit_code),
        started_at: container.started_at,
        reason: why.map(|waiting| waiting.reason).or(completed.then_some(Reason::Completed)),
        message: why.map(|waiting| waiting.message.clone()),
        next_retry: why.and_then(|waiting| waiting.until),
        check_said: said
            .filter(|_| fails)
            .map(|said| redact::printed(said, service, &container.spec.environment)),
    }
}
