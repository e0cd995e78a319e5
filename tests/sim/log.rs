//! Keeps what a loop tells, and what the next one goes on from.

use std::cell::RefCell;
use std::time::Duration;

use compose_operator::clock::Clock;
use compose_operator::controller::owner::{Holder, Owners, Taken};
use compose_operator::controller::reconcile::{Outcome, Reconciler};
use compose_operator::controller::report::Report;
use compose_operator::core::action::Action;
use compose_operator::core::desired::Desired;
use compose_operator::core::event::{Event, EventKind};
use compose_operator::core::ids::StackName;
use compose_operator::core::memory::Durable;
use compose_operator::core::observed::EngineInfo;
use compose_operator::core::reason::Reason;
use compose_operator::core::status::{Condition, StackStatus};
use futures_util::StreamExt;

use crate::stage::{START, Stage};

/// Keeps what a loop told.
pub(crate) struct Log<'s> {
    stage: &'s Stage,
    /// Second, call and cause.
    pub(crate) actions: RefCell<Vec<(u64, String, String)>>,
    pub(crate) status: RefCell<Option<StackStatus>>,
    pub(crate) durable: RefCell<Durable>,
    pub(crate) events: RefCell<Vec<Event>>,
}

impl<'s> Log<'s> {
    pub(crate) fn new(stage: &'s Stage) -> Self {
        let (actions, status, durable, events) = Default::default();
        Self { stage, actions, status, durable, events }
    }

    pub(crate) fn reconciler(&self) -> Reconciler<'_> {
        Reconciler { owners: self, ..self.stage.reconciler(self) }
    }

    /// A daemon that goes on from what the last one left, for so long.
    pub(crate) fn run(&self, desired: &Desired, duration: Duration) {
        self.run_beside(desired, duration, std::future::pending());
    }

    /// The same, while something else happens.
    pub(crate) fn run_beside(&self, desired: &Desired, duration: Duration, beside: impl Future<Output = ()>) {
        let stop = self.stage.clock.sleep(duration);
        let updates = futures_util::stream::pending().boxed_local();
        let reconciler = self.reconciler();
        let run = reconciler.run(desired.clone(), updates, stop);
        let both = async {
            tokio::select! {
                biased;
                () = self.stage.engine.crashed() => {}
                () = run => {}
                () = async { beside.await; std::future::pending().await } => {}
            }
        };
        self.stage.clock.run(both).expect("it ends");
        assert_eq!(self.stage.engine.violations(), Vec::<String>::new());
    }

    /// An `apply` that goes on from what the last owner left, for so long at most.
    pub(crate) fn apply(&self, desired: &Desired, within: Duration) -> Option<Outcome> {
        let reconciler = self.reconciler();
        let work = reconciler.converge(desired.clone(), Some(within), std::future::pending());
        self.stage.clock.run(work)
    }

    /// The calls on a container since the start, with their second.
    pub(crate) fn calls(&self, verb: &str) -> Vec<(u64, String)> {
        let actions = self.actions.borrow();
        let those = actions.iter().filter(|(_, call, _)| call.starts_with(verb));
        those.map(|(second, call, _)| (*second, call.clone())).collect()
    }

    pub(crate) fn causes(&self, call: &str) -> Vec<String> {
        let actions = self.actions.borrow();
        actions.iter().filter(|(_, it, _)| it == call).map(|(_, _, cause)| cause.clone()).collect()
    }

    pub(crate) fn reason(&self, container: &str) -> Option<Reason> {
        let status = self.status.borrow();
        let services = status.iter().flat_map(|status| &status.services);
        let mut containers = services.clone().flat_map(|service| &service.containers);
        let waiting =
            services.flat_map(|service| &service.waiting).find(|waiting| waiting.subject == container);
        containers.find(|it| it.name == container).map_or(waiting.map(|it| it.reason), |it| it.reason)
    }

    /// The stack, in one word.
    pub(crate) fn condition(&self) -> Option<Condition> {
        self.status.borrow().as_ref().map(|status| status.condition)
    }

    /// What is said of a service that waits.
    pub(crate) fn message(&self, service: &str) -> Option<String> {
        let status = self.status.borrow();
        let mut waiting = status.iter().flat_map(|status| &status.services).flat_map(|it| &it.waiting);
        waiting.find(|waiting| waiting.subject == service).map(|waiting| waiting.message.clone())
    }

    pub(crate) fn restarts(&self, container: &str) -> u32 {
        let status = self.status.borrow();
        let mut containers = status.iter().flat_map(|status| &status.services).flat_map(|it| &it.containers);
        containers.find(|it| it.name == container).map_or(0, |it| it.restarts)
    }
}

impl Log<'_> {
    /// What was told since it was last asked, without what was made and changed for the files.
    pub(crate) fn told(&self) -> Vec<Event> {
        let told = self.events.take();
        let routine = [EventKind::Changed, EventKind::Adopted, EventKind::Released];
        told.into_iter().filter(|event| !routine.contains(&event.kind)).collect()
    }
}

impl Owners for Log<'_> {
    fn take(&self, _: &EngineInfo, _: &StackName) -> Result<Taken, Holder> {
        Ok(Taken { lock: None, remembered: self.durable.borrow().clone() })
    }
}

impl Report for Log<'_> {
    fn started(&self, action: &Action) {
        let second = self.stage.clock.now().since(START).as_secs();
        self.actions.borrow_mut().push((second, action.call.to_string(), action.cause.to_string()));
    }

    fn decided(&self, status: &StackStatus) {
        self.status.replace(Some(status.clone()));
    }

    fn happened(&self, event: &Event) {
        self.events.borrow_mut().push(event.clone());
    }

    fn remembers(&self, durable: &Durable) {
        // As it comes back from a disk.
        let written = serde_json::to_string(durable).expect("it can be written");
        self.durable.replace(serde_json::from_str(&written).expect("it can be read"));
    }
}
