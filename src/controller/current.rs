//! How a stack stands, for who holds no engine that could change anything.

use futures_util::future::join;

use super::live::LiveReader;
use super::observe::look;
use super::probing::Prober;
use crate::clock::Clock;
use crate::core::decide::decide;
use crate::core::desired::Desired;
use crate::core::failure::Failure;
use crate::core::history::in_force;
use crate::core::limits;
use crate::core::memory::{Durable, Memory};
use crate::core::observed::EngineInfo;
use crate::core::overrides::lay_over;
use crate::core::status::{StackStatus, status};
use crate::core::time::Timestamp;
use crate::core::view::View;
use crate::engine::ReadEngine;

/// What is in force: what the files say, or the revision that is held against them, where it can be brought back.
pub async fn held(engine: &dyn ReadEngine, desired: &Desired, now: Timestamp) -> Result<Desired, Failure> {
    if !desired.overrides.holds_untried() {
        return Ok(desired.clone());
    }
    let observed = look(engine, desired, now).await?;
    let mut found = in_force(desired, None, &observed);
    lay_over(&mut found, now);
    Ok(found)
}

/// From one look, and what the last owner remembered.
pub async fn current_status(
    engine: &dyn ReadEngine,
    desired: &Desired,
    recall: impl Fn(&EngineInfo) -> Durable,
    clock: &dyn Clock,
) -> Result<StackStatus, Failure> {
    let now = clock.now();
    let desired = &held(engine, desired, now).await?;
    let mut observed = look(engine, desired, now).await?;
    // Side by side: what hangs lets both wait.
    let (mut reader, mut prober) = (LiveReader::new(engine), Prober::new(engine));
    reader.ask(desired, &observed, now);
    let answers = reader.answers(clock, limits::LIVE_AT_A_GLANCE);
    let (answers, ()) = join(answers, prober.ask_all(desired, &mut observed, now)).await;
    reader.settle(answers, &mut observed, limits::LIVE_AT_A_GLANCE);
    let mut memory = Memory::restored(recall(&observed.engine), desired, now);
    memory.recall(&mut observed);
    let view = View::new(desired, &observed);
    memory.await_progress(now);
    memory.observe(&view, now);
    let decision = decide(&view, &memory, now);
    Ok(status(&view, &memory, &decision))
}
