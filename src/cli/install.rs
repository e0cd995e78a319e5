//! `operator install`: `run` as a service of this machine, under systemd.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command as Process;

use anyhow::Context;
use clap::Args;

use super::args::Cli;
use super::exit::Exit;
use super::files;
use super::followed::{self, SourceArgs};
use super::screen::Screen;
use crate::compose::clean;
use crate::source::git::DEFAULT_INTERVAL;
use crate::source::git::address::Address;

/// What `operator install --help` says.
pub const LONG: &str = "Make `run` a service of this machine, under systemd.\n\n\
Writes a hardened unit that looks after the stacks that -f names (a directory, or files) or --source follows, enables it and starts it: \
after a reboot it is back before anybody looks. Said again with other files, it follows those. The files are loaded first: \
with anything wrong in them, nothing is installed. --remove takes the unit away and leaves the containers running.";

/// Arguments of `install`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  sudo operator install -f /etc/operator       all stacks of a directory
  operator install -f manifests/ --print       the unit, to look at
  sudo operator install --source /etc/compose-operator/sources.yaml
                                               what is committed to repositories
  sudo operator install --remove")]
pub struct InstallArgs {
    /// The repositories that are followed.
    #[command(flatten)]
    pub followed: SourceArgs,
    /// Print the unit and change nothing
    #[arg(long, conflicts_with = "remove")]
    pub print: bool,
    /// Stop the service and take its unit away
    #[arg(long)]
    pub remove: bool,
    /// Name of the unit
    #[arg(long, value_name = "NAME", default_value = "operator", value_parser = unit_name)]
    pub name: String,
    /// Install into a directory tree (an image) in place of this machine, and start nothing
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// The unit that is installed, also to read and to copy.
const UNIT: &str = include_str!("../../manifests/operator.service");

/// The line of it that says what runs.
const EXEC: &str = "ExecStart=/usr/local/bin/operator run -f /etc/operator --log-format json";

fn unit_name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix(".service").unwrap_or(text);
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(sound) {
        return Err(format!("`{text}` cannot be the name of a unit; use letters, digits, - and _"));
    }
    Ok(name.to_owned())
}

/// Installs, or takes away.
pub fn run(args: &InstallArgs, cli: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let service = Service::new(args);
    if args.remove {
        return remove(&service, screen);
    }
    // Bad files change nothing.
    let names = if args.followed.sources.is_empty() {
        let stacks = files::stacks(&cli.files, screen)?;
        stacks.into_iter().map(|stack| stack.desired.stack.to_string()).collect::<Vec<_>>()
    } else {
        let sources = followed::settings(&args.followed, &cli.files)?;
        sources.iter().map(|settings| settings.address.to_string()).collect()
    };
    let binary = std::env::current_exe().context("the path of this program is not known")?;
    let unit = unit(&binary, args, cli)?;
    if args.print {
        screen.bytes(unit.as_bytes())?;
        return Ok(Exit::Ok);
    }
    hidden_from_the_unit(&binary, args.root.is_some())?;
    let path = service.path();
    let before = fs::read_to_string(&path).ok();
    if before.as_deref() != Some(&unit) {
        service.write(&unit)?;
    }
    service.start(before.is_some_and(|before| before != unit))?;
    screen.line(format_args!("{}: looks after {}", path.display(), names.join(", ")))?;
    if args.root.is_none() {
        screen.note(format_args!(
            "`systemctl status {0}` and `operator status` show how it stands, `journalctl -u {0}` what it did",
            service.name
        ));
    }
    Ok(Exit::Ok)
}

fn remove(service: &Service<'_>, screen: &mut Screen) -> anyhow::Result<Exit> {
    let path = service.path();
    if !path.exists() {
        anyhow::bail!("{} is not there; nothing is installed under that name", path.display());
    }
    service.systemctl(&["disable", "--now"])?;
    let gone = |path: &Path| match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    };
    gone(&service.wanted_by())?;
    gone(&path)?;
    service.reload()?;
    screen.line(format_args!("{}: removed; containers keep running", path.display()))?;
    Ok(Exit::Ok)
}

/// The unit for these files.
fn unit(binary: &Path, args: &InstallArgs, cli: &Cli) -> anyhow::Result<String> {
    let here = std::env::current_dir().context("the current directory is not known")?;
    let absolute = |path: &Path| quoted(&clean(&here.join(path)).to_string_lossy());
    let mut exec = format!("ExecStart={} run", quoted(&binary.to_string_lossy())?);
    let named = &cli.files;
    if named.files.is_empty() && args.followed.sources.is_empty() {
        anyhow::bail!(
            "say which stacks: -f with a directory of manifests, a manifest, or Compose files, or --source with a repository"
        );
    }
    write_sources(&mut exec, &args.followed, &here)?;
    for file in &named.files {
        if file.as_os_str() == "-" {
            anyhow::bail!("a service has no standard input: name a file in place of `-f -`");
        }
        write!(exec, " -f {}", absolute(file)?)?;
    }
    if let Some(name) = &named.project_name {
        write!(exec, " -p {}", quoted(name)?)?;
    }
    if let Some(directory) = &named.project_directory {
        write!(exec, " --project-directory {}", absolute(directory)?)?;
    }
    for file in &named.env_files {
        write!(exec, " --env-file {}", absolute(file)?)?;
    }
    if let Some(directory) = &named.secrets_dir {
        write!(exec, " --secrets-dir {}", absolute(directory)?)?;
    }
    for file in &named.age_identities {
        write!(exec, " --age-identity {}", absolute(file)?)?;
    }
    for profile in &named.profiles {
        write!(exec, " --profile {}", quoted(profile)?)?;
    }
    if let Some(policy) = named.policy {
        write!(exec, " --policy {policy}")?;
    }
    exec.push_str(" --log-format json");
    debug_assert!(UNIT.contains(EXEC), "the unit runs what is replaced here");
    let unit = UNIT.replace(EXEC, &exec);
    // The head says how to install by hand.
    let body = unit.find("[Unit]").map_or(unit.as_str(), |start| &unit[start..]);
    Ok(format!("# Written by `operator install`, which replaces it.\n{body}"))
}

/// What is followed. A file or a directory of this machine has its whole path: the service is elsewhere.
fn write_sources(exec: &mut String, followed: &SourceArgs, here: &Path) -> anyhow::Result<()> {
    for source in &followed.sources {
        let (path, reference) = match source.rsplit_once('@') {
            Some((path, reference)) if here.join(path).exists() => (path, format!("@{reference}")),
            _ => (source.as_str(), String::new()),
        };
        let found = here.join(path);
        let word =
            if found.exists() { clean(&found).display().to_string() + &reference } else { source.clone() };
        let address = Address::parse(&word, here)?;
        anyhow::ensure!(
            address.user_info.is_none(),
            "everybody may read a unit, and {address} would have a password in it: write a file with a `kind: Source` document and `basicAuth`"
        );
        write!(exec, " --source {}", quoted(&word)?)?;
    }
    if let Some(path) = &followed.path {
        write!(exec, " --path {}", quoted(&path.to_string_lossy())?)?;
    }
    if !followed.sources.is_empty() && followed.interval != DEFAULT_INTERVAL {
        write!(exec, " --interval {}s", followed.interval.as_secs())?;
    }
    Ok(())
}

/// A word of a command line in a unit: `%`, `$` and quotes mean something there.
fn quoted(word: &str) -> anyhow::Result<String> {
    if word.chars().any(char::is_control) {
        anyhow::bail!("`{}` cannot stand in a unit", super::render::shown(word));
    }
    let escaped = word.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let plain = escaped == word && !word.contains([' ', '\'', ';']) && !word.is_empty();
    Ok(if plain { escaped } else { format!("\"{escaped}\"") })
}

/// The unit sees neither other programs' temporary files nor may a build be what runs for years.
fn hidden_from_the_unit(binary: &Path, elsewhere: bool) -> anyhow::Result<()> {
    if !elsewhere && ["/tmp", "/var/tmp"].iter().any(|hidden| binary.starts_with(hidden)) {
        anyhow::bail!(
            "{} is where a service does not see it: `install -m 755 {0} /usr/local/bin/`, and say it again from there",
            binary.display()
        );
    }
    Ok(())
}

/// A unit, and where it is.
struct Service<'a> {
    name: &'a str,
    root: Option<&'a Path>,
}

impl<'a> Service<'a> {
    fn new(args: &'a InstallArgs) -> Self {
        Self { name: &args.name, root: args.root.as_deref() }
    }

    fn directory(&self) -> PathBuf {
        self.root.unwrap_or(Path::new("/")).join("etc/systemd/system")
    }

    fn path(&self) -> PathBuf {
        self.directory().join(format!("{}.service", self.name))
    }

    fn wanted_by(&self) -> PathBuf {
        self.directory().join("multi-user.target.wants").join(format!("{}.service", self.name))
    }

    /// Whole or not at all.
    fn write(&self, unit: &str) -> anyhow::Result<()> {
        let (directory, path) = (self.directory(), self.path());
        let written = || -> io::Result<()> {
            fs::create_dir_all(&directory)?;
            let mut file = tempfile::NamedTempFile::new_in(&directory)?;
            io::Write::write_all(&mut file, unit.as_bytes())?;
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs::set_permissions(file.path(), mode)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        match written() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                anyhow::bail!("{}: {error}; say it with sudo", path.display())
            }
            written => written.with_context(|| format!("{} cannot be written", path.display())),
        }
    }

    /// Enables and starts it; anew where it runs with another unit.
    fn start(&self, anew: bool) -> anyhow::Result<()> {
        if self.root.is_some() {
            let wanted_by = self.wanted_by();
            fs::create_dir_all(wanted_by.parent().unwrap_or(&wanted_by))?;
            return match std::os::unix::fs::symlink(format!("../{}.service", self.name), &wanted_by) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
                _ => Ok(()),
            };
        }
        self.reload()?;
        self.systemctl(&["enable", "--now"])?;
        if anew { self.systemctl(&["restart"]) } else { Ok(()) }
    }

    fn reload(&self) -> anyhow::Result<()> {
        if self.root.is_some() { Ok(()) } else { call(&["daemon-reload"]) }
    }

    fn systemctl(&self, words: &[&str]) -> anyhow::Result<()> {
        if self.root.is_some() { Ok(()) } else { call(&[words, &[self.name]].concat()) }
    }
}

fn call(words: &[&str]) -> anyhow::Result<()> {
    let shown = format!("systemctl {}", words.join(" "));
    let ended = Process::new("systemctl").args(words).output().with_context(|| {
        format!("`{shown}` cannot be run; without systemd, any supervisor that starts `operator run` will do")
    })?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
    anyhow::bail!("`{shown}` failed ({}): {said}", ended.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_in_a_unit_what_they_say() {
        for (word, quoted_word) in [
            ("/etc/operator", "/etc/operator"),
            ("/a b", "\"/a b\""),
            ("50%$x", "\"50%%$$x\""),
            ("say \"x\"", "\"say \\\"x\\\"\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(word).unwrap(), quoted_word);
        }
        assert!(quoted("a\nExecStart=/bin/evil").is_err());
    }

    #[test]
    fn the_unit_that_is_installed_has_the_line_that_is_replaced() {
        assert!(UNIT.contains(EXEC));
    }

    #[test]
    fn a_unit_has_a_name_of_its_own() {
        assert_eq!(unit_name("edge.service"), Ok("edge".to_owned()));
        assert!(unit_name("../x").is_err() && unit_name("").is_err());
    }
}
