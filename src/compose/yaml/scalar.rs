//! Plain scalars by the rules of Go's yaml.v3, which the reference reads its files with.
//!
//! They differ from YAML 1.2 and from most Rust libraries: `yes` and `on` are texts, `0755` is
//! octal, `1_000` is a number, an unquoted date is a type of its own, `1:30` is a text.

use super::node::Value;

/// What an unquoted scalar without a tag stands for.
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') if is_float(text) => float(text),
        Some(b'0'..=b'9' | b'+' | b'-') => resolve_number(text),
        _ => None,
    }
    .unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn resolve_number(text: &str) -> Option<Value> {
    if is_timestamp(text) {
        return Some(Value::Timestamp(text.to_owned()));
    }
    let plain = text.replace('_', "");
    if let Some(number) = integer(&plain) {
        return Some(Value::Int(number));
    }
    if is_float(&plain) { float(&plain) } else { None }
}

/// An integer with an optional sign and a prefix (`0x`, `0o`, `0b`, or a bare `0` for octal),
/// within the range of either 64-bit type.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = radix(digits);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = if negative { -magnitude } else { magnitude };
    (number >= i128::from(i64::MIN)).then_some(number)
}

fn radix(digits: &str) -> (u32, &str) {
    let Some(rest) = digits.strip_prefix('0') else { return (10, digits) };
    match rest.as_bytes().first() {
        None => (10, digits),
        Some(b'x' | b'X') => (16, rest.get(1..).unwrap_or_default()),
        Some(b'o' | b'O') => (8, rest.get(1..).unwrap_or_default()),
        Some(b'b' | b'B') => (2, rest.get(1..).unwrap_or_default()),
        Some(_) => (8, rest),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['-', '+']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    mantissa_fits && exponent_fits
}

/// A float; one beyond the range of the type stays a text.
fn float(text: &str) -> Option<Value> {
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float)
}

/// `2006-1-2`, alone or with a time after `T`, `t` or a space.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || !bytes[..4].iter().all(u8::is_ascii_digit) || bytes[4] != b'-' {
        return false;
    }
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (Some(year), Some(month), Some(day), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let number = |part: &str| {
        (part.len() <= 4 && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i16>().ok())
            .flatten()
    };
    let small =
        |part: &str| if part.len() <= 2 { number(part).and_then(|n| i8::try_from(n).ok()) } else { None };
    let (Some(year), Some(month), Some(day)) = (number(year), small(month), small(day)) else { return false };
    jiff::civil::Date::new(year, month, day).is_ok() && time.is_none_or(is_time)
}

/// A time with its separator in front: a zone is required after `T` and excluded after a space.
fn is_time(text: &str) -> bool {
    let (separator, rest) = text.split_at(1);
    let (clock, zone) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], &rest[at..]),
        None => (rest, ""),
    };
    let zone_fits = if separator == " " { zone.is_empty() } else { is_zone(zone) };
    let mut parts = clock.split(':');
    let (Some(hour), Some(minute), Some(second), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let below = |part: &str, limit: u8| {
        matches!(part.len(), 1 | 2) && part.parse::<u8>().is_ok_and(|number| number < limit)
    };
    let (whole, fraction) = second.split_once('.').unwrap_or((second, "0"));
    zone_fits
        && below(hour, 24)
        && below(minute, 60)
        && below(whole, 60)
        && !fraction.is_empty()
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// A timestamp in the one form that Go writes: with a time, and a zone.
pub(super) fn rfc3339(written: &str) -> String {
    let (date, time) = match written.find(['T', 't', ' ']) {
        Some(at) => (&written[..at], &written[at + 1..]),
        None => (written, ""),
    };
    let padded = |parts: &str, separator: char| {
        parts
            .split(separator)
            .map(|part| format!("{part:0>2}"))
            .collect::<Vec<_>>()
            .join(&separator.to_string())
    };
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => (&time[..at], &time[at..]),
        None => (time, "Z"),
    };
    let clock = if clock.is_empty() { "00:00:00" } else { clock };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let fraction = fraction.get(..9).unwrap_or(fraction).trim_end_matches('0');
    let fraction = if fraction.is_empty() { String::new() } else { format!(".{fraction}") };
    let zone = if matches!(zone, "+00:00" | "-00:00") { "Z" } else { zone };
    format!("{}T{}{fraction}{zone}", padded(date, '-'), padded(clock, ':'))
}

fn is_zone(zone: &str) -> bool {
    zone == "Z"
        || zone.get(1..).and_then(|offset| offset.split_once(':')).is_some_and(|(hours, minutes)| {
            [hours, minutes].iter().all(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
        })
}

/// A float as Go prints it with `%v`: the shortest digits, and an exponent for numbers from a
/// million on and below a ten-thousandth.
pub fn format_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 && number.is_sign_negative() {
        return "-0".to_owned();
    }
    if number == 0.0 || (-4..FLOAT_EXPONENT_FROM).contains(&exponent) {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// The exponent from which Go's `%v` switches to the scientific form.
const FLOAT_EXPONENT_FROM: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_rules_of_go() {
        let text = |text: &str| Value::Text(text.to_owned());
        let date = |text: &str| Value::Timestamp(text.to_owned());
        let table = [
            ("", Value::Null),
            ("~", Value::Null),
            ("nUll", text("nUll")),
            ("TRUE", Value::Bool(true)),
            ("tRue", text("tRue")),
            ("yes", text("yes")),
            ("on", text("on")),
            ("0755", Value::Int(493)),
            ("0o755", Value::Int(493)),
            ("010", Value::Int(8)),
            ("08", Value::Float(8.0)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("+12", Value::Int(12)),
            ("-0", Value::Int(0)),
            ("12345678901234567890", Value::Int(12_345_678_901_234_567_890)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", Value::Int(i64::MIN.into())),
            ("1.10", Value::Float(1.1)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("1_0.5", Value::Float(10.5)),
            (".inf", Value::Float(f64::INFINITY)),
            ("1e400", text("1e400")),
            ("22:22", text("22:22")),
            ("190:20:30", text("190:20:30")),
            ("1.2.3", text("1.2.3")),
            (".", text(".")),
            ("-", text("-")),
            ("2024-01-01", date("2024-01-01")),
            ("2024-1-1", date("2024-1-1")),
            ("2024-13-01", text("2024-13-01")),
            ("2024-02-30", text("2024-02-30")),
            ("2024-01-01T10:00:00Z", date("2024-01-01T10:00:00Z")),
            ("2024-01-01T10:00:00", text("2024-01-01T10:00:00")),
            ("2024-01-01 10:00:00.5", date("2024-01-01 10:00:00.5")),
            ("2024-01-01é", text("2024-01-01é")),
        ];
        for (written, expected) in table {
            assert_eq!(resolve_plain(written), expected, "{written:?}");
        }
    }

    #[test]
    fn floats_print_as_go_prints_them() {
        let table = [
            (1.5, "1.5"),
            (1000.0, "1000"),
            (100_000.0, "100000"),
            (1e6, "1e+06"),
            (123_456_789.5, "1.234567895e+08"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-0.0, "-0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ];
        for (number, expected) in table {
            assert_eq!(format_float(number), expected);
        }
    }
}
