//! `${secret:NAME}`: a value that the host keeps and no repository does, and where one may stand.
//!
//! Plans, diffs, histories and labels show what is in the files. So a secret stands only where the operator shows no
//! value: of an environment, and of the content of a config. Everywhere else it is refused before it is looked up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::at::At;
use super::files::{FileError, FileView};
use super::options::HostSecrets;
use crate::secret::Secret;

/// What the environment's names of secrets begin with.
pub const SECRET_VARIABLE: &str = "OPERATOR_SECRET_";

/// How one is written.
pub(crate) const FORM: &str = "a secret is written as ${secret:NAME}, its name with letters, digits, `.`, `_` and `-`; \
     it has no default";

/// Where one may stand.
pub(crate) const WHERE: &str = "give it to the service in `environment`, or in the `content` of a config; a command \
     reads it there as $$NAME";

/// Where the secrets of a host are looked up, each once for a load: a change in between would give two values.
#[derive(Debug, Default)]
pub(crate) struct Secrets<'a> {
    host: HostSecrets,
    files: Files<'a>,
    known: BTreeMap<String, Result<Secret, NoSecret>>,
}

#[derive(Clone, Copy, Default)]
struct Files<'a>(Option<&'a dyn FileView>);

impl std::fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Files")
    }
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSecret {
    /// Nowhere.
    #[error("this host has no secret `{name}`")]
    Missing {
        /// The secret.
        name: String,
        /// Where it was looked for.
        places: Vec<String>,
    },
    /// Its file is not what one is.
    #[error("the secret `{name}` cannot be read: {}: {why}", .path.display())]
    Unreadable {
        /// The secret.
        name: String,
        /// The file, as messages show it.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl NoSecret {
    /// What to do about it.
    pub(crate) fn way_out(&self) -> String {
        match self {
            Self::Missing { places, .. } => {
                format!("it was looked for in {}: put it into one of them", places.join(", "))
            }
            Self::Unreadable { .. } => {
                "a secret is a file of text that the user who runs the operator can read".to_owned()
            }
        }
    }
}

impl<'a> Secrets<'a> {
    pub(crate) fn new(host: &HostSecrets, files: &'a dyn FileView) -> Self {
        Self { host: host.clone(), files: Files(Some(files)), known: BTreeMap::new() }
    }

    /// The value of a secret.
    pub(crate) fn value(&mut self, name: &str, warnings: &mut Vec<String>) -> Result<Secret, NoSecret> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let found = self.look_up(name, warnings);
        self.known.insert(name.to_owned(), found.clone());
        found
    }

    fn look_up(&self, name: &str, warnings: &mut Vec<String>) -> Result<Secret, NoSecret> {
        let mut places = Vec::new();
        for directory in &self.host.directories {
            let Files(Some(files)) = self.files else { break };
            let path = directory.join(name);
            match files.read_of_host(&path) {
                Ok(bytes) => {
                    warnings.extend(warning(&format!("the secret `{name}`"), &path, files));
                    return text(name, &files.display(&path), bytes);
                }
                Err(FileError::Missing) => places.push(path.display().to_string()),
                Err(error) => {
                    let (name, path) = (name.to_owned(), files.display(&path));
                    return Err(NoSecret::Unreadable { name, path, why: error.to_string() });
                }
            }
        }
        let variable = variable(name);
        if let Some(value) = self.host.variables.get(&variable) {
            return Ok(value.clone());
        }
        places.push(format!("the variable {variable}"));
        Err(NoSecret::Missing { name: name.to_owned(), places })
    }
}

/// What is dubious about a file that every user of the machine may read.
pub(crate) fn warning(what: &str, path: &Path, files: &dyn FileView) -> Option<String> {
    let shown = files.display(path);
    files
        .is_open_to_all(path)
        .then(|| format!("every user of this machine can read {what}: `chmod 600 {}`", shown.display()))
}

/// The text of a file, without the end of its last line.
fn text(name: &str, path: &Path, bytes: Vec<u8>) -> Result<Secret, NoSecret> {
    let unreadable = |why: &str| NoSecret::Unreadable {
        name: name.to_owned(),
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if text.contains('\0') {
        return Err(unreadable("it has a zero byte, which no variable can hold"));
    }
    Ok(Secret::new(text))
}

/// The variable that a secret may be in.
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("{SECRET_VARIABLE}{}", name.chars().map(letter).collect::<String>())
}

/// The name at the beginning of a text: one of a file, and no way to another directory.
pub(crate) fn name_of(text: &str) -> &str {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') { &text[..end] } else { "" }
}

/// Whether nobody is shown what a text at this place becomes.
pub(crate) fn is_hidden(path: &At<'_>, text: &str) -> bool {
    match path.steps()[..] {
        ["services", _, "environment", last]
        | ["services", _, "post_start" | "pre_stop", _, "environment", last] => {
            // Of a list, the value is behind the name, which is shown.
            let is_behind = |(name, _): (&str, &str)| !name.contains('$');
            last != At::ITEM || text.split_once('=').is_some_and(is_behind)
        }
        ["configs", _, "content"] => true,
        // What nothing reads: a place for anchors, each use of which is expanded where it stands.
        [section, ..] => section.starts_with("x-"),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::MemoryFiles;

    fn look_up(name: &str, files: &MemoryFiles) -> Result<String, NoSecret> {
        let host = HostSecrets {
            directories: vec!["/secrets".into(), "/credentials".into()],
            variables: BTreeMap::from([("OPERATOR_SECRET_API_KEY".to_owned(), Secret::new("of variable"))]),
            ..HostSecrets::default()
        };
        let found = Secrets::new(&host, files).value(name, &mut Vec::new());
        found.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_first_place_that_has_a_secret_wins() {
        let files = MemoryFiles::new()
            .with("/secrets/db", "of directory\n")
            .with("/credentials/db", "of credentials")
            .with("/credentials/only", "two lines\nand the end\n\n")
            .with("/credentials/windows", "crlf\r\n");
        for (name, expected) in [
            ("db", "of directory"),
            ("only", "two lines\nand the end\n"),
            ("windows", "crlf"),
            ("api-key", "of variable"),
            ("api.key", "of variable"),
        ] {
            assert_eq!(look_up(name, &files).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn a_secret_that_is_nowhere_is_named_with_every_place() {
        let error = look_up("db-1", &MemoryFiles::new()).unwrap_err();
        assert_eq!(error.to_string(), "this host has no secret `db-1`");
        assert_eq!(
            error.way_out(),
            "it was looked for in /secrets/db-1, /credentials/db-1, the variable OPERATOR_SECRET_DB_1: put it into one \
             of them"
        );
        let files = MemoryFiles::new().with("/secrets/bytes", [0xff, 0xfe]).with("/secrets/zero", "a\0b");
        for name in ["bytes", "zero"] {
            let error = look_up(name, &files).unwrap_err();
            assert!(error.to_string().contains(&format!("/secrets/{name}: it ")), "{error}");
        }
    }

    #[test]
    fn names_are_of_files_and_no_paths() {
        for (text, name) in [
            ("db}", "db"),
            ("db-1.key_2:-x}", "db-1.key_2"),
            ("../x}", ""),
            (".hidden}", ""),
            ("-x}", ""),
            ("a/b}", "a"),
            ("é}", ""),
        ] {
            assert_eq!(name_of(text), name, "{text}");
        }
    }
}
