//! Where the manifest goes, and putting it there.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::InitArgs;
use crate::cli::files::NearFiles;
use crate::compose::{LoadOptions, Project};
use crate::stack::{self, manifest};

/// Name of the schema's file beside the manifest.
pub(super) const SCHEMA: &str = "stack.schema.json";

/// Where the manifest goes.
pub(super) struct Place {
    /// Its path, also where it is only printed: paths in it are relative to that.
    pub(super) path: PathBuf,
    /// The path as a person in the current directory writes it.
    shown: String,
    /// Printed, not written.
    pub(super) printed: bool,
    force: bool,
    schema: Schema,
}

/// What becomes of the schema's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    /// Written, also over what another version wrote.
    Written,
    /// Not written: nothing is, or a file of that name is there that is no schema of ours.
    Left,
}

impl Place {
    /// Finds it, and makes sure that nothing is there that would be lost or doubled.
    pub(super) fn new(args: &InitArgs, options: &LoadOptions, project: &Project) -> anyhow::Result<Self> {
        let name = format!("{}.yaml", project.name);
        let printed = args.to.as_deref() == Some(Path::new("-"));
        let path = match &args.to {
            _ if printed => options.working_dir.join(&name),
            Some(path) => {
                let path = options.working_dir.join(path);
                let is_directory = path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
                if is_directory { path.join(&name) } else { path }
            }
            None => beside(project, options).join("manifests").join(&name),
        };
        let place = Self {
            shown: shown(&path, options),
            schema: schema_at(path.parent().filter(|_| !printed)),
            path,
            printed,
            force: args.force,
        };
        if !printed {
            place.is_free(options, project)?;
        }
        Ok(place)
    }

    /// Whether an editor finds the schema beside it.
    pub(super) fn has_schema(&self) -> bool {
        self.schema == Schema::Written
    }

    /// As a person in the current directory writes it.
    pub(super) fn shown(&self) -> String {
        self.shown.clone()
    }

    fn is_free(&self, options: &LoadOptions, project: &Project) -> anyhow::Result<()> {
        if !self.force && self.path.exists() {
            bail!("{} is there already; --force overwrites it, --to writes elsewhere", self.shown);
        }
        let Some(directory) = self.path.parent().filter(|directory| directory.is_dir()) else {
            return Ok(());
        };
        let there = LoadOptions {
            files: vec![directory.to_owned()],
            project_name: Some(project.name.clone()),
            environment: options.environment.clone(),
            working_dir: options.working_dir.clone(),
            host: options.host.clone(),
            ..LoadOptions::default()
        };
        let declared = stack::load(&there, &NearFiles::here()?).stacks.into_iter();
        let other = declared.filter_map(|stack| stack.manifest).find(|path| *path != self.path);
        if let Some(other) = other {
            bail!(
                "{} declares the stack `{}` already, and two manifests of one stack in a directory would fight; \
                 edit that one, or --to writes elsewhere",
                shown(&other, options),
                project.name
            );
        }
        Ok(())
    }

    /// Writes the manifest whole or not at all, and the schema beside it.
    pub(super) fn write(&self, text: &str) -> anyhow::Result<()> {
        if self.printed {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let elsewhere = "; --to writes elsewhere, --to - prints it";
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made{elsewhere}", directory.display()))?;
        whole(&self.path, text, self.force)
            .with_context(|| format!("{} cannot be written{elsewhere}", self.shown))?;
        if self.schema == Schema::Written {
            let schema = directory.join(SCHEMA);
            whole(&schema, &schema_text(), true)
                .with_context(|| format!("{} cannot be written{elsewhere}", schema.display()))?;
        }
        Ok(())
    }
}

/// The directory in which `manifests/` goes: where the Compose files are when one is in there, so that it is found
/// from wherever they are; else the current one.
fn beside<'a>(project: &'a Project, options: &'a LoadOptions) -> &'a Path {
    let of_files = project.compose_files.first().and_then(|file| file.parent());
    of_files.filter(|directory| options.working_dir.starts_with(directory)).unwrap_or(&options.working_dir)
}

fn schema_text() -> String {
    format!("{:#}\n", manifest::schema())
}

/// A file of the schema's name that somebody else put there is left as it is.
fn schema_at(directory: Option<&Path>) -> Schema {
    let Some(directory) = directory else { return Schema::Left };
    let Ok(there) = std::fs::read(directory.join(SCHEMA)) else { return Schema::Written };
    let there: serde_json::Value = serde_json::from_slice(&there).unwrap_or_default();
    let version = |schema: &serde_json::Value| schema.pointer("/properties/apiVersion").cloned();
    let ours = there["title"] == "Stack" && version(&there).is_some();
    if ours { Schema::Written } else { Schema::Left }
}

/// Writes beside the place and moves there, so that a file is never half there.
fn whole(path: &Path, text: &str, overwrite: bool) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    // What an editor gives a new file: nothing in a manifest is secret.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut file = tempfile::Builder::new().permissions(mode).tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    if overwrite {
        file.persist(path)?
    } else {
        file.persist_noclobber(path)?
    };
    Ok(())
}

/// A path as a person in the current directory writes it.
pub(super) fn shown(path: &Path, options: &LoadOptions) -> String {
    path.strip_prefix(&options.working_dir).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_ours_is_written_anew_and_another_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let at = || schema_at(Some(directory.path()));
        assert_eq!(at(), Schema::Written);
        std::fs::write(directory.path().join(SCHEMA), schema_text().replace("prune", "older")).unwrap();
        assert_eq!(at(), Schema::Written);
        std::fs::write(directory.path().join(SCHEMA), r#"{"title": "Stack of cards"}"#).unwrap();
        assert_eq!(at(), Schema::Left);
        assert_eq!(schema_at(None), Schema::Left);
    }
}
