//! The figures as Prometheus reads them. Names, units and labels are here and in `manifests/api.md`, nowhere else.

use std::fmt::Error;
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Unit;

use super::figures::{Figures, ServiceFigures, StackFigures, Standing};
use super::held;
use crate::core::ids::StackName;
use crate::core::status::Condition;
use crate::core::time::Timestamp;

/// Writes them whenever somebody asks.
#[derive(Debug)]
pub(super) struct Exposition(Arc<Mutex<Figures>>);

impl Exposition {
    pub(super) fn of(figures: Arc<Mutex<Figures>>) -> Self {
        Self(figures)
    }
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let figures = held(&self.0);
        let mut page = Page(encoder);
        of_process(&mut page, &figures)?;
        of_loops(&mut page, &figures)?;
        of_standings(&mut page, &figures)?;
        of_sources(&mut page, &figures)
    }
}

/// A page that is written family by family.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A family: what it is called and means, and a figure for each set of labels. One without figures is left out.
    fn family<L: EncodeLabelSet, M: EncodeMetric>(
        &mut self,
        (name, help, unit): (&str, &str, Option<&Unit>),
        kind: MetricType,
        figures: impl IntoIterator<Item = (L, M)>,
    ) -> Result<(), Error> {
        let mut figures = figures.into_iter().peekable();
        if figures.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, unit, kind)?;
        for (labels, figure) in figures {
            figure.encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A figure of the whole operator, which takes no label.
    fn one(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        figure: &impl EncodeMetric,
    ) -> Result<(), Error> {
        figure.encode(self.0.encode_descriptor(name, help, unit, figure.metric_type())?)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        (name, help): (&str, &str),
        figures: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let figures = figures.into_iter().map(|(labels, figure)| (labels, ConstCounter::new(figure)));
        self.family((name, help, None), MetricType::Counter, figures)
    }

    fn gauges<L: EncodeLabelSet>(
        &mut self,
        (name, help): (&str, &str),
        figures: impl IntoIterator<Item = (L, u64)>,
    ) -> Result<(), Error> {
        let figures = figures
            .into_iter()
            .map(|(labels, figure)| (labels, ConstGauge::new(i64::try_from(figure).unwrap_or(i64::MAX))));
        self.family((name, help, None), MetricType::Gauge, figures)
    }

    fn seconds<L: EncodeLabelSet>(
        &mut self,
        (name, help): (&str, &str),
        figures: impl IntoIterator<Item = (L, f64)>,
    ) -> Result<(), Error> {
        let figures = figures.into_iter().map(|(labels, figure)| (labels, ConstGauge::new(figure)));
        self.family((name, help, Some(&Unit::Seconds)), MetricType::Gauge, figures)
    }

    fn histograms<'h, L: EncodeLabelSet>(
        &mut self,
        (name, help): (&str, &str),
        figures: impl IntoIterator<Item = (L, &'h Histogram)>,
    ) -> Result<(), Error> {
        let figures = figures.into_iter().map(|(labels, figure)| (labels, figure.clone()));
        self.family((name, help, Some(&Unit::Seconds)), MetricType::Histogram, figures)
    }
}

/// What is counted of a stack.
type Of<'f> = (&'f StackName, &'f StackFigures);

/// A label.
type Label<'a> = (&'static str, &'a str);

/// A label of a stack, and one whose value is the name of a variant.
type Worded<'f> = ([Label<'f>; 1], [(&'static str, String); 1]);

fn stack(name: &StackName) -> Label<'_> {
    ("stack", name.as_str())
}

fn result(is_ok: bool) -> Label<'static> {
    ("result", if is_ok { "ok" } else { "error" })
}

/// Seconds since 1970, as Prometheus has moments.
fn moment(at: Timestamp) -> f64 {
    at.since(Timestamp::default()).as_secs_f64()
}

fn of_process(page: &mut Page<'_>, figures: &Figures) -> Result<(), Error> {
    let started = ConstGauge::new(moment(figures.started));
    page.one(
        ("process_start_time", "When the operator started, since 1970"),
        Some(&Unit::Seconds),
        &started,
    )?;
    page.gauges(
        ("compose_operator_build_info", "Which version this is; always 1"),
        [([("version", env!("CARGO_PKG_VERSION"))], 1)],
    )?;
    let refused = ConstGauge::new(i64::from(figures.files_refused));
    page.one(
        (
            "compose_operator_files_refused",
            "Whether the files of now are refused and the last good ones in force",
        ),
        None,
        &refused,
    )
}

fn of_loops(page: &mut Page<'_>, figures: &Figures) -> Result<(), Error> {
    let stacks = || figures.stacks.iter();
    page.counters(
        ("compose_operator_reconciles", "Decisions, and looks at an engine that did not answer"),
        stacks().flat_map(|(name, of)| {
            [([stack(name), result(true)], of.reconciled), ([stack(name), result(false)], of.failed)]
        }),
    )?;
    page.histograms(
        ("compose_operator_reconcile_duration", "From what woke the loop to its decision"),
        stacks().map(|(name, of)| ([stack(name)], &of.took)),
    )?;
    page.counters(
        ("compose_operator_actions", "Calls to the engine that change something"),
        stacks().flat_map(actions),
    )?;
    page.histograms(
        ("compose_operator_action_duration", "How long such calls took, of all stacks"),
        figures.acting.iter().map(|(verb, took)| ([("action", *verb)], took)),
    )?;
    page.counters(
        ("compose_operator_restarts", "Containers that ran before and were started or made again"),
        stacks().flat_map(restarts),
    )?;
    page.counters(
        ("compose_operator_events", "What happened, by the kinds of `operator events`"),
        stacks().flat_map(events),
    )
}

fn actions((name, of): Of<'_>) -> impl Iterator<Item = ([Label<'_>; 3], u64)> {
    of.actions
        .iter()
        .map(move |((verb, is_ok), count)| ([stack(name), ("action", *verb), result(*is_ok)], *count))
}

fn restarts((name, of): Of<'_>) -> impl Iterator<Item = ([Label<'_>; 3], u64)> {
    of.restarts.iter().map(move |((service, reason), count)| {
        ([stack(name), ("service", service.as_str()), ("reason", *reason)], *count)
    })
}

fn events((name, of): Of<'_>) -> impl Iterator<Item = (Worded<'_>, u64)> {
    of.events.iter().map(move |(kind, count)| (([stack(name)], [("kind", kind.to_string())]), *count))
}

fn of_standings(page: &mut Page<'_>, figures: &Figures) -> Result<(), Error> {
    let stacks = || figures.stacks.iter();
    let known = || stacks().filter_map(|(name, of)| Some((name, of.standing.as_ref()?)));
    page.gauges(
        ("compose_operator_engine_up", "Whether the stack's engine answers"),
        stacks().filter_map(|(name, of)| Some(([stack(name)], u64::from(of.engine_up?)))),
    )?;
    page.gauges(
        (
            "compose_operator_stack_condition",
            "Which of the conditions the stack is in: 1 for that, 0 for the others",
        ),
        known().flat_map(conditions),
    )?;
    page.gauges(
        ("compose_operator_drift", "Services that are not as they should be, and what waits beside them"),
        known().map(|(name, standing)| ([stack(name)], standing.drift)),
    )?;
    for (name, help, figure) in OF_SERVICES {
        page.gauges((name, help), known().flat_map(|of| services(of, figure)))?;
    }
    Ok(())
}

/// A figure of a service: what it is called and means, and how it is read.
type OfService = (&'static str, &'static str, fn(&ServiceFigures) -> u64);

const OF_SERVICES: [OfService; 4] = [
    ("compose_operator_replicas_desired", "Replicas that should be", |it| it.desired.into()),
    ("compose_operator_replicas_ready", "Replicas that are ready, or have done their work", |it| {
        it.ready.into()
    }),
    ("compose_operator_replicas_updated", "Replicas of the current revision", |it| it.updated.into()),
    ("compose_operator_backoffs", "What failed and waits for its next try", |it| it.backing_off),
];

fn services<'f>(
    (name, standing): (&'f StackName, &'f Standing),
    figure: fn(&ServiceFigures) -> u64,
) -> impl Iterator<Item = ([Label<'f>; 2], u64)> {
    let services = standing.services.iter();
    services.map(move |(service, of)| ([stack(name), ("service", service.as_str())], figure(of)))
}

fn conditions<'f>(
    (name, standing): (&'f StackName, &'f Standing),
) -> impl Iterator<Item = (Worded<'f>, u64)> {
    let all = [Condition::Ready, Condition::Progressing, Condition::Paused, Condition::Degraded];
    all.into_iter().map(move |condition| {
        let labels = ([stack(name)], [("condition", format!("{condition:?}"))]);
        (labels, u64::from(standing.condition == condition))
    })
}

fn of_sources(page: &mut Page<'_>, figures: &Figures) -> Result<(), Error> {
    let sources = || figures.sources.iter().map(|(name, of)| ([("source", name.as_str())], of));
    page.gauges(
        ("compose_operator_source_ready", "Whether what the source has was fetched and checked out"),
        sources().map(|(name, of)| (name, u64::from(of.ready))),
    )?;
    page.seconds(
        (
            "compose_operator_source_last_fetch_timestamp",
            "When the source was last fetched with success, since 1970",
        ),
        sources().filter_map(|(name, of)| Some((name, moment(of.fetched_at?)))),
    )?;
    page.seconds(
        (
            "compose_operator_source_commit_lag",
            "How long the newest commit has not been what the stacks follow",
        ),
        sources().map(|(name, of)| (name, of.lag.as_secs_f64())),
    )
}
