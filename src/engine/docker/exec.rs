//! A command in a running container.

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::TryStreamExt;

use super::Docker;
use super::client::READ;
use crate::core::ids::ContainerId;
use crate::engine::Answer;
use crate::live::{Output, RunIn};

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
            let config = ExecConfig {
                attach_stdout: Some(true),
                attach_stderr: Some(true),
                env: Some(environment),
                cmd: Some(command.iter().map(|word| (*word).to_owned()).collect()),
                ..ExecConfig::default()
            };
            self.call(&call, READ, async |client| run(client, id, config).await).await
        })
    }
}

async fn run(client: &bollard::Docker, id: &ContainerId, config: ExecConfig) -> Result<Output, Error> {
    let exec = client.create_exec(id.as_str(), config).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let started = match client.start_exec(&exec.id, None).await {
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
    let ended = client.inspect_exec(&exec.id).await?;
    Ok(Output {
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
        code: ended.exit_code.unwrap_or(0),
    })
}
