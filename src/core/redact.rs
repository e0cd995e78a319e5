//! What people may see of a command line, and of what a program prints.

use super::desired::Service;
use crate::secret::HIDDEN;

/// Words in an option's name that say that its value is a secret.
const SECRET_WORDS: &[&str] =
    &["pass", "secret", "token", "apikey", "api-key", "api_key", "credential", "auth", "private"];

/// A command line as one string, with the values of options that look like secrets and the passwords in
/// URLs hidden.
pub fn command_line(words: &[String]) -> String {
    let mut shown = Vec::with_capacity(words.len());
    let mut hide_next = false;
    for word in words {
        if std::mem::take(&mut hide_next) && !word.starts_with('-') {
            shown.push(HIDDEN.to_owned());
            continue;
        }
        shown.push(match word.split_once('=') {
            Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
            _ => without_password(&quoted(word)),
        });
        hide_next = word.starts_with('-') && !word.contains('=') && is_secret(word);
    }
    shown.join(" ")
}

/// An option's value, as of a driver: hidden where its name says so, or that of a part of it (`o: addr=nas,password=…`).
pub(super) fn option(name: &str, value: &str) -> String {
    if is_secret(name) {
        return HIDDEN.to_owned();
    }
    let part = |part: &str| match part.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        _ => without_password(part),
    };
    value.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// A text of another program's, without the passwords of the URLs in it.
pub fn urls(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "'\"`;,()<>".contains(c);
    text.split_inclusive(is_end).map(without_password).collect()
}

/// A value as short as this is found everywhere: hiding it would hide nothing.
const SHORTEST_SECRET: usize = 4;

/// A line that a service's program printed, without the secrets that it was given: the contents of its secret files,
/// its live password, variables whose names say so, and passwords in URLs.
pub fn printed(line: &str, service: &Service) -> String {
    let variables = service.spec.environment.iter().filter_map(|(name, value)| {
        let value = value.expose();
        if is_secret(name) { Some(value) } else { password_in(value) }
    });
    let files = service.files.iter().map(|(_, file)| file.content.expose().trim());
    let password = service.live.iter().filter_map(|live| Some(live.password.as_ref()?.expose()));
    variables
        .chain(files)
        .chain(password)
        .filter(|secret| secret.len() >= SHORTEST_SECRET)
        .fold(line.to_owned(), |line, secret| line.replace(secret, HIDDEN))
}

/// The password in `scheme://user:password@host`.
fn password_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password)
}

/// Which words of a command line people may not see. A word that is itself a line (a script, a URL with a password) may not
/// be seen where anything in it may not.
pub(super) fn secret_words(words: &[&str]) -> Vec<bool> {
    let mut hide_next = false;
    let is_hidden = |word: &&str| {
        let hidden = std::mem::take(&mut hide_next) && !word.starts_with('-');
        hide_next = word.starts_with('-') && !word.contains('=') && is_secret(word);
        hidden || is_told(word)
    };
    words.iter().map(is_hidden).collect()
}

/// Whether a text tells a secret: a value behind a name that says so, or a password in a URL.
pub(super) fn is_told(text: &str) -> bool {
    let is_end = |c: char| c.is_whitespace() || "'\"`;,()".contains(c);
    let mut parts = text.split(is_end).filter(|part| !part.is_empty()).peekable();
    let mut told = false;
    while let Some(part) = parts.next() {
        let named = part.split_once('=').is_some_and(|(name, value)| !value.is_empty() && is_secret(name));
        let option = part.starts_with('-') && !part.contains('=') && is_secret(part);
        told |= named || without_password(part) != part;
        told |= option && parts.peek().is_some_and(|next| !next.starts_with('-'));
    }
    told
}

/// Whether a name says that its value is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// `scheme://user:password@host` without the password.
fn without_password(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{path}"),
        None => word.to_owned(),
    }
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()".contains(c)) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_shown_without_what_is_secret_in_it() {
        for (name, value, expected) in [
            ("type", "cifs", "cifs"),
            (
                "o",
                "addr=nas,username=ada,password=canary,vers=3.0",
                "addr=nas,username=ada,password=(hidden),vers=3.0",
            ),
            ("device", "https://ada:canary@nas/share", "https://(hidden)@nas/share"),
            ("api_key", "canary", "(hidden)"),
        ] {
            assert_eq!(option(name, value), expected);
        }
    }

    #[test]
    fn secrets_in_a_command_line_are_hidden() {
        for (line, shown) in [
            ("redis-server --requirepass canary --port 1", "redis-server --requirepass (hidden) --port 1"),
            ("app --db-password=canary", "app --db-password=(hidden)"),
            ("curl https://me:canary@host/x", "curl https://(hidden)@host/x"),
            ("env API_TOKEN=canary run", "env API_TOKEN=(hidden) run"),
            ("sleep 10", "sleep 10"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(command_line(&words), shown);
        }
    }

    #[test]
    fn words_that_tell_a_secret_are_known_wherever_it_stands_in_them() {
        for (line, hidden) in [
            (&["redis-server", "--requirepass", "canary", "--port", "1"][..], &[2][..]),
            (&["sh", "-c", "exec app --token=canary --port 1"], &[2]),
            (&["sh", "-c", "curl -s 'https://me:canary@host/x'"], &[2]),
            (&["sh", "-c", "app --password canary"], &[2]),
            (&["app", "--password-file", "--verbose", "a=b"], &[]),
            (&["env", "API_TOKEN=canary", "run"], &[1]),
        ] {
            let found: Vec<usize> =
                secret_words(line).iter().enumerate().filter(|(_, hide)| **hide).map(|(at, _)| at).collect();
            assert_eq!(found, hidden, "{line:?}");
        }
    }

    #[test]
    fn secrets_in_what_is_printed_are_hidden() {
        let mut service = Service::default();
        for (name, value) in
            [("API_TOKEN", "canary"), ("DATABASE_URL", "postgres://me:pass-word@db/x"), ("MODE", "fast")]
        {
            service.spec.environment.insert(name.into(), crate::secret::Secret::new(value));
        }
        assert_eq!(
            printed("fast: canary refused, postgres://me:pass-word@db/x", &service),
            "fast: (hidden) refused, postgres://me:(hidden)@db/x"
        );
    }

    #[test]
    fn words_with_blanks_are_quoted() {
        assert_eq!(
            command_line(&["sh".into(), "-c".into(), "echo a b".into(), String::new()]),
            "sh -c 'echo a b' ''"
        );
    }
}
