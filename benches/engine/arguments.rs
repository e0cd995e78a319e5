//! What a benchmark is told on its command line.

/// `-- [WORK]... [--rounds N] [--json]`
pub(crate) struct Arguments {
    /// How often each thing is measured, where that was said.
    pub(crate) rounds: Option<usize>,
    /// Print every sample for a program.
    pub(crate) json: bool,
    /// What alone is to be measured; nothing for all of it.
    pub(crate) works: Vec<String>,
}

impl Arguments {
    /// Reads those of the process; `works` are the names that may be among them.
    pub(crate) fn read(works: &[&str]) -> Self {
        let mut read = Self { rounds: None, json: false, works: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--json" => read.json = true,
                "--rounds" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    read.rounds = Some(number.expect("--rounds takes a number"));
                }
                name if works.contains(&name) => read.works.push(argument),
                other => panic!("unknown argument {other:?}; works: {works:?}"),
            }
        }
        read
    }
}
