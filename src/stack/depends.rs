//! Stacks that wait for other stacks: in which order they go, and what leads nowhere or back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Stack;
use super::faults::did_you_mean;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::{Node, Span};

/// A manifest, as far as others wait for it or it for others.
pub(super) struct Link<'a> {
    /// What it is called.
    pub(super) name: &'a str,
    /// What it is written in.
    pub(super) document: &'a Node,
    /// Those that it waits for.
    pub(super) depends_on: &'a [String],
}

impl Link<'_> {
    fn place(&self, index: usize) -> &Span {
        let place = self.document.lookup(&["spec", "dependsOn", &index.to_string()]);
        &place.unwrap_or(self.document).span
    }

    /// Where it says that it waits for that one.
    fn place_of(&self, other: &str) -> &Span {
        let index = self.depends_on.iter().position(|name| name == other);
        self.place(index.unwrap_or_default())
    }
}

/// What is wrong with the first of these, where it waits for itself: through others, or at once.
pub(super) fn cycle(link: &Link<'_>, all: &[Link<'_>]) -> Option<Diagnostic> {
    let by_name: BTreeMap<&str, &Link<'_>> = all.iter().map(|link| (link.name, link)).collect();
    let waits_for = |name| by_name.get(name).into_iter().flat_map(|link| link.depends_on).map(String::as_str);
    let way = way_back(link.name, waits_for)?;
    let mut names = way.clone();
    names.push(link.name);
    let next = names.get(1)?;
    let message = format!("`{}` waits for itself: {}", link.name, names.join(" → "));
    let fault = Diagnostic::at(link.place_of(next), message).label("waits for this one");
    let last = way.last().and_then(|last| all.iter().find(|it| it.name == *last && it.name != link.name));
    let fault = match last {
        Some(last) => fault.second(last.place_of(link.name), "which waits for this one"),
        None => fault,
    };
    Some(fault.help("take one of them out of `dependsOn`: none of these would ever begin"))
}

/// The shortest way from a stack back to itself over those that each waits for: all on it, itself first.
pub fn way_back<'a, N: Ord + ?Sized, I: IntoIterator<Item = &'a N>>(
    from: &'a N,
    waits_for: impl Fn(&'a N) -> I,
) -> Option<Vec<&'a N>> {
    let mut came_from: BTreeMap<&N, &N> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(name) = next.pop_front() {
        for other in waits_for(name) {
            if other == from {
                let mut way = vec![name];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(other) {
                came_from.insert(other, name);
                next.push_back(other);
            }
        }
    }
    None
}

/// What is dubious about a stack that waits for others which are not among all these: they may be another source's.
pub(super) fn elsewhere(link: &Link<'_>, all: &[Link<'_>]) -> Vec<Diagnostic> {
    let known: Vec<&str> = all.iter().map(|it| it.name).filter(|name| *name != link.name).collect();
    let unknown = link.depends_on.iter().enumerate().filter(|(_, name)| !known.contains(&name.as_str()));
    let warn = |(index, name): (usize, &String)| {
        let message =
            format!("`{}` waits for the stack `{name}`, which no manifest here declares", link.name);
        let warning = Diagnostic::at(link.place(index), message);
        warning.help(format!(
            "it must be of another source of the same daemon; {}",
            did_you_mean(name, known.iter().copied())
        ))
    };
    unknown.filter(|(_, name)| *name != link.name).map(warn).collect()
}

/// Stacks in the order in which they can go: each after those that it waits for.
pub fn in_order(mut stacks: Vec<Stack>) -> Vec<Stack> {
    let mut ordered = Vec::with_capacity(stacks.len());
    while !stacks.is_empty() {
        let left: BTreeSet<_> = stacks.iter().map(|stack| stack.desired.stack.clone()).collect();
        let can_go = |stack: &Stack| stack.depends_on.iter().all(|name| !left.contains(name));
        // The loader refuses what leads back; the first one keeps a mistake in it from hanging.
        let first = stacks.iter().position(can_go).unwrap_or_default();
        ordered.push(stacks.remove(first));
    }
    ordered
}
