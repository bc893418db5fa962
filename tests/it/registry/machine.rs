//! A simulated machine that speaks HTTPS, for what no real registry shows on request; and a proxy to it.
//!
//! What real registries do is tested on a real one.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;

/// A request as the machine heard it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
    /// How many came before it.
    pub(crate) number: usize,
}

/// What it answers: the status with its reason, headers, a body.
#[derive(Debug, Clone)]
pub(crate) struct Answer(pub(crate) &'static str, pub(crate) Vec<(&'static str, String)>, pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn json(document: &serde_json::Value) -> Self {
        Self("200 OK", vec![("Content-Type", "application/json".to_owned())], document.to_string().into_bytes())
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self(status, Vec::new(), Vec::new())
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.1.push((name, value.into()));
        self
    }
}

/// A running machine; it ends when it is dropped.
pub(crate) struct Machine {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    listening: JoinHandle<()>,
}

impl Machine {
    /// One whose certificate has these names.
    pub(crate) async fn new(
        authority: &Authority,
        names: &[&str],
        script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let (certificate, key) = authority.certify(names);
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (log, script) = (asked.clone(), Arc::new(script));
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, log, script) = (acceptor.clone(), log.clone(), script.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, &log, &*script).await;
                    }
                });
            }
        });
        Self { address, asked, listening }
    }

    /// Its name in front of images.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has been asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Asked>>,
    script: &(dyn Fn(&Asked) -> Answer + Send + Sync),
) {
    let Some((head, body)) = request(&mut stream).await else { return };
    let header = |name: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
    };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let asked = {
        let mut log = log.lock().unwrap();
        let asked = Asked { method, target, authorization: header("authorization"), body, number: log.len() };
        log.push(asked.clone());
        asked
    };
    let Answer(status, headers, body) = script(&asked);
    let headers = headers.iter().fold(String::new(), |text, (name, value)| format!("{text}{name}: {value}\r\n"));
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.ok();
    if asked.method != "HEAD" {
        stream.write_all(&body).await.ok();
    }
    stream.shutdown().await.ok();
}

/// The head of a request and its body.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut input = Vec::new();
    let end = loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        (stream.read_buf(&mut input).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(input[..end].to_vec()).unwrap();
    let length = head.to_ascii_lowercase();
    let length = length.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    while input.len() < end + length.unwrap_or_default() {
        (stream.read_buf(&mut input).await.ok()? > 0).then_some(())?;
    }
    Some((head, String::from_utf8(input[end..].to_vec()).unwrap()))
}

/// A proxy that knows some machines by name and lets nobody go anywhere else.
pub(crate) struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    listening: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(machines: &[(&str, SocketAddr)]) -> Self {
        let machines: HashMap<String, SocketAddr> =
            machines.iter().map(|(name, address)| (format!("{name}:443"), *address)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let log = asked.clone();
        let listening = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (machines, log) = (machines.clone(), log.clone());
                tokio::spawn(async move {
                    let Some((head, _)) = request(&mut stream).await else { return };
                    log.lock().unwrap().push(head.clone());
                    let target = head.split(' ').nth(1).unwrap_or_default();
                    let Some(machine) = machines.get(target) else {
                        stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok();
                        return;
                    };
                    let mut machine = TcpStream::connect(machine).await.unwrap();
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok();
                    copy_bidirectional(&mut stream, &mut machine).await.ok();
                });
            }
        });
        Self { address, asked, listening }
    }

    /// As `HTTPS_PROXY` has it.
    pub(crate) fn url(&self) -> String {
        format!("http://user:pass@{}", self.address)
    }

    /// The heads of what it was asked.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
