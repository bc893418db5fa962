//! A file that is read: opened once, and streamed to exactly its length.

use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::{fs::File, io::AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::refusal::Refused;
use crate::error::Result;

/// How much is read at a time, in bytes.
const PIECE: usize = 64 << 10;

/// A regular file below a root, opened for reading.
#[derive(Debug)]
pub struct Source {
    /// The file itself, whatever its name leads to by now.
    pub file: File,
    /// Its length when it was opened, in bytes.
    pub length: u64,
    /// Its last name, of links what they lead to.
    pub name: String,
    mode: u32,
    refused: Refused,
}

impl Source {
    pub(super) fn new(file: std::fs::File, name: String, refused: Refused) -> Result<Self> {
        let metadata = file.metadata().map_err(|error| refused.read(&error))?;
        let (length, mode) = (metadata.len(), metadata.mode());
        Ok(Self { file: File::from_std(file), length, name, mode, refused })
    }

    /// Its permissions.
    #[must_use]
    pub fn mode(&self) -> u32 {
        self.mode & 0o7777
    }

    /// Its bytes, exactly as many as its length; a file that has become shorter ends in an error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let Self { file, length, refused, .. } = self;
        let pieces = ReaderStream::with_capacity(file.take(length), PIECE);
        stream::unfold(Some((pieces, length, refused)), |state| async {
            let (mut pieces, left, refused) = state?;
            match pieces.next().await {
                Some(Ok(piece)) => {
                    let left = left.saturating_sub(piece.len() as u64);
                    Some((Ok(piece), Some((pieces, left, refused))))
                }
                Some(Err(error)) => Some((Err(refused.read(&error)), None)),
                None if left > 0 => Some((Err(refused.changed()), None)),
                None => None,
            }
        })
    }
}
