//! What somebody laid over the files for a while, without changing them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::desired::{Desired, Service};
use super::history::{Ended, Rollback, Stand};
use super::ids::ServiceName;
use super::planted::{self, Bug};
use super::spec::Port;
use super::time::Timestamp;

/// All that is laid over one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// The whole stack is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// These services are left as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paused_services: BTreeMap<ServiceName, Pause>,
    /// When somebody last said that all goes on: what is held, and healing that was stopped, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// When somebody last said so of these services: what is held, and back-off.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resumed_services: BTreeMap<ServiceName, Timestamp>,
    /// These services have another number of replicas than the files say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scaled: BTreeMap<ServiceName, Scale>,
    /// Containers of these services that have run since before then run anew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub restarted: BTreeMap<ServiceName, Restart>,
    /// An earlier revision is held, whatever the files say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// One was held until just now: the files have changed.
    #[serde(skip)]
    pub rollback_ended: Option<Ended>,
    /// These held until just now: the files say another number than they did then.
    #[serde(skip)]
    pub scales_ended: BTreeMap<ServiceName, Scale>,
}

/// Another number of replicas than the files say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// How many.
    pub replicas: u32,
    /// How many the files said then. Once they say another number, that is the newest word, and this one is over.
    pub files: u32,
    /// Who said so.
    pub by: String,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` until somebody says that the files are to hold again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Scale {
    /// Whether it holds for a service as its files declare it.
    pub fn holds(&self, service: &Service, now: Timestamp) -> bool {
        lasts(self.until, now)
            && self.files == service.declared_replicas()
            && (self.replicas <= 1 || only_one(service).is_none())
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scaled by {}; the files say {}", self.by, self.files)
    }
}

/// What a service has of which there is one, so that it cannot have several replicas.
pub fn only_one(service: &Service) -> Option<&str> {
    let port = service.spec.ports.iter().any(|port| Port::fixed(port).is_some());
    let address = service.networks.values().any(|it| it.ipv4_address.is_some() || it.ipv6_address.is_some());
    let has = [
        (service.container_name.is_some(), "a fixed name"),
        (port, "a fixed host port"),
        (address, "a fixed address"),
    ];
    has.into_iter().find_map(|(has, what)| has.then_some(what))
}

/// Who wants containers to run anew, and since when those that do have run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Who said so.
    pub by: String,
    /// What has run since before this moment is meant: Kubernetes' `kubectl.kubernetes.io/restartedAt`.
    pub at: Timestamp,
}

/// Lays the numbers of replicas that people asked for over those of the files, for as long as each holds. Whoever does
/// so again starts from the files.
pub fn lay_over(desired: &mut Desired, now: Timestamp) {
    take_off(desired);
    let Desired { services, overrides, .. } = desired;
    for (name, service) in services {
        if let Some(scale) = overrides.scaled.get(name).filter(|scale| scale.holds(service, now)) {
            let until = scale.until.filter(|_| !planted::has(Bug::ScalesForEver));
            service.replicas = scale.replicas;
            service.scaled = Some(Scale { until, ..scale.clone() });
        }
    }
}

/// Takes off what was laid over: what the files declare.
pub fn take_off(desired: &mut Desired) {
    for service in desired.services.values_mut() {
        service.replicas = service.declared_replicas();
        service.scaled = None;
    }
}

/// What is left as it is, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Who said so.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` until somebody says `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Pause {
    fn holds(&self, now: Timestamp) -> bool {
        lasts(self.until, now)
    }
}

/// Whether what holds until then, if until ever, still does.
fn lasts(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_none_or(|until| until > now)
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {}", self.by)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Overrides {
    /// Whether an earlier revision is what is meant.
    pub fn is_back(&self) -> bool {
        self.rollback.as_ref().is_some_and(|rollback| rollback.stand == Stand::Holds)
    }

    /// The pause of the whole stack, while it holds.
    pub fn pause(&self, now: Timestamp) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| pause.holds(now))
    }

    /// The pause of a service's own, while it holds.
    pub fn pause_of(&self, service: &ServiceName, now: Timestamp) -> Option<&Pause> {
        self.paused_services.get(service).filter(|pause| pause.holds(now))
    }

    /// Forgets the pauses that have ended, and the numbers of replicas.
    pub fn forget_ended(&mut self, now: Timestamp) {
        self.scaled.retain(|_, scale| lasts(scale.until, now));
        self.paused = self.paused.take().filter(|pause| pause.holds(now));
        self.paused_services.retain(|_, pause| pause.holds(now));
    }

    /// Ends what the files have had the newer word on. Of a revision that is held they say nothing.
    pub fn end_scales(&mut self, files: &Desired) {
        if self.rollback.is_some() {
            return;
        }
        let is_over = |name: &ServiceName, scale: &Scale| {
            files.services.get(name).is_some_and(|service| service.declared_replicas() != scale.files)
        };
        self.scales_ended = self.scaled.extract_if(.., |name, scale| is_over(name, scale)).collect();
    }

    /// Whether something has ended that was said once and is not to begin anew.
    pub fn has_ended(&self) -> bool {
        self.rollback_ended.is_some() || !self.scales_ended.is_empty()
    }

    /// Takes what has ended off what is said now, which may be more.
    #[must_use]
    pub fn without_ended(&self, mut said: Self) -> Self {
        let ended = self.rollback_ended.map(|ended| (ended.to, ended.since));
        said.rollback = said.rollback.take().filter(|it| Some((it.to, it.since)) != ended);
        said.scaled.retain(|name, scale| self.scales_ended.get(name) != Some(scale));
        said
    }

    /// The images that a held revision may ask for, by their ids.
    pub fn images_of_then(&self) -> impl Iterator<Item = &str> {
        let kept = self.rollback.iter().filter_map(|rollback| rollback.kept.as_ref());
        kept.flat_map(|kept| kept.images.values()).filter_map(|ran| Some(ran.id.as_ref()?.as_str()))
    }

    /// Whether there is a revision to hold that was not brought back yet.
    pub fn holds_untried(&self) -> bool {
        self.rollback.as_ref().is_some_and(|rollback| rollback.stand == Stand::Untried)
    }

    /// Whether both hold one revision, on one word.
    pub fn holds_the_same(&self, other: &Self) -> bool {
        let held = |it: &Self| it.rollback.as_ref().map(|rollback| (rollback.to, rollback.since));
        held(self) == held(other)
    }

    /// Whether a revision is to be held and nothing is known that could stand for it.
    pub fn forgets(&self) -> bool {
        self.rollback.as_ref().is_some_and(Rollback::forbids)
    }

    /// Whether what is done for a service, or for all of them, is not to be done now.
    pub fn forbids(&self, service: Option<&ServiceName>, now: Timestamp) -> bool {
        self.forgets()
            || self.pause(now).is_some()
            || service.is_some_and(|service| self.pause_of(service, now).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::super::desired::{Origin, Teardown};
    use super::*;

    #[test]
    fn a_pause_holds_for_what_it_names_until_it_ends() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let pause = |until| Pause { by: "ann".into(), reason: None, since: early, until };
        let (web, db) = (ServiceName::from("web"), ServiceName::from("db"));
        let one =
            Overrides { paused_services: [(web.clone(), pause(Some(late)))].into(), ..Overrides::default() };
        assert!(one.forbids(Some(&web), early));
        assert!(!one.forbids(Some(&web), late), "it has ended");
        assert!(!one.forbids(Some(&db), early) && !one.forbids(None, early));
        let mut all = Overrides { paused: Some(pause(None)), ..one };
        assert!(all.forbids(Some(&db), late) && all.forbids(None, late));
        all.forget_ended(late);
        assert!(all.paused.is_some() && all.paused_services.is_empty());
    }

    #[test]
    fn a_number_of_replicas_holds_until_it_ends_or_the_files_have_another() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let web = ServiceName::from("web");
        let scale = Scale { replicas: 5, files: 2, by: "ann".into(), since: early, until: Some(late) };
        let of = |files: u32, change: fn(&mut Service)| {
            let mut service = Service { replicas: files, ..Service::default() };
            change(&mut service);
            let nothing = Teardown::default();
            let mut desired = Desired::teardown("shop".into(), Origin::default(), nothing);
            desired.services.insert(web.clone(), service);
            desired.overrides.scaled.insert(web.clone(), scale.clone());
            desired
        };
        let plain = |_: &mut Service| {};
        let laid = |mut desired: Desired, now| {
            lay_over(&mut desired, now);
            // Once more is no more.
            lay_over(&mut desired, now);
            (desired.services[&web].replicas, desired.services[&web].scaled.is_some())
        };
        assert_eq!(laid(of(2, plain), early), (5, true));
        assert_eq!(laid(of(2, plain), late), (2, false), "it has ended");
        assert_eq!(laid(of(3, plain), early), (3, false), "the files have had a word since");
        let named = |service: &mut Service| service.container_name = Some("web".into());
        assert_eq!(laid(of(2, named), early), (2, false), "the files make it impossible");
        let mut ended = of(2, plain);
        lay_over(&mut ended, early);
        assert_eq!(laid(ended, late), (2, false), "what was laid over is taken off again");
    }
}
