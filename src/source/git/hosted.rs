//! On which host a repository is, and what it is called there.

use super::address::{Place, bare_host, scp_like};

/// A repository on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted {
    /// The host's pages: `https://git.example.com:8443`.
    pub web: String,
    /// Its name alone.
    pub host: String,
    /// The path of the repository, without `.git`: `ops/shop`.
    pub path: String,
}

/// Where that is; nothing for a repository of this machine.
pub fn hosted(place: &Place) -> Option<Hosted> {
    let (web, host, path) = match place {
        Place::Local(_) => return None,
        Place::Http(url) => {
            let (scheme, rest) = url.split_once("://")?;
            let (authority, path) = rest.split_once('/')?;
            (format!("{scheme}://{authority}"), bare_host(authority), path)
        }
        // The port of ssh says nothing of the pages'.
        Place::Ssh(url) => {
            let (authority, path) = match url.split_once("://") {
                Some((_, rest)) => rest.split_once('/')?,
                None => scp_like(url)?,
            };
            let host = by_another_name(bare_host(authority));
            (format!("https://{host}"), host, path)
        }
    };
    let path = path.trim_matches('/').trim_end_matches(".git").trim_end_matches('/');
    Some(Hosted { web, host: host.to_ascii_lowercase(), path: path.to_owned() })
}

/// Where ssh is let through on the port of https only, these hosts have a name of their own for it.
fn by_another_name(host: &str) -> &str {
    match host {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::address::Address;
    use super::*;

    #[test]
    fn every_spelling_of_an_address_leads_to_the_host_and_the_repository() {
        for (url, web, host, path) in [
            ("https://github.com/ops/shop.git", "https://github.com", "github.com", "ops/shop"),
            ("https://github.com/ops/shop", "https://github.com", "github.com", "ops/shop"),
            ("https://ann:token@GitHub.com/ops/shop.git/", "https://GitHub.com", "github.com", "ops/shop"),
            ("git@github.com:ops/shop.git", "https://github.com", "github.com", "ops/shop"),
            ("github.com:ops/shop", "https://github.com", "github.com", "ops/shop"),
            ("git@host:/ops/shop.git", "https://host", "host", "ops/shop"),
            ("ssh://git@ssh.github.com:443/ops/shop.git", "https://github.com", "github.com", "ops/shop"),
            ("ssh://git@host:2222/ops/shop.git", "https://host", "host", "ops/shop"),
            ("ssh://host/ops/shop", "https://host", "host", "ops/shop"),
            ("[git@host:2222]:ops/shop.git", "https://host", "host", "ops/shop"),
            ("git@[::1]:ops/shop.git", "https://[::1]", "[::1]", "ops/shop"),
            ("ssh://git@[::1]:22/ops/shop", "https://[::1]", "[::1]", "ops/shop"),
            ("https://host:8443/ops/shop.git", "https://host:8443", "host", "ops/shop"),
            ("http://[::1]:3000/ops/shop", "http://[::1]:3000", "[::1]", "ops/shop"),
            ("https://gitlab.com/a/b/c/shop.git", "https://gitlab.com", "gitlab.com", "a/b/c/shop"),
            ("git@gitlab.com:a/b/c/shop.git", "https://gitlab.com", "gitlab.com", "a/b/c/shop"),
        ] {
            let place = Address::parse_place(url, Path::new("/")).unwrap().place;
            let expected = Hosted { web: web.into(), host: host.into(), path: path.into() };
            assert_eq!(hosted(&place), Some(expected), "{url}");
        }
        assert_eq!(hosted(&Place::Local("/srv/ops/shop".into())), None);
    }
}
