//! A repository, people with keys, and the keys that are trusted; all made by git, gpg and ssh-keygen themselves.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use compose_operator::core::commit::Commit;
use compose_operator::source::git::address::Address;
use compose_operator::source::git::command::{Credentials, Git};
use compose_operator::source::git::mirror::{Mirror, Tip};
use compose_operator::source::git::signature::{Mode, Signer, Verify, Why, verify};
use tempfile::TempDir;

pub(crate) struct World {
    root: TempDir,
}

/// How something is signed.
#[derive(Clone, Copy)]
pub(crate) enum By<'l> {
    Nobody,
    Ssh(&'l str),
    Gpg(&'l str),
}

impl World {
    /// With an empty repository and an empty directory of keys.
    pub(crate) fn new() -> Self {
        let world = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["work", "ssh", "keys"] {
            fs::create_dir(world.path(directory)).unwrap();
        }
        fs::DirBuilder::new().mode(0o700).create(world.path("gpg")).unwrap();
        world.git(&["init", "--quiet", "--initial-branch=main", "."]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path("work")).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.root.path());
        command.env("GNUPGHOME", self.path("gpg")).env("GIT_CONFIG_NOSYSTEM", "1").env("LC_ALL", "C");
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Ann")
                .env(format!("GIT_{role}_EMAIL"), "ann@example.com");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
        output.stdout
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run("git", arguments, b"")).unwrap().trim_end().to_owned()
    }

    pub(crate) fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        let always = ["--batch", "--quiet", "--yes", "--pinentry-mode", "loopback", "--passphrase", ""];
        self.run("gpg", &[&always, arguments].concat(), b"")
    }

    fn signed(&self, by: By<'_>, arguments: &[&str]) -> String {
        let key = match by {
            By::Ssh(name) => self.path("ssh").join(name).display().to_string(),
            By::Gpg(name) => format!("{name}@example.com"),
            By::Nobody => String::new(),
        };
        let format = if matches!(by, By::Ssh(_)) { "gpg.format=ssh" } else { "gpg.format=openpgp" };
        let key = format!("user.signingKey={key}");
        self.git(&[&["-c", format, "-c", &key], arguments].concat())
    }

    /// Commits a stack with this image.
    pub(crate) fn commit(&self, image: &str, by: By<'_>) -> String {
        let compose = format!("name: shop\nservices:\n  web:\n    image: {image}\n");
        fs::write(self.path("work/compose.yaml"), compose).unwrap();
        self.git(&["add", "compose.yaml"]);
        let sign = if matches!(by, By::Nobody) { "--no-gpg-sign" } else { "--gpg-sign" };
        self.signed(by, &["commit", "--quiet", "--allow-empty", sign, "-m", image]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Tags what is there.
    pub(crate) fn tag(&self, name: &str, by: By<'_>) {
        let sign = if matches!(by, By::Nobody) { "--annotate" } else { "--sign" };
        self.signed(by, &["tag", sign, "-m", name, name]);
    }

    /// The branch is at an object that is written as it is.
    pub(crate) fn forge(&self, commit: &str) -> String {
        let written = self.run(
            "git",
            &["hash-object", "-t", "commit", "-w", "--literally", "--stdin"],
            commit.as_bytes(),
        );
        let hash = String::from_utf8(written).unwrap().trim_end().to_owned();
        self.git(&["update-ref", "refs/heads/main", &hash]);
        hash
    }

    /// An object as it is.
    pub(crate) fn raw(&self, object: &str) -> String {
        String::from_utf8(self.run("git", &["cat-file", "commit", object], b"")).unwrap()
    }

    /// A pair of SSH keys. Gives the public one as it is in its file.
    pub(crate) fn ssh_key(&self, name: &str) -> String {
        let path = self.path("ssh").join(name);
        let comment = format!("{name}@example.com");
        let file = path.display().to_string();
        self.keygen(&["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f", &file]);
        fs::read_to_string(path.with_extension("pub")).unwrap().trim_end().to_owned()
    }

    pub(crate) fn keygen(&self, arguments: &[&str]) {
        self.run("ssh-keygen", arguments, b"");
    }

    /// An SSH signature of a text, for a purpose.
    pub(crate) fn ssh_sign(&self, name: &str, purpose: &str, text: &str) -> String {
        let file = self.path("ssh").join(name).display().to_string();
        let signature =
            self.run("ssh-keygen", &["-Y", "sign", "-q", "-n", purpose, "-f", &file], text.as_bytes());
        String::from_utf8(signature).unwrap()
    }

    /// A pair of OpenPGP keys. Gives the public one, armoured.
    pub(crate) fn gpg_key(&self, name: &str) -> Vec<u8> {
        self.gpg(&[
            "--quick-generate-key",
            &format!("{name} <{name}@example.com>"),
            "ed25519",
            "sign",
            "never",
        ]);
        self.gpg_public(name)
    }

    pub(crate) fn gpg_public(&self, name: &str) -> Vec<u8> {
        self.gpg(&["--armor", "--export", &format!("{name}@example.com")])
    }

    /// Has git sign as if it were this time.
    pub(crate) fn gpg_at(&self, time: &str) {
        let path = self.path("gpg-at");
        fs::write(&path, format!("#!/bin/sh\nexec gpg --faked-system-time {time} \"$@\"\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.git(&["config", "gpg.program", &path.display().to_string()]);
    }

    /// The directory of trusted keys has these files and no others.
    pub(crate) fn trust(&self, files: &[(&str, &[u8])]) {
        fs::remove_dir_all(self.path("keys")).unwrap();
        fs::create_dir(self.path("keys")).unwrap();
        for (name, content) in files {
            fs::write(self.path("keys").join(name), content).unwrap();
        }
    }

    pub(crate) fn verify(&self, mode: Mode) -> Verify {
        Verify { mode, keys: vec![self.path("keys")] }
    }

    pub(crate) fn address(&self, reference: &str) -> Address {
        let reference = Some(reference.to_owned()).filter(|reference| !reference.is_empty());
        Address { reference, ..Address::parse("work", self.root.path()).unwrap() }
    }

    /// What a reference points to, fetched as an operator does.
    pub(crate) async fn fetch(&self, reference: &str) -> (Mirror, Tip, Commit) {
        let git = Git::new(&self.path("home"), Credentials::default()).unwrap();
        let mirror = Mirror::new(git, self.address(reference), self.path("home/repository.git"));
        let tip = mirror.ask().await.unwrap();
        let commit = mirror.fetch(&tip).await.unwrap();
        (mirror, tip, commit)
    }

    pub(crate) async fn judge(&self, reference: &str, verified: &Verify) -> Result<Signer, Why> {
        let (mirror, tip, commit) = self.fetch(reference).await;
        let scratch = self.path("home/judgement");
        let judged = verify(mirror.git(), mirror.directory(), &tip, &commit, verified, &scratch).await;
        assert!(!scratch.exists(), "something stayed there");
        if let Err(untrusted) = &judged {
            let told = untrusted.to_string();
            assert!(told.contains(&commit.hash[..7]) && told.contains("is not trusted"), "{told}");
        }
        judged.map_err(|untrusted| untrusted.why)
    }

    /// What becomes of the branch: who has signed it, or in a word why it is not followed.
    pub(crate) async fn head(&self) -> String {
        word(self.judge("main", &self.verify(Mode::Head)).await)
    }

    pub(crate) async fn tagged(&self, reference: &str) -> String {
        word(self.judge(reference, &self.verify(Mode::Tag)).await)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let home = self.path("gpg");
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status();
    }
}

pub(crate) fn word(judged: Result<Signer, Why>) -> String {
    match judged {
        Ok(signer) => signer.name,
        Err(why) => format!("{why:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned(),
    }
}

/// A commit with a signature put into its header.
pub(crate) fn with_signature(commit: &str, signature: &str) -> String {
    let (head, message) = commit.split_once("\n\n").unwrap();
    let header = signature.trim_end().replace('\n', "\n ");
    format!("{head}\ngpgsig {header}\n\n{message}")
}

/// The signature in the header of a commit.
pub(crate) fn signature_of(commit: &str) -> String {
    let (_, signature) = commit.split_once("\ngpgsig ").unwrap();
    let lines: Vec<&str> = signature.lines().collect();
    let end = lines.iter().position(|line| line.starts_with(" -----END")).unwrap();
    lines[..=end].join("\n").replace("\n ", "\n")
}

pub(crate) fn is_running_in(directory: &Path) -> bool {
    let wanted = directory.display().to_string();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&wanted)
    })
}
