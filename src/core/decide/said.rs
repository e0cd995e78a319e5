//! What somebody said beside the files: which services alone are meant, and what ends by itself.

use super::super::ids::ServiceName;
use super::Planner;

impl Planner<'_> {
    /// Leaves alone what is not meant.
    pub(super) fn scope(&mut self) {
        let Some(only) = &self.desired.only else { return };
        let is_meant = |service: &Option<ServiceName>| service.as_ref().is_some_and(|it| only.contains(it));
        self.decision.actions.retain(|action| is_meant(&action.service));
        self.decision.waiting.retain(|waiting| is_meant(&waiting.service));
    }

    /// What somebody laid over the files ends by itself: it is decided anew then.
    pub(super) fn overrides_end(&mut self) {
        let scaled = self.desired.services.values().filter_map(|service| service.scaled.as_ref());
        if let Some(end) = scaled.filter_map(|scale| scale.until).min() {
            self.wake_at(end);
        }
    }
}
