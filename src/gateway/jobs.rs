//! Calls that outlive the request which began them: whose they are, how far they have come, what they answered.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{audit::Audit, work::Work};
use crate::{
    docker::names::quote,
    error::{Error, Result},
    secret::random,
    tool::{Answer, Json, text},
};

/// How many may run at once.
const MOST_RUNNING: usize = 64;
/// How many are kept, running or ended.
const MOST_KEPT: usize = 128;
/// How long what one answered is kept.
const KEPT: Duration = Duration::from_secs(3600);

/// The jobs of one gateway.
#[derive(Default)]
pub(super) struct Jobs(Mutex<Vec<Arc<Job>>>);

/// One job.
pub(super) struct Job {
    /// What callers name it by.
    pub(super) id: String,
    /// The call itself.
    pub(super) work: Arc<Work>,
}

impl Job {
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
        Answer { text: text::render(&fields, &summary), structured: structured.then_some(fields) }
    }
}

impl Jobs {
    /// Makes a job of a call, or answers the one that it is already.
    ///
    /// # Errors
    /// `busy` when too many run.
    pub(super) fn keep(&self, work: &Arc<Work>) -> Result<Arc<Job>> {
        let mut jobs = self.jobs();
        if let Some(job) = jobs.iter().find(|job| Arc::ptr_eq(&job.work, work)) {
            return Ok(job.clone());
        }
        if jobs.iter().filter(|job| job.work.ended().is_none()).count() >= MOST_RUNNING {
            return Err(Error::busy(format!("{MOST_RUNNING} jobs are running"))
                .hint("list_jobs shows yours: wait for one with get_job, or end it with cancel_job"));
        }
        if jobs.len() >= MOST_KEPT
            && let Some(oldest) = jobs.iter().position(|job| job.work.ended().is_some())
        {
            jobs.remove(oldest);
        }
        let id = format!("job-{:012x}", u64::from_be_bytes(random()?) >> 16);
        let job = Arc::new(Job { id, work: work.clone() });
        jobs.push(job.clone());
        Ok(job)
    }

    /// Somebody's job.
    ///
    /// # Errors
    /// `not_found`, also for a job of somebody else.
    pub(super) fn of(&self, principal: &str, id: &str) -> Result<Arc<Job>> {
        let found = self.jobs().iter().find(|job| job.id == id && job.work.principal == principal).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!("there is no job {}", quote(id)))
                .hint("list_jobs shows yours; what one answered is kept for an hour, and by this process only")
        })
    }

    /// Everybody's jobs of one principal, in the order of their beginning.
    pub(super) fn all_of(&self, principal: &str) -> Vec<Arc<Job>> {
        self.jobs().iter().filter(|job| job.work.principal == principal).cloned().collect()
    }

    /// Ends what can be ended: the process is about to go.
    pub(super) async fn stop(&self, audit: &Audit) {
        let running: Vec<_> = self.jobs().iter().filter(|job| job.work.ended().is_none()).cloned().collect();
        for job in running {
            job.work.stop(audit).await;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Arc<Job>>> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        jobs.retain(|job| job.work.ended().is_none_or(|(ended, _)| now.duration_since(ended) < KEPT));
        jobs
    }
}
