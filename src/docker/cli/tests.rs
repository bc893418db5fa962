//! Raw requests on the private socket, and programs that stand in for the CLI; the real ones are the lab's.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{group::Group, proxy::Proxy, *};
use crate::{
    config::{Config, Environment, Flags, Mode},
    docker::{
        Fleet,
        access::{Ceiling, Effect, Permission, Permissions},
        judge::{Foreign, Judge, Judging, Ruling},
    },
    error::Kind,
};

/// Lets everything pass that can be read in one way.
struct Lenient;

impl Judge for Lenient {
    fn judge<'a>(&'a self, foreign: Foreign<'a>, _: &'a Docker) -> Judging<'a> {
        Box::pin(async move {
            let document =
                if foreign.body.is_empty() { None } else { Some(crate::gateway::body::foreign(foreign.body)?) };
            Ok(Ruling { document, ..Ruling::default() })
        })
    }
}

/// An engine that writes down what it is asked, and a private socket in front of it.
struct Rig {
    directory: tempfile::TempDir,
    seen: Arc<Mutex<Vec<String>>>,
    docker: Docker,
    proxy: Option<Proxy>,
}

async fn engine(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = parts.uri.to_string();
    if !target.ends_with("/_ping") && !target.ends_with("/version") {
        let line = format!("{} {target} {}", parts.method, String::from_utf8_lossy(&body));
        seen.lock().unwrap().push(line.trim().to_owned());
    }
    let answer = match target.rsplit('/').next().unwrap_or_default() {
        "_ping" => "OK",
        "version" => r#"{"Version":"26.1.5","ApiVersion":"1.99","MinAPIVersion":"1.24"}"#,
        _ if target.contains("/swarm") => r#"{"ID":"s","JoinTokens":{"Worker":"SWMTKN-1-secret"}}"#,
        _ => r#"{"Id":"0123456789abcdef"}"#,
    };
    let response = Response::builder().header("Api-Version", "1.99").header("Content-Type", "application/json");
    Ok(response.header("Ostype", "linux").body(Full::from(answer)).unwrap())
}

impl Rig {
    fn new(effect: Effect) -> Self {
        Self::for_group(effect, Group::own())
    }

    fn for_group(effect: Effect, group: Group) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("engine.sock")).unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let log = log.clone();
                let service = service_fn(move |request| engine(request, log.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), service));
            }
        });
        let environment = Environment::default();
        let endpoint = format!("lab=unix://{}", directory.path().join("engine.sock").display());
        let flags = Flags { hosts: vec![endpoint], ..Flags::default() };
        let config = Config::load(&environment, &flags).unwrap();
        let fleet = Fleet::new(&config, Arc::new(environment));
        let permissions = if effect == Effect::Read {
            Permissions::READ
        } else {
            Permissions::of(&[Permission::Create, Permission::Images, Permission::Networks, Permission::Exec])
        };
        let ceiling = Ceiling { mode: Mode::Rw, effect, permissions };
        let host = fleet.host("lab").unwrap();
        let docker = host.with_ceiling(ceiling).judged_by(Arc::new(Lenient));
        let listener = UnixListener::bind(directory.path().join("private.sock")).unwrap();
        let proxy = Some(Proxy::serve(listener, docker.clone(), Vec::new(), None, group));
        Self { directory, seen, docker, proxy }
    }

    /// Sends bytes and reads until the other side has ended or is silent.
    async fn raw(&self, bytes: &str) -> String {
        let mut stream = UnixStream::connect(self.directory.path().join("private.sock")).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.ok();
        let mut answer = Vec::new();
        while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(400), stream.read_buf(&mut answer)).await {
            if read == 0 {
                break;
            }
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    /// A run of a script that stands in for the CLI.
    fn run(&self, script: &str) -> Cli {
        let program = self.directory.path().join("docker");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:/usr/bin:/bin", self.directory.path().display());
        let environment = Environment { variables: [("PATH".to_owned(), path)].into(), ..Environment::default() };
        self.docker.cli(&Programs::new(&environment), None).unwrap()
    }
}

fn post(target: &str, headers: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn what_is_strange_never_reaches_the_engine() {
    let rig = Rig::new(Effect::Destroy);
    let json = "Content-Type: application/json\r\n";
    let twice = r#"{"HostConfig":{"Privileged":false,"privileged":true}}"#;
    let same = r#"{"Image":"x","Image":"y"}"#;
    let large = format!("{{\"Image\":\"{}\"}}", "x".repeat(5 << 20));
    for (what, bytes, expected) in [
        ("a key in two cases", post("/containers/create", json, twice), "400"),
        ("a key twice", post("/v1.45/containers/create", json, same), "400"),
        ("no document", post("/containers/create", json, "[1"), "400"),
        ("a large document", post("/containers/create", json, &large), "400"),
        ("a form", post("/images/create", "Content-Type: application/x-www-form-urlencoded\r\n", "fromSrc=x"), "400"),
        ("an encoded body", post("/containers/create", "Content-Encoding: gzip\r\n", "{}"), "400"),
        (
            "a strange framing",
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".into(),
            "400",
        ),
        ("a body where none is", post("/containers/x/rename?name=y", json, r#"{"Binds":["/:/x"]}"#), "400"),
        ("another machine", "GET http://elsewhere/info HTTP/1.1\r\nHost: elsewhere\r\n\r\n".into(), "400"),
        ("a tunnel", "CONNECT docker:80 HTTP/1.1\r\nHost: x\r\n\r\n".into(), "400"),
        ("an older HTTP", "GET /info HTTP/1.0\r\n\r\n".into(), "400"),
        ("a new version", "GET /v1.54/info HTTP/1.1\r\nHost: x\r\n\r\n".into(), "400"),
        ("an old version", post("/v1.24/containers/x/rename?name=y", "", ""), "400"),
        ("an unknown path", "GET /v1.45/nonsense HTTP/1.1\r\nHost: x\r\n\r\n".into(), "403"),
        ("a password", post("/auth", json, "{}"), "403"),
        ("a websocket", "GET /containers/x/attach/ws HTTP/1.1\r\nHost: x\r\n\r\n".into(), "403"),
        ("another's execution", post("/exec/0123/start", json, "{}"), "403"),
        ("what is not granted", post("/volumes/create", json, "{}"), "403"),
    ] {
        let answer = rig.raw(&bytes).await;
        assert_eq!(status(&answer), expected, "{what}: {answer:?}");
        assert!(answer.contains("{\"message\":"), "{what}: {answer:?}");
        assert_eq!(rig.seen(), Vec::<String>::new(), "{what}");
    }
    // What is no HTTP/1 at all ends without the engine too.
    for bytes in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\u{16}\u{3}\u{1}", "GET /info\r\n\r\n"] {
        let answer = rig.raw(bytes).await;
        assert!(answer.is_empty() || status(&answer) == "400", "{answer:?}");
        assert_eq!(rig.seen(), Vec::<String>::new(), "{bytes:?}");
    }
}

#[tokio::test]
async fn what_was_understood_is_what_is_sent() {
    let rig = Rig::new(Effect::Destroy);
    let headers = "Content-Type: text/plain\r\nX-Evil: 1\r\nHost: y\r\n";
    let created = rig.raw(&post("/v1.43/containers/create?name=a%2Db", headers, "{ \"Image\" : \"x\" }")).await;
    assert_eq!(status(&created), "200", "{created}");
    assert_eq!(rig.seen(), ["POST /v1.43/containers/create?name=a-b {\"Image\":\"x\"}"]);
    // What was made here may be started with "create" alone, anything else may not.
    assert_eq!(status(&rig.raw(&post("/containers/0123456789abcdef/start", "", "")).await), "200");
    assert_eq!(status(&rig.raw(&post("/containers/fedcba/start", "", "")).await), "403");
    assert_eq!(rig.seen(), ["POST /v1.53/containers/0123456789abcdef/start"]);
    // An execution that was made here is started.
    assert_eq!(status(&rig.raw(&post("/containers/x/exec", "", r#"{"Cmd":["id"]}"#)).await), "200");
    assert_eq!(status(&rig.raw(&post("/exec/0123456789abcdef/start", "", r#"{"Detach":true}"#)).await), "200");
    let ping = rig.raw("HEAD /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(ping.contains("api-version: 1.53") && ping.contains("ostype: linux"), "{ping}");
    let swarm = rig.raw("GET /v1.45/swarm HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(status(&swarm) == "200" && !swarm.contains("SWMTKN"), "{swarm}");
}

#[tokio::test]
async fn requests_in_one_piece_are_judged_one_by_one() {
    let rig = Rig::new(Effect::Read);
    let get = "GET /info HTTP/1.1\r\nHost: x\r\n\r\n";
    let answers = rig.raw(&format!("{get}{}{get}", post("/networks/create", "", r#"{"Name":"x"}"#))).await;
    let statuses: Vec<&str> = answers.matches("HTTP/1.1 ").map(|_| "").collect();
    assert_eq!(statuses.len(), 3, "{answers}");
    assert!(answers.contains("HTTP/1.1 403") && answers.contains("decided to be a read"), "{answers}");
    assert_eq!(rig.seen(), ["GET /v1.53/info", "GET /v1.53/info"]);
    let told = rig.proxy.as_ref().unwrap().told();
    assert_eq!(told.refusals.iter().map(crate::error::Error::kind).collect::<Vec<_>>(), [Kind::Denied]);
}

#[tokio::test]
async fn what_is_framed_twice_is_one_request() {
    let rig = Rig::new(Effect::Destroy);
    let hidden = "POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"Name\":\"x\"}";
    let body = format!("e\r\n{{\"Image\": \"x\"}}\r\n0\r\n\r\n{hidden}");
    let answer = rig.raw(&post("/containers/create", "Transfer-Encoding: chunked\r\n", &body)).await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(rig.seen(), ["POST /v1.53/containers/create {\"Image\":\"x\"}"]);
}

#[tokio::test]
async fn a_process_of_another_group_is_not_heard() {
    let mut other =
        tokio::process::Command::new("sleep").arg("30").process_group(0).kill_on_drop(true).spawn().unwrap();
    let rig = Rig::for_group(Effect::Destroy, Group::of(&other).unwrap());
    assert_eq!(rig.raw("GET /info HTTP/1.1\r\nHost: x\r\n\r\n").await, "");
    assert_eq!(rig.seen(), Vec::<String>::new());
    other.kill().await.unwrap();
}

#[tokio::test]
async fn a_program_gets_four_variables_and_what_it_is_given() {
    let rig = Rig::new(Effect::Read);
    let run =
        rig.run("env | sort; cat; echo \"token ghp_0123456789abcdefghijklmnopqrstuvwxyzAB\" >&2; pwd; ls -a $HOME");
    let lines = Mutex::new(Vec::new());
    let told = |source: Source, line: &str| lines.lock().unwrap().push((source, line.to_owned()));
    let ran = run.variable("COMPOSE_X", "1").variable("HOME", "/root").reading("typed\n").run(&["a", "b"], &told).await;
    let ran = ran.unwrap();
    let names: Vec<&str> =
        ran.document().lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let own = ["COMPOSE_X", "DOCKER_CONFIG", "DOCKER_HOST", "HOME", "PATH"];
    assert!(own.iter().all(|name| names.contains(name)), "{names:?}");
    // A shell adds its own.
    assert!(names.iter().all(|name| own.contains(name) || ["PWD", "_", "OLDPWD", "SHLVL"].contains(name)), "{names:?}");
    assert!(ran.document().contains("HOME=<private>/home\n") && ran.document().contains("typed\n"), "{ran:?}");
    assert!(ran.messages.contains("<redacted") && !ran.messages.contains("ghp_0123"), "{ran:?}");
    assert!(lines.lock().unwrap().contains(&(Source::Output, "typed".to_owned())));
}

#[tokio::test]
async fn the_end_of_a_program_is_its_answer() {
    let rig = Rig::new(Effect::Read);
    let quiet = |_: Source, _: &str| {};
    let error = rig.run("echo one >&2; echo the reason >&2; exit 17").run(&["up"], &quiet).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Docker);
    assert_eq!(error.message(), "docker up ended with status 17: one; the reason");
    let ran =
        rig.run("i=0; while [ $i -lt 9000 ]; do echo line $i; i=$((i+1)); done").keeping(1000).run(&["x"], &quiet);
    let ran = ran.await.unwrap();
    assert!(ran.is_cut && ran.document().len() <= 1000 && ran.document().starts_with("line 0\n"));
    // What it leaves behind is ended, and does not hold up the answer.
    let started = Instant::now();
    let ran = rig.run("sleep 300 & setsid sleep 301 & echo $!; echo done").run(&["x"], &quiet).await.unwrap();
    assert!(ran.document().ends_with("done\n") && started.elapsed() < Duration::from_secs(10));
    let left = ran.document().lines().next().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!is_running(&left), "{left} runs on");
}

#[tokio::test]
async fn a_run_that_is_given_up_leaves_no_process() {
    let rig = Rig::new(Effect::Read);
    let note = rig.directory.path().join("note");
    // It does not want to end, and has children that do not want to either.
    let script = format!(
        "trap '' TERM; (trap '' TERM; sleep 300) & echo $! >{0}; echo $$ >>{0}; wait; sleep 300",
        note.display()
    );
    let run = rig.run(&script);
    let task = tokio::spawn(async move { run.run(&["x"], &|_, _| {}).await.map(drop) });
    let processes = loop {
        let text = fs::read_to_string(&note).unwrap_or_default();
        if text.lines().count() == 2 {
            break text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(processes.lines().all(is_running), "{processes}");
    task.abort();
    let started = Instant::now();
    while processes.lines().any(is_running) {
        assert!(started.elapsed() < Duration::from_secs(8), "{processes} run on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(1500), "they were not asked to end first");
}

/// Whether a process is there and no more than a memory of one.
fn is_running(process: &str) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(process).join("stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn what_begins_with_a_dash_is_no_name() {
    assert_eq!(positional("service", "web").unwrap(), "web");
    for value in ["", "-f", "--host=x"] {
        assert_eq!(positional("service", value).unwrap_err().kind(), Kind::Invalid);
    }
}
