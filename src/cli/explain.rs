//! `operator explain`: where a value comes from, why the last action was taken, what the next one waits for.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::{Cli, Format};
use super::exit::Exit;
use super::render::explain::{self as render, Explained, Field, Place, Variable};
use super::render::overrides::scale_line;
use super::screen::Screen;
use super::{engine, files, standing, status};
use crate::compose::clean;
use crate::compose::yaml::Span;
use crate::core::event::EventKind;
use crate::core::ids::ServiceName;
use crate::core::overrides::Scale;
use crate::core::redact;
use crate::core::status::ServiceStatus;
use crate::secret::HIDDEN;
use crate::stack::Stack;
use crate::stack::provenance::{Written, unknown_field};
use crate::store::journal::{Journals, Record};

mod content;

/// What `operator explain --help` says.
pub const LONG: &str = "Show where a service's values come from, why the last action was taken, and what the next one \
waits for.\n\n\
Each value with the file, line and column that it was written at, and with the variables that stood there; what the \
manifest says wins over the Compose files. A field is named by its path (`api.deploy.replicas`) or the end of it \
(`api.replicas`). Values of variables are hidden, as everywhere; `operator config` shows them.";

/// Arguments of `explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator explain api                 how it stands, and all its values
  operator explain api.image           where one value comes from
  operator explain api.environment     and all that begin so")]
pub struct ExplainArgs {
    /// The service, and the field where one is meant
    #[arg(value_name = "SERVICE[.FIELD]")]
    pub what: String,
}

/// Explains.
pub fn run(args: &ExplainArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let stacks = files::stacks_even_idle(&cli.files, screen)?;
    let (stack, service, field) = find(&stacks, &args.what)?;
    let mut fields = fields(stack, &service, field)?;
    let scaled = scaled(stack, &service);
    if let Some((scale, place)) = scaled.as_ref().filter(|_| field == Some("replicas")) {
        fields.insert(0, said(scale, place.as_ref()));
    }
    let engine = engine::reader(&cli.engine)?;
    // What is, where the engine can be asked: where values come from is known without.
    let status = status::of_stack(&engine, stack)
        .map(|status| status.services.into_iter().find(|status: &ServiceStatus| status.service == service));
    let (status, unreachable) = match status {
        Ok(status) => (status, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let now = standing::now();
    let overrides = &stack.desired.overrides;
    let pause = overrides.pause(now).or_else(|| overrides.pause_of(&service, now));
    let rollback = overrides.rollback.as_ref().map(|rollback| {
        format!("{rollback}: what the files say here is not followed until they change, or `operator resume`")
    });
    let explained = Explained {
        declared: stack.declared_at(service.as_str()),
        rollback,
        pause: pause.map(ToString::to_string),
        scaled,
        last: last_action(stack, &service)?,
        content: stack.desired.services.get(&service).and_then(content::content),
        fields,
        service,
        status,
        unreachable,
    };
    match cli.output.format {
        Format::Json => screen.line(format_args!("{:#}", render::json(&explained)))?,
        Format::Text | Format::Markdown if explained.fields.is_empty() && field.is_some() => {
            // An env file or the whole stack's fields may say it.
            screen.line(format_args!("{}: nothing is written for this service itself", args.what))?;
        }
        Format::Text | Format::Markdown => screen.line(render::text(&explained, field.is_none(), now))?,
    }
    Ok(Exit::Ok)
}

/// The stack, service and field that are meant. Names of services may have dots in them.
fn find<'a>(stacks: &'a [Stack], what: &'a str) -> anyhow::Result<(&'a Stack, ServiceName, Option<&'a str>)> {
    let ends = what.match_indices('.').map(|(at, _)| at).chain([what.len()]);
    let mut found = Vec::new();
    for end in ends {
        let (name, field) = what.split_at(end);
        let field = field.strip_prefix('.').filter(|field| !field.is_empty());
        let of = stacks.iter().filter(|stack| stack.desired.services.contains_key(name));
        found.extend(of.map(|stack| (stack, ServiceName::from(name), field)));
    }
    match (found.pop(), found.pop()) {
        (Some((stack, ..)), Some((other, ..))) if stack.desired.stack != other.desired.stack => {
            let (one, other) = (&stack.desired.stack, &other.desired.stack);
            anyhow::bail!("`{what}` is a service of {other} and of {one}; choose one with -p");
        }
        (Some(found), _) => Ok(found),
        (None, _) => {
            let name = what.split('.').next().unwrap_or_default();
            files::known_services(stacks, &[name.to_owned()])?;
            anyhow::bail!("`{what}` names no service: write SERVICE or SERVICE.FIELD")
        }
    }
}

fn fields(stack: &Stack, service: &ServiceName, wanted: Option<&str>) -> anyhow::Result<Vec<Field>> {
    let written = stack.written(service.as_str());
    let is_wanted = |field: &str| {
        let Some(wanted) = wanted else { return true };
        // Any part of a path: `replicas`, `deploy.replicas`, `deploy`.
        format!(".{field}.").contains(&format!(".{wanted}."))
    };
    let fields: Vec<Field> = written
        .iter()
        .filter(|it| is_wanted(&it.field))
        .map(|it| Field {
            layer: Some(it.layer),
            field: it.field.clone(),
            value: shown(it),
            place: Place::Written(it.place.clone()),
            variables: variables(stack, it),
        })
        .collect();
    if let (Some(wanted), true) = (wanted, fields.is_empty())
        && let Some(help) = unknown_field(wanted)
    {
        anyhow::bail!("a service has no field `{wanted}`: {help}");
    }
    Ok(fields)
}

/// Who scaled it, and where the files say how many replicas it has.
fn scaled(stack: &Stack, service: &ServiceName) -> Option<(Scale, Option<Span>)> {
    let scale = stack.desired.services.get(service)?.scaled.clone()?;
    let written = stack.written(service.as_str());
    let counts = |it: &&Written| ["replicas", "scale", "deploy.replicas"].contains(&it.field.as_str());
    let place = written.iter().find(counts).map(|it| it.place.clone());
    Some((scale, place))
}

/// The number of replicas that somebody said, as a field that lies over those of the files.
fn said(scale: &Scale, place: Option<&Span>) -> Field {
    let at = place.map(|place| format!(" ({place})")).unwrap_or_default();
    Field {
        layer: None,
        field: "replicas".to_owned(),
        value: scale.replicas.to_string(),
        place: Place::Said(format!("override: {}{at}", scale_line(scale, standing::now()))),
        variables: Vec::new(),
    }
}

/// What has names of the file's own, which may say that a value is a secret.
const NAMED: &[&str] = &["labels.", "annotations.", "logging.options.", "build.labels.", "deploy.labels."];

/// The value as people may see it.
fn shown(written: &Written) -> String {
    let field = written.field.as_str();
    // Its own, or that of a hook. What a build is given may be anything.
    if field.split('.').any(|step| step == "environment") || field.starts_with("build.args.") {
        return HIDDEN.to_owned();
    }
    let named = NAMED.iter().find_map(|section| field.strip_prefix(section));
    match named {
        Some(name) => redact::option(name, &written.words.join(", ")),
        None => redact::words(written.words.iter().map(String::as_str)).join(", "),
    }
}

/// The variables that stood in a value, with where each is set.
fn variables(stack: &Stack, written: &Written) -> Vec<Variable> {
    let spelling = written.spelling.as_deref().unwrap_or_default();
    let without_dollars = spelling.replace("$$", " ");
    let parts = without_dollars.split('$').skip(1).map(|part| part.strip_prefix('{').unwrap_or(part));
    // A secret of the host is no variable; one may be called so.
    let is_secret =
        |part: &&str| part.strip_prefix("secret:").is_some_and(|rest| !rest.starts_with(['-', '+', '?']));
    let is_letter = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
    let names = parts
        .filter(|part| !is_secret(part))
        .map(|part| part.chars().take_while(is_letter).collect::<String>());
    let mut names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| Variable { set_by: set_by(stack, &name), name }).collect()
}

/// Where a variable is set; `None` where nothing sets it and its default holds. The process wins over the manifest's values,
/// these over files, and a later file over an earlier one.
fn set_by(stack: &Stack, name: &str) -> Option<String> {
    let value = stack.project.environment.get(name)?;
    if std::env::var(name).as_ref() == Ok(value) {
        return Some("the environment".to_owned());
    }
    if let Some(place) = stack.value_at(name, value) {
        return Some(place.to_string());
    }
    let usual = [stack.project.working_dir.join(".env")];
    let given = &stack.project.environment_files;
    let files: &[PathBuf] = if given.is_empty() { &usual } else { given };
    let line = files.iter().rev().find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        let sets = |line: &str| {
            let line = line.trim_start().trim_start_matches("export ").trim_start();
            line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(['=', ':']))
        };
        let line = text.lines().collect::<Vec<_>>().iter().rposition(|line| sets(line))?;
        Some(format!("{}:{}", near(file).display(), line + 1))
    });
    Some(line.unwrap_or_else(|| "the project's settings".to_owned()))
}

fn near(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    clean(path).strip_prefix(&here).map_or_else(|_| path.to_owned(), Path::to_owned)
}

/// The last thing that was done for a service.
fn last_action(stack: &Stack, service: &ServiceName) -> anyhow::Result<Option<Record>> {
    let journals = Journals::new(&standing::directory());
    let reading = match journals.read(&stack.desired.stack) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return Ok(None),
        read => read?,
    };
    let done = |record: &Record| {
        matches!(record.event.kind, EventKind::Changed | EventKind::Healed | EventKind::Failed)
    };
    Ok(reading.records.into_iter().rfind(|it| done(it) && it.event.service.as_ref() == Some(service)))
}
