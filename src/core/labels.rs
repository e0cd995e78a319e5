//! Labels: Compose's, so that `docker compose ps`, `logs` and `exec` work on what the operator makes, and our own.

/// The project: our stack.
pub const PROJECT: &str = "com.docker.compose.project";
/// The service.
pub const SERVICE: &str = "com.docker.compose.service";
/// The replica's number.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// `True` on containers of `docker compose run`, and of jobs.
pub const ONE_OFF: &str = "com.docker.compose.oneoff";
/// Hash of a service, network or volume.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// Id of the image it was made from.
pub const IMAGE: &str = "com.docker.compose.image";
/// Dependencies, as `service:condition:restart`, comma-separated.
pub const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Version of Compose whose rules the labels follow.
pub const VERSION: &str = "com.docker.compose.version";
/// Compose files, comma-separated.
pub const CONFIG_FILES: &str = "com.docker.compose.project.config_files";
/// Project directory.
pub const WORKING_DIR: &str = "com.docker.compose.project.working_dir";
/// Env files given on the command line, comma-separated.
pub const ENVIRONMENT_FILE: &str = "com.docker.compose.project.environment_file";
/// The container that this one replaces, while Compose replaces it.
pub const REPLACE: &str = "com.docker.compose.replace";
/// Key of a network.
pub const NETWORK: &str = "com.docker.compose.network";
/// Key of a volume.
pub const VOLUME: &str = "com.docker.compose.volume";

/// Prefix of all that Compose writes.
pub const COMPOSE_PREFIX: &str = "com.docker.compose.";
/// Prefix of all that the operator writes.
pub const OPERATOR_PREFIX: &str = "compose-operator.";

/// The stack, on everything that the operator made: the proof that it is ours to change.
pub const STACK: &str = "compose-operator.stack";
/// The revision that a container was made from.
pub const REVISION: &str = "compose-operator.revision";

/// Fingerprint of the files that were copied into a container; only on those that get some.
pub const FILES: &str = "compose-operator.files";

/// Fingerprints of the mounted files that a container was made with; only on those that have some.
pub const CONTENT: &str = "compose-operator.content";

/// The hooks that a container was made with, for people; only on those that have some.
pub const HOOKS: &str = "compose-operator.hooks";

/// When a job runs; only on the containers of jobs.
pub const JOB: &str = "compose-operator.job";

/// The Compose whose names, labels and hashes these are.
pub const COMPOSE_VERSION: &str = "2.40.3";

/// Whether Compose or the operator wrote this label, not the user.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with(COMPOSE_PREFIX) || key.starts_with(OPERATOR_PREFIX)
}
