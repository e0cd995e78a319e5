//! `operator run`: the daemon.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use futures_util::future::{FutureExt, join, join_all};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::api::{self, Api, ApiArgs};
use super::apply::{Allow, allowed};
use super::args::{Cli, EngineKind, duration};
use super::commit_status;
use super::commits::Commits;
use super::exit::Exit;
use super::followed::{Followed, SourceArgs};
use super::log::{self, Log};
use super::owner::Machine;
use super::render::shown;
use super::screen::Screen;
use super::standing::{Refusal, Scribe};
use super::supervisor::Supervisor;
use super::weigh::weigh;
use super::{engine, files, followed, standing};
use crate::clock::Clock;
use crate::compose::errors::{Diagnostic, Diagnostics};
use crate::controller::fleet::{self, Note, Spared, Watch};
use crate::controller::gate::Gate;
use crate::controller::mounted;
use crate::controller::reconcile::Reconciler;
use crate::controller::report::{Both, Report};
use crate::core::decide::Waiting;
use crate::core::desired::Desired;
use crate::core::event::{Event, EventKind};
use crate::core::ids::StackName;
use crate::core::limits::DEFAULT_PARALLEL;
use crate::core::time::Timestamp;
use crate::engine::WriteEngine;
use crate::notify::Postmaster;
use crate::notify::commit_status::CommitStatuses;
use crate::server::webhook::Hook;
use crate::source::Source;
use crate::source::files::Files;
use crate::source::git::gate::Weigh;
use crate::source::git::{GitSource, MountedSince};
use crate::source::many::Many;
use crate::source::overlaid::Overlaid;
use crate::stack::Stack;
use crate::store::journal::Journals;
use crate::store::outbox::Outboxes;
use crate::store::overrides::Overlays;
use crate::store::owner::Lock;
use crate::store::sources::Sources;

/// What `operator run --help` says.
pub const LONG: &str = "Converge, then stay: heal, follow the files, correct drift.\n\n\
The engine's events and changes of the manifest, the Compose files and their env files wake it; a full look at \
everything follows now and then in any case. Files that do not parse change nothing: the last good ones stay in \
force, and status says so. It answers on `operator.sock` in the state directory, and over the network with --listen: \
whether it is well (/healthz, /readyz), metrics for Prometheus (/metrics), and what the commands print as JSON (/v1/status, \
/v1/events, /v1/history). SIGTERM ends it and leaves the containers running.";

/// Arguments of `run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator run                                    the nearest stack
  operator run -f manifests/ --log-format json    all stacks of a directory, under a supervisor
  operator run --source https://git.example.com/shop.git@main --path manifests/
                                                  what is committed there, as it is committed
  operator run --listen 127.0.0.1:9464 --token-file token    metrics for Prometheus over the network
  curl --unix-socket /var/lib/compose-operator/operator.sock http://operator/metrics")]
pub struct RunArgs {
    /// The repositories that are followed.
    #[command(flatten)]
    pub followed: SourceArgs,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Look at everything again this often, whatever the events said
    #[arg(long, value_name = "DURATION", value_parser = resync, default_value = "5m")]
    pub resync: Duration,
    /// Agree to something that is refused otherwise (repeatable)
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<Allow>,
    /// How many engine calls that change something may be under way at once, of all stacks together. Starts, and pulls with
    /// builds, count by themselves, hooks and stops not at all
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Where it answers over HTTP.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// A full look asks for everything: more often than this it would do nothing else.
fn resync(text: &str) -> Result<Duration, String> {
    let least = Duration::from_secs(1);
    duration(text)
        .and_then(|read| if read < least { Err(format!("`{text}` is less than a second")) } else { Ok(read) })
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Looks after the stacks until SIGTERM or Ctrl-C.
pub fn run(args: &RunArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    if cli.engine.engine == EngineKind::Sim {
        anyhow::bail!("`run` needs a real engine: on the simulated one, `apply` shows all that would happen");
    }
    log::start(args.log_format, cli.output.verbose, screen.colours_notes())?;
    let engine::Opened { engine, clock, drive } = engine::writer(&cli.engine)?;
    let engine: Rc<dyn WriteEngine> = Rc::from(engine);
    let state = standing::directory();
    let mounted_since = mounted_since(&engine, &clock);
    let Following { source, followed, hooks, locks: _locks } =
        drive.block_on(follow(args, cli, &state, &mounted_since))??;
    let mut source = Overlaid::new(source, Overlays::new(&state));
    let read_at = standing::now();
    let first = source.load();
    if first.stacks.is_empty() && args.followed.sources.is_empty() {
        // There is no last good state yet that could stay in force.
        return Err(Diagnostics { faults: first.faults }.into());
    }
    for warning in first.warnings.iter().chain(first.stacks.iter().flat_map(|stack| &stack.warnings)) {
        files::warn(warning, screen);
    }
    let has_nothing = first.stacks.is_empty();
    let machine = Machine::new(&state, |warning| warn!("{warning}"));
    let scribe = Scribe::new(state.clone());
    let sources = Sources::new(&state);
    let statuses = CommitStatuses::new(Rc::clone(&clock), followed.code_hosts(), sources.clone());
    let api = Api::new(&args.api, &state, scribe.clone(), &clock, (Box::new(followed), hooks))?;
    let daemon = Daemon {
        postmaster: Rc::new(Postmaster::new(Rc::clone(&clock), host(), Outboxes::new(&state))),
        statuses: Rc::new(statuses),
        commits: Rc::new(Commits::new(sources.clone(), Journals::new(&state))),
        sources,
        scribe,
        api: Rc::new(api),
        supervisor: Supervisor::of_environment(),
        told: RefCell::default(),
    };
    let gate = Gate::new(args.parallel.into());
    let reconciler = Reconciler {
        engine: &*engine,
        clock: &*clock,
        // Each stack gets its own.
        report: &crate::controller::report::Silent,
        owners: &machine,
        parallel: args.parallel.into(),
        gate: Some(&gate),
        allowed: allowed(args.allow.iter().copied()),
        resync: args.resync,
        heartbeat: Some(api::heartbeat(daemon.supervisor.heartbeat())),
        world_moves: true,
    };
    info!(version = env!("CARGO_PKG_VERSION"), engine = engine.location(), "operator starts");
    let stop = CancellationToken::new();
    drive.block_on(async {
        let mut fleet =
            std::pin::pin!(fleet::run(reconciler, (first, read_at), &mut source, &daemon, stop.clone()));
        let mut post = std::pin::pin!(join(daemon.postmaster.work(), daemon.statuses.work()));
        if has_nothing {
            daemon.supervisor.begun();
        }
        let mut fed = std::pin::pin!(daemon.supervisor.watch_over_nothing());
        // Last of all: whoever asks a lot takes nothing from those that heal and tell.
        let mut served = std::pin::pin!(daemon.api.serve(&stop));
        let ended = tokio::select! {
            biased;
            ended = asked_to_end() => {
                ended?;
                info!("operator ends; calls under way are finished first, containers keep running");
                daemon.supervisor.stopping();
                stop.cancel();
                tokio::select! {
                    ((), ()) = join(fleet, served) => Ok(Exit::Ok),
                    ((), ()) = &mut post => Ok(Exit::Ok),
                    again = asked_to_end() => again.map(|()| Exit::Interrupted),
                }
            }
            () = &mut fleet => Ok(Exit::Ok),
            ((), ()) = &mut post => Ok(Exit::Ok),
            () = &mut fed => Ok(Exit::Ok),
            () = &mut served => Ok(Exit::Ok),
        };
        if matches!(ended, Ok(Exit::Ok)) {
            join(daemon.postmaster.settle(), daemon.statuses.settle()).await;
        }
        ended
    })?
}

/// What a first look at new repositories may take before everything else begins: a person who starts it sees what came of it,
/// and stacks that run already are not left alone for long.
const FIRST_LOOK: Duration = Duration::from_secs(10);

/// What is followed, and who wakes it.
struct Following {
    source: Box<dyn Source>,
    followed: Followed,
    hooks: Vec<Hook>,
    /// Of the repositories, which nobody else follows meanwhile.
    locks: Vec<Lock>,
}

/// What is followed: repositories, or the files that are near. A repository of which nothing is here yet is looked at.
async fn follow(
    args: &RunArgs,
    cli: &Cli,
    state: &Path,
    mounted_since: &MountedSince,
) -> anyhow::Result<Following> {
    if args.followed.sources.is_empty() {
        let options = files::options(&cli.files)?;
        let near = files::NearFiles::given(&options);
        let source = Box::new(Files::new(options, Box::new(near)));
        let (hooks, locks) = (Vec::new(), Vec::new());
        return Ok(Following { source, followed: Followed::default(), hooks, locks });
    }
    let (sources, locks) = followed::open(&args.followed, &cli.files, state)?;
    let (followed, hooks) = Followed::of(&sources, state);
    let weigh: Weigh = Rc::new(weigh);
    let known = |source: GitSource| source.knowing(Rc::clone(mounted_since)).weighing(Rc::clone(&weigh));
    let mut sources: Vec<GitSource> = sources.into_iter().map(known).collect();
    // Those that are slow go on with it beside the loops of the others.
    let first = join_all(sources.iter_mut().map(GitSource::begin_with));
    let _ = tokio::time::timeout(FIRST_LOOK, first).await;
    let all: Vec<Box<dyn Source>> = sources.into_iter().map(|it| Box::new(it) as Box<dyn Source>).collect();
    Ok(Following { source: Box::new(Many::new(all)), followed, hooks, locks })
}

/// Asks the engine since when something may be mounted.
fn mounted_since(engine: &Rc<dyn WriteEngine>, clock: &Rc<dyn Clock>) -> MountedSince {
    let (engine, clock) = (Rc::clone(engine), Rc::clone(clock));
    Rc::new(move |directory| {
        let (engine, clock) = (Rc::clone(&engine), Rc::clone(&clock));
        async move { mounted::mounted_since(&*engine, &*clock, &directory).await.ok() }.boxed_local()
    })
}

/// Ready when a supervisor (SIGTERM) or a person (SIGINT) wants it to end.
async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("SIGTERM cannot be heard")?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("SIGINT cannot be heard"),
    }
}

/// Hears of everything: logs it, and keeps the standings that `status` reads.
struct Daemon {
    postmaster: Rc<Postmaster>,
    statuses: Rc<CommitStatuses>,
    sources: Sources,
    commits: Rc<Commits>,
    scribe: Scribe,
    api: Rc<Api>,
    supervisor: Supervisor,
    /// The faults that were logged last, so that a rescan does not repeat them.
    told: RefCell<Vec<String>>,
}

/// Passes on what people are to be told.
struct Tells(Rc<Postmaster>);

impl Report for Tells {
    fn happened(&self, event: &Event) {
        self.0.happened(event);
    }
}

/// The name of this machine.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

impl Watch for Daemon {
    fn declared(&self, stack: &Stack) {
        self.postmaster.declare(&stack.desired.stack, &stack.notifications);
    }

    fn wants(&self, desired: &Desired, as_of: Timestamp) {
        self.scribe.wants(desired, as_of);
        for event in self.commits.news(desired) {
            self.teller()(&event);
        }
    }

    fn stack(&self, stack: &StackName, note: Note) -> Box<dyn Report> {
        let kept = Both(Log::new(stack.clone()), self.scribe.of(stack));
        let kept = Both(kept, self.commits.of(stack, self.teller()));
        let heard = Both(self.supervisor.of(stack), self.api.of(stack));
        let tells =
            Both(Tells(Rc::clone(&self.postmaster)), commit_status::of(stack, Rc::clone(&self.statuses)));
        Box::new(Both(Both(kept, heard), Both(tells, note)))
    }

    fn knew(&self, stack: &StackName) -> bool {
        standing::knows(stack)
    }

    fn waits(&self, desired: &Desired, waiting: Option<&Waiting>) {
        let stack = &desired.stack;
        match waiting {
            Some(waiting) if waiting.stuck => warn!(%stack, "{}", shown(&waiting.message)),
            Some(waiting) => info!(%stack, "{}", shown(&waiting.message)),
            None => {}
        }
        self.scribe.waits(desired, waiting);
    }

    fn read(&self, faults: &[Diagnostic]) {
        self.api.read(!faults.is_empty());
        commit_status::read(&self.statuses, &self.sources, faults);
        self.commits.read();
        let headlines: Vec<String> = faults.iter().map(Diagnostic::headline).collect();
        let mut refusals = BTreeMap::new();
        for (fault, headline) in faults.iter().zip(&headlines) {
            let source = fault.source().map(str::to_owned);
            refusals.entry(source).or_insert_with(|| Refusal { headline: headline.clone() });
        }
        for event in self.scribe.refused(refusals) {
            self.postmaster.happened(&event);
            self.api.happened(&event);
        }
        if *self.told.borrow() == headlines {
            return;
        }
        for (fault, headline) in faults.iter().zip(&headlines) {
            let help = fault.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
            let why = shown(format_args!("{headline}{help}"));
            let source = fault.source();
            error!(source, "files refused, the last good ones stay in force: {why}");
        }
        if headlines.is_empty() && !self.told.borrow().is_empty() {
            info!("files read again, all sound");
        }
        self.told.replace(headlines);
    }

    fn joined(&self, stack: &StackName) {
        info!(%stack, "found in the files");
        self.supervisor.joined(stack);
        self.api.joined(stack);
    }

    fn left(&self, stack: &StackName, spared: Option<Spared>) {
        let despite = spared.map(|spared| format!(", although `deletionPolicy: Delete`: {}", spared.why()));
        let despite = despite.unwrap_or_default();
        warn!(%stack, "gone from the files: left alone from now on, and nothing of it is removed{despite}; `operator down -p {stack}` removes it");
        self.part(stack);
    }

    fn removes(&self, stack: &StackName) {
        let why = "its manifest is gone, and said `deletionPolicy: Delete`: its containers and networks are removed, its volumes stay";
        warn!(%stack, "{why}");
        let (name, subject) = (stack.clone(), stack.to_string());
        let event = Event::new(name, EventKind::DesiredChanged, subject, why.to_owned(), standing::now());
        self.teller()(&event);
    }

    fn removed(&self, stack: &StackName) {
        info!(%stack, "gone: its manifest was");
        self.part(stack);
    }
}

impl Daemon {
    /// Keeps what happened and no loop tells of, and passes it on.
    fn teller(&self) -> impl Fn(&Event) + use<> {
        let (scribe, postmaster, api) =
            (self.scribe.clone(), Rc::clone(&self.postmaster), Rc::clone(&self.api));
        move |event| {
            scribe.keep(event);
            postmaster.happened(event);
            api.happened(event);
        }
    }

    /// A stack is not looked after any more.
    fn part(&self, stack: &StackName) {
        self.scribe.left(stack);
        self.supervisor.left(stack);
        self.api.left(stack);
    }
}
