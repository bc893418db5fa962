//! SSH: one connection per host, shared by all its streams, made when the first one is needed.

mod config_file;
mod failure;
mod keys;
mod known_hosts;
mod login;
mod patterns;
mod route;
mod session;
mod stream;
mod tokens;
mod watched;

#[cfg(test)]
mod lab_tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};

use self::{session::Session, stream::ChannelStream};
use super::connect::{DialError, Slot, Stream};
use crate::{
    config::{Environment, SshEndpoint, Tunnel},
    error::{Error, Result},
};

/// After a failure nothing is tried for so long, and twice as long after each further one.
const BACKOFF: Duration = Duration::from_millis(500);
/// The longest such pause.
const BACKOFF_MOST: Duration = Duration::from_secs(10);

/// Opens streams to the engine of one host over one SSH connection.
pub(crate) struct SshDialer {
    endpoint: SshEndpoint,
    environment: Arc<Environment>,
    state: Arc<Mutex<State>>,
}

type Connecting = Shared<BoxFuture<'static, Result<Arc<Session>>>>;

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// The attempt that every dial waits for; it goes on when a dial gives up.
    connecting: Option<Connecting>,
    failed: Option<Failed>,
    /// Raised by `forget`, so that an attempt from before leaves nothing behind.
    generation: u64,
    /// Whether the configuration's warnings were told.
    warned: bool,
}

struct Failed {
    error: Error,
    again: Instant,
    pause: Duration,
}

impl SshDialer {
    /// A dialer for the host; nothing is read or opened.
    pub(crate) fn new(endpoint: SshEndpoint, environment: Arc<Environment>) -> Self {
        Self { endpoint, environment, state: Arc::default() }
    }

    /// How many streams sshd is expected to grant: sessions are limited (`MaxSessions` is 10 unless
    /// changed), direct streams are not.
    pub(crate) fn streams(&self) -> usize {
        if self.endpoint.socket.is_some() || self.endpoint.tunnel == Tunnel::Streamlocal { 64 } else { 8 }
    }

    /// Opens one stream and moves `slot` into it, connecting first where there is no connection.
    pub(crate) async fn dial(&self, slot: Slot) -> Result<Box<dyn Stream>, DialError> {
        // A connection may turn out to be dead only when it is used; nothing has been sent then.
        for _ in 0..2 {
            let session = self.session().await?;
            if let Some((channel, open)) = session.open().await? {
                return Ok(Box::new(ChannelStream::new(channel, open, slot)));
            }
            let mut state = lock(&self.state);
            state.session.take_if(|current| Arc::ptr_eq(current, &session));
        }
        Err(failure::lost().into())
    }

    /// Throws the connection away, so that the next dial makes a new one; open streams stay.
    #[expect(clippy::unused_async, reason = "a dialer of another kind may have to wait")]
    pub(crate) async fn forget(&self) {
        let mut state = lock(&self.state);
        let warned = state.warned;
        let generation = state.generation + 1;
        *state = State { generation, warned, ..State::default() };
    }

    async fn session(&self) -> Result<Arc<Session>> {
        let connecting = {
            let mut state = lock(&self.state);
            if let Some(session) = state.session.take_if(|session| session.is_closed()) {
                drop(session);
            }
            if let Some(session) = &state.session {
                return Ok(session.clone());
            }
            if let Some(connecting) = &state.connecting {
                connecting.clone()
            } else {
                if let Some(failed) = state.failed.as_ref().filter(|failed| Instant::now() < failed.again) {
                    return Err(failure::again(&failed.error, failed.again.saturating_duration_since(Instant::now())));
                }
                let connecting = self.connect(&mut state);
                state.connecting = Some(connecting.clone());
                connecting
            }
        };
        connecting.await
    }

    /// Starts an attempt that does not depend on whoever waits for it.
    fn connect(&self, state: &mut State) -> Connecting {
        let (endpoint, environment) = (self.endpoint.clone(), self.environment.clone());
        let warn = !std::mem::replace(&mut state.warned, true);
        let generation = state.generation;
        let shared = self.state.clone();
        let attempt = tokio::spawn(async move {
            let outcome = Session::connect(endpoint, environment, warn).await.map(Arc::new);
            let mut state = lock(&shared);
            if state.generation == generation {
                state.settle(&outcome);
            }
            outcome
        });
        async move {
            attempt.await.unwrap_or_else(|error| {
                Err(Error::internal("an ssh connection attempt was cut off").detail(error.to_string()))
            })
        }
        .boxed()
        .shared()
    }
}

impl State {
    fn settle(&mut self, outcome: &Result<Arc<Session>>) {
        self.connecting = None;
        match outcome {
            Ok(session) => {
                self.session = Some(session.clone());
                self.failed = None;
            }
            Err(error) => {
                let pause = self.failed.as_ref().map_or(BACKOFF, |failed| (failed.pause * 2).min(BACKOFF_MOST));
                let error = error.clone();
                self.failed = Some(Failed { error, again: Instant::now() + pause, pause });
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads a text as a file of known hosts; answers how many keys it has for a host. Only for fuzzing.
#[cfg(fuzzing)]
#[must_use]
pub fn known_hosts(text: &str, host: &str, port: u16) -> usize {
    known_hosts::KnownHosts::parse(text, host, port)
}
