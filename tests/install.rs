//! `operator install`: into a tree, and on a machine whose systemctl writes down what it is told.

#![expect(clippy::unwrap_used, reason = "a stage that cannot be set is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const MANIFEST: &str = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\n\
                        spec: {compose: {files: [compose.yaml]}}\n";

struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        fs::create_dir(stage.path().join("my stacks")).unwrap();
        stage.write("my stacks/shop.yaml", MANIFEST);
        stage.write("my stacks/compose.yaml", "services: {web: {image: app}}\n");
        stage
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path().join(file), text).unwrap();
    }

    fn operator(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.args(args).current_dir(self.path()).env("OPERATOR_STATE_DIR", self.path().join("state"));
        command.output().unwrap()
    }

    fn unit(&self) -> Option<String> {
        fs::read_to_string(self.path().join("tree/etc/systemd/system/operator.service")).ok()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_unit_is_written_for_a_directory_and_enabled_and_taken_away_again() {
    let stage = Stage::new();
    let install = || stage.operator(&["install", "-f", "my stacks", "--root", "tree"]);
    let done = install();
    assert!(done.status.success(), "{}", stderr(&done));
    assert_eq!(
        String::from_utf8_lossy(&done.stdout),
        "tree/etc/systemd/system/operator.service: looks after shop\n"
    );
    let unit = stage.unit().unwrap();
    let binary = env!("CARGO_BIN_EXE_operator");
    let directory = stage.path().join("my stacks");
    let exec = format!("ExecStart={binary} run -f \"{}\" --log-format json\n", directory.display());
    assert!(unit.contains(&exec), "{unit}");
    assert!(unit.contains("\nNoNewPrivileges=yes\n"));
    let wanted = stage.path().join("tree/etc/systemd/system/multi-user.target.wants/operator.service");
    assert_eq!(fs::read_to_string(&wanted).unwrap(), unit, "it starts with the machine");
    assert!(install().status.success(), "said twice, it is the same");
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(stage.path().join("tree/etc/systemd/system/operator.service"))
        .output();
    // Where systemd is at hand, it has the last word.
    if let Ok(verified) = verified {
        assert!(!stderr(&verified).contains("operator.service:"), "{}", stderr(&verified));
    }
    let removed = stage.operator(&["install", "--remove", "--root", "tree"]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(stage.unit().is_none() && !wanted.exists());
    let again = stage.operator(&["install", "--remove", "--root", "tree"]);
    assert_eq!(again.status.code(), Some(2));
}

#[test]
fn bad_files_install_nothing() {
    let stage = Stage::new();
    stage.write("my stacks/compose.yaml", "services: {web: {imag: app}}\n");
    let refused = stage.operator(&["install", "-f", "my stacks", "--root", "tree"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("my stacks/compose.yaml:1:"), "{}", stderr(&refused));
    let unnamed = stage.operator(&["install", "--root", "tree", "-f", "-"]);
    assert_eq!(unnamed.status.code(), Some(2));
    assert!(stage.unit().is_none());
}

#[test]
fn systemd_is_told_what_to_do_and_its_refusal_is_told() {
    let stage = Stage::new();
    let printed = stage.operator(&["install", "-f", "my stacks/shop.yaml", "--print"]);
    assert!(String::from_utf8_lossy(&printed.stdout).contains("my stacks/shop.yaml\" --log-format json"));
    let held = stage.operator(&["install", "-f", "my stacks/shop.yaml", "--policy", "baseline", "--print"]);
    assert!(
        String::from_utf8_lossy(&held.stdout).contains("shop.yaml\" --policy baseline --log-format json")
    );
    assert!(stage.unit().is_none(), "printing changes nothing");
    let bin = stage.path().join("bin");
    fs::create_dir(&bin).unwrap();
    stage.write("bin/systemctl", "#!/bin/sh\necho no such unit >&2\nexit 5\n");
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    // A name that no machine has: where this test is root, it writes to the machine's own directory.
    let name = format!("operator-test-{}", std::process::id());
    let path = format!("/etc/systemd/system/{name}.service");
    let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
    command.args(["install", "-f", "my stacks", "--name", &name]).current_dir(stage.path());
    let refused = command.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).output().unwrap();
    let _ = fs::remove_file(&path);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    // By whom the tests run, and where they were built, decides how far it comes.
    let expected = [
        "`systemctl daemon-reload` failed (exit status: 5): no such unit",
        "say it with sudo",
        "is where a service does not see it",
    ];
    assert!(expected.iter().any(|expected| said.contains(expected)), "{said}");
}

#[test]
fn a_unit_follows_repositories_and_has_nobodys_password() {
    let stage = Stage::new();
    let source = "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {name: shop}\nspec: {git: {url: 'https://host/shop'}}\n";
    stage.write("sources.yaml", source);
    let install = |args: &[&str]| stage.operator(&[&["install", "--root", "tree"], args].concat());
    let done =
        install(&["--source", "sources.yaml", "--source", "ssh://git@host/blog@main", "--path", "manifests"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let file = stage.path().join("sources.yaml");
    let exec = format!(
        " run --source {} --source ssh://git@host/blog@main --path manifests --log-format",
        file.display()
    );
    assert!(stage.unit().unwrap().contains(&exec), "{}", stage.unit().unwrap());
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(told.contains("looks after https://host/shop, ssh://git@host/blog@main"), "{told}");
    let refused = install(&["--source", "https://ann:canary@host/blog"]);
    assert!(
        refused.status.code() == Some(2) && stderr(&refused).contains("basicAuth"),
        "{}",
        stderr(&refused)
    );
    assert!(!stderr(&refused).contains("canary"));
    stage.write("sources.yaml", &source.replace("url", "urll"));
    let refused = install(&["--source", "sources.yaml"]);
    assert!(
        refused.status.code() == Some(2) && stderr(&refused).contains("sources.yaml:4:13"),
        "{}",
        stderr(&refused)
    );
}
