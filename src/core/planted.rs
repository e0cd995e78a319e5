//! Bugs that somebody could have written, each at the place where it would have been: the simulation must find every one.
//!
//! Only the feature `planted` makes them possible, for `tests/histories`; without it [`has`] is `false` to the compiler.

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
}

#[cfg(feature = "planted")]
mod bed {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    impl Bug {
        /// All of them.
        pub const ALL: [Self; 20] = [
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
