//! Durations as Go writes them: `1h30m`, `1.5s`, `40µs`.

const MICROSECOND: i128 = 1_000;
const MILLISECOND: i128 = 1_000 * MICROSECOND;
const SECOND: i128 = 1_000 * MILLISECOND;
const MINUTE: i128 = 60 * SECOND;
const HOUR: i128 = 60 * MINUTE;
const DAY: i128 = 24 * HOUR;
const WEEK: i128 = 7 * DAY;

/// Nanoseconds of a duration.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid duration \"{text}\"");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            return Err(invalid());
        }
        if unit.is_empty() {
            return Err(format!("missing unit in duration \"{text}\""));
        }
        let scale =
            unit_scale(unit).ok_or_else(|| format!("unknown unit \"{unit}\" in duration \"{text}\""))?;
        total = total.checked_add(scaled(number, scale).ok_or_else(invalid)?).ok_or_else(invalid)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn unit_scale(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => WEEK,
        _ => return None,
    })
}

/// A decimal number times a unit, cut to whole nanoseconds.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    // More digits than these make no difference even for weeks.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part = if fraction.is_empty() {
        0
    } else {
        fraction.parse::<i128>().ok()?.checked_mul(scale)?
            / 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?
    };
    whole.checked_mul(scale)?.checked_add(part)
}

/// The form Go prints: the largest unit is hours, and below a second there is only one unit.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let total = i128::from(nanoseconds).abs();
    if total < SECOND {
        let (unit, scale) = match total {
            n if n < MICROSECOND => ("ns", 1),
            n if n < MILLISECOND => ("µs", MICROSECOND),
            _ => ("ms", MILLISECOND),
        };
        return format!("{sign}{}{unit}", decimal(total, scale));
    }
    let (hours, minutes) = (total / HOUR, total % HOUR / MINUTE);
    let seconds = decimal(total % MINUTE, SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// `total / scale` without trailing zeros; the scale is a power of ten.
fn decimal(total: i128, scale: i128) -> String {
    let (whole, part) = (total / scale, total % scale);
    if part == 0 {
        return whole.to_string();
    }
    let width = scale.to_string().len() - 1;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_printed_as_go_does() {
        let table = [
            ("0", "0s"),
            ("90s", "1m30s"),
            ("2500ms", "2.5s"),
            ("1h5m", "1h5m0s"),
            ("40us", "40µs"),
            ("1.5h", "1h30m0s"),
            (".5s", "500ms"),
            ("1w2d", "216h0m0s"),
            ("-5s", "-5s"),
            ("1h1m1s1ms1us1ns", "1h1m1.001001001s"),
            ("100ns", "100ns"),
        ];
        for (written, printed) in table {
            assert_eq!(format_duration(parse_duration(written).unwrap()), printed, "{written}");
            assert_eq!(parse_duration(printed), parse_duration(written));
        }
        for refused in ["", "5", "10 s", "1y", "s", "1.2.3s", "9999999h", "-", "1é"] {
            assert!(parse_duration(refused).is_err(), "{refused}");
        }
    }
}
