//! What people may see of a command line, and of what a program prints.

use std::collections::BTreeMap;

use super::desired::Service;
use crate::secret::{HIDDEN, Secret};

/// Words in an option's name that say that its value is a secret.
const SECRET_WORDS: &[&str] =
    &["pass", "secret", "token", "apikey", "api-key", "api_key", "credential", "auth", "private"];

/// Options that are followed by a password, or have it behind them (`-pWORD`), and the programs whose they are.
const SHORT_OPTIONS: &[(&str, &str)] = &[
    ("redis-cli", "-a"),
    ("valkey-cli", "-a"),
    ("curl", "-u"),
    ("mysql", "-p"),
    ("mysqladmin", "-p"),
    ("mariadb", "-p"),
    ("mariadb-admin", "-p"),
];

/// A command line as one string, with the values of options that look like secrets and the passwords in
/// URLs hidden.
pub fn command_line(words: &[String]) -> String {
    let hidden = self::words(words.iter().map(String::as_str));
    let shown =
        words.iter().zip(hidden).map(|(word, hidden)| if is_plain(word) { hidden } else { quoted(&hidden) });
    shown.collect::<Vec<_>>().join(" ")
}

/// The words of a command line, each without what is secret in it.
pub fn words<'w>(words: impl IntoIterator<Item = &'w str>) -> Vec<String> {
    let mut reader = Reader::default();
    words.into_iter().map(|word| reader.shown(word)).collect()
}

/// Goes through a command line from left to right.
#[derive(Default)]
struct Reader {
    /// The word before says that the next is a secret.
    hide_next: bool,
    /// How the program that was named last is given a password.
    option: Option<&'static str>,
}

impl Reader {
    fn shown(&mut self, word: &str) -> String {
        if std::mem::take(&mut self.hide_next) && !word.starts_with('-') {
            return HIDDEN.to_owned();
        }
        let named = word.split_once('=').filter(|(name, value)| !value.is_empty() && is_secret(name));
        if let Some((name, _)) = named.filter(|(name, _)| !name.contains(is_end)) {
            return format!("{name}={HIDDEN}");
        }
        if word.contains(is_end) {
            return script(word);
        }
        let program = word.rsplit('/').next().unwrap_or(word);
        let of_program = SHORT_OPTIONS.iter().find(|(name, _)| *name == program);
        self.option = of_program.map(|(_, option)| *option).or(self.option);
        if let Some((option, behind)) = self.option.and_then(|it| Some((it, word.strip_prefix(it)?))) {
            self.hide_next = behind.is_empty();
            return if behind.is_empty() { word.to_owned() } else { format!("{option}{HIDDEN}") };
        }
        self.hide_next = word.starts_with('-') && !word.contains('=') && is_secret(word);
        without_password(word)
    }
}

/// A text that is itself a line: words, and what separates them.
fn script(text: &str) -> String {
    let mut reader = Reader::default();
    let mut line = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let (word, behind) = rest.split_at(at);
        let end = behind.chars().next().unwrap_or_default();
        rest = &behind[end.len_utf8()..];
        if !word.is_empty() {
            line.push_str(&reader.shown(word));
        }
        line.push(end);
        let is_given = word.strip_suffix('=').is_some_and(is_secret) || reader.hide_next;
        if is_given && matches!(end, '\'' | '"') {
            // All that is in the quotes.
            let close = rest.find(end).unwrap_or(rest.len());
            line.push_str(if close > 0 { HIDDEN } else { "" });
            rest = &rest[close..];
            reader.hide_next = false;
        }
    }
    if !rest.is_empty() {
        line.push_str(&reader.shown(rest));
    }
    line
}

/// Where a word of a script ends.
fn is_end(c: char) -> bool {
    c.is_whitespace() || "'\"`;,()".contains(c)
}

/// An option's value, as of a driver: hidden where its name says so, or that of a part of it (`o: addr=nas,password=…`).
pub fn option(name: &str, value: &str) -> String {
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
///
/// It may still run with the variables of another time: `given` are those of its container.
pub fn printed(line: &str, service: &Service, given: &BTreeMap<String, Secret>) -> String {
    let wanted = &service.spec.environment;
    let has_secret = |value: &Secret| service.secrets.iter().any(|it| value.expose().contains(it.expose()));
    let variables = given.iter().chain(wanted).filter_map(|(name, value)| {
        let value = value.expose();
        let is_secret = is_secret(name) || wanted.get(name).is_some_and(has_secret);
        if is_secret { Some(value) } else { password_in(value) }
    });
    let files = service.files.iter().map(|(_, file)| file.content.expose().trim());
    let password = service.live.iter().filter_map(|live| Some(live.password.as_ref()?.expose()));
    let secrets = variables.chain(service.secrets.iter().map(Secret::expose)).chain(files).chain(password);
    // A line of what has several, and no part of one that another begins with.
    let mut lines: Vec<&str> =
        secrets.flat_map(str::lines).map(str::trim).filter(|line| line.len() >= SHORTEST_SECRET).collect();
    lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
    lines.iter().fold(line.to_owned(), |line, secret| line.replace(secret, HIDDEN))
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
    let shown = self::words(words.iter().copied());
    words.iter().zip(shown).map(|(word, shown)| *word != shown).collect()
}

/// Whether a text tells a secret: a value behind a name that says so, or a password in a URL.
pub(super) fn is_told(text: &str) -> bool {
    script(text) != text
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

fn is_plain(word: &str) -> bool {
    !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()".contains(c))
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
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
            ("redis-cli -h cache -a canary ping", "redis-cli -h cache -a (hidden) ping"),
            ("/usr/bin/mysqladmin ping -uroot -pcanary", "/usr/bin/mysqladmin ping -uroot -p(hidden)"),
            ("app -a 1 -p80", "app -a 1 -p80"),
            ("sleep 10", "sleep 10"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(command_line(&words), shown);
        }
    }

    #[test]
    fn secrets_in_a_script_are_hidden_and_the_rest_is_seen() {
        for (script, shown) in [
            ("exec app --token=canary --port 1", "'exec app --token=(hidden) --port 1'"),
            ("app --password canary; echo done", "'app --password (hidden); echo done'"),
            ("export TOKEN='canary'; app", r"'export TOKEN='\''(hidden)'\''; app'"),
            ("app --password \"a canary\" --user 'b c'", r#"'app --password "(hidden)" --user '\''b c'\'''"#),
            (
                "curl https://a:canary@x/ https://b:canary@y/",
                "'curl https://(hidden)@x/ https://(hidden)@y/'",
            ),
            ("redis-cli -a \"canary\" ping || exit 1", "'redis-cli -a \"(hidden)\" ping || exit 1'"),
            ("echo 'a b'", r"'echo '\''a b'\'''"),
        ] {
            assert_eq!(command_line(&[script.to_owned()]), shown);
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
            service.spec.environment.insert(name.into(), Secret::new(value));
        }
        service.secrets.insert(Secret::new("of-host"));
        assert_eq!(printed("of-host, at-host", &service, &BTreeMap::new()), "(hidden), at-host");
        assert_eq!(
            printed("fast: canary refused, postgres://me:pass-word@db/x", &service, &BTreeMap::new()),
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
