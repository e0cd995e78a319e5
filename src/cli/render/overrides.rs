//! What people laid over the files.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::shown::plural;
use super::time::{rfc3339, span};
use crate::core::overrides::Scale;
use crate::core::time::Timestamp;

/// `5 replicas by ann, for another 2h; the files say 2`.
pub fn scale_line(scale: &Scale, now: Timestamp) -> String {
    let Scale { replicas, files, by, until, .. } = scale;
    let until = until.map_or_else(
        || "until `operator scale SERVICE=files`".to_owned(),
        // A part of a second is one: it has only just been said.
        |until| format!("for another {}", span(until.since(now) + Duration::from_millis(999))),
    );
    format!("{} by {by}, {until}; the files say {files}", plural(*replicas, "replica"))
}

/// The same for programs.
pub fn scale_json(scale: &Scale) -> Json {
    json!({
        "replicas": scale.replicas,
        "files": scale.files,
        "by": scale.by,
        "since": rfc3339(scale.since),
        "until": scale.until.map(rfc3339),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_replicas_says_by_whom_and_until_when() {
        let since = Timestamp::from_millis(1_000);
        let mut scale = Scale { replicas: 5, files: 2, by: "ann".to_owned(), since, until: None };
        assert_eq!(
            scale_line(&scale, since),
            "5 replicas by ann, until `operator scale SERVICE=files`; the files say 2"
        );
        (scale.replicas, scale.until) = (1, Some(since.after(Duration::from_hours(2))));
        assert_eq!(scale_line(&scale, since), "1 replica by ann, for another 2h; the files say 2");
    }
}
