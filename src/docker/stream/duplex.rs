//! Both directions of an exec or an attach, read in pieces as they come.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    task::coop::consume_budget,
};

use super::frames::{Frames, Source};
use crate::error::{Error, Result};

/// How much is read at once.
const PIECE: usize = 16 << 10;

/// An exec or an attach: what a process writes, and what it reads.
pub struct Duplex {
    /// What it writes.
    pub output: Output,
    /// What it reads.
    pub input: Input,
}

impl Duplex {
    pub(in crate::docker) fn new(upgraded: Upgraded, framed: bool) -> Self {
        let (reader, writer) = split(TokioIo::new(upgraded));
        Self { output: Output::new(reader, framed), input: Input(writer) }
    }
}

/// What a process writes. How long it may be silent is for the caller to say: it knows what it runs.
pub struct Output<R = ReadHalf<TokioIo<Upgraded>>> {
    reader: R,
    frames: Option<Frames>,
    piece: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Output<R> {
    /// With frames, or, of a terminal, without.
    pub fn new(reader: R, framed: bool) -> Self {
        Self { reader, frames: framed.then(Frames::default), piece: Vec::with_capacity(PIECE) }
    }

    /// Hands what came to `found`; `false` at the end. It may be dropped and called again: nothing is lost by it.
    ///
    /// # Errors
    /// The connection broke; the frames are not the engine's.
    pub async fn next(&mut self, mut found: impl FnMut(Source, &[u8])) -> Result<bool> {
        // A process that always has more would keep its reader from ever looking at the clock.
        consume_budget().await;
        self.piece.clear();
        let read = self.reader.read_buf(&mut self.piece).await;
        let read =
            read.map_err(|error| Error::docker("the stream broke off").detail(error.to_string()).retryable(true))?;
        match &mut self.frames {
            Some(frames) => frames.push(&self.piece, found)?,
            None => found(Source::Stdout, &self.piece),
        }
        Ok(read > 0)
    }
}

/// What a process reads.
pub struct Input(WriteHalf<TokioIo<Upgraded>>);

impl Input {
    /// Sends all of it and then its end. A process that does not read to the end is no failure.
    pub async fn send(&mut self, text: &[u8]) {
        self.0.write_all(text).await.ok();
        self.0.shutdown().await.ok();
    }
}
