//! Stacks in few words, and what somebody else does to them: what properties and histories draw.

use std::collections::BTreeMap;
use std::time::Duration;

use compose_operator::core::desired::{Condition, Desired, Service};
use compose_operator::core::labels;
use compose_operator::core::rollout::{Canary, Rollout, Share};
use compose_operator::core::sync::{Job, Phase, tell_jobs};
use compose_operator::engine::sim::World;

use crate::stage::{Words, service, stack, with, with_volume};

const MB: i64 = 1 << 20;
pub(crate) const NAMES: [&str; 4] = ["api", "cache", "db", "web"];

/// A service, as few words as a failure report can bear.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a service has or has not")]
pub(crate) struct Piece {
    pub(crate) replicas: u32,
    pub(crate) checked: bool,
    pub(crate) memory: Option<i64>,
    pub(crate) env: Option<u8>,
    pub(crate) kind: u8,
    pub(crate) image: u8,
    pub(crate) depends: bool,
    pub(crate) secret: Option<u8>,
    /// With a volume that nobody named.
    pub(crate) scratch: bool,
    pub(crate) hooked: bool,
    /// How it is replaced.
    pub(crate) pace: u8,
}

/// A stack of up to four services; later ones may depend on the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sketch {
    pub(crate) pieces: Vec<Option<Piece>>,
    pub(crate) volume: bool,
}

impl Piece {
    fn rollout(&self) -> Rollout {
        let paced = |surge, unavailable| Rollout {
            max_surge: Share::Count(surge),
            max_unavailable: Share::Count(unavailable),
            ..Rollout::default()
        };
        match self.pace {
            1 => paced(2, 0),
            2 => paced(0, 1),
            3 => paced(1, 2),
            4 => Rollout { recreate: true, ..Rollout::default() },
            5 => Rollout { min_ready: Duration::from_secs(20), ..Rollout::default() },
            6 => {
                let canary = Some(Canary { replicas: 1, lasting: Duration::from_mins(1) });
                Rollout { canary, ..Rollout::default() }
            }
            _ => Rollout::default(),
        }
    }

    fn service(&self) -> Service {
        let mut service = service(self.replicas).image(&format!("app:{}", self.image));
        if self.checked {
            service = service.checked();
        }
        if let Some(memory) = self.memory {
            service = service.memory(memory * MB);
        }
        if let Some(env) = self.env {
            service = service.env("A", &env.to_string());
        }
        if let Some(secret) = self.secret {
            service = service.secret(&secret.to_string());
        }
        if self.scratch {
            service = service.scratch();
        }
        if self.hooked {
            service = service.hooked("hello", "bye");
        }
        service.rollout = self.rollout();
        service.wave = match self.pace {
            7 => 1,
            8 => -1,
            9 => 2,
            _ => 0,
        };
        match self.kind {
            0 => service.but(|s| s.replicas = s.replicas.min(1)).published(8080),
            1 => service.but(|s| s.replicas = s.replicas.min(1)).named("front"),
            2 => service.image("redis:7").redis(&[("maxmemory", &(i64::from(self.image) * MB).to_string())]),
            3 => service.once(),
            6 => self.job(service, Phase::PreSync),
            7 => self.job(service, Phase::PostSync),
            _ => service,
        }
    }
}

impl Piece {
    /// A job does its work and ends.
    fn job(&self, service: Service, phase: Phase) -> Service {
        service.once().image(&format!("job:{}", self.image)).but(|service| {
            service.replicas = 1;
            service.spec.healthcheck = None;
            service.job = Some(Job::new(phase));
        })
    }

    /// What others wait for of it.
    fn condition(&self) -> Condition {
        match self.kind {
            6 | 7 => Condition::CompletedSuccessfully,
            _ if self.checked => Condition::Healthy,
            _ => Condition::Started,
        }
    }
}

impl Sketch {
    pub(crate) fn desired(&self) -> Desired {
        let (mut desired, mut port_taken, mut name_taken) = (stack(), false, false);
        let mut last: Option<(&str, Condition)> = None;
        for (name, piece) in NAMES.into_iter().zip(&self.pieces) {
            let Some(piece) = piece else { continue };
            let mut service = piece.service();
            // Two services cannot have one host port or one name: the loader would say so.
            if port_taken {
                service.spec.ports.clear();
            }
            if name_taken {
                service.container_name = None;
            }
            port_taken |= !service.spec.ports.is_empty();
            name_taken |= service.container_name.is_some();
            if let Some((before, condition)) = last.filter(|_| piece.depends) {
                service = service.needs(before, condition);
            }
            desired = with(desired, name, service);
            last = Some((name, piece.condition()));
        }
        let mut desired = match last {
            Some((name, _)) if self.volume => with_volume(desired, "data", name),
            _ => desired,
        };
        tell_jobs(&mut desired.services);
        desired
    }
}

/// Something that somebody else does to the `nth` container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    Kill(usize),
    Stop(usize),
    Remove(usize),
    Pause(usize),
    Update(usize),
    Disconnect(usize),
    Rename(usize),
    Configure(usize),
    Strand(usize),
    #[allow(
        dead_code,
        reason = "the histories do it; who applies once is told, and nothing more is to be shown"
    )]
    Hush(usize),
}

impl Mischief {
    /// Does it; what cannot be done (a pause of what does not run) is no mischief.
    pub(crate) fn happen(&self, world: &mut World) {
        let is_ours = |labels: &BTreeMap<String, String>| labels.contains_key(labels::STACK);
        let ours = world.containers().iter().filter(|(_, sim)| is_ours(&sim.container.labels));
        let ids: Vec<_> = ours.map(|(id, _)| id.clone()).collect();
        let (Self::Kill(nth)
        | Self::Stop(nth)
        | Self::Remove(nth)
        | Self::Pause(nth)
        | Self::Update(nth)
        | Self::Disconnect(nth)
        | Self::Rename(nth)
        | Self::Configure(nth)
        | Self::Strand(nth)
        | Self::Hush(nth)) = self;
        let Some(id) = ids.get(nth % ids.len().max(1)) else { return };
        let _ = match self {
            Self::Kill(_) => world.kill(id, "SIGKILL"),
            Self::Stop(_) => world.stop_container(id, None),
            Self::Hush(_) => world.hush(id, Duration::from_mins(5)),
            Self::Remove(_) => world.remove_by_force(id),
            Self::Pause(_) => world.pause(id),
            Self::Update(_) => {
                let drifted = compose_operator::core::spec::Resources {
                    memory: Some(48 * MB),
                    memory_swap: Some(96 * MB),
                    ..Default::default()
                };
                world.update_container(id, &drifted)
            }
            Self::Disconnect(_) => world.disconnect("shop_default", id),
            Self::Rename(_) => world.rename_container(id, "by-hand"),
            Self::Configure(_) => world.config_set(id, "maxmemory", "7mb"),
            Self::Strand(_) => world.strand(id),
        };
    }
}
