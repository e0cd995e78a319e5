//! What becomes of another content of a service's mounted files, and which of them count.

use std::path::Path;

use crate::cli::render::explain::{Content, Mounted};
use crate::core::content::OnChange;
use crate::core::desired::Service;
use crate::core::redact;
use crate::core::spec::MountKind;

/// What there is to say; `None` where no file is mounted.
pub(super) fn content(service: &Service) -> Option<Content> {
    let content = &service.content;
    let counts = content.files.keys().map(|field| Mounted { field: field.clone(), left_out: None });
    // What is no file has no content.
    let is_file = |field: &str| {
        let mount = field.strip_prefix("volumes.").and_then(|path| service.spec.mounts.get(path));
        mount.is_none_or(|mount| mount.kind == MountKind::Bind && Path::new(&mount.source).is_file())
    };
    let left_out = content.left_out.iter().filter(|(field, _)| is_file(field));
    let left_out = left_out.map(|(field, why)| Mounted { field: field.clone(), left_out: Some(why.clone()) });
    let files: Vec<Mounted> = counts.chain(left_out).collect();
    let what = match &content.on_change {
        OnChange::Rolling => "new containers take over, by the rules of the rollout".to_owned(),
        OnChange::Signal(signal) => format!("its containers stay, and their programs get {signal}"),
        OnChange::Exec(command) => {
            format!("its containers stay, and {} runs in them", redact::command_line(command))
        }
        OnChange::Ignore => "nothing is done".to_owned(),
    };
    let is_said = content.on_change != OnChange::Rolling;
    (is_said || !files.is_empty()).then_some(Content { what, files })
}
