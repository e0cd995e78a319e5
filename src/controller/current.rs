//! How a stack stands, for who holds no engine that could change anything.

use super::observe::look_once;
use super::probing::Prober;
use crate::core::decide::decide;
use crate::core::desired::Desired;
use crate::core::failure::Failure;
use crate::core::memory::Memory;
use crate::core::status::{StackStatus, status};
use crate::core::time::Timestamp;
use crate::core::view::View;
use crate::engine::ReadEngine;

/// From one look, with nothing remembered.
pub async fn current_status(
    engine: &dyn ReadEngine,
    desired: &Desired,
    now: Timestamp,
) -> Result<StackStatus, Failure> {
    let mut observed = look_once(engine, desired, now).await?;
    Prober::new(engine).ask_all(desired, &mut observed, now).await;
    let view = View::new(desired, &observed);
    let mut memory = Memory::default();
    memory.observe(&view, now);
    let decision = decide(&view, &memory, now);
    Ok(status(&view, &memory, &decision))
}
