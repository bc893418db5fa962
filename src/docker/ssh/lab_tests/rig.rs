//! An sshd of a test's own, with its own keys and its own `docker`, so that it may be stopped and killed.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    config::{Environment, SshEndpoint, Tunnel},
    docker::{
        connect::{DialError, Slot, Stream, broken},
        ssh::SshDialer,
    },
    error::Error,
};

/// A variable of the lab; without the lab there is no test.
pub(super) fn lab(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests through integration/test"))
}

/// What stands where the far machine's `docker` should be.
pub(super) enum Docker<'a> {
    /// The lab's CLI in front of the lab's engine.
    Real,
    Missing,
    /// A shell script.
    Script(&'a str),
}

/// A running sshd.
pub(super) struct Sshd {
    pub(super) directory: tempfile::TempDir,
    pub(super) port: u16,
    process: Child,
}

impl Sshd {
    pub(super) fn start() -> Self {
        Self::with(&Docker::Real, "")
    }

    pub(super) fn with(docker: &Docker<'_>, options: &str) -> Self {
        let engine = lab("LAB_PROD_SOCKET");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::create_dir(path.join("bin")).unwrap();
        let script = match docker {
            Docker::Missing => None,
            Docker::Script(body) => Some(format!("#!/bin/sh\n{body}\n")),
            Docker::Real => Some(format!("#!/bin/sh\nDOCKER_HOST=unix://{engine} exec {} \"$@\"\n", lab("LAB_DOCKER"))),
        };
        if let Some(script) = script {
            fs::write(path.join("bin/docker"), script).unwrap();
            fs::set_permissions(path.join("bin/docker"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        keygen(&path.join("host_key"), &["-t", "ed25519"]);
        keygen(&path.join("id"), &["-t", "ed25519"]);
        fs::copy(path.join("id.pub"), path.join("authorized_keys")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::create_dir(path.join("empty")).unwrap();
        let search = if matches!(docker, Docker::Missing) { "" } else { ":/usr/bin:/bin" };
        let shown = path.display();
        // A home of its own, or bash would run the account's `.bashrc` for every channel.
        fs::write(
            path.join("config"),
            format!(
                "{options}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {shown}/host_key\n\
                 AuthorizedKeysFile {shown}/authorized_keys\nPermitRootLogin prohibit-password\n\
                 PasswordAuthentication no\nKbdInteractiveAuthentication no\nStrictModes no\nUsePAM no\n\
                 PidFile none\nMaxStartups 100\nLogLevel VERBOSE\nSetEnv PATH={shown}/bin{search} HOME={shown}/empty\n"
            ),
        )
        .unwrap();
        let process = Self::run(path, port);
        let sshd = Self { directory, port, process };
        fs::write(sshd.path("known_hosts"), sshd.known("host_key")).unwrap();
        sshd
    }

    fn run(path: &Path, port: u16) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(path.join("log")).unwrap();
        let mut process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f"])
            .arg(path.join("config"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd runs");
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return process;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        process.kill().ok();
        process.wait().ok();
        panic!("sshd does not listen: {}", fs::read_to_string(path.join("log")).unwrap());
    }

    /// Ends sshd and every connection, then starts it again.
    pub(super) fn restart(&mut self) {
        self.kill();
        self.process = Self::run(self.directory.path(), self.port);
    }

    pub(super) fn kill(&mut self) {
        for connection in self.connections() {
            signal(connection, "KILL");
        }
        self.process.kill().ok();
        self.process.wait().unwrap();
    }

    /// The processes of its connections, and theirs.
    pub(super) fn connections(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut parents = vec![self.process.id()];
        while let Some(parent) = parents.pop() {
            let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
            let children: Vec<u32> = children.split_whitespace().map(|id| id.parse().unwrap()).collect();
            parents.extend(&children);
            found.extend(children);
        }
        found
    }

    /// How often somebody has logged in.
    pub(super) fn logins(&self) -> usize {
        fs::read_to_string(self.path("log")).unwrap().matches("Accepted publickey").count()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The line of `known_hosts` for one of the keys in its directory.
    pub(super) fn known(&self, key: &str) -> String {
        format!("[127.0.0.1]:{} {}", self.port, fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap())
    }

    pub(super) fn authorize(&self, key: &str) {
        let mut text = fs::read_to_string(self.path("authorized_keys")).unwrap();
        text += &fs::read_to_string(self.path(&format!("{key}.pub"))).unwrap();
        fs::write(self.path("authorized_keys"), text).unwrap();
    }

    pub(super) fn endpoint(&self) -> SshEndpoint {
        SshEndpoint {
            host: "127.0.0.1".into(),
            port: Some(self.port),
            identity_files: Some(vec![self.path("id")]),
            known_hosts: Some(vec![self.path("known_hosts")]),
            ..SshEndpoint::default()
        }
    }

    pub(super) fn streamlocal(&self) -> SshEndpoint {
        SshEndpoint { tunnel: Tunnel::Streamlocal, socket: Some(lab("LAB_PROD_SOCKET")), ..self.endpoint() }
    }

    /// A person without a configuration of their own.
    pub(super) fn environment(&self) -> Environment {
        Environment {
            home: Some(self.path("home")),
            user: Some(account()),
            working_directory: self.directory.path().to_owned(),
            ..Environment::default()
        }
    }

    pub(super) fn dialer(&self) -> SshDialer {
        self.dialer_to(self.endpoint())
    }

    pub(super) fn dialer_to(&self, endpoint: SshEndpoint) -> SshDialer {
        SshDialer::new(endpoint, Arc::new(self.environment()))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn account() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a key without a passphrase, unless the arguments give one.
pub(super) fn keygen(path: &Path, arguments: &[&str]) {
    let mut command = Command::new("ssh-keygen");
    command.arg("-q").args(arguments).arg("-f").arg(path);
    if !arguments.contains(&"-N") && !arguments.contains(&"-s") {
        command.args(["-N", ""]);
    }
    assert!(command.stdin(Stdio::null()).status().expect("ssh-keygen runs").success());
}

pub(super) fn signal(process: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &process.to_string()]).stderr(Stdio::null()).status().unwrap();
}

pub(super) fn slot() -> Slot {
    Slot::new(())
}

/// A stream, or a panic that tells everything.
pub(super) async fn dial(dialer: &SshDialer) -> Box<dyn Stream> {
    match dialer.dial(slot()).await {
        Ok(stream) => stream,
        Err(error) => panic!("{error:?}"),
    }
}

/// The error of a dial that must fail.
pub(super) async fn refusal(dialer: &SshDialer) -> Error {
    match dialer.dial(slot()).await {
        Err(DialError::Failed(error)) => error,
        Err(DialError::Full) => panic!("full"),
        Ok(_) => panic!("connected"),
    }
}

/// Asks the engine whether it is there, and leaves the connection open.
pub(super) async fn ping(stream: &mut Box<dyn Stream>) -> Result<String, Error> {
    let request = b"GET /_ping HTTP/1.1\r\nHost: engine\r\n\r\n";
    let told = |error: std::io::Error| broken(&error).unwrap_or_else(|| Error::internal(error.to_string()));
    stream.write_all(request).await.map_err(told)?;
    let mut answer = String::new();
    let mut bytes = [0; 1024];
    while !answer.ends_with("\r\n\r\nOK") {
        let read = stream.read(&mut bytes).await.map_err(told)?;
        assert!(read > 0, "the end after {answer:?}");
        write!(answer, "{}", String::from_utf8_lossy(&bytes[..read])).unwrap();
    }
    Ok(answer)
}

/// Both texts of an error, for looking at what agents must not see.
pub(super) fn for_agents(error: &Error) -> String {
    format!("{} {}", error.message(), error.hint_text().unwrap_or_default())
}
