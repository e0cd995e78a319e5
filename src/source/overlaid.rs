//! A source with what people laid over its stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;

use futures_util::future::{FutureExt, LocalBoxFuture};

use super::Source;
use super::watch::Watch;
use crate::compose::errors::Diagnostic;
use crate::core::desired::Desired;
use crate::core::history::{Ended, Kept, fingerprint};
use crate::core::ids::StackName;
use crate::core::overrides::Overrides;
use crate::stack::Loaded;
use crate::store::overrides::Overlays;

/// Stacks of another source, with their overrides.
pub struct Overlaid<S> {
    source: S,
    overlays: Overlays,
    watch: Option<Watch>,
    /// What was last read of each stack: it holds while a file cannot be read.
    last: BTreeMap<StackName, Overrides>,
}

impl<S: fmt::Debug> fmt::Debug for Overlaid<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlaid").field("source", &self.source).finish_non_exhaustive()
    }
}

impl<S> Overlaid<S> {
    /// Lays these over the stacks of `source`.
    pub fn new(source: S, overlays: Overlays) -> Self {
        let mut watch = Watch::new();
        // A directory that cannot be made has nothing in it.
        if overlays.prepare().is_ok()
            && let Some(watch) = &mut watch
        {
            watch.follow(&[overlays.directory().to_owned()].into());
        }
        Self { source, overlays, watch, last: BTreeMap::new() }
    }
}

/// Lays what people said over the stacks that were loaded, and says it of those that were known before: they may not have
/// loaded. What cannot be read is a fault, and what was last read of it holds.
pub fn overlay(loaded: &mut Loaded, overlays: &Overlays, last: &mut BTreeMap<StackName, Overrides>) {
    let mut names: BTreeSet<StackName> =
        loaded.stacks.iter().map(|stack| stack.desired.stack.clone()).collect();
    // One that is not there for a moment can be paused meanwhile.
    names.extend(last.keys().cloned());
    for name in names {
        match overlays.read(&name) {
            Ok(mut overrides) => {
                // A history that cannot be read has no such revision: that is told where it is asked for.
                let _ = recall(&mut overrides, &name, overlays);
                last.insert(name, overrides);
            }
            Err(error) => {
                let path = overlays.path(&name);
                let message = format!("{} cannot be read, what it last said holds: {error}", path.display());
                let help = "remove it, and say `operator pause` again if it is still meant";
                loaded.faults.push(Diagnostic::new(message).help(help));
            }
        }
    }
    for stack in &mut loaded.stacks {
        let said = last.entry(stack.desired.stack.clone()).or_default();
        follow(said, &stack.desired);
        stack.desired.overrides.clone_from(said);
    }
    loaded.overrides.clone_from(last);
}

/// Gets what is kept of the revision that is held.
fn recall(overrides: &mut Overrides, stack: &StackName, overlays: &Overlays) -> io::Result<()> {
    let Some(rollback) = &mut overrides.rollback else { return Ok(()) };
    let histories = overlays.histories();
    let Some(key) = histories.known_key()? else { return Ok(()) };
    let reading = histories.read(stack)?;
    rollback.kept = reading.history.get(rollback.to).map(|entry| Box::new(Kept::of(entry, &key)));
    Ok(())
}

/// Ends what the files have had a word on since it was said: the hold of a revision, and numbers of replicas.
fn follow(overrides: &mut Overrides, desired: &Desired) {
    let held = overrides.rollback.as_ref();
    if let Some((rollback, kept)) = held.and_then(|held| Some((held, held.kept.as_ref()?)))
        && rollback.is_over(&fingerprint(desired, &kept.key))
    {
        overrides.rollback_ended = Some(Ended { to: rollback.to, since: rollback.since });
        overrides.rollback = None;
    }
    overrides.end_scales(desired);
}

/// Writes down what is over, so that it does not begin anew when the files are what they were. Where that cannot be
/// written, what is over is so until the files are what they were: gives what to warn of.
pub fn keep_ended(desired: &Desired, overlays: &Overlays) -> Option<String> {
    let ended = &desired.overrides;
    if !ended.has_ended() {
        return None;
    }
    let stack = &desired.stack;
    let said = overlays.read(stack).unwrap_or_else(|_| ended.clone());
    let written = overlays.write(stack, &ended.without_ended(said));
    written.err().map(|error| {
        format!(
            "{} cannot be written: {error}; what was laid over {stack} has ended, and may begin anew with the next start",
            overlays.path(stack).display()
        )
    })
}

impl<S: Source> Source for Overlaid<S> {
    fn load(&mut self) -> Loaded {
        let mut loaded = self.source.load();
        overlay(&mut loaded, &self.overlays, &mut self.last);
        for stack in &loaded.stacks {
            if let Some(warning) = keep_ended(&stack.desired, &self.overlays) {
                tracing::warn!(stack = %stack.desired.stack, "{warning}");
            }
        }
        loaded
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        async move {
            let (source, watch) = (self.source.changed(), &mut self.watch);
            let overlays = async {
                match watch {
                    Some(watch) => watch.changed().await,
                    // The source's own rescan reads them too.
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = source => {}
                () = overlays => {}
            }
        }
        .boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{LoadOptions, MemoryFiles};
    use crate::core::history::{Actor, Rollback, Stand, Through};
    use crate::core::ids::ServiceName;
    use crate::core::overrides::{Pause, Scale};
    use crate::core::time::Timestamp;
    use crate::stack;

    /// Files that change.
    struct Changing(u32);

    impl Source for Changing {
        fn load(&mut self) -> Loaded {
            let text = format!("services: {{web: {{image: a, deploy: {{replicas: {}}}}}}}", self.0);
            let files =
                MemoryFiles::new().with("/w/compose.yaml", if self.0 == 0 { "{".into() } else { text });
            let working_dir = "/w".into();
            stack::load(
                &LoadOptions { project_name: Some("shop".into()), working_dir, ..LoadOptions::default() },
                &files,
            )
        }

        fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
            std::future::pending().boxed_local()
        }
    }

    #[test]
    fn a_revision_is_held_until_the_files_say_something_else_and_then_for_good_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let overlays = Overlays::new(directory.path());
        let shop = StackName::from("shop");
        let key = overlays.histories().key().unwrap();
        let mut history = crate::core::history::History::default();
        let desired = |replicas| Changing(replicas).load().stacks.remove(0).desired;
        for replicas in [1, 2] {
            let actor = Actor { through: Through::Run, by: None };
            assert!(history.take_on(&desired(replicas), &actor, &key, Timestamp::from_millis(1)));
        }
        overlays.histories().write(&shop, &history).unwrap();
        let (by, reason, kept, stand) = ("ann".to_owned(), None, None, Stand::Untried);
        let (since, files) = (Timestamp::from_millis(2), fingerprint(&desired(2), &key));
        let rollback = Some(Rollback { to: 1, by, reason, since, files, kept, stand });
        overlays.write(&shop, &Overrides { rollback, ..Overrides::default() }).unwrap();
        let mut source = Overlaid::new(Changing(2), overlays.clone());
        let said = |source: &mut Overlaid<Changing>| source.load().overrides[&shop].clone();
        let held = said(&mut source).rollback.unwrap();
        assert!(held.kept.is_some_and(|kept| kept.sealed == history.entries[0].sealed));
        source.source.0 = 0;
        assert!(said(&mut source).rollback.is_some(), "files that do not load say nothing");
        source.source.0 = 3;
        let over = said(&mut source);
        assert_eq!((over.rollback, over.rollback_ended), (None, Some(Ended { to: 1, since })));
        source.source.0 = 2;
        assert_eq!(said(&mut source), Overrides::default(), "it does not begin anew");
    }

    #[test]
    fn a_number_of_replicas_that_the_files_have_overruled_does_not_begin_anew() {
        let directory = tempfile::tempdir().unwrap();
        let overlays = Overlays::new(directory.path());
        let (shop, web) = (StackName::from("shop"), ServiceName::from("web"));
        let since = Timestamp::from_millis(1);
        let scale = Scale { replicas: 5, files: 2, by: "ann".into(), since, until: None };
        let said = Overrides { scaled: [(web, scale)].into(), ..Overrides::default() };
        overlays.write(&shop, &said).unwrap();
        let mut source = Overlaid::new(Changing(2), overlays.clone());
        assert_eq!(source.load().overrides[&shop], said);
        source.source.0 = 3;
        assert_eq!(source.load().overrides[&shop].scales_ended, said.scaled);
        source.source.0 = 2;
        assert_eq!(source.load().overrides[&shop], Overrides::default());
        assert_eq!(overlays.read(&shop).unwrap(), Overrides::default());
    }

    #[test]
    fn what_somebody_says_while_something_ends_stays() {
        let directory = tempfile::tempdir().unwrap();
        let overlays = Overlays::new(directory.path());
        let mut desired = Changing(2).load().stacks.remove(0).desired;
        let since = Timestamp::from_millis(1);
        desired.overrides.rollback_ended = Some(Ended { to: 1, since });
        let paused = Some(Pause { by: "ann".into(), reason: None, since, until: None });
        let said = Overrides { paused, ..Overrides::default() };
        overlays.write(&desired.stack, &said).unwrap();
        assert_eq!(keep_ended(&desired, &overlays), None);
        assert_eq!(overlays.read(&desired.stack).unwrap(), said);
    }
}
