//! What was configured, validated: the hosts, their limits, and what is offered of them.

mod anchor;
mod auto;
pub mod environment;
mod file;
pub mod globs;
pub mod limits;
mod load;
pub mod permission;
mod refusal;
mod resolve;
pub mod sources;
pub mod spec;

use std::{fmt, path::PathBuf};

use serde::Deserialize;

pub use environment::Environment;
pub use globs::Globs;
pub use limits::Limits;
pub use load::Flags;
pub use sources::Sources;

/// Everything that was configured, checked as far as it can be without a catalogue of tools.
#[derive(Debug, Clone)]
pub struct Config {
    /// At least one; the first is the default for reads.
    pub hosts: Vec<HostConfig>,
    /// Toolsets to list; empty means the default (`core`).
    pub toolsets: Vec<String>,
    /// Tool globs and toolset names that do not exist for anybody.
    pub deny: Vec<String>,
    /// Whether what is made here is labelled `quaymaster.managed=true`.
    pub labels: bool,
    /// Registries, beside Docker Hub and those of a host's images, that reads may send a daemon to, and that may be
    /// reached from here wherever their names lead.
    pub registries: Vec<RegistryConfig>,
    /// Where approvals and the audit are kept; `None` where the account has no home.
    pub state: Option<PathBuf>,
    /// What proves that an approval was given with the passphrase; made by `quaymaster approve --passphrase`.
    pub approval_passphrase: Option<String>,
    /// How the audit is kept.
    pub audit: AuditSettings,
    /// The directory of the files that `secret://NAME` stands for.
    pub secrets: Option<PathBuf>,
    /// Which files of this machine arguments may name.
    pub files: FileSettings,
    /// Whether tools see the operator's own configuration of the docker CLI.
    pub cli_config: bool,
    /// Where the list of hosts came from, for people: a flag, a variable, a file, `auto`.
    pub origin: String,
    /// Things worth saying that do not stop the start.
    pub warnings: Vec<String>,
}

/// One host with its settings.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// `[a-z0-9][a-z0-9_.-]{0,62}`, unique.
    pub name: String,
    /// Where the daemon is.
    pub endpoint: Endpoint,
    /// What the host allows, already capped by `--mode`.
    pub mode: Mode,
    /// A sentence of the operator's that agents see.
    pub note: Option<String>,
    /// Groups that reads can address with `tag:NAME`.
    pub tags: Vec<String>,
    /// What callers may do on it beside its mode.
    pub limits: Limits,
}

/// A registry that the operator vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// `HOST[:PORT]`, in lower case, as in front of an image's name.
    pub host: String,
    /// Whether it is spoken to without TLS.
    pub insecure: bool,
    /// The PEM file of the only authorities that are trusted for it, instead of the public ones.
    pub ca: Option<PathBuf>,
}

/// Which files of this machine arguments may name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSettings {
    /// The directories that they may lie below; `None` means the working directory, where that is a harmless one.
    pub roots: Option<Vec<PathBuf>>,
    /// Globs of names that are otherwise refused: of keys, of environment files, of credential directories.
    pub allow: Vec<String>,
}

/// How the audit is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSettings {
    /// Its directory, instead of `audit` below the state directory.
    pub directory: Option<PathBuf>,
    /// A file is closed when it has reached so many bytes.
    pub size: u64,
    /// How many closed files are kept.
    pub keep: usize,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { directory: None, size: 64 << 20, keep: 20 }
    }
}

/// What a host allows, from the most to the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything.
    #[default]
    Rw,
    /// Everything but what destroys an object of the engine.
    Nd,
    /// Reads only.
    Ro,
}

impl Mode {
    /// The marker that stands for it: `rw`, `nd`, `ro`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rw => "rw",
            Self::Nd => "nd",
            Self::Ro => "ro",
        }
    }

    /// Reads `rw`, `nd` or `ro`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Rw, Self::Nd, Self::Ro].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Where a daemon is and how it is reached; `auto` and `local` are resolved already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix {
        /// Its absolute path.
        path: PathBuf,
    },
    /// Plain TCP: loopback, or anywhere when asked for with `insecure`.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// 2375 unless given.
        port: u16,
    },
    /// TCP with verified TLS.
    Tls {
        /// Name or address, without brackets; also what the certificate must name.
        host: String,
        /// 2376 unless given.
        port: u16,
        /// The files that verify and identify.
        tls: TlsFiles,
    },
    /// SSH.
    Ssh(SshEndpoint),
    /// `auto` or `local` found nothing; calls answer `unreachable` and `check` says where was looked.
    Missing {
        /// Every place that was looked at.
        looked_for: Vec<String>,
    },
}

impl Endpoint {
    /// Whether the daemon is on this machine: a unix socket or loopback TCP.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix { .. } | Self::Missing { .. } => true,
            Self::Tcp { host, .. } | Self::Tls { host, .. } => is_loopback(host),
            Self::Ssh(_) => false,
        }
    }
}

impl fmt::Display for Endpoint {
    /// Writes the address as a specification has it: for the person only, never for an agent.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { path } => write!(formatter, "unix://{}", path.display()),
            Self::Tcp { host, port } | Self::Tls { host, port, .. } => {
                write!(formatter, "tcp://{}:{port}", spec::bracketed(host))
            }
            Self::Ssh(SshEndpoint { user, host, port, socket, .. }) => {
                spec::write_ssh(formatter, user.as_deref(), host, *port, socket.as_deref())
            }
            Self::Missing { .. } => formatter.write_str("no daemon found"),
        }
    }
}

/// Whether a host name or address (without brackets) is this machine.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The PEM files of a TLS endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The only authorities that are trusted.
    pub ca: PathBuf,
    /// Certificate chain and private key of the client.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// An SSH endpoint; what is absent comes from `ssh_config`, then from ssh's own defaults.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshEndpoint {
    /// Host name, address (without brackets) or alias of `ssh_config`.
    pub host: String,
    /// Login name.
    pub user: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Path of the engine's socket on the far side; set means `Tunnel::Streamlocal`.
    pub socket: Option<String>,
    /// How a channel reaches the engine.
    pub tunnel: Tunnel,
    /// Private keys to try, instead of those of `ssh_config` and the defaults.
    pub identity_files: Option<Vec<PathBuf>>,
    /// The agent's socket, or `none`.
    pub identity_agent: Option<String>,
    /// Files of known host keys, instead of those of `ssh_config` and the defaults.
    pub known_hosts: Option<Vec<PathBuf>>,
    /// Jump hosts, `[user@]host[:port]` separated by commas, or `none`.
    pub proxy_jump: Option<String>,
}

/// How a channel of an SSH session reaches the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tunnel {
    /// Runs `docker system dial-stdio` on the far side.
    #[default]
    DialStdio,
    /// Opens a direct stream to the remote socket.
    Streamlocal,
}
