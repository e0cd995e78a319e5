//! What is kept of a desired state: all of it, with a keyed hash where a value may be a secret.
//!
//! Every value of an environment is taken for one, since an env file has secrets under innocent names; so is whatever
//! is read into a `Secret`, each build argument, and each word that people would not be shown.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::super::config_hash::{ConfigHash, HashPart};
use super::super::desired::{BuildSecret, Desired, Service};
use super::super::overrides::take_off;
use super::super::probe::Handler;
use super::super::redact;
use crate::secret::{SEAL, Secret};

/// Where a build's secrets are kept: they are no part of what is written of a build elsewhere.
pub(super) const BUILD_SECRETS: &str = "build_secrets";

/// The key of a history's hashes, which is kept beside it and nowhere else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Secret);

impl Key {
    /// A key from random text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// What stands for a value: HMAC-SHA256, as no value can be guessed from it without the key.
    pub fn seal(&self, value: &str) -> String {
        // A key of any length is one, so this is never the empty hash.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.expose().as_bytes()) else {
            return SEAL.to_owned();
        };
        mac.update(value.as_bytes());
        format!("{SEAL}{}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// A desired state in which no secret stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub(super) Json);

impl Sealed {
    /// Seals what is desired; what people laid over it is no part of it. `None` where something of it cannot be
    /// written, which its types rule out.
    pub fn of(desired: &Desired, key: &Key) -> Option<Self> {
        let mut sealed = desired.clone();
        take_off(&mut sealed);
        secrets(&mut sealed, &mut |secret| *secret = Secret::new(key.seal(secret.expose())));
        let mut tree = serde_json::to_value(&sealed).ok()?;
        words(&mut tree, key);
        for (name, service) in &desired.services {
            let Some(build) = &service.image.build else { continue };
            let secrets: Map<String, Json> = build
                .secrets
                .iter()
                .map(|(id, secret)| (id.clone(), sealed_build_secret(secret, key)))
                .collect();
            if let Some(Json::Object(build)) = tree.pointer_mut(&build_of(name.as_str())) {
                build.insert(BUILD_SECRETS.to_owned(), Json::Object(secrets));
            }
        }
        Some(Self(tree))
    }

    /// Stands for all of it, but for where in its files something is written.
    pub fn fingerprint(&self) -> String {
        let mut tree = self.0.clone();
        let services = tree.get_mut("services").and_then(Json::as_object_mut);
        for service in services.into_iter().flat_map(|services| services.values_mut()) {
            if let Some(Json::Object(build)) = service.pointer_mut("/image/build") {
                build.remove("demands");
            }
        }
        hex::encode(Sha256::digest(tree.to_string()))
    }
}

/// Stands for what the files say.
pub fn fingerprint(desired: &Desired, key: &Key) -> String {
    Sealed::of(desired, key).map_or_else(String::new, |sealed| sealed.fingerprint())
}

/// Where the build of a service stands in the tree.
pub(super) fn build_of(service: &str) -> String {
    within(service, "image/build")
}

/// Where a field of a service stands in the tree.
pub(super) fn within(service: &str, field: &str) -> String {
    format!("/services/{}/{field}", service.replace('~', "~0").replace('/', "~1"))
}

fn sealed_build_secret(secret: &BuildSecret, key: &Key) -> Json {
    match secret {
        BuildSecret::File(path) => serde_json::json!({"file": path}),
        BuildSecret::Variable { name, value } => {
            let value = value.as_ref().map(|value| key.seal(value.expose()));
            serde_json::json!({"variable": name, "value": value})
        }
    }
}

/// Every secret of a desired state but those of builds.
pub(super) fn secrets(desired: &mut Desired, each: &mut dyn FnMut(&mut Secret)) {
    for service in desired.services.values_mut() {
        of_service(service, each);
    }
}

fn of_service(service: &mut Service, each: &mut dyn FnMut(&mut Secret)) {
    service.spec.environment.values_mut().for_each(&mut *each);
    service.files.contents().for_each(&mut *each);
    let hooks = service.hooks.post_start.iter_mut().chain(&mut service.hooks.pre_stop);
    hooks.flat_map(|hook| &mut hook.environment).for_each(&mut *each);
    service.live.iter_mut().filter_map(|live| live.password.as_mut()).for_each(&mut *each);
    let probes = &mut service.probes;
    for probe in [&mut probes.startup, &mut probes.readiness, &mut probes.liveness].into_iter().flatten() {
        match &mut probe.handler {
            Handler::Http(http) => http.headers.iter_mut().for_each(|(_, value)| each(value)),
            Handler::Redis { password, .. } => password.iter_mut().for_each(&mut *each),
            Handler::Tcp { .. } | Handler::Exec { .. } => {}
        }
    }
    if let ConfigHash::WithContainers(parts) = &mut service.config_hash {
        for part in parts {
            match part {
                HashPart::Text(text) => each(text),
                HashPart::FirstContainerOf(_) => {}
            }
        }
    }
}

/// Seals the words that people would not be shown, wherever they stand.
fn words(tree: &mut Json, key: &Key) {
    match tree {
        Json::String(word) if !is_sealed(word) && redact::is_told(word) => *word = key.seal(word),
        Json::Array(values) => {
            let line: Vec<&str> = values.iter().map(|value| value.as_str().unwrap_or_default()).collect();
            let hidden = redact::secret_words(&line);
            for (value, hide) in values.iter_mut().zip(hidden) {
                match value {
                    Json::String(word) if hide && !is_sealed(word) => *word = key.seal(word),
                    other => words(other, key),
                }
            }
        }
        Json::Object(fields) => {
            for (name, value) in fields {
                match value {
                    // An environment's are sealed already.
                    Json::String(word) if !is_sealed(word) && redact::is_secret(name) => {
                        *word = key.seal(word);
                    }
                    // A build's arguments, whatever they are called.
                    Json::Object(arguments) if name == "args" => {
                        for argument in arguments.values_mut() {
                            match argument {
                                Json::String(word) if !is_sealed(word) => *word = key.seal(word),
                                other => words(other, key),
                            }
                        }
                    }
                    other => words(other, key),
                }
            }
        }
        _ => {}
    }
}

pub(super) fn is_sealed(word: &str) -> bool {
    let digits = word.strip_prefix(SEAL);
    digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// `registry/repository` of a reference, without tag and digest.
pub(super) fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name.get(last..).and_then(|rest| rest.find(':')) {
        Some(colon) => name.get(..last + colon).unwrap_or(name),
        None => name,
    }
}
