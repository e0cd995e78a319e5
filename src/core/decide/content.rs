//! A program is told that another text is in a file that it has read.

use super::super::action::{Call, Cause};
use super::super::content::OnChange;
use super::super::desired::Service;
use super::super::hooks::{Hook, Moment};
use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::{Planner, target};

impl Planner<'_> {
    /// Tells it, once it is ready: one that only just comes up may not listen yet, and a signal would end it.
    pub(super) fn tell(&mut self, name: &ServiceName, service: &Service, container: &Container) {
        let tells = service.content.news(container);
        if tells.is_empty() || !container.is_ready() || !self.is_current(name, container) {
            return;
        }
        let cause = Cause::Changed { fields: tells.keys().cloned().collect(), by_hand: false };
        let call = match &service.content.on_change {
            OnChange::Signal(signal) => {
                Call::SignalContainer { target: target(container), signal: signal.clone(), tells }
            }
            OnChange::Exec(command) => {
                let hook = Hook {
                    moment: Moment::ContentChange,
                    index: 0,
                    command: command.clone(),
                    user: None,
                    privileged: false,
                    working_dir: None,
                    environment: Vec::new(),
                };
                Call::RunHook { target: target(container), hook: Box::new(hook), tells }
            }
            OnChange::Rolling | OnChange::Ignore => return,
        };
        self.act_on(Some(name), container, call, cause);
    }
}
