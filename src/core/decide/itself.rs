//! The operator in a container of the stack that it looks after: whoever stops itself in the middle of a step ends
//! nothing well, so that its service is left to others.

use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::super::reason::Reason;
use super::Planner;

impl<'a> Planner<'a> {
    /// Leaves the operator's own container, and with it its whole service, as it is.
    pub(super) fn itself(&mut self) {
        let Some(own) = self.own_container() else { return };
        let service = own.service().map(ServiceName::from);
        let before = self.decision.actions.len();
        self.decision.actions.retain(|action| {
            let touches = action.call.container().is_some_and(|target| target.id == own.id);
            !touches && (service.is_none() || action.service != service)
        });
        if self.decision.actions.len() < before {
            let service_name = service.as_ref().map_or("SERVICE", ServiceName::as_str);
            let message = format!(
                "it is this very operator, which touches neither its own container nor others of its service; \
                 `docker compose up -d {service_name}` does"
            );
            self.wait(service.as_ref(), &own.name, Reason::Itself, message, None).stuck = true;
        }
    }

    /// The container that this operator runs in, where it is one of the stack's.
    pub(super) fn own_container(&self) -> Option<&'a Container> {
        self.observed.containers.get(self.observed.engine.itself.as_ref()?)
    }
}
