//! `${secret:NAME}` and encrypted files, from files in memory to what is desired.

use std::collections::BTreeMap;
use std::path::PathBuf;

use age::secrecy::ExposeSecret as _;
use compose_operator::compose::{HostSecrets, LoadOptions, MemoryFiles};
use compose_operator::core::desired::Service;
use compose_operator::core::redact;
use compose_operator::core::trust::Level;
use compose_operator::stack::{self, Loaded};

/// What `age` 1.1.1 made of two lines for the first of these identities; the second is another.
const OF_AGE: &str = "\
-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBYYVlNcGdGQmRPZnFBbnZt
bFBGRE13NmowTWhJNGZkckpjMGZ2bzdYNzJRCjV3UWVjbnVtbjNlbHZ2VzlLbytL
bXg1TFJuWnBWM3NsdmNUOTZpNnQwdmMKLS0tIGRFcm5Fc1hQVTVBYjBZck5YRi9Q
anRkY3lCdjltdWxlQUxBdFdidU5ublkKKpaeU5K3yzjHItIM/AQwYyxbAQxXi1II
CYF/ExazbMgA8iw3FgMEyplmmOovpLOMFPMwgD2WCozmMn7kwyNk0LXUjXxnimhc
5aHs+XHqhFMgYc9c
-----END AGE ENCRYPTED FILE-----
";
const IDENTITY: &str = "\
# created: 2026-11-30T10:27:12Z
# public key: age19unlzcx37czmsvfxa7gzv48md5ut05s66mlxh5wle5w4ym85tcxqpurm7h
AGE-SECRET-KEY-1NPGT4U689GZVWN2K3W07GQ30Q4VQWED6QG2SUNZ90GM7VZP7550QUW28W2
";

fn options() -> LoadOptions {
    LoadOptions {
        files: vec!["/w/compose.yaml".into()],
        working_dir: "/w".into(),
        host: HostSecrets {
            directories: vec!["/secrets".into()],
            identities: vec!["/keys/mine".into()],
            ..HostSecrets::default()
        },
        ..LoadOptions::default()
    }
}

fn load(files: &MemoryFiles) -> Loaded {
    stack::load(&options(), files)
}

fn files(compose: &str) -> MemoryFiles {
    MemoryFiles::new()
        .with("/w/compose.yaml", compose)
        .with("/keys/mine", IDENTITY)
        .with("/secrets/db", "canary-of-db\n")
        .with("/w/secrets.env", OF_AGE)
}

fn service(loaded: Loaded) -> Service {
    let stack = loaded.all().unwrap_or_else(|found| panic!("{found}")).remove(0);
    stack.desired.services["web"].clone()
}

fn variable<'s>(service: &'s Service, name: &str) -> &'s str {
    service.spec.environment[name].expose()
}

/// What is wrong, as a person reads it.
fn faults(loaded: Loaded) -> String {
    loaded.all().map_or_else(|found| found.frames(false), |_| String::new())
}

fn encrypted(text: &[u8]) -> Vec<u8> {
    let identity: age::x25519::Identity = IDENTITY.lines().nth(2).unwrap().parse().unwrap();
    age::encrypt(&identity.to_public(), text).unwrap()
}

#[test]
fn a_secret_of_the_host_stands_in_values_that_nobody_is_shown() {
    let compose = "\
x-shared: &shared {PASSWORD: '${secret:db}'}
services:
  web:
    image: web
    environment: {<<: *shared, URL: 'postgres://me:${secret:db}@db/x', LITERAL: '$${secret:db}'}
    configs: [settings]
    post_start: [{command: 'true', environment: ['KEY=${secret:db}']}]
configs: {settings: {content: 'password = \"${secret:db}\"'}}
";
    let service = service(load(&files(compose)));
    assert_eq!(variable(&service, "PASSWORD"), "canary-of-db");
    assert_eq!(variable(&service, "URL"), "postgres://me:canary-of-db@db/x");
    assert_eq!(variable(&service, "LITERAL"), "${secret:db}");
    let (_, config) = service.files.iter().next().unwrap();
    assert_eq!(config.content.expose(), "password = \"canary-of-db\"");
    assert_eq!(redact::printed("I have canary-of-db", &service, &BTreeMap::new()), "I have (hidden)");
    assert_eq!(service.hooks.post_start[0].environment[0].expose(), "KEY=canary-of-db");
    let shown = format!("{service:?}");
    assert!(!shown.contains("canary-of"), "{shown}");
}

#[test]
fn a_secret_is_refused_wherever_people_are_shown_what_is_there() {
    for (field, part) in [
        ("image: 'web:${secret:db}'", "image"),
        ("image: web, command: 'serve ${secret:db}'", "command"),
        ("image: web, labels: {a: '${secret:db}'}", "labels.a"),
        ("image: web, healthcheck: {test: 'curl ${secret:db}'}", "healthcheck.test"),
        ("image: web, hostname: '${secret:db}'", "hostname"),
        ("image: web, environment: ['${secret:db}=1']", "environment.0"),
        ("image: web, build: {context: ., args: {A: '${secret:db}'}}", "build.args.A"),
        ("image: web, post_start: [{command: 'echo ${secret:db}'}]", "post_start.0.command"),
    ] {
        let found = faults(load(&files(&format!("services: {{web: {{{field}}}}}\n"))));
        let expected =
            format!("error while interpolating services.web.{part}: the secret `db` would be shown here");
        assert!(
            found.contains(&expected) && found.contains("give it to the service in `environment`"),
            "{found}"
        );
        assert!(!found.contains("canary"), "{found}");
    }
}

#[test]
fn a_secret_that_is_not_there_is_told_with_its_place_and_where_to_put_it() {
    let compose = "services:\n  web:\n    image: web\n    environment:\n      KEY: 'a ${secret:api-key} b'\n";
    let found = faults(load(&files(compose)));
    insta::assert_snapshot!(found, @r"
    error: error while interpolating services.web.environment.KEY: this host has no secret `api-key`
     --> /w/compose.yaml:5:15
      |
    5 |       KEY: 'a ${secret:api-key} b'
      |               ^^^^^^^^^^^^^^^^^ has no value
      |
      = help: it was looked for in /secrets/api-key, the variable OPERATOR_SECRET_API_KEY: put it into one of them
    ");
}

#[test]
fn a_secret_has_a_name_and_nothing_else() {
    for written in ["${secret:}", "${secret:../db}", "${secret:db:-x}", "${secret:a b}", "${secret:db"] {
        let found = faults(load(&files(&format!(
            "services: {{web: {{image: web, environment: {{KEY: '{written}'}}}}}}\n"
        ))));
        assert!(found.contains("invalid reference to a secret"), "{written}: {found}");
        assert!(found.contains("it has no default"), "{written}: {found}");
    }
    // A variable of that name is what it was.
    let compose = "services: {web: {image: web, environment: {KEY: '${secret:-x}'}}}\n";
    assert_eq!(variable(&service(load(&files(compose))), "KEY"), "x");
}

#[test]
fn a_secret_is_watched_and_a_new_value_is_a_new_revision() {
    let compose =
        "services: {web: {image: web, environment: {KEY: '${secret:db}'}, env_file: secrets.env}}\n";
    let before = load(&files(compose));
    for path in ["/secrets/db", "/keys/mine", "/w/secrets.env"] {
        assert!(before.dependencies.files.contains(&PathBuf::from(path)), "{path}");
    }
    let before = service(before);
    let after = service(load(&files(compose).with("/secrets/db", "canary-of-tomorrow")));
    assert_eq!(variable(&after, "KEY"), "canary-of-tomorrow");
    assert_ne!(before.spec, after.spec);
    // Of a container that still has the value of before.
    let said = redact::printed("I have canary-of-db", &after, &before.spec.environment);
    assert_eq!(said, "I have (hidden)");
}

#[test]
fn what_age_encrypted_is_read_wherever_env_files_are() {
    let of_service = files("services: {web: {image: web, env_file: secrets.env}}\n");
    let read = service(load(&of_service));
    assert_eq!(variable(&read, "TOKEN"), "canary-of-age");
    assert_eq!(variable(&read, "URL"), "postgres://me:canary-of-age@db/x");
    assert_eq!(redact::printed("I have canary-of-age", &read, &BTreeMap::new()), "I have (hidden)");
    // Not armoured, and for the whole project.
    let of_project = files("services: {web: {image: web, environment: {T: '$TOKEN', LOG: '$LOG'}}}\n")
        .with("/w/.env", encrypted(b"TOKEN=canary-of-project\nLOG=debug\n"));
    let read = service(load(&of_project));
    assert_eq!((variable(&read, "T"), variable(&read, "LOG")), ("canary-of-project", "debug"));
    // A variable may choose the files, from an encrypted `.env` as from any other.
    let chosen = MemoryFiles::new()
        .with("/w/other.yaml", "services: {web: {image: other}}\n")
        .with("/keys/mine", IDENTITY)
        .with("/w/.env", encrypted(b"COMPOSE_FILE=other.yaml\n"));
    let options = LoadOptions { files: Vec::new(), ..options() };
    assert_eq!(service(stack::load(&options, &chosen)).spec.image, "other");
}

#[test]
fn a_manifest_names_encrypted_env_files_too() {
    let manifest = "kind: Stack\napiVersion: compose-operator/v1\nmetadata: {name: shop}\n\
                    spec: {compose: {files: [compose.yaml], envFiles: [secrets.env]}}\n";
    let files = files("services: {web: {image: web, environment: [TOKEN]}}\n").with("/w/shop.yaml", manifest);
    let options = LoadOptions { files: vec!["/w/shop.yaml".into()], ..options() };
    assert_eq!(variable(&service(stack::load(&options, &files)), "TOKEN"), "canary-of-age");
}

#[test]
fn a_variable_of_an_encrypted_file_is_as_secret_as_the_file() {
    let with = |compose: &str| {
        let env = encrypted(b"TOKEN=canary-of-project\n");
        files(compose).with("/w/.env", env).with("/w/plain.env", "MADE=x-$TOKEN\nOPEN=1\n")
    };
    let options = LoadOptions { env_files: vec!["/w/.env".into(), "/w/plain.env".into()], ..options() };
    for (field, fault) in [
        ("labels: {a: '$TOKEN'}", "labels.a: the secret variable TOKEN would be shown here"),
        ("labels: {a: '${TOKEN:-none}'}", "labels.a: the secret variable TOKEN would be shown here"),
        ("command: 'serve $MADE'", "command: the secret variable MADE would be shown here"),
        ("build: {context: ., args: [TOKEN]}", "args.TOKEN: an image keeps its arguments"),
        ("labels: {open: '$OPEN', has: '${TOKEN:+yes}'}, environment: [TOKEN, MADE]", ""),
    ] {
        let compose = format!("services: {{web: {{image: web, {field}}}}}\n");
        let found = faults(stack::load(&options, &with(&compose)));
        assert!(found.contains(fault) && (found.is_empty() || !fault.is_empty()), "{field}: {found}");
        assert!(!found.contains("canary"), "{found}");
    }
}

#[test]
fn a_secret_file_that_is_encrypted_is_copied_in_as_what_it_says() {
    let compose = "services: {web: {image: web, secrets: [key]}}\nsecrets: {key: {file: key.age}}\n";
    let with = |content: &[u8]| files(compose).with("/w/key.age", content);
    let read = service(load(&with(&encrypted(b"canary-in-file"))));
    let (path, file) = read.files.iter().next().unwrap();
    assert_eq!((path, file.content.expose()), ("/run/secrets/key", "canary-in-file"));
    assert!(read.spec.mounts.is_empty());
    // Without any identity it is what it is to Compose: a file.
    let options = LoadOptions { host: HostSecrets::default(), ..options() };
    let loaded = stack::load(&options, &with(&encrypted(b"canary-in-file")));
    assert!(loaded.stacks[0].warnings[0].headline().contains("containers get it as it is"));
    assert_eq!(service(loaded).spec.mounts.len(), 1);
    for (content, fault) in [
        (encrypted(b""), "there is nothing in it"),
        (encrypted(&[0xff, 0xfe]), "what is in it is no text"),
        (encrypted(b"canary")[..200].to_vec(), "damaged or cut off"),
    ] {
        let found = faults(load(&with(&content)));
        assert!(found.contains(fault) && found.contains("compose.yaml:2:"), "{found}");
    }
}

#[test]
fn what_cannot_be_decrypted_is_told_with_the_way_out_and_nothing_of_it() {
    let other = age::x25519::Identity::generate();
    let other = other.to_string().expose_secret().to_owned();
    let compose = "services: {web: {image: web, env_file: secrets.env}}\n";
    let passphrase = age::scrypt::Recipient::new("pass".to_owned().into());
    let cut = OF_AGE.replace("5aHs+XHqhFMgYc9c", "5aHs+XHqhFMgYc9d");
    let cases: [(Option<&str>, Vec<u8>, &str, &str); 7] = [
        (None, OF_AGE.into(), "there is no age identity", "--age-identity"),
        (Some(&other), OF_AGE.into(), "no age identity here is one of its recipients", "age-keygen -y"),
        (Some(IDENTITY), cut.into(), "damaged or cut off", "encrypt it again"),
        (Some(IDENTITY), OF_AGE.as_bytes()[..200].to_vec(), "damaged or cut off", "encrypt it again"),
        (Some(IDENTITY), age::encrypt(&passphrase, b"A=1").unwrap(), "with a passphrase", "nobody is here"),
        (Some("canary-no-key\n"), OF_AGE.into(), "the age identity /keys/mine is none", "ssh keys"),
        (Some("# nothing\n"), OF_AGE.into(), "the age identity /keys/mine is empty", "age-keygen"),
    ];
    for (identity, content, fault, help) in cases {
        let mut options = options();
        let mut files = files(compose).with("/w/secrets.env", content);
        match identity {
            Some(identity) => files = files.with("/keys/mine", identity),
            None => options.host.identities.clear(),
        }
        let found = faults(stack::load(&options, &files));
        assert!(found.contains(fault) && found.contains(help), "{fault}: {found}");
        assert!(found.contains("/w/secrets.env"), "{found}");
        let secret = [&other, "canary", "YWdl", "AGE-SECRET-KEY-1NPG"];
        assert!(secret.iter().all(|word| !found.contains(word)), "{found}");
    }
    let files = files(compose);
    let host = HostSecrets { identities: vec!["/keys/none".into()], ..HostSecrets::default() };
    let found = faults(stack::load(&LoadOptions { host, ..options() }, &files));
    assert!(found.contains("the age identity /keys/none is not there"), "{found}");
    let labels = files.with("/w/compose.yaml", "services: {web: {image: web, label_file: secrets.env}}\n");
    assert!(faults(load(&labels)).contains("labels are for everybody to see"));
}

/// Files that are not trusted are read within their checkout only; what the host keeps is the host's word.
#[test]
fn what_the_host_keeps_is_read_for_files_that_are_not_trusted_too() {
    let compose =
        "services: {web: {image: web, environment: {KEY: '${secret:db}'}, env_file: secrets.env}}\n";
    let mut options = options();
    options.trust.level = Level::Baseline;
    let found = stack::load(&options, &files(compose));
    let read = service(found);
    assert_eq!((variable(&read, "KEY"), variable(&read, "TOKEN")), ("canary-of-db", "canary-of-age"));
    // By no other way.
    let other = "services: {web: {image: web, env_file: /secrets/db}}\n";
    let found = faults(stack::load(&options, &files(other)));
    assert!(found.contains("outside of the checkout") && !found.contains("canary"), "{found}");
}
