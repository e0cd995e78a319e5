//! Several sources as one.

use std::fmt;

use futures_util::future::{FutureExt, LocalBoxFuture, select_all};

use super::Source;
use crate::stack::Loaded;

/// Several sources, each with stacks of its own.
pub struct Many {
    sources: Vec<Box<dyn Source>>,
}

impl fmt::Debug for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many").field("sources", &self.sources.len()).finish()
    }
}

impl Many {
    /// These, one at least: without any, nothing would ever change.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self { sources }
    }
}

impl Source for Many {
    fn load(&mut self) -> Loaded {
        let mut loaded = Loaded::default();
        for source in &mut self.sources {
            loaded.join(source.load());
        }
        loaded
    }

    fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
        if self.sources.is_empty() {
            return std::future::pending().boxed_local();
        }
        let all = self.sources.iter_mut().map(Source::changed);
        select_all(all).map(|_| ()).boxed_local()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::{LoadOptions, MemoryFiles};
    use crate::stack;

    /// One stack, in a file.
    struct One(&'static str, &'static str);

    impl Source for One {
        fn load(&mut self) -> Loaded {
            let files = MemoryFiles::new().with("/w/compose.yaml", self.1);
            let project_name = Some(self.0.to_owned());
            stack::load(
                &LoadOptions { project_name, working_dir: "/w".into(), ..LoadOptions::default() },
                &files,
            )
        }

        fn changed(&mut self) -> LocalBoxFuture<'_, ()> {
            std::future::ready(()).boxed_local()
        }
    }

    #[test]
    fn each_source_has_its_own_stacks_and_none_takes_anothers() {
        let (good, other) = ("services: {web: {image: a}}", "services: {web: {image: b}}");
        let mut many = Many::new(vec![
            Box::new(One("shop", good)),
            Box::new(One("blog", "services: {")),
            Box::new(One("shop", other)),
            Box::new(One("wiki", good)),
        ]);
        let loaded = many.load();
        let names: Vec<&str> = loaded.stacks.iter().map(|stack| stack.desired.stack.as_str()).collect();
        assert_eq!(names, ["shop", "wiki"]);
        assert_eq!(loaded.stacks[0].project.model.services["web"].image, "a", "the first one has it");
        let told: Vec<String> =
            loaded.faults.iter().map(crate::compose::errors::Diagnostic::headline).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].contains("two sources have a stack `shop`"), "{told:?}");
        assert_eq!(many.changed().now_or_never(), Some(()));
    }
}
