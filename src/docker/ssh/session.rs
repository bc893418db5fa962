//! One SSH connection, over jump hosts where the configuration says so, and the channels on it.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use russh::{
    Channel, ChannelId, Preferred,
    client::{self, Config, Handle, Msg},
    keys::PublicKeyOrCertificate,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};

use super::{
    config_file::Files,
    failure,
    keys::Identities,
    known_hosts::KnownHosts,
    login::login,
    route::{Hop, Route},
    watched::Watched,
};
use crate::{
    config::{Environment, SshEndpoint, Tunnel},
    docker::connect::DialError,
    error::{Error, Result},
};

/// What a far machine runs for a stream; nothing else is ever run there.
const COMMAND: &str = "docker system dial-stdio";
/// Where an engine listens unless the endpoint says otherwise.
const SOCKET: &str = "/var/run/docker.sock";

/// How long an answer is waited for before a channel counts as gone.
const SETTLING: Duration = Duration::from_secs(1);

/// A connection that is logged in.
pub(super) struct Session {
    handle: Handle<Client>,
    /// The connections that this one runs through.
    _jumps: Vec<Handle<Client>>,
    tunnel: Tunnel,
    socket: String,
    /// Channels that are open now.
    open: AtomicUsize,
    /// Whether the far side has ever granted a channel; set by the protocol, so that of several
    /// opened at once a refused one cannot overtake a granted one.
    granted: Arc<AtomicBool>,
}

impl Session {
    /// Connects, checks every host key on the way and logs in.
    pub(super) async fn connect(endpoint: SshEndpoint, environment: Arc<Environment>, warn: bool) -> Result<Self> {
        let tunnel = if endpoint.socket.is_some() { Tunnel::Streamlocal } else { endpoint.tunnel };
        let socket = endpoint.socket.clone().unwrap_or_else(|| SOCKET.to_owned());
        let route = blocking(move || Route::resolve(&endpoint, &environment, &Files::of(&environment))).await??;
        if warn {
            for warning in &route.warnings {
                tracing::warn!("ssh configuration: {warning}");
            }
        }

        let mut jumps: Vec<Handle<Client>> = Vec::new();
        let mut reached: Option<Handle<Client>> = None;
        let mut granted = Arc::default();
        let last = route.hops.len().saturating_sub(1);
        for (place, hop) in route.hops.into_iter().enumerate() {
            let before = reached.take();
            granted = Arc::new(AtomicBool::new(false));
            let connected = timeout(hop.connect_timeout, enter(before.as_ref(), &hop, &granted, warn)).await;
            let handle = match connected {
                Ok(outcome) => outcome,
                Err(_) => Err(failure::timed_out(&hop)),
            }
            .map_err(|error| if place < last { failure::at_jump_host(&error) } else { error })?;
            jumps.extend(before);
            reached = Some(handle);
        }
        let handle = reached.ok_or_else(|| Error::internal("an ssh route without a machine"))?;
        Ok(Self { handle, _jumps: jumps, tunnel, socket, open: AtomicUsize::new(0), granted })
    }

    /// Whether nothing can be opened on it any more.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Opens a channel to the engine; nothing if the connection turned out to be lost.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Option<(Channel<Msg>, Open)>, DialError> {
        let opened = match self.tunnel {
            Tunnel::DialStdio => self.handle.channel_open_session().await,
            Tunnel::Streamlocal => self.handle.channel_open_direct_streamlocal(self.socket.as_str()).await,
        };
        let channel = match opened {
            Ok(channel) => channel,
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let others = self.open.load(Ordering::SeqCst) > 0;
                // A missing socket is refused with the same code as a channel too many.
                let full = match self.tunnel {
                    Tunnel::DialStdio => others || self.granted.load(Ordering::SeqCst),
                    Tunnel::Streamlocal => others,
                };
                return Err(if full {
                    DialError::Full
                } else {
                    failure::channel_refused(self.tunnel, &self.socket, &reason).into()
                });
            }
            Err(error) => {
                tracing::debug!("ssh connection lost: {error}");
                return Ok(None);
            }
        };
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(self.clone());
        if self.tunnel == Tunnel::DialStdio && channel.exec(true, COMMAND).await.is_err() {
            return Ok(None);
        }
        Ok(Some((channel, open)))
    }
}

/// Counts a channel as open until dropped, and keeps its connection.
pub(super) struct Open(Arc<Session>);

impl Open {
    /// Whether a command runs behind the channel, which ends with an exit status.
    pub(super) fn runs_command(&self) -> bool {
        self.0.tunnel == Tunnel::DialStdio
    }

    /// Waits until the far side has dealt with everything that was sent to it so far.
    pub(super) async fn settle(&self) {
        timeout(SETTLING, self.0.handle.send_ping()).await.ok();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// One machine on the way: a stream to it, the key exchange, the login.
async fn enter(
    before: Option<&Handle<Client>>,
    hop: &Hop,
    granted: &Arc<AtomicBool>,
    warn: bool,
) -> Result<Handle<Client>> {
    let prepared = hop.clone();
    let (known, identities) = blocking(move || {
        let known = KnownHosts::read(&prepared.known_hosts, &prepared.host, prepared.port, prepared.alias.as_deref());
        (known, Identities::read(&prepared))
    })
    .await?;
    if warn {
        for warning in &known.warnings {
            tracing::warn!("known host keys: {warning}");
        }
    }
    let config = Arc::new(Config {
        preferred: Preferred {
            key: Cow::Owned(known.algorithms()),
            host_key_certificates: Cow::Owned(known.certificate_algorithms()),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(hop.alive_interval),
        keepalive_max: hop.alive_count,
        nodelay: true,
        ..Config::default()
    });
    let client = Client { known, granted: granted.clone() };
    let mut handle = match before {
        None => {
            let stream = TcpStream::connect((hop.host.as_str(), hop.port))
                .await
                .map_err(|error| failure::not_connected(&error, hop))?;
            stream.set_nodelay(true).ok();
            shake_hands(config, stream, client, hop).await?
        }
        Some(jump) => {
            let channel = jump
                .channel_open_direct_tcpip(hop.host.as_str(), hop.port.into(), "127.0.0.1", 0)
                .await
                .map_err(|error| failure::not_forwarded(&error, hop))?;
            shake_hands(config, channel.into_stream(), client, hop).await?
        }
    };
    login(&mut handle, hop, identities).await?;
    Ok(handle)
}

async fn shake_hands<S>(config: Arc<Config>, stream: S, client: Client, hop: &Hop) -> Result<Handle<Client>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    client::connect_stream(config, Watched::new(stream), client).await.map_err(|stopped| match stopped {
        Stopped::Refused(error) => error,
        Stopped::Ssh(error) => failure::no_handshake(&error, hop),
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("reading the ssh files was cut off").detail(error.to_string()))
}

/// Our side of the protocol: judges the host key and takes nothing that the server wants to open.
pub(super) struct Client {
    known: KnownHosts,
    granted: Arc<AtomicBool>,
}

/// Why the protocol stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// We refuse the host key.
    Refused(Error),
    /// Anything that the protocol itself says.
    Ssh(russh::Error),
}

impl From<russh::Error> for Stopped {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// Every channel that a server may ask a client for, refused: dropping the reply says no.
macro_rules! refuse_channels {
    ($($name:ident($($argument:ident: $kind:ty),*);)*) => {$(
        async fn $name(
            &mut self,
            _: Channel<Msg>,
            $($argument: $kind,)*
            reply: client::ChannelOpenHandle,
            _: &mut client::Session,
        ) -> Result<(), Stopped> {
            drop(reply);
            Ok(())
        }
    )*};
}

impl client::Handler for Client {
    type Error = Stopped;

    async fn check_server_key(&mut self, presented: &PublicKeyOrCertificate) -> Result<bool, Stopped> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.known
            .check(&presented.public_key(), presented.certificate(), now)
            .map_err(|refused| Stopped::Refused(failure::host_key(refused)))?;
        Ok(true)
    }

    async fn channel_open_confirmation(
        &mut self,
        _: ChannelId,
        _: u32,
        _: u32,
        _: &mut client::Session,
    ) -> Result<(), Stopped> {
        self.granted.store(true, Ordering::SeqCst);
        Ok(())
    }

    refuse_channels! {
        server_channel_open_forwarded_tcpip(_a: &str, _b: u32, _c: &str, _d: u32);
        server_channel_open_forwarded_streamlocal(_a: &str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(_a: &str, _b: u32, _c: &str, _d: u32);
        server_channel_open_direct_streamlocal(_a: &str);
        server_channel_open_x11(_a: &str, _b: u32);
    }
}
