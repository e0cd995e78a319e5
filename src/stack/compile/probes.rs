//! Probes: the manifest's words, with Kubernetes' defaults and rules.

use std::time::Duration;

use super::Source;
use super::redis::DEFAULT_PORT;
use crate::core::live::LiveSettings;
use crate::core::probe::{Handler, Http, Kind, Probe, Probes};
use crate::secret::Secret;
use crate::stack::faults::Findings;
use crate::stack::manifest::{HttpProbe, ProbeOverlay, Scheme};

/// Codes that are a success where nothing is said: as with Kubernetes, redirections too.
const SUCCESS: (u16, u16) = (200, 399);

pub(super) fn probes(source: Source<'_>, live: Option<&LiveSettings>, findings: &mut Findings) -> Probes {
    let overlay = source.overlay;
    let mut read = |kind, said: &Option<ProbeOverlay>| {
        let said = said.as_ref()?;
        Reader { source, kind, live }.read(said, findings)
    };
    Probes {
        startup: read(Kind::Startup, &overlay.startup_probe),
        readiness: read(Kind::Readiness, &overlay.readiness_probe),
        liveness: read(Kind::Liveness, &overlay.liveness_probe),
    }
}

/// Reads one probe of a service.
struct Reader<'a> {
    source: Source<'a>,
    kind: Kind,
    live: Option<&'a LiveSettings>,
}

impl Reader<'_> {
    fn read(&self, said: &ProbeOverlay, findings: &mut Findings) -> Option<Probe> {
        let handler = self.handler(said, findings);
        let seconds = |said: Option<u32>| said.map(|seconds| Duration::from_secs(seconds.into()));
        let default = Probe::new(Handler::Tcp { port: 0 });
        let positive = [
            ("periodSeconds", said.period_seconds),
            ("timeoutSeconds", said.timeout_seconds),
            ("successThreshold", said.success_threshold),
            ("failureThreshold", said.failure_threshold),
            ("terminationGracePeriodSeconds", said.termination_grace_period_seconds),
        ];
        for (field, _) in positive.into_iter().filter(|(_, value)| *value == Some(0)) {
            let message = format!("`{field}` of the {} cannot be 0", self.what());
            self.fault(findings, &[field], message, "give 1 or more, or remove it");
        }
        if self.kind != Kind::Readiness && said.success_threshold.is_some_and(|threshold| threshold > 1) {
            let message = format!("the {} passes with its first success", self.what());
            self.fault(findings, &["successThreshold"], message, "remove it: only a readiness probe has one");
        }
        if self.kind == Kind::Readiness && said.termination_grace_period_seconds.is_some() {
            let message = format!("the {} stops nothing", self.what());
            self.fault(findings, &["terminationGracePeriodSeconds"], message, "remove it");
        }
        Some(Probe {
            handler: handler?,
            initial_delay: seconds(said.initial_delay_seconds).unwrap_or(default.initial_delay),
            period: seconds(said.period_seconds).unwrap_or(default.period),
            timeout: seconds(said.timeout_seconds).unwrap_or(default.timeout),
            success_threshold: said.success_threshold.unwrap_or(default.success_threshold),
            failure_threshold: said.failure_threshold.unwrap_or(default.failure_threshold),
            grace: seconds(said.termination_grace_period_seconds),
        })
    }

    fn handler(&self, said: &ProbeOverlay, findings: &mut Findings) -> Option<Handler> {
        let mut handlers = Vec::new();
        if let Some(page) = &said.http {
            handlers.push(("http", self.http(page, findings)));
        }
        if let Some(tcp) = &said.tcp {
            self.port(tcp.port, &["tcp", "port"], findings);
            handlers.push(("tcp", Handler::Tcp { port: tcp.port }));
        }
        if let Some(exec) = &said.exec {
            if exec.command.first().is_none_or(String::is_empty) {
                let message = format!("the {} runs no command", self.what());
                self.fault(findings, &["exec", "command"], message, "give the command, word by word");
            }
            handlers.push(("exec", Handler::Exec { command: exec.command.clone() }));
        }
        if let Some(redis) = &said.redis {
            let port = redis.port.unwrap_or(self.live.map_or(DEFAULT_PORT, |live| live.port));
            self.port(port, &["redis", "port"], findings);
            let password = self.live.and_then(|live| live.password.clone());
            handlers.push(("redis", Handler::Redis { port, password }));
        }
        if handlers.len() == 1 {
            return handlers.pop().map(|(_, handler)| handler);
        }
        let (message, field) = match handlers.last() {
            None => (format!("the {} asks nothing", self.what()), None),
            Some((last, _)) => {
                let names: Vec<&str> = handlers.iter().map(|(name, _)| *name).collect();
                (format!("the {} asks several things: {}", self.what(), names.join(", ")), Some(*last))
            }
        };
        let help = "give exactly one of http, tcp, exec and redis";
        self.fault(findings, field.as_slice(), message, help);
        None
    }

    fn http(&self, page: &HttpProbe, findings: &mut Findings) -> Handler {
        self.port(page.port, &["http", "port"], findings);
        let path = page.path.clone().unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/')
            || path.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        {
            let message = format!("`{path}` is not a path that the {} could ask for", self.what());
            self.fault(findings, &["http", "path"], message, "begin it with `/`, and write blanks as %20");
        }
        let status = match page.status.as_deref().map(range) {
            None => SUCCESS,
            Some(Some(range)) => range,
            Some(None) => {
                let message = format!("the {} has no codes of success that can be read", self.what());
                self.fault(
                    findings,
                    &["http", "status"],
                    message,
                    "write one, as 204, or a range, as 200-399",
                );
                SUCCESS
            }
        };
        let headers = page.headers.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str())));
        let tls = page.scheme == Some(Scheme::Https);
        Handler::Http(Http { port: page.port, path, tls, headers: headers.collect(), status })
    }

    fn port(&self, port: u16, field: &[&str], findings: &mut Findings) {
        if port == 0 {
            let message = format!("the {} has no port", self.what());
            self.fault(findings, field, message, "give one from 1 to 65535");
        }
    }

    fn what(&self) -> String {
        format!("{} probe of service `{}`", self.kind.as_str(), self.source.name)
    }

    fn fault(&self, findings: &mut Findings, field: &[&str], message: String, help: &str) {
        let probe = match self.kind {
            Kind::Startup => "startupProbe",
            Kind::Readiness => "readinessProbe",
            Kind::Liveness => "livenessProbe",
        };
        let path = [&[probe], field].concat();
        let fault = self.source.places.in_overlay(self.source.name, &path, message);
        findings.faults.push(fault.help(help));
    }
}

/// One code, or two with a dash between.
fn range(text: &str) -> Option<(u16, u16)> {
    let code = |text: &str| text.parse().ok().filter(|code| (100..600).contains(code));
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    Some((code(low)?, code(high)?)).filter(|(low, high)| low <= high)
}
