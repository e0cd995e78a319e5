//! What is said of a stack that waits for others.

use std::collections::{BTreeMap, VecDeque};

use super::Member;
use crate::core::decide::Waiting;
use crate::core::ids::StackName;
use crate::core::reason::Reason;

/// Why `name` waits for these others, which are not ready.
pub(super) fn waiting(
    name: &StackName,
    others: &[StackName],
    stacks: &BTreeMap<StackName, Member>,
) -> Waiting {
    let (known, unknown): (Vec<&StackName>, Vec<&StackName>) =
        others.iter().partition(|other| stacks.contains_key(*other));
    let way_back = way_back(name, stacks);
    let message = match &way_back {
        Some(way) => format!(
            "waits for itself: {} (`dependsOn`), and none of these takes on what its files say; take one of them out of `dependsOn`",
            listed(way, " → ")
        ),
        None => {
            let known = (!known.is_empty()).then(|| {
                let noun = if known.len() == 1 { "stack" } else { "stacks" };
                format!("the {noun} {} to be ready", quoted(&known))
            });
            let unknown = (!unknown.is_empty())
                .then(|| format!("{}, which no manifest here declares", quoted(&unknown)));
            let what: Vec<String> = known.into_iter().chain(unknown).collect();
            format!("waits for {} (`dependsOn`): what its files say is taken on then", what.join(" and for "))
        }
    };
    Waiting {
        service: None,
        subject: name.to_string(),
        reason: Reason::DependencyNotReady,
        message,
        until: None,
        stuck: way_back.is_some(),
    }
}

fn quoted(names: &[&StackName]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

fn listed(names: &[&StackName], between: &str) -> String {
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    names.join(between)
}

/// The shortest way from a stack back to itself over those that wait as well. A loader sees it within one source; between two
/// nobody does before both are here.
fn way_back<'a>(from: &'a StackName, stacks: &'a BTreeMap<StackName, Member>) -> Option<Vec<&'a StackName>> {
    let mut came_from: BTreeMap<&StackName, &StackName> = BTreeMap::new();
    let mut next = VecDeque::from([from]);
    while let Some(name) = next.pop_front() {
        let Some(member) = stacks.get(name).filter(|member| member.is_held) else { continue };
        for other in &member.depends_on {
            if other == from {
                let mut way = vec![from, name];
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
