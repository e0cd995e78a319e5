//! Which files a project is made of, with which variables and under which name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::dotenv::{self, Variables};
use super::encrypted::Opened;
use super::errors::{Diagnostic, Diagnostics, Faults, Result};
use super::files::{FileView, Recorder, clean, parent};
use super::interpolate::Interpolator;
use super::options::LoadOptions;
use super::secrets::{self, Secrets};
use crate::core::ids::normalised_name;

/// The usual names of the base file, the best first.
const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// The usual names of the override.
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// What a project is made of.
#[derive(Debug)]
pub(crate) struct Setup {
    /// The Compose files, absolute.
    pub(crate) files: Vec<PathBuf>,
    /// The project directory, absolute.
    pub(crate) directory: PathBuf,
    /// The env files that were asked for, absolute.
    pub(crate) env_files: Vec<PathBuf>,
    /// The variables of the process and of the env files.
    pub(crate) environment: BTreeMap<String, String>,
    /// The enabled profiles.
    pub(crate) profiles: Vec<String>,
}

/// Finds out what a project is made of.
pub(crate) fn find(
    options: &LoadOptions,
    files: &mut Recorder<'_>,
    interpolator: &mut Interpolator<'_>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Setup, Diagnostics> {
    let absolute = |path: &PathBuf| absolute(&options.working_dir, path);
    let identities = options.host.identities.iter();
    let dubious = identities.filter_map(|path| secrets::warning("an age identity", path, files.view()));
    warnings.extend(dubious.map(Diagnostic::new));
    let mut environment = options.environment.clone();
    let here = || options.working_dir.to_string_lossy().into_owned();
    environment.entry("PWD".to_owned()).or_insert_with(here);
    let mut compose_files: Vec<PathBuf> = options.files.iter().map(absolute).collect();
    let placed = |files: &[PathBuf]| files.iter().find(|path| !is_stdin(path)).cloned();
    let directory = |compose_files: &[PathBuf]| match (&options.project_directory, placed(compose_files)) {
        (Some(directory), _) => absolute(directory),
        (None, Some(first)) => parent(&first),
        (None, None) => clean(&options.working_dir),
    };
    // What an env file says to Compose itself counts even when it says that there is none.
    let mut told = environment.clone();
    let env_files = requested_env_files(options, &environment)?;
    read_env_files(&env_files, &directory(&compose_files), &mut told, files, interpolator)?;
    for (name, value) in told.into_iter().filter(|(name, _)| name.starts_with("COMPOSE_")) {
        environment.entry(name).or_insert(value);
    }
    let env_files = requested_env_files(options, &environment)?;
    // Twice: the env file may say which files there are, and these where the project is.
    read_env_files(&env_files, &directory(&compose_files), &mut environment, files, interpolator)?;
    if compose_files.is_empty() {
        compose_files = from_variable(&environment, &options.working_dir);
    }
    if compose_files.is_empty() {
        compose_files = discover(&directory(&[]), files, warnings)?;
    }
    let directory = directory(&compose_files);
    read_env_files(&env_files, &directory, &mut environment, files, interpolator)?;
    for (name, value) in &options.values {
        environment.entry(name.clone()).or_insert_with(|| value.clone());
    }
    let profiles = profiles(options, &environment);
    let env_files = match &env_files {
        EnvFiles::Given(given) => given.clone(),
        EnvFiles::Usual | EnvFiles::Off => Vec::new(),
    };
    Ok(Setup { files: compose_files, directory, env_files, environment, profiles })
}

/// What reads the files of a project, and what expands the texts in them.
pub(crate) fn readers<'a>(
    options: &'a LoadOptions,
    files: &'a dyn FileView,
) -> (Recorder<'a>, Interpolator<'a>) {
    let secrets = Secrets::new(&options.host, files);
    (Recorder::new(files, &options.host.identities), Interpolator::new(secrets))
}

/// Whether `COMPOSE_FILE` says which files there are: in the environment, or in an env file that is read for it.
pub(crate) fn names_files(options: &LoadOptions, files: &dyn FileView) -> bool {
    let mut environment = options.environment.clone();
    let directory = options
        .project_directory
        .as_ref()
        .map_or_else(|| options.working_dir.clone(), |directory| absolute(&options.working_dir, directory));
    let (mut files, mut interpolator) = readers(options, files);
    // What cannot be read is told by whoever loads.
    let _ = requested_env_files(options, &environment).map(|env_files| {
        read_env_files(&env_files, &directory, &mut environment, &mut files, &mut interpolator)
    });
    environment.get("COMPOSE_FILE").is_some_and(|list| !list.is_empty())
}

/// Which env files are read.
enum EnvFiles {
    /// `.env` of the project directory.
    Usual,
    /// None.
    Off,
    /// These.
    Given(Vec<PathBuf>),
}

/// The standard input, among Compose files.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// A path from the working directory; the standard input has none.
fn absolute(working_dir: &Path, path: &Path) -> PathBuf {
    if is_stdin(path) { path.to_owned() } else { clean(&working_dir.join(path)) }
}

fn requested_env_files(options: &LoadOptions, environment: &BTreeMap<String, String>) -> Result<EnvFiles> {
    let absolute = |path: &Path| clean(&options.working_dir.join(path));
    if !options.env_files.is_empty() {
        return Ok(EnvFiles::Given(options.env_files.iter().map(|path| absolute(path)).collect()));
    }
    let list = options.environment.get("COMPOSE_ENV_FILES").map(String::as_str).unwrap_or_default();
    let listed: Vec<PathBuf> =
        list.split(',').filter(|path| !path.is_empty()).map(|path| absolute(Path::new(path))).collect();
    if !listed.is_empty() {
        return Ok(EnvFiles::Given(listed));
    }
    let Some(word) = environment.get("COMPOSE_DISABLE_ENV_FILE") else { return Ok(EnvFiles::Usual) };
    match parse_bool(word) {
        Some(false) => Ok(EnvFiles::Usual),
        Some(true) => Ok(EnvFiles::Off),
        None => Err(Diagnostic::new(format!("COMPOSE_DISABLE_ENV_FILE is not a boolean: {word}"))
            .help("set it to true or false")),
    }
}

/// A boolean as Go's `strconv.ParseBool` reads one, and with it Compose and the Docker CLI in their variables.
pub(crate) fn parse_bool(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn read_env_files(
    env_files: &EnvFiles,
    directory: &Path,
    environment: &mut BTreeMap<String, String>,
    files: &mut Recorder<'_>,
    interpolator: &mut Interpolator<'_>,
) -> Result<(), Diagnostics> {
    let paths = match env_files {
        EnvFiles::Off => return Ok(()),
        EnvFiles::Given(paths) => paths.clone(),
        EnvFiles::Usual => {
            let usual = directory.join(".env");
            if files.is_file(&usual) { vec![usual] } else { return Ok(()) }
        }
    };
    let found = read_variables(&paths, environment, files, interpolator)?;
    for (name, value) in found {
        environment.entry(name).or_insert(value);
    }
    Ok(())
}

/// Reads env files one after the other: later ones win, and see the variables of the earlier.
pub(crate) fn read_variables(
    paths: &[PathBuf],
    environment: &BTreeMap<String, String>,
    files: &mut Recorder<'_>,
    interpolator: &mut Interpolator<'_>,
) -> Result<Variables, Diagnostics> {
    let mut found = Variables::new();
    let mut faults = Faults::default();
    for path in paths {
        let opened = files.open(path).map_err(|error| files.refusal(path, "env file", &error));
        let Some(opened) = faults.keep(opened) else { continue };
        let shown = files.display(path);
        let lookup = |name: &str| environment.get(name).cloned();
        let before = found.clone();
        faults.keep(dotenv::parse(&shown, opened.bytes(), &lookup, interpolator, &mut found));
        if let Opened::Secret(_) = opened {
            let is_of_it = |(name, value): &(&String, &String)| before.get(*name) != Some(value);
            found.iter().filter(is_of_it).for_each(|(name, _)| interpolator.seal(name));
            interpolator.hide(&found, &before);
        }
    }
    faults.gathered().map(|()| found)
}

/// The files that `COMPOSE_FILE` lists.
fn from_variable(environment: &BTreeMap<String, String>, working_dir: &Path) -> Vec<PathBuf> {
    let Some(list) = environment.get("COMPOSE_FILE") else { return Vec::new() };
    let separator = environment.get("COMPOSE_PATH_SEPARATOR").filter(|text| !text.is_empty());
    list.split(separator.map_or(":", String::as_str))
        .map(|path| absolute(working_dir, Path::new(path)))
        .collect()
}

/// Looks for the usual names in a directory and those above it.
fn discover(start: &Path, files: &mut Recorder<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Vec<PathBuf>> {
    for directory in start.ancestors() {
        let found = existing(&FILE_NAMES, directory, files);
        let Some(base) = found.first() else { continue };
        warn_of_several(&found, files, warnings);
        let overrides = existing(&OVERRIDE_NAMES, directory, files);
        warn_of_several(&overrides, files, warnings);
        return Ok(std::iter::once(base).chain(overrides.first()).cloned().collect());
    }
    let names = FILE_NAMES.join(", ");
    Err(Diagnostic::new(format!("no configuration file provided: not found in {}", start.display()))
        .help(format!("make one of these, or name the files: {names}")))
}

fn existing(names: &[&str], directory: &Path, files: &mut Recorder<'_>) -> Vec<PathBuf> {
    names.iter().map(|name| directory.join(name)).filter(|path| files.is_file(path)).collect()
}

fn warn_of_several(found: &[PathBuf], files: &Recorder<'_>, warnings: &mut Vec<Diagnostic>) {
    if let [first, _, ..] = found {
        let all: Vec<String> = found.iter().map(|path| files.display(path).display().to_string()).collect();
        let message = format!("Found multiple config files with supported names: {}", all.join(", "));
        warnings.push(Diagnostic::new(message));
        warnings.push(Diagnostic::new(format!("Using {}", files.display(first).display())));
    }
}

/// Without any, there is the empty profile: the reference enables what is in that one.
fn profiles(options: &LoadOptions, environment: &BTreeMap<String, String>) -> Vec<String> {
    if !options.profiles.is_empty() {
        return options.profiles.clone();
    }
    let list = environment.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    list.split(',').map(|profile| profile.trim().to_owned()).collect()
}

/// The name of a project that was given from outside, if any: by option, or by variable.
pub(crate) fn given_name(
    options: &LoadOptions,
    environment: &BTreeMap<String, String>,
) -> Result<Option<String>> {
    let variable = environment.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
    let Some(name) = options.project_name.as_ref().filter(|name| !name.is_empty()).or(variable) else {
        return Ok(None);
    };
    if normalised_name(name) != *name {
        let message = format!(
            "invalid project name \"{name}\": must consist only of lowercase alphanumeric characters, \
             hyphens, and underscores as well as start with a letter or number"
        );
        return Err(Diagnostic::new(message).help(format!("use: {}", normalised_name(name))));
    }
    Ok(Some(name.clone()))
}
