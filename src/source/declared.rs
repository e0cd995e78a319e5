//! Sources in a file of the host: `kind: Source`. What a repository may do is said here, and never in the repository.

mod commit_status;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use self::commit_status::{CommitStatusDocument, code_host};
use super::git::address::{Address, checked_reference};
use super::git::command::{Credentials, Password};
use super::git::gate::{Approve, SyncSettings};
use super::git::signature::Verify;
use super::git::{DEFAULT_INTERVAL, Settings, Webhook, default_policy};
use super::windows::{WindowDocument, Windows};
use crate::compose::errors::{Diagnostic, Diagnostics};
use crate::compose::yaml::{self, Node};
use crate::compose::{DiskFiles, FileView, HostSecrets, LoadOptions, clean};
use crate::core::trust::Level;
use crate::secret::Secret;
use crate::stack::decode::{Document, decode};
use crate::stack::manifest::{ApiVersion, schema_of};
use crate::stack::period::Period;

/// Servers are not asked more often than this: a webhook tells at once.
pub const SHORTEST_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// One source: where stacks come from, and how far it is trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Source")]
pub struct SourceDocument {
    /// Version of the format.
    pub api_version: ApiVersion,
    /// What the document describes.
    pub kind: Kind,
    /// What the source is called.
    pub metadata: Metadata,
    /// What the source is.
    pub spec: Spec,
}

/// Kinds of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Kind {
    /// Where stacks come from.
    Source,
}

/// What a source is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Lower-case letters, digits and `-`; a letter or a digit first. It names its directory, its webhook and its metrics.
    #[schemars(regex(pattern = "^[a-z0-9][a-z0-9-]*$"), extend("examples" = ["shop"]))]
    pub name: String,
}

/// What a source is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The repository.
    pub git: Git,
    /// Follow only what is signed by a key that is trusted. Everything where nothing is said.
    #[serde(default)]
    pub verify: Option<Verify>,
    /// What its files may ask of this machine. `baseline` for a repository that is elsewhere, `privileged` for one of this
    /// machine, where nothing is said.
    #[serde(default)]
    pub policy: Option<Level>,
    /// Who tells of a push, at `/hooks/NAME` of the daemon.
    #[serde(default)]
    pub webhook: Option<WebhookDocument>,
    /// Where it is told what becomes of its commits. Nowhere where nothing is said.
    #[serde(default)]
    pub commit_status: Option<CommitStatusDocument>,
    /// What is in force stays, and no other commit is followed.
    #[serde(default)]
    pub suspend: bool,
    /// Which commits come into force when. Every sound one at once where nothing is said.
    #[serde(default)]
    pub sync: Sync,
    /// Files of this machine with variables for `${…}`; later ones win. Relative to this file.
    #[serde(default)]
    #[schemars(extend("examples" = [["/etc/compose-operator/shop.env"]]))]
    pub env_files: Vec<PathBuf>,
    /// Profiles whose services run too.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// The directory with the secrets that its stacks may name (`${secret:NAME}`), in the place of the daemon's own: whoever
    /// writes to a repository can use every secret that is in it.
    #[serde(default)]
    pub secrets_dir: Option<PathBuf>,
    /// Files with age identities that decrypt its env and secret files, in the place of the daemon's own.
    #[serde(default)]
    pub age_identities: Vec<PathBuf>,
}

/// A git repository.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Git {
    /// Where it is: `https://…`, `ssh://…`, `git@host:path`, or a directory of this machine.
    #[schemars(extend("examples" = ["https://git.example.com/shop.git", "git@git.example.com:ops/shop.git"]))]
    pub url: String,
    /// The branch, tag, full reference or commit. The repository's own branch where nothing is said.
    #[serde(default)]
    #[schemars(extend("examples" = ["main", "refs/tags/v1"]))]
    pub r#ref: Option<String>,
    /// Where in it the manifests are: a directory or a file. Where Compose itself would look, if nothing is said.
    #[serde(default)]
    #[schemars(extend("examples" = ["manifests/"]))]
    pub path: Option<PathBuf>,
    /// How often it is asked. 1m where nothing is said.
    #[serde(default)]
    pub interval: Option<Period>,
    /// Who asks, over https.
    #[serde(default)]
    pub basic_auth: Option<BasicAuth>,
    /// Who asks, over ssh.
    #[serde(default)]
    pub ssh: Option<Ssh>,
    /// Certificates of authorities beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// Which commits come into force when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Sync {
    /// Spans of time in which they do, or do not. One that denies wins; where any allows, it is only then.
    pub windows: Vec<WindowDocument>,
    /// Which need a person's word, by `operator approve`: those that restart something or worse, or all.
    pub approve: Approve,
}

/// Who tells of a push, and by what it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Webhook")]
pub struct WebhookDocument {
    /// What sends it. What a request says of its sender counts for nothing.
    pub provider: Provider,
    /// The file with the secret that is said there, too.
    pub secret_file: PathBuf,
}

/// What sends webhooks, each with a proof of its own in the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Provider {
    /// GitHub: `X-Hub-Signature-256` has `sha256=` and the HMAC-SHA256 of the body in hex.
    GitHub,
    /// GitLab: `X-Gitlab-Token` is the secret; where that begins with `whsec_`, `webhook-signature` by Standard Webhooks.
    GitLab,
    /// Gitea: `X-Gitea-Signature` has the HMAC-SHA256 of the body in hex.
    Gitea,
    /// Forgejo: `X-Forgejo-Signature`, as Gitea.
    Forgejo,
    /// Anything that signs in `X-Signature-256`, as GitHub does.
    Generic,
}

/// A user, and a password or token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user; with a token most servers take any.
    #[serde(default = "git")]
    pub username: String,
    /// The file with the password or token.
    pub password_file: PathBuf,
}

fn git() -> String {
    "git".to_owned()
}

/// A key, and those of the hosts that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Ssh {
    /// The private key.
    pub key_file: Option<PathBuf>,
    /// The keys of hosts. Those that the user's ssh knows, if nothing is said.
    pub known_hosts_file: Option<PathBuf>,
}

impl Document for SourceDocument {
    const KIND: &'static str = "Source";

    fn schema() -> &'static Json {
        static ROOT: LazyLock<Json> = LazyLock::new(schema_of::<SourceDocument>);
        &ROOT
    }
}

/// The sources of a file, one a document, with places for everything that is wrong. `policy`: that of those which say none.
pub fn read(file: &Path, options: &LoadOptions, policy: Option<Level>) -> Result<Vec<Settings>, Diagnostics> {
    let path = clean(&options.working_dir.join(file));
    let bytes = DiskFiles.read(&path).map_err(|error| {
        let fault =
            Diagnostic::in_file(file, format!("the file cannot be read: {error}")).help(error.way_out());
        Diagnostics { faults: vec![fault] }
    })?;
    let yaml::Parsed { documents, mut faults, .. } = yaml::read(file, &bytes);
    let mut all: Vec<Settings> = Vec::new();
    let home = path.parent().unwrap_or(Path::new("/"));
    for document in documents.iter().filter(|document| !document.is_null()) {
        let declared = match decode::<SourceDocument>(document) {
            Ok(declared) => declared,
            Err(undecoded) => {
                faults.extend(undecoded.faults);
                continue;
            }
        };
        match settings(&declared, document, home, (options, policy)) {
            Ok(settings) if all.iter().any(|known| known.name == settings.name) => {
                let fault =
                    at(document, &["metadata", "name"], format!("there are two sources `{}`", settings.name));
                faults.push(fault.help("give each a name of its own"));
            }
            Ok(settings) => all.push(settings),
            Err(fault) => faults.push(fault),
        }
    }
    if all.is_empty() && faults.is_empty() {
        let fault = Diagnostic::in_file(file, "the file has no source");
        faults.push(fault.help("a source is a document with `kind: Source`"));
    }
    if faults.is_empty() { Ok(all) } else { Err(Diagnostics { faults }) }
}

fn at(document: &Node, path: &[&str], message: String) -> Diagnostic {
    Diagnostic::at(&document.lookup(path).unwrap_or(document).span, message)
}

fn settings(
    declared: &SourceDocument,
    document: &Node,
    home: &Path,
    (options, policy): (&LoadOptions, Option<Level>),
) -> Result<Settings, Diagnostic> {
    let (name, git) = (&declared.metadata.name, &declared.spec.git);
    let sound = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.starts_with(sound) || !name.chars().all(|c| sound(c) || c == '-') {
        let fault = at(document, &["metadata", "name"], format!("`{name}` cannot be the name of a source"));
        return Err(fault.help("use lower-case letters, digits and `-`, a letter or digit first"));
    }
    let in_git = |field: &str, message: String| at(document, &["spec", "git", field], message);
    let reference = git.r#ref.as_deref().map(checked_reference).transpose();
    let reference = reference.map_err(|error| in_git("ref", error.to_string()))?;
    let address = Address::parse_place(&git.url, home).map_err(|error| in_git("url", error.to_string()))?;
    let interval = git.interval.map_or(DEFAULT_INTERVAL, Period::duration);
    if interval < SHORTEST_INTERVAL {
        let fault = in_git("interval", "a server is not asked more often than every 5 seconds".to_owned());
        return Err(fault.help("a webhook tells of a push at once"));
    }
    let within = |path: &PathBuf| clean(&home.join(path));
    let basic = match &git.basic_auth {
        Some(auth) => {
            let file = within(&auth.password_file);
            line(&file, document, &["spec", "git", "basicAuth", "passwordFile"])?;
            Some((auth.username.clone(), Password::File(file)))
        }
        None => None,
    };
    let ssh = git.ssh.clone().unwrap_or_default();
    let webhook = declared.spec.webhook.as_ref().map(|webhook| {
        let secret = line(&within(&webhook.secret_file), document, &["spec", "webhook", "secretFile"])?;
        Ok(Webhook { provider: webhook.provider, secret })
    });
    let webhook = webhook.transpose()?;
    let status = declared.spec.commit_status.as_ref();
    let commit_status = status.map(|said| code_host(said, &address, document, home)).transpose()?;
    let policy = declared.spec.policy.or(policy).unwrap_or_else(|| default_policy(&address.place));
    let windows =
        document.lookup(&["spec", "sync", "windows"]).and_then(Node::as_sequence).unwrap_or_default();
    let windows = Windows::read(&declared.spec.sync.windows, windows, jiff::tz::db())?;
    let verify = declared.spec.verify.clone();
    if verify.as_ref().is_some_and(|verify| verify.keys.is_empty()) {
        let fault = at(document, &["spec", "verify", "keys"], "there are no keys to trust".to_owned());
        return Err(fault.help("name the files with the public keys, or a directory of them"));
    }
    let verify = verify.map(|verify| Verify { keys: verify.keys.iter().map(within).collect(), ..verify });
    Ok(Settings {
        name: name.clone(),
        address: Address { reference, ..address },
        path: git.path.clone(),
        interval,
        credentials: Credentials {
            basic,
            ssh_key: ssh.key_file.as_ref().map(within),
            known_hosts: ssh.known_hosts_file.as_ref().map(within),
            ca_file: git.ca_file.as_ref().map(within),
        },
        verify,
        policy,
        webhook,
        commit_status,
        suspended: declared.spec.suspend,
        sync: SyncSettings { windows, approve: declared.spec.sync.approve },
        options: LoadOptions {
            env_files: options
                .env_files
                .iter()
                .cloned()
                .chain(declared.spec.env_files.iter().map(within))
                .collect(),
            host: host(&declared.spec, &within, options),
            profiles: options.profiles.iter().chain(&declared.spec.profiles).cloned().collect(),
            ..options.clone()
        },
    })
}

/// What of this machine its stacks may name.
fn host(spec: &Spec, within: &impl Fn(&PathBuf) -> PathBuf, options: &LoadOptions) -> HostSecrets {
    let mut host = options.host.clone();
    if let Some(directory) = &spec.secrets_dir {
        host.directories = vec![within(directory)];
        host.variables.clear();
    }
    if !spec.age_identities.is_empty() {
        host.identities = spec.age_identities.iter().map(within).collect();
    }
    host
}

/// What is in a file with a secret. One that is not there at the start is a mistake in the document.
fn line(file: &Path, document: &Node, place: &[&str]) -> Result<Secret, Diagnostic> {
    let fault = |why: String| at(document, place, format!("{}: {why}", file.display()));
    let bytes = DiskFiles.read(file).map_err(|error| fault(error.to_string()).help(error.way_out()))?;
    let text = String::from_utf8(bytes).map_err(|_| fault("the file is no text".to_owned()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(fault("the file is empty".to_owned()).help("write the secret into it"));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::git::address::Place;
    use crate::source::git::signature::Mode;

    pub(super) fn read_text(text: &str) -> Result<Vec<Settings>, Vec<String>> {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("sources.yaml"), text).unwrap();
        std::fs::write(root.path().join("token"), "canary\n").unwrap();
        let options = LoadOptions { working_dir: root.path().to_owned(), ..LoadOptions::default() };
        let read = read(Path::new("sources.yaml"), &options, None);
        read.map_err(|found| found.faults.iter().map(Diagnostic::headline).collect())
    }

    pub(super) const HEAD: &str =
        "apiVersion: compose-operator/v1\nkind: Source\nmetadata: {name: shop}\nspec:\n";

    #[test]
    fn a_source_is_read_with_files_beside_its_own() {
        let text = format!(
            "{HEAD}  git:\n    url: https://git.example.com/shop.git\n    ref: main\n    path: manifests\n    interval: 5m\n    basicAuth: {{passwordFile: token}}\n  envFiles: [shop.env]\n---\n{}",
            HEAD.replace("shop", "blog")
                + "  git: {url: /srv/blog}\n  suspend: true\n  policy: restricted\n  webhook: {provider: gitlab, secretFile: token}\n  verify: {mode: tag, keys: [keys, /etc/keys]}\n"
        );
        let all = read_text(&text).unwrap();
        let [shop, blog] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!(shop.address.to_string(), "https://git.example.com/shop.git@main");
        assert_eq!(shop.interval, std::time::Duration::from_mins(5));
        let Some((user, Password::File(file))) = &shop.credentials.basic else { panic!("{shop:?}") };
        assert!(user == "git" && file.ends_with("token"));
        assert!(shop.options.env_files[0].ends_with("shop.env") && shop.options.env_files[0].is_absolute());
        assert_eq!((&blog.address.place, blog.suspended), (&Place::Local("/srv/blog".into()), true));
        assert_eq!((shop.policy, blog.policy), (Level::Baseline, Level::Restricted));
        let webhook = blog.webhook.as_ref().unwrap();
        assert_eq!((webhook.provider, webhook.secret.expose()), (Provider::GitLab, "canary"));
        let verify = blog.verify.as_ref().unwrap();
        assert_eq!((verify.mode, shop.verify.is_none()), (Mode::Tag, true));
        assert!(verify.keys[0].is_absolute() && verify.keys[0].ends_with("keys"));
        assert_eq!(verify.keys[1], Path::new("/etc/keys"));
        assert!(!format!("{all:?}").contains("canary"));
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        let cases = [
            ("  git: {url: 'ext::id'}\n", "sources.yaml:5:14: `ext::` is no way"),
            ("  git: {url: /x, ref: a..b}\n", "sources.yaml:5:23: `a..b` is no name"),
            ("  git: {url: /x, branch: a}\n", "sources.yaml:5:18: unknown field `branch`"),
            ("  git: {url: /x, interval: 1s}\n", "sources.yaml:5:28: a server is not asked"),
            ("  git: {url: https://h/x, basicAuth: {passwordFile: none}}\n", "sources.yaml:5:53: "),
            ("  git: {url: /x}\n  verify: {keys: []}\n", "sources.yaml:6:18: "),
            ("  git: {url: /x}\n  verify: {mode: all, keys: [a]}\n", "sources.yaml:6:18: "),
            ("  git: {url: /x}\n  verify: {mode: head}\n", "sources.yaml:6:"),
            (
                "  git: {url: /x}\n  sync: {windows: [{kind: deny, schedule: '0 2', duration: 1h}]}\n",
                "sources.yaml:6:43: `0 2` is no schedule",
            ),
            (
                "  git: {url: /x}\n  sync: {windows: [{kind: deny, schedule: '0 2 * * *', duration: 0s}]}\n",
                "sources.yaml:6:66: ",
            ),
            ("  git: {url: /x}\n  sync: {approve: rolling}\n", "sources.yaml:6:19: "),
            ("  suspend: true\n", "sources.yaml:5:3: spec lacks the field `git`"),
        ];
        let faults =
            |spec: &str| read_text(&format!("{HEAD}{spec}")).err().unwrap_or(vec!["fine".to_owned()]);
        let wrong = cases.map(|(spec, told)| (told, faults(spec)));
        let wrong: Vec<_> = wrong.iter().filter(|(told, faults)| !faults[0].starts_with(told)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let twice = format!("{HEAD}  git: {{url: /x}}\n---\n{HEAD}  git: {{url: /y}}\n");
        assert!(read_text(&twice).unwrap_err()[0].contains("there are two sources `shop`"));
        assert!(read_text("").unwrap_err()[0].contains("no source"));
    }
}
