//! Where images come from: fetched, built, and how fresh.

use std::time::Duration;

use compose_operator::core::desired::{Build, PullPolicy};

use crate::stage::{Stage, Words, service, stack, with};

#[track_caller]
fn assert_calls(calls: &[String], expected: &[&str]) {
    assert_eq!(calls, expected, "\n{}", calls.join("\n"));
}

#[test]
fn an_image_that_can_be_built_is_looked_for_first_and_built_where_it_is_nowhere() {
    let buildable = || service(1).but(|s| s.image.build = Some(Build::default()));
    let calls = |stage: &Stage, service| {
        let calls = stage.converge(&with(stack(), "web", service));
        calls.into_iter().filter(|call| call.contains(" image ")).collect::<Vec<_>>()
    };
    assert_calls(&calls(&Stage::new(), buildable()), &["pull image app:1"]);
    let nowhere = || Stage::with_world(|world| world.unpublish_image("app:1"));
    assert_calls(&calls(&nowhere(), buildable()), &["pull image app:1 (ImageNotFound)", "build image app:1"]);
    let never = buildable().but(|s| s.image.pull_policy = PullPolicy::Never);
    assert_calls(&calls(&Stage::new(), never), &["build image app:1"]);
    let nameless = buildable().but(|s| s.image.nameless = true);
    assert_calls(&calls(&Stage::new(), nameless), &["build image app:1"]);
    let always = buildable().but(|s| s.image.pull_policy = PullPolicy::Build);
    assert_calls(&calls(&Stage::new(), always), &["build image app:1"]);
}

#[test]
fn an_image_is_fetched_again_when_it_is_older_than_its_pull_policy_allows() {
    let day = Duration::from_hours(24);
    let stage = Stage::new();
    let at = |n| with(stack(), "web", service(n).but(|s| s.image.pull_policy = PullPolicy::Every(day)));
    let pulls = |calls: Vec<String>| calls.iter().filter(|call| call.starts_with("pull image")).count();
    assert_eq!(pulls(stage.converge(&at(1))), 1);
    assert_eq!(pulls(stage.converge(&at(2))), 0);
    assert_eq!(pulls(stage.run_for(&at(2), day)), 0, "no new container, no new image");
    assert_eq!(pulls(stage.converge(&at(3))), 1);
}
