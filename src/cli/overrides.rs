//! What commands lay over the files: written for good first, then heeded by the daemon, where there is one.

use std::time::{Duration, Instant};

use super::args::{Cli, EngineKind};
use super::engine::Drive;
use super::screen::Screen;
use super::standing;
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::overrides::Overrides;
use crate::source::overlaid;
use crate::store::overrides::Overlays;
use crate::store::standing::Standings;

/// How long a daemon may take to heed it: it reads files when they have been quiet for a moment.
const HEEDED_WITHIN: Duration = Duration::from_secs(3);

/// Changes what is laid over a stack, and waits until a daemon that looks after it goes by that.
pub(super) fn lay(stack: &StackName, change: impl FnOnce(&mut Overrides)) -> anyhow::Result<Laid> {
    let overlays = Overlays::new(&standing::directory());
    // What cannot be read is replaced: this is the newest word.
    let mut overrides = overlays.read(stack).unwrap_or_default();
    overrides.forget_ended(standing::now());
    change(&mut overrides);
    let path = overlays.path(stack);
    let failed =
        |error| anyhow::anyhow!("{}: {error}; set OPERATOR_STATE_DIR to the daemon's", path.display());
    overlays.write(stack, &overrides).map_err(failed)?;
    Ok(Laid { heeded: heeded(stack, &overlays), overrides })
}

/// Writes down what the files have ended of what is laid over a stack; on a simulated engine nothing of it holds.
pub(super) fn keep_ended(desired: &Desired, drive: &Drive, screen: &mut Screen) {
    if drive.is_real()
        && let Some(warning) = overlaid::keep_ended(desired, &Overlays::new(&standing::directory()))
    {
        screen.warning(warning);
    }
}

/// What is laid over a stack now.
pub(super) struct Laid {
    pub(super) overrides: Overrides,
    /// Whether a daemon goes by it; `None` where none is known.
    pub(super) heeded: Option<bool>,
}

impl Laid {
    /// Says where it is not heeded, and by whom it will be.
    pub(super) fn tell(&self, stack: &StackName, screen: &mut Screen) {
        match self.heeded {
            Some(true) => {}
            Some(false) => screen
                .note(format_args!("{stack}: `operator run` has not taken it up yet: see `operator status`")),
            None => screen.note(format_args!(
                "{stack}: no `operator run` is known to look after it with the state directory {}; the next one, and `apply`, will heed this",
                standing::directory().display()
            )),
        }
    }
}

/// Waits until a daemon that looks after the stack has decided by what is laid over it: what comes next may be the end of
/// a container that it would heal. Whether it has; `None` where there is none.
fn heeded(stack: &StackName, overlays: &Overlays) -> Option<bool> {
    let standings = Standings::new(standing::directory());
    let waiting = Instant::now();
    loop {
        let known = standings.read(stack)?;
        // Somebody else may have said something since.
        if overlays.read(stack).is_ok_and(|laid| laid == known.overrides) {
            return Some(true);
        }
        if waiting.elapsed() > HEEDED_WITHIN {
            return Some(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What is laid over a stack holds for the one that runs: a simulated one has the same name.
pub(super) fn needs_a_real_engine(command: &str, cli: &Cli) -> anyhow::Result<()> {
    anyhow::ensure!(
        cli.engine.engine != EngineKind::Sim,
        "`{command}` needs a real engine: what it says would hold for the stack that really runs"
    );
    Ok(())
}

/// The person, as far as the system knows.
pub(super) fn who() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "somebody".to_owned())
}
