//! `run --source`: what is committed comes true, and nothing else does.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use self::http::Server;
use crate::stage::{Background, Container, Project, SLEEPER, docker, wait_until};

#[allow(dead_code, reason = "how it fails is for the tests of the source alone")]
#[path = "../git_source/http.rs"]
mod http;

/// A project whose files are in a repository beside it.
pub(crate) struct Committed {
    pub(crate) project: Project,
}

impl Committed {
    pub(crate) fn new(word: &str) -> Self {
        let committed = Self { project: Project::new(word) };
        std::fs::create_dir(committed.repository()).unwrap();
        committed.git(&["init", "-q", "-b", "main"]);
        committed
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.project.path("repository")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com"])
            .args(arguments)
            .current_dir(self.repository())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        self.project.write(&format!("repository/{path}"), text);
    }

    /// The manifest, with this spec (indented by two).
    pub(crate) fn manifest(&self, spec: &str) {
        self.write(
            "manifests/stack.yaml",
            &format!(
                "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {}}}\nspec:\n  compose: {{files: [../compose.yaml]}}\n{spec}",
                self.project.name
            ),
        );
    }

    pub(crate) fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Makes an SSH key of this name, beside the repository.
    pub(crate) fn key(&self, name: &str) {
        let key = self.project.path(name).to_string_lossy().into_owned();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &key])
            .status();
        assert!(made.unwrap().success());
    }

    /// Commits everything, signed by a key of this name.
    pub(crate) fn commit_signed(&self, subject: &str, name: &str) -> String {
        let key = format!("user.signingkey={}", self.project.path(name).display());
        self.git(&["add", "-A"]);
        self.git(&["-c", "gpg.format=ssh", "-c", &key, "commit", "-q", "-S", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn daemon(&self) -> Background {
        self.project.daemon_with(&["--source", "repository@main", "--path", "manifests"])
    }

    /// Waits until a commit has converged.
    pub(crate) fn wait_for(&self, commit: &str) {
        let said =
            self.project.operator(&["wait", "-p", &self.project.name, "--for", commit, "--timeout", "60s"]);
        assert_eq!(said.code, 0, "{said}");
    }

    fn lives(&self) -> Vec<(String, String)> {
        self.project.containers().values().map(Container::life).collect()
    }
}

fn replicas(count: u32) -> String {
    format!("  services: {{web: {{replicas: {count}}}}}\n")
}

#[test]
fn what_is_committed_comes_true_and_what_it_does_not_change_stays() {
    let committed = Committed::new("commit");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    committed.commit("First");
    let _daemon = committed.daemon();
    let project = &committed.project;
    let first = committed.lives();
    committed.manifest(&replicas(2));
    let two = committed.commit("Two of them");
    committed.wait_for(&two);
    assert!(committed.lives().contains(&first[0]) && project.running().len() == 2);
    // A commit that changes nothing of the stack changes nothing.
    let (before, events) = (committed.lives(), project.events());
    committed.write("README.md", "Read me\n");
    let readme = committed.commit("Write a page");
    committed.wait_for(&readme[..10]);
    assert_eq!(committed.lives(), before);
    events.assert_nothing_changed();
    // What the working copy has and nobody committed is nothing.
    committed.manifest(&replicas(5));
    let said = project.operator(&["sync", "repository"]);
    assert!(said.code == 0 && said.out.contains("Write a page"), "{said}");
    assert_eq!(project.running().len(), 2);
    for (command, parts) in [
        (&["sources"][..], &["followed", &readme[..12], "Ann"][..]),
        (&["status", "-p", &project.name], &[&readme[..12], "Write a page"]),
        (&["history", &project.name], &["Ann (run)"]),
        (&["history", &project.name, "2"], &[two.as_str(), "Two of them"]),
    ] {
        let said = project.operator(command);
        assert!(said.code == 0 && parts.iter().all(|part| said.out.contains(part)), "{said}");
    }
}

#[test]
fn a_commit_that_is_broken_is_refused_and_what_was_before_is_healed() {
    let committed = Committed::new("refuse");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(2));
    committed.commit("First");
    let daemon = committed.daemon();
    let project = &committed.project;
    committed.manifest("  services: {web: {replica: 1}}\n");
    let broken = committed.commit("Break it");
    daemon.wait_for("files refused, the last good ones stay in force");
    let said = project.operator(&["wait", "-p", &project.name, "--for", &broken, "--timeout", "60s"]);
    let place = format!("{}:manifests/stack.yaml:6:", &broken[..12]);
    assert!(said.code == 2 && said.err.contains(&place) && said.err.contains("replica"), "{said}");
    docker(&["rm", "-f", &project.named("web-1")]);
    wait_until("it is healed", || (project.running().len() == 2).then_some(()));
    let said = project.operator(&["sources"]);
    assert!(said.out.contains("refused") && said.out.contains(&place), "{said}");
    committed.git(&["revert", "--no-edit", "HEAD"]);
    committed.wait_for(&committed.git(&["rev-parse", "HEAD"]));
    let said = project.operator(&["sources"]);
    assert!(said.out.contains("followed") && !said.out.contains("refused"), "{said}");
}

/// Whoever looks at the stack alone finds out why its files are not those that were pushed, and by whom those are that it has.
#[test]
fn a_commit_that_is_not_trusted_is_told_to_its_stacks_once_and_who_signed_is_shown() {
    let committed = Committed::new("trust");
    let project = &committed.project;
    committed.key("ann");
    committed.key("mallory");
    let source = "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {name: trust}\nspec:\n  git: {url: repository, ref: main, \
                  path: manifests}\n  verify: {keys: [ann.pub]}\n";
    project.write("sources.yaml", source);
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    let first = committed.commit_signed("First", "ann");
    let mut daemon = project.daemon_with(&["--source", "sources.yaml"]);
    let said = project.operator(&["sources"]);
    assert!(said.code == 0 && said.out.contains("signed by ann (SHA256:"), "{said}");
    committed.manifest(&replicas(2));
    let forged = committed.commit_signed("Two of them", "mallory");
    let said = project.operator(&["wait", "-p", &project.name, "--for", &forged, "--timeout", "60s"]);
    assert_eq!(said.code, 2, "{said}");
    let told = || {
        let events = project.operator(&["events", "-p", &project.name, "-o", "json"]).out;
        let events = events.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of_commits =
            events.filter(|event| ["CommitTaken", "FilesRefused"].iter().any(|kind| event["kind"] == *kind));
        let all = of_commits.map(|event| event["message"].as_str().unwrap().to_owned());
        all.collect::<Vec<_>>()
    };
    wait_until("it is told", || (told().len() == 2).then_some(()));
    let all = told();
    assert!(all[0].contains("in force, signed by ann (SHA256:"), "{all:?}");
    assert!(all[1].contains(&forged[..12]) && all[1].contains("is not trusted"), "{all:?}");
    let said = project.operator(&["status", "-p", &project.name]);
    assert!(said.out.contains("is not trusted") && said.out.contains("Two of them"), "{said}");
    // Another look, and another daemon.
    assert_eq!(project.operator(&["sync", "trust"]).code, 2);
    assert_eq!(told().len(), 2, "{:?}", told());
    daemon.signal("TERM");
    daemon.end();
    let _daemon = project.daemon_with(&["--source", "sources.yaml"]);
    let said = project.operator(&["sources", "-o", "json"]).json();
    let source = &said["sources"][0];
    assert!(source["signer"].as_str().is_some_and(|signer| signer.starts_with("ann (SHA256:")), "{source}");
    assert_eq!(source["inForce"]["commit"]["hash"], first.as_str());
}

/// A directory is mounted as it was when its container started, and single files follow their content.
#[test]
fn a_directory_that_a_container_has_mounted_is_neither_replaced_nor_deleted() {
    let committed = Committed::new("mounted");
    let web = format!(
        "services:\n  web:\n    {SLEEPER}\n    volumes: [\"./site:/site:ro\"]\n  app:\n    {SLEEPER}\n    volumes: [\"./app.conf:/app.conf:ro\"]\n"
    );
    committed.write("compose.yaml", &web);
    committed.write("site/index.html", "0");
    committed.write("app.conf", "0");
    committed.manifest("");
    committed.commit("First");
    let mut daemon = committed.daemon();
    let project = &committed.project;
    let web = || project.replicas("web")[0].life();
    let life = web();
    for count in 1..8 {
        committed.write("site/index.html", &count.to_string());
        if count == 4 {
            committed.write("app.conf", "4");
        }
        committed.wait_for(&committed.commit(&format!("Page {count}")));
    }
    assert_eq!(web(), life);
    assert_eq!(project.exec("web-1", &["cat", "/site/index.html"]), "0", "what it had is what it has");
    let app = project.replicas("app")[0].name();
    assert_eq!(docker(&["exec", &app, "cat", "/app.conf"]), "4");
    // What is in force now is there from the next start on; the daemon may be another one by then.
    daemon.signal("KILL");
    daemon.end();
    let _daemon = committed.daemon();
    assert_eq!(project.exec("web-1", &["cat", "/site/index.html"]), "0");
    docker(&["restart", "-t", "1", &project.named("web-1")]);
    assert_eq!(project.exec("web-1", &["cat", "/site/index.html"]), "7");
}

#[test]
fn a_daemon_that_is_killed_anywhere_goes_on_with_what_is_committed() {
    let committed = Committed::new("killed");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    committed.commit("First");
    let mut daemon = committed.daemon();
    for count in 2..6 {
        committed.manifest(&replicas(count));
        let commit = committed.commit(&format!("{count} of them"));
        std::thread::sleep(Duration::from_millis(u64::from(count) * 25));
        daemon.signal("KILL");
        daemon.end();
        daemon = committed.daemon();
        committed.wait_for(&commit);
        assert_eq!(committed.project.running().len(), usize::try_from(count).unwrap());
    }
}

#[test]
fn a_second_daemon_keeps_its_hands_off_what_the_first_one_follows() {
    let committed = Committed::new("second");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    committed.commit("First");
    let mut daemon = committed.daemon();
    let second =
        || committed.project.operator(&["run", "--source", "repository@main", "--path", "manifests"]);
    let said = second();
    for part in ["`operator run` (pid ", "follows repository with the state directory", "OPERATOR_STATE_DIR"]
    {
        assert!(said.code == 2 && said.err.contains(part), "{part}: {said}");
    }
    // The first one goes on.
    committed.manifest(&replicas(2));
    committed.wait_for(&committed.commit("Two of them"));
    assert_eq!(committed.project.operator(&["sync", "repository"]).code, 0);
    daemon.signal("KILL");
    daemon.end();
    let _daemon = committed.daemon();
}

#[test]
fn a_revision_is_held_for_as_long_as_somebody_says() {
    let committed = Committed::new("hold");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    let first = committed.commit("First");
    let _daemon = committed.daemon();
    let project = &committed.project;
    committed.manifest(&replicas(3));
    committed.wait_for(&committed.commit("Three of them"));
    let said = project.operator(&["sync", "repository", "--revision", &first[..8]]);
    assert!(said.code == 0 && said.out.contains("First"), "{said}");
    wait_until("it is as it was", || (project.running().len() == 1).then_some(()));
    committed.manifest(&replicas(2));
    let two = committed.commit("Two of them");
    let said = project.operator(&["sources"]);
    assert!(said.out.contains("pinned"), "{said}");
    assert_eq!(project.operator(&["sync", "repository"]).code, 0);
    committed.wait_for(&two);
    assert_eq!(project.running().len(), 2);
    let said = project.operator(&["sync", "repository", "--revision", "no-such-tag"]);
    assert!(said.code == 2 && said.err.contains("no commit, tag or branch `no-such-tag`"), "{said}");
    assert_eq!(project.running().len(), 2);
}

/// Pushed to a server, told by a webhook with a signature, fetched, read, and begun with.
#[test]
fn a_push_that_a_webhook_tells_of_is_acted_on_at_once() {
    let committed = Committed::new("webhook");
    committed.write("compose.yaml", &format!("services:\n  web:\n    {SLEEPER}\n"));
    committed.manifest(&replicas(1));
    committed.commit("First");
    let project = &committed.project;
    let server = Server::start(&project.directory(), None);
    project.write("secret", "a secret of both\n");
    let source = format!(
        "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {{name: shop}}\nspec:\n  git: {{url: \"{}\", ref: main, path: \
         manifests, interval: 1h}}\n  webhook: {{provider: github, secretFile: secret}}\n",
        server.url("repository/.git")
    );
    project.write("sources.yaml", &source);
    let _daemon = project.daemon_with(&["--source", "sources.yaml"]);
    let socket = project.directory().join("../state/operator.sock");
    let push = |signed_with: &str| {
        let body = r#"{"ref":"refs/heads/main"}"#;
        let mut mac = Hmac::<Sha256>::new_from_slice(signed_with.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = format!("X-Hub-Signature-256: sha256={}", hex::encode(mac.finalize().into_bytes()));
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket"]).arg(&socket);
        curl.args(["-H", "X-GitHub-Event: push", "-H", &signature, "-d", body, "http://operator/hooks/shop"]);
        crate::stage::said(&mut curl).out
    };
    assert_eq!(push("another secret"), "401");
    // A machine that is busy with other tests has its slow moments.
    let mut fastest = Duration::MAX;
    for count in 2..=5 {
        committed.manifest(&replicas(count));
        committed.commit(&format!("{count} of them"));
        let events = project.events();
        let start = std::time::Instant::now();
        assert_eq!(push("a secret of both"), "202");
        wait_until("it is begun with", || (!events.changes().is_empty()).then_some(()));
        fastest = fastest.min(start.elapsed());
        wait_until("it is true", || {
            (project.running().len() == usize::try_from(count).unwrap()).then_some(())
        });
    }
    // The interval is an hour. That it is within a second is measured on a machine that has nothing else to do.
    assert!(fastest < Duration::from_secs(10), "{fastest:?}");
    println!("from the webhook to the first action: {} ms", fastest.as_millis());
}
