//! A commit to a repository on this machine, until the first that is done about it.

use std::path::Path;
use std::process::Command;

use super::rounds;
use crate::daemon::Daemon;
use crate::direct::Engine;
use crate::process;
use crate::stack::{Stack, sleepers};
use crate::table::{Bar, Row};

const PEER: &str = "`git pull` and `docker compose up -d`, begun at once";

pub(crate) fn measure(engine: &Engine, asked: usize) -> Vec<Row> {
    let rounds = rounds(asked, 10);
    let repository = Repository::new();
    let text =
        |round: usize| sleepers(5).replacen("mem_limit: 32m", &format!("mem_limit: {}m", 32 + round), 1);
    repository.commit(&text(0));
    let (stack, peer) = (Stack::new(engine, ""), Stack::new(engine, ""));
    let source = repository.work.path().to_string_lossy().into_owned();
    let daemon = Daemon::start(&mut stack.operator(&["run", "--source", &source, "--path", "compose.yaml"]));
    let pulled = tempfile::tempdir().expect("a directory can be made");
    git(pulled.path(), &["clone", "-q", &source, "."]);
    let file = pulled.path().join("compose.yaml").to_string_lossy().into_owned();
    process::time(&mut peer.compose(&["-f", &file, "up", "-d", "--quiet-pull"]));
    // Until all of the daemon's are there.
    while engine.running(&stack.name) < 5 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let commit = repository.prepare(&text(round));
        ours.push(engine.until_acted(&stack.name, &mut repository.publishing(&commit)));
        let mut pull = Command::new("sh");
        let line = format!("git pull -q && docker compose -p {} up -d --quiet-pull 2>/dev/null", peer.name);
        theirs.push(engine.until_acted(&peer.name, pull.args(["-c", &line]).current_dir(pulled.path())));
    }
    drop(daemon);
    vec![Row::times("committed, first action", &ours, PEER, &theirs, Bar::AtMost(300.0))]
}

struct Repository {
    work: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { work: tempfile::tempdir().expect("a directory can be made") };
        git(repository.work.path(), &["init", "-q", "-b", "main"]);
        repository
    }

    fn commit(&self, compose: &str) {
        let commit = self.prepare(compose);
        assert!(self.publishing(&commit).status().expect("git runs").success());
    }

    /// A commit that no branch has yet.
    fn prepare(&self, compose: &str) -> String {
        let directory = self.work.path();
        std::fs::write(directory.join("compose.yaml"), compose).expect("the file can be written");
        git(directory, &["add", "-A"]);
        let tree = git(directory, &["write-tree"]);
        let parents = git(directory, &["for-each-ref", "--format=%(objectname)", "refs/heads/main"]);
        let parent: Vec<&str> = parents.lines().flat_map(|parent| ["-p", parent]).collect();
        git(directory, &[&["commit-tree", "-m", "Another limit", &tree][..], &parent].concat())
    }

    /// What makes it the branch's.
    fn publishing(&self, commit: &str) -> Command {
        let mut command = Command::new("git");
        command.args(["update-ref", "refs/heads/main", commit]).current_dir(self.work.path());
        command
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"];
    let output =
        Command::new("git").args(who).args(arguments).current_dir(directory).output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
