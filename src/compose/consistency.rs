//! What no single attribute shows: references to what is not there, values that exclude each other,
//! dependencies in a circle.

mod references;

use std::collections::BTreeMap;

use self::references::Names;
use super::errors::{Diagnostic, Faults, nearest_or_all};
use super::model::{Model, Service};
use super::yaml::{Node, Span};

/// What a check looks at.
pub(crate) struct Context<'a> {
    /// The model with its enabled services.
    pub(crate) model: &'a Model,
    /// The disabled ones.
    pub(crate) disabled: &'a BTreeMap<String, Service>,
    /// The tree, for places.
    pub(crate) tree: &'a Node,
    /// True when something could not be taken in: what nobody defines may be in there.
    pub(crate) incomplete: bool,
}

impl Context<'_> {
    /// The place of a path, or of the nearest above that has one.
    fn place(&self, path: &[&str]) -> &Span {
        let found = (0..=path.len()).rev().find_map(|depth| self.tree.lookup(&path[..depth]));
        &found.unwrap_or(self.tree).span
    }

    /// A fault at the place of a path.
    fn fault(&self, path: &[&str], message: String) -> Diagnostic {
        let about: Vec<&str> = path.iter().take(3).copied().collect();
        Diagnostic::at(self.place(path), message).about(about.join("."))
    }

    /// A fault at a key; at the value where the key is not the file's own.
    fn fault_at_key(&self, path: &[&str], message: String) -> Diagnostic {
        let fault = self.fault(path, message);
        match self.tree.lookup_key(path).filter(|key| !key.bytes.is_empty()) {
            Some(key) => fault.moved_to(key),
            None => fault,
        }
    }

    /// Checks everything; gathers the faults of all services.
    pub(crate) fn check(&self, faults: &mut Faults) {
        let mut all = Faults::default();
        let names = Names::of(self.model);
        for (name, service) in &self.model.services {
            let broken = self.incomplete || faults.any_about(&format!("services.{name}"));
            self.check_source(name, service, broken, &mut all);
            self.check_healthcheck(name, service, &mut all);
            self.check_dependencies(name, service, faults, &mut all);
            self.check_references(name, service, &names, faults, &mut all);
            self.check_agreement(name, service, faults, &mut all);
            self.check_mounts(name, service, &mut all);
            self.check_watch(name, service, &mut all);
        }
        self.check_container_names(&mut all);
        for (name, secret) in &self.model.secrets {
            if !secret.external
                && secret.file.is_empty()
                && secret.environment.is_empty()
                && secret.content.is_empty()
                && !faults.any_about(&format!("secrets.{name}"))
            {
                let message = format!("secret \"{name}\" must declare either `file` or `environment`");
                let fault = self.fault_at_key(&["secrets", name], message);
                all.push(fault.help("say where it comes from: `file: PATH` or `environment: VARIABLE`"));
            }
        }
        self.check_cycles(&mut all);
        faults.keep(all.gathered());
    }

    fn check_source(&self, name: &str, service: &Service, broken: bool, faults: &mut Faults) {
        if let Some(build) = &service.build {
            if !build.dockerfile.is_empty() && !build.dockerfile_inline.is_empty() {
                let message = format!(
                    "service \"{name}\" declares mutually exclusive dockerfile and dockerfile_inline"
                );
                let path = ["services", name, "build", "dockerfile_inline"];
                faults.push(self.fault_at_key(&path, message).help("keep one of the two"));
            }
            self.check_contexts(name, &build.additional_contexts, faults);
            if !service.platform.is_empty()
                && !build.platforms.is_empty()
                && !build.platforms.contains(&service.platform)
            {
                let message =
                    format!("service \"{name}\": build.platforms must include the platform of the service");
                faults.push(
                    self.fault(&["services", name, "build", "platforms"], message)
                        .second(self.place(&["services", name, "platform"]), "the platform")
                        .help(format!("add `{}` to the list", service.platform)),
                );
            }
        }
        if service.image.is_empty() && service.build.is_none() && service.provider.is_none() && !broken {
            let message = format!("service \"{name}\" has neither an image nor a build context specified");
            let fault = self.fault_at_key(&["services", name], message);
            faults.push(fault.help("add an attribute: `image` or `build`"));
        }
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message =
                format!("service \"{name}\" declares mutually exclusive `network_mode` and `networks`");
            let fault = self.fault_at_key(&["services", name, "network_mode"], message);
            let networks = self.tree.lookup_key(&["services", name, "networks"]);
            let networks = networks.unwrap_or_else(|| self.place(&["services", name, "networks"]));
            faults.push(fault.second(networks, "the other one").help("keep one of the two"));
        }
    }

    /// A context that is a service has to be built itself.
    fn check_contexts(&self, name: &str, contexts: &BTreeMap<String, String>, faults: &mut Faults) {
        for (key, value) in contexts {
            let Some(target) = value.strip_prefix("service:") else { continue };
            let (problem, help) = match self.model.services.get(target) {
                None if self.incomplete => continue,
                None => ("unknown", self.services_like(target, name)),
                Some(other) if other.build.is_none() => (
                    "non-buildable",
                    format!("give `{target}` a `build`, or name its image: docker-image://…"),
                ),
                Some(_) => continue,
            };
            let message = format!(
                "service \"{name}\" declares {problem} service \"{target}\" as additional contexts {key}"
            );
            let path = ["services", name, "build", "additional_contexts", key];
            faults.push(self.fault(&path, message).help(help));
        }
    }

    /// The services that another one may mean by a name.
    fn services_like(&self, wanted: &str, by: &str) -> String {
        let names = self.model.services.keys().chain(self.disabled.keys());
        nearest_or_all(wanted, names.map(String::as_str).filter(|name| *name != by))
    }

    fn check_healthcheck(&self, name: &str, service: &Service, faults: &mut Faults) {
        let first = service.healthcheck.as_ref().and_then(|check| check.test.first());
        if let Some(first) = first.filter(|first| !matches!(first.as_str(), "NONE" | "CMD" | "CMD-SHELL")) {
            let message = format!(
                "services.{name}: healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\""
            );
            let fault = self.fault(&["services", name, "healthcheck", "test", "0"], message);
            faults.push(fault.help(format!("write [\"CMD\", \"{first}\", …], or one string for a shell")));
        }
    }

    /// Attributes that say the same have to agree.
    fn check_agreement(&self, name: &str, service: &Service, earlier: &Faults, faults: &mut Faults) {
        let replicas = service.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.check_container_name(name, service, service.scale.or(replicas), faults);
        let Some(deploy) = &service.deploy else { return };
        // Limits that leave this one out say another number, to the reference: none.
        let differ = |ours: i64, theirs: i64| ours != 0 && ours != theirs;
        let scales = match (service.scale, replicas) {
            (Some(scale), Some(replicas)) => scale != replicas,
            _ => false,
        };
        let mut distinct = vec![("scale", &["replicas"][..], scales)];
        if let Some(limits) = &deploy.resources.limits {
            let cpus = service.cpus.0 != 0.0 && limits.cpus != service.cpus;
            distinct.extend([
                ("cpus", &["resources", "limits", "cpus"][..], cpus),
                (
                    "mem_limit",
                    &["resources", "limits", "memory"],
                    differ(service.mem_limit.0, limits.memory.0),
                ),
                ("pids_limit", &["resources", "limits", "pids"], differ(service.pids_limit, limits.pids)),
            ]);
        }
        if let Some(reservations) = &deploy.resources.reservations {
            let memory = differ(service.mem_reservation.0, reservations.memory.0);
            distinct.push(("mem_reservation", &["resources", "reservations", "memory"], memory));
        }
        for (attribute, path, _) in distinct.into_iter().filter(|(.., differs)| *differs) {
            let other = format!("deploy.{}", path.join("."));
            if earlier.any_about(&format!("services.{name}.{other}")) {
                // What it says could not be read.
                continue;
            }
            let message =
                format!("services.{name}: can't set distinct values on '{attribute}' and '{other}'");
            let path = [&["services", name, "deploy"], path].concat();
            let (label, help) = match self.tree.lookup(&path) {
                Some(_) => ("the other value", "keep one of the two".to_owned()),
                None => ("says nothing of it", format!("write it as `{other}` instead")),
            };
            let fault = self.fault(&["services", name, attribute], message);
            faults.push(fault.second(self.place(&path), label).help(help));
        }
    }

    fn check_container_name(&self, name: &str, service: &Service, scale: Option<i64>, faults: &mut Faults) {
        if service.container_name.is_empty() || scale.is_none_or(|scale| scale <= 1) {
            return;
        }
        let message = format!(
            "services.{name}: container_name and more than one container: a container name must be unique"
        );
        let scale = self.tree.lookup(&["services", name, "scale"]);
        let replicas = self.tree.lookup(&["services", name, "deploy", "replicas"]);
        let mut fault = self.fault(&["services", name, "container_name"], message);
        if let Some(number) = scale.or(replicas) {
            fault = fault.second(&number.span, "more than one");
        }
        faults.push(fault.help("remove `container_name`"));
    }

    /// Two services cannot have the same container.
    fn check_container_names(&self, faults: &mut Faults) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, service) in &self.model.services {
            if service.container_name.is_empty() {
                continue;
            }
            let Some(first) = seen.insert(&service.container_name, name) else { continue };
            let message = format!(
                "services.{name}: container name \"{}\" is already in use by service {first}",
                service.container_name
            );
            faults.push(
                self.fault(&["services", name, "container_name"], message)
                    .second(self.place(&["services", first, "container_name"]), "first here")
                    .help("give one of the two another name, or remove `container_name`"),
            );
        }
    }

    /// Two mounts cannot be at the same place.
    fn check_mounts(&self, name: &str, service: &Service, faults: &mut Faults) {
        let mut seen: BTreeMap<&str, (&str, usize)> = BTreeMap::new();
        let temporary = service.tmpfs.iter().enumerate();
        let temporary =
            temporary.map(|(index, mount)| (mount.split(':').next().unwrap_or_default(), ("tmpfs", index)));
        let volumes = service.volumes.iter().enumerate();
        let volumes = volumes.map(|(index, mount)| (mount.target.as_str(), ("volumes", index)));
        for (target, place @ (attribute, index)) in temporary.chain(volumes) {
            let Some((first, position)) = seen.get(target).copied() else {
                seen.insert(target, place);
                continue;
            };
            let message = format!(
                "services.{name}.{attribute}[{index}]: target {target} already mounted as {first}[{position}]"
            );
            faults.push(
                self.fault(&["services", name, attribute, &index.to_string()], message)
                    .label("mounted over the other one")
                    .second(
                        self.place(&["services", name, first, &position.to_string()]),
                        "first mounted here",
                    )
                    .help("remove one of the two, or give it a target of its own"),
            );
        }
    }

    fn check_watch(&self, name: &str, service: &Service, faults: &mut Faults) {
        let watches = service.develop.iter().flat_map(|develop| &develop.watch);
        for (index, watch) in watches.enumerate() {
            if watch.action != "rebuild" && watch.action != "restart" && watch.target.is_empty() {
                let message =
                    format!("services.{name}.develop.watch: target is required for non-rebuild actions");
                let path = ["services", name, "develop", "watch", &index.to_string(), "action"];
                faults.push(self.fault(&path, message).help("add an attribute: `target`"));
            }
        }
    }
}
