//! One action of a loop, from the gate to what it changed.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio_util::sync::CancellationToken;

use super::{Done, Reconciler};
use crate::controller::gate::{Gate, Place};
use crate::controller::observe::Seen;
use crate::controller::{execute, observe};
use crate::core::action::Action;
use crate::core::desired::Desired;
use crate::core::failure::{Failure, FailureKind};

/// Waits until it may begin, makes its call and reads what that changed. What waits when the loop is over does not begin.
pub(super) fn carry_out(
    with: Reconciler<'_>,
    desired: Rc<Desired>,
    action: Action,
    over: CancellationToken,
) -> LocalBoxFuture<'_, Done> {
    async move {
        let place = match with.gate {
            Some(gate) => enter(with, gate, &action, &over).await,
            None => Ok(None),
        };
        let place = match place {
            Ok(place) => place,
            Err(failure) => return (action, Err(failure), Seen::Nothing, Duration::ZERO),
        };
        let start = with.clock.now();
        let progress = |line: &str| with.report.progress(&action, line);
        let result = execute::execute(with.engine, &action, with.allowed, &progress).await;
        let took = with.clock.now().since(start);
        drop(place);
        let (result, created) = match result {
            Ok(created) => (Ok(()), created),
            Err(failure) => (Err(failure), None),
        };
        let seen = observe::look_after(with.engine, &desired, &action, created).await;
        (action, result, seen.unwrap_or(Seen::Nothing), took)
    }
    .boxed_local()
}

async fn enter<'e>(
    with: Reconciler<'e>,
    gate: &'e Gate,
    action: &Action,
    over: &CancellationToken,
) -> Result<Option<Place<'e>>, Failure> {
    tokio::select! {
        biased;
        () = over.cancelled() => {
            let why = "it was not begun: the stack is not looked after any more";
            Err(Failure::new(FailureKind::Stale, action.call.to_string(), why))
        }
        place = gate.enter(&action.call, with.clock) => Ok(place),
    }
}
