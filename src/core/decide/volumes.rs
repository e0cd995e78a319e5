//! Volumes: made, and where somebody has agreed to it, made anew.

use super::super::action::{Call, Cause, Precondition};
use super::super::ids::ServiceName;
use super::super::observed::Container;
use super::super::reason::Reason;
use super::super::volumes::Differing;
use super::super::{create, labels};
use super::Planner;

impl Planner<'_> {
    pub(super) fn volumes(&mut self) {
        let differing = self.differing.volumes;
        for (key, volume) in &self.desired.volumes {
            if self.observed.volumes.contains_key(&volume.name) {
                if let Some(differing) = differing.iter().find(|it| it.key == key) {
                    self.replace_volume(differing);
                }
                continue;
            }
            if volume.external {
                let message = format!(
                    "external volume {} does not exist: create it with `docker volume create {}`",
                    volume.name, volume.name
                );
                self.wait(None, &volume.name, Reason::ExternalMissing, message, None);
                continue;
            }
            let labels =
                create::object_labels(self.desired, labels::VOLUME, key, &volume.config_hash, &volume.labels);
            let call = Call::CreateVolume { volume: Box::new(volume.clone()), labels };
            self.act(None, call, Cause::Missing, Precondition::None);
        }
    }

    /// Says that a volume is kept. Or, where somebody has agreed to lose it, stops and removes the containers that have it, and
    /// removes it when none has. It is made anew as one that is missing, and its services come up as whenever they are not there.
    fn replace_volume(&mut self, differing: &Differing<'_>) {
        let name = &differing.found.name;
        if let Some(message) = differing.kept() {
            self.wait(None, name, Reason::VolumeDiffers, message, None).stuck = !differing.passes();
            return;
        }
        let cause = || Cause::Changed { fields: differing.fields(), by_hand: false };
        for (service, container) in &differing.members {
            self.unsettled(container);
            self.retire(Some(service), container, cause());
        }
        if differing.members.is_empty() {
            let call = Call::RemoveVolume { name: name.clone() };
            self.act(None, call, cause(), Precondition::None);
        }
    }

    /// Whether a volume is there that a new container may have.
    pub(super) fn has_volume(&self, name: &str) -> bool {
        let is_going = self.differing.volumes.iter().any(|it| it.found.name == name && it.is_going());
        self.observed.volumes.contains_key(name) && !is_going
    }

    /// Whether a container is about to go, for a volume of it to be made anew.
    pub(super) fn makes_way(&mut self, name: &ServiceName, container: &Container) -> bool {
        let has = |it: &&Differing<'_>| it.members.iter().any(|(_, member)| member.id == container.id);
        let Some(volume) = self.differing.volumes.iter().filter(|it| it.is_going()).find(has) else {
            return false;
        };
        let message = format!("its volume {} is made anew: it goes first", volume.found.name);
        self.wait(Some(name), &container.name, Reason::InProgress, message, None);
        true
    }
}
