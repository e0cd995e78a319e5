//! Values that Compose takes as any text and that no engine takes: told with their place before anything is made.
//!
//! In doubt a value passes: engines differ, and to refuse what one of them takes is worse than to let the engine say
//! no. Held against Docker 20.10.

use super::Source;
use super::reference::{self, is_reference};
use crate::core::addresses::{ip, is_mac_address};
use crate::stack::faults::{Findings, nearest};

/// What a value has to be.
struct Form {
    /// Whether it is.
    is: fn(&str) -> bool,
    /// What it is called.
    what: &'static str,
    /// The way out.
    help: fn(&str) -> String,
}

const CAPABILITY: Form = Form {
    is: |word| word.eq_ignore_ascii_case("ALL") || CAPABILITIES.contains(&&*bare(word, "CAP_")),
    what: "a capability",
    help: |word| {
        one_of(&bare(word, "CAP_"), CAPABILITIES, "`ALL` or a name from capabilities(7), as NET_ADMIN")
    },
};

const CONTAINER_NAME: Form = Form {
    is: is_container_name,
    what: "a name for a container",
    help: |_| "use letters, digits, `_`, `.` and `-`, two or more, a letter or digit first".to_owned(),
};

const HOST: Form = Form {
    is: |address| address == "host-gateway" || ip(address.trim().trim_matches(['[', ']'])).is_some(),
    what: "an address for a host",
    help: |_| "give an IP address, or `host-gateway` for the engine's own host".to_owned(),
};

const IMAGE: Form = Form { is: is_reference, what: "the name of an image", help: reference::way_out };

const MAC_ADDRESS: Form = Form {
    is: is_mac_address,
    what: "a MAC address",
    help: |_| "write two hexadecimal digits for each byte, as 02:42:ac:11:00:02".to_owned(),
};

const NAME_SERVER: Form = Form {
    // Older engines pass an empty one over.
    is: |server| {
        let (address, zone) = server.split_once('%').unwrap_or((server, "zone"));
        server.is_empty() || (ip(address).is_some() && !zone.is_empty())
    },
    what: "the IP address of a name server",
    help: |_| "give an IP address without a port, as 10.0.0.53".to_owned(),
};

const SIGNAL: Form = Form {
    is: is_signal,
    what: "a signal",
    help: |word| {
        one_of(&bare(word, "SIG"), SIGNALS, "a name from signal(7), as SIGTERM or SIGRTMIN+3, or its number")
    },
};

const ULIMIT: Form = Form {
    is: |name| ULIMITS.contains(&&*name.to_ascii_lowercase()),
    what: "a limit",
    help: |name| {
        one_of(&name.to_ascii_lowercase(), ULIMITS, &format!("one of these: {}", ULIMITS.join(", ")))
    },
};

/// Without `CAP_`; newer ones are for newer engines and kernels.
const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// Without `SIG`; those of real time are counted from `RTMIN` up and from `RTMAX` down.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "EMT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP",
    "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

const ULIMITS: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Tells every value of a service that no engine takes.
pub(super) fn check(source: Source<'_>, findings: &mut Findings) {
    let service = source.service;
    let lists = [
        ("cap_add", &service.cap_add, &CAPABILITY),
        ("cap_drop", &service.cap_drop, &CAPABILITY),
        ("dns", &service.dns, &NAME_SERVER),
    ];
    for (field, values, form) in lists {
        for (index, value) in values.iter().enumerate() {
            require(source, &[field, &index.to_string()], value, form, findings);
        }
    }
    let words = [
        ("container_name", &service.container_name, &CONTAINER_NAME),
        ("image", &service.image, &IMAGE),
        ("mac_address", &service.mac_address, &MAC_ADDRESS),
        ("stop_signal", &service.stop_signal, &SIGNAL),
    ];
    for (field, value, form) in words.into_iter().filter(|(_, value, _)| !value.is_empty()) {
        require(source, &[field], value, form, findings);
    }
    for name in service.ulimits.keys() {
        if !(ULIMIT.is)(name) {
            let message =
                format!("`{name}` in `ulimits` of service `{}` is not {}", source.name, ULIMIT.what);
            let fault = source.places.at_key(source.name, &["ulimits", name], message);
            findings.faults.push(fault.help((ULIMIT.help)(name)));
        }
    }
    for (index, line) in service.extra_hosts.iter().enumerate() {
        require(source, &["extra_hosts", &index.to_string()], &line.address, &HOST, findings);
    }
    for (key, place) in service.networks.iter().filter_map(|(key, place)| Some((key, place.as_ref()?))) {
        if !place.mac_address.is_empty() {
            require(source, &["networks", key, "mac_address"], &place.mac_address, &MAC_ADDRESS, findings);
        }
    }
    built_image(source, findings);
}

fn require(source: Source<'_>, place: &[&str], value: &str, form: &Form, findings: &mut Findings) {
    if (form.is)(value) {
        return;
    }
    let named: Vec<&str> = place.iter().filter(|step| step.parse::<usize>().is_err()).copied().collect();
    let field = named.join(".");
    let message = format!("`{value}` in `{field}` of service `{}` is not {}", source.name, form.what);
    findings.faults.push(source.places.in_service(source.name, place, message).help((form.help)(value)));
}

/// What is only built goes by the names of project and service, which may have letters that an image's cannot.
fn built_image(source: Source<'_>, findings: &mut Findings) {
    let name = super::container::image(source.places.project, source.name);
    if source.service.image.is_empty() && !is_reference(&name) {
        let message =
            format!("`{name}`, as the image of service `{}` is called, is not {}", source.name, IMAGE.what);
        let fault = source.places.in_service(source.name, &["build"], message);
        findings.faults.push(fault.help("give it a name in `image`"));
    }
}

/// In capitals and without the prefix.
fn bare(word: &str, prefix: &str) -> String {
    let word = word.to_ascii_uppercase();
    word.strip_prefix(prefix).unwrap_or(&word).to_owned()
}

fn one_of(word: &str, known: &[&str], otherwise: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("use {otherwise}"),
    }
}

fn is_container_name(name: &str) -> bool {
    let name = name.strip_prefix('/').unwrap_or(name);
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A name in any case, or a number: the engine looks at its size only when it sends it.
fn is_signal(word: &str) -> bool {
    if let Ok(number) = word.parse::<i64>() {
        return number != 0;
    }
    let word = bare(word, "SIG");
    let counted = |prefix: &str, most: u8| {
        let number = word.strip_prefix(prefix);
        number.and_then(|number| number.parse::<u8>().ok()).is_some_and(|number| (1..=most).contains(&number))
    };
    SIGNALS.contains(&word.as_str()) || counted("RTMIN+", 15) || counted("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each word as Docker 20.10 judges it.
    fn judges(form: &Form, taken: &[&str], refused: &[&str]) {
        for word in taken {
            assert!((form.is)(word), "{word}");
        }
        for word in refused {
            assert!(!(form.is)(word), "{word}");
        }
    }

    #[test]
    fn capabilities_read_in_any_case_and_with_their_prefix() {
        let taken =
            ["ALL", "all", "NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "Cap_Net_Admin", "SYSLOG", "BPF"];
        judges(&CAPABILITY, &taken, &["FOO", "CAP_ALL", "", " NET_ADMIN", "NET-ADMIN"]);
        assert_eq!((CAPABILITY.help)("cap_net_admn"), "did you mean `NET_ADMIN`?");
    }

    #[test]
    fn signals_read_by_name_and_by_number() {
        let taken = [
            "TERM",
            "SIGTERM",
            "sigTerm",
            "9",
            "64",
            "015",
            "-1",
            "RTMIN",
            "rtmin+3",
            "SIGRTMIN+15",
            "RTMAX-14",
            "CLD",
            "IOT",
            "STKFLT",
        ];
        judges(
            &SIGNAL,
            &taken,
            &["FOO", "0", " TERM", "0x9", "1.0", "RTMIN+0", "RTMIN+16", "RTMAX-15", "INFO"],
        );
    }

    #[test]
    fn names_of_containers_have_two_letters_or_more() {
        judges(
            &CONTAINER_NAME,
            &["ab", "/ok", "a.b-c_d", "A1"],
            &["a", "bad name!", "-ab", "_ab", ".ab", "ä"],
        );
    }

    #[test]
    fn hosts_have_an_address_or_are_the_engines_own() {
        let refused = ["zz", "", "1.2.3", "HOST-GATEWAY", "fe80::1%eth0"];
        judges(&HOST, &["host-gateway", "1.2.3.4", "::1", "[::1]"], &refused);
        let taken = ["1.1.1.1", "::1", "fe80::1%eth0", "::ffff:1.2.3.4", ""];
        judges(&NAME_SERVER, &taken, &["zz", "1.2.3", "1.1.1.1:53", "[::1]"]);
    }

    #[test]
    fn limits_are_those_of_linux() {
        judges(&ULIMIT, &["nofile", "NOFILE", "rttime", "locks"], &["foo", "", "RLIMIT_NOFILE"]);
        assert_eq!((ULIMIT.help)("nofiles"), "did you mean `nofile`?");
    }
}
