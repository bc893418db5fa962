//! Bytes between a daemon and a file of the gateway's machine, with their progress.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::view;
use crate::{
    docker::stream as wire,
    error::{Error, Kind, Result},
    files::{Draft, LeftOut},
    tool::{Call, Progress, text::count},
};

/// How long a daemon may prepare what it sends, or work on what it got: engines copy an image before they send it.
pub(crate) const IDLE: Duration = Duration::from_secs(600);
/// How long it may be silent once it has begun to send.
const SILENT: Duration = Duration::from_secs(30);

/// What a daemon sends, as a stream of its pieces.
pub(crate) fn received(bytes: wire::Bytes) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    stream::unfold(Some(bytes.patient(SILENT)), |bytes| async {
        let mut bytes = bytes?;
        match bytes.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(bytes))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// What is to be said of a build context, some of whose files were not sent though nothing in it says so.
pub(crate) fn secrets_left_out(left_out: &LeftOut) -> Option<String> {
    let secret = left_out.secret();
    (secret > 0).then(|| {
        let many = count(usize::try_from(secret).unwrap_or(usize::MAX), "file");
        format!("{many} with a name of secrets left out of the context: the person can name them in files.allow")
    })
}

/// Writes a stream into a file and gives it its name; answers how many bytes it has.
///
/// # Errors
/// What the stream ends with, and what the disk refuses: then nothing of the file is left.
pub(crate) async fn keep(bytes: impl Stream<Item = Result<Bytes>>, mut draft: Draft, call: &Call) -> Result<u64> {
    let (mut bytes, mut received) = (pin!(bytes), 0);
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(unsound)?;
        received += piece.len() as u64;
        draft.write(piece).await?;
        call.progress(progress(received, None, "received"));
    }
    draft.keep().await
}

/// What is wrong with an archive of a daemon's is no fault of the caller's.
pub(crate) fn unsound(error: Error) -> Error {
    match error.kind() {
        Kind::Invalid | Kind::Unsupported => Error::docker("what the daemon sends is no sound archive")
            .hint("try once more, then ask the person to run \"quaymaster check\"")
            .detail(error.message()),
        _ => error,
    }
}

/// The same stream, telling how much of it has gone.
pub(crate) fn told(
    bytes: impl Stream<Item = Result<Bytes>> + Send + 'static,
    total: Option<u64>,
    call: &Call,
) -> (impl Stream<Item = Result<Bytes>> + Send + 'static, Arc<AtomicU64>) {
    let (call, sent) = (call.clone(), Arc::<AtomicU64>::default());
    let counted = sent.clone();
    let bytes = bytes.inspect(move |piece| {
        if let Ok(piece) = piece {
            let sent = counted.fetch_add(piece.len() as u64, Ordering::Relaxed) + piece.len() as u64;
            call.progress(progress(sent, total, "sent"));
        }
    });
    (bytes, sent)
}

fn progress(done: u64, total: Option<u64>, what: &str) -> Progress {
    #[expect(clippy::cast_precision_loss, reason = "a share of the way, not an account")]
    let number = |bytes: u64| bytes as f64;
    Progress { done: number(done), total: total.map(number), message: format!("{} {what}", view::bytes(done)) }
}
