//! What is in the files of the host that a service's containers read.
//!
//! Files of which a container is only ever a reader: `configs` and `secrets` with `file:`, which are mounted read-only, and
//! single files of `volumes` that are. What a container may write is its data: to replace it for what it has written would
//! never end. Nor is that the stack's which the system keeps: its logs, its clock, its users.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Source;
use super::mounts::target;
use crate::compose::FileError;
use crate::core::content::{Content, FileContent, OnChange};
use crate::stack::faults::Findings;
use crate::stack::manifest::OnContentChange;

/// Directories in which every program and every update writes: what is mounted from them is not of the stack, unless that
/// lies there itself.
const SYSTEM: &[&str] = &["/bin", "/boot", "/etc", "/lib", "/run", "/sbin", "/usr", "/var"];

/// Directories of what only looks like files.
const NEVER: &[&str] = &["/dev", "/proc", "/sys"];

/// Signals by which programs may read their files anew.
const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "USR1", "USR2", "ALRM", "CONT", "TTIN", "TTOU", "URG", "VTALRM", "PROF", "WINCH",
    "IO", "POLL", "PWR", "RTMIN", "RTMIN+1", "RTMIN+2", "RTMIN+3", "RTMIN+4", "RTMIN+5",
];

/// Signals that are for an end.
const FINAL: &[&str] = &["KILL", "STOP", "TERM", "9", "15", "19"];

/// Fingerprints that are kept: more files than this are not of one host's stacks.
const KEPT: usize = 4096;

thread_local! {
    /// They cost time by intention, and the same files are read again and again.
    static KNOWN: RefCell<HashMap<[u8; 32], String>> = RefCell::default();
}

/// The files of a service, as they are now.
pub(super) fn content(source: Source<'_>, findings: &mut Findings) -> Content {
    let on_change = on_change(source, findings);
    let mut content = Content { on_change, ..Content::default() };
    if content.on_change == OnChange::Ignore {
        return content;
    }
    let service = source.service;
    let model = &source.places.project.model;
    let secrets = service.secrets.iter().map(|it| ("secrets", it, &model.secrets));
    for (section, reference, objects) in
        secrets.chain(service.configs.iter().map(|it| ("configs", it, &model.configs)))
    {
        let Some(object) = objects.get(&reference.source) else { continue };
        let is_mounted = !object.external && object.content.is_empty() && object.environment.is_empty();
        if is_mounted && !object.file.is_empty() {
            add(&mut content, source, format!("{section}.{}", reference.source), Path::new(&object.file));
        }
    }
    for mount in service.volumes.iter().filter(|mount| mount.r#type == "bind") {
        let path = Path::new(&mount.source);
        let field = format!("volumes.{}", target(&mount.target));
        match why_not(source, path, mount.read_only) {
            // Whether it is a file at all is not asked: what does not count is not watched.
            Some(why) => drop(content.left_out.insert(field, why.to_owned())),
            None => add(&mut content, source, field, path),
        }
    }
    content
}

fn on_change(source: Source<'_>, findings: &mut Findings) -> OnChange {
    let mut refuse = |field: &str, message: String, help: &str| {
        let fault = source.places.in_overlay(source.name, &["onContentChange", field], message);
        findings.faults.push(fault.help(help));
    };
    match &source.overlay.on_content_change {
        None | Some(OnContentChange::Rolling) => OnChange::Rolling,
        Some(OnContentChange::Ignore) => OnChange::Ignore,
        Some(OnContentChange::Signal(signal)) => {
            let name = signal.strip_prefix("SIG").unwrap_or(signal);
            if FINAL.contains(&name) {
                let message = format!("`{signal}` ends what it is sent to");
                refuse(
                    "signal",
                    message,
                    "name a signal by which its program reads its files anew, such as SIGHUP, or write `rolling`",
                );
            } else if !SIGNALS.contains(&name)
                && !name.parse().is_ok_and(|number: u8| (1..=64).contains(&number))
            {
                refuse("signal", format!("`{signal}` is no signal"), "name one such as SIGHUP or SIGUSR1");
            }
            OnChange::Signal(signal.clone())
        }
        Some(OnContentChange::Exec(command)) => {
            if command.is_empty() {
                refuse(
                    "exec",
                    "a command without words".to_owned(),
                    "write it as a list: `[nginx, -s, reload]`",
                );
            }
            OnChange::Exec(command.clone())
        }
    }
}

/// Why a mounted file does not count, where it does not.
fn why_not(source: Source<'_>, path: &Path, read_only: bool) -> Option<&'static str> {
    let is_in = |directories: &[&str]| directories.iter().any(|directory| path.starts_with(directory));
    if !read_only {
        return Some("its containers may write it: mount it read-only (`:ro`)");
    }
    let is_of_project = path.starts_with(&source.places.project.working_dir);
    (is_in(SYSTEM) && !is_of_project).then_some("it is a file of the system")
}

/// Takes in a file, where it is one.
fn add(content: &mut Content, source: Source<'_>, field: String, path: &Path) {
    if NEVER.iter().any(|directory| path.starts_with(directory)) {
        return;
    }
    // Before its content: one that takes its place meanwhile is another, and is read at the next load.
    let identity = source.files.identity(path).unwrap_or_default();
    match source.files.read(path) {
        Ok(bytes) => {
            let salt = format!("{}/{}/{field}", source.places.project.name, source.name);
            content.files.insert(field, fingerprint(&salt, &bytes, identity));
        }
        // A directory, a socket; or it is being written anew at this moment, and its container has what it had.
        Err(FileError::NotAFile | FileError::Missing) => {}
        Err(error) => drop(content.left_out.insert(field, error.to_string())),
    }
}

fn fingerprint(salt: &str, content: &[u8], identity: String) -> FileContent {
    let key: [u8; 32] =
        Sha256::new().chain_update(salt).chain_update([0]).chain_update(content).finalize().into();
    KNOWN.with_borrow_mut(|known| {
        if let Some(fingerprint) = known.get(&key) {
            return FileContent { fingerprint: fingerprint.clone(), identity };
        }
        if known.len() >= KEPT {
            known.clear();
        }
        let made = FileContent::of(salt, content, identity);
        known.insert(key, made.fingerprint.clone());
        made
    })
}
