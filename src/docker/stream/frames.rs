//! The frames in which an engine mixes standard output and error, taken apart without waiting for a whole one.

use crate::error::{Error, Result};

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes frames apart, and holds no more than the beginning of a header: a frame may announce four gigabytes.
///
/// The engine frames standard output and error with eight bytes: the source, three zeros, and
/// the length in big endian (engine API, `ContainerAttach`, "Stream format").
#[derive(Default)]
pub struct Frames {
    header: Vec<u8>,
    /// What is left of the current frame.
    current: Option<(Source, usize)>,
}

impl Frames {
    /// Takes a chunk and hands out what of each frame is in it.
    ///
    /// # Errors
    /// The frames are not the engine's.
    pub fn push(&mut self, mut chunk: &[u8], mut found: impl FnMut(Source, &[u8])) -> Result<()> {
        while !chunk.is_empty() {
            let Some((source, left)) = self.current.take() else {
                chunk = self.header(chunk)?;
                continue;
            };
            let (data, rest) = chunk.split_at(left.min(chunk.len()));
            found(source, data);
            self.current = (left > data.len()).then(|| (source, left - data.len()));
            chunk = rest;
        }
        Ok(())
    }

    /// Reads on in a header; answers what is behind it.
    fn header<'a>(&mut self, chunk: &'a [u8]) -> Result<&'a [u8]> {
        let (part, rest) = chunk.split_at(chunk.len().min(8_usize.saturating_sub(self.header.len())));
        self.header.extend_from_slice(part);
        if let Some(header) = self.header.first_chunk::<8>() {
            let [source, 0, 0, 0, length @ ..] = *header else { return Err(foreign()) };
            let source = match source {
                0 | 1 => Source::Stdout,
                // 3 is the daemon's own error text (`stdcopy.Systemerr`).
                2 | 3 => Source::Stderr,
                _ => return Err(foreign()),
            };
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            self.current = (length > 0).then_some((source, length));
            self.header.clear();
        }
        Ok(rest)
    }
}

fn foreign() -> Error {
    Error::docker("the stream's frames are not the engine's").hint("ask the person to run \"quaymaster check\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_not_waited_for() {
        let mut frames = Frames::default();
        let mut read = Vec::new();
        frames.push(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], |_, _| panic!("nothing came yet")).unwrap();
        for _ in 0..3 {
            frames.push(b"now", |source, data| read.push((source, data.to_vec()))).unwrap();
        }
        assert_eq!(
            read,
            [(Source::Stdout, b"now".to_vec()), (Source::Stdout, b"now".to_vec()), (Source::Stdout, b"now".to_vec())]
        );
        assert!(frames.header.capacity() <= 16);
    }

    #[test]
    fn empty_frames_are_nothing() {
        let mut frames = Frames::default();
        let empty = [1, 0, 0, 0, 0, 0, 0, 0].repeat(1_000);
        frames.push(&empty, |_, _| panic!("there is nothing in it")).unwrap();
        frames
            .push(&[2, 0, 0, 0, 0, 0, 0, 1, b'x'], |source, data| {
                assert_eq!((source, data), (Source::Stderr, &b"x"[..]));
            })
            .unwrap();
    }

    #[test]
    fn foreign_sources_are_refused() {
        for header in [[4, 0, 0, 0, 0, 0, 0, 1], [1, 0, 1, 0, 0, 0, 0, 1], *b"HTTP/1.1"] {
            assert!(Frames::default().push(&header, |_, _| {}).is_err(), "{header:?}");
        }
    }
}
