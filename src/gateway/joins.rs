//! Identical calls that are one piece of work: who comes second waits for what the first one began.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::{sync::watch, task::AbortHandle};

use crate::{
    error::{Error, Result},
    tool::{Answer, Call, Json, Progress},
};

/// What makes two calls the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    principal: String,
    tool: &'static str,
    host: String,
    arguments: String,
}

impl Key {
    /// The key of a decided call, by its parsed arguments.
    pub(super) fn new(principal: &str, tool: &'static str, host: &str, arguments: &Json) -> Self {
        let arguments = serde_json::Value::Object(arguments.clone()).to_string();
        Self { principal: principal.to_owned(), tool, host: host.to_owned(), arguments }
    }
}

/// The work that identical calls share, as long as one of them waits for it.
#[derive(Default)]
pub(super) struct Joins(Mutex<HashMap<Key, Weak<Shared>>>);

struct Shared {
    task: AbortHandle,
    outcome: watch::Receiver<Option<Result<Answer>>>,
    progress: watch::Receiver<Progress>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The last one who waited has gone.
        self.task.abort();
    }
}

impl Joins {
    /// Waits for the work of this key, which begins now unless it is going on already.
    ///
    /// # Errors
    /// Those of the work.
    pub(super) async fn join<W>(&self, key: Key, call: &Call, begin: impl FnOnce(Call) -> W) -> Result<Answer>
    where
        W: Future<Output = Result<Answer>> + Send + 'static,
    {
        let (shared, joined) = self.shared(key, call, begin);
        let (mut outcome, mut progress) = (shared.outcome.clone(), shared.progress.clone());
        loop {
            tokio::select! {
                biased;
                ended = outcome.wait_for(Option::is_some) => {
                    let ended = ended.map_err(|_| Error::internal("the work ended in a defect"))?.clone();
                    let answer = ended.unwrap_or_else(|| Err(Error::internal("the work has no end")))?;
                    let note = "the same call was under way already, and this one waited for it".to_owned();
                    return Ok(answer.noting(joined.then_some(&note).into_iter()));
                }
                Ok(()) = progress.changed() => {
                    let latest = progress.borrow_and_update().clone();
                    call.progress(latest);
                }
            }
        }
    }

    fn shared<W>(&self, key: Key, call: &Call, begin: impl FnOnce(Call) -> W) -> (Arc<Shared>, bool)
    where
        W: Future<Output = Result<Answer>> + Send + 'static,
    {
        let mut running = self.running();
        running.retain(|_, shared| shared.upgrade().is_some_and(|shared| shared.outcome.borrow().is_none()));
        if let Some(shared) = running.get(&key).and_then(Weak::upgrade) {
            return (shared, true);
        }
        let (told, progress) = watch::channel(Progress::default());
        let (ended, outcome) = watch::channel(None);
        let work = begin(call.reporting_to(Arc::new(move |latest| {
            told.send_replace(latest);
        })));
        let task = tokio::spawn(async move {
            ended.send_replace(Some(work.await));
        });
        let shared = Arc::new(Shared { task: task.abort_handle(), outcome, progress });
        running.insert(key, Arc::downgrade(&shared));
        (shared, false)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Key, Weak<Shared>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    fn key(host: &str) -> Key {
        Key::new("os:tester", "pull_image", host, &Json::new())
    }

    /// Counts how often it begins and whether it was cut off.
    #[derive(Default)]
    struct Seen {
        begun: AtomicUsize,
        cut: Arc<AtomicUsize>,
    }

    struct Cut(Arc<AtomicUsize>);

    impl Drop for Cut {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Seen {
        fn work(&self, takes: Duration) -> impl Future<Output = Result<Answer>> + Send + 'static {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let cut = Cut(self.cut.clone());
            async move {
                tokio::time::sleep(takes).await;
                std::mem::forget(cut);
                Ok(Answer::new(Some(Json::new()), "done".into()))
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_call_is_done_once_and_answered_twice() {
        let (joins, seen, call) = (Joins::default(), Seen::default(), Call::alone());
        let one = || joins.join(key("a"), &call, |_| seen.work(Duration::from_secs(3)));
        let (first, second, other) =
            tokio::join!(one(), one(), joins.join(key("b"), &call, |_| seen.work(Duration::from_secs(1))));
        assert_eq!(seen.begun.load(Ordering::SeqCst), 2);
        assert!(!first.unwrap().text.contains("under way") && second.unwrap().text.contains("under way"));
        other.unwrap();
        one().await.unwrap();
        assert_eq!((seen.begun.load(Ordering::SeqCst), seen.cut.load(Ordering::SeqCst)), (3, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_last_who_waits() {
        let (joins, seen, call) = (Joins::default(), Seen::default(), Call::alone());
        let mut first = Box::pin(joins.join(key("a"), &call, |_| seen.work(Duration::from_secs(9))));
        let mut second = Box::pin(joins.join(key("a"), &call, |_| seen.work(Duration::from_secs(9))));
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(first);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(seen.cut.load(Ordering::SeqCst), 0, "somebody still waits");
        drop(second);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((seen.begun.load(Ordering::SeqCst), seen.cut.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test]
    async fn a_defect_of_the_work_is_told_to_all() {
        let (joins, call) = (Joins::default(), Call::alone());
        let broken = joins.join(key("a"), &call, |_| async { panic!("a defect") }).await;
        assert_eq!(broken.unwrap_err().kind(), crate::error::Kind::Internal);
    }
}
