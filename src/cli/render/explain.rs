//! A service explained: how it stands, why, and where its values come from.

use serde_json::{Value as Json, json};

use super::shown::{paragraph, shown};
use super::style::{CALM, FAINT, HEADING, paint};
use super::table::{self, Cell};
use super::{events, status as stands};
use crate::compose::yaml::Span;
use crate::core::ids::ServiceName;
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
    /// Who paused it.
    pub pause: Option<String>,
    /// How it stands.
    pub status: Option<ServiceStatus>,
    /// Why that is not known.
    pub unreachable: Option<String>,
    /// The last thing that was done for it.
    pub last: Option<Record>,
    /// Its values, or those that were asked for.
    pub fields: Vec<Field>,
}

/// One value.
#[derive(Debug)]
pub struct Field {
    /// Where it stands: a Compose file, or the manifest.
    pub layer: Layer,
    /// Its path below the service.
    pub field: String,
    /// As people may see it.
    pub value: String,
    /// Where it was written.
    pub place: Span,
    /// What stood in it.
    pub variables: Vec<Variable>,
}

impl Field {
    /// The layer in a word.
    pub fn layer_name(&self) -> &'static str {
        match self.layer {
            Layer::Compose => "compose",
            Layer::Manifest => "manifest",
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
        "paused": explained.pause,
        "status": explained.status.as_ref().map(stands::service_json),
        "unreachable": explained.unreachable,
        "last": explained.last.as_ref().map(events::json),
        "fields": explained.fields.iter().map(field_json).collect::<Vec<_>>(),
    })
}

fn field_json(field: &Field) -> Json {
    let variables = field.variables.iter().map(|it| json!({"name": it.name, "set_by": it.set_by}));
    json!({
        "layer": field.layer_name(),
        "field": field.field,
        "value": field.value,
        "file": field.place.source.path,
        "line": field.place.line,
        "column": field.place.column,
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
    if let Some(pause) = &explained.pause {
        say("override", pause.clone());
    }
    if let Some(last) = &explained.last {
        for line in events::lines(std::slice::from_ref(last), false).into_iter().take(1) {
            say("last done", anstream::adapter::strip_str(&line).to_string());
        }
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
