//! What files that are not trusted may ask of the host: escapes that are tried, each refused at its line, and what a stack
//! needs every day, which is let be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop where it is")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use compose_operator::compose::{self, Confined, DiskFiles, LoadOptions};
use compose_operator::stack::policy::{Level, Trust, judged};
use compose_operator::stack::{self, Loaded};

/// A checkout `shop` with what is in it, and what is beside it on the host.
struct Host {
    base: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { base: tempfile::tempdir().unwrap() };
        host.write("outside/secret", "A=1\n");
        host.write("outside/other.yaml", "services:\n  base: {image: x}\n");
        host.write("outside/profile.json", "{}");
        host.write("shop/conf/app.conf", "x");
        host.write("shop/conf/app.env", "B=2\n");
        host.write("shop/conf/profile.json", "{}");
        host.write("shop/app/Dockerfile", "FROM scratch\n");
        host.write("shop/ignored/Dockerfile", "FROM scratch\n");
        host.write("shop/base.yaml", "services:\n  base: {image: x, privileged: true}\n");
        host.write("shop/sound.yaml", "services:\n  base: {image: x}\n");
        for (name, target) in [
            ("link", "../outside/secret"),
            ("chain", "link"),
            ("directory", "../outside"),
            ("other.yaml", "../outside/other.yaml"),
            ("profile.json", "../outside/profile.json"),
            ("dangling", "../outside/not-there-yet"),
            ("loop", "loop"),
            ("near", "conf"),
            ("evil/Dockerfile", "../../outside/secret"),
            ("small/dockerfile", "../../outside/secret"),
            ("ignored/.dockerignore", "../../outside/secret"),
        ] {
            let path = host.shop(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(target, path).unwrap();
        }
        symlink(host.base.path().join("outside/secret"), host.shop("absolute")).unwrap();
        host
    }

    fn shop(&self, path: &str) -> PathBuf {
        self.base.path().join("shop").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.base.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn options(&self, level: Level) -> LoadOptions {
        let home = self.base.path().join("outside").to_string_lossy().into_owned();
        LoadOptions {
            environment: BTreeMap::from([("HOME".to_owned(), home), ("OFFERED".to_owned(), "1".to_owned())]),
            working_dir: self.shop(""),
            trust: Trust { level, root: Some(self.shop("")) },
            ..LoadOptions::default()
        }
    }

    fn load(&self, files: &[&str], level: Level) -> Loaded {
        let files = files.iter().map(PathBuf::from).collect();
        stack::load(&LoadOptions { files, ..self.options(level) }, &DiskFiles)
    }
}

/// One that is tried: a Compose file, of which the line with `# !` is at fault, and words that name why.
struct Escape(&'static str, &'static str);

/// What is below the service `api`, which has an image.
const SERVICES: &[Escape] = &[
    Escape("privileged: true # !", "`privileged` of service `api`"),
    Escape("privileged: 'true' # !", "`privileged`"),
    Escape("pid: host # !", "the host"),
    Escape("pid: container:other # !", "not of this stack"),
    Escape("ipc: host # !", "the host"),
    Escape("ipc: container:other # !", "not of this stack"),
    Escape("uts: host # !", "`uts`"),
    Escape("userns_mode: host # !", "`userns_mode`"),
    Escape("cgroup: host # !", "`cgroup`"),
    Escape("cgroup_parent: /docker # !", "`cgroup_parent`"),
    Escape("network_mode: host # !", "the host"),
    Escape("network_mode: container:other # !", "not of this stack"),
    Escape("network_mode: ns:/proc/1/ns/net # !", "not of this stack"),
    Escape("cap_add: [SYS_ADMIN] # !", "SYS_ADMIN"),
    Escape("cap_add: [cap_sys_ptrace] # !", "cap_sys_ptrace"),
    Escape("cap_add:\n      - CHOWN\n      - ALL # !", "ALL"),
    Escape("cap_add: [NET_RAW] # !", "NET_RAW"),
    Escape("devices: [/dev/sda] # !", "`devices`"),
    Escape("devices: ['vendor.com/class=all'] # !", "`devices`"),
    Escape("device_cgroup_rules: ['a *:* rwm'] # !", "`device_cgroup_rules`"),
    Escape("security_opt: [seccomp=unconfined] # !", "seccomp=unconfined"),
    Escape("security_opt: ['seccomp:unconfined'] # !", "seccomp:unconfined"),
    Escape("security_opt: [apparmor=unconfined] # !", "apparmor=unconfined"),
    Escape("security_opt: ['label:disable'] # !", "label:disable"),
    Escape("security_opt: ['label=type:spc_t'] # !", "spc_t"),
    Escape("security_opt: ['label:user:root'] # !", "label:user"),
    Escape("security_opt: ['no-new-privileges:false'] # !", "no-new-privileges:false"),
    Escape("security_opt: [systempaths=unconfined] # !", "systempaths"),
    Escape("security_opt: [writable-cgroups=true] # !", "writable-cgroups"),
    Escape("security_opt: [seccomp=./conf/profile.json] # !", "seccomp=./conf/profile.json"),
    Escape("security_opt: [seccomp=../outside/profile.json] # !", "outside of the checkout"),
    Escape("security_opt: [seccomp=profile.json] # !", "outside of the checkout"),
    Escape("sysctls: {kernel.core_pattern: '|/x'} # !", "kernel.core_pattern"),
    Escape("sysctls: [net.core.somaxconn=1] # !", "net.core.somaxconn"),
    Escape("annotations: {org.systemd.property.DeviceAllow: '[]'} # !", "runtimes act on it"),
    Escape("runtime: kata # !", "`kata`"),
    Escape("runtime: /tmp/shim # !", "`/tmp/shim`"),
    Escape("isolation: process # !", "`isolation`"),
    Escape("oom_score_adj: -500 # !", "`oom_score_adj`"),
    Escape("oom_kill_disable: true # !", "`oom_kill_disable`"),
    Escape("cpu_rt_runtime: 95000 # !", "`cpu_rt_runtime`"),
    Escape("external_links: [other:db] # !", "`external_links`"),
    Escape("volumes_from: ['container:other'] # !", "container:other"),
    Escape("volumes_from: ['container:other:ro'] # !", "container:other"),
    Escape("post_start: [{command: x, privileged: true}] # !", "`post_start.privileged`"),
    Escape("pre_stop: [{command: x, privileged: true}] # !", "`pre_stop.privileged`"),
    Escape("logging: {driver: awslogs} # !", "awslogs"),
    Escape("logging: {driver: vendor/plugin} # !", "vendor/plugin"),
    Escape(
        "logging: {driver: syslog, options: {syslog-address: 'unixgram:///run/x'}} # !",
        "a socket of the host",
    ),
    Escape("logging: {driver: syslog, options: {syslog-tls-ca-cert: /etc/shadow}} # !", "a file"),
    Escape("use_api_socket: true # !", "use_api_socket"),
    Escape("credential_spec: {file: /etc/shadow} # !", "credential_spec"),
    Escape("provider: {type: sh} # !", "provider"),
    Escape(
        "networks: {default: {driver_opts: {com.docker.network.endpoint.sysctls: x=1}}} # !",
        "endpoint.sysctls",
    ),
    // What is mounted.
    Escape("volumes: ['/var/run/docker.sock:/s:ro'] # !", "outside of the checkout"),
    Escape("volumes: ['/run/docker.sock:/s:ro'] # !", "outside"),
    Escape("volumes: ['/var/run/../run/docker.sock:/s:ro'] # !", "outside"),
    Escape("volumes: ['//var//run/docker.sock:/s:ro'] # !", "outside"),
    Escape("volumes: ['/proc/1/root/run/docker.sock:/s:ro'] # !", "outside"),
    Escape("volumes: ['/:/host:ro'] # !", "/ is outside"),
    Escape("volumes: ['/etc:/x:ro'] # !", "/etc is outside"),
    Escape("volumes: ['/dev/null:/x:ro'] # !", "outside"),
    Escape("volumes: ['../:/x:ro'] # !", "outside"),
    Escape("volumes: ['../../../../../../etc:/x:ro'] # !", "outside"),
    Escape("volumes: ['./conf/../../outside:/x:ro'] # !", "outside"),
    Escape("volumes: ['../shop-2:/x:ro'] # !", "outside"),
    Escape("volumes: ['~:/x:ro'] # !", "outside"),
    Escape("volumes: ['~/secret:/x:ro'] # !", "outside"),
    Escape("volumes: ['${HOME}/secret:/x:ro'] # !", "outside"),
    Escape("volumes: ['${NOWHERE:-/etc}:/x:ro'] # !", "outside"),
    Escape("volumes: ['C:\\etc:/x:ro'] # !", "outside"),
    Escape("volumes: [{type: bind, source: /etc, target: /x, read_only: true}] # !", "outside"),
    Escape("volumes: [{type: bind, source: ../outside, target: /x, read_only: true}] # !", "outside"),
    Escape("volumes: ['./absolute:/x:ro'] # !", "a symbolic link leads from"),
    Escape("volumes: ['./link:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./chain:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./directory:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./directory/secret:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./near/../directory/not-there:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./dangling:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./loop:/x:ro'] # !", "a symbolic link"),
    Escape("volumes: ['./conf:/x'] # !", "could write in the checkout"),
    Escape("volumes: ['./conf:/x:rw'] # !", "could write in the checkout"),
    Escape("volumes: [{type: bind, source: './a:/etc', target: /x, read_only: true}] # !", "a colon"),
    Escape("volumes: ['./conf:/x:ro,rshared'] # !", "show on the host"),
    Escape("volumes: [{type: npipe, source: '\\\\.\\pipe\\docker_engine', target: /x}] # !", "npipe"),
    Escape("volumes: [{type: cluster, source: x, target: /x}] # !", "cluster"),
    Escape("tmpfs: /tmp\n    volumes: &v\n      - /etc:/x:ro # !\n    x-v: *v", "/etc is outside"),
    // What is read.
    Escape("env_file: /etc/passwd # !", "outside of the checkout"),
    Escape("env_file: ../outside/secret # !", "outside of the checkout"),
    Escape("env_file: [{path: /etc/no-such-file, required: false}] # !", "outside of the checkout"),
    Escape(
        "env_file:\n      - conf/app.env\n      - path: link # !\n        required: false",
        "outside of the checkout",
    ),
    Escape("env_file: directory/secret # !", "outside of the checkout"),
    Escape("env_file: ${HOME}/secret # !", "outside of the checkout"),
    Escape("env_file: ~/secret # !", "outside of the checkout"),
    Escape("label_file: ../outside/secret # !", "outside of the checkout"),
    Escape("label_file: [absolute] # !", "outside of the checkout"),
    Escape("extends: {file: ../outside/other.yaml, service: base} # !", "outside of the checkout"),
    Escape("extends: {file: other.yaml, service: base} # !", "outside of the checkout"),
    Escape("extends: {file: directory/other.yaml, service: base} # !", "outside of the checkout"),
    Escape("develop: {watch: [{path: /etc, action: rebuild}]} # !", "outside of the checkout"),
    // What is built.
    Escape("build: .. # !", "outside of the checkout"),
    Escape("build: / # !", "outside of the checkout"),
    Escape("build: ./directory # !", "a symbolic link"),
    Escape("build: {context: '${HOME}'} # !", "outside of the checkout"),
    Escape("build: {context: 'file:///etc'} # !", "outside of the checkout"),
    Escape("build: {context: 'oci-layout:///etc'} # !", "outside of the checkout"),
    Escape("build: {context: ./app, dockerfile: ../../outside/secret} # !", "outside of the checkout"),
    Escape("build: {context: ./app, dockerfile: /etc/passwd} # !", "outside of the checkout"),
    Escape(
        "build: {context: 'https://example.com/x.git', dockerfile: /etc/passwd} # !",
        "outside of the checkout",
    ),
    Escape("build: ./evil # !", "a symbolic link"),
    Escape("build: ./small # !", "a symbolic link"),
    Escape("build: ./ignored # !", "a symbolic link"),
    Escape("build: {context: ./app, additional_contexts: {etc: /etc}} # !", "outside of the checkout"),
    Escape("build: {context: ./app, additional_contexts: ['x=../outside']} # !", "outside of the checkout"),
    Escape("build: 'git@example.com:private.git' # !", "SSH keys of the host"),
    Escape(
        "build: {context: app, additional_contexts: {x: 'ssh://git@example.com/x'}} # !",
        "SSH keys of the host",
    ),
    Escape("build: {context: 'service:/../../etc'} # !", "outside of the checkout"),
    Escape("build: {context: ./app, privileged: true} # !", "`build.privileged`"),
    Escape("build: {context: ./app, entitlements: [security.insecure]} # !", "`build.entitlements`"),
    Escape("build: {context: ./app, network: host} # !", "the host"),
    Escape("build: {context: ./app, network: 'container:other'} # !", "not of this stack"),
    Escape("build: {context: ./app, ssh: [default]} # !", "`build.ssh`"),
    Escape("build: {context: ./app, ssh: ['k=/root/.ssh/id']} # !", "`build.ssh`"),
    Escape("build: {context: ./app, cache_to: ['type=local,dest=/etc/cron.d']} # !", "`build.cache_to`"),
    Escape("build: {context: ./app, cache_from: ['src=/root, type=local']} # !", "`build.cache_from`"),
    Escape("build: {context: ./app, isolation: process} # !", "`build.isolation`"),
];

/// Whole files.
const FILES: &[Escape] = &[
    Escape("include: [../outside/other.yaml] # !", "outside of the checkout"),
    Escape("include: [other.yaml] # !", "outside of the checkout"),
    Escape("include: ['${HOME}/other.yaml'] # !", "outside of the checkout"),
    Escape("include: [{path: sound.yaml, env_file: ../outside/secret}] # !", "outside of the checkout"),
    Escape(
        "x-hidden: &hidden\n  privileged: true # !\nservices:\n  api:\n    <<: *hidden\n    image: x",
        "`privileged`",
    ),
    Escape("services:\n  api: &a {image: x, pid: host} # !\n  b: {image: x}", "`pid`"),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver_opts: {type: none, o: bind, device: /etc}}} # !",
        "`driver_opts` of volume `data`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver_opts: {type: none, o: bind, device: ./conf}}} # !",
        "`driver_opts` of volume `data`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver_opts: {type: tmpfs, o: 'size=1m,rbind', device: /etc}}} # !",
        "`driver_opts`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver_opts: {type: ext4, device: /dev/sda1}}} # !",
        "`driver_opts`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver_opts: {type: nfs, o: 'addr=10.0.0.1', device: ':/'}}} # !",
        "`driver_opts`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver: vieux/sshfs}} # !",
        "vieux/sshfs",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {external: true}} # !",
        "not of this stack",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {external: {name: other_data}}} # !",
        "not of this stack",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {name: /etc}} # !",
        "`name` of volume `data`",
    ),
    Escape(
        "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {name: other_data}} # !",
        "another stack",
    ),
    Escape(
        "services: {api: {image: x, networks: [n]}}\nnetworks: {n: {external: true, name: host}} # !",
        "the host",
    ),
    Escape(
        "services: {api: {image: x, networks: [n]}}\nnetworks: {n: {external: true, name: 'container:other'}} # !",
        "not of this stack",
    ),
    Escape("services: {api: {image: x, networks: [n]}}\nnetworks: {n: {driver: macvlan}} # !", "macvlan"),
    Escape(
        "services: {api: {image: x, networks: [n]}}\nnetworks: {n: {driver_opts: {com.docker.network.bridge.name: docker0}}} # !",
        "bridge.name",
    ),
    Escape("services: {api: {image: x, secrets: [s]}}\nsecrets: {s: {file: /etc/shadow}} # !", "outside"),
    Escape("services: {api: {image: x, secrets: [s]}}\nsecrets: {s: {file: ./link}} # !", "a symbolic link"),
    Escape("services: {api: {image: x, configs: [s]}}\nconfigs: {s: {file: ~/secret}} # !", "outside"),
    Escape(
        "services: {api: {image: x, configs: [s]}}\nconfigs: {s: {file: ../outside/secret}} # !",
        "outside",
    ),
    Escape(
        "services: {api: {image: x, build: {context: app, secrets: [s]}}}\nsecrets: {s: {file: /root/.ssh/id}} # !",
        "outside",
    ),
    // The process that runs this test has a PATH.
    Escape(
        "services: {api: {image: x, secrets: [s]}}\nsecrets: {s: {environment: PATH}} # !",
        "`PATH` that secret `s` comes from is not set",
    ),
    Escape(
        "services: {api: {image: x, configs: [s]}}\nconfigs: {s: {environment: PATH}} # !",
        "`PATH` that config `s` comes from is not set",
    ),
];

fn file_of(Escape(text, why): &Escape, is_service: bool) -> (String, &'static str) {
    let text = if is_service {
        format!("services:\n  api:\n    image: x\n    {text}\n  base: {{image: x}}\n")
    } else {
        format!("{text}\n")
    };
    (text, why)
}

fn escapes() -> impl Iterator<Item = (String, &'static str)> {
    let services = SERVICES.iter().map(|escape| file_of(escape, true));
    services.chain(FILES.iter().map(|escape| file_of(escape, false)))
}

#[test]
fn each_escape_is_refused_at_its_line() {
    let host = Host::new();
    let mut wrong = Vec::new();
    for (text, why) in escapes() {
        host.write("shop/compose.yaml", &text);
        let line = 1 + text.lines().position(|line| line.ends_with("# !")).unwrap();
        let loaded = host.load(&["compose.yaml"], Level::Baseline);
        let is_it = |fault: &&compose::Diagnostic| {
            fault.message.contains(why)
                && fault.line() == Some(line)
                && fault.column().is_some()
                && fault.path().is_some_and(|path| path.ends_with("compose.yaml"))
                && fault.help.is_some()
        };
        let others: Vec<String> = loaded.faults.iter().map(compose::Diagnostic::headline).collect();
        if loaded.faults.iter().find(is_it).is_none() || !loaded.stacks.is_empty() {
            wrong.push(format!("{text}expected at line {line}: {why}\nfound: {others:#?}"));
        }
        if loaded.faults.len() > 1 {
            wrong.push(format!("{text}told more than once: {others:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(escapes().count() > 150);
}

/// So that each of them is refused for what it tries, and not for how it is written.
#[test]
fn what_is_refused_is_let_be_where_files_are_trusted() {
    let host = Host::new();
    // What the operator does for nobody, and what is not offered to anybody.
    let never = ["`use_api_socket`", "`credential_spec`", "`provider`", "the variable `PATH`"];
    for (text, _) in escapes() {
        host.write("shop/compose.yaml", &text);
        let loaded = host.load(&["compose.yaml"], Level::Privileged);
        for fault in &loaded.faults {
            assert!(never.iter().any(|what| fault.message.starts_with(what)), "{fault}\n{text}");
        }
    }
}

/// What is below the service `api`, as above, that any stack may say.
const EVERY_DAY: &[&str] = &[
    "privileged: false",
    "pid: service:base",
    "ipc: shareable",
    "ipc: service:base",
    "network_mode: none",
    "network_mode: service:base",
    "cgroup: private",
    "cap_add: [NET_BIND_SERVICE, cap_chown]",
    "cap_drop: [ALL]",
    "security_opt: ['no-new-privileges:true', 'apparmor=docker-default', seccomp=builtin]",
    "security_opt: [no-new-privileges, 'label:type:container_t', 'label:level:s0']",
    "sysctls: {net.ipv4.ip_unprivileged_port_start: 0}",
    "runtime: runc",
    "oom_score_adj: 500",
    "annotations: {com.example.owner: shop}",
    "logging: {driver: json-file, options: {max-size: 10m, tag: '{{.Name}}/x'}}",
    "logging: {driver: syslog, options: {syslog-address: 'tcp://logs.example.com:514'}}",
    "volumes: ['./conf:/x:ro']",
    "volumes: ['.:/x:ro']",
    "volumes: ['./near/app.conf:/x:ro,Z']",
    "volumes: ['./not-there:/x:ro']",
    "volumes: [{type: bind, source: ./conf/../conf, target: /x, read_only: true, bind: {propagation: rslave}}]",
    "volumes: ['/anonymous', {type: tmpfs, target: /t}, {type: image, source: x, target: /i}]",
    "volumes_from: ['base:ro']",
    "tmpfs: ['/tmp:size=16m']",
    "env_file: [conf/app.env, {path: near/app.env}, {path: not-there, required: false}]",
    "env_file: /dev/null",
    "label_file: conf/app.env",
    "extends: {file: sound.yaml, service: base}",
    "ports: ['80:80', '127.0.0.1:9000:9000']",
    "gpus: all",
    "deploy: {resources: {limits: {cpus: '1', memory: 64M}, reservations: {devices: [{capabilities: [gpu]}]}}}",
    "build: ./app",
    "build: {context: app, dockerfile_inline: FROM scratch, args: {A: b}, network: none}",
    "build: {context: app, additional_contexts: {conf: ./conf, base: 'docker-image://x'}, tags: [y]}",
    "build: 'https://example.com/x.git#main'",
    "build: {context: app, cache_from: [x, 'type=registry,ref=x'], cache_to: ['type=inline']}",
    "post_start: [{command: x, user: root}]",
    "init: true\n    read_only: true\n    group_add: ['1000']\n    ulimits: {nofile: 1024}\n    user: root",
    "dns: 10.0.0.1\n    extra_hosts: ['gate:host-gateway']\n    hostname: x\n    mac_address: '02:00:00:00:00:01'",
    "x-anything: {privileged: true, volumes: ['/:/host']}",
    "environment: {OFFERED: '${OFFERED}', A: null}\n    command: ['--privileged', /etc/passwd]",
];

const EVERY_FILE: &[&str] = &[
    "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: }",
    "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {name: shop_data, labels: {a: b}}}",
    "services: {api: {image: x, volumes: ['data:/x']}}\nvolumes: {data: {driver: local, driver_opts: {type: tmpfs, device: tmpfs, o: 'size=1m,uid=1,noexec'}}}",
    "services: {api: {image: x, networks: [n]}}\nnetworks: {n: {external: true, name: edge}}",
    "services: {api: {image: x, networks: {n: {aliases: [y]}}}}\nnetworks: {n: {internal: true, driver: bridge, driver_opts: {com.docker.network.driver.mtu: 1400}, ipam: {config: [{subnet: 10.9.0.0/24}]}}}",
    "services: {api: {image: x, secrets: [s], configs: [c]}}\nsecrets: {s: {file: conf/app.env}}\nconfigs: {c: {content: x}}",
    "services: {api: {image: x, secrets: [s]}}\nsecrets: {s: {environment: OFFERED}}",
    "include: [sound.yaml]",
    "services: {api: {image: x, build: {context: app, additional_contexts: {b: 'service:base'}}}, base: {image: y, build: app}}",
    // No profile selects it, and no service uses it.
    "services: {api: {image: x}, debug: {image: x, privileged: true, profiles: [debug]}}\nvolumes: {other: {external: true}}",
];

#[test]
fn what_stacks_need_every_day_is_let_be() {
    let host = Host::new();
    let services = EVERY_DAY.iter().map(|text| file_of(&Escape(text, ""), true).0);
    for text in services.chain(EVERY_FILE.iter().map(|text| format!("{text}\n"))) {
        host.write("shop/compose.yaml", &text);
        let loaded = host.load(&["compose.yaml"], Level::Baseline);
        assert!(loaded.faults.is_empty(), "{text}{:#?}", loaded.faults);
        assert_eq!(loaded.stacks.len(), 1, "{text}");
    }
}

/// What is wrong, as `file:line:column: message`, with the checkout left out of it.
fn told(host: &Host, loaded: &Loaded) -> Vec<String> {
    let base = format!("{}/", host.base.path().display());
    loaded.faults.iter().map(|fault| fault.headline().replace(&base, "")).collect()
}

#[test]
fn a_refusal_has_its_place_its_cause_and_the_way_out() {
    let host = Host::new();
    host.write("shop/compose.yaml", "services:\n  api:\n    image: x\n    volumes:\n      - /etc:/x:ro\n");
    let loaded = host.load(&["compose.yaml"], Level::Baseline);
    let drawn = loaded.faults[0].to_string().replace(&format!("{}/", host.base.path().display()), "");
    let wanted = "\
error: the policy `baseline` refuses `volumes.source` of service `api`: /etc is outside of the checkout
 --> shop/compose.yaml:5:9
  |
5 |       - /etc:/x:ro
  |         ^^^^^^^^^^
  |
  = help: use a named volume, or mount what is in the checkout; `--policy privileged` on the host allows it";
    assert_eq!(drawn, wanted);
}

#[test]
fn what_other_files_bring_in_is_refused_where_they_say_it() {
    let host = Host::new();
    host.write("shop/compose.yaml", "services:\n  api: {extends: {file: base.yaml, service: base}}\n");
    host.write("shop/more.yaml", "services:\n  api:\n    privileged: !reset false\n    pid: host\n");
    host.write(
        "shop/last.yaml",
        "services:\n  api:\n    pid: !reset\n    volumes: !override\n      - /:/x:ro\n",
    );
    for (files, wanted) in [
        (&["compose.yaml"][..], &["shop/base.yaml:2:32: the policy `baseline` refuses `privileged`"][..]),
        (&["compose.yaml", "more.yaml"], &["shop/more.yaml:4:10: the policy `baseline` refuses `pid`"]),
        (
            &["compose.yaml", "more.yaml", "last.yaml"],
            &["shop/last.yaml:5:9: the policy `baseline` refuses `volumes.source`"],
        ),
    ] {
        let told = told(&host, &host.load(files, Level::Baseline));
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        assert!(told.iter().zip(wanted).all(|(told, wanted)| told.starts_with(wanted)), "{told:?}");
    }
}

#[test]
fn no_way_into_the_files_leads_out_of_the_checkout() {
    let host = Host::new();
    host.write("shop/sub/compose.yaml", "services: {api: {image: x}}\n");
    symlink("../../outside/secret", host.shop("sub/.env")).unwrap();
    fs::create_dir(host.shop("linked")).unwrap();
    symlink("../../outside/other.yaml", host.shop("linked/compose.yaml")).unwrap();
    host.write("shop/listed/.env", "COMPOSE_FILE=../../outside/other.yaml\n");
    host.write("shop/including/compose.yaml", "include: [../sub/compose.yaml]\n");
    let load = |directory: &str, files: &[&str]| {
        let options = LoadOptions {
            files: files.iter().map(PathBuf::from).collect(),
            working_dir: host.shop(directory),
            ..host.options(Level::Baseline)
        };
        let loaded = stack::load(&options, &DiskFiles);
        assert!(loaded.stacks.is_empty());
        told(&host, &loaded).join("\n")
    };
    for (directory, files, wanted) in [
        ("sub", &[][..], "env file cannot be read: shop/sub/.env: it is outside of the checkout"),
        ("including", &[], "env file cannot be read: shop/sub/.env: it is outside of the checkout"),
        (
            "linked",
            &[],
            "Compose file cannot be read: shop/linked/compose.yaml: it is outside of the checkout",
        ),
        (
            "linked",
            &["compose.yaml"],
            "shop/linked/compose.yaml: the file cannot be read: it is outside of the checkout",
        ),
        ("listed", &[], "Compose file cannot be read: outside/other.yaml: it is outside of the checkout"),
        ("", &["other.yaml"], "it is outside of the checkout"),
    ] {
        let told = load(directory, files);
        assert!(told.contains(wanted), "{directory} {files:?}: {told}");
    }
}

const MANIFEST: &str = "apiVersion: compose-operator/v1\nkind: Stack\nmetadata: {name: shop}\nspec:\n";

#[test]
fn a_manifest_names_files_of_the_checkout_only() {
    let host = Host::new();
    let cases = [
        ("compose: {files: [../../outside/other.yaml]}", "it is outside of the checkout"),
        ("compose: {files: [../other.yaml]}", "it is outside of the checkout"),
        ("compose: {files: [/etc/passwd]}", "it is outside of the checkout"),
        (
            "compose: {files: [../sound.yaml], envFiles: [../../outside/secret]}",
            "it is outside of the checkout",
        ),
        ("compose: {files: [../sound.yaml], envFiles: [../link]}", "it is outside of the checkout"),
        ("compose: {files: [../sound.yaml], projectDirectory: /etc}", "it is outside of the checkout"),
        (
            "compose: {files: [../sound.yaml], projectDirectory: ../directory}",
            "it is outside of the checkout",
        ),
        ("notifications: [{slack: {urlFile: /etc/shadow}}]", "/etc/shadow is outside of the checkout"),
        ("notifications: [{webhook: {urlFile: ../../outside/secret}}]", "outside of the checkout"),
        ("notifications: [{webhook: {url: 'https://x.y', secretFile: ../link}}]", "a symbolic link leads"),
        (
            "notifications: [{email: {server: a.b, from: a@b.c, to: [a@b.c], user: a, passwordFile: /root/x}}]",
            "/root/x is outside of the checkout",
        ),
    ];
    for (spec, wanted) in cases {
        let compose = if spec.starts_with("compose") { "" } else { "  compose: {files: [../sound.yaml]}\n" };
        host.write("shop/manifests/shop.yaml", &format!("{MANIFEST}{compose}  {spec}\n"));
        let loaded = host.load(&["manifests"], Level::Baseline);
        let told = told(&host, &loaded);
        assert!(loaded.stacks.is_empty() && told.len() == 1, "{spec}: {told:?}");
        let line = if compose.is_empty() { 5 } else { 6 };
        assert!(told[0].starts_with(&format!("shop/manifests/shop.yaml:{line}:")), "{told:?}");
        assert!(told[0].contains(wanted), "{told:?}");
    }
    let files = "{files: [../sound.yaml], envFiles: [../conf/app.env], projectDirectory: ..}";
    let told_to = "notifications: [{slack: {urlFile: ../conf/url}}]";
    host.write("shop/manifests/shop.yaml", &format!("{MANIFEST}  compose: {files}\n  {told_to}\n"));
    assert_eq!(told(&host, &host.load(&["manifests"], Level::Baseline)), [""; 0]);
    fs::remove_file(host.shop("manifests/shop.yaml")).unwrap();
    symlink("../../outside/secret", host.shop("manifests/shop.yaml")).unwrap();
    let told = told(&host, &host.load(&["manifests"], Level::Baseline));
    assert_eq!(told, ["shop/manifests/shop.yaml: the file cannot be read: it is outside of the checkout"]);
}

/// A field that names a file is new: does `stack::policy` hold it within the checkout?
#[test]
fn the_manifest_names_no_other_files() {
    let schema = stack::manifest::schema();
    let mut names = BTreeSet::new();
    for definition in schema["$defs"].as_object().unwrap().values() {
        names.extend(definition["properties"].as_object().into_iter().flat_map(|all| all.keys().cloned()));
    }
    let is_of_files = |name: &String| {
        let name = name.to_lowercase();
        ["file", "path", "director"].iter().any(|word| name.contains(word))
    };
    let found: Vec<String> = names.into_iter().filter(is_of_files).collect();
    // `path` is that of a page, and profiles are no files.
    let known = [
        "envFiles",
        "files",
        "passwordFile",
        "path",
        "profiles",
        "projectDirectory",
        "secretFile",
        "urlFile",
    ];
    assert_eq!(found, known);
}

#[test]
fn the_host_itself_may_name_files_outside() {
    let host = Host::new();
    host.write("shop/compose.yaml", "services: {api: {image: \"x:${A:?}\", env_file: ../outside/secret}}\n");
    let options = |level| LoadOptions {
        files: vec![PathBuf::from("compose.yaml")],
        env_files: vec![host.base.path().join("outside/secret")],
        ..host.options(level)
    };
    let stacks = stack::load(&options(Level::Baseline), &DiskFiles).all().unwrap();
    assert_eq!(stacks[0].desired.services["api"].spec.image, "x:1");
    // A name in the checkout is not the host's, whatever says it.
    let options = LoadOptions { env_files: vec![PathBuf::from("link")], ..options(Level::Baseline) };
    let told = told(&host, &stack::load(&options, &DiskFiles));
    assert_eq!(told, ["env file cannot be read: shop/link: it is outside of the checkout"]);
}

#[test]
fn the_working_directory_is_the_checkout_where_nothing_else_is_said() {
    let host = Host::new();
    host.write("shop/sub/compose.yaml", "services: {api: {image: x, volumes: ['../conf:/x:ro']}}\n");
    let options = |root| LoadOptions {
        working_dir: host.shop("sub"),
        trust: Trust { level: Level::Baseline, root },
        ..LoadOptions::default()
    };
    assert!(stack::load(&options(Some(host.shop(""))), &DiskFiles).all().is_ok());
    assert_eq!(stack::load(&options(None), &DiskFiles).faults.len(), 1);
}

#[test]
fn a_checkout_under_another_name_is_loaded_as_if_it_were_there() {
    let host = Host::new();
    let text = "services:\n  api:\n    image: x\n    env_file: conf/app.env\n    volumes: ['./near:/x:ro']\n";
    host.write("shop/compose.yaml", text);
    let logical = host.base.path().join("sources/current");
    let view = Confined::new(logical.clone(), host.shop(""), BTreeSet::new());
    let load = || {
        let options = LoadOptions {
            files: vec![logical.join("compose.yaml")],
            working_dir: logical.clone(),
            trust: Trust { level: Level::Baseline, root: Some(logical.clone()) },
            ..LoadOptions::default()
        };
        stack::load(&options, &view)
    };
    let stacks = load().all().unwrap();
    let api = &stacks[0].desired.services["api"];
    assert_eq!(api.spec.mounts["/x"].source, logical.join("near").to_string_lossy());
    assert_eq!(api.spec.environment["B"].expose(), "2");
    host.write("shop/compose.yaml", &text.replace("./near", "./directory"));
    let faults = load().faults;
    assert_eq!(faults.len(), 1);
    let wanted = "compose.yaml:5:15: the policy `baseline` refuses `volumes.source` of service `api`: \
                  a symbolic link leads from directory out of the checkout";
    assert_eq!(faults[0].headline(), wanted);
}

/// What `restricted` refuses of a sound service, by what is changed in it, and the place.
#[test]
fn restricted_wants_what_kubernetes_does() {
    let host = Host::new();
    let sound = "services:\n  api:\n    image: x\n    user: '1000:0'\n    cap_drop: [ALL]\n    \
                 security_opt: ['no-new-privileges:true']\n    volumes: ['data:/x', './conf:/y:ro']\n    \
                 tmpfs: /tmp\n    cap_add: [NET_BIND_SERVICE]\nvolumes: {data: }\n";
    for (from, to, wanted) in [
        ("", "", &[][..]),
        ("    user: '1000:0'\n", "", &["2:3: `user` of service `api`"]),
        ("'1000:0'", "root", &["4:11: `user` of service `api`: `root` is root"]),
        ("'1000:0'", "'0:1000'", &["4:11: `user` of service `api`: `0:1000` is root"]),
        ("'1000:0'", "'00'", &["4:11: `user` of service `api`: `00` is root"]),
        ("'1000:0'", "app", &["4:11: `user` of service `api`: `app` may be root"]),
        ("'1000:0'", "${NOBODY:-0}", &["4:11: `user` of service `api`: `0` is root"]),
        ("    cap_drop: [ALL]\n", "", &["2:3: `cap_drop` of service `api`: it must have `ALL`"]),
        ("[ALL]", "[CHOWN]", &["5:15: `cap_drop` of service `api`: it must have `ALL`"]),
        ("[NET_BIND_SERVICE]", "[CHOWN]", &["9:15: `cap_add` of service `api`: CHOWN"]),
        (
            "no-new-privileges:true",
            "label:level:s0",
            &["6:19: `security_opt` of service `api`: it must have"],
        ),
        (
            "tmpfs: /tmp",
            "post_start: [{command: x, user: root}]",
            &["8:37: `post_start.user` of service `api`"],
        ),
        ("tmpfs: /tmp", "privileged: true", &["8:17: `privileged` of service `api`"]),
        (
            "'data:/x'",
            "{type: image, source: x, target: /x}",
            &["7:22: `volumes.type` of service `api`: `image`"],
        ),
    ] {
        assert!(sound.contains(from), "{from}");
        host.write("shop/compose.yaml", &sound.replacen(from, to, 1));
        let told = told(&host, &host.load(&["compose.yaml"], Level::Restricted));
        let told: Vec<String> =
            told.iter().map(|it| it.replace("the policy `restricted` refuses ", "")).collect();
        assert_eq!(told.len(), wanted.len(), "{to}: {told:?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(&format!("shop/compose.yaml:{wanted}")), "{to}: {told}");
        }
    }
}

/// An attribute is new: what may be said of it belongs into the table of `stack::policy`, and into the page.
#[test]
fn every_attribute_is_judged_and_told_of() {
    let page = include_str!("../manifests/policy.md");
    for attribute in compose::attributes() {
        let path = attribute.split(' ').next().unwrap();
        let Some(is_refused) = judged(path) else { panic!("nobody has judged {path}") };
        let field = path.split('.').skip(2).map(|name| name.trim_end_matches("[]"));
        let field: Vec<&str> = field.filter(|name| *name != "*").collect();
        let Some(last) = field.last() else { continue };
        let is_told = page.contains(&format!("`{}`", field.join("."))) || page.contains(&format!("`{last}`"));
        assert!(!is_refused || is_told, "manifests/policy.md does not tell of {path}");
    }
    assert_eq!(judged("services.*.new_one"), None);
    assert_eq!(judged("services.*.build.new_one"), None);
    assert_eq!(judged("services.*.volumes[].new_one"), None);
}

#[test]
fn the_example_is_let_be() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let options = LoadOptions {
        files: vec![root.join("manifests/fair-edge.yaml")],
        env_files: vec![root.join("examples/fair-edge/.env.example")],
        working_dir: root.to_owned(),
        trust: Trust { level: Level::Baseline, root: None },
        ..LoadOptions::default()
    };
    let loaded = stack::load(&options, &DiskFiles);
    assert!(loaded.faults.is_empty(), "{:#?}", loaded.faults);
}
