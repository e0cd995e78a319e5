//! Where images come from: fetched, built, in which order, and what is told when neither works.

use std::time::Duration;

use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::builder::Demand;
use compose_operator::core::desired::{Build, Desired, ImageSource, PullPolicy, Service};
use compose_operator::core::ids::ImageId;
use compose_operator::core::observed::{EngineInfo, Image, State};
use compose_operator::engine::sim::{Behaviour, Subject};

use crate::log::Log;
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

#[test]
fn an_image_is_built_after_those_that_it_takes_files_from() {
    let built = |name: &str| {
        service(1).image(name).but(|s| {
            s.image.nameless = true;
            s.image.build = Some(Build::default());
        })
    };
    let mut top = built("shop-a");
    if let Some(build) = &mut top.image.build {
        build.after.insert("z".into());
    }
    let desired = with(with(stack(), "a", top), "z", built("shop-z"));
    for images_first in [true, false] {
        let calls = Stage::new().converge(&Desired { images_first, ..desired.clone() });
        let builds: Vec<&String> = calls.iter().filter(|call| call.starts_with("build image")).collect();
        assert_eq!(builds, ["build image shop-z", "build image shop-a"]);
    }
}

#[test]
fn what_the_engine_cannot_build_is_told_before_anything_is_fetched() {
    let stage = Stage::with_world(|world| {
        world.set_info(EngineInfo { api_version: "1.41".into(), ..EngineInfo::default() });
    });
    let build = Build { demands: [(Demand::Contexts, "compose.yaml:7:7".into())].into(), ..Build::default() };
    let odd = service(1)
        .image("odd:1")
        .but(|s| s.image = ImageSource { nameless: true, build: Some(build), ..ImageSource::default() });
    let mut desired = with(with(stack(), "odd", odd), "web", service(1));
    desired.images_first = true;
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(waiting[0].message.starts_with("compose.yaml:7:7: `build.additional_contexts`"), "{waiting:?}");
    assert_eq!(calls, Vec::<String>::new());
}

/// A stack that one image after the other came to, under the name that it asks for.
struct Tagged<'s> {
    stage: &'s Stage,
    log: Log<'s>,
    desired: Desired,
}

impl<'s> Tagged<'s> {
    fn new(stage: &'s Stage, web: Service) -> Self {
        Self { stage, log: Log::new(stage), desired: with(stack(), "web", web.published(8080)) }
    }

    /// Another image has the name: it works, or is given up.
    fn comes_to(&self, id: &str) {
        let image = Image { id: Some(ImageId::new(id)), ..Image::default() };
        self.stage.engine.act(|world| world.tag_image("app:1", image));
        self.log.run(&self.desired, Duration::from_mins(30));
    }

    fn container_behaves(&self, name: &str, behaviour: Behaviour) {
        self.stage.behaves(&Subject::Container(name.into()), vec![behaviour]);
    }

    /// The image of what runs.
    fn running(&self) -> Vec<String> {
        let all = self.stage.containers(&self.desired).into_iter();
        all.filter(|it| it.state == State::Running).map(|it| it.image_id.to_string()).collect()
    }
}

#[test]
fn what_failed_as_another_image_of_the_same_name_is_never_gone_back_to() {
    let stage = Stage::new();
    let web = Tagged::new(&stage, service(1));
    web.comes_to("sha256:a");
    web.comes_to("sha256:b");
    assert_eq!(web.running(), ["sha256:b"]);
    let fails = || Behaviour::exits(7, Duration::from_millis(200));
    for (name, id) in [("shop-web-1", "sha256:c"), ("shop-web-3", "sha256:d")] {
        web.container_behaves(name, fails());
        web.comes_to(id);
        assert_eq!(web.running(), ["sha256:b"], "{id} does not work");
    }
}

#[test]
fn an_image_is_not_given_up_for_what_another_of_the_same_name_did() {
    let stage = Stage::new();
    let web = Tagged::new(&stage, service(1).once());
    web.comes_to("sha256:a");
    web.comes_to("sha256:b");
    web.container_behaves("shop-web-1", Behaviour::exits(7, Duration::from_millis(200)));
    web.comes_to("sha256:c");
    assert_eq!(web.running(), ["sha256:b"]);
    web.container_behaves("shop-web-1", Behaviour::runs());
    for id in ["sha256:d", "sha256:e"] {
        web.comes_to(id);
        assert_eq!(web.running(), [id]);
    }
}
