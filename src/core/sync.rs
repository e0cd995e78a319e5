//! The order of a change: jobs that run before it and after it, and waves of services.
//!
//! Argo CD's phases and waves, for what creates and replaces containers. A job is a service whose container runs once to
//! its end for each change, as `docker compose run` makes one.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::desired::{Desired, Service};
use super::ids::{Revision, ServiceName};
use super::order;
use super::revision;

/// When a job runs, in Argo CD's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Phase {
    /// Before any container is created or replaced, but for those of services that it depends on. Until it has ended well,
    /// all stays as it is.
    PreSync,
    /// When all services are as they should be.
    PostSync,
}

impl Phase {
    /// Argo CD's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreSync => "PreSync",
            Self::PostSync => "PostSync",
        }
    }
}

/// A service that runs to its end once for each change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// When it runs.
    pub phase: Phase,
    /// The change that it runs for: a digest of the revisions of all services that are no jobs. They are hashes of secrets
    /// too: it is kept nowhere but with its container.
    #[serde(skip, default = "unknown")]
    pub change: Revision,
}

fn unknown() -> Revision {
    Revision::new("")
}

impl Job {
    /// A job of a change that is not known yet.
    pub fn new(phase: Phase) -> Self {
        Self { phase, change: unknown() }
    }
}

/// When it is a service's turn: who has a lower one comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn {
    stage: Stage,
    wave: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Before,
    During,
    After,
}

impl Turn {
    /// What the files say of a service.
    fn said(service: &Service) -> Self {
        let stage = match service.job.as_ref().map(|job| job.phase) {
            Some(Phase::PreSync) => Stage::Before,
            None => Stage::During,
            Some(Phase::PostSync) => Stage::After,
        };
        Self { stage, wave: service.wave }
    }
}

/// The turn of each service; none where all have the same. What somebody depends on comes no later than they do, whatever
/// the files say of it: nobody waits for somebody who waits for them.
pub fn turns(desired: &Desired) -> BTreeMap<&ServiceName, Turn> {
    let mut turns: BTreeMap<&ServiceName, Turn> =
        desired.services.iter().map(|(name, service)| (name, Turn::said(service))).collect();
    if turns.values().collect::<BTreeSet<_>>().len() < 2 {
        return BTreeMap::new();
    }
    for name in order::by_dependency(desired).into_iter().rev() {
        let (Some(service), Some(turn)) = (desired.services.get(name), turns.get(name).copied()) else {
            continue;
        };
        for needed in service.depends_on.keys() {
            if let Some(its) = turns.get_mut(needed) {
                *its = turn.min(*its);
            }
        }
    }
    turns
}

/// Tells each job which change it runs for. Called once all services are known: replicas, limits and settings that change
/// in place make no other change, nor does what is in mounted files or an image whose name stays.
pub fn tell_jobs(services: &mut BTreeMap<ServiceName, Service>) {
    if services.values().all(|service| !service.is_job()) {
        return;
    }
    let mut hash = Sha256::new();
    for (name, service) in services.iter().filter(|(_, service)| !service.is_job()) {
        hash.update(name.as_str());
        hash.update([0]);
        hash.update(revision::but_for_content(service).as_str());
        hash.update([0]);
    }
    let change = Revision::new(hex::encode(hash.finalize()));
    for job in services.values_mut().filter_map(|service| service.job.as_mut()) {
        job.change = change.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Condition, Dependency, Origin, Teardown};

    fn service(image: &str) -> Service {
        let mut service = Service { replicas: 1, ..Service::default() };
        service.spec.image = image.to_owned();
        service
    }

    fn change(services: &[(&str, Service)]) -> Revision {
        let mut all: BTreeMap<ServiceName, Service> =
            services.iter().map(|(name, service)| (ServiceName::from(*name), service.clone())).collect();
        all.insert("migrate".into(), Service { job: Some(Job::new(Phase::PreSync)), ..service("job:1") });
        tell_jobs(&mut all);
        all.remove(&ServiceName::from("migrate")).and_then(|job| job.job).map(|job| job.change).unwrap()
    }

    #[test]
    fn a_job_runs_for_what_replaces_containers_and_for_nothing_that_changes_in_place() {
        let before = change(&[("api", service("api:1"))]);
        let more = Service { replicas: 3, wave: 2, ..service("api:1") };
        assert_eq!(before, change(&[("api", more)]));
        assert_ne!(before, change(&[("api", service("api:2"))]));
        assert_ne!(before, change(&[("api", service("api:1")), ("worker", service("api:1"))]));
        let job = Service { job: Some(Job::new(Phase::PostSync)), ..service("smoke:1") };
        assert_eq!(before, change(&[("api", service("api:1")), ("smoke", job)]), "jobs are no part of it");
    }

    fn of(phase: Option<Phase>, wave: i32) -> Box<Service> {
        Box::new(Service { job: phase.map(Job::new), wave, ..Service::default() })
    }

    #[test]
    fn jobs_come_before_all_waves_and_after_them() {
        let order = [
            of(Some(Phase::PreSync), -1),
            of(Some(Phase::PreSync), 7),
            of(None, -3),
            of(None, 0),
            of(None, 1),
            of(Some(Phase::PostSync), -9),
        ];
        let order = order.map(|service| Turn::said(&service));
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }

    #[test]
    fn what_somebody_depends_on_comes_no_later_than_they_do() {
        let mut desired = Desired::teardown("shop".into(), Origin::default(), Teardown::default());
        let all = [
            ("migrate", of(Some(Phase::PreSync), 0), "db"),
            ("db", of(None, 5), "disk"),
            ("disk", of(None, 0), ""),
            ("api", of(None, 0), "warm"),
            ("warm", of(Some(Phase::PostSync), 0), ""),
        ];
        for (name, mut service, needs) in all {
            let dependency = Dependency { condition: Condition::Started, restart: false, required: true };
            if !needs.is_empty() {
                service.depends_on.insert(needs.into(), dependency);
            }
            desired.services.insert(name.into(), *service);
        }
        let turns = turns(&desired);
        let turn = |name: &str| turns.get(&ServiceName::from(name)).copied();
        assert_eq!((turn("db"), turn("disk")), (turn("migrate"), turn("migrate")));
        assert_eq!(turn("warm"), turn("api"));
        assert!(turn("db") < turn("api"));
    }
}
