//! What a program prints: lines off its two pipes, each bounded, and how much of them is kept.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{docker::stream::LONGEST_LINE, redact};

/// How much of standard error is kept: its end.
const TAIL: usize = 16 << 10;

/// Which pipe a line came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Output,
    /// Standard error.
    Messages,
}

/// Reads a pipe to its end, line by line; what is longer than a line may be comes in pieces.
pub(super) async fn read(mut pipe: impl AsyncRead + Unpin, mut found: impl FnMut(&str)) {
    let (mut piece, mut line) = (Vec::with_capacity(16 << 10), Vec::new());
    loop {
        // A program that always has more would keep its reader from ever looking at the clock.
        tokio::task::coop::consume_budget().await;
        piece.clear();
        match pipe.read_buf(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        for byte in &piece {
            // Where there is no terminal, a carriage return ends what would have been overwritten.
            if matches!(byte, b'\n' | b'\r') || line.len() >= LONGEST_LINE {
                if !line.is_empty() || *byte == b'\n' {
                    found(&String::from_utf8_lossy(&line));
                }
                line.clear();
            }
            if !matches!(byte, b'\n' | b'\r') {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        found(&String::from_utf8_lossy(&line));
    }
}

/// The beginning of what was printed.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    pub(super) text: String,
    pub(super) is_cut: bool,
}

impl Beginning {
    pub(super) fn push(&mut self, line: &str, limit: usize) {
        if self.is_cut || self.text.len() + line.len() >= limit {
            self.is_cut = true;
            return;
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// The end of what was printed, masked.
#[derive(Debug, Default)]
pub(super) struct Ending {
    lines: VecDeque<String>,
    size: usize,
    masked: redact::Lines,
}

impl Ending {
    /// Takes a line; answers it as it may be shown.
    pub(super) fn push(&mut self, line: &str) -> String {
        let shown = self.masked.next(line);
        self.size += shown.len() + 1;
        self.lines.push_back(shown.clone());
        while self.size > TAIL && self.lines.len() > 1 {
            self.size -= self.lines.pop_front().map_or(0, |line| line.len() + 1);
        }
        shown
    }

    pub(super) fn text(&self) -> String {
        self.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// The last lines, as one sentence for an error.
    pub(super) fn last(&self, count: usize) -> String {
        let lines = self.lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        let lines: Vec<&str> = lines.collect();
        lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_found_and_bounded() {
        let long = "x".repeat(LONGEST_LINE + 5);
        let text = format!("one\n\ntwo\r\nthree\rfour\n{long}\nend");
        let mut lines = Vec::new();
        read(text.as_bytes(), |line| lines.push(line.to_owned())).await;
        let short: Vec<&str> = lines.iter().map(String::as_str).filter(|line| line.len() < 9).collect();
        assert_eq!(short, ["one", "", "two", "", "three", "four", "xxxxx", "end"]);
        assert_eq!(lines[6].len(), LONGEST_LINE);
    }

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut beginning = Beginning::default();
        for line in ["abc", "def", "ghi"] {
            beginning.push(line, 9);
        }
        assert_eq!((beginning.text.as_str(), beginning.is_cut), ("abc\ndef\n", true));
        let mut ending = Ending::default();
        for number in 0..5_000 {
            ending.push(&format!("line {number}"));
        }
        assert!(ending.text().len() <= TAIL && ending.text().ends_with("line 4999\n"));
        assert_eq!(ending.last(2), "line 4998; line 4999");
        let shown = ending.push("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        assert!(shown.contains("<redacted"), "{shown}");
    }
}
