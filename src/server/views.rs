//! What the server hands out and does not make itself: whoever starts it knows how it looks.

use serde_json::json;

use super::metrics::SourceFigures;
use crate::source::Bell;

/// Why there is no answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such thing.
    Unknown(String),
    /// It cannot be understood.
    Malformed(String),
    /// It cannot be read.
    Failed(String),
}

/// A text for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One JSON value.
    Json(String),
    /// A JSON value a line.
    Lines(String),
}

/// An answer, or why there is none.
pub type Asked = Result<Document, Refusal>;

/// Reads files: done beside the loops, which wait for no disk.
pub type Reading = Box<dyn FnOnce() -> Asked + Send>;

/// Which events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsAsked {
    /// Of this stack; of all, where none is named.
    pub stack: Option<String>,
    /// As `operator events --since` has it.
    pub since: Option<String>,
    /// The last so many.
    pub limit: Option<usize>,
}

/// How the stacks stand, what happened to them, and what they were: each in the shape that the commands print with `-o json`.
pub trait Views {
    /// As `operator status`.
    fn status(&self, stack: Option<&str>) -> Asked;

    /// As `operator events`, an event a line.
    fn events(&self, asked: &EventsAsked) -> Result<Reading, Refusal>;

    /// As `operator history`.
    fn history(&self, stack: Option<&str>) -> Result<Reading, Refusal>;
}

/// The sources that are followed.
pub trait Sources {
    /// All of them, and how each stands.
    fn list(&self) -> serde_json::Value;

    /// The bell of one, by its name.
    fn bell(&self, name: &str) -> Option<Bell>;

    /// What metrics have of each, by its name.
    fn figures(&self) -> Vec<(String, SourceFigures)> {
        Vec::new()
    }
}

/// No sources but the files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSources;

impl Sources for NoSources {
    fn list(&self) -> serde_json::Value {
        json!({"sources": []})
    }

    fn bell(&self, _: &str) -> Option<Bell> {
        None
    }
}
