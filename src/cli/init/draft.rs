//! From Compose files to a draft, and from a draft to what it asks for once it is a file.

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::files::NearFiles;
use crate::cli::render::manifest::{self as render, Draft};
use crate::compose::{FileError, FileView, LoadOptions, Project};
use crate::core::desired::Desired;
use crate::stack;

/// Where the draft is going to be, and what it is read with.
pub(super) struct Drafting<'a> {
    pub(super) path: &'a Path,
    pub(super) options: &'a LoadOptions,
}

impl Drafting<'_> {
    /// The draft that says no more than the files.
    pub(super) fn of_files(&self, project: &Project) -> Draft {
        let first = project.compose_files.first().and_then(|file| file.parent());
        let relative = |path: &PathBuf| self.relative(path);
        let files: Vec<String> = project.compose_files.iter().map(relative).collect();
        let file = self.path.file_name().unwrap_or_default().to_string_lossy();
        Draft {
            file: file.into_owned(),
            source: files.join(", "),
            name: project.name.clone(),
            files,
            env_files: project.environment_files.iter().map(relative).collect(),
            profiles: project.profiles.iter().filter(|profile| !profile.is_empty()).cloned().collect(),
            project_directory: (first != Some(&project.working_dir)).then(|| relative(&project.working_dir)),
            ..Draft::default()
        }
    }

    /// A path as the manifest's own directory sees it.
    fn relative(&self, target: &PathBuf) -> String {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let near = pathdiff::diff_paths(target, directory).unwrap_or_else(|| target.clone());
        let near = if near.as_os_str().is_empty() { PathBuf::from(".") } else { near };
        near.to_string_lossy().into_owned()
    }

    /// What the draft asks for.
    pub(super) fn load(&self, draft: &Draft) -> anyhow::Result<Desired> {
        let text = render::text(draft);
        let view = Drafted { path: self.path, text: text.as_bytes(), others: NearFiles::here()? };
        let options = LoadOptions {
            files: vec![self.path.to_owned()],
            environment: self.options.environment.clone(),
            working_dir: self.options.working_dir.clone(),
            host: self.options.host.clone(),
            ..LoadOptions::default()
        };
        let stacks = stack::load(&options, &view).all()?;
        stacks.into_iter().next().map(|stack| stack.desired).context("the new manifest holds no stack")
    }
}

/// The disk with the draft on it.
struct Drafted<'a> {
    path: &'a Path,
    text: &'a [u8],
    others: NearFiles,
}

impl FileView for Drafted<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        if path == self.path { Ok(self.text.to_owned()) } else { self.others.read(path) }
    }

    fn is_file(&self, path: &Path) -> bool {
        path == self.path || self.others.is_file(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        path != self.path && self.others.is_dir(path)
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        self.others.list(directory)
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        self.others.leads_to(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        self.others.display(path)
    }
}
