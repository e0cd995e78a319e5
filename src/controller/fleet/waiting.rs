//! What is said of a stack that waits for others.

use std::collections::BTreeMap;

use super::Member;
use crate::core::decide::Waiting;
use crate::core::ids::StackName;
use crate::core::reason::Reason;
use crate::stack::way_back;

/// Why `name` waits for these others, which are not ready.
pub(super) fn waiting(
    name: &StackName,
    others: &[StackName],
    stacks: &BTreeMap<StackName, Member>,
) -> Waiting {
    let (known, unknown): (Vec<&StackName>, Vec<&StackName>) =
        others.iter().partition(|other| stacks.contains_key(*other));
    // A loader sees a way back to itself within one source; between two nobody does before both are here.
    let held = |name| stacks.get(name).filter(|member: &&Member| member.is_held);
    let way_back = way_back(name, |name| held(name).into_iter().flat_map(|member| &member.depends_on));
    let message = match &way_back {
        Some(way) => {
            let way: Vec<&str> = way.iter().chain([&name]).map(|name| name.as_str()).collect();
            format!(
                "waits for itself: {} (`dependsOn`), and none of these takes on what its files say; take one of them out of `dependsOn`",
                way.join(" → ")
            )
        }
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
