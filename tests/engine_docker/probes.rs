//! Probes: each way of asking, from here and from within.

use std::time::Duration;

use compose_operator::core::observed::Container;
use compose_operator::core::probe::{Handler, Http, Probe, Target};
use compose_operator::core::spec::{ContainerSpec, Endpoint};
use compose_operator::engine::ReadEngine;
use compose_operator::secret::Secret;

use crate::world::{BUSYBOX, REDIS, World};

/// A web server with one page, on port 8080.
async fn web(world: &World, network_mode: Option<&str>) -> Container {
    let serve = "mkdir /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www";
    run(world, BUSYBOX, &["sh", "-c", serve], network_mode).await
}

async fn run(world: &World, image: &str, command: &[&str], network_mode: Option<&str>) -> Container {
    let name = format!("probed-{}", network_mode.unwrap_or("net"));
    let spec = ContainerSpec {
        image: image.to_owned(),
        command: Some(command.iter().map(|word| (*word).to_owned()).collect()),
        network_mode: network_mode.map(str::to_owned),
        ..ContainerSpec::default()
    };
    let mut new = world.container(&name, spec);
    if network_mode.is_none() {
        new.networks.insert(world.network("net").await.0, Endpoint::default());
    }
    world.run(&new).await
}

fn page(path: &str) -> Http {
    Http { port: 8080, path: path.to_owned(), tls: false, headers: Vec::new(), status: (200, 399) }
}

async fn ask(world: &World, container: &Container, handler: Handler) -> Result<(), String> {
    let probe = Probe { timeout: Duration::from_secs(3), ..Probe::new(handler) };
    world.docker.probe(&Target::of(container), &probe).await.unwrap()
}

/// Asks until the answer is the expected one: a program takes a moment to listen.
async fn expect(world: &World, container: &Container, handler: Handler, expected: Result<(), &str>) {
    let mut last = Ok(());
    let said = async {
        loop {
            last = ask(world, container, handler.clone()).await;
            let fits = match (&last, expected) {
                (Ok(()), Ok(())) => true,
                (Err(said), Err(part)) => said.contains(part),
                _ => false,
            };
            if fits {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), said).await;
    assert!(in_time.is_ok(), "{handler:?}: {last:?}, and not {expected:?}");
}

#[tokio::test]
async fn a_page_answers_or_does_not() {
    let world = World::new();
    let web = web(&world, None).await;
    expect(&world, &web, Handler::Http(page("/")), Ok(())).await;
    expect(&world, &web, Handler::Http(page("/gone")), Err("/gone answers with 404")).await;
    expect(&world, &web, Handler::Http(Http { status: (404, 404), ..page("/gone") }), Ok(())).await;
    expect(&world, &web, Handler::Http(Http { port: 81, ..page("/") }), Err("nothing listens on port 81"))
        .await;
    expect(&world, &web, Handler::Http(Http { tls: true, ..page("/") }), Err("no TLS on port 8080")).await;
    let headers = vec![("X-Key".to_owned(), Secret::new("s3cret\n"))];
    let refused = ask(&world, &web, Handler::Http(Http { headers, ..page("/") })).await.unwrap_err();
    assert!(refused.contains("header x-key") && !refused.contains("s3cret"), "{refused}");
}

#[tokio::test]
async fn a_connection_comes_about_or_does_not() {
    let world = World::new();
    let web = web(&world, None).await;
    expect(&world, &web, Handler::Tcp { port: 8080 }, Ok(())).await;
    expect(&world, &web, Handler::Tcp { port: 81 }, Err("nothing listens on port 81")).await;
}

#[tokio::test]
async fn where_no_address_can_be_reached_it_is_asked_within() {
    let world = World::new();
    let web = web(&world, Some("none")).await;
    expect(&world, &web, Handler::Http(page("/")), Ok(())).await;
    expect(&world, &web, Handler::Http(page("/gone")), Err("/gone answers with 404")).await;
    expect(&world, &web, Handler::Tcp { port: 8080 }, Ok(())).await;
    expect(&world, &web, Handler::Tcp { port: 81 }, Err("nothing listens on port 81")).await;
}

#[tokio::test]
async fn a_command_ends_well_or_badly_or_too_late() {
    let world = World::new();
    let sleeper = run(&world, BUSYBOX, &["sleep", "600"], None).await;
    let exec = |script: &str| Handler::Exec { command: vec!["sh".into(), "-c".into(), script.into()] };
    assert_eq!(ask(&world, &sleeper, exec("exit 0")).await, Ok(()));
    let bad = ask(&world, &sleeper, exec("echo broken; exit 3")).await.unwrap_err();
    assert_eq!(bad, "sh ended with code 3: broken");
    let missing = ask(&world, &sleeper, Handler::Exec { command: vec!["no-such".into()] }).await.unwrap_err();
    assert!(missing.contains("no-such"), "{missing}");
    let late = ask(&world, &sleeper, exec("sleep 30")).await.unwrap_err();
    assert_eq!(late, "no answer within 3 s");
}

/// An engine ends no command, and one begun at each turn would fill the container.
#[tokio::test]
async fn a_command_that_hangs_is_not_begun_beside_itself() {
    let world = World::new();
    let sleeper = run(&world, BUSYBOX, &["sleep", "600"], None).await;
    let exec = |script: &str| Handler::Exec { command: vec!["sh".into(), "-c".into(), script.into()] };
    let hangs = "echo begun >> /tmp/begun; while [ ! -e /tmp/end ]; do sleep 0.1; done";
    let said = ask(&world, &sleeper, exec(hangs)).await.unwrap_err();
    assert_eq!(said, "no answer within 3 s");
    let said = ask(&world, &sleeper, exec(hangs)).await.unwrap_err();
    assert_eq!(said, "sh was not run, since the one before has not ended yet");
    assert_eq!(ask(&world, &sleeper, exec("[ $(wc -l < /tmp/begun) = 1 ]; touch /tmp/end")).await, Ok(()));
    expect(&world, &sleeper, exec(hangs), Ok(())).await;
}

#[tokio::test]
async fn a_redis_answers_to_who_knows_its_password() {
    let world = World::new();
    for network_mode in [None, Some("none")] {
        let command = ["redis-server", "--requirepass", "s3cret"];
        let redis = run(&world, REDIS, &command, network_mode).await;
        let ping = |password: &str| Handler::Redis { port: 6379, password: Some(Secret::new(password)) };
        expect(&world, &redis, ping("s3cret"), Ok(())).await;
        let refused = ask(&world, &redis, ping("other")).await.unwrap_err();
        assert!(!refused.contains("other") && !refused.is_empty(), "{refused}");
        if network_mode.is_none() {
            expect(&world, &redis, Handler::Redis { port: 81, password: None }, Err("")).await;
        }
    }
}
