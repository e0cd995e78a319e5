//! From files to the desired state: what is found, what is laid over what, and what is refused where.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use compose_operator::compose::{LoadOptions, MemoryFiles};
use compose_operator::core::backoff::Policy;
use compose_operator::core::config_hash::ConfigHash;
use compose_operator::core::content::OnChange;
use compose_operator::core::desired::{Condition, Desired, PullPolicy, Service};
use compose_operator::core::probe::{Handler, Probe};
use compose_operator::core::redis;
use compose_operator::core::spec::{MountKind, RestartPolicy};
use compose_operator::stack::{self, Loaded};

fn files(content: &[(&str, &str)]) -> MemoryFiles {
    content.iter().fold(MemoryFiles::new(), |files, (path, text)| files.with(format!("/w/{path}"), *text))
}

fn options(paths: &[&str]) -> LoadOptions {
    LoadOptions {
        files: paths.iter().map(PathBuf::from).collect(),
        working_dir: PathBuf::from("/w"),
        ..LoadOptions::default()
    }
}

fn load(paths: &[&str], content: &[(&str, &str)]) -> Loaded {
    stack::load(&options(paths), &files(content))
}

/// The one sound stack of these files.
fn desired(paths: &[&str], content: &[(&str, &str)]) -> Desired {
    let mut stacks = load(paths, content).all().unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(stacks.len(), 1);
    stacks.remove(0).desired
}

fn service<'d>(desired: &'d Desired, name: &str) -> &'d Service {
    desired.services.get(name).unwrap_or_else(|| panic!("no service {name}"))
}

/// A bare Compose file's one service `a`.
fn compiled(text: &str) -> Service {
    let desired = desired(&["compose.yaml"], &[("compose.yaml", text)]);
    service(&desired, "a").clone()
}

/// All faults as `file:line:column: message (help)`.
fn faults(paths: &[&str], content: &[(&str, &str)]) -> Vec<String> {
    told(&load(paths, content))
}

fn told(loaded: &Loaded) -> Vec<String> {
    let faults = loaded.faults.iter();
    faults
        .map(|fault| match &fault.help {
            Some(help) => format!("{} ({help})", fault.headline()).replace("/w/", ""),
            None => fault.headline().replace("/w/", ""),
        })
        .collect()
}

const MANIFEST: &str = "\
apiVersion: compose-operator/v1
kind: Stack
metadata: {name: shop}
spec:
  compose: {files: [../compose.yaml]}
";

const COMPOSE: &str = "\
services:
  api: {image: api, mem_limit: 512m, deploy: {replicas: 2}}
  redis: {image: redis:7, command: redis-server --maxmemory 256mb --port 6380}
";

mod finding {
    use super::*;

    #[test]
    fn a_bare_compose_file_is_a_stack_with_no_extras() {
        let desired = desired(&["compose.yaml"], &[("compose.yaml", COMPOSE)]);
        assert_eq!(desired.stack.as_str(), "w");
        assert_eq!(desired.services.len(), 2);
        assert!(!desired.prune);
        assert_eq!(desired.origin.config_files, ["/w/compose.yaml"]);
        assert_eq!(desired.origin.working_dir, "/w");
    }

    #[test]
    fn paths_of_a_manifest_are_relative_to_the_manifest() {
        let content = [("deploy/shop.yaml", MANIFEST), ("compose.yaml", COMPOSE)];
        let desired = desired(&["deploy/shop.yaml"], &content);
        assert_eq!(desired.stack.as_str(), "shop");
        assert_eq!(desired.origin.config_files, ["/w/compose.yaml"]);
    }

    #[test]
    fn a_manifest_without_compose_files_takes_the_nearest() {
        let manifest = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\n";
        let content = [("deploy/shop.yaml", manifest), ("compose.yaml", COMPOSE)];
        assert_eq!(desired(&["deploy/shop.yaml"], &content).services.len(), 2);
    }

    #[test]
    fn a_directory_is_all_of_its_manifests_and_nothing_else() {
        let other = MANIFEST.replace("shop", "blog");
        let content = [
            ("m/b.yaml", MANIFEST),
            ("m/a.yml", other.as_str()),
            ("m/compose.yaml", COMPOSE),
            ("m/notes.txt", "kind: Stack"),
            ("compose.yaml", COMPOSE),
        ];
        let loaded = load(&["m"], &content);
        let names: Vec<&str> = loaded.stacks.iter().map(|stack| stack.desired.stack.as_str()).collect();
        assert_eq!((names, loaded.faults.len()), (vec!["blog", "shop"], 0));
        assert!(loaded.dependencies.directories.contains(&PathBuf::from("/w/m")));
        assert!(loaded.dependencies.files.contains(&PathBuf::from("/w/m/b.yaml")));
    }

    #[test]
    fn several_documents_of_one_file_are_several_stacks_and_p_picks_one() {
        let both = format!("{MANIFEST}---\n{}", MANIFEST.replace("shop", "blog"));
        let content = [("m/all.yaml", both.as_str()), ("compose.yaml", COMPOSE)];
        assert_eq!(load(&["m/all.yaml"], &content).stacks.len(), 2);
        let options = LoadOptions { project_name: Some("blog".into()), ..options(&["m/all.yaml"]) };
        let loaded = stack::load(&options, &files(&content));
        assert_eq!(loaded.stacks.len(), 1);
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "blog");
        let options = LoadOptions { project_name: Some("blogg".into()), ..options };
        assert_eq!(
            told(&stack::load(&options, &files(&content))),
            ["no manifest declares the stack `blogg` (did you mean `blog`?)"]
        );
    }

    #[test]
    fn without_f_the_nearest_directory_with_manifests_or_a_compose_file_counts() {
        let content = [("manifests/shop.yaml", MANIFEST), ("compose.yaml", COMPOSE)];
        let inside = LoadOptions { working_dir: PathBuf::from("/w/src/deep"), ..options(&[]) };
        let loaded = stack::load(&inside, &files(&content));
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "shop");

        let content = [("manifests/shop.yaml", MANIFEST), ("sub/compose.yaml", COMPOSE)];
        let inside = LoadOptions { working_dir: PathBuf::from("/w/sub"), ..options(&[]) };
        let loaded = stack::load(&inside, &files(&content));
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "sub", "the Compose file is nearer");

        let said = ("sub/.env", "COMPOSE_FILE=other.yaml\n");
        let content = [("manifests/shop.yaml", MANIFEST), ("sub/other.yaml", COMPOSE), said];
        let loaded = stack::load(&inside, &files(&content));
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "sub", "`.env` names the file");
    }

    #[test]
    fn what_is_missing_where_files_were_found_does_not_make_another_stack_the_nearest() {
        let named = ("sub/.env", "COMPOSE_FILE=other.yaml\n");
        let called = ("sub/.env", "COMPOSE_PROJECT_NAME=shop\n");
        let (manifest, beside) = (("sub/manifests/shop.yaml", MANIFEST), ("sub/compose.yaml", COMPOSE));
        let (above, emptied) = (("compose.yaml", COMPOSE), ("sub/manifests/shop.yaml", "# soon\n"));
        let blog = MANIFEST.replace("shop", "blog");
        let blog = ("sub/manifests/blog.yaml", blog.as_str());
        let gone = "sub/manifests: the directory has no manifest any more";
        let empty = "sub/manifests/shop.yaml: the file is empty";
        for (what, given, before, after, expected) in [
            ("a manifest, Compose files beside", None, vec![manifest, beside], vec![beside], gone),
            ("a manifest, Compose files above", None, vec![manifest, beside, above], vec![above], gone),
            ("the only manifest", None, vec![manifest, beside], vec![emptied, beside], empty),
            ("one of two manifests", None, vec![manifest, blog, beside], vec![emptied, blog, beside], empty),
            (
                "one of a directory that is given",
                Some("manifests"),
                vec![manifest, blog, beside],
                vec![emptied, blog, beside],
                empty,
            ),
            (
                "one of two manifests, half written",
                None,
                vec![manifest, blog, beside],
                vec![("sub/manifests/shop.yaml", "metadata: {name: shop}\n"), blog, beside],
                "sub/manifests/shop.yaml: the file has no manifest any more",
            ),
            (
                "a manifest that is given, and is a Compose file now",
                Some("manifests/shop.yaml"),
                vec![manifest, beside],
                vec![("sub/manifests/shop.yaml", COMPOSE), beside],
                "sub/manifests/shop.yaml: the file has no manifest any more",
            ),
            (
                "Compose files, others above",
                None,
                vec![beside, above],
                vec![above],
                "sub: the directory has no Compose file any more",
            ),
            (
                "files that an env file names",
                None,
                vec![named, ("sub/other.yaml", COMPOSE), beside],
                vec![("sub/other.yaml", COMPOSE), beside],
                "nothing that can be read sets COMPOSE_FILE any more",
            ),
            (
                "a name that an env file gives",
                Some("compose.yaml"),
                vec![called, beside],
                vec![beside],
                "the project is called `sub` now; it was `shop`",
            ),
        ] {
            let given: Vec<&str> = given.into_iter().collect();
            let inside = LoadOptions { working_dir: PathBuf::from("/w/sub"), ..options(&given) };
            let first = stack::load(&inside, &files(&before));
            assert_eq!(told(&first), [""; 0], "{what}");
            let again = stack::load_from(&inside, &first.found, &files(&after));
            let told = told(&again);
            assert!(told.iter().any(|fault| fault.contains(expected)), "{what}: {told:?}");
            assert_eq!(again.stacks.len(), 0, "{what}");
        }
    }

    #[test]
    fn files_that_come_up_nearer_than_those_found_before_are_taken() {
        let inside = LoadOptions { working_dir: PathBuf::from("/w/sub"), ..options(&[]) };
        let found = stack::load(&inside, &files(&[("compose.yaml", COMPOSE)])).found;
        let content = [("sub/manifests/shop.yaml", MANIFEST), ("sub/compose.yaml", COMPOSE)];
        let again = stack::load_from(&inside, &found, &files(&content));
        assert_eq!(again.stacks[0].desired.stack.as_str(), "shop");
    }

    #[test]
    fn an_empty_file_among_manifests_is_passed_over_where_it_was_none() {
        let content = [("m/shop.yaml", MANIFEST), ("m/soon.yaml", ""), ("compose.yaml", COMPOSE)];
        let loaded = load(&["m"], &content);
        assert_eq!((told(&loaded).len(), loaded.stacks.len()), (0, 1));
        assert!(loaded.warnings[0].headline().ends_with("m/soon.yaml: the file is empty"));
        let content = [("manifests/soon.yaml", ""), ("compose.yaml", COMPOSE)];
        assert!(told(&load(&[], &content))[0].starts_with("manifests/soon.yaml: the file is empty"));
    }

    #[test]
    fn what_the_shell_says_does_not_choose_other_files_for_a_manifest() {
        let environment = BTreeMap::from([
            ("COMPOSE_FILE".to_owned(), "other.yaml".to_owned()),
            ("COMPOSE_PROJECT_NAME".to_owned(), "other".to_owned()),
        ]);
        let options = LoadOptions { environment, ..options(&["m/shop.yaml"]) };
        let loaded = stack::load(&options, &files(&[("m/shop.yaml", MANIFEST), ("compose.yaml", COMPOSE)]));
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "shop");
    }

    /// What the image's tag comes to, with this for values, in this environment, with these env files of the host.
    fn tag(values: &str, environment: &[(&str, &str)], env_files: &[&str]) -> String {
        let manifest = MANIFEST.replace(
            "[../compose.yaml]",
            &format!("[../compose.yaml], envFiles: [own.env], values: {values}"),
        );
        assert_ne!(manifest, MANIFEST);
        let view = files(&[
            ("m/shop.yaml", &manifest),
            ("m/own.env", "TAG=own\n"),
            ("host.env", "TAG=host\n"),
            ("compose.yaml", "services: {web: {image: 'web:${TAG-none}', environment: [TAG]}}"),
        ]);
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let options = LoadOptions {
            environment: environment.collect(),
            env_files: env_files.iter().map(PathBuf::from).collect(),
            ..options(&["m/shop.yaml"])
        };
        let loaded = stack::load(&options, &view);
        assert_eq!(told(&loaded), [""; 0], "{values}");
        let service = &loaded.stacks[0].desired.services["web"];
        service.spec.image.strip_prefix("web:").unwrap().to_owned()
    }

    #[test]
    fn values_of_a_manifest_win_over_its_env_files_and_lose_to_the_host() {
        assert_eq!(tag("{}", &[], &[]), "own");
        assert_eq!(tag("{TAG: '1'}", &[], &[]), "1");
        assert_eq!(tag("{TAG: }", &[], &[]), "own", "a field that is empty is not there");
        assert_eq!(tag("{TAG: '1'}", &[("TAG", "shell")], &[]), "shell");
        assert_eq!(tag("{TAG: '1'}", &[], &["host.env"]), "host");
        assert_eq!(tag("{TAG: '1', OTHER: x}", &[("TAG", "shell")], &["host.env"]), "shell");
    }

    #[test]
    fn values_are_the_text_that_they_are_written_as() {
        for text in ["1.10", "1e3", "007", "0x1F", "true", "yes", "3"] {
            assert_eq!(tag(&format!("{{TAG: {text}}}"), &[], &[]), text);
        }
    }

    #[test]
    fn values_are_refused_that_choose_files_or_that_nothing_can_refer_to() {
        let values = "[../compose.yaml], values: {COMPOSE_FILE: x.yaml, a-b: c, 1A: b}";
        let manifest = MANIFEST.replace("[../compose.yaml]", values);
        let loaded = load(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        let told = told(&loaded);
        assert_eq!(told.len(), 3, "{told:#?}");
        for (told, word) in
            told.iter().zip(["`COMPOSE_FILE` is a setting of Compose", "`a-b` cannot be", "`1A`"])
        {
            assert!(told.starts_with("m/shop.yaml:") && told.contains(word), "{told}");
        }
    }

    /// Manifests of these names, each with those that it waits for.
    fn waiting(all: &[(&str, &str)]) -> Loaded {
        let manifest = |(name, others): &(&str, &str)| {
            let text = MANIFEST.replace("name: shop", &format!("name: {name}"));
            format!("{text}  dependsOn: [{others}]\n")
        };
        let text: Vec<String> = all.iter().map(manifest).collect();
        load(&["m/all.yaml"], &[("m/all.yaml", &text.join("---\n")), ("compose.yaml", COMPOSE)])
    }

    #[test]
    fn stacks_go_after_those_that_they_depend_on() {
        let loaded = waiting(&[("a", "c, b"), ("b", "d"), ("c", "d"), ("d", ""), ("e", "")]);
        assert_eq!(told(&loaded), [""; 0]);
        let ordered = stack::in_order(loaded.stacks);
        let names: Vec<&str> = ordered.iter().map(|stack| stack.desired.stack.as_str()).collect();
        assert_eq!(names, ["d", "b", "c", "a", "e"]);
    }

    #[test]
    fn stacks_that_wait_for_each_other_are_refused_and_the_others_are_not() {
        let loaded = waiting(&[("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("e", "e")]);
        let ways = ["a → b → c → a", "b → c → a → b", "c → a → b → c", "e → e"];
        assert_eq!(told(&loaded).len(), ways.len(), "{:#?}", told(&loaded));
        for (fault, way) in loaded.faults.iter().zip(ways) {
            assert!(fault.headline().contains(&format!("waits for itself: {way}")), "{}", fault.headline());
            assert!(fault.headline().starts_with("/w/m/all.yaml:"), "{}", fault.headline());
        }
        let sound: Vec<&str> = loaded.stacks.iter().map(|stack| stack.desired.stack.as_str()).collect();
        assert_eq!(sound, ["d"]);
    }

    #[test]
    fn a_stack_that_waits_for_one_that_is_not_here_is_warned_of_where_it_says_so() {
        let loaded = waiting(&[("shop", "databse"), ("database", "")]);
        assert_eq!(told(&loaded), [""; 0]);
        let warnings = &loaded.stacks[1].warnings;
        assert_eq!(warnings.len(), 1);
        let headline = warnings[0].headline();
        assert!(
            headline.starts_with("/w/m/all.yaml:6:15: `shop` waits for the stack `databse`"),
            "{headline}"
        );
        assert!(warnings[0].help.as_deref().unwrap().ends_with("did you mean `database`?"));
    }

    #[test]
    fn a_manifest_may_come_in_on_the_standard_input() {
        let manifest = MANIFEST.replace("../compose.yaml", "compose.yaml");
        let view = files(&[("compose.yaml", COMPOSE)]).with("-", manifest);
        let loaded = stack::load(&options(&["-"]), &view);
        assert_eq!(told(&loaded), [""; 0]);
        assert_eq!(loaded.stacks[0].desired.stack.as_str(), "shop");
        assert_eq!(loaded.stacks[0].desired.origin.config_files, ["/w/compose.yaml"]);
        let broken = files(&[]).with("-", "kind: Stack\n");
        assert!(told(&stack::load(&options(&["-"]), &broken))[0].starts_with("-:1:1: "));
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        let content = [("m/a.yaml", MANIFEST), ("m/b.yaml", MANIFEST), ("compose.yaml", COMPOSE)];
        assert_eq!(
            faults(&["m/a.yaml", "compose.yaml"], &content),
            ["`m/a.yaml` is a manifest and `compose.yaml` a Compose file; they cannot be given together \
              (name the Compose files in the manifest, under `spec.compose.files`)"]
        );
        assert_eq!(
            faults(&["m"], &content),
            ["m/b.yaml:3:18: there are two stacks `shop` (two stacks of one name would fight over the same \
              containers; rename one)"]
        );
        let mixed = format!("{MANIFEST}---\n{COMPOSE}");
        assert_eq!(
            faults(&["x.yaml"], &[("x.yaml", &mixed)]),
            ["x.yaml:7:1: this document is not a manifest, unlike others of its file (add `apiVersion: \
              compose-operator/v1` and `kind: Stack`, or move it)"]
        );
        assert_eq!(
            faults(&["gone.yaml"], &[]),
            ["gone.yaml: the file cannot be read: no such file or directory (check the path given with -f)"]
        );
    }

    #[test]
    fn one_broken_manifest_does_not_hide_the_sound_ones() {
        let content = [
            ("m/a.yaml", MANIFEST),
            ("m/b.yaml", "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {nam: blog}\n"),
            ("compose.yaml", COMPOSE),
        ];
        let loaded = load(&["m"], &content);
        assert_eq!(loaded.stacks.len(), 1);
        assert_eq!(
            told(&loaded),
            [
                "m/b.yaml:3:11: metadata lacks the field `name` (add `name: NAME`; it is the Compose project's name)",
                "m/b.yaml:3:12: unknown field `nam` in metadata (did you mean `name`?)",
            ]
        );
    }
}

mod overlay {
    use super::*;

    fn with(services: &str) -> Desired {
        let manifest = format!("{MANIFEST}  prune: true\n  services:\n{services}");
        desired(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)])
    }

    #[test]
    fn the_manifest_wins_over_the_compose_files() {
        let desired = with(
            "    api:\n      replicas: 5\n      resources: {limits: {cpus: \"0.5\", memory: 1G, pids: 100}, reservations: {memory: 256M}}\n",
        );
        let api = service(&desired, "api");
        assert_eq!(api.replicas, 5);
        assert_eq!(api.resources.nano_cpus, Some(500_000_000));
        assert_eq!(api.resources.memory, Some(1 << 30));
        assert_eq!(api.resources.memory_reservation, Some(256 << 20));
        assert_eq!(api.resources.pids_limit, Some(100));
        assert!(desired.prune);
    }

    #[test]
    fn the_back_off_of_a_service_is_its_own_word_then_the_stacks_then_kubelets() {
        let manifest = format!(
            "{MANIFEST}  backoff: {{initial: 2s, max: 1m}}\n  services: {{api: {{backoff: {{max: 1h30m}}}}}}\n"
        );
        let desired = desired(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        let seconds =
            |policy: &Policy| (policy.initial.as_secs(), policy.cap.as_secs(), policy.reset_after.as_secs());
        assert_eq!(seconds(&service(&desired, "api").backoff), (2, 5400, 600));
        assert_eq!(seconds(&desired.backoff), (2, 60, 600));
        assert_eq!(seconds(&compiled("services: {a: {image: x}}\n").backoff), (10, 300, 600));
    }

    #[test]
    fn a_back_off_that_defeats_itself_is_refused_where_it_is_written() {
        let refused = |spec: &str| {
            let manifest = format!("{MANIFEST}{spec}");
            faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)])
        };
        let line = MANIFEST.lines().count() + 1;
        assert_eq!(
            refused("  services: {api: {backoff: {initial: 10m}}}\n"),
            [format!(
                "m/shop.yaml:{line}:29: service `api` would wait 10m at first and never more than 5m (raise `backoff.max`, or lower `backoff.initial`)"
            )]
        );
        assert_eq!(
            refused("  backoff: {resetAfter: 5s}\n"),
            [format!(
                "m/shop.yaml:{line}:25: the stack would forget a crash after 5s, before the first wait of 10s is over (raise `backoff.resetAfter`: what crashes later than that is restarted at once)"
            )]
        );
    }

    #[test]
    fn probes_have_kubernetes_defaults_and_know_the_servers_password() {
        let desired = with(
            "    api: {readinessProbe: {http: {port: 80}}, livenessProbe: {tcp: {port: 80}, periodSeconds: 3}}\n    redis: {startupProbe: {redis: {}, failureThreshold: 30}}\n",
        );
        let api = &service(&desired, "api").probes;
        let readiness = api.readiness.as_ref().unwrap();
        assert_eq!(
            *readiness,
            Probe { handler: readiness.handler.clone(), ..Probe::new(Handler::Tcp { port: 0 }) }
        );
        let Handler::Http(page) = &readiness.handler else { panic!("{readiness:?}") };
        assert_eq!((page.port, page.path.as_str(), page.tls, page.status), (80, "/", false, (200, 399)));
        assert_eq!(api.liveness.as_ref().unwrap().period.as_secs(), 3);
        assert_eq!(service(&desired, "api").heal.unhealthy_for, None, "its liveness probe says more");
        let redis = service(&desired, "redis").probes.startup.clone().unwrap();
        let Handler::Redis { port, .. } = redis.handler else { panic!("{redis:?}") };
        assert_eq!((port, redis.failure_threshold), (6380, 30), "the port of its command");
    }

    #[test]
    fn what_healing_cannot_mean_is_refused_where_it_is_written() {
        let line = MANIFEST.lines().count() + 1;
        for (api, expected) in [
            ("livenessProbe: {periodSeconds: 5}", ":35: the liveness probe of service `api` asks nothing"),
            (
                "livenessProbe: {tcp: {port: 1}, exec: {command: [a]}}",
                "the liveness probe of service `api` asks several things: tcp, exec",
            ),
            ("livenessProbe: {tcp: {port: 0}}", "the liveness probe of service `api` has no port"),
            ("livenessProbe: {tcp: {port: 1}, successThreshold: 2}", "passes with its first success"),
            (
                "livenessProbe: {tcp: {port: 1}, periodSeconds: 0}",
                "`periodSeconds` of the liveness probe of service `api` cannot be 0",
            ),
            ("readinessProbe: {tcp: {port: 1}, terminationGracePeriodSeconds: 2}", "stops nothing"),
            ("readinessProbe: {exec: {command: []}}", "runs no command"),
            ("readinessProbe: {http: {port: 1, path: x}}", "`x` is not a path"),
            ("readinessProbe: {http: {port: 1, status: ok}}", "no codes of success"),
            ("readinessProbe: {http: {port: 1, status: 299-200}}", "no codes of success"),
            ("heal: {for: 5m}", "has nothing to last for"),
            ("heal: {memoryAbove: 8G}", "can never use more than 8 GiB"),
            ("holdFor: 5m", "holds nothing for that long"),
            (
                "traffic: {caddy: {service: redis, port: 80}}",
                "`redis` is a redis, and no proxy of service `api`",
            ),
            ("traffic: {caddy: {service: redi, port: 80}}", "names `redi`, which is no service"),
            ("traffic: {caddy: {service: api, port: 80}}", "service `api` cannot be its own proxy"),
            ("onContentChange: {signal: SIGKILL}", "`SIGKILL` ends what it is sent to"),
            ("onContentChange: {signal: SIGHUB}", "`SIGHUB` is no signal"),
            ("onContentChange: {exec: []}", "a command without words"),
        ] {
            let manifest = format!("{MANIFEST}  services: {{api: {{{api}}}}}\n");
            let found = faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
            let place = format!("m/shop.yaml:{line}:");
            assert!(
                found.len() == 1 && found[0].starts_with(&place) && found[0].contains(expected),
                "{api}: {found:?}"
            );
        }
        let manifest = format!("{MANIFEST}  services: {{redis: {{heal: {{memoryAbove: 90%}}}}}}\n");
        let found = faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        assert!(found[0].contains("has no memory limit that 90% could be of"), "{found:?}");
    }

    #[test]
    fn a_proxy_that_no_profile_turns_on_is_told_with_the_way_out() {
        let manifest =
            format!("{MANIFEST}  services: {{api: {{traffic: {{caddy: {{service: caddy, port: 80}}}}}}}}\n");
        let compose = format!("{COMPOSE}  caddy: {{image: caddy, profiles: [edge]}}\n");
        assert_eq!(
            faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", &compose)]),
            [
                "m/shop.yaml:6:47: `traffic` of service `api` names `caddy`, which no profile turns on (turn on a profile of \
                 `caddy`)"
            ]
        );
    }

    #[test]
    fn what_the_manifest_leaves_out_stays_as_the_compose_files_have_it() {
        let desired = with("    api: {resources: {limits: {cpus: 1}}}\n");
        let api = service(&desired, "api");
        assert_eq!((api.replicas, api.resources.memory), (2, Some(512 << 20)));
    }

    #[test]
    fn redis_settings_change_live_and_a_new_container_starts_with_them() {
        let desired = with(
            "    redis: {redis: {maxmemory: 512mb, maxmemoryPolicy: allkeys-lru, settings: {hz: 20, appendonly: true}}}\n",
        );
        let redis = service(&desired, "redis");
        let live = redis.live.as_ref().unwrap();
        assert_eq!(live.port, 6380);
        let expected = [
            ("appendonly", "yes"),
            ("hz", "20"),
            ("maxmemory", "536870912"),
            ("maxmemory-policy", "allkeys-lru"),
        ];
        let settings: Vec<(&str, &str)> =
            live.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(settings, expected);
        assert_eq!(redis.spec.command.as_deref().unwrap(), ["redis-server", "--port", "6380"]);
        let full = redis.command.as_deref().unwrap();
        assert_eq!(redis::split_command(full).1, live.settings, "{full:?}");
    }

    #[test]
    fn the_revision_does_not_see_live_settings_and_limits() {
        let plain = desired(&["m/shop.yaml"], &[("m/shop.yaml", MANIFEST), ("compose.yaml", COMPOSE)]);
        let changed = with("    redis: {redis: {maxmemory: 1gb}, resources: {limits: {memory: 2G}}}\n");
        assert_eq!(service(&plain, "redis").spec, service(&changed, "redis").spec);
    }

    #[test]
    fn a_redis_whose_image_starts_it_is_set_once_it_runs() {
        let manifest =
            format!("{MANIFEST}  services: {{cache: {{redis: {{maxmemory: 64mb, passwordEnv: PASS}}}}}}\n");
        let compose = "services: {cache: {image: my-redis, environment: {PASS: tell-tale}}}\n";
        let desired = desired(&["m/s.yaml"], &[("m/s.yaml", &manifest), ("compose.yaml", compose)]);
        let cache = service(&desired, "cache");
        assert_eq!(cache.command, None);
        let live = cache.live.as_ref().unwrap();
        assert_eq!(live.settings["maxmemory"], "67108864");
        assert_eq!(live.password.as_ref().unwrap().expose(), "tell-tale");
        assert!(!format!("{desired:?}").contains("tell-tale"));
    }
}

mod compiling {
    use super::*;

    #[test]
    fn names_in_the_engine_are_composes() {
        let text = "\
name: p
services:
  a: {build: ., networks: [front, out], volumes: ['data:/data', 'shared:/shared', '/anonymous']}
networks: {front: {}, out: {external: true, name: corp}}
volumes: {data: {}, shared: {external: true}}
";
        let desired = desired(&["compose.yaml"], &[("compose.yaml", text)]);
        let a = service(&desired, "a");
        assert_eq!(a.spec.image, "p-a");
        assert_eq!(a.image.build.as_ref().unwrap().context, "/w");
        assert_eq!(a.networks.keys().collect::<Vec<_>>(), ["corp", "p_front"]);
        assert!(a.networks["p_front"].aliases.contains("a"));
        assert!(desired.networks["out"].external);
        assert_eq!(a.spec.mounts["/data"].source, "p_data");
        assert_eq!(a.spec.mounts["/shared"].source, "shared");
        assert_eq!(a.spec.mounts["/anonymous"].source, "");
        assert_eq!(desired.volumes["data"].name, "p_data");
        assert!(matches!(&a.config_hash, ConfigHash::Fixed(hash) if hash.len() == 64));
    }

    #[test]
    fn a_service_without_networks_is_on_the_default_one_unless_it_has_a_mode() {
        assert_eq!(compiled("services: {a: {image: x}}").networks.keys().collect::<Vec<_>>(), ["w_default"]);
        let host = compiled("services: {a: {image: x, network_mode: host}}");
        assert!(host.networks.is_empty());
        assert_eq!(host.spec.network_mode.as_deref(), Some("host"));
    }

    #[test]
    fn the_environment_is_resolved_and_never_shown() {
        let text = "services: {a: {image: x, env_file: a.env, environment: {B: two, GONE: }}}";
        let content = [("compose.yaml", text), ("a.env", "A=tell-tale\nB=one\n")];
        let desired = desired(&["compose.yaml"], &content);
        let environment = &service(&desired, "a").spec.environment;
        let values: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        assert_eq!(values, [("A", "tell-tale"), ("B", "two")]);
        assert!(!format!("{desired:?}").contains("tell-tale"));
    }

    #[test]
    fn limits_come_from_either_place() {
        let a = compiled(
            "services: {a: {image: x, cpus: 0.5, pids_limit: 50, cpu_shares: 512, deploy: {resources: {reservations: {memory: 512M}}}}}",
        );
        assert_eq!(a.resources.nano_cpus, Some(500_000_000));
        assert_eq!(a.resources.pids_limit, Some(50));
        assert_eq!(a.resources.cpu_shares, Some(512));
        let b = compiled("services: {a: {image: x, deploy: {resources: {limits: {memory: 1G}}}}}");
        assert_eq!(b.resources.memory, Some(1 << 30));
        assert_eq!(a.resources.memory_reservation, Some(512 << 20));
    }

    #[test]
    fn restart_policies_come_from_either_place() {
        let policy =
            |text: &str| compiled(&format!("services: {{a: {{image: x, {text}}}}}")).resources.restart;
        assert_eq!(policy("restart: unless-stopped"), RestartPolicy::UnlessStopped);
        assert_eq!(policy("restart: 'on-failure:3'"), RestartPolicy::OnFailure { max_retries: 3 });
        assert_eq!(policy("deploy: {restart_policy: {condition: any}}"), RestartPolicy::Always);
        assert_eq!(policy("tty: true"), RestartPolicy::No);
    }

    #[test]
    fn durations_sizes_and_lists_are_the_engines() {
        let a = compiled(
            "services: {a: {image: x, stop_grace_period: 1m30s, shm_size: 64m, init: true, \
             extra_hosts: ['db:10.0.0.1'], ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}, \
             sysctls: {net.core.somaxconn: 1024}, expose: ['9000', 53/udp], \
             healthcheck: {test: curl -f http://localhost, interval: 10s, retries: 3}}}",
        );
        assert_eq!(a.spec.stop_grace_period, Some(90));
        assert_eq!(a.spec.shm_size, Some(64 << 20));
        assert_eq!(a.spec.init, Some(true));
        assert!(a.spec.extra_hosts.contains("db:10.0.0.1"));
        assert_eq!((a.spec.ulimits["nofile"], a.spec.ulimits["nproc"]), ((10, 20), (5, 5)));
        assert_eq!(a.spec.sysctls["net.core.somaxconn"], "1024");
        assert!(a.spec.expose.contains("9000") && a.spec.expose.contains("53/udp"));
        let check = a.spec.healthcheck.unwrap();
        assert_eq!(check.test, ["CMD-SHELL", "curl -f http://localhost"]);
        assert_eq!((check.interval, check.retries, check.timeout), (10_000_000_000, 3, 0));
    }

    #[test]
    fn configs_and_secrets_with_their_content_are_copied_where_compose_copies_them() {
        let text = "\
services:
  a:
    image: x
    configs: [app, {source: app, target: etc/app.conf, mode: 0440}, empty]
    secrets: [key, {source: key, target: tls.key, uid: '7'}, {source: key, target: /k, gid: '8', mode: '0400'}]
configs: {app: {content: 'a $${B}'}, empty: {environment: EMPTY}}
secrets: {key: {environment: KEY}}
";
        let content = [("compose.yaml", text), (".env", "KEY=tell-tale\nEMPTY=\n")];
        let desired = desired(&["compose.yaml"], &content);
        let service = service(&desired, "a");
        assert!(!format!("{desired:?}").contains("tell-tale"));
        let seen: Vec<String> = service
            .files
            .iter()
            .map(|(path, file)| {
                let owner = file.owner.map(|owner| (owner.uid, owner.gid));
                format!("{path} {:o} {owner:?} {}", file.mode, file.content.expose())
            })
            .collect();
        assert_eq!(
            seen,
            [
                "/app 444 None a ${B}",
                "/etc/app.conf 440 None a ${B}",
                "/k 400 Some((0, 8)) tell-tale",
                "/run/secrets/key 444 None tell-tale",
                "/run/secrets/tls.key 444 Some((7, 0)) tell-tale",
            ]
        );
        assert!(service.spec.mounts.is_empty());
    }

    #[test]
    fn hooks_are_what_compose_runs() {
        let service = compiled(
            "services:\n  a:\n    image: x\n    post_start:\n      - {command: echo 'a b', user: root, privileged: true, working_dir: /w, environment: {K: canary}}\n      - {command: [second]}\n    pre_stop: [{command: bye, environment: [K=v]}]\n",
        );
        let first = &service.hooks.post_start[0];
        assert_eq!(
            (first.command.clone(), first.place()),
            (["echo", "a b"].map(str::to_owned).to_vec(), "post_start[0]".to_owned())
        );
        assert_eq!((first.user.as_deref(), first.working_dir.as_deref()), (Some("root"), Some("/w")));
        assert!(first.privileged && !format!("{:?}", service.hooks).contains("canary"));
        assert_eq!(first.environment[0].expose(), "K=canary");
        assert_eq!(service.hooks.post_start[1].place(), "post_start[1]");
        assert_eq!(service.hooks.pre_stop[0].environment[0].expose(), "K=v");
    }

    #[test]
    fn a_secret_of_an_included_project_comes_from_its_own_variables() {
        let included = "services: {a: {image: x, secrets: [key]}}\nsecrets: {key: {environment: KEY}}\n";
        let content = [
            ("compose.yaml", "include: [sub/compose.yaml]\n"),
            ("sub/compose.yaml", included),
            ("sub/.env", "KEY=included\n"),
        ];
        let found = |content: &[(&str, &str)]| {
            let desired = desired(&["compose.yaml"], content);
            let files = &service(&desired, "a").files;
            files.iter().map(|(_, file)| file.content.expose().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found(&content), ["included"]);
        assert_eq!(found(&[&content[..], &[(".env", "KEY=outer\n")]].concat()), ["outer"]);
    }

    #[test]
    fn configs_and_secrets_are_files_mounted_read_only() {
        let text = "\
services:
  a: {image: x, configs: [app], secrets: [{source: key, target: tls.key}], tmpfs: ['/tmp:size=16m']}
configs: {app: {file: ./app.conf}}
secrets: {key: {file: ./tls.key}}
";
        let a = compiled(text);
        let mount = |path: &str| {
            let mount = &a.spec.mounts[path];
            (mount.kind, mount.source.as_str(), mount.read_only)
        };
        assert_eq!(mount("/app"), (MountKind::Bind, "/w/app.conf", true));
        assert_eq!(mount("/run/secrets/tls.key"), (MountKind::Bind, "/w/tls.key", true));
        assert_eq!(a.spec.tmpfs["/tmp"], "size=16m");
    }

    #[test]
    fn the_content_of_what_containers_can_only_read_counts() {
        let text = "
services:
  a:
    image: x
    configs: [app, inline]
    secrets: [key]
    volumes:
      - ./nginx.conf:/etc/nginx.conf:ro
      - ./data.db:/data.db
      - ./conf.d:/conf.d:ro
      - /etc/localtime:/etc/localtime:ro
      - /proc/stat:/stat:ro
      - /opt/geo.conf:/geo.conf:ro
      - ./gone.conf:/gone.conf:ro
configs: {app: {file: ./app.conf}, inline: {content: x}}
secrets: {key: {file: ./key.pem}}
";
        let root = [
            ("app.conf", "canary"),
            ("key.pem", "canary"),
            ("nginx.conf", "n"),
            ("data.db", "d"),
            ("conf.d/x", "x"),
        ];
        let with = |nginx: &str, manifest: &str| {
            let manifest = format!("{MANIFEST}  services: {{a: {manifest}}}\n");
            let all = [root.as_slice(), &[("compose.yaml", text), ("m/s.yaml", manifest.as_str())]].concat();
            let files = files(&all).with("/w/nginx.conf", nginx);
            let files = ["/etc/localtime", "/proc/stat", "/opt/geo.conf"]
                .into_iter()
                .fold(files, |files, path| files.with(path, "z"));
            let mut stacks = stack::load(&options(&["m/s.yaml"]), &files).all().unwrap();
            service(&stacks.remove(0).desired, "a").content.clone()
        };
        let content = with("one", "{}");
        let counted: Vec<&str> = content.files.keys().map(String::as_str).collect();
        assert_eq!(counted, ["configs.app", "secrets.key", "volumes./etc/nginx.conf", "volumes./geo.conf"]);
        assert!(content.left_out["volumes./data.db"].contains("may write it"), "{content:?}");
        assert!(content.left_out["volumes./etc/localtime"].contains("of the system"), "{content:?}");
        assert!(!format!("{content:?}").contains("canary"));
        assert_eq!(content, with("one", "{onContentChange: rolling}"));
        let other = with("two", "{}");
        assert_ne!(content.files["volumes./etc/nginx.conf"], other.files["volumes./etc/nginx.conf"]);
        assert_eq!(content.files["configs.app"], other.files["configs.app"]);
        assert!(with("one", "{onContentChange: ignore}").files.is_empty());
        let signalled = with("one", "{onContentChange: {signal: SIGHUP}}");
        assert_eq!(
            (signalled.files, signalled.on_change),
            (content.files, OnChange::Signal("SIGHUP".into()))
        );
        let exec = with("one", "{onContentChange: {exec: [caddy, reload]}}");
        assert_eq!(exec.on_change, OnChange::Exec(vec!["caddy".into(), "reload".into()]));
    }

    #[test]
    fn what_a_service_leans_on_comes_first() {
        let text = "\
services:
  a:
    image: x
    depends_on: {db: {condition: service_healthy}, job: {condition: service_completed_successfully, required: false}}
    volumes_from: [data]
  db: {image: x}
  job: {image: x}
  data: {image: x}
";
        let a = compiled(text);
        let conditions: Vec<(&str, Condition, bool)> =
            a.depends_on.iter().map(|(name, it)| (name.as_str(), it.condition, it.required)).collect();
        assert_eq!(
            conditions,
            [
                ("data", Condition::Started, true),
                ("db", Condition::Healthy, true),
                ("job", Condition::CompletedSuccessfully, false),
            ]
        );
    }

    #[test]
    fn services_that_no_profile_selects_are_known_and_left_alone() {
        let text = "services: {a: {image: x, pull_policy: always}, debug: {image: y, profiles: [dev]}}";
        let desired = desired(&["compose.yaml"], &[("compose.yaml", text)]);
        assert_eq!(desired.services.len(), 1);
        assert!(desired.inactive.contains("debug"));
        assert_eq!(service(&desired, "a").image.pull_policy, PullPolicy::Always);
        assert_eq!(Duration::from_secs(10), compose_operator::core::desired::DEFAULT_STOP_GRACE);
    }
}

mod building {
    use compose_operator::core::builder::{Builder, Demand};
    use compose_operator::core::desired::{Build, BuildSecret};

    use super::*;

    fn build(text: &str) -> Build {
        let desired = desired(&["c.yaml"], &[("c.yaml", text)]);
        service(&desired, "a").image.build.clone().unwrap()
    }

    #[test]
    fn what_not_every_builder_gives_keeps_its_place() {
        let build = build(
            "services:\n  a:\n    build:\n      context: .\n      shm_size: 1m\n      ulimits: {nofile: {soft: 1, hard: 2}}\n\
             \x20     secrets: [s]\n      ssh: [default, \"k=agent.sock\"]\n      privileged: true\n      provenance: mode=max\n\
             \x20     sbom: false\n      network: default\n      cache_to: [\"type=inline\"]\nsecrets: {s: {file: ./s.txt}}\n",
        );
        let places: Vec<(Demand, &str)> =
            build.demands.iter().map(|(it, place)| (*it, place.as_str())).collect();
        assert_eq!(
            places,
            [
                (Demand::SharedMemory, "/w/c.yaml:5:17"),
                (Demand::Ulimits, "/w/c.yaml:6:16"),
                (Demand::Secrets, "/w/c.yaml:7:16"),
                (Demand::Ssh, "/w/c.yaml:8:12"),
                (Demand::Privileged, "/w/c.yaml:9:19"),
                (Demand::Provenance, "/w/c.yaml:10:19"),
            ]
        );
        assert_eq!(build.secrets["s"], BuildSecret::File("/w/s.txt".into()));
        assert_eq!(build.ssh["k"].as_deref(), Some("/w/agent.sock"));
        assert_eq!(build.ssh["default"], None);
        assert_eq!(build.ulimits["nofile"], (1, 2));
        assert!(build.entitlements.contains("security.insecure"));
        assert_eq!(build.attestations["provenance"], "type=provenance,mode=max");
        assert_eq!(build.builder, None::<Builder>);
        assert_eq!(build.project_labels["com.docker.compose.service"], "a");
    }

    #[test]
    fn another_services_image_is_a_context_and_comes_first() {
        let text = "name: shop\nservices:\n  a: {build: {context: ., additional_contexts: {x: 'service:b', y: ./y, z: 'service:c'}}}\n\
                    \x20 b: {build: .}\n  c: {image: reg/c, build: .}\n";
        let build = build(text);
        assert_eq!(build.contexts["x"], "docker-image://shop-b");
        assert_eq!(build.contexts["y"], "/w/y");
        assert_eq!(build.contexts["z"], "docker-image://reg/c");
        assert_eq!(build.after.iter().map(ToString::to_string).collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn images_that_are_built_from_each_other_are_refused() {
        let text = "services:\n  a: {build: {context: ., additional_contexts: {x: 'service:b'}}}\n\
                    \x20 b: {build: {context: ., additional_contexts: {y: 'service:a'}}}\n";
        let told = faults(&["c.yaml"], &[("c.yaml", text)]);
        assert!(told.iter().any(|fault| fault.contains("are built from each other")), "{told:?}");
    }

    #[test]
    fn images_and_containers_are_for_their_own_platform_else_for_the_usual_one() {
        let text = "services: {a: {image: x, platform: linux/arm64}, b: {image: x}}";
        let desired =
            desired(&["c.yaml"], &[("c.yaml", text), (".env", "DOCKER_DEFAULT_PLATFORM=linux/amd64\n")]);
        let platform = |name: &str| service(&desired, name).spec.platform.clone();
        assert_eq!(platform("a"), Some("linux/arm64".into()));
        assert_eq!(platform("b"), Some("linux/amd64".into()));
    }

    #[test]
    fn a_pull_policy_may_be_an_age() {
        let policy = |word: &str| {
            let text = format!("services: {{a: {{image: x, pull_policy: {word}}}}}");
            service(&desired(&["c.yaml"], &[("c.yaml", &text)]), "a").image.pull_policy
        };
        let hours = |hours: u64| PullPolicy::Every(Duration::from_hours(hours));
        assert_eq!(policy("daily"), hours(24));
        assert_eq!(policy("weekly"), hours(7 * 24));
        assert_eq!(policy("every_1d12h"), hours(36));
        assert_eq!(policy("if_not_present"), PullPolicy::Missing);
    }
}

mod refusing {
    use super::*;

    #[test]
    fn what_a_manifest_names_is_there_and_is_what_it_should_be() {
        let manifest = "\
apiVersion: compose-operator/v1
kind: Stack
metadata: {name: shop}
spec:
  compose:
    files: [adir, 'https://x/y.yaml', nope.yaml, compose.yaml]
    envFiles: [nope.env, /dev/null]
    projectDirectory: /nowhere
";
        let content = [("shop.yaml", manifest), ("compose.yaml", COMPOSE), ("adir/a.txt", "")];
        let relative = "(paths in a manifest are relative to the manifest's own directory)";
        assert_eq!(
            faults(&["shop.yaml"], &content),
            [
                "shop.yaml:6:13: `adir` is a directory, not a Compose file (name a file that is in it)".to_owned(),
                "shop.yaml:6:19: `https://x/y.yaml` is an address, and no Compose file on this machine (fetch it, and \
                 name the file)"
                    .to_owned(),
                format!("shop.yaml:6:39: Compose file not found: nope.yaml {relative}"),
                format!("shop.yaml:7:16: env file not found: nope.env {relative}"),
                format!("shop.yaml:8:23: directory not found: /nowhere {relative}"),
            ]
        );
        // What the command line gives counts, and is there.
        let options = LoadOptions {
            env_files: vec!["/dev/null".into()],
            project_directory: Some("/w".into()),
            ..options(&["shop.yaml"])
        };
        assert_eq!(told(&stack::load(&options, &files(&content))).len(), 3);
    }

    #[test]
    fn an_old_version_is_told_of_at_its_place() {
        let text = format!("name: x\nversion: '3'\n{COMPOSE}");
        let loaded = load(&["compose.yaml"], &[("compose.yaml", text.as_str())]);
        let warning = &loaded.stacks[0].warnings[0];
        assert_eq!((warning.line(), warning.column()), (Some(2), Some(1)), "{warning}");
    }

    #[test]
    fn the_ways_out_fit_what_is_wrong() {
        let one = |body: &str| {
            let text = format!("services:\n  a: {{image: x, {body}}}\n");
            faults(&["c.yaml"], &[("c.yaml", text.as_str())])
        };
        assert_eq!(
            one("scale: -1"),
            [
                "c.yaml:2:24: services.a.scale: -1 is not between 0 and 9223372036854775807 (write an integer, 0 or more)"
            ]
        );
        assert_eq!(
            one("mem_limit: 1g, deploy: {resources: {limits: {memory: 1zz}}}"),
            [
                "c.yaml:2:70: services.a.deploy.resources.limits.memory: invalid size: '1zz' (write a number with a unit, \
              as 512k, 64m or 2g)"
            ]
        );
        assert_eq!(
            one("profiles: [p, q]"),
            [
                "c.yaml:2:3: no profile is on that would select a service (use `--profile p` or `--profile q`; left \
              out: a)"
            ]
        );
    }

    #[test]
    fn a_manifest_among_the_compose_files_is_called_one() {
        let outer = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: blog}\nspec: {compose: {files: [m/shop.yaml]}}\n";
        let content = [("blog.yaml", outer), ("m/shop.yaml", MANIFEST), ("compose.yaml", COMPOSE)];
        assert_eq!(
            faults(&["blog.yaml"], &content),
            [
                "m/shop.yaml:1:1: `m/shop.yaml` is a manifest, not a Compose file (give it with -f, or in a directory of \
              manifests; a manifest's `files` are Compose files)"
            ]
        );
    }

    #[test]
    fn all_that_is_wrong_with_a_manifest_is_told_at_once() {
        let manifest = "\
apiVersion: compose-operator/v1
kind: Stak
metadata: {name: Usr Shop}
spec:
  compose: {files: [compose.yaml]}
  services:
    api: {replicas: many, resources: {limits: {pids: 0}}}
    redis: {redis: {maxmemory: 5zb, settings: {port: 5}}}
    wbe: {replicas: 2}
";
        let found = faults(&["shop.yaml"], &[("shop.yaml", manifest), ("compose.yaml", COMPOSE)]);
        let places: Vec<&str> = found.iter().filter_map(|fault| fault.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "shop.yaml:2:7",
                "shop.yaml:3:18",
                "shop.yaml:7:21",
                "shop.yaml:7:54",
                "shop.yaml:8:32",
                "shop.yaml:8:54",
                "shop.yaml:9:5"
            ],
            "{found:#?}"
        );
        // With other files than were meant, more would only lead astray.
        let other = manifest.replace("files: [compose.yaml]", "file: [compose.yaml]");
        assert_eq!(faults(&["shop.yaml"], &[("shop.yaml", &other)]).len(), 3);
    }

    #[test]
    fn all_that_is_wrong_with_a_compose_file_is_told_at_once() {
        let text = "services:\n  a: {image: x, extra_hosts: [a], restart: sometimes, mem_limit: 1k, security_opt: [zzz]}\n  b: {image: X Y}\n";
        let found = faults(&["compose.yaml"], &[("compose.yaml", text)]);
        let places: Vec<&str> = found.iter().filter_map(|fault| fault.split(": ").next()).collect();
        assert_eq!(
            places,
            [
                "compose.yaml:2:31",
                "compose.yaml:2:44",
                "compose.yaml:2:66",
                "compose.yaml:2:85",
                "compose.yaml:3:14"
            ],
            "{found:#?}"
        );
        // Of a service that is lost as a whole nothing follows.
        let lost = text.replace("{image: X Y}", "5");
        assert_eq!(faults(&["compose.yaml"], &[("compose.yaml", &lost)]).len(), 2);
    }

    #[test]
    fn what_cannot_be_copied_into_a_container_is_refused() {
        let text = "\
services:
  a:
    image: x
    read_only: true
    configs: [inline]
    secrets: [{source: key, uid: root}]
configs: {inline: {content: hello}}
secrets: {key: {environment: NOT_SET_ANYWHERE}}
";
        assert_eq!(
            refused(text),
            [
                "c.yaml:5:15: config `inline` cannot be copied into service `a`, whose root is read-only (write the content to a file and name it with `file:`, or leave out `read_only`)",
                "c.yaml:8:30: the variable `NOT_SET_ANYWHERE` that secret `key` comes from is not set (set it in the environment or in `.env`)",
            ]
        );
        let text = text.replace("    read_only: true\n", "").replace("NOT_SET_ANYWHERE", "KEY");
        let told = faults(&["c.yaml"], &[("c.yaml", &text), (".env", "KEY=canary\n")]);
        assert_eq!(
            told,
            [
                "c.yaml:5:34: `root` is not the number of a user or group (write its number, as `id` prints it)"
            ]
        );
    }

    fn refused(text: &str) -> Vec<String> {
        faults(&["c.yaml"], &[("c.yaml", text)])
    }

    #[test]
    fn a_stack_without_services_is_a_slip_and_not_a_wish() {
        assert_eq!(
            refused("name: shop\nservices: {}\n"),
            ["c.yaml:2:11: the stack has no services (to remove what runs, use `operator down`)"]
        );
        assert_eq!(
            refused("services: {a: {image: x, profiles: [dev]}, b: {image: x, profiles: [dev]}}\n"),
            [
                "c.yaml:1:11: no profile is on that would select a service (use `--profile dev`; left out: a, b)"
            ]
        );
        // Who looks or removes needs no profile.
        let loaded = load(&["c.yaml"], &[("c.yaml", "services: {a: {image: x, profiles: [dev]}}\n")]);
        assert_eq!(loaded.even_idle().all().unwrap()[0].desired.stack.as_str(), "w");
    }

    #[test]
    fn impossible_limits() {
        let text = "\
services:
  a: {image: x, mem_limit: 4m}
  b: {image: x, mem_limit: 64m, mem_reservation: 128m}
  c: {image: x, deploy: {resources: {limits: {cpus: '0.5'}, reservations: {cpus: '1'}}}}
  d: {image: x, mem_limit: 64m, memswap_limit: 32m}
";
        assert_eq!(
            refused(text),
            [
                "c.yaml:2:28: service `a` is limited to 4 MiB of memory (Docker takes 6 MiB or more)",
                "c.yaml:3:50: service `b` reserves 128 MiB of memory, more than its limit of 64 MiB (raise the limit or lower the reservation)",
                "c.yaml:4:82: service `c` reserves 1 processors, more than its limit of 0.5 (raise the limit or lower the reservation)",
                "c.yaml:5:48: service `d` limits memory and swap together to 32 MiB, less than its memory limit of 64 MiB (this limit counts the memory in: raise it)",
            ]
        );
    }

    #[test]
    fn a_reservation_of_the_manifest_above_a_limit_of_the_compose_file() {
        let manifest =
            format!("{MANIFEST}  services: {{api: {{resources: {{reservations: {{memory: 1G}}}}}}}}\n");
        let loaded = load(&["m/s.yaml"], &[("m/s.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        assert_eq!(
            told(&loaded),
            [
                "m/s.yaml:6:55: service `api` reserves 1 GiB of memory, more than its limit of 512 MiB (raise the limit or lower the reservation)"
            ]
        );
        let frame = loaded.faults[0].frame(false);
        assert!(frame.contains("compose.yaml:2") && frame.contains("the limit"), "{frame}");
    }

    #[test]
    fn several_replicas_of_what_only_one_can_have() {
        let text = "\
services:
  a: {image: x, scale: 2, ports: ['8080:80']}
  b: {image: x, scale: 2, ports: ['8080-8081:80', '90']}
  c: {image: x, scale: 2, networks: {n: {ipv4_address: 10.1.0.9}}}
networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}
";
        assert_eq!(
            refused(text),
            [
                "c.yaml:2:35: service `a` has 2 replicas and the fixed host port 8080 (publish a range (8000-8009:80) or no host port, and put a proxy in front)",
                "c.yaml:4:56: service `c` has 2 replicas and the fixed address 10.1.0.9 (remove the address; the service's name reaches all of its replicas)",
            ]
        );
    }

    #[test]
    fn a_manifest_that_names_what_is_not_there() {
        let manifest = format!(
            "{MANIFEST}  services: {{apy: {{replicas: 2}}, redis: {{redis: {{settings: {{hzz: 1, hz: ten}}, passwordEnv: PW}}}}}}\n"
        );
        assert_eq!(
            faults(&["m/s.yaml"], &[("m/s.yaml", &manifest), ("compose.yaml", COMPOSE)]),
            [
                "m/s.yaml:6:14: the Compose files have no service `apy` (did you mean `api`?)",
                "m/s.yaml:6:66: redis does not take `hzz` while it runs (did you mean `hz`?)",
                "m/s.yaml:6:73: `ten` is not a whole number",
                "m/s.yaml:6:92: service `redis` has no environment variable `PW` (there is none)",
            ]
        );
    }

    #[test]
    fn a_notification_that_could_not_be_sent() {
        let manifest = format!(
            "{MANIFEST}  notifications:\n\
             {0}- on: [Healed]\n\
             {0}- slack: {{}}\n\
             {0}- webhook: {{url: example.com}}\n\
             {0}- webhook: {{url: 'https://x', urlFile: y}}\n\
             {0}- email: {{server: x, from: a@x, to: [nobody]}}\n\
             {0}- email: {{server: 'x y', from: a@x, to: [b@x]}}\n\
             {0}- email: {{server: x, from: a@x, to: [b@x], user: me}}\n",
            "    "
        );
        assert_eq!(
            faults(&["m/s.yaml"], &[("m/s.yaml", &manifest), ("compose.yaml", COMPOSE)]),
            [
                "m/s.yaml:7:7: a notification goes to exactly one of `webhook`, `slack` and `email` (write one list item for each of them)",
                "m/s.yaml:8:14: it has no address (give `url: https://…`, or `urlFile` with a file that holds it)",
                "m/s.yaml:9:22: it is no address of a page (give `url: https://…`, or `urlFile` with a file that holds it)",
                "m/s.yaml:10:44: it has two addresses (give `url: https://…`, or `urlFile` with a file that holds it)",
                "m/s.yaml:11:41: `nobody` is no mail address (write ops@example.com or Ops <ops@example.com>)",
                "m/s.yaml:12:23: `x y` is no name of a server (write mail.example.com; the port has a field of its own)",
                "m/s.yaml:13:54: its password is missing (set `passwordFile`)",
            ]
        );
    }

    #[test]
    fn what_cannot_be_carried_over_yet_is_told_and_not_dropped() {
        let text = "\
services:
  a:
    image: x
    use_api_socket: true
    configs: [swarms]
    healthcheck: {test: 'true', start_interval: 1s}
configs: {swarms: {external: true}}
";
        let told = refused(text);
        let places: Vec<&str> =
            told.iter().filter_map(|fault| fault.split_once(": ")).map(|(place, _)| place).collect();
        assert_eq!(places, ["c.yaml:4:21", "c.yaml:6:49", "c.yaml:7:30"], "{told:#?}");
    }

    #[test]
    fn redis_above_its_containers_limit_is_a_warning() {
        let text = "services: {r: {image: redis, mem_limit: 64m, command: redis-server --maxmemory 128mb}}";
        let loaded = load(&["c.yaml"], &[("c.yaml", text)]);
        assert!(loaded.faults.is_empty());
        let warnings: Vec<String> = loaded.stacks[0].warnings.iter().map(|it| it.message.clone()).collect();
        assert_eq!(
            warnings,
            [
                "redis in service `r` may hold 128 MiB of keys, more than its container's memory limit of 64 MiB"
            ]
        );
    }
}

mod rollouts {
    use compose_operator::core::rollout::{Canary, OnFailure, Rollout, Share};

    use super::*;

    fn manifest(body: &str) -> String {
        format!("{MANIFEST}  services: {{api: {{rollout: {body}}}}}\n")
    }

    /// The rules of `api`, of two replicas, with this in its `deploy` and this in the manifest.
    fn rules(deploy: &str, body: &str) -> Rollout {
        let compose = format!("services:\n  api: {{image: api, deploy: {{replicas: 2, {deploy}}}}}\n");
        let files = [("m/shop.yaml", manifest(body)), ("compose.yaml", compose)];
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        service(&desired(&["m/shop.yaml"], &files), "api").rollout.clone()
    }

    #[test]
    fn nothing_said_is_one_more_at_a_time() {
        assert_eq!(rules("", "{}"), Rollout::default());
    }

    #[test]
    fn what_compose_files_say_for_swarm_gives_the_defaults_and_the_manifest_wins() {
        let update = "update_config: {parallelism: 2, order: start-first, delay: 5s, monitor: 20s, max_failure_ratio: 0.5}";
        let of_compose = rules(update, "{}");
        assert_eq!((of_compose.max_surge, of_compose.max_unavailable), (Share::Count(2), Share::Count(0)));
        assert_eq!(of_compose.min_ready, Duration::from_secs(20));
        assert_eq!(of_compose.tolerated, Share::Percent(50));
        let of_both = rules(update, "{maxSurge: 1, minReadySeconds: 3, autoRollback: false}");
        assert_eq!((of_both.max_surge, of_both.min_ready), (Share::Count(1), Duration::from_secs(3)));
        assert_eq!(of_both.on_failure, OnFailure::Pause);
        let stop_first =
            rules("update_config: {parallelism: 0, order: stop-first, failure_action: continue}", "{}");
        assert_eq!(
            (stop_first.max_surge, stop_first.max_unavailable),
            (Share::Count(0), Share::Percent(100))
        );
        assert_eq!(stop_first.on_failure, OnFailure::Continue);
        let unsaid = rules("update_config: {delay: 1s}", "{}");
        assert_eq!((unsaid.max_surge, unsaid.max_unavailable), (Share::Count(1), Share::Count(0)));
        let back = rules("rollback_config: {parallelism: 2, order: stop-first}", "{}").back;
        assert_eq!((back.max_surge, back.max_unavailable), (Share::Count(0), Share::Count(2)));
    }

    #[test]
    fn the_manifest_says_it_in_the_words_of_a_deployment() {
        let said = rules(
            "",
            "{maxSurge: 25%, maxUnavailable: 50%, minReadySeconds: 7, progressDeadlineSeconds: 120, canary: {for: 2m}}",
        );
        assert_eq!((said.max_surge, said.max_unavailable), (Share::Percent(25), Share::Percent(50)));
        assert_eq!(said.progress_deadline, Duration::from_mins(2));
        assert_eq!(said.canary, Some(Canary { replicas: 1, lasting: Duration::from_mins(2) }));
        assert!(rules("", "{strategy: Recreate}").recreate);
        let atomic = format!("{MANIFEST}  atomic: true\n");
        assert!(desired(&["m/shop.yaml"], &[("m/shop.yaml", &atomic), ("compose.yaml", COMPOSE)]).atomic);
    }

    #[test]
    fn the_default_deadline_leaves_time_beyond_what_compose_files_say() {
        let spans = |update: &str, body: &str| {
            let said = rules(&format!("update_config: {{{update}}}"), body);
            (said.min_ready.as_secs(), said.progress_deadline.as_secs())
        };
        assert_eq!(spans("monitor: 599s", "{}"), (599, 600));
        assert_eq!(spans("monitor: 10m", "{}"), (600, 1200));
        assert_eq!(spans("delay: 1h", "{}"), (3600, 4200));
        assert_eq!(spans("delay: 1h", "{progressDeadlineSeconds: 3601}"), (3600, 3601));
        assert_eq!(spans("delay: 1h", "{minReadySeconds: 1}"), (1, 600));
    }

    #[test]
    fn a_deadline_that_is_no_longer_than_the_watch_is_refused_though_compose_files_say_how_long_that_is() {
        let compose =
            "services:\n  api: {image: api, deploy: {replicas: 2, update_config: {monitor: 8500ms}}}\n";
        let manifest = manifest("{progressDeadlineSeconds: 8}");
        let found = faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", compose)]);
        assert_eq!(
            found,
            [
                "m/shop.yaml:6:55: service `api` may go 8 s without progress (`progressDeadlineSeconds`), and watches a new container for 8.5 s (`delay` or `monitor` of `update_config`): the deadline must be longer (set `progressDeadlineSeconds` above 8.5, or `minReadySeconds` below 8)"
            ]
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_at_its_place() {
        for (body, told) in [
            (
                "{minReadySeconds: 700}",
                "m/shop.yaml:6:47: service `api` may go 600 s without progress where nothing is said (`progressDeadlineSeconds`), and watches a new container for 700 s (`minReadySeconds`): the deadline must be longer (set `progressDeadlineSeconds` above 700, or `minReadySeconds` below 600)",
            ),
            (
                "{minReadySeconds: 8, progressDeadlineSeconds: 4}",
                "m/shop.yaml:6:75: service `api` may go 4 s without progress (`progressDeadlineSeconds`), and watches a new container for 8 s (`minReadySeconds`): the deadline must be longer (set `progressDeadlineSeconds` above 8, or `minReadySeconds` below 4)",
            ),
            (
                "{minReadySeconds: 9, progressDeadlineSeconds: 9}",
                "m/shop.yaml:6:75: service `api` may go 9 s without progress (`progressDeadlineSeconds`), and watches a new container for 9 s (`minReadySeconds`): the deadline must be longer (set `progressDeadlineSeconds` above 9, or `minReadySeconds` below 9)",
            ),
            (
                "{maxSurge: 0, maxUnavailable: 0}",
                "m/shop.yaml:6:59: service `api` could never be replaced: neither one more may run nor one less (raise `maxSurge` or `maxUnavailable`)",
            ),
            (
                "{strategy: Recreate, maxSurge: 1}",
                "m/shop.yaml:6:60: `maxSurge` of service `api` has no meaning beside Recreate (remove it, or set `strategy: RollingUpdate`)",
            ),
            (
                "{canary: {replicas: 3, for: 1m}}",
                "m/shop.yaml:6:38: service `api` has 2 replicas, and 3 canaries (give as many as there are replicas, or fewer)",
            ),
        ] {
            let manifest = manifest(body);
            let found = faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
            assert_eq!(found, [told]);
        }
    }

    #[test]
    fn what_swarm_could_not_mean_either_is_refused_at_its_place() {
        for (config, part) in [
            ("rollback_config: {failure_action: rollback}", "(use pause or continue)"),
            (
                "update_config: {max_failure_ratio: 2}",
                "a part of 2 of the replicas cannot fail (give 0 to 1)",
            ),
        ] {
            let compose = format!("services:\n  api: {{image: api, deploy: {{{config}}}}}\n");
            let found = faults(&["compose.yaml"], &[("compose.yaml", &compose)]);
            assert!(
                found.len() == 1 && found[0].contains(part) && found[0].starts_with("compose.yaml:2:"),
                "{found:?}"
            );
        }
    }
}

mod order_of_a_change {
    use super::*;
    use compose_operator::core::ids::ServiceName;
    use compose_operator::core::sync::Phase;

    const COMPOSE: &str = "services:
  api: {image: api:1}
  migrate:
    image: api:1
    profiles: [jobs]
    restart: always
    ports: ['9000:9000']
    healthcheck: {test: [CMD, 'true']}
    deploy: {replicas: 3}
  adhoc: {image: api:1, profiles: [jobs]}
";

    fn with(compose: &str, services: &str) -> Desired {
        let manifest = format!("{MANIFEST}  services:\n{services}");
        desired(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", compose)])
    }

    #[test]
    fn a_job_is_one_container_that_ends_whatever_profile_it_is_in() {
        let desired = with(COMPOSE, "    migrate: {job: PreSync, wave: -2}\n    api: {wave: 1}\n");
        let migrate = service(&desired, "migrate");
        let job = migrate.job.as_ref().unwrap();
        assert_eq!((job.phase, migrate.wave, migrate.replicas), (Phase::PreSync, -2, 1));
        assert_eq!(migrate.resources.restart, RestartPolicy::No);
        assert!(migrate.spec.ports.is_empty());
        assert_eq!(migrate.spec.healthcheck.as_ref().unwrap().test, ["NONE"]);
        assert_eq!(service(&desired, "api").wave, 1);
        let inactive: Vec<&str> = desired.inactive.iter().map(ServiceName::as_str).collect();
        assert_eq!(inactive, ["adhoc"], "its profile brings nobody else");
    }

    #[test]
    fn it_runs_for_every_change_that_replaces_containers() {
        let change = |compose: &str, services: &str| {
            let desired = with(compose, services);
            service(&desired, "migrate").job.as_ref().unwrap().change.clone()
        };
        let job = "    migrate: {job: PostSync}\n";
        let before = change(COMPOSE, job);
        let more = format!("{job}    api: {{replicas: 4, wave: 3, resources: {{limits: {{memory: 1G}}}}}}\n");
        assert_eq!(before, change(COMPOSE, &more));
        assert_ne!(before, change(&COMPOSE.replace("api: {image: api:1}", "api: {image: api:2}"), job));
    }

    #[test]
    fn of_a_job_there_is_one_whatever_somebody_asks_for() {
        let manifest = format!("{MANIFEST}  services:\n    migrate: {{job: PreSync}}\n");
        let loaded = load(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        let stack = &loaded.stacks[0];
        for replicas in [0, 2] {
            let mut scaled = stack.desired.clone();
            scaled.services.get_mut("migrate").unwrap().replicas = replicas;
            let told: Vec<String> =
                stack.faults_of_replicas(&scaled).iter().map(ToString::to_string).collect();
            assert!(told.len() == 1 && told[0].contains("is a job: there is one of it"), "{told:?}");
        }
        assert!(stack.faults_of_replicas(&stack.desired).is_empty());
    }

    #[test]
    fn what_a_job_cannot_have_is_refused_where_it_is_written() {
        let manifest = format!(
            "{MANIFEST}  services:\n    migrate: {{job: PreSync, replicas: 2}}\n    api: {{job: Sync}}\n    adhoc: {{job: PostSync, livenessProbe: {{tcp: {{port: 1}}}}}}\n"
        );
        let told = faults(&["m/shop.yaml"], &[("m/shop.yaml", &manifest), ("compose.yaml", COMPOSE)]);
        assert_eq!(
            told,
            [
                "m/shop.yaml:7:39: service `migrate` is a job, and has no `replicas` (remove `replicas`, or `job`)",
                "m/shop.yaml:8:16: `Sync` is not a value of `job` (known here: PreSync, PostSync)",
                "m/shop.yaml:9:43: service `adhoc` is a job, and has no `livenessProbe` (remove `livenessProbe`, or `job`)",
            ]
        );
    }
}
