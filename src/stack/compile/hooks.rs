//! Commands that run in a container after its start and before its stop.

use super::Source;
use super::container::said;
use crate::compose::model;
use crate::core::hooks::{Hook, Hooks, Moment};
use crate::secret::Secret;
use crate::stack::faults::Findings;

/// The hooks of a service.
pub(super) fn hooks(source: Source<'_>, findings: &mut Findings) -> Hooks {
    let service = source.service;
    Hooks {
        post_start: compiled(source, Moment::PostStart, &service.post_start, findings),
        pre_stop: compiled(source, Moment::PreStop, &service.pre_stop, findings),
    }
}

fn compiled(source: Source<'_>, moment: Moment, hooks: &[model::Hook], findings: &mut Findings) -> Vec<Hook> {
    let one = |(index, hook): (usize, &model::Hook)| {
        let command = hook.command.0.clone().unwrap_or_default();
        if command.is_empty() {
            let place = [moment.as_str(), &index.to_string()];
            let fault = source.places.in_service(source.name, &place, "a hook without a command");
            findings.faults.push(fault.help("give it one, or remove it"));
        }
        let variable = |(name, value): (&String, &Option<String>)| {
            Secret::new(value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}")))
        };
        Hook {
            moment,
            index,
            command,
            user: said(&hook.user),
            privileged: hook.privileged,
            working_dir: said(&hook.working_dir),
            environment: hook.environment.iter().map(variable).collect(),
        }
    };
    hooks.iter().enumerate().map(one).collect()
}
