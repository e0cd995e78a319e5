//! How a container comes to be from what was asked and what its image gives.

use std::collections::BTreeMap;

use crate::core::action::NewContainer;
use crate::core::failure::FailureKind;
use crate::core::ids::{ContainerId, ImageId};
use crate::core::labels;
use crate::core::needs::{self, ApiVersion};
use crate::core::observed::{Attachment, Container, Image};
use crate::core::spec::{ContainerSpec, Endpoint, Healthcheck, Resources};

use super::containers::SimContainer;
use super::networks::{PREDEFINED, shown};
use super::refusal::Refusal;
use super::resources;
use super::world::World;

impl World {
    /// Makes a container. Missing named volumes are made, as Docker does; a missing network is only found
    /// missing at the start, as with Docker. What is wrong is found in Docker's order.
    pub fn create_container(&mut self, new: &NewContainer) -> Result<ContainerId, Refusal> {
        if let Some(need) =
            needs::of_container(&new.spec, &new.networks).iter().find(|need| !need.is_met(&self.info))
        {
            let owner = format!("container {}", new.name);
            return Err(Refusal::invalid(need.sentence(&owner, &self.info)));
        }
        let limits = resources::created(&new.resources, self.info.cpus)?;
        let image = self.image(&new.spec.image).cloned().ok_or_else(|| {
            Refusal::new(FailureKind::ImageNotFound, format_args!("No such image: {}", new.spec.image))
        })?;
        if let Some(id) = self.made_before(new) {
            return Ok(id);
        }
        self.check_name_free(&new.name)?;
        self.check_disk()?;
        let mut spec = with_defaults(&new.spec, &image.defaults, &new.labels);
        let inherited = self.inherited_volumes(&spec.volumes_from)?;
        let own = self.provide_volumes(&mut spec.mounts)?;
        let mut anonymous = own.clone();
        for (path, volume) in inherited {
            if !spec.mounts.contains_key(&path) {
                anonymous.insert(path, volume);
            }
        }
        let mut sim = SimContainer::new(self.as_made(new, &image, spec, limits));
        sim.container.anonymous = own;
        sim.anonymous = anonymous;
        sim.home = new.first_network().map(|(name, _)| name.clone());
        let id = sim.container.id.clone();
        self.index.names.insert(new.name.clone(), id.clone());
        self.containers.insert(id.clone(), sim);
        self.tell(&id, "create", &[]);
        Ok(id)
    }

    /// A container as it is right after it was made.
    fn as_made(
        &mut self,
        new: &NewContainer,
        image: &Image,
        spec: ContainerSpec,
        resources: Resources,
    ) -> Container {
        let mut all_labels = image.defaults.labels.clone();
        all_labels.extend(new.labels.iter().map(|(key, value)| (key.clone(), value.clone())));
        let mut container = Container {
            labels: all_labels,
            created_at: self.now,
            image_id: image.id.clone().unwrap_or_else(|| ImageId::from("")),
            spec,
            resources,
            networks: self.attachments(new),
            ..Container::created(ContainerId::new(self.fresh_id()), new.name.clone())
        };
        set_network_mode(&mut container);
        container
    }

    /// The volumes that come with `volumes_from`, by path.
    fn inherited_volumes(&self, from: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        let mut volumes = BTreeMap::new();
        for reference in from {
            let reference = reference.strip_prefix("container:").unwrap_or(reference);
            let name = reference.split(':').next().unwrap_or(reference);
            let sim = self
                .containers
                .get(name)
                .or_else(|| self.named(name))
                .ok_or_else(|| Refusal::missing("container", name))?;
            for path in sim.container.spec.mounts.keys().chain(sim.anonymous.keys()) {
                if let Some(volume) = sim.volume_at(path) {
                    volumes.insert(path.clone(), volume.to_owned());
                }
            }
        }
        Ok(volumes)
    }

    /// The container that an earlier call made, whose answer was lost: with just these labels, never started.
    fn made_before(&self, new: &NewContainer) -> Option<ContainerId> {
        let sim = self.named(&new.name)?;
        let labels = &sim.container.labels;
        let ours = new.labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        let never_ran = sim.container.started_at.is_none();
        (ours && never_ran && !new.labels.is_empty()).then(|| sim.container.id.clone())
    }

    /// The networks that go into the create call: one, on older engines. They show no id before the start.
    fn attachments(&self, new: &NewContainer) -> BTreeMap<String, Attachment> {
        let attach = |(name, endpoint): (&String, &Endpoint)| {
            (name.clone(), Attachment { endpoint: shown(endpoint), ..Attachment::default() })
        };
        if self.api() >= ApiVersion::MANY_NETWORKS {
            new.networks.iter().map(attach).collect()
        } else {
            new.first_network().into_iter().map(attach).collect()
        }
    }
}

/// A mode that is a network's name puts the container on that network; no mode at all is the bridge.
fn set_network_mode(container: &mut Container) {
    match container.spec.network_mode.take() {
        None if container.networks.is_empty() => container.spec.network_mode = Some("bridge".into()),
        None => {}
        Some(mode) if mode.contains(':') || PREDEFINED.contains(&mode.as_str()) => {
            container.spec.network_mode = Some(mode);
        }
        Some(network) => drop(container.networks.entry(network).or_default()),
    }
}

/// What was asked over what the image gives, by Docker's rules.
fn with_defaults(
    asked: &ContainerSpec,
    image: &ContainerSpec,
    all_labels: &BTreeMap<String, String>,
) -> ContainerSpec {
    let mut spec = asked.clone();
    // An entry point of its own takes none of the image's arguments.
    if spec.entrypoint.is_none() {
        spec.entrypoint.clone_from(&image.entrypoint);
        spec.command = spec.command.or_else(|| image.command.clone());
    }
    for (key, value) in &image.environment {
        spec.environment.entry(key.clone()).or_insert_with(|| value.clone());
    }
    spec.labels = image.labels.clone();
    spec.labels.extend(
        all_labels
            .iter()
            .filter(|(key, _)| !labels::is_reserved(key))
            .map(|(key, value)| (key.clone(), value.clone())),
    );
    spec.expose.extend(image.expose.iter().cloned());
    for (path, mount) in &image.mounts {
        spec.mounts.entry(path.clone()).or_insert_with(|| mount.clone());
    }
    spec.healthcheck = merge_healthcheck(spec.healthcheck, image.healthcheck.as_ref());
    spec.user = spec.user.or_else(|| image.user.clone());
    spec.working_dir = spec.working_dir.or_else(|| image.working_dir.clone());
    spec.stop_signal = spec.stop_signal.or_else(|| image.stop_signal.clone());
    spec
}

fn merge_healthcheck(asked: Option<Healthcheck>, image: Option<&Healthcheck>) -> Option<Healthcheck> {
    let (Some(mut check), Some(image)) = (asked.clone(), image) else {
        return asked.or_else(|| image.cloned());
    };
    if check.test.is_empty() {
        check.test.clone_from(&image.test);
    }
    for (asked, image) in [
        (&mut check.interval, image.interval),
        (&mut check.timeout, image.timeout),
        (&mut check.start_period, image.start_period),
        (&mut check.start_interval, image.start_interval),
        (&mut check.retries, image.retries),
    ] {
        if *asked == 0 {
            *asked = image;
        }
    }
    Some(check)
}

/// An image of which nothing is known but its id.
pub(super) fn bare_image(id: &ImageId) -> Image {
    Image { id: Some(id.clone()), ..Image::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn check(test: &str, interval: i64) -> Healthcheck {
        Healthcheck { test: vec!["CMD".into(), test.into()], interval, ..Healthcheck::default() }
    }

    #[test]
    fn what_was_asked_wins_over_the_image() {
        let image = ContainerSpec {
            command: Some(vec!["serve".into()]),
            entrypoint: Some(vec!["/entry".into()]),
            environment: BTreeMap::from([
                ("A".into(), Secret::new("image")),
                ("B".into(), Secret::new("image")),
            ]),
            labels: BTreeMap::from([("from".into(), "image".into())]),
            healthcheck: Some(check("image", 5)),
            user: Some("app".into()),
            ..ContainerSpec::default()
        };
        let asked = ContainerSpec {
            environment: BTreeMap::from([("A".into(), Secret::new("asked"))]),
            ..ContainerSpec::default()
        };
        let labels = BTreeMap::from([
            ("mine".to_owned(), "yes".to_owned()),
            (labels::PROJECT.to_owned(), "shop".to_owned()),
        ]);
        let spec = with_defaults(&asked, &image, &labels);
        assert_eq!(spec.command, image.command);
        assert_eq!(spec.entrypoint, image.entrypoint);
        assert_eq!(spec.environment.values().map(Secret::expose).collect::<Vec<_>>(), ["asked", "image"]);
        assert_eq!(spec.labels.keys().collect::<Vec<_>>(), ["from", "mine"]);
        assert_eq!(spec.healthcheck, image.healthcheck);

        let own = ContainerSpec { entrypoint: Some(vec!["/own".into()]), ..ContainerSpec::default() };
        assert_eq!(with_defaults(&own, &image, &labels).command, None);
    }

    #[test]
    fn a_health_check_inherits_what_it_does_not_say() {
        let image = check("image", 5);
        for (asked, expected) in [
            (None, Some(image.clone())),
            (Some(Healthcheck { interval: 9, ..Healthcheck::default() }), Some(check("image", 9))),
            (Some(check("own", 0)), Some(check("own", 5))),
        ] {
            assert_eq!(merge_healthcheck(asked, Some(&image)), expected);
        }
        assert_eq!(merge_healthcheck(None, None), None);
    }
}
