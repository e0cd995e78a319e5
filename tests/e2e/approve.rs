//! `operator approve`: a commit that restarts something waits for a person's word, and no other does.

use serde_json::Value as Json;

use crate::git::Committed;
use crate::stage::{Background, SLEEPER, wait_until};

/// One container at a time has the volume: another revision restarts it.
fn compose(committed: &Committed, version: u32) {
    committed.write(
        "compose.yaml",
        &format!("services:\n  web:\n    {SLEEPER}\n    environment: {{VERSION: '{version}'}}\n    volumes: ['data:/data']\nvolumes: {{data: {{}}}}\n"),
    );
}

fn memory(committed: &Committed, megabytes: u32) {
    committed
        .manifest(&format!("  services: {{web: {{resources: {{limits: {{memory: {megabytes}m}}}}}}}}\n"));
}

fn begin(word: &str) -> (Committed, Background) {
    let committed = Committed::new(word);
    let source = format!(
        "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {{name: {word}}}\nspec:\n  git: {{url: repository, ref: main, \
         path: manifests}}\n  sync: {{approve: restart}}\n"
    );
    committed.project.write("sources.yaml", &source);
    compose(&committed, 1);
    memory(&committed, 64);
    committed.commit("First");
    let daemon = committed.project.daemon_with(&["--source", "sources.yaml"]);
    (committed, daemon)
}

/// The commit that waits, as `sources` has it.
fn held(committed: &Committed) -> Json {
    let said = committed.project.operator(&["sources", "-o", "json"]);
    said.json()["sources"][0]["held"].clone()
}

fn wait_until_held(committed: &Committed, commit: &str) {
    wait_until("it is held", || (held(committed)["commit"]["hash"] == commit).then_some(()));
}

/// What was told of commits, each with the first digits of its hash.
fn told(committed: &Committed) -> Vec<(String, String)> {
    let said = committed.project.operator(&["events", "-p", &committed.project.name, "-o", "json"]);
    let events = said.out.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let text = |event: &Json, key: &str| event[key].as_str().unwrap().to_owned();
    let of_commits = events.filter(|event| text(event, "kind").starts_with("Commit"));
    of_commits.map(|event| (text(&event, "kind"), text(&event, "subject"))).collect()
}

#[test]
fn what_changes_in_place_comes_at_once_and_what_restarts_waits_for_a_word() {
    let (committed, _daemon) = begin("approval");
    let project = &committed.project;
    let life = || project.replicas("web")[0].life();
    let limit = || project.replicas("web")[0].number("/HostConfig/Memory") >> 20;
    let (first, running) = (committed.git(&["rev-parse", "HEAD"]), life());
    memory(&committed, 96);
    let quiet = committed.commit("More memory");
    committed.wait_for(&quiet);
    assert_eq!((life(), limit()), (running.clone(), 96), "nobody is asked for that");

    compose(&committed, 2);
    let loud = committed.commit("Another version");
    wait_until_held(&committed, &loud);
    let way_out = format!("`operator approve approval@{}` gives it", &loud[..12]);
    for command in [&["sources"][..], &["status", "-p", &project.name]] {
        let said = project.operator(command);
        for part in ["held", "needs approval: restarts web", &way_out, "Ann: Another version"] {
            assert!(said.code == 0 && said.out.contains(part), "{part}: {said}");
        }
    }
    let status = project.operator(&["status", "-p", &project.name, "-o", "json"]).json();
    assert_eq!(status["stacks"][0]["daemon"]["held"]["awaitsApproval"], true);
    let said = project.operator(&["wait", "-p", &project.name, "--for", &loud, "--timeout", "1s"]);
    assert_eq!(said.code, 1, "{said}");
    for (commit, part) in [(&quiet, "is not what waits there"), (&first, "is not what waits there")] {
        let said = project.operator(&["approve", &format!("{}@{}", project.name, &commit[..12])]);
        assert!(said.code == 2 && said.err.contains(part), "{said}");
    }
    assert_eq!(life(), running);

    // The stack's name does as well as the source's.
    let said = project.operator(&["approve", &format!("{}@{}", project.name, &loud[..7])]);
    assert!(said.code == 0 && said.out.contains("is approved, and in force"), "{said}");
    committed.wait_for(&loud);
    assert_ne!(life(), running);
    let said = project.operator(&["approve", &format!("approval@{}", &loud[..7])]);
    assert!(said.code == 2 && said.err.contains("nothing waits for approval"), "{said}");
    let kinds = [
        ("CommitTaken", &first),
        ("CommitTaken", &quiet),
        ("CommitHeld", &loud),
        ("CommitApproved", &loud),
        ("CommitTaken", &loud),
    ];
    let kinds = kinds.map(|(kind, commit)| (kind.to_owned(), commit[..12].to_owned()));
    assert_eq!(told(&committed), kinds, "each once");
}

#[test]
fn a_word_is_of_one_commit_and_lets_no_later_one_through() {
    let (committed, mut daemon) = begin("superseded");
    let project = &committed.project;
    let life = || project.replicas("web")[0].life();
    let running = life();
    compose(&committed, 2);
    let two = committed.commit("Version 2");
    wait_until_held(&committed, &two);
    compose(&committed, 3);
    let three = committed.commit("Version 3");
    wait_until_held(&committed, &three);
    let said = project.operator(&["approve", &format!("superseded@{}", &two[..12])]);
    assert!(said.code == 2 && said.err.contains("is not what waits there"), "{said}");
    assert!(said.err.contains(&three[..12]), "it says what does: {said}");

    // What waits does so for the next daemon, too, and is told no second time.
    daemon.signal("KILL");
    daemon.end();
    let _daemon = project.daemon_with(&["--source", "sources.yaml"]);
    wait_until_held(&committed, &three);
    assert_eq!(life(), running);
    let said = project.operator(&["approve", &format!("superseded@{}", &three[..12])]);
    assert_eq!(said.code, 0, "{said}");
    committed.wait_for(&three);
    let running = life();

    compose(&committed, 4);
    let four = committed.commit("Version 4");
    wait_until_held(&committed, &four);
    // A revert needs a word of its own: it restarts as much.
    committed.git(&["reset", "-q", "--hard", &two]);
    wait_until_held(&committed, &two);
    assert_eq!(life(), running);
    let held = told(&committed).into_iter().filter(|(kind, _)| kind == "CommitHeld");
    let held: Vec<String> = held.map(|(_, commit)| commit).collect();
    assert_eq!(held, [&two[..12], &three[..12], &four[..12], &two[..12]], "each once");
}
