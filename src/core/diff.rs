//! What differs between what should be and what is, for people and programs to read before they say yes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::content::OnChange;
use super::desired::Service;
use super::fields::{self, FieldChange, Policy};
use super::ids::ServiceName;
use super::networks::{self, Differing, Member};
use super::observed::{Container, State, StoppedBy};
use super::redact;
use super::replace::Strategy;
use super::sync::{Job, Phase};
use super::view::{Replicas, View, is_completed};
use super::volumes;

mod indirect;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The service; `None` for what the whole stack shares.
    pub service: Option<ServiceName>,
    /// Path of the field.
    pub field: String,
    /// What is.
    pub from: Option<String>,
    /// What should be.
    pub to: Option<String>,
    /// What changing it costs.
    pub impact: Impact,
    /// Why it is to change, and why at that cost.
    pub reason: String,
    /// The containers that it concerns, by name; empty where it is about none that exists.
    pub containers: Vec<String>,
}

impl Change {
    /// As it may leave the machine: without revisions. They are hashes of secrets too, from which short ones are guessed.
    #[must_use]
    pub fn without_hashes(mut self) -> Self {
        if self.field == "revision" {
            (self.from, self.to) = (None, None);
        }
        self
    }
}

/// What a change costs, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Impact {
    /// Nothing that runs is restarted.
    InPlace,
    /// Containers are replaced one after the other, and the service serves all the while.
    Rolling,
    /// The service is down for a moment.
    Restart,
    /// The service goes and does not come back; its volumes stay.
    Removed,
    /// Data is gone for good.
    Destructive,
}

impl Impact {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InPlace => "in-place",
            Self::Rolling => "rolling",
            Self::Restart => "restart",
            Self::Removed => "removed",
            Self::Destructive => "destructive",
        }
    }
}

/// All differences: the stack's own first, then by service.
pub fn diff(view: &View<'_>) -> Vec<Change> {
    let (mut networks, mut volumes) = (networks::differing(view), volumes::differing(view));
    networks.retain(Differing::is_going);
    volumes.retain(volumes::Differing::is_going);
    let mut changes = shared(view);
    changes.extend(volumes.iter().flat_map(replaced_volume));
    changes.extend(networks.iter().flat_map(replaced_network));
    let going = indirect::going(view);
    for (name, service, replicas) in view.services() {
        let mut collected = Collected { name, networks: &networks, changes: Vec::new() };
        collected.cut_off();
        collected.emptied(&volumes);
        match &service.job {
            Some(job) => collected.job(job, replicas, view),
            None => {
                collected.count(service, replicas);
                collected.replaced(service, replicas, view);
            }
        }
        for container in &replicas.current {
            collected.kept(service, container, view);
        }
        for hit in indirect::hits(view, service, replicas, &going) {
            collected.add(hit.change, hit.impact, &hit.reason, Some(hit.container));
        }
        changes.extend(collected.changes);
    }
    changes.extend(orphans(view));
    changes
}

/// Networks and volumes that are to be made, or to go with the whole stack.
fn shared(view: &View<'_>) -> Vec<Change> {
    let change = |field: String, from: Option<&str>, to: Option<&str>, impact, reason: &str| Change {
        service: None,
        field,
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        impact,
        reason: reason.to_owned(),
        containers: Vec::new(),
    };
    let mut changes = Vec::new();
    // What others are to make is no change: it is waited for.
    let networks = view.desired.networks.values().filter(|network| !network.external);
    for network in networks.filter(|network| view.observed.network(&network.name).is_none()) {
        let field = format!("networks.{}", network.name);
        changes.push(change(field, None, Some("created"), Impact::InPlace, "missing"));
    }
    let volumes = view.desired.volumes.values().filter(|volume| !volume.external);
    for volume in volumes.filter(|volume| !view.observed.volumes.contains_key(&volume.name)) {
        let field = format!("volumes.{}", volume.name);
        changes.push(change(field, None, Some("created"), Impact::InPlace, "missing"));
    }
    if let Some(teardown) = &view.desired.teardown {
        for name in view.observed.volumes.keys().filter(|name| teardown.volumes.contains(*name)) {
            let field = format!("volumes.{name}");
            changes.push(change(
                field,
                Some("with its data"),
                None,
                Impact::Destructive,
                "its removal was asked for",
            ));
        }
    }
    changes
}

/// What differs of a volume that is removed and made anew.
fn replaced_volume(volume: &volumes::Differing<'_>) -> Vec<Change> {
    let reason = format!(
        "it was agreed to: made anew, and all that is in it is lost ({}; {})",
        volume.size(),
        volume.last_use()
    );
    let containers: Vec<String> =
        volume.members.iter().map(|(_, container)| container.name.clone()).collect();
    made_anew(&volume.changes, Impact::Destructive, &reason, &containers)
}

/// What differs of a network that is removed and made anew.
fn replaced_network(network: &Differing<'_>) -> Vec<Change> {
    let cut: Vec<String> = cut_off(network).map(|member| member.container.name.clone()).collect();
    let (impact, reason) = match cut.as_slice() {
        [] => (Impact::InPlace, "a network does not change: it is made anew; nothing runs on it"),
        _ => (Impact::Restart, "a network does not change: it is made anew, and connections over it break"),
    };
    made_anew(&network.changes, impact, reason, &cut)
}

fn made_anew(changes: &[FieldChange], impact: Impact, reason: &str, containers: &[String]) -> Vec<Change> {
    let change = |change: &FieldChange| Change {
        service: None,
        field: change.field.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        impact,
        reason: reason.to_owned(),
        containers: containers.to_vec(),
    };
    changes.iter().map(change).collect()
}

/// Who loses its connections while a network is replaced.
fn cut_off<'d, 'a>(network: &'d Differing<'a>) -> impl Iterator<Item = &'d Member<'a>> {
    network.members.iter().filter(|member| member.container.state.is_alive())
}

fn orphans(view: &View<'_>) -> Vec<Change> {
    let mut by_service: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in view.orphans.iter().filter(|_| view.desired.prune) {
        by_service.entry(container.service().unwrap_or_default()).or_default().push(container.name.clone());
    }
    let reason = if view.desired.teardown.is_some() { "the stack is to go" } else { "gone from the files" };
    by_service
        .into_iter()
        .map(|(service, containers)| Change {
            service: Some(ServiceName::from(service)),
            field: "replicas".to_owned(),
            from: Some(containers.len().to_string()),
            to: None,
            impact: Impact::Removed,
            reason: reason.to_owned(),
            containers,
        })
        .collect()
}

/// What differs of a container that can change while it runs.
fn in_place(service: &Service, container: &Container, view: &View<'_>) -> impl Iterator<Item = FieldChange> {
    let limits = fields::resource_changes(&service.resources, &container.resources, &view.observed.engine);
    let networks = fields::network_changes(service, container, view.desired, view.observed);
    let live = match container.state {
        State::Running => fields::live_changes(service, container),
        _ => Vec::new(),
    };
    let networks = networks.into_iter().map(|(_, _, change)| change);
    limits.changes.into_iter().chain(networks).chain(live.into_iter().map(|(_, _, change)| change))
}

/// The changes of one service; equal ones of several containers become one.
struct Collected<'a> {
    name: &'a ServiceName,
    /// The networks that are replaced.
    networks: &'a [Differing<'a>],
    changes: Vec<Change>,
}

impl Collected<'_> {
    /// Its containers are taken off networks that are replaced, and put on them again.
    fn cut_off(&mut self) {
        let (name, networks) = (self.name, self.networks);
        for network in networks {
            for member in cut_off(network).filter(|member| member.service == name) {
                let field = format!("networks.{}", network.wanted.name);
                let change = FieldChange::new(field, Some("connected".into()), Some("connected anew".into()));
                let reason = "its network is made anew: connections break for a moment, nothing restarts";
                self.add(change, Impact::Restart, reason, Some(member.container));
            }
        }
    }

    /// Its containers go with volumes that are made anew, and come back.
    fn emptied(&mut self, volumes: &[volumes::Differing<'_>]) {
        let name = self.name;
        for volume in volumes {
            for (_, container) in volume.members.iter().filter(|(service, _)| *service == name) {
                let field = format!("volumes.{}", volume.found.name);
                let change =
                    FieldChange::new(field, Some("as it is".into()), Some("made anew, empty".into()));
                let reason = "its volume is made anew: its containers stop and go, and new ones come";
                self.add(change, Impact::Restart, reason, Some(container));
            }
        }
    }

    /// What differs of a container that can change while it runs, but for what comes with a network that is replaced.
    fn in_place(&self, service: &Service, container: &Container, view: &View<'_>) -> Vec<FieldChange> {
        let is_cut = |change: &FieldChange| {
            let name = change.field.strip_prefix("networks.");
            let mut cut =
                self.networks.iter().filter(|it| cut_off(it).any(|it| it.container.id == container.id));
            name.is_some_and(|name| cut.any(|network| network.wanted.name == name))
        };
        in_place(service, container, view).filter(|change| !is_cut(change)).collect()
    }

    fn add(&mut self, change: FieldChange, impact: Impact, reason: &str, container: Option<&Container>) {
        let name = container.map(|container| container.name.clone());
        let same = self.changes.iter_mut().find(|known| {
            known.field == change.field
                && known.from == change.from
                && known.to == change.to
                && known.impact == impact
        });
        if let Some(known) = same {
            known.containers.extend(name);
            return;
        }
        self.changes.push(Change {
            service: Some(self.name.clone()),
            field: change.field,
            from: change.from,
            to: change.to,
            impact,
            reason: reason.to_owned(),
            containers: name.into_iter().collect(),
        });
    }

    /// A job that runs for this change.
    fn job(&mut self, job: &Job, replicas: &Replicas<'_>, view: &View<'_>) {
        // A way back is no change that a job was written for.
        if view.desired.overrides.is_back() {
            return;
        }
        let reason = match job.phase {
            Phase::PreSync => "runs to its end before anything is created or replaced",
            Phase::PostSync => "runs to its end when all services are as they should be",
        };
        let run =
            |from: Option<&str>| FieldChange::new("job", from.map(str::to_owned), Some("run".to_owned()));
        if replicas.count() == 0 {
            self.add(run(None), Impact::InPlace, reason, None);
        }
        for old in &replicas.outdated {
            self.add(run(Some("run for another change")), Impact::InPlace, reason, Some(old.container));
            for change in old.changes.iter().filter(|change| change.field != "revision") {
                self.add(change.clone(), Impact::InPlace, "comes with the next run", Some(old.container));
            }
        }
    }

    fn count(&mut self, service: &Service, replicas: &Replicas<'_>) {
        let have = replicas.count();
        if u32::try_from(have).is_ok_and(|have| have == service.replicas) {
            return;
        }
        // In the middle of a replacement there are more for a while: the old ones are kept until its end.
        let wanted = service.wanted();
        let is_under_way = !replicas.outdated.is_empty() && !replicas.current.is_empty();
        if is_under_way && replicas.current.len() <= wanted && have >= wanted {
            return;
        }
        let change = FieldChange::new("replicas", Some(have.to_string()), Some(service.replicas.to_string()));
        let (impact, reason) = match (have, service.replicas) {
            (0, _) => (Impact::InPlace, "not running yet"),
            (_, 0) => (Impact::Removed, "no replica is to stay"),
            _ => (Impact::InPlace, "another number of replicas"),
        };
        let said = service.scaled.as_ref().map(ToString::to_string);
        self.add(change, impact, said.as_deref().unwrap_or(reason), None);
    }

    fn replaced(&mut self, service: &Service, replicas: &Replicas<'_>, view: &View<'_>) {
        let away = replicas.bounds(service).unavailable;
        // Of what goes it does not matter what it was made from.
        for old in replicas.outdated.iter().filter(|_| service.replicas > 0) {
            let (impact, reason) = match &replicas.strategy {
                _ if old.container.state != State::Running => {
                    (Impact::Rolling, "needs a new container; the old one does not run".to_owned())
                }
                Strategy::StartFirst => (
                    Impact::Rolling,
                    "needs a new container: started first, then the old one stops".to_owned(),
                ),
                Strategy::StopFirst(why) => {
                    let replicas = service.wanted();
                    match away {
                        away if away < replicas => (
                            Impact::Rolling,
                            format!(
                                "needs a new container, stop first, {away} of {replicas} at a time: {why}"
                            ),
                        ),
                        _ => (Impact::Restart, format!("needs a new container, stop first: {why}")),
                    }
                }
            };
            for change in &old.changes {
                self.add(change.clone(), impact, &reason, Some(old.container));
            }
            let named = |field: &str| old.changes.iter().any(|change| change.field == field);
            let others = self.in_place(service, old.container, view).into_iter();
            for change in others.filter(|change| !named(&change.field)) {
                self.add(change, impact, "comes with the new container", Some(old.container));
            }
        }
    }

    fn kept(&mut self, service: &Service, container: &Container, view: &View<'_>) {
        for change in self.in_place(service, container, view) {
            let reason = match fields::policy(&change.field) {
                Policy::Live => "set while it runs",
                Policy::Connect if change.to.is_none() => "disconnected while it runs",
                Policy::Connect => "connected while it runs",
                _ => "updated while it runs",
            };
            self.add(change, Impact::InPlace, reason, Some(container));
        }
        let told = match &service.content.on_change {
            OnChange::Signal(signal) => format!("its program gets {signal}"),
            OnChange::Exec(command) => format!("{} runs in it", redact::command_line(command)),
            OnChange::Rolling | OnChange::Ignore => String::new(),
        };
        for change in fields::content_news(service, container) {
            self.add(change, Impact::InPlace, &told, Some(container));
        }
        if container.starting {
            let change = FieldChange::new("post_start", None, Some("run".to_owned()));
            self.add(change, Impact::InPlace, "its hooks have not run since its start", Some(container));
        }
        let should_run = !matches!(container.state, State::Running | State::Restarting);
        if should_run && !is_completed(container, service) {
            let from = match container.state {
                State::Exited => format!("exited ({})", container.exit_code),
                state => state.as_str().to_owned(),
            };
            let change = FieldChange::new("state", Some(from), Some("running".to_owned()));
            let reason = match container {
                Container { stranded: true, .. } => "a new container, since the engine cannot start it again",
                Container { state: State::Paused, .. } => "frozen by hand",
                Container { stopped_by: Some(StoppedBy::Somebody), .. } => "stopped by hand",
                Container { stopped_by: Some(StoppedBy::Engine), .. } => "stopped with the engine",
                _ => "it should run",
            };
            self.add(change, Impact::InPlace, reason, Some(container));
        }
    }
}
