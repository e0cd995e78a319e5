//! The canaries of a rollout: the first new containers, which are watched for a while before any other follows.

use super::super::desired::Service;
use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::rollout::count;
use super::super::time::Timestamp;
use super::super::view::{Replicas, serves};
use super::Planner;

impl Planner<'_> {
    /// How many new containers there may be before the canaries have been ready for long enough.
    pub(super) fn on_trial(&self, service: &Service, replicas: &Replicas<'_>) -> Option<usize> {
        let canary = service.rollout.canary.filter(|_| !planted::has(Bug::IgnoresCanary))?;
        // Nobody makes room for them: no more are on trial than may come at once.
        let bounds = replicas.bounds(service);
        let at_once = if bounds.surge > 0 { bounds.surge } else { bounds.unavailable.max(1) };
        let wanted = count(canary.replicas).clamp(1, service.wanted().max(1)).min(at_once);
        let passed = replicas.current.iter().filter(|new| {
            serves(new, service)
                && self.ready_since(new).is_some_and(|since| since.after(canary.lasting) <= self.now)
        });
        (passed.count() < wanted).then_some(wanted)
    }

    /// Says of new containers that are on trial until when they are.
    pub(super) fn wait_for_trial(&mut self, name: &ServiceName, service: &Service, believed: &[&Container]) {
        let Some(canary) = service.rollout.canary else { return };
        for new in believed {
            let until = self.ready_since(new).unwrap_or(self.now).after(canary.lasting);
            if until > self.now {
                let message = format!("the others follow when {} has been ready for long enough", new.name);
                self.wait(Some(name), &new.name, Reason::RollingOut, message, Some(until));
            }
        }
    }

    pub(super) fn ready_since(&self, container: &Container) -> Option<Timestamp> {
        if container.is_checked() { self.memory.ready_since(container) } else { container.started_at }
    }
}
