//! A container as it is now.

use std::collections::BTreeMap;

use bollard::models::{
    ContainerInspectResponse, ContainerState, ContainerStateStatusEnum, HealthStatusEnum, MountPoint,
    NetworkSettings,
};
use futures_util::future::try_join;

use super::client::{Facts, READ};
use super::{Docker, classify, limits, networks, spec};
use crate::core::failure::{Failure, FailureKind};
use crate::core::ids::{ContainerId, ImageId};
use crate::core::limits::LONGEST_LINE;
use crate::core::observed::{Attachment, Container, Health, State};
use crate::core::spec::{ContainerSpec, Mount};
use crate::core::time::Timestamp;
use crate::secret::Secret;

pub(super) async fn inspect(docker: &Docker, id: &ContainerId) -> Result<Option<Container>, Failure> {
    let call = format!("inspect container {}", id.short());
    let ask = docker.attempt(&call, READ, async |client| client.inspect_container(id.as_str(), None).await);
    // Side by side: at the first look both have yet to be asked for.
    let (facts, found) = try_join(docker.facts(), ask).await?;
    match found {
        Ok(found) => container(found, &facts).map(Some).ok_or_else(|| {
            Failure::new(
                FailureKind::Unavailable,
                &call,
                "the engine's answer lacks the container's id or state",
            )
        }),
        Err(error) if classify::has_code(&error, 404) => Ok(None),
        Err(error) => Err(docker.failure(&call, &error)),
    }
}

fn container(found: ContainerInspectResponse, facts: &Facts) -> Option<Container> {
    let id = ContainerId::new(found.id?);
    let config = found.config.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let spec = spec::read(&id, &config, &host, found.network_settings.as_ref(), facts);
    let state = found.state?;
    let runs = word(&state).is_alive();
    let name = found.name.unwrap_or_default();
    Some(Container {
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        state: word(&state),
        health: state.health.as_ref().and_then(|health| read_health(health, word(&state))),
        healthy_at: first_pass(&state),
        check_said: last_words(&state),
        created_at: found.created.as_deref().and_then(moment).unwrap_or_default(),
        started_at: state.started_at.as_deref().and_then(moment),
        finished_at: state.finished_at.as_deref().and_then(moment),
        exit_code: state.exit_code.unwrap_or(0),
        oom_killed: state.oom_killed == Some(true),
        stranded: state.error.as_deref().is_some_and(classify::is_stranded),
        error: state.error.unwrap_or_default(),
        restart_count: found.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        image_id: ImageId::new(found.image.unwrap_or_default()),
        resources: limits::read(&host, facts),
        networks: attachments(found.network_settings, spec.network_mode.as_deref(), &id, runs),
        anonymous: anonymous(&spec, found.mounts.unwrap_or_default()),
        spec,
        ..Container::created(id, name.trim_start_matches('/'))
    })
}

/// The volumes behind its own mounts that name none. Those of `volumes_from` are others'.
fn anonymous(spec: &ContainerSpec, mounts: Vec<MountPoint>) -> BTreeMap<String, String> {
    let unnamed = |path: &str| spec.mounts.get(path).is_some_and(Mount::is_anonymous);
    let named = mounts.into_iter().filter_map(|mount| Some((mount.destination?, mount.name?)));
    named.filter(|(path, name)| unnamed(path) && !name.is_empty()).collect()
}

fn word(state: &ContainerState) -> State {
    use ContainerStateStatusEnum as Word;
    match state.status {
        // Still runs: it has had its signal.
        Some(Word::RUNNING | Word::STOPPING) => State::Running,
        Some(Word::PAUSED) => State::Paused,
        Some(Word::RESTARTING) => State::Restarting,
        Some(Word::REMOVING) => State::Removing,
        Some(Word::EXITED) => State::Exited,
        Some(Word::DEAD) => State::Dead,
        Some(Word::CREATED | Word::EMPTY) | None => State::Created,
    }
}

fn read_health(health: &bollard::models::Health, state: State) -> Option<Health> {
    match health.status? {
        // So it is called while it is frozen and until the first check after, though no check has failed.
        HealthStatusEnum::UNHEALTHY
            if health.failing_streak == Some(0) && matches!(state, State::Running | State::Paused) =>
        {
            Some(Health::Starting)
        }
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
    }
}

/// How many results of checks the engine keeps.
const RESULTS: usize = 5;

/// When a check first passed in the present run. The results go on from one run to the next, and only the last few are
/// there: it is known as long as one from before the run is among them, or none is missing.
fn first_pass(state: &ContainerState) -> Option<Timestamp> {
    let began = state.started_at.as_deref().and_then(moment)?;
    let results = state.health.as_ref()?.log.as_deref()?;
    let ends: Vec<_> = results
        .iter()
        .map(|result| (result.end.as_deref().and_then(moment), result.exit_code == Some(0)))
        .collect();
    let first = ends.iter().position(|(end, passed)| *passed && end.is_some_and(|end| end >= began))?;
    let is_older = |(end, _): &(Option<Timestamp>, bool)| end.is_some_and(|end| end < began);
    ends.get(first).filter(|_| ends.len() < RESULTS || ends.first().is_some_and(is_older))?.0
}

/// What a check that has just failed printed last.
fn last_words(state: &ContainerState) -> Secret {
    let began = state.started_at.as_deref().and_then(moment);
    let results = state.health.as_ref().and_then(|health| health.log.as_deref()).unwrap_or_default();
    let is_of_now = |end: &str| moment(end) >= began;
    let failed = results.last().filter(|result| {
        result.exit_code.is_some_and(|code| code != 0) && result.end.as_deref().is_some_and(is_of_now)
    });
    let output = failed.and_then(|result| result.output.as_deref()).unwrap_or_default();
    let last = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    Secret::new(last.chars().take(LONGEST_LINE).collect::<String>())
}

/// A moment; `None` for year one, which is the engine's "never".
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    if text.starts_with("0001-") {
        return None;
    }
    text.parse::<jiff::Timestamp>().ok().map(|moment| Timestamp::from_millis(moment.as_millisecond()))
}

/// The networks that it was put on by name. The one that a network mode stands for (`host`, `none`,
/// `bridge`) is not among them: nobody asked for it as a network. Nor is one to which what runs has no connection: the
/// engine shows what was asked for after a call that it has refused, too. What does not run has none of any.
fn attachments(
    settings: Option<NetworkSettings>,
    mode: Option<&str>,
    id: &ContainerId,
    runs: bool,
) -> BTreeMap<String, Attachment> {
    let networks = settings.and_then(|settings| settings.networks).unwrap_or_default();
    networks
        .into_iter()
        .filter(|(name, _)| Some(name.as_str()) != mode)
        .filter(|(_, settings)| !runs || settings.network_id.as_deref().is_some_and(|id| !id.is_empty()))
        .map(|(name, settings)| {
            let attachment = Attachment {
                endpoint: networks::endpoint(&settings, id),
                network_id: settings.network_id.unwrap_or_default(),
                ip_address: settings.ip_address.unwrap_or_default(),
                mac_address: settings.mac_address.unwrap_or_default(),
            };
            (name, attachment)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_printed_is_known_where_it_has_just_failed_in_this_run() {
        let result = |second: i64, code: i64, output: &str| bollard::models::HealthcheckResult {
            end: Some(format!("2026-01-01T00:00:{second:02}Z")),
            exit_code: Some(code),
            output: Some(output.to_owned()),
            ..Default::default()
        };
        let long = "x".repeat(1_000);
        for (results, expected) in [
            (vec![], ""),
            (vec![result(12, 1, "curl: (7)\n  refused \n\n")], "refused"),
            (vec![result(12, 1, "refused"), result(14, 0, "fine")], ""),
            (vec![result(12, 0, "fine"), result(14, -1, "timed out")], "timed out"),
            (vec![result(5, 1, "of the run before")], ""),
            (vec![result(12, 1, "")], ""),
            (vec![result(12, 1, &long)], &long[..LONGEST_LINE]),
        ] {
            let state = ContainerState {
                started_at: Some("2026-01-01T00:00:10Z".to_owned()),
                health: Some(bollard::models::Health { log: Some(results.clone()), ..Default::default() }),
                ..Default::default()
            };
            assert_eq!(last_words(&state).expose(), expected, "{results:?}");
        }
    }

    #[test]
    fn the_first_check_that_passed_is_known_as_long_as_none_of_the_run_is_missing() {
        let result = |second: i64, code: i64| bollard::models::HealthcheckResult {
            end: Some(format!("2026-01-01T00:00:{second:02}Z")),
            exit_code: Some(code),
            ..Default::default()
        };
        let began = moment("2026-01-01T00:00:10Z").unwrap();
        for (results, expected) in [
            (&[][..], None),
            (&[(12, 1)], None),
            (&[(12, 0), (14, 0)], Some(2)),
            (&[(12, 1), (14, 0), (16, 0), (18, 0)], Some(4)),
            // It may have been well for days before it failed.
            (&[(12, 1), (14, 0), (16, 0), (18, 0), (20, 0)], None),
            (&[(5, 0), (7, 0), (12, 0), (14, 0), (16, 0)], Some(2)),
            (&[(12, 0), (14, 0), (16, 0), (18, 0), (20, 0)], None),
        ] {
            let log = results.iter().map(|(second, code)| result(*second, *code)).collect();
            let state = ContainerState {
                started_at: Some("2026-01-01T00:00:10Z".to_owned()),
                health: Some(bollard::models::Health { log: Some(log), ..Default::default() }),
                ..Default::default()
            };
            let found = first_pass(&state).map(|at| at.since(began).as_secs());
            assert_eq!(found, expected, "{results:?}");
        }
    }

    #[test]
    fn year_one_is_never() {
        assert_eq!(moment("0001-01-01T00:00:00Z"), None);
        assert_eq!(moment("1970-01-01T00:00:01.5Z"), Some(Timestamp::from_millis(1_500)));
        assert_eq!(moment("1970-01-01T01:00:00.000000001+01:00"), Some(Timestamp::from_millis(0)));
        assert_eq!(moment("yesterday"), None);
    }
}
