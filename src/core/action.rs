//! What can be done. One action is one engine call, so that every gap between two is a place where a crash is harmless.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::content::FileContents;
use super::desired::{Build, Network, Volume};
use super::files::Files;
use super::heal::WhyRestart;
use super::hooks::Hook;
use super::ids::{ContainerId, Replica, ServiceName};
use super::labels;
use super::live::{LiveSettings, Software};
use super::needs;
use super::observed::{Container, State};
use super::spec::{ContainerSpec, Endpoint, Resources};
use super::sync::Phase;

/// One step: the call, why it is made, and what must still hold right before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The call.
    pub call: Call,
    /// The service that it is made for; `None` for what the whole stack shares.
    pub service: Option<ServiceName>,
    /// Why.
    pub cause: Cause,
    /// What must hold right before the call, or it is not made.
    pub precondition: Precondition,
}

/// Engine calls, each with exactly what it takes. Containers are named for people and addressed by id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Fetch an image.
    PullImage {
        /// Its reference.
        reference: String,
        /// Platform asked for.
        platform: Option<String>,
    },
    /// Build an image.
    BuildImage {
        /// Tag it gets.
        reference: String,
        /// How.
        build: Box<Build>,
    },
    /// Make a network.
    CreateNetwork {
        /// What it should be.
        network: Box<Network>,
        /// All labels.
        labels: BTreeMap<String, String>,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Engine id.
        id: String,
        /// Name.
        name: String,
    },
    /// Make a volume.
    CreateVolume {
        /// What it should be.
        volume: Box<Volume>,
        /// All labels.
        labels: BTreeMap<String, String>,
    },
    /// Remove a volume and its data.
    RemoveVolume {
        /// Name.
        name: String,
    },
    /// Make a container.
    CreateContainer(Box<NewContainer>),
    /// Copy files into a container.
    CopyFiles {
        /// Which.
        target: Target,
        /// What; all with an owner, or all without.
        files: Box<Files>,
    },
    /// Start a container.
    StartContainer(Target),
    /// Run a hook in a container, to its end.
    RunHook {
        /// Which.
        target: Target,
        /// What.
        hook: Box<Hook>,
        /// The files of whose content it tells; none where it is run for another reason.
        tells: FileContents,
    },
    /// Send a signal to the program of a container.
    SignalContainer {
        /// Which.
        target: Target,
        /// The signal, by name or number.
        signal: String,
        /// The files of whose content it tells.
        tells: FileContents,
    },
    /// Ask a container to end, and kill it when the grace is over.
    StopContainer {
        /// Which.
        target: Target,
        /// Time between signal and SIGKILL; `None` leaves it to the container's own setting.
        grace: Option<Duration>,
    },
    /// Thaw a container.
    UnpauseContainer(Target),
    /// Remove a stopped container. Never its volumes.
    RemoveContainer(Target),
    /// Give a container another name.
    RenameContainer {
        /// Which.
        target: Target,
        /// The new name.
        name: String,
    },
    /// Change limits while it runs. Only the fields that are `Some` change.
    UpdateContainer {
        /// Which.
        target: Target,
        /// The new limits; restart policy included.
        resources: Box<Resources>,
    },
    /// Put a container on a network.
    ConnectNetwork {
        /// Which.
        target: Target,
        /// Engine name of the network.
        network: String,
        /// Aliases and addresses there.
        endpoint: Endpoint,
    },
    /// Take a container off a network.
    DisconnectNetwork {
        /// Which.
        target: Target,
        /// Engine name of the network.
        network: String,
    },
    /// Change one live setting and read it back.
    SetLive {
        /// Which.
        target: Target,
        /// How to reach the software inside.
        live: Box<LiveSettings>,
        /// The setting.
        key: String,
        /// Its canonical value.
        value: String,
    },
}

/// A container that exists, by id, with its name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Engine id: what the call is addressed to.
    pub id: ContainerId,
    /// Name: what people read.
    pub name: String,
}

/// All that a new container is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContainer {
    /// Engine name.
    pub name: String,
    /// The replica it will stand for.
    pub replica: Replica,
    /// What it is; references to other services resolved to container ids, the full command in it.
    pub spec: ContainerSpec,
    /// Its limits.
    pub resources: Resources,
    /// All labels: the user's, Compose's, ours.
    pub labels: BTreeMap<String, String>,
    /// Networks by engine name. An engine that takes only one at creation gets the one with the highest
    /// priority (then the first by name); the rest are connected by further actions before the start.
    pub networks: BTreeMap<String, Endpoint>,
}

impl NewContainer {
    /// The network that goes into the create call itself.
    pub fn first_network(&self) -> Option<(&String, &Endpoint)> {
        let name = needs::first_network(&self.networks)?;
        self.networks.get_key_value(name)
    }

    /// Whether this container has its place: what a job has left behind has none among replicas.
    pub fn is_place_of(&self, container: &Container) -> bool {
        container.replica().as_ref() == Some(&self.replica)
            && container.is_of_job() == self.labels.contains_key(labels::JOB)
    }
}

/// What must hold right before a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: the engine itself refuses where it does not fit (a name is taken).
    None,
    /// The container exists under this id and is in one of these states.
    ContainerIn {
        /// Id.
        id: ContainerId,
        /// Accepted states.
        states: Vec<State>,
    },
}

/// Why an action is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Cause {
    /// It should be there and is not.
    Missing,
    /// There should be more replicas.
    ScaleUp {
        /// Replicas now.
        from: u32,
        /// Replicas wanted.
        to: u32,
    },
    /// There should be fewer replicas.
    ScaleDown {
        /// Replicas now.
        from: u32,
        /// Replicas wanted.
        to: u32,
    },
    /// It was made and never started.
    NotStarted,
    /// It ended by itself.
    Exited {
        /// Exit code.
        code: i64,
        /// Killed for its memory.
        oom_killed: bool,
    },
    /// Somebody stopped or killed it.
    StoppedByHand,
    /// Somebody paused it.
    FrozenByHand,
    /// The engine stopped it when it ended itself.
    StoppedWithEngine,
    /// It was made from another revision.
    Outdated {
        /// Fields that differ.
        fields: Vec<String>,
    },
    /// The replacement did not become ready, so the old one serves again.
    RolledBack {
        /// What happened to the replacement.
        why: String,
    },
    /// Fields differ that change in place.
    Changed {
        /// Fields that differ.
        fields: Vec<String>,
        /// They did not a moment ago, and neither the files nor we changed them.
        by_hand: bool,
    },
    /// Somebody removed it.
    RemovedByHand,
    /// It runs, and should run anew.
    Restart(WhyRestart),
    /// It is a job's, which runs once for each change.
    Job {
        /// When it runs.
        phase: Phase,
    },
    /// Its service is gone from the files.
    Orphan,
    /// The stack is to go.
    Teardown,
    /// Left over from something that did not finish.
    Residue {
        /// What it is.
        what: String,
    },
}

/// How many fields a cause names: they are told in full where the change is.
const MOST_FIELDS: usize = 3;

/// The first of some fields.
struct Few<'a>(&'a [String]);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, rest) = self.0.split_at(self.0.len().min(MOST_FIELDS));
        f.write_str(&first.join(", "))?;
        if rest.is_empty() { Ok(()) } else { write!(f, " and {} more", rest.len()) }
    }
}

impl Cause {
    /// Whether what is stopped for it has failed, and goes through the back-off.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Restart(why) if why.is_failure())
    }

    /// Whether this container, which is stopped for it, is given up: it has failed, or its revision has and it does not
    /// serve itself.
    pub fn gives_up(&self, container: &Container) -> bool {
        self.is_failure() || matches!(self, Self::RolledBack { .. }) && !container.is_ready()
    }

    /// Whether it takes a service from one revision to another.
    pub fn is_of_rollout(&self) -> bool {
        matches!(self, Self::Outdated { .. } | Self::RolledBack { .. })
    }

    /// Whether what goes for it goes for good.
    pub fn is_for_good(&self) -> bool {
        matches!(self, Self::Teardown | Self::Orphan | Self::ScaleDown { .. })
    }

    /// Whether what goes for it goes for a volume that somebody agreed to lose: it takes none along.
    pub fn is_for_volume(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    /// Whether what runs is stopped for it to heal or to replace it: not for it to go for good, nor since somebody asked.
    pub fn is_disruption(&self) -> bool {
        !self.is_for_good() && !self.is_for_volume() && !self.is_asked()
    }

    /// Whether somebody asked for it to run anew.
    pub fn is_asked(&self) -> bool {
        matches!(self, Self::Restart(why) if why.is_asked())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::ScaleUp { from, to } => write!(f, "{from} of {to} replicas"),
            Self::ScaleDown { from, to } => write!(f, "{from} replicas, {to} wanted"),
            Self::NotStarted => f.write_str("not started yet"),
            Self::Exited { oom_killed: true, .. } => f.write_str("killed: out of memory"),
            Self::Exited { code, .. } => write!(f, "exited with code {code}"),
            Self::StoppedByHand => f.write_str("stopped by hand"),
            Self::FrozenByHand => f.write_str("frozen by hand"),
            Self::StoppedWithEngine => f.write_str("stopped with the engine"),
            Self::Outdated { fields } if fields.is_empty() => f.write_str("made from another revision"),
            Self::Outdated { fields } | Self::Changed { fields, by_hand: false } => {
                write!(f, "changed: {}", Few(fields))
            }
            Self::Changed { fields, by_hand: true } => write!(f, "changed by hand: {}", Few(fields)),
            Self::RemovedByHand => f.write_str("removed by hand"),
            Self::Restart(why) => write!(f, "restart: {why}"),
            Self::RolledBack { why } => write!(f, "rolled back: {why}"),
            Self::Job { phase } => write!(f, "the {} job of a change", phase.as_str()),
            Self::Orphan => f.write_str("its service is gone from the files"),
            Self::Teardown => f.write_str("the stack is to go"),
            Self::Residue { what } => write!(f, "left over: {what}"),
        }
    }
}

impl Call {
    /// The verb, stable for `-o json`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::PullImage { .. } => "pull image",
            Self::BuildImage { .. } => "build image",
            Self::CreateNetwork { .. } => "create network",
            Self::RemoveNetwork { .. } => "remove network",
            Self::CreateVolume { .. } => "create volume",
            Self::RemoveVolume { .. } => "remove volume",
            Self::CreateContainer(_) => "create container",
            Self::CopyFiles { .. } => "copy files",
            Self::StartContainer(_) => "start container",
            Self::RunHook { .. } => "run hook",
            Self::SignalContainer { .. } => "signal container",
            Self::StopContainer { .. } => "stop container",
            Self::UnpauseContainer(_) => "unpause container",
            Self::RemoveContainer(_) => "remove container",
            Self::RenameContainer { .. } => "rename container",
            Self::UpdateContainer { .. } => "update container",
            Self::ConnectNetwork { .. } => "connect network",
            Self::DisconnectNetwork { .. } => "disconnect network",
            Self::SetLive { .. } => "set live setting",
        }
    }

    /// What it is done to, by name: stable over runs, so that a predicted step can be told from another.
    pub fn target(&self) -> String {
        match self {
            Self::PullImage { reference, .. } | Self::BuildImage { reference, .. } => reference.clone(),
            Self::CreateNetwork { network, .. } => network.name.clone(),
            Self::CreateVolume { volume, .. } => volume.name.clone(),
            Self::RemoveNetwork { name, .. } | Self::RemoveVolume { name } => name.clone(),
            Self::CreateContainer(new) => new.name.clone(),
            Self::StartContainer(target)
            | Self::UnpauseContainer(target)
            | Self::RemoveContainer(target)
            | Self::StopContainer { target, .. }
            | Self::UpdateContainer { target, .. } => target.name.clone(),
            Self::CopyFiles { target, files } => {
                let paths: Vec<&str> = files.iter().map(|(path, _)| path).collect();
                format!("{} ← {}", target.name, paths.join(", "))
            }
            Self::RunHook { target, hook, .. } => format!("{} {}", target.name, hook.place()),
            Self::SignalContainer { target, signal, .. } => format!("{} {signal}", target.name),
            Self::RenameContainer { target, name } => format!("{} → {name}", target.name),
            Self::ConnectNetwork { target, network, .. } => format!("{} → {network}", target.name),
            Self::DisconnectNetwork { target, network } => format!("{} ⊘ {network}", target.name),
            // Addresses are the engine's choice.
            Self::SetLive { target, live, key, .. } if live.software == Software::Caddy => {
                format!("{} upstreams of {key}", target.name)
            }
            Self::SetLive { target, key, value, .. } => format!("{} {key}={value}", target.name),
        }
    }

    /// The container that it is addressed to, where that exists already.
    pub fn container(&self) -> Option<&Target> {
        match self {
            Self::StartContainer(target)
            | Self::UnpauseContainer(target)
            | Self::RemoveContainer(target)
            | Self::StopContainer { target, .. }
            | Self::CopyFiles { target, .. }
            | Self::RunHook { target, .. }
            | Self::SignalContainer { target, .. }
            | Self::RenameContainer { target, .. }
            | Self::UpdateContainer { target, .. }
            | Self::ConnectNetwork { target, .. }
            | Self::DisconnectNetwork { target, .. }
            | Self::SetLive { target, .. } => Some(target),
            _ => None,
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb(), self.target())
    }
}

/// Names an action across decisions: for what is under way and for what failed before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ActionKey(String);

impl ActionKey {
    /// From the words of [`Call::verb`] and [`Call::target`].
    pub fn of(verb: &str, target: &str) -> Self {
        Self(format!("{verb} {target}"))
    }
}

impl fmt::Display for ActionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Call {
    /// The same for the same call on the same thing.
    pub fn key(&self) -> ActionKey {
        ActionKey::of(self.verb(), &self.target())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_names_a_few_of_many_fields() {
        let changed = |fields: &[&str]| {
            let fields = fields.iter().map(|field| (*field).to_owned()).collect();
            Cause::Changed { fields, by_hand: false }.to_string()
        };
        assert_eq!(changed(&["a", "b", "c"]), "changed: a, b, c");
        assert_eq!(changed(&["a", "b", "c", "d", "e"]), "changed: a, b, c and 2 more");
    }
}
