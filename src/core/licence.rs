//! A licence: the steps that a person has agreed to, and nothing else.
//!
//! Who applies a plan must not do more than the plan says, whatever the world has become in between. The loop asks the
//! licence before it begins anything; the rest of the core does not know of it.

use super::action::{Action, ActionKey, Call, Cause};
use super::live::Software;
use super::planted::{self, Bug};

/// Steps that may be taken: each as often as it is planned, and again where it failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    steps: Vec<(ActionKey, Stage)>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has begun it, or it failed and may be tried again.
    Open,
    /// It was begun.
    UnderWay,
    /// It was done, and may not be done again.
    Done,
}

impl Licence {
    /// For these steps, in the order in which they are told. One that is there twice may be taken twice.
    pub fn new(steps: impl IntoIterator<Item = ActionKey>) -> Self {
        Self { steps: steps.into_iter().map(|step| (step, Stage::Open)).collect() }
    }

    /// The first of some actions, to be begun together, that is not among what may be done now.
    pub fn stray<'a>(&self, actions: &'a [Action]) -> Option<&'a Action> {
        if planted::has(Bug::ExceedsPlan) {
            return None;
        }
        let mut rest = self.clone();
        actions.iter().find(|action| !rest.begin(&action.call.key()) && !self.follows(action))
    }

    /// Whether a step follows from one that was planned and did not go well: the way back to what served before, and a
    /// further try at what was started and ended by itself. To stop there would leave nothing that serves. And a proxy is
    /// told of replicas as often as one becomes ready or leaves, which no plan can foresee.
    fn follows(&self, action: &Action) -> bool {
        if let Call::SetLive { live, .. } = &action.call
            && live.software == Software::Caddy
        {
            return !self.steps.is_empty();
        }
        match action.cause {
            Cause::RolledBack { .. } => true,
            Cause::Exited { .. } => {
                let key = action.call.key();
                self.steps.iter().any(|(step, stage)| *step == key && *stage == Stage::Done)
            }
            _ => false,
        }
    }

    /// Begins a step; whether it may be begun.
    pub fn begin(&mut self, step: &ActionKey) -> bool {
        self.turn(step, Stage::Open, Stage::UnderWay)
    }

    /// A step that was begun has ended. What failed may be tried again.
    pub fn end(&mut self, step: &ActionKey, succeeded: bool) {
        let next = if succeeded { Stage::Done } else { Stage::Open };
        self.turn(step, Stage::UnderWay, next);
    }

    /// The steps that were done.
    pub fn done(&self) -> impl Iterator<Item = &ActionKey> {
        self.steps.iter().filter(|(_, stage)| *stage == Stage::Done).map(|(step, _)| step)
    }

    /// The steps that were not.
    pub fn left(&self) -> impl Iterator<Item = &ActionKey> {
        self.steps.iter().filter(|(_, stage)| *stage != Stage::Done).map(|(step, _)| step)
    }

    fn turn(&mut self, step: &ActionKey, from: Stage, to: Stage) -> bool {
        match self.steps.iter_mut().find(|(known, stage)| known == step && *stage == from) {
            Some((_, stage)) => {
                *stage = to;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::{Precondition, Target};
    use super::super::ids::ContainerId;
    use super::super::live::LiveSettings;
    use super::*;

    fn start(name: &str) -> Action {
        let target = Target { id: ContainerId::from(name), name: name.to_owned() };
        Action {
            call: Call::StartContainer(target),
            service: None,
            cause: Cause::NotStarted,
            precondition: Precondition::None,
        }
    }

    fn names<'a>(steps: impl Iterator<Item = &'a ActionKey>) -> Vec<String> {
        steps.map(ToString::to_string).collect()
    }

    #[test]
    fn a_step_may_be_taken_as_often_as_it_is_planned() {
        let (web, db) = (start("web"), start("db"));
        let mut licence = Licence::new([web.call.key(), web.call.key()]);
        assert_eq!(licence.stray(&[web.clone(), web.clone()]), None);
        assert_eq!(licence.stray(&[web.clone(), db.clone()]), Some(&db));
        assert_eq!(licence.stray(&[web.clone(), web.clone(), web.clone()]), Some(&web), "a third time");
        for _ in 0..2 {
            assert!(licence.begin(&web.call.key()));
            licence.end(&web.call.key(), true);
        }
        assert!(!licence.begin(&web.call.key()) && !licence.begin(&db.call.key()));
        assert_eq!((names(licence.done()).len(), names(licence.left()).len()), (2, 0));
    }

    #[test]
    fn a_proxy_of_the_plan_is_told_as_often_as_it_takes() {
        let told = |software| {
            let live = LiveSettings { software, settings: [].into(), password: None, port: 1 };
            let target = Target { id: ContainerId::from("proxy"), name: "proxy".to_owned() };
            let (key, value) = ("hz".to_owned(), "20".to_owned());
            Action { call: Call::SetLive { target, live: Box::new(live), key, value }, ..start("proxy") }
        };
        for (software, stray) in [(Software::Caddy, false), (Software::Redis, true)] {
            let step = told(software);
            let mut licence = Licence::new([step.call.key()]);
            licence.begin(&step.call.key());
            licence.end(&step.call.key(), true);
            assert_eq!(licence.stray(std::slice::from_ref(&step)).is_some(), stray, "{software:?}");
            assert!(Licence::default().stray(&[step]).is_some(), "it is of no plan");
        }
    }

    #[test]
    fn what_a_planned_step_leads_to_may_be_undone_or_tried_again() {
        let why = |cause: Cause, name: &str| Action { cause, ..start(name) };
        let (web, old) = (start("web"), start("old"));
        let mut licence = Licence::new([web.call.key()]);
        let crashed = || why(Cause::Exited { code: 1, oom_killed: false }, "web");
        licence.begin(&web.call.key());
        assert_eq!(licence.stray(&[crashed()]), Some(&crashed()), "its start is not over");
        licence.end(&web.call.key(), true);
        assert_eq!(licence.stray(&[crashed()]), None);
        assert_eq!(licence.stray(&[why(Cause::RolledBack { why: "it crashes".into() }, "old")]), None);
        assert_eq!(licence.stray(std::slice::from_ref(&old)), Some(&old));
        let other = why(Cause::Exited { code: 1, oom_killed: false }, "old");
        assert_eq!(licence.stray(std::slice::from_ref(&other)), Some(&other), "it was not planned");
    }

    #[test]
    fn what_failed_may_be_tried_again_and_what_is_under_way_may_not_be_doubled() {
        let web = start("web");
        let mut licence = Licence::new([web.call.key()]);
        assert!(licence.begin(&web.call.key()));
        assert_eq!(licence.stray(std::slice::from_ref(&web)), Some(&web), "it is under way");
        licence.end(&web.call.key(), false);
        assert_eq!(licence.stray(std::slice::from_ref(&web)), None);
        assert_eq!(names(licence.left()), ["start container web"]);
        assert!(licence.begin(&web.call.key()));
        licence.end(&web.call.key(), true);
        assert_eq!(licence.stray(std::slice::from_ref(&web)), Some(&web), "it has crashed since");
        assert_eq!(
            (names(licence.done()), names(licence.left())),
            (vec!["start container web".into()], vec![])
        );
    }

    #[test]
    fn an_end_of_what_was_not_begun_is_nothing() {
        let web = start("web");
        let mut licence = Licence::new([web.call.key()]);
        licence.end(&web.call.key(), true);
        licence.end(&start("db").call.key(), true);
        assert_eq!(names(licence.left()).len(), 1);
    }
}
