//! How a stack stands: a table of its services, one of its containers, and what waits for what.

use anstyle::Style;
use serde_json::{Value as Json, json};

use super::overrides::{scale_json, scale_line};
use super::shown::{paragraph, shown};
use super::sources;
use super::style::{BAD, CHANGE, FAINT, GOOD, HEADING, paint};
use super::table::{Cell, lines};
use super::time::{rfc3339, span, until};
use crate::core::decide::Waiting;
use crate::core::observed::{Health, State};
use crate::core::status::{Condition, ContainerStatus, ServiceStatus, StackStatus};
use crate::core::time::Timestamp;
use crate::store::standing::Standing;

/// Names of containers may be long; nothing in these tables is cut.
const WIDEST: usize = usize::MAX;

/// A status for people.
pub fn text(status: &StackStatus, now: Timestamp) -> String {
    let condition = paint(condition_style(status.condition), word(status.condition));
    let mut out = vec![format!("{}: {condition}", paint(HEADING, &status.stack))];
    if !status.services.is_empty() {
        out.push(String::new());
        out.extend(lines(&service_rows(&status.services), WIDEST));
    }
    let containers: Vec<&ContainerStatus> =
        status.services.iter().flat_map(|service| &service.containers).collect();
    if !containers.is_empty() {
        out.push(String::new());
        out.extend(lines(&container_rows(&containers, now), WIDEST));
    }
    let scaled = status.services.iter().filter_map(|it| Some((&it.service, it.scaled.as_ref()?)));
    let scaled = scaled.map(|(name, scale)| format!("{name}: {}", scale_line(scale, now)));
    let scaled: Vec<String> = scaled.collect();
    if !scaled.is_empty() {
        out.push(String::new());
        out.extend(scaled);
    }
    let mut notes: Vec<String> = status.services.iter().flat_map(|it| troubles(it, now)).collect();
    notes.extend(status.waiting.iter().map(|waiting| wait(waiting, now)));
    if !notes.is_empty() {
        out.push(String::new());
        out.extend(notes);
    }
    out.join("\n")
}

/// What is wrong with a service and what it waits for, a line each.
pub(in crate::cli) fn troubles(service: &ServiceStatus, now: Timestamp) -> Vec<String> {
    let troubled = service.containers.iter().filter(|container| container.message.is_some());
    let waiting = service.waiting.iter().map(|waiting| wait(waiting, now));
    troubled.map(|container| trouble(container, now)).chain(waiting).collect()
}

/// What is said of a stack that is not as it should be and that no daemon looks after.
pub const NOBODY: &str =
    "no `operator run` looks after it, as far as is known here: `operator diff` shows what `apply` would do";

/// The daemon that looks after a stack, for people.
pub fn daemon(standing: &Standing, now: Timestamp) -> String {
    let looked_after = format!("looked after by `operator run` (pid {})", standing.process.pid);
    let trouble =
        |what: String, why: &str| format!("{}: {what}\n  {}", paint(CHANGE, &looked_after), paragraph(why));
    let ago = |since: Timestamp| span(now.since(since));
    match (&standing.engine_lost, &standing.files_refused) {
        (Some((why, since)), _) => {
            let since = ago(*since);
            let what = format!(
                "the engine has not answered for {since}, and this is how it stood then; it is tried again"
            );
            trouble(what, why)
        }
        (None, Some(why)) => {
            let since =
                standing.refused_since.map_or_else(String::new, |since| format!(" for {}", ago(since)));
            trouble(format!("its files do not load{since}, and the last good ones stay in force"), why)
        }
        (None, None) => match &standing.commit {
            Some(commit) => {
                let commit = format!(", at {} of {}", sources::commit(commit, now), commit.source);
                paint(FAINT, looked_after + &commit)
            }
            None => paint(FAINT, &looked_after),
        },
    }
}

/// A moment for programs.
pub fn moment(at: Timestamp) -> Json {
    rfc3339(at)
}

fn header(names: &[&str]) -> Vec<Cell> {
    names.iter().map(|name| Cell::styled(FAINT, *name)).collect()
}

fn service_rows(services: &[ServiceStatus]) -> Vec<Vec<Cell>> {
    let mut rows = vec![header(&["SERVICE", "DESIRED", "READY", "UP-TO-DATE", "CONDITION"])];
    rows.extend(services.iter().map(|service| {
        let short = |have: u32| {
            let style = if have < service.desired { CHANGE } else { Style::new() };
            Cell::styled(style, have.to_string())
        };
        vec![
            Cell::plain(service.service.as_str()),
            Cell::plain(service.desired.to_string()),
            short(service.ready),
            short(service.up_to_date),
            Cell::styled(condition_style(service.condition), word(service.condition)),
        ]
    }));
    rows
}

fn container_rows(containers: &[&ContainerStatus], now: Timestamp) -> Vec<Vec<Cell>> {
    let mut rows = vec![header(&["CONTAINER", "STATE", "HEALTH", "RESTARTS", "AGE", "REASON", "NEXT TRY"])];
    rows.extend(containers.iter().map(|container| {
        let state = match container.exit_code {
            Some(code) => format!("{} ({code})", container.state.as_str()),
            None => container.state.as_str().to_owned(),
        };
        let style = match (container.ready, container.state) {
            (true, _) => GOOD,
            (false, State::Running | State::Created | State::Restarting) => CHANGE,
            (false, _) => BAD,
        };
        let running = matches!(container.state, State::Running | State::Paused);
        let age = container.started_at.filter(|_| running).map(|started| span(now.since(started)));
        vec![
            Cell::plain(container.name.as_str()),
            Cell::styled(style, state),
            health(container.health),
            Cell::plain(container.restarts.to_string()),
            Cell::plain(age.unwrap_or_else(|| "-".to_owned())),
            Cell::plain(reason(container)),
            Cell::plain(container.next_retry.map(|at| until(at, now)).unwrap_or_default()),
        ]
    }));
    rows
}

fn health(health: Option<Health>) -> Cell {
    match health {
        None => Cell::plain("-"),
        Some(Health::Starting) => Cell::styled(CHANGE, "starting"),
        Some(Health::Healthy) => Cell::styled(GOOD, "healthy"),
        Some(Health::Unhealthy) => Cell::styled(BAD, "unhealthy"),
    }
}

fn reason(container: &ContainerStatus) -> String {
    match (&container.reason, container.up_to_date) {
        (Some(reason), _) => reason.to_string(),
        (None, false) => "Outdated".to_owned(),
        (None, true) => String::new(),
    }
}

/// `shop-api-2: CrashLoopBackOff: it has crashed 3 times; again in 40s`.
fn trouble(container: &ContainerStatus, now: Timestamp) -> String {
    let reason = container.reason.map(|reason| format!("{}: ", paint(CHANGE, reason))).unwrap_or_default();
    let message = paragraph(container.message.as_deref().unwrap_or_default());
    let said = container.check_said.as_deref();
    let said = said.map(|said| format!("; it printed: {}", shown(said))).unwrap_or_default();
    format!("{}: {reason}{message}{}{said}", container.name, again(container.next_retry, now))
}

/// One thing that waits, as a line.
pub(in crate::cli) fn wait(waiting: &Waiting, now: Timestamp) -> String {
    let style = if waiting.stuck { BAD } else { CHANGE };
    let reason = paint(style, waiting.reason);
    let (subject, message) = (shown(&waiting.subject), paragraph(&waiting.message));
    format!("{subject}: {reason}: {message}{}", again(waiting.until, now))
}

fn again(moment: Option<Timestamp>, now: Timestamp) -> String {
    moment.map(|at| format!("; again {}", until(at, now))).unwrap_or_default()
}

fn word(condition: Condition) -> &'static str {
    match condition {
        Condition::Ready => "Ready",
        Condition::Progressing => "Progressing",
        Condition::Paused => "Paused",
        Condition::Degraded => "Degraded",
    }
}

fn condition_style(condition: Condition) -> Style {
    match condition {
        Condition::Ready => GOOD,
        Condition::Progressing | Condition::Paused => CHANGE,
        Condition::Degraded => BAD,
    }
}

/// Statuses for programs: one shape for one stack and for many. Moments are RFC 3339.
pub fn json(statuses: &[StackStatus]) -> Json {
    let stack = |status: &StackStatus| {
        json!({
            "stack": status.stack,
            "condition": status.condition,
            "services": status.services.iter().map(service_json).collect::<Vec<_>>(),
            "waiting": status.waiting.iter().map(waiting_json).collect::<Vec<_>>(),
        })
    };
    json!({"stacks": statuses.iter().map(stack).collect::<Vec<_>>()})
}

/// One service, for programs.
pub fn service_json(service: &ServiceStatus) -> Json {
    json!({
        "service": service.service,
        "condition": service.condition,
        "desired": service.desired,
        "ready": service.ready,
        "up_to_date": service.up_to_date,
        "scaled": service.scaled.as_ref().map(scale_json),
        "containers": service.containers.iter().map(container_json).collect::<Vec<_>>(),
        "waiting": service.waiting.iter().map(waiting_json).collect::<Vec<_>>(),
    })
}

fn container_json(container: &ContainerStatus) -> Json {
    json!({
        "name": container.name,
        "id": container.id,
        "state": container.state,
        "health": container.health,
        "ready": container.ready,
        "up_to_date": container.up_to_date,
        "restarts": container.restarts,
        "exit_code": container.exit_code,
        "started_at": container.started_at.map(rfc3339),
        "reason": container.reason,
        "message": container.message,
        "next_retry": container.next_retry.map(rfc3339),
        "check_said": container.check_said,
    })
}

fn waiting_json(waiting: &Waiting) -> Json {
    json!({
        "service": waiting.service,
        "subject": waiting.subject,
        "reason": waiting.reason,
        "message": waiting.message,
        "until": waiting.until.map(rfc3339),
        "stuck": waiting.stuck,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::ids::{ServiceName, StackName};
    use crate::core::overrides::Scale;
    use crate::core::reason::Reason;

    const NOW: Timestamp = Timestamp::from_millis(10_000_000);

    fn container(name: &str) -> ContainerStatus {
        ContainerStatus {
            name: name.to_owned(),
            id: "0123456789ab".to_owned(),
            state: State::Running,
            health: Some(Health::Healthy),
            ready: true,
            up_to_date: true,
            restarts: 0,
            exit_code: None,
            started_at: Some(Timestamp::from_millis(10_000_000 - 754_000)),
            reason: None,
            message: None,
            next_retry: None,
            check_said: None,
        }
    }

    fn shop() -> StackStatus {
        let crashed = ContainerStatus {
            state: State::Exited,
            health: None,
            ready: false,
            restarts: 3,
            exit_code: Some(1),
            reason: Some(Reason::CrashLoopBackOff),
            message: Some("exited with code 1".to_owned()),
            next_retry: Some(NOW.after(Duration::from_secs(40))),
            ..container("shop-api-2")
        };
        let api = ServiceStatus {
            service: ServiceName::from("api"),
            condition: Condition::Degraded,
            desired: 2,
            ready: 1,
            up_to_date: 2,
            containers: vec![container("shop-api-1"), crashed],
            waiting: Vec::new(),
            scaled: None,
            stuck: false,
        };
        let waiting = Waiting {
            service: None,
            subject: "corp".to_owned(),
            reason: Reason::ExternalMissing,
            message: "it does not exist".to_owned(),
            until: None,
            stuck: true,
        };
        StackStatus {
            stack: StackName::from("shop"),
            condition: Condition::Degraded,
            services: vec![api],
            waiting: vec![waiting],
            stuck: true,
        }
    }

    #[test]
    fn a_status_is_two_tables_and_what_is_wrong() {
        assert_eq!(
            anstream::adapter::strip_str(&text(&shop(), NOW)).to_string(),
            "\
shop: Degraded

SERVICE  DESIRED  READY  UP-TO-DATE  CONDITION
api      2        1      2           Degraded

CONTAINER   STATE       HEALTH   RESTARTS  AGE  REASON            NEXT TRY
shop-api-1  running     healthy  0         12m
shop-api-2  exited (1)  -        3         -    CrashLoopBackOff  in 40s

shop-api-2: CrashLoopBackOff: exited with code 1; again in 40s
corp: ExternalMissing: it does not exist"
        );
    }

    #[test]
    fn a_number_of_replicas_that_the_files_do_not_say_is_told_beneath_the_tables() {
        let mut shop = shop();
        let until = Some(NOW.after(Duration::from_hours(2)));
        let scale = Scale { replicas: 2, files: 1, by: "ann".to_owned(), since: NOW, until };
        shop.services[0].scaled = Some(scale);
        let text = anstream::adapter::strip_str(&text(&shop, NOW)).to_string();
        assert!(text.contains("\n\napi: 2 replicas by ann, for another 2h; the files say 1\n\n"), "{text}");
        let json = &json(&[shop])["stacks"][0]["services"][0]["scaled"];
        assert_eq!((&json["files"], &json["until"]), (&1.into(), &"1970-01-01T04:46:40.000Z".into()));
    }

    #[test]
    fn programs_get_moments_as_rfc_3339() {
        let json = json(&[shop()]);
        let crashed = &json["stacks"][0]["services"][0]["containers"][1];
        assert_eq!(crashed["next_retry"], "1970-01-01T02:47:20.000Z");
        assert_eq!(crashed["reason"], "CrashLoopBackOff");
        assert_eq!(crashed["exit_code"], 1);
    }
}
