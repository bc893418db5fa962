//! What a process writes, held in bounded memory: the beginning and the end of each of its streams.

use std::{collections::VecDeque, sync::Arc};

use tokio::io::AsyncRead;

use crate::{
    docker::stream::{Lines, Output as Written, Source},
    error::Result,
    redact::Masks,
    tools::redaction::{Redaction, Shown},
};

/// Standard output and standard error, line by line as they may be shown.
pub(crate) struct Transcript {
    most: usize,
    stdout: Side,
    stderr: Side,
    redaction: Redaction,
    broken: bool,
}

/// What of it is answered.
pub(crate) struct Output {
    pub(crate) text: String,
    /// How many values were masked, what was left out included.
    pub(crate) masked: usize,
}

struct Side {
    source: Source,
    lines: Lines,
    ends: Ends,
}

impl Transcript {
    /// At most so many characters in the end, without the values that must not be seen.
    pub(crate) fn new(most: usize, masks: &Arc<Masks>) -> Self {
        Self {
            most,
            stdout: Side::new(Source::Stdout, most),
            stderr: Side::new(Source::Stderr, most),
            redaction: Redaction::new(masks, true),
            broken: false,
        }
    }

    /// Reads to the end of the stream, or until it breaks off; may be dropped and called again.
    pub(crate) async fn read(&mut self, output: &mut Written<impl AsyncRead + Unpin>) {
        let Self { stdout, stderr, redaction, broken, .. } = self;
        loop {
            let mut is_broken = false;
            let found = |source, data: &[u8]| {
                let side = if source == Source::Stderr { &mut *stderr } else { &mut *stdout };
                is_broken |= side.push(data, redaction).is_err();
            };
            let more = output.next(found).await;
            *broken |= is_broken || more.is_err();
            if !more.unwrap_or_default() {
                return;
            }
        }
    }

    /// The text, with headings where there is standard error, and notices where something is missing.
    pub(crate) fn finish(self) -> Output {
        let Self { most, stdout, stderr, mut redaction, broken } = self;
        let (stdout, stderr) = (stdout.finish(&mut redaction), stderr.finish(&mut redaction));
        // Standard error keeps at least its half, standard output whatever is left.
        let of_stderr = stderr.length().min((most / 2).max(most.saturating_sub(stdout.length())));
        let (stdout, stderr) = (stdout.cut(most - of_stderr), stderr.cut(of_stderr));
        let mut text = match (stdout.as_str(), stderr.as_str()) {
            (stdout, "") => stdout.to_owned(),
            ("", stderr) => format!("stderr:\n{stderr}"),
            (stdout, stderr) => format!("stdout:\n{}\nstderr:\n{stderr}", stdout.trim_end_matches('\n')),
        };
        if broken {
            text.push_str("\n[the stream broke off here]\n");
        }
        Output { text, masked: redaction.masked() }
    }
}

impl Side {
    fn new(source: Source, most: usize) -> Self {
        Self { source, lines: Lines::new(false), ends: Ends::new(most) }
    }

    /// Whole lines only: a value that two chunks share is still one.
    fn push(&mut self, bytes: &[u8], redaction: &mut Redaction) -> Result<()> {
        let Self { source, lines, ends } = self;
        lines.push(bytes, |line| ends.push(&redaction.line(*source, &line.text, line.skipped)))
    }

    fn finish(self, redaction: &mut Redaction) -> Ends {
        let Self { source, lines, mut ends } = self;
        lines.finish(|line| ends.push(&redaction.line(source, &line.text, line.skipped)));
        ends
    }
}

/// The beginning and the end of a text that may have none.
struct Ends {
    head: String,
    head_room: usize,
    tail: VecDeque<char>,
    tail_room: usize,
    left_out: usize,
}

impl Ends {
    fn new(most: usize) -> Self {
        Self {
            head: String::new(),
            head_room: most / 2,
            tail: VecDeque::new(),
            tail_room: most - most / 2,
            left_out: 0,
        }
    }

    fn push(&mut self, line: &Shown) {
        for character in line.text.chars().chain(['\n']) {
            if self.head_room > 0 {
                self.head.push(character);
                self.head_room -= 1;
                continue;
            }
            if self.tail.len() >= self.tail_room {
                self.tail.pop_front();
                self.left_out += 1;
            }
            self.tail.push_back(character);
        }
        self.left_out += line.skipped;
    }

    /// Characters, those left out not counted.
    fn length(&self) -> usize {
        self.head.chars().count() + self.tail.len()
    }

    fn cut(self, most: usize) -> String {
        let length = self.length();
        if self.left_out == 0 && length <= most {
            return self.head.chars().chain(self.tail).collect();
        }
        let most = most.min(length);
        let left_out = self.left_out + length - most;
        let kept = |skip: usize, take: usize| self.head.chars().chain(self.tail.iter().copied()).skip(skip).take(take);
        let begin: String = kept(0, most / 2).collect();
        let end: String = kept(length - (most - most / 2), most).collect();
        format!("{begin}\n[... {left_out} characters left out ...]\n{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(most: usize, framed: bool, bytes: &[u8]) -> String {
        let mut transcript = Transcript::new(most, &Arc::default());
        transcript.read(&mut Written::new(bytes, framed)).await;
        transcript.finish().text
    }

    async fn transcript(most: usize, parts: Vec<(u8, String)>) -> String {
        let frames = parts.into_iter().flat_map(|(kind, text)| {
            let length = u32::try_from(text.len()).unwrap().to_be_bytes();
            [vec![kind, 0, 0, 0], length.to_vec(), text.into_bytes()].concat()
        });
        read(most, true, &frames.collect::<Vec<u8>>()).await
    }

    #[tokio::test]
    async fn a_terminal_has_no_frames() {
        assert_eq!(read(100, false, b"\x01 a\r\nb").await, " a\nb\n");
    }

    #[tokio::test]
    async fn what_is_not_framed_as_announced_broke_off() {
        let text = read(100, true, b"\x01\0\0\0\0\0\0\x02ok<html></html>").await;
        assert_eq!(text, "ok\n\n[the stream broke off here]\n");
        // Four gigabytes that never come.
        assert_eq!(read(100, true, b"\x01\0\0\0\xff\xff\xff\xffhalf").await, "half\n");
    }

    #[tokio::test]
    async fn streams_are_told_apart() {
        assert_eq!(transcript(100, vec![(1, "a\nb".into()), (1, "c\n".into())]).await, "a\nbc\n");
        assert_eq!(transcript(100, vec![(2, "bad".into())]).await, "stderr:\nbad\n");
        assert_eq!(
            transcript(100, vec![(1, "o".into()), (2, "e\n".into()), (1, "ut\n".into())]).await,
            "stdout:\nout\nstderr:\ne\n"
        );
        assert_eq!(transcript(100, vec![]).await, "");
        assert_eq!(transcript(100, vec![(1, "\u{1b}[31mred\u{202e}\u{1b}[0m\r\n".into())]).await, "red\n");
    }

    #[tokio::test]
    async fn an_endless_stream_keeps_both_ends() {
        let parts = (0..10_000).map(|number| (1, format!("line {number}\n"))).collect();
        let text = transcript(100, parts).await;
        assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 9999\n"), "{text}");
        assert!(text.contains("characters left out") && text.chars().count() < 150, "{text}");
    }

    #[tokio::test]
    async fn one_endless_line_is_cut() {
        let text = transcript(100, (0..100).map(|_| (1, "x".repeat(10_000))).collect()).await;
        assert!(text.contains("[... 999901 characters left out ...]"), "{text}");
    }

    #[tokio::test]
    async fn errors_are_not_drowned_in_output() {
        let text = transcript(1_000, vec![(1, "o\n".repeat(5_000)), (2, "the reason\n".into())]).await;
        assert!(text.contains("stderr:\nthe reason\n") && text.contains("left out"), "{text}");
        let text = transcript(1_000, vec![(1, "o\n".repeat(5_000)), (2, "e\n".repeat(5_000))]).await;
        assert_eq!(text.matches("left out").count(), 2, "{text}");
        assert!(text.chars().count() < 1_150, "{}", text.len());
    }
}
