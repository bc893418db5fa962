//! From an endpoint to a byte stream: unix, TCP, TLS and SSH look alike above this file.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::ssh::SshDialer;
use crate::{
    config::{Endpoint, Environment, HostConfig, TlsFiles},
    error::{Error, Result},
};

/// A two-way stream of bytes to a daemon.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Room for one stream on a host's connection; given back when it is dropped.
///
/// A dialer moves it into the stream it opens and keeps it until the far side has let go,
/// which over SSH is later than our own close.
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] Box<dyn Send + Sync>);

impl Slot {
    /// Wraps whatever gives the room back when dropped, usually a semaphore's permit.
    pub(crate) fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The far side grants no further stream beside those that are open.
    Full,
    /// Anything else, told for agent and person.
    Failed(Error),
}

impl From<Error> for DialError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Opens streams to one endpoint.
pub(crate) enum Dialer {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
    Tls(Tls),
    Ssh(SshDialer),
    Missing { looked_for: Vec<String> },
}

/// What a TLS endpoint needs; the files are read at every dial, so renewed ones are taken up.
pub(crate) struct Tls {
    host: String,
    port: u16,
    files: TlsFiles,
}

impl Dialer {
    /// A dialer for the host; nothing is opened or read yet.
    pub(crate) fn new(host: &HostConfig, environment: &Arc<Environment>) -> Self {
        match &host.endpoint {
            Endpoint::Unix { path } => Self::Unix(path.clone()),
            Endpoint::Tcp { host, port } => Self::Tcp { host: host.clone(), port: *port },
            Endpoint::Tls { host, port, tls } => Self::Tls(Tls { host: host.clone(), port: *port, files: tls.clone() }),
            Endpoint::Ssh(endpoint) => Self::Ssh(SshDialer::new(endpoint.clone(), environment.clone())),
            Endpoint::Missing { looked_for } => Self::Missing { looked_for: looked_for.clone() },
        }
    }

    /// How many streams may be open at once before the far side is known to refuse more.
    pub(crate) fn streams(&self) -> usize {
        match self {
            Self::Ssh(dialer) => dialer.streams(),
            _ => 64,
        }
    }

    /// Opens one stream and moves `slot` into it.
    pub(crate) async fn dial(&self, slot: Slot) -> Result<Box<dyn Stream>, DialError> {
        match self {
            Self::Unix(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(Slotted { stream, _slot: slot })),
                Err(error) => Err(refused(&error, &format!("socket {}", path.display())).into()),
            },
            Self::Tcp { host, port } => {
                let stream = tcp(host, *port).await?;
                Ok(Box::new(Slotted { stream, _slot: slot }))
            }
            Self::Tls(tls) => {
                let stream = tls.connect().await?;
                Ok(Box::new(Slotted { stream, _slot: slot }))
            }
            Self::Ssh(dialer) => dialer.dial(slot).await,
            Self::Missing { looked_for } => Err(Error::unreachable("no Docker socket was found on this machine")
                .hint("ask the person to start Docker or to configure a host, and to run \"quaymaster check\"")
                .detail(format!("looked for: {}", looked_for.join(", ")))
                .into()),
        }
    }

    /// Throws away what streams share, so that the next dial starts anew; open streams stay.
    pub(crate) async fn forget(&self) {
        if let Self::Ssh(dialer) = self {
            dialer.forget().await;
        }
    }
}

/// A stream that holds its slot until it is dropped.
struct Slotted<S> {
    stream: S,
    _slot: Slot,
}

impl<S: AsyncRead + Unpin> AsyncRead for Slotted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Slotted<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Notices a peer that is gone within ten seconds, as over SSH.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(Duration::from_secs(4)).with_interval(Duration::from_secs(2)).with_retries(3)
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream> {
    let stream =
        TcpStream::connect((host, port)).await.map_err(|error| refused(&error, &format!("tcp {host}:{port}")))?;
    // Requests are small and wait for their answer: never hold one back for the next.
    stream.set_nodelay(true).ok();
    // A followed log or a pull may be silent for long: a link that was cut is to be told from that.
    SockRef::from(&stream).set_tcp_keepalive(&keepalive()).ok();
    Ok(stream)
}

impl Tls {
    async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let files = self.files.clone();
        let config = tokio::task::spawn_blocking(move || client_config(&files))
            .await
            .map_err(|error| Error::internal("reading the tls files was cut off").detail(error.to_string()))??;
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| Error::config("the endpoint's host is no name that a certificate can carry"))?;
        let stream = tcp(&self.host, self.port).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
            broken(&error).unwrap_or_else(|| Error::unreachable("the tls handshake failed").detail(error.to_string()))
        })
    }
}

/// Trusts the given authorities and nothing else; there is no unverified mode.
fn client_config(files: &TlsFiles) -> Result<ClientConfig> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(&files.ca)? {
        authorities.add(certificate).map_err(|error| unusable(&files.ca, &error))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal("tls is not available").detail(error.to_string()))?
        .with_root_certificates(authorities);
    match &files.client {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, private)
                .map_err(|error| unusable(certificate, &error))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(certificates)
}

fn unusable(path: &Path, why: &dyn fmt::Display) -> Error {
    Error::unreachable("the host's tls files cannot be used")
        .hint(ASK_CHECK)
        .detail(format!("{}: {why}", path.display()))
}

/// What an agent should do about a host that does not answer.
pub(crate) const ASK_CHECK: &str =
    "do not try other hosts or a shell instead; report it, and ask the person to run \"quaymaster check\"";

/// An error of `connect(2)` and name resolution, with the class of its cause.
fn refused(error: &io::Error, target: &str) -> Error {
    let class = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::NotFound => "no such socket",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::TimedOut => "connection timed out",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route",
        _ if error.to_string().contains("lookup") => "name not found",
        _ => "cannot connect",
    };
    Error::unreachable(format!("the daemon cannot be reached: {class}"))
        .hint(ASK_CHECK)
        .detail(format!("{target}: {error}"))
}

/// The cause behind an error of hyper, rustls or a stream of ours, found by walking its sources.
pub(crate) fn broken(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(ours) = current.downcast_ref::<Error>() {
            return Some(ours.clone());
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return Some(tls_refused(tls));
        }
        // An `io::Error` shows the source of what it carries, not what it carries.
        if let Some(carried) = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && let Some(found) = broken(carried)
        {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

fn tls_refused(error: &rustls::Error) -> Error {
    let class = match error {
        rustls::Error::InvalidMessage(_) => "what answers does not speak tls",
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::UnknownIssuer => "its certificate is not from the configured authority",
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another name"
            }
            _ => "its certificate is not valid",
        },
        rustls::Error::AlertReceived(_) => "the daemon refuses our certificate",
        _ => "the tls connection failed",
    };
    Error::unreachable(format!("the daemon cannot be reached: {class}")).hint(ASK_CHECK).detail(error.to_string())
}
