//! The guard: judges every decision before it is executed.
//!
//! A separate, small piece of code that knows only the safety promises, not how decisions come about.
//! What breaks a promise is refused, whatever led to it.

use std::fmt;

use super::action::{Action, Call, Cause, NewContainer, Precondition};
use super::content::OnChange;
use super::desired::Desired;
use super::hooks::Moment;
use super::ids::ServiceName;
use super::labels;
use super::networks;
use super::observed::{Container, Network, State};
use super::ownership;
use super::planted;
use super::replace;
use super::time::Timestamp;
use super::view::{self, View};
use super::volumes;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// The action that would break it.
    pub action: String,
}

/// The promises that the guard keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// No action on an incomplete observation.
    CompletePicture,
    /// What is not ours is never touched.
    NoForeignTouch,
    /// Volumes and their data are removed only by name and consent.
    NoDataLoss,
    /// What others made and the stack only uses is never created, changed or removed.
    ExternalStays,
    /// The operator never touches the container that it runs in.
    NotItself,
    /// What somebody paused stays as it is.
    PausedIsStill,
    /// An action on a container says in which state that container must be.
    Precondition,
    /// Never fewer ready replicas because of us than there should be, unless two cannot live side by side.
    Availability,
    /// Never two containers for one number, never one action on a container beside another.
    NoDouble,
    /// An old container is not removed before its replacement is ready.
    ReplacementFirst,
    /// A container does not start before its files are in it.
    FilesFirst,
    /// A container that serves does not stop before its hooks for that have passed.
    HooksFirst,
    /// A program is told of another content only as its files say, and only while it runs.
    ToldAsAsked,
    /// Never two containers that write to one volume that nobody named: it goes from one to its successor.
    SingleWriter,
    /// A job that runs is not stopped for another change.
    JobsEnd,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} would break the promise {:?}", self.action, self.promise)
    }
}

/// A decision that was judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// What breaks no promise: as many as were asked for.
    pub allowed: Vec<Action>,
    /// What would have broken one.
    pub violations: Vec<Violation>,
    /// What nobody has looked at, since so many cannot start now. By the time they can, it is decided anew.
    pub unjudged: Vec<Action>,
}

/// Judges one action after the other, until `most` of them break no promise.
pub fn judge(actions: Vec<Action>, view: &View<'_>, now: Timestamp, most: usize) -> Judged {
    let mut judged = Judged::default();
    for action in actions {
        if judged.allowed.len() == most {
            judged.unjudged.push(action);
            continue;
        }
        let paused = view.desired.overrides.forbids(action.service.as_ref(), now);
        let broken = paused.then_some(Promise::PausedIsStill);
        let broken = broken.or_else(|| self::broken(&action, &judged.allowed, view));
        match broken.filter(|_| !planted::any()) {
            None => judged.allowed.push(action),
            Some(promise) => judged.violations.push(Violation { promise, action: action.call.to_string() }),
        }
    }
    judged
}

fn broken(action: &Action, others: &[Action], view: &View<'_>) -> Option<Promise> {
    let (desired, observed) = (view.desired, view.observed);
    if !observed.complete {
        return Some(Promise::CompletePicture);
    }
    if let Some(target) = action.call.container() {
        let Some(container) = observed.containers.get(&target.id).filter(|c| ownership::is_own(c, desired))
        else {
            return Some(Promise::NoForeignTouch);
        };
        if observed.engine.itself.as_ref() == Some(&target.id) {
            return Some(Promise::NotItself);
        }
        if !matches!(&action.precondition, Precondition::ContainerIn { id, .. } if *id == target.id) {
            return Some(Promise::Precondition);
        }
        let twice = |other: &&Action| other.call.container().is_some_and(|other| other.id == target.id);
        if others.iter().any(|other| twice(&other)) {
            return Some(Promise::NoDouble);
        }
        return match &action.call {
            Call::StopContainer { .. } if cuts_short(container, &action.cause) => Some(Promise::JobsEnd),
            Call::StopContainer { .. } if stops_unheard(container, &action.cause, desired) => {
                Some(Promise::HooksFirst)
            }
            Call::StopContainer { .. } => {
                stops_too_many(container, action, others, view).filter(|_| !makes_way(container, view))
            }
            Call::StartContainer(_) if writes_beside_another(container, view) => Some(Promise::SingleWriter),
            Call::StartContainer(_) => starts_unfilled(container, view),
            Call::RemoveContainer(_) => {
                removes_too_early(container, view).filter(|_| !makes_way(container, view))
            }
            _ if tells_unasked(&action.call, container, view) => Some(Promise::ToldAsAsked),
            _ => None,
        };
    }
    match &action.call {
        Call::RemoveVolume { name } => {
            let teardown = desired.teardown.as_ref();
            let consent = teardown.is_some_and(|teardown| teardown.volumes.contains(name));
            let unnamed = teardown.is_some_and(|teardown| teardown.anonymous.contains(name));
            // No label says whose it is: the containers that had it are gone, and no other has it.
            let left_alone = unnamed && !observed.is_mounted(name);
            let is_replaced = || {
                let differing = volumes::differing(view);
                differing.iter().any(|it| it.found.name == *name && it.is_going() && it.members.is_empty())
            };
            (!consent && !left_alone && !is_replaced()).then_some(Promise::NoDataLoss)
        }
        Call::CreateNetwork { network, .. } => network.external.then_some(Promise::ExternalStays),
        Call::CreateVolume { volume, .. } => volume.external.then_some(Promise::ExternalStays),
        Call::RemoveNetwork { id, .. } => {
            let own =
                observed.networks.iter().find(|n| n.id == *id && ownership::has_project(&n.labels, desired));
            let double =
                |network: &Network| observed.network(&network.name).is_some_and(|kept| kept.id != *id);
            let may_go = own.is_some_and(|network| {
                desired.teardown.is_some() || double(network) || is_replaced(network, view)
            });
            (!may_go).then_some(Promise::ExternalStays)
        }
        Call::CreateContainer(new) => {
            // What cannot be started again makes way for one that can.
            let mut there = observed.containers.values().filter(|container| !container.stranded);
            let exists = there.any(|container| new.is_place_of(container));
            let coming = others
                .iter()
                .any(|other| matches!(&other.call, Call::CreateContainer(o) if o.replica == new.replica));
            if exists || coming {
                return Some(Promise::NoDouble);
            }
            takes_what_is_taken(new, view).then_some(Promise::SingleWriter)
        }
        _ => None,
    }
}

/// Whether a container has a volume that somebody has agreed to lose.
fn makes_way(container: &Container, view: &View<'_>) -> bool {
    let differing = volumes::differing(view);
    let mut going = differing.iter().filter(|it| it.is_going());
    going.any(|it| it.members.iter().any(|(_, member)| member.id == container.id))
}

/// Whether a network is not what it should be, can be replaced, and nobody is on it.
fn is_replaced(network: &Network, view: &View<'_>) -> bool {
    let differing = networks::differing(view);
    differing.iter().any(|it| it.found.id == network.id && it.is_going() && it.members.is_empty())
}

/// Whether stopping this container leaves fewer ready ones than the rollout's bounds allow. One that is to run anew may be
/// away for as long as it takes, as the only one, and what fails does not serve.
fn stops_too_many(
    container: &Container,
    action: &Action,
    others: &[Action],
    view: &View<'_>,
) -> Option<Promise> {
    let service = view.desired.services.get(container.service()?)?;
    let replicas = view.replicas(container.service()?)?;
    // What stands in another's way goes, whatever serves. A job serves nobody.
    if replicas.strategy.clears() || !container.is_ready() || service.is_job() {
        return None;
    }
    let stopping = |c: &Container| {
        others
            .iter()
            .any(|other| matches!(&other.call, Call::StopContainer { target, .. } if target.id == c.id))
    };
    let serves = |c: &Container| view::serves(c, service) && c.id != container.id && !stopping(c);
    let left = replicas.all().filter(|c| serves(c)).count();
    let away = match &action.cause {
        Cause::Restart(why) if why.is_failure() => return None,
        Cause::Restart(_) => 1,
        Cause::RolledBack { .. } => replicas.bounds_back(service).unavailable,
        _ => replicas.bounds(service).unavailable,
    };
    let wanted = service.wanted();
    (left + away < wanted).then_some(Promise::Availability)
}

/// Whether this stops a job that runs, and nobody asked for that.
fn cuts_short(container: &Container, cause: &Cause) -> bool {
    let is_asked = match cause {
        Cause::Teardown | Cause::ScaleDown { .. } | Cause::Residue { .. } => true,
        cause => cause.is_asked() || cause.is_for_volume(),
    };
    container.is_of_job() && container.state.is_alive() && !is_asked
}

/// Whether hooks are to run before this container stops. What is given up or has failed has none.
fn stops_unheard(container: &Container, cause: &Cause, desired: &Desired) -> bool {
    let serves = container.state == State::Running && !container.starting;
    let hooks = container.service().map_or(0, |name| desired.pre_stop(&ServiceName::from(name)).len());
    serves && container.passed.pre_stop < hooks && !cause.gives_up(container)
}

/// Whether this tells a program of another content in a way that its files do not ask for, or when it cannot hear.
fn tells_unasked(call: &Call, container: &Container, view: &View<'_>) -> bool {
    let service = container.service().and_then(|name| view.desired.services.get(name));
    let asked = service.map(|service| &service.content.on_change);
    let is_asked = match call {
        Call::SignalContainer { signal, .. } => {
            matches!(asked, Some(OnChange::Signal(asked)) if asked == signal)
        }
        Call::RunHook { hook, .. } if hook.moment == Moment::ContentChange => {
            matches!(asked, Some(OnChange::Exec(asked)) if *asked == hook.command)
        }
        _ => return false,
    };
    !is_asked || container.state != State::Running
}

fn writes_beside_another(container: &Container, view: &View<'_>) -> bool {
    view.observed.containers.values().any(|other| replace::writes_beside(other, container))
}

/// Whether a new container would take over a volume that another successor has already.
fn takes_what_is_taken(new: &NewContainer, view: &View<'_>) -> bool {
    let Some(replicas) = view.replicas(new.replica.service.as_str()) else { return false };
    let takes = |volume: &String| new.spec.mounts.values().any(|mount| mount.source == *volume);
    let mut startable = replicas.current.iter().filter(|current| !current.stranded);
    startable.any(|current| current.anonymous.values().any(takes))
}

/// Whether files are to be copied into this container first. One of an older revision has what it had when it ran.
fn starts_unfilled(container: &Container, view: &View<'_>) -> Option<Promise> {
    let service = view.desired.services.get(container.service()?)?;
    let replicas = view.replicas(container.service()?)?;
    let unfilled = if replicas.is_current(container) {
        service.files.missing(&container.files).is_some()
    } else {
        container.started_at.is_none() && container.labels.contains_key(labels::FILES)
    };
    unfilled.then_some(Promise::FilesFirst)
}

/// Whether this is the old container of a replacement that is not ready yet.
fn removes_too_early(container: &Container, view: &View<'_>) -> Option<Promise> {
    let service = view.desired.services.get(container.service()?)?;
    let replicas = view.replicas(container.service()?)?;
    // What has ended of a job serves nobody.
    if service.is_job() && !container.state.is_alive() {
        return None;
    }
    let is_outdated = replicas.outdated.iter().any(|old| old.container.id == container.id);
    let is_double =
        replicas.all().any(|other| other.id != container.id && other.number() == container.number());
    // What is left serves already, or is as old as this one.
    let serving = replicas.serving(service);
    let as_old = replicas.outdated.iter().filter(|old| old.container.id != container.id).count();
    let enough = serving + as_old >= service.wanted();
    (is_outdated && !is_double && !enough).then_some(Promise::ReplacementFirst)
}
