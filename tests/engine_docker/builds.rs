//! Builds.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use compose_operator::core::builder::Builder;
use compose_operator::core::desired::{Build, BuildSecret};
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
        "FROM {BUSYBOX} AS base\nARG GIVEN\nARG OWN\nRUN echo built $GIVEN $OWN $(grep -c far.example /etc/hosts) $(ulimit -n) > /said\n\
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
        builder: Some(Builder::Classic),
        ulimits: [("nofile".to_owned(), (123, 456))].into(),
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
    assert_eq!(said, ["built given own 2 123", "./.dockerignore", "./app/main", "./secret/public"]);
}

#[tokio::test]
async fn a_dockerfile_may_stand_in_the_stack_file() {
    let world = World::new();
    let root = context(&[("a", "x")]);
    let text = format!("FROM {BUSYBOX}\nCOPY a /a\n");
    for builder in [Builder::BuildKit, Builder::Classic] {
        let build = Build {
            builder: Some(builder),
            dockerfile_inline: Some(text.clone()),
            tags: vec![world.name("other")],
            ..build_of(root.path())
        };
        world.docker.build_image(&world.name("image"), &build, &|_| {}).await.unwrap();
        for name in ["image", "other"] {
            assert!(world.docker.inspect_image(&world.name(name)).await.unwrap().is_some());
            remove(&world.name(name)).await;
        }
    }
}

/// Removes an image, again where the engine stumbles over one that another test removes at the same moment
/// ("unrecognized image ID"), by when it may have gone.
async fn remove(image: &str) {
    let docker = crate::world::bollard();
    for again in 0..10 {
        match docker.remove_image(image, None::<bollard::query_parameters::RemoveImageOptions>, None).await {
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 500, .. }) => {}
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) if again > 0 => {
                return;
            }
            removed => return drop(removed.unwrap()),
        }
    }
    panic!("{image} could not be removed");
}

#[tokio::test]
async fn a_failed_build_says_what_it_printed() {
    let world = World::new();
    let text = format!("FROM {BUSYBOX}\nRUN echo nearly there; exit 3\n");
    let root = context(&[("Dockerfile", &text)]);
    let nonsense = context(&[("Dockerfile", "FORM nothing\n")]);
    let by = |builder, root: &Path| Build { builder: Some(builder), ..build_of(root) };
    for (builder, code) in [(Builder::BuildKit, "exit code: 3"), (Builder::Classic, "non-zero code: 3")] {
        let fails = async |build: Build| {
            world.docker.build_image(&world.name("image"), &build, &|_| {}).await.unwrap_err()
        };
        let failed = fails(by(builder, root.path())).await;
        assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
        assert!(failed.message.contains(code) && failed.message.contains("nearly there"), "{failed}");
        let failed = fails(by(builder, &root.path().join("nowhere"))).await;
        assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
        let failed = fails(by(builder, nonsense.path())).await;
        assert_eq!(failed.kind, FailureKind::BuildFailed, "{failed}");
    }
}

#[tokio::test]
async fn a_large_context_with_many_files_arrives_whole() {
    let world = World::new();
    let root = context(&[(
        "Dockerfile",
        &format!(
            "FROM {BUSYBOX}\nCOPY . /c\nCMD [\"sh\", \"-c\", \"cd /c; cat big many/* | md5sum; ls -l link | tail -c 6; stat -c %a run\"]\n"
        ),
    )]);
    let mut all: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(root.path().join("big"), &all).unwrap();
    fs::create_dir(root.path().join("many")).unwrap();
    for number in 0..1500 {
        let text = format!("{number}\n");
        fs::write(root.path().join(format!("many/{number:04}")), &text).unwrap();
        all.extend(text.as_bytes());
    }
    fs::write(root.path().join("run"), "x").unwrap();
    fs::set_permissions(root.path().join("run"), std::os::unix::fs::PermissionsExt::from_mode(0o750))
        .unwrap();
    std::os::unix::fs::symlink("many", root.path().join("link")).unwrap();
    let build = Build { builder: Some(Builder::BuildKit), ..build_of(root.path()) };
    world.docker.build_image(&world.name("image"), &build, &|_| {}).await.unwrap();
    let spec = ContainerSpec { image: world.name("image"), ..ContainerSpec::default() };
    let container = world.run(&world.container("whole", spec)).await;
    while world.look(&container.id).await.state != State::Exited {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let file = root.path().join("all");
    fs::write(&file, &all).unwrap();
    let sum = std::process::Command::new("md5sum").stdin(fs::File::open(&file).unwrap()).output().unwrap();
    let said = world.docker.log_tail(&container.id, 10).await.unwrap();
    assert_eq!(said, [String::from_utf8(sum.stdout).unwrap().trim(), " many", "750"]);
}

#[tokio::test]
async fn a_secret_that_the_build_does_not_have_is_named() {
    let world = World::new();
    let text = format!("FROM {BUSYBOX}\nRUN --mount=type=secret,id=other,required=true true\n");
    let root = context(&[("Dockerfile", &text)]);
    let secret = BuildSecret::File(root.path().join("Dockerfile").to_str().unwrap().to_owned());
    let build = Build { secrets: [("one".to_owned(), secret)].into(), ..build_of(root.path()) };
    let failed = world.docker.build_image(&world.name("image"), &build, &|_| {}).await.unwrap_err();
    assert!(failed.message.contains("secret other") && failed.kind == FailureKind::BuildFailed, "{failed}");
}

#[tokio::test]
async fn a_build_goes_over_tcp_as_over_the_socket() {
    let world = World::new();
    let socket = world.docker.location().trim_start_matches("unix://").to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = tokio::net::UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let docker =
        Docker::find(Some(&format!("tcp://127.0.0.1:{port}")), std::collections::BTreeMap::new()).unwrap();
    let root = context(&[("Dockerfile", &format!("FROM {BUSYBOX}\nCOPY a /a\n")), ("a", "x")]);
    docker.build_image(&world.name("image"), &build_of(root.path()), &|_| {}).await.unwrap();
    assert!(world.docker.inspect_image(&world.name("image")).await.unwrap().is_some());
}

#[tokio::test]
async fn an_engine_that_is_gone_fails_a_build_for_a_while_and_not_for_good() {
    let root = context(&[("Dockerfile", "FROM scratch\n")]);
    let nobody = format!("unix://{}/docker.sock", root.path().display());
    let docker = Docker::find(Some(&nobody), std::collections::BTreeMap::new()).unwrap();
    let failed = docker.build_image("a", &build_of(root.path()), &|_| {}).await.unwrap_err();
    assert_eq!(failed.kind, FailureKind::Unreachable, "{failed}");
}
