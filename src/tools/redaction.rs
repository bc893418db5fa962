//! Lines out of a container, on their way to whatever looks at them: stripped and masked before.

use std::{collections::HashMap, sync::Arc};

use crate::{
    docker::stream::Source,
    redact::{self, Masks},
};

/// What is left out in front of a place where a line was cut: half a secret has no shape.
const EDGE: usize = 4 << 10;
/// The shortest line that can be taken for one of a key, where its beginning was not seen.
const SHORTEST_OF_KEY: usize = 24;

/// So many tasks of a service are told apart; a line of a further one is looked at by itself.
const MOST_TASKS: usize = 1_000;

/// Standard output and standard error of everybody who writes, each with what it has begun and not ended.
pub(crate) struct Redaction {
    masks: Arc<Masks>,
    whole: bool,
    own: Sides,
    tasks: HashMap<Arc<str>, Sides>,
    /// What was masked for those who are not told apart.
    others: usize,
}

struct Sides {
    stdout: Side,
    stderr: Side,
}

struct Side {
    lines: redact::Lines,
    /// Whether the next line may lie within a key whose first line was not read.
    within_key: bool,
    within_keys: usize,
}

/// A line as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// How many bytes of it are missing at its end.
    pub(crate) skipped: usize,
    /// How many values were masked in it.
    pub(crate) masked: usize,
}

impl Redaction {
    /// Lines of a container or a service; `whole` says that they are read from the very first one.
    pub(crate) fn new(masks: &Arc<Masks>, whole: bool) -> Self {
        let own = Sides::new(masks, whole);
        Self { masks: masks.clone(), whole, own, tasks: HashMap::new(), others: 0 }
    }

    /// The next line of one of them, of which so many bytes were skipped.
    pub(crate) fn line(&mut self, source: Source, text: &str, skipped: usize) -> Shown {
        self.own.line(source, text, skipped)
    }

    /// The same of a task of a service, where one wrote it: the lines of several come mixed.
    pub(crate) fn line_of(&mut self, task: Option<&Arc<str>>, source: Source, text: &str, skipped: usize) -> Shown {
        let Some(task) = task else { return self.line(source, text, skipped) };
        if self.tasks.len() >= MOST_TASKS && !self.tasks.contains_key(task) {
            // As if it began within a key.
            let shown = Sides::new(&self.masks, false).line(source, text, skipped);
            self.others += shown.masked;
            return shown;
        }
        let sides = self.tasks.entry(task.clone()).or_insert_with(|| Sides::new(&self.masks, self.whole));
        sides.line(source, text, skipped)
    }

    /// How many values were masked so far.
    pub(crate) fn masked(&self) -> usize {
        self.own.masked() + self.tasks.values().map(Sides::masked).sum::<usize>() + self.others
    }
}

impl Sides {
    fn new(masks: &Arc<Masks>, whole: bool) -> Self {
        let side = || Side { lines: redact::Lines::new(masks.clone()), within_key: !whole, within_keys: 0 };
        Self { stdout: side(), stderr: side() }
    }

    fn line(&mut self, source: Source, text: &str, skipped: usize) -> Shown {
        let side = match source {
            Source::Stdout => &mut self.stdout,
            Source::Stderr => &mut self.stderr,
        };
        let before = side.masked();
        let mut text = side.next(&redact::plain(text));
        let masked = side.masked() - before;
        let mut skipped = skipped;
        if skipped > 0 {
            let mut end = text.len().saturating_sub(EDGE);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            skipped += text.len() - end;
            text.truncate(end);
        }
        Shown { text, skipped, masked }
    }

    fn masked(&self) -> usize {
        self.stdout.masked() + self.stderr.masked()
    }
}

impl Side {
    fn masked(&self) -> usize {
        self.lines.count() + self.within_keys
    }

    fn next(&mut self, text: &str) -> String {
        let shown = self.lines.next(text);
        if !self.within_key || shown.is_empty() {
            return shown;
        }
        self.within_key = shown == text && is_of_key(text);
        if self.within_key {
            self.within_keys += 1;
            return redact::mask(text);
        }
        shown
    }
}

/// Whether a line could be one of the inner lines of a PEM block: base64 and nothing else.
fn is_of_key(line: &str) -> bool {
    let of = |kind: fn(&char) -> bool| line.chars().any(|character| kind(&character));
    line.len() >= SHORTEST_OF_KEY
        && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        // A checksum has letters of one kind only.
        && of(char::is_ascii_uppercase)
        && of(char::is_ascii_lowercase)
}

/// `; 3 values redacted`, or nothing.
pub(crate) fn told(masked: usize) -> String {
    match masked {
        0 => String::new(),
        1 => "; 1 value redacted".to_owned(),
        many => format!("; {many} values redacted"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_KEY: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";

    fn texts(whole: bool, lines: &[&str]) -> Vec<String> {
        let mut redaction = Redaction::new(&Arc::default(), whole);
        lines.iter().map(|line| redaction.line(Source::Stdout, line, 0).text).collect()
    }

    #[test]
    fn a_reading_that_begins_within_a_key_does_not_show_its_rest() {
        let shown = texts(false, &[OF_KEY, OF_KEY, "", "-----END PRIVATE KEY-----", "ready", OF_KEY]);
        assert!(shown[0].starts_with("<redacted len=64") && shown[0] == shown[1], "{shown:?}");
        assert_eq!((shown[2].as_str(), shown[4].as_str()), ("", "ready"));
        // What comes from the beginning is never within anything.
        assert!(texts(true, &["ready", OF_KEY])[1].contains("MIIE"));
    }

    #[test]
    fn ordinary_lines_are_none_of_a_key() {
        for line in [
            "ready",
            "listening on 0.0.0.0:8080",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "https://example.com/aVeryLongPathWithoutAnyBlank",
        ] {
            assert_eq!(texts(false, &[line]), [line]);
        }
    }

    #[test]
    fn both_outputs_have_their_own_state() {
        let mut redaction = Redaction::new(&Arc::default(), false);
        assert_eq!(redaction.line(Source::Stdout, "ready", 0).masked, 0);
        assert_eq!(redaction.line(Source::Stderr, OF_KEY, 0).masked, 1);
        assert_eq!(redaction.masked(), 1);
        assert_eq!(told(redaction.masked()), "; 1 value redacted");
    }

    #[test]
    fn every_task_has_its_own_state() {
        let mut redaction = Redaction::new(&Arc::default(), false);
        let (one, other): (Arc<str>, Arc<str>) = ("1@a".into(), "2@b".into());
        assert_eq!(redaction.line_of(Some(&one), Source::Stdout, "ready", 0).masked, 0);
        // The other one's log may have begun within a key, this one's has not.
        assert_eq!(redaction.line_of(Some(&other), Source::Stdout, OF_KEY, 0).masked, 1);
        assert_eq!(redaction.line_of(Some(&one), Source::Stdout, OF_KEY, 0).masked, 0);
        for number in 0..2 * MOST_TASKS {
            let task: Arc<str> = number.to_string().into();
            assert_eq!(redaction.line_of(Some(&task), Source::Stdout, OF_KEY, 0).masked, 1);
        }
        assert_eq!(redaction.masked(), 1 + 2 * MOST_TASKS);
        assert!(redaction.tasks.len() <= MOST_TASKS);
    }

    #[test]
    fn what_stands_before_a_cut_is_left_out() {
        let mut redaction = Redaction::new(&Arc::default(), true);
        let line = format!("{}{}", "x ".repeat(32 << 10), "and ghp_cutinthe");
        let shown = redaction.line(Source::Stdout, &line, 7);
        assert!(!shown.text.contains("ghp_"));
        assert_eq!(shown.text.len() + shown.skipped, line.len() + 7);
        let short = redaction.line(Source::Stdout, "ä".repeat(3000).as_str(), 7);
        assert_eq!(short.text.len() + short.skipped, 6007);
    }

    #[test]
    fn what_is_not_text_divides_no_secret() {
        let mut redaction = Redaction::new(&Arc::default(), true);
        assert_eq!(redaction.line(Source::Stdout, "\u{1b}[31mred\u{202e}\u{1b}[0m", 0).text, "red");
    }
}
