use super::super::action::Call;
use super::super::builder::Demand;
use super::super::config_hash::{ConfigHash, HashPart};
use super::super::desired::{Build, BuildSecret, Network, Origin, Service, Teardown};
use super::super::files::{File, Files, salt};
use super::super::hooks::{Hook, Moment as HookMoment};
use super::super::ids::{ContainerId, StackName};
use super::super::live::{LiveSettings, Software};
use super::super::observed::{Container, Image};
use super::super::probe::{Handler, Http, Probe};
use super::super::spec::{Healthcheck, Mount, MountKind};
use super::*;
use crate::secret::Secret;

/// Stands in every place that may be a secret.
const CANARY: &str = "canary-7Qx";

fn key() -> Key {
    Key::new("0011223344")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
}

fn actor() -> Actor {
    Actor { through: Through::Apply, by: Some("ann".into()) }
}

/// A stack `shop` of one service `web`.
fn shop(change: impl FnOnce(&mut Service)) -> Desired {
    let nothing = Desired::teardown(StackName::from("shop"), Origin::default(), Teardown::default());
    let mut desired = Desired { teardown: None, ..nothing };
    let mut web = Service { replicas: 1, ..Service::default() };
    web.spec.image = "app:1".into();
    change(&mut web);
    desired.services.insert("web".into(), web);
    desired
}

/// With the canary wherever a secret may be.
fn with_secrets() -> Desired {
    let secret = || Secret::new(CANARY);
    let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut desired = shop(|web| {
        web.spec.environment = [("MODE".to_owned(), secret()), ("EMPTY".to_owned(), Secret::new(""))].into();
        web.spec.command = Some(words(&["app", "--password", CANARY, "--port", "80"]));
        web.command.clone_from(&web.spec.command);
        web.spec.entrypoint = Some(words(&["sh", "-c", "curl https://me:canary-7Qx@host/"]));
        web.spec.labels = [
            ("traefik.auth".to_owned(), CANARY.to_owned()),
            ("url".to_owned(), format!("https://me:{CANARY}@host")),
            ("plain".to_owned(), "seen".to_owned()),
        ]
        .into();
        let test = words(&["CMD", "redis-cli", "--pass", CANARY]);
        web.spec.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
        let mount = Mount {
            kind: MountKind::Volume,
            source: "data".into(),
            read_only: true,
            options: [("o".to_owned(), format!("password={CANARY}"))].into(),
        };
        web.spec.mounts.insert("/data".into(), mount);
        let file = File { content: secret(), mode: 0o400, owner: None };
        web.files = Files::new(&salt("shop", "web"), [("/run/secrets/a".to_owned(), file)].into());
        web.hooks.post_start = vec![Hook {
            moment: HookMoment::PostStart,
            index: 0,
            command: words(&["app", &format!("--token={CANARY}")]),
            user: None,
            privileged: false,
            working_dir: None,
            environment: vec![Secret::new(format!("A={CANARY}"))],
        }];
        web.live = Some(LiveSettings {
            software: Software::Redis,
            settings: [("maxmemory".to_owned(), "1".to_owned())].into(),
            password: Some(secret()),
            port: 6379,
        });
        let http = Http {
            port: 80,
            path: "/".into(),
            tls: false,
            headers: vec![("Authorization".into(), secret())],
            status: (200, 299),
        };
        web.probes.readiness = Some(Probe::new(Handler::Http(http)));
        web.probes.liveness = Some(Probe::new(Handler::Redis { port: 6379, password: Some(secret()) }));
        web.config_hash = ConfigHash::WithContainers(vec![
            HashPart::Text(Secret::new(format!("{{{CANARY}}}"))),
            HashPart::FirstContainerOf("db".into()),
        ]);
        web.image.build = Some(Build {
            args: [("VERSION".to_owned(), Some(CANARY.to_owned())), ("NONE".to_owned(), None)].into(),
            secrets: [
                ("one".to_owned(), BuildSecret::Variable { name: "ONE".into(), value: Some(secret()) }),
                ("two".to_owned(), BuildSecret::File("/etc/two".into())),
            ]
            .into(),
            demands: [(Demand::Secrets, "compose.yaml:4:7".to_owned())].into(),
            ..Build::default()
        });
    });
    let driver_opts = [("api_key".to_owned(), CANARY.to_owned())].into();
    desired.networks.insert("default".into(), Network { driver_opts, ..Network::default() });
    desired
}

fn kept(desired: &Desired) -> Kept {
    Kept { sealed: Sealed::of(desired, &key()).unwrap(), images: BTreeMap::new(), key: key() }
}

#[test]
fn what_is_kept_has_no_secret_in_it_and_comes_back_whole_where_the_values_are() {
    let desired = with_secrets();
    let kept = kept(&desired);
    let text = serde_json::to_string(&kept.sealed).unwrap();
    // Also not in another spelling of it.
    for spelling in [CANARY, "Y2FuYXJ5", "63616e617279", "canary-"] {
        assert!(!text.contains(spelling), "{spelling}: {text}");
    }
    assert!(text.contains(r#""plain":"seen""#), "what is no secret is kept as it is");
    let read: Sealed = serde_json::from_str(&text).unwrap();
    let kept = Kept { sealed: read, ..kept };
    assert_eq!(held(&kept, &desired, None, &Observed::default()), Ok(desired.clone()));
    let other = Kept { key: Key::new("another"), ..kept };
    assert!(held(&other, &desired, None, &Observed::default()).is_err(), "hashes of another key say nothing");
}

#[test]
fn a_value_is_found_in_any_service_or_container_and_what_is_nowhere_is_named() {
    let old = shop(|web| {
        web.spec.environment =
            [("A".to_owned(), Secret::new("one")), ("B".to_owned(), Secret::new("two"))].into();
    });
    let kept = kept(&old);
    let now = shop(|web| drop(web.spec.environment.insert("OTHER".into(), Secret::new("one"))));
    let lost = held(&kept, &now, None, &Observed::default()).unwrap_err();
    let said: Vec<String> = lost.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].starts_with("web: the value of its variable B is not there any more: put"),
        "{}",
        said[0]
    );
    let id = ContainerId::new("c1");
    let mut container = Container::created(id.clone(), "shop-job-1");
    container.spec.environment.insert("ELSE".into(), Secret::new("two"));
    let observed = Observed { containers: [(id, container)].into(), ..Observed::default() };
    assert_eq!(held(&kept, &now, None, &observed), Ok(old.clone()));
    assert_eq!(held(&kept, &now, Some(&old), &Observed::default()), Ok(old), "what was in force knows it");
}

#[test]
fn the_images_of_then_are_asked_for_by_id_by_digest_or_not_at_all() {
    let desired = shop(|web| web.image.build = Some(Build { context: "/src".into(), ..Build::default() }));
    let ran = |digest: Option<&str>| Ran {
        reference: "app:1".into(),
        id: Some(ImageId::new("sha256:old")),
        digest: digest.map(str::to_owned),
    };
    let with = |ran: Ran| Kept { images: [("web".into(), ran)].into(), ..kept(&desired) };
    let pinned = |kept: &Kept, observed: &Observed| {
        held(kept, &desired, None, observed).map(|held| held.services["web"].image.pinned.clone())
    };
    let here =
        Observed { images: [("sha256:old".to_owned(), Image::default())].into(), ..Observed::default() };
    assert_eq!(pinned(&with(ran(None)), &here), Ok(Some("sha256:old".to_owned())));
    let held = held(&with(ran(None)), &desired, None, &here).unwrap();
    assert_eq!(held.services["web"].image.build, None, "what is here is not built");
    assert_eq!(held.services["web"].spec.image, "app:1", "so that its revision is what it was");
    let gone = Observed::default();
    assert_eq!(pinned(&with(ran(Some("app@sha256:d"))), &gone), Ok(Some("app@sha256:d".to_owned())));
    let lost = pinned(&with(ran(None)), &gone).unwrap_err();
    assert!(lost[0].to_string().contains("the image app:1 of then (sha256:old)"), "{}", lost[0]);
}

fn moment<'a>(
    desired: &'a Desired,
    observed: &'a Observed,
    converged: bool,
    failed: Option<&'a str>,
) -> Moment<'a> {
    Moment { desired, observed, converged, failed, at: at(9) }
}

/// Takes on a desired state that converges.
fn converged(history: &mut History, desired: &Desired) {
    assert!(history.take_on(desired, &actor(), &key(), at(2)));
    let image = Image {
        id: Some(ImageId::new("sha256:1")),
        digests: vec!["x@1".into(), "app@2".into()],
        ..Image::default()
    };
    let observed = Observed { images: [("app:1".to_owned(), image)].into(), ..Observed::default() };
    assert!(history.stands(&moment(desired, &observed, true, None), &actor()));
}

#[test]
fn the_same_that_comes_again_is_no_revision_and_one_that_was_before_says_so() {
    let [one, two] =
        ["1", "2"].map(|value| shop(|web| drop(web.spec.labels.insert("v".into(), value.into()))));
    let mut history = History::default();
    converged(&mut history, &one);
    assert!(!history.take_on(&one, &actor(), &key(), at(3)));
    assert!(
        !history.stands(&moment(&one, &Observed::default(), false, Some("crashes")), &actor()),
        "it had converged"
    );
    assert_eq!(history.entries[0].took(), Some(Duration::from_secs(7)));
    let ran = &history.entries[0].images["web"];
    assert_eq!(
        (ran.id.as_ref().map(ImageId::as_str), ran.digest.as_deref()),
        (Some("sha256:1"), Some("app@2"))
    );
    assert!(history.take_on(&two, &actor(), &key(), at(4)));
    assert!(history.stands(&moment(&two, &Observed::default(), false, Some("crashes")), &actor()));
    assert_eq!(
        (history.entries[1].outcome, history.entries[1].why.as_deref()),
        (Outcome::Failed, Some("crashes"))
    );
    let [change] = history.entries[1].changes.as_slice() else { panic!("{:?}", history.entries[1].changes) };
    assert_eq!(
        (change.field.as_str(), change.from.as_deref(), change.to.as_deref()),
        ("labels.v", Some("(hidden)"), Some("(hidden)"))
    );
    assert!(history.take_on(&one, &actor(), &key(), at(5)));
    let last = history.newest().unwrap();
    assert_eq!((last.number, last.same_as, last.outcome), (3, Some(1), Outcome::Progressing));
    assert!(history.take_on(&two, &actor(), &key(), at(6)));
    assert_eq!(history.entries[2].outcome, Outcome::Superseded);
    let gone = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
    assert!(!history.take_on(&gone, &actor(), &key(), at(7)), "what goes is no revision");
}

#[test]
fn a_rollback_is_a_revision_and_the_next_one_goes_further_back() {
    let states =
        ["1", "2", "3"].map(|value| shop(|web| drop(web.spec.labels.insert("v".into(), value.into()))));
    let mut history = History::default();
    for state in &states {
        converged(&mut history, state);
    }
    assert_eq!(history.before().map(|entry| entry.number), Some(2));
    let rollback = Rollback {
        to: 2,
        by: "bob".into(),
        reason: Some("slow".into()),
        since: at(1),
        files: String::new(),
        kept: Some(Box::new(Kept::of(history.get(2).unwrap(), &key()))),
        stand: Stand::Untried,
    };
    let mut declared = states[2].clone();
    declared.overrides.rollback = Some(rollback);
    assert!(!history.take_on(&declared, &actor(), &key(), at(3)), "not before it was brought back");
    let images = [("sha256:1".to_owned(), Image::default())].into();
    let observed = Observed { images, ..Observed::default() };
    let held = in_force(&declared, None, &observed);
    assert_eq!(held.overrides.rollback.as_ref().map(|it| &it.stand), Some(&Stand::Holds));
    assert!(history.take_on(&held, &actor(), &key(), at(3)));
    assert!(!history.take_on(&held, &actor(), &key(), at(4)));
    let last = history.newest().unwrap();
    assert_eq!(
        (last.number, last.rollback_to, last.same_as, last.by.as_deref()),
        (4, Some(2), Some(2), Some("bob"))
    );
    assert_eq!(history.get(3).map(|entry| entry.outcome), Some(Outcome::RolledBack));
    assert_eq!(history.before().map(|entry| entry.number), Some(1));
    assert_eq!(history.of_files().map(|entry| entry.number), Some(3));
    // The files are followed again.
    assert!(history.take_on(&states[2], &actor(), &key(), at(5)));
    assert_eq!(history.newest().and_then(|entry| entry.same_as), Some(3));
}

#[test]
fn what_cannot_be_brought_back_leaves_what_was_in_force_or_nothing() {
    let old = shop(|web| drop(web.spec.environment.insert("A".into(), Secret::new("gone"))));
    let mut declared = shop(|_| {});
    let kept = Some(Box::new(kept(&old)));
    let (by, reason, files, stand) = ("ann".to_owned(), None, String::new(), Stand::Untried);
    declared.overrides.rollback = Some(Rollback { to: 1, by, reason, since: at(0), files, kept, stand });
    let stands = |last: Option<&Desired>| in_force(&declared, last, &Observed::default());
    let nothing = stands(None);
    assert!(nothing.overrides.forbids(None, at(0)));
    let good = shop(|web| web.replicas = 7);
    let last = stands(Some(&good));
    assert_eq!(last.services["web"].replicas, 7);
    assert!(!last.overrides.forbids(None, at(0)));
    let message = last.overrides.rollback.unwrap().message();
    assert!(message.contains("variable A") && message.contains("operator resume"), "{message}");
}

#[test]
fn a_history_is_bounded_and_keeps_what_there_is_to_go_back_to() {
    let state = |value: usize| shop(|web| web.replicas = u32::try_from(value).unwrap());
    let mut history = History::default();
    converged(&mut history, &state(1));
    for value in 2..60 {
        assert!(history.take_on(&state(value), &actor(), &key(), at(0)));
    }
    assert_eq!(history.entries.len(), limits::REVISIONS);
    assert_eq!(history.before().map(|entry| entry.number), Some(1), "the one that worked");
    assert_eq!(history.newest().map(|entry| entry.number), Some(59));
    let numbers: Vec<u64> = history.entries.iter().map(|entry| entry.number).collect();
    assert!(numbers.is_sorted());
}

#[test]
fn changes_are_shown_as_the_diff_shows_them_and_secrets_are_hidden() {
    let before = with_secrets();
    let mut after = before.clone();
    let web = after.services.get_mut("web").unwrap();
    web.spec.environment.insert("MODE".into(), Secret::new("other"));
    web.resources.memory = Some(1 << 30);
    web.resources.nano_cpus = Some(1_500_000_000);
    web.replicas = 3;
    web.spec.command.as_mut().unwrap()[2] = "canary-other".into();
    after.services.insert("new".into(), Service { replicas: 2, ..Service::default() });
    let sealed = [&before, &after].map(|desired| Sealed::of(desired, &key()).unwrap());
    let changes = compare::changes(&sealed[0], &sealed[1]);
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let shown: Vec<String> = changes
        .iter()
        .map(|it| {
            format!("{} {} {}→{}", it.service.as_ref().unwrap(), it.field, text(&it.from), text(&it.to))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "new replicas →2",
            "web command app --password (hidden) --port 80→app --password (hidden) --port 80",
            "web environment.MODE (hidden)→(hidden)",
            "web replicas 1→3",
            "web resources.limits.cpus →1.5",
            "web resources.limits.memory →1G",
        ]
    );
}

#[test]
fn a_fingerprint_knows_every_change_but_where_things_are_written() {
    let one = with_secrets();
    let mut other = one.clone();
    let build = other.services.get_mut("web").unwrap().image.build.as_mut().unwrap();
    build.demands.insert(Demand::Secrets, "compose.yaml:9:9".into());
    assert_eq!(fingerprint(&one, &key()), fingerprint(&other, &key()));
    other.services.get_mut("web").unwrap().spec.environment.insert("MODE".into(), Secret::new("other"));
    assert_ne!(fingerprint(&one, &key()), fingerprint(&other, &key()));
}

#[test]
fn a_pinned_image_is_what_is_pulled() {
    let mut desired = shop(|web| web.image.pinned = Some("app@sha256:d".into()));
    desired.images_first = true;
    let observed = Observed { complete: true, ..Observed::default() };
    let view = super::super::view::View::new(&desired, &observed);
    let decision = super::super::decide::decide(&view, &super::super::memory::Memory::default(), at(0));
    let pulled = decision.actions.iter().any(
        |action| matches!(&action.call, Call::PullImage { reference, .. } if reference == "app@sha256:d"),
    );
    assert!(pulled, "{:?}", decision.actions);
}

/// An engine whose one container, made at 5, runs this image, and where the tag is of that one too.
fn running(id: &str) -> Observed {
    let image = Image { id: Some(ImageId::new(id)), ..Image::default() };
    let mut container = Container::created(ContainerId::new("c1"), "shop-web-1");
    container.labels.insert(super::super::labels::SERVICE.into(), "web".into());
    container.image_id = ImageId::new(id);
    container.created_at = at(5);
    let images = [("app:1".to_owned(), image.clone()), (id.to_owned(), image)].into();
    Observed { images, containers: [(container.id.clone(), container)].into(), ..Observed::default() }
}

const OLD: &str = "sha256:0123456789abcdef";
const NEW: &str = "sha256:fedcba9876543210";

/// Three revisions: another state, then this one with an old image and with a new one under the same tag.
fn rebuilt(desired: &Desired) -> History {
    let mut history = History::default();
    converged(&mut history, &shop(|web| web.replicas = 2));
    assert!(history.take_on(desired, &actor(), &key(), at(2)));
    assert!(history.stands(&moment(desired, &running(OLD), true, None), &actor()));
    let run = Actor { through: Through::Run, by: None };
    assert!(history.stands(&moment(desired, &running(NEW), true, None), &run));
    history
}

/// Goes back to a revision, and converges there, on an engine where the tag is still the new image's.
fn go_back(history: &mut History, files: &Desired, to: u64) -> Desired {
    let kept = Some(Box::new(Kept::of(history.get(to).unwrap(), &key())));
    let (by, reason, files_then, stand) = ("bob".to_owned(), None, String::new(), Stand::Untried);
    let mut declared = files.clone();
    declared.overrides.rollback =
        Some(Rollback { to, by, reason, since: at(9), files: files_then, kept, stand });
    let mut observed = running(NEW);
    observed.images.extend(running(OLD).images.into_iter().filter(|(name, _)| name == OLD));
    let held = in_force(&declared, None, &observed);
    assert!(history.take_on(&held, &actor(), &key(), at(9)));
    assert!(history.stands(&moment(&held, &observed, true, None), &actor()));
    held
}

fn image_changes(entry: &Entry) -> Vec<String> {
    let of_image = entry.changes.iter().filter(|change| change.field == "image");
    of_image.map(|it| format!("{} → {}", it.from.as_ref().unwrap(), it.to.as_ref().unwrap())).collect()
}

#[test]
fn another_image_under_the_same_tag_is_a_revision_of_its_own() {
    let desired = shop(|_| {});
    let mut history = rebuilt(&desired);
    let [_, old, new] = history.entries.as_slice() else { panic!("{:?}", history.entries) };
    assert_eq!((old.outcome, old.images["web"].id.as_ref()), (Outcome::Converged, Some(&ImageId::new(OLD))));
    assert_eq!((new.number, new.outcome, new.through), (3, Outcome::Converged, Through::Run));
    assert_eq!((new.same_as, new.rollback_to, new.by.as_deref()), (None, None, None));
    assert_eq!(new.images["web"].id, Some(ImageId::new(NEW)));
    assert_eq!((&new.sealed, &new.fingerprint), (&old.sealed, &old.fingerprint));
    assert_eq!(new.changes.len(), 1);
    assert_eq!(image_changes(new), ["app:1 (0123456789ab) → app:1 (fedcba987654)"]);
    assert_eq!((new.at, new.converged_at), (at(5), Some(at(9))), "since its first container was made");
    // Nothing of that is new any more, to whoever comes next either.
    assert!(!history.take_on(&desired, &actor(), &key(), at(10)));
    assert!(!history.stands(&moment(&desired, &running(NEW), true, None), &actor()));
    // The old one again, by its tag.
    assert!(history.stands(&moment(&desired, &running(OLD), true, None), &actor()));
    assert_eq!(history.newest().map(|it| (it.number, it.same_as)), Some((4, Some(2))));
}

#[test]
fn an_image_that_nothing_runs_or_that_does_not_get_there_is_no_revision() {
    let desired = shop(|_| {});
    let mut history = rebuilt(&desired);
    let known = history.clone();
    let failed = running("sha256:broken");
    assert!(!history.stands(&moment(&desired, &failed, false, Some("crashes")), &actor()));
    let nothing = Observed { containers: BTreeMap::new(), ..running("sha256:other") };
    assert!(!history.stands(&moment(&desired, &nothing, true, None), &actor()), "its tag has moved, no more");
    assert_eq!(history, known);
}

#[test]
fn a_rollback_goes_to_the_image_before_and_stays_with_it() {
    let desired = shop(|_| {});
    let mut history = rebuilt(&desired);
    let newest = |history: &History| history.newest().unwrap().clone();
    let can_go = |history: &History, to: u64| history.get(to).unwrap().is_other_than(&newest(history));
    assert_eq!(history.before().map(|it| it.number), Some(2));
    assert_eq!([1, 2, 3].map(|to| can_go(&history, to)), [true, true, false]);
    let held = go_back(&mut history, &desired, 2);
    assert_eq!(held.services["web"].image_reference(), OLD, "by its id, whatever the tag says");
    let entry = newest(&history);
    assert_eq!((entry.number, entry.rollback_to, entry.same_as), (4, Some(2), Some(2)));
    assert_eq!(image_changes(&entry), ["app:1 (fedcba987654) → app:1 (0123456789ab)"]);
    assert_eq!(history.get(3).map(|it| it.outcome), Some(Outcome::RolledBack));
    // It holds, and no look at it is a revision.
    for observed in [running(OLD), running(NEW)] {
        assert!(!history.take_on(&held, &actor(), &key(), at(10)));
        assert!(!history.stands(&moment(&held, &observed, true, None), &actor()));
    }
    assert_eq!(history.before().map(|it| it.number), Some(1), "further back");
    assert_eq!([1, 2, 3].map(|to| can_go(&history, to)), [true, false, true]);
    go_back(&mut history, &desired, 3);
    assert_eq!(history.before().map(|it| it.number), Some(2));
    go_back(&mut history, &desired, 2);
    // The files again, with what their tag means now.
    assert!(history.take_on(&desired, &actor(), &key(), at(11)));
    assert_eq!(history.before().map(|it| it.number), Some(6), "the new image may crash: it ran before");
    assert!(history.stands(&moment(&desired, &running(NEW), true, None), &actor()));
    let entry = newest(&history);
    assert_eq!((entry.number, entry.same_as), (7, Some(5)));
    assert_eq!(image_changes(&entry), ["app:1 (0123456789ab) → app:1 (fedcba987654)"]);
}

#[test]
fn a_change_of_the_files_tells_of_a_new_image_too_and_images_do_not_make_a_history_longer() {
    let mut history = rebuilt(&shop(|_| {}));
    let desired = shop(|web| web.replicas = 5);
    assert!(history.take_on(&desired, &actor(), &key(), at(6)));
    assert!(history.stands(&moment(&desired, &running(OLD), true, None), &actor()));
    let fields: Vec<&str> =
        history.newest().unwrap().changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["image", "replicas"]);
    for build in 0..60 {
        let observed = running(&format!("sha256:{build}"));
        assert!(history.stands(&moment(&desired, &observed, true, None), &actor()));
    }
    assert_eq!(history.entries.len(), limits::REVISIONS);
    assert_eq!(history.newest().map(|it| it.number), Some(64));
    assert_eq!(history.before().map(|it| it.number), Some(63));
}
