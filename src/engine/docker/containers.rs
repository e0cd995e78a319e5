//! Containers as objects: list, start, stop, thaw, remove, rename.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum};
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder,
    RenameContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::client::{AFTER_GRACE, READ, WRITE};
use super::{Docker, classify};
use crate::core::desired::DEFAULT_STOP_GRACE;
use crate::core::failure::Failure;
use crate::core::ids::ContainerId;
use crate::core::observed::{Foreign, State};
use crate::engine::Listed;

/// What each container of a list is to others.
pub(super) type Last = Rc<RefCell<BTreeMap<ContainerId, Arc<Foreign>>>>;

pub(super) async fn list(docker: &Docker) -> Result<Rc<[Listed]>, Failure> {
    let call = "list containers";
    let caller = docker.caller(call)?;
    let last = Rc::clone(&docker.listed);
    let ask = async move {
        let options = ListContainersOptionsBuilder::new().all(true).build();
        let found =
            caller.call(call, READ, async |client| client.list_containers(Some(options)).await).await?;
        let mut found: Vec<Listed> = found.into_iter().filter_map(listed).collect();
        keep_what_is_the_same(&mut found, &last);
        Ok(found.into())
    };
    docker.questions.containers.ask(ask).await
}

/// The loops of hundreds of stacks look at different times, and each keeps what it saw: of what has not changed, all keep
/// one value.
fn keep_what_is_the_same(found: &mut [Listed], last: &Last) {
    let mut last = last.borrow_mut();
    for line in found.iter_mut() {
        if let Some(before) = last.get(&line.id).filter(|before| **before == line.to_others) {
            line.to_others = Arc::clone(before);
        }
    }
    *last = found.iter().map(|line| (line.id.clone(), Arc::clone(&line.to_others))).collect();
}

/// One line of the list; `None` for a container that was removed while the list was made.
fn listed(summary: ContainerSummary) -> Option<Listed> {
    let ports = summary.ports.unwrap_or_default().into_iter().filter_map(|port| {
        let protocol = port.typ.map_or_else(|| "tcp".to_owned(), |kind| kind.to_string());
        Some(format!("{}/{protocol}", port.public_port.filter(|port| *port != 0)?))
    });
    let volumes = summary.mounts.unwrap_or_default().into_iter().filter_map(|mount| mount.name);
    let networks = summary.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    let networks = networks.into_iter().map(|(name, it)| (name, it.network_id.unwrap_or_default()));
    let labels = summary.labels.unwrap_or_default().into_iter().collect();
    let state = state(summary.state?);
    let to_others = Foreign {
        running: state == State::Running,
        // One line for each address family: the port is the same.
        ports: ports.collect(),
        volumes: volumes.filter(|name| !name.is_empty()).collect(),
        networks: networks.collect(),
        ..Foreign::labelled(name(summary.names.as_deref().unwrap_or_default()), &labels)
    };
    Some(Listed {
        id: ContainerId::new(summary.id?),
        labels,
        state,
        health: health(summary.status.as_deref().unwrap_or_default()).to_owned(),
        to_others: Arc::new(to_others),
    })
}

/// Its own name: with one slash only. Legacy links give a container further ones, below others' names.
fn name(names: &[String]) -> &str {
    let own = names.iter().find(|name| name.matches('/').count() <= 1).or(names.first());
    own.map_or("", |name| name.trim_start_matches('/'))
}

fn state(state: ContainerSummaryStateEnum) -> State {
    use ContainerSummaryStateEnum as Word;
    match state {
        Word::EMPTY | Word::CREATED => State::Created,
        // Still runs: it has had its signal.
        Word::RUNNING | Word::STOPPING => State::Running,
        Word::PAUSED => State::Paused,
        Word::RESTARTING => State::Restarting,
        Word::EXITED => State::Exited,
        Word::REMOVING => State::Removing,
        Word::DEAD => State::Dead,
    }
}

/// What `Up 5 minutes (healthy)` and `Exited (137) 2 hours ago` say beside the age.
fn health(status: &str) -> &str {
    match (status.find('('), status.find(')')) {
        (Some(open), Some(close)) if open < close => &status[open + 1..close],
        _ => "",
    }
}

pub(super) async fn start(docker: &Docker, id: &ContainerId) -> Result<(), Failure> {
    let call = format!("start container {}", id.short());
    docker.call(&call, WRITE, async |client| client.start_container(id.as_str(), None).await).await
}

pub(super) async fn stop(docker: &Docker, id: &ContainerId, grace: Option<Duration>) -> Result<(), Failure> {
    let call = format!("stop container {}", id.short());
    let grace_limit = match grace {
        Some(grace) => grace,
        None => own_grace(docker, id, &call).await?,
    };
    let mut options = StopContainerOptionsBuilder::new();
    if let Some(grace) = grace {
        options = options.t(i32::try_from(whole_seconds(grace)).unwrap_or(i32::MAX));
    }
    let options = options.build();
    let limit = grace_limit.saturating_add(AFTER_GRACE);
    docker.call(&call, limit, async |client| client.stop_container(id.as_str(), Some(options)).await).await
}

pub(super) async fn signal(docker: &Docker, id: &ContainerId, signal: &str) -> Result<(), Failure> {
    let call = format!("signal container {} {signal}", id.short());
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    docker
        .call(&call, WRITE, async |client| client.kill_container(id.as_str(), Some(options.clone())).await)
        .await
}

/// The engine counts whole seconds; a part of one is rounded up, so that nobody is killed early.
fn whole_seconds(grace: Duration) -> u64 {
    grace.as_secs() + u64::from(grace.subsec_nanos() > 0)
}

/// The grace that the container itself asks for: how long we must be ready to wait.
async fn own_grace(docker: &Docker, id: &ContainerId, call: &str) -> Result<Duration, Failure> {
    let found =
        docker.call(call, READ, async |client| client.inspect_container(id.as_str(), None).await).await?;
    let seconds = found.config.and_then(|config| config.stop_timeout);
    Ok(match seconds {
        // A negative timeout is "for ever" to the engine. Nothing is: a day, then it is looked at again.
        Some(seconds) => u64::try_from(seconds).map_or(Duration::from_hours(24), Duration::from_secs),
        None => DEFAULT_STOP_GRACE,
    })
}

pub(super) async fn unpause(docker: &Docker, id: &ContainerId) -> Result<(), Failure> {
    let call = format!("unpause container {}", id.short());
    match docker.attempt(&call, WRITE, async |client| client.unpause_container(id.as_str()).await).await? {
        Err(error) if !classify::says(&error, "is not paused") => Err(docker.failure(&call, &error)),
        _ => Ok(()),
    }
}

pub(super) async fn remove(docker: &Docker, id: &ContainerId) -> Result<(), Failure> {
    let call = format!("remove container {}", id.short());
    // Neither by force nor with its volumes: what runs is stopped first, and data is never ours to drop.
    let options = RemoveContainerOptionsBuilder::new().v(false).force(false).link(false).build();
    let removed = docker
        .attempt(&call, WRITE, async |client| client.remove_container(id.as_str(), Some(options)).await)
        .await?;
    match removed {
        Err(error) if classify::has_code(&error, 404) || classify::says(&error, "already in progress") => {
            Ok(())
        }
        Err(error) => Err(docker.failure(&call, &error)),
        Ok(()) => Ok(()),
    }
}

pub(super) async fn rename(docker: &Docker, id: &ContainerId, name: &str) -> Result<(), Failure> {
    let call = format!("rename container {} to {name}", id.short());
    let options = RenameContainerOptionsBuilder::new().name(name).build();
    let renamed = docker
        .attempt(&call, WRITE, async |client| client.rename_container(id.as_str(), options).await)
        .await?;
    match renamed {
        Err(error) if !classify::says(&error, "same name as its current name") => {
            Err(docker.failure(&call, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_without_its_age_is_the_health() {
        assert_eq!(health("Up 5 minutes (healthy)"), "healthy");
        assert_eq!(health("Up Less than a second (health: starting)"), "health: starting");
        assert_eq!(health("Exited (137) 2 hours ago"), "137");
        assert_eq!(health("Up 2 hours"), "");
        assert_eq!(health("Created"), "");
    }

    #[test]
    fn a_linked_container_keeps_its_own_name() {
        assert_eq!(name(&["/web/db".to_owned(), "/db".to_owned()]), "db");
        assert_eq!(name(&["/db".to_owned()]), "db");
        assert_eq!(name(&[]), "");
    }

    #[test]
    fn what_has_not_changed_is_the_same_value_in_the_next_list() {
        let line = |id: &str, running: bool| Listed {
            id: id.into(),
            labels: BTreeMap::new(),
            state: State::Running,
            health: String::new(),
            to_others: Arc::new(Foreign { running, ..Foreign::default() }),
        };
        let last = Last::default();
        let mut one = [line("a", true), line("b", true)];
        let mut two = [line("a", true), line("b", false)];
        keep_what_is_the_same(&mut one, &last);
        keep_what_is_the_same(&mut two, &last);
        let same = one.iter().zip(&two).map(|(one, two)| Arc::ptr_eq(&one.to_others, &two.to_others));
        assert_eq!(same.collect::<Vec<_>>(), [true, false]);
        assert!(!two[1].to_others.running);
        keep_what_is_the_same(&mut [], &last);
        assert!(last.borrow().is_empty(), "what is gone is not kept");
    }

    #[test]
    fn a_grace_is_never_shortened() {
        assert_eq!(whole_seconds(Duration::from_millis(1_500)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
    }
}
