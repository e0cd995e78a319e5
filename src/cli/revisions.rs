//! Stacks as of a commit of the working copy that the files are in, for `diff --rev`.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use super::args::FileArgs;
use super::files;
use super::screen::Screen;
use crate::compose::errors::Diagnostics;
use crate::core::ids::{StackName, short};
use crate::source::git::address::checked_reference;
use crate::source::git::past::Past;
use crate::stack::{self, Stack};

/// One commit against what runs, or two against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisions {
    /// What is there before; what runs, where none is said.
    pub(super) from: Option<String>,
    /// What would be.
    pub(super) to: String,
}

impl FromStr for Revisions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let revision = |text: &str| {
            // `HEAD~1` and `main^` are revisions, if no references.
            let name = text.split(['~', '^']).next().unwrap_or_default();
            let (_, steps) = text.split_at(name.len());
            let is_step = |c: char| c == '~' || c == '^' || c.is_ascii_digit();
            let sound = checked_reference(name).is_ok() && steps.chars().all(is_step);
            sound.then(|| text.to_owned()).ok_or_else(|| {
                format!("`{text}` is no revision: write a commit, a branch, a tag, or as `HEAD~1`")
            })
        };
        match text.split_once("..") {
            // `A...B` is what `B` changes since it left `A`: git finds that commit, and it is named then.
            Some((_, to)) if to.starts_with('.') => Err(format!(
                "`{text}` has three dots: write `$(git merge-base A B)..B` for what B changes since it left A"
            )),
            Some((from, to)) => {
                let head = |text: &str| if text.is_empty() { "HEAD".to_owned() } else { text.to_owned() };
                Ok(Self { from: Some(revision(&head(from))?), to: revision(&head(to))? })
            }
            None => Ok(Self { from: None, to: revision(text)? }),
        }
    }
}

/// The stacks as of a commit, all of them sound. Warnings are told.
pub(super) fn stacks(args: &FileArgs, revision: &str, screen: &mut Screen) -> anyhow::Result<Vec<Stack>> {
    let options = files::options(args)?;
    let first = options.files.first().map(|file| options.working_dir.join(file));
    // A directory that this commit has and the working copy has no more is none on the disk.
    let near = first.map_or_else(|| options.working_dir.clone(), |path| crate::compose::clean(&path));
    let near = near.ancestors().find(|path| path.is_dir()).map_or(near.clone(), Path::to_owned);
    let past = Past::open(&near, revision)?;
    let mut loaded = stack::load(&options, &past);
    files::overlay_now(&mut loaded);
    if !loaded.faults.is_empty() {
        screen.note(format_args!("at {revision} ({}):", short(past.commit())));
    }
    let stacks = loaded.all().map_err(|found: Diagnostics| anyhow::Error::from(found))?;
    for warning in stacks.iter().flat_map(|stack| &stack.warnings) {
        files::warn(warning, screen);
    }
    Ok(stacks)
}

/// Each stack of the one with what it was before, where it was.
pub(super) fn pairs(before: Vec<Stack>, after: Vec<Stack>) -> (Vec<(Stack, Option<Stack>)>, Vec<StackName>) {
    let mut before: BTreeMap<StackName, Stack> =
        before.into_iter().map(|stack| (stack.desired.stack.clone(), stack)).collect();
    let pairs = after.into_iter().map(|stack| {
        let then = before.remove(&stack.desired.stack);
        (stack, then)
    });
    let pairs = pairs.collect();
    (pairs, before.into_keys().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_revision_or_two_are_read_and_nothing_else() {
        let read = |text: &str| text.parse::<Revisions>().map(|it| (it.from, it.to));
        for good in ["HEAD~1", "main", "v1.2", "feature/x", "3f2c1a9", "main^", "HEAD^2~3"] {
            assert_eq!(read(good), Ok((None, good.to_owned())), "{good}");
        }
        assert_eq!(read("a..b"), Ok((Some("a".into()), "b".into())));
        assert_eq!(read("a.."), Ok((Some("a".into()), "HEAD".into())));
        assert_eq!(read("..b"), Ok((Some("HEAD".into()), "b".into())));
        for bad in ["", "-x", "--all", "a...b", "a b", "a..-x", "a@{1}", "a:b"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
