//! Bugs that somebody could have written, each at the place where it would have been: the simulation must find every one.
//!
//! Only the feature `planted` makes them possible, for `tests/histories` and `tests/sim`; without it [`has`] is `false` to the compiler.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The old container goes before its successor is there.
    RemovesFirst,
    /// All containers are replaced at once.
    ReplacesAllAtOnce,
    /// What has started is believed to be ready.
    BelievesTooSoon,
    /// What a list does not show is gone.
    TrustsLists,
    /// A container that is made again after a lost answer gets another name, and so there are two.
    DoublesAfterLostAnswer,
    /// Names of the moment stay.
    KeepsTemporaryNames,
    /// Volumes that nobody named are not handed on.
    LosesAnonymousVolumes,
    /// Two programs may write to one volume.
    LetsTwoWrite,
    /// Every container with the stack's project label is taken for its own.
    TouchesPretenders,
    /// Containers of services that are gone stay.
    LeavesOrphans,
    /// What depends on something does not wait for it.
    IgnoresDependencies,
    /// A container starts without its files.
    StartsUnfilled,
    /// What crashes is started again at once, for ever.
    NeverWaits,
    /// What has ended stays so.
    LeavesDead,
    /// What somebody froze stays so.
    LeavesFrozen,
    /// What the engine cannot start again is tried for ever.
    KeepsStranded,
    /// Limits that somebody changed stay so.
    IgnoresLimits,
    /// What somebody took off a network stays so.
    IgnoresNetworks,
    /// Live settings are never set.
    IgnoresLiveSettings,
    /// Without an event, nothing is looked at again.
    NeverResyncs,
    /// More containers run at once than may.
    SurgesTooFar,
    /// The canaries are not waited for.
    IgnoresCanary,
    /// A revision that does not work is tried for ever.
    NeverGoesBack,
    /// Old containers go before the last new one is believed.
    RemovesOldSoon,
    /// A number of replicas that was to end by itself holds on.
    ScalesForEver,
    /// A restart that was asked for does not come.
    IgnoresRestarts,
    /// A restart that was asked for takes all replicas at once.
    RestartsAllAtOnce,
    /// A revision that is to be held is not brought back.
    NeverBringsBack,
    /// Of a revision that is held, whatever has its image's name now runs.
    RunsImageByName,
    /// What is in a mounted file is no part of a revision.
    IgnoresContent,
    /// A program that could be told of another content is replaced.
    ReplacesToTell,
    /// More is done than a plan says.
    ExceedsPlan,
    /// A replica stops while its proxy sends it requests.
    StopsUndrained,
    /// Of changes that belong together some stay where another goes back.
    ChangesInPart,
    /// A forecast takes every program for a quick one.
    ForetellsBlindly,
    /// A network is replaced whoever else is on it.
    ReplacesSharedNetworks,
    /// A volume is made anew though nobody agreed.
    RecreatesVolumesUnasked,
    /// Nobody waits for jobs and earlier waves.
    IgnoresTurns,
    /// A job that has run for one change runs for no other.
    RunsJobsOnce,
}

#[cfg(feature = "planted")]
mod bed {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    impl Bug {
        /// What shows only where somebody asks for something beside the files: stories find these.
        pub const OF_STORIES: [Self; 13] = [
            Self::ScalesForEver,
            Self::IgnoresRestarts,
            Self::RestartsAllAtOnce,
            Self::NeverBringsBack,
            Self::RunsImageByName,
            Self::IgnoresContent,
            Self::ReplacesToTell,
            Self::ExceedsPlan,
            Self::StopsUndrained,
            Self::ChangesInPart,
            Self::ForetellsBlindly,
            Self::IgnoresTurns,
            Self::RunsJobsOnce,
        ];

        /// All others: histories find these.
        pub const ALL: [Self; 26] = [
            Self::RemovesFirst,
            Self::ReplacesAllAtOnce,
            Self::BelievesTooSoon,
            Self::TrustsLists,
            Self::DoublesAfterLostAnswer,
            Self::KeepsTemporaryNames,
            Self::LosesAnonymousVolumes,
            Self::LetsTwoWrite,
            Self::TouchesPretenders,
            Self::LeavesOrphans,
            Self::IgnoresDependencies,
            Self::StartsUnfilled,
            Self::NeverWaits,
            Self::LeavesDead,
            Self::LeavesFrozen,
            Self::KeepsStranded,
            Self::IgnoresLimits,
            Self::IgnoresNetworks,
            Self::IgnoresLiveSettings,
            Self::NeverResyncs,
            Self::SurgesTooFar,
            Self::IgnoresCanary,
            Self::NeverGoesBack,
            Self::RemovesOldSoon,
            Self::ReplacesSharedNetworks,
            Self::RecreatesVolumesUnasked,
        ];
    }

    /// This thread's operators have this bug from now on, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether it is this bug that was planted.
    pub fn has(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Whether there is any. Then the guard looks away: the simulation must see for itself.
    pub fn any() -> bool {
        PLANTED.get().is_some()
    }
}

#[cfg(feature = "planted")]
pub use bed::{any, has, plant};

/// Never.
#[cfg(not(feature = "planted"))]
pub const fn has(_: Bug) -> bool {
    false
}

/// Never.
#[cfg(not(feature = "planted"))]
pub const fn any() -> bool {
    false
}
