//! `operator pause` and `operator resume`: leave a stack or some of its services as they are, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::args::{Cli, Format, positive_duration};
use super::exit::Exit;
use super::files::{self, Meant};
use super::overrides::{lay, who};
use super::render::status::moment;
use super::screen::Screen;
use super::standing;
use crate::core::ids::{ServiceName, StackName};
use crate::core::overrides::{Overrides, Pause};
use crate::core::reason::Reason;
use crate::core::time::Timestamp;
use crate::store::standing::{Standing, Standings};

/// What `operator pause --help` says.
pub const PAUSE: &str = "Leave a stack, or some of its services, as they are.\n\n\
From then on neither `run` nor `apply` changes anything of them, whatever happens: nothing is healed, no change of \
the files is made. What is under way is ended first. `status` and `diff` say so; it lasts over restarts of the \
operator, until `operator resume` or for as long as --for says. Docker's own restart policies are Docker's.";

/// What `operator resume --help` says.
pub const RESUME: &str = "End a pause, and all else that keeps things as they are.\n\n\
Goes on with what was paused, puts right what is held after a change by hand (`onManualChange: hold`), and tries again \
at once what waits in a back-off; without a service it also heals again where that was stopped since it did harm (`Stalled`), and follows the files again \
after `operator rollback`.";

/// Arguments of `pause`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator pause --reason 'moving the disk'    the whole stack
  operator pause worker --for 2h               one service, for two hours")]
pub struct PauseArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Why, for whoever looks
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// End it by itself after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub lasting: Option<Duration>,
}

/// Arguments of `resume`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator resume           everything
  operator resume worker    one service")]
pub struct ResumeArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// Pauses.
pub fn pause(args: &PauseArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let now = standing::now();
    let pause = Pause {
        by: who(),
        reason: args.reason.clone(),
        since: now,
        until: args.lasting.map(|lasting| now.after(lasting)),
    };
    change(&args.services, cli, screen, |overrides, services| {
        for service in services {
            overrides.paused_services.insert(service.clone(), pause.clone());
        }
        if services.is_empty() {
            overrides.paused = Some(pause.clone());
        }
    })?;
    Ok(Exit::Ok)
}

/// Resumes. A pause of the whole stack is not ended for one service of it.
pub fn resume(args: &ResumeArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let now = standing::now();
    let resumed = change(&args.services, cli, screen, |overrides, services| {
        for service in services {
            overrides.paused_services.remove(service);
            overrides.resumed_services.insert(service.clone(), now);
        }
        if services.is_empty() {
            overrides.resumed_at = Some(now);
            overrides.resumed_services.clear();
            overrides.paused = None;
            overrides.paused_services.clear();
            overrides.rollback = None;
        }
    })?;
    for Meant { stack, services } in resumed.iter().filter(|meant| is_stalled(meant)) {
        let which = services.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(", ");
        screen.note(format_args!(
            "{stack}: {which} stays as it is, since healing did harm (Stalled): `operator resume` without a service ends that"
        ));
    }
    Ok(Exit::Ok)
}

/// Whether one of the services that were named is left as it is since healing did harm.
fn is_stalled(meant: &Meant) -> bool {
    let Some(Standing { status, .. }) = Standings::new(standing::directory()).read(&meant.stack) else {
        return false;
    };
    let services = status.services.iter().filter(|it| meant.services.contains(&it.service));
    let mut containers = services.flat_map(|service| &service.containers);
    containers.any(|container| container.reason == Some(Reason::Stalled))
}

/// Changes the overrides of every stack that is meant, and says what holds now.
fn change(
    services: &[String],
    cli: &Cli,
    screen: &mut Screen,
    change: impl Fn(&mut Overrides, &[ServiceName]),
) -> anyhow::Result<Vec<Meant>> {
    let (meant, _) = files::meant(&cli.files, services)?;
    for Meant { stack, services } in &meant {
        let laid = lay(stack, |overrides| change(overrides, services))?;
        laid.tell(stack, screen);
        say(stack, &laid.overrides, cli, screen)?;
    }
    Ok(meant)
}

fn say(stack: &StackName, overrides: &Overrides, cli: &Cli, screen: &mut Screen) -> anyhow::Result<()> {
    let now = standing::now();
    if cli.output.format == Format::Json {
        let services =
            overrides.paused_services.iter().filter(|(name, _)| overrides.pause_of(name, now).is_some());
        screen.line(json!({
            "stack": stack,
            "paused": overrides.pause(now).map(pause_json),
            "services": services.map(|(name, pause)| (name.as_str(), pause_json(pause))).collect::<BTreeMap<_, _>>(),
        }))?;
        return Ok(());
    }
    // A moment has passed since it was said.
    let left = |until: Timestamp| super::render::lasting(until.after(Duration::from_millis(500)).since(now));
    let whole = overrides.pause(now).map(|pause| (stack.to_string(), pause));
    let services = overrides.paused_services.keys();
    let each = services.filter_map(|name| Some((format!("{stack}/{name}"), overrides.pause_of(name, now)?)));
    let mut any = false;
    for (what, pause) in whole.into_iter().chain(each) {
        any = true;
        match pause.until {
            Some(until) => {
                screen.line(format_args!("{what}: {pause}, for {}", left(until)))?;
            }
            None => screen.line(format_args!("{what}: {pause}, until `operator resume`"))?,
        }
    }
    if let Some(rollback) = &overrides.rollback {
        any = true;
        screen.line(format_args!("{stack}: {rollback}, until the files change or `operator resume`"))?;
    }
    if !any {
        screen.line(format_args!("{stack}: goes on"))?;
    }
    Ok(())
}

fn pause_json(pause: &Pause) -> Json {
    json!({
        "by": pause.by,
        "reason": pause.reason,
        "since": moment(pause.since),
        "until": pause.until.map(moment),
    })
}
