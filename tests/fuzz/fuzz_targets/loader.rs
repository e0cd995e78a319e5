//! Any set of files loads or is refused. A line `=== NAME` begins a file; what is before the first
//! is `compose.yaml`.

#![no_main]

use loader_alone::compose::{self, LoadOptions, MemoryFiles};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut files = MemoryFiles::new();
    let mut options = LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() };
    let (mut name, mut content) = ("compose.yaml".to_owned(), Vec::new());
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_prefix(b"=== ") {
            Some(next) => {
                files = files.with(format!("/p/{name}"), std::mem::take(&mut content));
                name = String::from_utf8_lossy(next).trim().to_owned();
            }
            None => content.extend_from_slice(line),
        }
    }
    files = files.with(format!("/p/{name}"), content);
    options.environment.insert("HOME".to_owned(), "/home/user".to_owned());
    match compose::load(&options, &files) {
        Ok(project) => drop(project.printed().to_string()),
        // Frames have to survive odd places too.
        Err(faults) => {
            assert!(!faults.faults.is_empty());
            assert!(!faults.frames(true).is_empty() && !faults.to_string().is_empty());
        }
    }
});
