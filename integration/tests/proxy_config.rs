//! `proxy-config` where its pages are used: compose reads them, and a login with the forced command reaches the
//! proxy's socket and nothing else.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{
    recorder::Recorder,
    rig::{Link, lab},
};

/// What is printed for a host, as data.
fn printed(spec: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
    command.args(["proxy-config", "lab", "--json"]).env_clear().env("HOME", lab("LAB_HOME"));
    let output = command.env("QUAYMASTER_HOSTS", spec).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn compose_reads_every_page() {
    let directory = tempfile::tempdir().unwrap();
    for markers in ["", "(nd)", "(ro)"] {
        for advice in printed(&format!("lab=unix:///run/a b$x'.sock{markers}"))["proxies"].as_array().unwrap() {
            let file = directory.path().join("compose.yaml");
            fs::write(&file, advice["compose"].as_str().unwrap()).unwrap();
            let mut compose = Command::new(Path::new(&lab("LAB_COMPOSE_PLUGINS")).join("docker-compose"));
            compose.arg("-f").arg(&file).args(["config", "--format", "json"]);
            let output = compose.env("PROXY_GID", "1234").env("HOME", directory.path()).output().unwrap();
            assert!(output.status.success(), "{}: {output:?}", advice["proxy"]);
            let read: Value = serde_json::from_slice(&output.stdout).unwrap();
            let service = &read["services"]["docker-proxy"];
            assert_eq!(service["image"], advice["image"]);
            let volume = &service["volumes"][0];
            // What compose prints is escaped once more, so that it can be read again.
            let source = volume["source"].as_str().unwrap().replace("$$", "$");
            assert_eq!((source.as_str(), volume["read_only"].as_bool()), ("/run/a b$x'.sock", Some(true)), "{read}");
            if let Some(arguments) = advice["arguments"].as_array() {
                let command: Vec<&str> =
                    service["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
                let expected: Vec<&str> = arguments.iter().map(|word| word.as_str().unwrap()).collect();
                assert_eq!((command, service["user"].as_str()), (expected, Some("0:1234")));
            }
            if let Some(environment) = advice["environment"].as_object() {
                for (name, value) in environment {
                    assert_eq!(&service["environment"][name], value, "{name}");
                }
            }
        }
    }
}

/// An sshd of a test, with one key that may run one command.
struct Server {
    directory: tempfile::TempDir,
    port: u16,
    process: Child,
}

impl Server {
    fn new(authorized: impl FnOnce(&str) -> String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        for name in ["host", "key"] {
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]).status();
            assert!(made.unwrap().success());
        }
        let public = fs::read_to_string(path("key.pub")).unwrap();
        fs::write(path("authorized"), authorized(public.trim())).unwrap();
        fs::set_permissions(path("authorized"), fs::Permissions::from_mode(0o600)).unwrap();
        let port = free();
        let options = [
            format!("HostKey={}", path("host")),
            format!("AuthorizedKeysFile={}", path("authorized")),
            format!("PidFile={}", path("pid")),
            format!("ListenAddress=127.0.0.1:{port}"),
            "StrictModes=no".to_owned(),
            "PermitRootLogin=yes".to_owned(),
            "AllowStreamLocalForwarding=yes".to_owned(),
        ];
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.args(["-D", "-e", "-f", "/dev/null"]).args(options.iter().flat_map(|option| ["-o", option]));
        let process = sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Self { directory, port, process };
        listens(port);
        server
    }

    /// A login.
    fn login(&self, options: &[&str]) -> Command {
        let key = self.directory.path().join("key");
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-p", &self.port.to_string(), "-i"]).arg(key);
        for option in
            ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "IdentityAgent=none"]
        {
            ssh.args(["-o", option]);
        }
        ssh.args(options).arg("root@127.0.0.1").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh
    }

    /// Logs in, asks for a command, and says a ping to what runs.
    fn ask(&self, command: &[&str]) -> String {
        let mut child = self.login(&[]).args(command).spawn().unwrap();
        child.stdin.take().unwrap().write_all(PING).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }
}

const PING: &[u8] = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Says a ping to a port of this machine; answers what came back.
fn ping(port: u16) -> String {
    let mut answer = String::new();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(PING).ok();
    stream.read_to_string(&mut answer).ok();
    answer
}

/// A port that nobody listens on.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
fn listens(port: u16) {
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("nobody listens on {port}");
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_with_the_forced_command_reaches_the_socket_and_nothing_else() {
    let recorder = Recorder::before(&Link::Unix.socket());
    let socket = recorder.spec("").trim_start_matches("lab=unix://").to_owned();
    let advice = printed("lab=ssh://ops@lab(ro)")["proxies"][0].clone();
    let line = advice["authorized_keys"].as_str().unwrap().replace("/run/quaymaster/docker.sock", &socket);
    // The login's shell finds no docker but the lab's.
    let line = line.replace(" docker system", &format!(" {} system", lab("LAB_DOCKER")));
    let server = Server::new(|public| format!("{}{public}\n", line.split_once("ssh-ed25519").unwrap().0));
    for command in [&["docker", "system", "dial-stdio"][..], &["touch", "/tmp/quaymaster-was-here"], &[]] {
        let answer = server.ask(command);
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{command:?}: {answer}");
    }
    assert!(!Path::new("/tmp/quaymaster-was-here").exists());
    // The docker CLI asks for itself before it lets its caller speak.
    let heard = recorder.take();
    let pings = heard.iter().filter(|request| request.method == "GET" && request.target == "/_ping");
    assert_eq!(pings.count(), 3, "each login spoke to the socket once: {heard:?}");
    assert_eq!(forwarded(&server), "", "a socket was reached past the command");
    // The same without the restriction shows that the question is a fair one.
    let open = Server::new(|public| format!("{public}\n"));
    assert!(forwarded(&open).starts_with("HTTP/1.1 200 OK"));
}

/// What the engine's own socket says through a forwarding that a login asks for.
fn forwarded(server: &Server) -> String {
    let port = free();
    let forward = format!("{port}:{}", Link::Unix.socket());
    let mut login = server.login(&["-N", "-L", &forward]).spawn().unwrap();
    listens(port);
    let answer = ping(port);
    login.kill().ok();
    login.wait().ok();
    answer
}
