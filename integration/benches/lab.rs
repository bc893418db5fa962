//! The lab's engines as hosts, and a directory for our own sockets.

use std::{env, path::PathBuf};

use tempfile::TempDir;

use crate::{
    Failure,
    client::Program,
    simulated::{Daemon, Manner},
};

/// What the measurements work with.
pub(crate) struct Lab {
    /// The release binary.
    pub(crate) quaymaster: Program,
    /// Where it is.
    pub(crate) binary: PathBuf,
    /// Engine 20.10, on a unix socket.
    pub(crate) local: String,
    /// Engine 26.1 on a unix socket, which is also reached over TLS.
    pub(crate) staging: String,
    /// Engine 26.1 on a unix socket, which is also reached through ssh.
    pub(crate) prod: String,
    /// The same over TLS, as an endpoint.
    pub(crate) tls: String,
    /// The process of the engine that may be stopped.
    pub(crate) staging_process: String,
    /// The port of the sshd in front of the last one.
    pub(crate) ssh_port: u16,
    /// The image of the containers.
    pub(crate) image: String,
    /// Where our own sockets are.
    pub(crate) directory: TempDir,
}

impl Lab {
    /// Reads the variables of the lab.
    pub(crate) fn new(binary: PathBuf) -> Result<Self, Failure> {
        let variable = |name: &str| env::var(name).map_err(|_| format!("{name} is not set: use integration/bench"));
        Ok(Self {
            quaymaster: Program::new(&binary),
            binary,
            local: variable("LAB_LOCAL_SOCKET")?,
            staging: variable("LAB_STAGING_SOCKET")?,
            prod: variable("LAB_PROD_SOCKET")?,
            tls: format!("tcp://127.0.0.1:{}(tls={})", variable("LAB_STAGING_PORT")?, variable("LAB_TLS_DIR")?),
            staging_process: variable("LAB_STAGING_PID")?,
            ssh_port: variable("LAB_SSH_PORT")?.parse()?,
            image: variable("LAB_IMAGE")?,
            directory: tempfile::tempdir()?,
        })
    }

    /// All three, as one person would have them.
    pub(crate) fn three_hosts(&self) -> String {
        format!("local=unix://{}, staging={}, prod=ssh://lab-prod(ro)", self.local, self.tls)
    }

    /// A simulated daemon.
    pub(crate) fn simulate(&self, number: usize, manner: Manner) -> Result<Daemon, Failure> {
        Daemon::start(self.directory.path(), number, manner)
    }
}
