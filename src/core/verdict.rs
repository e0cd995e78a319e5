//! What becomes of a commit, as its code host is told: each step once, and never one back.
//!
//! Told is whether the commit works. Once it did, what breaks later is the world's doing, and others are told of that.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::commit::Commit;
use super::ids::StackName;
use super::reason::Reason;
use super::status::StackStatus;
use super::time::Timestamp;

/// So many verdicts are remembered: those of the last commits of as many stacks as one machine runs. What is forgotten
/// would be told again if its commit came back.
pub const MOST_TOLD: usize = 1_024;

/// How far a commit has come. The order is that in which it may go on: what failed may still work, and what works stays so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is in force, and worked on.
    Pending,
    /// It is refused, or does not come to work by itself.
    Failure,
    /// It works.
    Success,
}

/// What a verdict is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct About {
    /// The source that the commit came from.
    pub source: String,
    /// The hash of the commit, in full.
    pub hash: String,
    /// The stack; none where it is about the commit as a whole.
    pub stack: Option<StackName>,
}

impl About {
    fn new(commit: &Commit, stack: Option<&StackName>) -> Self {
        Self { source: commit.source.clone(), hash: commit.hash.clone(), stack: stack.cloned() }
    }
}

/// A verdict, for those who look at the commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// What it is about.
    pub about: About,
    /// In a word.
    pub state: State,
    /// In a line.
    pub description: String,
}

/// What is heard of commits.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    /// A stack goes by the files of this commit from now on; by none where they are of no repository.
    Follows(&'a StackName, Option<&'a Commit>, Timestamp),
    /// A stack was decided on, and stands so.
    Stands(&'a StackStatus, Timestamp),
    /// A commit does not come into force.
    Refused(&'a Commit, &'a str),
    /// A commit is in force, whether or not it was refused before.
    InForce(&'a Commit),
}

/// What a stack goes by.
#[derive(Debug)]
struct Course {
    about: About,
    since: Timestamp,
    /// It was not there yet at some moment since: how long it took is known.
    began: bool,
}

/// What was told of which commit, and what is to be told next.
#[derive(Debug, Default)]
pub struct Verdicts {
    courses: BTreeMap<StackName, Course>,
    told: VecDeque<(About, State)>,
}

impl Verdicts {
    /// This was told by a daemon before this one.
    pub fn remember(&mut self, about: About, state: State) {
        self.told.retain(|(known, _)| *known != about);
        self.told.push_back((about, state));
        if self.told.len() > MOST_TOLD {
            self.told.pop_front();
        }
    }

    /// Takes in what is heard. Says what is to be told of it, where that is news.
    pub fn heard(&mut self, heard: Heard<'_>) -> Option<Post> {
        match heard {
            Heard::Follows(stack, commit, at) => {
                self.follows(stack, commit, at);
                None
            }
            Heard::Stands(status, at) => {
                let course = self.courses.get_mut(&status.stack)?;
                let (state, description) = judge(status)?;
                course.began |= state != State::Success;
                let description = match state {
                    State::Success if course.began => {
                        format!("{description} in {} s", at.since(course.since).as_secs())
                    }
                    _ => description,
                };
                let about = course.about.clone();
                self.tell(about, state, &description)
            }
            Heard::Refused(commit, why) => {
                self.tell(About::new(commit, None), State::Failure, &format!("refused: {why}"))
            }
            Heard::InForce(commit) => {
                let about = About::new(commit, None);
                // Of a commit that was never refused its stacks tell.
                self.last(&about)?;
                self.tell(about, State::Success, "in force")
            }
        }
    }

    fn follows(&mut self, stack: &StackName, commit: Option<&Commit>, at: Timestamp) {
        let Some(commit) = commit else {
            self.courses.remove(stack);
            return;
        };
        let about = About::new(commit, Some(stack));
        // The same commit again, with something else that people laid over it: it began when it began.
        if self.courses.get(stack).is_none_or(|course| course.about != about) {
            self.courses.insert(stack.clone(), Course { about, since: at, began: false });
        }
    }

    fn last(&self, about: &About) -> Option<State> {
        self.told.iter().find(|(known, _)| known == about).map(|(_, state)| *state)
    }

    fn tell(&mut self, about: About, state: State, description: &str) -> Option<Post> {
        if self.last(&about).is_some_and(|last| last >= state) {
            return None;
        }
        self.remember(about.clone(), state);
        Some(Post { about, state, description: on_one_line(description) })
    }
}

/// How far the commit that a stack goes by has come; nothing where that is not what the stack is made to be.
fn judge(status: &StackStatus) -> Option<(State, String)> {
    let mut waiting = status.waiting.iter().chain(status.services.iter().flat_map(|it| &it.waiting));
    let with = |reason: Reason| waiting.clone().find(|it| it.reason == reason);
    // Somebody holds another revision: nothing is known of this one.
    if with(Reason::RolledBack).is_some() {
        return None;
    }
    if let Some(given_up) = with(Reason::RolloutFailed).or_else(|| with(Reason::JobFailed)) {
        return Some((State::Failure, format!("{}: {}", given_up.subject, given_up.message)));
    }
    // What somebody keeps as it is says nothing of whether the commit would work.
    if waiting.clone().any(|it| it.reason == Reason::Paused && it.stuck) {
        return Some((State::Pending, "paused".to_owned()));
    }
    let containers = || status.services.iter().flat_map(|it| &it.containers);
    if containers().any(|it| it.reason == Some(Reason::Held)) || with(Reason::Held).is_some() {
        return Some((State::Pending, "changed by hand, and left so for a while".to_owned()));
    }
    if status.stuck {
        let why = waiting.find(|it| it.stuck).map(|it| format!("{}: {}", it.subject, it.message));
        let why = why
            .or_else(|| containers().find_map(|it| Some(format!("{}: {}", it.name, it.message.as_ref()?))));
        return Some((State::Failure, why.unwrap_or_else(|| "it is stuck".to_owned())));
    }
    if status.is_converged() {
        return Some((State::Success, "converged".to_owned()));
    }
    Some((State::Pending, "converging".to_owned()))
}

/// A description is one line.
fn on_one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::decide::Waiting;
    use crate::core::status::Condition;

    fn commit(hash: &str) -> Commit {
        Commit {
            hash: hash.into(),
            author: "Ann".into(),
            subject: "a change".into(),
            committed_at: Timestamp::default(),
            source: "shop-git".into(),
        }
    }

    fn waits(reason: Reason, stuck: bool) -> Waiting {
        let (subject, message) = ("web".to_owned(), "exited with code 1".to_owned());
        Waiting { service: None, subject, reason, message, until: None, stuck }
    }

    fn standing(condition: Condition, waiting: Vec<Waiting>) -> StackStatus {
        let stuck = waiting.iter().any(|it| it.stuck);
        StackStatus { stack: "shop".into(), condition, services: Vec::new(), waiting, stuck }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn how_a_stack_stands_says_what_becomes_of_its_commit() {
        use Condition::{Degraded, Paused, Progressing, Ready};
        for (condition, waiting, expected) in [
            (Ready, vec![], Some((State::Success, "converged"))),
            (Ready, vec![waits(Reason::Orphaned, false)], Some((State::Success, "converged"))),
            (Progressing, vec![], Some((State::Pending, "converging"))),
            (Degraded, vec![waits(Reason::CrashLoopBackOff, false)], Some((State::Pending, "converging"))),
            (
                Degraded,
                vec![waits(Reason::PortConflict, true)],
                Some((State::Failure, "web: exited with code 1")),
            ),
            (
                Progressing,
                vec![waits(Reason::RolloutFailed, false)],
                Some((State::Failure, "web: exited with code 1")),
            ),
            (Paused, vec![waits(Reason::Paused, false)], Some((State::Success, "converged"))),
            (Paused, vec![waits(Reason::Paused, true)], Some((State::Pending, "paused"))),
            (
                Progressing,
                vec![waits(Reason::Held, true)],
                Some((State::Pending, "changed by hand, and left so for a while")),
            ),
            (Ready, vec![waits(Reason::RolledBack, false)], None),
            (Degraded, vec![waits(Reason::RolledBack, true)], None),
        ] {
            let judged = judge(&standing(condition, waiting.clone()));
            let judged = judged.as_ref().map(|(state, description)| (*state, description.as_str()));
            assert_eq!(judged, expected, "{condition:?} {waiting:?}");
        }
    }

    /// What is told of a stack that follows a commit and then stands so, a second after each other.
    fn told(all: &[&StackStatus]) -> Vec<(State, String)> {
        let (shop, commit) = (StackName::from("shop"), commit("1"));
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.heard(Heard::Follows(&shop, Some(&commit), at(0))), None);
        let posts =
            all.iter().zip(1..).filter_map(|(status, s)| verdicts.heard(Heard::Stands(status, at(s))));
        posts.map(|post| (post.state, post.description)).collect()
    }

    #[test]
    fn each_step_of_a_commit_is_told_once_and_none_back() {
        let ready = standing(Condition::Ready, vec![]);
        let works = standing(Condition::Progressing, vec![]);
        let fails = standing(Condition::Degraded, vec![waits(Reason::RolloutFailed, true)]);
        let pending = (State::Pending, "converging".to_owned());
        let failure = (State::Failure, "web: exited with code 1".to_owned());
        let success = |seconds: u32| (State::Success, format!("converged in {seconds} s"));
        for (heard, expected) in [
            (vec![&ready, &ready], vec![(State::Success, "converged".to_owned())]),
            (vec![&works, &works, &works, &ready, &ready], vec![pending.clone(), success(4)]),
            (vec![&works, &fails, &fails, &works], vec![pending.clone(), failure.clone()]),
            (vec![&fails, &works, &ready], vec![failure, success(3)]),
            (vec![&works, &ready, &works, &fails, &ready], vec![pending, success(2)]),
        ] {
            assert_eq!(told(&heard), expected, "{heard:?}");
        }
    }

    #[test]
    fn a_commit_that_a_stack_left_is_told_of_no_more_and_the_next_from_its_beginning() {
        let (shop, first, second) = (StackName::from("shop"), commit("1"), commit("2"));
        let (ready, works) = (standing(Condition::Ready, vec![]), standing(Condition::Progressing, vec![]));
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.heard(Heard::Stands(&ready, at(0))), None, "nobody knows of which commit");
        verdicts.heard(Heard::Follows(&shop, Some(&first), at(0)));
        assert!(verdicts.heard(Heard::Stands(&works, at(1))).is_some_and(|post| post.about.hash == "1"));
        verdicts.heard(Heard::Follows(&shop, Some(&second), at(10)));
        // Something is laid over the same commit: it began when it began.
        assert!(verdicts.heard(Heard::Stands(&works, at(11))).is_some_and(|post| post.about.hash == "2"));
        verdicts.heard(Heard::Follows(&shop, Some(&second), at(12)));
        let post = verdicts.heard(Heard::Stands(&ready, at(14))).unwrap();
        assert_eq!((post.about.hash.as_str(), post.description.as_str()), ("2", "converged in 4 s"));
        verdicts.heard(Heard::Follows(&shop, None, at(20)));
        assert_eq!(verdicts.heard(Heard::Stands(&works, at(21))), None, "its files are of no repository now");
    }

    #[test]
    fn a_refused_commit_is_told_once_and_so_is_that_it_came_into_force_after_all() {
        let (one, two) = (commit("1"), commit("2"));
        let mut verdicts = Verdicts::default();
        let mut told = |heard| verdicts.heard(heard).map(|post| (post.state, post.description));
        assert_eq!(told(Heard::InForce(&one)), None, "its stacks tell");
        let refused = (State::Failure, "refused: a.yaml:1:2: it lacks an image".to_owned());
        assert_eq!(told(Heard::Refused(&two, "a.yaml:1:2: it lacks\nan image")), Some(refused));
        assert_eq!(told(Heard::Refused(&two, "another")), None);
        assert_eq!(told(Heard::InForce(&two)), Some((State::Success, "in force".to_owned())));
        assert_eq!(told(Heard::InForce(&two)), None);
    }

    #[test]
    fn what_a_daemon_before_told_is_not_told_again_and_memory_is_bounded() {
        let (shop, first) = (StackName::from("shop"), commit("1"));
        let mut verdicts = Verdicts::default();
        verdicts.remember(About::new(&first, Some(&shop)), State::Success);
        verdicts.heard(Heard::Follows(&shop, Some(&first), at(0)));
        assert_eq!(verdicts.heard(Heard::Stands(&standing(Condition::Ready, vec![]), at(1))), None);
        for nth in 0..2 * MOST_TOLD {
            verdicts.heard(Heard::Refused(&commit(&nth.to_string()), "x"));
        }
        assert_eq!(verdicts.told.len(), MOST_TOLD);
    }
}
