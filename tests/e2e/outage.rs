//! An engine that does not answer for a while.

use crate::proxy::Proxy;
use crate::stage::{Background, Project, SLEEPER, docker, said, wait_until};

#[test]
fn while_the_engine_is_gone_nothing_is_done_and_status_says_since_when_and_then_all_is_healed() {
    let project = Project::with("outage", &format!("services:\n  web:\n    {SLEEPER}\n"));
    project.apply();
    let proxy = Proxy::new();
    let run = ["run", "-f", "compose.yaml"];
    let _daemon = Background::start(project.command(&run).env("DOCKER_HOST", proxy.host()));
    let status = || said(project.command(&["status"]).env("DOCKER_HOST", proxy.host()));
    wait_until("the daemon looks after it", || status().out.contains("looked after").then_some(()));
    assert_eq!(status().code, 0);

    proxy.cut();
    let gone = wait_until("status says that the engine is gone", || {
        let said = status();
        said.out.contains("the engine has not answered for").then_some(said)
    });
    assert_eq!(gone.code, 2, "{gone}");
    assert!(gone.out.contains("web"), "how it stood then is shown: {gone}");
    docker(&["rm", "-f", &project.named("web-1")]);

    proxy.mend();
    wait_until("it is healed", || (project.running().len() == 1).then_some(()));
    wait_until("status is as before", || (status().code == 0).then_some(()));
}
