//! A source that asks for signatures: what it does with a commit that has none.

use std::time::Duration;

use compose_operator::clock::{Clock as _, SystemClock};
use compose_operator::compose::LoadOptions;
use compose_operator::source::Source as _;
use compose_operator::source::git::command::Credentials;
use compose_operator::source::git::signature::{Mode, Verify};
use compose_operator::source::git::{DEFAULT_INTERVAL, GitSource, Settings};
use compose_operator::stack::Loaded;
use compose_operator::store::sources::{Ask, SourceStanding, Sources};

use crate::world::{By, World, signature_of, with_signature};

const ANN: By<'_> = By::Ssh("ann");

fn open(world: &World, verify: Option<Verify>) -> GitSource {
    let settings = Settings {
        name: "shop".to_owned(),
        address: world.address("main"),
        path: None,
        interval: DEFAULT_INTERVAL,
        credentials: Credentials::default(),
        verify,
        suspended: false,
        sync: compose_operator::source::git::gate::SyncSettings::default(),
        policy: compose_operator::core::trust::Level::Privileged,
        webhook: None,
        commit_status: None,
        options: LoadOptions::default(),
    };
    GitSource::open(settings, &world.path("state")).unwrap()
}

fn standing(world: &World) -> SourceStanding {
    Sources::new(&world.path("state")).read("shop").unwrap()
}

/// What is loaded when something has changed.
async fn next(source: &mut GitSource) -> Loaded {
    source.bell().ring();
    tokio::time::timeout(Duration::from_secs(20), source.changed()).await.unwrap();
    source.load()
}

/// Whether nothing changes though it is looked at once more.
async fn is_still(source: &mut GitSource, world: &World) -> bool {
    let before = standing(world).asked_at;
    source.bell().ring();
    let changed = tokio::time::timeout(Duration::from_secs(2), source.changed()).await;
    changed.is_err() && standing(world).asked_at > before
}

fn image(loaded: &Loaded) -> String {
    let stack = &loaded.stacks[0].desired;
    stack.services.values().next().unwrap().spec.image.clone()
}

fn faults(loaded: &Loaded) -> Vec<String> {
    loaded.faults.iter().map(|fault| format!("{fault:?}")).collect()
}

#[tokio::test]
async fn the_last_trusted_commit_stays_until_another_one_is_trusted() {
    let world = World::new();
    let (ann, bob) = (world.ssh_key("ann"), world.ssh_key("bob"));
    world.trust(&[("ann.pub", ann.as_bytes())]);
    let good = world.commit("app:1", ANN);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    let loaded = source.load();
    assert_eq!((image(&loaded), faults(&loaded).len()), ("app:1".to_owned(), 0));
    assert!(standing(&world).signer.unwrap().starts_with("ann@example.com (SHA256:"));

    let evil = world.raw(&world.commit("app:evil", By::Nobody));
    let forged = world.forge(&with_signature(&evil, &signature_of(&world.raw(&good))));
    let loaded = next(&mut source).await;
    assert_eq!(image(&loaded), "app:1");
    assert_eq!(loaded.faults.len(), 1, "what is told while it lasts: {:?}", faults(&loaded));
    assert_eq!(loaded.faults[0].source(), Some("shop"), "and to whose stacks");
    let told = standing(&world);
    assert_eq!(told.in_force.unwrap().commit.hash, good);
    assert_eq!(told.attempted.unwrap().commit.hash, forged);
    assert!(told.unreachable.is_none(), "the repository answers");
    let refused = told.refused.unwrap().message;
    assert!(refused.contains(&forged[..7]) && refused.contains("is not trusted"), "{refused}");
    assert!(is_still(&mut source, &world).await, "the same refusal is no news");
    assert_eq!(source.load().faults.len(), 1, "and lasts");

    // Back to the one in force.
    world.git(&["update-ref", "refs/heads/main", &good]);
    let loaded = next(&mut source).await;
    assert_eq!((image(&loaded), faults(&loaded).len()), ("app:1".to_owned(), 0));
    assert!(standing(&world).refused.is_none());

    world.git(&["reset", "--quiet", "--hard"]);
    world.commit("app:2", By::Ssh("bob"));
    assert_eq!(image(&next(&mut source).await), "app:1");
    // Its key is trusted now: nobody has to push again.
    world.trust(&[("ann.pub", ann.as_bytes()), ("bob.pub", bob.as_bytes())]);
    let loaded = next(&mut source).await;
    assert_eq!((image(&loaded), faults(&loaded).len()), ("app:2".to_owned(), 0));

    world.commit("app:3", By::Nobody);
    assert_eq!(image(&next(&mut source).await), "app:2");
    world.commit("app:4", ANN);
    let loaded = next(&mut source).await;
    assert_eq!((image(&loaded), faults(&loaded).len()), ("app:4".to_owned(), 0));
    assert!(standing(&world).refused.is_none());
}

#[tokio::test]
async fn nothing_is_in_force_where_nothing_was_ever_trusted() {
    let world = World::new();
    let ann = world.ssh_key("ann");
    world.trust(&[("ann.pub", ann.as_bytes())]);
    world.commit("app:1", By::Nobody);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    let loaded = source.load();
    assert_eq!((loaded.stacks.len(), loaded.faults.len()), (0, 1));
    assert!(standing(&world).in_force.is_none());
}

#[tokio::test]
async fn what_was_trusted_stays_so_when_its_key_ends_and_what_never_was_is_told() {
    let world = World::new();
    let (ann, bob) = (world.ssh_key("ann"), world.ssh_key("bob"));
    world.trust(&[("ann.pub", ann.as_bytes())]);
    world.commit("app:1", ANN);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    assert_eq!(source.load().faults.len(), 0);
    drop(source);
    // Another daemon, and other keys: nothing was pushed, and nothing is to be told.
    world.trust(&[("bob.pub", bob.as_bytes())]);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    assert_eq!(image(&source.load()), "app:1");
    let loaded = next(&mut source).await;
    assert_eq!((image(&loaded), faults(&loaded).len()), ("app:1".to_owned(), 0));

    // What came into force when nobody asked for signatures.
    let world = World::new();
    world.trust(&[("bob.pub", bob.as_bytes())]);
    world.commit("app:1", By::Nobody);
    let mut source = open(&world, None);
    source.begin_with().await;
    assert_eq!(source.load().faults.len(), 0);
    drop(source);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    assert_eq!(source.load().faults.len(), 0);
    let loaded = next(&mut source).await;
    assert_eq!(
        (image(&loaded), loaded.faults.len()),
        ("app:1".to_owned(), 1),
        "it runs on, and that is told"
    );
}

/// Somebody wants this revision in the place of the branch.
fn hold(world: &World, revision: &str) {
    let ask =
        Ask { at: SystemClock::default().now(), by: "ann".to_owned(), revision: Some(revision.to_owned()) };
    Sources::new(&world.path("state")).ask("shop", &ask).unwrap();
}

#[tokio::test]
async fn what_a_person_holds_a_source_to_must_be_signed_too() {
    let world = World::new();
    let ann = world.ssh_key("ann");
    world.trust(&[("ann.pub", ann.as_bytes())]);
    let unsigned = world.commit("app:0", By::Nobody);
    world.tag("v0", ANN);
    world.git(&["tag", "light"]);
    let signed = world.commit("app:1", ANN);
    world.git(&["tag", "heavy"]);
    world.commit("app:2", ANN);
    let mut source = open(&world, Some(world.verify(Mode::Head)));
    source.begin_with().await;
    assert_eq!(image(&source.load()), "app:2");
    for (revision, expected, refused) in
        [(&*unsigned, "app:2", 1), (&*signed, "app:1", 0), ("v0", "app:1", 1), ("main", "app:2", 0)]
    {
        hold(&world, revision);
        let loaded = next(&mut source).await;
        assert_eq!((&*image(&loaded), loaded.faults.len()), (expected, refused), "{revision}");
    }
    drop(source);

    std::fs::remove_dir_all(world.path("state")).unwrap();
    let mut source = open(&world, Some(world.verify(Mode::Tag)));
    source.begin_with().await;
    assert_eq!(source.load().stacks.len(), 0, "a branch is no tag");
    // `light` is the commit that is in force by then.
    for (revision, faults) in [("v0", 0), ("light", 0), (&*signed, 1), ("heavy", 1), ("refs/tags/v0", 0)] {
        hold(&world, revision);
        let loaded = next(&mut source).await;
        assert_eq!((&*image(&loaded), loaded.faults.len()), ("app:0", faults), "{revision}");
    }
}
