//! A call that runs: it goes on until it ends or is stopped, whoever waits for it.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use tokio::{sync::watch, task::AbortHandle};

use super::{
    Failure,
    audit::Audit,
    jobs::{Job, Kept},
    record::Record,
};
use crate::{
    error::Error,
    tool::{Answer, Course, Json, Progress, text},
};

/// How a call ended.
pub(super) type Outcome = Result<Answer, Failure>;

/// How far a running call has come: kept for whoever asks, and told to whoever waits.
#[derive(Clone)]
pub(super) struct Reports {
    latest: Arc<watch::Sender<Progress>>,
    waiter: Arc<dyn Fn(Progress) + Send + Sync>,
    attended: Arc<AtomicBool>,
}

impl Reports {
    /// Reports that reach `waiter` until nobody waits any more.
    pub(super) fn new(waiter: Arc<dyn Fn(Progress) + Send + Sync>) -> Self {
        Self { latest: Arc::new(watch::Sender::default()), waiter, attended: Arc::new(AtomicBool::new(true)) }
    }

    /// What a call is given to report with.
    pub(super) fn sink(&self) -> Arc<dyn Fn(Progress) + Send + Sync> {
        let reports = self.clone();
        Arc::new(move |progress| {
            if reports.attended.load(Ordering::Acquire) {
                (reports.waiter)(progress.clone());
            }
            reports.latest.send_replace(progress);
        })
    }
}

/// One running or ended call.
pub(super) struct Work {
    /// The tool.
    pub(super) tool: &'static str,
    /// Whose it is.
    pub(super) principal: String,
    /// When it was received.
    pub(super) began: Timestamp,
    /// What is written down about it.
    pub(super) record: Arc<Record>,
    course: Course,
    reports: Reports,
    task: AbortHandle,
    outcome: watch::Receiver<Option<Arc<Outcome>>>,
    ended: Arc<OnceLock<(Instant, Timestamp)>>,
    stopped: AtomicBool,
}

/// What became of a call that was to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// It has ended, and what it had open is closed.
    Cut,
    /// What was sent goes on at the daemon, and so does the call.
    GoesOn,
}

/// What a call's own task holds to say how it ended.
pub(super) struct Ending {
    outcome: watch::Sender<Option<Arc<Outcome>>>,
    ended: Arc<OnceLock<(Instant, Timestamp)>>,
}

impl Ending {
    /// Says how the call ended.
    pub(super) fn with(self, outcome: Outcome) {
        self.ended.get_or_init(|| (Instant::now(), Timestamp::now()));
        self.outcome.send_replace(Some(Arc::new(outcome)));
    }
}

impl Work {
    /// Work whose task `spawn` starts; the task says with [`Ending`] how it ended.
    pub(super) fn start(
        tool: &'static str,
        principal: String,
        course: Course,
        record: Arc<Record>,
        reports: Reports,
        spawn: impl FnOnce(Ending) -> AbortHandle,
    ) -> Arc<Self> {
        let (sender, outcome) = watch::channel(None);
        let ended = Arc::new(OnceLock::new());
        let task = spawn(Ending { outcome: sender, ended: ended.clone() });
        let (began, stopped) = (Timestamp::now(), AtomicBool::new(false));
        Arc::new(Self { tool, principal, began, record, course, reports, task, outcome, ended, stopped })
    }

    /// Waits for its end; the outcome is the waiter's own where nobody keeps the work any more.
    pub(super) async fn end(&self) -> Arc<Outcome> {
        let mut outcome = self.outcome.clone();
        match outcome.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone().unwrap_or_else(|| Arc::new(Err(taken_back()))),
            // Its task was cut off, or broke beyond what it catches itself.
            Err(_) if self.was_stopped() => Arc::new(Err(taken_back())),
            Err(_) => Arc::new(Err(Error::internal(format!("{} met a defect of Quaymaster", self.tool)).into())),
        }
    }

    /// How it ended, if it has.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        let outcome = self.outcome.borrow().as_deref().cloned();
        outcome.or_else(|| self.ended.get().map(|_| Err(taken_back())))
    }

    /// When it ended, if it has.
    pub(super) fn end_time(&self) -> Option<Timestamp> {
        self.ended.get().map(|(_, at)| *at)
    }

    /// Whether somebody wanted it to stop.
    pub(super) fn was_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// How far it has come: the latest report, then every new one.
    pub(super) fn progress(&self) -> watch::Receiver<Progress> {
        self.reports.latest.subscribe()
    }

    /// Nobody waits for it in the call that began it.
    pub(super) fn leave(&self) {
        self.reports.attended.store(false, Ordering::Release);
    }

    /// Ends it, unless it may have sent what must not be cut off.
    pub(super) async fn stop(&self, audit: &Audit) -> Stopped {
        self.stopped.store(true, Ordering::Release);
        // What has not begun must not begin any more; what may change an engine is never cut off once it may
        // have been sent.
        if !self.record.stops() && self.course == Course::SeenThrough {
            return Stopped::GoesOn;
        }
        self.task.abort();
        self.ended.get_or_init(|| (Instant::now(), Timestamp::now()));
        self.record.end(audit, Err(&taken_back())).await;
        Stopped::Cut
    }
}

impl Kept for Work {
    fn principal(&self) -> &str {
        &self.principal
    }

    fn ended(&self) -> Option<Instant> {
        self.ended.get().map(|(at, _)| *at)
    }
}

impl Job<Work> {
    /// What a request is answered with instead of the call's own answer.
    pub(super) fn answer(&self, structured: bool) -> Answer {
        let hosts = self.work.record.named_hosts();
        let mut fields = Json::new();
        if let [host] = hosts.as_slice() {
            fields.insert("host".into(), host.as_str().into());
        }
        fields.insert("job".into(), self.id.as_str().into());
        let latest = self.work.progress().borrow().message.clone();
        let latest = if latest.is_empty() { latest } else { format!(" ({latest})") };
        let summary = format!(
            "{} is still running{latest}: it goes on as {id}; wait for it with get_job, end it with cancel_job",
            self.work.tool,
            id = self.id
        );
        let text = text::render(&fields, &summary);
        Answer::new(structured.then_some(fields), text)
    }
}

/// The answer of a call that was stopped.
pub(super) fn taken_back() -> Failure {
    Error::cancelled("the call was taken back and has been stopped").into()
}
