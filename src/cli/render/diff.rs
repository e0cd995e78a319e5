//! A preview: what would change, grouped by service, the steps there, and one line that sums it up.

use std::collections::BTreeSet;

use anstyle::Style;
use serde_json::{Value as Json, json};

use super::cost::{self, Costs};
use super::overrides::{scale_json, scale_line};
use super::shown::{paragraph, plural, shown};
use super::style::{self, BAD, CALM, CHANGE, FAINT, GOOD, HEADING, paint};
use super::table::{Cell, lines};
use super::time::{ms, rfc3339};
use crate::core::decide::Waiting;
use crate::core::diff::{Change, Impact};
use crate::core::ids::{ServiceName, StackName};
use crate::core::notes::Note;
use crate::core::overrides::Scale;
use crate::core::time::Timestamp;
use crate::rehearse::Step;

/// Columns grow up to this; a longer value (a command line) moves only what follows it in its own line.
const WIDEST: usize = 44;

/// What `diff` found out about one stack.
#[derive(Clone, Copy, Debug)]
pub struct Preview<'a> {
    /// The stack.
    pub stack: &'a StackName,
    /// What differs.
    pub changes: &'a [Change],
    /// The steps that apply would take, in order.
    pub steps: &'a [Step],
    /// What would still be waited for after the last step: apply would not converge.
    pub waiting: &'a [Waiting],
    /// What is no longer in the files and stays all the same, and what is held or given up.
    pub orphans: &'a [Waiting],
    /// What is one thing though it looks like several.
    pub notes: &'a [Note],
    /// Numbers of replicas that somebody laid over the files.
    pub scaled: &'a [(ServiceName, Scale)],
    /// What it costs while it is done.
    pub costs: Costs<'a>,
    /// For what ends by itself.
    pub now: Timestamp,
}

impl Preview<'_> {
    /// Nothing differs, and nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.steps.is_empty()
    }
}

#[cfg(test)]
impl<'a> Preview<'a> {
    /// Of a stack with nothing to tell of.
    pub(super) fn nothing(stack: &'a StackName) -> Self {
        Self {
            stack,
            changes: &[],
            steps: &[],
            waiting: &[],
            orphans: &[],
            notes: &[],
            scaled: &[],
            costs: Costs::default(),
            now: Timestamp::default(),
        }
    }
}

/// A preview for people.
pub fn text(preview: &Preview<'_>) -> String {
    let heading = paint(HEADING, preview.stack);
    if preview.is_empty() && preview.waiting.is_empty() {
        let mut out = vec![format!("{heading}: nothing to do")];
        waits(&mut out, "left alone", preview.orphans);
        notes(&mut out, preview.notes);
        scaled(&mut out, preview);
        return out.join("\n");
    }
    let mut out = vec![heading];
    notes(&mut out, preview.notes);
    let groups = groups(preview.changes);
    for (name, group) in &groups {
        out.push(format!("  {}", paint(HEADING, name)));
        indented(&mut out, &group.iter().map(|change| row(change)).collect::<Vec<_>>());
        out.extend(preview.costs.line(name));
    }
    let names: Vec<&str> = groups.iter().map(|(name, _)| *name).collect();
    for (service, line) in preview.costs.beside(&names) {
        out.extend([format!("  {}", paint(HEADING, service)), line]);
    }
    if !preview.steps.is_empty() {
        out.push(format!("  {}", paint(HEADING, "steps")));
        indented(&mut out, &preview.steps.iter().enumerate().map(step).collect::<Vec<_>>());
    }
    out.extend(cost::warning_lines(&preview.costs));
    waits(&mut out, "would still wait", preview.waiting);
    waits(&mut out, "left alone", preview.orphans);
    scaled(&mut out, preview);
    out.push(summary(preview));
    out.join("\n")
}

fn waits(out: &mut Vec<String>, what: &str, waiting: &[Waiting]) {
    out.extend((!waiting.is_empty()).then(|| format!("  {}", paint(HEADING, what))));
    let line = |it: &Waiting| {
        let (subject, message) = (shown(&it.subject), paragraph(&it.message));
        format!("    {} {subject}: {message}", paint(BAD, it.reason))
    };
    out.extend(waiting.iter().map(line));
}

fn notes(out: &mut Vec<String>, notes: &[Note]) {
    out.extend(notes.iter().map(|note| format!("  {}", paragraph(&note.message))));
}

fn scaled(out: &mut Vec<String>, preview: &Preview<'_>) {
    if preview.scaled.is_empty() {
        return;
    }
    out.push(format!("  {}", paint(HEADING, "overrides")));
    let row = |(name, scale): &(ServiceName, Scale)| {
        vec![Cell::plain(name), Cell::plain(scale_line(scale, preview.now))]
    };
    indented(out, &preview.scaled.iter().map(row).collect::<Vec<_>>());
}

fn indented(out: &mut Vec<String>, rows: &[Vec<Cell>]) {
    out.extend(lines(rows, WIDEST).into_iter().map(|line| format!("    {line}")));
}

/// Changes by service in the order in which they came; what is shared has a heading of its own.
fn groups(changes: &[Change]) -> Vec<(&str, Vec<&Change>)> {
    let mut groups: Vec<(&str, Vec<&Change>)> = Vec::new();
    for change in changes {
        let name = change.service.as_ref().map_or_else(|| shared(change), ServiceName::as_str);
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(change),
            None => groups.push((name, vec![change])),
        }
    }
    groups
}

fn notes_json(preview: &Preview<'_>) -> Vec<Json> {
    let note = |note: &Note| json!({"stack": preview.stack, "kind": note.kind, "message": note.message});
    preview.notes.iter().map(note).collect()
}

/// What a change of no service is about.
pub(super) fn shared(change: &Change) -> &'static str {
    match change.field.split_once('.') {
        Some(("networks", _)) => "(networks)",
        Some(("volumes", _)) => "(volumes)",
        _ => "(stack)",
    }
}

/// `~ field  old → new  impact  why`.
fn row(change: &Change) -> Vec<Cell> {
    let (sign, style, value) = style::change(change.from.as_deref(), change.to.as_deref());
    let why = match change.containers.as_slice() {
        [] => change.reason.clone(),
        names => format!("{} ({})", change.reason, some_of(names)),
    };
    vec![
        Cell::styled(style, format!("{sign} {}", change.field)),
        Cell::plain(value),
        Cell::styled(impact_style(change.impact), change.impact.as_str()),
        Cell::styled(FAINT, why),
    ]
}

/// The first few names; of fifty replicas nobody reads fifty.
pub(super) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let (first, rest) = names.split_at(names.len().min(SHOWN));
    match rest.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn step((index, step): (usize, &Step)) -> Vec<Cell> {
    vec![
        Cell::styled(FAINT, format!("{:>3}.", index + 1)),
        Cell::plain(step.action),
        Cell::plain(step.target.as_str()),
        Cell::styled(FAINT, step.cause.to_string()),
    ]
}

fn impact_style(impact: Impact) -> Style {
    match impact {
        Impact::InPlace => GOOD,
        Impact::Rolling => CALM,
        Impact::Restart | Impact::Removed => CHANGE,
        Impact::Destructive => BAD.bold(),
    }
}

const IMPACTS: [Impact; 5] =
    [Impact::InPlace, Impact::Rolling, Impact::Restart, Impact::Removed, Impact::Destructive];

/// `4 changes (2 in-place, 2 restart), 9 steps; interrupted: caddy`.
fn summary(preview: &Preview<'_>) -> String {
    let counts: Vec<String> = counts(preview.changes)
        .map(|(impact, count)| paint(impact_style(impact), format!("{count} {}", impact.as_str())))
        .collect();
    let mut text = plural(preview.changes.len(), "change");
    if !counts.is_empty() {
        text = format!("{text} ({})", counts.join(", "));
    }
    text = format!("{text}, {}", plural(preview.steps.len(), "step"));
    let down = interrupted(preview.changes);
    if !down.is_empty() {
        let names: Vec<&str> = down.into_iter().collect();
        text = format!("{text}; interrupted: {}", names.join(", "));
    }
    if !preview.waiting.is_empty() {
        text = format!("{text}; {}", paint(BAD, "would not converge"));
    }
    text
}

/// How many changes there are of each impact, where there are any.
pub(super) fn counts(changes: &[Change]) -> impl Iterator<Item = (Impact, usize)> {
    let count = |impact| (impact, of_impact(changes, impact).count());
    IMPACTS.into_iter().map(count).filter(|(_, count)| *count > 0)
}

/// The services that do not serve meanwhile.
pub(super) fn interrupted(changes: &[Change]) -> BTreeSet<&str> {
    let services = of_impact(changes, Impact::Restart).filter_map(|change| change.service.as_ref());
    services.map(ServiceName::as_str).collect()
}

fn of_impact(changes: &[Change], impact: Impact) -> impl Iterator<Item = &Change> {
    changes.iter().filter(move |change| change.impact == impact)
}

/// Previews for programs: one shape for one stack and for many.
pub fn json(previews: &[Preview<'_>]) -> Json {
    let of_all = |part: fn(&Preview<'_>) -> Vec<Json>| previews.iter().flat_map(part).collect::<Vec<_>>();
    let impacts: serde_json::Map<String, Json> = IMPACTS
        .into_iter()
        .map(|impact| {
            let count: usize =
                previews.iter().map(|preview| of_impact(preview.changes, impact).count()).sum();
            (impact.as_str().to_owned(), count.into())
        })
        .collect();
    json!({
        "stacks": previews.iter().map(|preview| preview.stack).collect::<Vec<_>>(),
        "changes": of_all(changes_json),
        "steps": of_all(steps_json),
        "waiting": of_all(waiting_json),
        "notes": of_all(notes_json),
        "costs": of_all(|preview| cost::json(preview.stack, &preview.costs)),
        "misfits": of_all(|preview| cost::misfits_json(preview.stack, &preview.costs)),
        "data_at_risk": of_all(|preview| cost::at_risk_json(preview.stack, &preview.costs)),
        "overrides": of_all(overrides_json),
        "summary": {
            "changes": previews.iter().map(|preview| preview.changes.len()).sum::<usize>(),
            "steps": previews.iter().map(|preview| preview.steps.len()).sum::<usize>(),
            "impacts": impacts,
            "duration_ms": ms(previews.iter().map(|preview| preview.costs.takes).sum()),
            "converges": previews.iter().all(|preview| preview.waiting.is_empty()),
        },
    })
}

fn changes_json(preview: &Preview<'_>) -> Vec<Json> {
    let change = |change: &Change| {
        json!({
            "stack": preview.stack,
            "service": change.service,
            "field": change.field,
            "from": change.from,
            "to": change.to,
            "impact": change.impact,
            "reason": change.reason,
            "containers": change.containers,
        })
    };
    preview.changes.iter().map(change).collect()
}

fn steps_json(preview: &Preview<'_>) -> Vec<Json> {
    let step = |step: &Step| {
        json!({
            "stack": preview.stack,
            "action": step.action,
            "target": step.target,
            "service": step.service,
            "cause": step.cause.to_string(),
        })
    };
    preview.steps.iter().map(step).collect()
}

fn overrides_json(preview: &Preview<'_>) -> Vec<Json> {
    let scale = |(service, scale): &(ServiceName, Scale)| {
        let mut shown = scale_json(scale);
        (shown["stack"], shown["service"]) = (json!(preview.stack), json!(service));
        shown
    };
    preview.scaled.iter().map(scale).collect()
}

fn waiting_json(preview: &Preview<'_>) -> Vec<Json> {
    let waiting = |waiting: &Waiting| {
        json!({
            "stack": preview.stack,
            "service": waiting.service,
            "subject": waiting.subject,
            "reason": waiting.reason,
            "message": waiting.message,
            "until": waiting.until.map(rfc3339),
        })
    };
    preview.waiting.iter().chain(preview.orphans).map(waiting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Cause;
    use crate::core::notes::Kind;
    use crate::core::reason::Reason;

    fn change(
        service: Option<&str>,
        field: &str,
        values: [Option<&str>; 2],
        impact: Impact,
        reason: &str,
    ) -> Change {
        let [from, to] = values.map(|value| value.map(str::to_owned));
        let service = service.map(ServiceName::from);
        let containers = if from.is_some() { vec!["shop-api-1".to_owned()] } else { Vec::new() };
        Change { service, field: field.to_owned(), from, to, impact, reason: reason.to_owned(), containers }
    }

    fn changes() -> Vec<Change> {
        let memory = "resources.limits.memory";
        let old_image = "needs a new container, stop first: it has the fixed host port 80";
        vec![
            change(None, "networks.shop_default", [None, Some("created")], Impact::InPlace, "missing"),
            change(Some("api"), memory, [Some("1G"), Some("2G")], Impact::InPlace, "updated while it runs"),
            change(
                Some("caddy"),
                "image",
                [Some("caddy:2.7"), Some("caddy:2.8")],
                Impact::Restart,
                old_image,
            ),
        ]
    }

    fn steps() -> Vec<Step> {
        let step =
            |action, target: &str, cause| Step { action, target: target.to_owned(), service: None, cause };
        vec![
            step("create network", "shop_default", Cause::Missing),
            step(
                "update container",
                "shop-api-1",
                Cause::Changed { fields: vec!["resources.limits.memory".to_owned()], by_hand: false },
            ),
        ]
    }

    fn plain(preview: &Preview<'_>) -> String {
        anstream::adapter::strip_str(&text(preview)).to_string()
    }

    #[test]
    fn a_preview_reads_by_service_with_the_steps_and_one_line_that_sums_it_up() {
        let stack = StackName::from("shop");
        let preview = Preview { changes: &changes(), steps: &steps(), ..Preview::nothing(&stack) };
        assert_eq!(
            plain(&preview),
            "\
shop
  (networks)
    + networks.shop_default  created  in-place  missing
  api
    ~ resources.limits.memory  1G → 2G  in-place  updated while it runs (shop-api-1)
  caddy
    ~ image  caddy:2.7 → caddy:2.8  restart  needs a new container, stop first: it has the fixed host port 80 (shop-api-1)
  steps
      1.  create network    shop_default  missing
      2.  update container  shop-api-1    changed: resources.limits.memory
3 changes (2 in-place, 1 restart), 2 steps; interrupted: caddy"
        );
    }

    #[test]
    fn nothing_to_do_is_one_line_and_what_would_not_converge_is_said() {
        let stack = StackName::from("shop");
        let nothing = Preview::nothing(&stack);
        assert_eq!(plain(&nothing), "shop: nothing to do");
        let waiting = Waiting {
            service: None,
            subject: "corp".to_owned(),
            reason: Reason::ExternalMissing,
            message: "create it with `docker network create corp`".to_owned(),
            until: None,
            stuck: true,
        };
        let scale = Scale { replicas: 3, files: 2, by: "ann".into(), since: nothing.now, until: None };
        let scaled = [(ServiceName::from("web"), scale)];
        assert_eq!(
            plain(&Preview { scaled: &scaled, ..nothing }),
            "shop: nothing to do\n  overrides\n    web  3 replicas by ann, until `operator scale SERVICE=files`; the files say 2"
        );
        let message = "service web is renamed to front".to_owned();
        let note = Note { kind: Kind::ServiceRenamed, message };
        assert_eq!(
            plain(&Preview { notes: std::slice::from_ref(&note), ..nothing }),
            "shop: nothing to do\n  service web is renamed to front"
        );
        let told = json(&[Preview { notes: &[note], ..nothing }]);
        assert_eq!(told["notes"][0]["kind"], "service-renamed");
        let blocked = Preview { waiting: &[waiting], ..nothing };
        assert_eq!(
            plain(&blocked),
            "\
shop
  would still wait
    ExternalMissing corp: create it with `docker network create corp`
0 changes, 0 steps; would not converge"
        );
        assert_eq!(json(&[blocked])["summary"]["converges"], false);
    }

    #[test]
    fn programs_get_every_change_and_step_with_its_stack() {
        let stack = StackName::from("shop");
        let json = json(&[Preview { changes: &changes(), steps: &steps(), ..Preview::nothing(&stack) }]);
        assert_eq!(
            json["changes"][1],
            serde_json::json!({
                "stack": "shop", "service": "api", "field": "resources.limits.memory", "from": "1G", "to": "2G",
                "impact": "in-place", "reason": "updated while it runs", "containers": ["shop-api-1"],
            })
        );
        assert_eq!(json["steps"][0]["action"], "create network");
        assert_eq!(json["steps"][0]["target"], "shop_default");
        assert_eq!(json["summary"]["impacts"]["restart"], 1);
    }

    #[test]
    fn of_many_containers_a_few_are_named() {
        let names: Vec<String> = (1..=5).map(|number| format!("c{number}")).collect();
        assert_eq!(some_of(&names), "c1, c2, c3 and 2 more");
        assert_eq!(some_of(&names[..2]), "c1, c2");
    }
}
