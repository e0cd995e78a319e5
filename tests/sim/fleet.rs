//! Several stacks of one source: those that wait for others, and those whose manifests are gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::compose::{Diagnostic, LoadOptions, MemoryFiles};
use compose_operator::controller::fleet::{self, Note, Spared, Watch};
use compose_operator::controller::gate::Gate;
use compose_operator::controller::reconcile::Reconciler;
use compose_operator::controller::report::{Report, Silent};
use compose_operator::core::decide::Waiting;
use compose_operator::core::desired::Desired;
use compose_operator::core::ids::StackName;
use compose_operator::core::observed::State;
use compose_operator::engine::sim::{Behaviour, CallKind, Checks, Latencies, OnStop, Subject};
use compose_operator::source::Source;
use compose_operator::source::many::Many;
use compose_operator::stack::{self, Loaded};
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture, join};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::stage::{START, Stage, Words, id_of, service, stack, with};

/// A directory of manifests that is written and read.
#[derive(Clone, Default)]
struct Directory(Rc<(RefCell<BTreeMap<String, String>>, Notify)>);

impl Directory {
    /// Writes a manifest and its Compose file: one service `web` (of a database `db`) of this image.
    fn write(&self, name: &str, spec: &str, image: &str) {
        let manifest = format!(
            "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: {name}}}\nspec:\n  compose: {{files: [../{name}.yaml]}}\n{spec}"
        );
        let service = if name == "zdb" { "db" } else { "web" };
        let compose = format!("services: {{{service}: {{image: '{image}', restart: unless-stopped}}}}\n");
        let mut files = self.0.0.borrow_mut();
        files.insert(format!("/w/m/{name}.yaml"), manifest);
        files.insert(format!("/w/{name}.yaml"), compose);
        drop(files);
        self.0.1.notify_one();
    }

    fn remove(&self, names: &[&str]) {
        for name in names {
            self.0.0.borrow_mut().remove(&format!("/w/m/{name}.yaml"));
        }
        self.0.1.notify_one();
    }

    fn load(&self) -> Loaded {
        let files = self.0.0.borrow();
        let view = files.iter().fold(MemoryFiles::new(), |view, (path, text)| view.with(path, text.as_str()));
        let options = LoadOptions {
            files: vec![PathBuf::from("/w/m")],
            working_dir: "/w".into(),
            ..LoadOptions::default()
        };
        stack::load(&options, &view)
    }
}

impl Source for Directory {
    fn load(&mut self) -> Loaded {
        Directory::load(self)
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        self.0.1.notified().boxed_local()
    }
}

/// Writes down what it hears.
#[derive(Default)]
struct Ear {
    told: RefCell<Vec<String>>,
    known: Vec<&'static str>,
}

impl Ear {
    fn note(&self, line: String) {
        self.told.borrow_mut().push(line);
    }
}

impl Watch for Ear {
    fn stack(&self, _: &StackName, note: Note) -> Box<dyn Report> {
        Box::new(note)
    }

    fn knew(&self, stack: &StackName) -> bool {
        self.known.contains(&stack.as_str())
    }

    fn read(&self, faults: &[Diagnostic]) {
        for fault in faults {
            self.note(fault.headline());
        }
    }

    fn joined(&self, stack: &StackName) {
        self.note(format!("{stack} joins"));
    }

    fn waits(&self, desired: &Desired, waiting: Option<&Waiting>) {
        let Some(Waiting { message, stuck, .. }) = waiting else {
            return self.note(format!("{} waits no longer", desired.stack));
        };
        let short = message.split(" (`dependsOn`)").next().unwrap_or_default();
        self.note(format!("{}{} {short}", desired.stack, if *stuck { " for ever" } else { "" }));
    }

    fn left(&self, stack: &StackName, spared: Option<Spared>) {
        self.note(format!(
            "{stack} is left{}",
            spared.map(|why| format!(": {}", why.why())).unwrap_or_default()
        ));
    }

    fn removes(&self, stack: &StackName) {
        self.note(format!("{stack} goes"));
    }

    fn removed(&self, stack: &StackName) {
        self.note(format!("{stack} is gone"));
    }
}

/// A daemon over the directory, until the story is told; what it has said.
fn tell(stage: &Stage, directory: &Directory, ear: Ear, story: impl Future<Output = ()>) -> Vec<String> {
    tell_of(stage, &mut directory.clone(), ear, story)
}

fn tell_of(stage: &Stage, source: &mut dyn Source, ear: Ear, story: impl Future<Output = ()>) -> Vec<String> {
    let report = Silent;
    let stop = CancellationToken::new();
    let first = (source.load(), stage.clock.now());
    let run = fleet::run(stage.reconciler(&report), first, source, &ear, stop.clone());
    let story = async {
        story.await;
        stop.cancel();
    };
    stage.clock.run(async { join(run, story).await }).expect("it ends");
    ear.told.into_inner()
}

/// The image of each stack's container that runs.
fn running(stage: &Stage) -> Vec<String> {
    stage.engine.look(|world| {
        let all = world.containers().values().filter(|sim| sim.container.state == State::Running);
        let mut all: Vec<String> =
            all.map(|sim| format!("{} {}", sim.container.name, sim.container.spec.image)).collect();
        all.sort();
        all
    })
}

async fn pass(stage: &Stage, seconds: u64) {
    stage.clock.sleep(Duration::from_secs(seconds)).await;
}

const DELETE: &str = "  deletionPolicy: Delete\n";

/// Four stacks, of which the first two are to go with their manifests.
fn four() -> Directory {
    let directory = Directory::default();
    for (name, spec) in [("a", DELETE), ("b", DELETE), ("c", ""), ("d", "")] {
        directory.write(name, spec, "app:1");
    }
    directory
}

fn without(names: &[&str]) -> Vec<String> {
    let all = ["a", "b", "c", "d"].into_iter().filter(|name| !names.contains(name));
    all.map(|name| format!("{name}-web-1 app:1")).collect()
}

#[test]
fn a_stack_goes_with_its_manifest_where_that_says_so_and_no_sooner_than_it_is_surely_gone() {
    let (stage, directory) = (Stage::new(), four());
    let told = tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 60).await;
        directory.remove(&["a", "c"]);
        pass(&stage, 5).await;
        assert_eq!(running(&stage), without(&[]), "it may come back in a moment");
        pass(&stage, 60).await;
        assert_eq!(running(&stage), without(&["a"]));
    });
    assert_eq!(told, ["a joins", "b joins", "c joins", "d joins", "c is left", "a goes", "a is gone"]);
    let networks = stage.engine.look(|world| format!("{:?}", world.networks()));
    assert!(!networks.contains("a_default") && networks.contains("c_default"), "{networks}");
}

#[test]
fn a_manifest_that_comes_back_while_its_stack_goes_brings_it_back() {
    let (stage, directory) = (Stage::new(), four());
    let slow =
        Behaviour { on_stop: OnStop::Exits { code: 0, after: Duration::from_secs(8) }, ..Behaviour::runs() };
    stage.behaves(&Subject::Container("a-web-1".into()), vec![slow]);
    let told = tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 60).await;
        directory.remove(&["a"]);
        pass(&stage, 3).await;
        directory.write("a", DELETE, "app:1");
        pass(&stage, 30).await;
        assert_eq!(stage.engine.mutations().iter().filter(|call| call.contains("stop")).count(), 0);
        directory.remove(&["a"]);
        pass(&stage, 12).await;
        directory.write("a", DELETE, "app:1");
        pass(&stage, 60).await;
        assert_eq!(running(&stage), without(&[]));
    });
    assert_eq!(told[4..], ["a goes"], "it never was gone: {told:?}");
}

#[test]
fn what_may_be_a_mistake_removes_nothing() {
    let too_many = "b is left: more than 30 % of the stacks would go at once";
    let all = ["a", "b", "c", "d"];
    for (gone, last) in
        [(&all[..2], too_many), (&all[..], "/w/m: the file cannot be read: no such file or directory")]
    {
        let (stage, directory) = (Stage::new(), four());
        let told = tell(&stage, &directory, Ear::default(), async {
            pass(&stage, 60).await;
            directory.remove(gone);
            pass(&stage, 60).await;
        });
        assert_eq!(told.last().map(String::as_str), Some(last), "{told:?}");
        assert_eq!(running(&stage), without(&[]));
    }
    // Another one that is broken: the first may only be in it.
    let (stage, directory) = (Stage::new(), four());
    tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 60).await;
        directory.write("c", "  prune: maybe\n", "app:1");
        directory.remove(&["a"]);
        pass(&stage, 60).await;
    });
    assert_eq!(running(&stage), without(&[]));
    // A daemon that starts knows nothing of it.
    directory.write("c", "", "app:1");
    tell(&stage, &directory, Ear::default(), pass(&stage, 60));
    assert_eq!(running(&stage), without(&[]));
}

/// A database whose probe passes 20 s after each start, and a shop that waits for it.
fn shop_after_database(stage: &Stage) -> Directory {
    let directory = Directory::default();
    directory.write("shop", AFTER, "app:1");
    directory.write("zdb", PROBED, "app:1");
    let ready = Behaviour::runs().answering(Checks::PassAfter(Duration::from_secs(20)));
    stage.service_behaves("db", vec![ready]);
    directory
}

const AFTER: &str = "  dependsOn: [zdb]\n";
const PROBED: &str = "  services: {db: {readinessProbe: {tcp: {port: 1}, periodSeconds: 1}}}\n";

#[test]
fn a_stack_begins_once_those_that_it_depends_on_are_ready() {
    let stage = Stage::new();
    let directory = shop_after_database(&stage);
    let told = tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 15).await;
        assert_eq!(running(&stage), ["zdb-db-1 app:1"]);
        pass(&stage, 30).await;
        assert_eq!(running(&stage), ["shop-web-1 app:1", "zdb-db-1 app:1"]);
    });
    let waits = "shop waits for the stack `zdb` to be ready";
    assert_eq!(told, [waits, "zdb joins", "shop waits no longer", "shop joins"]);
}

#[test]
fn what_the_files_say_is_taken_on_in_order_and_what_runs_is_healed_meanwhile() {
    let stage = Stage::new();
    let directory = shop_after_database(&stage);
    let told = tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 60).await;
        directory.write("shop", AFTER, "app:2");
        directory.write("zdb", PROBED, "app:2");
        pass(&stage, 10).await;
        stage.engine.act(|world| {
            let id = id_of(world, "shop-web-1");
            world.kill(&id, "SIGKILL").expect("it runs");
        });
        pass(&stage, 5).await;
        let shop = running(&stage).into_iter().find(|it| it.starts_with("shop"));
        assert_eq!(shop.as_deref(), Some("shop-web-1 app:1"), "healed, by what it was");
        pass(&stage, 120).await;
        assert_eq!(running(&stage), ["shop-web-2 app:2", "zdb-db-2 app:2"]);
    });
    let waits = "shop waits for the stack `zdb` to be ready";
    assert_eq!(told[4..], [waits, "shop waits no longer"]);
}

#[test]
fn stacks_of_two_sources_that_wait_for_each_other_are_told_to_wait_for_ever_until_one_of_them_does_not() {
    let stage = Stage::new();
    let (one, other) = (Directory::default(), Directory::default());
    one.write("a", "  dependsOn: [b]\n", "app:1");
    one.write("c", "  dependsOn: [a]\n", "app:1");
    other.write("b", "  dependsOn: [a]\n", "app:1");
    let mut both = Many::new(vec![Box::new(one.clone()), Box::new(other.clone())]);
    let told = tell_of(&stage, &mut both, Ear::default(), async {
        pass(&stage, 60).await;
        assert_eq!(running(&stage), Vec::<String>::new());
        other.write("b", "", "app:1");
        pass(&stage, 60).await;
        assert_eq!(running(&stage), ["a-web-1 app:1", "b-web-1 app:1", "c-web-1 app:1"]);
    });
    let begins = [
        "a for ever waits for itself: a → b → a",
        "b for ever waits for itself: b → a → b",
        "c waits for the stack `a` to be ready",
        "b joins",
        "a waits for the stack `b` to be ready",
        "b waits no longer",
    ];
    let mut sorted = told.clone();
    sorted.sort();
    let mut expected: Vec<&str> = begins.into_iter().collect();
    expected.extend(["a joins", "a waits no longer", "c joins", "c waits no longer"]);
    expected.sort_unstable();
    assert_eq!(sorted, expected, "{told:?}");
}

#[test]
fn one_that_is_not_ready_any_more_takes_nothing_back() {
    let stage = Stage::new();
    let directory = shop_after_database(&stage);
    tell(&stage, &directory, Ear::default(), async {
        pass(&stage, 60).await;
        let never = Behaviour::runs().answering(Checks::Fail);
        stage.service_behaves("db", vec![never]);
        stage.engine.act(|world| {
            for name in ["zdb-db-1", "shop-web-1"] {
                let id = id_of(world, name);
                world.kill(&id, "SIGKILL").expect("it runs");
            }
        });
        pass(&stage, 60).await;
        assert_eq!(running(&stage), ["shop-web-1 app:1", "zdb-db-1 app:1"], "healed");
        directory.write("shop", AFTER, "app:2");
        pass(&stage, 60).await;
        assert_eq!(running(&stage)[0], "shop-web-1 app:1", "but nothing new is taken on");
    });
}

#[test]
fn a_daemon_that_starts_again_heals_what_it_knew_without_waiting() {
    let stage = Stage::new();
    let directory = Directory::default();
    directory.write("shop", "  dependsOn: [elsewhere]\n", "app:1");
    let told = tell(&stage, &directory, Ear::default(), pass(&stage, 60));
    assert_eq!(
        (told, running(&stage)),
        (vec!["shop waits for `elsewhere`, which no manifest here declares".to_owned()], Vec::new())
    );
    let ear = Ear { known: vec!["shop"], ..Ear::default() };
    let told = tell(&stage, &directory, ear, async {
        pass(&stage, 60).await;
        directory.write("shop", "  dependsOn: [elsewhere]\n", "app:2");
        pass(&stage, 60).await;
    });
    assert_eq!(
        (told, running(&stage)),
        (
            vec![
                "shop joins".to_owned(),
                "shop waits for `elsewhere`, which no manifest here declares".to_owned()
            ],
            vec!["shop-web-1 app:1".to_owned()]
        )
    );
}

#[test]
fn what_waits_for_other_calls_does_not_begin_once_its_loop_is_told_to_stop() {
    let stage = Stage::new();
    let slow = Latencies::default().with(CallKind::PullImage, Duration::from_mins(1));
    stage.engine.set_latencies(slow);
    let desired = with(with(stack(), "api", service(1)), "web", service(1).image("app:2"));
    let gate = Gate::new(1);
    let reconciler = Reconciler { gate: Some(&gate), ..stage.reconciler(&Silent) };
    let stop = stage.clock.sleep(Duration::from_secs(5));
    let run = reconciler.run(desired, futures_util::stream::pending().boxed_local(), stop);
    stage.clock.run(run).expect("it ends");
    let images = |call: &&String| call.contains("app:");
    let calls = stage.engine.mutations();
    assert_eq!(calls.iter().filter(images).count(), 1, "{calls:?}");
    assert_eq!(stage.clock.now().since(START).as_secs(), 60, "the one under way has ended");
}
