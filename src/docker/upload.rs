//! Bytes on their way to a daemon: streamed as it takes them, and watched for silence.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::pool::Body;
use crate::error::{Error, Result};

/// How often is looked whether bytes were taken.
const LOOK: Duration = Duration::from_millis(500);

/// What is sent, and what is known of it.
pub(super) struct Source {
    bytes: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    watched: Watched,
}

/// How far an upload has come.
#[derive(Clone, Default)]
pub(super) struct Watched {
    taken: Arc<AtomicU64>,
    failure: Arc<Mutex<Option<Error>>>,
}

impl Source {
    pub(super) fn new(bytes: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { bytes: Box::pin(bytes), watched: Watched::default() }
    }

    pub(super) fn watch(&self) -> Watched {
        self.watched.clone()
    }

    /// The body of a request; a source that fails breaks the request off, so nothing half is taken for whole.
    pub(super) fn body(self) -> Body {
        let watched = self.watched;
        let frames = self.bytes.map(move |bytes| match bytes {
            Ok(bytes) => {
                watched.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                Ok(Frame::data(bytes))
            }
            Err(error) => {
                let reason = error.to_string();
                *watched.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Err(reason.into())
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

impl Watched {
    /// Awaits the answer to an upload, as long as either bytes are taken or not more than `idle` has passed.
    pub(super) async fn over<T>(&self, sent: impl Future<Output = Result<T>>, idle: Duration) -> Result<T> {
        let mut sent = std::pin::pin!(sent);
        let (mut seen, mut since) = (0, tokio::time::Instant::now());
        loop {
            tokio::select! {
                biased;
                answer = &mut sent => {
                    // What the source failed with says more than what the connection made of it.
                    let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return match failure {
                        Some(failure) => Err(failure),
                        None => answer,
                    };
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let taken = self.taken.load(Ordering::Relaxed);
            if taken != seen {
                (seen, since) = (taken, tokio::time::Instant::now());
            } else if since.elapsed() > idle {
                return Err(Error::timeout(format!("the daemon took nothing for {} s", idle.as_secs()))
                    .hint("what was sent is given up; the daemon is slow or stuck: ask the person to run \"quaymaster check\""));
            }
        }
    }
}
