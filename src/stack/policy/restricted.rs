//! What must be said under `restricted`: Docker's own way is another.

use super::Refusal;
use crate::compose::errors::Diagnostic;
use crate::compose::model::Service;
use crate::stack::faults::Places;

/// Something that must be said: the attribute, whether it is, and why.
struct Needed {
    field: &'static str,
    is_said: fn(&Service) -> bool,
    why: &'static str,
    help: &'static str,
}

const NEEDED: [Needed; 3] = [
    Needed {
        field: "user",
        is_said: |service| !service.user.is_empty(),
        why: "it is not said, and the image says whether the container runs as root",
        help: "give the number of a user, as `user: \"1000\"`",
    },
    Needed {
        field: "cap_drop",
        is_said: |service| service.cap_drop.iter().any(|capability| capability.eq_ignore_ascii_case("all")),
        why: "it must have `ALL`",
        help: "write `cap_drop: [ALL]`, and `cap_add: [NET_BIND_SERVICE]` where ports below 1024 are needed",
    },
    Needed {
        field: "security_opt",
        is_said: |service| service.security_opt.iter().any(|option| ends_privileges(option)),
        why: "it must have `no-new-privileges:true`",
        help: "write `security_opt: [\"no-new-privileges:true\"]`",
    },
];

fn ends_privileges(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}

pub(super) fn check(places: Places<'_>, refuse: &mut dyn FnMut(Diagnostic, Refusal)) {
    for (name, service) in &places.project.model.services {
        for needed in NEEDED.iter().filter(|needed| !(needed.is_said)(service)) {
            let what = format!("`{}` of service `{name}`", needed.field);
            let is_there = places.project.span(&["services", name, needed.field]).is_some();
            let found = if is_there {
                places.in_service(name, &[needed.field], what)
            } else {
                places.at_key(name, &[], what)
            };
            refuse(found, Refusal::new(needed.why, needed.help));
        }
    }
}
