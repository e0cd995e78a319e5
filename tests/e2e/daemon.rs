//! `run`: follows the files, keeps the last good ones, logs what it does, and ends without touching anything.

use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use crate::stage::{Background, Project, SLEEPER, docker, wait_until};

fn web(replicas: u32) -> String {
    format!("services:\n  web:\n    {SLEEPER}\n    deploy: {{replicas: {replicas}}}\n")
}

#[track_caller]
fn wait_for_replicas(project: &Project, count: usize) {
    wait_until(&format!("{count} replicas run"), || (project.running().len() == count).then_some(()));
}

/// As editors save: a new file beside it, moved into its place.
fn save_by_rename(path: &Path, text: &str) {
    let beside = path.with_extension("yaml~");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, path).unwrap();
}

#[test]
fn a_file_that_is_written_renamed_or_removed_and_made_again_is_followed() {
    let project = Project::with("follow", &web(1));
    let _daemon = project.daemon("compose.yaml");
    project.compose(&web(2));
    wait_for_replicas(&project, 2);
    save_by_rename(&project.path("compose.yaml"), &web(3));
    wait_for_replicas(&project, 3);
    // A second time: the watch must not have gone with the first file.
    save_by_rename(&project.path("compose.yaml"), &web(1));
    wait_for_replicas(&project, 1);
    std::fs::remove_file(project.path("compose.yaml")).unwrap();
    project.compose(&web(2));
    wait_for_replicas(&project, 2);
}

#[test]
fn what_is_wanted_again_while_it_goes_comes_back() {
    let slow = |replicas: u32| web(replicas).replace("trap 'exit 0' TERM", "trap 'sleep 2; exit 0' TERM");
    let project = Project::with("again", &slow(2));
    let _daemon = project.daemon("compose.yaml");
    let events = project.events();
    project.compose(&slow(1));
    wait_until("the second one is told to go", || {
        (!events.times("kill", &project.named("web-2")).is_empty()).then_some(())
    });
    project.compose(&slow(3));
    wait_for_replicas(&project, 3);
}

#[test]
fn a_directory_that_is_swapped_by_its_link_is_followed() {
    let project = Project::new("swap");
    project.write("releases/1/compose.yaml", &web(1));
    project.write("releases/2/compose.yaml", &web(2));
    let current = project.path("current");
    std::os::unix::fs::symlink("releases/1", &current).unwrap();
    let _daemon = project.daemon_with(&["-f", "current/compose.yaml", "-p", &project.name]);
    wait_for_replicas(&project, 1);
    // As deployments do it: a new link, moved over the old one.
    for (target, count) in [("releases/2", 2), ("releases/1", 1)] {
        let beside = project.path("next");
        std::os::unix::fs::symlink(target, &beside).unwrap();
        std::fs::rename(&beside, &current).unwrap();
        wait_for_replicas(&project, count);
    }
    // And a file in the directory that the link points to now.
    project.write("releases/1/compose.yaml", &web(3));
    wait_for_replicas(&project, 3);
}

#[test]
fn the_manifest_and_files_that_others_name_are_followed() {
    let project = Project::with(
        "named",
        &format!("services:\n  web:\n    {SLEEPER}\n    env_file: [web.env]\n    mem_limit: ${{LIMIT}}\n"),
    );
    project.write("web.env", "A=1\n");
    project.write(".env", "LIMIT=64m\n");
    project.manifest("  services: {web: {replicas: 1}}\n");
    let _daemon = project.daemon("stack.yaml");
    save_by_rename(
        &project.path("stack.yaml"),
        &std::fs::read_to_string(project.path("stack.yaml")).unwrap().replace("replicas: 1", "replicas: 2"),
    );
    wait_for_replicas(&project, 2);
    project.write(".env", "LIMIT=96m\n");
    wait_until("both have the new limit", || {
        let all = project.containers();
        all.values().all(|it| it.number("/HostConfig/Memory") == 96 << 20).then_some(())
    });
    project.write("web.env", "A=2\n");
    wait_until("both have the new variable", || {
        let all = project.containers();
        let new = all.values().all(|it| it.0["Config"]["Env"].to_string().contains("A=2"));
        (all.len() == 2 && new).then_some(())
    });
}

#[test]
fn broken_files_change_nothing_and_the_last_good_ones_stay_in_force() {
    let project = Project::with("broken", &web(2));
    let daemon = project.daemon("compose.yaml");
    let events = project.events();
    project.compose("services:\n  web:\n    imgae: nothing\n");
    let line = daemon.wait_for("files refused, the last good ones stay in force");
    assert!(line.contains("compose.yaml:3:5") && line.contains("imgae"), "{line}");
    events.assert_nothing_changed();

    // It still heals by them.
    docker(&["rm", "-f", &project.named("web-1")]);
    wait_for_replicas(&project, 2);

    // Gone, empty and half-written files are broken files.
    for text in ["", "services: {"] {
        project.compose(text);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(project.running().len(), 2, "after {text:?}");
    }
    // So is one whose services are gone: they would all be left over.
    project.compose("services: {}\n");
    daemon.wait_for("the stack has no services");
    assert_eq!(project.running().len(), 2);
    std::fs::remove_file(project.path("compose.yaml")).unwrap();
    docker(&["kill", &project.named("web-2")]);
    wait_for_replicas(&project, 2);

    project.compose(&web(1));
    daemon.wait_for("files read again, all sound");
    wait_for_replicas(&project, 1);
}

#[test]
fn a_manifest_that_goes_does_not_hand_over_to_the_compose_file_beside() {
    let project = Project::with("last", &web(1));
    let manifest = format!(
        "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\n\
         spec: {{compose: {{files: [../compose.yaml]}}}}\n",
        project.name
    );
    // What the Compose file would be called without it is another project.
    project.write(".env", "COMPOSE_PROJECT_NAME=nobody-asked-for-this\n");
    project.write("manifests/stack.yaml", &manifest);
    let daemon = crate::stage::Background::start(&mut project.command(&["run", "--log-format", "json"]));
    wait_for_replicas(&project, 1);
    project.write("manifests/stack.yaml", "");
    daemon.wait_for("the file is empty");
    std::fs::remove_file(project.path("manifests/stack.yaml")).unwrap();
    daemon.wait_for("the directory has no manifest any more");
    docker(&["rm", "-f", &project.named("web-1")]);
    wait_for_replicas(&project, 1);
    project.write("manifests/stack.yaml", &manifest);
    daemon.wait_for("files read again, all sound");
    assert!(!daemon.text().contains("gone from the files"), "{}", daemon.text());
    assert!(!daemon.text().contains("nobody-asked-for-this"), "{}", daemon.text());
}

#[test]
fn status_says_that_the_files_of_now_are_not_in_force() {
    let project = Project::with("refused", &web(1));
    let daemon = project.daemon("compose.yaml");
    project.compose("services:\n  web:\n    imgae: nothing\n");
    daemon.wait_for("files refused");
    for args in [&["status", "-f", "compose.yaml"][..], &["status", "-p", &project.name]] {
        let said = project.operator(args);
        assert_eq!(said.code, 0, "{said}");
        assert!(said.all().contains("imgae") && said.all().contains(&project.named("web-1")), "{said}");
    }
}

#[test]
fn sigterm_ends_it_at_once_and_leaves_the_containers_running() {
    let project = Project::with("term", &web(2));
    let mut daemon = project.daemon("compose.yaml");
    let before: Vec<_> = project.containers().values().map(crate::stage::Container::life).collect();
    let events = project.events();
    daemon.signal("TERM");
    let (code, took) = daemon.end();
    assert_eq!(code, 0, "{}", daemon.text());
    assert!(took < Duration::from_secs(10), "{took:?}");
    events.assert_nothing_changed();
    let after: Vec<_> = project.containers().values().map(crate::stage::Container::life).collect();
    assert_eq!(before, after);
    // The next one takes over where this one was.
    let _next = project.daemon("compose.yaml");
    events.assert_nothing_changed();
}

#[test]
fn sigterm_in_the_middle_of_a_convergence_ends_it_too() {
    let project = Project::with("midterm", &web(6));
    let mut daemon = crate::stage::Background::start(&mut project.command(&[
        "run",
        "--parallel",
        "1",
        "--log-format",
        "json",
    ]));
    daemon.wait_for(r#""action":"start container""#);
    daemon.signal("TERM");
    let (code, took) = daemon.end();
    assert_eq!(code, 0, "{}", daemon.text());
    assert!(took < Duration::from_secs(10), "{took:?}");
    project.apply();
    assert_eq!(project.running().len(), 6);
}

#[test]
fn every_line_of_the_log_is_json_and_every_action_has_its_reason_and_how_long_it_took() {
    let project = Project::with("log", &web(1));
    let mut daemon = project.daemon("compose.yaml");
    project.compose(&web(2));
    daemon.wait_for_line("the second one is started", |line| {
        line.contains("start container") && line.contains("web-2")
    });
    daemon.signal("TERM");
    daemon.end();
    let text = daemon.text();
    let mut actions = 0;
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
        if line["action"].is_string() {
            actions += 1;
            assert!(
                line["target"].is_string() && line["reason"].is_string() && line["took_ms"].is_u64(),
                "{line}"
            );
            assert_eq!(line["stack"], project.name.as_str(), "{line}");
        }
    }
    assert_eq!(actions, 5, "a network, and twice create and start:\n{text}");
}

#[test]
fn people_get_lines_of_text() {
    let project = Project::with("textlog", &web(1));
    let daemon = crate::stage::Background::start(&mut project.command(&["run", "--log-format", "text"]));
    let line = daemon.wait_for("create container");
    assert!(line.contains("INFO") && line.contains("missing") && !line.starts_with('{'), "{line}");
    assert!(!line.contains('\u{1b}'), "no colours where nobody sees them: {line}");
}

#[test]
fn a_stack_that_joins_a_directory_is_taken_on_and_one_that_leaves_is_left_alone() {
    let (one, two) = (Project::new("stays"), Project::new("joins"));
    one.write("shared.yml", &web(1));
    let manifest = |name: &str| {
        format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec: {{compose: {{files: [../shared.yml]}}}}\n"
        )
    };
    one.write("manifests/one.yaml", &manifest(&one.name));
    let daemon = one.daemon("manifests/");
    one.write("manifests/two.yaml", &manifest(&two.name));
    wait_for_replicas(&two, 1);
    let life = two.container("web-1").life();
    std::fs::remove_file(one.path("manifests/two.yaml")).unwrap();
    daemon.wait_for("gone from the files");
    one.write("shared.yml", &web(2));
    wait_for_replicas(&one, 2);
    assert_eq!((two.running().len(), two.container("web-1").life()), (1, life), "left alone");
}

#[test]
fn back_off_is_known_to_status_while_the_daemon_runs() {
    let project = Project::with(
        "backoff",
        "services:\n  web:\n    image: compose-operator-test/busybox:1\n    command: [\"sh\", \"-c\", \"exit 3\"]\n",
    );
    let _daemon = crate::stage::Background::start(&mut project.command(&["run", "--log-format", "json"]));
    let container = wait_until("status tells of the back-off", || {
        let status = project.status("compose.yaml");
        let container = status["services"][0]["containers"][0].clone();
        (container["reason"] == "CrashLoopBackOff").then_some(container)
    });
    assert_eq!(container["exit_code"], 3, "{container}");
    assert!(container["next_retry"].is_string(), "{container}");
}

#[test]
fn a_supervisor_hears_that_it_is_ready_how_it_stands_that_it_lives_and_that_it_ends() {
    let project = Project::with("notify", &format!("services:\n  web:\n    {SLEEPER}\n"));
    let path = project.path("notify.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = project.command(&["run", "-f", "compose.yaml"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000000").env_remove("WATCHDOG_PID");
    let mut daemon = Background::start(&mut command);
    let hear = |part: &str| {
        let mut buffer = [0; 1024];
        loop {
            let length =
                socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{part} was never said: {error}"));
            let said = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if said.contains(part) {
                return said;
            }
        }
    };
    hear("READY=1\nSTATUS=1 stack: ");
    hear("STATUS=1 stack: 1 ready");
    // Nothing happens any more, and it is fed all the same.
    for _ in 0..5 {
        hear("WATCHDOG=1");
    }
    daemon.signal("TERM");
    hear("STOPPING=1");
    assert_eq!(daemon.end().0, 0);
}
