//! Security options. A seccomp profile is a file of whoever writes the Compose file: the engine gets its content.

use std::path::Path;

use super::Source;
use crate::compose::FileError;
use crate::stack::faults::Findings;

/// The options as the engine takes them.
pub(super) fn options(source: Source<'_>, findings: &mut Findings) -> Vec<String> {
    let mut options = Vec::new();
    for (index, option) in source.service.security_opt.iter().enumerate() {
        match option_for_engine(source, option) {
            Ok(option) => options.push(option),
            Err((message, help)) => {
                let place = ["security_opt", &index.to_string()];
                let message = format!("`{option}` of service `{}` {message}", source.name);
                findings.faults.push(source.places.in_service(source.name, &place, message).help(help));
            }
        }
    }
    options
}

/// One option, or what is wrong with it and the way out.
fn option_for_engine(source: Source<'_>, option: &str) -> Result<String, (String, &'static str)> {
    // An `=` anywhere wins over a `:`, as with Compose.
    let pair = option.split_once('=').or_else(|| option.split_once(':'));
    match pair {
        None if option == "no-new-privileges" => Ok(option.to_owned()),
        None => Err((
            "is no security option".to_owned(),
            "write NAME=VALUE, such as `seccomp=unconfined`, or `no-new-privileges`",
        )),
        Some(("seccomp", path)) if path != "unconfined" && path != "builtin" => {
            profile(source, path).map(|profile| format!("seccomp={profile}"))
        }
        Some(_) => Ok(option.to_owned()),
    }
}

/// The profile without white space between its words.
fn profile(source: Source<'_>, path: &str) -> Result<String, (String, &'static str)> {
    const HELP: &str =
        "the path is relative to the project's directory; `seccomp=unconfined` is no profile at all";
    let path = source.places.project.working_dir.join(path);
    let unreadable = |error: FileError| {
        (format!("names the profile {}: {error}", source.files.display(&path).display()), HELP)
    };
    let bytes = source.files.read(Path::new(&path)).map_err(unreadable)?;
    let no_json = |error: String| {
        let shown = source.files.display(&path);
        (format!("names the profile {}, which is no JSON: {error}", shown.display()), "correct the profile")
    };
    let text = String::from_utf8(bytes).map_err(|error| no_json(error.to_string()))?;
    serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|error| no_json(error.to_string()))?;
    Ok(compact(&text))
}

/// JSON without the white space between its words; the order of the keys stays.
fn compact(json: &str) -> String {
    let (mut out, mut in_text, mut escaped) = (String::with_capacity(json.len()), false, false);
    for letter in json.chars() {
        if !in_text && letter.is_ascii_whitespace() {
            continue;
        }
        if letter == '"' && !escaped {
            in_text = !in_text;
        }
        escaped = in_text && letter == '\\' && !escaped;
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_loses_only_the_white_space_between_its_words() {
        assert_eq!(
            compact("{ \"b\" :\n [1, \"a \\\" b\"],\t\"a\": \"\\\\\" }\n"),
            r#"{"b":[1,"a \" b"],"a":"\\"}"#
        );
    }
}
