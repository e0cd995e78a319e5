//! Paths of the host: whether they stay within the checkout, whoever reads them in the end.

use std::path::{Path, PathBuf};

use super::{Asked, Refusal};
use crate::compose::{FileView, clean};

/// The checkout, and the view that knows where paths lead.
pub(super) struct Checkout<'a> {
    root: PathBuf,
    files: &'a dyn FileView,
}

/// What to do about a path.
const HELP: &str = "move what is meant into the checkout";

impl<'a> Checkout<'a> {
    pub(super) fn new(root: &Path, files: &'a dyn FileView) -> Self {
        Self { root: files.leads_to(root).unwrap_or_else(|| root.to_owned()), files }
    }

    /// Refuses a path that is not of the checkout, or that a link in it leads away from it. What is in a checkout does
    /// not change: what is true of it now is true when Docker looks.
    pub(super) fn refuse(&self, path: &Path) -> Option<Refusal> {
        let leads_within =
            |path: &Path| self.files.leads_to(path).is_some_and(|real| real.starts_with(&self.root));
        let by_text = clean(path);
        // Either way of reading `..` after a link.
        if path.is_absolute() && leads_within(path) && leads_within(&by_text) {
            return None;
        }
        let shown = self.files.display(path);
        let why = if path.starts_with(&self.root) && by_text.starts_with(&self.root) {
            format!("a symbolic link leads from {} out of the checkout", shown.display())
        } else {
            format!("{} is outside of the checkout", shown.display())
        };
        Some(Refusal::new(why, HELP))
    }
}

/// A path as it stands.
pub(super) fn path(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let text = asked.text();
    if text.is_empty() { None } else { asked.checkout.refuse(Path::new(&text)) }
}

/// The source of a mount, by its type.
pub(super) fn source(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let source = asked.text();
    match asked.text_beside("type").as_str() {
        "bind" => bind(asked, &source),
        "volume" if source.is_empty() || asked.places.project.model.volumes.contains_key(&source) => None,
        "volume" => {
            Some(Refusal::new(format!("`{source}` is no volume of this stack"), "declare it under `volumes`"))
        }
        // Nothing of the host is named.
        _ => None,
    }
}

fn bind(asked: &Asked<'_, '_>, source: &str) -> Option<Refusal> {
    if let Some(refusal) = asked.checkout.refuse(Path::new(source)) {
        return Some(Refusal {
            help: "use a named volume, or mount what is in the checkout".into(),
            ..refusal
        });
    }
    if source.contains(':') {
        // Docker takes what comes after it for something else.
        return Some(Refusal::new(format!("there is a colon in the path {source}"), "rename it"));
    }
    // Who writes in a checkout makes links in it, and those are followed when the next container starts.
    let is_read_only = asked.beside("read_only").and_then(crate::compose::yaml::Node::as_bool);
    (is_read_only != Some(true)).then(|| {
        let why = "the container could write in the checkout";
        Refusal::new(why, "mount it read-only (`:ro`), or use a named volume for what it writes")
    })
}

/// What begins the address of a build's context, which nobody reads from the host.
const ADDRESSES: [&str; 5] = ["http://", "https://", "git://", "docker-image://", "github.com/"];

/// What begins one that is fetched over SSH: by an engine of the classic builder, with root's own keys.
const WITH_KEYS: [&str; 2] = ["ssh://", "git@"];

fn is_address(context: &str) -> bool {
    ADDRESSES.iter().any(|prefix| context.starts_with(prefix))
}

/// A further context of a build, which may be the image of a service.
pub(super) fn named_context(asked: &Asked<'_, '_>) -> Option<Refusal> {
    if asked.text().starts_with("service:") { None } else { context(asked) }
}

/// The context of a build: a directory, or an address.
pub(super) fn context(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let context = asked.text();
    if is_address(&context) {
        return None;
    }
    if WITH_KEYS.iter().any(|prefix| context.starts_with(prefix)) {
        let why = "it would be fetched with the SSH keys of the host";
        return Some(Refusal::new(why, "use an `https://` address"));
    }
    let directory = Path::new(&context);
    let refuse = |path: &Path| asked.checkout.refuse(path);
    refuse(directory).or_else(|| refuse(&directory.join(".dockerignore")))
}

/// The Dockerfile, under each name that a builder looks for it by.
pub(super) fn dockerfile(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let (name, context) = (asked.text(), asked.text_beside("context"));
    let is_relative = !Path::new(&name).is_absolute();
    // Of a context that is refused, all in it is.
    if is_relative && (is_address(&context) || asked.checkout.refuse(Path::new(&context)).is_some()) {
        return None;
    }
    let path = Path::new(&context).join(&name);
    let mut names = vec![path.clone()];
    if path.ends_with("Dockerfile") {
        names.push(path.with_file_name("dockerfile"));
    }
    let ignored = names.iter().map(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.with_file_name(format!("{name}.dockerignore"))
    });
    let ignored: Vec<PathBuf> = ignored.collect();
    names.iter().chain(&ignored).find_map(|path| asked.checkout.refuse(path))
}
