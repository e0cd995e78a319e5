//! `operator wait`: return when everything is as it should be.

mod checkout;
mod sources;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use self::checkout::until_checked_out;
use self::sources::{is_of_sources, of_sources};
use crate::cli::apply::DEFAULT_TIMEOUT;
use crate::cli::args::{Cli, EngineKind, Format, duration};
use crate::cli::engine::{self, Reader};
use crate::cli::exit::Exit;
use crate::cli::files::{self, Meant, NearFiles};
use crate::cli::render::progress::Progress;
use crate::cli::render::{events, status as render};
use crate::cli::screen::Screen;
use crate::cli::{standing, status};
use crate::controller::report::Report;
use crate::core::ids::{ServiceName, StackName, short};
use crate::core::reason::Reason;
use crate::core::status::{Condition, ServiceStatus, StackStatus};
use crate::core::time::Timestamp;
use crate::source::files::last_written;
use crate::stack::Stack;
use crate::store::journal::Journals;
use crate::store::overrides::Overlays;
use crate::store::standing::{Standing, Standings};

/// What `operator wait --help` says.
pub const LONG: &str = "Wait until everything is as it should be.\n\n\
Where `operator run` looks after a stack, it is asked, and believed once it goes by the files and overrides that are there \
now: right after a change `wait` does not return for what was before it. Without a daemon the engine is looked at; nothing is \
changed by that, so that somebody else must do it.\n\n\
With --for COMMIT, what `operator run --source` has in force must be that commit or one after it; a commit that is refused is an \
error. Of other files, the git checkout that they are in must stand at that commit: who pulls it is waited for. What is \
changed in the checkout and not committed counts as what the files say.\n\n\
Exit code 0: converged; 1: not in time; 2: error, or it stays as it is until somebody changes something.";

/// Arguments of `wait`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator wait                         until the nearest stack has converged
  operator wait api worker              until two of its services have
  operator wait --timeout 2m            at most two minutes
  operator wait --for 3f2c1a9           until that commit is checked out and has converged
  operator scale worker=6 && operator wait worker")]
pub struct WaitArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// What to wait for: `converged`, or a commit that is checked out and has converged, by its first 7 digits or more
    #[arg(long = "for", value_name = "WHAT", value_parser = goal, default_value = "converged")]
    pub goal: Goal,
    /// Give up when it is not so by then; 0 waits for ever
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = DEFAULT_TIMEOUT)]
    pub timeout: Duration,
}

/// What can be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Every replica is there, up to date and ready, and nothing is to be done.
    Converged,
    /// The same, by the files of a commit that begins so.
    Commit(String),
}

fn goal(text: &str) -> Result<Goal, String> {
    let is_commit = (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text {
        "converged" => Ok(Goal::Converged),
        commit if is_commit => Ok(Goal::Commit(commit.to_ascii_lowercase())),
        _ => Err(format!("`{text}` is neither `converged` nor the first 7 digits or more of a commit")),
    }
}

/// How often a daemon's word is read.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// How often the engine is looked at where no daemon tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long something must be stuck to be believed to be: a daemon that tries again may be about to.
const STUCK_FOR: Duration = Duration::from_secs(2);

/// Waits, and says how it ended.
pub fn run(args: &WaitArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let start = Instant::now();
    if is_of_sources(cli)? {
        return of_sources(args, start, cli, screen);
    }
    if let Goal::Commit(commit) = &args.goal
        && let Some(found) = until_checked_out(commit, args.timeout, start, cli)?
    {
        screen.error(format_args!(
            "{} is checked out after {} s, and not {commit}",
            short(&found),
            args.timeout.as_secs()
        ));
        return Ok(Exit::Differs);
    }
    let waited = Waited::of(cli, &args.services)?;
    show(&waited, args, start, cli, screen)
}

/// Waits until all of it is as it should be, and says how that ended.
fn show(
    waited: &Waited,
    args: &WaitArgs,
    start: Instant,
    cli: &Cli,
    screen: &mut Screen,
) -> anyhow::Result<Exit> {
    let ended = waited.until_converged(left(args.timeout, start), cli, screen)?;
    if cli.output.format == Format::Json {
        let mut document = render::json(&ended.statuses);
        for (index, stack) in ended.statuses.iter().enumerate() {
            let converged = !ended.missing.iter().any(|missing| missing.stack == stack.stack);
            if let Some(shown) = document.pointer_mut(&format!("/stacks/{index}")) {
                shown["converged"] = json!(converged);
            }
        }
        screen.line(format_args!("{document:#}"))?;
        return Ok(ended.exit);
    }
    for meant in waited.meant.iter().filter(|meant| ended.missing.iter().all(|it| it.stack != meant.stack)) {
        screen.line(format_args!("{}: converged", named(meant)))?;
    }
    ended.tell("converged", args.timeout, screen);
    Ok(ended.exit)
}

/// What is left of the time; 0 is for ever.
fn left(timeout: Duration, since: Instant) -> Duration {
    if timeout.is_zero() { timeout } else { timeout.saturating_sub(since.elapsed()).max(ASK_EVERY) }
}

/// `shop`, or `shop/web, worker`.
fn named(meant: &Meant) -> String {
    let services: Vec<&str> = meant.services.iter().map(ServiceName::as_str).collect();
    if services.is_empty() {
        meant.stack.to_string()
    } else {
        format!("{}/{}", meant.stack, services.join(", "))
    }
}

/// What is waited for.
pub(in crate::cli) struct Waited {
    pub(in crate::cli) meant: Vec<Meant>,
    /// As the files declared them at first, where these load.
    pub(in crate::cli) stacks: Vec<Stack>,
    /// When something of the files was last written.
    written: Timestamp,
    /// It is enough that it is as the last good files say, where those that are there now do not load.
    by_last_good: bool,
}

/// How waiting ended.
pub(in crate::cli) struct Ended {
    pub(in crate::cli) exit: Exit,
    statuses: Vec<StackStatus>,
    missing: Vec<Missing>,
}

/// A stack that is not as it should be.
struct Missing {
    stack: StackName,
    /// What it waits for, a line each.
    why: Vec<String>,
    stuck: bool,
}

/// What one round of looking came to.
#[derive(Default)]
struct Round {
    statuses: Vec<StackStatus>,
    missing: Vec<Missing>,
    /// At an engine, which costs more than to ask a daemon.
    looked: bool,
}

/// How a stack stands.
enum Sight {
    Stands(StackStatus),
    /// What is known is not of what is there now.
    NotYet(String),
    /// The files that are there now are not in force.
    Refused(String),
}

impl Waited {
    /// The stacks and services that are named.
    pub(in crate::cli) fn of(cli: &Cli, services: &[String]) -> anyhow::Result<Self> {
        let (meant, loaded) = files::meant(&cli.files, services)?;
        let written = last_written(&loaded.dependencies).min(standing::now());
        Ok(Self { meant, stacks: loaded.stacks, written, by_last_good: false })
    }

    /// For what has nothing to do with what the files say now.
    pub(in crate::cli) fn by_last_good(self) -> Self {
        Self { by_last_good: true, ..self }
    }

    pub(in crate::cli) fn stack(&self, name: &StackName) -> Option<&Stack> {
        self.stacks.iter().find(|stack| stack.desired.stack == *name)
    }

    /// Waits until each is as it should be, the time is up, or nothing moves until somebody changes something.
    pub(in crate::cli) fn until_converged(
        &self,
        timeout: Duration,
        cli: &Cli,
        screen: &Screen,
    ) -> anyhow::Result<Ended> {
        let progress = if screen.is_live() { Progress::live() } else { Progress::plain(screen.notes()) };
        let mut steps = Steps::new(self.meant.iter().map(|meant| &meant.stack));
        let mut eyes = Eyes { cli, reader: None };
        let start = Instant::now();
        let (mut stuck_since, mut told) = (None, BTreeSet::new());
        let ended = loop {
            let round = self.round(&mut eyes, &mut steps, &progress, &mut told)?;
            let Round { statuses, missing, looked } = round;
            let hopeless = missing.iter().any(|it| it.stuck) && missing.iter().all(|it| it.stuck);
            stuck_since = hopeless.then(|| stuck_since.unwrap_or_else(Instant::now));
            let exit = if missing.is_empty() {
                Some(Exit::Ok)
            } else if stuck_since.is_some_and(|since| since.elapsed() >= STUCK_FOR) {
                Some(Exit::Error)
            } else if !timeout.is_zero() && start.elapsed() >= timeout {
                Some(Exit::Differs)
            } else {
                None
            };
            if let Some(exit) = exit {
                break Ended { exit, statuses, missing };
            }
            std::thread::sleep(if looked { LOOK_EVERY } else { ASK_EVERY });
        };
        progress.finish();
        Ok(ended)
    }

    /// Looks at each stack once. What is not known yet is `told` once.
    fn round(
        &self,
        eyes: &mut Eyes<'_>,
        steps: &mut Steps,
        progress: &Progress,
        told: &mut BTreeSet<String>,
    ) -> anyhow::Result<Round> {
        let mut round = Round::default();
        for Meant { stack, services } in &self.meant {
            let (sight, by_looking) = self.sight(stack, eyes)?;
            round.looked |= by_looking;
            steps.tell(stack, progress);
            let missing = |why: String, stuck| Missing { stack: stack.clone(), why: vec![why], stuck };
            match sight {
                Sight::Stands(status) => {
                    let status = chosen(status, services);
                    progress.decided(&status);
                    round.missing.extend(what_is_missing(&status, by_looking));
                    round.statuses.push(status);
                }
                Sight::NotYet(why) => {
                    if told.insert(why.clone()) {
                        progress.say(&format!("  waits: {why}"));
                    }
                    round.missing.push(missing(why, false));
                }
                Sight::Refused(why) => round.missing.push(missing(why, true)),
            }
        }
        Ok(round)
    }

    /// How a stack stands, and whether that comes from a look at the engine.
    fn sight(&self, name: &StackName, eyes: &mut Eyes<'_>) -> anyhow::Result<(Sight, bool)> {
        let directory = standing::directory();
        let standing = Standings::new(&directory).read(name).filter(|_| !eyes.is_simulated());
        if let Some(standing) = standing {
            let laid = Overlays::new(&directory).read(name).unwrap_or_default();
            let is_newest = goes_by(&standing, self.written) && standing.overrides == laid;
            return Ok((self.of_daemon(standing, is_newest), false));
        }
        // Somebody may have changed the files meanwhile, or an override has ended.
        let again = if eyes.reads_once()? { None } else { Some(files::load(&eyes.cli.files)?.even_idle()) };
        let again =
            again.as_ref().and_then(|loaded| loaded.stacks.iter().find(|it| it.desired.stack == *name));
        let Some(stack) = again.or_else(|| self.stack(name)) else {
            anyhow::bail!(
                "no `operator run` is known to look after {name}, and there are no files of it that load"
            );
        };
        let status = status::of_stack(eyes.reader()?, stack)?;
        Ok((Sight::Stands(status), true))
    }

    /// As its daemon sees it.
    fn of_daemon(&self, standing: Standing, is_newest: bool) -> Sight {
        let stack = &standing.status.stack;
        match (standing.engine_lost, standing.files_refused) {
            _ if !is_newest => {
                Sight::NotYet(format!("{stack}: `operator run` has not decided yet by what is there now"))
            }
            (Some((why, _)), _) => Sight::NotYet(format!("{stack}: the engine does not answer: {why}")),
            (None, Some(why)) if !self.by_last_good => Sight::Refused(format!(
                "{stack}: its files do not load, and the last good ones stay in force: {why}"
            )),
            (None, _) => Sight::Stands(standing.status),
        }
    }
}

/// How far the time that a file system notes may be behind.
const COARSE: Duration = Duration::from_millis(20);

/// Whether a daemon has decided by what was written then.
pub(in crate::cli) fn goes_by(standing: &Standing, written: Timestamp) -> bool {
    standing.files_as_of > written.after(COARSE)
}

/// Only the services that are meant.
fn chosen(mut status: StackStatus, services: &[ServiceName]) -> StackStatus {
    if !services.is_empty() {
        status.services.retain(|service| services.contains(&service.service));
        // What is no service's own is nobody's but the stack's, a pause apart.
        status.waiting.retain(|waiting| waiting.reason == Reason::Paused);
        let own = status.services.iter().map(|service| service.condition).max();
        let stuck = status.services.iter().any(|service| service.stuck);
        let paused = status.waiting.iter().any(|waiting| waiting.stuck);
        status.stuck = stuck || paused || status.stuck;
        status.condition = own.unwrap_or(status.condition);
        if paused {
            status.condition = status.condition.max(Condition::Paused);
        }
    }
    status
}

/// What keeps a stack from being as it should be; nothing where it is.
fn what_is_missing(status: &StackStatus, by_looking: bool) -> Option<Missing> {
    if status.is_converged() {
        return None;
    }
    let now = standing::now();
    let open = status.services.iter().filter(|service| !service.is_converged());
    let reasons = |service: &ServiceStatus| {
        let ServiceStatus { service: name, desired, ready, .. } = service;
        let troubles = render::troubles(service, now);
        // What nobody has begun with has no trouble yet.
        if troubles.is_empty() {
            vec![format!("{name}: {ready} of {desired} replicas ready")]
        } else {
            troubles
        }
    };
    let mut why: Vec<String> = open.flat_map(reasons).collect();
    why.extend(status.waiting.iter().map(|waiting| render::wait(waiting, now)));
    if by_looking {
        why.push(render::NOBODY.to_owned());
    }
    Some(Missing { stack: status.stack.clone(), why, stuck: status.stuck })
}

impl Ended {
    /// Says what is not as it should be, and why. `goal`: what was waited for, in a word.
    pub(in crate::cli) fn tell(&self, goal: &str, timeout: Duration, screen: &mut Screen) {
        for Missing { stack, why, .. } in &self.missing {
            match self.exit {
                Exit::Error => {
                    screen.error(format_args!("{stack} is not {goal}: somebody must change something"));
                }
                _ => screen.error(format_args!(
                    "{stack} is not {goal} after {} s; it still waits",
                    timeout.as_secs()
                )),
            }
            for why in why {
                screen.note(format_args!("  {why}"));
            }
        }
    }
}

/// Looks at the engine, where no daemon does.
struct Eyes<'c> {
    cli: &'c Cli,
    reader: Option<Reader>,
}

impl Eyes<'_> {
    fn is_simulated(&self) -> bool {
        self.cli.engine.engine == EngineKind::Sim
    }

    /// Whether some of the files can be read once only.
    fn reads_once(&self) -> anyhow::Result<bool> {
        let options = files::options(&self.cli.files)?;
        let near = NearFiles::given(&options);
        Ok(options.files.iter().chain(&options.env_files).any(|path| near.is_stream(path)))
    }

    fn reader(&mut self) -> anyhow::Result<&Reader> {
        // A simulated engine lives on between two looks only.
        if self.reader.is_none() || self.is_simulated() {
            self.reader = Some(engine::reader(&self.cli.engine)?);
        }
        self.reader.as_ref().ok_or_else(|| anyhow::anyhow!("there is no engine"))
    }
}

/// Tells what is done meanwhile, as the journal has it.
pub(in crate::cli) struct Steps {
    journals: Journals,
    /// The last record of each stack that is known, and how long its file was then.
    last: Vec<(StackName, u64, u64)>,
}

impl Steps {
    /// From now on.
    pub(in crate::cli) fn new<'s>(stacks: impl IntoIterator<Item = &'s StackName>) -> Self {
        let journals = Journals::new(&standing::directory());
        let last = stacks.into_iter().map(|stack| (stack.clone(), newest(&journals, stack), 0));
        Self { last: last.collect(), journals }
    }

    /// Tells what is new.
    pub(in crate::cli) fn tell(&mut self, stack: &StackName, progress: &Progress) {
        let Some((_, last, length)) = self.last.iter_mut().find(|(name, ..)| name == stack) else { return };
        let now = std::fs::metadata(self.journals.path(stack)).map_or(0, |data| data.len());
        if std::mem::replace(length, now) == now {
            return;
        }
        let Ok(reading) = self.journals.read(stack) else { return };
        let new: Vec<_> = reading.records.into_iter().filter(|record| record.sequence > *last).collect();
        if let Some(newest) = new.last() {
            *last = newest.sequence;
        }
        for line in events::lines(&new, false) {
            progress.say(&line);
        }
    }
}

fn newest(journals: &Journals, stack: &StackName) -> u64 {
    let reading = journals.read(stack).ok();
    reading.and_then(|reading| reading.records.last().map(|record| record.sequence)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_converged_or_a_commit() {
        assert_eq!(goal("converged"), Ok(Goal::Converged));
        assert_eq!(goal("3F2C1A9"), Ok(Goal::Commit("3f2c1a9".into())));
        for wrong in ["", "ready", "3f2c1a", "main", "3f2c1ag"] {
            assert!(goal(wrong).is_err(), "{wrong}");
        }
    }
}
