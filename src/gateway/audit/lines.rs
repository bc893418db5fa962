//! Lines of a file, from its beginning or from its end, with bounded memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt,
};

/// The longest line that is read; those that are written are far shorter.
pub(super) const LONGEST: usize = 1 << 20;
/// How much is read at once.
const BLOCK: usize = 64 << 10;

/// A line as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// One with its end, which is left out.
    Whole(Vec<u8>),
    /// The last one, without an end.
    Torn,
    /// One that is too long, and was skipped.
    Overlong,
}

/// The lines of a file from its beginning.
pub(super) struct Forwards(BufReader<File>);

impl Forwards {
    pub(super) fn new(file: File) -> Self {
        Self(BufReader::with_capacity(BLOCK, file))
    }

    /// The next line; nothing at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        let mut line = Vec::new();
        let read = self.0.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line)?;
        if line.pop_if(|last| *last == b'\n').is_some() {
            return Ok(Some(Piece::Whole(line)));
        }
        if read < LONGEST {
            return Ok((read > 0).then_some(Piece::Torn));
        }
        loop {
            let buffer = self.0.fill_buf()?;
            if buffer.is_empty() {
                return Ok(Some(Piece::Overlong));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            self.0.consume(taken);
            if end.is_some() {
                return Ok(Some(Piece::Overlong));
            }
        }
    }
}

/// The whole lines of a file from its end; one that is torn at the end is left out.
pub(super) struct Backwards {
    file: File,
    /// Where the buffer begins in the file.
    start: u64,
    /// What was read and not handed out: always up to and with the end of a line.
    buffer: Vec<u8>,
    torn: bool,
}

impl Backwards {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let start = file.metadata()?.len();
        Ok(Self { file, start, buffer: Vec::new(), torn: true })
    }

    /// The line before the last one that was handed out; nothing at the beginning.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let searched = if self.torn { self.buffer.len() } else { self.buffer.len().saturating_sub(1) };
            let found = self.buffer.get(..searched).and_then(|part| part.iter().rposition(|byte| *byte == b'\n'));
            if let Some(end) = found {
                let line = self.buffer.split_off(end + 1);
                if std::mem::take(&mut self.torn) {
                    continue;
                }
                return Ok(Some(without_end(line)));
            }
            if self.start == 0 {
                let line = std::mem::take(&mut self.buffer);
                let whole = !std::mem::take(&mut self.torn) && !line.is_empty();
                return Ok(whole.then(|| without_end(line)));
            }
            if self.buffer.len() > LONGEST {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is too long"));
            }
            let size = self.start.min(BLOCK as u64);
            self.start -= size;
            let mut block = vec![0; usize::try_from(size).unwrap_or(BLOCK)];
            self.file.read_exact_at(&mut block, self.start)?;
            block.append(&mut self.buffer);
            self.buffer = block;
        }
    }
}

fn without_end(mut line: Vec<u8>) -> Vec<u8> {
    line.pop_if(|last| *last == b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        use std::io::{Seek, Write};
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn backwards(bytes: &[u8]) -> Vec<String> {
        let mut lines = Backwards::new(file(bytes)).unwrap();
        std::iter::from_fn(|| lines.next().unwrap()).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_come_from_the_end_whole() {
        assert_eq!(backwards(b""), Vec::<String>::new());
        assert_eq!(backwards(b"torn"), Vec::<String>::new());
        assert_eq!(backwards(b"\n"), [""]);
        assert_eq!(backwards(b"a\n"), ["a"]);
        assert_eq!(backwards(b"a\n\nb\ntorn"), ["b", "", "a"]);
        for length in [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK] {
            let lines: Vec<String> = ["x", "y", "z"].iter().map(|letter| letter.repeat(length)).collect();
            let mut reversed = lines.clone();
            reversed.reverse();
            assert_eq!(backwards(format!("{}\n", lines.join("\n")).as_bytes()), reversed, "{length}");
        }
        let mut endless = Backwards::new(file(&vec![b'x'; LONGEST + 2 * BLOCK])).unwrap();
        assert!(endless.next().is_err());
    }

    #[test]
    fn lines_come_from_the_beginning_and_none_is_too_long() {
        let mut bytes = b"a\n".to_vec();
        bytes.extend(vec![b'x'; LONGEST + 10]);
        bytes.extend(b"\nb\ntorn");
        let mut lines = Forwards::new(file(&bytes));
        let read: Vec<Piece> = std::iter::from_fn(|| lines.next().unwrap()).collect();
        assert_eq!(read, [Piece::Whole(b"a".into()), Piece::Overlong, Piece::Whole(b"b".into()), Piece::Torn]);
    }
}
