//! What a container must have before it starts.

use super::super::action::{Call, Cause};
use super::super::desired::Service;
use super::super::ids::ServiceName;
use super::super::labels;
use super::super::observed::Container;
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::{Planner, target};

impl Planner<'_> {
    /// Copies in the files that are not in it; whether it cannot start yet.
    ///
    /// Which files are in it no engine tells. So they are copied before a start, as Compose does, unless this very
    /// operator has done so: whoever dies between the two leaves a container that was not started.
    pub(super) fn fills(
        &mut self,
        name: &ServiceName,
        service: &Service,
        container: &Container,
        cause: Cause,
    ) -> bool {
        if planted::has(Bug::StartsUnfilled) {
            return false;
        }
        if self.is_current(name, container) {
            let Some(files) = service.files.missing(&container.files).map(Box::new) else { return false };
            let call = Call::CopyFiles { target: target(container), files };
            self.act_on(Some(name), container, call, cause);
            return true;
        }
        // What an older revision was to have in it is not known any more; one that has run has it.
        let filled = service.files.is_empty() && !container.labels.contains_key(labels::FILES);
        if container.started_at.is_some() || filled {
            return false;
        }
        let message = "it never ran, and what belongs into it has changed since: a new one comes".to_owned();
        self.wait(Some(name), &container.name, Reason::RollingOut, message, None);
        true
    }

    pub(super) fn is_current(&self, name: &ServiceName, container: &Container) -> bool {
        let replicas = self.view.replicas(name.as_str());
        replicas.is_some_and(|replicas| replicas.is_current(container))
    }
}
