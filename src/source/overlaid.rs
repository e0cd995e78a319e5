//! A source with what people laid over its stacks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures_util::future::{FutureExt, LocalBoxFuture};

use super::Source;
use super::watch::Watch;
use crate::compose::errors::Diagnostic;
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
    // What is gone from sound files is gone.
    if !loaded.faults.is_empty() {
        names.extend(last.keys().cloned());
    }
    for name in names {
        match overlays.read(&name) {
            Ok(overrides) => drop(last.insert(name, overrides)),
            Err(error) => {
                let path = overlays.path(&name);
                let message = format!("{} cannot be read, what it last said holds: {error}", path.display());
                let help = "remove it, and say `operator pause` again if it is still meant";
                loaded.faults.push(Diagnostic::new(message).help(help));
            }
        }
    }
    for stack in &mut loaded.stacks {
        stack.desired.overrides = last.get(&stack.desired.stack).cloned().unwrap_or_default();
    }
    if loaded.faults.is_empty() {
        last.retain(|name, _| loaded.stacks.iter().any(|stack| stack.desired.stack == *name));
    }
    loaded.overrides.clone_from(last);
}

impl<S: Source> Source for Overlaid<S> {
    fn load(&mut self) -> Loaded {
        let mut loaded = self.source.load();
        overlay(&mut loaded, &self.overlays, &mut self.last);
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
