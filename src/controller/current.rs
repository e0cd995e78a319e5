//! How a stack stands, for who holds no engine that could change anything.

use futures_util::future::join;

use super::live::LiveReader;
use super::observe::Observer;
use super::probing::Prober;
use crate::clock::Clock;
use crate::core::decide::decide;
use crate::core::desired::Desired;
use crate::core::failure::Failure;
use crate::core::limits;
use crate::core::memory::Memory;
use crate::core::status::{StackStatus, status};
use crate::core::view::View;
use crate::engine::ReadEngine;

/// From one look, with nothing remembered.
pub async fn current_status(
    engine: &dyn ReadEngine,
    desired: &Desired,
    clock: &dyn Clock,
) -> Result<StackStatus, Failure> {
    let now = clock.now();
    let mut looking = Observer::new(engine);
    looking.look(desired, now).await?;
    looking.all_answered()?;
    let mut observed = looking.observed().clone();
    // Side by side: what hangs lets both wait.
    let mut with_settings = observed.clone();
    let (mut reader, mut prober) = (LiveReader::new(engine), Prober::new(engine));
    let settings = reader.ask_all(desired, &mut with_settings, clock, limits::LIVE_AT_A_GLANCE);
    join(settings, prober.ask_all(desired, &mut observed, now)).await;
    for (id, container) in with_settings.containers {
        if let Some(found) = observed.containers.get_mut(&id) {
            found.live = container.live;
        }
    }
    let view = View::new(desired, &observed);
    let mut memory = Memory::default();
    memory.observe(&view, now);
    let decision = decide(&view, &memory, now);
    Ok(status(&view, &memory, &decision))
}
