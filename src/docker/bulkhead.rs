//! How many calls a host serves at once, and how many may wait for it: one host's load never becomes the gateway's.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// How many calls are in flight at most.
pub(super) const PLACES: usize = 16;
/// How many more may wait.
pub(super) const QUEUE: usize = 128;

/// The places of one host.
pub(super) struct Bulkhead {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A call's place, held until it ends.
pub(super) struct Place(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// Counts who waits, also when the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Bulkhead {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(PLACES)), waiting: AtomicUsize::new(0) }
    }

    /// Takes a place, after those who came before.
    ///
    /// # Errors
    /// `busy` when too many wait already.
    pub(super) async fn enter(&self) -> Result<Place> {
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(Place(permit));
        }
        self.queued(async {
            let permit = self.places.clone().acquire_owned().await;
            permit.map(Place).map_err(|_| Error::internal("the host's places are closed"))
        })
        .await
    }

    /// Waits in the queue for something that others hold.
    ///
    /// # Errors
    /// `busy` when too many wait already; those of `wait`.
    pub(super) async fn queued<T>(&self, wait: impl Future<Output = Result<T>>) -> Result<T> {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if before >= QUEUE {
            return Err(Error::busy(format!("{PLACES} calls are in flight on the host and {QUEUE} wait"))
                .hint("wait until some of your calls have ended, then repeat this one; make fewer at once"));
        }
        wait.await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::error::Kind;

    #[tokio::test]
    async fn the_queue_is_bounded_and_moves_on() {
        let bulkhead = Bulkhead::new();
        let held = join_all((0..PLACES).map(|_| bulkhead.enter())).await;
        assert!(held.iter().all(Result::is_ok));
        let mut waiting: Vec<_> = (0..QUEUE).map(|_| Box::pin(bulkhead.enter())).collect();
        for wait in &mut waiting {
            assert!(futures_util::poll!(wait).is_pending());
        }
        let refused = bulkhead.enter().await.err().unwrap();
        assert_eq!((refused.kind(), refused.hint_text().is_some()), (Kind::Busy, true));
        // Whoever gives up makes room in the queue, whoever ends in front of it.
        drop(waiting.pop());
        let mut late = Box::pin(bulkhead.enter());
        assert!(futures_util::poll!(&mut late).is_pending());
        drop(held);
        for wait in waiting {
            drop(wait.await.unwrap());
        }
        drop(late.await.unwrap());
    }
}
