//! Following a repository over ssh: a real sshd, real keys, hosts that are known and hosts that are not.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use compose_operator::compose::LoadOptions;
use compose_operator::source::declared;
use compose_operator::source::git::Settings;
use sha2::{Digest as _, Sha256};

use crate::repository::{Repository, replicas};
use crate::sshd::Sshd;

/// The source of a file with this address, this key and this file of known hosts.
fn settings(repository: &Repository, url: &str, key: &str, known: &str) -> Settings {
    let text = format!(
        "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {{name: shop}}\nspec:\n  policy: privileged\n  git:\n    \
         url: \"{url}\"\n    ref: main\n    path: manifests\n    ssh: {{keyFile: ssh d/{key}, knownHostsFile: ssh d/{known}}}\n"
    );
    std::fs::write(repository.path("sources.yaml"), text).unwrap();
    let options = LoadOptions { working_dir: repository.path(""), ..LoadOptions::default() };
    let settings = declared::read("sources.yaml".as_ref(), &options, None).unwrap().remove(0);
    Settings { interval: Duration::from_millis(200), ..settings }
}

/// What keeps a source from being followed that nobody could follow yet.
async fn refused(repository: &Repository, sshd: &Sshd, key: &str, known: &str) -> String {
    let start = Instant::now();
    let settings = settings(repository, &sshd.url(&repository.work()), key, known);
    let mut followed = repository.follow_with(settings).await;
    assert!(start.elapsed() < Duration::from_secs(25), "it waited for somebody");
    assert_eq!(followed.load(), None);
    followed.standing().unreachable.unwrap().message
}

#[tokio::test]
async fn a_repository_is_followed_over_ssh_by_a_key_and_the_hosts_that_are_known() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    let mut count = 1;
    for url in [sshd.url(&repository.work()), sshd.scp_like(&repository.work())] {
        let mut followed = repository.follow_with(settings(&repository, &url, "ann", "known")).await;
        assert_eq!(followed.load(), Some(count), "{url}: {:?}", followed.standing());
        count += 1;
        repository.replicas(count);
        assert_eq!(replicas(&followed.next().await), Some(count), "{url}");
        assert_eq!(followed.standing().trouble(), None);
    }
}

#[tokio::test]
async fn a_host_with_another_key_is_not_believed_and_what_is_in_force_stays() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    let settings = settings(&repository, &sshd.url(&repository.work()), "ann", "known");
    let mut followed = repository.follow_with(settings).await;
    assert_eq!(followed.load(), Some(1));
    sshd.known("known", "mallory");
    repository.replicas(2);
    followed.until("disbelieved", |standing| standing.unreachable.is_some()).await;
    let told = followed.standing().unreachable.unwrap().message;
    let known = sshd.path("known").display().to_string();
    for part in [
        "has changed and you have requested strict checking",
        &format!("another key than the one in {known} answers"),
        "it is not the host",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("@@@") && !told.contains("SOMEONE"), "{told}");
    assert_eq!(followed.load(), Some(1));
    sshd.known("known", "host");
    assert_eq!(replicas(&followed.next().await), Some(2), "it goes on by itself");
    assert_eq!(followed.standing().trouble(), None);
}

#[tokio::test]
async fn a_host_that_nobody_knows_is_not_believed_and_nothing_is_learned_of_it() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    std::fs::write(sshd.path("nobody"), "").unwrap();
    for known in ["nobody", "not-there"] {
        let told = refused(&repository, &sshd, "ann", known).await;
        let way_out = format!("its key is not in {}: `ssh-keyscan` prints it", sshd.path(known).display());
        assert!(told.contains("No ED25519 host key is known") && told.contains(&way_out), "{told}");
    }
    assert_eq!(std::fs::read_to_string(sshd.path("nobody")).unwrap(), "");
    assert!(!sshd.path("not-there").exists());
}

#[tokio::test]
async fn a_key_that_the_host_does_not_take_is_told_until_it_does() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    let told = refused(&repository, &sshd, "mallory", "known").await;
    let way_out = format!("the host does not take the key {}", sshd.path("mallory").display());
    assert!(told.contains("Permission denied (publickey)") && told.contains(&way_out), "{told}");
    let told = refused(&repository, &sshd, "nobodys", "known").await;
    let way_out = format!("the key {} cannot be read: No such file", sshd.path("nobodys").display());
    assert!(told.contains(&way_out), "{told}");

    let settings = settings(&repository, &sshd.url(&repository.work()), "mallory", "known");
    let mut followed = repository.follow_with(settings).await;
    sshd.let_in(&["ann", "mallory"]);
    assert_eq!(replicas(&followed.next().await), Some(1));
    // And not any more.
    sshd.let_in(&["ann"]);
    repository.replicas(2);
    followed.until("locked out", |standing| standing.unreachable.is_some()).await;
    assert_eq!(followed.load(), Some(1));
}

#[tokio::test]
async fn a_key_that_ssh_does_not_use_is_told_with_what_to_do_about_it() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    let key = |name: &str, text: &str, mode| {
        std::fs::write(sshd.path(name), text).unwrap();
        std::fs::set_permissions(sshd.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        sshd.path(name).display().to_string()
    };
    let good = std::fs::read_to_string(sshd.path("ann")).unwrap();
    let open = key("open", &good, 0o644);
    let told = refused(&repository, &sshd, "open", "known").await;
    assert!(told.ends_with(&format!("`chmod 600 {open}`")) && !told.contains("@@@"), "{told}");
    let torn = key("torn", &good[..good.len() / 2], 0o600);
    let told = refused(&repository, &sshd, "torn", "known").await;
    assert!(told.contains(&format!("the key {torn} is none that ssh can read")), "{told}");
}

#[tokio::test]
async fn a_key_with_a_passphrase_is_told_and_nobody_is_asked_for_it() {
    let repository = Repository::new();
    let sshd = Sshd::start(&repository);
    sshd.key("locked", "secret");
    sshd.let_in(&["locked"]);
    let told = refused(&repository, &sshd, "locked", "known").await;
    let way_out = format!("the key {} has a passphrase", sshd.path("locked").display());
    assert!(told.contains(&way_out) && told.contains("ssh-keygen -p"), "{told}");
}

#[tokio::test]
async fn a_host_that_goes_is_told_since_when_and_followed_when_it_is_back() {
    let repository = Repository::new();
    let mut sshd = Sshd::start(&repository);
    let settings = settings(&repository, &sshd.url(&repository.work()), "ann", "known");
    let mut followed = repository.follow_with(settings).await;
    assert_eq!(followed.load(), Some(1));
    sshd.cut(true);
    // Nothing that can be packed into less.
    let lines = (0..4000).map(|line| format!("{:x?}\n", Sha256::digest(format!("{line}"))));
    repository.write("large", &lines.collect::<String>());
    repository.replicas(2);
    followed.until("cut off", |standing| standing.unreachable.is_some()).await;
    let cut = followed.standing().unreachable.unwrap();
    assert_eq!(followed.load(), Some(1), "half a commit is none");
    sshd.stop();
    followed.until("gone", |it| it.unreachable.as_ref().is_some_and(|it| *it != cut)).await;
    let gone = followed.standing().unreachable.unwrap();
    assert!(gone.message.contains("Connection refused"), "{gone:?}");
    assert_eq!(gone.since, cut.since, "it has not been followed since then");
    assert_eq!(followed.load(), Some(1));
    sshd.cut(false);
    sshd.again();
    assert_eq!(replicas(&followed.next().await), Some(2));
    assert_eq!(followed.standing().trouble(), None);
}
