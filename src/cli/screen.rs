//! Standard output and error: data and words for people, colour and escapes only where a person looks.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, IsTerminal, Write},
};

use serde::Serialize;

use crate::{
    config::Environment,
    error::{Error, Kind, Result},
    redact,
};

/// Both streams.
pub(super) struct Screen {
    pub(super) out: Stream,
    pub(super) err: Stream,
}

/// What a stream leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) terminal: bool,
    pub(super) colour: bool,
}

/// How a word stands out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    None,
    Bold,
    Red,
    Green,
    Yellow,
}

/// One cell of a table.
pub(super) struct Cell(pub(super) String, pub(super) Paint);

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self(text.into(), Paint::None)
    }
}

impl Stream {
    fn new(terminal: bool, environment: &Environment) -> Self {
        let plain = environment.get("NO_COLOR").is_some() || environment.get("TERM") == Some("dumb");
        Self { terminal, colour: terminal && !plain }
    }

    /// A text of ours, painted.
    pub(super) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => "1",
            Paint::Red => "1;31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::None => return text.to_owned(),
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Somebody else's text: on a terminal, whatever could steer it is escaped.
    pub(super) fn show(self, text: &str) -> Cow<'_, str> {
        if self.terminal && text.chars().any(steers) { escaped(text).into() } else { text.into() }
    }
}

impl Screen {
    pub(super) fn new(environment: &Environment) -> Self {
        Self {
            out: Stream::new(io::stdout().is_terminal(), environment),
            err: Stream::new(io::stderr().is_terminal(), environment),
        }
    }

    /// Writes lines to standard output. A reader that has seen enough is no failure.
    #[expect(clippy::unused_self, reason = "whoever writes has a screen")]
    pub(super) fn print(&self, text: &str) -> Result<()> {
        let mut out = io::stdout().lock();
        match out
            .write_all(text.trim_end_matches('\n').as_bytes())
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
        {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Error::internal("standard output cannot be written").detail(error.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Writes data to standard output.
    pub(super) fn print_json(&self, data: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(data)
            .map_err(|error| Error::internal("the data cannot be written").detail(error.to_string()))?;
        self.print(&self.out.show(&text))
    }

    /// Writes lines to standard error.
    #[expect(clippy::unused_self, reason = "whoever writes has a screen")]
    pub(super) fn tell(&self, text: &str) {
        let mut err = io::stderr().lock();
        err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n")).ok();
    }

    /// Tells an error: what happened, what to do, and what only the person may know.
    pub(super) fn report(&self, error: &Error) {
        let place = match error.host() {
            Some(host) if !error.message().contains(&format!("\"{host}\"")) => format!("host \"{host}\": "),
            _ => String::new(),
        };
        let line = |text: &str| self.err.show(&redact::shown(text).replace('\n', " ")).into_owned();
        let error_word = self.err.paint(Paint::Red, "error:");
        // A start that is refused says place, text and mend on one line, as logs of clients keep it.
        if let (Kind::Config, Some(mend), None) = (error.kind(), error.hint_text(), error.detail_text()) {
            self.tell(&format!("{error_word} {place}{}; {}", line(error.message()), line(mend)));
            return;
        }
        self.tell(&format!("{error_word} {place}{}", line(error.message())));
        for (word, text) in [("hint:", error.hint_text()), ("detail:", error.detail_text())] {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.tell(&format!("{} {}", self.err.paint(Paint::Bold, word), line(text)));
            }
        }
    }

    /// Aligned columns under a head for standard output; the last column is as long as it is.
    pub(super) fn table(&self, head: &[&str], rows: &[Vec<Cell>]) -> String {
        let shown = |row: &[Cell]| -> Vec<(String, Paint)> {
            row.iter().map(|Cell(text, paint)| (self.out.show(&text.replace('\n', " ")).into_owned(), *paint)).collect()
        };
        let head = head.iter().map(|title| ((*title).to_owned(), Paint::Bold)).collect();
        let lines: Vec<Vec<(String, Paint)>> = std::iter::once(head).chain(rows.iter().map(|row| shown(row))).collect();
        let width = |column: usize| {
            lines.iter().filter_map(|line| line.get(column)).map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut table = String::new();
        for line in &lines {
            let last = line.iter().rposition(|(text, _)| !text.is_empty()).unwrap_or(0);
            for (position, ((text, paint), width)) in line.iter().zip(&widths).enumerate().take(last + 1) {
                table.push_str(&self.out.paint(*paint, text));
                if position < last {
                    let gap = width.saturating_sub(text.chars().count()) + 2;
                    table.extend(std::iter::repeat_n(' ', gap));
                }
            }
            table.push('\n');
        }
        table
    }
}

/// Whether a character could do more to a terminal than be seen.
fn steers(character: char) -> bool {
    !matches!(character, '\n' | '\t') && redact::is_invisible(character)
}

/// Such characters as `\u001b`, which is also how JSON writes them.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if steers(character) {
            shown.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(terminal: bool) -> Screen {
        let stream = Stream { terminal, colour: false };
        Screen { out: stream, err: stream }
    }

    #[test]
    fn nothing_steers_a_terminal() {
        let hostile = "a\u{1b}[2J\u{9b}b\u{202e}c\rd\u{e0041}\te\n";
        assert_eq!(screen(true).out.show(hostile), "a\\u001b[2J\\u009bb\\u202ec\\u000dd\\udb40\\udc41\te\n");
        assert_eq!(screen(false).out.show(hostile), hostile);
        let json = serde_json::to_string(&format!("{hostile}\u{202e}")).unwrap();
        let shown = screen(true).out.show(&json).into_owned();
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), format!("{hostile}\u{202e}"));
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".into(), Cell(String::new(), Paint::None), "x".into()], vec!["bbb".into(), "cc".into()]];
        assert_eq!(screen(false).table(&["N", "TWO", ""], &rows), "N    TWO\na         x\nbbb  cc\n");
    }

    #[test]
    fn colour_is_for_terminals_that_want_it() {
        let environment = |name: &str, value: &str| Environment {
            variables: [(name.to_owned(), value.to_owned())].into(),
            ..Environment::default()
        };
        assert!(Stream::new(true, &Environment::default()).colour);
        assert!(Stream::new(true, &environment("NO_COLOR", "")).colour);
        assert!(!Stream::new(true, &environment("NO_COLOR", "1")).colour);
        assert!(!Stream::new(true, &environment("TERM", "dumb")).colour);
        assert!(!Stream::new(false, &Environment::default()).colour);
    }
}
