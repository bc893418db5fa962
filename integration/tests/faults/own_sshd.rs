//! An sshd of a test's own, with its own keys, in namespaces of its own; it may be killed, stopped, and come back with
//! another host key.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use quaymaster::config::Environment;
use tempfile::TempDir;

use super::space::{Link, Network, Space, freeze, signal, until};
use crate::rig::{environment, lab};

/// An sshd in front of an engine.
pub struct OwnSshd {
    // In this order: what runs ends before its files go.
    space: Option<Space>,
    directory: TempDir,
    port: u16,
    network: Network,
}

impl OwnSshd {
    /// One on loopback whose `docker` reaches the engine on a socket.
    pub fn before(engine: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        Self::with(engine, port, Network::Shared)
    }

    /// One that only a link reaches.
    pub fn apart(engine: &str) -> (Self, Link) {
        let sshd = Self::with(engine, 22, Network::Own);
        let link = Link::to(sshd.space.as_ref().unwrap());
        sshd.know(&link.far());
        (sshd, link)
    }

    fn with(engine: &str, port: u16, network: Network) -> Self {
        let directory = tempfile::Builder::new().prefix("qmf-").tempdir().expect("a directory");
        let path = directory.path();
        for part in ["bin", "empty", "home/.ssh"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        let log = path.join("commands").display().to_string();
        let script =
            format!("#!/bin/sh\necho \"$@\" >>{log}\nDOCKER_HOST=unix://{engine} exec {} \"$@\"\n", lab("LAB_DOCKER"));
        fs::write(path.join("bin/docker"), script).unwrap();
        fs::set_permissions(path.join("bin/docker"), fs::Permissions::from_mode(0o755)).unwrap();
        keygen(&path.join("host_key"));
        keygen(&path.join("home/.ssh/id_ed25519"));
        fs::copy(path.join("home/.ssh/id_ed25519.pub"), path.join("authorized_keys")).unwrap();
        // Whether this account can log in without PAM was found out by the lab.
        let settings = fs::read_to_string(Path::new(&lab("LAB_DIR")).join("sshd/prod/config")).expect("the lab's sshd");
        let pam = settings.lines().find(|line| line.starts_with("UsePAM")).expect("a setting");
        let shown = path.display();
        let config = format!(
            "ListenAddress 0.0.0.0\nPort {port}\nHostKey {shown}/host_key\nAuthorizedKeysFile {shown}/authorized_keys\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             StrictModes no\n{pam}\nPidFile none\nMaxStartups 100\nLogLevel VERBOSE\n\
             SetEnv PATH={shown}/bin:/usr/bin:/bin HOME={shown}/empty\n"
        );
        let config = if network == Network::Shared { config.replace("0.0.0.0", "127.0.0.1") } else { config };
        fs::write(path.join("config"), config).unwrap();
        let mut sshd = Self { space: None, directory, port, network };
        sshd.start();
        sshd.know("127.0.0.1");
        sshd
    }

    /// Starts it after it was killed.
    pub fn start(&mut self) {
        let config = self.path("config").display().to_string();
        let log = self.path("log");
        let before = self.logged("Server listening");
        let command = ["/usr/sbin/sshd", "-D", "-e", "-f", &config];
        self.space = Some(Space::start(self.network, &log, "/usr/sbin:/usr/bin:/sbin:/bin", &command));
        until("sshd listens", || self.logged("Server listening") > before);
    }

    /// Kills it and every connection to it.
    pub fn kill(&mut self) {
        self.space = None;
    }

    /// Makes it another machine, as far as anybody can tell; it is to be started again.
    pub fn change_host_key(&self) {
        for name in ["host_key", "host_key.pub"] {
            fs::remove_file(self.path(name)).unwrap();
        }
        keygen(&self.path("host_key"));
    }

    /// Stops every connection where it stands; new ones are still taken. Answers how many processes were stopped.
    pub fn freeze_connections(&self) -> Vec<u32> {
        let connections: Vec<u32> = self.space.as_ref().expect("it runs").descendants();
        let connections: Vec<u32> = connections.into_iter().filter(|process| is_sshd(*process)).collect();
        for process in &connections {
            freeze(*process);
        }
        connections
    }

    /// How often somebody has logged in.
    pub fn logins(&self) -> usize {
        self.logged("Accepted publickey")
    }

    /// How many commands were run.
    pub fn commands(&self) -> usize {
        fs::read_to_string(self.path("commands")).unwrap_or_default().lines().count()
    }

    /// The endpoint as a host specification has it.
    pub fn endpoint(&self) -> String {
        self.endpoint_at("127.0.0.1")
    }

    /// The same at another address.
    pub fn endpoint_at(&self, address: &str) -> String {
        format!("ssh://{}@{address}:{}", lab("LAB_SSH_USER"), self.port)
    }

    /// A person who has the key to it, and knows it.
    pub fn person(&self) -> Environment {
        Environment { home: Some(self.path("home")), ..environment() }
    }

    /// Notes its host key, by which the person knows it from now on.
    pub fn know(&self, address: &str) {
        let key = fs::read_to_string(self.path("host_key.pub")).unwrap();
        let host = if self.port == 22 { address.to_owned() } else { format!("[{address}]:{}", self.port) };
        fs::write(self.path("home/.ssh/known_hosts"), format!("{host} {key}\n")).unwrap();
    }

    fn logged(&self, text: &str) -> usize {
        fs::read_to_string(self.path("log")).unwrap_or_default().matches(text).count()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Lets stopped processes go on.
pub fn thaw(processes: &[u32]) {
    for process in processes {
        signal(*process, "CONT");
    }
}

fn is_sshd(process: u32) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|name| name.starts_with("sshd"))
}

fn keygen(path: &Path) {
    let mut command = Command::new("ssh-keygen");
    let made = command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).stdin(Stdio::null()).status();
    assert!(made.expect("ssh-keygen").success());
}
