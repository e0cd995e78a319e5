//! Files of people who are not root on the host: nothing outside of their checkout is read for them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::{DiskFiles, FileError, FileView, NOTHING, clean};
use super::options::LoadOptions;
use crate::core::trust::Level;

/// A view that shows only what is below a directory, the checkout, once every symbolic link is followed.
///
/// The checkout has two names: the logical one, which all paths that the loader sees begin with, and the physical one,
/// where its files are. So paths stay as they are when another revision takes the place of one.
pub struct Confined<'a> {
    view: &'a dyn FileView,
    logical: PathBuf,
    physical: PathBuf,
    /// Where the physical directory is once its own links are followed; none when it is nowhere.
    root: Option<PathBuf>,
    allowed: BTreeSet<PathBuf>,
    is_open: bool,
    /// What paths are shown with, from the checkout on; without it as the view below shows them.
    prefix: Option<String>,
}

impl std::fmt::Debug for Confined<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confined")
            .field("logical", &self.logical)
            .field("physical", &self.physical)
            .finish_non_exhaustive()
    }
}

impl Confined<'static> {
    /// The disk below `physical`, under the name `logical`, and besides only the files `allowed`: those that the host
    /// itself names. Both directories are absolute and clean.
    pub fn new(logical: PathBuf, physical: PathBuf, allowed: BTreeSet<PathBuf>) -> Self {
        Self::over(&DiskFiles, logical, physical, allowed)
    }

    /// The same names, and all of the disk: for a source that is trusted ([`Level::Privileged`]).
    pub fn mapped(logical: PathBuf, physical: PathBuf) -> Self {
        Self { is_open: true, ..Self::new(logical, physical, BTreeSet::new()) }
    }

    /// With this before each path that is shown: `3f2c1a9b04de:`, as git writes a file of a commit.
    #[must_use]
    pub fn shown_as(self, prefix: String) -> Self {
        Self { prefix: Some(prefix), ..self }
    }
}

impl<'a> Confined<'a> {
    fn over(view: &'a dyn FileView, logical: PathBuf, physical: PathBuf, allowed: BTreeSet<PathBuf>) -> Self {
        let root = view.leads_to(&physical);
        Self { view, logical, physical, root, allowed, is_open: false, prefix: Some(String::new()) }
    }

    /// What the options' trust lets a view show; none where all of it is trusted. Files that the options name themselves
    /// are the host's word, unless they are in the checkout: what is there may have become a link.
    pub(crate) fn by(options: &LoadOptions, view: &'a dyn FileView) -> Option<Self> {
        if options.trust.level == Level::Privileged {
            return None;
        }
        let root = clean(options.trust_root());
        let named = options.files.iter().chain(&options.env_files);
        let allowed =
            named
                .map(|path| {
                    if path == Path::new("-") { path.clone() } else { clean(&options.working_dir.join(path)) }
                })
                .filter(|path| !path.starts_with(&root))
                .collect();
        Some(Self { prefix: None, ..Self::over(view, root.clone(), root, allowed) })
    }

    /// Where to read a path.
    fn find(&self, path: &Path) -> Found {
        if path == Path::new(NOTHING) || self.allowed.contains(path) {
            return Found::Within(path.to_owned());
        }
        let Some(physical) = self.physical(path) else {
            return if self.is_open { Found::Within(path.to_owned()) } else { Found::Outside };
        };
        if self.is_open {
            return Found::Within(physical);
        }
        match (self.view.leads_to(&physical), &self.root) {
            (Some(real), Some(root)) if real.starts_with(root) => Found::Within(real),
            _ => Found::LedOut,
        }
    }

    fn within(&self, path: &Path) -> Option<PathBuf> {
        match self.find(path) {
            Found::Within(real) => Some(real),
            Found::Outside | Found::LedOut => None,
        }
    }

    /// The name on the disk of a path below the logical directory.
    fn physical(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.logical).ok()?;
        // Joined to nothing, a path would end with a slash.
        Some(if below.as_os_str().is_empty() { self.physical.clone() } else { self.physical.join(below) })
    }

    /// The logical name of a path that every link was followed on.
    fn logical(&self, real: &Path) -> Option<PathBuf> {
        Some(clean(&self.logical.join(real.strip_prefix(self.root.as_ref()?).ok()?)))
    }
}

/// What a confined view makes of a path.
enum Found {
    /// It is shown: this is its name for the view below.
    Within(PathBuf),
    /// By its text alone it is somewhere else.
    Outside,
    /// A link in the checkout leads out of it, or nowhere.
    LedOut,
}

impl FileView for Confined<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.view.read(&self.within(path).ok_or(FileError::Outside)?)
    }

    /// A link that leads out is there, as anybody sees who reads the checkout: reading it tells what is wrong with it.
    /// What it leads to is not looked at.
    fn is_file(&self, path: &Path) -> bool {
        match self.find(path) {
            Found::Within(real) => self.view.is_file(&real),
            Found::Outside => false,
            Found::LedOut => true,
        }
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.within(path).is_some_and(|real| self.view.is_dir(&real))
    }

    fn list(&self, directory: &Path) -> Result<Vec<PathBuf>, FileError> {
        let entries = self.view.list(&self.within(directory).ok_or(FileError::Outside)?)?;
        Ok(entries.iter().filter_map(|entry| Some(directory.join(entry.file_name()?))).collect())
    }

    fn link_target(&self, path: &Path) -> Option<PathBuf> {
        let physical = self.physical(path).filter(|_| path != self.logical)?;
        let target = self.view.link_target(&physical)?;
        self.logical(&target).or_else(|| self.is_open.then_some(target))
    }

    fn identity(&self, path: &Path) -> Option<String> {
        self.view.identity(&self.within(path)?)
    }

    fn leads_to(&self, path: &Path) -> Option<PathBuf> {
        let Some(physical) = self.physical(path) else { return self.view.leads_to(path) };
        let real = self.view.leads_to(&physical)?;
        // What is outside may have the logical name by chance: then it is not known where it is.
        self.logical(&real).or_else(|| Some(real).filter(|real| !real.starts_with(&self.logical)))
    }

    fn is_withheld(&self, path: &Path) -> bool {
        self.within(path).is_none_or(|real| self.view.is_withheld(&real))
    }

    fn read_of_host(&self, path: &Path) -> Result<Vec<u8>, FileError> {
        self.view.read_of_host(path)
    }

    fn is_open_to_all(&self, path: &Path) -> bool {
        self.view.is_open_to_all(path)
    }

    fn display(&self, path: &Path) -> PathBuf {
        let Some(prefix) = &self.prefix else { return self.view.display(path) };
        match path.strip_prefix(&self.logical) {
            Ok(below) if below.as_os_str().is_empty() => PathBuf::from(format!("{prefix}.")),
            Ok(below) => PathBuf::from(format!("{prefix}{}", below.display())),
            Err(_) => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// `revisions/abc` is the checkout, and its name is `current`, which is nowhere on the disk.
    struct Checkout {
        base: tempfile::TempDir,
    }

    impl Checkout {
        fn new() -> Self {
            let base = tempfile::tempdir().unwrap();
            let made = base.path().join("revisions/abc/conf");
            std::fs::create_dir_all(&made).unwrap();
            std::fs::write(made.join("a.env"), "A=1").unwrap();
            std::fs::write(base.path().join("secret"), "s").unwrap();
            Self { base }
        }

        fn physical(&self, path: &str) -> PathBuf {
            self.base.path().join("revisions/abc").join(path)
        }

        fn logical(&self, path: &str) -> PathBuf {
            self.base.path().join("current").join(path)
        }

        fn view(&self) -> Confined<'static> {
            let allowed = [self.base.path().join("host.env")].into();
            Confined::new(self.logical(""), self.physical(""), allowed)
        }
    }

    #[test]
    fn a_file_is_read_under_its_logical_name_only() {
        let checkout = Checkout::new();
        let view = checkout.view();
        assert_eq!(view.read(&checkout.logical("conf/a.env")), Ok(b"A=1".to_vec()));
        assert_eq!(view.read(&checkout.physical("conf/a.env")), Err(FileError::Outside));
        assert_eq!(view.list(&checkout.logical("conf")), Ok(vec![checkout.logical("conf/a.env")]));
        assert_eq!(view.display(&checkout.logical("conf/a.env")), Path::new("conf/a.env"));
        assert_eq!(view.display(&checkout.logical("")), Path::new("."));
        assert_eq!(
            view.identity(&checkout.logical("conf/a.env")),
            DiskFiles.identity(&checkout.physical("conf/a.env"))
        );
        assert!(view.is_dir(&checkout.logical("")) && view.is_dir(&checkout.logical("conf")));
    }

    #[test]
    fn a_link_within_is_followed_and_answers_in_logical_terms() {
        let checkout = Checkout::new();
        symlink("conf", checkout.physical("near")).unwrap();
        let view = checkout.view();
        assert_eq!(view.read(&checkout.logical("near/a.env")), Ok(b"A=1".to_vec()));
        assert_eq!(view.link_target(&checkout.logical("near")), Some(checkout.logical("conf")));
        assert_eq!(view.leads_to(&checkout.logical("near/a.env")), Some(checkout.logical("conf/a.env")));
        assert_eq!(view.link_target(&checkout.logical("")), None);
    }

    #[test]
    fn nothing_outside_is_seen_by_whatever_way() {
        let checkout = Checkout::new();
        let secret = checkout.base.path().join("secret");
        symlink(&secret, checkout.physical("absolute")).unwrap();
        symlink("../../secret", checkout.physical("relative")).unwrap();
        symlink("relative", checkout.physical("chain")).unwrap();
        symlink("../..", checkout.physical("directory")).unwrap();
        symlink("/nowhere/at/all", checkout.physical("dangling")).unwrap();
        symlink("loop", checkout.physical("loop")).unwrap();
        let view = checkout.view();
        for link in ["absolute", "relative", "chain", "directory/secret", "dangling", "loop"] {
            let path = checkout.logical(link);
            assert_eq!(view.read(&path), Err(FileError::Outside), "{link}");
            assert_eq!(view.identity(&path), None, "{link}");
            // Whether there is anything cannot be found out.
            assert!(view.is_file(&path) && !view.is_dir(&path), "{link}");
            assert!(
                !view.leads_to(&path).is_some_and(|real| real.starts_with(checkout.logical(""))),
                "{link}"
            );
        }
        assert_eq!(view.list(&checkout.logical("directory")), Err(FileError::Outside));
        assert!(!view.is_file(&secret) && view.read(&secret) == Err(FileError::Outside));
        assert_eq!(view.read(Path::new("/etc/passwd")), Err(FileError::Outside));
        assert_eq!(view.read(Path::new(NOTHING)), Ok(Vec::new()));
    }

    #[test]
    fn the_host_may_name_files_of_its_own() {
        let checkout = Checkout::new();
        let given = checkout.base.path().join("host.env");
        std::fs::write(&given, "B=2").unwrap();
        assert_eq!(checkout.view().read(&given), Ok(b"B=2".to_vec()));
    }

    #[test]
    fn what_is_trusted_has_the_same_names_and_all_of_the_disk() {
        let checkout = Checkout::new();
        let secret = checkout.base.path().join("secret");
        symlink(&secret, checkout.physical("link")).unwrap();
        let view = Confined::mapped(checkout.logical(""), checkout.physical(""));
        assert_eq!(view.read(&checkout.logical("link")), Ok(b"s".to_vec()));
        assert_eq!(view.read(&secret), Ok(b"s".to_vec()));
        assert_eq!(view.link_target(&checkout.logical("link")), Some(secret.canonicalize().unwrap()));
    }

    #[test]
    fn a_checkout_that_is_not_there_shows_nothing() {
        let checkout = Checkout::new();
        let gone = checkout.base.path().join("gone");
        let view = Confined::new(checkout.logical(""), gone, BTreeSet::new());
        assert_eq!(view.read(&checkout.logical("a")), Err(FileError::Missing));
    }
}
