//! What is done to the stack.

use std::time::Duration;

use super::{Chaos, PLAIN};
use crate::dice::Dice;
use crate::stage::{Project, docker};

/// One kind of thing that happens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill,
    Stop,
    Pause,
    Remove,
    Disconnect,
    Update,
    Rename,
    ConfigSet,
    RemoveNetwork,
    KillOperator,
    LoseEngine,
}

impl Fault {
    pub(crate) const ALL: [Self; 11] = [
        Self::Kill,
        Self::Stop,
        Self::Pause,
        Self::Remove,
        Self::Disconnect,
        Self::Update,
        Self::Rename,
        Self::ConfigSet,
        Self::RemoveNetwork,
        Self::KillOperator,
        Self::LoseEngine,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Kill => "docker kill",
            Self::Stop => "docker stop",
            Self::Pause => "docker pause",
            Self::Remove => "docker rm -f",
            Self::Disconnect => "docker disconnect",
            Self::Update => "docker update",
            Self::Rename => "docker rename",
            Self::ConfigSet => "CONFIG SET",
            Self::RemoveNetwork => "docker network rm",
            Self::KillOperator => "kill -9 of the operator",
            Self::LoseEngine => "engine out of reach",
        }
    }

    /// The container that may live on as another one, or another run.
    pub(crate) fn victim(self, dice: &mut Dice, project: &Project) -> String {
        if self == Self::ConfigSet {
            return project.named("cache-1");
        }
        let all: Vec<String> = project.containers().into_keys().collect();
        dice.pick(&all).clone()
    }

    pub(crate) fn happen(self, chaos: &mut Chaos, victim: &str, dice: &mut Dice) {
        let network = |key: &str| format!("{}_{key}", chaos.project.name);
        match self {
            Self::Kill => drop(docker(&["kill", victim])),
            Self::Stop => drop(docker(&["stop", victim])),
            Self::Pause => drop(docker(&["pause", victim])),
            Self::Remove => drop(docker(&["rm", "-f", victim])),
            Self::Disconnect => drop(docker(&["network", "disconnect", &network("default"), victim])),
            Self::Update => drop(docker(&["update", "--memory", "48m", "--memory-swap", "96m", victim])),
            Self::Rename => drop(docker(&["rename", victim, &format!("{victim}-by-hand")])),
            Self::ConfigSet => {
                chaos.project.exec("cache-1", &["redis-cli", "CONFIG", "SET", "maxmemory", "9mb"]);
            }
            Self::RemoveNetwork => remove_network(&network("back"), chaos),
            Self::KillOperator => {
                chaos.daemon.signal("KILL");
                chaos.daemon.end();
                any(dice).happen(chaos, victim, dice);
                chaos.succeed();
            }
            Self::LoseEngine => {
                chaos.proxy.cut();
                any(dice).happen(chaos, victim, dice);
                // So long the daemon finds nobody, more than once.
                std::thread::sleep(Duration::from_millis(1500));
                chaos.proxy.mend();
            }
        }
    }
}

/// What happens to a container while nobody looks.
fn any(dice: &mut Dice) -> Fault {
    *dice.pick(&[Fault::Kill, Fault::Stop, Fault::Pause, Fault::Remove, Fault::Update])
}

/// An engine lets a network go that nobody is on, and the daemon would put them back.
fn remove_network(network: &str, chaos: &Chaos) {
    chaos.proxy.cut();
    for nth in 0..PLAIN {
        docker(&["network", "disconnect", "-f", network, &chaos.project.named(&format!("plain{nth}-1"))]);
    }
    docker(&["network", "rm", network]);
    chaos.proxy.mend();
}
