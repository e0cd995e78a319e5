//! Where a repository is, and which of its commits: `https://git.example.com/shop.git@main`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// Why something is no address of a repository.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Nothing is there.
    #[error("the address of the repository is empty")]
    Empty,
    /// Git would take it for an option.
    #[error("`{0}` begins with `-`: an address and a reference do not")]
    Option(String),
    /// It is reached in a way that proves nothing, or that runs a program.
    #[error("`{0}:` is no way to a repository here: https, http, ssh and file are")]
    Scheme(String),
    /// No branch, tag or commit can be called so.
    #[error("`{0}` is no name of a branch, a tag or a commit")]
    Reference(String),
    /// It has no host, or no path.
    #[error("the address names no host, or no repository on it")]
    Incomplete,
}

/// How a repository is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this machine.
    Local(PathBuf),
    /// `https://…`, `http://…`: without a user and a password.
    Http(String),
    /// `ssh://…`, `user@host:path`.
    Ssh(String),
}

/// Who asks, where the address says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub user: String,
    /// The password or token.
    pub password: Secret,
}

/// A repository, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Where it is.
    pub place: Place,
    /// The branch, tag, full reference or commit; the repository's own choice where none is said.
    pub reference: Option<String>,
    /// What the address said before the host.
    pub user_info: Option<UserInfo>,
}

impl Address {
    /// Reads `URL[@REF]` or `PATH[@REF]`; a path is relative to this directory.
    pub fn parse(text: &str, working_dir: &Path) -> Result<Self, BadAddress> {
        let (place, reference) = split(text, working_dir);
        let reference = reference.map(checked_reference).transpose()?;
        Ok(Self { reference, ..Self::parse_place(place, working_dir)? })
    }

    /// Reads `URL` or `PATH`; a path is relative to this directory.
    pub fn parse_place(text: &str, working_dir: &Path) -> Result<Self, BadAddress> {
        let (place, user_info) = parse_place(text, working_dir)?;
        Ok(Self { place, reference: None, user_info })
    }

    /// What git is given.
    pub fn url(&self) -> String {
        match &self.place {
            // Without a scheme git would read the files of a repository on this machine by itself.
            Place::Local(path) => format!("file://{}", path.display()),
            Place::Http(url) | Place::Ssh(url) => url.clone(),
        }
    }

    /// A name for it: the last part of its path.
    pub fn name(&self) -> String {
        let url = self.url();
        let path = url.trim_end_matches('/').trim_end_matches("/.git").trim_end_matches(".git");
        let last = path.rsplit(['/', ':']).next().unwrap_or_default();
        let plain = last.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let plain = plain.trim_matches('-');
        if plain.is_empty() { "source".to_owned() } else { plain.to_owned() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Local(path) => write!(f, "{}", path.display())?,
            Place::Http(url) | Place::Ssh(url) => f.write_str(url)?,
        }
        match &self.reference {
            Some(reference) => write!(f, "@{reference}"),
            None => Ok(()),
        }
    }
}

/// The repository and the reference. An `@` before the path is of the address itself, as in `git@host:shop.git`.
fn split<'t>(text: &'t str, working_dir: &Path) -> (&'t str, Option<&'t str>) {
    let is_local = !text.contains("://") && scp_like(text).is_none();
    // A directory may be called so.
    if is_local && working_dir.join(text).exists() {
        return (text, None);
    }
    let path_from = match text.find("://") {
        Some(scheme) => text[scheme + 3..].find('/').map_or(text.len(), |slash| scheme + 3 + slash),
        None if is_local => 0,
        None => scp_like(text).map_or(0, |(host, _)| host.len()),
    };
    match text[path_from..].rfind('@') {
        Some(at) => (&text[..path_from + at], Some(&text[path_from + at + 1..])),
        None => (text, None),
    }
}

/// The host and the path of `[user@]host:path`, as scp writes it. With a port, or with colons in the host, git takes
/// `[user@host:port]:path` and `user@[::1]:path`: in brackets.
pub(super) fn scp_like(text: &str) -> Option<(&str, &str)> {
    let is_of_host = |at: &usize| !text[..*at].contains([':', '/']);
    let colon = match text.find('[').filter(is_of_host) {
        Some(open) => open + text[open..].find("]:")? + 1,
        None => text.find(':')?,
    };
    let (host, path) = (&text[..colon], &text[colon + 1..]);
    (!host.is_empty() && !host.contains('/')).then_some((host, path))
}

/// The name of a host without who asks, the port, and brackets around both.
pub(super) fn bare_host(authority: &str) -> &str {
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let closed = host.find(']').map_or(host, |close| &host[..=close]);
    if closed.starts_with('[') && closed.matches(':').count() > 1 {
        return closed;
    }
    let host = host.trim_matches(['[', ']']);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn parse_place(text: &str, working_dir: &Path) -> Result<(Place, Option<UserInfo>), BadAddress> {
    if text.is_empty() {
        return Err(BadAddress::Empty);
    }
    if text.starts_with('-') {
        return Err(BadAddress::Option(text.to_owned()));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let scp_like = scp_like(text);
        // `ext::sh -c …` runs a program.
        if let Some((helper, _)) =
            scp_like.filter(|(host, path)| !host.contains('[') && path.starts_with(':'))
        {
            return Err(BadAddress::Scheme(format!("{helper}:")));
        }
        if let Some((host, _)) = scp_like {
            return ssh(text, host);
        }
        return Ok((Place::Local(crate::compose::clean(&working_dir.join(text))), None));
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    match scheme {
        "file" => Ok((Place::Local(PathBuf::from(format!("/{path}"))), None)),
        "http" | "https" => {
            let (user_info, host) = match authority.rsplit_once('@') {
                Some((user_info, host)) => (Some(user_info), host),
                None => (None, authority),
            };
            if host.is_empty() || path.is_empty() {
                return Err(BadAddress::Incomplete);
            }
            if decode(host).starts_with('-') {
                return Err(BadAddress::Option(host.to_owned()));
            }
            Ok((Place::Http(format!("{scheme}://{host}/{path}")), user_info.map(parse_user_info)))
        }
        "ssh" if path.is_empty() => Err(BadAddress::Incomplete),
        "ssh" => ssh(text, authority),
        other => Err(BadAddress::Scheme(other.to_owned())),
    }
}

/// Git gives ssh a word that it makes of the authority, in which `%2D` is `-`. One that begins with that would be an option, so
/// no part of it may, however git takes it apart.
fn ssh(text: &str, authority: &str) -> Result<(Place, Option<UserInfo>), BadAddress> {
    let authority = decode(authority);
    if bare_host(&authority).is_empty() {
        return Err(BadAddress::Incomplete);
    }
    if let Some(option) = authority.split(['@', ':', '[', ']']).find(|part| part.starts_with('-')) {
        return Err(BadAddress::Option(option.to_owned()));
    }
    Ok((Place::Ssh(text.to_owned()), None))
}

fn parse_user_info(text: &str) -> UserInfo {
    match text.split_once(':') {
        Some((user, password)) => UserInfo { user: decode(user), password: Secret::new(decode(password)) },
        // A token alone stands where a user would.
        None => UserInfo { user: "git".to_owned(), password: Secret::new(decode(text)) },
    }
}

/// Takes the `%2F` of an address as what they stand for; what is none stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| hex::decode(digits).ok());
        match digits.as_deref() {
            Some([byte]) if first == b'%' => {
                bytes.push(*byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// As `git check-ref-format` has it, so that nothing that git would read otherwise passes.
pub fn checked_reference(text: &str) -> Result<String, BadAddress> {
    if text.starts_with('-') {
        return Err(BadAddress::Option(text.to_owned()));
    }
    let is_lock = |part: &str| part.strip_suffix(".lock").is_some();
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !is_lock(part);
    let is_odd = |c: char| c.is_ascii_control() || " ~^:?*[\\".contains(c);
    let is_sound = !text.contains(is_odd)
        && !text.contains("..")
        && !text.contains("@{")
        && text != "@"
        && !text.ends_with('.')
        && text.split('/').all(is_part);
    if is_sound { Ok(text.to_owned()) } else { Err(BadAddress::Reference(text.to_owned())) }
}

/// Whether it is a commit in full: SHA-1 or SHA-256.
pub fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, BadAddress> {
        Address::parse(text, Path::new("/w"))
    }

    #[test]
    fn an_address_says_where_the_repository_is_and_which_commit() {
        for (text, url, reference, name) in [
            ("/srv/shop", "file:///srv/shop", None, "shop"),
            ("shop.git", "file:///w/shop.git", None, "shop"),
            ("../shop/.git@main", "file:///shop/.git", Some("main"), "shop"),
            (".", "file:///w", None, "w"),
            ("file:///srv/shop@v1.2", "file:///srv/shop", Some("v1.2"), "shop"),
            ("https://git.example.com/org/shop.git", "https://git.example.com/org/shop.git", None, "shop"),
            (
                "https://git.example.com/shop.git@feature/x",
                "https://git.example.com/shop.git",
                Some("feature/x"),
                "shop",
            ),
            (
                "http://127.0.0.1:3000/a/b@refs/tags/v1",
                "http://127.0.0.1:3000/a/b",
                Some("refs/tags/v1"),
                "b",
            ),
            ("git@github.com:org/My.Shop.git", "git@github.com:org/My.Shop.git", None, "my-shop"),
            ("git@host:shop@production", "git@host:shop", Some("production"), "shop"),
            ("[git@host:2222]:org/shop@main", "[git@host:2222]:org/shop", Some("main"), "shop"),
            ("git@[::1]:org/shop.git@main", "git@[::1]:org/shop.git", Some("main"), "shop"),
            ("ssh://git@host:2222/org/shop@main", "ssh://git@host:2222/org/shop", Some("main"), "shop"),
        ] {
            let address = parse(text).unwrap();
            assert_eq!((address.url().as_str(), address.reference.as_deref()), (url, reference), "{text}");
            assert_eq!((address.name().as_str(), address.user_info), (name, None), "{text}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_a_secret_and_shown_nowhere() {
        for (text, user, password) in [
            ("https://ann:canary@host/shop@main", "ann", "canary"),
            ("https://ann:can%2Fary@host/shop@main", "ann", "can/ary"),
            ("https://canary@host/shop@main", "git", "canary"),
        ] {
            let address = parse(text).unwrap();
            let user_info = address.user_info.clone().unwrap();
            assert_eq!((user_info.user.as_str(), user_info.password.expose()), (user, password));
            assert_eq!(address.url(), "https://host/shop");
            let shown = format!("{address} {address:?}");
            assert!(!shown.contains("canary") && address.to_string() == "https://host/shop@main", "{shown}");
        }
    }

    #[test]
    fn what_is_no_address_or_would_run_something_is_refused() {
        for text in [
            "",
            "--upload-pack=touch /tmp/x",
            "ext::sh -c id",
            "git://host/shop",
            "ftp://host/shop",
            "https://host",
            "https:///shop",
            "ssh://host",
            "ssh://-oProxyCommand=id/shop",
            "-oProxyCommand=id:shop",
            "git@-oProxyCommand=id:shop",
            "[-oProxyCommand=id:22]:shop",
            "[git@-oProxyCommand=id:22]:shop",
            "[-oProxyCommand=a:b:c]:shop",
            "git@[-oProxyCommand=a:b:c]:shop",
            "-oProxyCommand=id@host:shop",
            "[-oProxyCommand=id@host:22]:shop",
            "[-oProxyCommand=a:b:c@host]:shop",
            "ssh://-oProxyCommand=id@host/shop",
            "ssh://%2DoProxyCommand=id/p",
            "ssh://%2doProxyCommand=id@host/p",
            "ssh://git%40%2DoProxyCommand=id/p",
            "ssh://git@%5B-oProxyCommand=a:b:c%5D/p",
            "ssh://[-oProxyCommand=a:b:c]/p",
            "ssh://git:-x@host/p",
            "https://-host/shop",
            "https://ann:canary@%2Dhost/shop",
            "shop@-x",
            "shop@a..b",
            "shop@",
            "https://host/shop@a b",
            "https://host/shop@a~1",
            "https://host/shop@x.lock",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn a_directory_may_have_an_at_sign_in_its_name() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("shop@home")).unwrap();
        let address = Address::parse("shop@home", root.path()).unwrap();
        assert_eq!((address.place, address.reference), (Place::Local(root.path().join("shop@home")), None));
    }
}
