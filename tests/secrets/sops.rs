//! Files that `sops` itself has made, from files in memory to what is desired. Where they are from: `sops/README.md`.

use std::path::Path;

use compose_operator::compose::{HostSecrets, LoadOptions, MemoryFiles};
use compose_operator::core::desired::Service;
use compose_operator::stack::{self, Loaded};
use proptest::prelude::*;

const IDENTITY: &str = "AGE-SECRET-KEY-1NPGT4U689GZVWN2K3W07GQ30Q4VQWED6QG2SUNZ90GM7VZP7550QUW28W2";

const OF_SERVICE: &str = "services: {web: {image: web, env_file: secrets.env}}\n";

const OF_FILE: &str = "services: {web: {image: web, secrets: [key]}}\nsecrets: {key: {file: secrets.env}}\n";

fn made(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/secrets/sops");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn load(compose: &str, content: impl Into<Vec<u8>>) -> Loaded {
    load_as(compose, content, &["/keys/mine"])
}

fn load_as(compose: &str, content: impl Into<Vec<u8>>, identities: &[&str]) -> Loaded {
    let files = MemoryFiles::new()
        .with("/w/compose.yaml", compose)
        .with("/keys/mine", IDENTITY)
        .with("/w/secrets.env", content);
    let options = LoadOptions {
        files: vec!["/w/compose.yaml".into()],
        working_dir: "/w".into(),
        host: HostSecrets {
            identities: identities.iter().map(Into::into).collect(),
            ..HostSecrets::default()
        },
        ..LoadOptions::default()
    };
    stack::load(&options, &files)
}

fn service(loaded: Loaded) -> Service {
    let stack = loaded.all().unwrap_or_else(|found| panic!("{found}")).remove(0);
    stack.desired.services["web"].clone()
}

fn variables(service: &Service) -> Vec<(&str, &str)> {
    service.spec.environment.iter().map(|(name, value)| (name.as_str(), value.expose())).collect()
}

/// What is wrong, as a person reads it, with nothing of what is in the file.
fn faults(loaded: Loaded) -> String {
    let found = loaded.all().map_or_else(|found| found.frames(false), |_| String::new());
    for word in ["canary", "Canary", "ENC[", "AES256", "YWdl", "1NPGT"] {
        assert!(!found.contains(word), "{word}: {found}");
    }
    found
}

#[test]
fn what_sops_encrypted_is_what_it_decrypts() {
    let values = vec![
        ("EMPTY", ""),
        ("LINES", "first\nsecond"),
        ("LOG_unencrypted", "debug"),
        ("QUOTED", "two words"),
        ("SEVERAL", "a=1\n# no comment\nb=2"),
        ("SWITCH", "true"),
        ("TOKEN", "canary-of-sops"),
        ("URL", "postgres://me:canary-of-sops@db/x"),
    ];
    assert_eq!(variables(&service(load(OF_SERVICE, made("values.env")))), values);
    let with_crlf = made("values.env").replace('\n', "\r\n");
    assert_eq!(variables(&service(load(OF_SERVICE, with_crlf))), values);
    for name in [
        "regex.env",
        "unencrypted-regex.env",
        "suffix.env",
        "comments.env",
        "closed-comments.env",
        "two.env",
        "rules.sops",
    ] {
        let read = service(load(OF_SERVICE, made(name)));
        let expected = [("LOG", "debug"), ("TOKEN", "canary-of-sops"), ("URL", "canary-of-url")];
        assert_eq!(variables(&read), expected, "{name}");
        let shown = format!("{read:?}");
        assert!(!shown.contains("canary-of"), "{name}: {shown}");
    }
}

/// One of a plain env file may stand in a label.
#[test]
fn a_variable_of_sops_is_a_secret() {
    let compose = "services: {web: {image: web, labels: {a: '$TOKEN'}}}\n";
    let files = MemoryFiles::new()
        .with("/w/compose.yaml", compose)
        .with("/keys/mine", IDENTITY)
        .with("/w/.env", made("values.env"));
    let host = HostSecrets { identities: vec!["/keys/mine".into()], ..HostSecrets::default() };
    let files_of = vec!["/w/compose.yaml".into()];
    let options = LoadOptions { files: files_of, working_dir: "/w".into(), host, ..LoadOptions::default() };
    let found = faults(stack::load(&options, &files));
    assert!(found.contains("the secret variable TOKEN would be shown here"), "{found}");
}

#[test]
fn a_secret_that_sops_encrypted_as_binary_is_copied_in() {
    let read = service(load(OF_FILE, made("tls.key.sops")));
    let (path, file) = read.files.iter().next().unwrap();
    assert_eq!((path, file.content.expose()), ("/run/secrets/key", "canary-of-tls\nsecond line\n"));
    // One of many values, and one that nothing can open: both may be what the container wants.
    let of_many = load(OF_FILE, made("settings.yaml"));
    let closed = load_as(OF_FILE, made("tls.key.sops"), &[]);
    for (loaded, help) in [(of_many, "--input-type binary"), (closed, "--age-identity")] {
        let warning = loaded.stacks[0].warnings[0].clone();
        assert!(warning.headline().contains("containers get it as it is"), "{warning:?}");
        assert!(format!("{warning:?}").contains(help), "{warning:?}");
        assert_eq!(service(loaded).spec.mounts.len(), 1);
    }
}

#[test]
fn what_is_for_other_keys_is_refused_with_the_way_out() {
    for (name, fault, help) in [
        ("others.env", "no age identity here is one of its recipients", "age-keygen -y"),
        ("pgp.env", "with SOPS, and its key with nothing of age", "--add-age"),
        ("groups.env", "its key is split between groups", "without `key_groups`"),
        ("settings.yaml", "with SOPS, as something else than an env file", "--output-type dotenv"),
    ] {
        let found = faults(load(OF_SERVICE, made(name)));
        assert!(found.contains(fault) && found.contains(help), "{name}: {found}");
        assert!(found.contains("/w/secrets.env"), "{found}");
    }
    let found = faults(load_as(OF_SERVICE, made("values.env"), &[]));
    assert!(found.contains("there is no age identity"), "{found}");
    let found = faults(load_as(OF_SERVICE, made("values.env"), &["/keys/none"]));
    assert!(found.contains("the age identity /keys/none is not there"), "{found}");
}

/// Lines without that of a name.
fn without(text: &str, name: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(name)).collect()
}

/// What stands behind a name.
fn value<'t>(text: &'t str, name: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

/// With the first letter of its ciphertext another.
fn with_another_letter(text: &str, name: &str) -> String {
    let sealed = value(text, name);
    let at = "ENC[AES256_GCM,data:".len();
    let letter = if sealed[at..].starts_with('A') { "B" } else { "A" };
    text.replace(sealed, &format!("{}{letter}{}", &sealed[..at], &sealed[at + 1..]))
}

#[test]
fn what_was_changed_without_sops_is_refused() {
    let all = &made("values.env");
    let (token, url) = (value(all, "TOKEN"), value(all, "URL"));
    let swapped = all.replace(token, "@").replace(url, token).replace('@', url);
    let moved = format!("URL={url}\n{}", without(all, "URL"));
    let key = value(all, "sops_age__list_0__map_enc");
    for (what, content, fault) in [
        ("a value", with_another_letter(all, "TOKEN"), "line 2 is damaged"),
        ("swapped values", swapped, "line 2 is damaged"),
        ("another name", all.replace("TOKEN=", "TOKEM="), "line 2 is damaged"),
        ("another kind", all.replacen("type:str", "type:sth", 1), "line 2 is damaged"),
        ("a long tag", all.replace(token, &token.replace("tag:", "tag:AAAA")), "line 2 is damaged"),
        ("a short nonce", all.replace(token, &token.replacen(&token[50..54], "", 1)), "line 2 is damaged"),
        ("a value in the clear", all.replace(token, "canary-in-the-clear"), "line 2 is damaged"),
        ("a line in the clear", format!("NEW=canary\n{all}"), "line 1 is damaged"),
        ("a name that is two", format!("TOKEN: canary=\n{all}"), "line 1 is damaged"),
        ("a name twice", format!("TOKEN=\n{all}"), "line 3 has a name that was there before"),
        ("the same name", format!("{all}export TOKEN =\n"), "has a name that was there before"),
        ("no line", format!("canary\n{all}"), "line 1 is damaged"),
        ("a line less", without(all, "TOKEN"), "changed without it"),
        ("moved lines", moved, "changed without it"),
        ("an empty value", all.replace(token, ""), "changed without it"),
        ("a clear value", all.replace("=debug", "=info"), "changed without it"),
        ("the MAC", with_another_letter(all, "sops_mac"), "damaged or cut off"),
        ("no MAC", without(all, "sops_mac"), "damaged or cut off"),
        ("its moment", all.replace("sops_lastmodified=2", "sops_lastmodified=1"), "damaged or cut off"),
        ("its key", all.replace(&key[60..64], "AAAA"), "damaged or cut off"),
        ("no key", without(all, "sops_age"), "its key with nothing of age"),
        ("two rules", format!("{all}sops_encrypted_regex=^A\n"), "damaged or cut off"),
        ("its rule", all.replace("=_unencrypted", "=_plain"), "line 7 is damaged"),
        (
            "no pattern",
            all.replace("sops_unencrypted_suffix=_unencrypted", "sops_encrypted_regex=("),
            "its pattern",
        ),
        ("the end", all[..all.find("sops_").unwrap()].to_owned(), "but none of SOPS' own lines"),
    ] {
        assert_ne!(&content, all, "{what}");
        let found = faults(load(OF_SERVICE, content));
        assert!(found.contains(fault), "{what}: {found}");
    }
    // With this rule SOPS answers for what is encrypted, and for nothing else.
    let open = made("regex.env").replace("LOG=debug", "LOG=info");
    assert_eq!(variables(&service(load(OF_SERVICE, open)))[0], ("LOG", "info"));
    let less = faults(load(OF_SERVICE, without(&made("regex.env"), "URL")));
    assert!(less.contains("changed without it"), "{less}");
    // As binary it has no lines to tell of.
    for (from, to, fault) in [
        ("\"data\"", "\"date\"", "as something else"),
        ("data\": \"ENC[AES256_GCM,data:", "data\": \"ENC[AES256_GCM,data:AAAA", "damaged or cut off"),
        ("lastm", "firstm", "damaged or cut off"),
    ] {
        let found = faults(load(OF_SERVICE, made("rules.sops").replace(from, to)));
        assert!(found.contains(fault), "{found}");
    }
}

/// The kinds of values are not authenticated: one that SOPS would not have written is none.
#[test]
fn a_value_is_of_the_kind_that_sops_gave_it() {
    let all = &made("kinds.env");
    let values = [
        ("CAPITALS", "Canary-Of-Capitals"),
        ("COUNT", "42"),
        ("HOST", "db.example"),
        ("LOG", "debug"),
        ("SHARE", "0.25"),
        ("SWITCH", "true"),
        ("TOKEN", "canary-of-sops"),
        ("WORD", "True"),
    ];
    assert_eq!(variables(&service(load(OF_SERVICE, &**all))), values);
    for (name, kinds, line) in [
        ("CAPITALS", &["bool", "int", "float", "comment"][..], 1),
        ("TOKEN", &["bool", "int", "float", "comment"], 4),
        ("WORD", &["int", "float", "comment"], 5),
        ("SWITCH", &["int", "comment"], 6),
        ("COUNT", &["bool", "comment"], 7),
        ("SHARE", &["bool", "int"], 8),
    ] {
        let sealed = value(all, name);
        let (front, _) = sealed.rsplit_once(':').unwrap();
        for kind in kinds {
            let found = faults(load(OF_SERVICE, all.replace(sealed, &format!("{front}:{kind}]"))));
            assert!(found.contains(&format!("line {line} is damaged")), "{name} as {kind}: {found}");
        }
    }
}

/// As `sops decrypt` takes it too: the MAC is over values one behind the other.
#[test]
fn what_sops_leaves_in_the_clear_can_be_cut_otherwise_between_two_encrypted_values() {
    let all = &made("kinds.env");
    let cut = all.replace("LOG=debug\nHOST=db.example", "#new\nLEVEL=debugdb\nPLACE=.example\nEMPTY=");
    let read = service(load(OF_SERVICE, cut));
    let clear: Vec<_> = variables(&read).into_iter().filter(|(_, value)| !value.contains("anary")).collect();
    let expected =
        [("COUNT", "42"), ("EMPTY", ""), ("LEVEL", "debugdb"), ("PLACE", ".example"), ("SHARE", "0.25")];
    assert_eq!(clear[..5], expected);
    for (what, clear) in [
        ("another value", "LOG=debug\nHOST=db.evil"),
        ("one less", "HOST=db.example"),
        ("the other order", "HOST=db.example\nLOG=debug"),
        ("one more", "LOG=debug\nHOST=db.example\nMORE=x"),
    ] {
        let found = faults(load(OF_SERVICE, all.replace("LOG=debug\nHOST=db.example", clear)));
        assert!(found.contains("changed without it"), "{what}: {found}");
    }
    let (first, rest) = all.split_once("\nLOG=debug").unwrap();
    let beyond = faults(load(OF_SERVICE, format!("LOG=debug\n{first}{rest}")));
    assert!(beyond.contains("changed without it"), "{beyond}");
}

#[test]
fn a_text_that_only_mentions_sops_is_read_as_it_is() {
    let read =
        service(load(OF_SERVICE, "# `ENC[AES256_GCM,data:…` is for SOPS\nA='see ENC[AES256_GCM,data:'\n"));
    assert_eq!(variables(&read), [("A", "see ENC[AES256_GCM,data:")]);
    // Values of SOPS, and nothing that says how to open them.
    let sealed = made("values.env");
    let sealed = value(&sealed, "TOKEN");
    for content in [
        format!("TOKEN={sealed}\n"),
        format!("#{sealed}\nA=b\n"),
        format!("a:\n  - {sealed}\n"),
        format!("[a]\ntoken = {sealed}\n"),
        format!("{{\"data\": \"{sealed}\"}}"),
    ] {
        let found = faults(load(OF_SERVICE, &*content));
        assert!(found.contains("it has values of SOPS, but none of SOPS' own lines"), "{content}: {found}");
    }
}

#[test]
fn what_is_wrong_in_a_decrypted_file_is_told_at_its_line() {
    let found = faults(load(OF_SERVICE, made("faulty.env")));
    assert!(found.contains("/w/secrets.env:3:"), "{found}");
}

#[test]
fn a_file_that_is_cut_off_is_refused_wherever() {
    for name in ["values.env", "rules.sops"] {
        let whole = made(name);
        let start = whole.find("ENC[AES256_GCM,data:").unwrap() + 20;
        // The last lines say which SOPS has written it, and a rule that is the same without it: nothing is lost with them.
        let end = whole.find("sops_version").unwrap_or(whole.len() - 2);
        let end = whole[..end].rfind("sops_unencrypted").unwrap_or(end) - 1;
        for length in (start..end).step_by(53) {
            assert!(!faults(load(OF_SERVICE, &whole[..length])).is_empty(), "{name}: {length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever becomes of a file, its values are those that were encrypted under these names, or there are none.
    #[test]
    fn no_change_gives_other_secrets(
        file in prop::sample::select(vec!["values.env", "regex.env", "comments.env", "rules.sops"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let whole = made(file);
        let mut bytes = whole.clone().into_bytes();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let loaded = load(OF_SERVICE, bytes);
        match loaded.stacks.first() {
            Some(stack) if loaded.faults.is_empty() => {
                let read = &stack.desired.services["web"].spec.environment;
                prop_assert_eq!(read["TOKEN"].expose(), "canary-of-sops");
            }
            _ => prop_assert!(!faults(loaded).is_empty()),
        }
    }
}
