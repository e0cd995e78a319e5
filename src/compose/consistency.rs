//! What no single attribute shows: references to what is not there, values that exclude each other,
//! dependencies in a circle.

use std::collections::BTreeMap;

use super::errors::{Diagnostic, Result};
use super::model::{Model, Service};
use super::yaml::Node;

/// What a check looks at.
pub(crate) struct Context<'a> {
    /// The model with its enabled services.
    pub(crate) model: &'a Model,
    /// The disabled ones.
    pub(crate) disabled: &'a BTreeMap<String, Service>,
    /// The tree, for places.
    pub(crate) tree: &'a Node,
}

impl Context<'_> {
    /// A fault at the place of a path.
    fn fault(&self, path: &[&str], message: String) -> Diagnostic {
        let mut depth = path.len();
        loop {
            if let Some(node) = self.tree.lookup(&path[..depth]) {
                return Diagnostic::at(&node.span, message);
            }
            depth -= 1;
        }
    }

    /// Checks everything; gathers the faults of all services.
    pub(crate) fn check(&self) -> Vec<Diagnostic> {
        let mut faults = Vec::new();
        for (name, service) in &self.model.services {
            let checks: [&dyn Fn() -> Result<()>; 7] = [
                &|| self.check_source(name, service),
                &|| self.check_healthcheck(name, service),
                &|| self.check_dependencies(name, service),
                &|| self.check_references(name, service),
                &|| self.check_agreement(name, service),
                &|| self.check_mounts(name, service),
                &|| self.check_watch(name, service),
            ];
            faults.extend(checks.iter().filter_map(|check| check().err()));
        }
        faults.extend(self.check_container_names());
        for (name, secret) in &self.model.secrets {
            if !secret.external
                && secret.file.is_empty()
                && secret.environment.is_empty()
                && secret.content.is_empty()
            {
                let message = format!("secret \"{name}\" must declare either `file` or `environment`");
                faults.push(self.fault(&["secrets", name], message));
            }
        }
        if faults.is_empty()
            && let Some(fault) = self.find_cycle()
        {
            faults.push(fault);
        }
        faults
    }

    fn check_source(&self, name: &str, service: &Service) -> Result<()> {
        if let Some(build) = &service.build {
            if !build.dockerfile.is_empty() && !build.dockerfile_inline.is_empty() {
                let message = format!(
                    "service \"{name}\" declares mutually exclusive dockerfile and dockerfile_inline"
                );
                return Err(self.fault(&["services", name, "build", "dockerfile_inline"], message));
            }
            self.check_contexts(name, &build.additional_contexts)?;
            if !service.platform.is_empty()
                && !build.platforms.is_empty()
                && !build.platforms.contains(&service.platform)
            {
                let message =
                    format!("service \"{name}\": build.platforms must include the platform of the service");
                return Err(self.fault(&["services", name, "build", "platforms"], message));
            }
        }
        if service.image.is_empty() && service.build.is_none() && service.provider.is_none() {
            let message = format!("service \"{name}\" has neither an image nor a build context specified");
            return Err(self
                .fault(&["services", name], message)
                .help("add an attribute: `image` or `build`"));
        }
        if !service.network_mode.is_empty() && !service.networks.is_empty() {
            let message =
                format!("service \"{name}\" declares mutually exclusive `network_mode` and `networks`");
            return Err(self.fault(&["services", name, "network_mode"], message).help("keep one of the two"));
        }
        Ok(())
    }

    /// A context that is a service has to be built itself.
    fn check_contexts(&self, name: &str, contexts: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in contexts {
            let Some(target) = value.strip_prefix("service:") else { continue };
            let problem = match self.model.services.get(target) {
                None => "unknown",
                Some(other) if other.build.is_none() => "non-buildable",
                Some(_) => continue,
            };
            let message = format!(
                "service \"{name}\" declares {problem} service \"{target}\" as additional contexts {key}"
            );
            return Err(self.fault(&["services", name, "build", "additional_contexts", key], message));
        }
        Ok(())
    }

    fn check_healthcheck(&self, name: &str, service: &Service) -> Result<()> {
        let first = service.healthcheck.as_ref().and_then(|check| check.test.first());
        match first.map(String::as_str) {
            None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
            Some(_) => {
                let message = "healthcheck.test must start either by \"CMD\", \"CMD-SHELL\" or \"NONE\"";
                Err(self
                    .fault(&["services", name, "healthcheck", "test"], format!("services.{name}: {message}"))
                    .help("write [\"CMD\", …] or a plain string"))
            }
        }
    }

    fn check_dependencies(&self, name: &str, service: &Service) -> Result<()> {
        for (target, dependency) in &service.depends_on {
            let disabled = self.disabled.contains_key(target);
            if self.model.services.contains_key(target) || (disabled && !dependency.required.0) {
                continue;
            }
            let message = format!("service \"{name}\" depends on undefined service \"{target}\"");
            let fault = self.fault(&["services", name, "depends_on", target], message);
            return Err(if disabled {
                fault.help(format!("none of its profiles is enabled: {target}"))
            } else {
                with_nearest(fault, target, self.model.services.keys())
            });
        }
        Ok(())
    }

    fn check_references(&self, name: &str, service: &Service) -> Result<()> {
        let model = self.model;
        let undefined = |kind: &str, attribute: &str, key: &str| {
            let message = format!("service \"{name}\" refers to undefined {kind} {key}");
            self.fault(&["services", name, attribute], message)
                .help(format!("define it at the top level, under `{kind}s`"))
        };
        if let Some(key) = service.networks.keys().find(|key| !model.networks.contains_key(*key)) {
            let fault = undefined("network", "networks", key);
            return Err(with_nearest(fault, key, model.networks.keys()));
        }
        for mount in
            service.volumes.iter().filter(|mount| mount.r#type == "volume" && !mount.source.is_empty())
        {
            if !model.volumes.contains_key(&mount.source) {
                let fault = undefined("volume", "volumes", &mount.source);
                return Err(with_nearest(fault, &mount.source, model.volumes.keys()));
            }
        }
        let build_secrets = service.build.iter().flat_map(|build| &build.secrets);
        for reference in service.secrets.iter().chain(build_secrets) {
            if !model.secrets.contains_key(&reference.source) {
                let fault = undefined("secret", "secrets", &reference.source);
                return Err(with_nearest(fault, &reference.source, model.secrets.keys()));
            }
        }
        for reference in &service.configs {
            if !model.configs.contains_key(&reference.source) {
                let fault = undefined("config", "configs", &reference.source);
                return Err(with_nearest(fault, &reference.source, model.configs.keys()));
            }
        }
        match service.models.keys().find(|key| !model.models.contains_key(*key)) {
            Some(key) => Err(undefined("model", "models", key)),
            None => Ok(()),
        }
    }

    /// Attributes that say the same have to agree.
    fn check_agreement(&self, name: &str, service: &Service) -> Result<()> {
        let Some(deploy) = &service.deploy else {
            return self.check_container_name(name, service, service.scale);
        };
        // Limits that leave this one out say another number, to the reference: none.
        let differ = |ours: i64, theirs: i64| ours != 0 && ours != theirs;
        let distinct = |attribute: &str, other: &str| {
            let message =
                format!("services.{name}: can't set distinct values on '{attribute}' and '{other}'");
            Err(self.fault(&["services", name, attribute], message).help("keep one of the two"))
        };
        if let (Some(scale), Some(replicas)) = (service.scale, deploy.replicas)
            && scale != replicas
        {
            return distinct("scale", "deploy.replicas");
        }
        if let Some(limits) = &deploy.resources.limits {
            if service.cpus.0 != 0.0 && limits.cpus != service.cpus {
                return distinct("cpus", "deploy.resources.limits.cpus");
            }
            if differ(service.mem_limit.0, limits.memory.0) {
                return distinct("mem_limit", "deploy.resources.limits.memory");
            }
            if differ(service.pids_limit, limits.pids) {
                return distinct("pids_limit", "deploy.resources.limits.pids");
            }
        }
        if let Some(reservations) = &deploy.resources.reservations
            && differ(service.mem_reservation.0, reservations.memory.0)
        {
            return distinct("mem_reservation", "deploy.resources.reservations.memory");
        }
        self.check_container_name(name, service, service.scale.or(deploy.replicas))
    }

    fn check_container_name(&self, name: &str, service: &Service, scale: Option<i64>) -> Result<()> {
        if service.container_name.is_empty() || scale.is_none_or(|scale| scale <= 1) {
            return Ok(());
        }
        let message = format!(
            "services.{name}: container_name and more than one container: a container name must be unique"
        );
        Err(self.fault(&["services", name, "container_name"], message).help("remove `container_name`"))
    }

    /// Two services cannot have the same container.
    fn check_container_names(&self) -> Vec<Diagnostic> {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        let mut faults = Vec::new();
        for (name, service) in &self.model.services {
            if service.container_name.is_empty() {
                continue;
            }
            let Some(first) = seen.insert(&service.container_name, name) else { continue };
            let message = format!(
                "services.{name}: container name \"{}\" is already in use by service {first}",
                service.container_name
            );
            let fault = self.fault(&["services", name, "container_name"], message);
            faults.push(match self.tree.lookup(&["services", first, "container_name"]) {
                Some(node) => fault.second(&node.span, "first here"),
                None => fault,
            });
        }
        faults
    }

    /// Two mounts cannot be at the same place.
    fn check_mounts(&self, name: &str, service: &Service) -> Result<()> {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        let temporary =
            service.tmpfs.iter().enumerate().map(|(index, mount)| {
                (mount.split(':').next().unwrap_or_default(), format!("tmpfs[{index}]"))
            });
        let volumes = service
            .volumes
            .iter()
            .enumerate()
            .map(|(index, mount)| (mount.target.as_str(), format!("volumes[{index}]")));
        for (target, place) in temporary.chain(volumes) {
            if let Some(first) = seen.get(target) {
                let message = format!("services.{name}.{place}: target {target} already mounted as {first}");
                return Err(self.fault(&["services", name, "volumes"], message));
            }
            seen.insert(target, place);
        }
        Ok(())
    }

    fn check_watch(&self, name: &str, service: &Service) -> Result<()> {
        for watch in service.develop.iter().flat_map(|develop| &develop.watch) {
            if watch.action != "rebuild" && watch.action != "restart" && watch.target.is_empty() {
                let message =
                    format!("services.{name}.develop.watch: target is required for non-rebuild actions");
                return Err(self
                    .fault(&["services", name, "develop", "watch"], message)
                    .help("add an attribute: `target`"));
            }
        }
        Ok(())
    }

    fn find_cycle(&self) -> Option<Diagnostic> {
        let mut finished = std::collections::BTreeSet::new();
        for start in self.model.services.keys() {
            // Iterative: the chain may be as long as there are services.
            let mut chain: Vec<(&str, Vec<&str>)> = vec![(start, self.targets(start))];
            while let Some((name, targets)) = chain.last_mut() {
                let Some(next) = targets.pop() else {
                    finished.insert(*name);
                    chain.pop();
                    continue;
                };
                if let Some(position) = chain.iter().position(|(name, _)| *name == next) {
                    let mut names: Vec<&str> = chain[position..].iter().map(|(name, _)| *name).collect();
                    names.push(next);
                    let message = format!("dependency cycle detected: {}", names.join(" -> "));
                    return Some(
                        self.fault(&["services", next, "depends_on"], message)
                            .help("remove one of these dependencies"),
                    );
                }
                if !finished.contains(next) {
                    chain.push((next, self.targets(next)));
                }
            }
        }
        None
    }

    fn targets(&self, name: &str) -> Vec<&str> {
        let targets =
            self.model.services.get(name).map(|service| service.depends_on.keys().map(String::as_str));
        targets.into_iter().flatten().collect()
    }
}

/// Adds the name that was meant, when there is one like it.
fn with_nearest<'n>(fault: Diagnostic, wanted: &str, names: impl Iterator<Item = &'n String>) -> Diagnostic {
    let nearest = names
        .map(|name| (strsim::damerau_levenshtein(name, wanted), name))
        .min()
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 3));
    match nearest {
        Some((_, name)) => fault.help(format!("there is one of a similar name: {name}")),
        None => fault,
    }
}
