//! Builds: every option shows in the image, secrets show nowhere, and Compose goes on with what was built.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::stage::{Project, Said, docker, remove_images, said};

const LOOP: &str = r#"["sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]"#;
const BASE: &str = "FROM compose-operator-test/busybox:1";

/// A project whose one service is built like this.
fn built(word: &str, build: &str, more: &str) -> Project {
    Project::with(word, &format!("services:\n  web:\n    command: {LOOP}\n    build:\n{build}{more}"))
}

fn apply(project: &Project, environment: &[(&str, &str)]) -> Said {
    said(project.command(&["apply", "-f", "compose.yaml"]).envs(environment.iter().copied()))
}

fn inspect(project: &Project, format: &str) -> String {
    docker(&["image", "inspect", "--format", format, &project.named("web")]).trim().to_owned()
}

/// Takes the images away with the project.
struct Image<'p>(&'p Project);

impl Drop for Image<'_> {
    fn drop(&mut self) {
        self.0.operator(&["down", "-f", "compose.yaml", "--timeout", "20s"]);
        remove_images(&format!("{}-*", self.0.name));
    }
}

#[test]
fn every_option_shows_in_the_image_whichever_builder_makes_it() {
    let project = built(
        "options",
        "      context: ctx\n      dockerfile: ../Recipe\n      target: wanted\n      args: {GIVEN: one, OWN: }\n\
         \x20     labels: {team: edge}\n      network: none\n      extra_hosts: [\"far.example:192.0.2.1\"]\n\
         \x20     tags: [\"TAG\"]\n      no_cache: true\n      platforms: [linux/amd64]\n",
        "",
    );
    let tag = project.named("other");
    let text = std::fs::read_to_string(project.path("compose.yaml")).unwrap().replace("TAG", &tag);
    project.compose(&text);
    project.write("ctx/app/main", "x");
    project.write("ctx/app/noise.log", "x");
    project.write("ctx/secret/key", "x");
    project.write("ctx/secret/public", "x");
    project.write("ctx/.dockerignore", "app\n");
    let recipe = format!(
        "{BASE} AS wanted\nARG GIVEN\nARG OWN\nRUN echo $GIVEN $OWN $(grep -c far.example /etc/hosts) $(ls /sys/class/net) > /said\n\
         COPY . /context\nFROM wanted\nRUN false\n"
    );
    project.write("Recipe", &recipe);
    let image = Image(&project);
    for builder in ["1", "0"] {
        // BuildKit takes the ignore file of the Dockerfile from beside it; to the classic builder, it is outside.
        let ignore = "**/*.log\nsecret\n!secret/public\n.dockerignore\n";
        project.write("Recipe.dockerignore", if builder == "1" { ignore } else { "" });
        project.write("ctx/.dockerignore", if builder == "1" { "app\n" } else { ignore });
        let told = apply(&project, &[("DOCKER_BUILDKIT", builder), ("OWN", "own")]);
        assert_eq!(told.code, 0, "{told}");
        assert_eq!(project.exec("web-1", &["cat", "/said"]), "one own 1 lo\n", "builder {builder}");
        let found = project.exec("web-1", &["find", "/context", "-type", "f"]);
        let mut found: Vec<&str> = found.lines().filter(|path| !path.ends_with("/.dockerignore")).collect();
        found.sort_unstable();
        assert_eq!(found, ["/context/app/main", "/context/secret/public"], "builder {builder}");
        assert_eq!(inspect(&project, r#"{{index .Config.Labels "team"}}"#), "edge");
        docker(&["rmi", &tag]);
        project.operator(&["down", "-f", "compose.yaml"]);
        docker(&["rmi", &project.named("web")]);
    }
    drop(image);
}

#[test]
fn a_secret_reaches_its_step_and_nothing_else() {
    let project = built(
        "secret",
        "      context: .\n      secrets: [{source: key, target: id_of_key}, token]\n",
        "secrets: {key: {file: ./key.txt}, token: {environment: BUILD_TOKEN}}\n",
    );
    project.write("key.txt", "canary-of-file");
    project.write(".dockerignore", "key.txt\n");
    let recipe = format!(
        "{BASE}\nRUN --mount=type=secret,id=id_of_key --mount=type=secret,id=token \
         cat /run/secrets/*; cat /run/secrets/id_of_key | wc -c > /said; cat /run/secrets/token | wc -c >> /said\n"
    );
    project.write("Dockerfile", &recipe);
    let _image = Image(&project);
    let told = apply(&project, &[("BUILD_TOKEN", "canary-of-token")]);
    assert_eq!(told.code, 0, "{told}");
    assert_eq!(project.exec("web-1", &["cat", "/said"]), "14\n15\n");
    let history = docker(&["history", "--no-trunc", &project.named("web")]);
    let status = project.operator(&["status", "-f", "compose.yaml", "-o", "json"]);
    for text in [told.all(), history, inspect(&project, "{{json .}}"), status.all()] {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_secret_whose_variable_is_not_set_is_named_before_the_build() {
    let project = built(
        "unset",
        "      dockerfile_inline: FROM scratch\n      secrets: [token]\n",
        "secrets: {token: {environment: NOWHERE_SET}}\n",
    );
    let told = apply(&project, &[]);
    assert_eq!(told.code, 2, "{told}");
    assert!(told.err.contains("the variable NOWHERE_SET, which is not set"), "{told}");
    assert!(project.networks().is_empty());
}

#[test]
fn a_step_talks_to_the_agent_of_its_build() {
    let project = built("agent", "      context: .\n      ssh: [default, \"other=./other.sock\"]\n", "");
    let ask = |id: &str| {
        format!(
            "RUN --mount=type=ssh,id={id} perl -MIO::Socket::UNIX -e \
             'my $s = IO::Socket::UNIX->new($ENV{{SSH_AUTH_SOCK}}) or die \"no agent\"; \
             $s->autoflush(1); print $s \"who\\n\"; print scalar <$s>' >> /said\n"
        )
    };
    let recipe = format!("FROM debian:bookworm-slim\n{}{}", ask("default"), ask("other"));
    project.write("Dockerfile", &recipe);
    let agent = |file: &str, name: &'static str| {
        let listener = UnixListener::bind(project.path(file)).unwrap();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut asked = String::new();
                BufReader::new(stream.try_clone().unwrap()).read_line(&mut asked).unwrap();
                assert_eq!(asked, "who\n");
                stream.write_all(format!("{name}\n").as_bytes()).unwrap();
            }
        });
    };
    agent("default.sock", "agent one");
    agent("other.sock", "agent two");
    let _image = Image(&project);
    let own = project.path("default.sock");
    let told = apply(&project, &[("SSH_AUTH_SOCK", own.to_str().unwrap())]);
    assert_eq!(told.code, 0, "{told}");
    assert_eq!(project.exec("web-1", &["cat", "/said"]), "agent one\nagent two\n");
}

#[test]
fn a_failing_build_shows_the_last_lines_of_the_step_that_failed() {
    let recipe = format!("{BASE}\nRUN echo fine\nRUN echo nearly there; echo but not quite >&2; exit 3\n");
    let project = built("fails", "      context: .\n", "");
    project.write("Dockerfile", &recipe);
    for builder in ["1", "0"] {
        let told = apply(&project, &[("DOCKER_BUILDKIT", builder)]);
        assert_eq!(told.code, 2, "{told}");
        for part in ["BuildFailed", "nearly there\n", "but not quite", "RUN echo nearly there", "3"] {
            assert!(told.err.contains(part), "builder {builder} does not say `{part}`:\n{told}");
        }
        assert!(project.containers().is_empty() && project.networks().is_empty());
    }
}

#[test]
fn what_one_built_the_other_goes_on_with() {
    for (word, builder) in [("kit", "1"), ("classic", "0")] {
        let project = built(word, "      context: .\n      args: {A: b}\n      labels: {team: edge}\n", "");
        project.write("Dockerfile", &format!("{BASE}\nARG A\nCOPY file /file\nRUN echo $A > /a\n"));
        project.write("file", "x");
        let _image = Image(&project);
        let compose = |args: &[&str]| {
            let mut command = std::process::Command::new("docker");
            command
                .arg("compose")
                .args(args)
                .current_dir(project.directory())
                .env("DOCKER_BUILDKIT", builder);
            let told = said(&mut command);
            assert_eq!(told.code, 0, "{told}");
        };
        let told = apply(&project, &[("DOCKER_BUILDKIT", builder)]);
        assert_eq!(told.code, 0, "{told}");
        let ours = (inspect(&project, "{{.Id}}"), inspect(&project, "{{json .Config.Labels}}"));
        let life = project.container("web-1").life();
        compose(&["up", "-d"]);
        assert_eq!(project.container("web-1").life(), life, "builder {builder}");
        // From the cache that the operator left, Compose builds the very same image: nothing is recreated.
        compose(&["up", "-d", "--build"]);
        assert_eq!(project.container("web-1").life(), life, "builder {builder}");
        let theirs = (inspect(&project, "{{.Id}}"), inspect(&project, "{{json .Config.Labels}}"));
        assert_eq!(ours, theirs, "builder {builder}");
        // And the other way round.
        compose(&["down", "-t", "0", "--rmi", "all"]);
        compose(&["up", "-d"]);
        let life = project.container("web-1").life();
        project.assert_nothing_to_do("compose.yaml");
        let told = apply(&project, &[("DOCKER_BUILDKIT", builder)]);
        assert_eq!(told.code, 0, "{told}");
        assert_eq!(project.container("web-1").life(), life, "builder {builder}");
    }
}

#[test]
fn a_context_may_be_an_archive_that_the_engine_fetches() {
    let recipe = format!("{BASE}\nCOPY fetched /fetched\n");
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in [("Dockerfile", recipe.as_str()), ("fetched", "far\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let archive = archive.into_inner().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                archive.len()
            );
            let body: &[u8] = if request[..read].starts_with(b"HEAD") { &[] } else { &archive };
            let _cut_off = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    let project = built("archive", &format!("      context: http://127.0.0.1:{port}/context.tar\n"), "");
    let _image = Image(&project);
    for builder in ["1", "0"] {
        let told = apply(&project, &[("DOCKER_BUILDKIT", builder)]);
        assert_eq!(told.code, 0, "{told}");
        assert_eq!(project.exec("web-1", &["cat", "/fetched"]), "far\n");
        project.operator(&["down", "-f", "compose.yaml"]);
        docker(&["rmi", &project.named("web")]);
    }
}

#[test]
fn layers_are_taken_from_the_caches_that_are_named() {
    let project = built("cache", "      context: .\n      args: {BUILDKIT_INLINE_CACHE: \"1\"}\n", "");
    project.write("Dockerfile", &format!("{BASE}\nRUN echo {} > /a\n", project.name));
    let _image = Image(&project);
    assert_eq!(apply(&project, &[]).code, 0);
    let reference = project.named("cache");
    docker(&["tag", &project.named("web"), &reference]);
    project.operator(&["down", "-f", "compose.yaml"]);
    docker(&["rmi", "-f", &project.named("web")]);
    project.compose(&format!(
        "services:\n  web:\n    command: {LOOP}\n    build: {{context: ., cache_from: [\"{reference}\"]}}\n"
    ));
    let told = apply(&project, &[]);
    assert_eq!(told.code, 0, "{told}");
    assert!(told.err.contains("importing cache manifest from"), "{told}");
    docker(&["rmi", &reference]);
}

#[test]
fn what_the_builder_cannot_do_is_told_before_anything_is_changed() {
    let project = built(
        "cannot",
        "      dockerfile_inline: FROM scratch\n      secrets: [token]\n      ssh: [default]\n      privileged: true\n",
        "secrets: {token: {environment: HOME}}\n",
    );
    let told = said(project.command(&["validate", "-f", "compose.yaml"]).env("DOCKER_BUILDKIT", "0"));
    assert_eq!(told.code, 2, "{told}");
    for part in [
        "compose.yaml:6:16",
        "compose.yaml:7:12",
        "compose.yaml:8:19",
        "`build.secrets`",
        "DOCKER_BUILDKIT=0",
    ] {
        assert!(told.all().contains(part), "it does not say `{part}`:\n{told}");
    }
    let told = said(project.command(&["validate", "-f", "compose.yaml"]).env("DOCKER_BUILDKIT", "maybe"));
    assert!(told.all().contains("neither true nor false"), "{told}");
    let several = built(
        "several",
        "      dockerfile_inline: FROM scratch\n      platforms: [linux/amd64, linux/arm64]\n",
        "",
    );
    let told = apply(&several, &[]);
    let containerd =
        docker(&["info", "--format", "{{json .DriverStatus}}"]).contains("io.containerd.snapshotter");
    assert_eq!(told.code == 2, !containerd, "{told}");
    if !containerd {
        assert!(told.err.contains("compose.yaml:6:18: `build.platforms` needs"), "{told}");
        assert!(several.networks().is_empty());
    }
}

#[test]
fn further_contexts_are_built_from_where_the_engine_can_and_told_where_it_cannot() {
    let project = Project::with(
        "contexts",
        &format!(
            "services:\n  base:\n    command: {LOOP}\n    build:\n      dockerfile_inline: |\n        {BASE}\n        RUN echo base > /base\n\
             \x20 web:\n    command: {LOOP}\n    build:\n      context: ctx\n      additional_contexts: {{near: ./near, base: \"service:base\"}}\n"
        ),
    );
    project.write(
        "ctx/Dockerfile",
        &format!("{BASE}\nCOPY --from=near file /near\nCOPY --from=base /base /base\n"),
    );
    project.write("near/file", "near\n");
    let _image = Image(&project);
    let version = docker(&["version", "--format", "{{.Server.APIVersion}}"]);
    let minor: u32 = version.trim().split_once('.').unwrap().1.parse().unwrap();
    let told = apply(&project, &[]);
    if minor < 42 {
        assert_eq!(told.code, 2, "{told}");
        assert!(
            told.err
                .contains("compose.yaml:12:28: `build.additional_contexts` needs the BuildKit of Docker 23"),
            "{told}"
        );
        assert!(project.containers().is_empty() && project.networks().is_empty());
    } else {
        assert_eq!(told.code, 0, "{told}");
        assert_eq!(project.exec("web-1", &["cat", "/near", "/base"]), "near\nbase\n");
    }
}
