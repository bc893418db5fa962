//! Logs: read through a bounded window, filtered here, never refused for their size.

mod reading;
mod selection;
mod several;
mod sorted;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    redaction::{Redaction, told},
    time::Window,
    view::clipped,
};
use crate::{
    docker::{
        Docker, Target,
        stream::{IDLE, Line, Lines, Source},
    },
    error::{Error, Result},
    tool::{Call, Object, Text, cursor::Cursor, text::count},
};
pub(crate) use reading::{Ending, Entry, Log, Position, Reading, Step, Wanted};
pub(crate) use selection::pattern;
use selection::{Choice, Grep, Order, ROOM, Selection, USUAL_ROOM};
pub(crate) use several::{SeveralLogs, Writer};
use sorted::Sorted;

/// How long a scan may take before it answers with what it found.
const SCAN: Duration = Duration::from_secs(40);
/// More lines than that never fit an answer, so no more are asked for.
const MOST: usize = 22_000;

/// What every tool that reads a log is asked.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(crate) struct LogArguments {
    /// Lines; with `grep`, matching ones. Default: 100.
    #[serde(default)]
    #[schemars(range(min = 1))]
    tail: Option<usize>,
    /// RFC 3339, unix seconds, or so long ago (`2h30m`).
    #[serde(default)]
    since: Option<String>,
    /// Not after, written like `since`.
    #[serde(default)]
    until: Option<String>,
    /// Regular expression.
    #[serde(default)]
    grep: Option<String>,
    /// For `grep`. Default: false.
    #[serde(default)]
    ignore_case: bool,
    /// Lines without a match. Default: false.
    #[serde(default)]
    invert: bool,
    /// Lines around each match. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 50))]
    context: Option<usize>,
    /// Which output. Default: both.
    #[serde(default)]
    stream: Stream,
    /// Default: false.
    #[serde(default)]
    timestamps: bool,
    /// Folds equal lines in a row. Default: false.
    #[serde(default)]
    dedupe: bool,
    /// Then waits so many seconds for more. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 40))]
    follow_for: Option<u32>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// Which output of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Stream {
    #[default]
    Both,
    Stdout,
    Stderr,
}

impl Stream {
    const fn only(self) -> Option<Source> {
        match self {
            Self::Both => None,
            Self::Stdout => Some(Source::Stdout),
            Self::Stderr => Some(Source::Stderr),
        }
    }
}

impl LogArguments {
    /// How long it may take.
    pub(crate) fn deadline(&self) -> Duration {
        SCAN + Duration::from_secs(5) + self.following()
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `invalid`, naming the argument.
    pub(crate) fn check(&self, call: &Call) -> Result<()> {
        self.scan(call).map(drop)
    }

    /// Reads a log as it was asked for.
    ///
    /// # Errors
    /// Those of the arguments and of the daemon.
    pub(crate) async fn read(&self, docker: &Docker, log: &Log<'_>, call: &Call) -> Result<Text> {
        let mut scan = self.scan(call)?;
        let mut redaction = Redaction::new(&log.object.masks, scan.wanted.is_whole());
        let search = scan.run(docker, log, Instant::now() + SCAN, &mut redaction);
        call.timed(search, SCAN, "reads the log").await?;
        let following = self.following();
        if !following.is_zero() && scan.ending == Ending::Complete && !scan.full {
            let wanted = Wanted { tail: None, from: scan.position, follow: true, ..scan.wanted };
            let mut reading = Reading::open(docker, log, wanted).await?;
            let follow = scan.read(&mut reading, Instant::now() + following, following, &mut redaction);
            call.timed(follow, following, "follows the log").await?;
            if matches!(scan.ending, Ending::Late | Ending::Silent) {
                // The time that was asked for is over.
                scan.ending = Ending::Complete;
            }
        }
        Ok(Text {
            source: log.source(),
            body: scan.selection.body(),
            summary: scan.summary(&log.named(), log.has_many_writers(), call),
        })
    }

    fn following(&self) -> Duration {
        Duration::from_secs(u64::from(self.follow_for.unwrap_or_default()))
    }

    /// What the arguments ask for, or why they make no sense.
    fn scan(&self, call: &Call) -> Result<Scan> {
        let window = Window::parse(self.since.as_deref(), self.until.as_deref())?;
        let from = self.cursor.as_ref().map(|cursor| Position::of(&call.cursors().open(cursor)?)).transpose()?;
        if window.until.is_some() && self.follow_for.is_some_and(|seconds| seconds > 0) {
            return Err(Error::invalid("argument \"follow_for\" waits for new lines, and \"until\" excludes them")
                .hint("leave one of them out"));
        }
        let most = self.tail.unwrap_or(100);
        if self.grep.is_none() && (self.invert || self.ignore_case || self.context.is_some_and(|lines| lines > 0)) {
            return Err(Error::invalid("arguments \"invert\", \"ignore_case\" and \"context\" belong to \"grep\"")
                .hint("give \"grep\", or leave them out"));
        }
        // The engine counts its tail before it looks at anything else.
        let is_tail = self.grep.is_none() && from.is_none() && window.until.is_none() && self.stream == Stream::Both;
        let grep = |text: &String| -> Result<Grep> {
            let pattern = pattern("grep", text, self.ignore_case)?;
            Ok(Grep { pattern, invert: self.invert, context: self.context.unwrap_or_default() })
        };
        let choice = Choice {
            grep: self.grep.as_ref().map(grep).transpose()?,
            dedupe: self.dedupe,
            timestamps: self.timestamps,
            most,
            order: if from.is_some() { Order::First } else { Order::Last },
            room: if self.tail.is_some() { ROOM } else { USUAL_ROOM },
        };
        Ok(Scan {
            wanted: Wanted {
                only: self.stream.only(),
                since: window.since,
                until: window.until,
                tail: is_tail.then_some(most.min(MOST)),
                from,
                follow: false,
            },
            has_pattern: choice.grep.is_some(),
            usual: self.tail.is_none(),
            selection: Selection::new(choice),
            position: from,
            first: None,
            ending: Ending::Complete,
            full: false,
            lost: 0,
            passed: 0,
        })
    }
}

/// A log on its way into an answer.
struct Scan {
    wanted: Wanted,
    has_pattern: bool,
    /// Whether the call does not say how many lines it wants.
    usual: bool,
    selection: Selection,
    /// Behind the last line that was looked at.
    position: Option<Position>,
    /// The time of the first one.
    first: Option<Timestamp>,
    ending: Ending,
    /// Whether there was enough before the log's end.
    full: bool,
    /// How many lines there was no room to sort.
    lost: usize,
    /// How many were passed over before they were sorted, because they do not match.
    passed: usize,
}

impl Scan {
    /// Reads what is there.
    async fn run(&mut self, docker: &Docker, log: &Log<'_>, end: Instant, redaction: &mut Redaction) -> Result<()> {
        let mut reading = Reading::open(docker, log, self.wanted).await?;
        // Looking for its beginning the engine may be silent for long.
        let skips = self.wanted.since.is_some() || self.wanted.from.is_some();
        let idle = if skips { SCAN } else { IDLE };
        if log.has_many_writers() {
            self.sorted(&mut reading, end, idle, redaction).await?;
        } else {
            self.read(&mut reading, end, idle, redaction).await?;
        }
        if self.wanted.tail.is_some() && self.position.map(|position| position.time()) == self.first {
            // The engine's tail may have begun within the lines of that time.
            self.position = self.position.map(Position::whole);
        }
        Ok(())
    }

    /// Reads what several wrote and the engine does not sort, to its end before anything is chosen.
    async fn sorted(
        &mut self,
        reading: &mut Reading,
        end: Instant,
        idle: Duration,
        redaction: &mut Redaction,
    ) -> Result<()> {
        let mut sorted = Sorted::new(self.selection.order());
        self.ending = loop {
            match reading.next(end, idle, redaction).await? {
                Step::End(ending) => break ending,
                Step::Entries(entries) => sorted.extend(entries),
            }
            if Instant::now() >= end {
                break Ending::Late;
            }
        };
        self.lost = sorted.lost();
        for entry in sorted.entries() {
            if !self.selection.take(&entry) {
                self.full = true;
                break;
            }
            Position::pass(&mut self.position, &entry);
            self.first = self.first.or(entry.time);
        }
        if self.ending != Ending::Complete {
            // One who wrote earlier may not have been read yet: no position is behind everything.
            self.position = None;
        }
        Ok(())
    }

    async fn read(
        &mut self,
        reading: &mut Reading,
        end: Instant,
        idle: Duration,
        redaction: &mut Redaction,
    ) -> Result<()> {
        loop {
            match reading.next(end, idle, redaction).await? {
                Step::End(ending) => {
                    self.ending = ending;
                    return Ok(());
                }
                Step::Entries(entries) => {
                    for entry in &entries {
                        if !self.selection.take(entry) {
                            self.full = true;
                            return Ok(());
                        }
                        Position::pass(&mut self.position, entry);
                        self.first = self.first.or(entry.time);
                    }
                }
            }
            if Instant::now() >= end {
                self.ending = Ending::Late;
                return Ok(());
            }
        }
    }

    fn summary(&self, whose: &str, has_many: bool, call: &Call) -> String {
        let Self { selection, wanted, .. } = self;
        let (shown, matched, read) = (selection.shown(), selection.matched(), selection.read() + self.passed);
        let lines = match (self.has_pattern, wanted.tail) {
            (true, _) => format!("{shown} of {} shown, {} read", count(matched, "matching line"), count(read, "line")),
            (false, Some(tail)) if read >= tail && shown == read => format!("the last {}", count(shown, "line")),
            (false, _) if shown == read => count(shown, "line"),
            (false, _) => format!("{shown} of {} shown", count(read, "line")),
        };
        let mut parts = vec![format!("{lines} of {whose}{}", told(selection.masked()))];
        if selection.is_crowded() && !self.full {
            let more = if self.usual { "are left out: give tail for a longer answer" } else { "do not fit one answer" };
            parts.push(format!("older ones {more}"));
        }
        match (self.lost, selection.order()) {
            (0, _) => {}
            (lost, Order::Last) => parts.push(format!("the oldest {} were not looked at", count(lost, "line"))),
            (lost, Order::First) => parts.push(format!("the newest {} were not looked at", count(lost, "line"))),
        }
        let has_older = shown < matched || wanted.tail.is_some_and(|tail| read >= tail);
        if let Some(oldest) = selection.oldest().filter(|_| has_older && wanted.from.is_none()) {
            parts.push(format!("for older ones set until to \"{oldest}\""));
        }
        let scanned_to = self.position.map(|position| position.time().to_string()).unwrap_or_default();
        match self.ending {
            Ending::Complete if self.full => parts.push("there are more after these".to_owned()),
            Ending::Complete => {}
            Ending::Late if has_many => parts.push(format!(
                "the scan stopped after {} s: lines may be missing; give a later since, or tail without grep",
                SCAN.as_secs()
            )),
            Ending::Late => parts.push(format!(
                "the scan stopped after {} s, scanned_to \"{scanned_to}\": give the cursor to go on, or a later since",
                SCAN.as_secs()
            )),
            Ending::Silent => parts.push("the daemon fell silent before the end: lines may be missing".to_owned()),
            Ending::Broken => parts.push("the stream broke off before the end: lines may be missing".to_owned()),
        }
        if let Some(position) = self.position {
            parts.push(format!(
                "cursor \"{}\" goes on after what was read",
                call.cursors().seal(&position.key()).as_str()
            ));
        }
        parts.join("; ")
    }
}

/// The last few lines of a container, as they may be shown, each cut after 200 characters.
pub(crate) async fn last_lines(docker: &Docker, container: &Object, tail: usize) -> Result<Vec<String>> {
    let target = Target::new(format!("/containers/{}/logs", container.id))
        .query("stdout", "1")
        .query("stderr", "1")
        .query("tail", tail.to_string());
    let mut stream = docker.bytes(target).await?;
    let mut lines = Lines::new(stream.multiplexed().unwrap_or(!container.is("/Config/Tty")));
    let mut redaction = Redaction::new(&container.masks, false);
    let (mut found, mut read) = (Vec::new(), 0);
    let mut keep = |line: Line| {
        found.push(clipped(&redaction.line(line.source, &line.text, line.skipped).text, 200));
    };
    while let Some(chunk) = stream.next().await? {
        lines.push(&chunk, &mut |line| {
            read += 1;
            keep(line);
        })?;
        // No engine sends more than it is asked for.
        if read > tail {
            break;
        }
    }
    lines.finish(keep);
    found.truncate(tail);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    fn scan(arguments: serde_json::Value) -> Scan {
        let call = Call::alone();
        let mut arguments = arguments;
        if let Some(position) = arguments.get("cursor").and_then(serde_json::Value::as_str) {
            arguments["cursor"] = json!(call.cursors().seal(position));
        }
        serde_json::from_value::<LogArguments>(arguments).unwrap().scan(&call).unwrap()
    }

    fn take(scan: &mut Scan, text: &str) {
        let time = "2026-11-20T08:00:00.000000001Z".parse().ok();
        let entry = Entry { time, text: text.to_owned(), ..Entry::default() };
        assert!(scan.selection.take(&entry));
        Position::pass(&mut scan.position, &entry);
    }

    #[test]
    fn the_engine_counts_only_what_it_counts_right() {
        for (arguments, tail) in [
            (json!({}), Some(100)),
            (json!({"since": "1h", "tail": 5}), Some(5)),
            (json!({"tail": 1_000_000_000}), Some(MOST)),
            (json!({"until": "1h"}), None),
            (json!({"stream": "stderr"}), None),
            (json!({"grep": "a"}), None),
            (json!({"cursor": "1o1e1"}), None),
        ] {
            assert_eq!(scan(arguments.clone()).wanted.tail, tail, "{arguments}");
        }
    }

    #[test]
    fn a_scan_that_stopped_says_where() {
        let web = Object::listed(ObjectKind::Container, "0".into(), "web".into(), json!({}));
        let mut scan = scan(json!({"grep": "b"}));
        take(&mut scan, "a");
        take(&mut scan, "b");
        scan.ending = Ending::Late;
        let call = Call::alone();
        let summary = scan.summary(&Log::of_container(&web).named(), false, &call);
        let (said, cursor) = summary.split_once("; cursor \"").unwrap();
        assert_eq!(
            said,
            "1 of 1 matching line shown, 2 lines read of container \"web\"; the scan stopped after 40 s, scanned_to \
             \"2026-11-20T08:00:00.000000001Z\": give the cursor to go on, or a later since"
        );
        let cursor: Cursor = serde_json::from_value(cursor.split('"').next().unwrap().into()).unwrap();
        assert_eq!(call.cursors().open(&cursor).unwrap(), "1795161600000000001o2e0");
        scan.ending = Ending::Broken;
        assert!(scan.summary(&Log::of_container(&web).named(), false, &call).contains("broke off"));
    }
}
