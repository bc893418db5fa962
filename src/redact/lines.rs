//! Redacts the text of one container line by line, with what a line knows of those before it.

use std::sync::Arc;

use super::{
    marks,
    masks::Masks,
    plain,
    shapes::{self, Block},
};

/// A private key has no more lines than this.
const LONGEST_BLOCK: usize = 512;
/// Other threads may write between the lines of a key; after so many lines it is over.
const FOREIGN_LINES: usize = 8;

/// Strips and masks the lines of one stream, and counts what it masked.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    masks: Arc<Masks>,
    /// The private key that the lines are inside of.
    block: Option<Block>,
    count: usize,
}

impl Lines {
    /// For the text of the container that these values are of.
    #[must_use]
    pub fn new(masks: Arc<Masks>) -> Self {
        Self { masks, block: None, count: 0 }
    }

    /// The next line as it may be shown.
    #[must_use]
    pub fn next(&mut self, line: &str) -> String {
        let line = plain::stripped(line);
        // The beginning of a key is an anchor too.
        let has_anchor = shapes::has_anchor(&line);
        let shown = match self.inside(&line) {
            Some(shown) => shown,
            None if !has_anchor && self.masks.is_empty() => line.to_string(),
            None => self.hidden(&line),
        };
        if has_anchor && line.contains("-----BEGIN ") && shapes::opens(&line) {
            self.block = Some(Block::default());
        }
        shown
    }

    /// Values and shapes are looked for in the same text: what they share is one secret.
    fn hidden(&mut self, line: &str) -> String {
        let values = self.masks.spans(line);
        if values.is_empty() {
            let (shown, count) = shapes::hide(line);
            self.count += count;
            return shown.into_owned();
        }
        let mut spans: Vec<(usize, usize, Option<&str>)> =
            values.into_iter().map(|(start, end, mark)| (start, end, Some(mark))).collect();
        spans.extend(shapes::spans(line).into_iter().map(|(start, end)| (start, end, None)));
        spans.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let mut joined: Vec<(usize, usize, Option<&str>)> = Vec::with_capacity(spans.len());
        for (start, end, mark) in spans {
            match joined.last_mut() {
                Some((_, last, _)) if end <= *last => {}
                Some((_, last, mark)) if start < *last => (*last, *mark) = (end, None),
                _ => joined.push((start, end, mark)),
            }
        }
        let mut shown = String::with_capacity(line.len() + joined.len() * 16);
        let mut done = 0;
        for (start, end, mark) in &joined {
            shown.push_str(line.get(done..*start).unwrap_or_default());
            match mark {
                Some(mark) => shown.push_str(mark),
                None => shown.push_str(&marks::mask(line.get(*start..*end).unwrap_or_default())),
            }
            done = *end;
        }
        shown.push_str(line.get(done..).unwrap_or_default());
        self.count += joined.len();
        shown
    }

    /// How many times something has been masked.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// A line of a private key that began in a line before.
    fn inside(&mut self, line: &str) -> Option<String> {
        let block = self.block.as_mut()?;
        if shapes::closes(line) {
            self.block = None;
            // What stands in front of the end belongs to the key.
            let (body, end) = line.split_at_checked(line.find("-----END ")?)?;
            let hidden = if shapes::is_body(body) { shapes::hide_body(body)? } else { return None };
            self.count += 1;
            // What stands behind it is text as any other.
            return Some(hidden + &self.hidden(end));
        }
        if shapes::is_body(line) && block.masked < LONGEST_BLOCK {
            (block.masked, block.foreign) = (block.masked + 1, 0);
            let hidden = shapes::hide_body(line)?;
            self.count += 1;
            return Some(hidden);
        }
        block.foreign += 1;
        if block.foreign > FOREIGN_LINES || block.masked >= LONGEST_BLOCK {
            self.block = None;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str) -> Vec<String> {
        let edge = |edge: &str| format!("-----{edge} {kind}PRIVATE KEY-----");
        let mut lines = vec![edge("BEGIN")];
        lines.extend((0..20).map(|number| format!("MIIEpAIBAAKCAQEA{number:048}")));
        lines.push("c2hvcnQ=".to_owned());
        lines.push(edge("END"));
        lines
    }

    #[test]
    fn the_lines_of_a_key_are_hidden() {
        for kind in ["", "RSA ", "OPENSSH ", "ENCRYPTED "] {
            let mut lines = Lines::default();
            let shown: Vec<String> = key(kind).iter().map(|line| lines.next(line)).collect();
            let text = shown.join("\n");
            assert!(!text.contains("MIIE") && !text.contains("c2hvcnQ"), "{text}");
            assert!(shown.first().unwrap().starts_with("-----BEGIN") && shown.last().unwrap().starts_with("-----END"));
            assert_eq!(lines.count(), 21);
            assert_eq!(lines.next("YWZ0ZXIgdGhlIGVuZA=="), "YWZ0ZXIgdGhlIGVuZA==");
            assert_eq!(super::super::shown(&text), text, "once more at the exit");
        }
    }

    #[test]
    fn a_key_without_an_end_ends() {
        let mut lines = Lines::default();
        let all = key("");
        for line in all.iter().take(3) {
            let _ = lines.next(line);
        }
        assert_eq!(lines.next("12:00 another thread says something"), "12:00 another thread says something");
        assert!(lines.next(&all[3]).starts_with("<redacted"), "the key goes on");
        for number in 0..=FOREIGN_LINES {
            let line = format!("line {number}: ready");
            assert_eq!(lines.next(&line), line);
        }
        assert_eq!(lines.next("started"), "started");
        let _ = lines.next(&all[0]);
        let shown: Vec<String> = (0..LONGEST_BLOCK + 2).map(|_| lines.next("AAAAAAAAAAAAAAAA")).collect();
        assert!(shown.last().unwrap().starts_with("AAAA"), "it is bounded");
    }

    #[test]
    fn text_behind_the_end_of_a_key_is_text() {
        let mut lines = Lines::new(Arc::new(Masks::default().with(["hunter2hunter2"])));
        let _ = lines.next("-----BEGIN PRIVATE KEY-----");
        let shown = lines.next("MIIEpAIBAAKCAQEA-----END PRIVATE KEY----- hunter2hunter2 token=abc123");
        assert!(!shown.contains("MIIE") && !shown.contains("hunter2") && !shown.contains("abc123"), "{shown}");
        assert_eq!(lines.count(), 3);
    }

    #[test]
    fn a_public_key_is_shown() {
        let mut lines = Lines::default();
        for line in [
            "-----BEGIN CERTIFICATE-----",
            "MIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYD",
            "-----END CERTIFICATE-----",
        ] {
            assert_eq!(lines.next(line), line);
        }
    }

    #[test]
    fn values_and_shapes_are_hidden_and_counted_after_the_line_is_stripped() {
        let masks = Masks::default().with(["hunter2hunter2"]);
        let mut lines = Lines::new(Arc::new(masks));
        let shown = lines.next("\u{1b}[1mhunter2\u{1b}[31mhunter2\u{1b}[0m password=abcdef1 ok");
        assert!(
            shown.starts_with("<redacted len=14 ") && shown.ends_with(" ok") && !shown.contains("abcdef1"),
            "{shown}"
        );
        assert_eq!(lines.count(), 2);
    }
}
