//! Calls that outlive the request which began them: whose they are, and how to find them again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    docker::names::quote,
    error::{Error, Result},
    secret::random,
};

/// How many may run at once.
const MOST_RUNNING: usize = 64;
/// How many are kept, running or ended.
const MOST_KEPT: usize = 128;
/// How long what one answered is kept.
const KEPT: Duration = Duration::from_secs(3600);
/// What every id begins with.
const PREFIX: &str = "job-";
/// How many hexadecimal digits follow.
const DIGITS: usize = 12;

/// What can be kept as a job.
pub(super) trait Kept {
    /// Whose it is.
    fn principal(&self) -> &str;
    /// When it ended, if it has.
    fn ended(&self) -> Option<Instant>;
}

/// The jobs of one gateway.
pub(super) struct Jobs<W>(Mutex<Vec<Arc<Job<W>>>>);

/// One job.
pub(super) struct Job<W> {
    /// What callers name it by.
    pub(super) id: String,
    /// The call itself.
    pub(super) work: Arc<W>,
}

impl<W> Default for Jobs<W> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<W: Kept> Jobs<W> {
    /// Makes a job of a call, or answers the one that it is already.
    ///
    /// # Errors
    /// `busy` when too many run.
    pub(super) fn keep(&self, work: &Arc<W>) -> Result<Arc<Job<W>>> {
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
        let id = format!("{PREFIX}{:0DIGITS$x}", u64::from_be_bytes(random()?) >> (64 - 4 * DIGITS));
        let job = Arc::new(Job { id, work: work.clone() });
        jobs.push(job.clone());
        Ok(job)
    }

    /// Somebody's job.
    ///
    /// # Errors
    /// `invalid` for what no job is called, `not_found` also for a job of somebody else.
    pub(super) fn of(&self, principal: &str, id: &str) -> Result<Arc<Job<W>>> {
        let is_hex = |digits: &str| digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !id.strip_prefix(PREFIX).is_some_and(is_hex) {
            return Err(Error::invalid(format!("argument \"job\": {} is no id of a job", quote(id)))
                .hint("give the id that the call was answered with; list_jobs shows yours"));
        }
        let found = self.jobs().iter().find(|job| job.id == id && job.work.principal() == principal).cloned();
        found.ok_or_else(|| {
            Error::not_found(format!("there is no job {}", quote(id)))
                .hint("list_jobs shows yours; what one answered is kept for an hour, and by this process only")
        })
    }

    /// All jobs of one principal, in the order of their beginning.
    pub(super) fn all_of(&self, principal: &str) -> Vec<Arc<Job<W>>> {
        self.jobs().iter().filter(|job| job.work.principal() == principal).cloned().collect()
    }

    /// Everybody's jobs that run.
    pub(super) fn running(&self) -> Vec<Arc<Job<W>>> {
        self.jobs().iter().filter(|job| job.work.ended().is_none()).cloned().collect()
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Arc<Job<W>>>> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        jobs.retain(|job| job.work.ended().is_none_or(|ended| now.duration_since(ended) < KEPT));
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    struct Work {
        ended: Mutex<Option<Instant>>,
    }

    impl Work {
        fn begin() -> Arc<Self> {
            Arc::new(Self { ended: Mutex::new(None) })
        }

        fn end(&self, ago: Duration) {
            *self.ended.lock().unwrap() = Instant::now().checked_sub(ago);
        }
    }

    impl Kept for Work {
        fn principal(&self) -> &'static str {
            "os:tester"
        }

        fn ended(&self) -> Option<Instant> {
            *self.ended.lock().unwrap()
        }
    }

    #[test]
    fn so_many_run_and_so_many_are_kept() {
        let jobs = Jobs::default();
        let running: Vec<Arc<Work>> = (0..MOST_RUNNING).map(|_| Work::begin()).collect();
        let first = jobs.keep(&running[0]).unwrap();
        assert_eq!(jobs.keep(&running[0]).unwrap().id, first.id, "the same call is the same job");
        for work in &running {
            jobs.keep(work).unwrap();
        }
        assert_eq!(jobs.keep(&Work::begin()).err().unwrap().kind(), Kind::Busy);
        for work in &running[1..] {
            work.end(Duration::from_secs(1));
        }
        for _ in 0..3 * MOST_KEPT {
            let work = Work::begin();
            jobs.keep(&work).unwrap();
            work.end(Duration::ZERO);
        }
        assert_eq!(jobs.all_of("os:tester").len(), MOST_KEPT);
        assert!(jobs.of("os:tester", &first.id).is_ok(), "one that runs is never dropped");
        assert_eq!(jobs.running().len(), 1);
    }

    #[test]
    fn an_answer_is_kept_for_an_hour() {
        let jobs = Jobs::default();
        let work = Work::begin();
        let job = jobs.keep(&work).unwrap();
        work.end(KEPT.saturating_sub(Duration::from_secs(60)));
        assert!(jobs.of("os:tester", &job.id).is_ok());
        assert_eq!(jobs.of("os:other", &job.id).err().unwrap().kind(), Kind::NotFound);
        work.end(KEPT);
        assert_eq!(jobs.of("os:tester", &job.id).err().unwrap().kind(), Kind::NotFound);
    }
}
