//! The engine's own API over a unix socket, with nothing between: what everything is compared with.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};

use crate::{Failure, client::Load, figures::Times};

/// The list that is compared.
pub(crate) const LIST: &str = "/v1.41/containers/json";

/// That list, of the containers whose names have this part.
pub(crate) fn named(part: &str) -> String {
    let filters = json!({"name": [part]}).to_string();
    format!("{LIST}?filters={}", url::form_urlencoded::byte_serialize(filters.as_bytes()).collect::<String>())
}

/// A connection that is kept alive.
pub(crate) struct Connection {
    stream: UnixStream,
    bytes: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(socket: &str) -> Result<Self, Failure> {
        Ok(Self { stream: UnixStream::connect(socket).await?, bytes: Vec::with_capacity(64 << 10) })
    }

    /// Sends a request and reads its answer to the end.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        target: &str,
        body: Option<&Value>,
    ) -> Result<(u16, &[u8]), Failure> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.bytes.clear();
        let start = loop {
            self.more().await?;
            if let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(self.bytes.get(..start).unwrap_or_default()).to_ascii_lowercase();
        let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        match length {
            Some(length) => {
                while self.bytes.len() < start + length {
                    self.more().await?;
                }
            }
            None if head.contains("transfer-encoding: chunked") => {
                while !self.bytes.ends_with(b"\r\n0\r\n\r\n") {
                    self.more().await?;
                }
            }
            None => {}
        }
        Ok((status, self.bytes.get(start..).unwrap_or_default()))
    }

    /// A document.
    pub(crate) async fn json(&mut self, target: &str) -> Result<Value, Failure> {
        let (status, body) = self.send("GET", target, None).await?;
        let body = unchunked(body);
        if status != 200 {
            return Err(format!("GET {target}: {status} {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.bytes).await? {
            0 => Err("the engine closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// The data of a chunked body; any other body as it is.
fn unchunked(body: &[u8]) -> Vec<u8> {
    let (mut data, mut rest) = (Vec::new(), body);
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = rest.get(..end).and_then(|size| std::str::from_utf8(size).ok());
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else { return body.to_vec() };
        let Some(chunk) = rest.get(end + 2..end + 2 + size) else { return body.to_vec() };
        data.extend_from_slice(chunk);
        if size == 0 {
            return data;
        }
        rest = rest.get(end + 4 + size..).unwrap_or_default();
    }
    body.to_vec()
}

/// The list on one kept-alive connection, one after the other.
pub(crate) async fn lists(socket: &str, calls: usize) -> Result<Times, Failure> {
    let mut connection = Connection::open(socket).await?;
    let mut times = Vec::new();
    for _ in 0..calls {
        let started = Instant::now();
        connection.send("GET", LIST, None).await?;
        times.push(started.elapsed());
    }
    Ok(Times::of(times))
}

/// Lists on so many connections at once, which take the targets in turn.
pub(crate) async fn load(socket: &str, targets: &[String], calls: usize, connections: usize) -> Result<Load, Failure> {
    let (sent, failed) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let started = Instant::now();
    let caller = |target| async move {
        let mut connection = Connection::open(socket).await?;
        while sent.fetch_add(1, Ordering::Relaxed) < calls {
            if connection.send("GET", String::as_str(target), None).await?.0 != 200 {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok::<_, Failure>(())
    };
    futures_util::future::try_join_all(targets.iter().cycle().take(connections).map(caller)).await?;
    Ok(Load { calls, failed: failed.load(Ordering::Relaxed), took: started.elapsed() })
}

/// The bytes of the list.
pub(crate) async fn list_bytes(socket: &str) -> Result<usize, Failure> {
    let mut connection = Connection::open(socket).await?;
    Ok(unchunked(connection.send("GET", LIST, None).await?.1).len())
}

/// Reads a stream to its end; how many bytes came, and how long that took.
pub(crate) async fn drain(socket: &str, target: &str) -> Result<(usize, Duration), Failure> {
    let started = Instant::now();
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let (mut total, mut part) = (0, Vec::with_capacity(256 << 10));
    loop {
        part.clear();
        match stream.read_buf(&mut part).await? {
            0 => return Ok((total, started.elapsed())),
            read => total += read,
        }
    }
}

/// Makes and removes containers until it is told to stop; answers how many.
pub(crate) struct Churn {
    over: Arc<AtomicBool>,
    working: JoinHandle<Result<usize, Failure>>,
}

impl Churn {
    /// Begins.
    pub(crate) fn start(socket: &str, image: &str) -> Self {
        let over = Arc::<AtomicBool>::default();
        let (stop, socket, image) = (over.clone(), socket.to_owned(), image.to_owned());
        let working = tokio::spawn(async move {
            let mut connection = Connection::open(&socket).await?;
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let name = format!("bench-comes-and-goes-{number}");
                let body = json!({"Image": image, "Cmd": ["sleep", "60"]});
                connection.send("POST", &format!("/v1.41/containers/create?name={name}"), Some(&body)).await?;
                connection.send("POST", &format!("/v1.41/containers/{name}/start"), None).await?;
                let (status, _) = connection.send("DELETE", &format!("/v1.41/containers/{name}?force=1"), None).await?;
                if status != 204 {
                    return Err(format!("a container could not be removed: {status}").into());
                }
                number += 1;
            }
            Ok(number)
        });
        Self { over, working }
    }

    /// Ends; how many came and went.
    pub(crate) async fn stop(self) -> Result<usize, Failure> {
        self.over.store(true, Ordering::Relaxed);
        self.working.await?
    }
}
