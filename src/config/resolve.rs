//! From what was written to what is dialled: TLS files are looked at, `auto` and `local` are pinned.

use std::{
    fs::{self, File},
    path::Path,
};

use super::{
    Endpoint, Environment, SshEndpoint, TlsFiles, Tunnel, auto, is_loopback,
    refusal::{quoted_path, refusal},
    spec::{EndpointSpec, Security},
};
use crate::error::{Error, Result};

/// An endpoint with what is worth saying about it.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Where the daemon is.
    pub(super) endpoint: Endpoint,
    /// What does not stop the start.
    pub(super) warnings: Vec<String>,
}

impl Resolved {
    /// An endpoint, with a warning if it is plain TCP beyond loopback.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let warnings = match &endpoint {
            Endpoint::Tcp { host, .. } if !is_loopback(host) => vec![format!(
                "plain TCP to {endpoint}: whoever is on the way can read and control this daemon; use TLS or ssh"
            )],
            _ => Vec::new(),
        };
        Self { endpoint, warnings }
    }
}

/// Resolves an endpoint.
pub(super) fn resolve(endpoint: EndpointSpec, environment: &Environment) -> Result<Resolved> {
    match endpoint {
        EndpointSpec::Auto => auto::auto(environment),
        EndpointSpec::Local => Ok(auto::local(environment)),
        EndpointSpec::Unix { path } => Ok(Resolved::new(Endpoint::Unix { path: path.into() })),
        EndpointSpec::Tcp { host, port, security } => {
            let port = port.unwrap_or(security.default_port());
            Ok(Resolved::new(match security {
                Security::Plain | Security::Insecure => Endpoint::Tcp { host, port },
                Security::Tls(directory) => Endpoint::Tls { host, port, tls: tls_files(&directory)? },
            }))
        }
        EndpointSpec::Ssh { user, host, port, socket } => {
            let tunnel = if socket.is_some() { Tunnel::Streamlocal } else { Tunnel::DialStdio };
            let endpoint = SshEndpoint { host, user, port, socket, tunnel, ..SshEndpoint::default() };
            Ok(Resolved::new(Endpoint::Ssh(endpoint)))
        }
    }
}

/// The TLS files of a directory: `ca.pem`, and `cert.pem` with `key.pem` or neither.
pub(super) fn tls_files(directory: &Path) -> Result<TlsFiles> {
    let ca = directory.join("ca.pem");
    readable(&ca, "put the certificate of the daemon's authority there, or name another directory")?;
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let mend = "give cert.pem and key.pem, or neither";
    let client = if exists(&certificate) || exists(&key) {
        readable(&certificate, mend)?;
        readable(&key, mend)?;
        Some((certificate, key))
    } else {
        None
    };
    Ok(TlsFiles { ca, client })
}

/// Whether there is something, readable or not.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Refuses a file that cannot be read.
fn readable(path: &Path, mend: &str) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(refusal(format!("{} is no file", quoted_path(path)), mend)),
        Ok(_) => File::open(path).map(drop).map_err(|error| unreadable(path, &error, mend)),
        Err(error) => Err(unreadable(path, &error, mend)),
    }
}

/// The refusal of a file that is missing or cannot be read.
pub(super) fn unreadable(path: &Path, error: &std::io::Error, mend: &str) -> Error {
    let path = quoted_path(path);
    match error.kind() {
        std::io::ErrorKind::NotFound => refusal(format!("{path} is missing"), mend),
        std::io::ErrorKind::PermissionDenied => {
            refusal(format!("{path} cannot be read: permission denied"), "let the user that runs quaymaster read it")
        }
        _ => refusal(format!("{path} cannot be read: {error}"), mend),
    }
}
