//! What a change costs while it is made: a line a service, with what the figures are from.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::shown::shown;
use super::style::{CHANGE, FAINT, GOOD, HEADING, paint};
use super::time::{about, ms};
use crate::core::cost::{How, Reduced, ServiceCost};
use crate::core::fit::Misfit;
use crate::core::ids::{ServiceName, StackName};
use crate::core::risk::{AtRisk, Fate};
use crate::core::timing::{Figure, Source, What};

/// What a stack's change costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Costs<'a> {
    /// From the first step to the last.
    pub takes: Duration,
    /// Service by service.
    pub services: &'a [ServiceCost],
    /// What does not fit the machine.
    pub misfits: &'a [Misfit],
    /// Data that is not where it was afterwards.
    pub at_risk: &'a [AtRisk],
}

impl<'a> Costs<'a> {
    /// The line of one service.
    pub(super) fn line(&self, service: &str) -> Option<String> {
        line(self.services.iter().find(|cost| cost.service.as_str() == service)?)
    }

    /// The services, with their lines, that are not among these.
    pub(super) fn beside(&self, known: &[&str]) -> Vec<(&'a ServiceName, String)> {
        let others = self.services.iter().filter(|cost| !known.contains(&cost.service.as_str()));
        others.filter_map(|cost| Some((&cost.service, line(cost)?))).collect()
    }

    /// What a comment has of it: the service, and its sentence with what that is from.
    pub(super) fn sentences(&self) -> Vec<(&'a ServiceName, String)> {
        let sentence = |cost: &'a ServiceCost| {
            let based_on = based_on(&cost.based_on).unwrap_or_default();
            Some((&cost.service, format!("{}{based_on}", sentence(cost)?)))
        };
        self.services.iter().filter_map(sentence).collect()
    }
}

/// Of what a reader is warned: each subject with what is wrong.
type Warnings<'a> = Vec<(String, &'a str)>;

/// What every reader is warned of, by heading: what does not fit, and volumes that stay behind. What is in memory goes
/// with every container that has any, and is for programs.
pub(super) fn warnings<'a>(costs: &Costs<'a>) -> Vec<(&'static str, Warnings<'a>)> {
    let misfit = |misfit: &'a Misfit| {
        let subject = misfit.service.as_ref().map_or("(stack)", ServiceName::as_str);
        (subject.to_owned(), misfit.message.as_str())
    };
    let left = costs.at_risk.iter().filter(|it| it.fate == Fate::LeftBehind);
    let left = left.map(|it| (it.container.clone(), it.message.as_str()));
    let all: [(_, Warnings<'_>); 2] = [
        ("Does not fit the machine", costs.misfits.iter().map(misfit).collect()),
        ("Data left behind", left.collect()),
    ];
    all.into_iter().filter(|(_, all)| !all.is_empty()).collect()
}

/// The same as lines.
pub(super) fn warning_lines(costs: &Costs<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (heading, all) in warnings(costs) {
        out.push(format!("  {}", paint(HEADING, heading.to_lowercase())));
        let line = |(subject, message): (String, &str)| {
            format!("    {}: {}", paint(CHANGE, subject), shown(message))
        };
        out.extend(all.into_iter().map(line));
    }
    out
}

/// `    downtime ~3.2 s (measured: stop 0.4 s, start to ready 2.8 s)`.
fn line(cost: &ServiceCost) -> Option<String> {
    let is_calm = cost.downtime.is_zero() && cost.comes_back;
    let sentence = paint(if is_calm { GOOD } else { CHANGE }, sentence(cost)?);
    let based_on = based_on(&cost.based_on).map(|it| paint(FAINT, it)).unwrap_or_default();
    Some(format!("    {sentence}{based_on}"))
}

/// What it costs, where it costs what serves anything.
fn sentence(cost: &ServiceCost) -> Option<String> {
    let stays = |how| matches!(how, How::Replaced | How::Restarted | How::Stopped);
    if cost.served == 0 || !cost.going.iter().any(|going| stays(going.how)) {
        return None;
    }
    let reduced = cost
        .reduced
        .map(|Reduced { fewest, of, lasting }| format!("{fewest} of {of} for ~{}", about(lasting)));
    let down = (!cost.downtime.is_zero()).then(|| format!("downtime ~{}", about(cost.downtime)));
    Some(match (cost.comes_back, down, reduced) {
        (false, ..) => "does not come back by itself".to_owned(),
        (true, Some(down), None) => down,
        (true, Some(down), Some(reduced)) => format!("{down}, {reduced}"),
        (true, None, Some(reduced)) => format!("{reduced}, takes ~{}", about(cost.takes)),
        (true, None, None) => format!("no downtime, takes ~{}", about(cost.takes)),
    })
}

/// ` (measured: stop 0.4 s, start to ready 2.8 s; assumed: …)`.
fn based_on(figures: &[Figure]) -> Option<String> {
    let sources = [Source::Measured, Source::HealthCheck, Source::Probes, Source::Assumed];
    let parts = sources.into_iter().filter_map(|from| {
        let of_it: Vec<&Figure> = figures.iter().filter(|figure| figure.from == from).collect();
        let word = match from {
            Source::Measured => "measured",
            Source::HealthCheck => "by its health check",
            Source::Probes => "by its probes",
            Source::Assumed => "assumed",
        };
        (!of_it.is_empty()).then(|| format!("{word}: {}", told(&of_it).join(", ")))
    });
    let parts: Vec<String> = parts.collect();
    (!parts.is_empty()).then(|| format!(" ({})", parts.join("; ")))
}

fn told(figures: &[&Figure]) -> Vec<String> {
    let find = |what| figures.iter().find(|figure| figure.what == what).map(|figure| figure.took);
    let (stop, start, ready) = (find(What::Stop), find(What::Start), find(What::Ready));
    let stop = stop.map(|took| format!("stop {}", about(took)));
    let start = match (start, ready) {
        (Some(start), Some(ready)) => Some(format!("start to ready {}", about(start + ready))),
        (Some(start), None) => Some(format!("start {}", about(start))),
        (None, Some(ready)) => Some(format!("ready {} after its start", about(ready))),
        (None, None) => None,
    };
    stop.into_iter().chain(start).collect()
}

/// What a stack's change costs, for programs.
pub(super) fn json(stack: &StackName, costs: &Costs<'_>) -> Vec<Json> {
    let figure = |figure: &Figure| json!({"what": figure.what, "ms": ms(figure.took), "from": figure.from});
    let cost = |cost: &ServiceCost| {
        let reduced = cost.reduced.map(
            |reduced| json!({"fewest": reduced.fewest, "of": reduced.of, "lasting_ms": ms(reduced.lasting)}),
        );
        let going = cost
            .going
            .iter()
            .map(|going| json!({"container": going.name, "how": going.how, "why": going.why}));
        json!({
            "stack": stack,
            "service": cost.service,
            "serving": cost.served,
            "downtime_ms": ms(cost.downtime),
            "comes_back": cost.comes_back,
            "reduced": reduced,
            "duration_ms": ms(cost.takes),
            "based_on": cost.based_on.iter().map(figure).collect::<Vec<_>>(),
            "containers": going.collect::<Vec<_>>(),
        })
    };
    costs.services.iter().map(cost).collect()
}

/// What does not fit the machine, for programs.
pub(super) fn misfits_json(stack: &StackName, costs: &Costs<'_>) -> Vec<Json> {
    let misfit =
        |it: &Misfit| json!({"stack": stack, "service": it.service, "of": it.of, "message": it.message});
    costs.misfits.iter().map(misfit).collect()
}

/// The data that is not where it was afterwards, for programs.
pub(super) fn at_risk_json(stack: &StackName, costs: &Costs<'_>) -> Vec<Json> {
    let at_risk = |it: &AtRisk| {
        json!({
            "stack": stack,
            "service": it.service,
            "container": it.container,
            "path": it.path,
            "volume": it.volume,
            "fate": it.fate,
            "message": it.message,
        })
    };
    costs.at_risk.iter().map(at_risk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::cost::Going;
    use crate::core::fit::Resource;
    use crate::core::ids::ContainerId;

    fn figure(what: What, millis: u64, from: Source) -> Figure {
        Figure { what, took: Duration::from_millis(millis), from }
    }

    fn cost(downtime: u64, reduced: Option<(u32, u64)>, based_on: &[Figure]) -> ServiceCost {
        let lasting = Duration::from_millis;
        ServiceCost {
            service: ServiceName::from("web"),
            served: 3,
            downtime: Duration::from_millis(downtime),
            comes_back: true,
            reduced: reduced.map(|(fewest, millis)| Reduced { fewest, of: 3, lasting: lasting(millis) }),
            takes: Duration::from_millis(8_040),
            based_on: based_on.to_vec(),
            going: vec![Going {
                id: ContainerId::from("c1"),
                name: "shop-web-1".to_owned(),
                how: How::Replaced,
                why: "changed: image".to_owned(),
                hands_on: true,
            }],
        }
    }

    fn plain(cost: &ServiceCost) -> Option<String> {
        line(cost).map(|line| anstream::adapter::strip_str(&line).to_string().trim_start().to_owned())
    }

    #[test]
    fn a_line_tells_the_downtime_and_what_it_is_from() {
        use Source::{Assumed, HealthCheck, Measured, Probes};
        use What::{Ready, Start, Stop};
        let measured = [figure(Stop, 400, Measured), figure(Start, 300, Measured)];
        let with_ready = [&measured[..], &[figure(Ready, 2_500, Measured)]].concat();
        let estimated = [&measured[..], &[figure(Ready, 30_000, HealthCheck)]].concat();
        let unknown = [figure(Stop, 200, Assumed), figure(Start, 150, Assumed), figure(Ready, 3_000, Probes)];
        let shown = [figure(Stop, 200, Assumed), figure(Start, 150, Assumed), figure(Ready, 2_000, Measured)];
        for (cost, expected) in [
            (cost(3_200, None, &with_ready), "downtime ~3.2 s (measured: stop 0.4 s, start to ready 2.8 s)"),
            (
                cost(30_700, None, &estimated),
                "downtime ~31 s (measured: stop 0.4 s, start 0.3 s; by its health check: ready 30 s after its start)",
            ),
            (
                cost(0, Some((2, 4_000)), &unknown),
                "2 of 3 for ~4.0 s, takes ~8.0 s (by its probes: ready 3.0 s after its start; assumed: stop 0.2 s, start 0.2 s)",
            ),
            (
                cost(900, Some((1, 4_000)), &shown),
                "downtime ~0.9 s, 1 of 3 for ~4.0 s (measured: ready 2.0 s after its start; assumed: stop 0.2 s, start 0.2 s)",
            ),
            (cost(0, None, &measured), "no downtime, takes ~8.0 s (measured: stop 0.4 s, start 0.3 s)"),
            (ServiceCost { comes_back: false, ..cost(5, None, &[]) }, "does not come back by itself"),
        ] {
            assert_eq!(plain(&cost).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_did_not_serve_or_goes_for_good_has_no_line() {
        assert_eq!(plain(&ServiceCost { served: 0, ..cost(0, None, &[]) }), None);
        let mut gone = cost(0, None, &[]);
        gone.going[0].how = How::Removed;
        assert_eq!(plain(&gone), None);
    }

    #[test]
    fn what_does_not_fit_and_what_stays_behind_is_told_and_what_is_in_memory_is_for_programs() {
        let misfit = |service: Option<&str>, message: &str| Misfit {
            service: service.map(ServiceName::from),
            of: Resource::Memory,
            message: message.to_owned(),
        };
        let data = |path: &str, volume: Option<&str>, fate| AtRisk {
            service: ServiceName::from("db"),
            container: "shop-db-1".to_owned(),
            path: path.to_owned(),
            volume: volume.map(str::to_owned),
            fate,
            message: format!("{path} is at risk"),
        };
        let misfits = [misfit(Some("web"), "17G, and 16G"), misfit(None, "18G, and 16G")];
        let at_risk = [data("/data", Some("d1"), Fate::LeftBehind), data("/tmp", None, Fate::Lost)];
        let costs = Costs { misfits: &misfits, at_risk: &at_risk, ..Costs::default() };
        let lines = warning_lines(&costs).join("\n");
        assert_eq!(
            anstream::adapter::strip_str(&lines).to_string(),
            "  does not fit the machine\n    web: 17G, and 16G\n    (stack): 18G, and 16G\n  data left behind\n    shop-db-1: /data is at risk"
        );
        assert!(warning_lines(&Costs::default()).is_empty());
        let stack = StackName::from("shop");
        assert_eq!(
            misfits_json(&stack, &costs)[1],
            json!({"stack": "shop", "service": null, "of": "memory", "message": "18G, and 16G"})
        );
        assert_eq!(
            at_risk_json(&stack, &costs)[1],
            json!({
                "stack": "shop", "service": "db", "container": "shop-db-1", "path": "/tmp", "volume": null,
                "fate": "lost", "message": "/tmp is at risk",
            })
        );
    }

    #[test]
    fn programs_get_milliseconds_and_what_they_are_from() {
        let services = [cost(3_200, Some((2, 4_000)), &[figure(What::Stop, 400, Source::Measured)])];
        let costs = Costs { services: &services, ..Costs::default() };
        assert_eq!(
            json(&StackName::from("shop"), &costs),
            [json!({
                "stack": "shop", "service": "web", "serving": 3, "downtime_ms": 3_200, "comes_back": true,
                "reduced": {"fewest": 2, "of": 3, "lasting_ms": 4_000}, "duration_ms": 8_040,
                "based_on": [{"what": "stop", "ms": 400, "from": "measured"}],
                "containers": [{"container": "shop-web-1", "how": "replaced", "why": "changed: image"}],
            })]
        );
    }
}
