//! What was in the files of containers whose label does not tell it.

use std::collections::BTreeMap;

use super::super::action::Call;
use super::super::content::{self, FileContents};
use super::super::ids::ContainerId;
use super::super::observed::Observed;
use super::super::view::View;
use super::{Durable, Memory};

/// By container and field.
pub(super) type Contents = BTreeMap<ContainerId, FileContents>;

impl Memory {
    /// Says of each container what was noted of its files.
    pub fn recall(&self, observed: &mut Observed) {
        recall(&self.content, observed);
    }

    /// Notes what is in the files of containers of which that was not known: they are taken as they are, and the next
    /// change is seen.
    pub(super) fn note_content(&mut self, view: &View<'_>) {
        self.content.retain(|id, _| view.observed.containers.contains_key(id));
        for (_, service, replicas) in view.services() {
            if service.content.files.is_empty() {
                continue;
            }
            for container in replicas.all() {
                // What does not run reads all of them when it starts; what goes does not start.
                let starts = replicas.is_current(container) && !container.state.is_alive();
                if service.content.on_change.tells() && starts {
                    self.content.insert(container.id.clone(), service.content.files.clone());
                    continue;
                }
                let known = content::known(container);
                let unknown = service.content.files.iter().filter(|(field, _)| !known.contains_key(*field));
                let unknown: Vec<_> = unknown.map(|(field, file)| (field.clone(), file.clone())).collect();
                if !unknown.is_empty() {
                    self.content.entry(container.id.clone()).or_default().extend(unknown);
                }
            }
        }
    }
}

impl Memory {
    /// A program was told of what is in its files now.
    pub(super) fn note_told(&mut self, call: &Call) {
        if let Call::SignalContainer { target, tells, .. } | Call::RunHook { target, tells, .. } = call
            && !tells.is_empty()
        {
            self.content.entry(target.id.clone()).or_default().extend(tells.clone());
        }
    }
}

impl Durable {
    /// Says of each container what was noted of its files.
    pub fn recall(&self, observed: &mut Observed) {
        recall(&self.content, observed);
    }
}

fn recall(contents: &Contents, observed: &mut Observed) {
    for (id, content) in contents {
        if let Some(container) = observed.containers.get_mut(id) {
            container.content.clone_from(content);
        }
    }
}
