//! What is done to the stack.

use std::time::Duration;

use super::{Chaos, Scene};
use crate::dice::Dice;

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
    RestartEngine,
    KillEngine,
    Reboot,
}

impl Fault {
    pub(crate) const ALL: [Self; 14] = [
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
        Self::RestartEngine,
        Self::KillEngine,
        Self::Reboot,
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
            Self::RestartEngine => "engine restart",
            Self::KillEngine => "kill -9 of the engine",
            Self::Reboot => "reboot",
        }
    }

    /// Whether everybody starts again: an engine takes all down with it, unless it is told otherwise.
    pub(crate) fn stops_all(self) -> bool {
        matches!(self, Self::RestartEngine | Self::KillEngine | Self::Reboot)
    }

    /// The container that may live on as another one, or another run.
    pub(crate) fn victim(self, dice: &mut Dice, scene: &Scene) -> String {
        match self {
            Self::ConfigSet => scene.project.named(scene.redis),
            fault if fault.stops_all() => String::new(),
            _ => {
                let all: Vec<String> = scene.project.containers().into_keys().collect();
                dice.pick(&all).clone()
            }
        }
    }

    pub(crate) fn happen(self, chaos: &mut Chaos, victim: &str, dice: &mut Dice) {
        let project = &chaos.scene.project;
        let docker = |args: &[&str]| drop(project.docker(args));
        match self {
            Self::Kill => docker(&["kill", victim]),
            Self::Stop => docker(&["stop", victim]),
            Self::Pause => docker(&["pause", victim]),
            Self::Remove => docker(&["rm", "-f", victim]),
            Self::Disconnect => {
                let container = &project.containers()[victim];
                let networks = container.0["NetworkSettings"]["Networks"].as_object().unwrap();
                docker(&["network", "disconnect", networks.keys().next().unwrap(), victim]);
            }
            Self::Update => docker(&["update", "--memory", "3g", "--memory-swap", "3g", victim]),
            Self::Rename => docker(&["rename", victim, &format!("{victim}-by-hand")]),
            Self::ConfigSet => {
                project.exec(chaos.scene.redis, &["redis-cli", "CONFIG", "SET", "maxmemory", "9mb"]);
            }
            Self::RemoveNetwork => remove_network(chaos),
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
            Self::RestartEngine => chaos.engine.restart(),
            Self::KillEngine => chaos.engine.crash(),
            Self::Reboot => {
                chaos.daemon.signal("KILL");
                chaos.daemon.end();
                chaos.engine.reboot();
                chaos.succeed();
            }
        }
    }
}

/// What happens to a container while nobody looks.
fn any(dice: &mut Dice) -> Fault {
    *dice.pick(&[Fault::Kill, Fault::Stop, Fault::Pause, Fault::Remove, Fault::Update])
}

/// An engine lets a network go that nobody is on, and the daemon would put them back.
fn remove_network(chaos: &Chaos) {
    chaos.proxy.cut();
    let project = &chaos.scene.project;
    let network = format!("{}_{}", project.name, chaos.scene.network);
    for member in &chaos.scene.members {
        project.docker(&["network", "disconnect", "-f", &network, &project.named(member)]);
    }
    project.docker(&["network", "rm", &network]);
    chaos.proxy.mend();
}
