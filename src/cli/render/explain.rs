//! A service explained: how it stands, why, and where its values come from.

use std::fmt;

use serde_json::{Value as Json, json};

use super::overrides::{scale_json, scale_line};
use super::shown::{paragraph, shown};
use super::style::{CALM, FAINT, HEADING, paint};
use super::table::{self, Cell};
use super::{events, status as stands};
use crate::compose::yaml::Span;
use crate::core::ids::ServiceName;
use crate::core::overrides::Scale;
use crate::core::status::ServiceStatus;
use crate::core::time::Timestamp;
use crate::stack::provenance::Layer;
use crate::store::journal::Record;

/// Columns wider than this do not widen the others.
const WIDEST: usize = 48;

/// What there is to say of a service.
#[derive(Debug)]
pub struct Explained {
    /// The service.
    pub service: ServiceName,
    /// Where it is declared.
    pub declared: Vec<(Layer, Span)>,
    /// Which revision is held against the files, and who said so.
    pub rollback: Option<String>,
    /// Who paused it.
    pub pause: Option<String>,
    /// Who scaled it, and where the files say how many replicas it has.
    pub scaled: Option<(Scale, Option<Span>)>,
    /// How it stands.
    pub status: Option<ServiceStatus>,
    /// Why that is not known.
    pub unreachable: Option<String>,
    /// The last thing that was done for it.
    pub last: Option<Record>,
    /// What becomes of another content of its mounted files.
    pub content: Option<Content>,
    /// Its values, or those that were asked for.
    pub fields: Vec<Field>,
}

/// What becomes of another content of mounted files.
#[derive(Debug)]
pub struct Content {
    /// In words.
    pub what: String,
    /// The files.
    pub files: Vec<Mounted>,
}

/// A mounted file.
#[derive(Debug)]
pub struct Mounted {
    /// The field by which `diff` names it.
    pub field: String,
    /// Why its content does not count, where it does not.
    pub left_out: Option<String>,
}

impl Content {
    /// All in a few lines.
    fn lines(&self) -> Vec<String> {
        let counts: Vec<&str> =
            self.files.iter().filter(|it| it.left_out.is_none()).map(|it| it.field.as_str()).collect();
        let of = if counts.is_empty() { "no mounted file".to_owned() } else { counts.join(", ") };
        let first = format!("another content of {}: {}", shown(of), shown(&self.what));
        let left_out = self.files.iter().filter_map(|it| Some((&it.field, it.left_out.as_ref()?)));
        let left_out = left_out.map(|(field, why)| format!("not of {}: {}", shown(field), shown(why)));
        std::iter::once(first).chain(left_out).collect()
    }
}

/// One value.
#[derive(Debug)]
pub struct Field {
    /// Where it stands: a Compose file, the manifest, or what somebody laid over them.
    pub layer: Option<Layer>,
    /// Its path below the service.
    pub field: String,
    /// As people may see it.
    pub value: String,
    /// Where it was written, or who said so.
    pub place: Place,
    /// What stood in it.
    pub variables: Vec<Variable>,
}

impl Field {
    /// The layer in a word.
    pub fn layer_name(&self) -> &'static str {
        match self.layer {
            Some(Layer::Compose) => "compose",
            Some(Layer::Manifest) => "manifest",
            None => "override",
        }
    }
}

/// Where a value comes from.
#[derive(Debug)]
pub enum Place {
    /// Where it was written.
    Written(Span),
    /// Who said so, and until when.
    Said(String),
}

impl Place {
    fn span(&self) -> Option<&Span> {
        match self {
            Self::Written(span) => Some(span),
            Self::Said(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(span) => write!(f, "{span}"),
            Self::Said(who) => f.write_str(who),
        }
    }
}

/// A variable in a value.
#[derive(Debug)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What sets it; `None`: nothing does, its default holds.
    pub set_by: Option<String>,
}

/// For people. `whole`: the service, not a field of it.
pub fn text(explained: &Explained, whole: bool, now: Timestamp) -> String {
    let mut out = Vec::new();
    if whole {
        out.extend(head(explained, now));
        out.push(String::new());
    }
    let rows: Vec<Vec<Cell>> = explained.fields.iter().map(row).collect();
    out.extend(table::lines(&rows, WIDEST));
    out.join("\n")
}

/// For programs.
pub fn json(explained: &Explained) -> Json {
    let declared = explained
        .declared
        .iter()
        .map(|(_, place)| json!({"file": place.source.path, "line": place.line, "column": place.column}));
    json!({
        "service": explained.service,
        "declared": declared.collect::<Vec<_>>(),
        "rolled_back": explained.rollback,
        "paused": explained.pause,
        "scaled": explained.scaled.as_ref().map(|(scale, _)| scale_json(scale)),
        "status": explained.status.as_ref().map(stands::service_json),
        "unreachable": explained.unreachable,
        "last": explained.last.as_ref().map(events::json),
        "content": explained.content.as_ref().map(content_json),
        "fields": explained.fields.iter().map(field_json).collect::<Vec<_>>(),
    })
}

fn content_json(content: &Content) -> Json {
    let files = content.files.iter().map(|it| json!({"field": it.field, "left_out": it.left_out}));
    json!({"on_change": content.what, "files": files.collect::<Vec<_>>()})
}

fn field_json(field: &Field) -> Json {
    let variables = field.variables.iter().map(|it| json!({"name": it.name, "set_by": it.set_by}));
    let place = field.place.span();
    json!({
        "layer": field.layer_name(),
        "field": field.field,
        "value": field.value,
        "file": place.map(|place| &place.source.path),
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "variables": variables.collect::<Vec<_>>(),
    })
}

fn head(explained: &Explained, now: Timestamp) -> Vec<String> {
    let mut rows = Vec::new();
    let mut say = |what: &str, text: String| {
        rows.push(vec![Cell::styled(FAINT, what), Cell::plain(text)]);
    };
    for (layer, place) in &explained.declared {
        let over = if *layer == Layer::Manifest { ", lies over the Compose files" } else { "" };
        say("declared", format!("{place}{over}"));
    }
    for said in explained.rollback.iter().chain(&explained.pause) {
        say("override", said.clone());
    }
    if let Some((scale, place)) = &explained.scaled {
        let at = place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
        say("override", format!("{}{at}", scale_line(scale, now)));
    }
    if let Some(last) = &explained.last {
        for line in events::lines(std::slice::from_ref(last), false).into_iter().take(1) {
            say("last done", anstream::adapter::strip_str(&line).to_string());
        }
    }
    for line in explained.content.iter().flat_map(Content::lines) {
        say("content", line);
    }
    let waits = explained.status.iter().flat_map(|status| stands::troubles(status, now));
    let waits: Vec<String> = waits.map(|line| anstream::adapter::strip_str(&line).to_string()).collect();
    match (waits.is_empty(), explained.status.is_some()) {
        (true, true) => say("next", "nothing is to be done".to_owned()),
        _ => waits.iter().for_each(|wait| say("next", paragraph(wait).replace('\n', " / "))),
    }
    let title = paint(HEADING, &explained.service);
    let stands = match (&explained.status, &explained.unreachable) {
        (Some(status), _) => format!(
            "{:?}, {} of {} replicas ready, {} up to date",
            status.condition, status.ready, status.desired, status.up_to_date
        ),
        (None, Some(why)) => format!("how it stands is not known: {}", shown(why)),
        (None, None) => "not looked at".to_owned(),
    };
    std::iter::once(format!("{title}: {stands}")).chain(table::lines(&rows, WIDEST)).collect()
}

fn row(field: &Field) -> Vec<Cell> {
    let variables: Vec<String> = field
        .variables
        .iter()
        .map(|it| match &it.set_by {
            Some(set_by) => format!("{} from {set_by}", it.name),
            None => format!("{} is not set", it.name),
        })
        .collect();
    vec![
        Cell::plain(&field.field),
        Cell::styled(CALM, &field.value),
        Cell::styled(FAINT, &field.place),
        Cell::plain(variables.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_that_is_held_and_a_pause_are_two_overrides() {
        let explained = Explained {
            service: ServiceName::from("web"),
            declared: Vec::new(),
            rollback: Some("rolled back to revision 2 by ann".to_owned()),
            pause: Some("paused by bob".to_owned()),
            scaled: None,
            status: None,
            unreachable: None,
            last: None,
            content: None,
            fields: Vec::new(),
        };
        let told = anstream::adapter::strip_str(&text(&explained, true, Timestamp::default())).to_string();
        let overrides: Vec<&str> = told.lines().filter(|line| line.contains("override")).collect();
        assert_eq!(overrides.len(), 2, "{told}");
        assert!(overrides[0].ends_with("rolled back to revision 2 by ann"), "{told}");
        assert!(overrides[1].ends_with("paused by bob"), "{told}");
        let told = json(&explained);
        assert_eq!(told["rolled_back"], "rolled back to revision 2 by ann");
        assert_eq!(told["paused"], "paused by bob");
        let only = Explained { pause: None, ..explained };
        assert_eq!(json(&only)["paused"], Json::Null);
    }
}
