//! The report: rows with their bars, the table beside the peers, as Markdown and as JSON.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use serde_json::{Value, json};

use crate::Failure;

/// One bar and what was measured.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    bar: String,
    measured: String,
    ratio: Option<f64>,
    /// Nothing where there is no bar, or where nothing could be measured.
    met: Option<bool>,
    figures: Value,
}

impl Row {
    /// A row; what is `None` has no bar, or cannot be measured yet.
    pub(crate) fn new(what: &str, bar: &str, measured: impl Into<String>, met: impl Into<Option<bool>>) -> Self {
        let (what, bar) = (what.to_owned(), bar.to_owned());
        Self { what, bar, measured: measured.into(), ratio: None, met: met.into(), figures: Value::Null }
    }

    /// Ours to what it is compared with.
    pub(crate) fn ratio(self, ratio: f64) -> Self {
        Self { ratio: Some((ratio * 1000.0).round() / 1000.0), ..self }
    }

    /// The numbers behind the words.
    pub(crate) fn figures(self, figures: Value) -> Self {
        Self { figures, ..self }
    }
}

/// What a server beside ours showed, by the name of the row.
pub(crate) type Column = BTreeMap<&'static str, String>;

/// Everything that was measured in one run.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    columns: Vec<(String, Column)>,
    notes: Vec<String>,
    facts: Vec<(&'static str, String)>,
}

impl Report {
    /// Adds a row.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("{}: {} ({})", row.what, row.measured, mark(row.met));
        self.rows.push(row);
    }

    /// Adds a column to the table of peers.
    pub(crate) fn column(&mut self, name: &str, column: Column) {
        eprintln!("{name}: {column:?}");
        self.columns.push((name.to_owned(), column));
    }

    /// Adds a sentence below the tables.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("{note}");
        self.notes.push(note);
    }

    /// Says something about the run itself.
    pub(crate) fn fact(&mut self, name: &'static str, value: impl Into<String>) {
        self.facts.push((name, value.into()));
    }

    /// The bars that are not met.
    pub(crate) fn missed(&self) -> Vec<&str> {
        self.rows.iter().filter(|row| row.met == Some(false)).map(|row| row.what.as_str()).collect()
    }

    /// Writes both reports.
    pub(crate) fn write(&self, markdown: &Path, json: &Path) -> Result<(), Failure> {
        std::fs::write(markdown, self.markdown(ROWS))?;
        std::fs::write(json, format!("{:#}\n", self.json()))?;
        Ok(())
    }

    fn markdown(&self, rows: &[&str]) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nMeasured by `integration/bench` on real engines, everything in one run on one machine. \
             Absolute figures move with the machine: read the ratios.\n\n",
        );
        for (name, value) in &self.facts {
            writeln!(text, "- {name}: {value}").ok();
        }
        text.push_str("\n| what | bar | measured | ratio | met |\n| --- | --- | --- | --- | --- |\n");
        for Row { what, bar, measured, ratio, met, .. } in &self.rows {
            let ratio = ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
            writeln!(text, "| {what} | {bar} | {measured} | {ratio} | {} |", mark(*met)).ok();
        }
        text.push_str("\n## Beside the others\n\nThe same calls, sent by the same client to the same engine.\n\n|  |");
        for (name, _) in &self.columns {
            write!(text, " {name} |").ok();
        }
        writeln!(text, "\n| --- |{}", " --- |".repeat(self.columns.len())).ok();
        for row in rows {
            write!(text, "| {row} |").ok();
            for (_, column) in &self.columns {
                write!(text, " {} |", column.get(row).map_or("-", String::as_str)).ok();
            }
            text.push('\n');
        }
        for note in &self.notes {
            write!(text, "\n{note}\n").ok();
        }
        text
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            json!({
                "what": row.what, "bar": row.bar, "measured": row.measured, "ratio": row.ratio, "met": row.met,
                "figures": row.figures,
            })
        };
        json!({
            "run": self.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect::<serde_json::Map<_, _>>(),
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "servers": self.columns.iter().map(|(name, column)| json!({"name": name, "figures": column})).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

const fn mark(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => "-",
    }
}

/// The rows of the table of peers, in order.
pub(crate) const ROWS: &[&str] =
    &[TOOLS, LISTED, LISTED_THREE, SPAWN, MEMORY, LIST, BUSY, LIST_BYTES, BLOCKED, DELAYED];
pub(crate) const TOOLS: &str = "tools";
pub(crate) const LISTED: &str = "bytes of `tools/list`";
pub(crate) const LISTED_THREE: &str = "bytes of `tools/list`, three hosts";
pub(crate) const SPAWN: &str = "spawn to initialize, median";
pub(crate) const MEMORY: &str = "memory after `tools/list`";
pub(crate) const LIST: &str = "list of containers, median / p99";
pub(crate) const BUSY: &str = "lists a second at 32 in flight; failed";
pub(crate) const LIST_BYTES: &str = "bytes of that list";
pub(crate) const BLOCKED: &str = "a call to a healthy host while a second one hangs";
pub(crate) const DELAYED: &str = "initialize while the default host hangs";
