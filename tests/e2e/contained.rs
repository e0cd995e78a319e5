//! The operator in a container, as `manifests/Dockerfile` makes it, as a service of the very stack that it looks after.

use std::path::Path;
use std::process::Command;

use crate::stage::{Project, SLEEPER, docker, remove_images, said, wait_until};

struct Image(String);

impl Image {
    fn build(project: &Project) -> Self {
        let name = format!("{}-operator", project.name);
        std::fs::create_dir(project.path("context")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_operator"), project.path("context/operator")).unwrap();
        let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/Dockerfile");
        let mut command = Command::new("docker");
        command.args(["build", "-q", "-t", &name, "-f"]).arg(dockerfile).arg(project.path("context"));
        let built = said(command.env("DOCKER_BUILDKIT", "0"));
        assert_eq!(built.code, 0, "{}", built.all());
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove_images(&self.0);
    }
}

/// The daemon in it follows repositories over https and ssh, and judges who has signed what.
fn has_what_follows_repositories(image: &Image) {
    let look = "git --version; ssh -V; gpg --version; ssh-keygen -Y find-principals; ls /etc/ssl/certs/ca-certificates.crt";
    let mut command = Command::new("docker");
    let said = said(command.args(["run", "--rm", "--entrypoint", "sh", &image.0, "-c", look])).all();
    for part in ["git version 2.", "OpenSSH_", "gpg (GnuPG) 2.", "ca-certificates.crt"] {
        assert!(said.contains(part) && !said.contains("not found"), "{part}: {said}");
    }
}

fn compose(image: &Image, directory: &Path, version: u32) -> String {
    let directory = directory.display();
    format!(
        "services:
  web:
    {SLEEPER}
    environment: {{VERSION: '{version}'}}
  operator:
    image: {}
    command: [run, -f, {directory}/compose.yaml, --log-format, json]
    environment: {{VERSION: '{version}'}}
    network_mode: host
    volumes:
      - /var/run/docker.sock:/var/run/docker.sock
      - /run/lock:/run/lock
      - {directory}:{directory}
",
        image.0
    )
}

#[test]
fn it_heals_and_changes_its_neighbours_and_leaves_itself_alone() {
    let project = Project::new("contained");
    let image = Image::build(&project);
    has_what_follows_repositories(&image);
    project.compose(&compose(&image, &project.directory(), 1));
    project.apply();
    let itself = project.named("operator-1");
    let log = || said(Command::new("docker").args(["logs", &itself])).all();
    let said_so = |part: &str| log().contains(part).then_some(());
    wait_until("it looks after its stack", || said_so("as it should be"));
    let own = project.container("operator-1").id();
    docker(&["kill", &project.named("web-1")]);
    wait_until("it heals its neighbour", || said_so("stopped by hand"));
    let before = project.container("web-1").id();
    project.compose(&compose(&image, &project.directory(), 2));
    wait_until("it changes its neighbour", || {
        let containers = project.containers();
        let webs: Vec<_> = containers.iter().filter(|(name, _)| name.contains("-web-")).collect();
        (webs.len() == 1 && webs[0].1.id() != before).then_some(())
    });
    wait_until("it says why it does not change itself", || said_so("it is this very operator"));
    assert_eq!(project.container("operator-1").id(), own);
    assert_eq!(project.container("operator-1").state(), "running");
    let beside = project.operator(&["apply", "-f", "compose.yaml"]);
    assert_eq!(beside.code, 2, "one owner, in a container or not: {}", beside.all());
    docker(&["stop", &itself]);
    assert!(log().contains("operator ends"), "{}", log());
    // From outside it is a container like any other.
    project.apply();
    assert!(project.containers().values().all(|container| container.id() != own));
    docker(&["stop", &project.named("operator-2")]);
}
