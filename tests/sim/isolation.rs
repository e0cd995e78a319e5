//! A hundred stacks on one engine, one of which fails for ever: it delays no other.

use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::core::desired::{Desired, Network};
use compose_operator::core::time::Timestamp;
use compose_operator::engine::sim::{Behaviour, Subject};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::stage::{Stage, Words, service, stack, with};

const STACKS: usize = 100;

/// A stack of its own, with two services.
fn numbered(nth: usize) -> Desired {
    let name = format!("s{nth}");
    let network = format!("{name}_default");
    let of = |image: &str| {
        service(1).once().image(image).but(|it| {
            let endpoint = it.networks.pop_first().map(|(_, endpoint)| endpoint).unwrap_or_default();
            it.networks.insert(network.clone(), endpoint);
        })
    };
    let mut desired = with(with(stack(), "web", of("app:1")), "api", of("app:2"));
    desired.networks.insert("default".into(), Network { name: network.clone(), ..Network::default() });
    Desired { stack: name.as_str().into(), ..desired }
}

/// Every container of all stacks is killed at once. How long until each `web` runs again, but for the last stack's.
fn time_to_heal(has_a_failing_one: bool) -> Vec<Duration> {
    let stage = Stage::new();
    let mut stacks: Vec<Desired> = (0..STACKS).map(numbered).collect();
    if has_a_failing_one {
        // An image that is nowhere, and a program that crashes at once, for ever.
        let last = &mut stacks[STACKS - 1];
        last.services.get_mut("api").expect("it is there").spec.image = "app:none".into();
        let crash = vec![Behaviour::exits(1, Duration::from_millis(1))];
        let subject = Subject::Container(format!("s{}-web-1", STACKS - 1));
        stage.behaves(&subject, crash);
    }
    let clock = &stage.clock;
    let killed_at = std::cell::Cell::new(Timestamp::default());
    let harm = async {
        clock.sleep(Duration::from_mins(5)).await;
        killed_at.set(clock.now());
        stage.engine.act(|world| {
            let running = world.containers().iter().filter(|(_, sim)| sim.container.state.is_alive());
            let ids: Vec<_> = running.map(|(id, _)| id.clone()).collect();
            for id in ids {
                world.kill(&id, "SIGKILL").expect("it runs");
            }
        });
        clock.sleep(Duration::from_mins(2)).await;
    };
    let report = compose_operator::controller::report::Silent;
    let reconciler = stage.reconciler(&report);
    let end = clock.now().after(Duration::from_mins(7));
    let loops = stacks.iter().map(|desired| {
        let updates = futures_util::stream::pending().boxed_local();
        reconciler.run(desired.clone(), updates, clock.sleep_until(end))
    });
    clock.run(async { futures_util::future::join(join_all(loops), harm).await }).expect("it ends");
    let containers = stage.engine.look(|world| {
        let all = world.containers().values().map(|sim| sim.container.clone());
        all.collect::<Vec<_>>()
    });
    let started = |nth: usize| {
        let name = format!("s{nth}-web-1");
        let container = containers.iter().find(|it| it.name == name).expect("it is there");
        container.started_at.expect("it runs").since(killed_at.get())
    };
    (0..STACKS - 1).map(started).collect()
}

#[test]
fn a_stack_that_fails_for_ever_delays_no_other() {
    let (alone, beside) = (time_to_heal(false), time_to_heal(true));
    for (nth, (alone, beside)) in alone.into_iter().zip(beside).enumerate() {
        assert!(alone > Duration::ZERO, "s{nth} was not started again");
        assert!(beside <= alone + Duration::from_secs(1), "s{nth}: {beside:?} and not {alone:?}");
    }
}
