//! What `run` answers over HTTP: the server, given what it does not make itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::render::events as render;
use super::standing::{self, Scribe};
use super::{events, history, status};
use crate::clock::Clock;
use crate::controller::report::{Both, Report};
use crate::core::event::Event;
use crate::core::ids::StackName;
use crate::core::time::Timestamp;
use crate::server::health::{HEARTBEAT, Health};
use crate::server::metrics::Metrics;
use crate::server::token::Token;
use crate::server::views::{Asked, Document, EventsAsked, Reading, Refusal, Sources, Views};
use crate::server::webhook::Hook;
use crate::server::{Server, serve};
use crate::store::history::Histories;
use crate::store::journal::{Journals, Record};

/// The socket's name in the state directory.
const SOCKET: &str = "operator.sock";

/// Events in an answer where nobody says how many: as many as `operator events` shows.
const EVENTS: usize = 50;

/// Where `run` answers.
#[derive(Args, Clone, Debug)]
pub struct ApiArgs {
    /// Answer metrics, status and webhooks over the network, too; takes --token-file
    #[arg(long, value_name = "ADDRESS:PORT", requires = "token_file")]
    pub listen: Option<SocketAddr>,
    /// The file with the token that is asked for there: its owner's alone, 16 characters or more
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub token_file: Option<PathBuf>,
}

/// How often each loop has to say that it turns: often enough for a supervisor, and for who asks here.
pub(super) fn heartbeat(supervisors: Option<Duration>) -> Duration {
    supervisors.map_or(HEARTBEAT, |beat| beat.min(HEARTBEAT))
}

/// The server of one daemon.
pub(super) struct Api {
    server: Server,
    socket: PathBuf,
    listen: Option<SocketAddr>,
}

impl Api {
    /// One that reads from this state directory and asks this scribe.
    pub(super) fn new(
        args: &ApiArgs,
        state: &Path,
        scribe: Scribe,
        clock: &Rc<dyn Clock>,
        (sources, hooks): (Box<dyn Sources>, Vec<Hook>),
    ) -> anyhow::Result<Self> {
        if let Some((source, fault)) = hooks.iter().find_map(|hook| Some((&hook.source, hook.fault()?))) {
            anyhow::bail!("the webhook of {source}: {fault}");
        }
        let answers = Answers { scribe, journals: Journals::new(state), histories: Histories::new(state) };
        let known = (Metrics::new(clock.now()), Health::new(Rc::clone(clock)));
        let mut server = Server::new((Box::new(answers), sources), known, Rc::clone(clock)).with_hooks(hooks);
        if let Some(path) = &args.token_file {
            server = server.with_token(Token::read(path)?);
        }
        Ok(Self { server, socket: state.join(SOCKET), listen: args.listen })
    }

    /// Answers until it is told to stop, and does not end before, though there be nothing to answer on.
    pub(super) async fn serve(&self, stop: &CancellationToken) {
        serve(&self.server, &self.socket, self.listen, stop).await;
        stop.cancelled().await;
    }

    /// Hears of one stack.
    pub(super) fn of(&self, stack: &StackName) -> impl Report + use<> {
        Both(self.server.metrics.of(stack), self.server.health.of(stack))
    }

    /// A stack is looked after from now on.
    pub(super) fn joined(&self, stack: &StackName) {
        self.server.metrics.joined(stack);
        self.server.health.joined(stack);
    }

    /// A stack is not looked after any more.
    pub(super) fn left(&self, stack: &StackName) {
        self.server.metrics.left(stack);
        self.server.health.left(stack);
    }

    /// Something happened that no loop tells of.
    pub(super) fn happened(&self, event: &Event) {
        self.server.metrics.happened(event);
    }

    /// The files were read, and are refused or not.
    pub(super) fn read(&self, refused: bool) {
        self.server.metrics.read(refused);
    }
}

/// What the commands print with `-o json`, of the stacks that are looked after.
struct Answers {
    scribe: Scribe,
    journals: Journals,
    histories: Histories,
}

impl Answers {
    /// The stack that is asked for, or all. Another's name is never made a path of.
    fn stacks(&self, asked: Option<&str>) -> Result<Vec<StackName>, Refusal> {
        let all = self.scribe.stacks();
        let Some(name) = asked else { return Ok(all) };
        let known: Vec<&str> = all.iter().map(StackName::as_str).collect();
        let unknown = format!("no stack of that name is looked after here; there are: {}", known.join(", "));
        all.into_iter()
            .find(|stack| stack.as_str() == name)
            .map(|stack| vec![stack])
            .ok_or(Refusal::Unknown(unknown))
    }
}

impl Views for Answers {
    fn status(&self, stack: Option<&str>) -> Asked {
        let stacks = self.stacks(stack)?;
        let shown: Vec<status::Shown> = self
            .scribe
            .standings()
            .into_iter()
            .filter(|standing| stacks.contains(&standing.status.stack))
            .map(|standing| status::Shown::new(standing.status.clone(), Some(standing)))
            .collect();
        Ok(Document::Json(format!("{:#}\n", status::document(&shown))))
    }

    fn events(&self, asked: &EventsAsked) -> Result<Reading, Refusal> {
        let stacks = self.stacks(asked.stack.as_deref())?;
        let since = asked.since.as_deref().map(events::since).transpose().map_err(Refusal::Malformed)?;
        let since = since.map(|since| since.moment(standing::now()));
        let (journals, limit) = (self.journals.clone(), asked.limit.unwrap_or(EVENTS));
        Ok(Box::new(move || recent(&journals, &stacks, since, limit)))
    }

    fn history(&self, stack: Option<&str>) -> Result<Reading, Refusal> {
        let (stacks, histories) = (self.stacks(stack)?, self.histories.clone());
        Ok(Box::new(move || {
            let mut shown = Vec::new();
            for stack in stacks {
                let reading = history::read(&histories, &stack)
                    .map_err(|error| Refusal::Failed(format!("{error:#}")))?;
                shown.push((stack, reading.history));
            }
            Ok(Document::Json(format!("{:#}\n", history::document(&shown))))
        }))
    }
}

/// The last events of these stacks, in the order in which they happened.
fn recent(journals: &Journals, stacks: &[StackName], since: Option<Timestamp>, limit: usize) -> Asked {
    let mut records: Vec<Record> = Vec::new();
    for stack in stacks {
        let reading = journals
            .read(stack)
            .map_err(|error| Refusal::Failed(format!("{}: {error}", journals.path(stack).display())))?;
        let meant = reading.records.into_iter().filter(|it| since.is_none_or(|since| it.event.at >= since));
        records.extend(meant);
    }
    records.sort_by_key(|record| record.event.at);
    let last = records.iter().skip(records.len().saturating_sub(limit));
    let lines: Vec<String> = last.map(|record| render::json(record).to_string() + "\n").collect();
    Ok(Document::Lines(lines.concat()))
}
