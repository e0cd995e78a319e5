//! The program itself. Its engine is not there, which is how a daemon starts on a machine whose Docker is down.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::UnixStream;

use crate::client::{Answer, ask, connect};
use crate::exposition;
use crate::stage::TOKEN;

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        fs::create_dir(home.path("shop")).unwrap();
        fs::write(home.path("shop/compose.yaml"), "services: {web: {image: app}}\n").unwrap();
        home
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn socket(&self) -> PathBuf {
        self.path("state/operator.sock")
    }

    fn token(&self, text: &str, mode: u32) -> String {
        let path = self.path("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
        command.arg("run").args(args).current_dir(self.path("shop"));
        command.env("DOCKER_HOST", format!("unix://{}", self.path("no-engine.sock").display()));
        command.env("OPERATOR_STATE_DIR", self.path("state")).env_remove("NOTIFY_SOCKET");
        command
    }

    fn daemon(&self, args: &[&str]) -> Daemon {
        let log = self.path("log");
        let out = fs::File::options().append(true).create(true).open(&log).unwrap();
        let mut command = self.command(args);
        let child = command.stdout(Stdio::null()).stderr(out).spawn().unwrap();
        Daemon { child, log }
    }

    async fn get(&self, path: &str) -> Option<Answer> {
        Some(ask(UnixStream::connect(self.socket()).await.ok()?, ("GET", path), "", b"").await)
    }

    /// Asks until it is answered like this.
    async fn until(&self, path: &str, fits: impl Fn(&Answer) -> bool) -> Answer {
        for _ in 0..600 {
            if let Some(answer) = self.get(path).await.filter(|answer| fits(answer)) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} is not answered so: {:?}", self.get(path).await);
    }
}

struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn ends(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    async fn says(&self, part: &str) {
        for _ in 0..600 {
            if fs::read_to_string(&self.log).unwrap().contains(part) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not say `{part}`:\n{}", fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_daemon_answers_on_its_socket_and_takes_it_along() {
    let home = Home::new();
    let mut daemon = home.daemon(&[]);
    home.until("/healthz", |answer| answer.status == 200).await;
    assert!(fs::symlink_metadata(home.socket()).unwrap().file_type().is_socket());
    assert_eq!(mode(&home.socket()), 0o600);
    let ready = home.until("/readyz", |answer| answer.body.contains("engine")).await;
    assert_eq!(ready.status, 503);
    assert!(ready.body.starts_with("shop: the engine does not answer: "), "{ready:?}");
    let metrics = home.until("/metrics", |answer| answer.body.contains("engine_up{stack=\"shop\"} 0")).await;
    exposition::families(&metrics.body).unwrap_or_else(|fault| panic!("{fault}"));
    assert!(metrics.body.contains("compose_operator_reconciles_total{stack=\"shop\",result=\"error\"}"));
    for path in ["/v1/status", "/v1/history?stack=shop"] {
        let answer = home.get(path).await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert!(answer.status == 200 && body["stacks"].is_array(), "{answer:?}");
    }
    assert_eq!(home.get("/v1/events").await.unwrap().status, 200);
    for path in ["/v1/events?stack=..%2F..%2Fetc", "/v1/history?stack=blog", "/v1/status?stack=blog"] {
        let answer = home.get(path).await.unwrap();
        assert!(answer.status == 404 && answer.body.contains("there are: shop"), "{answer:?}");
    }
    let malformed = home.get("/v1/events?since=yesterday").await.unwrap();
    assert!(malformed.status == 400 && malformed.body.contains("neither a duration"), "{malformed:?}");
    daemon.signal("TERM");
    assert_eq!(daemon.ends(), Some(0));
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn the_socket_of_a_dead_daemon_is_replaced_and_a_living_ones_is_left_alone() {
    let home = Home::new();
    let mut first = home.daemon(&[]);
    home.until("/healthz", |answer| answer.status == 200).await;
    first.signal("KILL");
    first.ends();
    assert!(home.socket().exists(), "nobody was left to take it away");
    let mut second = home.daemon(&[]);
    home.until("/healthz", |answer| answer.status == 200).await;
    let mut third = home.daemon(&[]);
    third.says("another `operator run` answers on").await;
    third.signal("TERM");
    assert_eq!(third.ends(), Some(0), "it goes on without, and ends as ever");
    assert_eq!(home.get("/healthz").await.map(|answer| answer.status), Some(200));
    second.signal("TERM");
    second.ends();
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn over_the_network_it_answers_whoever_has_the_token() {
    let home = Home::new();
    let token = home.token(&format!("{TOKEN}\n"), 0o600);
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let daemon = home.daemon(&["--listen", &address.to_string(), "--token-file", &token]);
    daemon.says("answers over the network").await;
    let get =
        async |path, headers: &str| ask(connect(address).await, ("GET", path), headers, b"").await.status;
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(get("/healthz", "").await, 200);
    assert_eq!(get("/metrics", "").await, 401);
    assert_eq!(get("/metrics", &right).await, 200);
    assert!(!fs::read_to_string(home.path("log")).unwrap().contains(TOKEN));
}

#[test]
fn a_token_that_is_no_good_is_refused_before_anything_begins() {
    let home = Home::new();
    let listen = ["--listen", "127.0.0.1:0"];
    let refused = |args: &[&str]| {
        let output = home.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(!home.socket().exists());
        said
    };
    assert!(refused(&listen).contains("--token-file"), "there is no listening without a token");
    let token = home.token(TOKEN, 0o644);
    let said = refused(&[&listen[..], &["--token-file", &token]].concat());
    assert!(said.contains("may be read by others (mode 0644): chmod 600"), "{said}");
    home.token("", 0o600);
    let said = refused(&[&listen[..], &["--token-file", &token]].concat());
    assert!(said.contains("16 is the least"), "{said}");
    assert!(refused(&["--token-file", &token]).contains("--listen"), "nor a token without listening");
}
