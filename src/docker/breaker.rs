//! The circuit breaker of one host: once it is known to be out of reach, calls fail at once instead of waiting for it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::connect::ASK_CHECK;
use crate::error::Error;

/// So many failures in a row open it.
const IN_A_ROW: u32 = 2;
/// So many within [`WINDOW`] open it, whatever succeeded between them.
const WITHIN_WINDOW: usize = 3;
/// How long a failure is remembered.
const WINDOW: Duration = Duration::from_secs(60);
/// How long it stays open the first time; each failed probe doubles it.
const SHORTEST: Duration = Duration::from_secs(30);
/// How long it stays open at most.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts failures to reach a host. An error that the daemon itself answers is none.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    in_a_row: u32,
    recent: VecDeque<Instant>,
    open: Option<Open>,
    /// Rises whenever it opens or closes: what began before says nothing about now.
    epoch: u64,
}

struct Open {
    since: SystemTime,
    cause: Error,
    wait: Duration,
    until: Instant,
    /// Whether somebody tries it at this moment.
    probing: bool,
}

/// What is told of an open breaker.
#[derive(Debug, Clone)]
pub struct Tripped {
    /// Since when calls fail at once.
    pub since: SystemTime,
    /// How long until the host is tried again; zero when that is happening, or the next call does it.
    pub again: Duration,
}

/// One attempt to reach the host. Dropped without a verdict it counts for nothing.
pub(super) struct Attempt<'a> {
    breaker: &'a Breaker,
    epoch: u64,
    probe: bool,
}

impl Breaker {
    /// Lets an attempt pass: any while it is closed, one at a time once it has been open for long enough.
    ///
    /// # Errors
    /// `unreachable` at once, with the cause that opened it and since when.
    pub(super) fn admit(&self) -> Result<Attempt<'_>, Error> {
        let mut state = self.state();
        let epoch = state.epoch;
        let Some(open) = &mut state.open else { return Ok(Attempt { breaker: self, epoch, probe: false }) };
        let now = Instant::now();
        if open.probing || now < open.until {
            return Err(open.refusal(now));
        }
        open.probing = true;
        Ok(Attempt { breaker: self, epoch, probe: true })
    }

    /// Lets the next attempt try the host, however long the breaker would have stayed open.
    pub(super) fn hurry(&self) {
        if let Some(open) = &mut self.state().open {
            open.until = Instant::now();
        }
    }

    /// What is known while it is open.
    pub(super) fn tripped(&self) -> Option<Tripped> {
        let state = self.state();
        let open = state.open.as_ref()?;
        Some(Tripped { since: open.since, again: open.until.saturating_duration_since(Instant::now()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn refusal(&self, now: Instant) -> Error {
        let since = jiff::Timestamp::try_from(self.since).map(|since| since.strftime("%H:%M:%S UTC").to_string());
        let wait = self.until.saturating_duration_since(now).as_secs() + 1;
        let again = if self.probing { "is being tried now".into() } else { format!("is tried again in {wait} s") };
        Error::unreachable(format!(
            "{}; calls to it fail at once since {}",
            self.cause.message(),
            since.as_deref().unwrap_or("a while ago")
        ))
        .hint(format!("it {again}; {ASK_CHECK}"))
    }
}

impl Attempt<'_> {
    /// Whether it is the one that tries a host which was out of reach.
    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }

    /// The host answered, whatever it said.
    pub(super) fn succeeded(self) {
        let mut state = self.breaker.state();
        if state.epoch != self.epoch {
            return;
        }
        state.in_a_row = 0;
        if state.open.take().is_some() {
            state.recent.clear();
            state.epoch += 1;
        }
    }

    /// The host could not be reached, or did not begin to answer.
    pub(super) fn failed(self, cause: &Error) {
        let mut state = self.breaker.state();
        if state.epoch != self.epoch {
            return;
        }
        let now = Instant::now();
        if let Some(open) = &mut state.open {
            open.wait = (open.wait * 2).min(LONGEST);
            open.until = now + open.wait;
            open.cause = cause.clone();
            return;
        }
        state.in_a_row += 1;
        state.recent.push_back(now);
        while state.recent.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            state.recent.pop_front();
        }
        if state.in_a_row >= IN_A_ROW || state.recent.len() >= WITHIN_WINDOW {
            let (since, until) = (SystemTime::now(), now + SHORTEST);
            *state = State { epoch: state.epoch + 1, ..State::default() };
            state.open = Some(Open { since, cause: cause.clone(), wait: SHORTEST, until, probing: false });
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.state();
        if self.probe
            && state.epoch == self.epoch
            && let Some(open) = &mut state.open
        {
            open.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn fail(breaker: &Breaker) {
        breaker.admit().unwrap().failed(&Error::unreachable("the daemon cannot be reached: connection refused"));
    }

    fn succeed(breaker: &Breaker) {
        breaker.admit().unwrap().succeeded();
    }

    #[test]
    fn two_failures_in_a_row_open_it() {
        let breaker = Breaker::default();
        fail(&breaker);
        succeed(&breaker);
        fail(&breaker);
        assert!(breaker.tripped().is_none());
        fail(&breaker);
        let refusal = breaker.admit().err().unwrap();
        assert_eq!(refusal.kind(), Kind::Unreachable);
        assert!(refusal.message().contains("connection refused; calls to it fail at once since "), "{refusal}");
        assert!(refusal.hint_text().unwrap().contains("tried again in 30 s"), "{:?}", refusal.hint_text());
    }

    #[test]
    fn three_failures_within_a_minute_open_it() {
        let breaker = Breaker::default();
        for _ in 0..2 {
            fail(&breaker);
            succeed(&breaker);
        }
        assert!(breaker.tripped().is_none());
        fail(&breaker);
        assert!(breaker.tripped().is_some());
    }

    #[test]
    fn one_probe_at_a_time_closes_it_or_doubles_the_wait() {
        let breaker = Breaker::default();
        fail(&breaker);
        fail(&breaker);
        let mut wait = SHORTEST;
        for _ in 0..6 {
            breaker.hurry();
            let probe = breaker.admit().unwrap();
            assert!(probe.is_probe() && breaker.admit().is_err(), "only one");
            probe.failed(&Error::timeout("late"));
            wait = (wait * 2).min(LONGEST);
            let again = breaker.tripped().unwrap().again;
            assert!(again <= wait && again + Duration::from_secs(5) > wait, "{again:?} of {wait:?}");
        }
        breaker.hurry();
        breaker.admit().unwrap().succeeded();
        assert!(breaker.tripped().is_none());
        fail(&breaker);
        assert!(breaker.tripped().is_none(), "what was before it closed is forgotten");
    }

    #[test]
    fn a_probe_that_is_taken_back_lets_the_next_one_try() {
        let breaker = Breaker::default();
        fail(&breaker);
        fail(&breaker);
        breaker.hurry();
        drop(breaker.admit().unwrap());
        assert!(breaker.admit().unwrap().is_probe());
    }

    #[test]
    fn many_failures_at_once_open_it_once() {
        let breaker = Breaker::default();
        let attempts: Vec<Attempt<'_>> = (0..32).map(|_| breaker.admit().unwrap()).collect();
        for attempt in attempts {
            attempt.failed(&Error::unreachable("gone"));
        }
        assert!(breaker.tripped().unwrap().again <= SHORTEST);
    }
}
