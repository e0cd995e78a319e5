//! A command in a running container.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::TryStreamExt;

use super::Docker;
use super::classify::has_code;
use super::client::READ;
use crate::core::ids::ContainerId;
use crate::engine::Answer;
use crate::live::{NOT_RUN, Output, RunIn};

/// How long one that hangs keeps the next from being begun: a handful in an hour does no harm.
const HANGS_FOR: Duration = Duration::from_mins(10);

/// More than this many commands hang only where containers have gone that had them.
const MOST: usize = 1024;

/// A command in a container.
type Command = (ContainerId, Vec<String>);

/// Commands that nobody waits for any more, and that may run on: an engine ends none. One that hangs is not begun again
/// beside itself, or a probe would fill its container with them.
#[derive(Debug, Default)]
pub(super) struct Abandoned(Mutex<BTreeMap<Command, (String, Instant)>>);

impl Abandoned {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Command, (String, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A command that is waited for. One that is dropped before its end is abandoned.
struct Awaited<'a> {
    command: Command,
    exec: OnceCell<String>,
    abandoned: &'a Abandoned,
}

impl Awaited<'_> {
    fn end(mut self) {
        self.exec.take();
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let Some(exec) = self.exec.take() else { return };
        let mut all = self.abandoned.all();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(self.command.clone(), (exec, Instant::now()));
    }
}

impl RunIn for Docker {
    fn reaches_addresses(&self) -> bool {
        self.address.is_local()
    }

    fn run_in<'a>(
        &'a self,
        id: &'a ContainerId,
        command: &'a [&'a str],
        environment: Vec<String>,
    ) -> Answer<'a, Output> {
        Box::pin(async move {
            let call = format!("run {} in container {}", command.first().unwrap_or(&""), id.short());
            let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let command = (id.clone(), words.clone());
            let before = self.abandoned.all().get(&command).cloned();
            // What waits for an answer that never comes says nothing for ever of what goes well again.
            if let Some((exec, _)) = before.filter(|(_, since)| since.elapsed() < HANGS_FOR) {
                let inspect = async |client: &bollard::Docker| match client.inspect_exec(&exec).await {
                    Err(error) if has_code(&error, 404) => Ok(false),
                    found => Ok(found?.running == Some(true)),
                };
                if self.call(&call, READ, inspect).await? {
                    let command = words.first().cloned().unwrap_or_default();
                    let stderr = format!("{command} was not run, since the one before has not ended yet");
                    return Ok(Output { stderr, code: NOT_RUN, ..Output::default() });
                }
                self.abandoned.all().remove(&command);
            }
            let config = ExecConfig {
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                env: Some(environment),
                cmd: Some(words),
                ..ExecConfig::default()
            };
            let awaited = Awaited { command, exec: OnceCell::new(), abandoned: &self.abandoned };
            let run = async |client: &bollard::Docker| run(client, id, config, &awaited.exec).await;
            let output = self.call(&call, READ, run).await?;
            awaited.end();
            Ok(output)
        })
    }
}

async fn run(
    client: &bollard::Docker,
    id: &ContainerId,
    config: ExecConfig,
    begun: &OnceCell<String>,
) -> Result<Output, Error> {
    let exec = client.create_exec(id.as_str(), config).await?;
    let exec = begun.get_or_init(|| exec.id);
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let started = match client.start_exec(exec, None).await {
        Ok(started) => started,
        // Some engines refuse to start what is not there, others start it and let it end with 127.
        Err(Error::DockerResponseServerError { message, .. })
            if message.contains("executable file not found") =>
        {
            return Ok(Output { stderr: message, code: 127, ..Output::default() });
        }
        Err(error) => return Err(error),
    };
    if let StartExecResults::Attached { mut output, .. } = started {
        while let Some(part) = output.try_next().await? {
            match part {
                LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
                other => stdout.extend_from_slice(other.as_ref()),
            }
        }
    }
    let ended = client.inspect_exec(exec).await?;
    Ok(Output {
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        code: ended.exit_code.unwrap_or(0),
    })
}
