//! A build as it goes on: its steps, what they print, and which one failed.

use std::collections::BTreeMap;

use super::messages::{StatusResponse, Vertex, VertexStatus};
use crate::engine::Progress;
use crate::secret::HIDDEN;

/// What begins the names of steps that are BuildKit's own: they are told on the way, not when the build fails.
const INTERNAL: &str = "[internal]";

/// Shorter ones are words that occur by themselves.
const SHORTEST_SECRET: usize = 4;

/// One step.
#[derive(Debug, Default)]
struct Step {
    name: String,
    told: bool,
    failed: bool,
    /// What it printed, whole lines.
    lines: Vec<String>,
    /// What it printed of a line that has not ended.
    rest: String,
}

/// The steps so far, by their digests.
#[derive(Debug)]
pub(super) struct Steps {
    steps: BTreeMap<String, Step>,
    secrets: Vec<String>,
}

impl Steps {
    /// None yet. What a step prints of these texts is not passed on.
    pub(super) fn new(secrets: &[String]) -> Self {
        let lines = secrets.iter().flat_map(|secret| secret.lines()).map(str::trim);
        let mut secrets: Vec<String> =
            lines.filter(|line| line.len() >= SHORTEST_SECRET).map(str::to_owned).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { steps: BTreeMap::new(), secrets }
    }

    /// Takes in what happened, and passes it on as lines.
    pub(super) fn take(&mut self, news: StatusResponse, progress: Progress<'_>) {
        for vertex in news.vertexes {
            self.vertex(vertex, progress);
        }
        for status in news.statuses {
            if let Some(line) = amount(&status) {
                progress(&line);
            }
        }
        for log in news.logs {
            let step = self.steps.entry(log.vertex).or_default();
            step.rest.push_str(&String::from_utf8_lossy(&log.text));
            while let Some((line, rest)) = step.rest.split_once('\n') {
                let line = without(&self.secrets, line.trim_end());
                step.rest = rest.to_owned();
                if !line.is_empty() {
                    progress(&line);
                    step.lines.push(line);
                }
            }
        }
    }

    fn vertex(&mut self, vertex: Vertex, progress: Progress<'_>) {
        let step = self.steps.entry(vertex.digest).or_default();
        step.name = vertex.name;
        // BuildKit calls the steps that it did not get to cancelled.
        step.failed = !vertex.error.is_empty() && !vertex.error.contains("context canceled");
        if vertex.completed.is_some() && !step.rest.trim_end().is_empty() {
            let line = without(&self.secrets, std::mem::take(&mut step.rest).trim_end());
            progress(&line);
            step.lines.push(line);
        }
        let begins = vertex.started.is_some() || vertex.cached;
        if begins && !step.told {
            step.told = true;
            let cached = if vertex.cached { " (cached)" } else { "" };
            progress(&format!("{}{cached}", step.name));
        }
    }

    /// What the step that failed printed, after its name; without one, what all of them did.
    pub(super) fn last_words(self) -> Vec<String> {
        let secrets = self.secrets;
        let words = |step: Step| {
            let rest = without(&secrets, step.rest.trim_end());
            let rest = (!rest.is_empty()).then_some(rest);
            [step.name].into_iter().chain(step.lines).chain(rest).collect::<Vec<_>>()
        };
        let mut steps: Vec<Step> = self.steps.into_values().collect();
        if let Some(failed) = steps.iter().position(|step| step.failed) {
            return words(steps.swap_remove(failed));
        }
        steps
            .into_iter()
            .filter(|step| step.told && !step.name.starts_with(INTERNAL))
            .flat_map(words)
            .collect()
    }
}

/// How far a long part of a step is: `sha256:0f…: 12.3 MB of 40.0 MB`.
fn amount(status: &VertexStatus) -> Option<String> {
    if status.total <= 0 || status.completed.is_some() {
        return None;
    }
    let megabytes = |bytes: i64| format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10);
    Some(format!("{} {} of {}", status.id, megabytes(status.current), megabytes(status.total)))
}

fn without(secrets: &[String], line: &str) -> String {
    secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret, HIDDEN))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::engine::docker::build::buildkit::messages::{Moment, VertexLog};

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex {
            digest: digest.to_owned(),
            name: name.to_owned(),
            started: Some(Moment::default()),
            ..Vertex::default()
        }
    }

    fn log(digest: &str, text: &str) -> VertexLog {
        VertexLog { vertex: digest.to_owned(), text: text.as_bytes().to_vec() }
    }

    #[test]
    fn steps_are_told_once_and_their_output_by_line() {
        let told = RefCell::new(Vec::new());
        let tell = |line: &str| told.borrow_mut().push(line.to_owned());
        let mut steps = Steps::new(&["s3cret-word\n".to_owned()]);
        let news = StatusResponse {
            vertexes: vec![
                vertex("a", "[1/2] FROM b"),
                Vertex { cached: true, ..vertex("b", "[2/2] RUN c") },
            ],
            logs: vec![log("a", "one\r\ntw"), log("a", "o s3cret-word\n")],
            ..StatusResponse::default()
        };
        steps.take(news, &tell);
        steps.take(
            StatusResponse { vertexes: vec![vertex("a", "[1/2] FROM b")], ..StatusResponse::default() },
            &tell,
        );
        assert_eq!(*told.borrow(), ["[1/2] FROM b", "[2/2] RUN c (cached)", "one", "two (hidden)"]);
    }

    #[test]
    fn the_last_words_are_those_of_the_step_that_failed() {
        let mut steps = Steps::new(&[]);
        let failed = Vertex { error: "exit code: 3".to_owned(), ..vertex("b", "[2/2] RUN exit 3") };
        let cancelled = Vertex { error: "context canceled".to_owned(), ..vertex("c", "[1/2] FROM b") };
        let news = StatusResponse {
            vertexes: vec![cancelled, failed],
            logs: vec![log("c", "other\n"), log("b", "nearly\nthere")],
            ..StatusResponse::default()
        };
        steps.take(news, &|_| {});
        assert_eq!(steps.last_words(), ["[2/2] RUN exit 3", "nearly", "there"]);
    }
}
