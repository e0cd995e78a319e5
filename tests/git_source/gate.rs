//! Which commits come into force when: windows of time, and the word of a person.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use compose_operator::compose::LoadOptions;
use compose_operator::core::diff::Impact;
use compose_operator::core::time::Timestamp;
use compose_operator::source::declared;
use compose_operator::source::git::gate::{Effect, Weigh};
use compose_operator::source::git::{GitSource, Settings};
use compose_operator::store::sources::{Approval, Ask, Sources};

use crate::http::Server;
use crate::repository::{Followed, Repository, replicas};

/// A wall clock that somebody sets, and that goes on from there.
#[derive(Clone)]
struct Wall {
    set_to: Rc<Cell<i64>>,
    since: Instant,
}

impl Wall {
    fn at(text: &str) -> Self {
        let wall = Self { set_to: Rc::default(), since: Instant::now() };
        wall.set(text);
        wall
    }

    fn set(&self, text: &str) {
        let at: jiff::Timestamp = text.parse().unwrap();
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap();
        self.set_to.set(at.as_millisecond() - passed);
    }

    fn read(&self) -> Timestamp {
        Timestamp::from_millis(self.set_to.get()).after(self.since.elapsed())
    }
}

/// What the source of a file with this `sync` is.
fn settings(repository: &Repository, sync: &str) -> Settings {
    settings_of(repository, "shop", sync)
}

fn settings_of(repository: &Repository, url: &str, sync: &str) -> Settings {
    let file = repository.path("sources.yaml");
    let text = format!(
        "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {{name: shop}}\nspec:\n  git: {{url: \"{url}\", path: manifests}}\n  sync: {sync}\n"
    );
    std::fs::write(&file, text).unwrap();
    let options = LoadOptions { working_dir: repository.path(""), ..LoadOptions::default() };
    declared::read(Path::new("sources.yaml"), &options, None).unwrap().remove(0)
}

/// More than two replicas restart the one service.
fn weigh() -> Weigh {
    Rc::new(|_, after| {
        let many =
            after.iter().flat_map(|stack| stack.desired.services.iter()).filter(|(_, it)| it.replicas > 2);
        Some(many.map(|(name, _)| Effect { on: name.to_string(), impact: Impact::Restart }).collect())
    })
}

async fn follow(repository: &Repository, sync: &str, wall: &Wall) -> Followed {
    follow_with(repository, settings(repository, sync), wall).await
}

async fn follow_with(repository: &Repository, settings: Settings, wall: &Wall) -> Followed {
    let source = GitSource::open(settings, &repository.state()).unwrap();
    let wall = wall.clone();
    let mut followed =
        repository.begin(source.weighing(weigh()).by_the_clock(Rc::new(move || wall.read()))).await;
    followed.load();
    followed
}

fn approve(repository: &Repository, commit: &str, over: Option<&str>) {
    let (commit, over) = (commit.to_owned(), over.map(str::to_owned));
    let approval = Approval { commit, over, at: Timestamp::from_millis(1), by: "bob".into() };
    Sources::new(&repository.state()).approve("shop", &approval).unwrap();
}

fn sync(repository: &Repository, at: i64) {
    let ask = Ask { at: Timestamp::from_millis(at), by: "bob".into(), revision: None };
    Sources::new(&repository.state()).ask("shop", &ask).unwrap();
}

const NIGHT: &str = "{windows: [{kind: deny, schedule: '0 22 * * *', duration: 10h}]}";

/// Whether nothing comes of it for a while.
async fn stays(followed: &mut Followed, count: u32) {
    let changed = compose_operator::source::Source::changed(&mut followed.source);
    let changed = tokio::time::timeout(Duration::from_millis(600), changed).await;
    assert!(changed.is_err() && followed.load() == Some(count), "{:?}", followed.standing());
}

#[tokio::test]
async fn a_commit_waits_for_its_window_and_comes_into_force_by_itself() {
    let repository = Repository::new();
    let wall = Wall::at("2026-11-30T12:00:00Z");
    let mut followed = follow(&repository, NIGHT, &wall).await;
    assert_eq!(followed.load(), Some(1), "by day");
    wall.set("2026-11-30T23:00:00Z");
    let two = repository.replicas(2);
    let loaded = followed.next().await;
    assert_eq!((replicas(&loaded), loaded.faults.len()), (Some(1), 0), "what is held is no fault");
    let held = followed.standing().held.unwrap();
    assert_eq!((held.commit.hash.as_str(), held.awaits_approval), (two.as_str(), false));
    let told = held.to_string();
    assert!(
        told.contains("2 of them) is held until 2026-12-01 08:00 UTC: in the window deny \"0 22"),
        "{told}"
    );
    // Another process finds it so, too.
    let mut followed = follow(&repository, NIGHT, &wall).await;
    followed.until("held", |it| it.held.is_some()).await;
    stays(&mut followed, 1).await;
    wall.set("2026-12-01T08:00:00Z");
    let mut followed = follow(&repository, NIGHT, &wall).await;
    assert_eq!(replicas(&followed.next().await), Some(2), "and one that starts when it is open");
}

#[tokio::test]
async fn a_window_that_opens_wakes_it_without_a_look_at_the_repository() {
    let repository = Repository::new();
    let wall = Wall::at("2026-11-30T12:00:00Z");
    follow(&repository, NIGHT, &wall).await;
    repository.replicas(2);
    wall.set("2026-12-01T07:59:57Z");
    let mut followed = follow(&repository, NIGHT, &wall).await;
    followed.until("held", |it| it.held.is_some()).await;
    let asked = followed.standing().asked_at;
    std::fs::rename(repository.work(), repository.path("away")).unwrap();
    assert_eq!(replicas(&followed.next().await), Some(2));
    let standing = followed.standing();
    assert_eq!((standing.held, standing.asked_at), (None, asked));
    assert!(wall.read() >= Wall::at("2026-12-01T08:00:00Z").read());
}

#[tokio::test]
async fn a_revert_is_never_held_and_a_broken_commit_is_refused_at_once() {
    let repository = Repository::new();
    let wall = Wall::at("2026-11-30T12:00:00Z");
    let mut followed = follow(&repository, NIGHT, &wall).await;
    wall.set("2026-11-30T23:00:00Z");
    repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(1));
    repository.write("manifests/shop.yaml", "apiVersion: compose-operator/v1\nkind: Stack\n");
    repository.commit("Break it");
    let loaded = followed.next().await;
    let standing = followed.standing();
    assert!(!loaded.faults.is_empty() && standing.refused.is_some() && standing.held.is_none());
    repository.git(&["reset", "-q", "--hard", "HEAD~2"]);
    let loaded = followed.next().await;
    let standing = followed.standing();
    assert_eq!((replicas(&loaded), standing.held, standing.refused), (Some(1), None, None));
}

#[tokio::test]
async fn nothing_comes_into_force_outside_its_windows_the_first_commit_neither() {
    let repository = Repository::new();
    let wall = Wall::at("2026-11-30T23:00:00Z");
    let mut followed = follow(&repository, NIGHT, &wall).await;
    assert_eq!(followed.load(), None);
    assert!(followed.standing().held.is_some() && followed.standing().in_force.is_none());
}

#[tokio::test]
async fn a_person_goes_through_a_window_that_lets_them_once() {
    let repository = Repository::new();
    let manual = NIGHT.replace("10h", "10h, manual: true");
    let wall = Wall::at("2026-11-30T12:00:00Z");
    let mut followed = follow(&repository, &manual, &wall).await;
    wall.set("2026-11-30T23:00:00Z");
    repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(1));
    sync(&repository, 1);
    assert_eq!(replicas(&followed.next().await), Some(2));
    repository.replicas(3);
    assert_eq!(replicas(&followed.next().await), Some(1 + 1), "one word, one look");
    // What was asked before it came is nothing to another process.
    let mut followed = follow(&repository, &manual, &wall).await;
    followed.until("held", |it| it.held.is_some()).await;
    stays(&mut followed, 2).await;
    let mut followed = follow(&repository, NIGHT, &wall).await;
    followed.until("held", |it| it.held.is_some()).await;
    sync(&repository, 2);
    followed.until("heeded", |it| it.heeded.as_ref().is_some_and(|ask| ask.at.as_millis() == 2)).await;
    assert_eq!(followed.load(), Some(2), "this one lets nobody");
}

#[tokio::test]
async fn a_commit_that_restarts_something_waits_for_a_word_that_is_of_it_alone() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    let wall = Wall::at("2026-11-30T12:00:00Z");
    let mut followed = follow(&repository, "{approve: restart}", &wall).await;
    assert_eq!(followed.load(), Some(1), "there is nothing yet that the first could restart");
    let two = repository.replicas(2);
    assert_eq!(replicas(&followed.next().await), Some(2), "it restarts nothing");
    let three = repository.replicas(3);
    assert_eq!(replicas(&followed.next().await), Some(2));
    let told = followed.standing().held.unwrap().to_string();
    let way_out =
        format!("held: needs approval: restarts web; `operator approve shop@{}` gives it", &three[..12]);
    assert!(told.ends_with(&way_out), "{told}");
    // Words of another commit, or of another step to this one.
    approve(&repository, &two, Some(&first));
    stays_or_loads(&mut followed, 2).await;
    approve(&repository, &three, Some(&first));
    stays_or_loads(&mut followed, 2).await;
    // Another process, and a repository that is away.
    let mut followed = follow(&repository, "{approve: restart}", &wall).await;
    followed.until("held", |it| it.held.is_some()).await;
    std::fs::rename(repository.work(), repository.path("away")).unwrap();
    approve(&repository, &three, Some(&two));
    assert_eq!(replicas(&followed.next().await), Some(3));
    assert_eq!(followed.standing().held, None);
    std::fs::rename(repository.path("away"), repository.work()).unwrap();
    followed.source.bell().ring();
    repository.replicas(4);
    assert_eq!(replicas(&followed.next().await), Some(3), "each needs its own");
    assert!(followed.standing().held.unwrap().awaits_approval);
}

#[tokio::test]
async fn a_word_is_heeded_while_a_server_does_not_answer() {
    let repository = Repository::new();
    let server = Server::start(&repository.path(""), None);
    let wall = Wall::at("2026-11-30T12:00:00Z");
    let settings = settings_of(&repository, &server.url("shop/.git"), "{approve: restart}");
    let mut followed = follow_with(&repository, settings, &wall).await;
    let first = repository.git(&["rev-parse", "HEAD"]);
    let three = repository.replicas(3);
    followed.source.bell().ring();
    assert_eq!(replicas(&followed.next().await), Some(1));
    assert!(followed.standing().held.unwrap().awaits_approval);
    server.hang();
    followed.source.bell().ring();
    followed.until("kept waiting", |_| server.has_visitor()).await;
    approve(&repository, &three, Some(&first));
    let start = Instant::now();
    assert_eq!(replicas(&followed.next().await), Some(3));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Nothing new is in force after a while, whatever was loaded.
async fn stays_or_loads(followed: &mut Followed, count: u32) {
    let changed = compose_operator::source::Source::changed(&mut followed.source);
    let _ = tokio::time::timeout(Duration::from_millis(600), changed).await;
    assert_eq!(followed.load(), Some(count), "{:?}", followed.standing());
}

#[tokio::test]
async fn where_all_need_a_word_the_first_does_too_and_it_opens_no_window() {
    let repository = Repository::new();
    let first = repository.git(&["rev-parse", "HEAD"]);
    let wall = Wall::at("2026-11-30T23:00:00Z");
    let all = NIGHT.replace('{', "{approve: all, ").replacen("[{approve: all, ", "[{", 1);
    let mut followed = follow(&repository, &all, &wall).await;
    assert_eq!(followed.load(), None);
    assert!(followed.standing().held.unwrap().why.contains("every commit does"));
    approve(&repository, &first, None);
    assert_eq!(replicas(&followed.next().await), None);
    let held = followed.standing().held.unwrap();
    assert!(!held.awaits_approval && held.why.contains("in the window"), "{held:?}");
    wall.set("2026-12-01T08:00:00Z");
    let mut followed = follow(&repository, &all, &wall).await;
    assert_eq!(followed.load(), Some(1), "the word outlives the process");
}
