//! What an image can be called: the grammar of distribution/reference, which engines and registries share.
//!
//! ```text
//! [HOST[:PORT]/]PATH[:TAG][@ALGORITHM:HEX]      PATH = COMPONENT[/COMPONENT]…
//! ```

use crate::core::addresses::ip;

/// The longest path of a repository.
const LONGEST_PATH: usize = 255;

/// The longest tag.
const LONGEST_TAG: usize = 128;

/// Whether this names an image.
pub(super) fn is_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash is that of a port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest)
}

/// The way out of a name that is none.
pub(super) fn way_out(text: &str) -> String {
    let lower = text.to_lowercase();
    if lower != text && is_reference(&lower) {
        return format!("names of repositories have no capitals: write `{lower}`");
    }
    if text.contains("://") {
        return "leave the scheme out: REGISTRY/NAME:TAG".to_owned();
    }
    "write [REGISTRY/]NAME[:TAG], the name in lower-case letters and digits with `.`, `_`, `-` or `/` between them"
        .to_owned()
}

fn is_name(name: &str) -> bool {
    // Older engines have a host only where it has a dot, a colon or is `localhost`; newer ones by capitals too.
    let is_host =
        |first: &str| first.contains(['.', ':']) || first == "localhost" || first.to_lowercase() != first;
    let path = match name.split_once('/') {
        Some((first, path)) if is_host(first) => Some(path).filter(|_| is_domain(first)),
        _ => Some(name),
    };
    path.is_some_and(|path| path.len() <= LONGEST_PATH && path.split('/').all(is_component))
}

fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && label.starts_with(|c: char| c.is_ascii_alphanumeric())
            && label.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_port = |port: &str| !port.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    if let Some((address, after)) = domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // Newer engines only.
        return ip(address).is_some() && (after.is_empty() || after.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = domain.split_once(':').map_or((domain, None), |(host, port)| (host, Some(port)));
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

/// Letters and digits, with one of `.`, `_`, `__` or any number of `-` between them.
fn is_component(component: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component
            .split(is_alphanumeric)
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.chars().all(|c| c == '-'))
}

fn is_tag(tag: &str) -> bool {
    tag.len() <= LONGEST_TAG
        && tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let digits = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == digits && hex.chars().all(|c| c.is_ascii_digit() || matches!(c, 'a'..='f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_engines_take() {
        let sha256 = "a".repeat(64);
        let (digest, tagged, id) =
            (format!("a@sha256:{sha256}"), format!("a:1@sha256:{sha256}"), format!("sha256:{sha256}"));
        let longest = format!("a:{}", "x".repeat(128));
        let names = [
            "a",
            "a_b",
            "a__b",
            "a.b",
            "a--b/c",
            "foo:80/bar",
            "localhost/bar",
            "fair-edge/api:local",
            "a:_X.-",
            "index.docker.io/a",
            "Foo/bar",
            "LOCALHOST:5000/bar",
            "[::1]:5000/a",
            "x/y/z:1",
            "0a",
            &digest,
            &tagged,
            &id,
            &sha256,
            &longest,
        ];
        for name in names {
            assert!(is_reference(name), "{name}");
        }
    }

    #[test]
    fn what_no_engine_takes_is_no_name() {
        let long = [format!("a:{}", "x".repeat(129)), "a".repeat(256)];
        let names = [
            "",
            "X Y",
            "Busy",
            "a//b",
            "a:b:c",
            "a@sha256:12",
            "http://a/b",
            "-a",
            "a-",
            "_a",
            "a___b",
            "a..b",
            "a/",
            "/a",
            "a:",
            "a:.x",
            "a:-x",
            "a@md5:aa",
            "a.b.c:5000/Foo",
            "a@",
            "foo:/a",
            "ä",
            &long[0],
            &long[1],
        ];
        for name in names {
            assert!(!is_reference(name), "{name}");
        }
    }

    #[test]
    fn the_way_out_is_the_name_that_was_meant() {
        assert_eq!(way_out("Shop/API"), "names of repositories have no capitals: write `shop/api`");
        assert_eq!(way_out("https://r.example/a"), "leave the scheme out: REGISTRY/NAME:TAG");
    }
}
