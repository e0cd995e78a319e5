//! The repositories that `run` follows, as the command line has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value as Json;

use super::args::{FileArgs, duration};
use super::files;
use super::render::sources as render;
use super::standing;
use crate::compose::{LoadOptions, clean};
use crate::core::code_host::CodeHost;
use crate::server::metrics::SourceFigures;
use crate::server::views;
use crate::server::webhook::Hook;
use crate::source::Bell;
use crate::source::declared;
use crate::source::git::address::Address;
use crate::source::git::command::Credentials;
use crate::source::git::gate::SyncSettings;
use crate::source::git::{GitSource, Settings, default_policy};
use crate::store::owner::{Lock, Locks, Refusal};
use crate::store::sources::{SourceStanding, Sources};

/// Which repositories are followed.
#[derive(Args, Clone, Debug)]
pub struct SourceArgs {
    /// A git repository with the stacks, and which branch, tag or commit of it; or a file that says so of several
    #[arg(long = "source", value_name = "URL|PATH[@REF]", conflicts_with = "files")]
    #[arg(
        help = "A git repository with the stacks, and which branch, tag or commit of it; or a file with `kind: Source` \
                documents (repeatable)"
    )]
    pub sources: Vec<String>,
    /// Where in the repository the manifests are: a directory or a file
    #[arg(long, value_name = "PATH", requires = "sources")]
    pub path: Option<PathBuf>,
    /// How often a remote repository is asked
    #[arg(long, value_name = "DURATION", value_parser = interval, default_value = "1m", requires = "sources")]
    pub interval: Duration,
}

fn interval(text: &str) -> Result<Duration, String> {
    let least = declared::SHORTEST_INTERVAL;
    duration(text).and_then(|read| {
        if read < least { Err(format!("`{text}` is less than 5 seconds")) } else { Ok(read) }
    })
}

/// What is said of the repositories.
pub(super) fn settings(args: &SourceArgs, near: &FileArgs) -> anyhow::Result<Vec<Settings>> {
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
    if let Some(twice) = all.iter().find(|settings| !names.insert(&settings.name)) {
        anyhow::bail!(
            "--source: there are two sources `{}`: give each a name in a file of `kind: Source`",
            twice.name
        );
    }
    Ok(all)
}

/// Opens the repositories that are to be followed, for as long as the locks are kept: two that work on one copy of a
/// repository would break it, and each would say what only the other one knows.
pub(super) fn open(
    args: &SourceArgs,
    near: &FileArgs,
    state: &Path,
) -> anyhow::Result<(Vec<GitSource>, Vec<Lock>)> {
    let failed = || format!("{} cannot be written", state.display());
    let locks = Locks::new(state.join("locks"));
    let open = |settings: Settings| {
        let lock = locks.take_named(&format!("source-{}", settings.name)).map_err(|refusal| match refusal {
            Refusal::Held(holder) => anyhow::anyhow!(
                "{holder} follows {} with the state directory {}: end it first, or set OPERATOR_STATE_DIR to another one",
                settings.name,
                state.display()
            ),
            Refusal::Failed(error) => anyhow::Error::from(error).context(failed()),
        })?;
        Ok((GitSource::open(settings, state).with_context(failed)?, lock))
    };
    settings(args, near)?.into_iter().map(open).collect()
}

/// A repository by its address alone.
fn named(text: &str, args: &SourceArgs, near: &FileArgs, options: &LoadOptions) -> anyhow::Result<Settings> {
    let address = Address::parse(text, &options.working_dir).context("--source")?;
    let policy = near.policy.unwrap_or_else(|| default_policy(&address.place));
    Ok(Settings {
        policy,
        webhook: None,
        commit_status: None,
        name: address.name(),
        address,
        path: args.path.clone(),
        interval: args.interval,
        credentials: Credentials::default(),
        suspended: false,
        sync: SyncSettings::default(),
        verify: None,
        options: options.clone(),
    })
}

/// What the daemon tells of its sources over HTTP, and how it wakes them.
#[derive(Debug, Default)]
pub(super) struct Followed {
    bells: BTreeMap<String, Bell>,
    code_hosts: BTreeMap<String, CodeHost>,
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
                provider: webhook.provider,
                secret: webhook.secret.clone(),
                bell: source.bell(),
            })
        });
        let code_hosts = sources.iter().filter_map(|source| {
            let host = source.commit_status()?;
            Some((source.name().to_owned(), host.clone()))
        });
        let code_hosts = code_hosts.collect();
        (Self { bells, code_hosts, standings: Some(Sources::new(state)) }, hooks.collect())
    }

    /// Where it is told what becomes of commits, by source.
    pub(super) fn code_hosts(&self) -> BTreeMap<String, CodeHost> {
        self.code_hosts.clone()
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
