//! Values as people write them in their files.

use serde_json::Value;

use crate::core::redact;
use crate::core::spec::{Healthcheck, Logging, Port};

/// A value as it is.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A log's driver and options, without what is secret in these.
pub(super) fn logging(logging: &Logging) -> String {
    let mut shown = logging.clone();
    shown.options.iter_mut().for_each(|(name, value)| *value = redact::option(name, value));
    serde_json::to_value(&shown).map_or_else(|_| String::new(), |value| plain(&value))
}

/// A seccomp profile is pages of JSON.
pub(super) fn security(option: &str) -> String {
    if option.starts_with("seccomp={") { "seccomp=(profile)".to_owned() } else { option.to_owned() }
}

pub(super) fn port(port: &Port) -> String {
    let address = if port.host_ip.is_empty() { String::new() } else { format!("{}:", port.host_ip) };
    let published = if port.published.is_empty() { "(any)" } else { &port.published };
    format!("{address}{published}→{}/{}", port.target, port.protocol)
}

/// `curl -f localhost, interval 10s, retries 3`: what it does, and what differs from the engine's defaults.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    let test = match check.test.split_first() {
        Some((kind, [])) if kind == "NONE" => "none".to_owned(),
        Some((kind, words)) if kind == "CMD" || kind == "CMD-SHELL" => redact::command_line(words),
        _ => redact::command_line(&check.test),
    };
    let spans = [
        ("interval", check.interval),
        ("timeout", check.timeout),
        ("start_period", check.start_period),
        ("start_interval", check.start_interval),
    ];
    let spans = spans.into_iter().filter(|(_, span)| *span != 0);
    let retries = (check.retries != 0).then(|| format!("retries {}", check.retries));
    let rest = spans.map(|(name, span)| format!("{name} {}", nanoseconds(span))).chain(retries);
    std::iter::once(test).chain(rest).collect::<Vec<_>>().join(", ")
}

/// `90000000000` as `1m30s`.
fn nanoseconds(span: i64) -> String {
    let milliseconds = span / 1_000_000;
    match milliseconds % 1_000 {
        0 => seconds(milliseconds.unsigned_abs() / 1_000),
        _ => format!("{milliseconds}ms"),
    }
}

/// `90` as `1m30s`.
pub(super) fn seconds(span: u64) -> String {
    match (span / 60, span % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, 0) => format!("{minutes}m"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_people_write_them() {
        let check = |kind: &str, rest: &[&str]| Healthcheck {
            test: [&[kind], rest].concat().into_iter().map(str::to_owned).collect(),
            interval: 90_000_000_000,
            timeout: 1_500_000_000,
            retries: 3,
            ..Healthcheck::default()
        };
        let shown = healthcheck(&check("CMD", &["redis-cli", "--pass", "canary", "ping"]));
        assert_eq!(shown, "redis-cli --pass (hidden) ping, interval 1m30s, timeout 1500ms, retries 3");
        let shown = healthcheck(&Healthcheck { interval: 0, ..check("CMD-SHELL", &["curl x || exit 1"]) });
        assert_eq!(shown, "'curl x || exit 1', timeout 1500ms, retries 3");
        assert_eq!(healthcheck(&Healthcheck { test: vec!["NONE".into()], ..Healthcheck::default() }), "none");
        let published = |published: &str| Port {
            target: 80,
            protocol: "tcp".into(),
            host_ip: "127.0.0.1".into(),
            published: published.into(),
        };
        assert_eq!(
            [published("8080"), published("")].map(|it| port(&it)),
            ["127.0.0.1:8080→80/tcp", "127.0.0.1:(any)→80/tcp"]
        );
        assert_eq!([20, 60, 90].map(seconds), ["20s", "1m", "1m30s"]);
    }
}
