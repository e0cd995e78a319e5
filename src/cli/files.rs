//! From the command line's options to loaded stacks.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::FileArgs;
use super::screen::Screen;
use crate::compose::errors::Diagnostic;
use crate::compose::{DiskFiles, FileError, FileView, MAX_FILE_BYTES};
use crate::compose::{LoadOptions, Project};
use crate::core::ids::ServiceName;
use crate::stack::{self, Loaded, Stack};

/// The loader's options, with the process's environment and directory in them.
pub fn options(args: &FileArgs) -> anyhow::Result<LoadOptions> {
    let working_dir = current_dir()?;
    Ok(LoadOptions {
        files: args.files.clone(),
        project_name: args.project_name.clone(),
        project_directory: args.project_directory.clone(),
        env_files: args.env_files.clone(),
        profiles: args.profiles.clone(),
        environment: environment(),
        working_dir,
    })
}

/// The current directory, by the name that the shell knows it under: through a symbolic link there are two, and
/// Compose takes that one for its labels and for what is mounted from there.
fn current_dir() -> anyhow::Result<PathBuf> {
    let real = std::env::current_dir().context("the current directory cannot be found")?;
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let same = |path: &PathBuf| path.canonicalize().is_ok_and(|path| path == real);
    Ok(named.filter(same).unwrap_or(real))
}

/// The process's environment. A variable that is not text cannot be meant by any `${…}`.
pub fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Checks that each of these is a service of one of the stacks.
pub fn known_services(stacks: &[Stack], names: &[String]) -> anyhow::Result<()> {
    let mut known: Vec<&str> =
        stacks.iter().flat_map(|stack| stack.desired.services.keys().map(ServiceName::as_str)).collect();
    for name in names {
        if !known.contains(&name.as_str()) {
            known.sort_unstable();
            anyhow::bail!("there is no service `{name}`; known here: {}", known.join(", "));
        }
    }
    Ok(())
}

/// Loads everything that the options name, sound or not.
pub fn load(args: &FileArgs) -> anyhow::Result<Loaded> {
    let options = options(args)?;
    Ok(stack::load(&options, &NearFiles::new(&options.working_dir)))
}

/// Loads the stacks, all of them sound, and tells their warnings.
pub fn stacks(args: &FileArgs, screen: &mut Screen) -> anyhow::Result<Vec<Stack>> {
    told(load(args)?, screen)
}

/// The same, with those that no profile selects a service of.
pub fn stacks_even_idle(args: &FileArgs, screen: &mut Screen) -> anyhow::Result<Vec<Stack>> {
    told(load(args)?.even_idle(), screen)
}

fn told(loaded: Loaded, screen: &mut Screen) -> anyhow::Result<Vec<Stack>> {
    let stacks = loaded.all()?;
    for warning in stacks.iter().flat_map(|stack| &stack.warnings) {
        warn(warning, screen);
    }
    Ok(stacks)
}

/// Loads the one Compose project that is meant.
pub fn project(args: &FileArgs) -> anyhow::Result<Project> {
    let options = options(args)?;
    let mut projects = stack::load_projects(&options, &NearFiles::new(&options.working_dir))?;
    match (projects.pop(), projects.is_empty()) {
        (Some(project), true) => Ok(project),
        (Some(last), false) => {
            let names: Vec<&str> =
                projects.iter().chain([&last]).map(|project| project.name.as_str()).collect();
            anyhow::bail!("there are several stacks; choose one with -p: {}", names.join(", "))
        }
        (None, _) => anyhow::bail!("there is no stack"),
    }
}

/// One warning with its place and the way out.
pub fn warn(warning: &Diagnostic, screen: &mut Screen) {
    screen.warning(warning.headline());
    if let Some(help) = &warning.help {
        screen.note(format_args!("  = help: {help}"));
    }
}

/// The disk, with paths shown as a person in the current directory would write them.
#[derive(Debug)]
pub(super) struct NearFiles {
    working_dir: PathBuf,
    /// What came in on standard input, once it was asked for (`-f -`).
    stdin: OnceCell<Result<Vec<u8>, FileError>>,
}

impl NearFiles {
    fn new(working_dir: &Path) -> Self {
        Self { working_dir: working_dir.to_owned(), stdin: OnceCell::new() }
    }

    /// Seen from where the process is.
    pub(super) fn here() -> anyhow::Result<Self> {
        Ok(Self::new(&current_dir()?))
    }
}

fn read_stdin() -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| FileError::Unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES { Err(FileError::TooLarge) } else { Ok(bytes) }
}

impl FileView for NearFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if path == Path::new("-") {
            return self.stdin.get_or_init(read_stdin).clone();
        }
        DiskFiles.read(path)
    }

    fn is_file(&self, path: &Path) -> bool {
        DiskFiles.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        DiskFiles.is_dir(path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        DiskFiles.list(directory)
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        DiskFiles.link_target(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.working_dir) {
            Ok(near) if near.as_os_str().is_empty() => PathBuf::from("."),
            Ok(near) => near.to_owned(),
            Err(_) => path.to_owned(),
        }
    }
}
