//! Any env file is read or refused: as `.env`, as `env_file` in both formats, as `label_file`.

#![no_main]

use loader_alone::compose::{self, LoadOptions, MemoryFiles};
use libfuzzer_sys::fuzz_target;

const COMPOSE: &str = "
services:
  usual: {image: \"x:${A:-a}\", env_file: f.env, label_file: f.env}
  raw: {image: x, env_file: [{path: f.env, format: raw}]}
";

fuzz_target!(|input: &[u8]| {
    let options = LoadOptions { working_dir: "/p".into(), ..LoadOptions::default() };
    let compose = MemoryFiles::new().with("/p/compose.yaml", COMPOSE);
    for files in [
        compose.clone().with("/p/f.env", input),
        compose.with("/p/f.env", "A=$A").with("/p/.env", input),
    ] {
        match compose::load(&options, &files) {
            Ok(project) => drop(project.printed().to_string()),
            Err(faults) => assert!(!faults.frames(true).is_empty()),
        }
    }
});
