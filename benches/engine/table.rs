//! What was measured, for people and for programs.

use std::time::Duration;

use serde_json::{Value, json};

/// What a figure is held to.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    /// At most this many times the peer's figure.
    Times(f64),
    /// At most this.
    AtMost(f64),
    /// For information.
    None,
}

/// Two things measured in one run, or one thing held to a fixed bar.
pub(crate) struct Row {
    work: String,
    unit: &'static str,
    ours: Vec<f64>,
    peer: &'static str,
    theirs: Vec<f64>,
    bar: Bar,
}

impl Row {
    /// Times of ours against times of theirs.
    pub(crate) fn times(
        work: impl Into<String>,
        ours: &[Duration],
        peer: &'static str,
        theirs: &[Duration],
        bar: Bar,
    ) -> Self {
        let millis = |times: &[Duration]| times.iter().map(|time| time.as_secs_f64() * 1_000.0).collect();
        Self { work: work.into(), unit: "ms", ours: millis(ours), peer, theirs: millis(theirs), bar }
    }

    /// Peaks of resident memory, read in KiB.
    pub(crate) fn memory(
        work: impl Into<String>,
        ours: &[u64],
        peer: &'static str,
        theirs: &[u64],
        bar: Bar,
    ) -> Self {
        let megabytes = |kib: &[u64]| kib.iter().map(|kib| to_f64(*kib) * 1_024.0 / 1e6).collect();
        Self { work: work.into(), unit: "MB", ours: megabytes(ours), peer, theirs: megabytes(theirs), bar }
    }

    /// How many there were.
    pub(crate) fn count(work: impl Into<String>, ours: &[u64], bar: Bar) -> Self {
        let ours = ours.iter().map(|count| to_f64(*count)).collect();
        Self { work: work.into(), unit: "calls", ours, peer: "", theirs: Vec::new(), bar }
    }

    /// Parts of one processor, each between 0 and 1.
    pub(crate) fn share(
        work: impl Into<String>,
        ours: &[f64],
        peer: &'static str,
        theirs: &[f64],
        bar: Bar,
    ) -> Self {
        let percent = |shares: &[f64]| shares.iter().map(|share| share * 100.0).collect();
        Self { work: work.into(), unit: "%", ours: percent(ours), peer, theirs: percent(theirs), bar }
    }

    fn ratio(&self) -> Option<f64> {
        (!self.theirs.is_empty()).then(|| median(&self.ours) / median(&self.theirs))
    }

    fn met(&self) -> Option<bool> {
        match self.bar {
            Bar::Times(most) => self.ratio().map(|ratio| ratio <= most),
            Bar::AtMost(most) => Some(median(&self.ours) <= most),
            Bar::None => None,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "memory and counts are far below 2^52")]
fn to_f64(count: u64) -> f64 {
    count as f64
}

pub(crate) fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

pub(crate) fn text(rows: &[Row]) -> String {
    let mut lines = vec![["work", "operator", "peer", "", "ratio", "bar", ""].map(str::to_owned)];
    for row in rows {
        let figure = |figures: &[f64]| match figures {
            [] => String::new(),
            some if row.unit == "%" => format!("{:.2} %", median(some)),
            some => format!("{:.1} {}", median(some), row.unit),
        };
        lines.push([
            row.work.clone(),
            figure(&row.ours),
            row.peer.to_owned(),
            figure(&row.theirs),
            row.ratio().map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
            match row.bar {
                Bar::Times(most) => format!("≤ {most} ×"),
                Bar::AtMost(most) => format!("≤ {most} {}", row.unit),
                Bar::None => String::new(),
            },
            row.met().map_or("", |met| if met { "met" } else { "missed" }).to_owned(),
        ]);
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |cells: &[String; 7]| {
        let mut out = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let cell = if matches!(column, 1 | 3 | 4) {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            };
            out.push_str(&cell);
            out.push_str("  ");
        }
        out.trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub(crate) fn json(rows: &[Row]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| {
            let side = |figures: &[f64]| json!({ "median": median(figures), "samples": figures });
            json!({
                "work": row.work,
                "unit": row.unit,
                "operator": side(&row.ours),
                "peer": (!row.theirs.is_empty()).then(|| json!({ "name": row.peer, "figures": side(&row.theirs) })),
                "ratio": row.ratio(),
                "bar": match row.bar {
                    Bar::Times(most) => json!({ "times": most }),
                    Bar::AtMost(most) => json!({ "at_most": most }),
                    Bar::None => Value::Null,
                },
                "met": row.met(),
            })
        })
        .collect();
    format!("{:#}", Value::Array(rows))
}
