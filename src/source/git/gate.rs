//! What keeps a sound commit from coming into force for now: windows of time, and the word of a person that it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::info;

use super::{Candidate, GitSource, now};
use crate::core::diff::Impact;
use crate::core::time::Timestamp;
use crate::source::windows::{Verdict, Windows};
use crate::stack::{Loaded, Stack};
use crate::store::sources::{Approval, Ask, Held};

/// A clock that somebody sets, or that stood still while the machine slept, is noticed within this.
const CLOCK_SET_WITHIN: Duration = Duration::from_mins(1);

/// More names than this nobody reads in a line.
const NAMED: usize = 8;

/// Which commits come into force when.
#[derive(Clone, Debug, Default)]
pub struct SyncSettings {
    /// When any does.
    pub windows: Windows,
    /// Which need a person's word.
    pub approve: Approve,
}

/// Which commits need a person's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Approve {
    /// None.
    #[default]
    None,
    /// Those that restart or remove something, or destroy data. The first one needs none: there is nothing yet that it could.
    Restart,
    /// Every one, the first too.
    All,
}

/// One thing that a commit changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What: a service, or what a stack shares.
    pub on: String,
    /// What changing it costs.
    pub impact: Impact,
}

/// Tells what stacks that are other than they were change; nothing where that cannot be told.
pub type Weigh = Rc<dyn Fn(&[Stack], &[Stack]) -> Option<Vec<Effect>>>;

/// What the gate goes by, beside the settings.
pub(super) struct Gate {
    pub(super) wall: Rc<dyn Fn() -> Timestamp>,
    pub(super) weigh: Weigh,
    /// What had been asked before this process came: nobody waits for that.
    pub(super) asked_before: Option<Ask>,
}

impl Gate {
    pub(super) fn new(asked_before: Option<Ask>) -> Self {
        Self { wall: Rc::new(now), weigh: Rc::new(|_, _| None), asked_before }
    }

    /// Ready when what is held may come into force, for a window opens.
    pub(super) async fn opens(&self, windows: &Windows, held: Option<&Held>) {
        if held.is_none_or(|held| held.awaits_approval) {
            return std::future::pending().await;
        }
        while let Verdict::Closed { until, .. } = windows.verdict((self.wall)()) {
            let left = until.map_or(CLOCK_SET_WITHIN, |until| until.since((self.wall)()));
            sleep(left.clamp(Duration::from_millis(1), CLOCK_SET_WITHIN)).await;
        }
    }
}

impl GitSource {
    /// With somebody who can tell what a commit changes. Without, each is taken for one that restarts something.
    #[must_use]
    pub fn weighing(mut self, weigh: Weigh) -> Self {
        self.gate.weigh = weigh;
        self
    }

    /// With another wall clock, for tests of what comes into force when.
    #[must_use]
    pub fn by_the_clock(mut self, wall: Rc<dyn Fn() -> Timestamp>) -> Self {
        self.gate.wall = wall;
        self
    }

    /// What keeps a sound commit from coming into force. Nothing keeps the one that is.
    pub(super) fn held(&self, candidate: &Candidate, loaded: &Loaded) -> Option<Held> {
        let in_force = self.revisions.in_force();
        if in_force.is_some_and(|turn| turn.commit.hash == candidate.commit.hash) {
            return None;
        }
        let needs = self.needs(loaded).filter(|_| self.approval(candidate).is_none());
        let awaits_approval = needs.is_some();
        let (why, until) = match (needs, self.settings.sync.windows.verdict((self.gate.wall)())) {
            (Some(why), _) => (format!("needs approval: {why}"), None),
            (None, Verdict::Open) => return None,
            (None, Verdict::Closed { manual: true, .. }) if candidate.by_hand => return None,
            (None, Verdict::Closed { until, why, .. }) => (why, until),
        };
        let before = self.standing.held.as_ref().filter(|held| held.commit == candidate.commit);
        let since = before.map_or_else(now, |held| held.since);
        if before.is_none_or(|held| held.why != why) {
            info!(source = self.settings.name, commit = %candidate.commit, "held: {why}");
        }
        Some(Held { commit: candidate.commit.clone(), since, why, until, awaits_approval })
    }

    /// Why a commit needs a person's word, where it does.
    fn needs(&self, loaded: &Loaded) -> Option<String> {
        let in_force = self.revisions.in_force();
        let all = match self.settings.sync.approve {
            Approve::None => return None,
            Approve::Restart if in_force.is_none() => return None,
            Approve::Restart => false,
            Approve::All => true,
        };
        let before = in_force.map(|turn| self.read(&turn.directory, &turn.commit)).unwrap_or_default();
        let effects =
            if before.faults.is_empty() { (self.gate.weigh)(&before.stacks, &loaded.stacks) } else { None };
        let Some(effects) = effects else { return Some("what it changes cannot be told".to_owned()) };
        match summary(&effects) {
            None if all => Some("every commit does, and this one restarts nothing".to_owned()),
            summary => summary,
        }
    }

    /// The word that a person gave for this commit to come after the one in force.
    pub(super) fn approval(&self, candidate: &Candidate) -> Option<Approval> {
        let over = self.revisions.in_force().map(|turn| turn.commit.hash.as_str());
        let approval = self.sources.approval(&self.settings.name)?;
        (approval.commit == candidate.commit.hash && approval.over.as_deref() == over).then_some(approval)
    }

    /// Whether the word has been given that is waited for.
    pub(super) fn is_approved(&self) -> bool {
        let awaits = self.standing.held.as_ref().is_some_and(|held| held.awaits_approval);
        awaits && self.candidate.as_ref().is_some_and(|candidate| self.approval(candidate).is_some())
    }

    /// Whether a person asked for the look that is under way.
    pub(super) fn is_by_hand(&self) -> bool {
        self.asked.is_some() && self.asked != self.standing.heeded && self.asked != self.gate.asked_before
    }

    /// Takes note that a person asked for what is there. Whether it may come into force for that.
    pub(super) fn take_by_hand(&mut self) -> bool {
        let Some(candidate) = &mut self.candidate else { return false };
        candidate.by_hand = true;
        self.standing.held.is_some()
    }
}

/// What restarts, goes or is destroyed, in words.
fn summary(effects: &[Effect]) -> Option<String> {
    let mut by_impact: BTreeMap<Impact, BTreeSet<&str>> = BTreeMap::new();
    for effect in effects.iter().filter(|effect| effect.impact >= Impact::Restart) {
        by_impact.entry(effect.impact).or_default().insert(&effect.on);
    }
    let parts = by_impact.iter().rev().map(|(impact, on)| {
        let verb = match impact {
            Impact::Destructive => "destroys data of",
            Impact::Removed => "removes",
            Impact::Restart | Impact::Rolling | Impact::InPlace => "restarts",
        };
        let names: Vec<&str> = on.iter().take(NAMED).copied().collect();
        let more = on.len().saturating_sub(NAMED);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        format!("{verb} {}{more}", names.join(", "))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_word_is_named_the_gravest_first() {
        let effect = |on: &str, impact| Effect { on: on.to_owned(), impact };
        let quiet = [effect("api", Impact::InPlace), effect("web", Impact::Rolling)];
        assert_eq!(summary(&quiet), None);
        let mut loud = vec![
            effect("worker", Impact::Restart),
            effect("api", Impact::Restart),
            effect("api", Impact::Restart),
            effect("old", Impact::Removed),
            effect("volumes.data", Impact::Destructive),
        ];
        loud.extend(quiet);
        let told = "destroys data of volumes.data; removes old; restarts api, worker";
        assert_eq!(summary(&loud).as_deref(), Some(told));
        let many: Vec<Effect> = (0..10).map(|index| effect(&format!("s{index}"), Impact::Restart)).collect();
        assert!(summary(&many).unwrap().ends_with("s6, s7 and 2 more"));
    }
}
