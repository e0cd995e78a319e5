//! The JSON Schema of a manifest, held by an independent validator against what the loader takes and refuses: what an
//! editor marks red and what `operator validate` refuses must not differ.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::fs;
use std::path::{Path, PathBuf};

use compose_operator::compose::{LoadOptions, MemoryFiles, yaml};
use compose_operator::source::declared::SourceDocument;
use compose_operator::stack::{self, manifest};
use jsonschema::Validator;

fn validator() -> Validator {
    validator_of(&manifest::schema())
}

fn validator_of(schema: &serde_json::Value) -> Validator {
    jsonschema::meta::validate(schema).unwrap();
    jsonschema::validator_for(schema).unwrap()
}

/// What the schema says is wrong with each document of a text.
fn by_schema(validator: &Validator, text: &str) -> Vec<String> {
    let documents = yaml::parse(Path::new("stack.yaml"), text.as_bytes()).unwrap();
    let documents = documents.iter().map(yaml::Node::to_json);
    let faults = documents.flat_map(|json| {
        let faults = validator.iter_errors(&json);
        faults.map(|fault| format!("{}: {fault}", fault.instance_path())).collect::<Vec<_>>()
    });
    faults.collect()
}

/// What the loader says is wrong with a manifest, with a redis and an api for it to name.
fn by_loader(text: &str) -> Vec<String> {
    let compose = "services:\n  api: {image: api}\n  redis: {image: redis, environment: {SECRET: x}}\n  x.y_z-1: {image: x}\n";
    let files = MemoryFiles::new().with("/stack/stack.yaml", text).with("/stack/compose.yaml", compose);
    let options = LoadOptions {
        files: vec![PathBuf::from("/stack/stack.yaml")],
        working_dir: PathBuf::from("/stack"),
        ..LoadOptions::default()
    };
    let loaded = stack::load(&options, &files);
    loaded.faults.iter().map(compose_operator::compose::Diagnostic::headline).collect()
}

fn with_spec(spec: &str) -> String {
    format!("apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {{name: shop}}\nspec: {spec}\n")
}

fn with_api(overlay: &str) -> String {
    with_spec(&format!("{{compose: {{files: [compose.yaml]}}, services: {{api: {overlay}}}}}"))
}

fn with_limits(limits: &str) -> String {
    with_api(&format!("{{resources: {{limits: {limits}}}}}"))
}

fn with_redis(redis: &str) -> String {
    with_spec(&format!("{{compose: {{files: [compose.yaml]}}, services: {{redis: {{redis: {redis}}}}}}}"))
}

#[test]
fn what_the_loader_takes_the_schema_takes() {
    let head = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: 0_shop-1}\n";
    let mut cases = vec![head.to_owned(), format!("{head}spec:\n"), with_spec("{}")];
    cases.extend(
        [
            "{compose: , prune: , services: }",
            "{compose: {files: , envFiles: , profiles: , projectDirectory: }}",
            "{compose: {files: [compose.yaml], envFiles: [], profiles: [a, b], projectDirectory: .}, prune: true}",
            "{compose: {files: [compose.yaml], values: {TAG: '1', _B2: 3, c: true, D: 1.5, E: }}}",
            "{compose: {files: [compose.yaml]}, dependsOn: [database], deletionPolicy: Delete}",
            "{compose: {files: [compose.yaml]}, dependsOn: , deletionPolicy: }",
            "{compose: {files: [compose.yaml]}, services: {x.y_z-1: {replicas: 2}}}",
            "{compose: {files: [compose.yaml]}, backoff: }",
            "{compose: {files: [compose.yaml]}, backoff: {initial: 1s, max: 1h30m, resetAfter: 1w2d}}",
            "{compose: {files: [compose.yaml]}, services: {api: {backoff: {initial: 05s, max: }}}}",
            "{compose: {files: [compose.yaml]}, breaker: {disruptions: 1, window: 30m}}",
            "{compose: {files: [compose.yaml]}, onManualChange: hold, holdFor: 2h}",
        ]
        .map(with_spec),
    );
    cases.extend(
        [
            "",
            "{}",
            "{replicas: 0}",
            "{replicas: 4294967295}",
            "{replicas: , resources: , redis: }",
            "{heal: {memoryAbove: 1G, for: 5m, unhealthyFor: never, restartEvery: 1d}}",
            "{heal: {memoryAbove: 0.5 gb, unhealthyFor: 90s}}",
            "{resources: {limits: {memory: 1G}}, heal: {memoryAbove: 100%}}",
            "{onManualChange: hold, holdFor: 10m}",
            "{onContentChange: rolling}",
            "{onContentChange: ignore}",
            "{onContentChange: {signal: SIGHUP}}",
            "{onContentChange: {exec: [nginx, -s, reload]}}",
            "{traffic: }",
            "{traffic: {caddy: {service: x.y_z-1, port: 65535}, drain: 1m30s}}",
            "{rollout: }",
            "{rollout: {strategy: Recreate, minReadySeconds: 0, autoRollback: false}}",
            "{rollout: {maxSurge: 25%, maxUnavailable: 0, progressDeadlineSeconds: 1, canary: {for: 2m}}}",
            "{replicas: 3, rollout: {strategy: RollingUpdate, maxSurge: 0, maxUnavailable: 100%, canary: {replicas: 3, for: 1h30m}}}",
            "{readinessProbe: {http: {port: 80}}}",
            "{startupProbe: {http: {port: 80, path: /x, scheme: https, headers: {A: b}, status: 200-299}}}",
            "{livenessProbe: {tcp: {port: 1}, initialDelaySeconds: 0, periodSeconds: 1, timeoutSeconds: 1}}",
            "{readinessProbe: {exec: {command: [a, b]}, successThreshold: 2, failureThreshold: 1}}",
            "{livenessProbe: {redis: {}, terminationGracePeriodSeconds: 5}}",
        ]
        .map(with_api),
    );
    cases.extend(
        [
            "",
            "{cpus: 2}",
            "{cpus: 0.5}",
            "{cpus: \"0.5\"}",
            "{cpus: \".5\"}",
            "{cpus: \" 1. \"}",
            "{cpus: \"1e1\"}",
            "{memory: 512m}",
            "{memory: 1.5 GB}",
            "{memory: 2Gi}",
            "{memory: 67108864}",
            "{memory: \"67108864\"}",
            "{memory: 0.01 t}",
            "{memory: 64m, memorySwap: 128m}",
            "{memory: 64m, memorySwap: -1}",
            "{pids: -1}",
            "{pids: 100}",
            "{cpus: , memory: , pids: }",
        ]
        .map(with_limits),
    );
    cases.extend(
        [
            "",
            "{maxmemory: 512mb}",
            "{maxmemory: 1G}",
            "{maxmemory: 64k}",
            "{maxmemory: 100b}",
            "{maxmemory: \"1048576\"}",
            "{maxmemory: 0}",
            "{maxmemoryPolicy: volatile-ttl}",
            "{settings: {hz: 20, appendonly: \"yes\", rdbcompression: true, save: \"\"}}",
            "{settings: , passwordEnv: SECRET}",
        ]
        .map(with_redis),
    );
    let validator = validator();
    for text in cases {
        assert_eq!(by_loader(&text), [""; 0], "{text}");
        assert_eq!(by_schema(&validator, &text), [""; 0], "{text}");
    }
}

/// What is wrong at the head of a manifest.
const WRONG_HEADS: &[&str] = &[
    "kind: Stack\nmetadata: {name: shop}\n",
    "apiVersion: compose-operator/v1\nmetadata: {name: shop}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\n",
    "apiVersion: compose-operator/v2\nkind: Stack\nmetadata: {name: shop}\n",
    "apiVersion: compose-operator/v1\nkind: Pile\nmetadata: {name: shop}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata:\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: }\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: 1}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: Shop}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: -shop}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop, labels: {}}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\nspecs: {}\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\nspec: []\n",
    "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: [shop]\n",
];

/// What healing and probes cannot be.
const WRONG_HEALING: [&str; 31] = [
    "{traffic: {}}",
    "{traffic: {drain: 5s}}",
    "{traffic: {caddy: {service: x.y_z-1}}}",
    "{traffic: {caddy: {service: x.y_z-1, port: 0}}}",
    "{traffic: {caddy: {service: x.y_z-1, port: 65536}}}",
    "{onContentChange: restart}",
    "{onContentChange: {signal: }}",
    "{onContentChange: {exec: caddy reload}}",
    "{onContentChange: {signal: SIGHUP, exec: [a]}}",
    "{heal: {memoryAbove: 0%}}",
    "{heal: {memoryAbove: 101%}}",
    "{heal: {memoryAbove: 0}}",
    "{heal: {memoryAbove: much}}",
    "{heal: {unhealthyFor: always}}",
    "{heal: {restartEvery: never}}",
    "{readinessProbe: {http: {port: 80, scheme: ftp}}}",
    "{readinessProbe: {http: {path: /}}}",
    "{readinessProbe: {tcp: {port: 65536}}}",
    "{readinessProbe: {exec: pg_isready}}",
    "{readinessProbe: {grpc: {port: 1}}}",
    "{readinessProbe: {tcp: {port: 1}, periodSeconds: 1.5}}",
    "{readinessProbe: {tcp: {port: 1}, initialDelaySeconds: -1}}",
    "{rollout: {strategy: Rolling}}",
    "{rollout: {maxSurge: -1}}",
    "{rollout: {maxSurge: 101%}}",
    "{rollout: {maxUnavailable: '1'}}",
    "{rollout: {minReadySeconds: 10s}}",
    "{rollout: {progressDeadlineSeconds: 0}}",
    "{rollout: {autoRollback: maybe}}",
    "{rollout: {canary: {replicas: 1}}}",
    "{rollout: {canary: {replicas: 0, for: 1m}}}",
];

/// What values, and what is said of other stacks, cannot be.
const WRONG_STACKS: [&str; 8] = [
    "{compose: {files: [compose.yaml]}, dependsOn: database}",
    "{compose: {files: [compose.yaml]}, dependsOn: [1]}",
    "{compose: {files: [compose.yaml]}, deletionPolicy: Remove}",
    "{compose: {files: [compose.yaml], values: [TAG=1]}}",
    "{compose: {files: [compose.yaml], values: {TAG: [1]}}}",
    "{compose: {files: [compose.yaml], values: {1A: b}}}",
    "{compose: {files: [compose.yaml], values: {a-b: c}}}",
    "{compose: {files: [compose.yaml], values: {COMPOSE_FILE: x}}}",
];

#[test]
fn what_the_loader_refuses_for_its_shape_the_schema_refuses() {
    let mut cases: Vec<String> = WRONG_HEADS.iter().map(|text| (*text).to_owned()).collect();
    cases.extend(WRONG_HEALING.map(with_api).into_iter().chain(WRONG_STACKS.map(with_spec)));
    cases.extend(
        [
            "[{files: []}, true]",
            "{compose: [[a], []]}",
            "{prune: maybe}",
            "{prune: 1}",
            "{compose: compose.yaml}",
            "{compose: {files: compose.yaml}}",
            "{compose: {files: [1]}}",
            "{compose: {files: [null]}}",
            "{compose: {envFiles: {}}}",
            "{compose: {profiles: a}}",
            "{compose: {projectDirectory: [a]}}",
            "{compose: {file: [compose.yaml]}}",
            "{services: [api]}",
            "{compose: {files: [compose.yaml]}, backoff: 10s}",
            "{compose: {files: [compose.yaml]}, backoff: {initial: 10}}",
            "{compose: {files: [compose.yaml]}, backoff: {initial: 0s}}",
            "{compose: {files: [compose.yaml]}, backoff: {initial: -1s}}",
            "{compose: {files: [compose.yaml]}, backoff: {initial: 500ms}}",
            "{compose: {files: [compose.yaml]}, backoff: {max: soon}}",
            "{compose: {files: [compose.yaml]}, backoff: {cap: 5m}}",
            "{compose: {files: [compose.yaml]}, breaker: {disruptions: 0}}",
            "{compose: {files: [compose.yaml]}, breaker: {disruptions: -1}}",
            "{compose: {files: [compose.yaml]}, onManualChange: ignore}",
            "{compose: {files: [compose.yaml]}, notifications: {slack: {url: 'https://x'}}}",
            "{compose: {files: [compose.yaml]}, notifications: [{slack: https://x}]}",
            "{compose: {files: [compose.yaml]}, notifications: [{slack: {url: 'https://x'}, on: [Everything]}]}",
            "{compose: {files: [compose.yaml]}, notifications: [{email: {server: x, from: a@x}}]}",
            "{compose: {files: [compose.yaml]}, notifications: [{email: {server: x, from: a@x, to: [b@x], tls: ssl}}]}",
            "{compose: {files: [compose.yaml]}, notifications: [{pager: {}}]}",
            "{compose: {files: [compose.yaml]}, services: {a b: {}}}",
        ]
        .map(with_spec),
    );
    cases.extend(
        [
            "2",
            "{replica: 2}",
            "{replicas: many}",
            "{replicas: -1}",
            "{replicas: 1.5}",
            "{replicas: 4294967296}",
            "{resources: 64m}",
            "{resources: {limit: {}}}",
            "{redis: true}",
        ]
        .map(with_api),
    );
    cases.extend(
        [
            "[cpus]",
            "{cpu: 1}",
            "{cpus: many}",
            "{cpus: 0}",
            "{cpus: \"0\"}",
            "{cpus: -1}",
            "{cpus: \"-1\"}",
            "{cpus: [1]}",
            "{cpus: inf}",
            "{memory: lots}",
            "{memory: 12 parsecs}",
            "{memory: -1}",
            "{memory: 1.5}",
            "{memory: true}",
            "{memory: 64m, memorySwap: 0}",
            "{memory: 64m, memorySwap: -2}",
            "{memory: 64m, memorySwap: twice}",
            "{pids: 0}",
            "{pids: -2}",
            "{pids: \"1\"}",
            "{pids: 1.5}",
        ]
        .map(with_limits),
    );
    cases.extend(
        [
            "{maxmemory: [1]}",
            "{maxmemory: true}",
            "{maxmemory: 1.5}",
            "{maxmemory: -1}",
            "{maxmemory: lots}",
            "{maxmemory: 1.5gb}",
            "{maxmemoryPolicy: allkeys-lur}",
            "{maxmemoryPolicy: 1}",
            "{settings: [hz]}",
            "{settings: {hz: [1]}}",
            "{settings: {port: 1}}",
            "{passwordEnv: 1}",
            "{password: x}",
        ]
        .map(with_redis),
    );
    let validator = validator();
    for text in cases {
        assert!(!by_loader(&text).is_empty(), "the loader takes it:\n{text}");
        assert!(!by_schema(&validator, &text).is_empty(), "the schema takes it:\n{text}");
    }
}

/// All manifests of the repository, with the blocks in the pages that are one.
fn manifests() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.join("manifests"), root.join("examples")];
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let extension = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() {
                directories.push(path);
            } else if let Some("yaml" | "yml" | "md") = extension {
                let text = fs::read_to_string(&path).unwrap();
                let shown = path.strip_prefix(root).unwrap().display().to_string();
                if extension == Some("md") {
                    found.extend(blocks(&shown, &text));
                } else if text.lines().any(|line| line.starts_with("apiVersion:")) {
                    found.push((shown, text));
                }
            }
        }
    }
    found.extend(blocks("README.md", &fs::read_to_string(root.join("README.md")).unwrap()));
    found
}

/// The manifests in a page's blocks of code.
fn blocks(page: &str, text: &str) -> Vec<(String, String)> {
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let whole = blocks.filter(|block| block.lines().any(|line| line.starts_with("apiVersion:")));
    whole.map(|block| (format!("a block of {page}"), block.to_owned())).collect()
}

#[test]
fn every_manifest_of_the_repository_is_of_the_schema() {
    let (of_stacks, of_sources) = (validator(), validator_of(&manifest::schema_of::<SourceDocument>()));
    let all = manifests();
    for page in [
        "manifests/fair-edge.yaml",
        "a block of README.md",
        "a block of manifests/README.md",
        "a block of manifests/git.md",
    ] {
        assert!(all.iter().any(|(name, _)| name == page), "{page} was not found");
    }
    for (name, text) in all {
        let validator = if text.contains("\nkind: Source\n") { &of_sources } else { &of_stacks };
        assert_eq!(by_schema(validator, &text), [""; 0], "{name}");
    }
}

#[test]
fn every_field_of_the_schema_is_described_and_its_examples_and_default_are_values_of_it() {
    for schema in [manifest::schema(), manifest::schema_of::<SourceDocument>()] {
        is_described(&schema);
    }
}

fn is_described(schema: &serde_json::Value) {
    let mut pending = vec![(String::new(), schema)];
    while let Some((path, part)) = pending.pop() {
        for (name, field) in part["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(
                field["description"].as_str().is_some_and(|text| text.len() > 10),
                "{path} is not described"
            );
            let mut alone = field.clone();
            alone["$defs"] = schema["$defs"].clone();
            let validator = jsonschema::validator_for(&alone).unwrap();
            let examples = field["examples"].as_array().into_iter().flatten();
            for value in examples.chain(field.get("default")) {
                assert!(validator.is_valid(value), "{path}: {value} is no value of it");
            }
            pending.push((path, field));
        }
        pending
            .extend(part["$defs"].as_object().into_iter().flatten().map(|(name, def)| (name.clone(), def)));
    }
}
