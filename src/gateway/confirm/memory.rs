//! What is known of questions while the process lives: those that are open in a client, and those answered with no.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{hex, sheet::Binding};
use crate::{error::Result, secret::random};

/// How long a question may be open that was an answer.
const OPEN: Duration = Duration::from_secs(10 * 60);
/// So many are, at most; the oldest go first.
const MOST_OPEN: usize = 256;
/// How long a no is remembered.
const DECLINED: Duration = Duration::from_secs(60);
/// So many are, at most.
const MOST_DECLINED: usize = 1024;

/// The questions of one gateway.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<Questions>);

#[derive(Debug, Default)]
struct Questions {
    open: VecDeque<Open>,
    declined: VecDeque<(Binding, Instant)>,
}

#[derive(Debug)]
struct Open {
    state: String,
    binding: Binding,
    since: Instant,
}

impl Memory {
    /// Opens a question; its state is what the reply has to carry.
    ///
    /// The state is nothing but 256 random bits: what it stands for never leaves, so there is nothing to forge,
    /// to alter or to carry over to another call, and finding one by the time that a comparison takes is hopeless.
    ///
    /// # Errors
    /// `internal` where the system has no random numbers.
    pub(super) fn open(&self, binding: Binding, now: Instant) -> Result<String> {
        let state = hex::write(&random::<32>()?);
        let mut questions = self.questions();
        questions.open.retain(|open| now.saturating_duration_since(open.since) < OPEN);
        while questions.open.len() >= MOST_OPEN {
            questions.open.pop_front();
        }
        questions.open.push_back(Open { state: state.clone(), binding, since: now });
        Ok(state)
    }

    /// Closes a question, whatever comes of it; answers whether it was one about this call.
    pub(super) fn close(&self, state: &str, binding: &Binding, now: Instant) -> bool {
        let mut questions = self.questions();
        let Some(place) = questions.open.iter().position(|open| open.state == state) else { return false };
        let open = questions.open.remove(place);
        open.is_some_and(|open| open.binding == *binding && now.saturating_duration_since(open.since) < OPEN)
    }

    /// Remembers a no.
    pub(super) fn decline(&self, binding: Binding, now: Instant) {
        let mut questions = self.questions();
        questions.declined.retain(|(_, since)| now.saturating_duration_since(*since) < DECLINED);
        while questions.declined.len() >= MOST_DECLINED {
            questions.declined.pop_front();
        }
        questions.declined.push_back((binding, now));
    }

    /// Whether this very call was declined just now.
    pub(super) fn declined(&self, binding: &Binding, now: Instant) -> bool {
        let questions = self.questions();
        let mut declined = questions.declined.iter();
        declined.any(|(other, since)| other == binding && now.saturating_duration_since(*since) < DECLINED)
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(text: &str) -> Binding {
        serde_json::from_value(text.into()).unwrap()
    }

    #[test]
    fn a_state_counts_once_for_its_own_call_and_ten_minutes() {
        let (memory, start) = (Memory::default(), Instant::now());
        let open = || memory.open(binding("a"), start).unwrap();
        let state = open();
        assert!(memory.close(&state, &binding("a"), start) && !memory.close(&state, &binding("a"), start));
        let state = open();
        assert!(!memory.close(&state, &binding("b"), start), "another call");
        assert!(!memory.close(&state, &binding("a"), start), "it was used up by the attempt");
        let state = open();
        assert!(!memory.close(&state, &binding("a"), start + OPEN));
        assert!(!memory.close("", &binding("a"), start));
        assert_eq!(state.len(), 64);
        assert_ne!(state, open());
    }

    #[test]
    fn neither_grows_without_end() {
        let (memory, start) = (Memory::default(), Instant::now());
        let first = memory.open(binding("first"), start).unwrap();
        for number in 0..2000 {
            memory.open(binding("a"), start).unwrap();
            memory.decline(binding(&number.to_string()), start);
        }
        assert!(!memory.close(&first, &binding("first"), start));
        assert_eq!(memory.questions().open.len(), MOST_OPEN);
        assert_eq!(memory.questions().declined.len(), MOST_DECLINED);
    }

    #[test]
    fn a_no_is_remembered_for_a_minute() {
        let (memory, start) = (Memory::default(), Instant::now());
        memory.decline(binding("a"), start);
        assert!(memory.declined(&binding("a"), start + Duration::from_secs(59)));
        assert!(!memory.declined(&binding("b"), start));
        assert!(!memory.declined(&binding("a"), start + DECLINED));
    }
}
