//! `operator rollback`: an earlier revision again, held against the files until they change.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum};

use super::apply::{Allow, DEFAULT_TIMEOUT, allowed, as_applied};
use super::args::{Cli, EngineKind, duration};
use super::converge::{Effort, converge};
use super::exit::Exit;
use super::overrides::{lay, who};
use super::render::progress::Progress;
use super::screen::Screen;
use super::wait::Steps;
use super::{engine, files, history, standing};
use crate::controller::observe::look_once;
use crate::core::desired::{Desired, Origin, Teardown};
use crate::core::event::{Event, EventKind};
use crate::core::history::{Entry, History, Kept, Key, Outcome, Rollback, Stand, fingerprint, held};
use crate::core::ids::StackName;
use crate::core::limits::DEFAULT_PARALLEL;
use crate::store::history::Histories;
use crate::store::journal::Journals;
use crate::store::standing::Standings;

/// What `operator rollback --help` says.
pub const LONG: &str = "Go back to an earlier revision of the stack, and stay there until the files change.\n\n\
Everything is as it was then: every field of every service, and the very images that ran, whatever their tags say by now. \
The files are not touched and not followed meanwhile: `status`, `diff` and `explain` say so, over restarts of the operator, \
until the files change (the fix is deployed) or `operator resume` follows them as they are.\n\n\
It works though the files of then are gone, and with -p though those of now are, too. Values of variables and other secrets \
are not kept: they are taken from the files of now and from the stack's containers. Where one is nowhere any more, nothing is \
changed, and it is named.\n\n\
A running `operator run` does it, and this waits until it is so; without one, it is done here. Exit codes are those of apply.";

/// How long a daemon may take to say that it holds the revision.
const HEEDED_WITHIN: Duration = Duration::from_secs(10);

/// How often a daemon's work is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `rollback`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator history                              what there is to go back to
  operator rollback --reason 'checkout fails'   the last revision that converged before this one
  operator rollback --to 7                      that one
  operator rollback -p shop --to 7              though the files do not load, or are gone
  operator resume                               follow the files again")]
pub struct RollbackArgs {
    /// To this revision [default: the last one before this that converged]
    #[arg(long, value_name = "N")]
    pub to: Option<u64>,
    /// Why, for whoever looks
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Give up waiting when it has not converged by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
    /// Agree to something that is refused otherwise (repeatable): where no `operator run` does it
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<Allow>,
}

/// Goes back.
pub fn run(args: &RollbackArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    if cli.engine.engine == EngineKind::Sim {
        anyhow::bail!(
            "what happens on a simulated engine is no revision of any stack: there is nothing to go back to"
        );
    }
    let (stack, declared) = meant(cli, screen)?;
    let state = standing::directory();
    let is_followed = Standings::new(&state).read(&stack).is_some();
    agreeable(&args.allow, is_followed, &stack)?;
    let histories = Histories::new(&state);
    let known = history::read(&histories, &stack)?.history;
    let target = target(&known, args.to, &stack)?;
    let Some(key) = histories.known_key()? else {
        anyhow::bail!(
            "the key of the history in {} is gone: no value can be told from its hash",
            state.display()
        );
    };
    let rollback = Rollback {
        to: target.number,
        by: who(),
        reason: args.reason.clone(),
        since: standing::now(),
        files: files_now(&known, declared.as_ref(), is_followed, &key),
        kept: Some(Box::new(Kept::of(target, &key))),
        stand: Stand::Untried,
    };
    let mut desired = declared.unwrap_or_else(|| bare(&stack));
    desired.overrides.rollback = Some(rollback.clone());
    possible(&desired, &rollback, cli)?;
    let steps = Steps::new([&stack]);
    // The engine was asked meanwhile: what others have said since is laid over the files, too.
    let laid = lay(&stack, |overrides| overrides.rollback = Some(rollback.clone()))?;
    let exit = if laid.heeded.is_some() {
        follow_daemon(&stack, &rollback, args, steps, screen)?
    } else {
        desired.overrides = laid.overrides;
        converge_here(&desired, &rollback, args, cli, screen)?
    };
    if exit == Exit::Ok {
        screen.line(format_args!("{stack}: {rollback}, until the files change or `operator resume`"))?;
    }
    Ok(exit)
}

/// The one stack that is meant, and what the files say of it, where they load.
fn meant(cli: &Cli, screen: &mut Screen) -> anyhow::Result<(StackName, Option<Desired>)> {
    let (found, loaded) = files::meant(&cli.files, &[]).inspect_err(|_| {
        if cli.files.project_name.is_none() {
            screen.note(
                "the files do not say which stack is meant: `operator rollback -p NAME` goes without them",
            );
        }
    })?;
    match found.as_slice() {
        [one] => {
            let mut declared = loaded.stacks.into_iter().map(|stack| stack.desired);
            Ok((one.stack.clone(), declared.find(|desired| desired.stack == one.stack)))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|meant| meant.stack.as_str()).collect();
            anyhow::bail!("one stack at a time; choose it with -p: {}", names.join(", "))
        }
    }
}

/// Who does it must be told what is agreed to: a daemon is told when it is started.
fn agreeable(allow: &[Allow], is_followed: bool, stack: &StackName) -> anyhow::Result<()> {
    let Some(first) = allow.first().filter(|_| is_followed).and_then(Allow::to_possible_value) else {
        return Ok(());
    };
    let word = first.get_name();
    anyhow::bail!(
        "`operator run` looks after {stack} and would do it, and cannot be told `--allow {word}` from here; nothing was changed: start it with `operator run --allow {word}`, and say `rollback` without --allow"
    )
}

/// What to go back to.
fn target<'h>(known: &'h History, to: Option<u64>, stack: &StackName) -> anyhow::Result<&'h Entry> {
    let Some(newest) = known.newest() else {
        anyhow::bail!("there is no history of {stack} here: `apply` and `run` note each revision");
    };
    let target = match to {
        Some(number) => known.get(number).ok_or_else(|| {
            let numbers: Vec<String> = known.entries.iter().map(|entry| entry.number.to_string()).collect();
            anyhow::anyhow!("{stack} has no revision {number}; there are {}", numbers.join(", "))
        })?,
        None => known.before().ok_or_else(|| {
            anyhow::anyhow!(
                "no other revision of {stack} before {} has converged; choose one with --to (`operator history`)",
                newest.number
            )
        })?,
    };
    if !target.is_other_than(newest) {
        anyhow::bail!("revision {} of {stack} is what is in force already", target.number);
    }
    Ok(target)
}

/// A stack of which no file says anything.
fn bare(stack: &StackName) -> Desired {
    let nothing = Desired::teardown(stack.clone(), Origin::default(), Teardown::default());
    Desired { teardown: None, prune: false, ..nothing }
}

/// Stands for what the files say now: as the daemon reads them, where one does, since its environment may be another.
fn files_now(known: &History, declared: Option<&Desired>, is_followed: bool, key: &Key) -> String {
    let followed = || known.of_files().map(|entry| entry.fingerprint.clone());
    let here = || declared.map(|desired| fingerprint(desired, key));
    let found = if is_followed { followed().or_else(here) } else { here().or_else(followed) };
    found.unwrap_or_default()
}

/// Whether all of it is still there; says what is not.
fn possible(declared: &Desired, rollback: &Rollback, cli: &Cli) -> anyhow::Result<()> {
    let Some(kept) = &rollback.kept else { return Ok(()) };
    let engine = engine::reader(&cli.engine)?;
    let observed = engine.drive.block_on(look_once(&*engine.engine, declared, &*engine.clock))??;
    let Err(lost) = held(kept, declared, None, &observed) else { return Ok(()) };
    let all: Vec<String> = lost.iter().map(|lost| format!("\n  {lost}")).collect();
    anyhow::bail!("revision {} cannot be brought back, and nothing was changed:{}", rollback.to, all.concat())
}

/// Without a daemon: makes it so.
fn converge_here(
    declared: &Desired,
    rollback: &Rollback,
    args: &RollbackArgs,
    cli: &Cli,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    let stack = &declared.stack;
    let event = Event::new(
        stack.clone(),
        EventKind::RolledBack,
        stack.to_string(),
        rollback.to_string(),
        rollback.since,
    );
    // What cannot be written is told by whoever writes next.
    let _ = Journals::new(&standing::directory()).writer(stack).append(&event);
    let engine = engine::writer(&cli.engine)?;
    let effort = Effort {
        timeout: args.timeout,
        parallel: DEFAULT_PARALLEL,
        allowed: allowed(args.allow.iter().copied()),
        // The revision is held by now: said again, `rollback` would go back further.
        command: "apply",
        goal: "converged",
    };
    converge(&as_applied(declared), effort, &engine, screen)
}

/// With a daemon: waits until it has made it so, and tells what it does meanwhile.
fn follow_daemon(
    stack: &StackName,
    rollback: &Rollback,
    args: &RollbackArgs,
    mut steps: Steps,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    let standings = Standings::new(standing::directory());
    let mut revisions = Revisions::new(stack);
    let progress = Progress::plain(screen.notes());
    let start = Instant::now();
    loop {
        let Some(standing) = standings.read(stack) else {
            anyhow::bail!(
                "{stack}: `operator run` has ended; the next one, and `apply`, will hold revision {}",
                rollback.to
            );
        };
        let paused = standing.overrides.pause(standing::now());
        if let Some(pause) = paused {
            screen.error(format_args!(
                "{stack} is {pause}: revision {} is held, and nothing is done before `operator resume`",
                rollback.to
            ));
            return Ok(Exit::Error);
        }
        steps.tell(stack, &progress);
        let known = revisions.read();
        let newest =
            known.newest().filter(|it| it.rollback_to == Some(rollback.to) && it.at >= rollback.since);
        match newest.map(|entry| (entry.outcome, &entry.why)) {
            Some((Outcome::Converged, _)) => return Ok(Exit::Ok),
            Some((Outcome::Failed, why)) if start.elapsed() > HEEDED_WITHIN => {
                let why = why.clone().unwrap_or_default();
                screen.error(format_args!("{stack} is not converged: somebody must change something: {why}"));
                return Ok(Exit::Error);
            }
            None if start.elapsed() > HEEDED_WITHIN => {
                screen.error(format_args!(
                    "{stack}: `operator run` does not hold revision {}: see `operator status`",
                    rollback.to
                ));
                return Ok(Exit::Error);
            }
            _ => {}
        }
        if !args.timeout.is_zero() && start.elapsed() > args.timeout {
            screen.error(format_args!("{stack} is not converged after {} s", args.timeout.as_secs()));
            return Ok(Exit::Differs);
        }
        std::thread::sleep(LOOK);
    }
}

/// The revisions of a stack, which somebody else writes: read again when the file is another one.
struct Revisions<'s> {
    stack: &'s StackName,
    histories: Histories,
    known: History,
    /// Which file was read: each is written anew.
    seen: Option<(u64, u64, Option<SystemTime>)>,
}

impl<'s> Revisions<'s> {
    fn new(stack: &'s StackName) -> Self {
        let histories = Histories::new(&standing::directory());
        Self { stack, histories, known: History::default(), seen: None }
    }

    fn read(&mut self) -> &History {
        let data = std::fs::metadata(self.histories.path(self.stack)).ok();
        let now = data.map(|data| (data.ino(), data.len(), data.modified().ok()));
        if std::mem::replace(&mut self.seen, now) != now {
            self.known = self.histories.read(self.stack).map(|it| it.history).unwrap_or_default();
        }
        &self.known
    }
}
