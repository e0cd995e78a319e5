//! One history as an explicit list of what happens, which can be shortened and played again.

use std::collections::BTreeSet;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::desired::{Desired, Service};
use compose_operator::core::observed::Image;
use compose_operator::engine::sim::{
    Behaviour, CallKind, CallRecord, Counting, EventFaults, Fault, FaultPlan, Meanwhile, Outcome, Subject,
    When, World,
};

use crate::oracle;
use crate::play::{PATIENCE, Play};
use crate::scenarios::strange;
use crate::sketch::{Mischief, NAMES, Sketch};
use crate::witness::Counts;

/// The lists of a history of which some lie. Few calls are lists, and it takes one to lie.
const LISTS: u64 = 24;

/// Whether only a list can be struck by it.
pub(crate) fn is_lie(fault: &Fault) -> bool {
    matches!(fault, Fault::StaleList(_) | Fault::PartialList { .. })
}

/// What happens to one stack, from the first `apply` on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct History {
    /// What runs when it begins.
    pub(crate) before: Sketch,
    /// What happens then, each so many seconds after the one before.
    pub(crate) deeds: Vec<(u64, Deed)>,
    /// What goes wrong with calls, by their number; for lists that lie, by that of the list.
    pub(crate) faults: Vec<(u64, Fault)>,
    /// What goes wrong with events.
    pub(crate) events: EventFaults,
    /// The state directory is lost with each operator that dies.
    pub(crate) is_forgetful: bool,
    /// A container with the stack's project label comes from other files.
    pub(crate) has_pretender: bool,
}

/// One thing that somebody does, or that a program does from now on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    Edit(Sketch),
    Hand(Mischief),
    /// The next starts of a service's containers go like this, then all is well again.
    Program(usize, Program),
    /// The image is gone from its registry, or there again.
    Image(u8, bool),
    /// The engine's disk is full, or no more.
    DiskFull(bool),
}

/// What the programs of a service do for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Program {
    /// The next so many starts end with an error, after so many seconds.
    Crashes(u8, u8),
    /// The next so many starts are killed for their memory.
    OutOfMemory(u8),
    /// The next so many starts are refused.
    Refused(u8),
    /// Healthy after so many minutes.
    Slow(u8),
    /// Deaf to the stop signal.
    Deaf,
}

impl Program {
    fn runs(self) -> Vec<Behaviour> {
        let seconds = |seconds: u8| Duration::from_secs(seconds.into());
        let times = |times: u8, behaviour: Behaviour| {
            let mut runs = vec![behaviour; times.into()];
            runs.push(Behaviour::runs());
            runs
        };
        match self {
            Self::Crashes(count, after) => times(count, Behaviour::exits(1, seconds(after))),
            Self::OutOfMemory(count) => times(count, Behaviour::out_of_memory(seconds(2))),
            Self::Refused(count) => times(count, Behaviour::refuses_to_start()),
            Self::Slow(minutes) => vec![Behaviour::healthy_after(Duration::from_mins(minutes.into()))],
            Self::Deaf => vec![Behaviour::runs().ignoring_stop()],
        }
    }

    /// The same of a job, which does its work in the end.
    fn runs_of_job(self) -> Vec<Behaviour> {
        let works = |mut runs: Vec<Behaviour>, last: Behaviour| {
            runs.pop();
            runs.push(last);
            runs
        };
        match self {
            Self::Slow(minutes) => vec![Behaviour::exits(0, Duration::from_mins(minutes.into()))],
            Self::Crashes(..) | Self::OutOfMemory(_) | Self::Refused(_) | Self::Deaf => {
                works(self.runs(), Behaviour::completes())
            }
        }
    }
}

impl Deed {
    fn happen(&self, play: &Play) {
        let engine = &play.stage.engine;
        match self {
            Self::Edit(sketch) => play.edit(&sketch.desired()),
            Self::Hand(mischief) => engine.act(|world| mischief.happen(world)),
            Self::Program(service, program) => engine.act(|world| {
                let subject = Subject::Service(NAMES[*service].to_owned());
                world.behaviours().set(&subject, Counting::Together, program.runs());
                let job = Subject::Job(NAMES[*service].to_owned());
                world.behaviours().set(&job, Counting::Together, program.runs_of_job());
            }),
            Self::Image(version, is_there) => engine.act(|world| {
                let reference = format!("app:{version}");
                if *is_there {
                    world.publish_image(&reference, Image::default());
                } else {
                    world.unpublish_image(&reference);
                    world.untag_image(&reference);
                }
            }),
            Self::DiskFull(is_full) => engine.act(|world| world.set_disk_full(*is_full)),
        }
    }
}

/// How a history went.
pub(crate) struct Course {
    /// What was broken, if anything.
    pub(crate) verdict: Result<(), String>,
    pub(crate) counts: Counts,
    pub(crate) calls: Vec<CallRecord>,
    pub(crate) told: Vec<String>,
}

impl History {
    /// Nobody but the operator stops or ends anything.
    fn is_calm(&self) -> bool {
        let harmless = |deed: &Deed| matches!(deed, Deed::Edit(_) | Deed::Image(..) | Deed::DiskFull(_));
        let harms = |fault: &Fault| matches!(fault, Fault::Outage { meanwhile: Meanwhile::Die, .. });
        self.deeds.iter().all(|(_, deed)| harmless(deed))
            && !self.faults.iter().any(|(_, fault)| harms(fault))
    }

    /// What the files say, from first to last.
    fn files(&self) -> impl Iterator<Item = &Sketch> {
        let edits = self.deeds.iter().filter_map(|(_, deed)| match deed {
            Deed::Edit(sketch) => Some(sketch),
            _ => None,
        });
        std::iter::once(&self.before).chain(edits)
    }

    /// Plays it, and judges.
    pub(crate) fn play(&self) -> Course {
        let mut world = strange();
        if self.has_pretender {
            oracle::add_pretender(&mut world);
        }
        let mut play = Play::begin(world);
        play.witness.is_forgetful = self.is_forgetful;
        let verdict = self.judged(&play);
        let calls = play.stage.engine.trace();
        let mut counts = play.witness.counts.take();
        for call in calls.iter().filter(|call| call.kind.is_mutating()) {
            let outcome = match call.outcome {
                Some(Outcome::Failed(kind)) => format!("{kind:?}"),
                Some(Outcome::AnswerLost) => "answer lost".to_owned(),
                None | Some(Outcome::Done) => "done".to_owned(),
            };
            *counts.entry(format!("{}: {outcome}", call.kind.verb())).or_default() += 1;
        }
        Course { verdict, counts, calls, told: play.witness.told.take() }
    }

    fn judged(&self, play: &Play) -> Result<(), String> {
        let (before, last) = (self.before.desired(), self.files().last().unwrap_or(&self.before).desired());
        play.watch.is_calm.set(true);
        play.apply(&before).map_err(|why| format!("even before anything happens: {why}"))?;
        let engine = &play.stage.engine;
        let heirlooms = engine.look(|world| self.heirlooms(world));
        let marks = engine.look(World::marks);

        play.watch.is_calm.set(self.is_calm());
        let lists = engine.look(|world| world.calls().get(&CallKind::ListContainers).copied().unwrap_or(0));
        engine.set_faults(self.plan(engine.call_counts().0, lists));
        let clock = &play.stage.clock;
        play.operate_beside(async {
            for (seconds, deed) in &self.deeds {
                clock.sleep(Duration::from_secs(*seconds)).await;
                deed.happen(play);
            }
            clock.sleep(Duration::from_mins(2)).await;
            // From here on nothing goes wrong, but for the events: those only wake.
            engine.act(put_right);
            engine.set_faults(FaultPlan::none().with_events(self.events.clone()));
            clock.sleep(PATIENCE).await;
        });
        let picture = play.settled(&last)?;
        let expected = Play::begin(strange()).apply(&last)?;
        if !oracle::is_like(&picture, &expected, &last) {
            return Err(format!("it ends as\n{}\nand not as\n{}", picture.join("\n"), expected.join("\n")));
        }
        if !marks.is_subset(&engine.look(World::marks)) {
            return Err("data is gone".to_owned());
        }
        for (service, volumes, kept) in heirlooms {
            let handed_on = engine.look(|world| oracle::volumes_of(world, &service));
            if volumes.intersection(&handed_on).count() < kept {
                return Err(format!("{service} has {handed_on:?} and not what it had of {volumes:?}"));
            }
        }
        Ok(())
    }

    /// The volumes that nobody named of each service, and how many of them must be there in the end, since there were
    /// always as many replicas, and each had one. What is removed by hand leaves its volumes behind.
    fn heirlooms(&self, world: &World) -> Vec<(String, BTreeSet<String>, usize)> {
        if self.deeds.iter().any(|(_, deed)| matches!(deed, Deed::Hand(Mischief::Remove(_)))) {
            return Vec::new();
        }
        let all: Vec<Desired> = self.files().map(Sketch::desired).collect();
        let kept = |name: &str| {
            let replicas = all.iter().map(|desired| {
                let service = desired.services.get(name);
                let has_volume = |it: &&Service| it.spec.mounts.contains_key("/scratch");
                let service = service.filter(has_volume);
                service.map_or((0, false), |service| (service.replicas as usize, service.is_job()))
            });
            let replicas: BTreeSet<(usize, bool)> = replicas.collect();
            // What a job has left in one is handed on, and not promised.
            replicas
                .first()
                .filter(|(_, is_job)| replicas.len() == 1 && !is_job)
                .map_or(0, |(count, _)| *count)
        };
        let services = NAMES.map(|name| (name.to_owned(), oracle::volumes_of(world, name), kept(name)));
        services.into()
    }

    fn plan(&self, calls: u64, lists: u64) -> FaultPlan {
        let plan = FaultPlan::none().with_events(self.events.clone());
        self.faults.iter().fold(plan, |plan, (number, fault)| {
            let when = if is_lie(fault) {
                When::Nth(CallKind::ListContainers, lists + number % LISTS)
            } else {
                When::Call(calls + number)
            };
            plan.with(when, fault.clone())
        })
    }
}

/// The causes of all trouble go.
fn put_right(world: &mut World) {
    world.set_disk_full(false);
    for reference in ["app:1", "app:2"] {
        world.publish_image(reference, Image::default());
    }
    for name in NAMES {
        let subject = Subject::Service(name.to_owned());
        world.behaviours().set(&subject, Counting::Together, vec![Behaviour::runs()]);
        let job = Subject::Job(name.to_owned());
        world.behaviours().set(&job, Counting::Together, vec![Behaviour::completes()]);
    }
}
