//! Columns that line up, whatever their colours.

use std::fmt;

use anstyle::Style;

use super::shown::shown;
use super::style::paint;

/// Two blanks between columns: one is lost between words.
const GAP: &str = "  ";

/// A cell: its text and how it looks.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell without colour.
    pub(super) fn plain(text: impl fmt::Display) -> Self {
        Self::styled(Style::new(), text)
    }

    /// A cell in a style.
    pub(super) fn styled(style: Style, text: impl fmt::Display) -> Self {
        Self { text: shown(text), style }
    }
}

/// The rows as lines. A cell wider than `widest` does not widen its column; what follows it moves.
pub(super) fn lines(rows: &[Vec<Cell>], widest: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count());
        widths.filter(|width| *width <= widest).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    rows.iter().map(|row| line(row, &widths)).collect()
}

fn line(row: &[Cell], widths: &[usize]) -> String {
    let filled = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
    let mut line = String::new();
    for (column, (cell, width)) in row.iter().zip(widths).take(filled).enumerate() {
        if column > 0 {
            line.push_str(GAP);
        }
        if cell.style == Style::new() || cell.text.is_empty() {
            line.push_str(&cell.text);
        } else {
            line.push_str(&paint(cell.style, &cell.text));
        }
        if column + 1 < filled {
            let missing = width.saturating_sub(cell.text.chars().count());
            line.extend(std::iter::repeat_n(' ', missing));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_no_line_ends_in_blanks() {
        let row = |cells: &[&str]| cells.iter().copied().map(Cell::plain).collect::<Vec<_>>();
        let rows =
            [row(&["api", "3", ""]), row(&["worker", "12", "late"]), row(&["a much wider cell", "1", "x"])];
        assert_eq!(lines(&rows, 10), ["api     3", "worker  12  late", "a much wider cell  1   x"]);
    }
}
