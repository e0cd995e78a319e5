//! What is asked of BuildKit's Dockerfile frontend, in its own words, as buildx writes them.

use std::collections::BTreeMap;

use serde_json::json;

use super::inputs::Inputs;
use super::messages::{CacheOptions, Exporter, SolveRequest};
use crate::core::desired::Build;

/// The exporter that puts the image among the engine's own.
const ENGINES_OWN: &str = "moby";

/// The variables that people set as build arguments for BuildKit itself.
const SYNTAX: &str = "BUILDKIT_SYNTAX";
const INLINE_CACHE: &str = "BUILDKIT_INLINE_CACHE";

/// The request to build.
pub(super) fn request(
    build: &Build,
    reference: &str,
    arguments: &BTreeMap<String, String>,
    inputs: &Inputs,
    session: &str,
) -> SolveRequest {
    let names: Vec<&str> = build.tags.iter().map(String::as_str).chain([reference]).collect();
    let exporter = entry(ENGINES_OWN, [("name", names.join(","))]);
    let cache = cache(build, arguments);
    let mut attributes = attributes(build, arguments);
    attributes.extend(inputs.attributes.clone());
    if !cache.imports.is_empty() {
        attributes.insert("cache-imports".to_owned(), imports(&cache.imports));
    }
    let mut frontend = "dockerfile.v0";
    if let Some(syntax) = arguments.get(SYNTAX) {
        frontend = "gateway.v0";
        let image = syntax.split_whitespace().next().unwrap_or_default();
        attributes.insert("source".to_owned(), image.to_owned());
        attributes.insert("cmdline".to_owned(), syntax.clone());
    }
    let host_network = (build.network.as_deref() == Some("host")).then(|| "network.host".to_owned());
    SolveRequest {
        // A build is known by its session's name: each session is for one.
        reference: session.to_owned(),
        exporter: exporter.kind.clone(),
        exporter_attributes: exporter.attributes.clone(),
        session: session.to_owned(),
        frontend: frontend.to_owned(),
        attributes,
        cache: Some(cache),
        entitlements: build.entitlements.iter().cloned().chain(host_network).collect(),
        exporters: vec![exporter],
    }
}

fn attributes(build: &Build, arguments: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut put = |key: String, value: String| drop(all.insert(key, value));
    for (name, value) in arguments {
        put(format!("build-arg:{name}"), value.clone());
    }
    for (name, value) in build.labels.iter().chain(&build.project_labels) {
        put(format!("label:{name}"), value.clone());
    }
    for (kind, value) in &build.attestations {
        put(format!("attest:{kind}"), value.clone());
    }
    let resolve = if build.pull { "pull" } else { "local" };
    put("image-resolve-mode".to_owned(), resolve.to_owned());
    if let Some(target) = &build.target {
        put("target".to_owned(), target.clone());
    }
    if build.no_cache {
        put("no-cache".to_owned(), String::new());
    }
    if !build.platforms.is_empty() {
        put("platform".to_owned(), build.platforms.join(","));
    }
    if let Some(network @ ("host" | "none")) = build.network.as_deref() {
        put("force-network-mode".to_owned(), network.to_owned());
    }
    if !build.extra_hosts.is_empty() {
        let hosts: Vec<String> = build.extra_hosts.iter().map(|host| host.replacen(':', "=", 1)).collect();
        put("add-hosts".to_owned(), hosts.join(","));
    }
    if let Some(size) = build.shm_size {
        put("shm-size".to_owned(), size.to_string());
    }
    if !build.ulimits.is_empty() {
        let limits: Vec<String> =
            build.ulimits.iter().map(|(name, (soft, hard))| format!("{name}={soft}:{hard}")).collect();
        put("ulimit".to_owned(), limits.join(","));
    }
    all
}

fn cache(build: &Build, arguments: &BTreeMap<String, String>) -> CacheOptions {
    let inline = arguments.get(INLINE_CACHE).is_some_and(|word| matches!(word.as_str(), "1" | "true"));
    let inline = inline.then(|| entry("inline", []));
    CacheOptions {
        exports: build.cache_to.iter().flat_map(|text| entries(text)).chain(inline).collect(),
        imports: build.cache_from.iter().flat_map(|text| entries(text)).collect(),
    }
}

/// One line of `cache_from` or `cache_to`: images, or `type=…` with its attributes.
fn entries(text: &str) -> Vec<Exporter> {
    let fields: Vec<&str> = text.split(',').map(str::trim).filter(|field| !field.is_empty()).collect();
    if !text.contains('=') {
        return fields.into_iter().map(|image| entry("registry", [("ref", image.to_owned())])).collect();
    }
    let mut kind = String::new();
    let mut attributes = BTreeMap::new();
    for (key, value) in fields.iter().filter_map(|field| field.split_once('=')) {
        match key.to_lowercase().as_str() {
            "type" => value.clone_into(&mut kind),
            key => drop(attributes.insert(key.to_owned(), value.to_owned())),
        }
    }
    vec![Exporter { kind, attributes }]
}

fn entry<const N: usize>(kind: &str, attributes: [(&str, String); N]) -> Exporter {
    let attributes = attributes.map(|(key, value)| (key.to_owned(), value)).into();
    Exporter { kind: kind.to_owned(), attributes }
}

/// The form in which the frontend itself takes caches.
fn imports(imports: &[Exporter]) -> String {
    let one = |import: &Exporter| json!({"Type": import.kind, "Attrs": import.attributes});
    json!(imports.iter().map(one).collect::<Vec<_>>()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(build: &Build) -> SolveRequest {
        request(build, "shop-web", &BTreeMap::new(), &Inputs::default(), "session")
    }

    #[test]
    fn every_option_has_its_word() {
        let build = Build {
            target: Some("t".into()),
            labels: [("l".into(), "v".into())].into(),
            project_labels: [("p".into(), "shop".into())].into(),
            network: Some("host".into()),
            extra_hosts: ["a:::1".into(), "b:192.0.2.1".into()].into(),
            shm_size: Some(7),
            ulimits: [("nofile".into(), (1, 2)), ("nproc".into(), (3, 3))].into(),
            no_cache: true,
            pull: true,
            platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
            tags: vec!["other:2".into()],
            attestations: [("sbom".into(), "type=sbom".into())].into(),
            entitlements: ["security.insecure".into()].into(),
            ..Build::default()
        };
        let request = of(&build);
        let said = |key: &str| request.attributes.get(key).map(String::as_str);
        for (key, value) in [
            ("target", "t"),
            ("label:l", "v"),
            ("label:p", "shop"),
            ("force-network-mode", "host"),
            ("add-hosts", "a=::1,b=192.0.2.1"),
            ("shm-size", "7"),
            ("ulimit", "nofile=1:2,nproc=3:3"),
            ("no-cache", ""),
            ("image-resolve-mode", "pull"),
            ("platform", "linux/amd64,linux/arm64"),
            ("attest:sbom", "type=sbom"),
        ] {
            assert_eq!(said(key), Some(value), "{key}");
        }
        assert_eq!(request.entitlements, ["security.insecure", "network.host"]);
        assert_eq!(request.exporter_attributes["name"], "other:2,shop-web");
        assert_eq!(request.exporters[0].kind, "moby");
    }

    #[test]
    fn caches_are_images_or_say_their_type() {
        let build = Build {
            cache_from: vec!["a:1".into(), "type=local,src=/c".into()],
            cache_to: vec!["type=inline".into()],
            ..Build::default()
        };
        let request = of(&build);
        assert_eq!(
            request.attributes["cache-imports"],
            r#"[{"Type":"registry","Attrs":{"ref":"a:1"}},{"Type":"local","Attrs":{"src":"/c"}}]"#
        );
        assert_eq!(request.cache.unwrap().exports, [entry("inline", [])]);
    }

    #[test]
    fn another_frontend_is_taken_where_an_argument_names_one() {
        let arguments = [(SYNTAX.to_owned(), "docker/dockerfile:1 x".to_owned())].into();
        let request = request(&Build::default(), "a", &arguments, &Inputs::default(), "session");
        assert_eq!(
            (request.frontend.as_str(), request.attributes["source"].as_str()),
            ("gateway.v0", "docker/dockerfile:1")
        );
    }
}
