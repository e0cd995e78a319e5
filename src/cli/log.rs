//! The log of `run`: one line an action, with its reason and how long it took; one where the condition changes.

use std::cell::RefCell;
use std::time::Duration;

use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

use super::render::ms;
use super::run::LogFormat;
use crate::controller::owner::Holder;
use crate::controller::report::Report;
use crate::core::action::Action;
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::StackName;
use crate::core::reason::Reason;
use crate::core::status::{Condition, StackStatus};

/// Sends log lines to stderr, coloured or not. `RUST_LOG` wins over `-v`.
pub fn start(format: LogFormat, verbose: u8, colours: bool) -> anyhow::Result<()> {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    // Other crates' lines are of no use below their warnings.
    let default = format!("warn,compose_operator={level}");
    let filter = EnvFilter::try_from_default_env().or_else(|_| EnvFilter::try_new(default))?;
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_target(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}

/// Logs what happens to one stack.
#[derive(Debug)]
pub struct Log {
    stack: StackName,
    condition: RefCell<Option<Condition>>,
}

impl Log {
    /// A log for a stack.
    pub fn new(stack: StackName) -> Self {
        Self { stack, condition: RefCell::default() }
    }
}

impl Report for Log {
    fn decided(&self, status: &StackStatus) {
        let before = self.condition.replace(Some(status.condition));
        if before == Some(status.condition) {
            return;
        }
        let stack = &self.stack;
        match status.condition {
            Condition::Ready => info!(%stack, condition = "Ready", "as it should be"),
            Condition::Progressing => debug!(%stack, condition = "Progressing", "on its way"),
            Condition::Paused => info!(%stack, condition = "Paused", "left as it is"),
            Condition::Degraded => {
                let degraded = status.services.iter().filter(|it| it.condition == Condition::Degraded);
                let why = degraded.flat_map(|service| {
                    // What is being done about it is no reason.
                    let tells = |reason: Option<Reason>| reason != Some(Reason::InProgress);
                    let containers = service.containers.iter().filter(move |it| tells(it.reason));
                    let waiting = service.waiting.iter().filter(move |it| tells(Some(it.reason)));
                    let messages = containers.filter_map(|it| it.message.clone());
                    messages.chain(waiting.map(|it| it.message.clone()))
                });
                let why =
                    why.chain(status.waiting.iter().map(|it| it.message.clone())).next().unwrap_or_default();
                warn!(%stack, condition = "Degraded", why, "not as it should be");
            }
        }
    }

    fn finished(&self, action: &Action, result: &Result<(), Failure>, took: Duration) {
        let (stack, verb, target) = (&self.stack, action.call.verb(), action.call.target());
        // As texts: then the log quotes them.
        let reason = action.cause.to_string();
        let took_ms = ms(took);
        match result {
            Ok(()) => info!(%stack, action = verb, target, reason, took_ms, "done"),
            // The world has moved on: no failure, and looked at anew.
            Err(failure) if failure.kind == FailureKind::Stale => {
                info!(%stack, action = verb, target, reason, why = failure.message, "not done");
            }
            Err(failure) => {
                error!(%stack, action = verb, target, reason, took_ms, error = failure.message, "failed");
            }
        }
    }

    fn engine_lost(&self, failure: &Failure, retry: Duration) {
        let retry_s = (retry.as_secs_f64() * 100.0).round() / 100.0;
        error!(stack = %self.stack, error = failure.to_string(), retry_s, "engine lost");
    }

    fn engine_back(&self) {
        info!(stack = %self.stack, "the engine answers again");
    }

    fn held(&self, holder: &Holder) {
        warn!(stack = %self.stack, holder = holder.to_string(), "another operator has it; taken over when that one ends");
    }

    fn refused(&self, sentence: &str) {
        error!(stack = %self.stack, "refused: {sentence}");
    }
}
