//! Where in the model a step is.

use std::fmt;

/// The path of a value in the model, as `services.api.ports.0`. It is written out only where a fault
/// needs it: keys may be long and deep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    parent: Option<&'a At<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    /// The whole file.
    pub(crate) const ROOT: At<'static> = At { parent: None, step: Step::Root };

    /// The value under a key.
    pub(crate) fn key(&'a self, key: &'a str) -> At<'a> {
        At { parent: Some(self), step: Step::Key(key) }
    }

    /// The item at a position.
    pub(crate) fn index(&'a self, index: usize) -> At<'a> {
        At { parent: Some(self), step: Step::Index(index) }
    }

    /// What stands for the position of an item in [`At::steps`].
    pub(crate) const ITEM: &'static str = "*";

    /// The keys on the way from the file to the value; an item of a list is [`At::ITEM`].
    pub(crate) fn steps(&self) -> Vec<&'a str> {
        let (mut steps, mut at) = (Vec::new(), Some(self));
        while let Some(here) = at {
            match here.step {
                Step::Root => {}
                Step::Key(key) => steps.push(key),
                Step::Index(_) => steps.push(Self::ITEM),
            }
            at = here.parent;
        }
        steps.reverse();
        steps
    }

    /// True for the whole file.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent.filter(|parent| !parent.is_root()) {
            write!(f, "{parent}.")?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Key(key) => f.write_str(key),
            Step::Index(index) => write!(f, "{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_with_dots() {
        let services = At::ROOT.key("services");
        let ports = services.key("ports");
        assert_eq!(ports.index(0).to_string(), "services.ports.0");
        assert_eq!(At::ROOT.to_string(), "");
    }
}
