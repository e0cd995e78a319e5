//! `history` and `rollback`: what a stack was, and that it can be that again.

use crate::proxy::Proxy;
use crate::stage::{BUSYBOX, Background, Container, Project, docker, remove_images, wait_until};

/// A value that nothing may keep.
const CANARY: &str = "canary-5tR9";

/// A sleeper of this image, with one variable and one label.
fn web(image: &str, colour: &str, label: &str) -> String {
    format!(
        "services:\n  web:\n    image: {image}\n    command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 600 & wait\"]\n\
         \x20   environment: {{COLOUR: {colour}, INNOCENT: {CANARY}}}\n    labels: {{v: \"{label}\"}}\n"
    )
}

/// Makes an image of its own, and says its id.
fn image(project: &Project, tag: &str) -> String {
    built(project, tag, tag)
}

/// Makes an image that is another one for each word, and says its id.
fn built(project: &Project, tag: &str, word: &str) -> String {
    project.write("image/Dockerfile", &format!("FROM {BUSYBOX}\nLABEL made={word} {}\n", project.by_hand()));
    docker(&["build", "-q", "-t", tag, &project.path("image").to_string_lossy()]).trim().to_owned()
}

fn outcomes(project: &Project) -> Vec<String> {
    let history = project.operator(&["history", &project.name, "-o", "json"]).json();
    let revisions = history["stacks"][0]["revisions"].as_array().unwrap().clone();
    revisions.iter().map(|it| it["outcome"].as_str().unwrap().to_owned()).collect()
}

/// The one container, whatever number it has: a replacement that starts first has another one.
fn only(project: &Project) -> Option<Container> {
    let mut containers = project.containers().into_values();
    containers.next().filter(|_| containers.next().is_none())
}

fn kept(project: &Project) -> String {
    let directory = project.directory().join("../state/history");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_very_image_of_then_runs_again_though_the_files_are_gone_and_its_tag_has_moved() {
    let project = Project::new("rollback");
    let (one, two) = (project.named("app:1"), project.named("app:2"));
    let (first, second) = (image(&project, &one), image(&project, &two));
    assert_ne!(first, second);
    for (image, colour) in [(&one, "red"), (&one, "blue"), (&two, "blue")] {
        project.compose(&web(image, colour, "1"));
        project.apply();
    }
    project.compose(&web("localhost:1/nothing:1", "blue", "1"));
    let said = project.operator(&["apply", "--timeout", "30s"]);
    assert_ne!(said.code, 0, "{said}");
    assert_eq!(outcomes(&project), ["converged", "converged", "converged", "failed"]);
    let said = project.operator(&["history"]);
    assert!(said.out.contains("environment.COLOUR") && said.out.contains("failed, in force"), "{said}");
    let said = project.operator(&["history", "3"]);
    assert!(said.out.contains(&format!("{one} → {two}")) && said.out.contains(&second), "{said}");
    assert!(!said.all().contains(CANARY) && !kept(&project).contains(CANARY), "{said}");

    std::fs::remove_file(project.path("compose.yaml")).unwrap();
    docker(&["tag", &first, &two]);
    docker(&["tag", &second, &one]);
    let before = only(&project).unwrap().life();
    let back = |to: &[&str]| project.operator(&[&["rollback", "-p", &project.name], to].concat());
    let said = back(&["--reason", "no such image"]);
    assert!(said.code == 0 && said.out.contains("rolled back to revision 3"), "{said}");
    assert_eq!(only(&project).unwrap().life(), before, "what is of that revision stays");
    let said = back(&["--to", "2"]);
    assert_eq!(said.code, 0, "{said}");
    let ran = only(&project).unwrap();
    assert_eq!((ran.text("/Image"), ran.state().as_str()), (first.clone(), "running"));
    assert!(ran.0["Config"]["Env"].to_string().contains("COLOUR=blue"));
    let life = ran.life();
    let said = back(&["--to", "2"]);
    assert!(said.code == 2 && said.err.contains("is what is in force already"), "{said}");

    let said = back(&["--to", "1"]);
    assert!(said.code == 2 && said.err.contains("web: the value of its variable COLOUR"), "{said}");
    assert!(!said.all().contains("INNOCENT"), "that one is still there: {said}");
    assert_eq!(only(&project).unwrap().life(), life, "nothing was changed");
    // The values of then, in files of now.
    project.compose(&web(&one, "red", "1"));
    let said = project.operator(&["rollback", "--to", "1"]);
    assert_eq!(said.code, 0, "{said}");
    let ran = only(&project).unwrap();
    assert!(ran.text("/Image") == first && ran.0["Config"]["Env"].to_string().contains("COLOUR=red"));
    assert_eq!(outcomes(&project)[3..], ["rolled-back", "rolled-back", "rolled-back", "converged"]);
    remove_images(&project.named("app"));
}

#[test]
fn an_image_that_is_built_anew_under_its_tag_is_a_revision_and_rollback_has_the_one_before_again() {
    let project = Project::new("rebuilt");
    let tag = project.named("app:x");
    project.compose(&web(&tag, "red", "1"));
    let old = built(&project, &tag, "old");
    project.apply();
    let new = built(&project, &tag, "new");
    assert_ne!(old, new);
    project.apply();
    let image = || only(&project).unwrap().text("/Image");
    assert_eq!((image(), outcomes(&project)), (new.clone(), vec!["converged".to_owned(); 2]));
    let short = |id: &str| id.trim_start_matches("sha256:")[..12].to_owned();
    let said = project.operator(&["history", "2"]);
    assert!(said.out.contains(&format!("{tag} ({}) → {tag} ({})", short(&old), short(&new))), "{said}");
    project.apply();
    assert_eq!(outcomes(&project).len(), 2, "the same that comes again is no revision");

    let said = project.operator(&["rollback"]);
    assert!(said.code == 0 && said.out.contains("rolled back to revision 1"), "{said}");
    assert_eq!(image(), old);
    let life = only(&project).unwrap().life();
    project.apply();
    assert_eq!(only(&project).unwrap().life(), life, "it is held, whatever the tag says");
    assert_eq!(outcomes(&project), ["converged", "rolled-back", "converged"]);
    let said = project.operator(&["rollback", "--to", "2"]);
    assert_eq!((said.code, image()), (0, new), "{said}");

    assert_eq!(project.operator(&["resume"]).code, 0);
    let daemon = project.daemon("compose.yaml");
    let newest = built(&project, &tag, "newest");
    wait_until("it is noted", || (outcomes(&project).len() == 6).then_some(()));
    assert_eq!(image(), newest);
    let said = project.operator(&["history"]);
    assert!(said.out.contains("same as 4") && said.out.ends_with("web: image\n"), "{said}");
    drop(daemon);
    remove_images(&project.named("app"));
}

#[test]
fn a_rollback_that_is_out_of_time_says_who_goes_on_with_it() {
    let late = "    healthcheck: {test: ['CMD', 'false'], interval: 1s, retries: 600}\n";
    let project = Project::with("late", &format!("{}{late}", web(BUSYBOX, "red", "1")));
    let apply = project.operator(&["apply", "--timeout", "2s"]);
    assert_eq!(apply.code, 1, "{apply}");
    project.compose(&web(BUSYBOX, "red", "2"));
    project.apply();
    let said = project.operator(&["rollback", "--to", "1", "--timeout", "2s"]);
    assert_eq!(said.code, 1, "{said}");
    // Another `rollback` would go to another revision.
    assert!(said.err.contains("the next apply goes on from there"), "{said}");
}

#[test]
fn what_is_said_while_the_engine_is_asked_is_not_lost() {
    let project = Project::with("meanwhile", &web(BUSYBOX, "red", "1"));
    project.apply();
    project.compose(&web(BUSYBOX, "red", "2"));
    project.apply();
    let proxy = Proxy::new();
    let hold = proxy.hold();
    let mut rollback = Background::start(project.command(&["rollback"]).env("DOCKER_HOST", proxy.host()));
    wait_until("it asks the engine", || proxy.is_called().then_some(()));
    assert_eq!(project.operator(&["scale", "web=2"]).code, 0);
    drop(hold);
    let (code, _) = rollback.end();
    assert_eq!(code, 0, "{}", rollback.text());
    let said = project.operator(&["explain", "web"]);
    assert!(said.out.contains("rolled back to revision 1 by"), "{said}");
    assert!(said.out.contains("2 replicas by"), "{said}");
    assert_eq!(project.containers().len(), 2);
}

#[test]
fn a_daemon_holds_a_revision_over_its_restart_until_the_files_change_or_somebody_says_resume() {
    let project = Project::with("held", &web(BUSYBOX, "red", "1"));
    let mut daemon = project.daemon("compose.yaml");
    let label = || only(&project).map(|web| web.label("v"));
    let wait_for = |value: &str| wait_until(value, || (label().as_deref() == Some(value)).then_some(()));
    let converged = |revision: usize| {
        wait_until("it has converged", || {
            let outcomes = outcomes(&project);
            (outcomes.len() == revision && outcomes[revision - 1] == "converged").then_some(())
        });
    };
    converged(1);
    project.compose(&web(BUSYBOX, "red", "2"));
    wait_for("2");
    converged(2);
    let said = project.operator(&["rollback", "--reason", "slow"]);
    assert!(said.code == 0 && said.out.contains("rolled back to revision 1 by"), "{said}");
    assert_eq!(label().as_deref(), Some("1"));
    let life = only(&project).unwrap().life();
    for command in [&["status"][..], &["diff"], &["explain", "web"]] {
        let said = project.operator(command);
        assert!(said.out.contains("rolled back to revision 1 by") && said.out.contains("(slow)"), "{said}");
    }
    daemon.signal("TERM");
    assert_eq!(daemon.end().0, 0);
    drop(daemon);
    let daemon = project.daemon("compose.yaml");
    assert_eq!(only(&project).unwrap().life(), life, "nothing is replaced again");
    assert_eq!(outcomes(&project), ["converged", "rolled-back", "converged"]);

    project.compose(&web(BUSYBOX, "red", "3"));
    wait_for("3");
    converged(4);
    let said = project.operator(&["status"]);
    assert!(!said.out.contains("rolled back"), "{said}");
    let events = project.operator(&["events"]);
    assert!(events.out.contains("they have changed"), "{events}");

    // Though the files do not load.
    project.compose("services:\n  web:\n    imgae: nothing\n");
    daemon.wait_for("files refused");
    let said = project.operator(&["rollback", "-p", &project.name, "--to", "2"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(label().as_deref(), Some("2"));
    let said = project.operator(&["resume", "-p", &project.name]);
    assert_eq!(said.code, 0, "{said}");
    // The last good ones are followed again.
    wait_for("3");
}
