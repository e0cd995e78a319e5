//! The repositories that `run` follows, as the command line has them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::args::FileArgs;
use super::files;
use super::run::RunArgs;
use crate::compose::{LoadOptions, clean};
use crate::source::declared;
use crate::source::git::address::Address;
use crate::source::git::command::Credentials;
use crate::source::git::{GitSource, Settings};

/// Opens the repositories that are to be followed.
pub(super) fn open(args: &RunArgs, near: &FileArgs, state: &Path) -> anyhow::Result<Vec<GitSource>> {
    let options = files::options(near)?;
    // Nothing of this machine's environment is anything to a repository; files that are named here are.
    let options = LoadOptions {
        environment: [].into(),
        env_files: near.env_files.iter().map(|file| clean(&options.working_dir.join(file))).collect(),
        ..options
    };
    let mut all = Vec::new();
    for text in &args.sources {
        let file = options.working_dir.join(text);
        if file.is_file() {
            all.extend(declared::read(Path::new(text), &options)?);
        } else {
            all.push(named(text, args, &options)?);
        }
    }
    let mut names = BTreeSet::new();
    let mut open = |settings: Settings| {
        let name = &settings.name;
        anyhow::ensure!(names.insert(name.clone()), "--source: there are two sources `{name}`");
        GitSource::open(settings, state).with_context(|| format!("{} cannot be written", state.display()))
    };
    all.into_iter().map(&mut open).collect()
}

/// A repository by its address alone.
fn named(text: &str, args: &RunArgs, options: &LoadOptions) -> anyhow::Result<Settings> {
    let address = Address::parse(text, &options.working_dir).context("--source")?;
    Ok(Settings {
        name: address.name(),
        address,
        path: args.path.clone(),
        interval: args.interval,
        credentials: Credentials::default(),
        suspended: false,
        verify: None,
        options: options.clone(),
    })
}
