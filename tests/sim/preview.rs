//! What a preview says of changes, and that it says all of them.

use compose_operator::core::desired::{Desired, Network};
use compose_operator::core::diff::{Change, Impact, diff};
use compose_operator::core::spec::{Endpoint, RestartPolicy};
use compose_operator::core::view::View;

use crate::stage::{Stage, Words, service, stack, with};

fn changes(stage: &Stage, desired: &Desired) -> Vec<Change> {
    let observed = stage.observe(desired);
    diff(&View::new(desired, &observed))
}

/// `service field`, what is, what should be, at what cost.
fn told(stage: &Stage, desired: &Desired) -> Vec<(String, String, Impact)> {
    let text = |change: Change| {
        let name = change.service.map_or_else(|| "(stack)".to_owned(), |name| name.to_string());
        let values = [change.from, change.to].map(|value| value.unwrap_or_else(|| "-".to_owned()));
        (format!("{name} {}", change.field), values.join(" → "), change.impact)
    };
    changes(stage, desired).into_iter().map(text).collect()
}

fn line(what: &str, values: &str, impact: Impact) -> (String, String, Impact) {
    (what.to_owned(), values.to_owned(), impact)
}

#[test]
fn what_comes_with_a_new_container_is_listed_beside_what_needs_it() {
    let stage = Stage::new();
    stage.converge(&with(stack(), "web", service(1)));
    let mut desired = with(
        stack(),
        "web",
        service(1).env("E", "x").memory(30 << 20).but(|service| {
            service.resources.restart = RestartPolicy::Always;
            service.networks.insert("shop_back".into(), Endpoint::default());
        }),
    );
    desired.networks.insert("back".into(), Network { name: "shop_back".into(), ..Network::default() });
    assert_eq!(
        told(&stage, &desired),
        [
            line("(stack) networks.shop_back", "- → created", Impact::InPlace),
            line("web environment.E", "- → (hidden)", Impact::Rolling),
            line("web resources.limits.memory", "- → 30M", Impact::Rolling),
            line("web restart", "unless-stopped → always", Impact::Rolling),
            line("web networks.shop_back", "- → connected", Impact::Rolling),
        ]
    );
    stage.converge(&desired);
    assert_eq!(told(&stage, &desired), []);
}
