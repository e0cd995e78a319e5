//! Containers for which the engine does not answer, as while their start hangs: it lists them and does not say more.

use futures_util::future::{FutureExt, LocalBoxFuture, join_all};

use super::Observer;
use crate::core::desired::Desired;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::ContainerId;
use crate::core::observed::{Container, Health};
use crate::engine::{Listed, ReadEngine};

/// What the engine says of one container.
pub(in crate::controller) enum Found {
    There(Box<Container>),
    Gone,
    /// Nothing, in all the time that it has.
    Silent(Failure),
}

impl<'e> Observer<'e> {
    /// Whether there is one for which the engine did not answer.
    pub(in crate::controller) fn has_silent(&self) -> bool {
        !self.observed.silent.is_empty()
    }

    /// Whether that is one of them.
    pub(in crate::controller) fn is_silent(&self, id: &ContainerId) -> bool {
        self.observed.is_silent(id)
    }

    /// Asks again for those for which the engine did not answer, beside all else.
    pub(in crate::controller) fn ask_for_silent(&self) -> LocalBoxFuture<'e, Vec<(ContainerId, Found)>> {
        let engine = self.engine;
        let ask = |id: ContainerId| async move {
            let found = find(engine, &id).await.unwrap_or_else(Found::Silent);
            (id, found)
        };
        join_all(self.observed.silent.iter().cloned().map(ask)).boxed_local()
    }

    /// Takes in what it says of them now.
    pub(in crate::controller) fn hear_of_silent(
        &mut self,
        desired: &Desired,
        answers: Vec<(ContainerId, Found)>,
    ) {
        for (id, found) in answers {
            // Its line may be newer than this.
            self.lines.remove(&id);
            self.keep(id.clone(), found);
            self.judge_start(desired, &id);
        }
    }
}

pub(super) async fn find(engine: &dyn ReadEngine, id: &ContainerId) -> Result<Found, Failure> {
    match engine.inspect_container(id).await {
        Ok(Some(container)) => Ok(Found::There(Box::new(container))),
        Ok(None) => Ok(Found::Gone),
        // The engine answers others: one that hangs keeps nobody else from being looked after.
        Err(failure) if failure.kind == FailureKind::Timeout => Ok(Found::Silent(failure)),
        Err(failure) => Err(failure),
    }
}

/// A container as the list shows it, of which nothing else is known: neither that it is ready, nor that it has done its
/// work.
pub(super) fn outline(line: &Listed) -> Container {
    let Listed { id, labels, state, to_others, .. } = line.clone();
    let created = Container::created(id, to_others.name.clone());
    Container { labels, state, health: Some(Health::Starting), exit_code: -1, ..created }
}
