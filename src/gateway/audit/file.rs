//! The file of this process: its first line, the lines behind it, and what happens when one cannot be written.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use super::{
    chain::{Hash, Sealed, seal},
    directory::{Directory, Listed, is_closed},
    line::{Numbered, closed, object},
    lines::{Forwards, Piece},
};
use crate::{config::AuditSettings, tool::Json};

/// How many files before it the first line of a file names: those that ended since the file before it began.
const FOLLOWED: usize = 8;
/// How many removed files the first line of a file names; beyond that it only counts.
const PRUNED_BY_NAME: usize = 64;
/// However small they are, no more files are kept.
const MOST_FILES: usize = 4096;

/// Where a file of the audit ended.
#[derive(Debug, Clone)]
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) hash: Hash,
}

/// A file that is being written.
pub(super) struct OpenFile {
    directory: Directory,
    file: File,
    end: Ended,
    /// Up to here every line is whole.
    bytes: u64,
}

/// Why lines were not written.
pub(super) struct Broken {
    pub(super) error: io::Error,
    /// Whether the file is as it was before, so that the next line can follow.
    pub(super) whole: bool,
}

/// What the first line says about files that were removed because there were enough of them.
#[derive(Default)]
struct Pruned {
    total: u64,
    files: Vec<String>,
}

impl OpenFile {
    /// Begins a file: it follows those that were closed before it, `own` first, and then removes what is too much.
    ///
    /// The directory is made where this process has not written in it before; one that has vanished since
    /// was taken away by somebody, who has to bring it back.
    pub(super) fn begin(
        path: &Path,
        settings: &AuditSettings,
        pid: i32,
        own: Option<Ended>,
        known: bool,
    ) -> io::Result<Self> {
        let directory = if known { Directory::again(path)? } else { Directory::make(path)? };
        directory.hold();
        let (listed, _) = directory.list()?;
        let follows = followed(&directory, &listed, own);
        let (surplus, pruned) = pruned(&directory, &listed, settings);
        let (name, file) = directory.create(pid)?;
        let previous = follows.first().map_or(Hash::START, |ended| ended.hash);
        let named = |ended: &Ended| json!({"file": ended.name, "line": ended.line, "hash": ended.hash.to_string()});
        let mut header = object(json!({
            "event": "header",
            "version": 1,
            "file": name,
            "pid": pid,
            "program": concat!("quaymaster ", env!("CARGO_PKG_VERSION")),
            "follows": follows.iter().map(named).collect::<Vec<_>>(),
        }));
        if pruned.total > 0 {
            header.insert("pruned".into(), json!({"total": pruned.total, "files": pruned.files}));
        }
        let mut begun = Self { directory, file, end: Ended { name, line: 0, hash: previous }, bytes: 0 };
        let written = begun.append(vec![header], true).map_err(|broken| broken.error);
        if let Err(error) = written.and_then(|()| begun.directory.sync()) {
            // Nothing of it is worth keeping.
            begun.directory.remove(&begun.end.name).ok();
            return Err(error);
        }
        // What the first line says is gone goes only now.
        for name in surplus {
            if let Err(error) = begun.directory.remove(&name) {
                tracing::warn!("the old file {name} of the audit cannot be removed: {error}");
            }
        }
        begun.directory.release();
        Ok(begun)
    }

    /// Writes lines; with `sync` they are on the disk afterwards.
    pub(super) fn append(&mut self, lines: Vec<Json>, sync: bool) -> Result<(), Broken> {
        let (mut line, mut hash, mut text) = (self.end.line, self.end.hash, String::new());
        for fields in lines {
            line += 1;
            hash = seal(&Numbered::new(line, &fields), hash, &mut text)
                .map_err(|error| Broken { error: error.into(), whole: true })?;
        }
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // A part of it may be there already: nobody may take it for a line.
            let whole = self.file.set_len(self.bytes).is_ok();
            return Err(Broken { error, whole });
        }
        self.end.line = line;
        self.end.hash = hash;
        self.bytes += text.len() as u64;
        if sync {
            // After a failure nobody knows what is on the disk, and a second try would not tell: a new file can.
            self.file.sync_data().map_err(|error| Broken { error, whole: false })?;
        }
        Ok(())
    }

    /// Whether it is still where it was made.
    pub(super) fn is_in_place(&self) -> bool {
        self.directory.leads_to(&self.end.name, &self.file)
    }

    /// Its size.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its path, for people.
    pub(super) fn name(&self) -> &str {
        &self.end.name
    }

    /// Where it ends so far.
    pub(super) fn end(self) -> Ended {
        self.end
    }

    /// Writes its last line, and before it what is missing; afterwards no process writes it.
    pub(super) fn close(mut self, reason: &str, unfinished: &[&String], missing: Option<Json>) -> Ended {
        let lines = missing.into_iter().chain([closed(reason, unfinished)]).collect();
        if let Err(broken) = self.append(lines, true) {
            tracing::warn!("the last line of the audit cannot be written: {}", broken.error);
        }
        self.end
    }
}

/// The files that ended last, the newest first.
fn followed(directory: &Directory, listed: &[Listed], own: Option<Ended>) -> Vec<Ended> {
    let mut newest: Vec<&Listed> =
        listed.iter().filter(|file| own.as_ref().is_none_or(|own| own.name != file.name)).collect();
    newest.sort_by_key(|file| std::cmp::Reverse(file.written));
    let others = newest.into_iter().filter_map(|file| {
        let last = directory.last_of_closed(&file.name)?;
        Some(Ended { name: file.name.clone(), line: last.seq, hash: last.hash })
    });
    let mut followed: Vec<Ended> = own.into_iter().collect();
    followed.extend(others.take(FOLLOWED - followed.len()));
    followed
}

/// The files that are too many, the oldest first, and what the next first line says of all that are gone.
///
/// `keep` counts files of the full size: many small ones, as commands of a few calls leave them, may be
/// more, so that nobody empties the audit by calling often.
fn pruned(directory: &Directory, listed: &[Listed], settings: &AuditSettings) -> (Vec<String>, Pruned) {
    let mut pruned = listed.last().map(|newest| known(directory, &newest.name)).unwrap_or_default();
    let room = settings.size.saturating_mul(settings.keep as u64);
    let too_much = |count: usize, bytes: u64| count > settings.keep && (bytes > room || count > MOST_FILES);
    let sum = |files: &[&Listed]| files.iter().map(|file| file.bytes).sum::<u64>();
    let all: Vec<&Listed> = listed.iter().collect();
    if !too_much(all.len(), sum(&all)) {
        return (Vec::new(), pruned);
    }
    // Only now is it worth the look at each.
    let closed: Vec<&Listed> = all
        .into_iter()
        .filter(|file| file.bytes > 0 && directory.file(&file.name).is_ok_and(|file| is_closed(&file)))
        .collect();
    let (mut count, mut bytes, mut surplus) = (closed.len(), sum(&closed), Vec::new());
    for file in closed {
        if !too_much(count, bytes) {
            break;
        }
        count -= 1;
        bytes -= file.bytes;
        surplus.push(file.name.clone());
    }
    pruned.total += surplus.len() as u64;
    pruned.files.extend(surplus.iter().cloned());
    let forgotten = pruned.files.len().saturating_sub(PRUNED_BY_NAME);
    pruned.files.drain(..forgotten);
    (surplus, pruned)
}

/// What the first line of a file says is gone.
fn known(directory: &Directory, name: &str) -> Pruned {
    let header = || {
        let Piece::Whole(line) = Forwards::new(directory.file(name).ok()?).next().ok()?? else { return None };
        Sealed::read(&line)
    };
    let Some(header) = header() else { return Pruned::default() };
    let pruned = header.fields.get("pruned");
    let files = pruned.and_then(|pruned| pruned.get("files")).and_then(serde_json::Value::as_array);
    Pruned {
        total: pruned.and_then(|pruned| pruned.get("total")?.as_u64()).unwrap_or_default(),
        files: files.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
    }
}
