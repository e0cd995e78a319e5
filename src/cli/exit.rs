//! Exit codes, all of them.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked; for `diff`, nothing is to do.
    Ok,
    /// `diff`: there are changes. `apply`, `down`, `restart`, `rollback`, `wait`: not there yet when the time was up.
    Differs,
    /// It could not do what was asked, and cannot until somebody changes something.
    Error,
    /// `apply --plan`: what the plan is about has moved.
    Stale,
    /// Somebody pressed Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Differs => 1,
            Self::Error => 2,
            Self::Stale => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The codes, for `operator --help`.
pub const HELP: &str = "\
Exit codes:
  0    done; for diff: nothing to do
  1    diff: there are changes; apply, down, restart, rollback and wait: not there in time
  2    error; apply, down, restart, rollback and wait: stuck until somebody changes something
  3    apply --plan: the plan is stale; nothing more was done
  130  interrupted";
