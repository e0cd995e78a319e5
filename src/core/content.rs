//! What is in the files of the host that a service's containers read: configs, secrets and single files that are mounted.
//!
//! An engine mounts a file and never says that another text is in it. So its fingerprint is taken when the files are
//! loaded, and stands on the label of each container that is made.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use super::labels;
use super::observed::Container;
use super::planted::{self, Bug};

/// What one guess at a content costs, in rounds: fingerprints stand on labels, and short secrets can be guessed.
const ROUNDS: u32 = 10_000;

/// Bytes of a fingerprint: it tells contents apart, and a label has many.
const BYTES: usize = 16;

/// What is in some files, by the field that each is shown under.
pub type FileContents = BTreeMap<String, FileContent>;

/// The files of one service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// What is in each, by the field that it is shown under: `configs.NAME`, `secrets.NAME`, `volumes./path`. What cannot
    /// be read now is not among them: its containers are taken as they are.
    pub files: FileContents,
    /// What is mounted and does not count, by the same name, with why. Directories may be among them.
    pub left_out: BTreeMap<String, String>,
    /// What becomes of another content.
    pub on_change: OnChange,
}

/// What becomes of another content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// A new container.
    #[default]
    Rolling,
    /// The program of a container gets this signal.
    Signal(String),
    /// This command is run in a container.
    Exec(Vec<String>),
    /// Nothing.
    Ignore,
}

/// What is in a file, without telling it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FileContent {
    /// Stands for the content.
    pub fingerprint: String,
    /// Which file it is, whatever its name: a container has the file that was there when it started, and another one of
    /// the same name never reaches it. Empty where that is not known.
    pub identity: String,
}

impl OnChange {
    /// Whether the program in a container that stays is told.
    pub fn tells(&self) -> bool {
        matches!(self, Self::Signal(_) | Self::Exec(_))
    }
}

impl FileContent {
    /// The salt says whose it is: equal contents in two places have different fingerprints.
    pub fn of(salt: &str, content: &[u8], identity: String) -> Self {
        let digest: [u8; BYTES] =
            pbkdf2::pbkdf2_hmac_array::<Sha256, BYTES>(content, salt.as_bytes(), ROUNDS);
        Self { fingerprint: hex::encode(digest), identity }
    }
}

impl FileContent {
    /// Whether this is in the very file that a container has, of which that was known: what took its name is another.
    pub fn reaches(&self, known: &Self) -> bool {
        self.identity.is_empty() || known.identity.is_empty() || self.identity == known.identity
    }
}

/// Without which file it is: the same text under the same name is no other state, whoever wrote it anew.
impl fmt::Debug for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.fingerprint)
    }
}

impl fmt::Display for FileContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fingerprint, identity } = self;
        if identity.is_empty() { f.write_str(fingerprint) } else { write!(f, "{fingerprint} {identity}") }
    }
}

impl Serialize for FileContent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (fingerprint, identity) = text.split_once(' ').unwrap_or((&text, ""));
        Ok(Self { fingerprint: fingerprint.to_owned(), identity: identity.to_owned() })
    }
}

impl Content {
    /// What stands on the label of a container that is made now.
    pub fn label(&self) -> String {
        // A map of strings always serialises.
        serde_json::to_string(&self.files).unwrap_or_default()
    }

    /// Whether it is of the revision: another one is another container.
    pub fn is_of_revision(&self) -> bool {
        self.on_change == OnChange::Rolling && !self.files.is_empty() && !planted::has(Bug::IgnoresContent)
    }

    /// The files of which a container is known to have had another content.
    fn changed<'a>(
        &'a self,
        container: &Container,
    ) -> impl Iterator<Item = (&'a String, &'a FileContent, FileContent)> {
        let mut known = known(container);
        self.files.iter().filter_map(move |(field, file)| {
            let known = known.remove(field).filter(|_| !planted::has(Bug::IgnoresContent))?;
            (known.fingerprint != file.fingerprint).then_some((field, file, known))
        })
    }

    /// Those that need a new container: all that differ, or where its program is told, those that it can never read.
    pub fn of_another_container(&self, container: &Container) -> Vec<&String> {
        if self.on_change == OnChange::Ignore {
            return Vec::new();
        }
        let tells = self.on_change.tells() && !planted::has(Bug::ReplacesToTell);
        let changed = self.changed(container).filter(|(_, file, known)| !tells || !file.reaches(known));
        changed.map(|(field, ..)| field).collect()
    }

    /// What the program in a container is still to be told of.
    pub fn news(&self, container: &Container) -> FileContents {
        if !self.on_change.tells() {
            return FileContents::new();
        }
        let news = self.changed(container).filter(|(_, file, known)| file.reaches(known));
        news.map(|(field, file, _)| (field.clone(), file.clone())).collect()
    }
}

/// What the label says that was in a container's files when it was made; nothing on one that others made.
pub fn of_label(container: &Container) -> FileContents {
    let label = container.labels.get(labels::CONTENT);
    label.and_then(|label| serde_json::from_str(label).ok()).unwrap_or_default()
}

/// What is known of the content that a container has: the last that was noted, else that of its label.
pub fn known(container: &Container) -> FileContents {
    let mut known = of_label(container);
    known.extend(container.content.clone());
    known
}

/// All of it as text for a hash. Which file it stands in does not count.
pub(super) fn text(files: &FileContents) -> Vec<u8> {
    let mut text = Vec::new();
    for (field, file) in files {
        for part in [field, &file.fingerprint] {
            text.extend(part.len().to_le_bytes());
            text.extend(part.as_bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_hangs_on_the_content_and_its_place_and_shows_nothing() {
        let of = |salt: &str, text: &str| FileContent::of(salt, text.as_bytes(), "1:2".to_owned());
        let one = of("shop/web/configs.a", "canary");
        assert_eq!(one, of("shop/web/configs.a", "canary"));
        assert_ne!(one.fingerprint, of("shop/web/configs.a", "canary2").fingerprint);
        assert_ne!(one.fingerprint, of("shop/api/configs.a", "canary").fingerprint);
        let content = Content { files: [("configs.a".to_owned(), one)].into(), ..Content::default() };
        assert!(!format!("{content:?} {}", content.label()).contains("canary"));
    }

    #[test]
    fn a_program_is_told_of_what_is_in_its_own_file_and_another_file_is_for_another_container() {
        let file =
            |text: &str, identity: &str| FileContent { fingerprint: text.into(), identity: identity.into() };
        let field = || "configs.a".to_owned();
        let mut container = Container::created("c1".into(), "shop-web-1");
        container.content.insert(field(), file("one", "1:1"));
        let signal = OnChange::Signal("SIGHUP".into());
        for (on_change, text, identity, told, replaced) in [
            (signal.clone(), "one", "1:2", 0, 0),
            (signal.clone(), "two", "1:1", 1, 0),
            (signal.clone(), "two", "", 1, 0),
            (signal, "two", "1:2", 0, 1),
            (OnChange::Exec(vec!["true".into()]), "two", "1:1", 1, 0),
            (OnChange::Rolling, "two", "1:1", 0, 1),
            (OnChange::Ignore, "two", "1:2", 0, 0),
        ] {
            let files = FileContents::from([(field(), file(text, identity))]);
            let content = Content { files, on_change, ..Content::default() };
            let found = (content.news(&container).len(), content.of_another_container(&container).len());
            assert_eq!(found, (told, replaced), "{content:?}");
        }
    }

    #[test]
    fn a_label_reads_as_it_was_written_and_a_broken_one_says_nothing() {
        let file = |identity: &str| FileContent { fingerprint: "ab".into(), identity: identity.into() };
        let files =
            BTreeMap::from([("configs.a".to_owned(), file("1:2")), ("secrets.b".to_owned(), file(""))]);
        let content = Content { files: files.clone(), ..Content::default() };
        let mut container = Container::created("c1".into(), "shop-web-1");
        assert!(of_label(&container).is_empty());
        container.labels.insert(labels::CONTENT.to_owned(), content.label());
        assert_eq!(of_label(&container), files);
        container.labels.insert(labels::CONTENT.to_owned(), "{".to_owned());
        assert!(of_label(&container).is_empty());
    }
}
