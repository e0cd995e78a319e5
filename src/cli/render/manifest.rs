//! A new manifest as text, with the comments that a person wants who has never seen one.

use std::fmt::Write as _;

/// What a new manifest says.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The name of its file, for who works in its directory.
    pub file: String,
    /// What it was made from, for its head.
    pub source: String,
    /// Whether the schema lies beside it.
    pub schema: bool,
    /// The stack's name.
    pub name: String,
    /// Compose files, relative to the manifest.
    pub files: Vec<String>,
    /// Env files, relative to the manifest.
    pub env_files: Vec<String>,
    /// Profiles that are on.
    pub profiles: Vec<String>,
    /// The project directory, where it is not that of the first file.
    pub project_directory: Option<String>,
    /// Each service.
    pub services: Vec<ServiceDraft>,
}

/// What the manifest says about one service.
#[derive(Clone, Debug, Default)]
pub struct ServiceDraft {
    /// The service.
    pub name: String,
    /// What it sets.
    pub set: Vec<Field>,
    /// What it could set, with what holds now.
    pub sample: Vec<Field>,
}

/// One field of a service, under `spec.services.NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where.
    pub path: Vec<String>,
    /// The value as text.
    pub value: String,
    /// A word on it.
    pub note: Option<String>,
}

/// The text of the manifest.
pub fn text(draft: &Draft) -> String {
    let mut out = String::new();
    head(draft, &mut out);
    compose(draft, &mut out);
    out.push_str(
        "\n  # true: a service that is taken out of the files loses its containers. Volumes are never pruned.\n  \
         prune: false\n",
    );
    services(draft, &mut out);
    out
}

fn head(draft: &Draft, out: &mut String) {
    if draft.schema {
        out.push_str("# yaml-language-server: $schema=./stack.schema.json\n#\n");
    }
    let (name, file, source) = (&draft.name, shell_word(&draft.file), comment(&draft.source));
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "# The stack `{name}`: which Compose files make it, and what the operator keeps true beyond them.\n\
         # Written by `operator init` from {source}; from now on it is yours to edit. In this directory:\n\
         #\n\
         #     operator diff  -f {file}     what would change, and why\n\
         #     operator apply -f {file}     converge once\n\
         #     operator run   -f {file}     converge, and keep it so\n\
         apiVersion: compose-operator/v1\n\
         kind: Stack\n\
         metadata: {{name: {}}}\n\
         spec:\n",
        scalar(name)
    );
}

fn compose(draft: &Draft, out: &mut String) {
    out.push_str("  compose:\n    # Relative to this file, merged in this order.\n    files:\n");
    for file in &draft.files {
        let _ = writeln!(out, "      - {}", scalar(file));
    }
    if let Some(directory) = &draft.project_directory {
        let _ = writeln!(
            out,
            "    # What relative paths in the Compose files are relative to.\n    projectDirectory: {}",
            scalar(directory)
        );
    }
    let lists = [
        ("envFiles", "Values for `${…}`, instead of the project directory's .env.", &draft.env_files),
        ("profiles", "Services of these profiles run too.", &draft.profiles),
    ];
    for (field, what, values) in lists.into_iter().filter(|(_, _, values)| !values.is_empty()) {
        let _ = writeln!(out, "    # {what}\n    {field}:");
        for value in values {
            let _ = writeln!(out, "      - {}", scalar(value));
        }
    }
}

fn services(draft: &Draft, out: &mut String) {
    out.push_str(
        "\n  # What is set here wins over the Compose files; what is not stays as they have it. Per service: `replicas`,\n  \
         # `resources` (`limits`: cpus, memory, pids; `reservations`: memory), and `redis` for a Redis server. All of\n  \
         # it changes without a restart.\n  services:\n",
    );
    let (set, others): (Vec<_>, Vec<_>) = draft.services.iter().partition(|service| !service.set.is_empty());
    for service in &set {
        let _ = writeln!(out, "    {}:", scalar(&service.name));
        for line in fields(&service.set) {
            let _ = writeln!(out, "      {line}");
        }
    }
    if !others.is_empty() {
        let which = if set.is_empty() { "What" } else { "The others, and what" };
        let _ =
            writeln!(out, "    # {which} the Compose files say now. To set something, take the `# ` away.");
    }
    for service in others {
        let _ = writeln!(out, "    # {}:", scalar(&service.name));
        for line in fields(&service.sample) {
            let _ = writeln!(out, "    #   {line}");
        }
    }
}

/// Fields as nested mappings: what they have in common is written once.
fn fields(fields: &[Field]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut above: &[String] = &[];
    let mut fields: Vec<&Field> = fields.iter().collect();
    fields.sort_by_key(|field| field.path.split_last().map(|(_, parents)| parents));
    for field in fields {
        let Some((leaf, parents)) = field.path.split_last() else { continue };
        let common = parents.iter().zip(above).take_while(|(a, b)| a == b).count();
        for (depth, parent) in parents.iter().enumerate().skip(common) {
            lines.push(format!("{}{}:", "  ".repeat(depth), scalar(parent)));
        }
        let note = field.note.as_ref().map(|note| format!("  # {}", comment(note))).unwrap_or_default();
        lines.push(format!(
            "{}{}: {}{note}",
            "  ".repeat(parents.len()),
            scalar(leaf),
            number_or_scalar(&field.value)
        ));
        above = parents;
    }
    lines
}

/// A text in a comment: a line stays a line.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A word as a shell takes it.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | '@' | ':' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", comment(text).replace('\'', "'\\''"))
}

/// A text as YAML: in quotes where it would be read as something else.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '.' | '/' | '_'));
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if text.chars().all(plain) && starts_well && !word.contains(&text.to_ascii_lowercase().as_str()) {
        // `.inf` and `.nan` are numbers.
        if !text.to_ascii_lowercase().ends_with(".inf") && !text.to_ascii_lowercase().ends_with(".nan") {
            return text.to_owned();
        }
    }
    // JSON's quoted strings are YAML's.
    serde_json::Value::from(text).to_string()
}

/// A value: whole numbers and sizes as they are.
fn number_or_scalar(text: &str) -> String {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (number, unit) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
    let short = !number.is_empty() && number.len() < 16 && (number == "0" || !number.starts_with('0'));
    if short && matches!(unit.to_ascii_lowercase().as_str(), "" | "k" | "m" | "g" | "kb" | "mb" | "gb") {
        return text.to_owned();
    }
    scalar(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(path: &str, value: &str, note: Option<&str>) -> Field {
        Field {
            path: path.split(' ').map(str::to_owned).collect(),
            value: value.to_owned(),
            note: note.map(str::to_owned),
        }
    }

    #[test]
    fn fields_nest_and_share_what_they_have_in_common() {
        let lines = fields(&[
            field("resources limits cpus", "0.5", None),
            field("replicas", "3", Some("the Compose files say 1")),
            field("resources reservations memory", "32M", None),
            field("resources limits memory", "64M", None),
        ]);
        assert_eq!(
            lines,
            [
                "replicas: 3  # the Compose files say 1",
                "resources:",
                "  limits:",
                "    cpus: \"0.5\"",
                "    memory: 64M",
                "  reservations:",
                "    memory: 32M",
            ]
        );
    }

    #[test]
    fn a_comment_stays_a_comment_and_a_word_a_word() {
        assert_eq!(comment("a\nb: c"), "a b: c");
        for (text, word) in [("a/b.yaml", "a/b.yaml"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")] {
            assert_eq!(shell_word(text), word);
        }
    }

    #[test]
    fn texts_are_quoted_where_yaml_would_read_something_else() {
        for (text, yaml) in [
            ("api", "api"),
            ("../compose.yaml", "../compose.yaml"),
            ("no", "\"no\""),
            ("12", "\"12\""),
            (".inf", "\".inf\""),
            ("a b", "\"a b\""),
            ("a: b #c", "\"a: b #c\""),
            ("*", "\"*\""),
            ("", "\"\""),
            ("-x", "\"-x\""),
        ] {
            assert_eq!(scalar(text), yaml);
        }
        for (text, yaml) in [("3", "3"), ("64M", "64M"), ("-1", "-1"), ("0.5", "\"0.5\""), ("1e3", "\"1e3\"")]
        {
            assert_eq!(number_or_scalar(text), yaml);
        }
    }
}
