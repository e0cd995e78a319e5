//! The images that the tests run. Whoever calls `cargo test` by itself has not made them yet, and an engine may have
//! lost them while the tests were being built.

use std::process::Command;
use std::sync::Once;

/// Two megabytes that can sleep, serve and fail.
pub(crate) const BUSYBOX: &str = "compose-operator-test/busybox:1";
/// A redis, as the example has it.
pub(crate) const REDIS: &str = "compose-operator-test/redis:1";

/// Has `tests/setup` make what is missing, once for a program.
pub(crate) fn make_sure_of_images() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        let looked = Command::new("docker").args(["image", "inspect", BUSYBOX, REDIS]).output();
        if !looked.is_ok_and(|answer| answer.status.success()) {
            let made = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/setup")).output();
            assert!(matches!(&made, Ok(made) if made.status.success()), "tests/setup: {made:?}");
        }
    });
}
