//! Which commits and tags are followed where signatures are asked for: real repositories, signed by git, gpg and ssh-keygen.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod following;
mod world;

use compose_operator::core::commit::Commit;
use compose_operator::core::time::Timestamp;
use compose_operator::source::git::command::{Credentials, Git};
use compose_operator::source::git::mirror::Tip;
use compose_operator::source::git::signature::{Mode, Verify, Why, verify};

use self::world::{By, World, is_running_in, with_signature, word};

const ANN: By<'_> = By::Ssh("ann");

/// Files of keys, each with what is in it, and what is said of a commit.
type Case<'a> = (&'a [(&'a str, &'a [u8])], &'a str);

#[tokio::test]
async fn a_commit_is_trusted_by_an_ssh_key_however_the_key_is_given() {
    let world = World::new();
    let (ann, bob, ca) = (world.ssh_key("ann"), world.ssh_key("bob"), world.ssh_key("ca"));
    world.commit("one", ANN);
    let krl = world.path("krl").display().to_string();
    world.keygen(&["-q", "-k", "-f", &krl, &world.path("ssh/bob.pub").display().to_string()]);
    let krl = std::fs::read(krl).unwrap();
    let key = ann.rsplit_once(' ').unwrap().0;
    for (files, expected) in [
        (vec![("ann.pub", ann.clone())], "ann@example.com"),
        (vec![("ann.pub", key.to_owned())], "an SSH key"),
        (vec![("all", format!("# people\n{bob}\n\n{ann}\n"))], "ann@example.com"),
        (vec![("a", bob.clone()), ("b", ann.clone())], "ann@example.com"),
        (vec![("allowed", format!("a@x,b@x namespaces=\"git\" {key}"))], "a@x"),
        (vec![("allowed", format!("*@x {key}"))], "*@x"),
        (vec![("allowed", format!("a@x valid-after=\"20200101\",valid-before=\"29990101\" {key}"))], "a@x"),
        // Once more after it was over.
        (vec![("allowed", format!("a@x valid-before=\"20200101\" {key}\nb@x {key}"))], "b@x"),
        (vec![("ann.pub", ann.clone()), ("revoked", bob.clone())], "ann@example.com"),
        (vec![("ann.pub", ann.clone()), ("revoked", "# nobody\n".to_owned())], "ann@example.com"),
    ] {
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        world.trust(&files);
        assert_eq!(world.head().await, expected, "{files:?}");
    }
    world.trust(&[("ann.pub", ann.as_bytes()), ("bob.krl", &krl)]);
    assert_eq!(world.head().await, "ann@example.com");
    // By the word of an authority.
    let public = world.path("ssh/ann.pub").display().to_string();
    world.keygen(&[
        "-q",
        "-s",
        &world.path("ssh/ca").display().to_string(),
        "-I",
        "id",
        "-n",
        "a@x",
        "-V",
        "+1d",
        &public,
    ]);
    std::fs::copy(world.path("ssh/ann"), world.path("ssh/ann-cert")).unwrap();
    world.commit("two", By::Ssh("ann-cert.pub"));
    let ca = ca.rsplit_once(' ').unwrap().0;
    world.trust(&[("allowed", format!("*@x cert-authority {ca}").as_bytes())]);
    assert_eq!(world.head().await, "a@x");
    world.trust(&[("allowed", format!("*@y cert-authority {ca}").as_bytes())]);
    assert_eq!(world.head().await, "UnknownKey");
}

#[tokio::test]
async fn an_ssh_key_that_is_unknown_over_early_revoked_or_for_something_else_is_not_trusted() {
    let world = World::new();
    let (ann, bob) = (world.ssh_key("ann"), world.ssh_key("bob"));
    world.commit("one", ANN);
    let krl = world.path("krl").display().to_string();
    world.keygen(&["-q", "-k", "-f", &krl, &world.path("ssh/ann.pub").display().to_string()]);
    let krl = std::fs::read(krl).unwrap();
    let key = ann.rsplit_once(' ').unwrap().0;
    let allowed = |options: &str| format!("a@x {options} {key}").into_bytes();
    let (over, early) = (allowed("valid-before=\"20200101\""), allowed("valid-after=\"29990101\""));
    let (file, bogus) = (allowed("namespaces=\"file\""), allowed("bogus=1"));
    let (ann, bob) = (ann.as_bytes(), bob.as_bytes());
    let cases: &[Case<'_>] = &[
        (&[("bob.pub", bob)], "UnknownKey"),
        (&[("allowed", &over)], "Expired"),
        (&[("allowed", &early)], "Early"),
        (&[("allowed", &file)], "Purpose"),
        (&[("allowed", &bogus)], "Keys"),
        (&[("ann.pub", ann), ("revoked", ann)], "Revoked"),
        (&[("ann.pub", ann), ("revoked-2026.pub", ann), ("revoked", bob)], "Revoked"),
        (&[("ann.pub", ann), ("list", &krl)], "Revoked"),
        (&[("ann.pub", ann), ("list", b"SSHKRL\n\0garbage")], "Revoked"),
        (&[("revoked", ann), ("bob.pub", bob)], "UnknownKey"),
        // Who is only revoked is nobody.
        (&[("revoked", ann)], "NoKeys"),
        (&[], "NoKeys"),
        (&[("ann.pub", ann), ("README", b"Keys of people")], "Keys"),
        (&[("ann.pub", ann), ("bob", b"-----BEGIN OPENSSH PRIVATE KEY-----\n")], "Keys"),
    ];
    for (files, expected) in cases {
        world.trust(files);
        assert_eq!(world.head().await, *expected, "{files:?}");
    }
    let missing = Verify { mode: Mode::Head, keys: vec![world.path("ssh/ann.pub"), world.path("none")] };
    let judged = world.judge("main", &missing).await;
    assert!(matches!(&judged, Err(Why::Keys { path, .. }) if path.ends_with("none")), "{judged:?}");
}

#[tokio::test]
async fn only_the_commit_that_is_followed_must_be_signed_and_it_must() {
    let world = World::new();
    let ann = world.ssh_key("ann");
    world.trust(&[("ann.pub", ann.as_bytes())]);
    world.commit("one", By::Nobody);
    assert_eq!(world.head().await, "Unsigned");
    world.commit("two", ANN);
    assert_eq!(world.head().await, "ann@example.com", "the one below is not signed");
    world.commit("three", By::Nobody);
    assert_eq!(world.head().await, "Unsigned", "the one below is signed");
}

#[tokio::test]
async fn a_signature_of_another_commit_for_another_purpose_or_of_no_form_is_none() {
    let world = World::new();
    let ann = world.ssh_key("ann");
    let gpg = world.gpg_key("cat");
    world.trust(&[("ann.pub", ann.as_bytes()), ("cat.asc", &gpg)]);
    for by in [ANN, By::Gpg("cat")] {
        let good = world.raw(&world.commit("one", by));
        for (commit, expected) in [
            (
                good.clone(),
                if matches!(by, By::Ssh(_)) { "ann@example.com" } else { "cat <cat@example.com>" },
            ),
            (good.replace("one", "two"), "Bad"),
            (good.replace("author Ann", "author Bob"), "Bad"),
            (good.replacen("tree ", "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nx-tree ", 1), "Bad"),
            (good.replacen("gpgsig ", "gpgsig-sha256 ", 1), "Bad"),
        ] {
            world.forge(&commit);
            assert_eq!(world.head().await, expected, "{commit}");
        }
    }
    let plain = world.raw(&world.commit("one", By::Nobody));
    let (for_file, for_git) = (world.ssh_sign("ann", "file", &plain), world.ssh_sign("ann", "git", &plain));
    let armour = |kind: &str| format!("-----BEGIN {kind}-----\n\ngarbage\n-----END {kind}-----\n");
    let twice = with_signature(&with_signature(&plain, &for_git), &for_git);
    for (commit, expected) in [
        (with_signature(&plain, &for_git), "ann@example.com"),
        (with_signature(&plain, &for_file), "Purpose"),
        (with_signature(&plain, &armour("SSH SIGNATURE")), "Bad"),
        (with_signature(&plain, &armour("PGP SIGNATURE")), "Bad"),
        (with_signature(&plain, &armour("PGP MESSAGE")), "Bad"),
        (with_signature(&plain, &armour("SIGNED MESSAGE")), "Foreign"),
        (with_signature(&plain, "garbage"), "Bad"),
        (twice, "Bad"),
        (with_signature(&plain, &format!("{for_git}{for_git}")), "Bad"),
        // Where people read it, but not where it belongs.
        (format!("{plain}\ngpgsig {for_git}"), "Unsigned"),
    ] {
        world.forge(&commit);
        assert_eq!(world.head().await, expected, "{commit}");
    }
}

#[tokio::test]
async fn an_openpgp_key_is_trusted_until_it_is_over_or_revoked() {
    let world = World::new();
    let (ann, bob) = (world.gpg_key("ann"), world.gpg_key("bob"));
    world.commit("one", By::Gpg("ann"));
    let binary = world.gpg(&["--export", "ann@example.com"]);
    let both = world.gpg(&["--armor", "--export", "ann@example.com", "bob@example.com"]);
    let fingerprint =
        String::from_utf8(world.gpg(&["--with-colons", "--list-keys", "ann@example.com"])).unwrap();
    let fingerprint =
        fingerprint.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().to_owned();
    let fingerprint = fingerprint.trim_end_matches(':');
    let certificate = world.path(&format!("gpg/openpgp-revocs.d/{fingerprint}.rev"));
    let unarmed = std::fs::read_to_string(certificate).unwrap();
    let certificate = unarmed.replace(":-----BEGIN", "-----BEGIN");
    let certificate = certificate.as_bytes();
    let name = "ann <ann@example.com>";
    let cases: &[Case<'_>] = &[
        (&[("ann.asc", &ann)], name),
        (&[("ann.gpg", &binary)], name),
        (&[("all.asc", &both)], name),
        (&[("a.asc", &bob), ("b.asc", &ann)], name),
        (&[("bob.asc", &bob)], "UnknownKey"),
        (&[("bob.asc", &bob), ("revoked.asc", certificate)], "Keys"),
        // Whatever is read first.
        (&[("ann.asc", &ann), ("revoked.asc", certificate)], "Revoked"),
        (&[("a.asc", certificate), ("b.asc", &ann)], "Revoked"),
        (&[("ann.asc", &ann), ("ann.rev", unarmed.as_bytes())], "Keys"),
        (&[("ann.asc", &ann), ("revoked-ann.asc", &ann)], "Keys"),
        (&[("ann.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ngarbage\n")], "Keys"),
    ];
    for (files, expected) in cases {
        world.trust(files);
        let names: Vec<_> = files.iter().map(|(name, _)| name).collect();
        assert_eq!(world.head().await, *expected, "{names:?}");
    }
    world.trust(&[("ann.asc", &ann)]);
    assert_eq!(world.judge("main", &world.verify(Mode::Head)).await.unwrap().key, fingerprint);
    assert!(!is_running_in(&world.path("home")), "no agent stays behind");
}

#[tokio::test]
async fn an_openpgp_key_or_signature_that_was_good_when_it_was_made_may_be_over_now() {
    let world = World::new();
    let then = "20240101T000000";
    let make = |name: &str, until: &str| {
        let user = format!("{name} <{name}@example.com>");
        world.gpg(&["--faked-system-time", then, "--quick-generate-key", &user, "ed25519", "sign", until]);
    };
    make("ann", "2d");
    make("bob", "never");
    world.gpg_at(then);
    world.trust(&[("ann.asc", &world.gpg_public("ann")), ("bob.asc", &world.gpg_public("bob"))]);
    world.commit("one", By::Gpg("bob"));
    assert_eq!(world.head().await, "bob <bob@example.com>");
    world.commit("two", By::Gpg("ann"));
    assert_eq!(world.head().await, "Expired");
    world.gpg_at(&format!("{then} --default-sig-expire 1d"));
    world.commit("three", By::Gpg("bob"));
    assert_eq!(world.head().await, "Expired");
}

#[tokio::test]
async fn a_tag_is_followed_that_is_signed_and_is_what_it_is_called() {
    let world = World::new();
    let (ann, _) = (world.ssh_key("ann"), world.ssh_key("bob"));
    let cat = world.gpg_key("cat");
    world.trust(&[("ann.pub", ann.as_bytes()), ("cat.asc", &cat)]);
    let first = world.commit("one", By::Nobody);
    world.tag("ssh", ANN);
    world.tag("gpg", By::Gpg("cat"));
    world.tag("unknown", By::Ssh("bob"));
    world.tag("unsigned", By::Nobody);
    world.git(&["tag", "lightweight"]);
    world.git(&["update-ref", "refs/tags/renamed", "refs/tags/ssh"]);
    world.git(&[
        "-c",
        "gpg.format=ssh",
        "-c",
        &format!("user.signingKey={}", world.path("ssh/ann").display()),
        "tag",
        "-s",
        "-m",
        "x",
        "nested",
        "ssh",
    ]);
    let second = world.commit("two", ANN);
    world.git(&["tag", "commit-is-signed"]);
    for (reference, expected) in [
        ("ssh", "ann@example.com"),
        ("refs/tags/gpg", "cat <cat@example.com>"),
        ("unknown", "UnknownKey"),
        ("unsigned", "Unsigned"),
        ("lightweight", "NotATag"),
        ("commit-is-signed", "NotATag"),
        ("renamed", "NotATag"),
        ("nested", "NotATag"),
        ("main", "NotATag"),
        ("", "NotATag"),
        (&first, "NotATag"),
    ] {
        assert_eq!(world.tagged(reference).await, expected, "{reference}");
    }
    // The branch has moved on since; a tag that is good says nothing of another commit.
    let (mirror, tip, _) = world.fetch("ssh").await;
    let (_, _, other) = world.fetch("main").await;
    assert_eq!(other.hash, second);
    let by_tag = world.verify(Mode::Tag);
    let scratch = world.path("home/judgement");
    let judged = verify(mirror.git(), mirror.directory(), &tip, &other, &by_tag, &scratch).await;
    assert_eq!(word(judged.map_err(|untrusted| untrusted.why)), "Moved");
    // A signed tag does not sign the commit.
    assert_eq!(word(world.judge("ssh", &world.verify(Mode::Head)).await), "Unsigned");
    assert_eq!(word(world.judge("commit-is-signed", &world.verify(Mode::Head)).await), "ann@example.com");
}

#[tokio::test]
async fn a_repository_of_sha_256_has_its_signatures_under_another_name() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("work/.git")).unwrap();
    world.git(&["init", "--quiet", "--initial-branch=main", "--object-format=sha256", "."]);
    let ann = world.ssh_key("ann");
    world.trust(&[("ann.pub", ann.as_bytes())]);
    let git = Git::new(&world.path("home"), Credentials::default()).unwrap();
    for (by, expected) in [(ANN, "ann@example.com"), (By::Nobody, "Unsigned")] {
        let hash = world.commit("one", by);
        let commit = Commit {
            hash: hash.clone(),
            author: "Ann".to_owned(),
            subject: "one".to_owned(),
            committed_at: Timestamp::from_millis(0),
            source: String::new(),
        };
        let (tip, scratch) = (Tip { name: "HEAD".to_owned(), object: hash }, world.path("home/judgement"));
        let judge = async |commit: Commit| {
            let by_head = world.verify(Mode::Head);
            verify(&git, &world.path("work/.git"), &tip, &commit, &by_head, &scratch).await
        };
        assert_eq!(word(judge(commit.clone()).await.map_err(|untrusted| untrusted.why)), expected);
        let gone = Commit { hash: "0".repeat(64), ..commit };
        assert_eq!(word(judge(gone).await.map_err(|untrusted| untrusted.why)), "Git", "there is none");
    }
}
