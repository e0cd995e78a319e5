//! What wakes a source: something to look at in its repository, or something here for which what is known is read anew.

use tokio::time::{Instant, sleep_until};

use super::look::Look;
use super::{DEBOUNCE, GitSource};
use crate::source::watch::Watch;
use crate::store::sources::Ask;

/// What has come up while a look is under way.
enum Event {
    /// It is over.
    Looked(Look),
    /// Somebody asked for something.
    Asked,
    /// A file of this machine has changed, or a window has opened.
    Here,
}

/// Ready when something that is watched has changed.
async fn changed(watch: &mut Option<Watch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

impl GitSource {
    /// Ready when there is something to load. A look goes on when it is not waited for.
    pub(super) async fn wait_for_news(&mut self) {
        loop {
            if self.looking.is_none() {
                if !self.woken().await {
                    return;
                }
                sleep_until(self.next_look).await;
            }
            match self.look_on().await {
                Event::Looked(look) => {
                    self.looking = None;
                    let is_news = self.take(look);
                    if std::mem::take(&mut self.is_asked_anew) {
                        self.next_look = self.soon();
                    }
                    if is_news {
                        return;
                    }
                }
                Event::Asked if !self.is_approved() => self.is_asked_anew = true,
                Event::Asked | Event::Here => return,
            }
        }
    }

    /// Looks at the repository, or goes on doing so. A server that does not answer keeps no word of this machine from being
    /// heeded.
    async fn look_on(&mut self) -> Event {
        self.begin();
        let Self { looking, files, asks, gate, standing, settings, .. } = self;
        let look = async {
            match looking {
                Some(looking) => looking.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            look = look => Event::Looked(look),
            () = changed(asks) => Event::Asked,
            () = changed(files) => Event::Here,
            () = gate.opens(&settings.sync.windows, standing.held.as_ref()) => Event::Here,
        }
    }

    /// Ready when it is time for a look (`true`), or when a file of this machine has changed.
    async fn woken(&mut self) -> bool {
        // Of a suspended one only a person's word is heeded.
        let follows = !self.settings.suspended;
        let is_new = |ask: &Option<Ask>| {
            ask.is_some() && *ask != self.standing.heeded && *ask != self.gate.asked_before
        };
        if !follows && is_new(&self.sources.asked(&self.settings.name)) {
            self.next_look = Instant::now();
            return true;
        }
        let refs = async {
            match &mut self.refs {
                Some(refs) => refs.changed().await,
                None => std::future::pending().await,
            }
        };
        let opens = self.gate.opens(&self.settings.sync.windows, self.standing.held.as_ref());
        let is_look = tokio::select! {
            biased;
            () = self.bell.rung(), if follows => true,
            // That something was written there is no word yet of one that is suspended.
            () = changed(&mut self.asks) => follows || is_new(&self.sources.asked(&self.settings.name)),
            () = refs, if follows => true,
            () = changed(&mut self.files) => false,
            () = opens => false,
            () = sleep_until(self.next_look), if follows => true,
        };
        // From here on it is known that there is something: it must not be forgotten.
        if is_look {
            self.next_look = self.soon();
        }
        // A server that does not answer keeps no word from being heeded.
        is_look && !self.is_approved()
    }

    /// When the next look may be, where there is something to look at.
    fn soon(&self) -> Instant {
        self.last_look.map_or_else(Instant::now, |last| last + DEBOUNCE)
    }
}
