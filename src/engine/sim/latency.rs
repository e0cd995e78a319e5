//! How long calls take.

use std::collections::BTreeMap;
use std::time::Duration;

use super::calls::CallKind;
use super::dice::{Stream, draw};

/// Durations of calls by kind: near Docker's own, unless set otherwise.
///
/// A stop takes what the program takes to end, on top.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    set: BTreeMap<CallKind, Duration>,
    percent: u32,
    jitter: Option<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { set: BTreeMap::new(), percent: 100, jitter: None }
    }
}

impl Latencies {
    /// Calls that take no time.
    pub fn none() -> Self {
        Self::default().scaled(0)
    }

    /// The same, with calls of this kind taking this long.
    #[must_use]
    pub fn with(mut self, kind: CallKind, duration: Duration) -> Self {
        self.set.insert(kind, duration);
        self
    }

    /// The same, all of them times `percent` / 100.
    #[must_use]
    pub fn scaled(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// The same, each call between half and twice its time, as the seed says.
    #[must_use]
    pub fn jittered(mut self, seed: u64) -> Self {
        self.jitter = Some(seed);
        self
    }

    /// How long the call with this number takes.
    pub(super) fn of(&self, kind: CallKind, index: u64) -> Duration {
        let whole = percent_of(self.set.get(&kind).copied().unwrap_or_else(|| usual(kind)), self.percent);
        match self.jitter {
            None => whole,
            Some(seed) => {
                let percent = 50 + draw(seed, Stream::Latencies, index) % 151;
                percent_of(whole, u32::try_from(percent).unwrap_or(100))
            }
        }
    }
}

fn percent_of(duration: Duration, percent: u32) -> Duration {
    duration.saturating_mul(percent) / 100
}

/// Medians of Docker 20.10 on a small machine, rounded; pulls and builds are what people see.
fn usual(kind: CallKind) -> Duration {
    Duration::from_millis(match kind {
        CallKind::Info | CallKind::InspectContainer | CallKind::InspectImage | CallKind::Probe => 1,
        CallKind::ListVolumes | CallKind::ListNetworks => 2,
        CallKind::ListContainers => 3,
        CallKind::ReadLive
        | CallKind::SetLive
        | CallKind::LogTail
        | CallKind::Signals
        | CallKind::StopContainer
        | CallKind::CreateVolume
        | CallKind::RemoveVolume
        | CallKind::SignalContainer
        | CallKind::RenameContainer => 5,
        CallKind::MemoryUsage => 10,
        CallKind::UnpauseContainer | CallKind::UpdateContainer | CallKind::CopyFiles => 20,
        CallKind::RemoveContainer => 30,
        CallKind::CreateNetwork
        | CallKind::RemoveNetwork
        | CallKind::ConnectNetwork
        | CallKind::DisconnectNetwork => 50,
        CallKind::CreateContainer => 60,
        CallKind::RunHook => 100,
        CallKind::StartContainer => 150,
        CallKind::PullImage => 5_000,
        CallKind::BuildImage => 20_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_scale_and_jitter_within_bounds() {
        let start = |latencies: &Latencies, index| latencies.of(CallKind::StartContainer, index).as_millis();
        assert_eq!(start(&Latencies::default(), 0), 150);
        assert_eq!(start(&Latencies::none(), 0), 0);
        assert_eq!(start(&Latencies::default().scaled(10_000), 0), 15_000);
        let jittered = Latencies::default().jittered(3);
        let all: Vec<_> = (0..100).map(|index| start(&jittered, index)).collect();
        assert!(all.iter().all(|millis| (75..=300).contains(millis)), "{all:?}");
        assert!(all.iter().any(|millis| *millis != all[0]));
        assert_eq!(all, (0..100).map(|index| start(&jittered, index)).collect::<Vec<_>>());
    }
}
