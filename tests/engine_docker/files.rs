//! Files into containers: content, mode and owner are what was asked for.

use std::collections::BTreeMap;

use compose_operator::core::failure::FailureKind;
use compose_operator::core::files::{File, Files, Owner};
use compose_operator::core::ids::ContainerId;
use compose_operator::core::observed::Container;
use compose_operator::engine::WriteEngine;
use compose_operator::live::RunIn;
use compose_operator::secret::Secret;

use crate::world::World;

fn files(path: &str, content: &str, mode: u32, owner: Option<Owner>) -> Files {
    let file = File { content: Secret::new(content), mode, owner };
    Files::new("test", BTreeMap::from([(path.to_owned(), file)]))
}

async fn said(world: &World, container: &Container, command: &[&str]) -> String {
    world.docker.run_in(&container.id, command, Vec::new()).await.unwrap().stdout
}

#[tokio::test]
async fn a_file_is_there_at_the_start_and_may_be_copied_twice() {
    let world = World::new();
    let engine = &world.docker;
    let id = engine.create_container(&world.sleeper("web")).await.unwrap();
    let owner = Some(Owner { uid: 7, gid: 8 });
    engine.copy_files(&id, &files("/run/secrets/a", "one", 0o444, None)).await.unwrap();
    engine.copy_files(&id, &files("/run/secrets/a", "two\n", 0o444, None)).await.unwrap();
    engine.copy_files(&id, &files("/etc/deep/b.conf", "three", 0o640, owner)).await.unwrap();
    engine.start_container(&id).await.unwrap();
    let container = world.look(&id).await;
    let stat = ["stat", "-c", "%a %u:%g", "/run/secrets/a", "/etc/deep/b.conf"];
    assert_eq!(said(&world, &container, &stat).await, "444 0:0\n640 7:8\n");
    assert_eq!(said(&world, &container, &["cat", "/run/secrets/a", "/etc/deep/b.conf"]).await, "two\nthree");
    engine.copy_files(&id, &files("/run/secrets/a", "while it runs", 0o444, None)).await.unwrap();
    assert_eq!(said(&world, &container, &["cat", "/run/secrets/a"]).await, "while it runs");
}

#[tokio::test]
async fn what_cannot_be_copied_is_told_without_its_content() {
    let world = World::new();
    let mut new = world.sleeper("sealed");
    new.spec.read_only = true;
    let sealed = world.docker.create_container(&new).await.unwrap();
    for (id, kind) in
        [(sealed, FailureKind::Invalid), (ContainerId::new("0".repeat(64)), FailureKind::NotFound)]
    {
        let refused = world.docker.copy_files(&id, &files("/a", "canary", 0o444, None)).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(!format!("{refused:?}").contains("canary"), "{refused:?}");
    }
}
