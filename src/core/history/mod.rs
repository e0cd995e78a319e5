//! What a stack was, revision by revision: what was desired, what came of it, and enough to bring it back.
//!
//! Kubernetes' revision history of a rollout (`kubectl rollout history`, `undo`), for a whole stack: the same desired state
//! that comes again is no new revision, unless other images run under the same names; to go back to an older one is a new
//! revision that says so.

mod compare;
mod restore;
mod rollback;
mod seal;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use restore::{Lost, held, in_force};
pub use rollback::{Ended, Kept, Rollback, Stand};
pub use seal::{Key, Sealed, fingerprint};

use super::desired::Desired;
use super::ids::{ImageId, ServiceName};
use super::limits;
use super::observed::{Container, Observed};
use super::time::Timestamp;

/// The revisions of one stack, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Each with a number of its own, which rises.
    pub entries: Vec<Entry>,
}

/// One revision: a desired state of the stack, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its number, from 1.
    pub number: u64,
    /// When it was first in force.
    pub at: Timestamp,
    /// By what it came.
    pub through: Through,
    /// Who brought it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The commit that its files were of, where they came from a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Who wrote that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What it says; of a rollback, its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The files that it was made from.
    pub files: Vec<String>,
    /// What it changed of the revision before it.
    pub changes: Vec<Change>,
    /// The earlier revision that it is the same as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_as: Option<u64>,
    /// The revision that it goes back to, against the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// The images that ran when it had converged.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<ServiceName, Ran>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, where it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When it had converged, whatever came later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converged_at: Option<Timestamp>,
    /// Stands for all of what was desired.
    pub fingerprint: String,
    /// What was desired.
    pub sealed: Sealed,
}

/// By what a revision came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// `operator apply`.
    Apply,
    /// `operator run`, which follows the files.
    Run,
    /// `operator rollback`.
    Rollback,
}

/// The image of a service that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ran {
    /// What the files call it.
    pub reference: String,
    /// The engine's id of it.
    pub id: Option<ImageId>,
    /// What a registry knows it by: `repository@digest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// What came of a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is on its way.
    Progressing,
    /// All was as it should be.
    Converged,
    /// It did not get there by itself.
    Failed,
    /// Another one came before it got there.
    Superseded,
    /// Somebody went back from it.
    RolledBack,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Progressing => "progressing",
            Self::Converged => "converged",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::RolledBack => "rolled-back",
        })
    }
}

/// What one revision changed of the one before. Values are for people: secrets are hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The service; `None` for what the whole stack shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// Path of the field.
    pub field: String,
    /// What was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// Who acts, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// What runs.
    pub through: Through,
    /// The person, where one is known.
    pub by: Option<String>,
}

/// What a moment shows of the revision that is in force.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// What is in force.
    pub desired: &'a Desired,
    /// What the engine shows.
    pub observed: &'a Observed,
    /// All is as it should be.
    pub converged: bool,
    /// Why it does not get there by itself.
    pub failed: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

impl Entry {
    /// How long it took to converge.
    pub fn took(&self) -> Option<Duration> {
        self.converged_at.map(|at| at.since(self.at))
    }

    /// Whether to go back to it changes anything of what is in force: what was desired, or the images that ran. Which run of
    /// one that has not converged is not known: any may.
    pub fn is_other_than(&self, in_force: &Self) -> bool {
        let has_converged = in_force.outcome == Outcome::Converged;
        let is_other = |(name, ran): (&ServiceName, &Ran)| {
            let now = in_force.images.get(name).and_then(|now| now.id.as_ref());
            ran.id.is_some() && now.map_or(!has_converged, |now| Some(now) != ran.id.as_ref())
        };
        self.fingerprint != in_force.fingerprint || self.images.iter().any(is_other)
    }
}

impl History {
    /// The revision that is in force.
    pub fn newest(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// The revision with this number.
    pub fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// What a rollback goes back to where nobody says: the last revision before the one in force that converged and is
    /// another one.
    pub fn before(&self) -> Option<&Entry> {
        let newest = self.newest()?;
        let earlier = self.entries.iter().rev().skip(1);
        let mut converged = earlier.filter(|entry| entry.outcome == Outcome::Converged);
        converged.find(|entry| entry.is_other_than(newest))
    }

    /// What the files said when they were last followed.
    pub fn of_files(&self) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.rollback_to.is_none())
    }

    /// Takes in what is in force from now on. What was in force already is no new revision. Whether anything is new.
    pub fn take_on(&mut self, desired: &Desired, actor: &Actor, key: &Key, at: Timestamp) -> bool {
        if desired.teardown.is_some() {
            return false;
        }
        let Some(mut entry) = self.entry(desired, actor, key, at) else { return false };
        let same =
            |known: &Entry| known.fingerprint == entry.fingerprint && known.rollback_to == entry.rollback_to;
        if self.newest().is_some_and(same) {
            return false;
        }
        let rolls_back = entry.rollback_to.is_some();
        if let Some(last) = self.entries.last_mut() {
            if rolls_back {
                last.outcome = Outcome::RolledBack;
            } else if last.outcome == Outcome::Progressing {
                last.outcome = Outcome::Superseded;
            }
            entry.changes = compare::changes(&last.sealed, &entry.sealed);
            add(&mut entry.changes, compare::image_changes(&last.images, &entry.images));
        }
        let mut others = self.entries.iter().rev();
        entry.same_as = entry.rollback_to.or_else(|| {
            others.find(|known| known.fingerprint == entry.fingerprint).map(|known| known.number)
        });
        self.entries.push(entry);
        self.forget();
        true
    }

    /// The revision that this would be; `None` where what is to be held could not be brought back.
    fn entry(&self, desired: &Desired, actor: &Actor, key: &Key, at: Timestamp) -> Option<Entry> {
        let number = self.newest().map_or(0, |newest| newest.number) + 1;
        let files = &desired.origin.config_files;
        let commit = desired.commit.as_ref();
        let (author, message) = (commit.map(|it| it.author.clone()), commit.map(|it| it.subject.clone()));
        let commit = commit.map(|it| it.hash.clone());
        let (through, by, outcome) = (actor.through, actor.by.clone(), Outcome::Progressing);
        let mut entry = Entry {
            number,
            at,
            through,
            by,
            commit,
            author,
            message,
            files: files.clone(),
            changes: Vec::new(),
            same_as: None,
            rollback_to: None,
            images: BTreeMap::new(),
            outcome,
            why: None,
            converged_at: None,
            fingerprint: String::new(),
            sealed: Sealed::default(),
        };
        if let Some(rollback) = &desired.overrides.rollback {
            let then = self.get(rollback.to).filter(|_| rollback.stand == Stand::Holds)?;
            entry.through = Through::Rollback;
            entry.by = Some(rollback.by.clone());
            entry.message.clone_from(&rollback.reason);
            entry.rollback_to = Some(rollback.to);
            // As it was then, images that are pinned now included.
            entry.fingerprint.clone_from(&then.fingerprint);
            entry.sealed.clone_from(&then.sealed);
            entry.images.clone_from(&then.images);
        } else {
            entry.sealed = Sealed::of(desired, key)?;
            entry.fingerprint = entry.sealed.fingerprint();
        }
        Some(entry)
    }

    /// Takes in how the revision in force stands, and that other images run by now than it converged with. Whether anything
    /// is new.
    pub fn stands(&mut self, moment: &Moment<'_>, actor: &Actor) -> bool {
        let Some((entry, earlier)) = self.entries.split_last_mut() else { return false };
        if entry.outcome == Outcome::Converged {
            return moment.converged && self.take_on_images(moment, actor);
        }
        if moment.converged {
            entry.outcome = Outcome::Converged;
            entry.why = None;
            entry.converged_at = Some(moment.at);
            if entry.rollback_to.is_none() {
                entry.images = ran(moment.desired, moment.observed);
                entry.same_as = same_as(entry, earlier);
                if let Some(before) = earlier.last() {
                    add(&mut entry.changes, moved(&before.images, &entry.images, moment.observed));
                }
            }
            return true;
        }
        // The first trouble is the cause; what is tried again meanwhile is no other outcome.
        let Some(why) = moment.failed.filter(|_| entry.outcome != Outcome::Failed) else { return false };
        entry.outcome = Outcome::Failed;
        entry.why = Some(why.to_owned());
        true
    }

    /// Takes in a revision of the same desired state whose images are others: what the files call them was built, pulled or
    /// tagged anew. A revision that is held has its own images, whatever these are. Whether anything is new.
    fn take_on_images(&mut self, moment: &Moment<'_>, actor: &Actor) -> bool {
        let Some(last) = self.newest().filter(|newest| newest.rollback_to.is_none()) else { return false };
        let images = ran(moment.desired, moment.observed);
        let changes = moved(&last.images, &images, moment.observed);
        // It has been in force since the first container of such an image, by the engine's clock.
        let made = changes.iter().flat_map(|change| running(change, &images, moment.observed));
        let Some(at) = made.map(|container| container.created_at).min() else { return false };
        let mut entry = Entry {
            number: last.number + 1,
            at: at.max(last.at).min(moment.at),
            through: actor.through,
            by: actor.by.clone(),
            changes,
            images,
            converged_at: Some(moment.at),
            ..last.clone()
        };
        entry.same_as = same_as(&entry, &self.entries);
        self.entries.push(entry);
        self.forget();
        true
    }

    /// Keeps so many: the oldest go, but never what is in force, what that goes back to, and the last that converged.
    fn forget(&mut self) {
        while self.entries.len() > limits::REVISIONS {
            let newest = self.newest();
            let held = newest.and_then(|newest| newest.rollback_to);
            let spared = [newest.map(|it| it.number), held, self.before().map(|it| it.number)];
            let Some(oldest) = self.entries.iter().position(|it| !spared.contains(&Some(it.number))) else {
                return;
            };
            self.entries.remove(oldest);
        }
    }
}

/// The last of the earlier revisions that is the same as one that has converged, its images included.
fn same_as(entry: &Entry, earlier: &[Entry]) -> Option<u64> {
    earlier.iter().rev().find(|known| !known.is_other_than(entry)).map(|known| known.number)
}

/// Adds changes where they belong among those that are sorted.
fn add(changes: &mut Vec<Change>, more: Vec<Change>) {
    changes.extend(more);
    changes.sort_by(|one, other| (&one.service, &one.field).cmp(&(&other.service, &other.field)));
}

/// The services that run other images of the same name than before. A name of which nothing runs may mean any.
fn moved(
    before: &BTreeMap<ServiceName, Ran>,
    images: &BTreeMap<ServiceName, Ran>,
    observed: &Observed,
) -> Vec<Change> {
    let mut changes = compare::image_changes(before, images);
    changes.retain(|change| running(change, images, observed).next().is_some());
    changes
}

/// The containers that a change of an image has reached.
fn running<'o>(
    change: &Change,
    images: &BTreeMap<ServiceName, Ran>,
    observed: &'o Observed,
) -> impl Iterator<Item = &'o Container> {
    let service = change.service.clone();
    let id = service.as_ref().and_then(|name| images.get(name)?.id.clone());
    observed.containers.values().filter(move |container| {
        !container.is_one_off()
            && container.service() == service.as_ref().map(ServiceName::as_str)
            && Some(&container.image_id) == id.as_ref()
    })
}

/// The images of the services that run now.
fn ran(desired: &Desired, observed: &Observed) -> BTreeMap<ServiceName, Ran> {
    let of = |(name, service): (&ServiceName, &super::desired::Service)| {
        let image = observed.image_of(service)?;
        let reference = service.spec.image.clone();
        let repository = seal::repository(&reference);
        let same = |digest: &&String| digest.split('@').next() == Some(repository);
        let digest = image.digests.iter().find(same).or(image.digests.first()).cloned();
        Some((name.clone(), Ran { reference, id: image.id.clone(), digest }))
    };
    desired.services.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests;
