//! Sizes in bytes as Docker writes them: `64m`, `1.5 GiB`, units being powers of 1024.

/// The bytes of a size.
pub(crate) fn parse_bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let last = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').ok_or_else(invalid)?;
    let (number, suffix) = text.split_at(last + 1);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().map_err(|_| invalid())?;
    if number < 0.0 || !number.is_finite() {
        return Err(invalid());
    }
    let bytes = number * scale(suffix).ok_or_else(invalid)?;
    #[expect(clippy::cast_possible_truncation, reason = "saturates at the largest size there is")]
    return Ok(bytes as i64);
}

fn scale(suffix: &str) -> Option<f64> {
    let suffix = suffix.to_ascii_lowercase();
    let (unit, rest) = suffix.split_at_checked(1).unwrap_or(("", ""));
    let power = match unit {
        "" => 0,
        "b" => return rest.is_empty().then_some(1.0),
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    matches!(rest, "" | "b" | "ib").then(|| 1024_f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        let table = [
            ("128", 128),
            ("10k", 10_240),
            ("10KB", 10_240),
            ("0.5g", 536_870_912),
            ("1 gb", 1_073_741_824),
            ("1GiB", 1_073_741_824),
            ("2t", 2_199_023_255_552),
            ("5b", 5),
        ];
        for (written, bytes) in table {
            assert_eq!(parse_bytes(written), Ok(bytes), "{written}");
        }
        for refused in ["", "x", "10x", "1kbb", "-1", "1ki", " ", "nan", "é"] {
            assert!(parse_bytes(refused).is_err(), "{refused}");
        }
    }
}
