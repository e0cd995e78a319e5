//! How containers are replaced: the manifest's word, then what Compose files say for Swarm, then the default.

use std::num::NonZeroU32;
use std::time::Duration;

use super::Source;
use crate::compose::model::UpdateConfig;
use crate::core::rollout::{Canary, OnFailure, Pace, Rollout, Share};
use crate::stack::faults::Findings;
use crate::stack::manifest::{IntOrPercent, RolloutStrategy};
use crate::stack::period::Period;

/// The rules of a service of so many replicas.
pub(super) fn rollout(source: Source<'_>, replicas: u32, findings: &mut Findings) -> Rollout {
    let default = Rollout::default();
    let deploy = source.service.deploy.as_ref();
    let update = deploy.and_then(|deploy| deploy.update_config.as_ref());
    let update = update.map(|update| Update::read(source, "update_config", update, findings));
    let back = deploy.and_then(|deploy| deploy.rollback_config.as_ref());
    let back = back.map(|back| Update::read(source, "rollback_config", back, findings));
    let said = &source.overlay.rollout;
    judge(source, replicas, findings);
    let written = update.as_ref().and_then(|update| update.pace);
    let share = |said: Option<IntOrPercent>, written: Option<Share>, default: Share| {
        said.map(IntOrPercent::share).or(written).unwrap_or(default)
    };
    let watch = update.as_ref().map(|update| update.watch);
    let (min_ready, progress_deadline) = spans(source, watch, default.progress_deadline, findings);
    Rollout {
        recreate: said.strategy == Some(RolloutStrategy::Recreate),
        max_surge: share(said.max_surge, written.map(|pace| pace.max_surge), default.max_surge),
        max_unavailable: share(
            said.max_unavailable,
            written.map(|pace| pace.max_unavailable),
            default.max_unavailable,
        ),
        min_ready,
        progress_deadline,
        on_failure: match said.auto_rollback {
            Some(true) => OnFailure::Rollback,
            Some(false) => OnFailure::Pause,
            None => update.as_ref().and_then(|update| update.on_failure).unwrap_or_default(),
        },
        tolerated: update.as_ref().map_or(default.tolerated, |update| update.tolerated),
        canary: said.canary.as_ref().map(|canary| Canary {
            replicas: canary.replicas.map_or(1, NonZeroU32::get),
            lasting: Period::duration(canary.lasting),
        }),
        back: back.and_then(|back| back.pace).unwrap_or(default.back),
    }
}

/// For how long a new container is watched, and how long a rollout may go without progress: more, as in Kubernetes.
fn spans(
    source: Source<'_>,
    written: Option<Duration>,
    default: Duration,
    findings: &mut Findings,
) -> (Duration, Duration) {
    let said = &source.overlay.rollout;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let ready = said.min_ready_seconds.map(seconds).or(written).unwrap_or_default();
    let deadline = match (said.progress_deadline_seconds, said.min_ready_seconds) {
        (Some(deadline), _) => seconds(deadline.get()),
        // A Compose file knows no deadline that it could be too long for: there is as much beyond it as elsewhere.
        (None, None) if ready >= default => ready.saturating_add(default),
        (None, _) => default,
    };
    if deadline <= ready {
        let (name, ready, deadline) = (source.name, ready.as_secs_f64(), deadline.as_secs());
        let from = match said.min_ready_seconds {
            Some(_) => "`minReadySeconds`",
            None => "`delay` or `monitor` of `update_config`",
        };
        let (field, of) = match said.progress_deadline_seconds {
            Some(_) => ("progressDeadlineSeconds", ""),
            None => ("minReadySeconds", " where nothing is said"),
        };
        let message = format!(
            "service `{name}` may go {deadline} s without progress{of} (`progressDeadlineSeconds`), and watches a new \
             container for {ready} s ({from}): the deadline must be longer"
        );
        let help =
            format!("set `progressDeadlineSeconds` above {ready}, or `minReadySeconds` below {deadline}");
        let place = source.places.in_overlay(name, &["rollout", field], message);
        findings.faults.push(place.help(help));
    }
    (ready, deadline)
}

/// What the manifest says and cannot mean.
fn judge(source: Source<'_>, replicas: u32, findings: &mut Findings) {
    let said = &source.overlay.rollout;
    let at =
        |field: &str, message: String| source.places.in_overlay(source.name, &["rollout", field], message);
    if said.strategy == Some(RolloutStrategy::Recreate) {
        for (field, is_said) in [
            ("maxSurge", said.max_surge.is_some()),
            ("maxUnavailable", said.max_unavailable.is_some()),
            ("canary", said.canary.is_some()),
        ] {
            if is_said {
                let message =
                    format!("`{field}` of service `{}` has no meaning beside Recreate", source.name);
                findings.faults.push(at(field, message).help("remove it, or set `strategy: RollingUpdate`"));
            }
        }
    }
    let is_none = |it: Option<IntOrPercent>| {
        matches!(it.map(IntOrPercent::share), Some(Share::Count(0) | Share::Percent(0)))
    };
    if is_none(said.max_surge) && is_none(said.max_unavailable) {
        let message = format!(
            "service `{}` could never be replaced: neither one more may run nor one less",
            source.name
        );
        let help = "raise `maxSurge` or `maxUnavailable`";
        findings.faults.push(at("maxUnavailable", message).help(help));
    }
    let canaries = said.canary.as_ref().and_then(|canary| canary.replicas).map_or(1, NonZeroU32::get);
    if said.canary.is_some() && replicas > 0 && canaries > replicas {
        let message = format!(
            "service `{}` has {replicas} {}, and {canaries} canaries",
            source.name,
            if replicas == 1 { "replica" } else { "replicas" }
        );
        findings.faults.push(at("canary", message).help("give as many as there are replicas, or fewer"));
    }
}

/// What `deploy.update_config` or `rollback_config` says. What it leaves out is the operator's default, not Swarm's: who
/// writes no order means the safe one.
struct Update {
    pace: Option<Pace>,
    /// How long new containers are watched: Swarm waits between two, and watches each.
    watch: Duration,
    on_failure: Option<OnFailure>,
    tolerated: Share,
}

impl Update {
    fn read(source: Source<'_>, section: &str, config: &UpdateConfig, findings: &mut Findings) -> Self {
        let mut refuse = |field: &str, message: String, help: &str| {
            let place = source.places.in_service(source.name, &["deploy", section, field], message);
            findings.faults.push(place.help(help.to_owned()));
        };
        // The schema knows no number below 0.
        let at_once = config.parallelism.map(|number| match u32::try_from(number).unwrap_or(u32::MAX) {
            0 => Share::Percent(100),
            number => Share::Count(number),
        });
        let none = Share::Count(0);
        let number = at_once.unwrap_or(Share::Count(1));
        let pace = match config.order.as_str() {
            "stop-first" => Some(Pace { max_surge: none, max_unavailable: number }),
            "" => at_once.map(|number| Pace { max_surge: number, max_unavailable: none }),
            // The schema knows no other word.
            _ => Some(Pace { max_surge: number, max_unavailable: none }),
        };
        let is_back = section == "rollback_config";
        let on_failure = match config.failure_action.as_str() {
            "" => None,
            "pause" => Some(OnFailure::Pause),
            "continue" => Some(OnFailure::Continue),
            "rollback" if !is_back => Some(OnFailure::Rollback),
            other => {
                let help = if is_back { "use pause or continue" } else { "use rollback, pause or continue" };
                refuse("failure_action", format!("`{other}` is no way to go on after a failure"), help);
                None
            }
        };
        let ratio = config.max_failure_ratio.0;
        if !(0.0..=1.0).contains(&ratio) {
            let message = format!("a part of {ratio} of the replicas cannot fail");
            refuse("max_failure_ratio", message, "give 0 to 1");
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (ratio.clamp(0.0, 1.0) * 100.0 + 1e-4) as u32;
        Self {
            pace,
            watch: config.delay.to_std().max(config.monitor.to_std()),
            on_failure,
            tolerated: Share::Percent(percent),
        }
    }
}
