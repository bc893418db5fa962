//! `check --probe-guard` against real engines, bare and behind a proxy that refuses writes.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::{
    engine::docker,
    recorder::{Recorded, Recorder},
    rig::{LINKS, Link, lab},
};

/// A person with a state directory of their own.
struct Person {
    state: TempDir,
}

impl Person {
    fn new() -> Self {
        Self { state: tempfile::tempdir().unwrap() }
    }

    /// Runs the binary; answers its data.
    #[track_caller]
    fn run(&self, hosts: &str, arguments: &[&str], code: i32) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
        command.args(arguments).arg("--json").env_clear().env("HOME", lab("LAB_HOME")).stdin(Stdio::null());
        command.env("QUAYMASTER_HOSTS", hosts).env("XDG_STATE_HOME", self.state.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// What an agent is told about the only host: who enforces, and whether that was found out.
    fn told(&self, hosts: &str) -> (String, bool) {
        let row = &self.run(hosts, &["call", "list_hosts"], 0)["hosts"][0];
        (row["enforcement"].as_str().unwrap().to_owned(), row["enforcement_checked"].is_string())
    }
}

/// Stands in front of a socket and refuses every POST, as a socket proxy with `POST=0` does.
struct Refuser {
    directory: TempDir,
    listening: JoinHandle<()>,
}

impl Refuser {
    fn before(engine: String) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("proxy.sock")).unwrap();
        let listening = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let engine = UnixStream::connect(&engine).await.unwrap();
                tokio::spawn(serve(client, engine));
            }
        });
        Self { directory, listening }
    }

    fn spec(&self, markers: &str) -> String {
        format!("lab=unix://{}{markers}", self.directory.path().join("proxy.sock").display())
    }
}

impl Drop for Refuser {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(client: UnixStream, engine: UnixStream) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = engine.into_split();
    let mut chunk = Vec::with_capacity(16 << 10);
    let back = tokio::spawn(async move {
        copy(&mut from_engine, &mut to_client).await.ok();
        to_client
    });
    // A request begins its own chunk: nobody sends a second one before the first was answered.
    while from_client.read_buf(&mut chunk).await.is_ok_and(|read| read > 0) {
        if chunk.starts_with(b"POST ") {
            to_engine.shutdown().await.ok();
            drop(to_engine);
            let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 48\r\n\r\n\
                <html><body><h1>403 Forbidden</h1></body></html>";
            back.await.unwrap().write_all(refusal.as_bytes()).await.ok();
            return;
        }
        to_engine.write_all(&chunk).await.unwrap();
        chunk.clear();
    }
}

fn writes(recorder: &Recorder) -> Vec<Recorded> {
    recorder.take().into_iter().filter(|request| !request.looks()).collect()
}

/// The containers that a probe would have left.
fn left(link: Link) -> String {
    docker(link, &["ps", "--all", "--quiet", "--filter", "name=quaymaster-probe"])
}

#[test]
fn an_engine_lets_writes_through_over_every_link() {
    for link in LINKS {
        for markers in ["", "(ro)"] {
            let person = Person::new();
            let host = format!("lab={}{markers}", link.endpoint());
            let assumed = if markers.is_empty() { "unknown" } else { "gateway" };
            assert_eq!(person.told(&host), (assumed.to_owned(), false));
            let report = person.run(&host, &["check", "--probe-guard"], 0);
            let finding = &report["hosts"][0];
            assert_eq!(finding["enforcement"], "gateway", "{link:?} {report}");
            let warns = finding["meaning"].as_str().unwrap().contains("only Quaymaster holds (ro)");
            assert_eq!(warns, !markers.is_empty(), "{report}");
            assert_eq!(person.told(&host), ("gateway".to_owned(), true), "{link:?}");
        }
        assert_eq!(left(link), "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_write_is_sent_and_only_when_asked_for() {
    let recorder = Recorder::before(&Link::Unix.socket());
    let (person, host) = (Person::new(), recorder.spec("(ro)"));
    person.run(&host, &["check"], 0);
    assert_eq!(writes(&recorder), []);
    person.run(&host, &["check", "--probe-guard"], 0);
    let sent = writes(&recorder);
    assert_eq!(sent.len(), 1, "{sent:?}");
    let path = sent[0].target.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')).unwrap().1;
    assert!(path.starts_with("containers/quaymaster-probe-") && path.ends_with("/start"), "{sent:?}");
    assert_eq!((sent[0].method.as_str(), sent[0].upgrade, sent[0].body), ("POST", false, false));
    assert_eq!(left(Link::Unix), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_writes_is_found_out() {
    let recorder = Recorder::before(&Link::Unix.socket());
    let socket = recorder.spec("").trim_start_matches("lab=unix://").to_owned();
    let refuser = Refuser::before(socket);
    let person = Person::new();
    for markers in ["(ro)", ""] {
        let host = refuser.spec(markers);
        let report = person.run(&host, &["check", "--probe-guard"], 0);
        assert_eq!(report["hosts"][0]["enforcement"], "endpoint", "{report}");
        assert_eq!(person.told(&host), ("endpoint".to_owned(), true));
    }
    assert_eq!(writes(&recorder), [], "the engine was not to hear of it");
    // Another endpoint under the same name is another matter.
    let bare = recorder.spec("(ro)");
    assert_eq!(person.told(&bare), ("gateway".to_owned(), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_found_stays_while_the_host_is_away() {
    let refuser = Refuser::before(Link::Unix.socket());
    let (person, host) = (Person::new(), refuser.spec("(ro)"));
    person.run(&host, &["check", "--probe-guard"], 0);
    std::fs::remove_file(refuser.directory.path().join("proxy.sock")).unwrap();
    let report = person.run(&host, &["check", "--probe-guard"], 1);
    assert_eq!(report["hosts"][0]["enforcement"], "unknown", "{report}");
    assert_eq!(person.told(&host), ("endpoint".to_owned(), true));
}
