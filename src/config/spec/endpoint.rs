//! Where a daemon is, as it is written: `auto`, `local`, `unix://`, `tcp://`, `ssh://`.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::authority::{Authority, FORMS, decoded, shown};
use crate::{
    config::{
        anchor::Anchor,
        is_loopback,
        refusal::{quoted, refusal, suggestion},
    },
    error::Result,
};

/// What a user name keeps when it is printed into an address.
const USER: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a path loses when it is printed into an address.
const PATH: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#');

/// Where a daemon is, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointSpec {
    /// What the docker CLI would use.
    Auto,
    /// The first well-known socket of this machine.
    Local,
    /// A unix socket.
    Unix {
        /// Its absolute path.
        path: String,
    },
    /// TCP.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Absent only before `tls` and `insecure` are known.
        port: Option<u16>,
        /// What keeps others out.
        security: Security,
    },
    /// SSH.
    Ssh {
        /// Login name.
        user: Option<String>,
        /// Name, alias, or address without brackets.
        host: String,
        /// Port.
        port: Option<u16>,
        /// Path of the engine's socket on the far side.
        socket: Option<String>,
    },
}

/// What keeps others out of a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Nothing: good for loopback only.
    Plain,
    /// Nothing, and the owner said that this is wanted.
    Insecure,
    /// TLS with the files of this directory.
    Tls(PathBuf),
}

impl Security {
    /// The port where none is given.
    #[must_use]
    pub const fn default_port(&self) -> u16 {
        match self {
            Self::Plain | Self::Insecure => 2375,
            Self::Tls(_) => 2376,
        }
    }
}

/// How the mend of a refusal has to be written.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) enum Notation {
    /// `(tls=DIR)`, `(insecure)`.
    Spec,
    /// `tls = "DIR"`, `insecure = true`.
    File,
}

impl Notation {
    const fn tls(self) -> &'static str {
        match self {
            Self::Spec => "(tls=DIR)",
            Self::File => "tls = \"DIR\"",
        }
    }

    const fn insecure(self) -> &'static str {
        match self {
            Self::Spec => "(insecure)",
            Self::File => "insecure = true",
        }
    }
}

impl EndpointSpec {
    /// Reads an endpoint that stands alone, with TLS or without.
    ///
    /// # Errors
    /// `config` for what no host could have.
    pub fn of(text: &str, tls: bool) -> Result<Self> {
        let directory = tls.then(|| PathBuf::from("tls"));
        Self::parse(text)?.secured(directory, false, Notation::File)
    }

    /// Reads an endpoint without its markers; TCP comes back plain, with the port as given.
    pub(in crate::config) fn parse(text: &str) -> Result<Self> {
        if text.chars().any(char::is_control) {
            return Err(refusal(format!("a control character in {}", shown(text)), "remove it"));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return word(text);
        };
        let read: fn(&str) -> Result<Self> = match scheme.to_ascii_lowercase().as_str() {
            "unix" => unix,
            "tcp" => tcp,
            "ssh" => ssh,
            "npipe" => {
                return Err(refusal(format!("{} needs a Windows build", shown(text)), "use tcp:// or ssh://"));
            }
            unknown => {
                let mend = suggestion(unknown, ["unix", "tcp", "ssh"], FORMS);
                return Err(refusal(format!("unknown scheme {}", quoted(scheme)), mend));
            }
        };
        if rest.contains(['?', '#']) {
            let what = format!("a query or fragment in {}", shown(text));
            return Err(refusal(what, "remove what begins with \"?\" or \"#\""));
        }
        read(rest)
    }

    /// Whether it is TCP, which alone takes `tls` and `insecure`.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Self::Tcp { .. })
    }

    /// The same endpoint with its `tls` and `insecure`, refused where they are missing or misplaced.
    pub(in crate::config) fn secured(self, tls: Option<PathBuf>, insecure: bool, notation: Notation) -> Result<Self> {
        let Self::Tcp { host, port, .. } = self else {
            let misplaced = match (tls, insecure) {
                (Some(_), _) => "tls",
                (None, true) => "insecure",
                (None, false) => return Ok(self),
            };
            let what = format!("\"{misplaced}\" on {}", shown(&self.to_string()));
            return Err(refusal(what, format!("remove it: only tcp:// takes \"{misplaced}\"")));
        };
        let security = match (tls, insecure) {
            (Some(_), true) => {
                return Err(refusal("\"tls\" and \"insecure\" exclude each other", "keep the one that you mean"));
            }
            (Some(directory), false) => Security::Tls(directory),
            (None, true) => Security::Insecure,
            (None, false) => Security::Plain,
        };
        let port = port.unwrap_or(security.default_port());
        let (tls, insecure) = (notation.tls(), notation.insecure());
        if port == 2376 && !matches!(security, Security::Tls(_)) {
            let what = format!("port 2376 of {} without \"tls\"", quoted(&host));
            return Err(refusal(
                what,
                format!("add {tls} with the directory of ca.pem, or give the port of plain TCP"),
            ));
        }
        if security == Security::Plain && !is_loopback(&host) {
            let what = format!("plain TCP to {}, which is not this machine", quoted(&host));
            let mend =
                format!("add {tls} with the directory of ca.pem, use ssh://, or accept the risk with {insecure}");
            return Err(refusal(what, mend));
        }
        Ok(Self::Tcp { host, port: Some(port), security })
    }

    /// The same endpoint with relative paths and `~/` made absolute.
    pub(in crate::config) fn anchored(self, anchor: Anchor<'_>) -> Result<Self> {
        match self {
            Self::Tcp { host, port, security: Security::Tls(directory) } => {
                let directory = anchor.path(&directory)?;
                Ok(Self::Tcp { host, port, security: Security::Tls(directory) })
            }
            other => Ok(other),
        }
    }

    /// This endpoint with what another of the same daemon adds; nothing where the two contradict.
    pub(in crate::config) fn joined(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (
                Self::Ssh { user, host, port, socket },
                Self::Ssh { user: other_user, host: other_host, port: other_port, socket: other_socket },
            ) => {
                let same = host == other_host
                    && agree(user.as_ref(), other_user.as_ref())
                    && agree(port.as_ref(), other_port.as_ref())
                    && agree(socket.as_ref(), other_socket.as_ref());
                same.then(|| Self::Ssh {
                    user: user.as_ref().or(other_user.as_ref()).cloned(),
                    host: host.clone(),
                    port: port.or(*other_port),
                    socket: socket.as_ref().or(other_socket.as_ref()).cloned(),
                })
            }
            (Self::Tcp { host, port, security }, Self::Tcp { host: other_host, port: other_port, security: other })
                if (host, port, directory(security)) == (other_host, other_port, directory(other)) =>
            {
                Some(self.clone())
            }
            _ => (self == other).then(|| self.clone()),
        }
    }
}

/// The directory of TLS.
fn directory(security: &Security) -> Option<&Path> {
    match security {
        Security::Tls(directory) => Some(directory),
        Security::Plain | Security::Insecure => None,
    }
}

/// Whether two say the same, or one of them nothing.
fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.zip(other).is_none_or(|(one, other)| one == other)
}

/// Reads what has no scheme.
fn word(text: &str) -> Result<EndpointSpec> {
    match text.to_ascii_lowercase().as_str() {
        "auto" => Ok(EndpointSpec::Auto),
        "local" => Ok(EndpointSpec::Local),
        "" => Err(refusal("the endpoint is empty", FORMS)),
        other => {
            let mend = suggestion(other, ["auto", "local"], FORMS);
            Err(refusal(format!("{} is no endpoint", shown(text)), mend))
        }
    }
}

/// Reads what follows `unix://`; it is taken as it stands.
fn unix(path: &str) -> Result<EndpointSpec> {
    if !path.starts_with('/') || path.ends_with('/') {
        let what = format!("{} is no absolute path of a socket", quoted(path));
        return Err(refusal(what, "write unix:///PATH with three slashes, as in unix:///var/run/docker.sock"));
    }
    Ok(EndpointSpec::Unix { path: path.to_owned() })
}

/// Reads what follows `tcp://`.
fn tcp(rest: &str) -> Result<EndpointSpec> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let Authority { user, host, port } = Authority::parse(authority)?;
    if !path.is_empty() {
        let what = format!("a path in {}", shown(&format!("tcp://{rest}")));
        return Err(refusal(what, "remove what follows the port"));
    }
    if let Some(user) = user {
        return Err(refusal(format!("a user {} for tcp://", quoted(&user)), "remove it: only ssh:// has users"));
    }
    Ok(EndpointSpec::Tcp { host, port, security: Security::Plain })
}

/// Reads what follows `ssh://`; `%` escapes are decoded as in every URL.
fn ssh(rest: &str) -> Result<EndpointSpec> {
    let (authority, socket) = rest.split_once('/').unwrap_or((rest, ""));
    let Authority { user, host, port } = Authority::parse(authority)?;
    let socket = if socket.is_empty() { None } else { Some(format!("/{}", decoded(socket)?)) };
    Ok(EndpointSpec::Ssh { user, host, port, socket })
}

/// A host as an address has it: IPv6 in brackets.
pub(in crate::config) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Writes `ssh://[user@]host[:port][/socket]`.
pub(in crate::config) fn write_ssh(
    formatter: &mut fmt::Formatter<'_>,
    user: Option<&str>,
    host: &str,
    port: Option<u16>,
    socket: Option<&str>,
) -> fmt::Result {
    formatter.write_str("ssh://")?;
    if let Some(user) = user {
        write!(formatter, "{}@", utf8_percent_encode(user, USER))?;
    }
    formatter.write_str(&bracketed(host))?;
    if let Some(port) = port {
        write!(formatter, ":{port}")?;
    }
    write!(formatter, "{}", utf8_percent_encode(socket.unwrap_or_default(), PATH))
}

impl fmt::Display for EndpointSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("auto"),
            Self::Local => formatter.write_str("local"),
            Self::Unix { path } => write!(formatter, "unix://{path}"),
            Self::Tcp { host, port: None, .. } => write!(formatter, "tcp://{}", bracketed(host)),
            Self::Tcp { host, port: Some(port), .. } => write!(formatter, "tcp://{}:{port}", bracketed(host)),
            Self::Ssh { user, host, port, socket } => {
                write_ssh(formatter, user.as_deref(), host, *port, socket.as_deref())
            }
        }
    }
}
