//! Any text expands or is refused; with its dollars doubled it stands for itself. What follows the first
//! empty line is the `.env` file.

#![no_main]

use loader_alone::compose::{self, LoadOptions, MemoryFiles};
use libfuzzer_sys::fuzz_target;

/// The text after its variables are expanded, with these in `.env`.
fn expanded(text: &str, variables: &str) -> Option<String> {
    let compose = format!("services: {{a: {{image: x, labels: {{k: {}}}}}}}", quoted(text));
    let files = MemoryFiles::new().with("/p/compose.yaml", compose).with("/p/.env", variables);
    let options = LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() };
    match compose::load(&options, &files) {
        Ok(project) => Some(project.model.services["a"].labels["k"].clone()),
        Err(faults) => {
            assert!(!faults.frames(false).is_empty());
            None
        }
    }
}

/// A text as a YAML scalar in double quotes.
fn quoted(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        letter if letter.is_ascii_graphic() || letter == ' ' => letter.to_string(),
        letter => format!("\\U{:08x}", u32::from(letter)),
    });
    format!("\"{}\"", letters.collect::<String>())
}

fuzz_target!(|input: &str| {
    let (text, variables) = input.split_once("\n\n").unwrap_or((input, ""));
    let value = expanded(text, variables);
    if !text.contains('$')
        && let Some(value) = value
    {
        assert_eq!(value, text);
    }
    if let Some(escaped) = expanded(&text.replace('$', "$$"), "") {
        assert_eq!(escaped, text);
    }
});
