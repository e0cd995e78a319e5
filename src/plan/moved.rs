//! What has moved since a plan was made, thing by thing.

use std::collections::BTreeMap;

use super::seen::{IMAGE_ID, Kind, Thing};
use super::{Change, OPERATOR, Plan, StackPlan, Step};
use crate::core::ids;

/// All that keeps a plan from being applied to what is found out now, a sentence each. Empty: nothing has moved.
pub fn moved(plan: &Plan, now: &[StackPlan]) -> Vec<String> {
    let of = |name: &StackPlan, all: &[StackPlan]| all.iter().any(|other| other.stack == name.stack);
    let gone = plan.stacks.iter().filter(|stack| !of(stack, now));
    let mut all: Vec<String> =
        gone.map(|stack| format!("the files no longer declare the stack {}", stack.stack)).collect();
    let new = now.iter().filter(|stack| !of(stack, &plan.stacks));
    all.extend(new.map(|stack| format!("the files declare the stack {} now", stack.stack)));
    for planned in &plan.stacks {
        if let Some(now) = now.iter().find(|now| now.stack == planned.stack) {
            all.extend(of_stack(planned, now).into_iter().map(|what| format!("{}: {what}", planned.stack)));
        }
    }
    all
}

/// That another operator made it: what that one would do is not known here.
pub fn version(plan: &Plan) -> Option<String> {
    (plan.operator != OPERATOR)
        .then(|| format!("the plan was made by operator {}, and this is {OPERATOR}", plan.operator))
}

fn of_stack(planned: &StackPlan, now: &StackPlan) -> Vec<String> {
    if planned.engine != now.engine {
        let named = |id: &str| if id.is_empty() { "one without an id".to_owned() } else { id.to_owned() };
        return vec![format!(
            "this is another engine: the plan is for {}, here is {}",
            named(&planned.engine),
            named(&now.engine)
        )];
    }
    let mut moved = wanted(&planned.wanted, &now.wanted);
    moved.extend(things(&planned.seen, &now.seen));
    moved.extend(changes(&planned.changes, &now.changes));
    moved.extend(steps(&planned.steps, &now.steps));
    for wait in now.waiting.iter().filter(|wait| !planned.waiting.contains(wait)) {
        moved.push(format!("it would wait now: {} {}", wait.reason, wait.subject));
    }
    for wait in planned.waiting.iter().filter(|wait| !now.waiting.contains(wait)) {
        moved.push(format!("it would no longer wait: {} {}", wait.reason, wait.subject));
    }
    moved
}

fn wanted(planned: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let gone = planned.keys().filter(|part| !now.contains_key(*part));
    let mut moved: Vec<String> = gone.map(|part| format!("{part} is no longer in the files")).collect();
    for (part, fingerprint) in now {
        match planned.get(part) {
            None => moved.push(format!("{part} is new in the files")),
            Some(before) if before != fingerprint => {
                moved.push(format!("{part} is another one in the files now"));
            }
            Some(_) => {}
        }
    }
    moved
}

fn things(planned: &[Thing], now: &[Thing]) -> Vec<String> {
    let find =
        |all: &'_ [Thing], one: &Thing| all.iter().position(|it| (it.kind, &it.id) == (one.kind, &one.id));
    let mut moved = Vec::new();
    // Made anew under its name: one sentence, not two.
    let mut successors = Vec::new();
    for thing in planned {
        if let Some(found) = find(now, thing) {
            moved.extend(facts(thing, &now[found]));
            continue;
        }
        let is_new =
            |it: &&Thing| (it.kind, &it.name) == (thing.kind, &thing.name) && find(planned, it).is_none();
        match now.iter().find(is_new) {
            Some(successor) => {
                let ids = format!("{} → {}", short(&thing.id), short(&successor.id));
                moved.push(format!("{} is another one now ({ids})", called(thing)));
                successors.push((successor.kind, &successor.id));
            }
            None => moved.push(format!("{} is gone", called(thing))),
        }
    }
    for thing in now.iter().filter(|it| find(planned, it).is_none()) {
        if !successors.contains(&(thing.kind, &thing.id)) {
            let state = thing.facts.get("state").map(|state| format!(" ({state})")).unwrap_or_default();
            moved.push(format!("{} has appeared{state}", called(thing)));
        }
    }
    moved
}

/// What is another one of a thing that is still there.
fn facts(planned: &Thing, now: &Thing) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    if planned.name != now.name {
        words.push(format!("it is called {} now", now.name));
    }
    let gone = planned.facts.keys().filter(|fact| !now.facts.contains_key(*fact));
    for fact in now.facts.keys().chain(gone) {
        let (before, after) = (planned.facts.get(fact), now.facts.get(fact));
        if before != after {
            let word = |value: Option<&String>| value.map_or("none", |value| short(value)).to_owned();
            let what =
                if (now.kind, fact.as_str()) == (Kind::Image, IMAGE_ID) { "the tag has moved" } else { fact };
            words.push(format!("{what} {} → {}", word(before), word(after)));
        }
    }
    words.sort();
    (!words.is_empty()).then(|| format!("{}: {}", called(planned), words.join(", ")))
}

fn called(thing: &Thing) -> String {
    match thing.kind {
        Kind::Engine | Kind::Stack => format!("the {}", thing.kind.as_str()),
        _ => format!("{} {}", thing.kind.as_str(), thing.name),
    }
}

/// Ids as Docker shortens them.
fn short(value: &str) -> &str {
    let digest = value.strip_prefix("sha256:").unwrap_or(value);
    let is_id = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id { ids::short(digest) } else { value }
}

fn changes(planned: &[Change], now: &[Change]) -> Vec<String> {
    let told = |change: &Change| {
        let service = change.service.as_ref().map_or("(stack)", |name| name.as_str());
        let value = match (&change.from, &change.to) {
            (None, None) => String::new(),
            (from, to) => {
                let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
                format!(" {} → {}", word(from), word(to))
            }
        };
        format!("{service} {}{value} ({})", change.field, change.impact)
    };
    let new = now.iter().filter(|change| !planned.contains(change));
    let gone = planned.iter().filter(|change| !now.contains(change));
    let new = new.map(|change| format!("a change that is not in the plan: {}", told(change)));
    new.chain(gone.map(|change| format!("no longer a change: {}", told(change)))).collect()
}

/// Those that start side by side start in an order that is nobody's promise: what counts is which there are.
fn steps(planned: &[Step], now: &[Step]) -> Vec<String> {
    let mut left: Vec<&Step> = planned.iter().collect();
    let mut moved = Vec::new();
    for step in now {
        match left.iter().position(|other| other.is(step)) {
            Some(found) => drop(left.remove(found)),
            None => moved.push(format!("a step that is not in the plan: {} ({})", step.key(), step.cause)),
        }
    }
    moved.extend(left.into_iter().map(|step| format!("no longer a step: {} ({})", step.key(), step.cause)));
    moved
}

#[cfg(test)]
mod tests {
    use super::super::seal::Seal;
    use super::super::{Files, Wait};
    use super::*;
    use crate::core::action::Cause;
    use crate::core::heal::WhyRestart;
    use crate::core::ids::StackName;
    use crate::core::reason::Reason;
    use crate::core::time::Timestamp;

    fn thing(kind: Kind, id: &str, name: &str, facts: &[(&str, &str)]) -> Thing {
        let facts = facts.iter().map(|(fact, value)| ((*fact).to_owned(), (*value).to_owned())).collect();
        Thing { kind, id: id.into(), name: name.into(), facts }
    }

    fn step(target: &str, cause: Cause) -> Step {
        Step { action: "start container".into(), target: target.into(), service: None, cause }
    }

    fn planned() -> StackPlan {
        StackPlan {
            stack: StackName::from("shop"),
            engine: "E1".into(),
            recreate: [].into(),
            wanted: [("service web".to_owned(), "aa".to_owned()), ("the stack".to_owned(), "bb".to_owned())]
                .into(),
            seen: vec![
                thing(Kind::Engine, "", "", &[("version", "20.10.24")]),
                thing(
                    Kind::Container,
                    "c1",
                    "shop-web-1",
                    &[("state", "running"), ("resources.limits.memory", "64M")],
                ),
                thing(Kind::Image, "web:1", "web:1", &[("id", "sha256:aa")]),
            ],
            changes: vec![],
            steps: vec![step("shop-web-1", Cause::NotStarted), step("shop-api-1", Cause::NotStarted)],
            waiting: vec![],
        }
    }

    fn plan() -> Plan {
        Plan {
            operator: OPERATOR.into(),
            created_at: Timestamp::default(),
            files: Files::default(),
            seal: Seal::new([0; 32], 1),
            stacks: vec![planned()],
        }
    }

    fn told(change: impl FnOnce(&mut StackPlan)) -> Vec<String> {
        let mut now = planned();
        change(&mut now);
        moved(&plan(), &[now])
    }

    #[test]
    fn nothing_has_moved_where_all_is_as_it_was_and_where_steps_only_start_in_another_order() {
        assert_eq!(told(|_| {}), Vec::<String>::new());
        assert_eq!(told(|now| now.steps.reverse()), Vec::<String>::new());
        assert_eq!(version(&plan()), None);
    }

    #[test]
    fn each_thing_that_moves_is_named() {
        type Move = fn(&mut StackPlan);
        let cases: [(&str, Move); 14] = [
            ("shop: this is another engine: the plan is for E1, here is E2", |now| now.engine = "E2".into()),
            ("shop: service web is another one in the files now", |now| {
                now.wanted.insert("service web".into(), "cc".into());
            }),
            ("shop: service web is no longer in the files", |now| drop(now.wanted.remove("service web"))),
            ("shop: service api is new in the files", |now| {
                now.wanted.insert("service api".into(), "cc".into());
            }),
            ("shop: the engine: version 20.10.24 → 27.1.0", |now| {
                now.seen[0].facts.insert("version".into(), "27.1.0".into());
            }),
            (
                "shop: container shop-web-1: resources.limits.memory 64M → none, state running → exited",
                |now| {
                    now.seen[1].facts = [("state".to_owned(), "exited".to_owned())].into();
                },
            ),
            ("shop: container shop-web-1: it is called web now", |now| now.seen[1].name = "web".into()),
            ("shop: container shop-web-1 is gone", |now| drop(now.seen.remove(1))),
            ("shop: container shop-web-1 is another one now (c1 → c2)", |now| now.seen[1].id = "c2".into()),
            ("shop: container shop-web-2 has appeared (created)", |now| {
                now.seen.push(thing(Kind::Container, "c2", "shop-web-2", &[("state", "created")]));
            }),
            ("shop: image web:1: the tag has moved sha256:aa → sha256:bb", |now| {
                now.seen[2].facts.insert("id".into(), "sha256:bb".into());
            }),
            ("shop: no longer a step: start container shop-web-1 (not started yet)", |now| {
                drop(now.steps.remove(0));
            }),
            ("shop: a step that is not in the plan: start container shop-db-1 (missing)", |now| {
                now.steps.push(step("shop-db-1", Cause::Missing));
            }),
            ("shop: it would wait now: PortConflict shop-web-1", |now| {
                now.waiting.push(Wait { subject: "shop-web-1".into(), reason: Reason::PortConflict });
            }),
        ];
        for (expected, change) in cases {
            assert_eq!(told(change), [expected]);
        }
    }

    #[test]
    fn a_change_that_is_another_one_is_told_from_both_sides() {
        let change = |to: &str| Change {
            service: Some("web".into()),
            field: "image".into(),
            from: Some("web:1".into()),
            to: Some(to.into()),
            impact: "rolling".into(),
            reason: "needs a new container".into(),
            containers: vec![],
        };
        let mut plan = plan();
        plan.stacks[0].changes.push(change("web:2"));
        let mut now = planned();
        now.changes.push(change("web:3"));
        assert_eq!(
            moved(&plan, &[now]),
            [
                "shop: a change that is not in the plan: web image web:1 → web:3 (rolling)",
                "shop: no longer a change: web image web:1 → web:2 (rolling)"
            ]
        );
    }

    #[test]
    fn stacks_that_come_and_go_and_another_operator_are_told() {
        let other = StackPlan { stack: StackName::from("blog"), ..planned() };
        assert_eq!(
            moved(&plan(), &[other]),
            ["the files no longer declare the stack shop", "the files declare the stack blog now"]
        );
        let older = Plan { operator: "0.0.1".into(), ..plan() };
        let told = version(&older).unwrap();
        assert!(told.starts_with("the plan was made by operator 0.0.1, and this is "), "{told}");
    }

    #[test]
    fn how_much_memory_is_used_at_the_moment_is_no_other_step() {
        let restart = |used| step("shop-web-1", Cause::Restart(WhyRestart::Memory { used, bound: 7 }));
        assert!(restart(10).is(&restart(11)));
        assert!(!restart(10).is(&step("shop-web-1", Cause::NotStarted)));
    }
}
