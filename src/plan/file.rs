//! A plan on disk: whole or not at all, its owner's alone, and read only as it was written.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Plan;

/// The version of the format.
const VERSION: u32 = 1;

/// What the file says that it is.
const KIND: &str = "operator plan";

/// More than this is no plan: that of a thousand services has some megabytes.
const LARGEST: u64 = 256 << 20;

#[derive(Deserialize)]
struct Head {
    kind: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<P> {
    kind: String,
    version: u32,
    mark: String,
    plan: P,
}

/// Why a file is no plan that could be applied.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It cannot be read.
    #[error("it cannot be read")]
    File(#[from] io::Error),
    /// It is something else, or not all of it is there.
    #[error("it is no plan, or not all of it is there: {0}")]
    NoPlan(String),
    /// It is of another version of the format.
    #[error("its format is version {0}, and this operator reads version {VERSION}")]
    Version(u32),
    /// It is not as it was written.
    #[error("it was changed after it was written")]
    Changed,
}

/// Writes a plan beside its place and moves it there. Nobody but its owner may read it: it tells what runs and how.
pub fn write(path: &Path, plan: &Plan) -> io::Result<()> {
    let mark = plan.seal.mark(&serde_json::to_vec(plan)?);
    let document = Document { kind: KIND.to_owned(), version: VERSION, mark, plan };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !directory.is_dir() {
        let message = format!("there is no directory {}", directory.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    // Its mode is 0600, also where the mask would let others read.
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    serde_json::to_writer_pretty(&mut file, &document)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads a plan.
pub fn read(path: &Path) -> Result<Plan, Unreadable> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(Unreadable::NoPlan("it is too large".to_owned()));
    }
    parse(&fs::read(path)?)
}

fn parse(bytes: &[u8]) -> Result<Plan, Unreadable> {
    let no_plan = |error: serde_json::Error| Unreadable::NoPlan(error.to_string());
    // What another version wrote need not have this one's shape.
    let Head { kind, version } = serde_json::from_slice(bytes).map_err(no_plan)?;
    if kind != KIND {
        return Err(Unreadable::NoPlan(format!("it says that it is a `{kind}`")));
    }
    if version != VERSION {
        return Err(Unreadable::Version(version));
    }
    let document: Document<Plan> = serde_json::from_slice(bytes).map_err(no_plan)?;
    let plan = document.plan;
    // What is written is what is read: the same types make the same text.
    let text = serde_json::to_vec(&plan).map_err(no_plan)?;
    if !plan.seal.is_sound() || plan.seal.mark(&text) != document.mark {
        return Err(Unreadable::Changed);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::seal::Seal;
    use super::super::{Files, OPERATOR};
    use super::*;
    use crate::core::time::Timestamp;

    fn plan() -> Plan {
        Plan {
            operator: OPERATOR.into(),
            created_at: Timestamp::from_millis(7),
            files: Files::default(),
            seal: Seal::new([7; 32], 1),
            stacks: vec![],
        }
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        fs::write(&path, "an older one, which others may read").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, &plan()).unwrap();
        assert_eq!(read(&path).unwrap(), plan());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let entries = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(entries, 1, "nothing is left beside it");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write(&directory.path().join("nowhere/plan.json"), &plan()).is_err());
        fs::create_dir(directory.path().join("plan.json")).unwrap();
        assert!(write(&directory.path().join("plan.json"), &plan()).is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_part_of_a_plan_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        write(&path, &plan()).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() - 2 {
            assert!(matches!(parse(&whole[..length]), Err(Unreadable::NoPlan(_))), "{length} bytes");
        }
    }

    #[test]
    fn a_plan_that_was_changed_is_told_from_another_version_and_from_what_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        write(&path, &plan()).unwrap();
        let whole = fs::read_to_string(&path).unwrap();
        let parse = |from: &str, to: &str| {
            assert!(whole.contains(from), "{from}");
            parse(whole.replacen(from, to, 1).as_bytes()).unwrap_err().to_string()
        };
        assert_eq!(parse(r#""createdAt": 7"#, r#""createdAt": 8"#), "it was changed after it was written");
        assert_eq!(
            parse(r#""version": 1"#, r#""version": 2"#),
            "its format is version 2, and this operator reads version 1"
        );
        assert!(parse("operator plan", "Stack").contains("it says that it is a `Stack`"));
        assert!(parse(r#""stacks""#, r#""stocks""#).contains("unknown field `stocks`"));
        assert_eq!(parse(r#""rounds": "#, r#""rounds": 1"#), "it was changed after it was written");
    }
}
