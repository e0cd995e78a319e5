//! Spans of time as people say them, moments as programs read them.

use std::time::Duration;

use serde_json::Value as Json;

use crate::core::time::Timestamp;

/// The largest unit that fits and, below ten of it, the next one: `45s`, `2m5s`, `12m`, `3h20m`, `4d`.
pub(in crate::cli) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units =
        [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let mut units = units.into_iter().skip_while(|(count, _)| *count == 0);
    let Some((count, unit)) = units.next() else { return "0s".to_owned() };
    match units.next() {
        Some((rest, smaller)) if count < 10 && rest > 0 => format!("{count}{unit}{rest}{smaller}"),
        _ => format!("{count}{unit}"),
    }
}

/// Whole milliseconds.
pub(in crate::cli) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How long something is expected to take: `0.4 s`, `45 s`, `12m`.
pub(super) fn about(duration: Duration) -> String {
    let tenths = duration.as_millis().saturating_add(50) / 100;
    match duration.as_millis().saturating_add(500) / 1_000 {
        _ if tenths < 100 => format!("{}.{} s", tenths / 10, tenths % 10),
        seconds if seconds < 120 => format!("{seconds} s"),
        _ => span(duration),
    }
}

/// How long until a moment: `in 40s`, or `now`. A part of a second is one, so that a wait of 10 s does not begin with 9.
pub(super) fn until(moment: Timestamp, now: Timestamp) -> String {
    match moment.since(now) {
        left if left < Duration::from_secs(1) => "now".to_owned(),
        left => format!("in {}", span(left + Duration::from_millis(999))),
    }
}

/// A moment as RFC 3339.
pub(super) fn rfc3339(moment: Timestamp) -> Json {
    match jiff::Timestamp::from_millisecond(moment.as_millis()) {
        Ok(moment) => format!("{moment:.3}").into(),
        Err(_) => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        let shown = |seconds| span(Duration::from_secs(seconds));
        assert_eq!(
            [0, 45, 125, 120, 754, 12_000, 36_000, 360_000].map(shown),
            ["0s", "45s", "2m5s", "2m", "12m", "3h20m", "10h", "4d4h"]
        );
    }

    #[test]
    fn what_is_expected_is_no_more_exact_than_it_can_be() {
        let shown = |millis| about(Duration::from_millis(millis));
        assert_eq!(
            [40, 50, 2_849, 9_949, 9_950, 45_400, 119_499, 119_500, 754_000].map(shown),
            ["0.0 s", "0.1 s", "2.8 s", "9.9 s", "10 s", "45 s", "119 s", "1m59s", "12m"]
        );
    }

    #[test]
    fn moments_read_as_rfc_3339() {
        assert_eq!(rfc3339(Timestamp::from_millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::from_millis(i64::MAX)), Json::Null);
        let now = Timestamp::from_millis(1_000);
        assert_eq!(until(now.after(Duration::from_secs(40)), now), "in 40s");
        assert_eq!(until(Timestamp::from_millis(0), now), "now");
    }
}
