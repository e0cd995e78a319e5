//! Every bound, each with its reason.

use std::time::Duration;

/// A replacement without a health check must have run this long before the old one goes: "running" says
/// nothing about the first moment, in which most broken programs end. With a health check, that decides.
pub const SETTLE: Duration = Duration::from_secs(1);

/// A rollout that makes no progress for this long has failed (Kubernetes' `progressDeadlineSeconds`).
pub const PROGRESS_DEADLINE: Duration = Duration::from_mins(10);

/// How soon to look again while something is waited for that no event may announce (a redis that is still
/// loading its data). Events wake the loop earlier for everything else.
pub const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How often running software is asked for its live settings: nobody announces that a person changed one. The
/// question takes a millisecond and touches no engine where the container's address can be reached.
pub const LIVE_EVERY: Duration = Duration::from_secs(10);

/// How long a decision waits for those answers. Software that takes longer hangs, or is far away, and the rest of the stack
/// does not wait for it.
pub const LIVE_AT_ONCE: Duration = Duration::from_millis(250);

/// How long whoever looks once waits for them: by commands in containers on an engine far away, each takes a while.
pub const LIVE_ONCE: Duration = Duration::from_secs(10);

/// How long a stop waits for a proxy to take in that a replica goes. One that does not answer for so long may never, and
/// what is to stop stops.
pub const TRAFFIC_PATIENCE: Duration = Duration::from_secs(30);

/// How long somebody waits who wants to see how things stand.
pub const LIVE_AT_A_GLANCE: Duration = Duration::from_secs(3);

/// More containers of one service than one machine runs: whoever asks for them has slipped.
pub const MOST_REPLICAS: u32 = 1_000;

/// So many crashes in a row are a loop: one is an accident, two may be.
pub const CRASH_LOOP: u32 = 3;

/// How long what has crashed must run before it is believed to: Docker's own restarts begin to count anew after as
/// long.
pub const CRASH_LOOP_CALM: Duration = Duration::from_secs(10);

/// How long after a crash a container that is started again is still taken for one that may crash.
pub const CRASH_IS_RECENT: Duration = Duration::from_mins(10);

/// How long until a container is asked for again for which the engine has not answered in time.
pub const SILENT_FOR: Duration = Duration::from_secs(30);

/// Engine calls under way at once where nobody says otherwise: enough to keep an engine busy (it gains nothing
/// beyond), few enough to leave it responsive to others.
pub const DEFAULT_PARALLEL: u16 = 8;

/// How long one hook may run: as long as a rollout may go without progress. What takes longer is no hook.
pub const HOOK: Duration = PROGRESS_DEADLINE;

/// Lines of a failed hook's output that its message shows.
pub const HOOK_LINES: usize = 5;

/// How long an engine may take to tell of an end that it shows already.
pub const WORD_OF_AN_END: Duration = Duration::from_millis(100);

/// How long a health check may fail before the container is restarted, where nobody says otherwise. The check itself has
/// failed several times by then: this is for what a moment of load or a slow neighbour does.
pub const UNHEALTHY_FOR: Duration = Duration::from_mins(1);

/// How long what failed beside a dependency that was down has to come to itself, once that is back.
pub const AFTER_DEPENDENCY: Duration = Duration::from_secs(30);

/// How often the use of memory is asked for, where it is bounded: a leak takes minutes, and each look costs a call.
pub const MEMORY_EVERY: Duration = Duration::from_secs(30);

/// Disruptions of a stack within the breaker's window, whatever its size: a few rollouts and mishaps.
pub const DISRUPTIONS: u32 = 10;

/// Further ones for each replica: a rollout, its way back, and some restarts with the back-off that they go through.
pub const DISRUPTIONS_EACH: u32 = 5;

/// Replicas of one service restart by their age this much of it apart at most: never all at one moment.
pub const AGE_SPREAD: f64 = 0.1;

/// How often a stack is asked for that another operator has: soon enough after that one was killed, and no more than a
/// look at a file.
pub const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// Probes of a stack under way at once: each waits on its own, so that this bounds sockets and not work. As many as hang are
/// over within their time-outs.
pub const PROBES_AT_ONCE: usize = 64;

/// How long all must be well after a trouble before it is told to be over: what comes and goes is one trouble.
pub const RECOVERED_AFTER: Duration = Duration::from_mins(1);

/// Revisions of a stack that are kept: twice Kubernetes' `revisionHistoryLimit`, since here a revision is of all services.
pub const REVISIONS: usize = 20;

/// Lines of what ended by itself that are kept with the word of it.
pub const CRASH_LINES: usize = 10;

/// The longest of those lines, in characters.
pub const LONGEST_LINE: usize = 500;

/// How long an engine may take to tell those lines.
pub const CRASH_LINES_WITHIN: Duration = Duration::from_secs(5);
