//! Where it is told what becomes of commits: `spec.commitStatus`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{at, line};
use crate::compose::clean;
use crate::compose::errors::Diagnostic;
use crate::compose::yaml::Node;
use crate::core::code_host::{CodeHost, Provider};
use crate::source::git::address::Address;
use crate::source::git::hosted::{Hosted, hosted};

/// Names of statuses are shown in lists: longer ones are a mistake, and GitLab takes 255 with the stack's.
const LONGEST_CONTEXT: usize = 100;

/// Where it is told what becomes of commits, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "CommitStatus")]
pub struct CommitStatusDocument {
    /// What runs there.
    pub provider: Provider,
    /// The address of its API. That of the repository's host where nothing is said.
    #[serde(default)]
    #[schemars(extend("examples" = ["https://api.github.com", "https://git.example.com:8443"]))]
    pub api: Option<String>,
    /// The repository there. What the address of the repository says where nothing is said.
    #[serde(default)]
    #[schemars(extend("examples" = ["ops/shop"]))]
    pub repository: Option<String>,
    /// The file with the token that may set a commit's status.
    pub token_file: PathBuf,
    /// What the statuses are called: `operator/STACK`. Each machine that follows the repository needs a name of its own.
    #[serde(default = "context")]
    #[schemars(extend("examples" = ["operator/edge-1"]))]
    pub context: String,
}

fn context() -> String {
    "operator".to_owned()
}

/// What is said, with what the address of the repository says.
pub(super) fn code_host(
    said: &CommitStatusDocument,
    address: &Address,
    document: &Node,
    home: &Path,
) -> Result<CodeHost, Diagnostic> {
    let fault = |field: &str, message: String| at(document, &["spec", "commitStatus", field], message);
    let hosted = hosted(&address.place);
    let api = match (&said.api, &hosted) {
        (Some(api), _) => checked_api(api).map_err(|why| fault("api", why))?,
        (None, Some(hosted)) => api_of(said.provider, hosted),
        (None, None) => {
            let fault = fault("provider", "a repository of this machine has no code host".to_owned());
            return Err(fault.help("say with `api` and `repository` where its commits are, too"));
        }
    };
    let (repository, place) = match (&said.repository, hosted) {
        (Some(repository), _) => (repository.clone(), "repository"),
        (None, hosted) => (hosted.map(|hosted| hosted.path).unwrap_or_default(), "provider"),
    };
    if !is_repository(said.provider, &repository) {
        let message = match &said.repository {
            Some(said) => format!("`{said}` is no repository there"),
            None => "the address of the repository does not say what it is called there".to_owned(),
        };
        return Err(fault(place, message).help("say `repository: owner/name`; on GitLab with all its groups"));
    }
    let is_sound = !said.context.trim().is_empty()
        && said.context.chars().count() <= LONGEST_CONTEXT
        && !said.context.contains(char::is_control);
    if !is_sound {
        let fault = fault("context", "that is no name of a status".to_owned());
        return Err(fault.help(format!("use one line of 1 to {LONGEST_CONTEXT} characters")));
    }
    let token_file = clean(&home.join(&said.token_file));
    line(&token_file, document, &["spec", "commitStatus", "tokenFile"])?;
    Ok(CodeHost { provider: said.provider, api, repository, token_file, context: said.context.clone() })
}

/// As installations have it.
fn api_of(provider: Provider, Hosted { web, host, .. }: &Hosted) -> String {
    match provider {
        Provider::GitHub if host == "github.com" => "https://api.github.com".to_owned(),
        Provider::GitHub => format!("{web}/api/v3"),
        Provider::GitLab | Provider::Gitea | Provider::Forgejo => web.clone(),
    }
}

/// Without the path that every installation has: some write it, others do not.
fn checked_api(text: &str) -> Result<String, String> {
    // What may be a password is not repeated.
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or("the address of an API begins with https:// or http://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("there is a user or password in the address: the token belongs into a file".to_owned());
    }
    let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == '?' || c == '#' || !c.is_ascii();
    if authority.is_empty() || rest.contains(is_odd) {
        return Err("that is no address of an API".to_owned());
    }
    let api = text.trim_end_matches('/');
    let api = ["/api/v4", "/api/v1"].iter().find_map(|version| api.strip_suffix(version)).unwrap_or(api);
    Ok(api.to_owned())
}

/// Owner and name; GitLab has groups in groups.
fn is_repository(provider: Provider, text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(|c: char| c.is_control())
    };
    let parts = text.split('/').count();
    let is_enough = if provider == Provider::GitLab { parts >= 2 } else { parts == 2 };
    is_enough && text.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::declared::tests::{HEAD, read_text};

    fn told(url: &str, said: &str) -> Result<(String, String), String> {
        let text = format!("{HEAD}  git: {{url: '{url}'}}\n  commitStatus: {{{said}, tokenFile: token}}\n");
        match read_text(&text) {
            Ok(all) => {
                let CodeHost { api, repository, .. } = all[0].commit_status.clone().unwrap();
                Ok((api, repository))
            }
            Err(faults) => Err(faults[0].clone()),
        }
    }

    #[test]
    fn the_address_of_the_repository_says_where_its_commits_get_a_status() {
        for (url, said, api, repository) in [
            ("git@github.com:ops/shop.git", "provider: github", "https://api.github.com", "ops/shop"),
            (
                "https://ghe.example.com/ops/shop",
                "provider: github",
                "https://ghe.example.com/api/v3",
                "ops/shop",
            ),
            (
                "https://git.example.com:8443/ops/shop.git",
                "provider: forgejo",
                "https://git.example.com:8443",
                "ops/shop",
            ),
            (
                "ssh://git@git.example.com:2222/ops/shop",
                "provider: gitea",
                "https://git.example.com",
                "ops/shop",
            ),
            ("https://gitlab.com/a/b/shop.git", "provider: gitlab", "https://gitlab.com", "a/b/shop"),
            (
                "git@internal:shop",
                "provider: gitlab, api: 'https://git.example.com/lab/api/v4/', repository: a/b/shop",
                "https://git.example.com/lab",
                "a/b/shop",
            ),
            (
                "/srv/shop",
                "provider: gitea, api: 'http://127.0.0.1:3000', repository: ops/shop",
                "http://127.0.0.1:3000",
                "ops/shop",
            ),
        ] {
            assert_eq!(told(url, said), Ok((api.to_owned(), repository.to_owned())), "{url} {said}");
        }
    }

    #[test]
    fn what_cannot_be_a_code_host_is_told_at_its_place() {
        for (url, said, place, why) in [
            ("/srv/shop", "provider: github", "6:28", "has no code host"),
            ("git@host:shop", "provider: gitea", "6:28", "does not say what it is called there"),
            ("https://host/a/b/c", "provider: github", "6:28", "does not say what it is called there"),
            ("https://host/a/b", "provider: github, repository: shop", "6:48", "`shop` is no repository"),
            ("https://host/a/b", "provider: gitlab, repository: a/../b", "6:48", "is no repository"),
            ("https://host/a/b", "provider: gitea, api: host", "6:40", "begins with https://"),
            (
                "https://host/a/b",
                "provider: gitea, api: 'https://canary@host'",
                "6:40",
                "belongs into a file",
            ),
            ("https://host/a/b", "provider: gitea, api: 'https://h/?q'", "6:40", "no address of an API"),
            ("https://host/a/b", "provider: gitea, context: ' '", "6:44", "no name of a status"),
            ("https://host/a/b", "provider: generic", "6:28", "generic"),
        ] {
            let fault = told(url, said).unwrap_err();
            assert!(
                fault.starts_with(&format!("sources.yaml:{place}: ")) && fault.contains(why),
                "{said}: {fault}"
            );
            assert!(!fault.contains("canary"), "{fault}");
        }
        let none = format!(
            "{HEAD}  git: {{url: 'https://h/a/b'}}\n  commitStatus: {{provider: gitea, tokenFile: none}}\n"
        );
        let fault = read_text(&none).unwrap_err();
        assert!(fault[0].starts_with("sources.yaml:6:46: "), "{fault:?}");
    }

    #[test]
    fn no_token_is_in_what_is_read() {
        let text = format!(
            "{HEAD}  git: {{url: 'https://h/a/b'}}\n  commitStatus: {{provider: gitea, tokenFile: token}}\n"
        );
        let all = read_text(&text).unwrap();
        assert!(!format!("{all:?}").contains("canary"), "{all:?}");
        assert_eq!(all[0].commit_status.as_ref().unwrap().context, "operator");
    }
}
