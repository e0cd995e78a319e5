//! Redis settings: which change while it runs, how their values read, and how they stand in a command line.
//!
//! Names, kinds and defaults are those of Redis 7.0's `redis.conf`; Valkey shares them.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// How a setting's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Bytes, with redis' units: `1k` is 1000, `1kb` is 1024.
    Memory,
    /// A whole number.
    Integer,
    /// `yes` or `no`.
    Bool,
    /// One of a set of words.
    Word,
    /// Anything, blanks collapsed.
    Text,
}

/// The settings that `CONFIG SET` takes and that mean the same after it as from the start, with redis' default.
const LIVE: &[(&str, Kind, &str)] = &[
    ("activedefrag", Kind::Bool, "no"),
    ("appendfsync", Kind::Word, "everysec"),
    ("appendonly", Kind::Bool, "no"),
    ("auto-aof-rewrite-min-size", Kind::Memory, "64mb"),
    ("auto-aof-rewrite-percentage", Kind::Integer, "100"),
    ("dynamic-hz", Kind::Bool, "yes"),
    ("hz", Kind::Integer, "10"),
    ("latency-monitor-threshold", Kind::Integer, "0"),
    ("lazyfree-lazy-eviction", Kind::Bool, "no"),
    ("lazyfree-lazy-expire", Kind::Bool, "no"),
    ("lazyfree-lazy-server-del", Kind::Bool, "no"),
    ("lazyfree-lazy-user-del", Kind::Bool, "no"),
    ("lfu-decay-time", Kind::Integer, "1"),
    ("lfu-log-factor", Kind::Integer, "10"),
    ("loglevel", Kind::Word, "notice"),
    ("maxclients", Kind::Integer, "10000"),
    ("maxmemory", Kind::Memory, "0"),
    ("maxmemory-eviction-tenacity", Kind::Integer, "10"),
    ("maxmemory-policy", Kind::Word, "noeviction"),
    ("maxmemory-samples", Kind::Integer, "5"),
    ("no-appendfsync-on-rewrite", Kind::Bool, "no"),
    ("rdbcompression", Kind::Bool, "yes"),
    ("save", Kind::Text, "3600 1 300 100 60 10000"),
    ("slowlog-log-slower-than", Kind::Integer, "10000"),
    ("slowlog-max-len", Kind::Integer, "128"),
    ("stop-writes-on-bgsave-error", Kind::Bool, "yes"),
    ("tcp-keepalive", Kind::Integer, "300"),
    ("timeout", Kind::Integer, "0"),
];

/// The eviction policies, which redis refuses to deviate from.
const EVICTION_POLICIES: &[&str] = &[
    "allkeys-lfu",
    "allkeys-lru",
    "allkeys-random",
    "noeviction",
    "volatile-lfu",
    "volatile-lru",
    "volatile-random",
    "volatile-ttl",
];

fn find(key: &str) -> Option<&'static (&'static str, Kind, &'static str)> {
    LIVE.iter().find(|(name, ..)| *name == key)
}

/// Whether `CONFIG SET` changes this setting for good while redis runs.
pub fn is_live(key: &str) -> bool {
    find(key).is_some()
}

/// The names of all live settings.
pub fn names() -> impl Iterator<Item = &'static str> {
    LIVE.iter().map(|(name, ..)| *name)
}

/// Redis' own value of a setting where nobody gives one.
pub fn default_of(key: &str) -> Option<String> {
    find(key).and_then(|(_, _, default)| canonical(key, default).ok())
}

/// The one way to write a value: bytes as a number, words in lower case. What redis would refuse is an error
/// with the way out.
pub fn canonical(key: &str, value: &str) -> Result<String, String> {
    let (_, kind, _) = find(key).ok_or_else(|| format!("`{key}` cannot be changed while redis runs"))?;
    let value = value.trim();
    match kind {
        Kind::Memory => bytes(value)
            .map(|bytes| bytes.to_string())
            .ok_or_else(|| format!("`{value}` is not a size: write for example 512mb or 1gb")),
        Kind::Integer => value
            .parse::<i64>()
            .map(|number| number.to_string())
            .map_err(|_| format!("`{value}` is not a whole number")),
        Kind::Bool => match value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok("yes".into()),
            "no" | "false" => Ok("no".into()),
            _ => Err(format!("`{value}` is neither yes nor no")),
        },
        Kind::Word => word(key, &value.to_ascii_lowercase()),
        Kind::Text => Ok(value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

fn word(key: &str, value: &str) -> Result<String, String> {
    if key == "maxmemory-policy" && !EVICTION_POLICIES.contains(&value) {
        return Err(format!(
            "`{value}` is no eviction policy: it is one of {}",
            EVICTION_POLICIES.join(", ")
        ));
    }
    Ok(value.to_owned())
}

/// Redis' sizes: `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` of 1024.
fn bytes(value: &str) -> Option<u64> {
    let lower = value.to_ascii_lowercase();
    let digits = lower.len() - lower.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = lower.split_at_checked(digits)?;
    let factor: u64 = match unit {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Whether a command line runs a redis server itself (not through a shell, whose words are not ours to take apart).
pub fn is_server(command: &[String]) -> bool {
    command.first().is_some_and(|program| {
        matches!(program.rsplit('/').next(), Some("redis-server" | "valkey-server" | "keydb-server"))
    })
}

/// Takes the live settings out of a command line: what is left cannot change without a restart.
///
/// Returns the command without them, the settings with canonical values (the last of a kind wins, `save`
/// adds up, as for redis), and the password. A value that redis would refuse stays in the command.
pub fn split_command(command: &[String]) -> (Vec<String>, BTreeMap<String, String>, Option<Secret>) {
    let (mut rest, mut password) = (Vec::new(), None);
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    for option in Options::of(command) {
        let value = option.values.join(" ");
        match option.name {
            Some(name) if is_live(&name) && !option.values.is_empty() => match canonical(&name, &value) {
                Ok(value) => {
                    let joined = match settings.remove(&name) {
                        Some(before) if name == "save" && !before.is_empty() && !value.is_empty() => {
                            format!("{before} {value}")
                        }
                        _ => value,
                    };
                    settings.insert(name, joined);
                }
                Err(_) => rest.extend_from_slice(option.words),
            },
            name => {
                if name.as_deref() == Some("requirepass") && !option.values.is_empty() {
                    password = Some(Secret::new(value));
                }
                rest.extend_from_slice(option.words);
            }
        }
    }
    (rest, settings, password)
}

/// The command line with these settings in it: those that it has change their value, the others are appended.
pub fn with_settings(command: &[String], settings: &BTreeMap<String, String>) -> Vec<String> {
    let mut missing: BTreeMap<&str, &str> =
        settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let mut result = Vec::new();
    for option in Options::of(command) {
        match option.name.as_deref().filter(|name| settings.contains_key(*name)) {
            Some(name) => {
                if let Some(value) = missing.remove(name) {
                    let same = canonical(name, &option.values.join(" ")).is_ok_and(|old| old == value);
                    if same {
                        result.extend_from_slice(option.words);
                    } else {
                        result.extend([option.words.first().cloned().unwrap_or_default(), value.to_owned()]);
                    }
                }
            }
            None => result.extend_from_slice(option.words),
        }
    }
    for (key, value) in missing {
        result.extend([format!("--{key}"), value.to_owned()]);
    }
    result
}

/// One `--name value …` of a command line, or the words before the first.
struct Options<'a> {
    name: Option<String>,
    words: &'a [String],
    values: &'a [String],
}

impl<'a> Options<'a> {
    fn of(command: &'a [String]) -> impl Iterator<Item = Options<'a>> {
        let mut rest = command;
        std::iter::from_fn(move || {
            let first = rest.first()?;
            let tail = rest.get(1..).unwrap_or_default();
            let len = 1 + tail.iter().take_while(|word| !word.starts_with("--")).count();
            let (words, after) = rest.split_at_checked(len)?;
            rest = after;
            let name = first.strip_prefix("--").map(str::to_ascii_lowercase);
            Some(Options { name, words, values: words.get(1..).unwrap_or_default() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn values_have_one_canonical_form() {
        for (key, value, expected) in [
            ("maxmemory", "512mb", "536870912"),
            ("maxmemory", "512M", "512000000"),
            ("maxmemory", "0", "0"),
            ("maxmemory-policy", "AllKeys-LRU", "allkeys-lru"),
            ("appendonly", "YES", "yes"),
            ("save", " 60  1 ", "60 1"),
            ("save", "", ""),
        ] {
            assert_eq!(canonical(key, value).as_deref(), Ok(expected), "{key} {value}");
        }
    }

    #[test]
    fn what_redis_would_refuse_is_refused_with_the_way_out() {
        for (key, value) in [
            ("maxmemory", "12zb"),
            ("maxmemory", "99999999999999999999gb"),
            ("maxmemory-policy", "allkeys-fifo"),
            ("hz", "ten"),
            ("appendonly", "maybe"),
            ("port", "6380"),
        ] {
            assert!(canonical(key, value).is_err(), "{key} {value}");
        }
    }

    #[test]
    fn live_flags_come_out_of_the_command_and_the_rest_stays() {
        let (rest, settings, password) = split_command(&words(
            "redis-server /etc/redis.conf --port 6380 --maxmemory 1gb --save 60 1 --save 300 10 --requirepass s3cret --maxmemory 512mb --hz ten",
        ));
        assert_eq!(rest, words("redis-server /etc/redis.conf --port 6380 --requirepass s3cret --hz ten"));
        assert_eq!(settings, map(&[("maxmemory", "536870912"), ("save", "60 1 300 10")]));
        assert_eq!(password, Some(Secret::new("s3cret")));
    }

    #[test]
    fn settings_go_into_the_command_in_place_or_at_its_end() {
        let command = words("redis-server --maxmemory 512mb --port 6380 --maxmemory-policy allkeys-lru");
        let settings = map(&[("maxmemory", "536870912"), ("maxmemory-policy", "volatile-ttl"), ("hz", "50")]);
        assert_eq!(
            with_settings(&command, &settings),
            words("redis-server --maxmemory 512mb --port 6380 --maxmemory-policy volatile-ttl --hz 50")
        );
    }

    #[test]
    fn defaults_are_canonical_and_only_servers_count() {
        assert!(names().all(|name| default_of(name).is_some()));
        assert!(is_server(&words("/usr/bin/redis-server --port 1")));
        assert!(!is_server(&words("sh -c redis-server")));
        assert!(!is_server(&[]));
    }
}
