//! One reading of a log: entries with their times, and the position from which to go on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::{
    docker::{
        Docker, Target,
        names::quote,
        stream::{Bytes, Line, Lines, Source},
    },
    error::{Error, Kind, Result},
    tool::{Object, ObjectKind},
    tools::{redaction::Redaction, time, view::text},
};

/// How long the daemon may take to begin: with `since` it skips what is older in silence.
const PATIENCE: Duration = Duration::from_secs(40);
/// The engine stores a line in pieces of this size.
const PIECE: usize = 16 << 10;

/// What names the task among the details of a line.
const TASK: &str = "com.docker.swarm.task.id=";
/// So much of the id of a task that is not known any more.
const SHORT_ID: usize = 12;

/// What is asked of the engine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// Only this source; both if absent.
    pub(crate) only: Option<Source>,
    /// Where it begins.
    pub(crate) since: Option<Timestamp>,
    /// Where it ends.
    pub(crate) until: Option<Timestamp>,
    /// Only the last so many; the engine counts them before it looks at the source and the window.
    pub(crate) tail: Option<usize>,
    /// Goes on after it, which counts more than `since`.
    pub(crate) from: Option<Position>,
    /// Whether it stays open for what comes.
    pub(crate) follow: bool,
}

/// Whose log it is.
pub(crate) struct Log<'a> {
    /// The container or the service.
    pub(crate) object: &'a Object,
    /// What the tasks of a service are called, by their ids.
    tasks: Option<BTreeMap<String, Arc<str>>>,
}

impl<'a> Log<'a> {
    /// A container's.
    pub(crate) fn of_container(container: &'a Object) -> Self {
        Self { object: container, tasks: None }
    }

    /// A service's, whose tasks write each for itself.
    pub(crate) fn of_service(service: &'a Object, tasks: BTreeMap<String, Arc<str>>) -> Self {
        Self { object: service, tasks: Some(tasks) }
    }

    /// Whether several write into it, whose lines the engine does not sort.
    pub(crate) fn has_many_writers(&self) -> bool {
        self.tasks.is_some()
    }

    /// `container` or `service`.
    pub(crate) fn kind(&self) -> &'static str {
        self.object.kind.as_str()
    }

    /// Where its text comes from.
    pub(crate) fn source(&self) -> String {
        format!("{} {}", self.kind(), self.object.name)
    }

    /// The same for a sentence.
    pub(crate) fn named(&self) -> String {
        format!("{} \"{}\"", self.kind(), self.object.name)
    }

    fn target(&self) -> Target {
        let target = Target::new(format!("/{}s/{}/logs", self.kind(), self.object.id));
        if self.has_many_writers() { target.query("details", "1") } else { target }
    }

    fn has_terminal(&self) -> bool {
        self.object.is(if self.has_many_writers() { "/Spec/TaskTemplate/ContainerSpec/TTY" } else { "/Config/Tty" })
    }
}

/// One line of a log as it may be shown: nothing of it is looked at before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When the engine took it; absent for words of the engine itself.
    pub(crate) time: Option<Timestamp>,
    /// Which task of a service, or which container of several, wrote it.
    pub(crate) task: Option<Arc<str>>,
    /// Where it came from.
    pub(crate) source: Source,
    /// Its text; a very long one lacks its end.
    pub(crate) text: String,
    /// How many bytes of it are missing.
    pub(crate) skipped: usize,
    /// How many values are masked in it.
    pub(crate) masked: usize,
}

impl Entry {
    fn of(raw: Raw, redaction: &mut Redaction) -> Self {
        let Raw { time, task, source, text, skipped } = raw;
        let shown = redaction.line_of(task.as_ref(), source, &text, skipped);
        Self { time, task, source, text: shown.text, skipped: shown.skipped, masked: shown.masked }
    }
}

/// One line of a log as the engine sent it, without its time.
struct Raw {
    time: Option<Timestamp>,
    task: Option<Arc<str>>,
    source: Source,
    text: String,
    skipped: usize,
}

impl Raw {
    fn of(line: Line) -> Self {
        let Line { source, text, skipped } = line;
        let Some((stamp, rest)) = text.split_once(' ') else {
            // A line that was empty, or words of the engine itself.
            let time = text.parse().ok();
            return Self { time, task: None, source, text: if time.is_some() { String::new() } else { text }, skipped };
        };
        let Ok(time) = stamp.parse::<Timestamp>() else {
            return Self { time: None, task: None, source, text, skipped };
        };
        // The engine repeats the time in front of every piece of a long line.
        let text = if rest.len() > PIECE {
            rest.replace(&format!("{stamp} "), "")
        } else {
            let behind = stamp.len() + 1;
            let mut text = text;
            text.drain(..behind);
            text
        };
        Self { time: Some(time), task: None, source, text, skipped }
    }

    /// Takes off what the engine says of the task in front of a line of a service.
    fn told(mut self, tasks: Option<&BTreeMap<String, Arc<str>>>) -> Self {
        let Some(tasks) = tasks.filter(|_| self.time.is_some()) else { return self };
        let (details, rest) = self.text.split_once(' ').unwrap_or((&self.text, ""));
        let id = details.split(',').find_map(|detail| detail.strip_prefix(TASK));
        let Some(id) = id else { return self };
        self.task =
            Some(tasks.get(id).cloned().unwrap_or_else(|| id.chars().take(SHORT_ID).collect::<String>().into()));
        self.text = rest.to_owned();
        self
    }
}

/// How far a log was read: the newest time, and how many lines of each source had exactly that time.
///
/// The engine can only be asked for what is not older than a time, so what was read already at
/// that very time is counted off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    time: Timestamp,
    stdout: u32,
    stderr: u32,
}

impl Position {
    /// The time of the newest line that was read.
    pub(crate) fn time(&self) -> Timestamp {
        self.time
    }

    /// Steps over an entry. One that is older than what was read before changes nothing.
    pub(crate) fn pass(position: &mut Option<Self>, entry: &Entry) {
        let Some(time) = entry.time else { return };
        let here = position.get_or_insert(Self { time, stdout: 0, stderr: 0 });
        if time > here.time {
            *here = Self { time, stdout: 0, stderr: 0 };
        }
        if time == here.time {
            let passed = here.counter(entry.source);
            *passed = passed.saturating_add(1);
        }
    }

    /// Behind everything of its time, where it is not known how much of that was not read.
    pub(crate) fn whole(self) -> Self {
        Self { stdout: u32::MAX, stderr: u32::MAX, ..self }
    }

    /// What the cursor that goes on here is made of.
    pub(crate) fn key(&self) -> String {
        format!("{}o{}e{}", self.time.as_nanosecond(), self.stdout, self.stderr)
    }

    /// Reads what a cursor was made of.
    pub(crate) fn of(key: &str) -> Result<Self> {
        let read = || {
            let (time, counts) = key.split_once('o')?;
            let (stdout, stderr) = counts.split_once('e')?;
            let time = Timestamp::from_nanosecond(time.parse().ok()?).ok()?;
            Some(Self { time, stdout: stdout.parse().ok()?, stderr: stderr.parse().ok()? })
        };
        read().ok_or_else(|| {
            Error::invalid("argument \"cursor\" is not one that an answer gave").hint("call again without a cursor")
        })
    }

    fn counter(&mut self, source: Source) -> &mut u32 {
        match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        }
    }

    /// Whether a line of that time was read before; counts off one that was.
    fn has_passed(&mut self, time: Option<Timestamp>, source: Source) -> bool {
        match time {
            Some(time) if time < self.time => true,
            Some(time) if time == self.time => {
                let left = self.counter(source);
                let passed = *left > 0;
                *left = left.saturating_sub(1);
                passed
            }
            _ => false,
        }
    }
}

/// Why a reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// There is no more.
    Complete,
    /// The time was up.
    Late,
    /// The daemon sent nothing for too long.
    Silent,
    /// The connection broke.
    Broken,
}

/// What comes next.
pub(crate) enum Step {
    /// Some entries.
    Entries(Vec<Entry>),
    /// Nothing more.
    End(Ending),
}

/// How the beginning of a reading lies to the beginning of the log.
impl Wanted {
    /// Whether nothing that was written before is left out.
    pub(crate) fn is_whole(&self) -> bool {
        self.tail.is_none() && self.since.is_none() && self.from.is_none()
    }
}

/// An open log.
pub(crate) struct Reading {
    bytes: Bytes,
    lines: Option<Lines>,
    resume: Option<Position>,
    tasks: Option<BTreeMap<String, Arc<str>>>,
}

impl Reading {
    /// Opens a log.
    pub(crate) async fn open(docker: &Docker, log: &Log<'_>, wanted: Wanted) -> Result<Self> {
        let flag = |on: bool| if on { "1" } else { "0" };
        let mut target = log
            .target()
            .query("stdout", flag(wanted.only != Some(Source::Stderr)))
            .query("stderr", flag(wanted.only != Some(Source::Stdout)))
            .query("timestamps", "1")
            .query("follow", flag(wanted.follow))
            .query("tail", wanted.tail.map_or_else(|| "all".to_owned(), |tail| tail.to_string()))
            .patient(PATIENCE);
        if let Some(since) = wanted.from.map(|from| from.time).or(wanted.since) {
            target = target.query("since", time::parameter(since));
        }
        if let Some(until) = wanted.until {
            target = target.query("until", time::parameter(until));
        }
        let bytes = docker.bytes(target).await.map_err(|error| unreadable(error, log.object))?;
        // How long a silence may be is for `next` to say.
        let bytes = bytes.patient(Duration::MAX);
        let framed = bytes.multiplexed().unwrap_or(!log.has_terminal());
        Ok(Self { bytes, lines: Some(Lines::new(framed)), resume: wanted.from, tasks: log.tasks.clone() })
    }

    /// The next entries, but not after `end`, and not after a silence longer than `idle`.
    pub(crate) async fn next(&mut self, end: Instant, idle: Duration, redaction: &mut Redaction) -> Result<Step> {
        let mut found = Vec::new();
        while found.is_empty() {
            let Some(mut lines) = self.lines.take() else { return Ok(Step::End(Ending::Complete)) };
            let (resume, tasks) = (&mut self.resume, self.tasks.as_ref());
            let mut keep = |line: Line| {
                let raw = Raw::of(line).told(tasks);
                if !resume.as_mut().is_some_and(|resume| resume.has_passed(raw.time, raw.source)) {
                    found.push(Entry::of(raw, redaction));
                }
            };
            let silent = Instant::now() + idle;
            match timeout_at(end.min(silent), self.bytes.next()).await {
                Ok(Ok(Some(chunk))) => {
                    lines.push(&chunk, &mut keep)?;
                    self.lines = Some(lines);
                }
                Ok(Ok(None)) => lines.finish(keep),
                Ok(Err(_)) => return Ok(Step::End(Ending::Broken)),
                Err(_) => return Ok(Step::End(if silent < end { Ending::Silent } else { Ending::Late })),
            }
            if Instant::now() >= end && found.is_empty() {
                return Ok(Step::End(Ending::Late));
            }
        }
        Ok(Step::Entries(found))
    }
}

/// A driver that sends its lines away and keeps none answers with 501.
fn unreadable(error: Error, object: &Object) -> Error {
    // Engine 20.10 says so of one that is going at this moment.
    if error.kind() == Kind::Conflict && error.message().contains("marked for removal") {
        return Error::not_found(format!("container {} is being removed", quote(&object.name)));
    }
    if error.kind() != Kind::Unsupported {
        return error;
    }
    let driver =
        |at: &str, field: &str| object.fact(at).map(|config| text(config, field)).unwrap_or_default().to_owned();
    let driver = match object.kind {
        ObjectKind::Service => driver("/Spec/TaskTemplate/LogDriver", "Name"),
        _ => driver("/HostConfig/LogConfig", "Type"),
    };
    let kind = object.kind.as_str();
    Error::unsupported(format!("the {kind}'s log driver {} keeps nothing that could be read", quote(&driver)))
        .hint("its lines are where that driver sends them, if anywhere; ask the person")
}

#[cfg(test)]
impl Default for Entry {
    fn default() -> Self {
        Self { time: None, task: None, source: Source::Stdout, text: String::new(), skipped: 0, masked: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str, source: Source) -> Entry {
        let raw = Raw::of(Line { source, text: text.to_owned(), skipped: 0 });
        Entry::of(raw, &mut Redaction::new(&std::sync::Arc::default(), true))
    }

    #[test]
    fn the_time_is_taken_off() {
        let read = entry("2026-11-20T16:38:46.381603445Z \u{1b}[31mout\u{1b}[0m ", Source::Stdout);
        assert_eq!(read.text, "out ");
        assert_eq!(read.time.unwrap().as_nanosecond(), 1_795_192_726_381_603_445);
        assert_eq!(entry("2026-11-20T16:38:46.381603445Z ", Source::Stdout).text, "");
        let own = entry("Error grabbing logs: unexpected EOF", Source::Stderr);
        assert_eq!((own.time, own.text.as_str()), (None, "Error grabbing logs: unexpected EOF"));
    }

    #[test]
    fn the_pieces_of_a_long_line_are_joined() {
        let stamp = "2026-11-20T16:38:46.385375524Z ";
        let piece = "x".repeat(PIECE);
        let read = entry(&format!("{stamp}{piece}{stamp}{piece}{stamp}end"), Source::Stdout);
        assert_eq!(read.text, format!("{piece}{piece}end"));
    }

    #[test]
    fn a_position_loses_and_repeats_nothing_of_one_moment() {
        let line = |nanos: u32, source| entry(&format!("2026-11-20T16:38:46.{nanos:09}Z x"), source);
        let log = [
            line(1, Source::Stdout),
            line(2, Source::Stdout),
            line(2, Source::Stderr),
            line(2, Source::Stdout),
            line(2, Source::Stdout),
            line(3, Source::Stderr),
        ];
        for cut in 1..=log.len() {
            let (before, _) = log.split_at(cut);
            let mut position = None;
            for entry in before {
                Position::pass(&mut position, entry);
            }
            let position = Position::of(&position.unwrap().key()).unwrap();
            let mut resume = position;
            // The engine answers with everything that is not older.
            let answered = log.iter().filter(|entry| entry.time.unwrap() >= position.time);
            let rest = answered.filter(|entry| !resume.has_passed(entry.time, entry.source)).count();
            assert_eq!(rest, log.len() - cut, "cut after {cut}");
        }
        // Nothing is repeated when a tail began within one moment.
        let mut position = None;
        Position::pass(&mut position, &log[4]);
        let whole = Position::of(&position.unwrap().whole().key()).unwrap();
        let mut resume = whole;
        assert_eq!(log[1..].iter().filter(|entry| !resume.has_passed(entry.time, entry.source)).count(), 1);
        let mut position = Some(whole);
        Position::pass(&mut position, &log[4]);
        assert_eq!(position, Some(whole));
    }

    #[test]
    fn a_line_of_a_service_says_whose_it_is() {
        let tasks = BTreeMap::from([("t1".to_owned(), Arc::from("2@node-a"))]);
        let told = |text: &str| {
            let line = Line { source: Source::Stdout, text: text.to_owned(), skipped: 0 };
            let raw = Raw::of(line).told(Some(&tasks));
            (raw.task.map(|task| task.to_string()), raw.text)
        };
        let stamp = "2026-11-20T16:38:46.381603445Z";
        let details = "com.docker.swarm.node.id=n1,com.docker.swarm.service.id=s1,com.docker.swarm.task.id=";
        assert_eq!(told(&format!("{stamp} {details}t1 GET / 200")), (Some("2@node-a".into()), "GET / 200".into()));
        assert_eq!(told(&format!("{stamp} {details}t1 ")), (Some("2@node-a".into()), String::new()));
        let (whose, text) = told(&format!("{stamp} {details}0123456789abcdefg x"));
        assert_eq!((whose.as_deref(), text.as_str()), (Some("0123456789ab"), "x"));
        assert_eq!(told(&format!("{stamp} plain text")), (None, "plain text".into()));
        assert_eq!(told("Error grabbing logs: x").0, None);
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for key in ["", "x", "1o2", "1o2e", "1o-1e0", "99999999999999999999999999999999o1e1"] {
            assert!(Position::of(key).is_err(), "{key}");
        }
    }
}
