//! One configured host: its connections, its engine, its health, and the one exchange with it.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use dashmap::DashMap;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::TaskTracker;

use super::{
    Docker, HEADERS,
    access::Ceiling,
    breaker::{Breaker, Tripped},
    bulkhead::{Bulkhead, Entry, Place},
    connect::Dialer,
    pool::{Body, Connection, HOST, Lent, Pool, Proof, empty, late, lock},
    reference::Reference,
    together::Question,
};
use crate::{
    config::{Environment, HostConfig},
    error::{Error, Kind, Result},
    redact::Reveal,
};

/// The newest API that our models know.
const NEWEST: ApiVersion = ApiVersion { major: 1, minor: 53 };
/// The oldest API that is served: Docker 20.10.
pub(super) const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 41 };
/// How many registries of a host's images are remembered.
const MOST_REGISTRIES: usize = 1_000;
/// A host is reconnected on request at most once in this time.
const RECONNECT: Duration = Duration::from_secs(10);

/// A version of the engine API, such as 1.45.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Always 1 so far.
    pub major: usize,
    /// What moves.
    pub minor: usize,
}

impl ApiVersion {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// What a daemon says of itself when it is first met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The API version that requests carry: the lower of the daemon's newest and ours.
    pub api: ApiVersion,
    /// The engine's own version, such as `26.1.5`, where it says it.
    pub version: Option<String>,
    /// The engine's identity, once `/info` was read; machines cloned from one image share it.
    pub id: Option<String>,
}

/// What is known about a host without asking it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// When it last answered.
    pub seen: Option<SystemTime>,
    /// How long its last ping took.
    pub latency: Option<Duration>,
    /// Why it did not answer the last time, and since when it has not.
    pub failure: Option<(Error, SystemTime)>,
    /// Whether calls fail at once, because it was out of reach.
    pub tripped: Option<Tripped>,
}

/// One configured host: its settings, its connections, its engine.
pub struct Host {
    config: HostConfig,
    environment: Arc<Environment>,
    reveal: Reveal,
    pool: Arc<Pool>,
    bulkhead: Bulkhead,
    breaker: Breaker,
    /// Writes that were sent: they go on although their caller has gone.
    sent: TaskTracker,
    engine: Mutex<Option<Engine>>,
    health: Mutex<Health>,
    reconnected: Mutex<Option<Instant>>,
    memories: DashMap<&'static str, Memory>,
    /// Registries that the configuration lets reads send a daemon to.
    registries: Arc<[String]>,
    /// Registries that images of this host name.
    named: Mutex<HashSet<String>>,
    /// Held while something is read that is dear to read.
    turn: tokio::sync::Mutex<()>,
}

/// What was read a while ago, of what is dear to read.
#[derive(Debug, Clone)]
pub struct Memory {
    /// What was made of the answer.
    pub value: Value,
    at: Instant,
}

impl Memory {
    /// How long ago it was read.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Host {
    pub(super) fn new(
        config: HostConfig,
        environment: &Arc<Environment>,
        registries: Arc<[String]>,
        sent: TaskTracker,
    ) -> Self {
        let pool = Pool::new(Dialer::new(&config, environment));
        Self {
            reveal: Reveal::new(&config.limits.reveal),
            config,
            environment: environment.clone(),
            pool,
            bulkhead: Bulkhead::new(),
            breaker: Breaker::default(),
            sent,
            engine: Mutex::default(),
            health: Mutex::default(),
            reconnected: Mutex::default(),
            memories: DashMap::new(),
            registries,
            named: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The same host as if nobody had met it yet, with connections of its own.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.config.clone(), &self.environment, self.registries.clone(), self.sent.clone())
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &HostConfig {
        &self.config
    }

    /// Names whose values are shown.
    pub(super) fn reveal(&self) -> &Reveal {
        &self.reveal
    }

    /// Whether reads may send this daemon to a registry, as far as it is known.
    pub(super) fn may_reach(&self, registry: &str) -> bool {
        self.registries.iter().any(|known| known == registry) || lock(&self.named).contains(registry)
    }

    /// Remembers the registries that these images name.
    pub(super) fn note_registries<'a>(&self, references: impl Iterator<Item = &'a str>) {
        let registries = references.filter_map(|name| Reference::of(name).foreign_registry());
        let mut named = lock(&self.named);
        for registry in registries.map(str::to_ascii_lowercase) {
            if named.len() < MOST_REGISTRIES {
                named.insert(registry);
            }
        }
    }

    /// What the daemon said of itself, if it was ever met.
    #[must_use]
    pub fn engine(&self) -> Option<Engine> {
        lock(&self.engine).clone()
    }

    /// What is known about it without asking.
    #[must_use]
    pub fn health(&self) -> Health {
        Health { tripped: self.breaker.tripped(), ..lock(&self.health).clone() }
    }

    /// Lets the next request try the host, also while calls to it fail at once.
    pub fn hurry(&self) {
        self.breaker.hurry();
    }

    /// What was last read under a name by [`Docker::seldom`], however long ago.
    #[must_use]
    pub fn recall(&self, name: &str) -> Option<Memory> {
        self.memories.get(name).map(|memory| memory.clone())
    }

    pub(super) async fn seldom(
        &self,
        name: &'static str,
        fresh: Duration,
        read: impl Future<Output = Result<Value>>,
    ) -> Result<Memory> {
        let _turn = self.turn.lock().await;
        if let Some(memory) = self.recall(name).filter(|memory| memory.age() < fresh) {
            return Ok(memory);
        }
        let memory = Memory { value: read.await?, at: Instant::now() };
        self.memories.insert(name, memory.clone());
        Ok(memory)
    }

    /// How many connections (over SSH: channels) were ever opened to it.
    #[must_use]
    pub fn dialled(&self) -> usize {
        self.pool.dialled()
    }

    /// A handle for reading.
    #[must_use]
    pub fn reading(self: &Arc<Self>) -> Docker {
        self.with_ceiling(Ceiling::reading(self.config.mode))
    }

    /// A handle with a ceiling of the caller's decision. Only the gateway calls it with more than a read.
    pub(crate) fn with_ceiling(self: &Arc<Self>, ceiling: Ceiling) -> Docker {
        Docker::new(self.clone(), ceiling)
    }

    /// Makes new calls open new connections; those in flight keep theirs.
    ///
    /// # Errors
    /// `busy` when it was done less than ten seconds ago; those of connecting.
    pub async fn reconnect(self: &Arc<Self>) -> Result<Engine> {
        {
            let mut reconnected = lock(&self.reconnected);
            if let Some(elapsed) = reconnected.map(|at| at.elapsed()).filter(|elapsed| *elapsed < RECONNECT) {
                let wait = RECONNECT.saturating_sub(elapsed).as_secs() + 1;
                return Err(Error::busy("the host was reconnected a moment ago").hint(format!("try again in {wait} s")));
            }
            *reconnected = Some(Instant::now());
        }
        self.pool.renew().await;
        *lock(&self.engine) = None;
        self.hurry();
        self.reading().engine().await
    }

    /// Closes the connections that rest.
    pub(super) fn close_resting(&self) {
        self.pool.close_resting();
    }

    /// Takes one of the places of calls in flight.
    ///
    /// # Errors
    /// `busy` when too many wait already.
    pub(super) async fn place(&self) -> Result<Place> {
        self.bulkhead.enter().await
    }

    /// Takes one of the places to ask the question, or waits with others for the answer that one of them gets.
    ///
    /// # Errors
    /// `busy` when too many wait already; what the one that asked has failed with.
    pub(super) async fn place_to_ask(&self, question: &Question) -> Result<Entry> {
        self.bulkhead.enter_to_ask(question).await
    }

    /// Room for a long request, if there is some now.
    pub(super) fn spare_room_for_long(&self) -> Option<OwnedSemaphorePermit> {
        self.pool.spare_room_for_long()
    }

    /// Waits for room for a long request.
    ///
    /// # Errors
    /// `busy` when too many wait already.
    pub(super) async fn room_for_long(&self) -> Result<OwnedSemaphorePermit> {
        self.bulkhead.queued(self.pool.room_for_long()).await
    }

    /// Lets a write go on by itself, so that nobody who stops waiting for it cuts it off.
    pub(super) async fn see_through<T: Send + 'static>(
        &self,
        write: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.sent.spawn(write).await.unwrap_or_else(|_| Err(Error::internal("a write ended in a defect")))
    }

    /// Lets the end of something go on by itself; the gateway waits for it when it ends.
    pub(super) fn see_out(&self, ending: impl Future<Output = ()> + Send + 'static) {
        self.sent.spawn(ending);
    }

    /// Sends a request that the guard has admitted, with the API version in front.
    ///
    /// # Errors
    /// `unreachable` at once while the breaker is open; those of connecting; `timeout` without headers in time.
    pub(super) async fn exchange(
        &self,
        request: Request<Body>,
        write: bool,
        headers: Duration,
    ) -> Result<(Response<Incoming>, Lent)> {
        let attempt = self.breaker.admit()?;
        let answer = self.exchange_once(request, write, attempt.is_probe(), headers).await;
        match &answer {
            Ok(_) => {
                attempt.succeeded();
                let mut health = lock(&self.health);
                health.seen = Some(SystemTime::now());
                health.failure = None;
            }
            Err(error) => {
                let is_late = error.kind() == Kind::Timeout && headers <= HEADERS;
                if is_late || error.kind() == Kind::Unreachable {
                    attempt.failed(error);
                }
                self.note(error);
            }
        }
        answer
    }

    async fn exchange_once(
        &self,
        request: Request<Body>,
        write: bool,
        probe: bool,
        headers: Duration,
    ) -> Result<(Response<Incoming>, Lent)> {
        let mut connection = self.ready(write || probe).await?;
        let (parts, body) = request.into_parts();
        // A rested connection may have been closed by the daemon just now. A read may then be sent
        // once more; a write was proved before and is never sent twice.
        let again = (!write && connection.rested).then(|| parts.clone());
        connection.rested = false;
        let sent = self.send(connection, Request::from_parts(parts, body), headers).await;
        match (sent, again) {
            (Err(error), Some(parts)) if error.kind() == Kind::Unreachable => {
                let connection = self.ready(true).await?;
                self.send(connection, Request::from_parts(parts, empty()), headers).await
            }
            (sent, _) => sent,
        }
    }

    /// A connection; with `proved` one that has just answered.
    async fn ready(&self, proved: bool) -> Result<Connection> {
        loop {
            let mut connection = self.pool.connection().await?;
            if connection.first || self.engine().is_none() {
                let meeting = tokio::time::timeout_at(connection.deadline, self.meet(&mut connection)).await;
                meeting.unwrap_or_else(|_| Err(late("it did not answer a ping within 5 s")))?;
            } else if proved {
                match self.pool.prove(&mut connection).await {
                    Proof::Alive => {}
                    // The daemon closed what rested: the next may be alive, and a new one tells for sure.
                    Proof::Closed if connection.rested => continue,
                    Proof::Closed => return Err(late("it closed a new connection")),
                    Proof::Silent => return Err(late("it did not answer a ping within 5 s")),
                }
            }
            return Ok(connection);
        }
    }

    async fn send(
        &self,
        connection: Connection,
        mut request: Request<Body>,
        headers: Duration,
    ) -> Result<(Response<Incoming>, Lent)> {
        // What a program wrote in the words of an older version stays in them.
        let spoken = request.extensions().get::<ApiVersion>().copied();
        let api = spoken.unwrap_or_else(|| self.engine().map_or(OLDEST, |engine| engine.api));
        *request.uri_mut() = versioned(request.uri(), api)?;
        request.headers_mut().insert(header::HOST, HeaderValue::from_static(HOST));
        tokio::time::timeout(headers, self.pool.send(connection, request)).await.unwrap_or_else(|_| {
            Err(Error::timeout(format!("the daemon did not begin to answer within {} s", headers.as_secs()))
                .hint("the daemon is slow or stuck; try once more, then ask the person to run \"quaymaster check\""))
        })
    }

    /// Asks the daemon who it is, on a connection of its own choice.
    async fn meet(&self, connection: &mut Connection) -> Result<()> {
        let started = Instant::now();
        let ping = self.pool.ask(connection, "/_ping").await?;
        let latency = started.elapsed();
        let newest = ping.headers.get("api-version").and_then(|value| ApiVersion::parse(value.to_str().ok()?));
        // A proxy in front of the engine may refuse this one: then what the ping said has to do.
        let version = self.pool.ask(connection, "/version").await.ok();
        let document: Value = version.and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
        let said = |field: &str| document.get(field).and_then(Value::as_str);
        let newest = newest.or_else(|| said("ApiVersion").and_then(ApiVersion::parse)).ok_or_else(|| {
            Error::docker("what answers is not a Docker engine")
                .hint("ask the person to run \"quaymaster check\"")
                .detail(format!("/_ping answered with HTTP status {} and no Api-Version", ping.status))
        })?;
        let least = said("MinAPIVersion").and_then(ApiVersion::parse);
        if newest < OLDEST {
            return Err(Error::unsupported(format!("the daemon's API {newest} is older than {OLDEST} (Docker 20.10)"))
                .hint("ask the person to upgrade that engine"));
        }
        // A daemon may come to refuse what our models know; reads stay possible in its own oldest words.
        let api = newest.min(NEWEST).max(least.unwrap_or(OLDEST));
        *lock(&self.engine) = Some(Engine { api, version: said("Version").map(str::to_owned), id: None });
        let mut health = lock(&self.health);
        health.latency = Some(latency);
        health.seen = Some(SystemTime::now());
        health.failure = None;
        Ok(())
    }

    /// Remembers the engine's identity, which only `/info` tells.
    pub(super) fn identify(&self, id: &str) {
        if let Some(engine) = lock(&self.engine).as_mut() {
            engine.id = Some(id.to_owned());
        }
    }

    /// Remembers a failure to connect; an answer that is an error of the daemon is none.
    fn note(&self, error: &Error) {
        if matches!(error.kind(), Kind::Unreachable | Kind::Timeout) {
            let mut health = lock(&self.health);
            let since = health.failure.take().map_or_else(SystemTime::now, |(_, since)| since);
            health.failure = Some((error.clone(), since));
            if let Some(detail) = error.detail_text() {
                tracing::warn!(host = %self.config.name, "{error}: {detail}");
            }
        }
    }
}

fn versioned(uri: &Uri, api: ApiVersion) -> Result<Uri> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    format!("/v{api}{target}").parse().map_err(|_| Error::invalid("a name cannot be part of a request"))
}

/// A small answer, read whole: status, headers, at most 64 kilobytes of body.
pub(super) struct Small {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Pool {
    /// Asks for a fixed path on a connection and leaves it ready for the next request.
    async fn ask(&self, connection: &mut Connection, path: &'static str) -> Result<Small> {
        let request = Request::builder()
            .uri(path)
            .header(header::HOST, HOST)
            .body(empty())
            .map_err(|error| Error::internal("a fixed path is wrong").detail(error.to_string()))?;
        let response = self.send_on(connection, request).await?;
        let (parts, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| super::pool::failure(&error, "within an answer"))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > 64 << 10 {
                    return Err(Error::docker("what answers is not a Docker engine"));
                }
                bytes.extend_from_slice(&data);
            }
        }
        self.settle(connection).await?;
        Ok(Small { status: parts.status.as_u16(), headers: parts.headers, body: bytes })
    }
}
