//! The kept-alive connections of one host: dialled when a request needs one, shared by all its callers.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::{
    bulkhead::PLACES,
    connect::{ASK_CHECK, DialError, Dialer, Slot, broken},
};
use crate::error::{Error, Result};

/// Connecting, including an answered `/_ping`.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);
/// How long a connection may rest before it is closed.
const IDLE: Duration = Duration::from_secs(90);
/// How long a refused stream is not asked for again.
const RETRY_FULL: Duration = Duration::from_secs(300);

/// The body of a request.
pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A body without a byte.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Whether a request may take the last connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// It is answered at once.
    Short,
    /// It may stay open for as long as its caller likes: a followed log, a wait, an exec.
    Long,
}

/// The connections of one host.
pub(crate) struct Pool {
    dialer: Dialer,
    idle: Mutex<Vec<Idle>>,
    returned: Notify,
    /// One permit for every stream that the far side is believed to grant.
    slots: Arc<Semaphore>,
    /// Fewer, so that long requests never take the last stream, nor the last place of a call.
    long: Arc<Semaphore>,
    refused: Mutex<Vec<Refused>>,
    live: Arc<AtomicUsize>,
    dialled: AtomicUsize,
    generation: AtomicUsize,
    /// Whether somebody looks after what rests.
    sweeping: AtomicBool,
    this: Weak<Pool>,
}

/// A stream that the far side did not grant.
struct Refused {
    at: Instant,
    /// Whether the room for long requests shrank with it.
    long: bool,
}

type Sender = http1::SendRequest<Body>;

struct Idle {
    sender: Sender,
    since: Instant,
    generation: usize,
}

/// A connection that is ready for a request.
pub(crate) struct Connection {
    sender: Sender,
    generation: usize,
    /// It was dialled while the host had no other: whoever got it asks the daemon who it is.
    pub(crate) first: bool,
    /// When the daemon has to have answered a first ping.
    pub(crate) deadline: tokio::time::Instant,
    /// It rested in the pool, so the daemon may have closed it meanwhile.
    pub(crate) rested: bool,
}

/// What a ping on a connection showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// The daemon answered.
    Alive,
    /// The connection is closed.
    Closed,
    /// Nothing came in time.
    Silent,
}

/// Counts a connection until its task ends.
struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pool {
    pub(crate) fn new(dialer: Dialer) -> Arc<Self> {
        let streams = dialer.streams().max(1);
        Arc::new_cyclic(|this| Self {
            dialer,
            idle: Mutex::default(),
            returned: Notify::new(),
            slots: Arc::new(Semaphore::new(streams)),
            long: Arc::new(Semaphore::new(streams.min(PLACES).saturating_sub(1).max(1))),
            refused: Mutex::default(),
            live: Arc::default(),
            dialled: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            sweeping: AtomicBool::new(false),
            this: this.clone(),
        })
    }

    /// Waits for room for a long request; the permit is held until it ends.
    pub(crate) async fn room_for_long(&self) -> Result<OwnedSemaphorePermit> {
        self.long.clone().acquire_owned().await.map_err(|_| closed())
    }

    /// Room for a long request, if there is some now.
    pub(crate) fn spare_room_for_long(&self) -> Option<OwnedSemaphorePermit> {
        self.long.clone().try_acquire_owned().ok()
    }

    /// A ready connection: a rested one, the next that another caller gives back, or a new one.
    pub(crate) async fn connection(&self) -> Result<Connection> {
        self.ask_again_for_refused();
        loop {
            if let Some(idle) = self.take_idle() {
                let deadline = tokio::time::Instant::now() + CONNECT;
                let Idle { sender, generation, .. } = idle;
                return Ok(Connection { sender, generation, first: false, deadline, rested: true });
            }
            tokio::select! {
                biased;
                () = self.returned.notified() => {}
                permit = self.slots.clone().acquire_owned() => {
                    let permit = permit.map_err(|_| closed())?;
                    if let Some(connection) = self.dial(permit).await? {
                        return Ok(connection);
                    }
                }
            }
        }
    }

    /// A new connection, or `None` when the far side grants no more streams than it has.
    async fn dial(&self, permit: OwnedSemaphorePermit) -> Result<Option<Connection>> {
        let generation = self.generation.load(Ordering::Acquire);
        let permit = Arc::new(permit);
        let deadline = tokio::time::Instant::now() + CONNECT;
        let dialled = tokio::time::timeout_at(deadline, self.dialer.dial(Slot::new(permit.clone()))).await;
        let stream = match dialled {
            Err(_) => return Err(late("it did not accept a connection within 5 s")),
            Ok(Ok(stream)) => stream,
            Ok(Err(DialError::Failed(error))) => return Err(error),
            Ok(Err(DialError::Full)) => {
                if let Some(permit) = Arc::into_inner(permit) {
                    self.lower(permit);
                }
                return Ok(None);
            }
        };
        drop(permit);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failure(&error, "before the first request"))?;
        let first = self.live.fetch_add(1, Ordering::AcqRel) == 0;
        let live = Live(self.live.clone());
        tokio::spawn(async move {
            // Errors reach the requests on it; here only the end matters.
            connection.with_upgrades().await.ok();
            drop(live);
        });
        self.dialled.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Connection { sender, generation, first, deadline, rested: false }))
    }

    /// Sends on the connection, which is lent out until the answer has been read to its end.
    pub(crate) async fn send(
        &self,
        mut connection: Connection,
        request: Request<Body>,
    ) -> Result<(Response<Incoming>, Lent)> {
        let response = self.send_on(&mut connection, request).await?;
        let connection = (response.status() != http::StatusCode::SWITCHING_PROTOCOLS).then_some(connection);
        Ok((response, Lent { connection, pool: self.this.clone() }))
    }

    /// Sends on the connection without giving it back.
    pub(crate) async fn send_on(
        &self,
        connection: &mut Connection,
        request: Request<Body>,
    ) -> Result<Response<Incoming>> {
        connection.sender.send_request(request).await.map_err(|error| failure(&error, "without an answer"))
    }

    /// Waits until the connection can take the next request.
    pub(crate) async fn settle(&self, connection: &mut Connection) -> Result<()> {
        connection.sender.ready().await.map_err(|error| failure(&error, "after an answer"))
    }

    /// Proves that a connection reaches the daemon, so that a write meets no dead one.
    pub(crate) async fn prove(&self, connection: &mut Connection) -> Proof {
        let Ok(ping) = Request::builder().method(Method::HEAD).uri("/_ping").header(header::HOST, HOST).body(empty())
        else {
            return Proof::Closed;
        };
        let proof = async {
            let response = connection.sender.send_request(ping).await.ok()?;
            response.into_body().collect().await.ok()?;
            connection.sender.ready().await.ok()
        };
        match tokio::time::timeout(CONNECT, proof).await {
            Ok(Some(())) => Proof::Alive,
            Ok(None) => Proof::Closed,
            Err(_) => Proof::Silent,
        }
    }

    /// Makes new calls dial anew; what is in flight keeps its connection.
    pub(crate) async fn renew(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        lock(&self.idle).clear();
        self.dialer.forget().await;
    }

    /// Closes what rests.
    pub(crate) fn close_resting(&self) {
        lock(&self.idle).clear();
    }

    /// How many connections were ever opened.
    pub(crate) fn dialled(&self) -> usize {
        self.dialled.load(Ordering::Relaxed)
    }

    /// Takes a connection back that can take the next request.
    fn rest(&self, connection: Connection) {
        if connection.generation != self.generation.load(Ordering::Acquire) {
            return;
        }
        let idle = Idle { sender: connection.sender, since: Instant::now(), generation: connection.generation };
        lock(&self.idle).push(idle);
        self.returned.notify_one();
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(self.this.clone()));
        }
    }

    fn take_idle(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        // The one used last is the likeliest to be alive, and lets the others grow old.
        while let Some(candidate) = idle.pop() {
            if candidate.is_fresh() && candidate.sender.is_ready() {
                return Some(candidate);
            }
        }
        None
    }

    /// The far side grants fewer streams than believed.
    fn lower(&self, permit: OwnedSemaphorePermit) {
        permit.forget();
        let long = match self.long.clone().try_acquire_owned() {
            Ok(last) if self.long.available_permits() > 0 => {
                last.forget();
                true
            }
            _ => false,
        };
        lock(&self.refused).push(Refused { at: Instant::now(), long });
    }

    fn ask_again_for_refused(&self) {
        lock(&self.refused).retain(|refused| {
            let keep = refused.at.elapsed() < RETRY_FULL;
            if !keep {
                self.slots.add_permits(1);
                self.long.add_permits(usize::from(refused.long));
            }
            keep
        });
    }
}

/// Closes what has rested too long, until nothing rests; without it a quiet host would keep its streams for ever.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(IDLE / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut idle = lock(&pool.idle);
        idle.retain(Idle::is_fresh);
        if idle.is_empty() {
            pool.sweeping.store(false, Ordering::Release);
            return;
        }
    }
}

/// A connection whose answer is being read.
///
/// Dropped, it goes back to the pool by itself once the answer has ended, a little later.
pub(crate) struct Lent {
    connection: Option<Connection>,
    pool: Weak<Pool>,
}

impl Lent {
    /// Gives it back now, so that the same call finds it again: the answer has been read to its end.
    pub(crate) async fn give_back(mut self) {
        if let Some(connection) = self.connection.take() {
            settle(connection, self.pool.clone()).await;
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Outside the runtime there is nobody left to give it to.
        if let (Some(connection), Ok(runtime)) = (self.connection.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(settle(connection, self.pool.clone()));
        }
    }
}

/// Waits for the end of the answer; a connection that was left before it ends with it.
async fn settle(mut connection: Connection, pool: Weak<Pool>) {
    if connection.sender.ready().await.is_ok()
        && let Some(pool) = pool.upgrade()
    {
        pool.rest(connection);
    }
}

impl Idle {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < IDLE && !self.sender.is_closed()
    }
}

/// The `Host` header of every request; the daemon ignores it.
pub(crate) const HOST: &str = "docker";

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn closed() -> Error {
    Error::internal("the host's connections are closed")
}

/// A host that stays silent.
pub(crate) fn late(what: &str) -> Error {
    Error::unreachable(format!("the daemon cannot be reached: {what}")).hint(ASK_CHECK).retryable(true)
}

/// A connection that broke, by the class of its cause.
pub(crate) fn failure(error: &hyper::Error, when: &str) -> Error {
    if let Some(cause) = broken(error) {
        return cause;
    }
    let class = if error.is_parse() || error.is_parse_status() {
        "what answers does not speak HTTP".to_owned()
    } else {
        format!("the connection was closed {when}")
    };
    let text = std::iter::successors(std::error::Error::source(error), |cause| cause.source())
        .fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    Error::unreachable(format!("the daemon cannot be reached: {class}")).hint(ASK_CHECK).detail(text)
}
