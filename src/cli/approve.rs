//! `operator approve`: a person's word that a commit may come into force.

use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;

use super::args::Cli;
use super::exit::Exit;
use super::overrides::who;
use super::render::shown;
use super::screen::Screen;
use super::standing;
use crate::core::ids::short;
use crate::store::sources::{Approval, Held, SourceStanding, Sources};
use crate::store::standing::Standings;

/// What `operator approve --help` says.
pub const LONG: &str = "Let a commit come into force that waits for a person's word.\n\n\
Which do, `sync.approve` of the source says: those that restart or remove something or destroy data, or all. `operator sources` \
shows the commit that waits, and what it does; `operator diff --rev` shows it in full.\n\n\
The word is of that one commit, in the place of the one that is in force now: another commit needs another one. It outlives the \
daemon. Outside the windows of the source the commit waits for one that is open, approved as it is.\n\n\
Exit code 0: approved; 2: it is not what waits.";

/// Arguments of `approve`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  operator sources                   what waits, and why
  operator approve shop@3f2c1a9      the commit of the source, or of the source of the stack, that is called shop")]
pub struct ApproveArgs {
    /// The source, or one of its stacks, and the commit: 7 digits of its hash at least
    #[arg(value_name = "SOURCE|STACK@COMMIT")]
    pub commit: Named,
}

/// Fewer digits of a hash than this are no name of a commit: git itself shortens to no less.
const DIGITS: usize = 7;

/// A commit, as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// A source or a stack.
    name: String,
    /// The first digits of the commit's hash.
    commit: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, commit) = text.rsplit_once('@').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            "write a source and a commit, as `shop@3f2c1a9`; `operator sources` shows both".to_owned()
        })?;
        let commit = commit.to_ascii_lowercase();
        if commit.len() < DIGITS || !commit.chars().all(|c| c.is_ascii_hexdigit()) {
            return Err(format!("`{commit}` is no commit: write {DIGITS} digits of its hash, or more"));
        }
        Ok(Self { name: name.to_owned(), commit })
    }
}

/// How long a daemon may take to heed it.
const HEEDED_WITHIN: Duration = Duration::from_secs(10);

/// How often the daemon's word is read.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Approves.
pub fn run(args: &ApproveArgs, _: &Cli, screen: &mut Screen) -> anyhow::Result<Exit> {
    let state = standing::directory();
    let store = Sources::new(&state);
    let stacks = Standings::new(&state).all();
    let of_stack = stacks.iter().find(|it| it.status.stack.as_str() == args.commit.name);
    let of_stack = of_stack.and_then(|it| it.commit.as_ref()).map(|commit| commit.source.as_str());
    let sources = store.all();
    let (source, held) = waiting(&args.commit, &sources, of_stack)?;
    let over = source.in_force.as_ref().map(|it| it.commit.hash.clone());
    let approval = Approval { commit: held.commit.hash.clone(), over, at: standing::now(), by: who() };
    store.approve(&source.name, &approval).map_err(|error| {
        let path = store.asks(&source.name);
        anyhow::anyhow!("{}: {error}; approve as the user of `operator run`", path.display())
    })?;
    let (start, name) = (Instant::now(), &source.name);
    let commit = shown(&held.commit);
    loop {
        let now = store.read(name);
        let in_force = now.as_ref().and_then(|it| it.in_force.as_ref());
        if in_force.is_some_and(|it| it.commit.hash == approval.commit) {
            screen.line(format_args!("{name}: {commit} is approved, and in force"))?;
            return Ok(Exit::Ok);
        }
        let still = now.as_ref().and_then(|it| it.held.as_ref()).filter(|it| it.commit == held.commit);
        if let Some(held) = still.filter(|held| !held.awaits_approval) {
            screen.line(format_args!("{name}: approved; {}", shown(held)))?;
            return Ok(Exit::Ok);
        }
        if start.elapsed() > HEEDED_WITHIN {
            screen.line(format_args!("{name}: {commit} is approved"))?;
            screen.note("`operator run` has not taken it up yet: see `operator sources`");
            return Ok(Exit::Ok);
        }
        std::thread::sleep(ASK_EVERY);
    }
}

/// The source and the commit that waits there. `of_stack`: the source of the stack of that name, where there is one.
fn waiting<'s>(
    named: &Named,
    sources: &'s [SourceStanding],
    of_stack: Option<&str>,
) -> anyhow::Result<(&'s SourceStanding, &'s Held)> {
    let Named { name, commit } = named;
    let called = |name: &str| sources.iter().find(|source| source.name == name);
    let Some(source) = called(name).or_else(|| called(of_stack?)) else {
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        anyhow::bail!(
            "no source or stack `{name}` is followed; sources known here: {known} (OPERATOR_STATE_DIR says where `operator run` keeps its state)"
        );
    };
    let name = &source.name;
    match &source.held {
        Some(held) if held.commit.hash.starts_with(commit.as_str()) && held.awaits_approval => {
            Ok((source, held))
        }
        Some(held) if held.commit.hash.starts_with(commit.as_str()) => {
            anyhow::bail!("{name}: {} needs no approval: {}", short(&held.commit.hash), shown(held))
        }
        Some(held) => anyhow::bail!("{name}: {commit} is not what waits there: {}", shown(held)),
        None => anyhow::bail!("{name}: nothing waits for approval there; `operator sources` shows how it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::commit::Commit;
    use crate::core::time::Timestamp;
    use serde_json::json;

    #[test]
    fn a_commit_is_named_by_its_source_and_enough_digits() {
        for (text, good) in [
            ("shop@3f2c1a9", true),
            ("shop@3F2C1A9B04DE", true),
            ("shop@3f2c1a", false),
            ("shop@main-branch", false),
            ("shop", false),
            ("@3f2c1a9", false),
        ] {
            assert_eq!(text.parse::<Named>().is_ok(), good, "{text}");
        }
    }

    fn source(held: Option<(&str, bool)>) -> SourceStanding {
        let held = held.map(|(hash, awaits_approval)| Held {
            commit: Commit {
                hash: hash.repeat(4),
                author: "Ann".into(),
                subject: "Two".into(),
                committed_at: Timestamp::default(),
                source: "shop".into(),
            },
            since: Timestamp::default(),
            why: "why".into(),
            until: None,
            awaits_approval,
        });
        let mut standing = json!({
            "name": "shop", "address": "/srv/shop", "path": ".", "held": held,
            "askedAt": null, "attempted": null, "inForce": null, "refused": null, "unreachable": null,
        });
        let process = serde_json::to_value(crate::store::process::Process::own()).unwrap();
        standing.as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
        serde_json::from_value(standing).unwrap()
    }

    #[test]
    fn only_what_waits_is_approved_and_else_it_is_told_what_does() {
        let waits = source(Some(("3f2c1a9b04", true)));
        for (standing, said, of_stack, expected) in [
            (&waits, "shop@3f2c1a9", None, "3f2c1a9b04"),
            (&waits, "web@3f2c1a9b04", Some("shop"), "3f2c1a9b04"),
            (&waits, "web@3f2c1a9", None, "no source or stack `web` is followed; sources known here: shop"),
            (&waits, "web@3f2c1a9", Some("gone"), "no source or stack `web` is followed"),
            (
                &waits,
                "shop@3f2c1a8",
                None,
                "shop: 3f2c1a8 is not what waits there: the commit 3f2c1a9b043f (Ann: Two) is held: why; `operator approve shop@3f2c1a9b043f` gives it",
            ),
            (
                &source(Some(("3f2c1a9b04", false))),
                "shop@3f2c1a9",
                None,
                "shop: 3f2c1a9b043f needs no approval: the commit",
            ),
            (&source(None), "shop@3f2c1a9", None, "shop: nothing waits for approval there"),
        ] {
            let all = [standing.clone()];
            let told = match waiting(&said.parse().unwrap(), &all, of_stack) {
                Ok((_, held)) => held.commit.hash.clone(),
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(expected), "{said}: {told}");
        }
    }
}
