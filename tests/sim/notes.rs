//! What a preview tells as one thing, though it looks like several: renamed services, moved files, a renamed project.

use compose_operator::core::content::FileContent;
use compose_operator::core::desired::Desired;
use compose_operator::core::diff::diff;
use compose_operator::core::ids::{ServiceName, StackName};
use compose_operator::core::notes::{Kind, notes};
use compose_operator::core::spec::{Mount, MountKind};
use compose_operator::core::view::View;

use crate::stage::{Stage, Words, service, stack, with};

fn told(stage: &Stage, desired: &Desired) -> Vec<(Kind, String)> {
    let observed = stage.observe(desired);
    notes(&View::new(desired, &observed)).into_iter().map(|note| (note.kind, note.message)).collect()
}

fn in_directory(mut desired: Desired, directory: &str) -> Desired {
    directory.clone_into(&mut desired.origin.working_dir);
    desired.origin.config_files = vec![format!("{directory}/compose.yaml")];
    for service in desired.services.values_mut() {
        let mount = Mount {
            kind: MountKind::Bind,
            source: format!("{directory}/html"),
            read_only: true,
            options: std::collections::BTreeMap::new(),
        };
        service.spec.mounts.insert("/srv".into(), mount);
    }
    desired
}

#[test]
fn a_service_under_another_name_is_told_as_that_with_what_it_costs() {
    let stage = Stage::new();
    let web = || service(2).env("A", "1");
    stage.converge(&with(stack(), "web", web()));
    let renamed = with(stack(), "front", web());
    assert_eq!(
        told(&stage, &renamed),
        [(
            Kind::ServiceRenamed,
            "service web is renamed to front: containers of front are made and start, those of web (shop-web-1, shop-web-2) \
             are removed; nothing of that is a change in place. Named volumes stay"
                .to_owned()
        )]
    );
    let observed = stage.observe(&renamed);
    assert_eq!(diff(&View::new(&renamed, &observed)).len(), 2, "the changes are what they are");
    let kept = Desired { prune: false, ..renamed.clone() };
    assert!(told(&stage, &kept)[0].1.contains("stay, since nobody said that they may go (`prune`)"));
    let other = with(stack(), "front", service(2).env("A", "2"));
    assert_eq!(told(&stage, &other), [], "it is another service");
    stage.converge(&renamed);
    assert_eq!(told(&stage, &renamed), []);
}

#[test]
fn a_service_whose_files_go_under_its_name_is_known_under_another() {
    let of = |name: &str| {
        let text = FileContent { fingerprint: format!("text-of-{name}"), identity: String::new() };
        let web = service(1).but(|web| web.content.files = [("configs.a".to_owned(), text)].into());
        with(stack(), name, web)
    };
    let stage = Stage::new();
    stage.converge(&of("web"));
    assert_eq!(
        told(&stage, &of("front")).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
        [Kind::ServiceRenamed]
    );
}

#[test]
fn volumes_that_nobody_named_do_not_go_to_the_new_name() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1).scratch()));
    let said = told(&stage, &with(stack(), "front", service(1).scratch()));
    assert!(said[0].1.ends_with("; volumes that nobody named are not taken over"), "{said:?}");
}

#[test]
fn a_moved_directory_is_told_with_the_mounts_that_lead_elsewhere() {
    let stage = Stage::new();
    let shop = || with(stack(), "web", service(1));
    stage.converge(&in_directory(shop(), "/srv/shop"));
    assert_eq!(told(&stage, &in_directory(shop(), "/srv/shop")), []);
    assert_eq!(
        told(&stage, &in_directory(shop(), "/opt/shop")),
        [(
            Kind::FilesMoved,
            "the project directory was moved: /srv/shop → /opt/shop; mounts with relative paths now lead elsewhere: \
             web /srv (/srv/shop/html → /opt/shop/html)"
                .to_owned()
        )]
    );
    let mut renamed = in_directory(shop(), "/srv/shop");
    renamed.origin.config_files = vec!["/srv/shop/stack.yaml".into()];
    assert_eq!(
        told(&stage, &renamed),
        [(
            Kind::FilesMoved,
            "the Compose files were moved: /srv/shop/compose.yaml → /srv/shop/stack.yaml".to_owned()
        )]
    );
    renamed.origin.config_files.push("/srv/shop/compose.yaml".into());
    assert_eq!(told(&stage, &renamed), [], "one more file is no move");
}

#[test]
fn a_project_that_has_another_name_from_its_directory_is_told_where_it_was() {
    let stage = Stage::new();
    let shop = || with(with(stack(), "web", service(1)), "db", service(1));
    stage.converge(&in_directory(shop(), "/srv/shop"));
    let moved = |name: &str| {
        let mut desired = in_directory(shop(), "/srv/market");
        desired.stack = StackName::from(name);
        desired
    };
    assert_eq!(
        told(&stage, &moved("market")),
        [(
            Kind::ProjectRenamed,
            "project shop of /srv/shop has the same services (db, web), and its containers are still there: they are not \
             touched. If that directory was moved here, and market has its name from it, `-p shop` goes on with them"
                .to_owned()
        )]
    );
    assert_eq!(told(&stage, &moved("other")), [], "somebody gave it its name");
    let mut fewer = moved("market");
    fewer.services.remove(&ServiceName::from("db"));
    assert_eq!(told(&stage, &fewer), [], "it has other services");
}
