//! From the command line's options to loaded stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;

use super::args::FileArgs;
use super::host;
use super::render::shown;
use super::screen::Screen;
use super::standing;
use crate::compose::errors::{Diagnostic, Diagnostics};
use crate::compose::{
    DiskFiles, FileError, FileView, LoadOptions, Project, clean, given_name, read_to_bound,
};
use crate::core::ids::{ServiceName, StackName};
use crate::core::overrides::lay_over;
use crate::core::trust::{Level, Trust};
use crate::source::overlaid::overlay;
use crate::stack::{self, Loaded, Stack};
use crate::store::overrides::Overlays;

/// The loader's options, with the process's environment and directory in them.
pub fn options(args: &FileArgs) -> anyhow::Result<LoadOptions> {
    let working_dir = current_dir()?;
    Ok(LoadOptions {
        files: args.files.clone(),
        project_name: args.project_name.clone(),
        // Scripts pass variables that may be empty.
        project_directory: args.project_directory.clone().filter(|path| !path.as_os_str().is_empty()),
        env_files: args.env_files.clone(),
        values: BTreeMap::new(),
        profiles: args.profiles.clone(),
        services: Vec::new(),
        jobs: Vec::new(),
        without_env_files: false,
        environment: environment(),
        trust: trust(args.policy.unwrap_or_default(), &args.files, &working_dir),
        host: host::secrets(args, &working_dir),
        working_dir,
    })
}

/// How far files are trusted, and the directory that they may not lead out of: the git checkout that the first of them is
/// in, else its own directory.
pub(super) fn trust(level: Level, files: &[PathBuf], working_dir: &Path) -> Trust {
    let first = files.first().filter(|file| file.as_os_str() != STDIN);
    let path = first.map_or_else(|| working_dir.to_owned(), |file| clean(&working_dir.join(file)));
    let directory = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(working_dir) };
    let checkout = directory.ancestors().find(|above| above.join(".git").exists());
    Trust { level, root: Some(checkout.unwrap_or(directory).to_owned()) }
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
        .filter(|(name, _)| !host::is_secret(name))
        .collect()
}

/// Checks that each of these is a service of one of the stacks.
pub fn known_services(stacks: &[Stack], names: &[String]) -> anyhow::Result<()> {
    let known: BTreeSet<&str> =
        stacks.iter().flat_map(|stack| stack.desired.services.keys().map(ServiceName::as_str)).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) {
        let nearest = stack::nearest(name, known.iter().copied());
        let meant = nearest.map(|name| format!("did you mean `{name}`? ")).unwrap_or_default();
        let known: Vec<&str> = known.into_iter().collect();
        anyhow::bail!("there is no service `{name}`; {meant}known here: {}", known.join(", "));
    }
    Ok(())
}

/// Checks that none of these is a service of several stacks: a word that changes what runs is of one.
pub fn unambiguous(stacks: &[Stack], names: &[String]) -> anyhow::Result<()> {
    for name in names {
        let of = stacks.iter().filter(|stack| stack.desired.services.contains_key(name.as_str()));
        let of: Vec<&str> = of.map(|stack| stack.desired.stack.as_str()).collect();
        anyhow::ensure!(of.len() < 2, "`{name}` is a service of {}; choose one with -p", of.join(" and of "));
    }
    Ok(())
}

/// Whether there is anything to load: files that are named, or that are near.
pub fn are_near(args: &FileArgs) -> anyhow::Result<bool> {
    let options = options(args)?;
    Ok(stack::has_files(&options, &NearFiles::given(&options)))
}

/// A stack that is known by its name alone.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub stack: StackName,
    /// What sound manifests near, all of others, say of that name; nothing where there are none.
    pub unknown: Option<Diagnostics>,
}

/// The stack that `-p` names where no files are its: none given nor near, or near only manifests of others.
pub fn name_alone(args: &FileArgs) -> anyhow::Result<Option<Named>> {
    let options = options(args)?;
    let near = NearFiles::given(&options);
    let unknown = if stack::has_files(&options, &near) {
        if !are_of_others(&options, &near) {
            return Ok(None);
        }
        load(args)?.all().err()
    } else {
        None
    };
    let name = given_name(&options, &BTreeMap::new()).map_err(|fault| Diagnostics { faults: vec![fault] })?;
    Ok(name.map(|name| Named { stack: StackName::from(name.as_str()), unknown }))
}

/// Whether the files that are near are sound manifests, and none of the stack that `-p` names.
fn are_of_others(options: &LoadOptions, near: &NearFiles) -> bool {
    let Some(wanted) = options.project_name.as_deref().filter(|_| options.files.is_empty()) else {
        return false;
    };
    let all = LoadOptions { project_name: None, ..options.clone() };
    let is_other = |stack: &Stack| stack.manifest.is_some() && stack.desired.stack.as_str() != wanted;
    stack::load(&all, near).even_idle().all().is_ok_and(|stacks| stacks.iter().all(is_other))
}

/// A stack that is meant, and which of its services: all where none is named.
#[derive(Debug)]
pub struct Meant {
    /// The stack.
    pub stack: StackName,
    /// The services that were named and are its own.
    pub services: Vec<ServiceName>,
}

/// The stacks of the files, those that have any of the services where some are named; the one that `-p` names, where the
/// files do not load, or where it was looked after once. With all that was loaded for it, sound or not.
pub fn meant(args: &FileArgs, services: &[String]) -> anyhow::Result<(Vec<Meant>, Loaded)> {
    let loaded = load(args)?.even_idle();
    let by_name = |stack: StackName| -> anyhow::Result<Vec<Meant>> {
        let services = standing::own_services(&stack, services)?;
        Ok(vec![Meant { stack, services }])
    };
    if let Some(Named { stack, unknown }) = name_alone(args)? {
        return match unknown {
            Some(unknown) if !standing::knows(&stack) => Err(unknown.into()),
            _ => Ok((by_name(stack)?, loaded)),
        };
    }
    if let Some(name) = args.project_name.as_deref().map(StackName::from)
        && !loaded.faults.is_empty()
        && standing::knows(&name)
    {
        return Ok((by_name(name)?, loaded));
    }
    if !loaded.faults.is_empty() {
        return Err(Diagnostics { faults: loaded.faults }.into());
    }
    known_services(&loaded.stacks, services)?;
    let of_stack = |stack: &Stack| {
        let own = services.iter().map(|name| ServiceName::from(name.as_str()));
        let own: Vec<ServiceName> = own.filter(|name| stack.desired.services.contains_key(name)).collect();
        (services.is_empty() || !own.is_empty())
            .then(|| Meant { stack: stack.desired.stack.clone(), services: own })
    };
    Ok((loaded.stacks.iter().filter_map(of_stack).collect(), loaded))
}

/// Loads everything that the options name, sound or not, with what people laid over it.
pub fn load(args: &FileArgs) -> anyhow::Result<Loaded> {
    let options = options(args)?;
    Ok(load_with(&options, &NearFiles::given(&options)))
}

fn load_with(options: &LoadOptions, near: &NearFiles) -> Loaded {
    let mut loaded = stack::load(options, near);
    overlay_now(&mut loaded);
    loaded
}

/// Lays over what was loaded what people have said.
pub(super) fn overlay_now(loaded: &mut Loaded) {
    overlay(loaded, &Overlays::new(&standing::directory()), &mut BTreeMap::new());
    let now = standing::now();
    loaded.stacks.iter_mut().for_each(|stack| lay_over(&mut stack.desired, now));
}

/// Loads the stacks of options that were written down in another place perhaps, and tells their warnings; with the files
/// that were read for it, each with how a person here writes its path.
pub(super) fn stacks_of(
    options: &LoadOptions,
    screen: &mut Screen,
) -> anyhow::Result<(Vec<Stack>, BTreeMap<PathBuf, PathBuf>)> {
    let near = NearFiles { working_dir: current_dir()?, ..NearFiles::given(options) };
    let loaded = load_with(options, &near);
    let read = loaded.dependencies.files.iter().map(|path| (path.clone(), near.display(path))).collect();
    Ok((told(loaded, screen)?, read))
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
    for warning in &loaded.warnings {
        warn(warning, screen);
    }
    let stacks = loaded.all()?;
    for warning in stacks.iter().flat_map(|stack| &stack.warnings) {
        warn(warning, screen);
    }
    Ok(stacks)
}

/// Loads the one Compose project that is meant.
pub fn project(options: &LoadOptions) -> anyhow::Result<Project> {
    let mut projects = stack::load_projects(options, &NearFiles::given(options))?;
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
        screen.note(format_args!("  = help: {}", shown(help)));
    }
}

/// The disk, with paths shown as a person in the current directory would write them.
#[derive(Debug)]
pub(super) struct NearFiles {
    working_dir: PathBuf,
    /// What the command line names: only there is a pipe meant. One that a Compose file names could keep a daemon
    /// waiting for ever.
    given: Vec<PathBuf>,
}

/// What came out of pipes (`-f -`, `--env-file <(…)`): each can be read once only in a process's life.
static STREAMS: Mutex<BTreeMap<PathBuf, Result<Vec<u8>, FileError>>> = Mutex::new(BTreeMap::new());

impl NearFiles {
    /// With the pipes that the options name.
    pub(super) fn given(options: &LoadOptions) -> Self {
        let named = options.files.iter().chain(&options.env_files).chain(&options.host.identities);
        Self {
            given: named.map(|path| clean(&options.working_dir.join(path))).collect(),
            working_dir: options.working_dir.clone(),
        }
    }

    /// Seen from where the process is.
    pub(super) fn here() -> anyhow::Result<Self> {
        Ok(Self::given(&LoadOptions { working_dir: current_dir()?, ..LoadOptions::default() }))
    }

    /// Whether it can be read once only.
    pub(super) fn is_stream(&self, path: &Path) -> bool {
        path == Path::new(STDIN)
            || self.given.iter().any(|given| given == path)
                && std::fs::metadata(path).is_ok_and(|data| data.file_type().is_fifo())
    }
}

/// The standard input, as `-f` names it.
const STDIN: &str = "-";

fn read_stream(path: &Path) -> Result<Vec<u8>, FileError> {
    if path == Path::new(STDIN) {
        return read_to_bound(std::io::stdin());
    }
    read_to_bound(std::fs::File::open(path).map_err(|error| FileError::Unreadable(error.to_string()))?)
}

impl FileView for NearFiles {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if !self.is_stream(path) {
            return DiskFiles.read(path);
        }
        let mut streams = STREAMS.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(path.to_owned()).or_insert_with(|| read_stream(path)).clone()
    }

    fn is_file(&self, path: &Path) -> bool {
        DiskFiles.is_file(path) || self.is_stream(path)
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

    fn identity(&self, path: &Path) -> Option<String> {
        DiskFiles.identity(path)
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        DiskFiles.leads_to(path)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        DiskFiles.is_open_to_all(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.working_dir) {
            Ok(near) if near.as_os_str().is_empty() => PathBuf::from("."),
            Ok(near) => near.to_owned(),
            Err(_) => path.to_owned(),
        }
    }
}
