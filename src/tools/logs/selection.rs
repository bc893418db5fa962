//! Which lines of a log are shown: matched, folded, cut, and never more than fit one answer.

use std::{collections::VecDeque, sync::Arc};

use jiff::Timestamp;
use regex::{Regex, RegexBuilder};

use super::reading::Entry;
use crate::{
    docker::{names::quote, stream::Source},
    error::{Error, Result},
    tools::time,
};

/// The most characters of all shown lines together; the rest of an answer is for its frame and summary.
pub(super) const ROOM: usize = 22_000;
/// The same where a call does not say how many lines it wants.
pub(super) const USUAL_ROOM: usize = 5_000;
/// The most characters of one shown line.
const LONGEST: usize = 2_000;
/// The memory that a compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;
/// The longest pattern that is looked at, in bytes.
const LONGEST_PATTERN: usize = 10_000;
/// The most characters that say how often a folded line was written, and when.
const FOLD: usize = 70;

/// Compiles a pattern that is matched in linear time, whatever it is.
pub(crate) fn pattern(argument: &str, text: &str, ignore_case: bool) -> Result<Regex> {
    if text.len() > LONGEST_PATTERN {
        return Err(Error::invalid(format!("argument \"{argument}\" is longer than {LONGEST_PATTERN} bytes"))
            .hint("give a shorter pattern"));
    }
    RegexBuilder::new(text)
        .case_insensitive(ignore_case)
        .size_limit(LARGEST_PATTERN)
        .dfa_size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Error::invalid(format!("argument \"{argument}\": {} is no valid pattern: {reason}", quote(text)))
                .hint("a regular expression without look-around and back references; escape \\ . [ ( { * + ? for text")
        })
}

/// Which lines match.
#[derive(Debug)]
pub(super) struct Grep {
    pub(super) pattern: Regex,
    pub(super) invert: bool,
    /// How many lines around each match are shown.
    pub(super) context: usize,
}

/// Which end of a log counts when there is too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// The last lines.
    #[default]
    Last,
    /// The first lines, and then no more.
    First,
}

/// How lines are chosen.
#[derive(Debug)]
pub(super) struct Choice {
    /// All lines match if absent.
    pub(super) grep: Option<Grep>,
    pub(super) dedupe: bool,
    pub(super) timestamps: bool,
    /// How many matching lines.
    pub(super) most: usize,
    pub(super) order: Order,
    /// How many characters all of them may have.
    pub(super) room: usize,
}

impl Choice {
    fn matches(&self, text: &str) -> bool {
        self.grep.as_ref().is_none_or(|grep| grep.pattern.is_match(text) != grep.invert)
    }

    fn context(&self) -> usize {
        self.grep.as_ref().map_or(0, |grep| grep.context)
    }
}

/// Lines on their way into an answer; holds no more than the answer can.
pub(super) struct Selection {
    choice: Choice,
    kept: VecDeque<Kept>,
    /// Lines that are context if a match follows.
    before: VecDeque<Kept>,
    /// How many of the next lines are context.
    after: usize,
    /// The characters of what is kept.
    used: usize,
    /// The matching lines in what is kept.
    shown: usize,
    read: usize,
    matched: usize,
    crowded: bool,
}

struct Kept {
    /// The numbers of the first and the last line that are folded into it.
    first: usize,
    last: usize,
    count: usize,
    matched: bool,
    task: Option<Arc<str>>,
    source: Source,
    /// When the first of them was written; not known any more once some were let go of.
    since: Option<Timestamp>,
    /// When the last one was.
    time: Option<Timestamp>,
    text: String,
    /// How many values are masked in it.
    masked: usize,
    /// The characters that it takes in an answer, with time, count and separator.
    cost: usize,
}

impl Selection {
    pub(super) fn new(choice: Choice) -> Self {
        Self {
            choice,
            kept: VecDeque::new(),
            before: VecDeque::new(),
            after: 0,
            used: 0,
            shown: 0,
            read: 0,
            matched: 0,
            crowded: false,
        }
    }

    /// Takes the next line of the log; false when it did not, because there is enough.
    pub(super) fn take(&mut self, entry: &Entry) -> bool {
        let matched = self.choice.matches(&entry.text);
        let enough = self.choice.order == Order::First && self.matched >= self.choice.most;
        if enough && self.after == 0 {
            return false;
        }
        if matched || self.after > 0 || self.choice.context() > 0 {
            let line = self.line(entry, matched);
            if self.choice.order == Order::First
                && (matched || self.after > 0)
                && !self.kept.is_empty()
                && !self.fits(&line)
            {
                self.crowded = true;
                return false;
            }
            if matched && !enough {
                self.keep_before(&line);
                self.after = self.choice.context();
                self.keep(line);
            } else if matched || self.after > 0 {
                self.after = self.after.saturating_sub(1);
                self.keep(line);
            } else {
                self.before.push_back(line);
                if self.before.len() > self.choice.context() {
                    self.before.pop_front();
                }
            }
        }
        self.read += 1;
        self.matched += usize::from(matched);
        if self.choice.order == Order::Last {
            self.forget_oldest();
        }
        true
    }

    /// Whether a line is one of those that are looked for.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.choice.matches(text)
    }

    /// Which end counts.
    pub(super) fn order(&self) -> Order {
        self.choice.order
    }

    /// How many lines were looked at.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// How many of them matched.
    pub(super) fn matched(&self) -> usize {
        self.matched
    }

    /// How many of these are shown.
    pub(super) fn shown(&self) -> usize {
        self.shown
    }

    /// How many values are masked in the lines that are shown.
    pub(super) fn masked(&self) -> usize {
        self.kept.iter().map(|line| line.masked * line.count).sum()
    }

    /// Whether lines were left out because they did not fit the answer.
    pub(super) fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// The time of the oldest line that is shown.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.kept.iter().find_map(|line| line.since.or(line.time))
    }

    /// The shown lines as text.
    pub(super) fn body(&self) -> String {
        let mut body = String::new();
        let mut next = None;
        for line in &self.kept {
            if self.choice.context() > 0 && next.is_some_and(|next| line.first > next) {
                body.push_str("--\n");
            }
            next = Some(line.last + 1);
            if line.count > 1 {
                body.push_str(&line.fold());
            } else if let Some(time) = line.time.filter(|_| self.choice.timestamps) {
                body.push_str(&time::milliseconds(time));
                body.push(' ');
            }
            if let Some(task) = &line.task {
                body.push_str(task);
                body.push_str(" | ");
            }
            body.push_str(&line.text);
            body.push('\n');
        }
        body
    }

    fn line(&self, entry: &Entry, matched: bool) -> Kept {
        let text = cut(entry);
        let mut frame = 1;
        for (is_there, characters) in [(self.choice.timestamps, 25), (self.choice.context() > 0, 3)] {
            frame += if is_there { characters } else { 0 };
        }
        frame += entry.task.as_ref().map_or(0, |task| task.chars().count() + 3);
        let cost = text.chars().count() + frame;
        Kept {
            first: self.read,
            last: self.read,
            count: 1,
            matched,
            task: entry.task.clone(),
            source: entry.source,
            since: entry.time,
            time: entry.time,
            text,
            masked: entry.masked,
            cost,
        }
    }

    fn fits(&self, line: &Kept) -> bool {
        let waiting: usize = if line.matched { self.before.iter().map(|line| line.cost).sum() } else { 0 };
        self.used + waiting + line.cost <= self.choice.room
    }

    /// Keeps what came before a match, as much of it as fits beside the match.
    fn keep_before(&mut self, line: &Kept) {
        while !self.before.is_empty() && !self.fits(line) && self.kept.is_empty() {
            self.before.pop_front();
        }
        for context in std::mem::take(&mut self.before) {
            self.keep(context);
        }
    }

    fn keep(&mut self, line: Kept) {
        self.shown += usize::from(line.matched);
        if self.choice.dedupe
            && let Some(last) = self.kept.back_mut()
            && (last.source, last.matched, &last.text, &last.task)
                == (line.source, line.matched, &line.text, &line.task)
            && (self.choice.context() == 0 || last.last + 1 == line.first)
        {
            if last.count == 1 {
                last.cost += FOLD;
                self.used += FOLD;
            }
            (last.last, last.time) = (line.last, line.time);
            last.count += 1;
            return;
        }
        self.used += line.cost;
        self.kept.push_back(line);
    }

    fn drop_oldest(&mut self) {
        if let Some(line) = self.kept.pop_front() {
            self.used -= line.cost;
            self.shown -= if line.matched { line.count } else { 0 };
        }
    }

    /// Lets go of the oldest matches beyond `most`, each with the context that is only its own, and
    /// of what does not fit.
    fn forget_oldest(&mut self) {
        while self.shown > self.choice.most {
            let surplus = self.shown - self.choice.most;
            if let Some(line) = self.kept.front_mut()
                && line.matched
                && line.count > surplus
            {
                line.lose(surplus);
                self.shown -= surplus;
                return;
            }
            let was_match = self.kept.front().is_some_and(|line| line.matched);
            self.drop_oldest();
            if was_match {
                let next = self.kept.iter().find(|line| line.matched).map_or(usize::MAX, |line| line.first);
                while self.kept.front().is_some_and(|line| !line.matched && line.last + self.choice.context() < next) {
                    self.drop_oldest();
                }
                if let Some(line) = self.kept.front_mut()
                    && !line.matched
                {
                    // Folded lines of context follow each other without a gap.
                    line.lose(next.saturating_sub(self.choice.context() + line.first));
                }
            }
        }
        while self.used > self.choice.room && self.kept.len() > 1 {
            self.crowded = true;
            self.drop_oldest();
        }
    }
}

impl Kept {
    /// Lets go of the first of the lines that are folded into it, of which only the last one's time is known.
    fn lose(&mut self, lines: usize) {
        if lines > 0 {
            (self.first, self.count) = (self.first + lines, self.count - lines);
            self.since = if self.count == 1 { self.time } else { None };
        }
    }

    /// How often it was written, and from when to when.
    fn fold(&self) -> String {
        let when = match (self.since, self.time) {
            (Some(since), Some(time)) => format!(", {} to {}", time::milliseconds(since), time::milliseconds(time)),
            (None, Some(time)) => format!(", the last {}", time::milliseconds(time)),
            _ => String::new(),
        };
        format!("[{}x{when}] ", self.count)
    }
}

/// A line's text, the middle of a very long one left out.
fn cut(entry: &Entry) -> String {
    let length = entry.text.chars().count();
    if length <= LONGEST && entry.skipped == 0 {
        return entry.text.clone();
    }
    let (head, tail) = (LONGEST * 2 / 3, LONGEST / 3);
    let left_out = match (length.saturating_sub(head + tail), entry.skipped) {
        (characters, 0) => format!("{characters} characters"),
        (characters, bytes) => format!("{characters} characters here and {bytes} bytes at the end"),
    };
    let start: String = entry.text.chars().take(head).collect();
    let end: String = entry.text.chars().skip(length.saturating_sub(tail).max(head)).collect();
    format!("{start} [... {left_out} left out ...] {end}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Default for Choice {
        fn default() -> Self {
            Self { grep: None, dedupe: false, timestamps: false, most: 0, order: Order::Last, room: ROOM }
        }
    }

    fn entry(text: &str) -> Entry {
        Entry { text: text.to_owned(), ..Entry::default() }
    }

    fn select(choice: Choice, lines: &[&str]) -> Selection {
        let mut selection = Selection::new(choice);
        for line in lines {
            selection.take(&entry(line));
        }
        selection
    }

    fn grep(text: &str, context: usize, most: usize) -> Choice {
        let grep = Grep { pattern: pattern("grep", text, false).unwrap(), invert: false, context };
        Choice { grep: Some(grep), most, ..Choice::default() }
    }

    #[test]
    fn the_last_matches_with_their_context() {
        let lines = ["a", "hit 1", "b", "c", "d", "e", "hit 2", "f", "hit 3", "g", "h"];
        let all = select(grep("hit", 1, 100), &lines);
        assert_eq!(all.body(), "a\nhit 1\nb\n--\ne\nhit 2\nf\nhit 3\ng\n");
        assert_eq!((all.read(), all.matched(), all.shown()), (11, 3, 3));
        let last = select(grep("hit", 1, 1), &lines);
        assert_eq!(last.body(), "f\nhit 3\ng\n");
        assert_eq!((last.matched(), last.shown()), (3, 1));
        assert_eq!(select(grep("hit", 1, 2), &lines).body(), "e\nhit 2\nf\nhit 3\ng\n");
        assert_eq!(select(grep("hit", 0, 2), &lines).body(), "hit 2\nhit 3\n");
        let mut others = grep("hit|[a-d]", 0, 100);
        others.grep.as_mut().unwrap().invert = true;
        assert_eq!(select(others, &lines).body(), "e\nf\ng\nh\n");
    }

    /// What is shown of a log by the plain meaning of the arguments, all of it held in memory.
    fn model(lines: &[&str], choice: &Choice) -> String {
        let grep = choice.grep.as_ref();
        let context = grep.map_or(0, |grep| grep.context);
        let is_match = |line: &str| grep.is_none_or(|grep| grep.pattern.is_match(line) != grep.invert);
        let matches: Vec<usize> = (0..lines.len()).filter(|number| is_match(lines[*number])).collect();
        let (dropped, kept) = matches.split_at(matches.len().saturating_sub(choice.most));
        let dropped = dropped.last().copied();
        let begin = dropped.map_or(0, |last| last + 1);
        let is_shown = |number: &usize| kept.iter().any(|kept| kept.abs_diff(*number) <= context);
        // The numbers that are folded into each shown line.
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for number in (begin..lines.len()).filter(is_shown) {
            match groups.last_mut() {
                Some(group)
                    if choice.dedupe
                        && lines[group[0]] == lines[number]
                        && (context == 0 || group[group.len() - 1] + 1 == number) =>
                {
                    group.push(number);
                }
                _ => groups.push(vec![number]),
            }
        }
        let mut body = String::new();
        let mut next = None;
        for (place, group) in groups.iter().enumerate() {
            let (first, last) = (group[0], group[group.len() - 1]);
            if context > 0 && next.is_some_and(|next| first > next) {
                body.push_str("--\n");
            }
            next = Some(last + 1);
            let was_kept = |number: usize| {
                let (gone, _) = matches.split_at(matches.len() - kept.len());
                lines[number] == lines[first] && gone.iter().any(|gone| gone.abs_diff(number) <= context)
            };
            let before = if context == 0 { dropped } else { first.checked_sub(1) };
            let is_rest = choice.dedupe && place == 0 && before.is_some_and(was_kept);
            let time = |number: usize| time::milliseconds(at(number));
            match group.len() {
                1 => {}
                count if is_rest => body.extend([format!("[{count}x, the last {}] ", time(last))]),
                count => body.extend([format!("[{count}x, {} to {}] ", time(first), time(last))]),
            }
            body.push_str(lines[last]);
            body.push('\n');
        }
        body
    }

    fn at(number: usize) -> Timestamp {
        Timestamp::from_second(1_000_000 + i64::try_from(number).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_shown_is_what_the_arguments_mean(
            lines in prop::collection::vec(prop::sample::select(vec!["a", "hit", "b", "other hit"]), 0..40),
            has_pattern in any::<bool>(), invert in any::<bool>(), context in 0_usize..4, most in 1_usize..12,
            dedupe in any::<bool>(),
        ) {
            let choice = || {
                let grep = Grep { pattern: pattern("grep", "hit", false).unwrap(), invert, context };
                Choice { grep: has_pattern.then_some(grep), dedupe, most, ..Choice::default() }
            };
            let mut selection = Selection::new(choice());
            for (number, line) in lines.iter().enumerate() {
                selection.take(&Entry { time: Some(at(number)), ..entry(line) });
            }
            prop_assert_eq!(selection.body(), model(&lines, &choice()));
            prop_assert_eq!(selection.read(), lines.len());
            prop_assert_eq!(selection.shown(), selection.matched().min(most));
        }
    }

    #[test]
    fn a_fold_says_when() {
        let choice = || Choice { dedupe: true, timestamps: true, most: 9, room: 300, ..Choice::default() };
        let mut selection = Selection::new(choice());
        for (number, text) in ["x", "x", "x", "y"].iter().enumerate() {
            selection.take(&Entry { time: Some(at(number)), ..entry(text) });
        }
        let time = |number| time::milliseconds(at(number));
        assert_eq!(selection.body(), format!("[3x, {} to {}] x\n{} y\n", time(0), time(2), time(3)));
        assert_eq!(selection.oldest(), Some(at(0)));
        let mut selection = Selection::new(Choice { most: 1_000, ..choice() });
        for number in 0..1_000 {
            selection.take(&Entry { time: Some(at(number)), ..entry(["x", "x", "y", "y"][number % 4]) });
        }
        let body = selection.body();
        assert!(selection.is_crowded() && body.len() <= 300 && body.lines().count() > 1, "{body}");
    }

    #[test]
    fn repeated_lines_are_folded() {
        let lines = ["x", "x", "y", "x", "y", "y", "y"];
        let choice = |most| Choice { dedupe: true, most, ..Choice::default() };
        assert_eq!(select(choice(100), &lines).body(), "[2x] x\ny\nx\n[3x] y\n");
        assert_eq!(select(choice(4), &lines).body(), "x\n[3x] y\n");
        assert_eq!(select(choice(2), &lines).body(), "[2x] y\n");
        assert_eq!(select(Choice { dedupe: true, ..grep("y", 0, 9) }, &lines).body(), "[4x] y\n");
        assert_eq!(select(Choice { dedupe: true, ..grep("y", 1, 9) }, &lines).body(), "x\ny\nx\n[3x] y\n");
    }

    #[test]
    fn only_what_is_masked_in_shown_lines_counts() {
        let mut selection = Selection::new(Choice { dedupe: true, ..grep("x", 0, 100) });
        for (text, masked) in [("x", 2), ("x", 2), ("y", 5), ("x", 1)] {
            selection.take(&Entry { masked, ..entry(text) });
        }
        assert_eq!(selection.masked(), 6);
    }

    #[test]
    fn the_first_lines_stop_before_the_next() {
        let mut selection = Selection::new(Choice { order: Order::First, ..grep("hit", 1, 1) });
        let taken: Vec<bool> =
            ["a", "hit 1", "hit 2", "hit 3"].iter().map(|line| selection.take(&entry(line))).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert_eq!(selection.body(), "a\nhit 1\nhit 2\n");
        let mut selection = Selection::new(Choice { order: Order::First, most: usize::MAX, ..Choice::default() });
        let taken = (0..100).filter(|_| selection.take(&entry(&"x".repeat(1_000)))).count();
        assert_eq!(taken, ROOM / 1_001);
        assert!(selection.is_crowded() && selection.body().len() <= ROOM);
        let mut selection = Selection::new(Choice { order: Order::First, ..grep("hit", 50, 1) });
        for number in 0..200 {
            selection.take(&entry(&format!("{}{}", if number == 100 { "hit" } else { "" }, "x".repeat(1_000))));
        }
        assert!(selection.shown() == 1 && selection.body().len() <= ROOM);
    }

    #[test]
    fn an_answer_has_an_end() {
        let mut selection = Selection::new(Choice { most: usize::MAX, timestamps: true, ..Choice::default() });
        for number in 0..1_000 {
            selection.take(&entry(&format!("{number} {}", "x".repeat(number * 7))));
        }
        let body = selection.body();
        assert!(body.chars().count() <= ROOM && selection.is_crowded());
        assert!(body.lines().last().unwrap().starts_with("999 "), "the newest stay");
        assert_eq!(selection.matched(), 1_000);
    }

    #[test]
    fn a_long_line_loses_its_middle() {
        let long = Entry { skipped: 7, ..entry(&format!("begin{}end", "ä".repeat(50_000))) };
        let shown = cut(&long);
        assert!(shown.starts_with("beginä") && shown.ends_with("äend"), "{shown}");
        assert!(shown.contains("characters here and 7 bytes at the end left out"), "{shown}");
        assert!(shown.chars().count() < LONGEST + 80);
        assert_eq!(cut(&entry(&"x".repeat(LONGEST))).len(), LONGEST);
    }

    #[test]
    fn a_bad_pattern_says_why() {
        let error = pattern("grep", "a(b", false).unwrap_err();
        assert_eq!(error.message(), "argument \"grep\": \"a(b\" is no valid pattern: unclosed group");
        for text in ["(?=x)", "(a)\\1", "[", "x{1000000}", "((a{100}){100}){100}", &"(".repeat(10_240)] {
            assert!(pattern("grep", text, false).is_err(), "{text}");
        }
        assert!(pattern("grep", "ERR", true).unwrap().is_match("an error"));
    }
}
