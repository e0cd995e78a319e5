//! The one place that knows what to do next.
//!
//! [`decide`] looks at the whole state each time (level-triggered): lost events, crashes and restarts of the
//! operator cannot confuse it. It starts what can start now, says what waits for what, and when to look again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::action::{Action, Call, Cause, Precondition, Target};
use super::desired::{Desired, Service};
use super::failure::{Failure, FailureClass};
use super::history::Stand;
use super::ids::{ContainerId, ServiceName};
use super::memory::Memory;
use super::networks as of_networks;
use super::observed::{Container, Foreign, Observed, State};
use super::reason::Reason;
use super::sync::{self, Turn};
use super::time::Timestamp;
use super::view::View;
use super::volumes as of_volumes;
use super::{limits, needs, order};

mod belief;
mod claims;
mod content;
mod hooks;
mod images;
mod itself;
mod job;
mod leave;
mod networks;
mod prepare;
mod rest;
mod restart;
mod rollback;
mod rollout;
mod room;
mod said;
mod service;
mod tend;
mod traffic;
mod trial;
mod turn;
mod volumes;

pub use leave::orphaned;
pub use rest::is_hopeless;

/// What to do now, and what must wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Start these now; none depends on another.
    pub actions: Vec<Action>,
    /// What is not as it should be and is not being changed now, with the reason.
    pub waiting: Vec<Waiting>,
    /// Decide again at this moment at the latest, whatever happens. `None`: an event will tell.
    pub wake_at: Option<Timestamp>,
    /// Containers of which is not known whether their limits, networks, live settings and name are as they should be.
    pub unsettled: BTreeSet<ContainerId>,
    /// Containers of which one of these is not as it should be.
    pub differing: BTreeSet<ContainerId>,
    /// Containers that are about to stop: their proxies are to send them nothing.
    pub leaving: BTreeSet<ContainerId>,
}

/// One thing that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The service that it concerns.
    pub service: Option<ServiceName>,
    /// What waits: a container's, network's, volume's or image's name.
    pub subject: String,
    /// Why.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: String,
    /// When it will be looked at again, where that is known.
    pub until: Option<Timestamp>,
    /// It stays so until somebody changes something: waiting longer does not help.
    pub stuck: bool,
}

/// Decides what to do now.
pub fn decide(view: &View<'_>, memory: &Memory, now: Timestamp) -> Decision {
    let (desired, observed) = (view.desired, view.observed);
    let (mut networks, volumes) = (of_networks::differing(view), of_volumes::differing(view));
    networks::keep_stubborn(&mut networks, view, memory);
    let decision = Decision::default();
    let differing = Differing { networks: &networks, volumes: &volumes };
    let turns = sync::turns(desired);
    let (unfinished, awaited) = (Vec::new(), BTreeSet::new());
    let mut planner =
        Planner { view, desired, observed, memory, now, differing, turns, unfinished, awaited, decision };
    if !observed.complete {
        // Absence of proof is not proof of absence: no action on a partial picture.
        planner.wait(
            None,
            "engine",
            Reason::Incomplete,
            "not everything could be read from the engine",
            None,
        );
        planner.wake_at(now.after(limits::LOOK_AGAIN));
        return planner.decision;
    }
    planner.unfinished = planner.unfinished();
    planner.awaited = planner.awaited();
    planner.plan();
    planner.itself();
    planner.scope();
    planner.overrides_end();
    planner.pauses();
    planner.rollback();
    planner.in_flight();
    planner.silent();
    planner.decision
}

/// Networks and volumes that are not as they should be.
#[derive(Clone, Copy)]
struct Differing<'a> {
    networks: &'a [of_networks::Differing<'a>],
    volumes: &'a [of_volumes::Differing<'a>],
}

struct Planner<'a> {
    view: &'a View<'a>,
    desired: &'a Desired,
    observed: &'a Observed,
    memory: &'a Memory,
    now: Timestamp,
    differing: Differing<'a>,
    /// Whose turn is when, where not all have the same.
    turns: BTreeMap<&'a ServiceName, Turn>,
    /// Who is not through with the change.
    unfinished: Vec<(&'a ServiceName, Turn)>,
    /// Who waits for nobody's turn, since others wait for what they have.
    awaited: BTreeSet<ServiceName>,
    decision: Decision,
}

impl Planner<'_> {
    fn plan(&mut self) {
        if self.desired.images_first && !(self.is_able() && self.images()) {
            return;
        }
        self.networks();
        self.volumes();
        self.pretenders();
        for name in order::by_dependency(self.desired) {
            if let (Some(service), Some(replicas)) =
                (self.desired.services.get(name), self.view.replicas(name.as_str()))
            {
                self.service(name, service, replicas);
            }
        }
        self.leavers();
        self.traffic();
    }

    /// Leaves what is paused as it is, and says whether that keeps anything from being done.
    fn pauses(&mut self) {
        let (overrides, now) = (&self.desired.overrides, self.now);
        let whole = overrides.pause(now).map(|pause| (None, pause));
        let services = self.desired.services.keys();
        let each = services.filter_map(|name| Some((Some(name), overrides.pause_of(name, now)?)));
        for (service, pause) in whole.into_iter().chain(each) {
            let before = self.decision.actions.len();
            self.decision.actions.retain(|action| service.is_some() && action.service.as_ref() != service);
            let pending = before - self.decision.actions.len();
            // Nothing is tried meanwhile, whatever it waits for.
            let rests = |waiting: &&mut Waiting| service.is_none() || waiting.service.as_ref() == service;
            self.decision.waiting.iter_mut().filter(rests).for_each(|waiting| waiting.until = None);
            let subject = service.map_or(self.desired.stack.as_str(), ServiceName::as_str);
            let message = match pending {
                0 => format!("{pause}; nothing is to be done"),
                _ => format!("{pause}; `operator resume` goes on"),
            };
            self.wait(service, subject, Reason::Paused, message, pause.until).stuck = pending > 0;
        }
    }

    /// Says that an earlier revision is held; where it could not be brought back and nothing else is known to be meant,
    /// leaves all as it is.
    fn rollback(&mut self) {
        let Some(rollback) = &self.desired.overrides.rollback else { return };
        let lost = rollback.stand != Stand::Holds;
        if rollback.forbids() {
            self.decision.actions.clear();
        }
        let subject = self.desired.stack.as_str();
        self.wait(None, subject, Reason::RolledBack, rollback.message(), None).stuck = lost;
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.decision.wake_at = Some(self.decision.wake_at.map_or(at, |before| before.min(at)));
    }

    fn wait(
        &mut self,
        service: Option<&ServiceName>,
        subject: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
        until: Option<Timestamp>,
    ) -> &mut Waiting {
        if let Some(at) = until {
            self.wake_at(at);
        }
        let (subject, message) = (subject.into(), message.into());
        let stuck = matches!(
            reason,
            Reason::ExternalMissing
                | Reason::ImageMissing
                | Reason::RolloutFailed
                | Reason::JobFailed
                | Reason::VolumeDiffers
                | Reason::OwnershipMismatch
                | Reason::Stalled
                | Reason::Unsupported
        );
        let waiting = Waiting { service: service.cloned(), subject, reason, message, until, stuck };
        self.decision.waiting.push_mut(waiting)
    }

    /// Starts an action, unless it is under way, its container is busy or silent, or it failed a moment ago.
    fn act(&mut self, service: Option<&ServiceName>, call: Call, cause: Cause, precondition: Precondition) {
        let action = Action { call, service: service.cloned(), cause, precondition };
        let key = action.call.key();
        if self.memory.is_in_flight(&key) {
            return;
        }
        if let Some(target) = action.call.container()
            && (self.memory.is_busy(&target.id)
                || self.observed.is_silent(&target.id)
                || self.is_claimed(&target.id))
        {
            return;
        }
        match self.memory.failed(&action.call).filter(|failed| failed.next_try > self.now) {
            Some(failed) => {
                let pulls = matches!(action.call, Call::PullImage { .. });
                let reason = reason_of(&action.call, &failed.failure);
                let patience = if pulls { 2 } else { 5 };
                let stuck = failed.failure.kind.class() == FailureClass::Terminal
                    || failed.attempts >= patience
                    || self.namesake(&action.call).is_some();
                let mut message = failed.failure.to_string();
                if let Some(holder) = self.holder(&action.call, reason) {
                    message = format!("{message}; {holder}");
                }
                let until = failed.next_try;
                self.wait(service, action.call.target(), reason, message, Some(until)).stuck = stuck;
            }
            None => self.decision.actions.push(action),
        }
    }

    /// Who else has the name that a container should get. Where nobody is seen to have it, another operator is making the
    /// very container.
    fn namesake(&self, call: &Call) -> Option<&Foreign> {
        let Call::CreateContainer(new) = call else { return None };
        self.observed.foreign.values().map(AsRef::as_ref).find(|foreign: &&Foreign| foreign.name == new.name)
    }

    /// Who, of others on this engine, has the name or host port that a call asks for, with the way out.
    fn holder(&self, call: &Call, reason: Reason) -> Option<String> {
        let (what, holder, way_out) = match (call, reason) {
            (_, Reason::NameConflict) => {
                let holder = self.namesake(call)?;
                // Whoever looks after a project wants its names back.
                let way_out = match holder.project {
                    Some(_) => "give one of the two another `container_name`".to_owned(),
                    None => format!("`docker rename {} NAME`", holder.name),
                };
                ("has that name".to_owned(), holder, way_out)
            }
            (Call::StartContainer(target), Reason::PortConflict) => {
                let ports = &self.observed.containers.get(&target.id)?.spec.ports;
                let mut fixed =
                    ports.iter().filter_map(|it| Some(format!("{}/{}", it.fixed()?, it.protocol)));
                let (holder, port) = fixed.find_map(|port| Some((self.observed.publisher(&port)?, port)))?;
                (format!("publishes {port}"), holder, "stop it, or publish another port".to_owned())
            }
            _ => return None,
        };
        let of = holder.of_project();
        Some(format!("container {}{of}, which is not this stack's, {what}: {way_out}", holder.name))
    }

    /// Whether this very decision already does something to a container.
    fn is_claimed(&self, id: &ContainerId) -> bool {
        self.decision
            .actions
            .iter()
            .any(|action| action.call.container().is_some_and(|target| target.id == *id))
    }

    /// An action on an existing container, which must still be in the state that it was seen in.
    fn act_on(&mut self, service: Option<&ServiceName>, container: &Container, call: Call, cause: Cause) {
        let states = match &call {
            // Whatever still runs may be stopped; a change of limits fits every state but the last ones.
            Call::StopContainer { .. } => vec![State::Running, State::Restarting, State::Paused],
            Call::RemoveContainer(_) => vec![State::Created, State::Exited, State::Dead],
            _ => vec![container.state],
        };
        let precondition = Precondition::ContainerIn { id: container.id.clone(), states };
        self.act(service, call, cause, precondition);
    }

    /// Whether the engine can do all that is asked of it; says what it cannot.
    fn is_able(&mut self) -> bool {
        let services = self.desired.services.iter().filter(|(_, service)| service.replicas > 0);
        services.fold(true, |able, (name, service)| self.supports(name, service) && able)
    }

    /// Whether the engine can do all that this service asks of it; says what it cannot.
    fn supports(&mut self, name: &ServiceName, service: &Service) -> bool {
        let unmet = needs::unmet(name.as_str(), service, self.desired, &self.observed.engine);
        for message in &unmet {
            self.wait(Some(name), name.as_str(), Reason::Unsupported, message.as_str(), None);
        }
        unmet.is_empty()
    }

    /// Whether everything is there that a new container of this service is made from; starts what is missing.
    fn is_prepared(&mut self, name: &ServiceName, service: &Service) -> bool {
        let network_missing = service.networks.keys().any(|network| !self.has_network(network));
        let volume_missing = service.spec.mounts.values().any(|mount| {
            mount.kind == super::spec::MountKind::Volume
                && self.desired.volumes.values().any(|volume| volume.name == mount.source)
                && !self.has_volume(&mount.source)
        });
        let image_here = self.has_image(service);
        if !image_here {
            self.image(name, service);
        }
        let mounted_here = self.mounted_images(name, service);
        image_here && mounted_here && !network_missing && !volume_missing
    }

    /// What is under way is what everything else waits for.
    fn in_flight(&mut self) {
        let under_way: Vec<Waiting> = self
            .memory
            .in_flight()
            .map(|action| Waiting {
                service: action.service.clone(),
                subject: action.call.target(),
                reason: Reason::InProgress,
                message: action.call.to_string(),
                until: None,
                stuck: false,
            })
            .collect();
        self.decision.waiting.extend(under_way);
    }

    /// Those for which the engine does not answer are left alone until it does.
    fn silent(&mut self) {
        for container in self.observed.silent.iter().filter_map(|id| self.observed.containers.get(id)) {
            let service = container.service().map(ServiceName::from);
            let message = "the engine does not answer when asked for it, as while its start hangs";
            self.unsettled(container);
            self.wait(service.as_ref(), &container.name, Reason::EngineError, message, None);
        }
    }

    /// Numbers that replicas of a service have or are getting.
    fn numbers(&self, service: &str) -> BTreeSet<u32> {
        let creating =
            self.memory.in_flight().chain(&self.decision.actions).filter_map(|action| match &action.call {
                Call::CreateContainer(new) if new.replica.service.as_str() == service => {
                    Some(new.replica.number)
                }
                _ => None,
            });
        let existing = self
            .view
            .replicas(service)
            .into_iter()
            .flat_map(|replicas| replicas.all().map(Container::number));
        let pretended =
            self.view.pretenders.iter().filter(|c| c.service() == Some(service)).map(|c| c.number());
        existing.chain(pretended).chain(creating).collect()
    }
}

/// The reason for a failed call.
pub fn reason_of(call: &Call, failure: &Failure) -> Reason {
    let pulls = matches!(call, Call::PullImage { .. });
    let fetches = pulls || matches!(call, Call::BuildImage { .. });
    // Where the kind of failure alone says nothing.
    let otherwise = match call {
        Call::PullImage { .. } => Reason::ImagePullBackOff,
        Call::BuildImage { .. } => Reason::BuildFailed,
        Call::CreateContainer(_) | Call::CreateNetwork { .. } | Call::CreateVolume { .. } => {
            Reason::CreateError
        }
        Call::StartContainer(_) | Call::UnpauseContainer(_) | Call::CopyFiles { .. } => Reason::StartError,
        Call::RunHook { .. } => Reason::HookFailed,
        _ => Reason::UpdateError,
    };
    match Reason::of_failure(failure.kind, otherwise) {
        // A registry that does not answer, or not to us, is no fault of the engine.
        Reason::EngineError if pulls => Reason::ImagePullBackOff,
        Reason::Denied if fetches => Reason::ImagePullBackOff,
        reason => reason,
    }
}

/// A container as the target of a call.
fn target(container: &Container) -> Target {
    Target { id: container.id.clone(), name: container.name.clone() }
}
