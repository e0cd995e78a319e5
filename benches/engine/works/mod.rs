//! The kinds of work.

pub(crate) mod change;
pub(crate) mod cold;
pub(crate) mod commit;
pub(crate) mod heal;
pub(crate) mod idle;
pub(crate) mod many;
pub(crate) mod noop;

/// As many rounds as were asked for, else as many as this work needs for a steady median.
fn rounds(asked: usize, usual: usize) -> usize {
    if asked == 0 { usual } else { asked }
}
