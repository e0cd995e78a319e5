//! Builds.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use compose_operator::core::desired::Build;
use compose_operator::core::failure::FailureKind;
use compose_operator::core::observed::State;
use compose_operator::core::spec::ContainerSpec;
use compose_operator::engine::docker::Docker;
use compose_operator::engine::{ReadEngine, WriteEngine};

use crate::world::{BUSYBOX, World};

fn context(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn build_of(root: &Path) -> Build {
    Build { context: root.to_str().unwrap().to_owned(), no_cache: true, ..Build::default() }
}

#[tokio::test]
async fn an_image_is_built_from_what_is_not_ignored() {
    let world = World::new();
    let dockerfile = format!(
        "FROM {BUSYBOX} AS base\nARG GIVEN\nARG OWN\nRUN echo built $GIVEN $OWN $(grep -c far.example /etc/hosts) > /said\n\
         COPY . /context\nEXPOSE 81\nVOLUME /state\nLABEL from=file\nHEALTHCHECK CMD true\nUSER 7\n\
         STOPSIGNAL SIGINT\nWORKDIR /w\nENV E=1\nENTRYPOINT [\"sh\"]\nCMD [\"-c\", \"cat /said; cd /context; find . -type f | sort\"]\n\
         FROM base\nRUN false\n"
    );
    let root = context(&[
        ("Dockerfile", &dockerfile),
        (".dockerignore", "**/*.log\nsecret\n!secret/public\nDockerfile\n"),
        ("app/main", "x"),
        ("app/noise.log", "x"),
        ("secret/key", "x"),
        ("secret/public", "x"),
    ]);
    let mut environment: std::collections::BTreeMap<String, String> = std::env::vars().collect();
    environment.insert("OWN".to_owned(), "own".to_owned());
    let docker = Docker::find(None, environment).unwrap();
    let build = Build {
        args: [("GIVEN".to_owned(), Some("given".to_owned())), ("OWN".to_owned(), None)].into(),
        target: Some("base".to_owned()),
        labels: [("built-for".to_owned(), "a test".to_owned())].into(),
        extra_hosts: ["far.example:192.0.2.1".to_owned(), "far.example.org:192.0.2.2".to_owned()].into(),
        shm_size: Some(32 << 20),
        ..build_of(root.path())
    };
    let reference = world.name("image");
    let printed = RefCell::new(Vec::new());
    docker.build_image(&reference, &build, &|line| printed.borrow_mut().push(line.to_owned())).await.unwrap();
    assert!(printed.borrow().iter().any(|line| line.contains("Successfully tagged")), "{printed:?}");

    let image = docker.inspect_image(&reference).await.unwrap().unwrap().defaults;
    assert_eq!(image.labels["from"], "file");
    assert_eq!(image.labels["built-for"], "a test");
    assert_eq!((image.user.as_deref(), image.working_dir.as_deref()), (Some("7"), Some("/w")));
    assert_eq!(image.stop_signal.as_deref(), Some("SIGINT"));
    assert_eq!(image.healthcheck.unwrap().test, ["CMD-SHELL", "true"]);
    assert_eq!(image.entrypoint.unwrap(), ["sh"]);
    assert_eq!(image.environment["E"].expose(), "1");
    assert!(image.expose.contains("81/tcp") && image.mounts["/state"].source.is_empty());

    let spec = ContainerSpec { image: reference, ..ContainerSpec::default() };
    let container = world.run(&world.container("built", spec)).await;
    while world.look(&container.id).await.state != State::Exited {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let said = world.docker.log_tail(&container.id, 10).await.unwrap();
    assert_eq!(said, ["built given own 2", "./.dockerignore", "./app/main", "./secret/public"]);
}

#[tokio::test]
async fn a_dockerfile_may_stand_in_the_stack_file() {
    let world = World::new();
    let root = context(&[("a", "x")]);
    let text = format!("FROM {BUSYBOX}\nCOPY a /a\n");
    let build = Build { dockerfile_inline: Some(text), ..build_of(root.path()) };
    world.docker.build_image(&world.name("image"), &build, &|_| {}).await.unwrap();
    assert!(world.docker.inspect_image(&world.name("image")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_failed_build_says_what_it_printed() {
    let world = World::new();
    let text = format!("FROM {BUSYBOX}\nRUN echo nearly there; exit 3\n");
    let root = context(&[("Dockerfile", &text)]);
    let failed =
        world.docker.build_image(&world.name("image"), &build_of(root.path()), &|_| {}).await.unwrap_err();
    assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
    assert!(
        failed.message.contains("non-zero code: 3") && failed.message.contains("nearly there"),
        "{failed}"
    );
    let missing = build_of(&root.path().join("nowhere"));
    let failed = world.docker.build_image(&world.name("image"), &missing, &|_| {}).await.unwrap_err();
    assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
    let nonsense = context(&[("Dockerfile", "FORM nothing\n")]);
    let failed = world
        .docker
        .build_image(&world.name("image"), &build_of(nonsense.path()), &|_| {})
        .await
        .unwrap_err();
    assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
}
