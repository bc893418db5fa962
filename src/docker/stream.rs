//! Streams that come from a daemon: bytes, log frames, JSON lines; each bounded in what it holds and in how long it may be silent.

mod duplex;
mod frames;
mod json;
mod lines;

use std::time::Duration;

use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{task::coop::consume_budget, time::timeout};

use crate::error::{Error, Result};

pub use duplex::{Duplex, Input, Output};
pub use frames::{Frames, Source};
pub use json::{JsonLines, LONGEST_JSON};
pub use lines::{LONGEST_LINE, Line, Lines};

/// How long a stream may stay silent before its connection is given up, unless the caller follows it.
pub const IDLE: Duration = Duration::from_secs(10);

/// The body of an answer, chunk by chunk.
pub struct Bytes {
    body: Incoming,
    multiplexed: Option<bool>,
    idle: Duration,
}

impl Bytes {
    pub(super) fn new(response: Response<Incoming>) -> Self {
        Self { multiplexed: multiplexed(&response), body: response.into_body(), idle: IDLE }
    }

    /// Lets the daemon be silent for longer than [`IDLE`] between two chunks: what is followed may have
    /// nothing to say. With `Duration::MAX` the caller alone looks at the clock.
    #[must_use]
    pub fn patient(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Whether the daemon itself says that the stream has frames; `None` where it does not say.
    #[must_use]
    pub fn multiplexed(&self) -> Option<bool> {
        self.multiplexed
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    /// The connection broke, or nothing came for too long (`timeout`).
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            // A daemon that always has more would keep its reader from ever looking at the clock.
            consume_budget().await;
            match timeout(self.idle, self.body.frame()).await {
                Err(_) => return Err(silent(self.idle)),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
                Ok(Some(Err(error))) => {
                    return Err(Error::docker("the stream broke off").detail(error.to_string()).retryable(true));
                }
            }
        }
    }
}

/// From API 1.42 the daemon says whether standard output and error share the stream.
pub(super) fn multiplexed<T>(response: &Response<T>) -> Option<bool> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    (kind == Some("application/vnd.docker.multiplexed-stream")).then_some(true)
}

/// An answer that began, and then nothing more came.
pub(super) fn silent(idle: Duration) -> Error {
    Error::timeout(format!("the daemon began to answer and then sent nothing for {} s", idle.as_secs()))
        .hint("the daemon is slow or stuck; try once more, then ask the person to run \"quaymaster check\"")
}
