//! A recording proxy in front of an engine's socket: it forwards bytes both ways and notes every request.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use quaymaster::docker::guard::{Class, Wire, classify};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

/// A request as it went to the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// Path and query, untouched.
    pub(crate) target: String,
    /// It asks for another protocol on the connection, or carries something.
    pub(crate) upgrade: bool,
    pub(crate) body: bool,
}

impl Recorded {
    /// Whether it only looks: GET, HEAD, and the POST that waits for a container.
    pub(crate) fn looks(&self) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        let waits = self.method == "POST" && path.contains("/containers/") && path.ends_with("/wait");
        (self.method == "GET" || self.method == "HEAD" || waits) && !self.upgrade && !self.body
    }

    /// Whether the guard's table says that it destroys; what the table does not know counts as that.
    pub(crate) fn destroys(&self) -> bool {
        !matches!(
            self.wire().map(|wire| wire.class),
            Some(Class::Read | Class::Files | Class::Credentials | Class::Mutate)
        )
    }

    fn wire(&self) -> Option<Wire> {
        classify(&self.method.parse().ok()?, &self.target.parse().ok()?).ok()
    }
}

/// The proxy; it ends when it is dropped.
pub(crate) struct Recorder {
    directory: TempDir,
    recorded: Arc<Mutex<Vec<Recorded>>>,
    listening: JoinHandle<()>,
}

impl Recorder {
    /// A proxy in front of the engine on this socket.
    pub(crate) fn before(engine: &str) -> Self {
        Self::pausing(engine, "", Duration::ZERO)
    }

    /// The same, which holds back for a while what the engine answers to requests whose target contains a text.
    pub(crate) fn pausing(engine: &str, text: &'static str, pause: Duration) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(directory.path().join("recorder.sock")).expect("a socket");
        let recorded = Arc::<Mutex<Vec<Recorded>>>::default();
        let (log, engine) = (recorded.clone(), engine.to_owned());
        let listening = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (log, engine) = (log.clone(), engine.clone());
                connections.spawn(async move {
                    let engine = UnixStream::connect(&engine).await.expect("the engine");
                    forward(client, engine, &log, text, pause).await;
                });
            }
        });
        Self { directory, recorded, listening }
    }

    /// The host specification that leads through it.
    pub(crate) fn spec(&self, markers: &str) -> String {
        format!("lab=unix://{}{markers}", self.directory.path().join("recorder.sock").display())
    }

    /// What was recorded since the last time.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.recorded.lock().expect("the record"))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn forward(
    client: UnixStream,
    engine: UnixStream,
    log: &Mutex<Vec<Recorded>>,
    text: &'static str,
    pause: Duration,
) {
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    // Raised by an answer that hands the connection over to another protocol.
    let switched = AtomicBool::new(false);
    // Raised by a request whose answer is held back.
    let held = AtomicBool::new(false);
    let mut parser = Parser::default();
    let there = copy(from_client, to_engine, |chunk| {
        if switched.load(Ordering::SeqCst) {
            return Duration::ZERO;
        }
        parser.push(chunk, &mut |request| {
            held.store(request.target.contains(text), Ordering::SeqCst);
            log.lock().expect("the record").push(request);
        });
        Duration::ZERO
    });
    let mut last = Vec::new();
    let back = copy(from_engine, to_client, |chunk| {
        // An answer begins its own chunk: nobody sends a second request before the first was answered.
        last.extend_from_slice(chunk.get(..12).unwrap_or(chunk));
        if last.starts_with(b"HTTP/1.1 101") {
            switched.store(true, Ordering::SeqCst);
        }
        last.clear();
        if held.swap(false, Ordering::SeqCst) { pause } else { Duration::ZERO }
    });
    tokio::join!(there, back);
}

/// Copies what comes; each part is looked at, and held back for as long as the look says.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut look: impl FnMut(&[u8]) -> Duration,
) {
    let mut chunk = Vec::with_capacity(16 << 10);
    while from.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
        let pause = look(&chunk);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        if to.write_all(&chunk).await.is_err() {
            break;
        }
        chunk.clear();
    }
    to.shutdown().await.ok();
}

/// Reads requests off a stream of bytes, wherever it is cut.
#[derive(Default)]
struct Parser {
    input: Vec<u8>,
    /// What is left of a body.
    body: Body,
}

#[derive(Default)]
enum Body {
    #[default]
    None,
    Sized(usize),
    Chunked,
}

impl Parser {
    fn push(&mut self, chunk: &[u8], found: &mut impl FnMut(Recorded)) {
        self.input.extend_from_slice(chunk);
        loop {
            match self.body {
                Body::Sized(left) => {
                    let taken = left.min(self.input.len());
                    self.input.drain(..taken);
                    if taken < left {
                        self.body = Body::Sized(left - taken);
                        return;
                    }
                    self.body = Body::None;
                }
                Body::Chunked => {
                    let Some(end) = self.find(b"\r\n") else { return };
                    let size = String::from_utf8_lossy(&self.input[..end]).into_owned();
                    let size = usize::from_str_radix(size.split(';').next().unwrap_or_default().trim(), 16)
                        .unwrap_or_else(|_| panic!("no size of a chunk: {size:?}"));
                    let whole = end + 2 + size + 2;
                    if self.input.len() < whole {
                        return;
                    }
                    self.input.drain(..whole);
                    if size == 0 {
                        self.body = Body::None;
                    }
                }
                Body::None => {
                    let Some(end) = self.find(b"\r\n\r\n") else { return };
                    let head: Vec<u8> = self.input.drain(..end + 4).collect();
                    let head = String::from_utf8(head).expect("a head is text");
                    found(self.request(&head));
                }
            }
        }
    }

    fn request(&mut self, head: &str) -> Recorded {
        let header = |name: &str| {
            let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let words: Vec<&str> = head.lines().next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else { panic!("no request: {head:?}") };
        self.body = match (header("transfer-encoding"), header("content-length")) {
            (Some(_), _) => Body::Chunked,
            (None, Some(length)) => Body::Sized(length.parse().expect("a length")),
            (None, None) => Body::None,
        };
        Recorded {
            method: method.to_owned(),
            target: target.to_owned(),
            upgrade: header("upgrade").is_some(),
            body: !matches!(self.body, Body::None | Body::Sized(0)),
        }
    }

    fn find(&self, pattern: &[u8]) -> Option<usize> {
        self.input.windows(pattern.len()).position(|window| window == pattern)
    }
}

#[test]
fn requests_are_read_wherever_they_are_cut() {
    let bytes = b"GET /v1.41/info HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nGET /\
        PUT /b?c=d HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n4\r\nPOST\r\n2;x=y\r\n\r\n\r\n0\r\n\r\n\
        DELETE /e HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\ncontent-length: 0\r\n\r\n";
    for size in 1..bytes.len() {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for chunk in bytes.chunks(size) {
            parser.push(chunk, &mut |request| found.push(request));
        }
        let shown: Vec<String> = found.iter().map(|request| format!("{} {}", request.method, request.target)).collect();
        assert_eq!(shown, ["GET /v1.41/info", "POST /a", "PUT /b?c=d", "DELETE /e"], "chunks of {size}");
        assert_eq!(found.iter().map(|request| request.body).collect::<Vec<_>>(), [false, true, true, false]);
        assert!(found[3].upgrade && !found[0].upgrade);
    }
}
