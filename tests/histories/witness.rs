//! Who hears what an operator says, and keeps for its successor what that must know.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use compose_operator::controller::owner::{Holder, Owners, Taken};
use compose_operator::controller::report::Report;
use compose_operator::core::event::Event;
use compose_operator::core::ids::StackName;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::EngineInfo;
use compose_operator::core::reason::Reason;
use compose_operator::core::status::StackStatus;

/// How often each interesting thing came about.
pub(crate) type Counts = BTreeMap<String, u64>;

/// Hears, counts and keeps.
#[derive(Default)]
pub(crate) struct Witness {
    /// The state directory is lost whenever an operator dies.
    pub(crate) is_forgetful: bool,
    /// What the guard refused: decisions that should not have been made.
    pub(crate) refused: RefCell<Vec<String>>,
    pub(crate) counts: RefCell<Counts>,
    /// What was told, in order.
    pub(crate) told: RefCell<Vec<String>>,
    durable: RefCell<Durable>,
    gave_up: Cell<bool>,
}

impl Witness {
    /// Whether something was last left alone until somebody says that it is to be tried again.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.get()
    }

    /// The state directory is gone.
    pub(crate) fn forget(&self) {
        self.durable.take();
    }

    fn count(&self, what: String) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }
}

impl Owners for Witness {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        let remembered = if self.is_forgetful { Durable::default() } else { self.durable.borrow().clone() };
        Ok(Taken { lock: None, remembered })
    }
}

impl Report for Witness {
    fn decided(&self, status: &StackStatus) {
        let services = status.services.iter();
        let of_containers = services.clone().flat_map(|service| &service.containers);
        let of_services = services.flat_map(|service| &service.waiting);
        let reasons = of_containers.filter_map(|container| container.reason);
        let reasons = reasons.chain(of_services.chain(&status.waiting).map(|waiting| waiting.reason));
        self.gave_up.set(false);
        for reason in reasons {
            if matches!(reason, Reason::RolloutFailed | Reason::JobFailed | Reason::Stalled) {
                self.gave_up.set(true);
            }
            self.count(format!("reason {reason}"));
        }
    }

    fn refused(&self, sentence: &str) {
        self.refused.borrow_mut().push(sentence.to_owned());
    }

    fn remembers(&self, durable: &Durable) {
        self.durable.replace(durable.clone());
    }

    fn happened(&self, event: &Event) {
        self.count(format!("event {}", event.kind));
        let at = event.at.as_millis();
        self.told.borrow_mut().push(format!("{at} {} {} {}", event.kind, event.subject, event.message));
    }
}
