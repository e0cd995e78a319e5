//! How far the files of a source are trusted: what they may ask of the host that they run on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far files are trusted, in the words of Kubernetes' Pod Security Standards. Each level refuses what the one before
/// it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Level {
    /// Whoever writes them may do what root may: nothing is refused.
    #[default]
    Privileged,
    /// What is known to lead out of a container, or out of the checkout, is refused.
    Baseline,
    /// As much as is usual is given up besides: no root, no capabilities.
    Restricted,
}

impl Level {
    /// All of them, the most trusting first.
    pub const ALL: [Self; 3] = [Self::Privileged, Self::Baseline, Self::Restricted];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no policy; write privileged, baseline or restricted")]
pub struct NoLevel(String);

impl FromStr for Level {
    type Err = NoLevel;

    fn from_str(word: &str) -> Result<Self, NoLevel> {
        Self::ALL.into_iter().find(|level| level.as_str() == word).ok_or_else(|| NoLevel(word.to_owned()))
    }
}

/// How far the files of a source are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// How far.
    pub level: Level,
    /// The absolute directory that they may not lead out of, below [`Level::Privileged`]: the checkout. Without one, the
    /// working directory of the load.
    pub root: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_read_as_it_is_written() {
        for level in Level::ALL {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        assert_eq!("".parse::<Level>(), Err(NoLevel(String::new())));
        assert!(Level::Privileged < Level::Baseline && Level::Baseline < Level::Restricted);
    }
}
