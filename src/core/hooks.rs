//! Commands that run in a container beside its program: right after its start, and before its stop.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::desired::{Desired, Service};
use super::observed::Container;
use super::{create, redact};
use crate::secret::{self, Secret};

/// The hooks of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// One after the other after a start; the container is not ready before the last has passed.
    pub post_start: Vec<Hook>,
    /// One after the other before a stop.
    pub pre_stop: Vec<Hook>,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// After the start.
    PostStart,
    /// Before the stop.
    PreStop,
    /// When another text is in a file that it reads. Not Compose's.
    ContentChange,
}

impl Moment {
    /// Compose's word, or the manifest's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PostStart => "post_start",
            Self::PreStop => "pre_stop",
            Self::ContentChange => "onContentChange",
        }
    }
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// When it runs.
    pub moment: Moment,
    /// Its place among those of the same moment, from 0.
    pub index: usize,
    /// The command.
    pub command: Vec<String>,
    /// `user[:group]`; the container's own where none is given.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// Working directory; the container's own where none is given.
    pub working_dir: Option<String>,
    /// `NAME=value`, on top of the container's environment. Never shown.
    #[serde(with = "secret::sealed")]
    pub environment: Vec<Secret>,
}

impl Hook {
    /// Where it stands in the files: `post_start[0]`, `onContentChange`.
    pub fn place(&self) -> String {
        match self.moment {
            Moment::ContentChange => self.moment.as_str().to_owned(),
            moment => format!("{}[{}]", moment.as_str(), self.index),
        }
    }

    /// What people may see of it: not its environment.
    fn shown(&self) -> String {
        let mut text = redact::command_line(&self.command);
        for (field, word) in [("user", &self.user), ("working_dir", &self.working_dir)] {
            if let Some(word) = word {
                text = format!("{text}, {field} {word}");
            }
        }
        if self.privileged {
            text.push_str(", privileged");
        }
        text
    }
}

/// How many hooks have passed in a container's present run, as far as this operator knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Passed {
    /// Of those after the start.
    pub post_start: usize,
    /// Of those before the stop.
    pub pre_stop: usize,
}

impl Passed {
    /// One more has passed.
    pub fn count(&mut self, hook: &Hook) {
        let passed = match hook.moment {
            Moment::PostStart => &mut self.post_start,
            Moment::PreStop => &mut self.pre_stop,
            Moment::ContentChange => return,
        };
        *passed = (*passed).max(hook.index.saturating_add(1));
    }
}

impl Hooks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.post_start.is_empty() && self.pre_stop.is_empty()
    }

    /// What people may see of each, by its place.
    pub fn shown(&self) -> BTreeMap<String, String> {
        let all = self.post_start.iter().chain(&self.pre_stop);
        all.map(|hook| (hook.place(), hook.shown())).collect()
    }

    /// The same as a label: no engine tells which hooks a container was made with.
    pub fn label(&self) -> String {
        // A map of strings always serialises.
        serde_json::to_string(&self.shown()).unwrap_or_default()
    }

    /// All of them as text for a hash, environments included.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut put = |part: &str| {
            text.extend(part.len().to_le_bytes());
            text.extend(part.as_bytes());
        };
        for hook in self.post_start.iter().chain(&self.pre_stop) {
            put(&hook.place());
            put(if hook.privileged { "privileged" } else { "" });
            for word in [&hook.user, &hook.working_dir] {
                put(word.as_deref().unwrap_or_default());
            }
            hook.command.iter().for_each(|word| put(word));
            put("");
            hook.environment.iter().for_each(|word| put(word.expose()));
        }
        text
    }
}

/// The name of a container between its start by an operator and the end of its `post_start` hooks: the one thing of a
/// container that can be changed at any time, and that the engine keeps. Whoever dies in between leaves the mark.
pub fn marked(name_at_rest: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let first = format!("starting_{name_at_rest}");
    if !is_taken(&first) {
        return first;
    }
    // Another one with the same name at rest died in the same place.
    let others = (2..=u32::MAX).map(|number| format!("starting-{number}_{name_at_rest}"));
    others.into_iter().find(|name| !is_taken(name)).unwrap_or(first)
}

/// Whether its name says that its `post_start` hooks are still to run.
pub fn is_marked(desired: &Desired, service: &Service, container: &Container) -> bool {
    !service.hooks.post_start.is_empty()
        && container.replica().is_some_and(|replica| {
            let name = create::name(desired, service, &replica);
            container.name.strip_suffix(name.as_str()).is_some_and(|mark| mark.ends_with('_'))
        })
}

/// Whether its `post_start` hooks have not all passed since it was started.
pub fn is_starting(desired: &Desired, container: &Container) -> bool {
    let service = container.service().and_then(|name| desired.services.get(name));
    service.is_some_and(|service| {
        container.passed.post_start < service.hooks.post_start.len() && is_marked(desired, service, container)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(command: &str, environment: &str) -> Hook {
        Hook {
            moment: Moment::PostStart,
            index: 0,
            command: vec![command.to_owned()],
            user: None,
            privileged: false,
            working_dir: None,
            environment: vec![Secret::new(environment)],
        }
    }

    #[test]
    fn the_text_of_hooks_tells_them_apart_and_no_output_shows_their_environment() {
        let of = |hook: Hook| Hooks { post_start: vec![hook], pre_stop: Vec::new() };
        let one = of(hook("a", "K=canary"));
        assert!(!format!("{one:?}").contains("canary"));
        assert_eq!(one.label(), r#"{"post_start[0]":"a"}"#);
        for other in
            [hook("b", "K=canary"), hook("a", "K=other"), Hook { privileged: true, ..hook("a", "K=canary") }]
        {
            assert_ne!(one.text(), of(other).text());
        }
    }

    #[test]
    fn a_mark_is_before_the_name_and_nobody_elses() {
        assert_eq!(marked("shop-web-1", |_| false), "starting_shop-web-1");
        assert_eq!(marked("shop-web-1", |name| name == "starting_shop-web-1"), "starting-2_shop-web-1");
    }

    #[test]
    fn a_hook_that_passes_twice_counts_once() {
        let mut passed = Passed::default();
        for _ in 0..2 {
            passed.count(&hook("a", ""));
        }
        assert_eq!(passed, Passed { post_start: 1, pre_stop: 0 });
    }
}
