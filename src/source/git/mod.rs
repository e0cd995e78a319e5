//! Stacks in a git repository: a commit is followed when all of it is sound, and the last sound one stays in force until
//! then.
//!
//! Whatever becomes of the repository (unreachable, rewritten, emptied, damaged), nothing follows from it but that the
//! revision in force stays there.

pub mod address;
pub mod command;
pub mod gate;
mod group;
pub mod hosted;
mod look;
pub mod mirror;
pub mod past;
mod refs;
mod revisions;
mod settings;
pub mod signature;
mod ssh;
pub mod tree;
mod troubles;
mod unkept;
mod upkeep;
mod wake;

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use tokio::time::Instant;
use tracing::info;

use self::address::{Place, UserInfo};
use self::command::{Credentials, Git, Password};
use self::gate::Gate;
use self::look::{Known, Look, LookError, Seen, Trust};
use self::mirror::Mirror;
use self::refs::Refs;
use self::revisions::Revisions;
pub use self::settings::{DEFAULT_INTERVAL, Settings, Webhook, default_policy};
use self::unkept::unkept;
use super::watch::Watch;
use super::{Bell, Source};
use crate::clock::{Clock as _, SystemClock};
use crate::compose::errors::Diagnostic;
use crate::compose::{Confined, FileView as _, LoadOptions, clean};
use crate::core::code_host::CodeHost;
use crate::core::commit::Commit;
use crate::core::ids::short;
use crate::core::time::Timestamp;
use crate::core::trust::Trust as Trusted;
use crate::stack::{self, Dependencies, Found, Loaded};
use crate::store::sources::{Ask, Held, SourceStanding, Sources};

/// A local one tells of itself; it is looked at all the same, as its file system may send no events.
const LOCAL_INTERVAL: Duration = Duration::from_secs(30);

/// Looks follow each other no faster than this, however often the bell is rung: a flood of webhooks is one fetch each.
const DEBOUNCE: Duration = Duration::from_millis(250);

/// Whether the commit of a source that is in force is this one, or came after it; by its first digits.
pub fn has_passed(sources: &Sources, in_force: &Commit, commit: &str) -> bool {
    let home = sources.home(&in_force.source);
    in_force.hash.starts_with(commit)
        || Git::new(&home, Credentials::default())
            .is_ok_and(|git| git.is_ancestor(&home.join(REPOSITORY), commit, &in_force.hash))
}

/// The copy of the repository, in a source's own directory.
const REPOSITORY: &str = "repository.git";

/// A commit whose files are here, and which is not in force, or not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    directory: String,
    commit: Commit,
    signer: Option<String>,
    /// A person asked for it, and goes through windows that let them.
    by_hand: bool,
}

/// What keeps a candidate out of force.
enum Kept {
    /// With what was read for it.
    Broken(Vec<Diagnostic>, Dependencies),
    Held(Box<Held>),
}

/// Tells since when something below a directory may be mounted; nothing where that is not known.
pub type MountedSince = Rc<dyn Fn(PathBuf) -> LocalBoxFuture<'static, Option<Timestamp>>>;

/// Stacks in a git repository.
pub struct GitSource {
    settings: Settings,
    mirror: Mirror,
    revisions: Revisions,
    sources: Sources,
    bell: Bell,
    refs: Option<Refs>,
    /// Files of this machine that stacks depend on.
    files: Option<Watch>,
    /// What people ask of it.
    asks: Option<Watch>,
    asked: Option<Ask>,
    /// Somebody asked while a look was under way.
    is_asked_anew: bool,
    /// A look that is under way. It goes on when it is not waited for.
    looking: Option<LocalBoxFuture<'static, Look>>,
    /// What the reference pointed to in the last look that got all of it.
    known: Option<Known>,
    candidate: Option<Candidate>,
    /// Why what it points to is not even read: nobody who is trusted has signed it.
    distrust: Option<Diagnostic>,
    trust: Option<Trust>,
    last_look: Option<Instant>,
    next_look: Instant,
    /// What there was when the revision in force was read.
    found: Found,
    standing: SourceStanding,
    gate: Gate,
    mounted_since: Option<MountedSince>,
    /// Revisions may be there that nobody needs.
    is_untidy: bool,
}

impl fmt::Debug for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitSource").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl GitSource {
    /// The source with these settings; what it keeps is under the state directory.
    pub fn open(settings: Settings, state: &Path) -> io::Result<Self> {
        let sources = Sources::new(state);
        let home = sources.home(&settings.name);
        let mut credentials = settings.credentials.clone();
        let said = settings.address.user_info.clone();
        credentials.basic =
            credentials.basic.or(said.map(|UserInfo { user, password }| (user, Password::Known(password))));
        let git = Git::new(&home, credentials)?;
        let mirror = Mirror::new(git, settings.address.clone(), home.join(REPOSITORY));
        let scratch = home.join("judgement");
        let trust = settings.verify.clone().map(|verify| Trust { verify, scratch });
        let revisions = Revisions::open(home, state.join("checkouts").join(&settings.name))?;
        let standing = upkeep::first_standing(&settings, &revisions);
        let refs = match &settings.address.place {
            Place::Local(path) => Some(Refs::watch(path)),
            Place::Http(_) | Place::Ssh(_) => None,
        };
        let gate = Gate::new(sources.asked(&settings.name));
        let asks = sources.asks(&settings.name);
        std::fs::create_dir_all(&asks)?;
        let asks = Watch::settling(Duration::from_millis(10)).map(|mut watch| {
            watch.follow(&[asks].into());
            watch
        });
        let source = Self {
            mirror,
            revisions,
            sources,
            bell: Bell::default(),
            refs,
            files: Watch::new(),
            asks,
            asked: None,
            is_asked_anew: false,
            looking: None,
            known: None,
            candidate: None,
            distrust: None,
            trust,
            last_look: None,
            next_look: Instant::now(),
            found: Found::default(),
            standing,
            gate,
            mounted_since: None,
            is_untidy: true,
            settings,
        };
        source.note();
        Ok(source)
    }

    /// With somebody who knows what is mounted. Without, every revision is kept.
    #[must_use]
    pub fn knowing(self, mounted_since: MountedSince) -> Self {
        Self { mounted_since: Some(mounted_since), ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Who may ring its bell.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.settings.webhook.as_ref()
    }

    /// Where it is told what becomes of its commits.
    pub fn commit_status(&self) -> Option<&CodeHost> {
        self.settings.commit_status.as_ref()
    }

    /// What wakes it.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Looks at the repository, where nothing of it is in force yet; what is, needs no repository to be kept so.
    pub async fn begin_with(&mut self) {
        if self.revisions.in_force().is_some() {
            self.mend().await;
            return;
        }
        if self.settings.suspended {
            return;
        }
        let looking = self.begin();
        let look = looking.await;
        self.looking = None;
        self.take(look);
    }

    fn begin(&mut self) -> &mut LocalBoxFuture<'static, Look> {
        let (mirror, revisions) = (self.mirror.clone(), self.revisions.clone());
        let (known, trust) = (self.known.clone(), self.trust.clone());
        if self.looking.is_none() {
            self.last_look = Some(Instant::now());
            self.asked = self.sources.asked(&self.settings.name);
        }
        let held = self.asked.as_ref().and_then(|ask| ask.revision.clone());
        self.looking.get_or_insert_with(|| look::look(mirror, revisions, known, held, trust).boxed_local())
    }

    /// Takes in what a look came to. Whether there is something to load.
    fn take(&mut self, look: Look) -> bool {
        self.next_look = Instant::now() + self.pause();
        let (now, by_hand) = (now(), self.is_by_hand());
        let is_news = match look {
            Ok(Seen::Same) => {
                self.reached(now);
                // What was refused may have been so for this machine's sake: it costs a reading.
                self.candidate.is_some() && self.standing.held.is_none()
            }
            Ok(Seen::Commit { object, directory, commit, signer }) => {
                self.reached(now);
                self.known = Some(Known { object: self.pinned(&commit).unwrap_or(object), is_trusted: true });
                self.distrust = None;
                let commit = self.attempt(commit, now);
                self.candidate = Some(Candidate { directory, commit, signer, by_hand });
                true
            }
            Err(LookError::Untrusted { object, commit, untrusted }) => {
                self.reached(now);
                self.known = Some(Known { object, is_trusted: false });
                self.candidate = None;
                self.standing.held = None;
                self.attempt(commit, now);
                self.distrust(&untrusted)
            }
            Err(trouble) => {
                self.lost(trouble.to_string(), now);
                false
            }
        };
        let is_news = is_news || (by_hand && self.take_by_hand());
        self.standing.heeded.clone_from(&self.asked);
        // What is news is written down when it has been tried.
        if !is_news {
            self.note();
        }
        is_news
    }

    /// Until the next look, where nothing wakes it: a tenth more or less, so that many do not ask at once.
    fn pause(&self) -> Duration {
        let interval = if self.refs.is_some() { LOCAL_INTERVAL } else { self.settings.interval };
        let drawn = RandomState::new().build_hasher().finish() % 200;
        interval.mul_f64(0.9 + f64::from(u32::try_from(drawn).unwrap_or(0)) / 1000.0)
    }

    /// The options with which a revision is read.
    fn options(&self) -> LoadOptions {
        let current = self.revisions.current();
        let files = self.settings.path.iter().map(|path| current.join(path)).collect();
        let trust = Trusted { level: self.settings.policy, root: Some(current.clone()) };
        LoadOptions { files, trust, working_dir: current, ..self.settings.options.clone() }
    }

    fn read(&self, directory: &str, commit: &Commit) -> Loaded {
        let current = self.revisions.current();
        let view = Confined::mapped(current.clone(), self.revisions.path(directory))
            .shown_as(format!("{}:", short(&commit.hash)));
        let path = self.settings.path.as_ref().map(|path| clean(&current.join(path)));
        let is_missing = path.is_some_and(|path| !view.is_file(&path) && !view.is_dir(&path));
        let mut loaded = if is_missing {
            Loaded::default()
        } else {
            stack::load_from(&self.options(), &self.found, &view)
        };
        if is_missing {
            let message = format!("the commit {commit} has no `{}`", self.standing.path);
            let help = "put it back, or say with --path where the manifests are now";
            loaded.faults.push(Diagnostic::new(message).help(help));
        }
        if loaded.stacks.is_empty() && loaded.faults.is_empty() {
            let fault = Diagnostic::new(format!("the commit {commit} has no stack"));
            loaded.faults.push(fault.help("an empty repository takes nothing away: `operator down` does"));
        }
        for stack in &mut loaded.stacks {
            stack.desired.commit = Some(commit.clone());
            loaded.faults.extend(unkept(stack, &current, &view));
        }
        let name = &self.settings.name;
        loaded.faults = loaded.faults.into_iter().map(|fault| fault.of_source(name)).collect();
        loaded
    }

    /// Reads the candidate, and puts it in force where all of it is sound and nothing holds it. Else what keeps it from that.
    fn try_candidate(&mut self, candidate: &Candidate) -> Result<Loaded, Kept> {
        let loaded = self.read(&candidate.directory, &candidate.commit);
        if !loaded.faults.is_empty() {
            return Err(Kept::Broken(loaded.faults, loaded.dependencies));
        }
        if let Some(held) = self.held(candidate, &loaded) {
            return Err(Kept::Held(Box::new(held)));
        }
        let approved_by = self.approval(candidate).map(|approval| approval.by);
        let now = now();
        let Candidate { directory, commit, signer, .. } = candidate.clone();
        let switched = self.revisions.switch(directory, commit, signer, now);
        switched.map_err(|error| {
            let fault = format!("the commit {} cannot be put in force: {error}", candidate.commit);
            let fault = Diagnostic::new(fault).of_source(&self.settings.name);
            let faults = vec![fault.help("make room, or make the state directory writable")];
            Kept::Broken(faults, Dependencies::default())
        })?;
        self.found.renew(&loaded);
        self.is_untidy = true;
        self.stand();
        let signer = candidate.signer.as_deref();
        info!(source = self.settings.name, commit = %candidate.commit, signer, approved_by, "in force");
        Ok(loaded)
    }

    /// What is in force.
    fn last_good(&mut self) -> Loaded {
        let Some(turn) = self.revisions.in_force().cloned() else { return Loaded::default() };
        let loaded = self.read(&turn.directory, &turn.commit);
        self.found.renew(&loaded);
        loaded
    }

    /// Watches what is read beside the repository.
    fn follow(&mut self, dependencies: &Dependencies) {
        let current = self.revisions.current();
        let is_outside = |path: &&PathBuf| !path.starts_with(&current);
        let outside = Dependencies {
            files: dependencies.files.iter().filter(is_outside).cloned().collect(),
            directories: BTreeSet::new(),
        };
        if let Some(files) = &mut self.files {
            files.follow(&super::files::directories(&outside));
        }
    }
}

fn now() -> Timestamp {
    SystemClock::default().now()
}

impl Source for GitSource {
    fn load(&mut self) -> Loaded {
        let candidate = self.candidate.clone();
        let tried = candidate.as_ref().map(|candidate| (candidate, self.try_candidate(candidate)));
        self.standing.held = None;
        let mut loaded = match tried {
            Some((_, Ok(loaded))) => {
                self.candidate = None;
                self.standing.refused = None;
                loaded
            }
            Some((_, Err(Kept::Held(held)))) => {
                (self.standing.held, self.standing.refused) = (Some(*held), None);
                self.last_good()
            }
            Some((candidate, Err(Kept::Broken(faults, dependencies)))) => {
                let headline = faults.first().map(Diagnostic::headline).unwrap_or_default();
                self.refuse(format!("the commit {} is refused: {headline}", candidate.commit));
                let mut loaded = self.last_good();
                loaded.faults.extend(faults);
                // What it lacks may come to be on this machine.
                loaded.dependencies.files.extend(dependencies.files);
                loaded
            }
            None => {
                let mut loaded = self.last_good();
                loaded.faults.extend(self.distrust.clone());
                loaded
            }
        };
        loaded.is_behind = self.candidate.is_some() || self.standing.trouble().is_some();
        self.follow(&loaded.dependencies);
        self.note();
        loaded
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        async move {
            // No look is under way that has files of its own there.
            if self.looking.is_none() && self.candidate.is_none() {
                self.tidy().await;
            }
            self.wait_for_news().await;
        }
        .boxed_local()
    }
}
