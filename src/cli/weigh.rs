//! What a commit of a repository changes of what runs by the one before it, for a source that lets a person approve it.

use std::collections::BTreeMap;

use super::apply::as_applied;
use crate::controller::observe::look_once;
use crate::core::desired::Desired;
use crate::core::diff::diff;
use crate::core::view::View;
use crate::rehearse::settled;
use crate::source::git::gate::Effect;
use crate::stack::Stack;

/// Compares as `diff --rev A..B` does, on a simulated engine on which the first has come true; nothing where that cannot be
/// told. A stack that is new takes nothing from anybody, and one that is gone is left alone.
pub(super) fn weigh(before: &[Stack], after: &[Stack]) -> Option<Vec<Effect>> {
    let before: BTreeMap<_, _> = before.iter().map(|stack| (&stack.desired.stack, &stack.desired)).collect();
    let mut effects = Vec::new();
    for Stack { desired, .. } in after {
        if let Some(before) = before.get(&desired.stack).filter(|before| !is_same(before, desired)) {
            let of_one = of_stack(before, desired)?;
            let is_alone = after.len() == 1;
            effects.extend(of_one.into_iter().map(|Effect { on, impact }| {
                let on = if is_alone { on } else { format!("{}/{on}", desired.stack) };
                Effect { on, impact }
            }));
        }
    }
    Some(effects)
}

/// Whether only the commit is another: then there is nothing to rehearse.
fn is_same(before: &Desired, after: &Desired) -> bool {
    Desired { commit: after.commit.clone(), ..before.clone() } == *after
}

fn of_stack(before: &Desired, after: &Desired) -> Option<Vec<Effect>> {
    let (engine, clock) = settled(before);
    let after = as_applied(after);
    let seen = clock.run(look_once(&engine, &after, &clock))?.ok()?;
    let changes = diff(&View::new(&after, &seen)).into_iter();
    let on = |change: crate::core::diff::Change| Effect {
        impact: change.impact,
        on: change.service.map_or(change.field, |service| service.to_string()),
    };
    Some(changes.map(on).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{LoadOptions, MemoryFiles};
    use crate::core::diff::Impact;
    use crate::stack;

    fn stacks(compose: &str) -> Vec<Stack> {
        let files = MemoryFiles::new().with("/w/compose.yaml", compose);
        let options = LoadOptions { working_dir: "/w".into(), ..LoadOptions::default() };
        stack::load(&options, &files).all().unwrap()
    }

    #[test]
    fn a_commit_weighs_what_it_restarts_removes_or_destroys() {
        let before =
            stacks("name: shop\nservices:\n  api: {image: 'x:1', ports: ['80:80']}\n  web: {image: 'x:1'}\n");
        let one = |text: &str| {
            let effects = weigh(&before, &stacks(&format!("name: shop\nservices:\n{text}"))).unwrap();
            let worst = effects.into_iter().max_by_key(|effect| effect.impact);
            worst.map(|effect| (effect.on, effect.impact))
        };
        let api = "  api: {image: 'x:1', ports: ['80:80']}\n";
        let web = "  web: {image: 'x:1'}\n";
        for (text, expected) in [
            (format!("{api}{web}"), None),
            // A published port is one container's at a time: this one is down for a moment.
            (format!("{}{web}", api.replace("x:1", "x:2")), Some(("api", Impact::Restart))),
            (format!("{api}{}", web.replace("x:1", "x:2")), Some(("web", Impact::Rolling))),
            (format!("{api}  web: {{image: 'x:1', mem_limit: 1g}}\n"), Some(("web", Impact::InPlace))),
        ] {
            assert_eq!(one(&text).as_ref().map(|(on, impact)| (on.as_str(), *impact)), expected, "{text}");
        }
        let new = stacks("name: other\nservices: {web: {image: x}}\n");
        assert_eq!(weigh(&before, &new), Some(Vec::new()), "what is new takes nothing from anybody");
    }
}
