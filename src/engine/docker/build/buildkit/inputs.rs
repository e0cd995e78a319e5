//! Where a build's files come from: directories here, or addresses that the engine fetches.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::Tree;
use crate::core::desired::Build;

/// The names by which BuildKit's frontend knows the two directories of every build.
const CONTEXT: &str = "context";
const DOCKERFILE: &str = "dockerfile";

/// The Dockerfile's name where nothing is said.
const DEFAULT_NAME: &str = "Dockerfile";

/// What a build reads, and what the frontend must be told of it.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    pub(super) directories: BTreeMap<String, Tree>,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Inputs {
    /// Looks at what the build names; says what is not there.
    pub(super) fn open(build: &Build) -> Result<Self, String> {
        let mut inputs = Self::default();
        if build.is_remote() {
            inputs.say(CONTEXT, &build.context);
        } else {
            inputs.directories.insert(CONTEXT.to_owned(), directory(&build.context, "the build context")?);
        }
        inputs.dockerfile(build)?;
        for (name, value) in &build.contexts {
            inputs.named(name, value)?;
        }
        if !build.contexts.is_empty() {
            inputs.say("frontend.caps", "moby.buildkit.frontend.contexts+forward");
        }
        Ok(inputs)
    }

    fn say(&mut self, key: &str, value: &str) {
        self.attributes.insert(key.to_owned(), value.to_owned());
    }

    fn dockerfile(&mut self, build: &Build) -> Result<(), String> {
        let named = build.dockerfile.as_deref().unwrap_or(DEFAULT_NAME);
        let mut files = BTreeMap::new();
        let mut name = DEFAULT_NAME.to_owned();
        if let Some(text) = &build.dockerfile_inline {
            files.insert(name.clone(), text.clone().into_bytes());
        } else if build.is_remote() && !Path::new(named).is_absolute() {
            // It is fetched with the rest.
            self.say("filename", named);
            return Ok(());
        } else {
            let path = present(&Path::new(&build.context).join(named));
            let unread = |error| format!("the Dockerfile {} cannot be read: {error}", path.display());
            let last = path.file_name().and_then(|name| name.to_str()).unwrap_or(DEFAULT_NAME);
            last.clone_into(&mut name);
            files.insert(name.clone(), fs::read(&path).map_err(unread)?);
            let ignore = format!("{name}.dockerignore");
            match fs::read(path.with_file_name(&ignore)) {
                Ok(text) => drop(files.insert(ignore, text)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(format!("{ignore} cannot be read: {error}")),
            }
        }
        if build.dockerfile_inline.is_some() || build.is_remote() {
            // Else the frontend looks for it in the context.
            self.say("dockerfilekey", DOCKERFILE);
        }
        self.say("filename", &name);
        self.directories.insert(DOCKERFILE.to_owned(), Tree::Files(files));
        Ok(())
    }

    fn named(&mut self, name: &str, value: &str) -> Result<(), String> {
        let key = format!("context:{name}");
        if value.contains("://") || value.starts_with("git@") || value.starts_with("github.com/") {
            self.say(&key, value);
            return Ok(());
        }
        // The two own directories keep their names.
        let local = if matches!(name, CONTEXT | DOCKERFILE) { format!("_{name}") } else { name.to_owned() };
        self.say(&key, &format!("local:{local}"));
        self.directories.insert(local, directory(value, &format!("the context {name}"))?);
        Ok(())
    }
}

fn directory(path: &str, what: &str) -> Result<Tree, String> {
    let path = PathBuf::from(path);
    if !path.is_dir() {
        return Err(format!("{what} {} is no directory", path.display()));
    }
    Ok(Tree::Disk(path))
}

/// The path; of `Dockerfile` its small letters, where only they are there.
fn present(path: &Path) -> PathBuf {
    let small = path.with_file_name(DEFAULT_NAME.to_lowercase());
    if path.ends_with(DEFAULT_NAME) && !path.exists() && small.exists() { small } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerfile_brings_its_own_ignore_file_from_wherever_it_is() {
        let root = tempfile::tempdir().unwrap();
        let context = root.path().join("context");
        fs::create_dir(&context).unwrap();
        fs::write(root.path().join("Other"), "FROM a").unwrap();
        fs::write(root.path().join("Other.dockerignore"), "x").unwrap();
        let context = context.to_str().unwrap().to_owned();
        let build = Build { context, dockerfile: Some("../Other".into()), ..Build::default() };
        let inputs = Inputs::open(&build).unwrap();
        assert_eq!(inputs.attributes["filename"], "Other");
        let Tree::Files(files) = &inputs.directories[DOCKERFILE] else { panic!() };
        assert_eq!(files.keys().collect::<Vec<_>>(), ["Other", "Other.dockerignore"]);
        let missing = Build { dockerfile: Some("nowhere".into()), ..build };
        assert!(Inputs::open(&missing).unwrap_err().contains("nowhere cannot be read"));
    }

    #[test]
    fn addresses_are_left_to_the_engine() {
        let build = Build {
            context: "https://far.example/a.git#main".into(),
            dockerfile: Some("sub/Dockerfile".into()),
            contexts: [
                ("base".into(), "docker-image://shop-base".into()),
                ("src".into(), std::env::temp_dir().to_str().unwrap().into()),
            ]
            .into(),
            ..Build::default()
        };
        let inputs = Inputs::open(&build).unwrap();
        let said = |key: &str| inputs.attributes[key].as_str();
        assert_eq!(said("context"), "https://far.example/a.git#main");
        assert_eq!(said("filename"), "sub/Dockerfile");
        assert_eq!((said("context:base"), said("context:src")), ("docker-image://shop-base", "local:src"));
        assert_eq!(inputs.directories.keys().collect::<Vec<_>>(), ["src"]);
    }
}
