//! A repository that people push to, and a source that follows it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use compose_operator::compose::LoadOptions;
use compose_operator::source::Source as _;
use compose_operator::source::git::address::Address;
use compose_operator::source::git::command::Credentials;
use compose_operator::source::git::{GitSource, Settings};
use compose_operator::stack::Loaded;
use compose_operator::store::sources::{SourceStanding, Sources};

/// A stack with so many replicas.
pub(crate) fn stack(replicas: u32) -> String {
    format!(
        "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: shop}}\nspec:\n  compose: {{files: [../compose.yaml]}}\n  services: {{web: {{replicas: {replicas}}}}}\n"
    )
}

/// A repository with a working copy, and a place for the operator's state.
pub(crate) struct Repository {
    root: tempfile::TempDir,
}

impl Repository {
    /// With one commit of one stack.
    pub(crate) fn new() -> Self {
        let repository = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(repository.work()).unwrap();
        repository.git(&["init", "-q", "-b", "main"]);
        repository.write("compose.yaml", "services: {web: {image: busybox}}\n");
        repository.write("manifests/shop.yaml", &stack(1));
        repository.commit("First");
        repository
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path("shop")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.work())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Makes a tree of what `ls-tree` would print.
    pub(crate) fn tree(&self, entries: &str) -> String {
        let mut mktree = Command::new("git")
            .arg("mktree")
            .current_dir(self.work())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut mktree.stdin.take().unwrap(), entries.as_bytes()).unwrap();
        String::from_utf8(mktree.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Commits everything, and says its hash.
    pub(crate) fn commit(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Commits another number of replicas.
    pub(crate) fn replicas(&self, count: u32) -> String {
        self.write("manifests/shop.yaml", &stack(count));
        self.commit(&format!("{count} of them"))
    }

    pub(crate) fn settings(&self, address: &str) -> Settings {
        Settings {
            name: "shop".into(),
            address: Address::parse(address, self.root.path()).unwrap(),
            path: Some("manifests".into()),
            interval: Duration::from_millis(200),
            credentials: Credentials::default(),
            suspended: false,
            sync: compose_operator::source::git::gate::SyncSettings::default(),
            policy: compose_operator::core::trust::Level::Privileged,
            webhook: None,
            commit_status: None,
            verify: None,
            options: LoadOptions::default(),
        }
    }

    /// Follows it, from its address.
    pub(crate) async fn follow(&self, address: &str) -> Followed {
        self.follow_with(self.settings(address)).await
    }

    pub(crate) async fn follow_with(&self, settings: Settings) -> Followed {
        self.begin(GitSource::open(settings, &self.state()).unwrap()).await
    }

    pub(crate) async fn begin(&self, mut source: GitSource) -> Followed {
        source.begin_with().await;
        Followed { source, sources: Sources::new(&self.state()) }
    }
}

/// A source that is followed.
pub(crate) struct Followed {
    pub(crate) source: GitSource,
    sources: Sources,
}

impl Followed {
    pub(crate) fn standing(&self) -> SourceStanding {
        self.sources.read("shop").unwrap()
    }

    /// What is in force: the replicas of the one stack; none where there is no stack.
    pub(crate) fn load(&mut self) -> Option<u32> {
        replicas(&self.source.load())
    }

    /// Waits for what there is to load, and loads it.
    pub(crate) async fn next(&mut self) -> Loaded {
        let changed = self.source.changed();
        tokio::time::timeout(Duration::from_secs(20), changed).await.expect("nothing changed");
        self.source.load()
    }

    /// Looks, for as long as nothing is to be loaded, until its standing is so.
    pub(crate) async fn until(&mut self, what: &str, is: impl Fn(&SourceStanding) -> bool) {
        let start = std::time::Instant::now();
        while !is(&self.standing()) {
            assert!(start.elapsed() < Duration::from_secs(20), "never {what}: {:?}", self.standing());
            if tokio::time::timeout(Duration::from_millis(50), self.source.changed()).await.is_ok() {
                self.source.load();
            }
        }
    }
}

pub(crate) fn replicas(loaded: &Loaded) -> Option<u32> {
    let stack = loaded.stacks.first()?;
    Some(stack.desired.services.values().next()?.replicas)
}

/// Everything below a directory.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() { open.push(path) } else { all.push(path) }
        }
    }
    all
}
