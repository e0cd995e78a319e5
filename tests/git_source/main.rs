//! Following a git repository: real git, no engine.
//!
//! Whatever becomes of the repository, what is in force stays, the standing says why and since when, and it heals by itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on should stop where it is"
)]

use std::fs;

use compose_operator::source::Source as _;
use compose_operator::source::git::command::Password;
use compose_operator::store::sources::{Ask, Sources};

mod gate;
mod http;
mod repository;
mod ssh;
mod sshd;

use repository::{Repository, files, replicas, stack};

#[tokio::test]
async fn a_commit_is_followed_whole_and_says_who_wrote_it() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop@main").await;
    assert_eq!(followed.load(), Some(1));
    let hash = repository.replicas(3);
    let loaded = followed.next().await;
    assert_eq!((replicas(&loaded), loaded.faults.len()), (Some(3), 0));
    let commit = loaded.stacks[0].desired.commit.clone().unwrap();
    assert_eq!(
        (commit.hash.as_str(), commit.author.as_str(), commit.subject.as_str()),
        (hash.as_str(), "Ann", "3 of them")
    );
    let standing = followed.standing();
    assert_eq!(standing.in_force.unwrap().commit, commit);
    // Whichever commit it is, the files have one name: labels and mounts stay as they are.
    let origin = &loaded.stacks[0].desired.origin;
    let checkout = repository.state().join("checkouts/shop");
    assert_eq!(origin.config_files, [checkout.join("compose.yaml").to_string_lossy()]);
    assert_eq!(fs::read_to_string(checkout.join("manifests/shop.yaml")).unwrap(), stack(3));
}

#[tokio::test]
async fn the_last_sound_commit_stays_in_force_until_all_of_another_is_sound() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    repository.write("manifests/shop.yaml", &stack(5));
    repository.write("manifests/other.yaml", "apiVersion: compose-operator/v1\nkind: Stack\n");
    let broken = repository.commit("Break one of two");
    let loaded = followed.next().await;
    assert_eq!(replicas(&loaded), Some(1), "nothing of a commit that is not sound is taken");
    assert!(loaded.faults[0].headline().starts_with(&format!("{}:manifests/other.yaml:1:1", &broken[..12])));
    let standing = followed.standing();
    assert_eq!(standing.attempted.unwrap().commit.hash, broken);
    let refused = standing.refused.unwrap();
    assert!(refused.message.contains("Break one of two") && refused.since.as_millis() > 0, "{refused:?}");
    // A new process goes by the last sound one, too.
    let mut again = repository.follow("shop").await;
    assert_eq!(again.load(), Some(1));
    fs::remove_file(repository.work().join("manifests/other.yaml")).unwrap();
    repository.commit("Mend it");
    let loaded = followed.next().await;
    assert_eq!((replicas(&loaded), loaded.faults.len()), (Some(5), 0));
    assert_eq!(followed.standing().refused, None);
}

#[tokio::test]
async fn an_empty_tree_or_a_vanished_manifest_takes_nothing_away() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    fs::rename(repository.work().join("manifests/shop.yaml"), repository.path("away")).unwrap();
    repository.commit("Without the manifest");
    assert_eq!(replicas(&followed.next().await), Some(1));
    assert!(followed.standing().refused.unwrap().message.contains("has no `manifests`"));
    repository.git(&["rm", "-q", "-r", "."]);
    repository.commit("Nothing at all");
    followed.until("unwritten", |standing| standing.unreachable.is_some()).await;
    assert!(followed.standing().unreachable.unwrap().message.contains("has no files"));
    assert_eq!(followed.load(), Some(1));
    repository.git(&["revert", "--no-edit", "HEAD", "HEAD~1"]);
    let loaded = followed.next().await;
    assert_eq!((replicas(&loaded), loaded.faults.len()), (Some(1), 0));
    assert_eq!(followed.standing().trouble(), None);
}

#[tokio::test]
async fn a_branch_that_is_rewritten_or_deleted_and_a_repository_that_goes_are_lived_through() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop@main").await;
    repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(2));
    // Force-pushed to before what is in force.
    repository.git(&["reset", "-q", "--hard", "HEAD~1"]);
    assert_eq!(replicas(&followed.next().await), Some(1));
    // Rewritten from its root on.
    repository.git(&["checkout", "-q", "--orphan", "new"]);
    repository.replicas(4);
    repository.git(&["branch", "-q", "-M", "new", "main"]);
    assert_eq!(replicas(&followed.next().await), Some(4));
    // Deleted.
    repository.git(&["branch", "-q", "-M", "main", "elsewhere"]);
    followed.until("without its branch", |standing| standing.unreachable.is_some()).await;
    let trouble = followed.standing().unreachable.unwrap();
    assert!(trouble.message.contains("no branch or tag `main`"), "{trouble:?}");
    assert_eq!(followed.load(), Some(4));
    // Gone altogether.
    fs::rename(repository.work(), repository.path("moved")).unwrap();
    let since = trouble.since;
    followed.source.bell().ring();
    followed
        .until("gone", |it| it.unreachable.as_ref().is_some_and(|it| it.message != trouble.message))
        .await;
    assert_eq!(followed.standing().unreachable.unwrap().since, since, "it has not been followed since then");
    assert_eq!(followed.load(), Some(4));
    // Back again.
    fs::rename(repository.path("moved"), repository.work()).unwrap();
    repository.replicas(6);
    repository.git(&["branch", "-q", "-M", "elsewhere", "main"]);
    followed.source.bell().ring();
    assert_eq!(replicas(&followed.next().await), Some(6));
    assert_eq!(followed.standing().trouble(), None);
}

#[tokio::test]
async fn a_copy_that_is_damaged_is_fetched_anew() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    let copy = repository.state().join("sources/shop/repository.git");
    let damages: [&dyn Fn(); 4] = [
        // Objects that are no objects.
        &|| {
            for file in files(&copy.join("objects")) {
                fs::remove_file(&file).unwrap();
                fs::write(file, "torn").unwrap();
            }
        },
        // A pack that was half fetched, and the lock of a git that was killed.
        &|| {
            fs::create_dir_all(copy.join("objects/pack")).unwrap();
            fs::write(copy.join("objects/pack/tmp_pack_x"), "PACK").unwrap();
            fs::create_dir_all(copy.join("refs/operator")).unwrap();
            fs::write(copy.join("refs/operator/tip.lock"), "").unwrap();
            fs::write(copy.join("packed-refs.lock"), "").unwrap();
        },
        &|| fs::write(copy.join("HEAD"), "nonsense").unwrap(),
        &|| fs::remove_dir_all(copy.join("objects")).unwrap(),
    ];
    for (index, damage) in damages.iter().enumerate() {
        damage();
        let count = u32::try_from(index).unwrap() + 2;
        repository.replicas(count);
        assert_eq!(replicas(&followed.next().await), Some(count), "damage {index}");
        assert_eq!(followed.standing().trouble(), None);
    }
}

#[tokio::test]
async fn a_disk_that_is_full_keeps_what_is_in_force_and_is_tried_again() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    // Nothing can be made where there is no directory: as good as a disk without room.
    let revisions = repository.state().join("sources/shop/revisions");
    fs::rename(&revisions, repository.path("aside")).unwrap();
    fs::write(&revisions, "").unwrap();
    repository.replicas(2);
    followed.until("unwritable", |standing| standing.unreachable.is_some()).await;
    fs::remove_file(&revisions).unwrap();
    fs::rename(repository.path("aside"), &revisions).unwrap();
    assert_eq!(followed.load(), Some(1));
    followed.source.bell().ring();
    assert_eq!(replicas(&followed.next().await), Some(2));
}

#[tokio::test]
async fn nothing_of_a_working_copy_counts_or_is_touched_but_what_is_committed() {
    let repository = Repository::new();
    repository.write("manifests/shop.yaml", &stack(7));
    repository.write("untracked", "");
    repository.git(&["stash", "list"]);
    let before = repository.git(&["status", "--porcelain"]);
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    assert_eq!(repository.git(&["status", "--porcelain"]), before);
    assert!(!repository.state().join("checkouts/shop/untracked").exists());
}

#[tokio::test]
async fn nothing_that_a_repository_says_is_run() {
    let repository = Repository::new();
    let marker = repository.path("ran");
    let run = format!("touch {}", marker.display());
    repository.write(".gitattributes", "* filter=evil diff=evil\n");
    repository.write(".gitmodules", &format!("[submodule \"x\"]\n\tpath = x\n\turl = ext::{run}\n"));
    repository.write(".lfsconfig", &format!("[lfs]\n\turl = ext::{run}\n"));
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},x", "1".repeat(40))]);
    repository.replicas(2);
    for hook in ["post-checkout", "reference-transaction", "post-upload-pack", "pre-receive", "post-merge"] {
        repository.write(&format!(".git/hooks/{hook}"), &format!("#!/bin/sh\n{run}\n"));
        let hook = repository.work().join(".git/hooks").join(hook);
        fs::set_permissions(hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    // A repository that is another's can say anything of itself.
    for (name, value) in [
        ("filter.evil.smudge", run.as_str()),
        ("filter.evil.clean", &run),
        ("diff.evil.textconv", &run),
        ("core.fsmonitor", &run),
        ("core.sshCommand", &run),
        ("core.pager", &run),
        ("gpg.program", &run),
        ("uploadpack.packObjectsHook", &run),
        ("core.alternateRefsCommand", &run),
        ("protocol.ext.allow", "always"),
    ] {
        repository.git(&["config", name, value]);
    }
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(2), "{:?}", followed.standing());
    repository.git(&[
        "-c",
        "core.fsmonitor=false",
        "-c",
        "core.hooksPath=/dev/null",
        "branch",
        "-q",
        "other",
    ]);
    followed.source.bell().ring();
    assert!(!marker.exists());
    assert!(!repository.state().join("checkouts/shop/x").exists(), "a submodule is not fetched");
}

#[tokio::test]
async fn a_tag_and_a_commit_can_be_followed_and_another_revision_be_held() {
    let repository = Repository::new();
    repository.git(&["tag", "v1"]);
    let two = repository.replicas(2);
    repository.git(&["tag", "-a", "-m", "Two", "v2"]);
    repository.replicas(3);
    for (address, count) in
        [("shop@v1", 1), ("shop@v2", 2), ("shop@refs/tags/v2", 2), ("shop@main", 3), ("shop", 3)]
    {
        assert_eq!(repository.follow(address).await.load(), Some(count), "{address}");
        fs::remove_dir_all(repository.state()).unwrap();
    }
    let mut followed = repository.follow(&format!("shop@{two}")).await;
    assert_eq!(followed.load(), Some(2));

    let mut followed = repository.follow("shop@main").await;
    let sources = Sources::new(&repository.state());
    let ask = |revision: Option<&str>| {
        let at = compose_operator::core::time::Timestamp::from_millis(1);
        sources.ask("shop", &Ask { at, by: "bob".into(), revision: revision.map(str::to_owned) }).unwrap();
    };
    ask(Some("v1"));
    assert_eq!(replicas(&followed.next().await), Some(1));
    repository.replicas(4);
    followed.source.bell().ring();
    followed.until("held", |it| it.heeded.as_ref().is_some_and(|ask| ask.revision.is_some())).await;
    assert_eq!(followed.load(), Some(1), "whatever is pushed");
    ask(Some(&two[..8]));
    assert_eq!(replicas(&followed.next().await), Some(2));
    ask(None);
    assert_eq!(replicas(&followed.next().await), Some(4));
}

#[tokio::test]
async fn a_server_is_asked_in_its_interval_and_what_it_says_is_told() {
    let repository = Repository::new();
    let server = http::Server::start(&repository.path(""), None);
    let mut followed = repository.follow(&server.url("shop/.git@main")).await;
    assert_eq!(followed.load(), Some(1));
    repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(2));
    server.refuse(true);
    followed.until("unreachable", |standing| standing.unreachable.is_some()).await;
    let asked = followed.standing().asked_at;
    repository.replicas(3);
    assert_eq!(followed.load(), Some(2));
    server.refuse(false);
    assert_eq!(replicas(&followed.next().await), Some(3));
    assert!(followed.standing().trouble().is_none() && followed.standing().asked_at > asked);
}

#[tokio::test]
async fn a_token_is_given_to_the_server_alone_and_read_whenever_it_is_needed() {
    let repository = Repository::new();
    let server = http::Server::start(&repository.path(""), Some("ann:canary-1"));
    let url = server.url("shop/.git@main");
    let wrong = url.replace("http://", "http://ann:canary-0@");
    let followed = repository.follow(&wrong).await;
    let trouble = followed.standing().unreachable.unwrap();
    assert!(trouble.message.contains("Authentication failed"), "{trouble:?}");
    let mut followed = repository.follow(&url.replace("http://", "http://ann:canary-1@")).await;
    assert_eq!(followed.load(), Some(1), "{:?}", followed.standing());
    // From a file, which somebody writes anew.
    let file = repository.path("token");
    fs::write(&file, "canary-0\n").unwrap();
    let mut settings = repository.settings(&url);
    settings.credentials.basic = Some(("ann".into(), Password::File(file.clone())));
    repository.replicas(2);
    let mut followed = repository.follow_with(settings).await;
    followed.until("refused", |standing| standing.unreachable.is_some()).await;
    fs::write(&file, "canary-1\n").unwrap();
    assert_eq!(replicas(&followed.next().await), Some(2));
    for file in files(&repository.state()) {
        let text = fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("canary"), "{}", file.display());
    }
}

#[tokio::test]
async fn a_server_that_sends_half_and_stops_has_sent_nothing() {
    let repository = Repository::new();
    let server = http::Server::start(&repository.path(""), None);
    let mut followed = repository.follow(&server.url("shop/.git@main")).await;
    assert_eq!(followed.load(), Some(1));
    server.cut(true);
    repository.replicas(2);
    followed.until("cut off", |standing| standing.unreachable.is_some()).await;
    assert_eq!(followed.load(), Some(1));
    server.cut(false);
    assert_eq!(replicas(&followed.next().await), Some(2));
}

#[tokio::test]
async fn a_branch_that_is_held_by_its_name_stays_where_it_was_then_over_pushes_and_restarts() {
    let repository = Repository::new();
    repository.git(&["branch", "release"]);
    repository.replicas(2);
    let mut followed = repository.follow("shop@main").await;
    assert_eq!(followed.load(), Some(2));
    let sources = Sources::new(&repository.state());
    let ask = |at: i64| {
        let at = compose_operator::core::time::Timestamp::from_millis(at);
        sources.ask("shop", &Ask { at, by: "bob".into(), revision: Some("release".into()) }).unwrap();
    };
    ask(1);
    assert_eq!(replicas(&followed.next().await), Some(1));
    repository.git(&["checkout", "-q", "release"]);
    repository.replicas(5);
    let mut again = repository.follow("shop@main").await;
    let moved = tokio::time::timeout(std::time::Duration::from_secs(1), again.source.changed()).await;
    assert!(moved.is_ok(), "a new process looks at it once");
    assert_eq!(again.load(), Some(1), "whatever is pushed");
    ask(2);
    assert_eq!(replicas(&again.next().await), Some(5), "until somebody asks again");
}

#[tokio::test]
async fn a_commit_that_lacks_a_file_of_this_machine_comes_into_force_when_it_is_there() {
    let repository = Repository::new();
    let mut settings = repository.settings("shop");
    let file = repository.path("host.env");
    settings.options.env_files = vec![file.clone()];
    let mut followed = repository.follow_with(settings).await;
    assert_eq!(followed.load(), None);
    assert!(followed.standing().refused.unwrap().message.contains("host.env"));
    fs::write(&file, "A=1\n").unwrap();
    assert_eq!(replicas(&followed.next().await), Some(1));
    assert_eq!(followed.standing().refused, None);
}

#[tokio::test]
async fn a_revision_in_force_that_lost_its_files_in_a_power_cut_is_written_anew() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    let checkout = repository.state().join("checkouts/shop");
    let before = fs::read_link(&checkout).unwrap();
    fs::write(checkout.join("manifests/shop.yaml"), "").unwrap();
    // Nobody has to be asked for it.
    fs::rename(repository.work(), repository.path("away")).unwrap();
    let mut again = repository.follow("shop").await;
    assert_eq!(again.load(), Some(1));
    assert_ne!(fs::read_link(&checkout).unwrap(), before, "somebody may have mounted the other");
}

/// Each tree has the one before it twice: a few kilobytes name files, or nothing at all, without end.
#[tokio::test]
async fn a_commit_of_trees_without_end_is_refused_and_the_next_one_followed() {
    let repository = Repository::new();
    let mut followed = repository.follow("shop").await;
    assert_eq!(followed.load(), Some(1));
    let first = repository.git(&["rev-parse", "HEAD"]);
    let mut tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    for _ in 0..40 {
        tree = repository.tree(&format!("040000 tree {tree}\ta\n040000 tree {tree}\tb\n"));
    }
    repository.git(&[
        "update-ref",
        "refs/heads/main",
        &repository.git(&["commit-tree", "-m", "Bomb", &tree]),
    ]);
    followed.until("refused", |standing| standing.unreachable.is_some()).await;
    assert!(followed.standing().unreachable.unwrap().message.contains("repository of their own"));
    assert_eq!(followed.load(), Some(1));
    repository.git(&["update-ref", "refs/heads/main", &first]);
    repository.git(&["reset", "-q", "--hard"]);
    repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(2));
}

#[tokio::test]
async fn a_bell_that_is_rung_ten_thousand_times_is_one_look() {
    let repository = Repository::new();
    let mut settings = repository.settings("shop");
    settings.interval = std::time::Duration::from_hours(1);
    let mut followed = repository.follow_with(settings).await;
    let asked = followed.standing().asked_at;
    (0..10_000).for_each(|_| followed.source.bell().ring());
    followed.until("asked again", |it| it.asked_at != asked).await;
    let asked = followed.standing().asked_at;
    // Nothing is left of them.
    let more = tokio::time::timeout(std::time::Duration::from_millis(600), followed.source.changed()).await;
    assert!(more.is_err() && followed.standing().asked_at == asked);
}

#[tokio::test]
async fn a_suspended_source_stays_where_it_is() {
    let repository = Repository::new();
    assert_eq!(repository.follow("shop").await.load(), Some(1));
    repository.replicas(2);
    let mut suspended = repository.settings("shop");
    suspended.suspended = true;
    let mut followed = repository.follow_with(suspended).await;
    followed.source.bell().ring();
    let changed =
        tokio::time::timeout(std::time::Duration::from_millis(500), followed.source.changed()).await;
    assert!(changed.is_err(), "it is not looked at");
    assert_eq!(followed.load(), Some(1));
}
