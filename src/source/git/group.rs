//! A program and all that it starts, as a group of processes: git leaves ssh behind where it alone is killed.

use std::io;
use std::process::{Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;

/// Runs a command to its end, and gives what it said. Where it is not waited for any more, all of its group is killed.
pub(super) async fn output(command: Command) -> io::Result<Output> {
    let mut command = tokio::process::Command::from(command);
    command.process_group(0).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group { leader: command.spawn()? };
    let (stdout, stderr) = (group.leader.stdout.take(), group.leader.stderr.take());
    let (stdout, stderr) = tokio::try_join!(all_of(stdout), all_of(stderr))?;
    // Not before: as long as it is not waited for, its number is that of the group and of nobody else.
    let status = group.leader.wait().await?;
    Ok(Output { status, stdout, stderr })
}

/// A program that leads a group.
struct Group {
    leader: Child,
}

impl Drop for Group {
    fn drop(&mut self) {
        // One that has been waited for has no number any more.
        let number = self.leader.id().and_then(|number| i32::try_from(number).ok());
        if let Some(group) = number.and_then(Pid::from_raw) {
            // A group that has ended by itself is as good.
            _ = kill_process_group(group, Signal::KILL);
        }
    }
}

async fn all_of(said: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(mut said) = said {
        said.read_to_end(&mut all).await?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::{Path, PathBuf};

    use super::*;

    /// A program that waits for another one, which holds a pipe as ssh holds a connection.
    struct Hanging {
        directory: tempfile::TempDir,
    }

    impl Hanging {
        fn new() -> Self {
            let hanging = Self { directory: tempfile::tempdir().unwrap() };
            assert!(Command::new("mkfifo").arg(hanging.pipe()).status().unwrap().success());
            hanging
        }

        fn pipe(&self) -> PathBuf {
            self.directory.path().join("pipe")
        }

        fn command(&self) -> Command {
            let child = "exec >\"$0\"; echo begun; sleep 20; echo 'still there'";
            let mut command = Command::new("sh");
            // The command behind it keeps the shell from becoming its child.
            command.args(["-c", &format!("sh -c '{}' \"$0\"; true", child.replace('\'', "'\\''"))]);
            command.arg(self.pipe()).stdin(Stdio::null());
            command
        }
    }

    /// What is written to a pipe: one line, or until nobody holds it any more.
    async fn read(pipe: &Path, line: bool) -> (String, std::fs::File) {
        let pipe = pipe.to_owned();
        tokio::task::spawn_blocking(move || rest(std::fs::File::open(pipe).unwrap(), line)).await.unwrap()
    }

    fn rest(mut pipe: std::fs::File, line: bool) -> (String, std::fs::File) {
        let (mut text, mut byte) = (String::new(), [0]);
        while !(line && text.ends_with('\n')) && pipe.read(&mut byte).unwrap() == 1 {
            text.push(char::from(byte[0]));
        }
        (text, pipe)
    }

    #[tokio::test]
    async fn what_a_program_has_started_goes_with_it_when_nobody_waits_any_more() {
        let hanging = Hanging::new();
        let pipe = hanging.pipe();
        let (begun, pipe) = tokio::select! {
            ended = output(hanging.command()) => panic!("{ended:?}"),
            begun = read(&pipe, true) => begun,
        };
        assert_eq!(begun, "begun\n");
        let (later, _) = rest(pipe, false);
        assert_eq!(later, "", "it was not killed");
    }

    /// Time goes on by itself when nobody does anything but wait: as soon as the line has been read.
    #[tokio::test(start_paused = true)]
    async fn what_a_program_has_started_goes_with_it_when_its_time_is_over() {
        let hanging = Hanging::new();
        let begun = tokio::spawn({
            let pipe = hanging.pipe();
            async move { read(&pipe, true).await }
        });
        let timeout = std::time::Duration::from_secs(30);
        assert!(tokio::time::timeout(timeout, output(hanging.command())).await.is_err());
        let (begun, pipe) = begun.await.unwrap();
        assert_eq!(begun, "begun\n");
        let (later, _) = rest(pipe, false);
        assert_eq!(later, "", "it was not killed");
    }

    #[tokio::test]
    async fn what_a_program_says_and_how_it_ends_is_known() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let Output { status, stdout, stderr } = output(command).await.unwrap();
        assert_eq!((status.code(), &*stdout, &*stderr), (Some(3), &b"out\n"[..], &b"err\n"[..]));
        let error = output(Command::new("/nowhere/at/all")).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
