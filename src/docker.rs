//! What a tool holds to speak to one daemon, for reading or for writing, and never beyond its ceiling.

pub mod access;
pub mod amend;
mod answer;
pub mod archive;
mod breaker;
mod bulkhead;
pub mod cli;
mod connect;
mod containers;
mod documents;
pub mod guard;
mod host;
mod hosts;
pub mod judge;
mod looks;
pub mod names;
pub mod objects;
mod pool;
pub mod probe;
mod records;
pub(crate) mod reference;
mod replay;
mod sight;
mod ssh;
pub mod stream;
mod swarm;
mod target;
mod together;
mod upload;
mod values;

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{BollardRequest, ClientVersion};
use futures_util::Stream;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    config::sources,
    error::{Error, Result},
    redact::{self, Reveal},
};
use access::Ceiling;
use answer::{Reply, collect, daemon_error, document, foreign, is_page, refused, withheld};
pub use breaker::Tripped;
use bulkhead::Place;
pub use containers::{Container, Port};
use guard::Wire;
pub use host::{ApiVersion, Engine, Health, Host, Memory};
pub use hosts::{Fleet, twins};
use judge::Judge;
use objects::Object;
use pool::{Body, Length, empty};
pub use sight::events::Events;
#[cfg(fuzzing)]
pub use ssh::known_hosts;
pub use target::{Filters, Target};

/// How long the headers of a read's answer may take.
pub const HEADERS: Duration = Duration::from_secs(10);

/// How long a write is seen through whose caller has gone.
const LONGEST_WRITE: Duration = Duration::from_secs(3600);
/// How long an upload may take in which bytes are still taken.
const LONGEST_UPLOAD: Duration = Duration::from_secs(2 * 3600);
/// The longest answer to a write: what a prune removed is all in it.
const LARGEST_RECEIPT: usize = 4 << 20;

/// A handle to one daemon, for one call, with a ceiling.
///
/// Every request goes through the guard. Reads come back as tolerant JSON, since a newer
/// daemon's values must not fail them; writes go through bollard's typed client
/// ([`Docker::typed`]), which sends over the same guarded connections.
#[derive(Clone)]
pub struct Docker {
    host: Arc<Host>,
    ceiling: Ceiling,
    call: Arc<CallState>,
    judge: Option<Arc<dyn Judge>>,
}

/// What one call has done so far on one host.
#[derive(Default)]
struct CallState {
    created: Arc<Mutex<HashSet<String>>>,
    standing: tokio::sync::Mutex<Standing>,
    sight: sight::Memory,
}

/// What a call holds of a host until it ends: one place at most, however many requests it sends.
#[derive(Default)]
struct Standing {
    place: Option<Place>,
    long: Option<OwnedSemaphorePermit>,
}

impl CallState {
    fn has_made(&self, container: &str) -> bool {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).contains(container)
    }
}

impl Docker {
    pub(crate) fn new(host: Arc<Host>, ceiling: Ceiling) -> Self {
        Self { host, ceiling, call: Arc::default(), judge: None }
    }

    /// The same with somebody who judges what others wrote, before it is carried; without one nothing foreign
    /// that changes anything is.
    pub(crate) fn judged_by(self, judge: Arc<dyn Judge>) -> Self {
        Self { judge: Some(judge), ..self }
    }

    /// A handle for one of many requests that a program of the same call makes at once: with a place of its own,
    /// and without what was learned of objects before.
    fn apart(&self) -> Self {
        let call = CallState { created: self.call.created.clone(), ..CallState::default() };
        Self { call: Arc::new(call), ..self.clone() }
    }

    /// The same handle for looks, which share its place.
    fn looking(&self) -> Self {
        Self { ceiling: Ceiling::reading(self.ceiling.mode), judge: None, ..self.clone() }
    }

    /// The host's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host.config().name
    }

    /// The host's settings.
    #[must_use]
    pub fn config(&self) -> &crate::config::HostConfig {
        self.host.config()
    }

    /// What is known of the host without asking it: when it was last seen, and since when it fails.
    #[must_use]
    pub fn health(&self) -> Health {
        self.host.health()
    }

    /// What is known about the daemon; connects if nothing is.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn engine(&self) -> Result<Engine> {
        if let Some(engine) = self.host.engine() {
            return Ok(engine);
        }
        self.ping().await?;
        self.host.engine().ok_or_else(|| Error::docker("the daemon does not say which version it is"))
    }

    /// Asks whether the daemon answers.
    ///
    /// # Errors
    /// Those of connecting.
    pub async fn ping(&self) -> Result<()> {
        let Reply { response, lent, .. } = self.ask(Method::GET, Target::new("/_ping")).await?;
        collect(response.into_body(), 64 << 10).await?;
        lent.give_back().await;
        Ok(())
    }

    /// How many connections (over SSH: channels) were ever opened to the host.
    #[must_use]
    pub fn dialled(&self) -> usize {
        self.host.dialled()
    }

    /// Closes the connections that rest: for a call about so many hosts that theirs would add up.
    pub fn close_resting(&self) {
        self.host.close_resting();
    }

    /// Reads `/info`, whose answer begins within `headers`, and remembers the engine's identity.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn info(&self, headers: Duration) -> Result<Value> {
        let info = self.json(Target::new("/info").patient(headers)).await?;
        if let Some(id) = info.get("ID").and_then(Value::as_str) {
            self.host.identify(id);
        }
        Ok(info)
    }

    /// What was last read under a name by [`Docker::seldom`], however long ago.
    #[must_use]
    pub fn recall(&self, name: &str) -> Option<Memory> {
        self.host.recall(name)
    }

    /// Reads what is dear to read, unless that was done less than `fresh` ago.
    ///
    /// Callers of one host take turns, so many of them at once cost the daemon one reading.
    ///
    /// # Errors
    /// Those of `read`.
    pub async fn seldom(
        &self,
        name: &'static str,
        fresh: Duration,
        read: impl Future<Output = Result<Value>>,
    ) -> Result<Memory> {
        // First the place, then the turn: whoever has the turn must never wait for those who wait for it.
        self.enter(Length::Short).await?;
        self.host.seldom(name, fresh, read).await
    }

    /// Names whose values are shown on this host.
    #[must_use]
    pub fn reveal(&self) -> &Reveal {
        self.host.reveal()
    }

    /// Opens a stream of bytes: logs, statistics. Events are read with [`Docker::events`].
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn bytes(&self, target: Target) -> Result<stream::Bytes> {
        if target.path == "/events" {
            return Err(Error::internal("events that must be looked through were asked for unseen"));
        }
        self.stream(target).await
    }

    /// As [`Docker::bytes`], of anything: whoever reads it has to judge what it names.
    async fn stream(&self, target: Target) -> Result<stream::Bytes> {
        Ok(stream::Bytes::new(self.ask(Method::GET, target.long()).await?.response))
    }

    /// Begins what the daemon tells the progress of, such as a pull; it may be silent for as long as `idle`.
    ///
    /// Dropping the stream ends it at the daemon.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn progress(&self, target: Target, idle: Duration) -> Result<stream::JsonLines> {
        let reply = self.ask(Method::POST, target.patient(idle).long()).await?;
        Ok(stream::JsonLines::new(stream::Bytes::new(reply.response).patient(idle)))
    }

    /// As [`Docker::progress`], of what is asked for with a JSON body.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn progress_of(&self, target: Target, body: &Value, idle: Duration) -> Result<stream::JsonLines> {
        let body = Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync();
        let mut request = target.long().request(Method::POST, body)?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let uri = request.uri().clone();
        let reply = self.accepted(self.send(request, Length::Long, idle).await?, &uri).await?;
        if is_page(&reply.response) {
            return Err(foreign());
        }
        Ok(stream::JsonLines::new(stream::Bytes::new(reply.response).patient(idle)))
    }

    /// Sends a stream of bytes with POST and reads the progress that the daemon tells of it: a build, a load, an
    /// import. Neither side may be silent for longer than `idle`; dropping either end ends it at the daemon.
    ///
    /// # Errors
    /// As [`Docker::json`]; what the source of the bytes failed with.
    pub async fn upload(
        &self,
        target: Target,
        bytes: impl Stream<Item = Result<bytes::Bytes>> + Send + 'static,
        idle: Duration,
    ) -> Result<stream::JsonLines> {
        let reply = self.carrying(Method::POST, target.long(), bytes, idle).await?;
        Ok(stream::JsonLines::new(stream::Bytes::new(reply.response).patient(idle)))
    }

    /// Sends a stream of bytes with PUT: an archive that is unpacked in a container.
    ///
    /// # Errors
    /// As [`Docker::upload`].
    pub async fn put(
        &self,
        target: Target,
        bytes: impl Stream<Item = Result<bytes::Bytes>> + Send + 'static,
        idle: Duration,
    ) -> Result<()> {
        let Reply { response, lent, .. } = self.carrying(Method::PUT, target.long(), bytes, idle).await?;
        collect(response.into_body(), LARGEST_RECEIPT).await?;
        lent.give_back().await;
        Ok(())
    }

    async fn carrying(
        &self,
        method: Method,
        target: Target,
        bytes: impl Stream<Item = Result<bytes::Bytes>> + Send + 'static,
        idle: Duration,
    ) -> Result<Reply> {
        let source = upload::Source::new(bytes);
        let watched = source.watch();
        let mut request = target.request(method, source.body())?;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
        let uri = request.uri().clone();
        // Its headers may come after the last byte was taken: as long as bytes are taken, it is not silent.
        let sent = async {
            let reply = self.send(request, Length::Long, LONGEST_UPLOAD).await?;
            let reply = self.accepted(reply, &uri).await?;
            if is_page(&reply.response) { Err(foreign()) } else { Ok(reply) }
        };
        watched.over(sent, idle).await
    }

    /// Sends a write that bollard has no word for, with a JSON body or none; its answer, `null` where it is empty.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn write(&self, method: Method, target: Target, body: Option<&Value>) -> Result<Value> {
        let headers = target.headers;
        let body =
            body.map_or_else(empty, |body| Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync());
        let mut request = target.request(method, body)?;
        if !request.body().is_end_stream() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let (parts, body) = request.into_parts();
        let body = Box::pin(self.judged(&parts, body)).await?;
        let uri = parts.uri.clone();
        let reply = self.send(Request::from_parts(parts, body), Length::Short, headers).await?;
        let Reply { response, lent, .. } = self.accepted(reply, &uri).await?;
        if is_page(&response) {
            return Err(foreign());
        }
        let bytes = collect(response.into_body(), LARGEST_RECEIPT).await?;
        lent.give_back().await;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        let mut answer = serde_json::from_slice(&bytes)
            .map_err(|error| Error::docker("the daemon's answer is no JSON").detail(error.to_string()))?;
        redact::document(&mut answer, self.reveal());
        Ok(answer)
    }

    /// Opens a stream in both directions: an exec, an attach. `framed` says how the engine writes to it
    /// where the engine itself does not say so.
    ///
    /// # Errors
    /// As [`Docker::json`]; what answers opens no stream.
    pub async fn duplex(&self, target: Target, body: Option<&Value>, framed: bool) -> Result<stream::Duplex> {
        let headers = target.headers;
        let mut request = target.request(Method::POST, empty())?;
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("tcp"));
        if let Some(body) = body {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *request.body_mut() = Full::from(body.to_string()).map_err(|never| match never {}).boxed_unsync();
        }
        let uri = request.uri().clone();
        let reply = self.accepted(self.send(request, Length::Long, headers).await?, &uri).await?;
        let framed = stream::multiplexed(&reply.response).unwrap_or(framed);
        let unopened = || {
            Error::docker("the daemon did not open a stream")
                .hint("a proxy in front of it may hold streams back; ask the person to run \"quaymaster check\"")
        };
        if reply.response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(unopened());
        }
        let upgraded = hyper::upgrade::on(reply.response).await;
        Ok(stream::Duplex::new(upgraded.map_err(|error| unopened().detail(error.to_string()))?, framed))
    }

    /// Waits until a container is `not-running` or `removed`; answers its exit code.
    ///
    /// # Errors
    /// As [`Docker::json`]; the caller sets the deadline.
    pub async fn wait(&self, container: &str, condition: &str) -> Result<Option<i64>> {
        self.waiting(container, condition).await?.code().await
    }

    /// Begins to wait for a container; from now on the daemon watches it, so that `next-exit`
    /// of one which is started after this misses nothing.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn waiting(&self, container: &str, condition: &str) -> Result<Waiting> {
        let target = Target::new(format!("/containers/{container}/wait"))
            .query("condition", condition)
            .patient(Duration::from_secs(3600))
            .long();
        let Reply { wire, response, .. } = self.ask(Method::POST, target).await?;
        Ok(Waiting { wire, response })
    }

    /// Bollard's client over this handle's guarded connections, for typed writes.
    ///
    /// # Errors
    /// Those of connecting: the engine's version is found out first.
    pub async fn typed(&self) -> Result<bollard::Docker> {
        let ApiVersion { major, minor } = self.engine().await?.api;
        let docker = self.clone();
        let transport = move |request: BollardRequest| {
            let docker = docker.clone();
            async move {
                docker
                    .carry(request)
                    .await
                    .map_err(|error| bollard::errors::Error::IOError { err: io::Error::other(error) })
            }
        };
        let version = ClientVersion { major_version: major, minor_version: minor };
        // The deadlines are ours; bollard's covers the headers only.
        Ok(bollard::Docker::connect_with_custom_transport(transport, Some("http://docker"), 24 * 3600, &version)?)
    }

    /// Notes that this call made the container, so that `create` is enough to start it.
    pub fn made(&self, container: &str) {
        self.call.created.lock().unwrap_or_else(PoisonError::into_inner).insert(container.to_owned());
    }

    /// Refuses an address that the daemon must not be made to fetch from; the guard holds to the same.
    ///
    /// # Errors
    /// `invalid` for what is no plain address, `denied` for one that the host's settings do not allow.
    pub fn may_fetch(&self, argument: &str, address: &str) -> Result<()> {
        if !sources::is_plain(address) {
            // What stands in it may be a password.
            return Err(Error::invalid(format!("argument \"{argument}\" is no plain address")).hint(
                "http://, https:// or git://, without a user or a password, in lower case, nothing to be put right",
            ));
        }
        if self.config().limits.sources.admit(address) {
            return Ok(());
        }
        Err(Error::denied(format!(
            "argument \"{argument}\": \"sources\" in the configuration does not let the daemon fetch from {}",
            names::quote(address)
        ))
        .hint("nothing was sent; the person can add it to \"sources\""))
    }

    /// Notes that this call removes the container in the end, so that `create` is enough to stop and to start it.
    pub fn replaces(&self, container: &Object) {
        self.made(&container.id);
    }

    /// Whether this call made the container, or the execution in one.
    #[must_use]
    pub fn has_made(&self, id: &str) -> bool {
        self.call.has_made(id)
    }

    /// Sends what bollard wrote, reads the answer within a limit, and lets bollard read that.
    async fn carry(&self, request: BollardRequest) -> Result<Response<Incoming>> {
        let (mut parts, body) = request.into_parts();
        // Bollard writes an absolute address and drops the version: only path and query are kept.
        let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        parts.uri = Uri::from(target);
        let body = Box::pin(self.judged(&parts, body.map_err(Into::into).boxed_unsync())).await?;
        let uri = parts.uri.clone();
        let request = Request::from_parts(parts, body);
        let reply = self.send(request, Length::Short, Duration::from_secs(24 * 3600)).await?;
        let is_looked_through = reply.wire.route.method == Method::GET.as_str() && !self.sees_all();
        if withheld(&reply.wire).is_some() || is_looked_through {
            return Err(Error::internal("an answer that must be looked through was asked for unseen"));
        }
        let Reply { response, lent, .. } = self.accepted(reply, &uri).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::internal("a stream was opened where it cannot be read within limits"));
        }
        if is_page(&response) {
            return Err(foreign());
        }
        let status = response.status();
        let body = collect(response.into_body(), LARGEST_RECEIPT).await?;
        lent.give_back().await;
        replay::answer(status, &body).await
    }

    /// A body that may name what does not exist for callers, read and judged before it leaves.
    async fn judged(&self, parts: &http::request::Parts, body: Body) -> Result<Body> {
        if self.sees_all() {
            return Ok(body);
        }
        match guard::classify(&parts.method, &parts.uri) {
            Ok(wire) if sight::NAMING_BODIES.contains(&wire.route.template) => {
                let unread = |error: &dyn std::fmt::Display| {
                    Error::internal("a request cannot be read back").detail(error.to_string())
                };
                let bytes = body.collect().await.map_err(|error| unread(&error))?.to_bytes();
                let document = serde_json::from_slice(&bytes).map_err(|error| unread(&error))?;
                self.admit_body(wire.route.template, &document).await?;
                Ok(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
            }
            _ => Ok(body),
        }
    }

    async fn ask(&self, method: Method, target: Target) -> Result<Reply> {
        let (headers, length) = (target.headers, target.length);
        let request = target.request(method, empty())?;
        let uri = request.uri().clone();
        let reply = self.accepted(self.send(request, length, headers).await?, &uri).await?;
        if is_page(&reply.response) { Err(foreign()) } else { Ok(reply) }
    }

    /// An answer that is no error of the daemon.
    async fn accepted(&self, reply: Reply, uri: &Uri) -> Result<Reply> {
        let status = reply.response.status();
        let is_good = matches!(status, StatusCode::NOT_MODIFIED | StatusCode::SWITCHING_PROTOCOLS);
        if status.is_success() || is_good { Ok(reply) } else { Err(Box::pin(self.error_of(reply, uri)).await) }
    }

    /// The error that an answer is, in words that name nothing hidden.
    async fn error_of(&self, reply: Reply, uri: &Uri) -> Error {
        let Reply { wire, response, lent } = reply;
        let error = refused(response).await;
        // The look that may follow finds the connection again.
        lent.give_back().await;
        self.unsay(error, &wire, uri).await
    }

    /// A request that the guard lets leave, and that is about what exists for callers.
    async fn admitted(&self, request: Request<Body>) -> Result<Guarded> {
        let guarded = self.guarded(request)?;
        let Guarded { wire, request } = &guarded;
        if wire.registry.is_some() || !self.sees_all() {
            Box::pin(self.admit_subject(request.method(), wire, request.uri())).await?;
        }
        Ok(guarded)
    }

    /// Sends a request about what exists for callers.
    async fn send(&self, request: Request<Body>, length: Length, headers: Duration) -> Result<Reply> {
        let guarded = self.admitted(request).await?;
        // Boxed for its size: every call holds one.
        Box::pin(self.pass(guarded, length, headers)).await
    }

    /// A request that the guard lets leave, with its view of it.
    fn guarded(&self, request: Request<Body>) -> Result<Guarded> {
        let wire = guard::classify(request.method(), request.uri()).and_then(|wire| {
            let wire = wire.fetching(&self.config().limits.sources);
            let body = !request.body().is_end_stream();
            self.ceiling.admits(&wire, request.headers(), body, self.creates(&wire))?;
            Ok(wire)
        });
        match wire {
            Ok(wire) => Ok(Guarded { wire, request }),
            Err(guard::Refusal(reason)) => Err(Error::denied(format!(
                "the guard refused {} {}: {reason}",
                request.method(),
                names::quote(request.uri().path())
            ))
            .hint("nothing was sent; do not retry, and report it")),
        }
    }

    /// The single exit: it takes what the guard has let through, and nothing else.
    async fn pass(&self, guarded: Guarded, length: Length, headers: Duration) -> Result<Reply> {
        let Guarded { wire, request } = guarded;
        self.enter(length).await?;
        let (response, lent) = if wire.outlives_its_caller() && !request.headers().contains_key(header::UPGRADE) {
            let host = self.host.clone();
            // Boxed, as writes are seldom and large.
            let write = Box::pin(async move { host.exchange(request, true, headers.min(LONGEST_WRITE)).await });
            self.host.see_through(write).await?
        } else {
            self.host.exchange(request, wire.writes(), headers).await?
        };
        Ok(Reply { wire, response, lent })
    }

    /// One call holds at most one of the host's places, and at most one of those for long requests, until it ends.
    async fn enter(&self, length: Length) -> Result<()> {
        let mut standing = self.call.standing.lock().await;
        if length == Length::Long && standing.long.is_none() {
            standing.long = self.host.spare_room_for_long();
            if standing.long.is_none() {
                // Never wait for the one while holding the other: long calls must leave a place to short ones.
                standing.place = None;
                standing.long = Some(self.host.room_for_long().await?);
            }
        }
        if standing.place.is_none() {
            standing.place = Some(self.host.place().await?);
        }
        Ok(())
    }

    fn creates(&self, wire: &Wire) -> bool {
        let is_of_container = wire.route.template.starts_with("/containers/{id}");
        is_of_container && wire.subject.as_deref().is_some_and(|id| self.call.has_made(id))
    }
}

/// The error that a step of a progress stream is, in words that may be shown.
#[must_use]
pub fn reason(step: &Value) -> Option<Error> {
    let detail = step.pointer("/errorDetail/message").and_then(Value::as_str);
    let message = detail.or_else(|| step.get("error").and_then(Value::as_str))?;
    Some(daemon_error(StatusCode::INTERNAL_SERVER_ERROR.as_u16(), Some(message)))
}

/// A request that the guard has let through: only [`Docker::guarded`] makes one.
struct Guarded {
    wire: Wire,
    request: Request<Body>,
}

/// A wait that the daemon has begun.
pub struct Waiting {
    wire: Wire,
    response: Response<Incoming>,
}

impl Waiting {
    /// The exit code, once what was waited for has happened.
    ///
    /// # Errors
    /// As [`Docker::json`]; the caller sets the deadline.
    pub async fn code(self) -> Result<Option<i64>> {
        let document = document(self.response, &self.wire, Duration::MAX).await?;
        Ok(document.get("StatusCode").and_then(Value::as_i64))
    }
}
