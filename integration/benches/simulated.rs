//! Simulated daemons on local sockets: for more hosts than a machine has engines, and for those that hang.

use std::path::Path;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::Failure;

/// How a daemon behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Answers what a survey and a list ask.
    Sane,
    /// Accepts, and never says a word.
    Silent,
    /// Says who it is, and then nothing more.
    Stuck,
}

/// A running daemon; it ends when it is dropped.
pub(crate) struct Daemon {
    pub(crate) socket: String,
    listening: JoinHandle<()>,
}

impl Daemon {
    /// Starts the daemon of this number; its socket is in the directory.
    pub(crate) fn start(directory: &Path, number: usize, manner: Manner) -> Result<Self, Failure> {
        let path = directory.join(format!("d{number}-{manner:?}.sock"));
        let listener = UnixListener::bind(&path)?;
        let listening = tokio::spawn(async move {
            // Dropped with this task, and every connection with it.
            let mut serving = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.spawn(serve(stream, number, manner));
                while serving.try_join_next().is_some() {}
            }
        });
        Ok(Self { socket: path.display().to_string(), listening })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: UnixStream, number: usize, manner: Manner) {
    let mut input = Vec::new();
    loop {
        // Reads have no body, so a blank line ends each of them.
        while !input.ends_with(b"\r\n\r\n") {
            if !stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
                return;
            }
        }
        let head = String::from_utf8_lossy(&input).into_owned();
        input.clear();
        let target = head.split(' ').nth(1).unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix("/v1.45").unwrap_or(path);
        let answer = match (manner, path) {
            (Manner::Silent, _) => None,
            (_, "/_ping") => Some(Value::Null),
            (_, "/version") => Some(version()),
            (Manner::Stuck, _) => None,
            (Manner::Sane, "/info") => Some(info(number)),
            (Manner::Sane, "/containers/json") => Some((0..3).map(|at| container(number, at)).collect()),
            (Manner::Sane, _) => Some(json!([])),
        };
        let Some(answer) = answer else {
            // Until the other side gives up.
            let mut rest = Vec::new();
            while stream.read_buf(&mut rest).await.is_ok_and(|read| read > 0) {
                rest.clear();
            }
            return;
        };
        let (kind, body) = match answer {
            Value::Null => ("text/plain", "OK".to_owned()),
            document => ("application/json", document.to_string()),
        };
        let shown = if head.starts_with("HEAD ") { "" } else { body.as_str() };
        let text = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nOstype: linux\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{shown}",
            body.len()
        );
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn version() -> Value {
    json!({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
        "KernelVersion": "6.1", "Components": [{"Name": "Engine", "Version": "26.1.5"}]})
}

fn info(number: usize) -> Value {
    json!({"ID": format!("ENGINE-{number}"), "Name": format!("host-{number}"), "Containers": 3, "ContainersRunning": 3,
        "ContainersPaused": 0, "ContainersStopped": 0, "Images": 7, "Driver": "overlay2", "ServerVersion": "26.1.5",
        "NCPU": 4, "MemTotal": 8_u64 << 30, "OperatingSystem": "Debian GNU/Linux 13", "Architecture": "x86_64",
        "Warnings": null, "Swarm": {"LocalNodeState": "inactive"}, "RegistryConfig": {"Mirrors": []},
        "Plugins": {"Volume": ["local"]}, "SecurityOptions": ["name=seccomp"], "LoggingDriver": "json-file"})
}

fn container(number: usize, at: usize) -> Value {
    json!({"Id": format!("{:064x}", number * 100 + at + 1), "Names": [format!("/service-{number}-{at}")],
        "Image": "registry.example.com/shop/web:1.2.3", "ImageID": format!("sha256:{at:064x}"), "Command": "sleep 3600",
        "Created": 1_763_600_000, "Ports": [], "Labels": {}, "State": "running", "Status": "Up 2 hours",
        "HostConfig": {"NetworkMode": "bridge"}, "NetworkSettings": {"Networks": {}}, "Mounts": []})
}
