//! What a running call may use beside its daemon, and how it tells how far it has come.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Json, cursor::Cursors};
use crate::{redact, secret::Secrets};

/// How long there is between two reports of progress of one call.
const BETWEEN_REPORTS: Duration = Duration::from_millis(250);

/// How far a long call has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What was done, in the unit of `total`.
    pub done: f64,
    /// What there is to do, where that is known.
    pub total: Option<f64>,
    /// What is happening, in a few words.
    pub message: String,
}

impl Progress {
    /// So many of a known number of things.
    #[must_use]
    pub fn of(done: usize, total: usize, what: &str) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of hosts and containers are small")]
        let number = |count: usize| count as f64;
        Self { done: number(done), total: Some(number(total)), message: format!("{done} of {total} {what}") }
    }
}

/// What a running call may use beside its daemon.
#[derive(Clone)]
pub struct Call {
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
    pub(super) labels: Option<Arc<Vec<(String, String)>>>,
    secrets: Arc<Secrets>,
    cursors: Cursors,
    /// When it was last told how far it has come.
    reported: Arc<Mutex<Option<Instant>>>,
}

impl Call {
    /// A call that reports to `progress`, marks what it makes with `labels`, may name `secrets`, and says
    /// with `cursors` how its answer goes on.
    #[must_use]
    pub fn new(
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
        labels: Option<Arc<Vec<(String, String)>>>,
        secrets: Arc<Secrets>,
        cursors: Cursors,
    ) -> Self {
        Self { progress, labels, secrets, cursors, reported: Arc::default() }
    }

    /// A call that nobody watches, for tests of what tools make of answers.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        Self::new(
            Arc::new(|_| {}),
            None,
            Arc::default(),
            Cursors::new().unwrap_or_else(|error| unreachable!("{error}")),
        )
    }

    /// The cursors of this call, bound to its tool, hosts and arguments.
    #[must_use]
    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Binds its cursors to what it asks and whom.
    #[must_use]
    pub fn bound<'a>(self, tool: &str, hosts: impl Iterator<Item = &'a str>, arguments: &Json) -> Self {
        Self { cursors: self.cursors.bound(tool, hosts, arguments), ..self }
    }

    /// The same call, reporting to somebody else.
    #[must_use]
    pub fn reporting_to(&self, progress: Arc<dyn Fn(Progress) + Send + Sync>) -> Self {
        Self { progress, reported: Arc::default(), ..self.clone() }
    }

    /// The secrets that arguments may name.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Tells whoever waits how far it has come, at most four times a second; what comes sooner is dropped.
    pub fn progress(&self, mut progress: Progress) {
        {
            let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.is_some_and(|at| at.elapsed() < BETWEEN_REPORTS) {
                return;
            }
            *reported = Some(Instant::now());
        }
        progress.message = redact::shown(&progress.message);
        (self.progress)(progress);
    }

    /// Awaits work that takes a time of its own, and tells once a second how much of that is over.
    pub async fn timed<T>(&self, work: impl Future<Output = T>, time: Duration, what: &str) -> T {
        let mut work = std::pin::pin!(work);
        let started = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            let (done, total) = (started.elapsed().as_secs_f64().round(), time.as_secs_f64());
            self.progress(Progress { done, total: Some(total.max(done)), message: what.to_owned() });
        }
    }

    /// The labels of an object made here: ours where they are on, then the caller's, which win.
    #[must_use]
    pub fn labels(
        &self,
        given: &std::collections::BTreeMap<String, String>,
    ) -> std::collections::HashMap<String, String> {
        let own = self.labels.iter().flat_map(|labels| labels.iter().cloned());
        own.chain(given.iter().map(|(key, value)| (key.clone(), value.clone()))).collect()
    }
}
