//! The attributes of a service.

use super::shape::{COUNT, INT, LIST_OF_TEXT, Object, SET_OF_TEXT, Shape, TEXT, TEXT_OR_LIST};

/// A service.
pub(crate) static SERVICE: Object = Object::new(&[
    ("develop", Shape::Either(&[Shape::Null, Shape::Object(&DEVELOP)])),
    ("deploy", Shape::Either(&[Shape::Null, Shape::Object(&DEPLOY)])),
    ("annotations", Shape::Labels),
    ("attach", Shape::Bool),
    ("build", Shape::Either(&[Shape::Text, Shape::Object(&BUILD)])),
    ("blkio_config", Shape::Object(&BLKIO)),
    ("cap_add", SET_OF_TEXT),
    ("cap_drop", SET_OF_TEXT),
    ("cgroup", Shape::OneOf(&["host", "private"])),
    ("cgroup_parent", TEXT),
    ("command", Shape::Command),
    ("configs", FILE_REFERENCES),
    ("container_name", Shape::Matching(is_container_name, "letters, digits, `_`, `.` and `-`, two at least")),
    ("cpu_count", COUNT),
    ("cpu_percent", Shape::Int(0, 100)),
    ("cpu_shares", Shape::Whole),
    ("cpu_quota", Shape::Whole),
    ("cpu_period", Shape::Whole),
    ("cpu_rt_period", Shape::Whole),
    ("cpu_rt_runtime", Shape::Whole),
    ("cpus", Shape::Number),
    ("cpuset", TEXT),
    ("credential_spec", Shape::Object(&CREDENTIAL_SPEC)),
    ("depends_on", Shape::Either(&[SET_OF_TEXT, Shape::Names(&Shape::Object(&DEPENDENCY))])),
    ("device_cgroup_rules", SET_OF_TEXT),
    ("devices", Shape::List(&Shape::Either(&[Shape::Text, Shape::Object(&DEVICE)]))),
    ("dns", TEXT_OR_LIST),
    ("dns_opt", SET_OF_TEXT),
    ("dns_search", TEXT_OR_LIST),
    ("domainname", TEXT),
    ("entrypoint", Shape::Command),
    (
        "env_file",
        Shape::Either(&[Shape::Text, Shape::List(&Shape::Either(&[Shape::Text, Shape::Object(&ENV_FILE)]))]),
    ),
    ("label_file", Shape::Either(&[Shape::Text, LIST_OF_TEXT])),
    ("environment", Shape::Pairs),
    ("expose", Shape::Set(&Shape::TextOrInt)),
    ("extends", Shape::Either(&[Shape::Text, Shape::Object(&EXTENDS)])),
    ("provider", Shape::Object(&PROVIDER)),
    ("external_links", SET_OF_TEXT),
    ("extra_hosts", EXTRA_HOSTS),
    ("gpus", Shape::Either(&[Shape::OneOf(&["all"]), Shape::List(&Shape::Object(&DEVICE_REQUEST))])),
    ("group_add", Shape::Set(&Shape::TextOrInt)),
    ("healthcheck", Shape::Object(&HEALTHCHECK)),
    ("hostname", TEXT),
    ("image", TEXT),
    ("init", Shape::Bool),
    ("ipc", TEXT),
    ("isolation", TEXT),
    ("labels", Shape::Labels),
    ("links", SET_OF_TEXT),
    ("logging", Shape::Object(&LOGGING)),
    ("mac_address", TEXT),
    ("mem_limit", Shape::Bytes),
    ("mem_reservation", Shape::WholeBytes),
    ("mem_swappiness", Shape::Bytes),
    ("memswap_limit", Shape::Bytes),
    ("network_mode", TEXT),
    (
        "models",
        Shape::Either(&[
            SET_OF_TEXT,
            Shape::Names(&Shape::Either(&[Shape::Null, Shape::Object(&SERVICE_MODEL)])),
        ]),
    ),
    (
        "networks",
        Shape::Either(&[
            SET_OF_TEXT,
            Shape::Names(&Shape::Either(&[Shape::Null, Shape::Object(&SERVICE_NETWORK)])),
        ]),
    ),
    ("oom_kill_disable", Shape::Bool),
    ("oom_score_adj", Shape::Int(-1000, 1000)),
    ("pid", Shape::Either(&[Shape::Null, Shape::Text])),
    ("pids_limit", Shape::Whole),
    ("platform", TEXT),
    ("ports", Shape::Set(&Shape::Either(&[Shape::Object(&PORT), Shape::TextOrInt]))),
    ("post_start", Shape::List(&Shape::Object(&HOOK))),
    ("pre_stop", Shape::List(&Shape::Object(&HOOK))),
    ("privileged", Shape::Bool),
    ("profiles", SET_OF_TEXT),
    ("pull_policy", Shape::Matching(is_pull_policy, PULL_POLICIES)),
    ("pull_refresh_after", TEXT),
    ("read_only", Shape::Bool),
    ("restart", TEXT),
    ("runtime", TEXT),
    ("scale", COUNT),
    ("security_opt", SET_OF_TEXT),
    ("shm_size", Shape::Bytes),
    ("secrets", FILE_REFERENCES),
    ("sysctls", Shape::Labels),
    ("stdin_open", Shape::Bool),
    ("stop_grace_period", Shape::Duration),
    ("stop_signal", TEXT),
    ("storage_opt", Shape::Map(&Shape::Either(&[Shape::TextOrInt, Shape::EmptyText]))),
    ("tmpfs", TEXT_OR_LIST),
    ("tty", Shape::Bool),
    ("ulimits", ULIMITS),
    ("use_api_socket", Shape::StrictBool),
    ("user", TEXT),
    ("uts", TEXT),
    ("userns_mode", TEXT),
    ("volumes", Shape::Set(&Shape::Either(&[Shape::Text, Shape::Object(&MOUNT)]))),
    ("volumes_from", SET_OF_TEXT),
    ("working_dir", TEXT),
]);

const PULL_POLICIES: &str =
    "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+";

/// As the reference has it, the words may be anywhere in the text.
fn is_pull_policy(text: &str) -> bool {
    let every = || {
        text.split("every_").skip(1).any(|rest| {
            let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            unit.len() < rest.len() && unit.starts_with(['w', 'd', 'h', 'm', 's'])
        })
    };
    ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"]
        .iter()
        .any(|word| text.contains(word))
        || every()
}

/// As the reference has it, a part of the text that fits is enough.
fn is_container_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-');
    text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_alphanumeric() && inner(pair[1]))
}

const FILE_REFERENCES: Shape = Shape::List(&Shape::Either(&[Shape::Text, Shape::Object(&FILE_REFERENCE)]));
const EXTRA_HOSTS: Shape = Shape::Either(&[
    Shape::Map(&Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)])),
    Shape::Set(&Shape::Text),
]);
const STRICT_INT: Shape = Shape::StrictInt(i64::MIN, i64::MAX);
/// Only the ulimits of containers may be spelled as texts.
const BUILD_ULIMITS: Shape = Shape::Map(&Shape::Either(&[STRICT_INT, Shape::Object(&BUILD_ULIMIT)]));
const ULIMITS: Shape = Shape::Map(&Shape::Either(&[INT, Shape::Object(&ULIMIT)]));

static BUILD: Object = Object::new(&[
    ("context", TEXT),
    ("dockerfile", TEXT),
    ("dockerfile_inline", TEXT),
    ("entitlements", LIST_OF_TEXT),
    ("args", Shape::Pairs),
    ("ssh", Shape::Distinct(&Shape::Pairs)),
    ("labels", Shape::Labels),
    ("cache_from", LIST_OF_TEXT),
    ("cache_to", LIST_OF_TEXT),
    ("no_cache", Shape::Bool),
    ("additional_contexts", Shape::Either(&[Shape::Map(&Shape::Text), Shape::Distinct(&Shape::Pairs)])),
    ("network", TEXT),
    ("provenance", Shape::TextOrBool),
    ("sbom", Shape::TextOrBool),
    ("pull", Shape::Bool),
    ("target", TEXT),
    ("shm_size", Shape::WholeBytes),
    ("extra_hosts", EXTRA_HOSTS),
    ("isolation", TEXT),
    ("privileged", Shape::Bool),
    ("secrets", FILE_REFERENCES),
    ("tags", LIST_OF_TEXT),
    ("ulimits", BUILD_ULIMITS),
    ("platforms", LIST_OF_TEXT),
]);

static FILE_REFERENCE: Object =
    Object::new(&[("source", TEXT), ("target", TEXT), ("uid", TEXT), ("gid", TEXT), ("mode", Shape::Mode)]);

static BUILD_ULIMIT: Object =
    Object::new(&[("hard", STRICT_INT), ("soft", STRICT_INT)]).requiring(&["soft", "hard"]);

static ULIMIT: Object = Object::new(&[("hard", INT), ("soft", INT)]).requiring(&["soft", "hard"]);

static BLKIO: Object = Object::new(&[
    ("device_read_bps", BLKIO_LIMITS),
    ("device_read_iops", BLKIO_LIMITS),
    ("device_write_bps", BLKIO_LIMITS),
    ("device_write_iops", BLKIO_LIMITS),
    ("weight", WEIGHT),
    (
        "weight_device",
        Shape::List(&Shape::Object(&Object::new(&[("path", TEXT), ("weight", WEIGHT)]).closed())),
    ),
])
.closed();

const WEIGHT: Shape = Shape::StrictInt(0, 65_535);
const BLKIO_LIMITS: Shape =
    Shape::List(&Shape::Object(&Object::new(&[("path", TEXT), ("rate", Shape::WholeBytes)]).closed()));

static CREDENTIAL_SPEC: Object = Object::new(&[("config", TEXT), ("file", TEXT), ("registry", TEXT)]);

static DEPENDENCY: Object = Object::new(&[
    ("restart", Shape::Bool),
    ("required", Shape::StrictBool),
    ("condition", Shape::OneOf(&["service_started", "service_healthy", "service_completed_successfully"])),
])
.requiring(&["condition"]);

static DEVICE: Object =
    Object::new(&[("source", TEXT), ("target", TEXT), ("permissions", TEXT)]).requiring(&["source"]);

static ENV_FILE: Object =
    Object::new(&[("path", TEXT), ("format", TEXT), ("required", Shape::Bool)]).requiring(&["path"]).closed();

static EXTENDS: Object = Object::new(&[("service", TEXT), ("file", TEXT)]).requiring(&["service"]).closed();

const OPTION_VALUE: Shape = Shape::Either(&[Shape::TextOrNumber, Shape::TextOrBool]);

static PROVIDER: Object = Object::new(&[
    ("type", TEXT),
    ("options", Shape::Map(&Shape::Either(&[OPTION_VALUE, Shape::List(&OPTION_VALUE)]))),
])
.requiring(&["type"]);

static DEVICE_REQUEST: Object = Object::new(DEVICE_REQUEST_FIELDS).ignoring_others();

static RESERVED_DEVICE: Object = Object::new(DEVICE_REQUEST_FIELDS).requiring(&["capabilities"]);

const DEVICE_REQUEST_FIELDS: &[(&str, Shape)] = &[
    ("capabilities", SET_OF_TEXT),
    ("count", Shape::Count),
    ("device_ids", SET_OF_TEXT),
    ("driver", TEXT),
    ("options", Shape::Distinct(&Shape::Labels)),
];

static HEALTHCHECK: Object = Object::new(&[
    ("disable", Shape::Bool),
    ("interval", Shape::Duration),
    ("retries", Shape::WholeCount),
    ("test", Shape::Either(&[Shape::Text, LIST_OF_TEXT])),
    ("timeout", Shape::Duration),
    ("start_period", Shape::Duration),
    ("start_interval", Shape::Duration),
]);

static LOGGING: Object = Object::new(&[
    ("driver", TEXT),
    ("options", Shape::Map(&Shape::Either(&[Shape::TextOrNumber, Shape::EmptyText]))),
]);

static SERVICE_MODEL: Object = Object::new(&[("endpoint_var", TEXT), ("model_var", TEXT)]);

static SERVICE_NETWORK: Object = Object::new(&[
    ("aliases", SET_OF_TEXT),
    ("interface_name", TEXT),
    ("ipv4_address", TEXT),
    ("ipv6_address", TEXT),
    ("link_local_ips", SET_OF_TEXT),
    ("mac_address", TEXT),
    ("driver_opts", Shape::Map(&Shape::TextOrNumber)),
    ("priority", Shape::StrictNumber),
    ("gw_priority", Shape::StrictNumber),
]);

static PORT: Object = Object::new(&[
    ("name", TEXT),
    ("mode", TEXT),
    ("host_ip", TEXT),
    ("target", Shape::Int(0, 4_294_967_295)),
    ("published", Shape::TextOrInt),
    ("protocol", TEXT),
    ("app_protocol", TEXT),
]);

static HOOK: Object = Object::new(&[
    ("command", Shape::Command),
    ("user", TEXT),
    ("privileged", Shape::Bool),
    ("working_dir", TEXT),
    ("environment", Shape::Distinct(&Shape::Pairs)),
])
.requiring(&["command"]);

static MOUNT: Object = Object::new(&[
    ("type", Shape::OneOf(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"])),
    ("source", TEXT),
    ("target", TEXT),
    ("read_only", Shape::Bool),
    ("consistency", TEXT),
    ("bind", Shape::Object(&MOUNT_BIND)),
    (
        "volume",
        Shape::Object(&Object::new(&[
            ("labels", Shape::Distinct(&Shape::Labels)),
            ("nocopy", Shape::Bool),
            ("subpath", TEXT),
        ])),
    ),
    ("tmpfs", Shape::Object(&Object::new(&[("size", SIZE), ("mode", Shape::StrictNumber)]))),
    ("image", Shape::Object(&Object::new(&[("subpath", TEXT)]))),
])
.requiring(&["type"]);

const SIZE: Shape = Shape::Either(&[Shape::StrictInt(0, i64::MAX), Shape::WholeBytes]);

static MOUNT_BIND: Object = Object::new(&[
    ("propagation", TEXT),
    ("create_host_path", Shape::Bool),
    ("recursive", Shape::OneOf(&["enabled", "disabled", "writable", "readonly"])),
    ("selinux", Shape::OneOf(&["z", "Z"])),
]);

static DEVELOP: Object = Object::new(&[("watch", Shape::List(&Shape::Object(&WATCH)))]);

static WATCH: Object = Object::new(&[
    ("ignore", TEXT_OR_LIST),
    ("include", TEXT_OR_LIST),
    ("path", TEXT),
    ("action", Shape::OneOf(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"])),
    ("target", TEXT),
    ("exec", Shape::Object(&HOOK)),
    ("initial_sync", Shape::StrictBool),
])
.requiring(&["path", "action"]);

static DEPLOY: Object = Object::new(&[
    ("mode", TEXT),
    ("endpoint_mode", TEXT),
    ("replicas", COUNT),
    ("labels", Shape::Labels),
    ("rollback_config", Shape::Object(&UPDATE_CONFIG)),
    ("update_config", Shape::Object(&UPDATE_CONFIG)),
    (
        "resources",
        Shape::Object(&Object::new(&[
            ("limits", Shape::Object(&LIMITS)),
            ("reservations", Shape::Object(&RESERVATIONS)),
        ])),
    ),
    (
        "restart_policy",
        Shape::Object(&Object::new(&[
            ("condition", TEXT),
            ("delay", Shape::Duration),
            ("max_attempts", COUNT),
            ("window", Shape::Duration),
        ])),
    ),
    (
        "placement",
        Shape::Object(&Object::new(&[
            ("constraints", LIST_OF_TEXT),
            ("preferences", Shape::List(&Shape::Object(&Object::new(&[("spread", TEXT)])))),
            ("max_replicas_per_node", COUNT),
        ])),
    ),
]);

static UPDATE_CONFIG: Object = Object::new(&[
    ("parallelism", COUNT),
    ("delay", Shape::Duration),
    ("failure_action", TEXT),
    ("monitor", Shape::Duration),
    ("max_failure_ratio", Shape::Number),
    ("order", Shape::OneOf(&["start-first", "stop-first"])),
]);

static LIMITS: Object = Object::new(&[("cpus", Shape::Number), ("memory", Shape::BytesText), ("pids", INT)]);

static RESERVATIONS: Object = Object::new(&[
    ("cpus", Shape::Number),
    ("memory", Shape::BytesText),
    (
        "generic_resources",
        Shape::List(&Shape::Object(&Object::new(&[(
            "discrete_resource_spec",
            Shape::Object(&Object::new(&[("kind", TEXT), ("value", Shape::Whole)])),
        )]))),
    ),
    ("devices", Shape::List(&Shape::Object(&RESERVED_DEVICE))),
]);
