//! What somebody laid over the files for a while, without changing them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::ServiceName;
use super::time::Timestamp;

/// All that is laid over one stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overrides {
    /// The whole stack is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// These services are left as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub paused_services: BTreeMap<ServiceName, Pause>,
    /// When somebody last said that all goes on: what is held, and healing that was stopped, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_at: Option<Timestamp>,
    /// When somebody last said so of these services: what is held, and back-off.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub resumed_services: BTreeMap<ServiceName, Timestamp>,
}

/// What is left as it is, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// Who said so.
    pub by: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None` until somebody says `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

impl Pause {
    fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {}", self.by)?;
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl Overrides {
    /// The pause of the whole stack, while it holds.
    pub fn pause(&self, now: Timestamp) -> Option<&Pause> {
        self.paused.as_ref().filter(|pause| pause.holds(now))
    }

    /// The pause of a service's own, while it holds.
    pub fn pause_of(&self, service: &ServiceName, now: Timestamp) -> Option<&Pause> {
        self.paused_services.get(service).filter(|pause| pause.holds(now))
    }

    /// Forgets the pauses that have ended.
    pub fn forget_ended(&mut self, now: Timestamp) {
        self.paused = self.paused.take().filter(|pause| pause.holds(now));
        self.paused_services.retain(|_, pause| pause.holds(now));
    }

    /// Whether what is done for a service, or for all of them, is not to be done now.
    pub fn forbids(&self, service: Option<&ServiceName>, now: Timestamp) -> bool {
        self.pause(now).is_some() || service.is_some_and(|service| self.pause_of(service, now).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_holds_for_what_it_names_until_it_ends() {
        let (early, late) = (Timestamp::from_millis(1_000), Timestamp::from_millis(2_000));
        let pause = |until| Pause { by: "ann".into(), reason: None, since: early, until };
        let (web, db) = (ServiceName::from("web"), ServiceName::from("db"));
        let one =
            Overrides { paused_services: [(web.clone(), pause(Some(late)))].into(), ..Overrides::default() };
        assert!(one.forbids(Some(&web), early));
        assert!(!one.forbids(Some(&web), late), "it has ended");
        assert!(!one.forbids(Some(&db), early) && !one.forbids(None, early));
        let mut all = Overrides { paused: Some(pause(None)), ..one };
        assert!(all.forbids(Some(&db), late) && all.forbids(None, late));
        all.forget_ended(late);
        assert!(all.paused.is_some() && all.paused_services.is_empty());
    }
}
