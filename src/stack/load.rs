//! From paths to stacks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::compile::{compile, notifications};
use super::decode::{Undecoded, decode};
use super::depends::{self, Link};
use super::discover::{Sources, discover};
use super::faults::{Findings, Places, did_you_mean};
use super::files::{Dependencies, Watched};
use super::found::Found;
use super::manifest::{DeletionPolicy, Manifest, Spec};
use super::named;
use super::policy;
use super::secret_files;
use super::validate::{self, validate};
use crate::compose::FileView;
use crate::compose::errors::{Diagnostic, Diagnostics, Faults};
use crate::compose::yaml::{Mapping, Node, Span};
use crate::compose::{self, Confined, LoadOptions, Project, clean};
use crate::core::desired::Desired;
use crate::core::ids::StackName;
use crate::core::notice::Notifications;
use crate::core::overrides::Overrides;

/// A stack as its files declare it.
#[derive(Clone, Debug)]
pub struct Stack {
    /// What should be.
    pub desired: Desired,
    /// The Compose project that it was made from.
    pub project: Project,
    /// The file of its manifest; `None` for bare Compose files.
    pub manifest: Option<PathBuf>,
    /// Who is told of what happens to it.
    pub notifications: Notifications,
    /// The stacks that come first.
    pub depends_on: Vec<StackName>,
    /// What becomes of it when its manifest is gone.
    pub deletion: DeletionPolicy,
    /// The manifest as it was written.
    pub(super) document: Option<Node>,
    /// What is dubious without being wrong, with places where they are known.
    pub warnings: Vec<Diagnostic>,
    /// The fault of a stack that is sound but for this: no profile is on that would select a service.
    idle: Option<Diagnostic>,
}

impl Stack {
    /// What the loader refuses of the stack with these numbers of replicas.
    pub fn faults_of_replicas(&self, scaled: &Desired) -> Vec<Diagnostic> {
        let places = Places { project: &self.project, manifest: self.document.as_ref() };
        let mut findings = Findings::default();
        validate::replicas(places, scaled, &mut findings);
        in_order_of_place(findings.faults)
    }
}

/// What a load gave: the stacks that are sound, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The sound ones, by name.
    pub stacks: Vec<Stack>,
    /// What is wrong. While there is anything, a stack that is not in `stacks` may only be broken, not gone.
    pub faults: Vec<Diagnostic>,
    /// What is dubious and no stack's own.
    pub warnings: Vec<Diagnostic>,
    /// What this depends on.
    pub dependencies: Dependencies,
    /// What people laid over stacks, those that did not load too.
    pub overrides: BTreeMap<StackName, Overrides>,
    /// What the next load is held against.
    pub found: Found,
    /// There is something newer somewhere that is not in this, or may be: what is not here may be there.
    pub is_behind: bool,
    /// Stacks without a service that a profile selects; each is among the faults.
    idle: Vec<Stack>,
}

impl Loaded {
    /// All stacks, or everything that is wrong with any.
    pub fn all(self) -> Result<Vec<Stack>, Diagnostics> {
        if self.faults.is_empty() { Ok(self.stacks) } else { Err(Diagnostics { faults: self.faults }) }
    }

    /// Takes in what another source gave. A stack that both have is the first one's.
    pub fn join(&mut self, other: Self) {
        for stack in other.stacks {
            let name = &stack.desired.stack;
            if self.stacks.iter().any(|known| known.desired.stack == *name) {
                let fault = Diagnostic::new(format!("two sources have a stack `{name}`"));
                self.faults.push(fault.help("rename one, or take it out of one of them"));
            } else {
                self.stacks.push(stack);
            }
        }
        self.stacks.sort_by(|a, b| a.desired.stack.cmp(&b.desired.stack));
        self.faults.extend(other.faults);
        self.warnings.extend(other.warnings);
        self.dependencies.files.extend(other.dependencies.files);
        self.dependencies.directories.extend(other.dependencies.directories);
        self.overrides.extend(other.overrides);
        self.is_behind |= other.is_behind;
        self.idle.extend(other.idle);
    }

    /// For whoever looks or removes: what no profile selects is no fault then.
    #[must_use]
    pub fn even_idle(mut self) -> Self {
        self.faults.retain(|fault| !self.idle.iter().any(|stack| stack.idle.as_ref() == Some(fault)));
        self.stacks.append(&mut self.idle);
        self.stacks.sort_by(|a, b| a.desired.stack.cmp(&b.desired.stack));
        self
    }
}

/// Loads the stacks that the options name: Compose's own options, of which `files` may name manifests and
/// directories of manifests as well, and `project_name` then picks one stack.
pub fn load(options: &LoadOptions, view: &dyn FileView) -> Loaded {
    load_from(options, &Found::default(), view)
}

/// The same for who loaded before: what is missing of what was found then makes no other stacks the nearest.
pub fn load_from(options: &LoadOptions, before: &Found, view: &dyn FileView) -> Loaded {
    let confined = Confined::by(options, view);
    let files = Watched::new(confined.as_ref().map_or(view, |confined| confined));
    // What a manifest names is relative to its directory; the checkout is not.
    let options = &LoadOptions { trust: options.trust_within(), ..options.clone() };
    let (mut stacks, mut idle, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = Found::default();
    let sources = discover(options, before, &files).map(|(sources, home)| {
        found.home = home;
        sources
    });
    let mut warnings = Vec::new();
    if let Ok(Sources::Manifests(documents, dubious)) = &sources {
        found.manifests = documents.iter().map(|(path, _)| path.clone()).collect();
        warnings.clone_from(dubious);
    }
    each(options, &sources, &mut faults, |options, declared| {
        let stack = load_stack(options, &files, declared)?;
        if declared.is_none() {
            before.fits(found.home.as_ref(), &stack.project, &files)?;
            found.project = Some(stack.project.name.clone());
        }
        let fault = stack.idle.clone();
        if declared.is_none_or(|declared| declared.faults.is_empty()) {
            let kind = if fault.is_some() { &mut idle } else { &mut stacks };
            kind.push(stack);
        }
        fault.map_or(Ok(()), |fault| Err(vec![fault]))
    });
    stacks.sort_by(|a, b| a.desired.stack.cmp(&b.desired.stack));
    Loaded {
        stacks,
        faults,
        warnings,
        dependencies: files.into_dependencies(),
        overrides: BTreeMap::new(),
        found,
        is_behind: false,
        idle,
    }
}

/// Loads only the Compose projects of the stacks: what Compose itself would run, whether the operator can or not.
pub fn load_projects(options: &LoadOptions, view: &dyn FileView) -> Result<Vec<Project>, Diagnostics> {
    let confined = Confined::by(options, view);
    let files = Watched::new(confined.as_ref().map_or(view, |confined| confined));
    let (mut projects, mut faults) = (Vec::new(), Vec::new());
    let sources = discover(options, &Found::default(), &files).map(|(sources, _)| sources);
    each(options, &sources, &mut faults, |options, _| {
        projects.push(compose::load(options, &files).map_err(|found| found.faults)?);
        Ok(())
    });
    projects.sort_by(|a, b| a.name.cmp(&b.name));
    if faults.is_empty() { Ok(projects) } else { Err(Diagnostics { faults }) }
}

/// Calls `use_one` with Compose's options for each stack that was found, and collects what goes wrong.
fn each(
    options: &LoadOptions,
    sources: &Result<Sources, Vec<Diagnostic>>,
    faults: &mut Vec<Diagnostic>,
    mut use_one: impl FnMut(&LoadOptions, Option<&Declared<'_>>) -> Result<(), Vec<Diagnostic>>,
) {
    match sources {
        Ok(Sources::Compose(paths)) => {
            let options = LoadOptions { files: paths.clone(), ..options.clone() };
            faults.extend(use_one(&options, None).err().into_iter().flatten());
        }
        Ok(Sources::Manifests(documents, _)) => {
            for stack in declared(options, documents, faults) {
                let options = options_of(options, &stack);
                let more = use_one(&options, Some(&stack)).err().into_iter().flatten();
                faults.extend(in_order_of_place(stack.faults.iter().cloned().chain(more).collect()));
            }
        }
        Err(more) => faults.extend(more.iter().cloned()),
    }
}

/// A manifest with what is needed to tell about it.
struct Declared<'a> {
    path: &'a Path,
    document: &'a Node,
    manifest: Manifest,
    /// What is wrong with it; the manifest is what is left without.
    faults: Vec<Diagnostic>,
    /// What is dubious about it.
    warnings: Vec<Diagnostic>,
}

/// Reads the manifests, and picks the one that `-p` names.
fn declared<'a>(
    options: &LoadOptions,
    documents: &'a [(PathBuf, Node)],
    faults: &mut Vec<Diagnostic>,
) -> Vec<Declared<'a>> {
    let (mut declared, mut names) = (Vec::new(), BTreeMap::<String, Span>::new());
    for (path, document) in documents {
        let (mut manifest, mut found) = match decode::<Manifest>(document) {
            Ok(manifest) => (manifest, Vec::new()),
            Err(Undecoded { faults, rest: Some(manifest) }) => (*manifest, faults),
            Err(Undecoded { faults: more, rest: None }) => {
                faults.extend(in_order_of_place(more));
                continue;
            }
        };
        let place = document.lookup(&["metadata", "name"]).unwrap_or(document);
        if let Some(fault) = claim(&manifest.metadata.name, &place.span, &mut names) {
            found.push(fault);
            // Compose would have its own to say about the name.
            NAMELESS.clone_into(&mut manifest.metadata.name);
        }
        declared.push(Declared { path, document, manifest, faults: found, warnings: Vec::new() });
    }
    judge_order(&mut declared);
    if let Some(wanted) = &options.project_name {
        let is_sound = faults.is_empty() && declared.iter().all(|stack| stack.faults.is_empty());
        if !names.contains_key(wanted) && is_sound {
            let fault = Diagnostic::new(format!("no manifest declares the stack `{wanted}`"));
            faults.push(fault.help(did_you_mean(wanted, names.keys().map(String::as_str))));
        }
        let (picked, others): (Vec<_>, Vec<_>) =
            declared.into_iter().partition(|stack| stack.manifest.metadata.name == *wanted);
        faults.extend(others.into_iter().flat_map(|stack| in_order_of_place(stack.faults)));
        declared = picked;
    }
    declared
}

/// Tells of stacks that wait for each other, and of those that are not here.
fn judge_order(declared: &mut [Declared<'_>]) {
    let links: Vec<Link<'_>> = declared
        .iter()
        .map(|stack| {
            let Declared { document, manifest, .. } = stack;
            Link { name: &manifest.metadata.name, document, depends_on: &manifest.spec.depends_on }
        })
        .collect();
    let judge = |link: &Link<'_>| (depends::cycle(link, &links), depends::elsewhere(link, &links));
    let judged: Vec<_> = links.iter().map(judge).collect();
    for (stack, (fault, warnings)) in declared.iter_mut().zip(judged) {
        stack.faults.extend(fault);
        stack.warnings = warnings;
    }
}

/// What a stack is called while its name is at fault.
const NAMELESS: &str = "stack";

/// Takes a stack's name; what is wrong with it, where something is.
fn claim(name: &str, place: &Span, names: &mut BTreeMap<String, Span>) -> Option<Diagnostic> {
    let mut letters = name.chars();
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !letters.next().is_some_and(sound) || !letters.all(|c| sound(c) || c == '-' || c == '_') {
        let fault = Diagnostic::at(place, format!("`{name}` cannot be the name of a stack"));
        return Some(fault.help("use lower-case letters, digits, `-` and `_`, a letter or digit first"));
    }
    let first = names.get(name).cloned();
    if let Some(first) = first {
        let fault = Diagnostic::at(place, format!("there are two stacks `{name}`")).label("declared again");
        let fault = fault.second(&first, "first declared here");
        return Some(fault.help("two stacks of one name would fight over the same containers; rename one"));
    }
    names.insert(name.to_owned(), place.clone());
    None
}

/// The services that are jobs: they run whatever profile they are in.
fn jobs_of(spec: &Spec) -> Vec<String> {
    let jobs = spec.services.iter().filter(|(_, overlay)| overlay.job.is_some());
    jobs.map(|(name, _)| name.clone()).collect()
}

/// Compose's options for the project of a manifest. Its paths are relative to the manifest's directory;
/// what the command line says wins.
fn options_of(options: &LoadOptions, stack: &Declared<'_>) -> LoadOptions {
    let compose = &stack.manifest.spec.compose;
    let directory = stack.path.parent().map_or_else(|| options.working_dir.clone(), Path::to_owned);
    // By the text alone, as Compose itself resolves paths: what is found, read and shown is one path.
    let resolved =
        |paths: &[String]| paths.iter().map(|path| clean(&directory.join(path))).collect::<Vec<_>>();
    let given =
        |paths: &[PathBuf]| paths.iter().map(|path| options.working_dir.join(path)).collect::<Vec<_>>();
    let mut environment = options.environment.clone();
    // The manifest says which files; variables of the caller's shell must not choose others.
    for variable in ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES", "COMPOSE_ENV_FILES"] {
        environment.remove(variable);
    }
    let mut values = values_of(stack.document);
    // The manifest's own env files say what all environments share; those of the host are the last word.
    if options.env_files.is_empty() {
        for (name, value) in std::mem::take(&mut values) {
            environment.entry(name).or_insert(value);
        }
    }
    let project_directory = match (&options.project_directory, &compose.project_directory) {
        (Some(given), _) => Some(options.working_dir.join(given)),
        (None, declared) => declared.as_ref().map(|path| directory.join(path)),
    };
    let mut profiles = compose.profiles.clone();
    profiles.extend(options.profiles.iter().filter(|profile| !compose.profiles.contains(profile)).cloned());
    LoadOptions {
        files: resolved(&compose.files),
        project_name: Some(stack.manifest.metadata.name.clone()),
        project_directory,
        env_files: if options.env_files.is_empty() {
            resolved(&compose.env_files)
        } else {
            given(&options.env_files)
        },
        values,
        profiles,
        services: options.services.clone(),
        jobs: jobs_of(&stack.manifest.spec),
        without_env_files: options.without_env_files,
        environment,
        working_dir: directory,
        trust: options.trust.clone(),
        host: options.host.clone(),
    }
}

/// The variables that a manifest sets, spelt as they are there: `1.10` is no other number's text.
fn values_of(document: &Node) -> BTreeMap<String, String> {
    let values = document.lookup(&["spec", "compose", "values"]).and_then(Node::as_mapping);
    let text = |node: &Node| node.as_text().or(node.spelling.as_deref()).map(str::to_owned);
    let values = values.into_iter().flat_map(Mapping::iter).filter(|(_, node)| !node.is_null());
    values.filter_map(|(name, node)| Some((name.to_owned(), text(node)?))).collect()
}

fn load_stack(
    options: &LoadOptions,
    files: &Watched<'_>,
    declared: Option<&Declared<'_>>,
) -> Result<Stack, Vec<Diagnostic>> {
    if let Some(stack) = declared {
        named::check(options, files, stack.document, &stack.manifest.spec.compose)?;
    }
    let (mut project, broken) = compose::load_what_is_sound(options, files)
        .map_err(|found| named::manifests_among(&options.files, files).unwrap_or(found.faults))?;
    let mut findings = Findings::default();
    secret_files::open(&mut project, options, files, &mut findings);
    let bare = Spec::default();
    let spec = declared.map_or(&bare, |stack| &stack.manifest.spec);
    let places = Places { project: &project, manifest: declared.map(|stack| stack.document) };
    let desired = compile(places, files, spec, &mut findings);
    let notifications = notifications(places, spec, &options.working_dir, &mut findings);
    validate(places, spec, &desired, broken.is_none(), &mut findings);
    policy::check(places, files, options, spec, &mut findings);
    if let Some(Diagnostics { faults }) = broken {
        let mut all = Faults::default();
        all.extend(faults);
        // What is found at the place of one that is known follows from that.
        all.next_stage();
        all.extend(findings.faults);
        return Err(all.diagnostics().faults);
    }
    let is_idle = desired.services.is_empty() && !desired.inactive.is_empty() && findings.faults.len() == 1;
    let idle = if is_idle { findings.faults.pop() } else { None };
    if !findings.faults.is_empty() {
        return Err(in_order_of_place(findings.faults));
    }
    let mut warnings = project.warnings.clone();
    warnings.extend(in_order_of_place(findings.warnings));
    warnings.extend(declared.into_iter().flat_map(|stack| stack.warnings.iter().cloned()));
    Ok(Stack {
        desired,
        project,
        manifest: declared.map(|stack| stack.path.to_owned()),
        notifications,
        depends_on: spec.depends_on.iter().map(|name| StackName::from(name.as_str())).collect(),
        deletion: spec.deletion_policy.unwrap_or_default(),
        document: declared.map(|stack| stack.document.clone()),
        warnings,
        idle,
    })
}

/// As a person reads the files: from top to bottom, whichever check found what.
fn in_order_of_place(mut findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    findings.sort_by(|a, b| {
        let place = |it: &Diagnostic| (it.path().map(Path::to_owned), it.line(), it.column());
        place(a).cmp(&place(b))
    });
    // Two services may use the same faulty config.
    findings.dedup();
    findings
}
