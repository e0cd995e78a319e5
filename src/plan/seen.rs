//! What is there, as far as it says what is to be done, in words that a person can compare.
//!
//! Of a container, its id stands for all that cannot change while it lives: environment, labels, revision. What changes by
//! itself and moves no step (how long it has run, its address, how often it was restarted) is left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::core::desired::Desired;
use crate::core::fields;
use crate::core::ids::short;
use crate::core::observed::{Attachment, Container, Health, LiveState, Observed, State};
use crate::core::spec::Resources;
use crate::core::time::Timestamp;

/// One thing that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// What it is.
    pub kind: Kind,
    /// The engine's id of it, where it has one; else its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What is known of it, by what it is about.
    pub facts: BTreeMap<String, String>,
}

/// The kinds of things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The engine itself.
    Engine,
    /// The stack, and what people laid over it.
    Stack,
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image, by the reference that the files have.
    Image,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Stack => "stack",
            Self::Container => "container",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Image => "image",
        }
    }
}

/// The fact that says which image a reference means.
pub const IMAGE_ID: &str = "id";

/// All that is there of a stack, and that decisions go by.
pub fn things(desired: &Desired, observed: &Observed, now: Timestamp) -> Vec<Thing> {
    let mut things = vec![engine(observed), stack(desired, now)];
    // One-offs of `docker compose run` come and go, and are never touched.
    let containers = observed.containers.values().filter(|container| !container.is_one_off());
    things.extend(containers.map(|it| container(it, observed)));
    for network in &observed.networks {
        let facts = [("driver", network.driver.clone())];
        things.push(thing(Kind::Network, &network.id, &network.name, facts));
    }
    for volume in observed.volumes.values() {
        // What somebody agreed to lose is this one, and no other that has its name since.
        let agreed = desired.recreate.contains(&volume.name);
        let made = volume.created_at.filter(|_| agreed).map(|at| ("made", at.to_string()));
        let facts = [("driver", volume.driver.clone())].into_iter().chain(made);
        things.push(thing(Kind::Volume, &volume.name, &volume.name, facts));
    }
    for (reference, image) in &observed.images {
        let id = image.id.iter().map(|id| (IMAGE_ID, id.to_string()));
        things.push(thing(Kind::Image, reference, reference, id));
    }
    things.sort_by(|a, b| (a.kind, &a.name, &a.id).cmp(&(b.kind, &b.name, &b.id)));
    things
}

fn thing<'f>(kind: Kind, id: &str, name: &str, facts: impl IntoIterator<Item = (&'f str, String)>) -> Thing {
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    let facts = facts.map(|(fact, value)| (fact.to_owned(), value)).collect();
    Thing { kind, id: id.to_owned(), name: name.to_owned(), facts }
}

fn engine(observed: &Observed) -> Thing {
    let info = &observed.engine;
    let facts = [("version", info.version.clone()), ("API", info.api_version.clone())];
    // Which one it is, the plan says once.
    thing(Kind::Engine, "", "", facts)
}

fn stack(desired: &Desired, now: Timestamp) -> Thing {
    let overrides = &desired.overrides;
    let mut paused = thing(Kind::Stack, "", desired.stack.as_str(), None);
    if let Some(pause) = overrides.pause(now) {
        paused.facts.insert("pause".to_owned(), pause.to_string());
    }
    for service in overrides.paused_services.keys() {
        if let Some(pause) = overrides.pause_of(service, now) {
            paused.facts.insert(format!("pause of {service}"), pause.to_string());
        }
    }
    paused
}

fn container(container: &Container, observed: &Observed) -> Thing {
    let yes = |is: bool| if is { "yes".to_owned() } else { String::new() };
    let ended = matches!(container.state, State::Exited | State::Dead);
    let facts = [
        ("service", container.service().unwrap_or_default().to_owned()),
        ("state", container.state.as_str().to_owned()),
        ("exit code", if ended { container.exit_code.to_string() } else { String::new() }),
        ("image", container.image_id.to_string()),
        ("unhealthy", yes(container.health == Some(Health::Unhealthy))),
        ("cannot be started again", yes(container.stranded)),
        ("hooks after its start are due", yes(container.starting)),
        ("does not answer", yes(observed.is_silent(&container.id))),
    ];
    let mut thing = thing(Kind::Container, container.id.as_str(), &container.name, facts);
    thing.facts.extend(limits(container, observed));
    for (network, attachment) in &container.networks {
        thing.facts.insert(format!("networks.{network}"), place(attachment));
    }
    match &container.live {
        LiveState::Unread => {}
        LiveState::Read(settings) => {
            let settings = settings.iter();
            let settings =
                settings.map(|(key, value)| (fields::live_name(key), fields::live_value(key, value)));
            thing.facts.extend(settings);
        }
        LiveState::Failed(_) => {
            thing.facts.insert("settings".to_owned(), "it does not say them".to_owned());
        }
    }
    thing
}

/// Each limit that it has, as the table of fields names and writes it.
fn limits(container: &Container, observed: &Observed) -> impl Iterator<Item = (String, String)> {
    let delta = fields::resource_changes(&Resources::default(), &container.resources, &observed.engine);
    delta.changes.into_iter().filter_map(|change| Some((change.field, change.from?)))
}

/// What a container has of a network, but for the address that the engine chose. Options may hold anything.
fn place(attachment: &Attachment) -> String {
    let endpoint = &attachment.endpoint;
    let id = short(&attachment.network_id);
    let mut words = vec![format!("on {id}")];
    let aliases: Vec<&str> = endpoint.aliases.iter().map(String::as_str).collect();
    for (word, values) in [
        ("as", aliases.join(" ")),
        (
            "at",
            [&endpoint.ipv4_address, &endpoint.ipv6_address]
                .into_iter()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
        ),
        ("with MAC", endpoint.mac_address.clone().unwrap_or_default()),
        ("linked to", endpoint.links.join(" ")),
    ] {
        if !values.is_empty() {
            words.push(format!("{word} {values}"));
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Origin, Teardown};
    use crate::core::ids::{ContainerId, ImageId, StackName};
    use crate::core::labels;
    use crate::core::observed::{Image, Network, Volume};
    use crate::core::spec::RestartPolicy;
    use crate::secret::Secret;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn world() -> Observed {
        let mut web = Container::created(ContainerId::from("c1"), "shop-web-1");
        web.labels.insert(labels::SERVICE.to_owned(), "web".to_owned());
        web.labels.insert(labels::REVISION.to_owned(), "2-canary".to_owned());
        web.state = State::Running;
        web.health = Some(Health::Healthy);
        web.started_at = Some(NOW);
        web.image_id = ImageId::from("sha256:aa");
        web.spec.environment.insert("KEY".into(), Secret::new("canary"));
        web.resources.memory = Some(64 << 20);
        web.networks
            .insert("shop_default".into(), Attachment { network_id: "n1".into(), ..Attachment::default() });
        web.live = LiveState::Read([("maxmemory".to_owned(), (1_i64 << 20).to_string())].into());
        let network = Network { id: "n1".into(), name: "shop_default".into(), ..Network::default() };
        let volume = Volume { name: "shop_data".into(), driver: "local".into(), ..Volume::default() };
        let image = Image { id: Some(ImageId::from("sha256:aa")), ..Image::default() };
        Observed {
            containers: [(web.id.clone(), web)].into(),
            networks: vec![network],
            volumes: [("shop_data".to_owned(), volume)].into(),
            images: [("web:1".to_owned(), image)].into(),
            ..Observed::default()
        }
    }

    fn desired() -> Desired {
        Desired::teardown(StackName::from("shop"), Origin::default(), Teardown::default())
    }

    /// What happens to a container.
    type Hand = fn(&mut Container);

    fn seen(change: impl FnOnce(&mut Container)) -> Vec<Thing> {
        let mut world = world();
        change(world.containers.values_mut().next().unwrap());
        things(&desired(), &world, NOW)
    }

    #[test]
    fn what_changes_by_itself_moves_nothing() {
        let before = seen(|_| {});
        let later: [Hand; 7] = [
            |it| it.started_at = Some(NOW.after(std::time::Duration::from_hours(7))),
            |it| it.restart_count = 3,
            |it| it.health = Some(Health::Starting),
            |it| it.memory_used = Some(7),
            |it| it.exit_code = 137,
            |it| it.networks.values_mut().for_each(|place| place.ip_address = "10.0.0.7".into()),
            |it| it.finished_at = Some(NOW),
        ];
        for (number, change) in later.into_iter().enumerate() {
            assert_eq!(before, seen(change), "{number}");
        }
    }

    #[test]
    fn what_somebody_does_to_a_container_moves_one_fact() {
        let before = seen(|_| {});
        let hands: [(&str, Hand); 7] = [
            ("state", |it| it.state = State::Paused),
            ("resources.limits.memory", |it| it.resources.memory = Some(128 << 20)),
            ("restart", |it| it.resources.restart = RestartPolicy::Always),
            ("networks.shop_default", |it| drop(it.networks.remove("shop_default"))),
            ("redis.maxmemory", |it| {
                it.live = LiveState::Read([("maxmemory".to_owned(), "0".to_owned())].into());
            }),
            ("unhealthy", |it| it.health = Some(Health::Unhealthy)),
            ("image", |it| it.image_id = ImageId::from("sha256:bb")),
        ];
        let facts =
            |things: &[Thing]| things.iter().find(|it| it.kind == Kind::Container).unwrap().facts.clone();
        for (fact, change) in hands {
            let (before, after) = (facts(&before), facts(&seen(change)));
            let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let moved: Vec<_> = keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).collect();
            assert_eq!(moved, [fact]);
        }
    }

    #[test]
    fn nothing_of_an_environment_and_no_hash_of_it_is_told() {
        let told = serde_json::to_string(&seen(|_| {})).unwrap();
        assert!(told.contains("64M") && !told.contains("canary"), "{told}");
    }
}
