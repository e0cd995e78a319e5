//! `operator status`: what is.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::args::{Cli, EngineKind, Format};
use super::engine::Reader;
use super::exit::Exit;
use super::render::{sources, status as render};
use super::screen::Screen;
use super::{engine, files, standing};
use crate::compose::errors::Diagnostics;
use crate::controller::current::current_status;
use crate::core::decide::Waiting;
use crate::core::observed::EngineInfo;
use crate::core::reason::Reason;
use crate::core::status::{Condition, StackStatus};
use crate::stack::Stack;
use crate::store::sources::{Held, Sources};
use crate::store::standing::{Standing, Standings};

/// What `operator status --help` says.
pub const LONG: &str = "Show what runs, what is wrong with it, and what happens next.\n\n\
Per service: replicas desired, ready and up to date. Per container: its state, health, restarts, the reason for \
what is wrong, and when it is tried again. Where `operator run` looks after the stack, its back-off is shown too, \
and whether it refuses the files that are there now.";

/// Arguments of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator status
  operator status api
  operator status --watch
  operator status -o json | jq '.stacks[].services[] | select(.ready < .desired)'")]
pub struct StatusArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Look again every two seconds, and show what has changed
    #[arg(short = 'w', long)]
    pub watch: bool,
}

/// How often a look is taken by whoever watches.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// One stack: as it was just seen, and what its daemon knows beyond that.
#[derive(PartialEq)]
pub(super) struct Shown {
    pub(super) status: StackStatus,
    pub(super) daemon: Option<Standing>,
    /// A commit of its source that waits.
    pub(super) held: Option<Held>,
}

impl Shown {
    pub(super) fn new(status: StackStatus, daemon: Option<Standing>) -> Self {
        let commit = daemon.as_ref().and_then(|daemon| daemon.commit.as_ref());
        let source = commit.and_then(|commit| Sources::new(&standing::directory()).read(&commit.source));
        Self { status, held: source.and_then(|source| source.held), daemon }
    }
}

/// Looks, and shows; with `--watch` again and again.
pub fn run(args: &StatusArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let (mut shown, trouble) = look(args, cli)?;
    let is_real = cli.engine.engine != EngineKind::Sim;
    screen.redraw(rendered(&shown, cli.output.format, is_real), args.watch)?;
    if !args.watch {
        if cli.files.files.is_empty() && cli.files.project_name.is_none() {
            tell_of_others(&shown, screen);
        }
        return trouble.map_or(Ok(Exit::Ok), Err);
    }
    loop {
        std::thread::sleep(WATCH_EVERY);
        match look(args, cli) {
            // Ages move; a page that nobody watches gets what is new.
            Ok((now, _)) if now == shown && !screen.is_watched() => {}
            Ok((now, _)) => {
                screen.redraw(rendered(&now, cli.output.format, is_real), true)?;
                shown = now;
            }
            Err(error) => screen.error(format_args!("{error:#}")),
        }
    }
}

/// The stacks as they are now; where the engine does not answer, as their daemons last saw them, with the trouble.
fn look(args: &StatusArgs, cli: &Cli) -> anyhow::Result<(Vec<Shown>, Option<anyhow::Error>)> {
    let mut trouble = None;
    let standings = Standings::new(standing::directory());
    let name = cli.files.project_name.as_deref();
    let mut shown = Vec::new();
    // The files that are near need not be those of the stack that is named, and a repository's are nowhere near.
    if cli.files.files.is_empty() && (name.is_some() || !files::are_near(&cli.files)?) {
        shown.extend(by_daemon(&standings, name));
        if !shown.is_empty() {
            return Ok((chosen(shown, args), None));
        }
    }
    let loaded = files::load(&cli.files)?.even_idle();
    if loaded.faults.is_empty() {
        files::known_services(&loaded.stacks, &args.services)?;
        let engine = engine::reader(&cli.engine)?;
        for stack in &loaded.stacks {
            let daemon = standings.read(&stack.desired.stack);
            match (of_stack(&engine, stack), daemon) {
                (Ok(status), daemon) => shown.push(Shown::new(status, daemon)),
                (Err(error), Some(daemon)) => {
                    shown.push(Shown::new(daemon.status.clone(), Some(daemon)));
                    trouble = Some(error);
                }
                (Err(error), None) => return Err(error),
            }
        }
    } else {
        // The files do not say what should be: what the daemon holds to does, where one runs.
        shown.extend(by_daemon(&standings, name));
        if shown.is_empty() {
            return Err(Diagnostics { faults: loaded.faults }.into());
        }
    }
    Ok((chosen(shown, args), trouble))
}

/// Only the services that are asked for.
fn chosen(mut shown: Vec<Shown>, args: &StatusArgs) -> Vec<Shown> {
    for one in shown.iter_mut().filter(|_| !args.services.is_empty()) {
        one.status
            .services
            .retain(|service| args.services.iter().any(|name| name == service.service.as_str()));
    }
    shown
}

/// The files here may be others than those that a daemon was given, and holds to though they are gone.
fn tell_of_others(shown: &[Shown], screen: &mut Screen) {
    let is_shown = |standing: &Standing| shown.iter().any(|one| one.status.stack == standing.status.stack);
    for Standing { status, .. } in Standings::new(standing::directory()).refusing().filter(|it| !is_shown(it))
    {
        let stack = &status.stack;
        screen.note(format_args!(
            "`operator run` holds to the last good files of {stack}: `operator status -p {stack}`"
        ));
    }
}

/// One stack as it is now, with what its daemon remembers.
pub(super) fn of_stack(engine: &Reader, stack: &Stack) -> anyhow::Result<StackStatus> {
    let is_real = engine.drive.is_real();
    let recall = |engine: &EngineInfo| standing::remembered(engine, &stack.desired.stack, is_real);
    let look = current_status(&*engine.engine, &stack.desired, recall, &*engine.clock);
    let status = engine.drive.block_on(look)??;
    let daemon = Standings::new(standing::directory()).read(&stack.desired.stack);
    Ok(joined(status, daemon.as_ref()))
}

/// The stacks whose daemons go by other files than those that are here: the last good ones, or those of a repository.
fn by_daemon<'a>(standings: &Standings, name: Option<&'a str>) -> impl Iterator<Item = Shown> + use<'a> {
    let meant = move |standing: &Standing| {
        let is_elsewhere = standing.files_refused.is_some() || standing.commit.is_some();
        is_elsewhere && name.is_none_or(|name| standing.status.stack.as_str() == name)
    };
    let all = standings.all().into_iter().filter(meant);
    all.map(|standing| Shown::new(standing.status.clone(), Some(standing)))
}

/// What was seen, with the back-off and restarts that only the daemon remembers.
fn joined(mut seen: StackStatus, daemon: Option<&Standing>) -> StackStatus {
    let Some(known) = daemon.map(|standing| &standing.status) else { return seen };
    seen.condition = seen.condition.max(known.condition);
    // For other stacks it waits as its daemon says alone.
    let waits = |it: &&Waiting| {
        // A service may have the stack's own name, and is shown from what was seen.
        it.service.is_none() && it.reason == Reason::DependencyNotReady && it.subject == known.stack.as_str()
    };
    for waiting in known.waiting.iter().filter(waits) {
        seen.stuck |= waiting.stuck;
        seen.waiting.push(waiting.clone());
    }
    for service in &mut seen.services {
        let Some(known) = known.services.iter().find(|known| known.service == service.service) else {
            continue;
        };
        service.condition = service.condition.max(known.condition);
        if service.waiting.is_empty() {
            service.waiting.clone_from(&known.waiting);
        }
        for container in &mut service.containers {
            let same = |known: &&crate::core::status::ContainerStatus| known.id == container.id;
            let Some(known) = known.containers.iter().find(same) else { continue };
            container.restarts = container.restarts.max(known.restarts);
            if known.state == container.state && known.reason.is_some() {
                container.ready &= known.ready;
                container.reason = known.reason;
                container.message.clone_from(&known.message);
                container.next_retry = known.next_retry;
            }
        }
        let ready = service.containers.iter().filter(|container| container.ready).count();
        service.ready = u32::try_from(ready).unwrap_or(u32::MAX);
    }
    seen
}

/// All of it, for programs.
pub(super) fn document(shown: &[Shown]) -> Json {
    let statuses: Vec<StackStatus> = shown.iter().map(|one| one.status.clone()).collect();
    let mut document = render::json(&statuses);
    for (index, one) in shown.iter().enumerate() {
        if let Some(stack) = document.pointer_mut(&format!("/stacks/{index}")) {
            stack["daemon"] = one.daemon.as_ref().map_or(json!(null), |daemon| {
                json!({
                    "pid": daemon.process.pid,
                    "commit": daemon.commit.as_ref().map(sources::commit_json),
                    "held": one.held.as_ref().map(sources::held_json),
                    "filesRefused": daemon.files_refused,
                    "refusedSince": daemon.refused_since.map(render::moment),
                    "engineLost": daemon.engine_lost.as_ref().map(|(why, _)| why),
                    "engineLostSince": daemon.engine_lost.as_ref().map(|(_, since)| render::moment(*since)),
                })
            });
        }
    }
    document
}

fn rendered(shown: &[Shown], format: Format, is_real: bool) -> String {
    if format == Format::Json {
        return format!("{:#}", document(shown));
    }
    let now = standing::now();
    let blocks = shown.iter().map(|one| {
        let whose = match &one.daemon {
            Some(daemon) => {
                let held = one.held.iter().map(|held| format!("\n{}", sources::held(held, now)));
                format!("\n\n{}{}", render::daemon(daemon, now), held.collect::<String>())
            }
            None if one.status.condition == Condition::Ready || !is_real => String::new(),
            None => format!("\n\n{}", render::NOBODY),
        };
        render::text(&one.status, now) + &whose
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ids::StackName;
    use crate::core::overrides::Overrides;
    use crate::core::time::Timestamp;
    use crate::store::process::Process;

    #[test]
    fn what_a_stack_waits_for_is_what_its_daemon_says() {
        let stack = StackName::from("shop");
        let seen = StackStatus {
            stack: stack.clone(),
            condition: Condition::Ready,
            services: Vec::new(),
            waiting: Vec::new(),
            stuck: false,
        };
        let waits = |subject: &str, reason| Waiting {
            service: None,
            subject: subject.to_owned(),
            reason,
            message: "waits for the stack `database` to be ready".to_owned(),
            until: None,
            stuck: true,
        };
        let of_stack = waits("shop", Reason::DependencyNotReady);
        let others = waits("corp", Reason::ExternalMissing);
        let condition = Condition::Progressing;
        let namesake = Waiting { service: Some("shop".into()), ..of_stack.clone() };
        let waiting = vec![others, namesake, of_stack.clone()];
        let status = StackStatus { condition, waiting, ..seen.clone() };
        let standing = Standing {
            process: Process::own(),
            at: Timestamp::default(),
            files_refused: None,
            refused_since: None,
            engine_lost: None,
            commit: None,
            overrides: Overrides::default(),
            files_as_of: Timestamp::default(),
            status,
        };
        let shown = joined(seen.clone(), Some(&standing));
        assert_eq!((shown.condition, &shown.waiting), (condition, &vec![of_stack]), "what was seen is newer");
        assert!(shown.stuck, "for ever");
        let text = render::text(&shown, Timestamp::default());
        assert!(text.contains("waits for the stack `database` to be ready"), "{text}");
        assert_eq!(joined(seen.clone(), None), seen);
    }
}
