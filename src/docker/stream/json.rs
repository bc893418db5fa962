//! JSON documents line by line: events, the progress of a pull. A line has a limit.

use serde_json::Value;

use super::Bytes;
use crate::{
    docker::values,
    error::{Error, Result},
};

/// The longest line of a stream of JSON; the labels of a container may all be in one.
pub const LONGEST_JSON: usize = 1 << 20;
/// What the values of one line may take in memory.
const ROOM: usize = 16 << 20;

/// A stream of JSON documents, one on each line.
pub struct JsonLines {
    bytes: Bytes,
    /// What of the last chunk was not looked at yet.
    chunk: bytes::Bytes,
    /// The beginning of a line whose end did not come yet.
    unfinished: Vec<u8>,
}

impl JsonLines {
    pub(in crate::docker) fn new(bytes: Bytes) -> Self {
        Self { bytes, chunk: bytes::Bytes::new(), unfinished: Vec::new() }
    }

    /// The next document; `None` at the end. It may be dropped and called again: nothing is lost by it.
    ///
    /// # Errors
    /// Those of [`Bytes::next`]; a line that is too long or no JSON.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        Ok(match self.line().await? {
            Some(line) => {
                let read = values::parse(&line, ROOM);
                Some(read.map_err(|_| odd("makes no sense"))?)
            }
            None => None,
        })
    }

    /// As [`JsonLines::next`], but what is no JSON is left out.
    ///
    /// # Errors
    /// Those of [`Bytes::next`]; a line that is too long.
    pub async fn next_sound(&mut self) -> Result<Option<Value>> {
        while let Some(line) = self.line().await? {
            if let Ok(document) = values::parse(&line, ROOM) {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// The next line that is not blank.
    async fn line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.chunk) {
                let part = self.chunk.split_to(end + 1);
                self.add(&part)?;
                if let Some(line) = self.take() {
                    return Ok(Some(line));
                }
            }
            let part = std::mem::take(&mut self.chunk);
            self.add(&part)?;
            match self.bytes.next().await? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(self.take()),
            }
        }
    }

    fn add(&mut self, part: &[u8]) -> Result<()> {
        if self.unfinished.len() + part.len() > LONGEST_JSON {
            return Err(odd(&format!("has a line of more than {} MiB", LONGEST_JSON >> 20)));
        }
        self.unfinished.extend_from_slice(part);
        Ok(())
    }

    fn take(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.unfinished);
        (!line.trim_ascii().is_empty()).then_some(line)
    }
}

fn odd(how: &str) -> Error {
    Error::docker(format!("the daemon's stream {how}")).hint("ask the person to run \"quaymaster check\"")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::{docker::replay, error::Kind};

    async fn lines(text: &[u8]) -> JsonLines {
        JsonLines::new(Bytes::new(replay::answer(StatusCode::OK, text).await.unwrap()))
    }

    #[tokio::test]
    async fn documents_come_one_by_one() {
        let mut read = lines(b"{\"a\":1}\r\n\r\n[2]\n\n3").await;
        let mut found = Vec::new();
        while let Some(document) = read.next().await.unwrap() {
            found.push(document.to_string());
        }
        assert_eq!(found, [r#"{"a":1}"#, "[2]", "3"]);
    }

    #[tokio::test]
    async fn nonsense_is_an_error_or_left_out() {
        let text = b"1\n<html>\n{\"a\":\n2\n";
        let mut read = lines(text).await;
        assert_eq!(read.next().await.unwrap(), Some(1.into()));
        assert_eq!(read.next().await.unwrap_err().kind(), Kind::Docker);
        let mut read = lines(text).await;
        assert_eq!(read.next_sound().await.unwrap(), Some(1.into()));
        assert_eq!(read.next_sound().await.unwrap(), Some(2.into()));
        assert_eq!(read.next_sound().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_line_has_a_limit() {
        let fits = [vec![b' '; LONGEST_JSON - 3], b"12\n".to_vec()].concat();
        assert_eq!(lines(&fits).await.next().await.unwrap(), Some(12.into()));
        let long = vec![b'1'; 3 * LONGEST_JSON];
        let mut read = lines(&long).await;
        let error = read.next_sound().await.unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::Docker, "the daemon's stream has a line of more than 1 MiB")
        );
        assert!(read.unfinished.capacity() <= 2 * LONGEST_JSON);
    }
}
