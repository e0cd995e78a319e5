//! Git as a program, kept on a short lead: no hooks, no prompts, no settings of the system's or of a user's, nothing that a
//! repository says about what to run.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{group, ssh};
use crate::core::redact;
use crate::secret::Secret;

/// A look at a repository's references: a server that takes longer does not answer.
pub const ASK_TIMEOUT: Duration = Duration::from_secs(30);

/// A fetch of everything that is new: minutes for the first one of a large repository over a slow line.
pub const FETCH_TIMEOUT: Duration = Duration::from_mins(15);

/// A question to what is on our own disk.
pub const LOCAL_TIMEOUT: Duration = Duration::from_mins(1);

/// A line that goes below a kilobyte a second for this long is dead.
const STALLED_AFTER: &str = "30";

/// As much of what git says as is told: its last lines have the reason.
const TOLD: usize = 300;

/// Why git did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git cannot be run: {0}; install git, 2.35 or newer")]
    NoGit(io::Error),
    /// It did not end.
    #[error("git {command} did not end within {} s", .after.as_secs())]
    TimedOut {
        /// Its subcommand.
        command: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// It failed.
    #[error("{said}")]
    Failed {
        /// Its subcommand.
        command: &'static str,
        /// What it said, the end of it.
        said: String,
    },
}

/// A password, or where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// This one.
    Known(Secret),
    /// What is in this file whenever it is needed: tokens are made anew every hour.
    File(PathBuf),
}

impl Password {
    fn get(&self) -> Secret {
        match self {
            Self::Known(secret) => secret.clone(),
            // Without it the server says that it knows nobody.
            Self::File(file) => {
                let text = std::fs::read_to_string(file).unwrap_or_default();
                Secret::new(text.trim_end_matches(['\r', '\n']))
            }
        }
    }
}

/// Who asks a repository that does not let everybody read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User and password, or token, for https.
    pub basic: Option<(String, Password)>,
    /// The private key, for ssh.
    pub ssh_key: Option<PathBuf>,
    /// The keys that hosts must have, for ssh; the user's own and the system's where none is said.
    pub known_hosts: Option<PathBuf>,
    /// Certificates of authorities beside the system's, for https.
    pub ca_file: Option<PathBuf>,
}

/// Runs git, all in one environment.
#[derive(Clone, Debug)]
pub struct Git {
    /// A file with our own settings in the place of a user's.
    settings: PathBuf,
    credentials: Credentials,
}

/// What is in our own settings. The repositories that are read may be another user's; git takes that from no other place.
const SETTINGS: &str = "[safe]\n\tdirectory = *\n";

/// Said to every git: `-c` wins over whatever a repository's own file says.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.alternateRefsCommand=true",
    "protocol.allow=never",
    "protocol.https.allow=always",
    "protocol.http.allow=always",
    "protocol.ssh.allow=always",
    "protocol.file.allow=always",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    // In the foreground: what goes on behind our back is killed with nobody.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    // Credentials never go on to where a server points to.
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1000",
    "credential.helper=",
    "log.showSignature=false",
];

/// Answers git's question for a user and a password from its environment, which only its own user can read; an argument
/// everybody could.
const HELPER: &str = "credential.helper=!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$OPERATOR_GIT_USER\" \"$OPERATOR_GIT_PASSWORD\"; }; f";

/// Variables that git is run with, of our own environment: no other is anything to it.
const PASSED_ON: &[&str] = &[
    "PATH",
    "LANG",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

impl Git {
    /// Git with its settings in this directory, which is made.
    pub fn new(directory: &Path, credentials: Credentials) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let settings = directory.join("gitconfig");
        if std::fs::read_to_string(&settings).ok().as_deref() != Some(SETTINGS) {
            std::fs::write(&settings, SETTINGS)?;
        }
        Ok(Self { settings, credentials })
    }

    /// A command in a repository, or in none.
    pub fn command(&self, repository: Option<&Path>) -> Command {
        let mut command = Command::new("git");
        command.env_clear().envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // Programs that git runs may want it; git itself finds no settings there.
        command.envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
        command
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.settings)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "true")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_HTTP_LOW_SPEED_TIME", STALLED_AFTER)
            .env("GIT_SSH_COMMAND", ssh::command_line(&self.credentials))
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        for setting in ALWAYS {
            command.args(["-c", setting]);
        }
        if let Some((user, password)) = &self.credentials.basic {
            command.args(["-c", HELPER]);
            command.env("OPERATOR_GIT_USER", user).env("OPERATOR_GIT_PASSWORD", password.get().expose());
        }
        if let Some(file) = &self.credentials.ca_file {
            command.env("GIT_SSL_CAINFO", file);
        }
        if let Some(repository) = repository {
            command.arg("--git-dir").arg(repository);
        }
        command
    }

    /// Whether one commit of a repository is the other, or came before it.
    pub fn is_ancestor(&self, repository: &Path, before: &str, after: &str) -> bool {
        let mut command = self.command(Some(repository));
        command
            .args(["merge-base", "--is-ancestor", before, after])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Runs a command to its end, and gives what it printed. Killed when it is not waited for any more, with all
    /// that it has started.
    pub async fn run(
        &self,
        repository: Option<&Path>,
        name: &'static str,
        arguments: &[&str],
        timeout: Duration,
    ) -> Result<Vec<u8>, GitError> {
        let mut command = self.command(repository);
        command.arg(name).args(arguments);
        let output = tokio::time::timeout(timeout, group::output(command))
            .await
            .map_err(|_| GitError::TimedOut { command: name, after: timeout })?
            .map_err(GitError::NoGit)?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.failed(name, &output)) }
    }

    fn failed(&self, command: &'static str, output: &Output) -> GitError {
        let said = said(&output.stderr);
        if said.is_empty() {
            return GitError::Failed { command, said: format!("git {command} ended with {}", output.status) };
        }
        let said = match ssh::way_out(&said, &self.credentials) {
            Some(way_out) => format!("{said}; {way_out}"),
            None => said,
        };
        GitError::Failed { command, said }
    }
}

/// The last lines of what git says, in one; of an address in it nobody's password.
pub fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let is_reason = |line: &&str| !line.is_empty() && !line.starts_with("hint:") && !ssh::is_noise(line);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(is_reason).collect();
    let words = lines.join("; ");
    let from = words.char_indices().rev().nth(TOLD).map_or(0, |(at, _)| at);
    redact::urls(&words[from..])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use super::*;

    #[test]
    fn nothing_of_a_user_or_of_the_system_reaches_git_but_the_way_out_of_the_house() {
        let directory = tempfile::tempdir().unwrap();
        let basic = Some(("ann".to_owned(), Password::Known(Secret::new("canary"))));
        let git = Git::new(directory.path(), Credentials { basic, ..Credentials::default() }).unwrap();
        let command = git.command(Some(Path::new("/r")));
        let arguments: Vec<String> =
            command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect();
        assert!(!arguments.join(" ").contains("canary"), "everybody can read arguments");
        let names: Vec<String> =
            command.get_envs().map(|(name, _)| name.to_string_lossy().into_owned()).collect();
        let known = |name: &String| {
            name.starts_with("GIT_")
                || name.starts_with("OPERATOR_GIT_")
                || ["HOME", "LC_ALL"].contains(&name.as_str())
                || PASSED_ON.contains(&name.as_str())
        };
        assert!(names.iter().all(known), "{names:?}");
        assert!(names.iter().any(|name| name == "GIT_CONFIG_NOSYSTEM"));
    }

    #[tokio::test]
    async fn what_git_says_is_told_and_what_does_not_end_is_killed() {
        let directory = tempfile::tempdir().unwrap();
        let git = Git::new(directory.path(), Credentials::default()).unwrap();
        let nowhere = git.run(None, "ls-remote", &["--", "file:///nowhere/at/all"], ASK_TIMEOUT).await;
        let told = nowhere.unwrap_err().to_string();
        assert!(told.contains("/nowhere/at/all"), "{told}");
        // It serves until it is told to end, in a directory that is its user's alone.
        let home = directory.path().join("private");
        std::fs::DirBuilder::new().mode(0o700).create(&home).unwrap();
        let socket = home.join("socket").to_string_lossy().into_owned();
        let arguments = [socket.as_str()];
        let never = git.run(None, "credential-cache--daemon", &arguments, Duration::from_millis(50)).await;
        assert!(matches!(never, Err(GitError::TimedOut { .. })), "{never:?}");
    }
}
