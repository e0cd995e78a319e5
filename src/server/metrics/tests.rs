//! What is counted is told, with the labels that it belongs to, and goes with its stack.

use std::collections::BTreeSet;

use super::*;
use crate::core::action::{Call, Cause, Precondition, Target};
use crate::core::decide::Waiting;
use crate::core::event::EventKind;
use crate::core::failure::FailureKind;
use crate::core::reason::Reason;
use crate::core::status::{Condition, ServiceStatus};

const NOW: Timestamp = Timestamp::from_millis(1_795_960_800_500);

fn service(
    name: &str,
    (desired, ready, up_to_date): (u32, u32, u32),
    waiting: Vec<Waiting>,
) -> ServiceStatus {
    ServiceStatus {
        service: name.into(),
        condition: if ready < desired { Condition::Degraded } else { Condition::Ready },
        desired,
        ready,
        up_to_date,
        containers: Vec::new(),
        waiting,
        scaled: None,
        stuck: false,
    }
}

fn waits(subject: &str, reason: Reason, until: Option<Timestamp>) -> Waiting {
    Waiting { service: None, subject: subject.into(), reason, message: "why".into(), until, stuck: false }
}

fn status(stack: &str, services: Vec<ServiceStatus>, waiting: Vec<Waiting>) -> StackStatus {
    StackStatus { stack: stack.into(), condition: Condition::Degraded, services, waiting, stuck: false }
}

fn starts(cause: Cause) -> Action {
    let target = Target { id: "0123".into(), name: "shop-api-1".into() };
    let call = Call::StartContainer(target);
    Action { call, service: Some("api".into()), cause, precondition: Precondition::None }
}

/// The samples of a family, without its name.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.text().unwrap();
    let of = |line: &str| Some(line.strip_prefix("compose_operator_")?.strip_prefix(name)?.to_owned());
    text.lines().filter_map(of).filter(|rest| rest.starts_with(['{', ' '])).collect()
}

#[test]
fn a_daemon_that_has_just_started_tells_of_itself() {
    let metrics = Metrics::new(NOW);
    assert_eq!(
        metrics.text().unwrap(),
        format!(
            "\
# HELP process_start_time_seconds When the operator started, since 1970
# TYPE process_start_time_seconds gauge
# UNIT process_start_time_seconds seconds
process_start_time_seconds 1795960800.5
# HELP compose_operator_build_info Which version this is; always 1
# TYPE compose_operator_build_info gauge
compose_operator_build_info{{version=\"{}\"}} 1
# HELP compose_operator_files_refused Whether the files of now are refused and the last good ones in force
# TYPE compose_operator_files_refused gauge
compose_operator_files_refused 0
# EOF
",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn how_a_stack_stands_is_told_by_service() {
    let metrics = Metrics::new(NOW);
    let shop = StackName::from("shop");
    metrics.joined(&shop);
    let meter = metrics.of(&shop);
    assert_eq!(samples(&metrics, "stack_condition"), Vec::<String>::new(), "nothing was decided yet");
    let next = Some(NOW);
    let api = service(
        "api",
        (3, 1, 2),
        vec![
            waits("app:1", Reason::ImagePullBackOff, next),
            waits("shop-api-2", Reason::CrashLoopBackOff, next),
            waits("shop-api-3", Reason::RollingOut, next),
            waits("shop-api-4", Reason::StartError, None),
        ],
    );
    let beside = vec![waits("corp", Reason::ExternalMissing, None), waits("old", Reason::Orphaned, None)];
    meter.decided(&status("shop", vec![api, service("web", (1, 1, 1), Vec::new())], beside));
    for (name, expected) in [
        ("replicas_desired", &[r#"{stack="shop",service="api"} 3"#, r#"{stack="shop",service="web"} 1"#][..]),
        ("replicas_ready", &[r#"{stack="shop",service="api"} 1"#, r#"{stack="shop",service="web"} 1"#]),
        ("replicas_updated", &[r#"{stack="shop",service="api"} 2"#, r#"{stack="shop",service="web"} 1"#]),
        ("backoffs", &[r#"{stack="shop",service="api"} 2"#, r#"{stack="shop",service="web"} 0"#]),
        ("drift", &[r#"{stack="shop"} 2"#]),
        ("engine_up", &[r#"{stack="shop"} 1"#]),
        (
            "stack_condition",
            &[
                r#"{stack="shop",condition="Ready"} 0"#,
                r#"{stack="shop",condition="Progressing"} 0"#,
                r#"{stack="shop",condition="Paused"} 0"#,
                r#"{stack="shop",condition="Degraded"} 1"#,
            ],
        ),
    ] {
        assert_eq!(samples(&metrics, name), expected, "{name}");
    }
    meter.decided(&status("shop", vec![service("web", (1, 1, 1), Vec::new())], Vec::new()));
    assert_eq!(samples(&metrics, "replicas_desired"), [r#"{stack="shop",service="web"} 1"#], "api is gone");
}

#[test]
fn what_is_done_is_counted_with_what_came_of_it() {
    let metrics = Metrics::new(NOW);
    let shop = StackName::from("shop");
    metrics.joined(&shop);
    let meter = metrics.of(&shop);
    let second = Duration::from_secs(1);
    let failed = || Err(Failure::new(FailureKind::Invalid, "start", "no"));
    meter.reconciled(Duration::from_millis(3));
    meter.engine_lost(&Failure::new(FailureKind::Unreachable, "list", "x"), second);
    assert_eq!(samples(&metrics, "engine_up"), [r#"{stack="shop"} 0"#]);
    meter.engine_back();
    meter.finished(&starts(Cause::NotStarted), &Ok(()), second);
    meter.finished(&starts(Cause::Exited { code: 1, oom_killed: false }), &Ok(()), second);
    meter.finished(&starts(Cause::Exited { code: 137, oom_killed: true }), &Ok(()), second);
    meter.finished(&starts(Cause::StoppedByHand), &failed(), second);
    let event = Event::new(shop.clone(), EventKind::Crashed, "shop-api-1".into(), "x".into(), NOW);
    meter.happened(&event);
    metrics.happened(&event);
    for (name, expected) in [
        ("reconciles_total", &[r#"{stack="shop",result="ok"} 1"#, r#"{stack="shop",result="error"} 1"#][..]),
        ("reconcile_duration_seconds_count", &[r#"{stack="shop"} 1"#]),
        (
            "actions_total",
            &[
                r#"{stack="shop",action="start container",result="error"} 1"#,
                r#"{stack="shop",action="start container",result="ok"} 3"#,
            ],
        ),
        ("action_duration_seconds_sum", &[r#"{action="start container"} 4.0"#]),
        (
            "restarts_total",
            &[
                r#"{stack="shop",service="api",reason="exited"} 1"#,
                r#"{stack="shop",service="api",reason="out_of_memory"} 1"#,
            ],
        ),
        ("events_total", &[r#"{stack="shop",kind="Crashed"} 2"#]),
        ("engine_up", &[r#"{stack="shop"} 1"#]),
    ] {
        assert_eq!(samples(&metrics, name), expected, "{name}");
    }
    let text = metrics.text().unwrap();
    assert!(text.contains(r#"reconcile_duration_seconds_bucket{le="0.005",stack="shop"} 1"#), "{text}");
    metrics.left(&shop);
    meter.reconciled(second);
    meter.decided(&status("shop", Vec::new(), Vec::new()));
    meter.happened(&event);
    metrics.happened(&event);
    assert!(!metrics.text().unwrap().contains("shop"), "of a stack that has left nothing is told");
}

#[test]
fn sources_and_refused_files_are_told_of() {
    let metrics = Metrics::new(NOW);
    metrics.read(true);
    assert_eq!(samples(&metrics, "files_refused"), [" 1"]);
    metrics.read(false);
    assert_eq!(samples(&metrics, "files_refused"), [" 0"]);
    metrics.source("deploy", SourceFigures::default());
    assert_eq!(samples(&metrics, "source_last_fetch_timestamp_seconds"), Vec::<String>::new(), "never yet");
    let lag = Duration::from_millis(1_500);
    metrics.source("deploy", SourceFigures { fetched_at: Some(NOW), ready: true, lag });
    assert_eq!(samples(&metrics, "source_ready"), [r#"{source="deploy"} 1"#]);
    assert_eq!(
        samples(&metrics, "source_last_fetch_timestamp_seconds"),
        [r#"{source="deploy"} 1795960800.5"#]
    );
    assert_eq!(samples(&metrics, "source_commit_lag_seconds"), [r#"{source="deploy"} 1.5"#]);
    metrics.source_left("deploy");
    assert!(!metrics.text().unwrap().contains("deploy"));
}

#[test]
fn a_name_cannot_forge_a_sample() {
    let metrics = Metrics::new(NOW);
    metrics.source("a\"} 1\nfake_metric{b=\"\\", SourceFigures::default());
    let text = metrics.text().unwrap();
    assert!(!text.lines().any(|line| line.starts_with("fake_metric")), "{text}");
    assert!(text.contains(r#"{source="a\"} 1\nfake_metric{b=\"\\"} 0"#), "{text}");
}

#[test]
fn the_page_has_every_metric_with_its_type_and_labels() {
    let metrics = Metrics::new(NOW);
    let shop = StackName::from("shop");
    metrics.joined(&shop);
    metrics.source("deploy", SourceFigures { fetched_at: Some(NOW), ..SourceFigures::default() });
    let meter = metrics.of(&shop);
    meter.decided(&status("shop", vec![service("api", (1, 1, 1), Vec::new())], Vec::new()));
    meter.reconciled(Duration::ZERO);
    meter.finished(&starts(Cause::StoppedByHand), &Ok(()), Duration::ZERO);
    meter.happened(&Event::new(shop, EventKind::Healed, "x".into(), "x".into(), NOW));
    let text = metrics.text().unwrap();
    let told: BTreeSet<(&str, &str, Vec<&str>)> = told_on_the_page();
    let mut there = BTreeSet::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (family, kind) = line.split_once(' ').unwrap();
        let first = text.lines().find(|line| line.starts_with(family)).unwrap();
        let labels = first.split(['{', ',']).filter_map(|part| Some(part.split_once("=\"")?.0));
        there.insert((family, kind, labels.filter(|label| *label != "le").collect()));
    }
    assert_eq!(told, there);
}

/// The family, type and labels of each row.
fn told_on_the_page() -> BTreeSet<(&'static str, &'static str, Vec<&'static str>)> {
    let page = include_str!("../../../manifests/api.md");
    let table = page.split("<!-- metrics -->").nth(1).unwrap().split("<!-- /metrics -->").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let told = rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        let labels =
            cells[3].split(", ").map(|label| label.trim_matches('`')).filter(|label| !label.is_empty());
        (name.strip_suffix("_total").unwrap_or(name), cells[2], labels.collect())
    });
    told.collect()
}
