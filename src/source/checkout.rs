//! The commit that a git checkout stands at, read from its files: no git is run, and none is needed.

use std::fs;
use std::path::{Path, PathBuf};

/// Why it cannot be told where a checkout stands.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCommit {
    /// There is no checkout.
    #[error("{} is in no git checkout", .0.display())]
    NoCheckout(PathBuf),
    /// Git keeps it in a way that is not read here, or nothing has been committed yet.
    #[error("the commit of the git checkout {} cannot be read", .0.display())]
    Unreadable(PathBuf),
}

/// The commit, in full, that the checkout around a directory stands at. What is not committed does not count.
pub fn commit(directory: &Path) -> Result<String, NoCommit> {
    let inside = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let found = inside.ancestors().find(|ancestor| ancestor.join(".git").exists());
    let root = found.ok_or_else(|| NoCommit::NoCheckout(directory.to_owned()))?;
    head(root).ok_or_else(|| NoCommit::Unreadable(root.to_owned()))
}

fn head(root: &Path) -> Option<String> {
    let own = git_directory(root)?;
    let head = line(&own.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref: ") else { return hash(&head) };
    let common = common_directory(&own);
    // A name that leads elsewhere is none of git's.
    if !name.starts_with("refs/") || name.split('/').any(|part| part == "..") {
        return None;
    }
    let loose = [&own, &common].into_iter().find_map(|directory| line(&directory.join(name)));
    loose.or_else(|| packed(&common, name)).as_deref().and_then(hash)
}

/// A linked work tree has its branches where the first one has them.
pub(super) fn common_directory(own: &Path) -> PathBuf {
    line(&own.join("commondir")).map_or_else(|| own.to_owned(), |path| own.join(path))
}

/// `.git` is the directory, or a file that says where it is.
pub(super) fn git_directory(root: &Path) -> Option<PathBuf> {
    let path = root.join(".git");
    if path.is_dir() {
        return Some(path);
    }
    let text = line(&path)?;
    Some(root.join(text.strip_prefix("gitdir: ")?))
}

fn packed(common: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(common.join("packed-refs")).ok()?;
    let mut refs = text.lines().filter_map(|line| line.split_once(' '));
    refs.find(|(_, known)| *known == name).map(|(hash, _)| hash.to_owned())
}

fn line(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end().to_owned())
}

/// SHA-1 or SHA-256.
fn hash(text: &str) -> Option<String> {
    let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789abcdef0123456789abcdef01234567";
    const TWO: &str = "89abcdef0123456789abcdef0123456789abcdef";

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn the_commit_is_found_however_git_keeps_it() {
        let packed = format!("# pack-refs with: peeled\n{TWO} refs/heads/main\n^{ONE}\n");
        for (files, expected) in [
            (vec![("HEAD", format!("{ONE}\n"))], Some(ONE)),
            (
                vec![("HEAD", "ref: refs/heads/main\n".into()), ("refs/heads/main", format!("{ONE}\n"))],
                Some(ONE),
            ),
            (vec![("HEAD", "ref: refs/heads/main\n".into()), ("packed-refs", packed.clone())], Some(TWO)),
            // What is loose is newer.
            (
                vec![
                    ("HEAD", "ref: refs/heads/main\n".into()),
                    ("packed-refs", packed),
                    ("refs/heads/main", format!("{ONE}\n")),
                ],
                Some(ONE),
            ),
            (vec![("HEAD", "ref: refs/heads/none\n".into())], None),
            (vec![("HEAD", "ref: refs/../../secret\n".into()), ("../secret", format!("{ONE}\n"))], None),
            (vec![("HEAD", "no hash".into())], None),
            (vec![("config", String::new())], None),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in &files {
                write(&root.path().join(".git"), path, text);
            }
            fs::create_dir_all(root.path().join("deploy/app")).unwrap();
            let found = commit(&root.path().join("deploy/app"));
            assert_eq!(found.ok().as_deref(), expected, "{files:?}");
        }
    }

    #[test]
    fn a_linked_work_tree_has_its_own_head_and_the_branches_of_the_first() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "first/.git/refs/heads/fix", &format!("{TWO}\n"));
        write(root.path(), "first/.git/worktrees/second/HEAD", "ref: refs/heads/fix\n");
        write(root.path(), "first/.git/worktrees/second/commondir", "../..\n");
        write(root.path(), "second/.git", "gitdir: ../first/.git/worktrees/second\n");
        assert_eq!(commit(&root.path().join("second")), Ok(TWO.to_owned()));
    }

    #[test]
    fn without_a_checkout_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(commit(root.path()), Err(NoCommit::NoCheckout(root.path().to_owned())));
    }
}
