//! What some attributes ask of an engine, and engines that cannot do it.

use std::time::Duration;

use compose_operator::controller::current::current_status;
use compose_operator::controller::reconcile::Outcome;
use compose_operator::core::desired::{Condition, Desired, Network};
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::{EngineInfo, Image};
use compose_operator::core::reason::Reason;
use compose_operator::core::spec::{Endpoint, Healthcheck, Mount, MountKind};
use compose_operator::core::status::{Condition as Standing, StackStatus};
use compose_operator::rehearse::rehearse;

use crate::stage::{Stage, Words, service, stack, with};

/// An engine of the time of Docker 20.10.
fn old_engine() -> Stage {
    Stage::with_world(|world| {
        let info =
            EngineInfo { version: "20.10.24".into(), api_version: "1.41".into(), ..world.info().clone() };
        world.set_info(info);
    })
}

fn often_checked(replicas: u32) -> compose_operator::core::desired::Service {
    service(replicas).but(|service| {
        let test = vec!["CMD".into(), "true".into()];
        service.spec.healthcheck =
            Some(Healthcheck { test, start_interval: 1_000_000_000, ..Healthcheck::default() });
    })
}

fn status(stage: &Stage, desired: &Desired) -> StackStatus {
    let status =
        stage.clock.run(current_status(&stage.engine, desired, |_| Durable::default(), &stage.clock));
    status.expect("it answers").expect("it can be read")
}

#[test]
fn what_the_engine_cannot_do_is_told_before_anything_changes() {
    let stage = old_engine();
    let desired = with(with(stack(), "api", often_checked(1)), "web", service(1));
    let as_applied = Desired { images_first: true, ..desired.clone() };

    let preview = rehearse(&as_applied, &stage.observe(&desired), Durable::default(), 8);
    assert!(preview.steps.is_empty(), "{:?}", preview.steps);
    let (outcome, calls) = stage.apply(&as_applied);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(calls.is_empty(), "{calls:?}");
    for told in [&preview.blocked, &waiting] {
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].reason, Reason::Unsupported);
        assert_eq!(
            told[0].message,
            "`healthcheck.start_interval` of service `api` needs Docker 25 (API 1.44), and this engine is Docker \
             20.10.24 (API 1.41): use `interval` alone, or upgrade the engine"
        );
    }
    Stage::new().converge(&as_applied);
}

#[test]
fn a_daemon_leaves_that_one_service_as_it_is_and_heals_the_others() {
    let stage = old_engine();
    let before = with(with(stack(), "api", service(1)), "web", service(1));
    stage.converge(&before);
    let old = stage.container(&before, "shop-api-1");
    let after = with(before, "api", often_checked(2));
    let web = stage.container(&after, "shop-web-1").id;
    stage.engine.act(|world| {
        world.kill(&web, "SIGKILL").expect("it runs");
        world.kill(&old.id, "SIGKILL").expect("it runs");
    });
    let calls = stage.run_for(&after, Duration::from_mins(2));
    assert_eq!(calls, ["start container shop-api-1", "start container shop-web-1"]);
    assert_eq!(stage.names(&after), ["shop-api-1", "shop-web-1"]);

    let status = status(&stage, &after);
    assert_eq!(status.condition, Standing::Degraded);
    let of = |name: &str| status.services.iter().find(|it| it.service.as_str() == name).expect("known");
    assert_eq!(of("web").condition, Standing::Ready);
    let waiting = &of("api").waiting;
    assert!(waiting.iter().all(|it| it.reason == Reason::Unsupported && it.stuck), "{waiting:?}");
    assert_eq!(of("api").condition, Standing::Degraded);
}

#[test]
fn what_an_engine_can_no_longer_do_is_healed_with_its_hooks_and_gets_its_name_back() {
    let stage = Stage::new();
    let desired = with(stack(), "api", often_checked(1).hooked("hello", "bye"));
    stage.converge(&desired);
    let api = stage.container(&desired, "shop-api-1");
    stage.engine.act(|world| {
        world.set_info(EngineInfo { api_version: "1.41".into(), ..world.info().clone() });
        world.kill(&api.id, "SIGKILL").expect("it runs");
    });
    stage.run_for(&desired, Duration::from_mins(2));
    assert_eq!(stage.names(&desired), ["shop-api-1"]);
    assert_eq!(stage.container(&desired, "shop-api-1").id, api.id);
}

#[test]
fn a_network_that_the_engine_cannot_make_keeps_its_services_alone_from_running() {
    let stage = old_engine();
    let network = Network { name: "shop_six".into(), enable_ipv4: Some(false), ..Network::default() };
    let on_it = service(1).but(|service| {
        service.networks.insert("shop_six".into(), Endpoint::default());
    });
    let mut desired = with(with(stack(), "api", on_it), "web", service(1));
    desired.networks.insert("six".into(), network);
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(waiting[0].message.starts_with("`enable_ipv4` of network `six` needs Docker 28"), "{waiting:?}");
    assert!(calls.iter().all(|call| !call.contains("six") && !call.contains("api")), "{calls:?}");
    assert!(calls.contains(&"start container shop-web-1".to_owned()), "{calls:?}");
}

#[test]
fn what_the_kernel_does_not_have_is_told_too() {
    let stage = Stage::with_world(|world| {
        let discards = ["mem_swappiness".to_owned()].into();
        world.set_info(EngineInfo { discards, ..world.info().clone() });
    });
    let desired = with(stack(), "api", service(1).but(|service| service.spec.mem_swappiness = Some(10)));
    let (outcome, calls) = stage.apply(&Desired { images_first: true, ..desired });
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    assert!(waiting[0].message.starts_with("`mem_swappiness` of service `api` has no effect"), "{waiting:?}");
    assert!(calls.is_empty(), "{calls:?}");
}

#[test]
fn a_link_follows_what_it_leads_to_without_a_restart() {
    let stage = Stage::new();
    let web = || {
        service(1).needs("db", Condition::Started).but(|service| service.spec.links = vec!["db:store".into()])
    };
    let at = |image: &str| with(with(stack(), "db", service(1).image(image)), "web", web());
    let calls = stage.converge(&at("app:1"));
    assert!(calls.iter().all(|call| !call.contains("connect")), "it waits for what it links to: {calls:?}");
    let before = stage.container(&at("app:1"), "shop-web-1");
    let links = |container: &compose_operator::core::observed::Container| {
        container.networks["shop_default"].endpoint.links.clone()
    };
    assert_eq!(links(&before), ["shop-db-1:store", "shop-db-1:db-1", "shop-db-1:shop-db-1"]);
    let calls = stage.converge(&at("app:2"));
    let after = stage.container(&at("app:2"), "shop-web-1");
    assert_eq!(links(&after)[0], "shop-db-2:store", "{calls:?}");
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
}

#[test]
fn a_link_is_not_made_anew_while_what_it_leads_to_starts() {
    let stage = Stage::new();
    let web = service(1)
        .needs("db", Condition::Started)
        .but(|service| service.spec.links = vec!["db:store".into()]);
    let desired = with(with(stack(), "db", service(1).hooked("hello", "bye")), "web", web);
    let mut calls = stage.converge(&desired);
    let db = stage.container(&desired, "shop-db-1");
    stage.engine.act(|world| world.kill(&db.id, "SIGKILL").expect("it runs"));
    calls.extend(stage.run_for(&desired, Duration::from_mins(1)));
    assert!(calls.contains(&"start container starting_shop-db-1".to_owned()), "{calls:?}");
    assert!(calls.iter().all(|call| !call.contains("connect")), "{calls:?}");
    let web = stage.container(&desired, "shop-web-1");
    assert_eq!(web.networks["shop_default"].endpoint.links[0], "shop-db-1:store");
}

#[test]
fn what_joins_a_network_while_it_starts_answers_to_its_own_name_there() {
    let stage = Stage::new();
    let desired = with(stack(), "web", service(1).hooked("hello", "bye"));
    stage.converge(&desired);
    let web = stage.container(&desired, "shop-web-1");
    stage.engine.act(|world| {
        world.kill(&web.id, "SIGKILL").expect("it runs");
        world.disconnect("shop_default", &web.id).expect("it is on it");
        world.rename_container(&web.id, "starting_shop-web-1").expect("it is free");
    });
    stage.converge(&desired);
    let aliases = &stage.container(&desired, "shop-web-1").networks["shop_default"].endpoint.aliases;
    assert!(aliases.contains("shop-web-1") && !aliases.contains("starting_shop-web-1"), "{aliases:?}");
}

#[test]
fn an_image_that_is_mounted_is_fetched_first() {
    let stage = Stage::with_world(|world| {
        world.set_info(EngineInfo { api_version: "1.48".into(), ..world.info().clone() });
        world.publish_image("data:1", Image::default());
    });
    let mount = Mount {
        kind: MountKind::Image,
        source: "data:1".into(),
        read_only: true,
        options: std::collections::BTreeMap::new(),
    };
    let web = service(1).but(|service| {
        service.spec.mounts.insert("/data".into(), mount);
    });
    let calls = stage.converge(&with(stack(), "web", web));
    let at = |text: &str| calls.iter().position(|call| call == text);
    assert!(at("pull image data:1") < at("create container shop-web-1"), "{calls:?}");
    assert!(at("pull image data:1").is_some(), "{calls:?}");
}

#[test]
fn a_network_that_others_made_under_a_stacks_name_is_not_joined() {
    let stage = Stage::with_world(|world| {
        world.add_foreign_network("shop_default", &[("team", "other")]);
    });
    let mut desired = with(stack(), "api", service(1));
    let (outcome, calls) = stage.apply(&desired);
    let Outcome::Stuck(waiting) = outcome else { panic!("{outcome:?}") };
    let told = waiting.iter().find(|it| it.subject == "shop_default").expect("told");
    assert_eq!(told.reason, Reason::OwnershipMismatch);
    assert!(
        told.message.contains("external: true") && told.message.contains("docker network rm"),
        "{told:?}"
    );
    assert!(!calls.iter().any(|call| call.contains("container")), "{calls:?}");

    // Declared as theirs, it is used as it is.
    desired.networks.get_mut("default").expect("it is there").external = true;
    assert!(stage.converge(&desired).contains(&"start container shop-api-1".to_owned()));
}

#[test]
fn a_network_of_another_project_with_the_right_key_is_used_as_with_compose() {
    let labels = [("com.docker.compose.project", "old"), ("com.docker.compose.network", "default")];
    let stage = Stage::with_world(|world| {
        world.add_foreign_network("shop_default", &labels);
    });
    let desired = with(stack(), "api", service(1));
    assert!(stage.converge(&desired).contains(&"start container shop-api-1".to_owned()));
}
