//! Takes on what is desired: a new state of it, and what people laid over it until that ends.

use std::rc::Rc;

use super::Loop;
use crate::core::desired::Desired;
use crate::core::overrides::{lay_over, take_off};
use crate::core::time::Timestamp;

impl Loop<'_> {
    /// Another state is in force from now on.
    pub(super) fn adopt(&mut self, desired: Desired) {
        let now = self.with.clock.now();
        let before = Rc::clone(&self.desired);
        let mut after = desired;
        lay_over(&mut after, now);
        if after == *before {
            return;
        }
        // A pause is no other truth, and its end none either, nor is another number of replicas; `resume` and `restart` are
        // somebody's word to try anew.
        let overrides = before.overrides.clone();
        let same_files = Desired { overrides, ..declared(&after) } == declared(&before);
        self.desired = Rc::new(after);
        self.live.forget_all();
        let (was, is) = (&before.overrides, &self.desired.overrides);
        if !same_files {
            self.memory.desired_changed(now);
            self.memory.follow(&self.desired);
        } else if is.resumed_at != was.resumed_at {
            self.memory.resumed(now);
        }
        for (service, at) in &is.resumed_services {
            if was.resumed_services.get(service) != Some(at) {
                self.memory.resumed_service(service, now);
            }
        }
        for (service, restart) in &is.restarted {
            if was.restarted.get(service) != Some(restart) {
                self.memory.restart_asked(service, now);
            }
        }
        // Who begins anew with a revision that is held has told of it before.
        if !same_files && !before.overrides.forgets() {
            let told = self.narrator.desired_changed(&before, &self.desired, now);
            self.tell(Some(told));
        }
        self.look_again = true;
    }

    /// Begins with what the files say and what people laid over them.
    pub(super) fn begin(&mut self) {
        self.with.report.follows(&self.desired);
        lay_over(Rc::make_mut(&mut self.desired), self.with.clock.now());
    }

    /// Takes off what has ended.
    pub(super) fn take_off_ended(&mut self, now: Timestamp) {
        let mut scaled = self.desired.services.values().filter_map(|service| service.scaled.as_ref());
        if scaled.any(|scale| scale.until.is_some_and(|until| until <= now)) {
            lay_over(Rc::make_mut(&mut self.desired), now);
        }
    }
}

/// What the files alone declare. A mounted file that was written anew with the same text is no other one, nor is a commit
/// that changes nothing of the stack.
fn declared(desired: &Desired) -> Desired {
    let mut bare = desired.clone();
    take_off(&mut bare);
    bare.commit = None;
    let contents = bare.services.values_mut().flat_map(|service| service.content.files.values_mut());
    contents.for_each(|file| file.identity.clear());
    bare
}
