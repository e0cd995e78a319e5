//! `operator events`: what happened, what was done about it, and why.

use std::io;
use std::time::Duration;

use clap::Args;

use super::args::{Cli, Format, duration};
use super::exit::Exit;
use super::render::events as render;
use super::screen::Screen;
use super::{files, standing};
use crate::core::ids::StackName;
use crate::core::time::Timestamp;
use crate::store::journal::{Journals, Record};
use crate::store::standing::Standings;

/// What `operator events --help` says.
pub const LONG: &str = "Show what happened, what was done about it, and why.\n\n\
Reads the journal that `run`, `apply` and `down` keep of each stack in the state directory: crashes with their exit code and \
last lines, what was healed and what somebody changed by hand, back-offs, refusals, changes of the files. It is \
bounded: of a busy stack the oldest go. Deleting it loses nothing but history.";

/// Journals are looked at this often by whoever follows them: a look at the size of a file.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);

/// Arguments of `events`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator events                       the last 50 of every stack
  operator events api --since 2h        one service, of the last two hours
  operator events --follow              and all that come
  operator events -o json | jq -c 'select(.kind == \"Crashed\") | {at, subject, exit_code}'")]
pub struct EventsArgs {
    /// Only these services
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Only what happened since: so long ago (2h), or since a day or moment (2026-11-26, 2026-11-26T14:00:00Z)
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// Only the last so many [default: 50, or all with --since]
    #[arg(short = 'n', long = "tail", value_name = "N")]
    pub tail: Option<usize>,
    /// Go on with what happens from now on
    #[arg(long)]
    pub follow: bool,
}

/// From when on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long ago.
    Ago(Duration),
    /// A moment.
    At(Timestamp),
}

impl Since {
    pub(super) fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(ago))
            }
        }
    }
}

/// Reads `--since`.
pub(super) fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = duration(text) {
        return Ok(Since::Ago(ago));
    }
    let at = text.parse().or_else(|_| by_the_clock(text, jiff::tz::TimeZone::system())).map_err(|_| {
        format!(
            "`{text}` is neither a duration (2h) nor a moment (2026-11-26T14:00:00Z, 2026-11-26T14:00[Europe/Berlin], or 2026-11-26 and `2026-11-26 14:00` by the clock here)"
        )
    })?;
    Ok(Since::At(Timestamp::from_millis(at.as_millisecond())))
}

/// A day, or a time of day, in the time zone that it names or else in this one.
fn by_the_clock(text: &str, zone: jiff::tz::TimeZone) -> Result<jiff::Timestamp, jiff::Error> {
    if text.contains('[') {
        return Ok(text.parse::<jiff::Zoned>()?.timestamp());
    }
    let at: jiff::civil::DateTime = text.parse()?;
    Ok(at.to_zoned(zone)?.timestamp())
}

/// Shows them.
pub fn run(args: &EventsArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let mut reader = Reader::new(args, stacks(args, cli)?);
    let many = reader.stacks.len() > 1;
    let mut records = reader.read(screen)?;
    let tail = args.tail.unwrap_or(if args.since.is_some() { usize::MAX } else { 50 });
    records.drain(..records.len().saturating_sub(tail));
    print(&records, many, cli.output.format, screen)?;
    if records.is_empty() && !args.follow && cli.output.format == Format::Text {
        let is_part = args.since.is_some() || args.tail.is_some() || !args.services.is_empty();
        screen.note(if is_part {
            "nothing, as far as was asked"
        } else {
            "nothing has happened, as far as this journal goes; `run`, `apply` and `down` keep it"
        });
    }
    if !args.follow {
        return Ok(Exit::Ok);
    }
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        let records = reader.read(screen)?;
        print(&records, many, cli.output.format, screen)?;
    }
}

/// The stacks of the files; of files that do not load, those whose daemons hold to the last good ones.
fn stacks(args: &EventsArgs, cli: &Cli) -> anyhow::Result<Vec<StackName>> {
    let meant = files::meant(&cli.files, &args.services);
    meant.map(|(meant, _)| meant.into_iter().map(|meant| meant.stack).collect()).or_else(|error| {
        let refusing = Standings::new(standing::directory()).refusing();
        let refusing: Vec<StackName> = refusing.map(|standing| standing.status.stack).collect();
        if refusing.is_empty() { Err(error) } else { Ok(refusing) }
    })
}

/// Reads what was not read yet.
struct Reader<'a> {
    args: &'a EventsArgs,
    journals: Journals,
    /// Each with the last sequence that was read, and the size of its file then.
    stacks: Vec<(StackName, u64, u64)>,
    since: Option<Timestamp>,
    told_of_damage: bool,
}

impl<'a> Reader<'a> {
    fn new(args: &'a EventsArgs, stacks: Vec<StackName>) -> Self {
        Self {
            args,
            journals: Journals::new(&standing::directory()),
            stacks: stacks.into_iter().map(|stack| (stack, 0, 0)).collect(),
            since: args.since.map(|since| since.moment(standing::now())),
            told_of_damage: false,
        }
    }

    /// Of all stacks, in the order in which it happened.
    fn read(&mut self, screen: &mut Screen) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::new();
        for (stack, last, size) in &mut self.stacks {
            let path = self.journals.path(stack);
            let now = std::fs::metadata(&path).map_or(0, |data| data.len());
            if std::mem::replace(size, now) == now {
                continue;
            }
            let reading = match self.journals.read(stack) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    anyhow::bail!("{}: {error}; it is another user's: try with sudo", path.display())
                }
                read => read.map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?,
            };
            if reading.damaged > 0 && !std::mem::replace(&mut self.told_of_damage, true) {
                let lost = reading.damaged;
                screen.warning(format_args!("{}: {lost} damaged records are left out", path.display()));
            }
            let new = reading.records.into_iter().filter(|record| record.sequence > *last);
            let new: Vec<Record> = new.collect();
            *last = new.last().map_or(*last, |record| record.sequence);
            records.extend(new);
        }
        records.retain(|record| {
            let service = record.event.service.as_ref().map(crate::core::ids::ServiceName::as_str);
            (self.args.services.is_empty() || self.args.services.iter().any(|name| service == Some(name)))
                && self.since.is_none_or(|since| record.event.at >= since)
        });
        records.sort_by_key(|record| record.event.at);
        Ok(records)
    }
}

fn print(records: &[Record], many: bool, format: Format, screen: &mut Screen) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            for record in records {
                screen.line(render::json(record))?;
            }
        }
        Format::Text | Format::Markdown => {
            for line in render::lines(records, many) {
                screen.line(line)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_span_a_moment_or_a_time_by_the_clock_here() {
        let here = |year, month, day, hour| {
            let civil = jiff::civil::date(year, month, day).at(hour, 0, 0, 0);
            let zoned = civil.to_zoned(jiff::tz::TimeZone::system()).unwrap();
            Ok(Since::At(Timestamp::from_millis(zoned.timestamp().as_millisecond())))
        };
        let moment = Timestamp::from_millis(1_795_960_800_000);
        for (text, expected) in [
            ("2h", Ok(Since::Ago(Duration::from_hours(2)))),
            ("2026-11-29T14:00:00Z", Ok(Since::At(moment))),
            ("2026-11-29T15:00:00+01:00", Ok(Since::At(moment))),
            ("2026-11-29T23:00[Asia/Tokyo]", Ok(Since::At(moment))),
            ("2026-11-29", here(2026, 11, 29, 0)),
            ("2026-11-29 14:00", here(2026, 11, 29, 14)),
            ("2026-11-29T14:00", here(2026, 11, 29, 14)),
        ] {
            assert_eq!(since(text), expected, "{text}");
        }
        for text in ["2026-11-29 15:00", "2026-11-29T15:00"] {
            let east = jiff::tz::TimeZone::fixed(jiff::tz::offset(1));
            let at = by_the_clock(text, east).unwrap().as_millisecond();
            assert_eq!(Timestamp::from_millis(at), moment, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01", "2h ago", "2026-11-29T14:00[Nowhere]"] {
            let refused = since(text).unwrap_err();
            assert!(refused.starts_with(&format!("`{text}` is neither")), "{refused}");
        }
    }
}
