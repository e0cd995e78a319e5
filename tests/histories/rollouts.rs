//! Changes that do not work, of every kind and at every pace: the old revision serves, and nothing is tried for ever.

use std::time::Duration;

use compose_operator::core::desired::{Desired, Service};
use compose_operator::core::observed::Container;
use compose_operator::core::rollout::{Canary, Rollout, Share};
use compose_operator::engine::sim::{Behaviour, Checks, Counting, Subject, World};

use crate::oracle::ours;
use crate::play::Play;
use crate::scenarios::strange;
use crate::stage::{Words, service, stack, with};

/// A change of `web` from one image to another that does not work.
struct Bad {
    name: String,
    before: Desired,
    after: Desired,
    /// How the first containers of the new image behave, and all after them.
    programs: Vec<Behaviour>,
    /// So many containers of the new image may be made.
    most: usize,
}

fn paces() -> Vec<(&'static str, usize, Rollout)> {
    let rollout = |surge, unavailable| Rollout {
        max_surge: Share::Count(surge),
        max_unavailable: Share::Count(unavailable),
        ..Rollout::default()
    };
    let canary = Some(Canary { replicas: 1, lasting: Duration::from_mins(5) });
    vec![
        ("one more", 1, rollout(1, 0)),
        ("two more", 2, rollout(2, 0)),
        ("one less", 1, rollout(0, 1)),
        ("recreated", 3, Rollout { recreate: true, ..Rollout::default() }),
        ("on trial", 1, Rollout { canary, ..rollout(2, 0) }),
    ]
}

fn all() -> Vec<Bad> {
    let sick = Behaviour { checks: Checks::Fail, ..Behaviour::runs() };
    let programs = [
        ("crashes", vec![Behaviour::exits(1, Duration::from_millis(500))]),
        ("is never ready", vec![sick.clone()]),
        ("cannot start", vec![Behaviour::refuses_to_start()]),
        ("is never ready but for the first", vec![Behaviour::runs(), sick]),
    ];
    let mut all = Vec::new();
    for (pace, at_once, rollout) in paces() {
        for (how, programs) in &programs {
            let of = |image: &str| -> Service {
                service(3).checked().image(image).but(|service| service.rollout = rollout.clone())
            };
            // Where some work, others follow.
            let most = if programs.len() > 1 { 3 } else { at_once };
            all.push(Bad {
                name: format!("{pace}, {how}"),
                before: with(stack(), "web", of("app:1")),
                after: with(stack(), "web", of("app:2")),
                programs: programs.clone(),
                most,
            });
        }
    }
    all
}

impl Bad {
    fn verdict(&self) -> Result<(), String> {
        let play = Play::begin(strange());
        let engine = &play.stage.engine;
        play.settle(&self.before)?;
        engine.act(|world| {
            let subject = Subject::Image("app:2".to_owned());
            world.behaviours().set(&subject, Counting::Together, self.programs.clone());
        });
        play.operate(&self.after, Duration::from_mins(40));
        if let Some(broken) = engine.violations().first() {
            return Err(broken.clone());
        }
        engine.look(|world| self.judged(world))
    }

    fn judged(&self, world: &World) -> Result<(), String> {
        let of = |image: &str| -> Vec<&Container> {
            ours(world).filter(|container| container.spec.image == image).collect()
        };
        let (old, new) = (of("app:1"), of("app:2"));
        let serving = old.iter().filter(|container| container.is_ready()).count();
        if serving != 3 {
            return Err(format!("{serving} of 3 old ones serve"));
        }
        if let Some(container) = new.iter().find(|container| container.state.is_alive()) {
            return Err(format!("{} still runs", container.name));
        }
        if new.len() > self.most {
            return Err(format!("{} new ones were made, {} at most", new.len(), self.most));
        }
        Ok(())
    }
}

/// What is wrong with the first of them that does not end as it should.
pub(crate) fn verdict() -> Result<(), String> {
    all().iter().try_for_each(|bad| bad.verdict().map_err(|why| format!("{}: {why}", bad.name)))
}

#[test]
fn a_change_that_does_not_work_goes_back_whole_and_is_tried_no_further() {
    assert_eq!(verdict(), Ok(()));
}
