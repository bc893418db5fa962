//! A socket in front of an engine's: forwards bytes, notes every request, and when each connection was closed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::Failure;

/// What was seen on one connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Method and target of every request, in order.
    pub(crate) requests: Vec<String>,
    /// Bytes that came and were no request: a body.
    pub(crate) bodies: usize,
    /// When the client closed it.
    pub(crate) closed: Option<Instant>,
}

/// A running forwarder; it ends when it is dropped.
pub(crate) struct Forwarder {
    pub(crate) socket: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    listening: JoinHandle<()>,
}

impl Forwarder {
    /// One in front of this socket; its own is in the directory.
    pub(crate) fn start(directory: &std::path::Path, name: &str, engine: &str) -> Result<Self, Failure> {
        let path = directory.join(format!("{name}.sock"));
        let listener = UnixListener::bind(&path)?;
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (log, engine) = (seen.clone(), engine.to_owned());
        let listening = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push(Seen::default());
                    log.len() - 1
                };
                let (log, engine) = (log.clone(), engine.clone());
                connections.spawn(async move {
                    let Ok(engine) = UnixStream::connect(&engine).await else { return };
                    let note = |change: &dyn Fn(&mut Seen)| {
                        log.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number).map(change);
                    };
                    forward(client, engine, note).await;
                });
            }
        });
        Ok(Self { socket: path.display().to_string(), seen, listening })
    }

    /// Everything so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a request for such a target is open; the number of its connection.
    pub(crate) async fn until_asked(&self, target: &str) -> Result<usize, Failure> {
        let asked =
            |seen: &Seen| seen.closed.is_none() && seen.requests.last().is_some_and(|last| last.contains(target));
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if let Some(number) = self.seen().iter().position(asked) {
                return Ok(number);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(format!("{target} was not asked for: {:?}", self.seen()).into())
    }

    /// Waits until a connection is closed, and says when that was.
    pub(crate) async fn until_closed(&self, number: usize) -> Option<Instant> {
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            if let Some(closed) = self.seen().get(number).and_then(|seen| seen.closed) {
                return Some(closed);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn forward(client: UnixStream, engine: UnixStream, note: impl Fn(&dyn Fn(&mut Seen))) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    let there = async {
        let mut part = Vec::with_capacity(64 << 10);
        while from_client.read_buf(&mut part).await.is_ok_and(|read| read > 0) {
            // Nobody sends a request before the last one was answered, so each begins what is read.
            note(&|seen| match request(&part) {
                Some(request) => seen.requests.push(request),
                None => seen.bodies += part.len(),
            });
            if to_engine.write_all(&part).await.is_err() {
                break;
            }
            part.clear();
        }
        let closed = Instant::now();
        note(&|seen| seen.closed = Some(closed));
    };
    let back = async {
        let mut part = Vec::with_capacity(64 << 10);
        while from_engine.read_buf(&mut part).await.is_ok_and(|read| read > 0) {
            if to_client.write_all(&part).await.is_err() {
                break;
            }
            part.clear();
        }
        to_client.shutdown().await.ok();
    };
    // When the client has gone there is nothing to bring back; the engine going first is told to the client.
    tokio::pin!(there, back);
    tokio::select! {
        () = &mut there => {}
        () = &mut back => there.await,
    }
}

/// `GET /containers/json`, if a request begins here.
fn request(part: &[u8]) -> Option<String> {
    let line = part.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?.strip_suffix(" HTTP/1.1")?;
    let (method, target) = line.split_once(' ')?;
    (method.bytes().all(|byte| byte.is_ascii_uppercase()) && target.starts_with('/')).then(|| line.to_owned())
}
