//! Simulated daemons on local sockets, a thousand of them in one process: for questions of scale, and for nothing else.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use super::client::Failure;

/// What answers on a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Well,
    /// Nobody listens any more.
    Dead,
    /// It takes connections and never answers.
    Hung,
}

/// Many daemons; they end when this is dropped.
pub(crate) struct Daemons {
    directory: TempDir,
    count: usize,
    connections: Arc<Connections>,
    _listening: JoinSet<()>,
}

/// How many connections are open, and how many ever were at once.
#[derive(Default)]
struct Connections {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// The answers of one daemon, written once.
struct Answers {
    ping: Vec<u8>,
    version: Vec<u8>,
    info: Vec<u8>,
    containers: Vec<u8>,
}

impl Daemons {
    /// So many, each with so many containers; `kind` says of each number what it is.
    pub(crate) fn start(count: usize, containers: usize, kind: impl Fn(usize) -> Kind) -> Result<Self, Failure> {
        let directory = tempfile::tempdir()?;
        let connections = Arc::<Connections>::default();
        let list: Value = (0..containers).map(container).collect();
        let list = answer(&list);
        let mut listening = JoinSet::new();
        for number in 0..count {
            let listener = UnixListener::bind(directory.path().join(format!("{number}.sock")))?;
            let kind = kind(number);
            if kind == Kind::Dead {
                continue;
            }
            let answers = Arc::new(Answers {
                ping:
                    b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK"
                        .to_vec(),
                version: answer(&json!({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"})),
                info: answer(&info(number)),
                containers: list.clone(),
            });
            let connections = connections.clone();
            listening.spawn(async move {
                let mut serving = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    serving.spawn(serve(stream, kind, answers.clone(), connections.clone()));
                    while serving.try_join_next().is_some() {}
                }
            });
        }
        Ok(Self { directory, count, connections, _listening: listening })
    }

    /// The specification of all of them.
    pub(crate) fn hosts(&self) -> String {
        let directory = self.directory.path().display();
        let hosts: Vec<String> =
            (0..self.count).map(|number| format!("h{number}=unix://{directory}/{number}.sock")).collect();
        hosts.join(",")
    }

    /// Where the measured process keeps its state.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// The most connections that were open at once since the last question, and how many are now.
    pub(crate) fn connections(&self) -> (usize, usize) {
        let open = self.connections.open.load(Ordering::SeqCst);
        (self.connections.most.swap(open, Ordering::SeqCst), open)
    }
}

impl Connections {
    fn opened(&self) {
        let open = self.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(open, Ordering::SeqCst);
    }
}

async fn serve(mut stream: UnixStream, kind: Kind, answers: Arc<Answers>, connections: Arc<Connections>) {
    connections.opened();
    let mut input = Vec::new();
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        // What is asked here has no body, so a blank line ends every request.
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let request: Vec<u8> = input.drain(..end + 4).collect();
            if kind == Kind::Hung {
                continue;
            }
            let is_for = |path: &[u8]| request.windows(path.len()).any(|window| window == path);
            let answer = if is_for(b"/_ping ") {
                &answers.ping
            } else if is_for(b"/version ") {
                &answers.version
            } else if is_for(b"/info ") {
                &answers.info
            } else {
                &answers.containers
            };
            if stream.write_all(answer).await.is_err() {
                break;
            }
        }
    }
    connections.open.fetch_sub(1, Ordering::SeqCst);
}

fn answer(document: &Value) -> Vec<u8> {
    let body = document.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn info(number: usize) -> Value {
    json!({
        "ID": format!("id-{number}"), "ServerVersion": "26.1.5", "Name": format!("machine-{number}"),
        "NCPU": 8, "MemTotal": 33_000_000_000_u64, "Warnings": ["WARNING: No swap limit support"],
        "Driver": "overlay2", "Plugins": {"Volume": ["local"], "Network": ["bridge", "host", "overlay"]},
        "OperatingSystem": "Debian GNU/Linux 12 (bookworm)", "KernelVersion": "6.1.0-18-amd64",
        "RegistryConfig": {"InsecureRegistryCIDRs": ["127.0.0.0/8"], "IndexConfigs": {}},
    })
}

/// About as much as an engine says of a container: a kilobyte.
fn container(number: usize) -> Value {
    json!({
        "Id": format!("{number:064x}"), "Names": [format!("/service-{number}")],
        "Image": "registry.example.com/team/service:2.14.1", "ImageID": format!("sha256:{:064x}", number % 40),
        "Command": "/usr/local/bin/service --listen 0.0.0.0:8080 --config /etc/service.toml",
        "Created": 1_750_000_000 + number,
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 8080, "PublicPort": 20000 + number % 40000, "Type": "tcp"}],
        "Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": format!("service-{}", number % 20),
            "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
            "org.opencontainers.image.source": "https://git.example.com/team/service",
        },
        "State": "running", "Status": "Up 3 days (healthy)", "HostConfig": {"NetworkMode": "shop_default"},
        "NetworkSettings": {"Networks": {"shop_default": {
            "NetworkID": format!("{:064x}", 7), "EndpointID": format!("{number:064x}"), "Gateway": "172.18.0.1",
            "IPAddress": format!("172.18.{}.{}", number / 250, number % 250), "IPPrefixLen": 16,
        }}},
        "Mounts": [{"Type": "volume", "Name": "shop_data", "Destination": "/data", "Driver": "local", "RW": true}],
    })
}
