//! What was asked, decided and done: one line at the start of every call and one at its end.
//!
//! All lines of a process pass one thread, which owns its file: so they are one chain, and no call
//! waits for a disk but those that change something. Every file is chained from its first line, and
//! its first line names the last lines of the files before it.

mod chain;
mod directory;
mod file;
mod line;
mod lines;
mod read;
pub mod verify;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::caller::Caller;
use crate::{
    config::AuditSettings,
    docker::names::quote,
    error::{Error, Result, nearest},
    tool::{Effect, Permissions},
};
use line::Line;
use writer::{Order, Orders, Writer};

/// How many lines may wait for the disk.
const QUEUE: usize = 1024;
/// How long a call that changes something waits for its line to be on the disk.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long any other waits for a place in the queue; then it goes on, and the audit says that a line is missing.
const PATIENCE_OF_READS: Duration = Duration::from_secs(2);
/// How long the end of a process waits for what is in the queue.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Every way in which a call can have ended, and the two words for several of them.
pub const OUTCOMES: &[&str] = &[
    "ok",
    "failed",
    "running",
    "unknown",
    "asked",
    "invalid",
    "not_found",
    "conflict",
    "denied",
    "approval_needed",
    "unreachable",
    "timeout",
    "cancelled",
    "busy",
    "unsupported",
    "docker",
    "config",
    "internal",
];

/// Refuses an outcome that no call can have.
///
/// # Errors
/// `invalid`, with the nearest one.
pub fn known_outcome(outcome: Option<&str>) -> Result<()> {
    let Some(outcome) = outcome.filter(|outcome| !OUTCOMES.contains(outcome)) else { return Ok(()) };
    let hint = nearest(outcome, OUTCOMES.iter().copied())
        .map_or_else(|| OUTCOMES.join(", "), |near| format!("did you mean \"{near}\"?"));
    Err(Error::invalid(format!("argument \"outcome\": there is no outcome {}", quote(outcome))).hint(hint))
}

/// The start of a call.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The call's own id, random.
    pub call: String,
    /// Who calls.
    pub caller: Caller,
    /// The tool, as it was named.
    pub tool: String,
    /// The tool that the call came through, where it is not the same.
    pub via: Option<&'static str>,
    /// The hosts.
    pub hosts: Vec<String>,
    /// What the call was decided to do; absent where it came to no decision.
    pub effect: Option<Effect>,
    /// What it was decided to need.
    pub permissions: Option<Permissions>,
    /// `allow`, `ask` or `deny`; absent where it came to no decision.
    pub decision: Option<&'static str>,
    /// The rule behind a refusal or a question, and how an approval was given.
    pub rule: Option<String>,
    /// The parsed arguments, masked.
    pub arguments: Value,
}

/// The end of a call.
#[derive(Debug, Clone)]
pub struct Closing {
    /// The id of its opening.
    pub call: String,
    /// Who called.
    pub caller: Caller,
    /// The tool, as it was named.
    pub tool: String,
    /// The hosts.
    pub hosts: Vec<String>,
    /// `ok`, or the kind of the error.
    pub outcome: String,
    /// The error's message, masked.
    pub error: Option<String>,
    /// What only the person may know of the error, masked; never shown to a client.
    pub detail: Option<String>,
    /// How long the call took.
    pub took: Duration,
    /// The size of the answer, text and structured together.
    pub bytes: usize,
}

/// Which calls are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only this principal's; all where absent.
    pub principal: Option<String>,
    /// Not older.
    pub since: Option<jiff::Timestamp>,
    /// Only this tool's.
    pub tool: Option<String>,
    /// Only those of this host.
    pub host: Option<String>,
    /// Only with this outcome; `failed` means every one that is not `ok`.
    pub outcome: Option<String>,
    /// The newest so many.
    pub limit: usize,
}

/// The audit of one process.
pub struct Audit {
    directory: Option<PathBuf>,
    settings: AuditSettings,
    /// Started with the first line; nothing where no thread can be started.
    writer: OnceLock<Option<Orders>>,
    /// Lines that found no place in the queue.
    dropped: Arc<AtomicU64>,
    told: AtomicBool,
}

impl Audit {
    /// An audit below a directory; nothing is opened before the first line.
    #[must_use]
    pub fn new(state: Option<PathBuf>, settings: &AuditSettings) -> Self {
        let directory = settings.directory.clone().or_else(|| state.map(|state| state.join("audit")));
        Self {
            directory,
            settings: settings.clone(),
            writer: OnceLock::new(),
            dropped: Arc::default(),
            told: AtomicBool::new(false),
        }
    }

    /// Where its files are; nothing where the account has no home and nothing was configured.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Writes the start of a call; with `synced` it is on the disk when this returns.
    ///
    /// # Errors
    /// `denied` when it cannot be written: then nothing that changes an engine may be sent.
    pub async fn open(&self, opening: Opening, synced: bool) -> Result<()> {
        let line = Line::Start(Box::new(opening));
        if !synced {
            self.put(line).await;
            return Ok(());
        }
        let writer = self.writer().ok_or_else(|| self.nowhere())?;
        let (written, answer) = oneshot::channel();
        let order = Order::Line(line, Some(written));
        let answered = timeout(PATIENCE, async {
            writer.send_at_once(order).await.ok();
            answer.await
        });
        match answered.await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(detail))) => Err(refused(&detail)),
            Ok(Err(_)) => Err(refused("the thread that writes it has ended")),
            Err(_) => Err(refused(&format!("the disk did not answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// Writes the end of a call; a failure is logged.
    pub async fn close(&self, closing: Closing) {
        self.put(Line::End(Box::new(closing))).await;
    }

    /// The newest calls, oldest first, of every file in the directory: start and end of each in one row.
    ///
    /// # Errors
    /// `config` when the directory cannot be read.
    pub async fn read(&self, wanted: Wanted) -> Result<Vec<Value>> {
        let Some(directory) = self.directory.clone() else { return Ok(Vec::new()) };
        // What this process has done so far is to be among it.
        self.flush().await;
        tokio::task::spawn_blocking(move || read::newest(&directory, &wanted))
            .await
            .map_err(|error| Error::internal("the audit cannot be read").detail(error.to_string()))?
    }

    /// Waits until everything so far is written, but not for ever.
    pub async fn flush(&self) {
        self.order(Order::Flush).await;
    }

    /// Writes what is left and closes the file, at an orderly end; a later line would begin another one.
    pub async fn finish(&self) {
        self.order(Order::End).await;
    }

    async fn order(&self, order: fn(oneshot::Sender<()>) -> Order) {
        let Some(Some(writer)) = self.writer.get() else { return };
        let (done, ended) = oneshot::channel();
        let waited = timeout(LAST_WORDS, async {
            writer.send_at_once(order(done)).await.ok();
            ended.await.ok();
        });
        if waited.await.is_err() {
            tracing::warn!("the audit did not get everything onto the disk within {} s", LAST_WORDS.as_secs());
        }
    }

    /// Hands a line to the writer; what finds no place in time is counted, and the next line says so.
    async fn put(&self, line: Line) {
        let Some(writer) = self.writer() else { return self.tell() };
        let order = match writer.try_put(Order::Line(line, None)) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(order) | mpsc::error::TrySendError::Closed(order)) => order,
        };
        if !matches!(timeout(PATIENCE_OF_READS, writer.send_at_once(order)).await, Ok(Ok(()))) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn writer(&self) -> Option<&Orders> {
        let directory = self.directory.as_ref()?;
        self.writer
            .get_or_init(|| {
                let (sender, orders) = mpsc::channel(QUEUE);
                let writer = Writer::new(directory.clone(), self.settings.clone(), self.dropped.clone());
                let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(orders));
                thread.ok().map(|thread| Orders::new(sender, thread.thread().clone()))
            })
            .as_ref()
    }

    /// Says once why nothing is written down.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}", self.nowhere().message());
        }
    }

    fn nowhere(&self) -> Error {
        if self.directory.is_some() {
            return refused("no thread can be started");
        }
        Error::denied("there is no directory for the audit, so nothing that changes an engine is sent").hint(
            "reads still work; ask the person to set HOME or XDG_STATE_HOME, or \"directory\" under [audit] in the \
             configuration",
        )
    }
}

fn refused(detail: &str) -> Error {
    Error::denied("the audit cannot be written, so nothing that changes an engine is sent")
        .hint(
            "reads still work; tell the person, who finds the cause in the log of Quaymaster and with \
             \"quaymaster audit verify\" (a full disk, mostly), and repeat the call once that is mended",
        )
        .detail(detail)
}

#[cfg(test)]
mod tests;
