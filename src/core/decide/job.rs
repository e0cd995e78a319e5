//! Jobs: a container that runs to its end once for each change.
//!
//! What says that a job is done is its container, which stays until the next change: whoever looks anew knows it too. One
//! that runs is never cut short, and two never run at once: what it does to the data is its own affair.

use super::super::action::Cause;
use super::super::desired::Service;
use super::super::ids::ServiceName;
use super::super::limits;
use super::super::observed::{Container, State};
use super::super::planted::{self, Bug};
use super::super::reason::Reason;
use super::super::sync::Job;
use super::super::view::Replicas;
use super::Planner;

impl Planner<'_> {
    /// Runs a job for the change that there is now, once it is its turn.
    pub(super) fn job(&mut self, name: &ServiceName, service: &Service, job: &Job, replicas: &Replicas<'_>) {
        // It was written for the way on, and knows nothing of a way back.
        if self.desired.overrides.is_back() {
            return;
        }
        if planted::has(Bug::RunsJobsOnce) && replicas.count() > 0 && replicas.current.is_empty() {
            return;
        }
        let cause = Cause::Job { phase: job.phase };
        if self.is_in_use(name, service, replicas, &cause) {
            return;
        }
        match self.kept_run(service, replicas) {
            None if self.coming(name) > 0 || self.waits_for_turn(name, service) => {}
            // That of an earlier change stays until this one is there.
            None => {
                let heritage = self.heritage(service, replicas);
                self.create(name, service, replicas, cause, heritage);
            }
            Some(container) if replicas.outdated.is_empty() => {
                // One may have been made again while a list did not show it.
                for other in replicas.current.iter().filter(|it| it.id != container.id) {
                    if !other.state.is_alive() {
                        let what = format!("a second run of the job {name}");
                        self.retire(Some(name), other, Cause::Residue { what });
                    }
                }
                self.run_job(name, service, job, container);
            }
            Some(_) => {
                for old in &replicas.outdated {
                    self.retire(Some(name), old.container, cause.clone());
                }
            }
        }
    }

    /// Of several runs for one change the one that counts: what has done its work, else what is at it.
    fn kept_run<'c>(&self, service: &Service, replicas: &Replicas<'c>) -> Option<&'c Container> {
        let rank = |run: &&Container| (!self.has_done_its_work(run, service), !run.state.is_alive());
        replicas.current.iter().copied().min_by_key(rank)
    }

    /// Whether something of another change runs. What was no job stops for this one.
    fn is_in_use(
        &mut self,
        name: &ServiceName,
        service: &Service,
        replicas: &Replicas<'_>,
        cause: &Cause,
    ) -> bool {
        let alive = replicas.outdated.iter().map(|old| old.container).filter(|old| old.state.is_alive());
        let alive: Vec<&Container> = alive.collect();
        for old in &alive {
            if old.is_of_job() {
                self.tend(name, service, old);
                let message = "it runs for another change, and is not cut short";
                self.wait(Some(name), &old.name, Reason::InProgress, message, None);
            } else if !replicas.current.is_empty()
                || !self.waits_for_turn(name, service) && self.is_prepared(name, service)
            {
                self.retire(Some(name), old, cause.clone());
            }
        }
        !alive.is_empty()
    }

    /// Sees the container of this change to its end.
    fn run_job(&mut self, name: &ServiceName, service: &Service, job: &Job, container: &Container) {
        let failures = self.memory.crashed_in_a_row(container);
        let has_failed = container.state == State::Exited && failures >= limits::CRASH_LOOP;
        if has_failed && self.asked(name, container).is_none() {
            let message = format!(
                "exited with code {}, {failures} times in a row; it is tried again when the files change, or `operator resume {name}`",
                container.exit_code
            );
            self.wait(Some(name), &container.name, Reason::JobFailed, message, None);
            return;
        }
        self.tend(name, service, container);
        if container.state.is_alive() {
            let message = format!("the {} job runs", job.phase.as_str());
            self.wait(Some(name), &container.name, Reason::InProgress, message, None);
        }
    }
}
