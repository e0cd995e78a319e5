//! Passes on what the narrator has to tell, with the last lines of what it is about.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures_util::future::FutureExt;

use super::{Loop, Reconciler};
use crate::core::desired::Desired;
use crate::core::event::Event;
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::core::narrator::Told;
use crate::core::redact;
use crate::secret::Secret;

impl Loop<'_> {
    /// Tells it now, or as soon as its last lines are there; in the order in which it happened. Of a stack that another
    /// operator has, that one tells.
    pub(super) fn tell(&mut self, told: impl IntoIterator<Item = Told>) {
        if self.taken.is_none() {
            if let Some(untold) = &mut self.untold {
                untold.extend(told);
            }
            return;
        }
        for Told { event, log_of } in told {
            match log_of {
                None if self.telling.is_empty() => self.with.report.happened(&event),
                None => self.telling.push_back(std::future::ready(event).boxed_local()),
                Some(id) => {
                    let container = self.observer.observed().containers.get(&id);
                    let given = container.map(|it| it.spec.environment.clone()).unwrap_or_default();
                    let with_log = with_log(self.with, Rc::clone(&self.desired), event, id, given);
                    self.telling.push_back(with_log.boxed_local());
                }
            }
        }
    }
}

/// The event with the last lines of a container; without them, where the engine does not say them soon.
async fn with_log(
    with: Reconciler<'_>,
    desired: Rc<Desired>,
    event: Event,
    id: ContainerId,
    given: BTreeMap<String, Secret>,
) -> Event {
    let read = with.engine.log_tail(&id, limits::CRASH_LINES);
    let lines = tokio::select! {
        biased;
        lines = read => lines.unwrap_or_default(),
        () = with.clock.sleep(limits::CRASH_LINES_WITHIN) => Vec::new(),
    };
    let service = event.service.as_ref().and_then(|name| desired.services.get(name));
    let log = lines.iter().map(|line| {
        let line = service.map_or_else(|| line.clone(), |service| redact::printed(line, service, &given));
        line.chars().take(limits::LONGEST_LINE).collect()
    });
    Event { log: log.collect(), ..event }
}
