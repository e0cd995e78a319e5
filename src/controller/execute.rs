//! Carries out one action: checks its precondition right before, then makes its one call. Chooses nothing.

use crate::core::action::{Action, Call, Precondition};
use crate::core::failure::{Failure, FailureKind};
use crate::core::fields;
use crate::core::ids::ContainerId;
use crate::core::observed::Container;
use crate::core::spec::Resources;
use crate::engine::WriteEngine;

/// What a person allowed beyond what is safe by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Set a memory limit under what is in use now; the kernel may kill the process.
    pub memory_under_use: bool,
}

/// Carries out `action`. For a creation, the id of what was made. Adapters know containers by id; who reads of a
/// failure, by name.
pub async fn execute(
    engine: &dyn WriteEngine,
    action: &Action,
    allowed: Allowed,
    progress: &dyn Fn(&str),
) -> Result<Option<ContainerId>, Failure> {
    let result = carry_out(engine, action, allowed, progress).await;
    result.map_err(|failure| match action.call.container() {
        Some(_) => Failure { call: action.call.to_string(), ..failure },
        None => failure,
    })
}

async fn carry_out(
    engine: &dyn WriteEngine,
    action: &Action,
    allowed: Allowed,
    progress: &dyn Fn(&str),
) -> Result<Option<ContainerId>, Failure> {
    if let Some(container) = precondition(engine, action).await?
        && let Call::UpdateContainer { resources, .. } = &action.call
        && !allowed.memory_under_use
    {
        memory_in_use(engine, action, &container, resources).await?;
    }
    match &action.call {
        Call::CreateContainer(new) => return engine.create_container(new).await.map(Some),
        Call::CreateNetwork { network, labels } => engine.create_network(network, labels).await.map(drop),
        Call::PullImage { reference, platform } => {
            engine.pull_image(reference, platform.as_deref(), progress).await
        }
        Call::BuildImage { reference, build } => engine.build_image(reference, build, progress).await,
        Call::RemoveNetwork { id, .. } => engine.remove_network(id).await,
        Call::CreateVolume { volume, labels } => engine.create_volume(volume, labels).await,
        Call::RemoveVolume { name } => engine.remove_volume(name).await,
        Call::CopyFiles { target, files } => engine.copy_files(&target.id, files).await,
        Call::StartContainer(target) => engine.start_container(&target.id).await,
        Call::RunHook { target, hook, .. } => engine.run_hook(&target.id, hook).await,
        Call::SignalContainer { target, signal, .. } => engine.signal_container(&target.id, signal).await,
        Call::StopContainer { target, grace } => engine.stop_container(&target.id, *grace).await,
        Call::UnpauseContainer(target) => engine.unpause_container(&target.id).await,
        Call::RemoveContainer(target) => engine.remove_container(&target.id).await,
        Call::RenameContainer { target, name } => engine.rename_container(&target.id, name).await,
        Call::UpdateContainer { target, resources } => engine.update_container(&target.id, resources).await,
        Call::ConnectNetwork { target, network, endpoint } => {
            engine.connect_network(network, &target.id, endpoint).await
        }
        Call::DisconnectNetwork { target, network } => engine.disconnect_network(network, &target.id).await,
        Call::SetLive { target, live, key, value } => engine.set_live(&target.id, live, key, value).await,
    }
    .map(|()| None)
}

/// Reads the container that the action is addressed to and holds it against the precondition.
async fn precondition(engine: &dyn WriteEngine, action: &Action) -> Result<Option<Container>, Failure> {
    let Precondition::ContainerIn { id, states } = &action.precondition else { return Ok(None) };
    let stale = |what: String| Failure::new(FailureKind::Stale, action.call.to_string(), what);
    let container =
        engine.inspect_container(id).await?.ok_or_else(|| stale("the container is gone".to_owned()))?;
    if states.contains(&container.state) {
        Ok(Some(container))
    } else {
        Err(stale(format!("the container is {} now", container.state.as_str())))
    }
}

/// Refuses a memory limit under what the container uses: the kernel would kill it or refuse.
async fn memory_in_use(
    engine: &dyn WriteEngine,
    action: &Action,
    container: &Container,
    resources: &Resources,
) -> Result<(), Failure> {
    let Some(limit) = resources.memory.filter(|limit| *limit > 0) else { return Ok(()) };
    let shrinks = container.resources.memory.is_none_or(|now| now <= 0 || limit < now);
    if !shrinks || container.state != crate::core::observed::State::Running {
        return Ok(());
    }
    let used = engine.memory_usage(&container.id).await?;
    if used < limit {
        return Ok(());
    }
    let message = format!(
        "it uses {} MiB of memory and the limit is to be {}: raise the limit, or allow it with `--allow memory-under-use`",
        used >> 20,
        fields::size(limit),
    );
    Err(Failure::new(FailureKind::Invalid, action.call.to_string(), message))
}
