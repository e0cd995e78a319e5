//! Images: that each is here, and as fresh as it should be, before a container is made from it.

use super::Planner;
use crate::core::action::{Call, Cause, Precondition};
use crate::core::builder;
use crate::core::desired::{Build, PullPolicy, Service};
use crate::core::ids::ServiceName;
use crate::core::reason::Reason;

impl Planner<'_> {
    /// Whether the image is here, and as fresh as its pull policy wants it for a new container.
    pub(super) fn has_image(&self, service: &Service) -> bool {
        let Some(image) = self.observed.image_of(service) else { return false };
        let prepared = || self.memory.is_prepared(service.image_reference());
        // What cannot be fetched and can be built is as fresh as it gets, as with Compose.
        let no_fresher = || self.build_of(service).is_some() && self.pull_failed(service);
        match service.image.pull_policy {
            PullPolicy::Missing | PullPolicy::Never => true,
            PullPolicy::Build => prepared() || self.build_of(service).is_none(),
            PullPolicy::Always => prepared() || service.image.nameless || no_fresher(),
            PullPolicy::Every(age) => {
                let young = image.tagged_at.is_some_and(|at| self.now.since(at) < age);
                young || prepared() || service.image.nameless || no_fresher()
            }
        }
    }

    /// Whether every image is here that a new container will be made from; starts what is missing.
    pub(super) fn images(&mut self) -> bool {
        let view = self.view;
        let growing: Vec<_> = view
            .services()
            .filter(|(_, service, replicas)| replicas.current.len() < service.wanted())
            .map(|(name, service, _)| (name, service))
            .collect();
        let missing: Vec<_> =
            growing.iter().copied().filter(|(_, service)| !self.has_image(service)).collect();
        // What cannot be built here at all is heard of before anything is fetched or built.
        let mut sound = true;
        for (name, service) in &missing {
            sound &= self.can_build(name, service);
        }
        if !sound {
            return false;
        }
        for (name, service) in &missing {
            self.image(name, service);
        }
        growing
            .into_iter()
            .fold(missing.is_empty(), |here, (name, service)| self.mounted_images(name, service) && here)
    }

    /// Whether the images are here that are mounted into its containers; starts what is missing.
    pub(super) fn mounted_images(&mut self, name: &ServiceName, service: &Service) -> bool {
        let mut all = true;
        for reference in service.spec.mounted_images() {
            if !self.observed.images.contains_key(reference) {
                all = false;
                self.prepare(name, Call::PullImage { reference: reference.to_owned(), platform: None });
            }
        }
        all
    }

    /// Whether the engine can build the image as it is asked for; says why not.
    fn can_build(&mut self, name: &ServiceName, service: &Service) -> bool {
        let refused = self.build_of(service).and_then(|build| builder::refusal(build, &self.observed.engine));
        let Some(message) = refused else { return true };
        self.wait(Some(name), service.image_reference(), Reason::BuildFailed, message, None).stuck = true;
        false
    }

    /// Fetches or builds an image, by Compose's rules: what has a name is looked for in its registry first, and
    /// built where it is not there.
    pub(super) fn image(&mut self, name: &ServiceName, service: &Service) {
        let reference = service.image_reference().to_owned();
        let policy = service.image.pull_policy;
        let may_pull = !service.image.nameless && !matches!(policy, PullPolicy::Never | PullPolicy::Build);
        let build = self.build_of(service).cloned();
        let call = match build {
            Some(build) if !may_pull || self.pull_failed(service) => {
                if !self.can_build(name, service) || !self.has_contexts(&build) {
                    return;
                }
                Call::BuildImage { reference, build: Box::new(build) }
            }
            None if !may_pull => {
                let policy = if policy == PullPolicy::Build { "build" } else { "never" };
                let message =
                    format!("image {reference} is not here and pull_policy is `{policy}`: build or load it");
                self.wait(Some(name), reference, Reason::ImageMissing, message, None);
                return;
            }
            _ => pull(service),
        };
        self.prepare(name, call);
    }

    /// Makes an image be here. Services that share an image share the call, which is made for one that is not left as it
    /// is.
    fn prepare(&mut self, name: &ServiceName, call: Call) {
        let key = call.key();
        let same = self.decision.actions.iter().position(|action| action.call.key() == key);
        let Some(same) = same else {
            return self.act(Some(name), call, Cause::Missing, Precondition::None);
        };
        let made_for = self.decision.actions.get(same).and_then(|action| action.service.clone());
        if made_for.is_some_and(|service| self.is_left_alone(&service))
            && let Some(action) = self.decision.actions.get_mut(same)
        {
            action.service = Some(name.clone());
        }
    }

    /// Whether nothing is done for a service, whatever is to be done.
    fn is_left_alone(&self, service: &ServiceName) -> bool {
        self.desired.overrides.forbids(Some(service), self.now)
            || self.own_container().is_some_and(|own| own.service() == Some(service.as_str()))
    }

    /// Whether the images are here that a build takes files from; starts what is missing.
    fn has_contexts(&mut self, build: &Build) -> bool {
        let mut all = true;
        for name in &build.after {
            let Some(service) = self.desired.services.get(name) else { continue };
            if !self.has_image(service) {
                all = false;
                self.image(name, service);
            }
        }
        all
    }

    /// How an image is built: as its service says, else as another says that has the same image.
    fn build_of<'s>(&'s self, service: &'s Service) -> Option<&'s Build> {
        let same = |other: &&Service| other.spec.image == service.spec.image;
        let others =
            || self.desired.services.values().filter(same).find_map(|other| other.image.build.as_ref());
        service.image.build.as_ref().or_else(others)
    }

    /// Whether the image was looked for in its registry in vain.
    fn pull_failed(&self, service: &Service) -> bool {
        !service.image.nameless && self.memory.failed(&pull(service)).is_some()
    }
}

fn pull(service: &Service) -> Call {
    Call::PullImage {
        reference: service.image_reference().to_owned(),
        platform: service.spec.platform.clone(),
    }
}
