//! How many calls a host serves at once, and how many may wait for it: one host's load never becomes the gateway's.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::together::{self, Question, Role, Spokesman, Together, Told};
use crate::error::{Error, Result};

/// How many calls are in flight at most.
pub(super) const PLACES: usize = 16;
/// How many more may wait.
pub(super) const QUEUE: usize = 128;

/// The places of one host.
pub(super) struct Bulkhead {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    together: Together,
}

/// How a read came in.
pub(super) enum Entry {
    /// With a place of its own; it owes others what it hears, where it speaks for some.
    Asks(Place, Option<Spokesman>),
    /// With the answer that another got for it, and without a place.
    Answered(Bytes),
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
        Self { places: Arc::new(Semaphore::new(PLACES)), waiting: AtomicUsize::new(0), together: Together::default() }
    }

    /// Takes a place, after those who came before.
    ///
    /// # Errors
    /// `busy` when too many wait already.
    pub(super) async fn enter(&self) -> Result<Place> {
        match self.free() {
            Some(place) => Ok(place),
            None => self.queued(self.freed()).await,
        }
    }

    /// Takes a place to ask the question, or waits with others for the answer that one of them gets.
    ///
    /// # Errors
    /// `busy` when too many wait already; what the one that asked has failed with.
    pub(super) async fn enter_to_ask(&self, question: &Question) -> Result<Entry> {
        if let Some(place) = self.free() {
            return Ok(Entry::Asks(place, None));
        }
        self.queued(async {
            loop {
                match self.together.join(question) {
                    Role::Asks(mut spokesman) => {
                        let place = self.freed().await?;
                        spokesman.leave();
                        return Ok(Entry::Asks(place, Some(spokesman)));
                    }
                    Role::Waits(told) => match together::heard(told).await {
                        Some(Told::Answer(answer)) => return answer.map(Entry::Answered),
                        Some(Told::Apart) => return Ok(Entry::Asks(self.freed().await?, None)),
                        // The call of the one that was to ask has ended.
                        Some(Told::Nothing) | None => {}
                    },
                }
            }
        })
        .await
    }

    fn free(&self) -> Option<Place> {
        self.places.clone().try_acquire_owned().ok().map(Place)
    }

    async fn freed(&self) -> Result<Place> {
        let permit = self.places.clone().acquire_owned().await;
        permit.map(Place).map_err(|_| Error::internal("the host's places are closed"))
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
    use std::time::Duration;

    use futures_util::future::join_all;
    use http::Request;

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

    #[tokio::test]
    async fn those_who_wait_to_ask_the_same_need_one_place() {
        let bulkhead = Bulkhead::new();
        let question = Question::of(&Request::get("/containers/json").body(()).unwrap(), Duration::ZERO).unwrap();
        let mut held: Vec<_> = join_all((0..PLACES).map(|_| bulkhead.enter_to_ask(&question))).await;
        // As long as there are places, everybody asks.
        assert!(held.iter().all(|entry| matches!(entry, Ok(Entry::Asks(_, None)))));
        let mut waiting: Vec<_> = (0..QUEUE).map(|_| Box::pin(bulkhead.enter_to_ask(&question))).collect();
        for wait in &mut waiting {
            assert!(futures_util::poll!(wait).is_pending());
        }
        assert_eq!(bulkhead.enter_to_ask(&question).await.err().unwrap().kind(), Kind::Busy);
        // The one that was to ask is taken back: another asks for those who are left.
        drop(waiting.remove(0));
        for wait in &mut waiting {
            assert!(futures_util::poll!(wait).is_pending());
        }
        held.pop();
        let Entry::Asks(place, spokesman) = waiting.remove(0).await.unwrap() else { panic!("nobody asks") };
        spokesman.unwrap().tell(&Ok(Bytes::from_static(b"[]")));
        for answered in join_all(waiting).await {
            assert!(matches!(answered, Ok(Entry::Answered(bytes)) if bytes == "[]"));
        }
        drop(place);
        assert!(bulkhead.enter().await.is_ok());
    }
}
