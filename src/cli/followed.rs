//! The repositories that `run` follows, as the command line has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value as Json;

use super::args::FileArgs;
use super::files;
use super::render::sources as render;
use super::run::RunArgs;
use super::standing;
use crate::compose::{LoadOptions, clean};
use crate::server::metrics::SourceFigures;
use crate::server::views;
use crate::server::webhook::{Hook, Provider};
use crate::source::Bell;
use crate::source::declared;
use crate::source::git::address::Address;
use crate::source::git::command::Credentials;
use crate::source::git::{GitSource, Settings, default_policy};
use crate::store::sources::{SourceStanding, Sources};

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
            all.extend(declared::read(Path::new(text), &options, near.policy)?);
        } else {
            all.push(named(text, args, near, &options)?);
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
fn named(text: &str, args: &RunArgs, near: &FileArgs, options: &LoadOptions) -> anyhow::Result<Settings> {
    let address = Address::parse(text, &options.working_dir).context("--source")?;
    let policy = near.policy.unwrap_or_else(|| default_policy(&address.place));
    Ok(Settings {
        policy,
        webhook: None,
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

/// What the daemon tells of its sources over HTTP, and how it wakes them.
#[derive(Debug, Default)]
pub(super) struct Followed {
    bells: BTreeMap<String, Bell>,
    /// Where their standings are; nowhere, without any source.
    standings: Option<Sources>,
}

impl Followed {
    /// Of these sources, and what may ring them.
    pub(super) fn of(sources: &[GitSource], state: &Path) -> (Self, Vec<Hook>) {
        let bells = sources.iter().map(|source| (source.name().to_owned(), source.bell())).collect();
        let hooks = sources.iter().filter_map(|source| {
            let webhook = source.webhook()?;
            Some(Hook {
                source: source.name().to_owned(),
                provider: match webhook.provider {
                    declared::Provider::GitHub => Provider::GitHub,
                    declared::Provider::GitLab => Provider::GitLab,
                    declared::Provider::Gitea => Provider::Gitea,
                    declared::Provider::Forgejo => Provider::Forgejo,
                    declared::Provider::Generic => Provider::Generic,
                },
                secret: webhook.secret.clone(),
                bell: source.bell(),
            })
        });
        (Self { bells, standings: Some(Sources::new(state)) }, hooks.collect())
    }

    fn standings(&self) -> impl Iterator<Item = SourceStanding> {
        self.bells.keys().filter_map(|name| self.standings.as_ref()?.read(name))
    }
}

impl views::Sources for Followed {
    fn list(&self) -> Json {
        render::json(&self.standings().collect::<Vec<_>>())
    }

    fn bell(&self, name: &str) -> Option<Bell> {
        self.bells.get(name).cloned()
    }

    fn figures(&self) -> Vec<(String, SourceFigures)> {
        let now = standing::now();
        let figures = |source: SourceStanding| {
            // What is attempted and not in force is what lags.
            let behind = source.attempted.as_ref().filter(|attempted| {
                source.in_force.as_ref().is_none_or(|it| it.commit.hash != attempted.commit.hash)
            });
            let figures = SourceFigures {
                fetched_at: source.asked_at,
                ready: source.trouble().is_none(),
                lag: behind.map_or(Duration::ZERO, |it| now.since(it.at)),
            };
            (source.name, figures)
        };
        self.standings().map(figures).collect()
    }
}
