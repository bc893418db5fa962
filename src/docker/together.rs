//! Reads that wait for a place of a host and ask for the same: the daemon is asked once for all of them.
//!
//! Nobody gets an answer that is older than its question: whoever comes after the request has left waits for the next.
//! Only the bytes of an answer are shared. Every call has passed the guard before, and masks and sifts for itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request};
use tokio::sync::watch;

use super::pool::lock;
use crate::error::Result;

/// The largest answer that is shared: those who share it work on it all at once.
const LARGEST: usize = 1 << 20;

/// What a read asks for; reads of which this is equal can have the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    target: String,
    headers: Duration,
}

impl Question {
    /// What the request asks for, if anybody's answer to it is everybody's: a GET that carries nothing of its caller.
    pub(super) fn of<B>(request: &Request<B>, headers: Duration) -> Option<Self> {
        let is_plain = request.method() == Method::GET && request.headers().is_empty();
        is_plain.then(|| Self { target: request.uri().to_string(), headers })
    }
}

/// What those who wait hear from the one that asks for them.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// Nothing so far.
    Nothing,
    /// What the daemon answered.
    Answer(Result<Bytes>),
    /// That each has to ask for itself.
    Apart,
}

type Groups = Arc<Mutex<HashMap<Question, watch::Receiver<Told>>>>;

/// The groups of one host that have not been asked for yet.
#[derive(Default)]
pub(super) struct Together(Groups);

/// How a read stands to the others that ask for the same.
pub(super) enum Role {
    /// It asks, for itself and for those who join it before it does.
    Asks(Spokesman),
    /// It waits for what another hears.
    Waits(watch::Receiver<Told>),
}

/// The read that asks for a group. Dropping it, as when its call is taken back, sends the others to form a new one.
pub(super) struct Spokesman {
    groups: Groups,
    question: Option<Question>,
    told: watch::Sender<Told>,
}

impl Together {
    /// Joins those who wait to ask for the same, or is the first of them.
    pub(super) fn join(&self, question: &Question) -> Role {
        let mut groups = lock(&self.0);
        if let Some(told) = groups.get(question) {
            return Role::Waits(told.clone());
        }
        let (sender, receiver) = watch::channel(Told::Nothing);
        groups.insert(question.clone(), receiver);
        Role::Asks(Spokesman { groups: self.0.clone(), question: Some(question.clone()), told: sender })
    }
}

impl Spokesman {
    /// Lets nobody join from now on: the request leaves.
    pub(super) fn leave(&mut self) {
        if let Some(question) = self.question.take() {
            lock(&self.groups).remove(&question);
        }
    }

    /// Tells the others what was heard; an answer that is too large for all of them they have to get for themselves.
    pub(super) fn tell(self, heard: &Result<Bytes>) {
        let is_large = heard.as_ref().is_ok_and(|bytes| bytes.len() > LARGEST);
        self.told.send_replace(if is_large { Told::Apart } else { Told::Answer(heard.clone()) });
    }
}

impl Drop for Spokesman {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Waits for what is told; `None` when the one that asked has gone without a word.
pub(super) async fn heard(mut told: watch::Receiver<Told>) -> Option<Told> {
    told.wait_for(|told| !matches!(told, Told::Nothing)).await.ok().map(|told| told.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn question(target: &str) -> Question {
        Question::of(&Request::get(target).body(()).unwrap(), Duration::from_secs(10)).unwrap()
    }

    fn asks(role: Role) -> Spokesman {
        match role {
            Role::Asks(spokesman) => spokesman,
            Role::Waits(_) => panic!("it waits for another"),
        }
    }

    fn waits(role: Role) -> watch::Receiver<Told> {
        match role {
            Role::Waits(told) => told,
            Role::Asks(_) => panic!("it asks for itself"),
        }
    }

    #[tokio::test]
    async fn who_comes_before_the_request_leaves_has_its_answer_and_nobody_after() {
        let together = Together::default();
        let list = question("/containers/json?all=true");
        let mut first = asks(together.join(&list));
        let second = waits(together.join(&list));
        // Another question, and another patience, are others.
        asks(together.join(&question("/containers/json")));
        asks(together.join(&Question { headers: Duration::from_secs(60), ..list.clone() }));
        first.leave();
        let late = asks(together.join(&list));
        first.tell(&Ok(Bytes::from_static(b"[]")));
        assert!(matches!(heard(second).await, Some(Told::Answer(Ok(bytes))) if bytes == "[]"));
        // The group that forms meanwhile is not touched by the end of the one before.
        let behind = waits(together.join(&list));
        late.tell(&Err(Error::not_found("gone")));
        assert!(matches!(heard(behind).await, Some(Told::Answer(Err(error))) if error.message() == "gone"));
    }

    #[tokio::test]
    async fn one_that_goes_without_a_word_leaves_the_others_free() {
        let together = Together::default();
        let list = question("/images/json");
        let first = asks(together.join(&list));
        let second = waits(together.join(&list));
        drop(first);
        assert!(heard(second).await.is_none());
        let mut next = asks(together.join(&list));
        let third = waits(together.join(&list));
        next.leave();
        drop(next);
        assert!(heard(third).await.is_none());
        assert!(lock(&together.0).is_empty());
    }

    #[tokio::test]
    async fn a_large_answer_is_not_for_all_at_once() {
        let together = Together::default();
        let list = question("/images/json");
        let first = asks(together.join(&list));
        let second = waits(together.join(&list));
        first.tell(&Ok(Bytes::from(vec![b' '; LARGEST + 1])));
        assert!(matches!(heard(second).await, Some(Told::Apart)));
    }

    #[test]
    fn what_carries_something_of_its_caller_or_writes_is_nobody_elses() {
        let headers = Duration::from_secs(10);
        let sealed = Request::get("/images/search?term=x").header("x-registry-auth", "secret").body(()).unwrap();
        assert_eq!(Question::of(&sealed, headers), None);
        assert_eq!(Question::of(&Request::post("/containers/x/wait").body(()).unwrap(), headers), None);
    }
}
