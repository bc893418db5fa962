//! Is the audit as it was written? Walks every file, and says where it is not, and what nobody could see.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use serde::Serialize;
use serde_json::Value;

use super::{
    chain::{Hash, Sealed},
    directory::{Directory, Listed, is_closed},
    lines::{Forwards, Piece},
};
use crate::error::{Error, Result};

/// What no check of these files can show, whatever it says.
pub const BLIND: &[&str] = &[
    "lines cut off at the end of a file that no later file names: the newest one, and one whose process was killed",
    "whole files removed that no file left names, and a directory that was emptied",
    "a chain that was written anew as a whole: its hashes have no key, because whoever can write these files could \
     read the key too",
    "what was done past Quaymaster, by a process with another state directory, or before its first line",
];
/// How much a file may be wrong before it is enough.
const ENOUGH: usize = 50;
/// How often it is begun anew when files are removed meanwhile.
const ATTEMPTS: usize = 3;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The directory.
    pub directory: String,
    /// Every file, oldest first.
    pub files: Vec<Checked>,
    /// How many lines were read.
    pub lines: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What is worth knowing and may well be right.
    pub notes: Vec<String>,
    /// [`BLIND`].
    pub blind: &'static [&'static str],
}

/// A file that was read.
#[derive(Debug, Clone, Serialize)]
pub struct Checked {
    /// Its name.
    pub file: String,
    /// How many lines it has.
    pub lines: u64,
    /// `open` while a process writes it, `closed` after an orderly end, `ended` without one.
    pub state: &'static str,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line, from 1; absent where it is about the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}, line {line}: {}", self.file, self.what),
            None => write!(formatter, "{}: {}", self.file, self.what),
        }
    }
}

/// Checks every file of a directory.
///
/// # Errors
/// `not_found` where there is no directory, `config` where it cannot be read.
pub fn verify(path: &Path) -> Result<Report> {
    for attempt in 1..=ATTEMPTS {
        match walk(path) {
            // A process may have removed an old file since they were listed: then its name is in a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS && path.exists() => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::not_found(
                    "there is no audit: nothing was written yet, or its directory was removed",
                )
                .detail(path.display().to_string()));
            }
            Err(error) => {
                return Err(Error::config("the audit cannot be read").detail(format!("{}: {error}", path.display())));
            }
            Ok(report) => return Ok(report),
        }
    }
    Err(Error::config("the audit changes faster than it can be read"))
}

/// What a first line says of a file before it.
struct Claim {
    by: String,
    line: u64,
    hash: Option<Hash>,
}

/// What all first lines say together.
#[derive(Default)]
struct Claims {
    follows: BTreeMap<String, Vec<Claim>>,
    pruned: BTreeSet<String>,
    /// The most files that any of them says are gone.
    total: u64,
}

fn walk(path: &Path) -> io::Result<Report> {
    let directory = Directory::open(path)?;
    let (listed, others) = directory.list()?;
    let mut report = Report { directory: path.display().to_string(), blind: BLIND, ..Report::default() };
    if let Some(fault) = directory.fault()? {
        report.problems.push(Problem { file: report.directory.clone(), line: None, what: fault.to_owned() });
    }
    if others > 0 {
        report.notes.push(format!("{others} other entries of the directory were not looked at"));
    }
    // All first lines before any other line: what they say was closed then is whole now, whoever writes on.
    let mut claims = Claims::default();
    for Listed { name, .. } in &listed {
        if let Some(header) = first_line(&directory, name)? {
            claims.add(name, &header);
        }
    }
    for Listed { name, .. } in &listed {
        match directory.file(name) {
            Ok(file) => check(name, file, &claims, &mut report)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(error) => {
                report.problems.push(Problem { file: name.clone(), line: None, what: error.to_string() });
            }
        }
    }
    claims.missing(&listed, &mut report);
    report.problems.sort();
    Ok(report)
}

fn first_line(directory: &Directory, name: &str) -> io::Result<Option<Sealed>> {
    // What is no file of ours is reported when its lines are read.
    let file = match directory.file(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        Err(_) => return Ok(None),
    };
    Ok(match Forwards::new(file).next()? {
        Some(Piece::Whole(line)) => Sealed::read(&line).filter(|line| line.text("event") == "header"),
        _ => None,
    })
}

impl Claims {
    fn add(&mut self, by: &str, header: &Sealed) {
        for (name, line, hash) in follows(header) {
            self.follows.entry(name).or_default().push(Claim { by: by.to_owned(), line, hash });
        }
        let Some(pruned) = header.fields.get("pruned") else { return };
        let files = pruned.get("files").and_then(Value::as_array).into_iter().flatten();
        self.pruned.extend(files.filter_map(Value::as_str).map(str::to_owned));
        self.total = self.total.max(pruned.get("total").and_then(Value::as_u64).unwrap_or_default());
    }

    /// Files that a first line names and that are not there.
    fn missing(&self, listed: &[Listed], report: &mut Report) {
        // First lines name the last removed files only; what is older than those may have been removed rightly.
        let forgets = self.total > self.pruned.len() as u64;
        let mut unsure = 0;
        for (name, claims) in &self.follows {
            let is_there = listed.iter().any(|file| file.name == *name);
            if is_there || self.pruned.contains(name) {
                continue;
            }
            if forgets && self.pruned.first().is_some_and(|oldest| name < oldest) {
                unsure += 1;
                continue;
            }
            for Claim { by, line, .. } in claims.iter().take(1) {
                let what = format!("is gone: it had {line} lines when {by} began");
                report.problems.push(Problem { file: name.clone(), line: None, what });
            }
        }
        if self.total > 0 {
            report.notes.push(format!("{} older files were removed because there were enough of them", self.total));
        }
        if unsure > 0 {
            report.notes.push(format!("{unsure} files that are named and gone may be among those"));
        }
    }
}

/// The files that a first line follows: name, last line and its hash.
fn follows(header: &Sealed) -> Vec<(String, u64, Option<Hash>)> {
    let rows = header.fields.get("follows").and_then(Value::as_array).into_iter().flatten();
    let row = |row: &Value| {
        let hash = row.get("hash").and_then(Value::as_str).and_then(Hash::parse);
        Some((row.get("file")?.as_str()?.to_owned(), row.get("line")?.as_u64()?, hash))
    };
    rows.filter_map(row).collect()
}

fn check(name: &str, file: std::fs::File, claims: &Claims, report: &mut Report) -> io::Result<()> {
    let is_open = !is_closed(&file);
    let mode = file.metadata()?.mode() & 0o777;
    let mut chain = Chain::new(name, claims.follows.get(name).map_or(&[], Vec::as_slice));
    if mode & 0o022 != 0 {
        chain.problem(None, format!("others can write it (mode {mode:o})"));
    } else if mode & 0o077 != 0 {
        report.notes.push(format!("{name} can be read by others (mode {mode:o})"));
    }
    let (mut lines, mut torn) = (Forwards::new(file), false);
    while let Some(piece) = lines.next()? {
        match piece {
            Piece::Whole(line) => chain.line(Sealed::read(&line)),
            Piece::Overlong => chain.line(None),
            Piece::Torn if is_open => {}
            Piece::Torn => {
                torn = true;
                let line = chain.lines + 1;
                chain.problem(Some(line), "is cut off in its middle".to_owned());
            }
        }
    }
    let state = match (is_open, chain.ended) {
        (true, _) => "open",
        (false, true) => "closed",
        (false, false) => "ended",
    };
    if chain.lines == 0 && !is_open && !torn {
        chain.problem(None, "is empty: it was emptied, or its process died before its first line".to_owned());
    } else if state == "ended" {
        report.notes.push(format!("{name} has no closing line: its process was killed, or lines were cut off"));
    }
    let lines = chain.lines;
    report.lines += lines;
    report.files.push(Checked { file: name.to_owned(), lines, state });
    report.problems.extend(chain.finish());
    Ok(())
}

/// The lines of one file so far.
struct Chain<'a> {
    name: &'a str,
    claims: &'a [Claim],
    lines: u64,
    /// The number that the next line has to have, and what it follows.
    next: u64,
    last: Option<Hash>,
    ended: bool,
    /// Where numbers were left out: the line behind, and which.
    left_out: Vec<(u64, std::ops::Range<u64>)>,
    /// Numbers that came where they do not belong, and the line.
    strays: BTreeMap<u64, u64>,
    problems: Vec<Problem>,
    more: usize,
}

impl<'a> Chain<'a> {
    fn new(name: &'a str, claims: &'a [Claim]) -> Self {
        Self {
            name,
            claims,
            lines: 0,
            next: 1,
            last: None,
            ended: false,
            left_out: Vec::new(),
            strays: BTreeMap::new(),
            problems: Vec::new(),
            more: 0,
        }
    }

    fn problem(&mut self, line: Option<u64>, what: String) {
        if self.problems.len() < ENOUGH {
            self.problems.push(Problem { file: self.name.to_owned(), line, what });
        } else {
            self.more += 1;
        }
    }

    fn line(&mut self, sealed: Option<Sealed>) {
        self.lines += 1;
        let at = self.lines;
        let Some(sealed) = sealed else { return self.problem(Some(at), "is no line of the audit".to_owned()) };
        if !sealed.intact {
            self.problem(Some(at), "was changed: its hash is that of other words".to_owned());
            // What stood here before is not known; the next line says whether its hash at least is the old one.
            self.next += 1;
            self.last = Some(sealed.hash);
            return;
        }
        if self.ended {
            self.problem(Some(at), "was added behind the line that closed the file".to_owned());
            return;
        }
        if sealed.seq < self.next {
            self.strays.insert(sealed.seq, at);
            if self.strays.len() > ENOUGH {
                self.strays.pop_first();
            }
            return;
        }
        let follows = self.last.is_none_or(|last| last == sealed.previous);
        if sealed.seq > self.next {
            if self.left_out.len() < ENOUGH {
                self.left_out.push((at, self.next..sealed.seq));
            }
        } else if !follows {
            let what = "does not follow the line before it: one of the two was replaced, with its hash made anew";
            self.problem(Some(at), what.to_owned());
        }
        if at == 1 {
            self.header(&sealed);
        }
        for claim in self.claims.iter().filter(|claim| claim.line == sealed.seq) {
            if claim.hash.is_some_and(|hash| hash != sealed.hash) {
                let what = format!("is not the line that {} names as the last: the chain was written anew", claim.by);
                self.problems.push(Problem { file: self.name.to_owned(), line: Some(at), what });
            }
        }
        self.ended = sealed.text("event") == "closed";
        self.next = sealed.seq + 1;
        self.last = Some(sealed.hash);
    }

    fn header(&mut self, header: &Sealed) {
        if header.seq != 1 {
            return;
        }
        if header.text("event") != "header" {
            return self.problem(Some(1), "is not the first line of a file".to_owned());
        }
        if header.text("file") != self.name {
            let was = header.text("file").to_owned();
            self.problem(Some(1), format!("belongs to the file {was:?}: this one was copied or renamed"));
        }
        let first = follows(header).first().and_then(|(.., hash)| *hash).unwrap_or(Hash::START);
        if header.previous != first {
            self.problem(Some(1), "does not follow the file that it names".to_owned());
        }
    }

    fn finish(mut self) -> Vec<Problem> {
        for (line, range) in std::mem::take(&mut self.left_out) {
            let gone: Vec<u64> = range.clone().filter(|number| !self.strays.contains_key(number)).take(2).collect();
            match (gone.as_slice(), range.end - range.start) {
                ([], _) => {}
                (_, 1) => self.problem(Some(line), format!("line {} was removed in front of it", range.start)),
                (_, count) => {
                    let last = range.end - 1;
                    self.problem(
                        Some(line),
                        format!("lines {} to {last} ({count}) were removed in front of it", range.start),
                    );
                }
            }
        }
        for (number, line) in std::mem::take(&mut self.strays) {
            self.problem(Some(line), format!("is number {number} and stands where it does not belong"));
        }
        let last = self.claims.iter().max_by_key(|claim| claim.line);
        if let Some(Claim { by, line, .. }) = last {
            let have = self.next - 1;
            if have < *line {
                let what = format!("lines were cut off at its end: it had {line} when {by} began, {have} are left");
                self.problem(None, what);
            } else if have > *line {
                let what = format!("lines were added at its end: it had {line} when {by} began, now it has {have}");
                self.problem(None, what);
            }
        }
        if self.more > 0 {
            let what = format!("and {} more", self.more);
            self.problems.push(Problem { file: self.name.to_owned(), line: None, what });
        }
        self.problems
    }
}
