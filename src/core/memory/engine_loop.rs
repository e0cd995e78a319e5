//! What the engine restarts by its own policy: how often in a row.

use std::collections::BTreeMap;

use super::super::desired::Service;
use super::super::ids::ContainerId;
use super::super::observed::{Container, State};
use super::super::time::Timestamp;

/// The engine's restarts of each container, as far as we saw them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EngineRestarts(BTreeMap<ContainerId, Seen>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// The engine's own count, which begins anew whenever somebody else starts the container.
    count: u32,
    /// Without a long run between.
    streak: u32,
}

impl EngineRestarts {
    /// Restarts in a row.
    pub(super) fn streak(&self, id: &ContainerId) -> u32 {
        self.0.get(id).map_or(0, |seen| seen.streak)
    }

    pub(super) fn observe(&mut self, service: &Service, container: &Container, now: Timestamp) {
        let count = container.restart_count;
        let seen = self.0.entry(container.id.clone()).or_insert(Seen { count, streak: 0 });
        let well = container.state == State::Running
            && container.started_at.is_some_and(|at| now.since(at) >= service.backoff.reset_after);
        seen.streak = match count.checked_sub(seen.count) {
            Some(more) if !well => seen.streak.saturating_add(more),
            _ => 0,
        };
        seen.count = count;
    }

    pub(super) fn retain(&mut self, is_there: impl Fn(&ContainerId) -> bool) {
        self.0.retain(|id, _| is_there(id));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn restarts_count_in_a_row_until_it_has_run_for_long_or_is_started_by_another() {
        let service = Service::default();
        let mut restarts = EngineRestarts::default();
        let id = ContainerId::from("c1");
        let start = Timestamp::from_millis(1_000_000);
        let mut see = |count: u32, state: State, later: u64| {
            let mut container = Container::created(id.clone(), "shop-web-1");
            (container.restart_count, container.state, container.started_at) = (count, state, Some(start));
            restarts.observe(&service, &container, start.after(Duration::from_secs(later)));
            restarts.streak(&id)
        };
        assert_eq!(see(7, State::Running, 0), 0, "what was before is not known to be in a row");
        assert_eq!(see(8, State::Restarting, 1), 1);
        assert_eq!(see(10, State::Running, 2), 3, "also those that we did not see");
        assert_eq!(see(10, State::Running, 599), 3);
        assert_eq!(see(10, State::Running, 600), 0, "it has run for ten minutes");
        assert_eq!(see(11, State::Restarting, 700), 1);
        assert_eq!(see(0, State::Running, 701), 0, "somebody started it");
    }
}
