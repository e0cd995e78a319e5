//! A judge of what Prometheus is given, which knows nothing of who wrote it: the text format of `OpenMetrics`.

use std::collections::BTreeMap;

/// The families of an exposition with their types, or what is wrong with it.
pub(crate) fn families(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut families = BTreeMap::new();
    let mut seen = Vec::new();
    let mut current = String::new();
    let body = text.strip_suffix("# EOF\n").ok_or("it does not end with # EOF")?;
    for line in body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "TYPE", name, kind] => {
                if families.insert((*name).to_owned(), (*kind).to_owned()).is_some() {
                    return Err(format!("{name} has two types"));
                }
                (*name).clone_into(&mut current);
            }
            ["#", "HELP", name, _] => (*name).clone_into(&mut current),
            ["#", "UNIT", name, unit] => {
                if !name.ends_with(&format!("_{unit}")) {
                    return Err(format!("{name} does not end with its unit {unit}"));
                }
            }
            ["#", ..] => return Err(format!("what is `{line}`?")),
            _ => {
                let series = sample(line, &current, families.get(&current))?;
                if seen.contains(&series) {
                    return Err(format!("{series} is there twice"));
                }
                seen.push(series);
            }
        }
    }
    Ok(families)
}

/// A sample's name and labels, where it belongs to this family.
fn sample(line: &str, family: &str, kind: Option<&String>) -> Result<String, String> {
    let kind = kind.ok_or_else(|| format!("`{line}` has no type"))?;
    let (series, value) = line.rsplit_once(' ').ok_or_else(|| format!("`{line}` has no value"))?;
    value.parse::<f64>().map_err(|_| format!("`{value}` is no number"))?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => {
            (name, rest.strip_suffix('}').ok_or_else(|| format!("`{line}` is not closed"))?)
        }
        None => (series, ""),
    };
    let suffixes: &[&str] = match kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => return Err(format!("{family} has the type {other}")),
    };
    if !suffixes.iter().any(|suffix| name == format!("{family}{suffix}")) {
        return Err(format!("{name} is none of the {kind} {family}"));
    }
    let mut rest = labels;
    while !rest.is_empty() {
        let (label, value) = rest.split_once("=\"").ok_or_else(|| format!("`{labels}` are no labels"))?;
        if !is_name(label) {
            return Err(format!("`{label}` is no name of a label"));
        }
        let end = end_of_value(value).ok_or_else(|| format!("`{labels}` is not closed"))?;
        rest = value[end + 1..].trim_start_matches(',');
    }
    if is_name(name) { Ok(series.to_owned()) } else { Err(format!("`{name}` is no name of a metric")) }
}

fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte.is_ascii_digit();
    name.bytes().all(word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Where the quote is that ends a value.
fn end_of_value(value: &str) -> Option<usize> {
    let mut escaped = false;
    value.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[test]
fn the_judge_takes_what_is_right_and_nothing_else() {
    let good = "# HELP a_total_b Some text.\n# TYPE a_total_b gauge\na_total_b{x=\"a\\\"} 1\",y=\"\"} 1.5\n# TYPE c counter\nc_total 2\n# EOF\n";
    assert_eq!(families(good).map(|all| all.len()), Ok(2));
    for (bad, why) in [
        ("# TYPE a gauge\na 1\n", "# EOF"),
        ("a 1\n# EOF\n", "no type"),
        ("# TYPE a gauge\nb 1\n# EOF\n", "none of"),
        ("# TYPE a counter\na 1\n# EOF\n", "none of"),
        ("# TYPE a gauge\na one\n# EOF\n", "no number"),
        ("# TYPE a gauge\na{b=\"c} 1\n# EOF\n", "not closed"),
        ("# TYPE a gauge\na{B=\"c\"} 1\n# EOF\n", "name of a label"),
        ("# TYPE a gauge\na 1\na 2\n# EOF\n", "twice"),
        ("# TYPE a gauge\n# TYPE a gauge\na 1\n# EOF\n", "two types"),
        ("# TYPE a gauge\n# UNIT a seconds\na 1\n# EOF\n", "its unit"),
    ] {
        let fault = families(bad).unwrap_err();
        assert!(fault.contains(why), "{bad}: {fault}");
    }
}
