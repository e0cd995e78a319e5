//! Some services of a project, with what they depend on.

use std::collections::BTreeSet;

use super::errors::{Diagnostic, Result, nearest_or_all};
use super::profiles;
use super::project::Project;

impl Project {
    /// The project with these services, those that they depend on, and the resources that they use; all of
    /// it without any names.
    pub fn select(mut self, names: &[String]) -> Result<Self> {
        if names.is_empty() {
            return Ok(self);
        }
        if let Some(unknown) = names.iter().find(|name| !self.model.services.contains_key(*name)) {
            let known = self.model.services.keys().map(String::as_str);
            return Err(
                Diagnostic::new(format!("no such service: {unknown}")).help(nearest_or_all(unknown, known))
            );
        }
        let mut wanted: BTreeSet<String> = BTreeSet::new();
        let mut open: Vec<String> = names.to_vec();
        while let Some(name) = open.pop() {
            if let Some(service) = self.model.services.get(&name)
                && wanted.insert(name)
            {
                open.extend(service.depends_on.keys().cloned());
            }
        }
        self.disabled.extend(self.model.services.extract_if(.., |name, _| !wanted.contains(name)));
        for service in self.model.services.values_mut() {
            service.depends_on.retain(|name, _| wanted.contains(name));
        }
        profiles::prune(&mut self.model);
        Ok(self)
    }
}
