//! One word is planted wherever a secret can stand. No output of any command and no file of the operator may have it, in
//! no spelling.
//!
//! What the daemon keeps and logs is looked at in `e2e/secrets.rs`: on the simulated engine there is none. Left out is what shows values on purpose: `config`, as Compose prints it; and the state of the simulated engine, which
//! stands for Docker's own.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use assert_cmd::Command;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use crate::word::{WORD, files, spellings, told};

const IDENTITY: &str = "AGE-SECRET-KEY-1NPGT4U689GZVWN2K3W07GQ30Q4VQWED6QG2SUNZ90GM7VZP7550QUW28W2";

struct Planted {
    dir: tempfile::TempDir,
    /// Every line that told it.
    told: RefCell<BTreeSet<String>>,
}

/// What was said, and how it ended.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Planted {
    fn new(compose: &str) -> Self {
        let planted = Self { dir: tempfile::tempdir().unwrap(), told: RefCell::default() };
        for directory in ["shop", "host", "state"] {
            fs::create_dir(planted.path(directory)).unwrap();
        }
        let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
        let sealed = |text: String| age::encrypt(&identity.to_public(), text.as_bytes()).unwrap();
        planted.write("host/key", IDENTITY);
        planted.write("host/db", format!("{WORD}-of-host\n"));
        planted.write("shop/.env", format!("HELD={WORD}-held\n"));
        planted.write("shop/filed.txt", format!("{WORD}-filed"));
        planted.write("shop/sealed.txt.age", sealed(format!("{WORD}-sealed")));
        planted.write("shop/secrets.env", sealed(format!("FROM_AGE={WORD}-age\nDSN=amqp://u:{WORD}@mq/x\n")));
        planted.write("shop/sops.env", include_str!("sops/planted.env"));
        planted.write("shop/compose.yaml", compose);
        planted
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(path), text).unwrap();
    }

    /// Runs a command and looks at what it said and at what it left.
    fn says(&self, line: &str) -> Said {
        let mut command = Command::cargo_bin("operator").unwrap();
        command.env_clear().env("COLUMNS", "100").env("OPERATOR_STATE_DIR", self.path("state"));
        command.env("OPERATOR_SECRET_OTHER", format!("{WORD}-of-variable")).current_dir(self.path("shop"));
        let sim =
            "--engine sim --engine-state ../engine.json --secrets-dir ../host --age-identity ../host/key";
        let output = command.args(format!("{line} {sim}").split_whitespace()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        self.told.borrow_mut().extend(told(&format!("operator {line}"), &text));
        for file in files(&self.path("state")).iter().chain(&[self.path("shop/plan.json")]) {
            let left = fs::read(file).unwrap_or_default();
            let name = file.file_name().unwrap().to_string_lossy();
            self.told.borrow_mut().extend(told(&name, &String::from_utf8_lossy(&left)));
        }
        Said { code: output.status.code(), text }
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        let told = self.told.take();
        if !std::thread::panicking() {
            assert!(told.is_empty(), "{}", told.into_iter().collect::<Vec<_>>().join("\n"));
        }
    }
}

fn stack(version: u32) -> String {
    format!(
        "\
services:
  web:
    image: web:1
    env_file: [secrets.env, sops.env]
    environment:
      MODE: {WORD}-{version}
      URL: postgres://u:{WORD}-{version}@db/x
      KEY: ${{secret:db}}
      OTHER: '{version} ${{secret:other}}'
    secrets: [held, filed, sealed]
    configs: [settings]
    entrypoint: [run, '--api-key={WORD}-{version}']
    command: [serve, --password, {WORD}-{version}, --db, 'redis://u:{WORD}-{version}@r/0']
    labels: {{db: 'postgres://u:{WORD}-{version}@db/x', traefik.auth.users: '{WORD}-{version}'}}
    annotations: {{a: 'https://u:{WORD}-{version}@x/'}}
    healthcheck: {{test: [CMD, curl, 'https://u:{WORD}-{version}@localhost/'], interval: {version}s}}
    post_start: [{{command: [init, --token, {WORD}-{version}], environment: ['PLAIN={WORD}-{version}']}}]
    logging: {{driver: splunk, options: {{splunk-token: {WORD}-{version}, splunk-url: 'https://u:{WORD}@s/'}}}}
    volumes: ['data:/data']
  cache:
    image: redis:7
    command: redis-server --requirepass {WORD}-{version} --maxmemory {version}mb
  worker:
    build:
      context: .
      args: {{PLAIN: {WORD}-{version}}}
      secrets: [sealed]
secrets:
  held: {{environment: HELD}}
  filed: {{file: filed.txt}}
  sealed: {{file: sealed.txt.age}}
configs: {{settings: {{content: 'password = ${{secret:db}} {version}'}}}}
volumes: {{data: {{driver_opts: {{type: cifs, device: //nas/x, o: 'username=u,password={WORD}-{version}'}}}}}}
networks: {{default: {{driver_opts: {{token: {WORD}-{version}, dsn: 'tcp://u:{WORD}-{version}@h'}}}}}}
"
    )
}

#[test]
fn a_word_is_found_in_every_spelling() {
    let text = |before: &str| BASE64_STANDARD_NO_PAD.encode(format!("{before}{WORD} and more"));
    for text in ["", "a", "ab", "abc"].map(text) {
        assert!(spellings(WORD).iter().any(|spelling| text.contains(spelling)), "{text}");
    }
}

#[test]
fn no_command_and_no_file_tells_a_secret() {
    let planted = Planted::new(&stack(1));
    planted.write("shop/Dockerfile", "FROM scratch\n");
    let looks = [
        "validate -v",
        "diff",
        "diff -o json",
        "diff -o markdown",
        "status",
        "status -o json",
        "events",
        "events -o json",
        "explain web",
        "explain cache",
        "explain worker",
        "explain web -o json",
        "history",
        "history -o json",
    ];
    let look = || {
        for line in looks {
            let said = planted.says(line);
            assert!(matches!(said.code, Some(0 | 1 | 5..=9)), "{line}: {:?} {}", said.code, said.text);
        }
    };
    look();
    assert_eq!(planted.says("diff --plan-out plan.json").code, Some(1));
    let applied = planted.says("apply -vv");
    assert_eq!(applied.code, Some(0), "{}", applied.text);
    look();
    // All of it changes: the old values are known to nobody but the engine.
    planted.write("shop/compose.yaml", stack(2));
    planted.write("host/db", format!("{WORD}-of-tomorrow\n"));
    planted.write("shop/filed.txt", format!("{WORD}-filed-anew"));
    look();
    let changes = planted.says("diff").text;
    for field in
        ["environment.KEY", "environment.MODE", "command", "labels.db", "annotations.a", "healthcheck"]
    {
        assert!(changes.contains(field), "{field}: {changes}");
    }
    assert_eq!(planted.says("diff --plan-out plan.json --allow recreate-volume=data").code, Some(1));
    planted.says("apply --plan plan.json -vv");
    look();
    planted.says("apply -vv --allow recreate-volume=data");
    for line in [
        "restart web",
        "scale web=2",
        "pause web",
        "resume",
        "rollback",
        "init --force --to made.yaml",
        "down",
    ] {
        planted.says(line);
        look();
    }
}

/// What names things (services, volumes, images) is told by its name, so that a variable of a plain file is no secret there;
/// one of an encrypted file is refused.
#[test]
fn no_error_tells_a_secret() {
    let planted = Planted::new("");
    let damaged = include_str!("sops/planted.env").replace("SOPS_DSN=", &format!("PLAIN={WORD}\nSOPS_DSN="));
    planted.write("shop/damaged.env", damaged);
    for field in [
        "image: web, environment: {A: '${secret:db} ${secret:none}'}",
        "image: web, ports: ['${HELD}:80']",
        "image: web, mem_limit: '${HELD}'",
        "image: web, labels: {a: '${secret:db}'}",
        "image: '${FROM_AGE}', env_file: secrets.env",
        "image: '${FROM_SOPS}', env_file: [sops.env, damaged.env]",
        "image: web, environment: ['${secret:db}']",
        "image: web, env_file: filed.txt",
        "image: web, command: ['${HELD}', {a: 1}]",
        "image: web, hostname: '${secret:db}', configs: [none]",
        "image: web, build: {context: ., args: [FROM_AGE]}",
    ] {
        planted.write("shop/compose.yaml", format!("services: {{web: {{{field}}}}}\n"));
        for line in ["validate -vv", "validate -o json", "diff", "diff -o json", "apply", "status"] {
            planted.says(line);
        }
    }
}
