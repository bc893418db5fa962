//! The private socket: who may use it, and the server that reads what is asked there.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
};

use super::{Sieve, carry, group::Group};
use crate::{
    docker::{Docker, judge::Mark, pool::Body},
    error::{Error, Kind},
};

/// How many connections one run has at most; docker's own clients have a few for each thing that they do at once.
const CONNECTIONS: usize = 256;
/// How long the head of a request may take, once it has begun.
const HEAD: Duration = Duration::from_secs(10);
/// How large it may be.
const LARGEST_HEAD: usize = 64 << 10;
/// How many refusals and notes of one run are kept.
const KEPT: usize = 16;

/// What a run is told beside what its programs say.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What was refused here, or could not be carried.
    pub(super) refusals: Vec<Error>,
    /// What passed, but not in silence.
    pub(super) notes: Vec<String>,
}

/// What every request of a run is carried with.
pub(super) struct Passage {
    pub(super) docker: Docker,
    pub(super) marks: Vec<Mark>,
    pub(super) sieve: Option<Arc<dyn Sieve>>,
    told: Mutex<Told>,
    /// The connections that are handed over to another protocol; they end with the run.
    pub(super) bridges: Mutex<JoinSet<()>>,
}

impl Passage {
    pub(super) fn note(&self, notes: Vec<String>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for note in notes {
            if told.notes.len() < KEPT && !told.notes.contains(&note) {
                told.notes.push(note);
            }
        }
    }

    pub(super) fn refuse(&self, error: &Error) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = told.refusals.iter().any(|known| known.message() == error.message());
        // What is not there is asked for all the time.
        if told.refusals.len() < KEPT && !is_known && error.kind() != Kind::NotFound {
            told.refusals.push(error.clone());
        }
    }

    fn bridge(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
    }
}

/// The running server of one run; what it carries ends when it is dropped, except a write that must not be cut off.
pub(super) struct Proxy {
    passage: Arc<Passage>,
    serving: AbortHandle,
}

impl Proxy {
    /// Serves the processes of a group, and nobody else.
    pub(super) fn serve(
        listener: UnixListener,
        docker: Docker,
        marks: Vec<Mark>,
        sieve: Option<Arc<dyn Sieve>>,
        group: Group,
    ) -> Self {
        let passage = Arc::new(Passage { docker, marks, sieve, told: Mutex::default(), bridges: Mutex::default() });
        let serving = tokio::spawn(accept(listener, passage.clone(), group)).abort_handle();
        Self { passage, serving }
    }

    /// What happened so far that its programs may not have said.
    pub(super) fn told(&self) -> Told {
        let left_out = self.passage.sieve.as_ref().and_then(|sieve| sieve.note());
        self.passage.note(left_out.into_iter().collect());
        std::mem::take(&mut self.passage.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
        self.passage.bridges.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

async fn accept(listener: UnixListener, passage: Arc<Passage>, group: Group) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    // Dropped with this task, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((client, _)) if belongs(&client, group) => {
                let passage = passage.clone();
                connections.spawn(async move {
                    serve(client, passage).await;
                    drop(place);
                });
            }
            Ok(_) => tracing::warn!("a process that is no part of the run tried the private socket of a docker CLI"),
            // No more files, say: others may end meanwhile.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn belongs(client: &UnixStream, group: Group) -> bool {
    client.peer_cred().is_ok_and(|peer| group.has(&peer))
}

async fn serve(client: UnixStream, passage: Arc<Passage>) {
    let answer = service_fn(|request: Request<Incoming>| {
        let passage = passage.clone();
        async move { Ok::<_, Infallible>(answered(request, &passage).await) }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(client), answer)
        .with_upgrades();
    // What breaks off was the client's to break off.
    connection.await.ok();
}

async fn answered(mut request: Request<Incoming>, passage: &Arc<Passage>) -> Response<Body> {
    let client = request.headers().contains_key(header::UPGRADE).then(|| hyper::upgrade::on(&mut request));
    match Box::pin(carry::carry(request, passage)).await {
        Ok(carry::Carried::Answer(response)) => response,
        Ok(carry::Carried::Switched { head, engine }) => {
            if let Some(client) = client {
                passage.bridge(async move {
                    if let Ok(client) = client.await {
                        engine.bridge(client).await;
                    }
                });
            }
            head
        }
        Err(error) => {
            passage.refuse(&error);
            refusal(&error)
        }
    }
}

/// An error in the words and with the status that a docker CLI shows.
pub(super) fn refusal(error: &Error) -> Response<Body> {
    let status = match error.kind() {
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Denied | Kind::ApprovalNeeded => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        Kind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Unreachable => StatusCode::BAD_GATEWAY,
        Kind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    said(status, error.message())
}

pub(super) fn said(status: StatusCode, message: &str) -> Response<Body> {
    let body = Full::from(json!({"message": message}).to_string()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
