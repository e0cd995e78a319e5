//! Volumes that nobody named: their data outlives the container, as with Compose.

use crate::stage::{Background, Project, SLEEPER, docker, wait_until};

fn compose(version: &str) -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n    environment: {{VERSION: \"{version}\"}}\n    volumes: [/data]\n"
    )
}

/// The volume behind `/data` of the one container.
fn volume(project: &Project) -> String {
    let all = project.containers();
    assert_eq!(all.len(), 1, "{:?}", all.keys());
    let mounts = all.values().next().unwrap().0["Mounts"].as_array().unwrap().clone();
    let data = mounts.iter().find(|mount| mount["Destination"] == "/data").unwrap();
    data["Name"].as_str().unwrap().to_owned()
}

fn data(project: &Project) -> String {
    project.exec(&project.running()[0], &["cat", "/data/file"])
}

#[test]
fn data_in_a_volume_that_nobody_named_survives_a_replacement_by_either() {
    let project = Project::with("anonymous", &compose("1"));
    project.apply();
    project.exec("web-1", &["sh", "-c", "echo kept > /data/file"]);
    let before = volume(&project);
    project.compose(&compose("2"));
    let events = project.events();
    project.apply();
    let all = events.all();
    let place = |what: &str| all.iter().position(|event| event.what == what).unwrap();
    assert!(place("container die") < place("container start"), "{:#?}", events.summary());
    assert_eq!((data(&project), volume(&project)), ("kept\n".to_owned(), before.clone()));
    project.assert_nothing_to_do("compose.yaml");
    let life = project.container(&project.running()[0]).life();
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!((up.code, project.container(&project.running()[0]).life()), (0, life), "{up}");

    // Compose replaces it, and the operator after that.
    project.compose(&compose("3"));
    let up = project.docker_compose(&["up", "-d", "-t", "1"]);
    assert_eq!(up.code, 0, "{up}");
    assert_eq!((data(&project), volume(&project)), ("kept\n".to_owned(), before.clone()));
    project.assert_nothing_to_do("compose.yaml");
    project.compose(&compose("4"));
    project.apply();
    assert_eq!((data(&project), volume(&project)), ("kept\n".to_owned(), before));
    project.assert_nothing_to_do("compose.yaml");
}

#[test]
fn a_volume_of_the_image_survives_another_image_and_a_kill_in_the_middle() {
    let project = Project::new("image");
    let image = |version: &str| {
        let tag = project.named(&format!("image:{version}"));
        project.compose(&format!(
            "services:\n  web:\n    image: {tag}\n    build: {{context: ., dockerfile_inline: \"FROM compose-operator-test/busybox:1\\nLABEL v={version}\\nVOLUME /data\"}}\n    command: [\"sh\", \"-c\", \"trap 'exit 0' TERM; sleep 600 & wait\"]\n"
        ));
        tag
    };
    let mut tags = vec![image("1")];
    project.apply();
    project.exec("web-1", &["sh", "-c", "echo kept > /data/file"]);
    let before = volume(&project);
    for (version, part) in
        [("2", "✓ create container"), ("3", "✓ stop container"), ("4", "✓ start container")]
    {
        tags.push(image(version));
        let mut apply = Background::start(&mut project.command(&["apply"]));
        wait_until(part, || apply.text().contains(part).then_some(()));
        apply.signal("KILL");
        apply.end();
        project.apply();
        assert_eq!((data(&project), volume(&project)), ("kept\n".to_owned(), before.clone()), "{part}");
        project.assert_nothing_to_do("compose.yaml");
    }
    project.operator(&["down"]);
    docker(&["volume", "inspect", &before]);
    docker(&["volume", "rm", &before]);
    for tag in tags {
        docker(&["rmi", &tag]);
    }
}

#[test]
fn down_by_name_takes_what_compose_started_and_the_volumes_that_nobody_named() {
    let project = Project::with(
        "byname",
        &format!(
            "services:\n  web:\n    {SLEEPER}\n    volumes: [/scratch, 'data:/data']\nvolumes: {{data: {{}}}}\n"
        ),
    );
    let up = project.docker_compose(&["up", "-d"]);
    assert_eq!(up.code, 0, "{up}");
    let mounts = project.container("web-1").0["Mounts"].clone();
    let scratch = mounts.as_array().unwrap().iter().find(|mount| mount["Destination"] == "/scratch").unwrap();
    let scratch = scratch["Name"].as_str().unwrap().to_owned();
    std::fs::remove_file(project.path("compose.yaml")).unwrap();
    let down = project.operator(&["down", "-p", &project.name, "--volumes"]);
    assert_eq!(down.code, 0, "{down}");
    assert!(project.containers().is_empty() && project.networks().is_empty() && project.volumes().is_empty());
    let all = docker(&["volume", "ls", "-q"]);
    assert!(!all.contains(&scratch), "{all}");
    let again = project.operator(&["down", "-p", &project.name]);
    assert_eq!(again.out, format!("{}: nothing of that name is here\n", project.name), "{again}");
}
