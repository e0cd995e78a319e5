//! The table: each attribute of the Compose files, and what may be said of it below `privileged`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::{Asked, Refusal, host, judges};
use crate::compose::yaml::{Node, Value};

/// What may be said of an attribute.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// Anything: it is of the container, or of what Docker gives to everybody.
    Free,
    /// Nothing but what is so without it, for a reason.
    Nothing(&'static str),
    /// One of these words, and else not, for a reason.
    Words(&'static [&'static str], &'static str),
    /// What this one lets pass.
    Judge(fn(&Asked<'_, '_>) -> Option<Refusal>),
}

use Rule::{Free, Judge, Nothing, Words};

const OF_THE_HOST: &str = "it gives the container what is the host's";
const OF_OTHERS: &str = "it leads into containers that are not of this stack";
const BUILD: &str = "it gives the build what is the host's";
const WORK_FOR_THE_HOST: &str = "it is a program of the host, not of a container";
const UNKNOWN_DRIVER: &str = "what another driver does, its plugin decides, which runs as root on the host";

/// Attributes as `compose::attributes` writes them, with `*` for an item of a list as well. Each covers all below it
/// that has no line of its own here.
#[rustfmt::skip]
pub(super) const RULES: &[(&str, Rule)] = &[
    ("version", Free),
    ("name", Free),
    ("include", Free), // Read through the view.

    ("services.*.annotations.*", Judge(judges::annotation)),
    ("services.*.attach", Free),
    ("services.*.blkio_config", Free),
    ("services.*.build.additional_contexts.*", Judge(host::named_context)),
    ("services.*.build.args", Free),
    ("services.*.build.cache_from.*", Judge(judges::cache)),
    ("services.*.build.cache_to.*", Judge(judges::cache)),
    ("services.*.build.context", Judge(host::context)),
    ("services.*.build.dockerfile", Judge(host::dockerfile)),
    ("services.*.build.dockerfile_inline", Free),
    ("services.*.build.entitlements", Nothing(BUILD)),
    ("services.*.build.extra_hosts", Free),
    ("services.*.build.isolation", Words(&["default"], BUILD)),
    ("services.*.build.labels", Free),
    ("services.*.build.network", Judge(judges::network_mode)),
    ("services.*.build.no_cache", Free),
    ("services.*.build.platforms", Free),
    ("services.*.build.privileged", Nothing(BUILD)),
    ("services.*.build.provenance", Free),
    ("services.*.build.pull", Free),
    ("services.*.build.sbom", Free),
    ("services.*.build.secrets", Free), // Their files: `secrets.*.file`.
    ("services.*.build.shm_size", Free),
    ("services.*.build.ssh", Nothing("it lends the build the keys of whoever runs the operator")),
    ("services.*.build.tags", Free),
    ("services.*.build.target", Free),
    ("services.*.build.ulimits", Free),
    ("services.*.cap_add.*", Judge(judges::capability)),
    ("services.*.cap_drop", Free),
    ("services.*.cgroup", Words(&["private"], OF_THE_HOST)),
    ("services.*.cgroup_parent", Nothing("it takes the container out of Docker's own cgroup")),
    ("services.*.command", Free),
    ("services.*.configs", Free), // Their files: `configs.*.file`.
    ("services.*.container_name", Free),
    ("services.*.cpu_count", Free),
    ("services.*.cpu_percent", Free),
    ("services.*.cpu_period", Free),
    ("services.*.cpu_quota", Free),
    ("services.*.cpu_rt_period", Nothing("what runs in real time takes the processors from all others")),
    ("services.*.cpu_rt_runtime", Nothing("what runs in real time takes the processors from all others")),
    ("services.*.cpu_shares", Free),
    ("services.*.cpus", Free),
    ("services.*.cpuset", Free),
    ("services.*.credential_spec", Nothing(OF_THE_HOST)),
    ("services.*.depends_on", Free),
    ("services.*.deploy.endpoint_mode", Free),
    ("services.*.deploy.labels", Free),
    ("services.*.deploy.mode", Free),
    ("services.*.deploy.placement", Free),
    ("services.*.deploy.replicas", Free),
    ("services.*.deploy.resources", Free), // Devices by what they can do, as `gpus`.
    ("services.*.deploy.restart_policy", Free),
    ("services.*.deploy.rollback_config", Free),
    ("services.*.deploy.update_config", Free),
    ("services.*.develop.watch.*.action", Free),
    ("services.*.develop.watch.*.exec.command", Free),
    ("services.*.develop.watch.*.exec.environment", Free),
    ("services.*.develop.watch.*.exec.privileged", Nothing(OF_THE_HOST)),
    ("services.*.develop.watch.*.exec.user", Judge(judges::user)),
    ("services.*.develop.watch.*.exec.working_dir", Free),
    ("services.*.develop.watch.*.ignore", Free),
    ("services.*.develop.watch.*.include", Free),
    ("services.*.develop.watch.*.initial_sync", Free),
    ("services.*.develop.watch.*.path", Judge(host::path)),
    ("services.*.develop.watch.*.target", Free),
    ("services.*.device_cgroup_rules", Nothing(OF_THE_HOST)),
    ("services.*.devices", Nothing(OF_THE_HOST)),
    ("services.*.dns", Free),
    ("services.*.dns_opt", Free),
    ("services.*.dns_search", Free),
    ("services.*.domainname", Free),
    ("services.*.entrypoint", Free),
    ("services.*.env_file", Free), // Read through the view.
    ("services.*.environment", Free),
    ("services.*.expose", Free),
    ("services.*.extends", Free), // Read through the view.
    ("services.*.external_links", Nothing(OF_OTHERS)),
    ("services.*.extra_hosts", Free),
    ("services.*.gpus", Free),
    ("services.*.group_add", Free),
    ("services.*.healthcheck", Free),
    ("services.*.hostname", Free),
    ("services.*.image", Free),
    ("services.*.init", Free),
    ("services.*.ipc", Judge(judges::ipc)),
    ("services.*.isolation", Words(&["default"], OF_THE_HOST)),
    ("services.*.label_file", Free), // Read through the view.
    ("services.*.labels", Free),
    ("services.*.links", Free),
    ("services.*.logging.driver", Words(judges::LOGGING, "the engine would speak with its own rights and keys, or for a plugin")),
    ("services.*.logging.options.*", Judge(judges::logging_option)),
    ("services.*.mac_address", Free),
    ("services.*.mem_limit", Free),
    ("services.*.mem_reservation", Free),
    ("services.*.mem_swappiness", Free),
    ("services.*.memswap_limit", Free),
    ("services.*.models", Nothing(WORK_FOR_THE_HOST)),
    ("services.*.network_mode", Judge(judges::network_mode)),
    ("services.*.networks.*.aliases", Free),
    ("services.*.networks.*.driver_opts.*", Judge(judges::endpoint_option)),
    ("services.*.networks.*.gw_priority", Free),
    ("services.*.networks.*.interface_name", Free),
    ("services.*.networks.*.ipv4_address", Free),
    ("services.*.networks.*.ipv6_address", Free),
    ("services.*.networks.*.link_local_ips", Free),
    ("services.*.networks.*.mac_address", Free),
    ("services.*.networks.*.priority", Free),
    ("services.*.oom_kill_disable", Nothing("the kernel would kill programs of the host in its place")),
    ("services.*.oom_score_adj", Judge(judges::oom_score)),
    ("services.*.pid", Judge(judges::namespace)),
    ("services.*.pids_limit", Free),
    ("services.*.platform", Free),
    ("services.*.ports", Free),
    ("services.*.post_start.*.command", Free),
    ("services.*.post_start.*.environment", Free),
    ("services.*.post_start.*.privileged", Nothing(OF_THE_HOST)),
    ("services.*.post_start.*.user", Judge(judges::user)),
    ("services.*.post_start.*.working_dir", Free),
    ("services.*.pre_stop.*.command", Free),
    ("services.*.pre_stop.*.environment", Free),
    ("services.*.pre_stop.*.privileged", Nothing(OF_THE_HOST)),
    ("services.*.pre_stop.*.user", Judge(judges::user)),
    ("services.*.pre_stop.*.working_dir", Free),
    ("services.*.privileged", Nothing(OF_THE_HOST)),
    ("services.*.profiles", Free),
    ("services.*.provider", Nothing(WORK_FOR_THE_HOST)),
    ("services.*.pull_policy", Free),
    ("services.*.pull_refresh_after", Free),
    ("services.*.read_only", Free),
    ("services.*.restart", Free),
    ("services.*.runtime", Words(&["runc", "io.containerd.runc.v2"], "what another runtime shuts in, the host has to know")),
    ("services.*.scale", Free),
    ("services.*.secrets", Free), // Their files: `secrets.*.file`.
    ("services.*.security_opt.*", Judge(judges::security_option)),
    ("services.*.shm_size", Free),
    ("services.*.stdin_open", Free),
    ("services.*.stop_grace_period", Free),
    ("services.*.stop_signal", Free),
    ("services.*.storage_opt", Free),
    ("services.*.sysctls.*", Judge(judges::sysctl)),
    ("services.*.tmpfs", Free),
    ("services.*.tty", Free),
    ("services.*.ulimits", Free),
    ("services.*.use_api_socket", Nothing(OF_THE_HOST)),
    ("services.*.user", Judge(judges::user)),
    ("services.*.userns_mode", Nothing(OF_THE_HOST)),
    ("services.*.uts", Nothing(OF_THE_HOST)),
    ("services.*.volumes.*.bind.create_host_path", Free),
    ("services.*.volumes.*.bind.propagation", Words(&["private", "rprivate", "slave", "rslave"], "mounts of the container would show on the host")),
    ("services.*.volumes.*.bind.recursive", Free),
    ("services.*.volumes.*.bind.selinux", Words(&["z", "Z"], "it is no word of SELinux")),
    ("services.*.volumes.*.consistency", Free),
    ("services.*.volumes.*.image", Free),
    ("services.*.volumes.*.read_only", Free),
    ("services.*.volumes.*.source", Judge(host::source)),
    ("services.*.volumes.*.target", Free),
    ("services.*.volumes.*.tmpfs", Free),
    ("services.*.volumes.*.type", Judge(judges::mount_type)),
    ("services.*.volumes.*.volume", Free),
    ("services.*.volumes_from.*", Judge(judges::volumes_from)),
    ("services.*.working_dir", Free),

    ("networks.*.attachable", Free),
    ("networks.*.driver", Words(&["bridge", "overlay"], UNKNOWN_DRIVER)),
    ("networks.*.driver_opts.*", Judge(judges::bridge_option)),
    ("networks.*.enable_ipv4", Free),
    ("networks.*.enable_ipv6", Free),
    ("networks.*.external", Free),
    ("networks.*.internal", Free),
    ("networks.*.ipam.config", Free),
    ("networks.*.ipam.driver", Words(&["default"], UNKNOWN_DRIVER)),
    ("networks.*.ipam.options", Nothing(UNKNOWN_DRIVER)),
    ("networks.*.labels", Free),
    ("networks.*.name", Judge(judges::network_name)),

    ("volumes.*.driver", Words(&["local"], UNKNOWN_DRIVER)),
    ("volumes.*.driver_opts", Judge(judges::volume_options)),
    ("volumes.*.external", Nothing("what is in it is not of this stack")),
    ("volumes.*.labels", Free),
    ("volumes.*.name", Judge(judges::volume_name)),

    ("configs.*.content", Free),
    ("configs.*.environment", Free), // What is offered, whoever loads decides.
    ("configs.*.external", Free), // Of Swarm only, as the rest: refused at every level.
    ("configs.*.file", Judge(host::path)),
    ("configs.*.labels", Free),
    ("configs.*.name", Free),
    ("configs.*.template_driver", Free),
    ("secrets.*.driver", Free),
    ("secrets.*.driver_opts", Free),
    ("secrets.*.environment", Free),
    ("secrets.*.external", Free),
    ("secrets.*.file", Judge(host::path)),
    ("secrets.*.labels", Free),
    ("secrets.*.name", Free),
    ("secrets.*.template_driver", Free),

    ("models", Free), // Of no effect without a service's own.
];

impl Rule {
    pub(super) fn judge(self, asked: &Asked<'_, '_>) -> Option<Refusal> {
        match self {
            Free => None,
            Nothing(why) => is_asked(asked.node).then(|| Refusal::new(why, "remove it")),
            Words(words, why) => {
                let text = asked.text();
                let is_known = text.is_empty() || words.contains(&text.as_str());
                let help = format!("leave it out, or write {}", words.join(" or "));
                (!is_known).then(|| Refusal::new(format!("`{text}`: {why}"), help))
            }
            Judge(judge) => judge(asked),
        }
    }
}

/// Whether anything is said that is not so without it.
fn is_asked(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) | Value::Int(0) => false,
        Value::Mapping(mapping) => !mapping.is_empty(),
        Value::Sequence(items) => !items.is_empty(),
        _ => node.as_text() != Some(""),
    }
}

/// The rules as the tree that they are walked in.
#[derive(Default)]
pub(super) struct Step {
    pub(super) rule: Option<Rule>,
    below: BTreeMap<&'static str, Step>,
}

static ROOT: LazyLock<Step> = LazyLock::new(|| {
    let mut root = Step::default();
    for (attribute, rule) in RULES {
        let step = attribute.split('.').fold(&mut root, |step, key| step.below.entry(key).or_default());
        step.rule = Some(*rule);
    }
    root
});

impl Step {
    pub(super) fn root() -> &'static Self {
        &ROOT
    }

    /// The next one; `*` is any name, and an item of a list, which has none.
    pub(super) fn below(&self, key: &str) -> Option<&Self> {
        self.below.get(key).filter(|_| key != "*").or_else(|| self.below.get("*"))
    }

    /// Whether it covers all that is below it.
    pub(super) fn is_last(&self) -> bool {
        self.below.is_empty()
    }
}

/// Whether an attribute has a line of the table that can refuse something; none where no line is for it.
pub(super) fn judged(attribute: &str) -> Option<bool> {
    let mut step = Step::root();
    for key in attribute.replace("[]", ".*").split('.') {
        if step.is_last() {
            // The line of what it is in is for it as well.
            return Some(false);
        }
        step = step.below(key)?;
    }
    Some(!matches!(step.rule, None | Some(Free)))
}
