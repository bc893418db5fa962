//! The newest calls of every file: start and end of each in one row, read from the end with bounded memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Wanted,
    directory::{Directory, is_closed, pid},
    line::moment,
    lines::Backwards,
};
use crate::{
    error::{Error, Result},
    tool::Json,
};

/// The most ends that wait for their start; so many calls never run at once.
const MOST_ENDS: usize = 4096;
/// How far a file's own time may be behind that of its last line.
const SLACK: Duration = Duration::from_secs(2);

/// The newest calls, oldest first.
pub(super) fn newest(directory: &Path, wanted: &Wanted) -> Result<Vec<Value>> {
    let unreadable = |error: io::Error| {
        Error::config("the audit cannot be read")
            .hint("ask the person to run \"quaymaster audit verify\"")
            .detail(format!("{}: {error}", directory.display()))
    };
    let directory = match Directory::open(directory) {
        Ok(directory) => directory,
        // Nothing was written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let (mut files, _) = directory.list().map_err(unreadable)?;
    files.sort_by_key(|file| Reverse(file.written));
    let mut reading = Reading { wanted, rows: BTreeMap::new(), ends: HashMap::new(), living: BTreeSet::new() };
    let mut complete = true;
    for listed in &files {
        if reading.is_past(listed.written + SLACK) {
            complete = false;
            break;
        }
        match directory.file(&listed.name) {
            Ok(file) => {
                let open = !is_closed(&file);
                if open {
                    reading.living.insert(pid(&listed.name).to_owned());
                }
                complete &= reading.file(Backwards::new(file).map_err(unreadable)?, pid(&listed.name), open);
            }
            // Removed in between, or no file of ours.
            Err(error) => tracing::debug!("{} of the audit is left out: {error}", listed.name),
        }
    }
    if complete {
        reading.rest();
    }
    Ok(reading.rows.into_values().collect())
}

struct Reading<'a> {
    wanted: &'a Wanted,
    /// The newest rows so far, by time; the second part keeps rows of the same moment apart.
    rows: BTreeMap<(String, u64, String), Value>,
    /// Ends whose start has not come yet.
    ends: HashMap<String, Json>,
    /// Processes that write a file.
    living: BTreeSet<String>,
}

impl Reading<'_> {
    /// Reads a file from its end; whether that went to its beginning.
    ///
    /// What did not end in it runs as long as its process lives: the one that writes it, or that has gone on
    /// in the next file.
    fn file(&mut self, mut lines: Backwards, pid: &str, open: bool) -> bool {
        let mut alive = open;
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => return true,
                Err(error) => {
                    tracing::warn!("a file of the audit is read only in part: {error}");
                    return true;
                }
            };
            // Whether a line is genuine is what `verify` is for; here it is enough that it can be shown.
            let Ok(fields) = serde_json::from_slice::<Json>(&line) else { continue };
            let time = text(&fields, "time").to_owned();
            if time.parse::<Timestamp>().is_ok_and(|time| self.is_past(SystemTime::from(time))) {
                return false;
            }
            match text(&fields, "event") {
                "end" if self.ends.len() < MOST_ENDS => {
                    self.ends.insert(text(&fields, "id").to_owned(), fields);
                }
                "start" => self.start(fields, alive),
                "closed" if text(&fields, "reason") == "size" => alive = self.living.contains(pid),
                "gap" => self.gap(&fields),
                _ => {}
            }
        }
    }

    /// Whether nothing of this moment or before can be among what is wanted.
    fn is_past(&self, moment_: SystemTime) -> bool {
        let Ok(time) = Timestamp::try_from(moment_) else { return false };
        if self.wanted.since.is_some_and(|since| time < since) {
            return true;
        }
        let oldest = self.rows.first_key_value().filter(|_| self.rows.len() >= self.wanted.limit);
        oldest.is_some_and(|((oldest, ..), _)| moment(time) < *oldest)
    }

    fn start(&mut self, mut fields: Json, alive: bool) {
        if let Some(mut end) = self.ends.remove(text(&fields, "id")) {
            for name in ["outcome", "error", "detail", "ms", "bytes"] {
                if let Some(value) = end.remove(name) {
                    fields.insert(name.into(), value);
                }
            }
        } else {
            fields.insert("outcome".into(), if alive { "running" } else { "unknown" }.into());
        }
        self.keep(fields);
    }

    /// Ends whose start is gone with its file.
    fn rest(&mut self) {
        for (_, fields) in std::mem::take(&mut self.ends) {
            self.keep(fields);
        }
    }

    /// Lines that are missing belong to nobody, so only whoever sees everything is told.
    fn gap(&mut self, fields: &Json) {
        let Wanted { principal: None, tool: None, host: None, outcome: None, .. } = self.wanted else { return };
        let error = format!("{} lines are missing: {}", number(fields, "lines"), text(fields, "error"));
        let row = json!({"time": text(fields, "time"), "seq": number(fields, "seq"), "outcome": "gap", "error": error});
        if let Value::Object(row) = row {
            self.keep(row);
        }
    }

    fn keep(&mut self, mut fields: Json) {
        if self.wanted.limit == 0 || !self.wants(&fields) {
            return;
        }
        let key = (text(&fields, "time").to_owned(), number(&fields, "seq"), text(&fields, "id").to_owned());
        for name in ["seq", "event", "prev", "hash"] {
            fields.shift_remove(name);
        }
        self.rows.insert(key, Value::Object(fields));
        if self.rows.len() > self.wanted.limit {
            self.rows.pop_first();
        }
    }

    fn wants(&self, fields: &Json) -> bool {
        let Wanted { principal, since, tool, host, outcome, .. } = self.wanted;
        let is =
            |wanted: &Option<String>, field: &str| wanted.as_ref().is_none_or(|text_| text(fields, field) == text_);
        let hosts = || fields.get("hosts").and_then(Value::as_array).into_iter().flatten();
        let known = text(fields, "outcome");
        is(principal, "caller")
            && is(tool, "tool")
            && since.is_none_or(|since| text(fields, "time").parse::<Timestamp>().is_ok_and(|time| time >= since))
            && host.as_ref().is_none_or(|host| hosts().any(|name| name == host.as_str()))
            && match outcome.as_deref() {
                None => true,
                Some("failed") => !["ok", "running"].contains(&known),
                Some(outcome) => outcome == known,
            }
    }
}

fn text<'a>(fields: &'a Json, name: &str) -> &'a str {
    fields.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(fields: &Json, name: &str) -> u64 {
    fields.get(name).and_then(Value::as_u64).unwrap_or_default()
}
