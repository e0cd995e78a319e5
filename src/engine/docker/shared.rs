//! Questions that many ask at one time, put once.
//!
//! The loops of many stacks ask the same of one engine: the lists of everything there is. One answer serves all who asked before
//! its call began, since whatever had happened by then is in it. There is never more than one call under way for a question,
//! and all who ask meanwhile share the next one.
//!
//! Whoever is polled drives the call. Loops share one task, and while one waits for something else its other calls are not
//! polled: nobody waits for who began.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_util::future::{FutureExt, LocalBoxFuture, Shared, WeakShared};

use crate::core::failure::Failure;

type Call<T> = LocalBoxFuture<'static, Result<T, Failure>>;

/// A question, and the last call that puts it.
pub(super) struct Question<T: Clone>(RefCell<Option<Asked<T>>>);

struct Asked<T: Clone> {
    /// The call was made. What happens from then on need not be in its answer.
    begun: Rc<Cell<bool>>,
    /// Nobody's once all who waited for it are gone: an answer is not kept.
    answer: WeakShared<Call<T>>,
}

impl<T: Clone> Default for Question<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone + 'static> Question<T> {
    /// An answer as of now or later, by `call` or by another one that is yet to begin.
    pub(super) async fn ask(
        &self,
        call: impl Future<Output = Result<T, Failure>> + 'static,
    ) -> Result<T, Failure> {
        self.put(call, false).await
    }

    /// The answer to a call that is under way, where there is one; else to this one.
    pub(super) async fn join(
        &self,
        call: impl Future<Output = Result<T, Failure>> + 'static,
    ) -> Result<T, Failure> {
        self.put(call, true).await
    }

    fn put(
        &self,
        call: impl Future<Output = Result<T, Failure>> + 'static,
        may_have_begun: bool,
    ) -> Shared<Call<T>> {
        let mut last = self.0.borrow_mut();
        let under_way = last.as_ref().and_then(|asked| {
            let answer = asked.answer.upgrade().filter(|answer| answer.peek().is_none())?;
            Some((answer, asked.begun.get()))
        });
        let before = match under_way {
            Some((answer, has_begun)) if may_have_begun || !has_begun => return answer,
            before => before.map(|(answer, _)| answer),
        };
        let begun = Rc::new(Cell::new(false));
        let begins = Rc::clone(&begun);
        let work = async move {
            if let Some(before) = before {
                let _for_others = before.await;
            }
            begins.set(true);
            call.await
        };
        let answer = work.boxed_local().shared();
        *last = answer.downgrade().map(|answer| Asked { begun, answer });
        answer
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    /// A call that is counted when it begins, and answers when it is told to.
    fn call(
        calls: &Rc<Cell<u32>>,
    ) -> (oneshot::Sender<()>, impl Future<Output = Result<u32, Failure>> + use<>) {
        let (answer, told) = oneshot::channel();
        let calls = Rc::clone(calls);
        let work = async move {
            calls.set(calls.get() + 1);
            let number = calls.get();
            let _ = told.await;
            Ok(number)
        };
        (answer, work)
    }

    #[tokio::test]
    async fn who_asks_while_a_call_is_under_way_shares_the_next_one() {
        let (question, calls) = (Question::default(), Rc::default());
        let (first_ends, first) = call(&calls);
        let (second_ends, second) = call(&calls);
        let (_never, third) = call(&calls);
        let mut first = Box::pin(question.ask(first));
        assert!(poll!(&mut first).is_pending());
        let (mut second, mut third) = (Box::pin(question.ask(second)), Box::pin(question.ask(third)));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        assert_eq!(calls.get(), 1, "one at a time");
        first_ends.send(()).unwrap();
        assert!(poll!(&mut second).is_pending(), "what happened meanwhile need not be in the first answer");
        assert_eq!(calls.get(), 2);
        second_ends.send(()).unwrap();
        assert_eq!((first.await, second.await, third.await), (Ok(1), Ok(2), Ok(2)));
        let (ends, fourth) = call(&calls);
        ends.send(()).unwrap();
        assert_eq!(question.ask(fourth).await, Ok(3), "an answer is not kept");
    }

    #[tokio::test]
    async fn who_asked_first_and_is_not_polled_or_gone_keeps_nobody_waiting() {
        let (question, calls) = (Question::default(), Rc::default());
        let (first_ends, first) = call(&calls);
        let (second_ends, second) = call(&calls);
        let mut unpolled = Box::pin(question.ask(first));
        assert!(poll!(&mut unpolled).is_pending());
        let mut gone = Box::pin(question.ask(second));
        assert!(poll!(&mut gone).is_pending());
        let (_never, third) = call(&calls);
        let third = question.ask(third);
        first_ends.send(()).unwrap();
        second_ends.send(()).unwrap();
        let mut third = Box::pin(third);
        assert!(poll!(&mut third).is_ready(), "it drives both calls by itself");
        drop(gone);
        let (ends, fourth) = call(&calls);
        ends.send(()).unwrap();
        assert_eq!(question.join(fourth).await, Ok(3));
        assert_eq!(unpolled.await, Ok(1));
    }

    #[tokio::test]
    async fn who_asks_twice_one_after_the_other_has_two_answers_however_many_ask() {
        let question = Question::default();
        let list = || async {
            tokio::task::yield_now().await;
            Ok(Rc::new(()))
        };
        let (question, list) = (&question, &list);
        let look = || async move {
            let one = question.ask(list()).await.unwrap();
            let other = question.ask(list()).await.unwrap();
            (one, other)
        };
        let (shop, blog) = futures_util::future::join(look(), look()).await;
        assert!(!Rc::ptr_eq(&shop.0, &shop.1) && !Rc::ptr_eq(&blog.0, &blog.1));
    }

    #[tokio::test]
    async fn who_takes_any_answer_joins_the_call_that_is_under_way() {
        let (question, calls) = (Question::default(), Rc::default());
        let (ends, first) = call(&calls);
        let (_never, second) = call(&calls);
        let mut first = Box::pin(question.ask(first));
        assert!(poll!(&mut first).is_pending());
        let second = question.join(second);
        ends.send(()).unwrap();
        assert_eq!((second.await, first.await), (Ok(1), Ok(1)));
    }
}
