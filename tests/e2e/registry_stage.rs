//! A registry of a test's own: Debian's `docker-registry` on a free port, with or without a password.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::stage::{BUSYBOX, Project, docker, free_port, remove_images, wait_until};

pub(crate) const USER: &str = "me";
pub(crate) const PASSWORD: &str = "sesam-4711";

/// `me:sesam-4711` as `docker login` keeps it.
pub(crate) const LOGIN: &str = "bWU6c2VzYW0tNDcxMQ==";

/// The same as the registry keeps it.
const HTPASSWD: &str = "me:$2b$04$4aP8MZF0ojg1KED/65eI4uWS3Nv6MntRk8iUN6ymUbWMZ.dLDzbIa\n";

pub(crate) struct Registry {
    directory: tempfile::TempDir,
    port: u16,
    process: Option<Child>,
}

impl Registry {
    pub(crate) fn open() -> Self {
        Self::start("")
    }

    pub(crate) fn with_password() -> Self {
        Self::start("auth: {htpasswd: {realm: test, path: htpasswd}}\n")
    }

    fn start(auth: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        std::fs::write(directory.path().join("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: data}}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"}}\n{auth}"
        );
        std::fs::write(directory.path().join("config.yml"), config).unwrap();
        let mut registry = Self { directory, port, process: None };
        registry.up();
        registry
    }

    /// Starts it, with what was pushed to it before.
    pub(crate) fn up(&mut self) {
        let mut command = Command::new("docker-registry");
        command.args(["serve", "config.yml"]).current_dir(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = command.spawn();
        let process = started.unwrap_or_else(|error| panic!("no docker-registry ({error}): run tests/setup"));
        self.process = Some(process);
        wait_until("the registry answers", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// Stops it.
    pub(crate) fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A directory for `DOCKER_CONFIG` with this in its configuration.
    pub(crate) fn configuration(&self, text: &str) -> PathBuf {
        let directory = tempfile::Builder::new().tempdir_in(self.directory.path()).unwrap().keep();
        std::fs::write(directory.join("config.json"), text).unwrap();
        directory
    }

    /// A directory for `DOCKER_CONFIG` of somebody who has logged in.
    pub(crate) fn logged_in(&self) -> PathBuf {
        self.configuration(&format!(r#"{{"auths":{{"{}":{{"auth":"{LOGIN}"}}}}}}"#, self.host()))
    }

    /// Makes an image with something in it that no other has, pushes it, and removes it here. Its reference and the
    /// digest that the registry has it under.
    pub(crate) fn push(&self, project: &Project, tag: &str, content: &str) -> (String, String) {
        let reference = format!("{}/{}/app:{tag}", self.host(), project.name);
        let name = project.named("pushed");
        docker(&["create", "--name", &name, "--label", &project.by_hand(), BUSYBOX, "true"]);
        let file = self.directory.path().join("content");
        std::fs::write(&file, format!("{content}\n")).unwrap();
        docker(&["cp", file.to_str().unwrap(), &format!("{name}:/content")]);
        // Large enough that the engine tells how far it is, and never the same.
        let noise = Command::new("sh").args(["-c", "head -c 3000000 /dev/urandom"]).output().unwrap().stdout;
        std::fs::write(&file, noise).unwrap();
        docker(&["cp", file.to_str().unwrap(), &format!("{name}:/noise")]);
        docker(&["commit", &name, &reference]);
        docker(&["rm", &name]);
        let config = self.logged_in();
        let pushed = docker(&["--config", config.to_str().unwrap(), "push", &reference]);
        let digest = pushed.split_whitespace().find(|word| word.starts_with("sha256:"));
        let digest = digest.unwrap_or_else(|| panic!("no digest in: {pushed}")).to_owned();
        docker(&["rmi", &reference]);
        (reference, digest)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.down();
        remove_images(&format!("{}/*/*", self.host()));
    }
}

/// A credential helper that knows this host; the directory to put on the PATH.
pub(crate) fn helper(at: &Path, name: &str, host: &str) {
    use std::os::unix::fs::PermissionsExt;
    let script = format!(
        "#!/bin/sh\nread -r asked\n[ \"$1 $asked\" = 'get {host}' ] || {{ echo 'credentials not found in native \
         keychain'; exit 1; }}\necho '{{\"ServerURL\":\"{host}\",\"Username\":\"{USER}\",\"Secret\":\"{PASSWORD}\"}}'\n"
    );
    let path = at.join(format!("docker-credential-{name}"));
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
