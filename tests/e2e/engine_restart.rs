//! What an engine leaves behind when it ends and starts again.

use crate::own_engine::OwnEngine;
use crate::stage::{BUSYBOX, Project, SLEEPER, wait_until};

#[test]
fn what_the_engine_stops_with_itself_comes_back_and_is_not_held_as_somebodys_doing() {
    let mut engine = OwnEngine::with_images(&[BUSYBOX]);
    let project = Project::on(&engine, "restart");
    // Without a restart policy, what ends well by itself has done its work.
    project.compose(&format!(
        "services:\n  web:\n    {SLEEPER}\n    depends_on: [db]\n  db:\n    {SLEEPER}\n    deploy: {{replicas: 2}}\n"
    ));
    project.manifest("  onManualChange: hold\n  holdFor: 1h\n");
    let daemon = project.daemon("stack.yaml");
    daemon.wait_for(r#""condition":"Ready""#);

    engine.restart();
    wait_until("all run again", || (project.running() == ["db-1", "db-2", "web-1"]).then_some(()));
    let healed = daemon.wait_for(r#""reason":"stopped with the engine""#);
    assert!(healed.contains("start container"), "{healed}");
}

#[test]
fn what_cannot_be_started_again_has_a_successor_with_its_name_and_volumes() {
    let mut engine = OwnEngine::with_images(&[BUSYBOX]);
    let project = Project::on(&engine, "stranded");
    project.compose(&format!("services:\n  web:\n    {SLEEPER}\n    volumes: ['/scratch']\n"));
    project.apply();
    project.exec("web-1", &["sh", "-c", "echo kept > /scratch/mark"]);
    let before = project.container("web-1").id();
    project.docker(&["kill", &before]);
    engine.lose(&before);

    let applied = project.apply();
    assert!(applied.all().contains("which the engine cannot start again"), "{applied}");
    assert_ne!(project.container("web-1").id(), before);
    assert_eq!(project.running(), ["web-1"]);
    assert_eq!(project.exec("web-1", &["cat", "/scratch/mark"]).trim(), "kept");
    project.assert_nothing_to_do("compose.yaml");
}
