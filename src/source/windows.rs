//! When commits may come into force: windows of time, as Argo CD has them.
//!
//! An active window that denies wins. Where there are windows that allow, one of them must be active. Else all is allowed.

use std::fmt;
use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Zoned;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compose::errors::Diagnostic;
use crate::compose::yaml::Node;
use crate::core::time::Timestamp;
use crate::stack::period::Period;

/// A window is open for so long at most: longer than any month, and than anybody keeps a release back. It is more likely a
/// mistake in a unit.
pub const LONGEST: Duration = Duration::from_hours(24 * 31);

/// So many openings and closings are looked ahead: more than two a day for a year. Windows that keep each other closed for
/// longer may never open at all.
const LOOKAHEAD: usize = 1_000;

/// A span of time that comes again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Window")]
pub struct WindowDocument {
    /// `deny`: nothing comes into force in it. `allow`: only in such a window does anything.
    pub kind: WindowKind,
    /// When it opens, in cron's five fields: minute, hour, day of the month, month, day of the week.
    #[schemars(extend("examples" = ["0 22 * * *", "0 9 * * MON-FRI"]))]
    pub schedule: String,
    /// How long it is open from then on, as a stopwatch measures it; 31d at most.
    #[schemars(extend("examples" = ["8h"]))]
    pub duration: Period,
    /// The time zone of the schedule.
    #[serde(default = "utc")]
    #[schemars(extend("examples" = ["Europe/Berlin"]))]
    pub time_zone: String,
    /// `operator sync SOURCE` goes through it, for a person says it.
    #[serde(default)]
    pub manual: bool,
}

/// What a window is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum WindowKind {
    /// Commits come into force in it.
    Allow,
    /// No commit comes into force in it.
    Deny,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// The windows of a source.
#[derive(Clone, Debug, Default)]
pub struct Windows(Vec<Window>);

#[derive(Clone, Debug)]
struct Window {
    said: WindowDocument,
    opens: Cron,
    zone: TimeZone,
}

/// Whether commits may come into force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They may.
    Open,
    /// They may not.
    Closed {
        /// When they may; nothing where that is not within sight.
        until: Option<Timestamp>,
        /// What keeps them.
        why: String,
        /// A person's word goes through.
        manual: bool,
    },
}

impl Windows {
    /// Reads them; `nodes` are where they are written, one by one.
    pub fn read(
        said: &[WindowDocument],
        nodes: &[Node],
        zones: &TimeZoneDatabase,
    ) -> Result<Self, Diagnostic> {
        let all = said.iter().zip(nodes).map(|(said, node)| Window::read(said, node, zones));
        all.collect::<Result<_, _>>().map(Self)
    }

    /// Whether commits may come into force at a moment, and when they may next.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let Some((why, manual)) = self.closed(now) else { return Verdict::Open };
        Verdict::Closed { until: self.next_opening(now), why, manual }
    }

    /// What keeps commits back at a moment, and whether a person's word goes through it.
    fn closed(&self, at: Timestamp) -> Option<(String, bool)> {
        let of = |kind: WindowKind| self.0.iter().filter(move |window| window.said.kind == kind);
        let denying: Vec<&Window> = of(WindowKind::Deny).filter(|it| it.closes(at).is_some()).collect();
        if let Some(first) = denying.first() {
            return Some((format!("in the window {first}"), denying.iter().all(|it| it.said.manual)));
        }
        let mut allowing = of(WindowKind::Allow).peekable();
        let first = allowing.peek()?;
        let why = format!("outside the window {first}");
        if of(WindowKind::Allow).any(|window| window.closes(at).is_some()) {
            return None;
        }
        let why =
            if of(WindowKind::Allow).count() > 1 { "outside all windows that allow".into() } else { why };
        Some((why, allowing.all(|window| window.said.manual)))
    }

    fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let mut at = now;
        for _ in 0..LOOKAHEAD {
            at = self.0.iter().filter_map(|window| window.turns(at)).min()?;
            if self.closed(at).is_none() {
                return Some(at);
            }
        }
        None
    }
}

impl Window {
    fn read(said: &WindowDocument, node: &Node, zones: &TimeZoneDatabase) -> Result<Self, Diagnostic> {
        let at =
            |field: &str, message: String| Diagnostic::at(&node.get(field).unwrap_or(node).span, message);
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let opens = parser.parse(&said.schedule).map_err(|error| {
            let fault = at("schedule", format!("`{}` is no schedule: {error}", said.schedule));
            fault.help("write cron's five fields: minute, hour, day of the month, month, day of the week, as `0 22 * * MON-FRI`")
        })?;
        if said.duration.duration() > LONGEST {
            let fault = at("duration", format!("a window of {} is longer than 31d", said.duration));
            return Err(fault.help("`suspend: true` stays at a commit for as long as it stands there"));
        }
        let zone =
            Self::zone(&said.time_zone, zones).map_err(|(why, help)| at("timeZone", why).help(help))?;
        let window = Self { said: said.clone(), opens, zone };
        if window.next_start(Timestamp::default()).is_none() {
            let fault = at("schedule", format!("`{}` is a day that never comes", said.schedule));
            return Err(fault.help("look at the day of the month and the month"));
        }
        Ok(window)
    }

    /// The zone of this name; or why there is none, and the way out.
    fn zone(name: &str, zones: &TimeZoneDatabase) -> Result<TimeZone, (String, String)> {
        // Needs no database.
        if name == "UTC" {
            return Ok(TimeZone::UTC);
        }
        zones.get(name).map_err(|_| {
            if zones.is_definitively_empty() {
                let why = format!("the time zone `{name}` is not known: this machine has no time zones");
                return (why, "install `tzdata`, or leave `timeZone` out for UTC".to_owned());
            }
            let help = "write a name of the time zone database, as `Europe/Berlin`, or leave it out for UTC";
            (format!("there is no time zone `{name}`"), help.to_owned())
        })
    }

    /// A moment by the clock on this window's wall, to the second: schedules know nothing smaller.
    fn local(&self, at: Timestamp) -> Option<Zoned> {
        let seconds = jiff::Timestamp::from_second(at.as_millis().div_euclid(1_000)).ok()?;
        Some(seconds.to_zoned(self.zone.clone()))
    }

    fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        let next = self.opens.find_next_occurrence(&self.local(after)?, false).ok()?;
        Some(Timestamp::from_millis(next.timestamp().as_millisecond()))
    }

    /// When it closes, where it is open at a moment. One that opens anew while it is open stays open.
    fn closes(&self, at: Timestamp) -> Option<Timestamp> {
        let start = self.opens.find_previous_occurrence(&self.local(at)?, true).ok()?;
        let start = Timestamp::from_millis(start.timestamp().as_millisecond());
        Some(start.after(self.said.duration.duration())).filter(|end| *end > at)
    }

    /// When it opens or closes next.
    fn turns(&self, after: Timestamp) -> Option<Timestamp> {
        self.closes(after).into_iter().chain(self.next_start(after)).min()
    }
}

/// `deny "0 22 * * *" for 10h (Europe/Berlin)`.
impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let WindowDocument { kind, schedule, duration, time_zone, .. } = &self.said;
        let kind = match kind {
            WindowKind::Allow => "allow",
            WindowKind::Deny => "deny",
        };
        write!(f, "{kind} \"{schedule}\" for {duration} ({time_zone})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::yaml;
    use std::path::Path;

    fn read(text: &str, zones: &TimeZoneDatabase) -> Result<Windows, String> {
        let parsed = yaml::read(Path::new("w.yaml"), text.as_bytes());
        let nodes = parsed.documents[0].as_sequence().unwrap();
        let said: Vec<WindowDocument> =
            nodes.iter().map(|node| serde_json::from_value(node.to_json()).unwrap()).collect();
        Windows::read(&said, nodes, zones).map_err(|fault| fault.headline())
    }

    fn at(text: &str) -> Timestamp {
        let zoned: Zoned = text.parse().unwrap();
        Timestamp::from_millis(zoned.timestamp().as_millisecond())
    }

    /// `open`, or until when it is closed, by the clock of Berlin.
    fn verdict(windows: &Windows, now: &str) -> String {
        match windows.verdict(at(&format!("{now}[Europe/Berlin]"))) {
            Verdict::Open => "open".into(),
            Verdict::Closed { until: None, .. } => "never".into(),
            Verdict::Closed { until: Some(until), .. } => {
                let until = jiff::Timestamp::from_millisecond(until.as_millis()).unwrap();
                until.in_tz("Europe/Berlin").unwrap().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
        }
    }

    const NIGHT: &str = "- {kind: deny, schedule: '0 22 * * *', duration: 10h, timeZone: Europe/Berlin}\n";
    const OFFICE: &str = "- {kind: allow, schedule: '0 9 * * 1-5', duration: 8h, timeZone: Europe/Berlin}\n";

    #[test]
    fn windows_say_when_commits_come_into_force_to_the_minute() {
        let both = format!("{NIGHT}{OFFICE}");
        let lunch = format!(
            "{OFFICE}- {{kind: deny, schedule: '0 12 * * *', duration: 1h, timeZone: Europe/Berlin}}\n"
        );
        let overlapping = "- {kind: deny, schedule: '0 10 * * *', duration: 2h}\n- {kind: deny, schedule: '0 11 * * *', duration: 2h}\n";
        let often = "- {kind: deny, schedule: '*/30 8-9 * * *', duration: 45m}\n";
        let always = "- {kind: deny, schedule: '* * * * *', duration: 2m}\n";
        let covered = "- {kind: allow, schedule: '0 10 * * *', duration: 1h}\n- {kind: deny, schedule: '0 9 * * *', duration: 3h}\n";
        for (text, now, expected) in [
            ("[]", "2026-11-30T12:00:00", "open"),
            // Over midnight; the first moment and the last.
            (NIGHT, "2026-11-30T21:59:59", "open"),
            (NIGHT, "2026-11-30T22:00:00", "2026-12-01T08:00:00+01:00"),
            (NIGHT, "2026-12-01T00:30:00", "2026-12-01T08:00:00+01:00"),
            (NIGHT, "2026-12-01T07:59:59", "2026-12-01T08:00:00+01:00"),
            (NIGHT, "2026-12-01T08:00:00", "open"),
            // Only within one that allows. The 28th is a Saturday.
            (OFFICE, "2026-11-27T16:59:59", "open"),
            (OFFICE, "2026-11-27T17:00:00", "2026-11-30T09:00:00+01:00"),
            (OFFICE, "2026-11-28T12:00:00", "2026-11-30T09:00:00+01:00"),
            (&both, "2026-11-30T12:00:00", "open"),
            (&both, "2026-11-30T22:30:00", "2026-12-01T09:00:00+01:00"),
            // One that denies wins.
            (&lunch, "2026-11-30T12:30:00", "2026-11-30T13:00:00+01:00"),
            (&lunch, "2026-11-30T11:59:00", "open"),
            (covered, "2026-11-30T11:30:00+01:00", "never"),
            // Overlapping ones are one; UTC, where nothing is said.
            (overlapping, "2026-11-30T11:30:00", "2026-11-30T14:00:00+01:00"),
            (often, "2026-11-30T09:10:00", "2026-11-30T11:15:00+01:00"),
            (always, "2026-11-30T09:10:00", "never"),
            // The clock goes forward on the 29th of March at 2, and back on the 25th of October at 3: ten hours are ten hours.
            (NIGHT, "2026-03-28T23:00:00", "2026-03-29T09:00:00+02:00"),
            (NIGHT, "2026-10-24T23:00:00", "2026-10-25T07:00:00+01:00"),
            (OFFICE, "2026-03-27T18:00:00", "2026-03-30T09:00:00+02:00"),
        ] {
            let windows = read(text, jiff::tz::db()).unwrap();
            assert_eq!(verdict(&windows, now), expected, "{text} at {now}");
        }
    }

    #[test]
    fn an_hour_that_is_skipped_or_comes_twice_opens_a_window_once() {
        let half_past_two =
            "- {kind: deny, schedule: '30 2 * * *', duration: 20m, timeZone: Europe/Berlin}\n";
        let windows = read(half_past_two, jiff::tz::db()).unwrap();
        for (now, expected) in [
            // There is no half past two on that day: it opens when the clock has gone forward.
            ("2026-03-29T03:10:00+02:00", "2026-03-29T03:20:00+02:00"),
            ("2026-03-29T03:30:00+02:00", "open"),
            // Twice half past two: the first one counts.
            ("2026-10-25T02:40:00+02:00", "2026-10-25T02:50:00+02:00"),
            ("2026-10-25T02:40:00+01:00", "open"),
        ] {
            assert_eq!(verdict(&windows, now), expected, "{now}");
        }
    }

    #[test]
    fn a_persons_word_goes_through_where_every_window_that_keeps_it_says_so() {
        let manual = |text: &str| text.replace('}', ", manual: true}");
        let weekend = "2026-11-28T23:00:00[Europe/Berlin]";
        for (text, expected) in [
            (NIGHT.to_owned(), false),
            (manual(NIGHT), true),
            (manual(OFFICE), true),
            (format!("{}{NIGHT}", manual(NIGHT)), false),
            (format!("{}{OFFICE}", manual(OFFICE)), false),
            // Who may go through the night may go through what keeps less.
            (format!("{}{OFFICE}", manual(NIGHT)), true),
        ] {
            let windows = read(&text, jiff::tz::db()).unwrap();
            let Verdict::Closed { manual, .. } = windows.verdict(at(weekend)) else { panic!("{text}") };
            assert_eq!(manual, expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_window_is_told_at_its_place() {
        let window =
            |schedule: &str, rest: &str| format!("- {{kind: deny, schedule: '{schedule}', {rest}}}\n");
        for (text, expected) in [
            (window("0 25 * * *", "duration: 1h"), "w.yaml:1:26: `0 25 * * *` is no schedule: "),
            (window("0 0 22 * * *", "duration: 1h"), "w.yaml:1:26: `0 0 22 * * *` is no schedule: "),
            (window("", "duration: 1h"), "w.yaml:1:26: `` is no schedule: "),
            (window("0 0 30 2 *", "duration: 1h"), "w.yaml:1:26: `0 0 30 2 *` is a day that never comes"),
            (window("0 0 * * *", "duration: 32d"), "w.yaml:1:49: a window of 32d is longer than 31d"),
            (
                window("0 0 * * *", "duration: 1h, timeZone: Europe/Bern"),
                "w.yaml:1:63: there is no time zone `Europe/Bern`",
            ),
        ] {
            let fault = read(&text, jiff::tz::db()).unwrap_err();
            assert!(fault.starts_with(expected), "{fault}");
        }
    }

    #[test]
    fn a_machine_without_time_zones_says_so_and_has_utc() {
        let none = TimeZoneDatabase::none();
        let fault = read(NIGHT, &none).unwrap_err();
        assert!(
            fault.ends_with("this machine has no time zones") && fault.starts_with("w.yaml:1:"),
            "{fault}"
        );
        assert!(read("- {kind: deny, schedule: '0 22 * * *', duration: 10h}\n", &none).is_ok());
    }
}
