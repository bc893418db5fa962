//! Lines of a log, out of frames or without them; what is too long of one is skipped.

use memchr::memchr;

use super::frames::{Frames, Source};
use crate::error::Result;

/// The longest line that is kept; the rest of a longer one is skipped.
pub const LONGEST_LINE: usize = 64 << 10;

/// One line of a log, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it came from.
    pub source: Source,
    /// Its text; bytes that are not UTF-8 are replaced.
    pub text: String,
    /// Bytes that were skipped because the line was too long.
    pub skipped: usize,
}

/// Takes a log stream apart into lines, holding at most one unfinished line per source.
///
/// A container with a terminal has no frames.
pub struct Lines {
    frames: Option<Frames>,
    unfinished: [Unfinished; 2],
}

#[derive(Default)]
struct Unfinished {
    text: Vec<u8>,
    skipped: usize,
}

impl Lines {
    /// For a container without a terminal (`framed`), or with one.
    #[must_use]
    pub fn new(framed: bool) -> Self {
        Self { frames: framed.then(Frames::default), unfinished: Default::default() }
    }

    /// Takes a chunk and hands every finished line to `found`.
    ///
    /// # Errors
    /// The frames are not the engine's.
    pub fn push(&mut self, chunk: &[u8], mut found: impl FnMut(Line)) -> Result<()> {
        let Self { frames, unfinished } = self;
        if let Some(frames) = frames {
            return frames.push(chunk, |source, data| feed(unfinished, source, data, &mut found));
        }
        feed(unfinished, Source::Stdout, chunk, &mut found);
        Ok(())
    }

    /// Hands out what was not ended by a line end.
    pub fn finish(mut self, mut found: impl FnMut(Line)) {
        for (source, unfinished) in [Source::Stdout, Source::Stderr].into_iter().zip(&mut self.unfinished) {
            if !unfinished.text.is_empty() || unfinished.skipped > 0 {
                found(unfinished.take(source));
            }
        }
    }
}

fn feed(unfinished: &mut [Unfinished; 2], source: Source, mut data: &[u8], found: &mut impl FnMut(Line)) {
    let [stdout, stderr] = unfinished;
    let unfinished = if source == Source::Stdout { stdout } else { stderr };
    while let Some(end) = memchr(b'\n', data) {
        let (line, rest) = data.split_at(end);
        unfinished.add(line);
        found(unfinished.take(source));
        data = rest.get(1..).unwrap_or_default();
    }
    unfinished.add(data);
}

impl Unfinished {
    fn add(&mut self, data: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.text.len());
        let (kept, skipped) = data.split_at(data.len().min(room));
        self.text.extend_from_slice(kept);
        self.skipped += skipped.len();
    }

    fn take(&mut self, source: Source) -> Line {
        let mut bytes = std::mem::take(&mut self.text);
        let skipped = std::mem::take(&mut self.skipped);
        bytes.pop_if(|last| *last == b'\r');
        let text =
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Line { source, text, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![source, 0, 0, 0];
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
        bytes
    }

    fn lines(framed: bool, bytes: &[u8], chunk: usize) -> Result<Vec<(Source, String)>> {
        let mut found = Vec::new();
        let mut lines = Lines::new(framed);
        for chunk in bytes.chunks(chunk) {
            lines.push(chunk, |line| found.push((line.source, line.text)))?;
        }
        lines.finish(|line| found.push((line.source, line.text)));
        Ok(found)
    }

    #[test]
    fn frames_come_apart_wherever_they_are_cut() {
        let mut bytes = frame(1, "one\ntw");
        bytes.extend(frame(2, "err\r\n"));
        bytes.extend(frame(1, "o\nrest"));
        let expected =
            [(Source::Stdout, "one"), (Source::Stderr, "err"), (Source::Stdout, "two"), (Source::Stdout, "rest")];
        for chunk in 1..bytes.len() {
            let found = lines(true, &bytes, chunk).unwrap();
            let found: Vec<_> = found.iter().map(|(source, text)| (*source, text.as_str())).collect();
            assert_eq!(found, expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut skipped = 0;
        let mut reader = Lines::new(false);
        for _ in 0..100 {
            reader.push(&[b'x'; 10_000], |_| panic!("no line ended")).unwrap();
        }
        reader.finish(|line| {
            assert_eq!(line.text.len(), LONGEST_LINE);
            skipped = line.skipped;
        });
        assert_eq!(skipped, 1_000_000 - LONGEST_LINE);
    }

    #[test]
    fn foreign_frames_are_an_error() {
        assert!(lines(true, b"<html><body>", 4).is_err());
    }
}
