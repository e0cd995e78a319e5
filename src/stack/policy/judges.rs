//! Words that take more than a list to judge, after the table of Kubernetes' Pod Security Standards where that has them.

use super::{Asked, Level, Refusal};
use crate::compose::yaml::Node;

/// What `baseline` lets a service add: what Docker gives by itself.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// What `restricted` does.
const RESTRICTED_CAPABILITIES: [&str; 1] = ["NET_BIND_SERVICE"];

/// Kernel parameters of the container's own namespaces.
const SYSCTLS: [&str; 10] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_syncookies",
];

/// Types of `SELinux` that shut a container in.
const SELINUX_TYPES: [&str; 4] = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// Logging drivers that keep what is logged, or send it to an address without keys of the host.
pub(super) const LOGGING: &[&str] =
    &["json-file", "local", "journald", "none", "syslog", "gelf", "fluentd", "splunk"];

/// Annotations that runtimes act on.
const ACTED_ON: [&str; 5] =
    ["org.systemd.property.", "org.criu.", "run.oci.", "io.katacontainers.", "dev.gvisor."];

/// Options of bridges that stay within them.
const BRIDGE_OPTIONS: [&str; 5] = [
    "com.docker.network.driver.mtu",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "com.docker.network.bridge.host_binding_ipv4",
    "com.docker.network.container_iface_prefix",
];

/// The one option of a place on a network that says nothing of the host.
const ENDPOINT_OPTION: &str = "com.docker.network.endpoint.ifname";

fn one_of(words: &[&str]) -> String {
    format!("remove it, or use one of these: {}", words.join(", "))
}

pub(super) fn capability(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let written = asked.text();
    let name = written.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    let allowed: &[&str] =
        if asked.level == Level::Restricted { &RESTRICTED_CAPABILITIES } else { &CAPABILITIES };
    let why = format!("{written} is none of the capabilities that a container may add");
    (!allowed.contains(&name)).then(|| Refusal::new(why, one_of(allowed)))
}

pub(super) fn sysctl(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let why = format!("`{}` is not known to be of the container alone", asked.key());
    (!SYSCTLS.contains(&asked.key())).then(|| Refusal::new(why, one_of(&SYSCTLS)))
}

pub(super) fn annotation(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let is_acted_on = ACTED_ON.iter().any(|prefix| asked.key().starts_with(prefix));
    is_acted_on.then(|| Refusal::new("runtimes act on it, outside of the container", "remove it"))
}

/// `NAME=VALUE` or `NAME:VALUE`; an `=` anywhere wins, as with Docker.
pub(super) fn security_option(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let option = asked.text();
    let pair = option.split_once('=').or_else(|| option.split_once(':'));
    let is_allowed = match pair.unwrap_or((&option, "")) {
        ("no-new-privileges", value) => matches!(value, "" | "true"),
        ("seccomp", profile) => profile == "builtin",
        // A profile by its name is one that the host has loaded.
        ("apparmor", profile) => profile != "unconfined" && !profile.is_empty(),
        ("label", label) => is_shut_in(label),
        _ => false,
    };
    let why = format!("`{option}` takes away what shuts the container in");
    (!is_allowed).then(|| Refusal::new(why, "remove it: Docker's own way is the safe one"))
}

/// A label of `SELinux`: its type one that shuts in, its user and role Docker's own.
fn is_shut_in(label: &str) -> bool {
    match label.split_once(':') {
        Some(("type", name)) => SELINUX_TYPES.contains(&name),
        Some(("level" | "filetype", _)) => true,
        _ => false,
    }
}

/// A name space: the container's own, or that of a service of the stack.
pub(super) fn namespace(asked: &Asked<'_, '_>) -> Option<Refusal> {
    space(asked, &[])
}

pub(super) fn ipc(asked: &Asked<'_, '_>) -> Option<Refusal> {
    space(asked, &["none", "private", "shareable"])
}

fn space(asked: &Asked<'_, '_>, own: &[&str]) -> Option<Refusal> {
    let mode = asked.text();
    let is_own = mode.is_empty() || mode.starts_with("service:") || own.contains(&mode.as_str());
    (!is_own).then(|| shared(&mode))
}

fn shared(mode: &str) -> Refusal {
    let of = if mode == "host" { "the host" } else { "what is not of this stack" };
    let why = format!("`{mode}` shares the name space of {of}");
    Refusal::new(why, "leave it out, or share that of a service of this stack (`service:NAME`)")
}

/// A mode of the network: a network's name is one as well.
pub(super) fn network_mode(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let mode = asked.text();
    let is_own = mode.is_empty() || mode.starts_with("service:") || is_network(&mode);
    (!is_own).then(|| shared(&mode))
}

/// A network as it is called in the engine. The name of one may be a mode, too.
pub(super) fn network_name(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let name = asked.text();
    (!is_network(&name)).then(|| shared(&name))
}

fn is_network(name: &str) -> bool {
    name != "host" && is_name(name)
}

/// What Docker takes for a name, and for nothing else.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-'))
}

/// A volume as it is called in the engine: a path in its place would be mounted.
pub(super) fn volume_name(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let (name, project) = (asked.text(), &asked.places.project.name);
    if asked.beside("external").and_then(Node::as_bool) == Some(true) {
        // Told there.
        return None;
    }
    let is_own =
        is_name(&name) && name.strip_prefix(project.as_str()).is_some_and(|rest| rest.starts_with('_'));
    let why = format!("`{name}` may be a volume of another stack");
    (!is_own).then(|| Refusal::new(why, format!("leave it out, or begin it with `{project}_`")))
}

/// Options of the local driver, which mounts whatever it is told to: only memory is nobody's.
pub(super) fn volume_options(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let option = |key: &str| asked.node.get(key).and_then(Node::scalar_text).unwrap_or_default();
    let known = ["type", "device", "o", "size"];
    let unknown = asked.node.as_mapping()?.keys().find(|key| !known.contains(key));
    let mounted = ["device", "o"].into_iter().find(|key| !option(key).is_empty());
    let is_memory = option("type") == "tmpfs" && option("o").split(',').all(is_word_of_memory);
    let is_nothing = option("type").is_empty() && mounted.is_none();
    (unknown.is_some() || !(is_memory || is_nothing)).then(|| {
        let why = "the engine would mount what is the host's, or with its rights";
        Refusal::new(why, "leave the options out, or mount memory (`type: tmpfs`)")
    })
}

fn is_word_of_memory(word: &str) -> bool {
    let flags = ["", "noexec", "nosuid", "nodev", "noatime", "ro", "rw"];
    let sizes = ["size", "mode", "uid", "gid", "nr_inodes"];
    flags.contains(&word) || word.split_once('=').is_some_and(|(name, _)| sizes.contains(&name))
}

pub(super) fn mount_type(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let allowed: &[&str] = match asked.level {
        Level::Restricted => &["volume", "bind", "tmpfs"],
        Level::Privileged | Level::Baseline => &["volume", "bind", "tmpfs", "image"],
    };
    let kind = asked.text();
    let why = format!("`{kind}` is none of the types of mount that stay within a stack");
    (!allowed.contains(&kind.as_str())).then(|| Refusal::new(why, one_of(allowed)))
}

pub(super) fn volumes_from(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let from = asked.text();
    let why = format!("`{from}` is a container that is not of this stack");
    from.starts_with("container:").then(|| Refusal::new(why, "take those of a service of this stack"))
}

/// What kills anything else before this container.
pub(super) fn oom_score(asked: &Asked<'_, '_>) -> Option<Refusal> {
    // What is no number is refused as well.
    let is_high = asked.text().parse::<i64>().is_ok_and(|score| score >= 0);
    let why = "the kernel would kill programs of the host before it";
    (!is_high).then(|| Refusal::new(why, "give 0 or more"))
}

/// Who the program is, under `restricted`: by number, as a name is whatever the image says.
pub(super) fn user(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let written = asked.text();
    if asked.level != Level::Restricted || written.is_empty() {
        return None;
    }
    let user = written.split(':').next().unwrap_or_default();
    let why = match user.parse::<u32>() {
        Ok(1..) => return None,
        Ok(0) => format!("`{written}` is root"),
        Err(_) if user == "root" => format!("`{written}` is root"),
        Err(_) => format!("`{user}` may be root: which user it is, the image says"),
    };
    Some(Refusal::new(why, "give the number of a user that is not root, as `user: \"1000\"`"))
}

/// An option of the network driver, for a whole network.
pub(super) fn bridge_option(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let why = format!("`{}` is not known to stay within the network", asked.key());
    (!BRIDGE_OPTIONS.contains(&asked.key())).then(|| Refusal::new(why, one_of(&BRIDGE_OPTIONS)))
}

/// An option of the network driver, for one container.
pub(super) fn endpoint_option(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let why = format!("`{}` is not known to be of the container alone", asked.key());
    (asked.key() != ENDPOINT_OPTION).then(|| Refusal::new(why, one_of(&[ENDPOINT_OPTION])))
}

/// A file or a socket of the host, which the engine would open.
pub(super) fn logging_option(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let value = asked.text();
    let is_path = value.starts_with(['/', '.'])
        || ["unix", "file:"].iter().any(|scheme| value.trim_start().to_lowercase().starts_with(scheme));
    let why = "the engine would open a file or a socket of the host";
    is_path.then(|| Refusal::new(why, "send it to an address, or leave it out"))
}

/// A cache of builds in a directory of whoever runs the operator.
pub(super) fn cache(asked: &Asked<'_, '_>) -> Option<Refusal> {
    let kind = asked.text().split(',').find_map(|word| {
        let (name, value) = word.split_once('=')?;
        (name.trim().eq_ignore_ascii_case("type")).then(|| value.trim().to_lowercase())
    });
    let is_remote = kind.is_none_or(|kind| matches!(kind.as_str(), "registry" | "inline"));
    let why = "it may be a directory of the host, or need keys of whoever runs the operator";
    (!is_remote).then(|| Refusal::new(why, "use `type=registry` or `type=inline`"))
}
