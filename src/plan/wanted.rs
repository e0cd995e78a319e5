//! What should be, in parts, each as a text that changes with anything that would change what is done.

use std::collections::BTreeMap;

use super::seal::Seal;
use crate::core::config_hash::{ConfigHash, HashPart};
use crate::core::desired::{BuildSecret, Desired, Service};
use crate::core::probe::{Handler, Probe};
use crate::core::revision;
use crate::secret::Secret;

/// The part that is of no service.
pub const STACK: &str = "the stack";

/// The name of a service's part.
fn of_service(name: &str) -> String {
    format!("service {name}")
}

/// How many parts there are: so many fingerprints.
pub fn count(desired: &Desired) -> usize {
    desired.services.len() + 1
}

/// A fingerprint of each part.
pub fn fingerprints(desired: &Desired, seal: &Seal) -> BTreeMap<String, String> {
    let services = desired.services.iter().map(|(name, service)| (of_service(name.as_str()), text(service)));
    let parts = services.chain([(STACK.to_owned(), rest(desired))]);
    let place = |part: &str| format!("{}/{part}", desired.stack);
    parts
        .map(|(part, text)| {
            let fingerprint = seal.fingerprint(&place(&part), &text);
            (part, fingerprint)
        })
        .collect()
}

/// All of a service. A secret shows in no `Debug`, so each is added to what that shows. The revision has those of the
/// environment, of hooks and of copied files.
fn text(service: &Service) -> Secret {
    let mut text = format!("{service:?}\n{}", revision::of(service));
    let mut add = |word: &str, secret: &str| {
        text.extend(["\n", word, " ", &secret.len().to_string(), " ", secret]);
    };
    if let Some(password) = service.live.as_ref().and_then(|live| live.password.as_ref()) {
        add("live", password.expose());
    }
    let probes = [&service.probes.startup, &service.probes.readiness, &service.probes.liveness];
    for probe in probes.into_iter().flatten() {
        for secret in asked_with(probe) {
            add("probe", secret.expose());
        }
    }
    for secret in service.image.build.iter().flat_map(|build| build.secrets.values()) {
        if let BuildSecret::Variable { value: Some(value), .. } = secret {
            add("build", value.expose());
        }
    }
    if let ConfigHash::WithContainers(parts) = &service.config_hash {
        for part in parts {
            if let HashPart::Text(text) = part {
                add("hash", text.expose());
            }
        }
    }
    Secret::new(text)
}

/// The secrets that a probe asks with.
fn asked_with(probe: &Probe) -> Vec<&Secret> {
    match &probe.handler {
        Handler::Http(http) => http.headers.iter().map(|(_, value)| value).collect(),
        Handler::Redis { password, .. } => password.iter().collect(),
        Handler::Tcp { .. } | Handler::Exec { .. } => Vec::new(),
    }
}

/// All that is of no service. What people lay over the files is seen with what runs: it is no other truth.
fn rest(desired: &Desired) -> Secret {
    let Desired {
        stack,
        origin,
        inactive,
        networks,
        volumes,
        prune,
        backoff,
        breaker,
        atomic,
        teardown,
        services: _,
        // Another commit that says the same is no other truth.
        commit: _,
        overrides: _,
        images_first: _,
        // The plan has it beside.
        recreate: _,
        only: _,
    } = desired;
    Secret::new(format!(
        "{stack:?} {origin:?} {inactive:?} {networks:?} {volumes:?} {prune} {backoff:?} {breaker:?} {atomic} {teardown:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::desired::{Build, Origin};
    use crate::core::ids::{ServiceName, StackName};
    use crate::core::live::{LiveSettings, Software};
    use crate::core::probe::Http;

    fn shop(service: Service) -> Desired {
        let teardown = crate::core::desired::Teardown::default();
        let mut desired = Desired::teardown(StackName::from("shop"), Origin::default(), teardown);
        desired.teardown = None;
        desired.services.insert(ServiceName::from("web"), service);
        desired
    }

    fn live(password: &str) -> Service {
        let live = LiveSettings {
            software: Software::Redis,
            settings: BTreeMap::new(),
            password: Some(Secret::new(password)),
            port: 6379,
        };
        Service { live: Some(live), ..Service::default() }
    }

    fn probed(handler: Handler) -> Service {
        let mut service = Service::default();
        service.probes.readiness = Some(Probe::new(handler));
        service
    }

    fn built(value: &str) -> Service {
        let secret = BuildSecret::Variable { name: "KEY".into(), value: Some(Secret::new(value)) };
        let build = Build { secrets: [("key".to_owned(), secret)].into(), ..Build::default() };
        let mut service = Service::default();
        service.image.build = Some(build);
        service
    }

    fn in_environment(value: &str) -> Service {
        let mut service = Service::default();
        service.spec.environment.insert("KEY".into(), Secret::new(value));
        service
    }

    fn hashed(text: &str) -> Service {
        let config_hash = ConfigHash::WithContainers(vec![HashPart::Text(Secret::new(text))]);
        Service { config_hash, ..Service::default() }
    }

    fn header(value: &str) -> Service {
        let headers = vec![("Authorization".to_owned(), Secret::new(value))];
        probed(Handler::Http(Http { port: 80, path: "/".into(), tls: false, headers, status: (200, 399) }))
    }

    fn pinged(password: &str) -> Service {
        probed(Handler::Redis { port: 6379, password: Some(Secret::new(password)) })
    }

    fn hooked(value: &str) -> Service {
        let hook = crate::core::hooks::Hook {
            moment: crate::core::hooks::Moment::PostStart,
            index: 0,
            command: vec!["true".into()],
            user: None,
            privileged: false,
            working_dir: None,
            environment: vec![Secret::new(format!("KEY={value}"))],
        };
        let mut service = Service::default();
        service.hooks.post_start.push(hook);
        service
    }

    fn filled(content: &str) -> Service {
        let file = crate::core::files::File { content: Secret::new(content), mode: 0o400, owner: None };
        let files = crate::core::files::Files::new("shop/web", [("/run/secrets/a".to_owned(), file)].into());
        Service { files, ..Service::default() }
    }

    #[test]
    fn another_secret_is_another_text_wherever_it_is() {
        let kinds: [fn(&str) -> Service; 8] =
            [live, header, pinged, built, in_environment, hashed, hooked, filled];
        for (number, with) in kinds.into_iter().enumerate() {
            assert!(text(&with("canary")) == text(&with("canary")), "{number}");
            assert!(text(&with("canary")) != text(&with("kanarie")), "{number}");
        }
    }

    #[test]
    fn a_part_moves_with_what_is_of_it_and_with_nothing_else() {
        let seal = Seal::new([7; 32], 60);
        let first = fingerprints(&shop(Service::default()), &seal);
        assert_eq!(first.keys().collect::<Vec<_>>(), ["service web", STACK]);
        let scaled = fingerprints(&shop(Service { replicas: 2, ..Service::default() }), &seal);
        assert_ne!(first["service web"], scaled["service web"]);
        assert_eq!(first[STACK], scaled[STACK]);
        let pruned = fingerprints(&Desired { prune: false, ..shop(Service::default()) }, &seal);
        assert_eq!(first["service web"], pruned["service web"]);
        assert_ne!(first[STACK], pruned[STACK]);
    }

    #[test]
    fn a_pause_is_no_other_truth() {
        let seal = Seal::new([7; 32], 60);
        let mut paused = shop(Service::default());
        let first = fingerprints(&paused, &seal);
        paused.overrides.resumed_at = Some(crate::core::time::Timestamp::from_millis(7));
        paused.images_first = true;
        assert_eq!(first, fingerprints(&paused, &seal));
    }
}
