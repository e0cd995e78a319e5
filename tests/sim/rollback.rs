//! An earlier revision that is held against the files.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::Desired;
use compose_operator::core::event::EventKind;
use compose_operator::core::history::{Actor, Ended, History, Kept, Key, Moment, Rollback, Stand, Through};
use compose_operator::core::ids::ImageId;
use compose_operator::core::observed::{Image, State};
use compose_operator::core::reason::Reason;
use compose_operator::core::status::Condition;
use compose_operator::engine::sim::Behaviour;

use crate::log::Log;
use crate::stage::{START, Stage, Words, id_of, service, stack, with};

const HOUR: Duration = Duration::from_hours(1);

fn key() -> Key {
    Key::new("0011")
}

/// Applies these one after the other, and notes each.
fn applied(stage: &Stage, states: &[Desired]) -> History {
    let mut history = History::default();
    let actor = Actor { through: Through::Apply, by: None };
    for desired in states {
        stage.converge(desired);
        assert!(history.take_on(desired, &actor, &key(), START));
        let observed = stage.observe(desired);
        let moment = Moment { desired, observed: &observed, converged: true, failed: None, at: START };
        assert!(history.stands(&moment, &actor));
    }
    history
}

/// These files, with a revision held against them.
fn held(files: &Desired, history: &History, to: u64) -> Desired {
    let kept = history.get(to).map(|entry| Box::new(Kept::of(entry, &key())));
    let (by, reason, since) = ("ann".to_owned(), Some("slow".to_owned()), START);
    let mut desired = files.clone();
    let files = String::new();
    desired.overrides.rollback = Some(Rollback { to, by, reason, since, files, kept, stand: Stand::Untried });
    desired
}

fn image(id: &str) -> Image {
    Image { id: Some(ImageId::new(id)), ..Image::default() }
}

#[test]
fn what_failed_is_not_started_again_when_the_files_say_again_what_serves() {
    let of = |image: &str| {
        let web = service(3).checked().but(|web| web.rollout.min_ready = Duration::from_secs(5)).image(image);
        with(stack(), "web", web)
    };
    let stage = Stage::new();
    stage.image_behaves("app:2", Behaviour::exits(7, Duration::from_secs(1)));
    stage.converge(&of("app:1"));
    stage.run_for(&of("app:1"), HOUR);
    let (outcome, _) = stage.apply(&of("app:2"));
    assert!(matches!(outcome, Outcome::Stuck(_)), "{outcome:?}");
    let calls = stage.converge(&of("app:1"));
    assert!(!calls.iter().any(|call| call.starts_with("start")), "{calls:?}");
    assert_eq!(stage.containers(&of("app:1")).len(), 3);
}

#[test]
pub(crate) fn the_very_image_of_then_is_held_over_a_restart_and_nothing_is_replaced_twice() {
    let stage = Stage::with_world(|world| world.publish_image("app:1", image("sha256:old")));
    let [one, two] =
        ["1", "2"].map(|tag| with(stack(), "web", service(2).image(&format!("app:{tag}")).env("A", "x")));
    let history = applied(&stage, &[one.clone(), two.clone()]);
    // Its tag has moved since.
    stage.engine.act(|world| world.tag_image("app:1", image("sha256:moved")));
    let log = Log::new(&stage);
    let desired = held(&two, &history, 1);
    log.run(&desired, HOUR);
    for web in stage.containers(&two) {
        assert_eq!((web.image_id.as_str(), web.state), ("sha256:old", State::Running), "{}", web.name);
    }
    assert_eq!(log.calls("create container").len(), 2, "each once");
    let status = log.status.take().expect("it decided");
    assert_eq!(status.condition, Condition::Ready);
    let [waiting] = status.waiting.as_slice() else { panic!("{:?}", status.waiting) };
    assert_eq!(waiting.reason, Reason::RolledBack);
    assert_eq!(
        waiting.message,
        "rolled back to revision 1 by ann (slow); the files say otherwise and are not followed until they change; `operator resume` follows them now"
    );
    // The next one knows only what is there.
    log.told();
    let so_far = stage.engine.mutations().len();
    log.run(&desired, HOUR);
    assert_eq!(stage.engine.mutations().len(), so_far);
    assert_eq!(log.told(), [], "nothing is new");
    // What breaks is healed as that revision.
    stage.engine.act(|world| {
        let id = id_of(world, "shop-web-1");
        world.kill(&id, "SIGKILL").expect("it runs");
    });
    log.run(&desired, HOUR);
    assert!(stage.containers(&two).iter().all(|web| web.state == State::Running));
    // And then the files are followed again.
    let mut changed = two.clone();
    changed.overrides.rollback_ended = Some(Ended { to: 1, since: START });
    log.run(&changed, HOUR);
    assert!(stage.containers(&two).iter().all(|web| web.spec.image == "app:2"));
    let told = log.told();
    let over = told.iter().find(|event| event.kind == EventKind::RolledBack).expect("it is told");
    assert_eq!(
        over.message,
        "no longer held at revision 1: the files are followed again, since they have changed"
    );
}

#[test]
fn containers_of_that_revision_stay_as_they_are() {
    let stage = Stage::new();
    let one = with(stack(), "web", service(2).env("A", "x"));
    let mut history = applied(&stage, std::slice::from_ref(&one));
    let bad = with(stack(), "web", service(2).image("nowhere:1").env("A", "y"));
    assert!(history.take_on(&bad, &Actor { through: Through::Run, by: None }, &key(), START));
    let before = stage.engine.mutations().len();
    stage.run_for(&held(&bad, &history, 1), HOUR);
    assert_eq!(stage.engine.mutations().len(), before, "they are of it already");
}

#[test]
fn what_cannot_be_brought_back_leaves_what_is_in_force_and_of_nothing_known_nothing_is_done() {
    let stage = Stage::new();
    let [one, two] = ["gone", "here"].map(|value| with(stack(), "web", service(1).env("A", value)));
    let history = applied(&stage, &[one, two.clone()]);
    let log = Log::new(&stage);
    let desired = held(&two, &history, 1);
    let before = stage.engine.mutations().len();
    // An operator that begins anew knows of nothing that could be meant.
    let name = stage.names(&two).remove(0);
    stage.engine.act(|world| {
        let id = id_of(world, &name);
        world.kill(&id, "SIGKILL").expect("it runs");
    });
    log.run(&desired, HOUR);
    assert_eq!(stage.engine.mutations().len(), before);
    let status = log.status.take().expect("it decided");
    assert_eq!(status.condition, Condition::Degraded);
    let waiting = status.waiting.iter().find(|it| it.reason == Reason::RolledBack).expect("it is said");
    assert!(waiting.message.contains("web: the value of its variable A is not there"), "{}", waiting.message);
    assert!(log.told().iter().any(|event| event.kind == EventKind::RolledBack));
    // One whose files have the value again brings it back.
    let again = held(&with(two, "other", service(1).env("B", "gone")), &history, 1);
    log.run(&again, HOUR);
    let web = stage.containers(&again).remove(0);
    assert_eq!(web.spec.environment["A"].expose(), "gone");
}
