//! `operator scale`: another number of replicas than the files say, for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::{Cli, Format, positive_duration};
use super::exit::Exit;
use super::overrides::{Laid, lay, needs_a_real_engine, who};
use super::render::overrides::{scale_json, scale_line};
use super::screen::Screen;
use super::wait::goes_by;
use super::{files, standing};
use crate::compose::errors::Diagnostics;
use crate::core::desired::Service;
use crate::core::ids::ServiceName;
use crate::core::limits;
use crate::core::overrides::{Scale, only_one};
use crate::source::files::last_written;
use crate::stack::Stack;
use crate::store::standing::{Standing, Standings};

/// What `operator scale --help` says.
pub const LONG: &str = "Have another number of replicas than the files say, for a while.\n\n\
It is laid over the files, which stay as they are, and ends by itself where --for says when; else it holds until \
`scale SERVICE=files` or `scale --reset`. It lasts over restarts of the operator and over changes of the files, unless \
these give the service another number of replicas: then that is the newest word. `resume` leaves it. `status`, `diff` and \
`explain` say who scaled what, until when, and what the files say.\n\n\
It returns when the daemon heeds it; `operator wait` waits until the replicas are ready.";

/// Arguments of `scale`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator scale worker=6 --for 2h       six workers, for two hours
  operator scale api=4 worker=0          two services, until somebody says otherwise
  operator scale worker=files            as many as the files say again
  operator scale --reset                 the same for every service")]
pub struct ScaleArgs {
    /// A service and how many replicas it is to have; `files` for as many as the files say
    #[arg(value_name = "SERVICE=REPLICAS", value_parser = wanted, required_unless_present = "reset")]
    pub services: Vec<Wanted>,
    /// End it by itself after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = positive_duration)]
    pub lasting: Option<Duration>,
    /// As many as the files say again, for every service
    #[arg(long, conflicts_with_all = ["services", "lasting"])]
    pub reset: bool,
}

/// A service, and how many replicas it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The service.
    pub service: String,
    /// How many; `None` for what the files say.
    pub replicas: Option<u32>,
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let Some((service, count)) = text.split_once('=').filter(|(service, _)| !service.is_empty()) else {
        return Err(format!(
            "write it like {}=3, or {0}=files for what the files say",
            text.trim_matches('=')
        ));
    };
    let service = service.to_owned();
    if count == "files" {
        return Ok(Wanted { service, replicas: None });
    }
    let replicas = count
        .parse()
        .map_err(|_| format!("`{count}` is no number of replicas: give 0 or more, or `files`"))?;
    if replicas > limits::MOST_REPLICAS {
        return Err(format!("more than {} replicas are more than one machine runs", limits::MOST_REPLICAS));
    }
    Ok(Wanted { service, replicas: Some(replicas) })
}

/// Scales: everything is judged before anything is said.
pub fn run(args: &ScaleArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    needs_a_real_engine("scale", cli)?;
    let loaded = files::load(&cli.files)?.even_idle();
    let written = last_written(&loaded.dependencies);
    let stacks = loaded.all()?;
    if args.reset {
        for stack in &stacks {
            let all = stack.desired.overrides.scaled.keys().cloned();
            let laid = lay(&stack.desired.stack, |overrides| overrides.scaled.clear())?;
            laid.tell(&stack.desired.stack, screen);
            say(stack, &all.collect::<Vec<_>>(), &laid, cli, screen)?;
        }
        return Ok(Exit::Ok);
    }
    let names: Vec<String> = args.services.iter().map(|wanted| wanted.service.clone()).collect();
    files::known_services(&stacks, &names)?;
    files::unambiguous(&stacks, &names)?;
    let chosen = stacks.iter().map(|stack| (stack, of_stack(stack, &args.services)));
    let chosen: Vec<_> = chosen.filter(|(_, wanted)| !wanted.is_empty()).collect();
    for (stack, wanted) in &chosen {
        judge(stack, wanted)?;
    }
    let since = standing::now();
    let until = args.lasting.map(|lasting| since.after(lasting));
    for (stack, wanted) in chosen {
        let known = Standings::new(standing::directory()).read(&stack.desired.stack);
        let known = known.filter(|known| goes_by(known, written));
        let laid = lay(&stack.desired.stack, |overrides| {
            for (name, replicas) in &wanted {
                let files = declared(stack, name, known.as_ref());
                match replicas.filter(|replicas| *replicas != files) {
                    Some(replicas) => {
                        let scale = Scale { replicas, files, by: who(), since, until };
                        overrides.scaled.insert(name.clone(), scale);
                    }
                    // What the files say already needs nobody's word.
                    None => drop(overrides.scaled.remove(name)),
                }
            }
        })?;
        laid.tell(&stack.desired.stack, screen);
        say(stack, &wanted.keys().cloned().collect::<Vec<_>>(), &laid, cli, screen)?;
    }
    Ok(Exit::Ok)
}

/// How many replicas the files say, as the daemon reads them where one has: variables may have other values there.
fn declared(stack: &Stack, name: &ServiceName, known: Option<&Standing>) -> u32 {
    let known = known.into_iter().flat_map(|known| &known.status.services).find(|it| it.service == *name);
    match known {
        Some(known) => known.scaled.as_ref().map_or(known.desired, |scale| scale.files),
        None => stack.desired.services.get(name).map_or(0, Service::declared_replicas),
    }
}

/// What is wanted of the services of one stack.
fn of_stack(stack: &Stack, wanted: &[Wanted]) -> BTreeMap<ServiceName, Option<u32>> {
    let own = wanted.iter().map(|it| (ServiceName::from(it.service.as_str()), it.replicas));
    own.filter(|(name, _)| stack.desired.services.contains_key(name)).collect()
}

/// What the loader would refuse of the files is refused here.
fn judge(stack: &Stack, wanted: &BTreeMap<ServiceName, Option<u32>>) -> anyhow::Result<()> {
    let mut scaled = stack.desired.clone();
    for (name, replicas) in wanted {
        if let (Some(service), Some(replicas)) = (scaled.services.get_mut(name), replicas) {
            service.replicas = *replicas;
        }
    }
    let faults = stack.faults_of_replicas(&scaled);
    if !faults.is_empty() {
        return Err(Diagnostics { faults }.into());
    }
    let mut several =
        scaled.services.iter().filter(|(name, it)| it.replicas > 1 && wanted.contains_key(*name));
    match several.find_map(|(name, service)| Some((name, only_one(service)?))) {
        Some((name, what)) => anyhow::bail!("`{name}` has {what}, which only one container can have"),
        None => Ok(()),
    }
}

fn say(
    stack: &Stack,
    services: &[ServiceName],
    laid: &Laid,
    cli: &Cli,
    screen: &mut Screen,
) -> anyhow::Result<()> {
    let name = &stack.desired.stack;
    if cli.output.format == Format::Json {
        let scaled = laid.overrides.scaled.iter().map(|(name, scale)| (name.as_str(), scale_json(scale)));
        screen.line(json!({"stack": name, "scaled": scaled.collect::<BTreeMap<_, _>>()}))?;
        return Ok(());
    }
    if services.is_empty() {
        screen.line(format_args!("{name}: as many replicas as the files say"))?;
    }
    for service in services {
        let files = stack.desired.services.get(service).map_or(0, Service::declared_replicas);
        match laid.overrides.scaled.get(service) {
            Some(scale) => {
                screen.line(format_args!("{name}/{service}: {}", scale_line(scale, scale.since)))?;
            }
            None => screen.line(format_args!("{name}/{service}: {files}, as the files say"))?,
        }
    }
    if laid.heeded == Some(true) {
        screen.note(format_args!("`operator wait` waits until they are ready"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_and_its_number_read_as_people_write_them() {
        let read = |text: &str| wanted(text).map(|it| (it.service, it.replicas));
        assert_eq!(read("web=3"), Ok(("web".to_owned(), Some(3))));
        assert_eq!(read("web=0"), Ok(("web".to_owned(), Some(0))));
        assert_eq!(read("web=files"), Ok(("web".to_owned(), None)));
        for wrong in ["web", "=3", "web=", "web=-1", "web=many", "web=1001", "web=1.5"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
