//! Connecting and logging in: keys, agents, certificates, host keys, jump hosts, reconnecting.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::rig::{Docker, Sshd, dial, for_agents, keygen, ping, refusal, slot};
use crate::{config::SshEndpoint, error::Kind};

#[tokio::test]
async fn lab_ping_by_command_and_by_socket_over_one_login_each() {
    let sshd = Sshd::start();
    for endpoint in [sshd.endpoint(), sshd.streamlocal()] {
        let before = sshd.logins();
        let dialer = sshd.dialer_to(endpoint);
        let mut streams = futures_util::future::join_all((0..4).map(|_| dial(&dialer))).await;
        for stream in &mut streams {
            ping(stream).await.unwrap();
            ping(stream).await.unwrap();
        }
        assert_eq!(sshd.logins(), before + 1);
    }
}

#[tokio::test]
async fn lab_a_jump_host_leads_to_the_host() {
    let target = Sshd::start();
    let jump = Sshd::with(&Docker::Missing, "ForceCommand /bin/false");
    let known = fs::read_to_string(target.path("known_hosts")).unwrap() + &jump.known("host_key");
    fs::write(target.path("known_hosts"), known).unwrap();
    fs::copy(target.path("authorized_keys"), jump.path("authorized_keys")).unwrap();
    let over = |hop: String| SshEndpoint { proxy_jump: Some(hop), ..target.endpoint() };

    let dialer = target.dialer_to(over(format!("127.0.0.1:{}", jump.port)));
    ping(&mut dial(&dialer).await).await.unwrap();
    assert_eq!((jump.logins(), target.logins()), (1, 1));

    // The same through the person's configuration.
    fs::create_dir_all(target.path("home/.ssh")).unwrap();
    let own = |name: &str| target.path(name).display().to_string();
    fs::write(
        target.path("home/.ssh/config"),
        format!(
            "Host prod\n HostName 127.0.0.1\n Port {}\n ProxyJump gate\nHost gate\n HostName 127.0.0.1\n Port {}\n\
             Host *\n IdentityFile {}\n UserKnownHostsFile {}\n",
            target.port,
            jump.port,
            own("id"),
            own("known_hosts")
        ),
    )
    .unwrap();
    let dialer = target.dialer_to(SshEndpoint { host: "prod".into(), ..SshEndpoint::default() });
    ping(&mut dial(&dialer).await).await.unwrap();

    // What is wrong at the jump host is said to be wrong there.
    fs::write(jump.path("authorized_keys"), "").unwrap();
    let error = refusal(&target.dialer_to(over(format!("127.0.0.1:{}", jump.port)))).await;
    assert!(error.message().starts_with("at a jump host: the ssh login failed"), "{error}");
    fs::copy(target.path("authorized_keys"), jump.path("authorized_keys")).unwrap();
    let beyond = SshEndpoint { port: Some(1), ..over(format!("127.0.0.1:{}", jump.port)) };
    let error = refusal(&target.dialer_to(beyond)).await;
    assert!(error.message().contains("the jump host cannot reach it"), "{error}");
}

/// An ssh-agent with the given keys.
struct Agent {
    process: Child,
    socket: PathBuf,
}

impl Agent {
    fn with(sshd: &Sshd, keys: &[&str]) -> Self {
        let socket = sshd.path("agent");
        fs::remove_file(&socket).ok();
        let process = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let ask = sshd.path("ask");
        fs::write(&ask, "#!/bin/sh\necho secret\n").unwrap();
        fs::set_permissions(&ask, fs::Permissions::from_mode(0o755)).unwrap();
        for key in keys {
            let added = Command::new("ssh-add")
                .arg("-q")
                .arg(sshd.path(key))
                .env("SSH_AUTH_SOCK", &socket)
                .env("SSH_ASKPASS", &ask)
                .env("SSH_ASKPASS_REQUIRE", "force")
                .stdin(Stdio::null())
                .status()
                .unwrap();
            assert!(added.success());
        }
        Self { process, socket }
    }

    fn path(&self) -> String {
        self.socket.display().to_string()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn lab_key_files_of_every_kind() {
    let sshd = Sshd::start();
    for (name, arguments) in [
        ("rsa", &["-t", "rsa", "-b", "2048"][..]),
        ("rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa", &["-t", "ecdsa"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
    ] {
        keygen(&sshd.path(name), arguments);
        sshd.authorize(name);
        let endpoint = SshEndpoint { identity_files: Some(vec![sshd.path(name)]), ..sshd.endpoint() };
        ping(&mut dial(&sshd.dialer_to(endpoint)).await).await.unwrap();
    }

    // Default keys, found without being named.
    fs::create_dir_all(sshd.path("home/.ssh")).unwrap();
    for (from, to) in [("ecdsa", "id_ecdsa"), ("known_hosts", "known_hosts")] {
        fs::copy(sshd.path(from), sshd.path("home/.ssh").join(to)).unwrap();
    }
    let bare = SshEndpoint { host: "127.0.0.1".into(), port: Some(sshd.port), ..SshEndpoint::default() };
    ping(&mut dial(&sshd.dialer_to(bare)).await).await.unwrap();
}

#[tokio::test]
async fn lab_keys_that_cannot_be_used_are_told_apart() {
    let sshd = Sshd::start();
    keygen(&sshd.path("locked"), &["-t", "ed25519", "-N", "secret"]);
    keygen(&sshd.path("locked_pem"), &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"]);
    keygen(&sshd.path("open"), &["-t", "ed25519"]);
    keygen(&sshd.path("stranger"), &["-t", "ed25519"]);
    fs::set_permissions(sshd.path("open"), fs::Permissions::from_mode(0o644)).unwrap();
    for (name, message, detail) in [
        ("locked", "encrypted and no agent holds it", "locked is encrypted and no agent holds it; run ssh-add"),
        ("locked_pem", "encrypted and no agent holds it", "locked_pem is encrypted and no agent holds it"),
        ("open", "no usable key", "mode 0644"),
        ("missing", "no usable key", "missing: no such key"),
        ("stranger", "accepts none of the keys", "stranger: refused (server takes: publickey)"),
    ] {
        let endpoint = SshEndpoint { identity_files: Some(vec![sshd.path(name)]), ..sshd.endpoint() };
        let error = refusal(&sshd.dialer_to(endpoint)).await;
        assert_eq!(error.kind(), Kind::Unreachable);
        assert!(error.message().contains(message), "{name}: {error}");
        let told = error.detail_text().unwrap();
        assert!(told.contains(detail), "{name}: {told}");
        assert!(!for_agents(&error).contains(['/', '@']), "{}", for_agents(&error));
    }
}

#[tokio::test]
async fn lab_an_agent_signs_for_the_keys_that_it_holds() {
    let sshd = Sshd::start();
    keygen(&sshd.path("locked"), &["-t", "ed25519", "-N", "secret"]);
    keygen(&sshd.path("rsa"), &["-t", "rsa", "-b", "2048"]);
    for number in 0..5 {
        keygen(&sshd.path(&format!("other{number}")), &["-t", "ed25519"]);
    }
    sshd.authorize("locked");
    sshd.authorize("rsa");
    let agent = Agent::with(&sshd, &["other0", "other1", "other2", "other3", "other4", "locked", "rsa"]);
    let with = |keys: Option<Vec<PathBuf>>| SshEndpoint {
        identity_agent: Some(agent.path()),
        identity_files: keys,
        ..sshd.endpoint()
    };
    // The chosen key comes first, by its public half alone, or as an encrypted file.
    for name in ["locked", "locked.pub", "rsa.pub"] {
        ping(&mut dial(&sshd.dialer_to(with(Some(vec![sshd.path(name)])))).await).await.unwrap();
    }
    // Without a choice the limit is reached before the right one, and that is said.
    let error = refusal(&sshd.dialer_to(with(None))).await;
    assert!(error.detail_text().unwrap().contains("5 attempts are the limit"), "{:?}", error.detail_text());
    let agent = Agent::with(&Sshd::start(), &[]);
    let gone = SshEndpoint { identity_agent: Some(agent.path()), ..sshd.endpoint() };
    drop(agent);
    ping(&mut dial(&sshd.dialer_to(gone)).await).await.unwrap();
}

#[tokio::test]
async fn lab_user_certificates() {
    let sshd = Sshd::start();
    keygen(&sshd.path("authority"), &["-t", "ed25519"]);
    let authority = fs::read_to_string(sshd.path("authority.pub")).unwrap();
    fs::write(sshd.path("authorized_keys"), format!("cert-authority,principals=\"lab\" {authority}")).unwrap();
    let authority = sshd.path("authority").display().to_string();
    for (name, kind) in [("certified", "ed25519"), ("certified_rsa", "rsa"), ("elsewhere", "ed25519")] {
        keygen(&sshd.path(name), &["-t", kind]);
        let key = sshd.path(&format!("{name}.pub"));
        let made = Command::new("ssh-keygen")
            .args(["-q", "-s", &authority, "-I", name, "-n", "lab"])
            .arg(key)
            .status()
            .unwrap();
        assert!(made.success());
    }
    for name in ["certified", "certified_rsa"] {
        let endpoint = SshEndpoint { identity_files: Some(vec![sshd.path(name)]), ..sshd.endpoint() };
        ping(&mut dial(&sshd.dialer_to(endpoint)).await).await.unwrap();
    }
    // The certificate in a place of its own, the key in the agent only.
    fs::rename(sshd.path("elsewhere-cert.pub"), sshd.path("mine.cert")).unwrap();
    let agent = Agent::with(&sshd, &["elsewhere"]);
    fs::create_dir_all(sshd.path("home/.ssh")).unwrap();
    let certificate = sshd.path("mine.cert");
    fs::write(sshd.path("home/.ssh/config"), format!("CertificateFile {}\n", certificate.display())).unwrap();
    let endpoint = SshEndpoint { identity_files: None, identity_agent: Some(agent.path()), ..sshd.endpoint() };
    ping(&mut dial(&sshd.dialer_to(endpoint)).await).await.unwrap();
    // The agent holding the certificate itself.
    drop(agent);
    let agent = Agent::with(&sshd, &["certified_rsa"]);
    fs::remove_file(sshd.path("home/.ssh/config")).unwrap();
    let endpoint = SshEndpoint { identity_files: Some(vec![]), identity_agent: Some(agent.path()), ..sshd.endpoint() };
    ping(&mut dial(&sshd.dialer_to(endpoint)).await).await.unwrap();
}

#[tokio::test]
async fn lab_host_keys_are_checked() {
    let sshd = Sshd::start();
    keygen(&sshd.path("other"), &["-t", "ed25519"]);
    for (text, message) in [
        (String::new(), "the host key is not known"),
        (sshd.known("other"), "the host key has CHANGED"),
        (format!("{}@revoked {}", sshd.known("host_key"), sshd.known("host_key")), "the host key is revoked"),
    ] {
        fs::write(sshd.path("known_hosts"), text).unwrap();
        let error = refusal(&sshd.dialer()).await;
        assert_eq!(error.message(), message);
        assert!(error.detail_text().unwrap().contains("SHA256:"), "{:?}", error.detail_text());
        assert!(!for_agents(&error).contains("SHA256") && !for_agents(&error).contains("127.0.0.1"));
    }
    assert_eq!(sshd.logins(), 0);
    assert!(!fs::read_to_string(sshd.path("known_hosts")).unwrap().is_empty(), "nothing is recorded by us");
}

#[tokio::test]
async fn lab_a_host_with_a_newer_key_and_a_host_certificate() {
    let mut sshd = Sshd::start();
    keygen(&sshd.path("rsa_host"), &["-t", "rsa", "-b", "2048"]);
    keygen(&sshd.path("authority"), &["-t", "ed25519"]);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-h", "-I", "host", "-n", "127.0.0.1", "-s"])
        .arg(sshd.path("authority"))
        .arg(sshd.path("host_key.pub"))
        .status()
        .unwrap();
    assert!(made.success());
    let config = fs::read_to_string(sshd.path("config")).unwrap();
    let own = sshd.directory.path().display();
    let config = format!("HostKey {own}/rsa_host\nHostCertificate {own}/host_key-cert.pub\n{config}");
    fs::write(sshd.path("config"), config).unwrap();
    sshd.restart();
    for text in [
        // Only the old key is recorded: it is what the host is asked for.
        sshd.known("rsa_host"),
        sshd.known("host_key"),
        format!("@cert-authority 127.0.0.? {}", fs::read_to_string(sshd.path("authority.pub")).unwrap()),
    ] {
        fs::write(sshd.path("known_hosts"), text).unwrap();
        ping(&mut dial(&sshd.dialer()).await).await.unwrap();
    }
    let other = format!("@cert-authority * {}", fs::read_to_string(sshd.path("id.pub")).unwrap());
    fs::write(sshd.path("known_hosts"), other).unwrap();
    assert_eq!(refusal(&sshd.dialer()).await.message(), "the host key is not known");
}

#[tokio::test]
async fn lab_a_lost_connection_is_made_anew_and_failures_back_off() {
    let mut sshd = Sshd::start();
    let dialer = sshd.dialer_to(sshd.streamlocal());
    let mut stream = dial(&dialer).await;
    ping(&mut stream).await.unwrap();
    sshd.kill();
    let error = ping(&mut stream).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (Kind::Unreachable, "the ssh connection was lost"));
    assert!(refusal(&dialer).await.message().contains("connection refused"));
    sshd.restart();
    // The last failure is told again for half a second, without anything being tried.
    let started = Instant::now();
    assert!(refusal(&dialer).await.message().contains("connection refused"));
    assert!(started.elapsed() < Duration::from_millis(50));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    ping(&mut dial(&dialer).await).await.unwrap();

    // Forgetting makes a new connection and leaves what is in flight.
    let mut old = dial(&dialer).await;
    let logins = sshd.logins();
    dialer.forget().await;
    ping(&mut dial(&dialer).await).await.unwrap();
    assert_eq!(sshd.logins(), logins + 1);
    ping(&mut old).await.unwrap();
}

#[tokio::test]
async fn lab_whatever_answers_is_an_error_and_no_panic() {
    let sshd = Sshd::start();
    for noise in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14garbage and more garbage",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff",
        b"",
        &[0; 9_000],
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, noise).await.ok();
        });
        let dialer = sshd.dialer_to(SshEndpoint { port: Some(port), ..sshd.endpoint() });
        let error = refusal(&dialer).await;
        assert_eq!(error.kind(), Kind::Unreachable, "{error}: {:?}", error.detail_text());
    }
    // Somebody who never says a word.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = SshEndpoint { port: Some(listener.local_addr().unwrap().port()), ..sshd.endpoint() };
    let dialer = sshd.dialer_to(silent);
    let started = Instant::now();
    let (one, two) = tokio::join!(dialer.dial(slot()), dialer.dial(slot()));
    assert!(one.is_err() && two.is_err());
    assert!((4..7).contains(&started.elapsed().as_secs()));
}
