//! The one thread that writes: in the order of the queue, and many lines with one look at the disk.

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use nix::unistd::getpid;
use tokio::sync::{mpsc, oneshot};

use super::{
    file::{Broken, Ended, OpenFile},
    line::{Line, gap},
};
use crate::{config::AuditSettings, tool::Json};

/// How many lines are written at once.
const AT_ONCE: usize = 256;

/// How long the thread gathers lines that nobody waits for: a wake and a look at the directory for each line
/// would cost as much as the rest of a short call. An orderly end loses none of them.
const GATHER: Duration = Duration::from_millis(5);

/// Says that a line is on the disk, or why it is not.
pub(super) type Written = oneshot::Sender<Result<(), String>>;

/// What the thread is told.
pub(super) enum Order {
    /// Write a line; somebody may wait until it is on the disk.
    Line(Line, Option<Written>),
    /// Say when everything before is written.
    Flush(oneshot::Sender<()>),
    /// Close the file, and say when that is done.
    End(oneshot::Sender<()>),
}

/// The way to the thread.
pub(super) struct Orders {
    sender: mpsc::Sender<Order>,
    thread: Thread,
}

impl Orders {
    /// To this thread, which receives what is sent.
    pub(super) fn new(sender: mpsc::Sender<Order>, thread: Thread) -> Self {
        Self { sender, thread }
    }

    /// Hands over what nobody waits for, if there is room.
    pub(super) fn try_put(&self, order: Order) -> Result<(), mpsc::error::TrySendError<Order>> {
        self.sender.try_send(order)
    }

    /// Hands over what somebody waits for, and ends the gathering.
    pub(super) async fn send_at_once(&self, order: Order) -> Result<(), mpsc::error::SendError<Order>> {
        // Also before: a full queue is emptied sooner.
        self.thread.unpark();
        let sent = self.sender.send(order).await;
        self.thread.unpark();
        sent
    }
}

/// What the thread knows.
pub(super) struct Writer {
    path: PathBuf,
    settings: AuditSettings,
    pid: i32,
    file: Option<OpenFile>,
    /// The file of this process before the next one.
    before: Option<Ended>,
    /// Whether this process has written in the directory.
    known: bool,
    /// Calls whose end was not written.
    running: BTreeSet<String>,
    /// Lines that could not be written, and why the last of them.
    lost: u64,
    why: String,
    dropped: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, settings: AuditSettings, dropped: Arc<AtomicU64>) -> Self {
        Self {
            path,
            settings,
            pid: getpid().as_raw(),
            file: None,
            before: None,
            known: false,
            running: BTreeSet::new(),
            lost: 0,
            why: String::new(),
            dropped,
        }
    }

    /// Writes until nobody can tell it anything any more.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut batch = Vec::new();
        while let Some(first) = orders.blocking_recv() {
            if matches!(first, Order::Line(_, None)) {
                thread::park_timeout(GATHER);
            }
            let mut next = Some(first);
            while let Some(order) = next.take() {
                match order {
                    Order::Line(line, written) => batch.push((line, written)),
                    Order::Flush(done) => {
                        self.write(std::mem::take(&mut batch));
                        done.send(()).ok();
                    }
                    Order::End(done) => {
                        self.write(std::mem::take(&mut batch));
                        self.close("end");
                        done.send(()).ok();
                    }
                }
                if batch.len() < AT_ONCE {
                    next = orders.try_recv().ok();
                }
            }
            self.write(std::mem::take(&mut batch));
        }
        self.close("end");
    }

    fn write(&mut self, batch: Vec<(Line, Option<Written>)>) {
        if batch.is_empty() {
            return;
        }
        let result = self.append(&batch);
        match &result {
            Ok(()) => {
                if self.lost > 0 {
                    tracing::info!("the audit is written again; {} lines are missing", self.lost);
                }
                self.lost = 0;
                for (line, _) in &batch {
                    match line {
                        Line::Start(_) => self.running.insert(line.call().to_owned()),
                        Line::End(_) => self.running.remove(line.call()),
                    };
                }
            }
            Err(error) => {
                if self.lost == 0 {
                    tracing::warn!("the audit cannot be written, so nothing that changes an engine is sent: {error}");
                }
                self.lost += batch.len() as u64;
                self.why.clone_from(error);
            }
        }
        for written in batch.into_iter().filter_map(|(_, written)| written) {
            // Whoever has given up waiting needs no answer.
            written.send(result.clone()).ok();
        }
        if self.file.as_ref().is_some_and(|file| file.bytes() >= self.settings.size) {
            self.close("size");
        }
    }

    fn append(&mut self, batch: &[(Line, Option<Written>)]) -> Result<(), String> {
        let lines: Vec<_> = self.missing().into_iter().chain(batch.iter().map(|(line, _)| line.fields())).collect();
        let sync = batch.iter().any(|(_, written)| written.is_some());
        let file = match self.ready() {
            Ok(file) => file,
            Err(error) => return Err(format!("{}: {error}", self.path.display())),
        };
        file.append(lines, sync).map_err(|Broken { error, whole }| {
            let shown = format!("{}: {error}", self.path.join(self.name()).display());
            if !whole {
                self.before = self.file.take().map(OpenFile::end);
            }
            shown
        })
    }

    /// The file to write to: the one that is open, unless somebody took it away, or a new one.
    fn ready(&mut self) -> io::Result<&mut OpenFile> {
        if let Some(file) = self.file.take_if(|file| !file.is_in_place()) {
            tracing::warn!("the file {} of the audit is gone or was replaced", file.name());
            self.before = Some(file.end());
        }
        if self.file.is_none() {
            let begun = OpenFile::begin(&self.path, &self.settings, self.pid, self.before.clone(), self.known)?;
            self.known = true;
            self.before = None;
            self.file = Some(begun);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("there is no file"))
    }

    /// That lines are missing, if some are.
    fn missing(&mut self) -> Option<Json> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.lost += dropped;
            "the disk was too slow".clone_into(&mut self.why);
        }
        (self.lost > 0).then(|| gap(self.lost, &self.why))
    }

    fn name(&self) -> &str {
        self.file.as_ref().map_or("", OpenFile::name)
    }

    fn close(&mut self, reason: &str) {
        let Some(file) = self.file.take() else { return };
        let missing = self.missing();
        // A file that is full goes on in the next one, and with it whatever runs.
        let unfinished: Vec<&String> = if reason == "end" { self.running.iter().collect() } else { Vec::new() };
        self.before = Some(file.close(reason, &unfinished, missing));
    }
}
