//! Since when something of a directory may be mounted.

use std::path::Path;

use crate::clock::Clock;
use crate::core::failure::Failure;
use crate::core::time::Timestamp;
use crate::engine::ReadEngine;

/// When the first of the containers that run was started that have mounted something below a directory, whoever's they
/// are; now, where none has.
pub async fn mounted_since(
    engine: &dyn ReadEngine,
    clock: &dyn Clock,
    directory: &Path,
) -> Result<Timestamp, Failure> {
    // What starts while this looks starts later.
    let mut oldest = clock.now();
    for listed in engine.list_containers().await?.iter().filter(|listed| listed.state.is_alive()) {
        let Some(container) = engine.inspect_container(&listed.id).await? else { continue };
        let is_below =
            container.spec.mounts.values().any(|mount| Path::new(&mount.source).starts_with(directory));
        if is_below {
            // One of which it is not known has been there for ever.
            oldest = oldest.min(container.started_at.unwrap_or_default());
        }
    }
    Ok(oldest)
}
