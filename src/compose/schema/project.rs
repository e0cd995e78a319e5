//! The top level: resources and the file itself.

use super::service::SERVICE;
use super::shape::{LIST_OF_TEXT, Object, Shape, TEXT};

const DRIVER_OPTS: Shape = Shape::Map(&Shape::TextOrNumber);
/// The old form with a name inside; for files the reference looks at nothing else in there.
const EXTERNAL_FILE: Shape = Shape::Either(&[Shape::Bool, Shape::Map(&Shape::Any)]);
const EXTERNAL: Shape = Shape::Either(&[Shape::Bool, Shape::Object(&Object::new(&[("name", TEXT)]))]);

/// A Compose file.
pub(crate) static PROJECT: Object = Object::new(&[
    ("version", TEXT),
    ("name", TEXT),
    ("include", Shape::List(&Shape::Any)),
    ("services", Shape::Names(&Shape::Object(&SERVICE))),
    // The reference holds neither models nor networks to names.
    ("models", Shape::Map(&Shape::Object(&MODEL))),
    ("networks", Shape::Map(&Shape::Either(&[Shape::Null, Shape::Object(&NETWORK)]))),
    ("volumes", Shape::Names(&Shape::Either(&[Shape::Null, Shape::Object(&VOLUME)]))),
    ("secrets", Shape::Names(&Shape::Object(&SECRET))),
    ("configs", Shape::Names(&Shape::Object(&CONFIG))),
]);

static NETWORK: Object = Object::new(&[
    ("name", TEXT),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTS),
    ("ipam", Shape::Object(&IPAM)),
    ("external", EXTERNAL),
    ("internal", Shape::Bool),
    ("enable_ipv4", Shape::Bool),
    ("enable_ipv6", Shape::Bool),
    ("attachable", Shape::Bool),
    ("labels", Shape::Labels),
]);

static IPAM: Object = Object::new(&[
    ("driver", TEXT),
    ("config", Shape::List(&Shape::Object(&IPAM_POOL))),
    ("options", Shape::Map(&Shape::Text)),
]);

static IPAM_POOL: Object = Object::new(&[
    ("subnet", TEXT),
    ("ip_range", TEXT),
    ("gateway", TEXT),
    ("aux_addresses", Shape::Map(&Shape::Text)),
]);

static VOLUME: Object = Object::new(&[
    ("name", TEXT),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTS),
    ("external", EXTERNAL),
    ("labels", Shape::Distinct(&Shape::Labels)),
]);

static SECRET: Object = Object::new(&[
    ("name", TEXT),
    ("environment", TEXT),
    ("file", TEXT),
    ("external", EXTERNAL_FILE),
    ("labels", Shape::Distinct(&Shape::Labels)),
    ("driver", TEXT),
    ("driver_opts", DRIVER_OPTS),
    ("template_driver", TEXT),
]);

static CONFIG: Object = Object::new(&[
    ("name", TEXT),
    ("content", TEXT),
    ("environment", TEXT),
    ("file", TEXT),
    ("external", EXTERNAL_FILE),
    ("labels", Shape::Distinct(&Shape::Labels)),
    ("template_driver", TEXT),
]);

static MODEL: Object = Object::new(&[
    ("name", TEXT),
    ("model", TEXT),
    ("context_size", Shape::StrictInt(i64::MIN, i64::MAX)),
    ("runtime_flags", LIST_OF_TEXT),
])
.requiring(&["model"]);
