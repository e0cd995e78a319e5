//! Images of a simulated engine, and the registry behind it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::core::desired::Build;
use crate::core::failure::FailureKind;
use crate::core::ids::ImageId;
use crate::core::observed::Image;

use super::refusal::Refusal;
use super::world::World;

/// What is here and what could be had.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Images {
    /// Tagged images by full reference.
    here: BTreeMap<String, Image>,
    /// All images by id: also those that lost their tag.
    by_id: BTreeMap<ImageId, Image>,
    /// What the registry says about a reference; it serves what it says nothing about with a made-up image.
    registry: BTreeMap<String, Option<Image>>,
    /// References whose build fails.
    broken_builds: BTreeSet<String>,
}

impl World {
    /// The image behind a reference or an id.
    pub fn image(&self, reference: &str) -> Option<&Image> {
        let images = &self.images;
        if let Some(image) = images.here.get(&full_reference(reference)) {
            return Some(image);
        }
        let id = reference.split_once('@').map_or(reference, |(_, digest)| digest);
        images.by_id.get(id)
    }

    /// Gives a tag to an image on the engine; what had it stays under its id. `docker tag`.
    pub fn tag_image(&mut self, reference: &str, image: Image) {
        let reference = full_reference(reference);
        let image = Image { tagged_at: Some(self.now()), ..with_id(image, &reference) };
        if let Some(id) = &image.id {
            self.images.by_id.insert(id.clone(), image.clone());
        }
        let attributes = BTreeMap::from([("name".to_owned(), reference.clone())]);
        let id = image.id.as_ref().map(ImageId::to_string).unwrap_or_default();
        if !reference.contains('@') {
            self.images.here.insert(reference, image);
        }
        self.log("image", "tag", &id, attributes);
    }

    /// Takes a tag off the engine. `docker rmi`.
    pub fn untag_image(&mut self, reference: &str) {
        self.images.here.remove(&full_reference(reference));
    }

    /// Puts an image into the registry: the next pull of the reference brings it.
    pub fn publish_image(&mut self, reference: &str, image: Image) {
        let reference = full_reference(reference);
        let image = with_id(image, &reference);
        self.images.registry.insert(reference, Some(image));
    }

    /// Takes a reference out of the registry: the next pull of it fails.
    pub fn unpublish_image(&mut self, reference: &str) {
        self.images.registry.insert(full_reference(reference), None);
    }

    /// Breaks or repairs the build of a reference.
    pub fn break_build(&mut self, reference: &str, broken: bool) {
        if broken {
            self.images.broken_builds.insert(full_reference(reference));
        } else {
            self.images.broken_builds.remove(&full_reference(reference));
        }
    }

    pub(super) fn pull_image(&mut self, reference: &str) -> Result<(), Refusal> {
        let full = full_reference(reference);
        let image = match self.images.registry.get(&full) {
            Some(Some(image)) => image.clone(),
            Some(None) => {
                return Err(Refusal::new(
                    FailureKind::ImageNotFound,
                    format_args!("manifest for {full} not found: manifest unknown"),
                ));
            }
            // A tag that is here already does not move by itself.
            None => self.images.here.get(&full).cloned().unwrap_or_default(),
        };
        self.check_disk()?;
        self.tag_image(reference, image);
        let attributes = BTreeMap::from([("name".to_owned(), full.clone())]);
        self.log("image", "pull", &full, attributes);
        Ok(())
    }

    pub(super) fn build_image(&mut self, reference: &str, build: &Build) -> Result<(), Refusal> {
        if self.images.broken_builds.contains(&full_reference(reference)) {
            return Err(Refusal::new(
                FailureKind::BuildFailed,
                "The command '/bin/sh -c make' returned a non-zero code: 2",
            ));
        }
        self.check_disk()?;
        // The same instructions give the same image, as with a build cache.
        let recipe = serde_json::to_string(build).unwrap_or_default();
        let image = Image { id: Some(id_of(&format!("{reference}\n{recipe}"))), ..Image::default() };
        for tag in &build.tags {
            self.tag_image(tag, image.clone());
        }
        self.tag_image(reference, image);
        Ok(())
    }

    /// Keeps an image that is known by its id only.
    pub(super) fn add_untagged_image(&mut self, id: &ImageId, image: Image) {
        self.images.by_id.entry(id.clone()).or_insert(image);
    }
}

fn with_id(image: Image, reference: &str) -> Image {
    match image.id {
        Some(_) => image,
        None => Image { id: Some(made_up_id(reference)), ..image },
    }
}

fn made_up_id(reference: &str) -> ImageId {
    match reference.split_once('@') {
        Some((_, digest)) => ImageId::from(digest),
        None => id_of(reference),
    }
}

fn id_of(text: &str) -> ImageId {
    ImageId::new(format!("sha256:{}", hex::encode(Sha256::digest(text))))
}

/// A reference with what Docker leaves out: `redis` is `redis:latest`.
fn full_reference(reference: &str) -> String {
    let reference = reference.strip_prefix("docker.io/").unwrap_or(reference);
    let reference = reference.strip_prefix("library/").unwrap_or(reference);
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::Timestamp;

    #[test]
    fn a_reference_means_the_same_in_its_short_and_its_long_form() {
        for (short, long) in [
            ("redis", "docker.io/library/redis:latest"),
            ("redis:7", "library/redis:7"),
            ("host:5000/app", "host:5000/app:latest"),
            ("app@sha256:00", "app@sha256:00"),
        ] {
            assert_eq!(full_reference(short), full_reference(long));
        }
    }

    #[test]
    fn a_tag_moves_and_what_had_it_stays_under_its_id() {
        let mut world = World::new(1, Timestamp::default());
        world.pull_image("web").unwrap();
        let old = world.image("web").and_then(|image| image.id.clone()).unwrap();
        world.pull_image("web:latest").unwrap();
        assert_eq!(world.image("web").unwrap().id.as_ref(), Some(&old), "nothing new in the registry");
        world.publish_image("web", Image { id: Some("sha256:new".into()), ..Image::default() });
        assert_eq!(world.image("web").unwrap().id.as_ref(), Some(&old), "not pulled yet");
        world.pull_image("web").unwrap();
        assert_eq!(world.image("web").unwrap().id, Some("sha256:new".into()));
        assert!(world.image(old.as_str()).is_some());
        assert!(world.image(&format!("web@{old}")).is_some());
    }

    #[test]
    fn what_the_registry_has_not_is_not_found_until_it_has_it() {
        let mut world = World::new(1, Timestamp::default());
        world.unpublish_image("web:2");
        assert_eq!(world.pull_image("web:2").unwrap_err().kind, FailureKind::ImageNotFound);
        world.publish_image("web:2", Image::default());
        world.pull_image("web:2").unwrap();
        world.set_disk_full(true);
        assert_eq!(world.pull_image("web:3").unwrap_err().kind, FailureKind::DiskFull);
    }

    #[test]
    fn the_same_build_gives_the_same_image() {
        let mut world = World::new(1, Timestamp::default());
        let id = |world: &World| world.image("app").unwrap().id.clone();
        let build = Build { context: ".".into(), ..Build::default() };
        world.build_image("app", &build).unwrap();
        let first = id(&world);
        world.build_image("app", &build).unwrap();
        assert_eq!(id(&world), first);
        world.build_image("app", &Build { no_cache: true, ..build.clone() }).unwrap();
        assert_ne!(id(&world), first);
        world.break_build("app", true);
        assert_eq!(world.build_image("app", &build).unwrap_err().kind, FailureKind::BuildFailed);
    }
}
