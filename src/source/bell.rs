//! A bell at a source's door: whoever knows that there may be something new rings it.

use std::sync::Arc;

use tokio::sync::Notify;

/// Wakes a source before its time. Rung any number of times while nobody listens, it has rung once.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// Says that there may be something new.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Ready when it has been rung since this was last ready.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn rung_often_it_has_rung_once() {
        let bell = Bell::default();
        assert_eq!(bell.rung().now_or_never(), None);
        (0..10_000).for_each(|_| bell.ring());
        assert_eq!(bell.rung().now_or_never(), Some(()));
        assert_eq!(bell.rung().now_or_never(), None);
    }
}
