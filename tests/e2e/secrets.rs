//! That the daemon tells no secret: in no line of its log, no file that it keeps, and no command that reads these.

use crate::stage::{BUSYBOX, Project, SLEEPER, wait_until};
use crate::word::{WORD, files, told};

const IDENTITY: &str = "AGE-SECRET-KEY-1NPGT4U689GZVWN2K3W07GQ30Q4VQWED6QG2SUNZ90GM7VZP7550QUW28W2";

fn stack(version: u32) -> String {
    format!(
        "services:\n  web:\n    {SLEEPER}\n    env_file: secrets.env\n    labels: {{db: 'tcp://u:{WORD}-{version}@h/'}}\n    \
         environment: {{PLAIN: '{version} ${{secret:db}}', URL: 'tcp://u:{WORD}@h/{version}'}}\n    \
         healthcheck: {{test: [CMD, 'true', --token, {WORD}-{version}], interval: 1s}}\n    secrets: [sealed]\n  \
         job:\n    image: {BUSYBOX}\n    env_file: secrets.env\n    environment: {{PLAIN: '${{secret:db}}'}}\n    \
         command: [sh, -c, 'echo {version} $$PLAIN $$HELD; exit 3']\nsecrets: {{sealed: {{file: sealed.age}}}}\n"
    )
}

#[test]
fn no_log_and_no_kept_file_of_the_daemon_tells_a_secret() {
    let project = Project::with("secrets", &stack(1));
    let identity: age::x25519::Identity = IDENTITY.parse().unwrap();
    let sealed = |text: String| age::encrypt(&identity.to_public(), text.as_bytes()).unwrap();
    std::fs::write(project.path("secrets.env"), sealed(format!("HELD={WORD}-held\n"))).unwrap();
    std::fs::write(project.path("sealed.age"), sealed(format!("{WORD}-sealed"))).unwrap();
    project.write("db", &format!("{WORD}-of-host\n"));
    project.write("key", IDENTITY);
    let host = ["-f", "compose.yaml", "--secrets-dir", ".", "--age-identity", "key"];
    let mut daemon = crate::stage::Background::start(
        &mut project.command(&[&["run", "--log-format", "json", "-vv"], &host[..]].concat()),
    );
    let name = project.named("web-1");
    let web = || project.containers().remove(&name);
    let events = |part: &str| {
        let said = project.operator(&[&["events", "-o", "json"], &host[..]].concat());
        said.out.contains(part).then_some(())
    };
    wait_until("the job crashes", || events("\"Crashed\""));
    let first = wait_until("web runs", || web().map(|web| web.id()));
    project.compose(&stack(2));
    project.write("db", &format!("{WORD}-of-tomorrow\n"));
    let is_other = |web: &crate::stage::Container| web.id() != first && web.name().contains("-web-");
    wait_until("web is replaced", || project.containers().into_values().find(is_other));
    wait_until("the job says another thing", || events("2 (hidden) (hidden)"));
    let mut found = std::collections::BTreeSet::new();
    for line in [
        &["status"][..],
        &["status", "-o", "json"],
        &["events"],
        &["events", "-o", "json"],
        &["history"],
        &["history", "-o", "json"],
        &["history", "2"],
        &["explain", "web"],
        &["explain", "job", "-o", "json"],
        &["diff", "-o", "json"],
    ] {
        let said = project.operator(&[line, &host[..]].concat());
        found.extend(told(&line.join(" "), &said.all()));
    }
    let socket = project.directory().join("../state/operator.sock");
    for path in
        ["v1/status", "v1/events", "v1/history", "v1/sources", "metrics", "healthz", "readyz", "v1/nothing"]
    {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-s", "--unix-socket"]).arg(&socket).arg(format!("http://operator/{path}"));
        let answer = crate::stage::said(&mut curl);
        assert!(answer.code == 0 && !answer.out.is_empty(), "{path}: {answer}");
        found.extend(told(path, &answer.all()));
    }
    daemon.signal("TERM");
    daemon.end();
    found.extend(told("the log", &daemon.text()));
    let kept = files(&project.directory().parent().unwrap().join("state"));
    assert!(kept.len() > 3, "{kept:?}");
    for file in kept {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        found.extend(told(&file.display().to_string(), &text));
    }
    assert!(found.is_empty(), "{}", found.into_iter().collect::<Vec<_>>().join("\n"));
}
