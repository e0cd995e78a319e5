//! Hooks: a command in a running container, as Compose runs it, with the last of what it says.

use std::time::Duration;

use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::TryStreamExt;

use super::Docker;
use crate::core::failure::{Failure, FailureKind};
use crate::core::hooks::Hook;
use crate::core::ids::ContainerId;
use crate::core::limits;
use crate::secret::{HIDDEN, Secret};

/// Bytes of a hook's output that are kept: far more than the lines that are shown.
const KEPT: usize = 16 * 1024;

/// A value as short as this is found everywhere: hiding it would hide nothing.
const SHORTEST_SECRET: usize = 4;

pub(super) async fn run(docker: &Docker, id: &ContainerId, hook: &Hook) -> Result<(), Failure> {
    let call = format!("run {} in container {}", hook.place(), id.short());
    let (code, output) =
        match docker.attempt(&call, limits::HOOK, async |client| exec(client, id, hook).await).await {
            Ok(ended) => ended.map_err(|error| docker.failure(&call, &error))?,
            Err(failure) if failure.kind == FailureKind::Timeout => return Err(endless(&call, limits::HOOK)),
            Err(failure) => return Err(failure),
        };
    if code == 0 {
        return Ok(());
    }
    let said = last_lines(&output, &hook.environment);
    let message = if said.is_empty() {
        format!("it exited with code {code} and said nothing")
    } else {
        format!("it exited with code {code}: {said}")
    };
    Err(Failure::new(FailureKind::HookFailed, call, message))
}

fn endless(call: &str, limit: Duration) -> Failure {
    let message = format!("it did not end within {} s, and may still run", limit.as_secs());
    Failure::new(FailureKind::HookFailed, call, message)
}

async fn exec(client: &bollard::Docker, id: &ContainerId, hook: &Hook) -> Result<(i64, Vec<u8>), Error> {
    let config = ExecConfig {
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        user: hook.user.clone(),
        privileged: Some(hook.privileged),
        working_dir: hook.working_dir.clone(),
        env: Some(hook.environment.iter().map(|value| value.expose().to_owned()).collect()),
        cmd: Some(hook.command.clone()),
        ..ExecConfig::default()
    };
    let exec = client.create_exec(id.as_str(), config).await?;
    let mut output = Vec::new();
    let started = match client.start_exec(&exec.id, None).await {
        Ok(started) => started,
        // Some engines refuse to start what is not there, others start it and let it end with 126 or 127.
        Err(Error::DockerResponseServerError { status_code: 400 | 500, message }) => {
            return Ok((127, message.into_bytes()));
        }
        Err(error) => return Err(error),
    };
    if let StartExecResults::Attached { output: mut stream, .. } = started {
        while let Some(part) = stream.try_next().await? {
            output.extend_from_slice(part.as_ref());
            output.drain(..output.len().saturating_sub(KEPT));
        }
    }
    let ended = client.inspect_exec(&exec.id).await?;
    Ok((ended.exit_code.unwrap_or(0), output))
}

/// The last lines of what it said, in one, without the values that it was given.
fn last_lines(output: &[u8], environment: &[Secret]) -> String {
    let mut text = String::from_utf8_lossy(output).into_owned();
    for value in environment {
        let value = value.expose().split_once('=').map_or("", |(_, value)| value);
        if value.len() >= SHORTEST_SECRET {
            text = text.replace(value, HIDDEN);
        }
    }
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(limits::HOOK_LINES);
    lines.get(first..).unwrap_or_default().join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_told_without_what_was_given() {
        let output: Vec<String> = (1..=7).map(|n| format!("line {n}")).collect();
        let output = format!("{}\n\n  token canary \n", output.join("\n"));
        let environment = [Secret::new("TOKEN=canary"), Secret::new("N=7")];
        assert_eq!(
            last_lines(output.as_bytes(), &environment),
            "line 4 / line 5 / line 6 / line 7 / token (hidden)"
        );
        assert_eq!(last_lines(b"", &[]), "");
    }
}
