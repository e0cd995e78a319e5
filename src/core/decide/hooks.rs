//! Hooks: after a start, before a stop.

use super::super::action::{Call, Cause};
use super::super::content::FileContents;
use super::super::create;
use super::super::desired::Service;
use super::super::hooks::{self, Hook};
use super::super::ids::ServiceName;
use super::super::observed::{Container, State};
use super::super::view::is_completed;
use super::{Planner, target};

impl Planner<'_> {
    /// Marks a container whose `post_start` hooks are to run after the start that comes; whether it had to be marked.
    pub(super) fn marks(&mut self, name: &ServiceName, service: &Service, container: &Container) -> bool {
        let has_hooks = !service.hooks.post_start.is_empty() && self.is_current(name, container);
        if !has_hooks || hooks::is_marked(self.desired, service, container) {
            return false;
        }
        let Some(replica) = container.replica() else { return false };
        let name_at_rest = create::name(self.desired, service, &replica);
        let marked = hooks::marked(&name_at_rest, |name| self.has_holder(name));
        let call = Call::RenameContainer { target: target(container), name: marked };
        self.act_on(Some(name), container, call, Cause::NotStarted);
        true
    }

    /// Runs the next of the hooks that are still to pass after its start.
    pub(super) fn post_start(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let next = service.hooks.post_start.get(container.passed.post_start);
        if let Some(hook) = next.filter(|_| self.is_current(name, container)) {
            self.hook(Some(name), container, hook, Cause::NotStarted);
        }
    }

    /// Runs the next of the hooks that are to pass before its stop; whether it cannot be stopped yet.
    ///
    /// Only what serves says good-bye: not what never came up, not what is given up with its revision, and not what has
    /// failed, with which its hooks may hang.
    pub(super) fn pre_stop(
        &mut self,
        service: Option<&ServiceName>,
        container: &Container,
        cause: &Cause,
    ) -> bool {
        if container.state != State::Running || container.starting || cause.gives_up(container) {
            return false;
        }
        let hooks = service.map_or(&[][..], |name| self.desired.pre_stop(name));
        let Some(hook) = hooks.get(container.passed.pre_stop) else { return false };
        self.hook(service, container, hook, cause.clone());
        true
    }

    fn hook(&mut self, service: Option<&ServiceName>, container: &Container, hook: &Hook, cause: Cause) {
        let hook = Box::new(hook.clone());
        let call = Call::RunHook { target: target(container), hook, tells: FileContents::new() };
        self.act_on(service, container, call, cause);
    }

    /// Whether its name still has to say that hooks are to run.
    pub(super) fn keeps_mark(&self, service: &Service, container: &Container) -> bool {
        let settled =
            container.state == State::Running && !container.starting || is_completed(container, service);
        !settled && hooks::is_marked(self.desired, service, container)
    }
}
