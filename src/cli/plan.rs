//! Between the command line and a plan: which files it is of, and what was found out about them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::args::FileArgs;
use super::diff::Found;
use super::files::NearFiles;
use super::{files, standing};
use crate::compose::{HostSecrets, LoadOptions, clean};
use crate::core::diff::Change;
use crate::plan::seal::Seal;
use crate::plan::{Files, OPERATOR, Plan, StackPlan, Step, VARIABLES, file, wanted};
use crate::rehearse;

/// Writes what was found out as a plan, whole or not at all.
pub(super) fn write(path: &Path, files: Files, found: &[Found]) -> anyhow::Result<()> {
    let fingerprints = found.iter().map(|found| wanted::count(&found.desired)).sum();
    let seal = Seal::new(salt()?, fingerprints);
    let plan = Plan {
        operator: OPERATOR.to_owned(),
        created_at: standing::now(),
        files,
        stacks: found.iter().map(|found| of_stack(found, &seal)).collect(),
        seal,
    };
    file::write(path, &plan).with_context(|| format!("the plan cannot be written to {}", path.display()))
}

/// What was found out about a stack, as a plan has it.
pub(super) fn of_stack(found: &Found, seal: &Seal) -> StackPlan {
    let step = |step: &rehearse::Step| Step {
        action: step.action.to_owned(),
        target: step.target.clone(),
        service: step.service.clone(),
        cause: step.cause.clone(),
    };
    StackPlan {
        stack: found.desired.stack.clone(),
        engine: found.engine.id.clone(),
        recreate: found.desired.recreate.clone(),
        wanted: wanted::fingerprints(&found.desired, seal),
        seen: found.seen.clone(),
        changes: found.changes.iter().map(|change: &Change| change.into()).collect(),
        steps: found.rehearsal.steps.iter().map(step).collect(),
        waiting: found.rehearsal.blocked.iter().map(Into::into).collect(),
    }
}

/// Bytes that nobody has drawn before.
fn salt() -> anyhow::Result<[u8; 32]> {
    let mut salt = [0; 32];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut salt).map_err(|_| anyhow!("the system gives no random bytes, and a plan needs some"))?;
    Ok(salt)
}

/// What the command line says of files, for whoever reads it in another place.
pub(super) fn described(args: &FileArgs) -> anyhow::Result<Files> {
    let options = files::options(args)?;
    let near = NearFiles::given(&options);
    let absolute = |path: &PathBuf| clean(&options.working_dir.join(path));
    for path in options.files.iter().chain(&options.env_files) {
        if near.is_stream(path) || near.is_stream(&absolute(path)) {
            bail!(
                "--plan-out needs files that can be read again, and {} cannot: write it to a file first",
                path.display()
            );
        }
    }
    let variables = VARIABLES
        .into_iter()
        .filter_map(|name| options.environment.get(name).map(|value| (name.to_owned(), value.clone())));
    Ok(Files {
        files: options.files.iter().map(absolute).collect(),
        project_name: options.project_name.clone(),
        project_directory: options.project_directory.as_ref().map(absolute),
        profiles: options.profiles.clone(),
        env_files: options.env_files.iter().map(absolute).collect(),
        variables: variables.collect(),
        policy: options.trust.level,
        working_directory: options.working_dir,
    })
}

/// The same, for the loader: with the environment as it is now, but for Compose's own words on files.
pub(super) fn options(files: &Files, host: HostSecrets) -> LoadOptions {
    let mut environment: BTreeMap<String, String> = files::environment();
    environment.retain(|name, _| !VARIABLES.contains(&name.as_str()));
    environment.extend(files.variables.clone());
    LoadOptions {
        files: files.files.clone(),
        project_name: files.project_name.clone(),
        project_directory: files.project_directory.clone(),
        env_files: files.env_files.clone(),
        values: BTreeMap::new(),
        profiles: files.profiles.clone(),
        services: Vec::new(),
        jobs: Vec::new(),
        without_env_files: false,
        environment,
        working_dir: files.working_directory.clone(),
        trust: files::trust(files.policy, &files.files, &files.working_directory),
        host,
    }
}
