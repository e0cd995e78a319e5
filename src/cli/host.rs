//! What the host keeps for the files and no repository does: secrets, and the identities that decrypt.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::args::FileArgs;
use crate::compose::{HostSecrets, SECRET_VARIABLE, clean};
use crate::secret::Secret;

/// Where secrets are, unless something else is said.
const DIRECTORY: &str = "/etc/compose-operator/secrets";

/// Where systemd has put what `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// The credential that is an identity.
const IDENTITY: &str = "age-identity";

/// What the options and the environment of the process say.
pub(super) fn secrets(args: &FileArgs, working_dir: &Path) -> HostSecrets {
    from(args, working_dir, |name| std::env::var_os(name), std::env::vars_os())
}

fn from(
    args: &FileArgs,
    working_dir: &Path,
    variable: impl Fn(&str) -> Option<std::ffi::OsString>,
    all: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> HostSecrets {
    let absolute = |path: PathBuf| clean(&working_dir.join(path));
    let path = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = args.secrets_dir.clone().filter(|given| !given.as_os_str().is_empty());
    let directory = directory.or_else(|| path("OPERATOR_SECRETS_DIR"));
    let credentials = path(CREDENTIALS).map(absolute);
    let mut identities = args.age_identities.clone();
    if identities.is_empty() {
        identities.extend(path("OPERATOR_AGE_IDENTITY"));
        identities.extend(path("SOPS_AGE_KEY_FILE"));
    }
    let credential = credentials.as_ref().map(|directory| directory.join(IDENTITY));
    identities.extend(credential.filter(|path| path.is_file()));
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, Secret::new(value.into_string().ok()?)))
    };
    HostSecrets {
        directories: std::iter::once(directory.unwrap_or_else(|| DIRECTORY.into()))
            .map(absolute)
            .chain(credentials)
            .collect(),
        variables: all.filter_map(text).filter(|(name, _)| is_secret(name)).collect::<BTreeMap<_, _>>(),
        identities: identities.into_iter().map(absolute).collect(),
    }
}

/// Whether a variable of the process is a secret of the host, which no `${…}` of Compose may show.
pub(super) fn is_secret(variable: &str) -> bool {
    variable.starts_with(SECRET_VARIABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_before_variables_and_credentials_after_both() {
        let credentials = tempfile::tempdir().unwrap();
        std::fs::write(credentials.path().join(IDENTITY), "").unwrap();
        let read = |args: &FileArgs| {
            let variables = BTreeMap::from([
                ("OPERATOR_AGE_IDENTITY", "one.key".into()),
                ("SOPS_AGE_KEY_FILE", "/two.key".into()),
                ("OPERATOR_SECRETS_DIR", String::new()),
                (CREDENTIALS, credentials.path().to_string_lossy().into_owned()),
                ("OPERATOR_SECRET_DB", "canary".into()),
            ]);
            let all: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
            from(args, Path::new("/w"), |name| variables.get(name).map(Into::into), all.into_iter())
        };
        let credential = credentials.path().join(IDENTITY);
        let found = read(&FileArgs::default());
        assert_eq!(found.identities, [Path::new("/w/one.key"), Path::new("/two.key"), &credential]);
        assert_eq!(found.directories, [Path::new(DIRECTORY), credentials.path()]);
        assert_eq!(found.variables.keys().collect::<Vec<_>>(), ["OPERATOR_SECRET_DB"]);
        assert!(!format!("{found:?}").contains("canary"));
        let given = FileArgs {
            secrets_dir: Some("mine".into()),
            age_identities: vec!["../a.key".into()],
            ..FileArgs::default()
        };
        let found = read(&given);
        assert_eq!(found.identities, [Path::new("/a.key"), &credential]);
        assert_eq!(found.directories, [Path::new("/w/mine"), credentials.path()]);
    }
}
