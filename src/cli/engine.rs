//! The engine that the options mean, with the time it lives in and what drives it.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;

use super::args::{EngineArgs, EngineKind};
use crate::clock::{Clock, SystemClock, VirtualClock};
use crate::core::time::Timestamp;
use crate::engine::docker::Docker;
use crate::engine::sim::{SimEngine, World};
use crate::engine::{ReadEngine, WriteEngine};

/// Seed of the ids of a new simulated engine. Another one than the rehearsal's (0): `diff` seeds its rehearsal with
/// what this engine holds, and ids that it makes up there must not be ids that exist here.
const SEED: u64 = 1;

/// An engine to read from: what `diff` and `status` hold. They cannot change anything, by construction.
pub type Reader = Opened<dyn ReadEngine>;

/// An engine to change.
pub type Writer = Opened<dyn WriteEngine>;

/// An engine with its clock.
#[derive(Debug)]
pub struct Opened<E: ?Sized> {
    /// The engine.
    pub engine: Box<E>,
    /// The time that it lives in.
    pub clock: Rc<dyn Clock>,
    /// What makes its calls go on.
    pub drive: Drive,
}

/// What makes an engine's calls go on.
#[derive(Debug)]
pub enum Drive {
    /// Real time and sockets.
    Real(tokio::runtime::Runtime),
    /// Virtual time, which jumps from timer to timer.
    Virtual {
        /// The time.
        clock: VirtualClock,
        /// The engine.
        engine: SimEngine,
        /// Where its state is kept, if anywhere.
        state: Option<PathBuf>,
    },
}

impl Drive {
    /// Whether others can see the engine too.
    pub fn is_real(&self) -> bool {
        matches!(self, Self::Real(_))
    }

    /// Works until the future is ready.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> anyhow::Result<T> {
        match self {
            Self::Real(runtime) => Ok(runtime.block_on(work)),
            Self::Virtual { clock, .. } => {
                clock.run(work).context("the simulated engine waits for something that never happens")
            }
        }
    }

    /// Ready when a person presses Ctrl-C. Virtual time is over before anybody could.
    pub async fn interrupted(&self) {
        match self {
            Self::Real(_) => {
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            Self::Virtual { .. } => std::future::pending().await,
        }
    }

    /// Keeps the simulated engine's state for the next command.
    pub fn save(&self) -> anyhow::Result<()> {
        match self {
            Self::Virtual { engine, state: Some(path), .. } => save(&engine.world(), path),
            Self::Real(_) | Self::Virtual { state: None, .. } => Ok(()),
        }
    }
}

/// Opens the engine for reading.
pub fn reader(args: &EngineArgs) -> anyhow::Result<Reader> {
    match args.engine {
        EngineKind::Docker => {
            let (engine, clock, drive) = docker(args)?;
            Ok(Opened { engine: Box::new(engine), clock, drive })
        }
        EngineKind::Sim => {
            let (engine, clock, drive) = simulated(args)?;
            Ok(Opened { engine: Box::new(engine), clock, drive })
        }
    }
}

/// Opens the engine for changing it.
pub fn writer(args: &EngineArgs) -> anyhow::Result<Writer> {
    match args.engine {
        EngineKind::Docker => {
            let (engine, clock, drive) = docker(args)?;
            Ok(Opened { engine: Box::new(engine), clock, drive })
        }
        EngineKind::Sim => {
            let (engine, clock, drive) = simulated(args)?;
            Ok(Opened { engine: Box::new(engine), clock, drive })
        }
    }
}

fn docker(args: &EngineArgs) -> anyhow::Result<(Docker, Rc<dyn Clock>, Drive)> {
    let mut environment: BTreeMap<String, String> = super::files::environment();
    if let Some(context) = &args.context {
        // A context that is asked for by name wins over the address in the environment.
        environment.remove("DOCKER_HOST");
        environment.insert("DOCKER_CONTEXT".to_owned(), context.clone());
    }
    // One thread serves hundreds of calls under way and keeps the memory small.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("the runtime cannot be started")?;
    let clock = {
        let _inside = runtime.enter();
        SystemClock::new()
    };
    let engine = Docker::find(args.host.as_deref(), environment)?;
    if let Some(remark) = engine.remark() {
        // Nobody is left to tell when stderr is gone.
        let _ = writeln!(std::io::stderr(), "warning: {remark}; going on without it");
    }
    Ok((engine, Rc::new(clock), Drive::Real(runtime)))
}

fn simulated(args: &EngineArgs) -> anyhow::Result<(SimEngine, Rc<dyn Clock>, Drive)> {
    let wall = Timestamp::from_millis(jiff::Timestamp::now().as_millisecond());
    let mut world = match &args.engine_state {
        Some(path) => read(path)?.unwrap_or_else(|| World::new(SEED, wall)),
        None => World::new(SEED, wall),
    };
    // Between two commands time goes on there as it does here.
    let now = wall.max(world.now());
    world.advance(now);
    let clock = VirtualClock::starting_at(now);
    let engine = SimEngine::new(world, Rc::new(clock.clone()));
    let drive =
        Drive::Virtual { clock: clock.clone(), engine: engine.clone(), state: args.engine_state.clone() };
    Ok((engine, Rc::new(clock), drive))
}

fn read(path: &Path) -> anyhow::Result<Option<World>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    World::from_json(&text).map(Some).with_context(|| path.display().to_string())
}

/// Writes the state beside its place and moves it there, so that it is never half there. The temporary file
/// is its owner's alone, and stays so: environment values are in it.
fn save(world: &World, path: &Path) -> anyhow::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(world.to_json()?.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("the engine state cannot be written to {}", path.display()))
}
