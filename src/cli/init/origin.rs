//! Which files a running project was made from, by its containers' labels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::compose::LoadOptions;
use crate::core::labels;

/// The labels of one container.
type Labels = BTreeMap<String, String>;

/// Project directory, Compose files and env files, as the labels have them.
type Origin = [String; 3];

/// Makes the options name the files that the containers of a project were made from.
pub(super) fn find(name: &str, all: &[Labels], options: &mut LoadOptions) -> anyhow::Result<()> {
    let [directory, files, env_files] = the_one(name, &origins(name, all), all)?;
    // Before version 2 Compose wrote paths as they were given.
    let paths = |list: &str| -> Vec<PathBuf> {
        let named = list.split(',').filter(|path| !path.is_empty());
        named.map(|path| Path::new(&directory).join(path)).collect()
    };
    options.files = paths(&files);
    if options.env_files.is_empty() {
        options.env_files = paths(&env_files);
    }
    if let Some(gone) = options.files.iter().chain(&options.env_files).find(|path| !path.is_file()) {
        bail!(
            "{} is not on this machine, and the containers of `{name}` were made from it; put it back, or name \
             the files that hold now: operator init -p {name} -f FILE",
            gone.display()
        );
    }
    options.project_name = Some(name.to_owned());
    if options.project_directory.is_none() && !directory.is_empty() {
        options.project_directory = Some(PathBuf::from(directory));
    }
    Ok(())
}

/// The origins of a project's containers, each with the services that come from there.
fn origins(name: &str, all: &[Labels]) -> BTreeMap<Origin, BTreeSet<String>> {
    let mut origins: BTreeMap<Origin, BTreeSet<String>> = BTreeMap::new();
    for container in all {
        let label = |key: &str| container.get(key).cloned().unwrap_or_default();
        if label(labels::PROJECT) == name && label(labels::ONE_OFF) != "True" {
            let origin = [labels::WORKING_DIR, labels::CONFIG_FILES, labels::ENVIRONMENT_FILE].map(label);
            origins.entry(origin).or_default().insert(label(labels::SERVICE));
        }
    }
    origins
}

/// The one origin that there is.
fn the_one(
    name: &str,
    origins: &BTreeMap<Origin, BTreeSet<String>>,
    all: &[Labels],
) -> anyhow::Result<Origin> {
    let Some((origin, _)) = origins.first_key_value() else {
        let known: BTreeSet<&str> =
            all.iter().filter_map(|it| it.get(labels::PROJECT)).map(String::as_str).collect();
        let known = match known.len() {
            0 => "nor of any other".to_owned(),
            _ => format!("projects here: {}", known.into_iter().collect::<Vec<_>>().join(", ")),
        };
        bail!(
            "no container of a project `{name}` is here ({known}); for its files: operator init -p {name} -f FILE"
        );
    };
    if origins.len() > 1 {
        let each = origins.iter().map(|([directory, files, env_files], services)| {
            let files = if files.is_empty() { directory } else { files };
            let variables = if env_files.is_empty() { String::new() } else { format!(" with {env_files}") };
            format!(
                "{files}{variables} ({})",
                services.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            )
        });
        bail!(
            "the containers of `{name}` were made from different files: {}; say which hold: operator init -p {name} -f FILE",
            each.collect::<Vec<_>>().join("; ")
        );
    }
    if origin[1].is_empty() {
        bail!(
            "the containers of `{name}` do not say which files they were made from; name them: \
             operator init -p {name} -f FILE"
        );
    }
    Ok(origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container of a service, with these labels besides.
    fn container(project: &str, service: &str, files: &str, more: &[(&str, &str)]) -> Labels {
        let known = [(labels::PROJECT, project), (labels::SERVICE, service), (labels::CONFIG_FILES, files)];
        let said = known.iter().chain(more).filter(|(_, value)| !value.is_empty());
        said.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn error(all: &[Labels]) -> String {
        find("shop", all, &mut LoadOptions::default()).unwrap_err().to_string()
    }

    #[test]
    fn the_labels_say_files_directory_and_variables() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        for name in ["a.yaml", "b.yaml", "prod.env"] {
            std::fs::write(path(name), "").unwrap();
        }
        let more = [(labels::WORKING_DIR, "/srv/shop"), (labels::ENVIRONMENT_FILE, &path("prod.env"))];
        let files = format!("{},{}", path("a.yaml"), path("b.yaml"));
        let all = [
            container("shop", "api", &files, &more),
            container("shop", "db", &files, &more),
            container("shop", "job", "/other.yaml", &[(labels::ONE_OFF, "True")]),
            container("other", "api", "/other.yaml", &[]),
        ];
        let mut options = LoadOptions::default();
        find("shop", &all, &mut options).unwrap();
        assert_eq!(options.files, [path("a.yaml"), path("b.yaml")].map(PathBuf::from));
        assert_eq!(options.env_files, [PathBuf::from(path("prod.env"))]);
        assert_eq!(options.project_directory, Some(PathBuf::from("/srv/shop")));
        assert_eq!(options.project_name.as_deref(), Some("shop"));
    }

    #[test]
    fn relative_paths_are_those_of_the_project_directory() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("docker-compose.yml"), "").unwrap();
        let working_dir = directory.path().to_string_lossy().into_owned();
        let all = [container("shop", "api", "docker-compose.yml", &[(labels::WORKING_DIR, &working_dir)])];
        let mut options = LoadOptions::default();
        find("shop", &all, &mut options).unwrap();
        assert_eq!(options.files, [directory.path().join("docker-compose.yml")]);
    }

    #[test]
    fn what_does_not_lead_to_files_is_an_error_with_the_way_out() {
        let way_out = "operator init -p shop -f FILE";
        let none = error(&[container("other", "api", "/o.yaml", &[])]);
        assert!(none.contains("projects here: other") && none.ends_with(way_out), "{none}");
        let nothing = error(&[]);
        assert!(nothing.contains("nor of any other") && nothing.ends_with(way_out), "{nothing}");
        let gone = error(&[container("shop", "api", "/gone/compose.yaml", &[])]);
        assert!(gone.starts_with("/gone/compose.yaml is not on this machine"), "{gone}");
        assert!(gone.ends_with(way_out), "{gone}");
        let several = error(&[
            container("shop", "api", "/a.yaml", &[]),
            container("shop", "db", "/a.yaml,/b.yaml", &[]),
        ]);
        assert!(several.contains("different files: /a.yaml (api); /a.yaml,/b.yaml (db);"), "{several}");
        assert!(several.ends_with(way_out), "{several}");
        let unsaid = error(&[container("shop", "api", "", &[])]);
        assert!(unsaid.contains("do not say which files") && unsaid.ends_with(way_out), "{unsaid}");
    }
}
