//! What the engine cannot start again, since its runtime still holds a run that the engine has lost.

use crate::own_engine::OwnEngine;
use crate::stage::{BUSYBOX, Project, SLEEPER};

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
