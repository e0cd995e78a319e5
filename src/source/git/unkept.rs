//! What a container would write into a commit's directory, and lose with the next one.

use std::path::Path;

use crate::compose::FileView;
use crate::compose::errors::Diagnostic;
use crate::stack::Stack;

/// Mounts of what is not in the commit: what a container writes there would be left behind by the next one.
pub(super) fn unkept(stack: &Stack, checkout: &Path, view: &dyn FileView) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    for (name, service) in &stack.project.model.services {
        for mount in service.volumes.iter().filter(|mount| mount.r#type == "bind") {
            let path = Path::new(&mount.source);
            if path.starts_with(checkout) && !view.is_file(path) && !view.is_dir(path) {
                let shown = path.strip_prefix(checkout).unwrap_or(path).display();
                let message = format!("service `{name}` mounts `{shown}`, which is not in the commit");
                let fault = match stack.project.span(&["services", name, "volumes"]) {
                    Some(span) => Diagnostic::at(span, message),
                    None => Diagnostic::new(message),
                };
                let help = "what is written there would be left behind by the next commit: use a named volume or an absolute path, or commit the file";
                faults.push(fault.help(help));
            }
        }
    }
    faults
}
