//! An sshd of this test's own: its keys, its port, its rules. It serves git to whoever runs the test, and nothing else.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::repository::Repository;

/// Where the package has it: it does not start by a name that is looked up.
const SSHD: &str = "/usr/sbin/sshd";

/// A host with one user.
pub(crate) struct Sshd {
    /// Its files, with a blank in the path: people have such.
    directory: PathBuf,
    port: u16,
    user: String,
    running: Option<Child>,
}

impl Sshd {
    /// Lets in whoever has the key `ann`.
    pub(crate) fn start(repository: &Repository) -> Self {
        let directory = repository.path("ssh d");
        fs::create_dir(&directory).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap().trim().to_owned();
        let mut sshd = Self { directory, port, user, running: None };
        for name in ["host", "ann", "mallory"] {
            sshd.key(name, "");
        }
        sshd.let_in(&["ann"]);
        sshd.known("known", "host");
        sshd.configure();
        sshd.again();
        sshd
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a pair of keys.
    pub(crate) fn key(&self, name: &str, passphrase: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f"])
            .arg(self.path(name))
            .status();
        assert!(made.unwrap().success());
    }

    fn public(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    /// These keys may come in.
    pub(crate) fn let_in(&self, names: &[&str]) {
        let keys: Vec<String> = names.iter().map(|name| format!("restrict {}", self.public(name))).collect();
        fs::write(self.path("authorized"), keys.concat()).unwrap();
    }

    /// Writes a file by which the host is known to have this key.
    pub(crate) fn known(&self, file: &str, key: &str) {
        let line = format!("[127.0.0.1]:{} {}", self.port, self.public(key));
        fs::write(self.path(file), line).unwrap();
    }

    fn configure(&self) {
        let serve = self.path("serve");
        // What git asks for is run, and nothing that is not git's; to its middle, where the test says so.
        let script = "#!/bin/sh\ncase \"$SSH_ORIGINAL_COMMAND\" in git-upload-pack\\ *) ;; *) exit 1 ;; esac\n\
             if [ ! -e \"$0.cut\" ]; then eval \"exec $SSH_ORIGINAL_COMMAND\"; fi\n\
             eval \"$SSH_ORIGINAL_COMMAND\" | { dd bs=1 count=20000 status=none; if read -r _; then kill -TERM 0; fi; }\n";
        fs::write(&serve, script).unwrap();
        fs::set_permissions(&serve, fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| format!("\"{}\"", self.path(name).display());
        let search = std::env::var("PATH").unwrap();
        let settings = format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {}\nAuthorizedKeysFile {}\nForceCommand '{}'\nSetEnv \"PATH={search}\"\n\
             PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\n",
            self.port,
            path("host"),
            path("authorized"),
            serve.display(),
        );
        fs::write(self.path("sshd_config"), settings).unwrap();
        if self.user == "root" {
            // The package's service makes it, which does not run here.
            fs::create_dir_all("/run/sshd").unwrap();
        }
    }

    /// It answers (again).
    pub(crate) fn again(&mut self) {
        let child = Command::new(SSHD)
            .args(["-D", "-e", "-f"])
            .arg(self.path("sshd_config"))
            .stderr(fs::File::create(self.path("log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .expect("no sshd: `tests/setup` installs it");
        self.running = Some(child);
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_secs(10), "sshd does not answer: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Nobody answers at its port.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether what it sends ends in the middle, where that is much.
    pub(crate) fn cut(&self, cuts: bool) {
        let mark = self.path("serve.cut");
        if cuts { fs::write(mark, "").unwrap() } else { fs::remove_file(mark).unwrap() }
    }

    pub(crate) fn url(&self, path: &Path) -> String {
        format!("ssh://{}@127.0.0.1:{}{}", self.user, self.port, path.display())
    }

    /// The other way to write it.
    pub(crate) fn scp_like(&self, path: &Path) -> String {
        format!("[{}@127.0.0.1:{}]:{}", self.user, self.port, path.display())
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}
