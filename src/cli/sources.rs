//! The sources that `run` follows, as the command line has them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context;

use super::args::FileArgs;
use super::files;
use super::run::RunArgs;
use crate::compose::{LoadOptions, clean};
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
    let mut names = BTreeSet::new();
    let open = |text: &String| {
        let address = Address::parse(text, &options.working_dir).context("--source")?;
        let name = address.name();
        anyhow::ensure!(names.insert(name.clone()), "--source: there are two repositories `{name}`");
        let credentials = Credentials {
            basic: address.user_info.clone().map(|it| (it.user, it.password)),
            ..Credentials::default()
        };
        let settings = Settings {
            name,
            address,
            path: args.path.clone(),
            interval: args.interval,
            credentials,
            options: options.clone(),
        };
        GitSource::open(settings, state).with_context(|| format!("{} cannot be written", state.display()))
    };
    args.sources.iter().map(open).collect()
}
