//! Daemons that misbehave: every fault is an error or a partial answer with a hint, never a panic, never a hang.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use quaymaster::{
    docker::guard::Class,
    error::{Error, Kind},
    gateway::catalogue::{Entry, everything},
    tool::{Answer, Effect},
};
use serde_json::{Value, json};

use crate::{
    arguments::{Dice, may_have_slashes, names_an_object, plausible, thrown},
    hostile::{hostile, hostile_texts},
    rig::{call, fields, gateway, generous},
    simulated::{Act, Daemon, Heard, WEB, Weather, answer, engine, engine_in, frame, json_answer, world},
};

const LIST: &str = "list_containers";

/// Lists the containers of a daemon, which must fail within so many seconds.
async fn failure(daemon: &Daemon, seconds: u64) -> Error {
    let gateway = gateway(&[daemon.spec("a", "")]);
    let error = call(&gateway, LIST, json!({}), seconds).await.expect_err("it answered");
    assert_eq!(error.host(), Some("a"));
    error
}

/// Answers what it takes to get to know a daemon, and the rest as told.
fn met(then: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Daemon {
    Daemon::new(move |heard| if is_meeting(heard) { engine(heard) } else { then(heard) })
}

fn is_meeting(heard: &Heard) -> bool {
    heard.path() == "/_ping" || heard.target == "/version"
}

// Connecting.

#[tokio::test]
async fn a_silent_host_fails_within_its_deadline_and_slows_nobody() {
    let (silent, sound) = (Daemon::new(|_| Act::Hold(Vec::new())), Daemon::new(engine));
    let gateway = gateway(&[silent.spec("silent", ""), sound.spec("sound", "")]);
    let started = Instant::now();
    let (silent, whole, sound) = tokio::join!(
        async { (call(&gateway, LIST, json!({}), 7).await, started.elapsed()) },
        async { (call(&gateway, LIST, json!({"host": "all"}), 7).await, started.elapsed()) },
        async {
            let mut slowest = Duration::ZERO;
            for _ in 0..20 {
                let before = Instant::now();
                call(&gateway, LIST, json!({"host": "sound"}), 7).await.unwrap();
                slowest = slowest.max(before.elapsed());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            slowest
        },
    );
    let error = silent.0.unwrap_err();
    assert_eq!((error.kind(), error.host()), (Kind::Unreachable, Some("silent")), "{error}");
    assert!(error.hint_text().unwrap_or_default().contains("quaymaster check"), "{error:?}");
    assert!(silent.1 < Duration::from_millis(5_500), "{:?}", silent.1);
    assert!(whole.1 < Duration::from_millis(5_800), "{:?}", whole.1);
    let whole = fields(&whole.0.unwrap());
    assert_eq!(whole["containers"][0]["host"], "sound", "{whole}");
    assert_eq!([&whole["hosts"][0]["status"], &whole["hosts"][1]["status"]], ["unreachable", "ok"], "{whole}");
    assert!(sound < Duration::from_secs(1), "the sound host took {sound:?}");
}

#[tokio::test]
async fn a_socket_that_is_not_there_or_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    drop(std::os::unix::net::UnixListener::bind(path("refused")).unwrap());
    let listener = std::os::unix::net::UnixListener::bind(path("forbidden")).unwrap();
    fs::set_permissions(path("forbidden"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::write(path("file"), "").unwrap();
    // Root may connect to anything.
    let forbidden = std::os::unix::net::UnixStream::connect(path("forbidden")).is_err();
    for (name, class) in [
        ("missing", "no such socket"),
        ("refused", "connection refused"),
        ("file", "connection refused"),
        ("forbidden", "permission denied"),
    ] {
        if name == "forbidden" && !forbidden {
            continue;
        }
        let gateway = gateway(&[format!("a=unix://{}", path(name).display())]);
        let started = Instant::now();
        let error = call(&gateway, LIST, json!({}), 2).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unreachable, "{name}: {error}");
        assert!(error.message().contains(class), "{name}: {error}");
        let told = error.to_json().to_string();
        assert!(!told.contains(&directory.path().display().to_string()), "the path is for the person only: {told}");
        assert!(started.elapsed() < Duration::from_millis(500));
    }
    drop(listener);
}

#[tokio::test]
async fn what_answers_is_no_engine() {
    let page = b"<html><body>welcome to nginx</body></html>";
    let html = |status: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", page.len())
    };
    let html = |status: &str| [html(status).as_bytes(), page].concat();
    let long = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 2 << 20], b"\r\n\r\n".to_vec()].concat();
    let cases: Vec<(&str, Daemon, Kind)> = vec![
        ("closes at once", Daemon::at_once(Act::Close), Kind::Unreachable),
        ("closes when asked", Daemon::new(|_| Act::Close), Kind::Unreachable),
        ("greets", Daemon::at_once(Act::Last(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())), Kind::Unreachable),
        ("not HTTP", Daemon::new(|_| Act::Send(b"hello\r\n\r\n".to_vec())), Kind::Unreachable),
        ("bytes", Daemon::new(|_| Act::Send((0..=255).collect())), Kind::Unreachable),
        ("TLS", Daemon::new(|_| Act::Last(vec![0x15, 3, 1, 0, 2, 2, 70])), Kind::Unreachable),
        ("half a head", Daemon::new(|_| Act::Last(b"HTTP/1.1 200 OK\r\nApi-Ver".to_vec())), Kind::Unreachable),
        ("an endless head", Daemon::new(move |_| Act::Send(long.clone())), Kind::Unreachable),
        (
            "HTML",
            Daemon::new({
                let bytes = html("200 OK");
                move |_| Act::Send(bytes.clone())
            }),
            Kind::Docker,
        ),
        (
            "HTML 403",
            Daemon::new({
                let bytes = html("403 Forbidden");
                move |_| Act::Send(bytes.clone())
            }),
            Kind::Docker,
        ),
        ("another version", Daemon::new(|_| Act::Send(answer("200 OK", "text/plain", "twelve", b"OK"))), Kind::Docker),
    ];
    for (name, daemon, kind) in cases {
        let started = Instant::now();
        let error = failure(&daemon, 7).await;
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        assert!(error.hint_text().is_some(), "{name}: {error:?}");
        assert!(!error.to_json().to_string().contains('<'), "{name}: {error:?}");
        assert!(started.elapsed() < Duration::from_secs(2), "{name}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn headers_that_drip_do_not_hold_a_call() {
    let head = answer("200 OK", "text/plain", "1.45", b"OK");
    let dripping = Daemon::new(move |_| Act::Drip(Vec::new(), head.clone(), Duration::from_millis(400)));
    let later =
        met(|_| Act::Drip(Vec::new(), answer("200 OK", "application/json", "1.45", b"[]"), Duration::from_millis(400)));
    let started = Instant::now();
    let (first, second) = tokio::join!(failure(&dripping, 7), async {
        let error = failure(&later, 14).await;
        (error, started.elapsed())
    });
    assert_eq!(first.kind(), Kind::Unreachable, "{first:?}");
    assert_eq!(second.0.kind(), Kind::Timeout, "{:?}", second.0);
    assert!(second.1 < Duration::from_millis(10_800), "{:?}", second.1);
}

#[tokio::test]
async fn an_engine_that_is_too_old_is_told_from_a_broken_one() {
    let error = failure(&Daemon::new(|heard| engine_in("1.40", |_| {}, heard)), 3).await;
    assert_eq!(error.kind(), Kind::Unsupported, "{error:?}");
    assert!(error.message().contains("1.40") && error.hint_text().is_some(), "{error:?}");
}

#[tokio::test]
async fn nobody_is_contacted_before_a_call_needs_it() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), daemon.spec("b", "(ro)")]);
    assert!(gateway.catalogue().listed().count() > 5);
    call(&gateway, "list_hosts", json!({}), 2).await.unwrap();
    call(&gateway, LIST, json!({"host": "c"}), 2).await.unwrap_err();
    call(&gateway, LIST, json!({"nonsense": 1}), 2).await.unwrap_err();
    call(&gateway, "start_container", json!({"host": "b", "containers": ["web"]}), 2).await.unwrap_err();
    assert_eq!(daemon.heard().len(), 0, "{:?}", daemon.heard());
}

#[tokio::test]
async fn a_list_is_one_request() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for _ in 0..3 {
        call(&gateway, LIST, json!({}), 2).await.unwrap();
    }
    let asked: Vec<String> = daemon.asked().iter().map(|heard| heard.path().to_owned()).collect();
    assert_eq!(asked, ["/containers/json"; 3]);
    assert!(daemon.heard().iter().all(|heard| heard.connection == 0), "one connection serves them all");
    assert!(daemon.asked().iter().all(|heard| heard.target.starts_with("/v1.45/")));
}

// Answers.

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    let cut = |length: usize, body: &str| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        Act::Last(head.into_bytes())
    };
    let cases: Vec<(&str, Act, Kind)> = vec![
        ("HTML", Act::Send(answer("200 OK", "text/html", "1.45", b"<html>no containers here</html>")), Kind::Docker),
        ("text", Act::Send(answer("200 OK", "text/plain", "1.45", b"fine")), Kind::Docker),
        ("HTML as JSON", Act::Send(answer("200 OK", "application/json", "1.45", b"<html>")), Kind::Docker),
        ("HTML 403", Act::Send(answer("403 Forbidden", "text/html", "1.45", b"<html>go away</html>")), Kind::Denied),
        (
            "HTML 502",
            Act::Send(answer("502 Bad Gateway", "text/html", "1.45", b"<html>bad gateway</html>")),
            Kind::Docker,
        ),
        ("empty", Act::Send(answer("200 OK", "application/json", "1.45", b"")), Kind::Docker),
        ("truncated", Act::Send(answer("200 OK", "application/json", "1.45", b"[{\"Id\":\"c0f")), Kind::Docker),
        ("another document", json_answer("200 OK", &json!({"message": "I am a teapot"})), Kind::Docker),
        ("cut", cut(5_000, "[{\"Id\":"), Kind::Docker),
        ("not HTTP any more", Act::Last(b"garbage\r\n\r\n".to_vec()), Kind::Unreachable),
        ("closed", Act::Close, Kind::Unreachable),
        (
            "moved",
            Act::Send(b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_vec()),
            Kind::Docker,
        ),
        (
            "server error",
            json_answer("500 Internal Server Error", &json!({"message": "layer not found"})),
            Kind::Docker,
        ),
        (
            "switched",
            Act::Send(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".to_vec()),
            Kind::Docker,
        ),
    ];
    for (name, act, kind) in cases {
        let daemon = met(move |_| act.clone());
        let error = failure(&daemon, 5).await;
        assert_eq!(error.kind(), kind, "{name}: {error:?}");
        assert!(!error.to_json().to_string().contains('<'), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn an_endless_document_is_given_up() {
    let daemon = met(|_| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let rows = "{\"Id\":\"x\"},".repeat(1000);
        Act::Flood([&head[..], b"1\r\n[\r\n"].concat(), format!("{:x}\r\n{rows}\r\n", rows.len()).into_bytes())
    });
    let error = failure(&daemon, 25).await;
    assert_eq!(error.kind(), Kind::Docker, "{error:?}");
    assert!(error.message().contains("larger than"), "{error}");
}

#[tokio::test]
async fn a_body_that_never_ends_meets_the_deadline_of_a_read() {
    let daemon = met(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[";
        Act::Drip(head.into(), vec![b' '; 99], Duration::from_secs(1))
    });
    let started = Instant::now();
    let outcome = call(&gateway(&[daemon.spec("a", "")]), LIST, json!({}), 33).await;
    assert!(outcome.is_err() && started.elapsed() < Duration::from_secs(31), "{outcome:?}");
}

// Connections that rest.

/// Sends the answer, and closes when the next request comes on the same connection.
fn forgetful(heard: &Heard) -> Act {
    if heard.number > 2 { Act::Close } else { engine(heard) }
}

#[tokio::test]
async fn a_read_on_a_dead_connection_is_sent_once_more() {
    let daemon = Daemon::new(forgetful);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for _ in 0..4 {
        call(&gateway, LIST, json!({}), 3).await.unwrap();
    }
    let daemon = met(|heard| if heard.connection == 0 { Act::Last(answer_of(heard)) } else { engine(heard) });
    let gateway = crate::rig::gateway(&[daemon.spec("a", "")]);
    for _ in 0..3 {
        call(&gateway, LIST, json!({}), 3).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(daemon.asked().len(), 3, "what was closed in time is not tried: {:?}", daemon.asked());
}

fn answer_of(heard: &Heard) -> Vec<u8> {
    match engine(heard) {
        Act::Send(bytes) | Act::Last(bytes) => bytes,
        _ => panic!("no bytes"),
    }
}

#[tokio::test]
async fn a_write_is_proved_first_and_never_sent_twice() {
    let start = json!({"containers": ["web"]});
    let starts = |daemon: &Daemon| daemon.asked().iter().filter(|heard| heard.path().ends_with("/start")).count();
    for dead in [false, true] {
        // Two connections come to rest; then both go dead for anything but a look, without having said so.
        let resting = Arc::new(AtomicBool::new(false));
        let rests = resting.clone();
        let daemon = Daemon::new(move |heard| {
            let is_old = heard.connection < 2 && rests.load(Ordering::SeqCst);
            if dead && is_old && heard.method != "GET" { Act::Close } else { engine(heard) }
        });
        let gateway = gateway(&[daemon.spec("a", "")]);
        let (one, two) = tokio::join!(call(&gateway, LIST, json!({}), 5), call(&gateway, LIST, json!({}), 5));
        assert!(one.is_ok() && two.is_ok());
        tokio::time::sleep(Duration::from_millis(50)).await;
        resting.store(true, Ordering::SeqCst);
        call(&gateway, "start_container", start.clone(), 5).await.unwrap();
        assert_eq!(starts(&daemon), 1, "{:?}", daemon.heard());
        let heard = daemon.heard();
        let write = heard.iter().position(|heard| heard.method == "POST").unwrap();
        let proof = heard[..write].iter().rposition(|heard| heard.method == "HEAD" && heard.target == "/_ping");
        let proof = proof.unwrap_or_else(|| panic!("it was not proved: {heard:?}"));
        let same = heard[proof].connection == heard[write].connection;
        assert_eq!(same, !dead, "{heard:?}");
    }

    // One that dies after it has taken the write: nobody knows what it did, so it is not sent again.
    let daemon = met(|heard| if heard.method == "POST" { Act::Close } else { engine(heard) });
    let error = call(&gateway(&[daemon.spec("a", "")]), "start_container", start, 5).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert_eq!(starts(&daemon), 1, "{:?}", daemon.heard());
}

#[tokio::test]
async fn a_read_is_not_tried_for_ever() {
    let daemon = met(|_| Act::Close);
    let gateway = gateway(&[daemon.spec("a", "")]);
    call(&gateway, LIST, json!({}), 5).await.unwrap_err();
    assert!(daemon.asked().len() <= 2, "{:?}", daemon.asked());
}

#[tokio::test]
async fn a_restarted_daemon_is_asked_again_who_it_is() {
    let daemon = Daemon::new(|heard| engine_in("1.41", |_| {}, heard));
    let gateway = gateway(&[daemon.spec("a", "")]);
    call(&gateway, LIST, json!({}), 3).await.unwrap();
    assert!(daemon.asked()[0].target.starts_with("/v1.41/"), "{:?}", daemon.asked());
    let daemon = daemon.restart(|heard| engine_in("1.44", |_| {}, heard)).await;
    call(&gateway, LIST, json!({}), 3).await.unwrap();
    assert!(daemon.asked()[0].target.starts_with("/v1.44/"), "{:?}", daemon.asked());
}

#[tokio::test]
async fn a_host_that_comes_back_is_used_again() {
    let sound = Arc::new(AtomicBool::new(false));
    let state = sound.clone();
    let daemon = Daemon::new(move |heard| if state.load(Ordering::SeqCst) { engine(heard) } else { Act::Close });
    let gateway = gateway(&[daemon.spec("a", "")]);
    call(&gateway, LIST, json!({}), 3).await.unwrap_err();
    sound.store(true, Ordering::SeqCst);
    call(&gateway, LIST, json!({}), 3).await.unwrap();
    let hosts = fields(&call(&gateway, "list_hosts", json!({}), 3).await.unwrap());
    assert_eq!(hosts["hosts"][0]["status"], "ok", "{hosts}");
}

#[tokio::test]
async fn many_calls_at_once_share_the_connections() {
    let most = Arc::new(AtomicUsize::new(0));
    let seen = most.clone();
    let daemon = Daemon::new(move |heard| {
        seen.fetch_max(heard.connection + 1, Ordering::SeqCst);
        engine(heard)
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let calls = (0..100).map(|_| call(&gateway, LIST, json!({}), 10));
    let answers: Vec<_> = stream::iter(calls).buffer_unordered(100).collect().await;
    assert!(answers.iter().all(Result::is_ok));
    assert!(most.load(Ordering::SeqCst) <= 16, "{} connections", most.load(Ordering::SeqCst));
}

// Every tool of the catalogue.

/// The tools that speak to a daemon by themselves; those that run a program of this machine are called on real ones, in
/// the lab.
fn tools() -> Vec<Entry> {
    everything().into_iter().filter(|entry| entry.card.names_host() && entry.card.program.is_none()).collect()
}

/// What to think of an outcome.
type Judge = fn(&Entry, &Daemon, &Result<Answer, Error>) -> Result<(), String>;

/// Calls every tool with sensible arguments, each against a daemon of its own.
async fn against_all(script: fn(&Heard) -> Act, judge: Judge) {
    against(|_| true, script, judge).await;
}

async fn against(which: impl Fn(&Entry) -> bool, script: fn(&Heard) -> Act, judge: Judge) {
    let verdicts: Vec<Option<String>> = stream::iter(tools().into_iter().filter(which))
        .map(|entry| async move {
            let daemon = Daemon::new(script);
            let gateway = generous(&[daemon.spec("a", "")]);
            let arguments = Value::Object(plausible(&entry, &world()));
            let shown = arguments.to_string();
            let outcome = call(&gateway, entry.card.name, arguments, 20).await;
            let internal = outcome.as_ref().err().filter(|error| error.kind() == Kind::Internal);
            let verdict = match internal {
                Some(error) => Err(format!("{error}: {:?}", error.detail_text())),
                None => judge(&entry, &daemon, &outcome),
            };
            verdict.err().map(|why| format!("{} {shown}: {why}", entry.card.name))
        })
        .buffer_unordered(16)
        .collect()
        .await;
    let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
    assert!(verdicts.is_empty(), "{verdicts:#?}");
}

/// Whether the structured answer is what the output schema says.
fn fits_its_schema(entry: &Entry, outcome: &Result<Answer, Error>) -> Result<(), String> {
    let Ok(answer) = outcome else { return Ok(()) };
    match (&entry.card.output(), &answer.structured) {
        (None, None) => Ok(()),
        (Some(schema), Some(_)) => {
            let validator =
                jsonschema::validator_for(&Value::Object(schema.clone())).map_err(|error| error.to_string())?;
            let answer = fields(answer);
            let wrong: Vec<String> =
                validator.iter_errors(&answer).map(|error| format!("{} at {}", error, error.instance_path())).collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?} in {answer}")) }
        }
        (schema, _) => {
            Err(format!("it declares {} and answers otherwise", if schema.is_some() { "a schema" } else { "none" }))
        }
    }
}

/// The tools that bring a host into a swarm.
const ENTERING: [&str; 3] = ["init_swarm", "join_swarm", "unlock_swarm"];

/// An engine whose place in a swarm is another.
fn placed(state: &str, document: &mut Value) {
    if let Some(place) = document.pointer_mut("/Swarm/LocalNodeState") {
        *place = state.into();
    }
}

#[tokio::test]
async fn a_host_comes_into_a_swarm_from_outside() {
    let entered = |entry: &Entry, _: &Daemon, outcome: &Result<Answer, Error>| match outcome {
        Err(error) if ENTERING.contains(&entry.card.name) => Err(format!("{error:?}")),
        _ => fits_its_schema(entry, outcome),
    };
    let only = |tools: &[&'static str], state: fn(&Heard) -> Act| {
        let tools = tools.to_vec();
        against(move |entry| tools.contains(&entry.card.name), state, entered)
    };
    only(&["init_swarm", "join_swarm"], |heard| engine_in("1.45", |info| placed("inactive", info), heard)).await;
    only(&["unlock_swarm"], |heard| engine_in("1.45", |info| placed("locked", info), heard)).await;
}

#[tokio::test]
async fn every_tool_works_with_a_sane_engine() {
    let sound = |entry: &Entry, daemon: &Daemon, outcome: &Result<Answer, Error>| {
        match outcome {
            // The engine is in a swarm already, and not locked.
            Err(error) if ENTERING.contains(&entry.card.name) && error.kind() == Kind::Conflict => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
            Ok(_) => {}
        }
        let arguments = Value::Object(plausible(entry, &world()));
        let input = Value::Object(entry.card.input().clone());
        if !jsonschema::is_valid(&input, &arguments) {
            return Err("the schema does not allow what the tool takes".to_owned());
        }
        fits_its_schema(entry, outcome).and_then(|()| decent(entry, daemon, outcome))
    };
    against_all(engine, sound).await;
}

/// A document of a future: fields nobody knows, values nobody knows, numbers as text.
fn future(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                let closed =
                    ["State", "Status", "Type", "Driver", "Scope", "Action", "Kind", "Health", "LocalNodeState"];
                match value {
                    Value::String(text) if closed.contains(&name.as_str()) => "entangled".clone_into(text),
                    Value::Number(number) => *value = number.to_string().into(),
                    other => future(other),
                }
            }
            fields.insert("FromTheFuture".to_owned(), json!({"Nested": [1, null, {"Deep": true}]}));
        }
        Value::Array(items) => items.iter_mut().for_each(future),
        _ => {}
    }
}

/// Whether a field is needed to know what is meant.
fn names(field: &str) -> bool {
    ["Id", "ID", "Name", "Names", "Version", "ApiVersion", "Api-Version"].contains(&field)
}

/// Only names and ids are left.
fn bare(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            let kept = ["Volumes", "Images", "Containers", "BuildCache", "Actor"];
            fields.retain(|name, _| names(name) || kept.contains(&name.as_str()));
            fields.values_mut().for_each(bare);
        }
        Value::Array(items) => items.iter_mut().for_each(bare),
        _ => {}
    }
}

/// Everything but names and ids is null.
fn null(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| !names(name)).for_each(|(_, value)| *value = Value::Null);
        }
        Value::Array(items) => items.iter_mut().for_each(null),
        _ => {}
    }
}

/// Every value has another type than it should.
fn swapped(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| !names(name)).for_each(|(_, value)| swapped(value));
        }
        Value::Array(items) => items.iter_mut().for_each(swapped),
        Value::String(_) => *document = json!(7),
        Value::Number(_) => *document = json!(["seven"]),
        Value::Bool(_) => *document = json!("yes"),
        Value::Null => *document = json!({"null": true}),
    }
}

/// Numbers at their ends, and text that is too long and not text at all.
fn monstrous(document: &mut Value) {
    match document {
        Value::Object(fields) => {
            fields.iter_mut().filter(|(name, _)| !names(name)).for_each(|(_, value)| monstrous(value));
        }
        Value::Array(items) => items.iter_mut().for_each(monstrous),
        Value::String(text) => *text = format!("\u{1b}[31m{text}\u{202e}é\u{0}{}", "x".repeat(5_000)),
        Value::Number(_) => *document = json!(u64::MAX),
        _ => {}
    }
}

/// Everything is there twice, and every number is as large as can be.
fn huge(document: &mut Value) {
    match document {
        Value::Object(fields) => fields.values_mut().for_each(huge),
        Value::Array(items) => {
            items.iter_mut().for_each(huge);
            items.extend(items.clone());
        }
        Value::Number(_) => *document = json!(u64::MAX),
        _ => {}
    }
}

/// The same for numbers at the other end.
fn negative(document: &mut Value) {
    match document {
        Value::Object(fields) => fields.values_mut().for_each(negative),
        Value::Array(items) => items.iter_mut().for_each(negative),
        Value::Number(_) => *document = json!(i64::MIN),
        _ => {}
    }
}

/// An engine under a weather, once it was met.
fn under(weather: Weather, api: &str, heard: &Heard) -> Act {
    if is_meeting(heard) { engine_in(api, |_| {}, heard) } else { engine_in(api, weather, heard) }
}

/// An answer must not be larger than promised, nor carry what is no text.
fn decent(entry: &Entry, _: &Daemon, outcome: &Result<Answer, Error>) -> Result<(), String> {
    let (text, structured) = match outcome {
        Ok(answer) => (answer.text.clone(), fields(answer).to_string()),
        Err(error) => (error.to_json().to_string(), String::new()),
    };
    if text.chars().count() > 24_000 || structured.chars().count() > 24_000 {
        return Err(format!("the answer has {} and {} characters", text.chars().count(), structured.chars().count()));
    }
    fits_its_schema(entry, outcome)?;
    let foreign = ['\u{1b}', '\u{202e}', '\u{0}'];
    match text.find(foreign) {
        Some(at) => {
            Err(format!("control characters got through: {:?}", text[at..].chars().take(40).collect::<String>()))
        }
        None => Ok(()),
    }
}

#[tokio::test]
async fn every_tool_survives_the_future() {
    let sound = |entry: &Entry, daemon: &Daemon, outcome: &Result<Answer, Error>| {
        if let Some(heard) = daemon.asked().iter().find(|heard| !heard.target.starts_with("/v1.53/")) {
            return Err(format!("{} is not in the newest words we know", heard.target));
        }
        if entry.card.access.effect == Effect::Read
            && let Err(error) = outcome
        {
            return Err(format!("a read failed although it knows what it asked for: {error:?}"));
        }
        decent(entry, daemon, outcome)
    };
    against_all(|heard| under(future, "9.99", heard), sound).await;
}

#[tokio::test]
async fn every_tool_survives_documents_that_say_little() {
    against_all(|heard| under(bare, "1.45", heard), decent).await;
    against_all(|heard| under(null, "1.45", heard), decent).await;
}

#[tokio::test]
async fn every_tool_survives_documents_of_other_shapes() {
    against_all(|heard| under(swapped, "1.45", heard), decent).await;
    against_all(|heard| under(monstrous, "1.45", heard), decent).await;
    against_all(|heard| under(huge, "1.45", heard), decent).await;
    against_all(|heard| under(negative, "1.45", heard), decent).await;
    for document in ["null", "[]", "{}", "\"text\"", "7", "[null]", "[[]]", "[7]", "{\"Volumes\":7}"] {
        // A function pointer holds nothing, so the document is found by the path of a thread's state.
        DOCUMENT.with(|shared| shared.set(document));
        against_all(
            |heard| if is_meeting(heard) { engine(heard) } else { json_bytes(DOCUMENT.with(std::cell::Cell::get)) },
            decent,
        )
        .await;
    }
}

thread_local! {
    /// The tests of tokio run on one thread, daemon and gateway together.
    static DOCUMENT: std::cell::Cell<&'static str> = const { std::cell::Cell::new("null") };
}

fn json_bytes(document: &str) -> Act {
    Act::Send(answer("200 OK", "application/json", "1.45", document.as_bytes()))
}

/// Whether an answer about hosts says of each that something is wrong with it: a survey is never an error.
fn names_no_host_as_fine(answer: &Answer) -> bool {
    let hosts = fields(answer);
    let statuses: Vec<&Value> = hosts["hosts"].as_array().into_iter().flatten().map(|host| &host["status"]).collect();
    !statuses.is_empty() && statuses.iter().all(|status| **status != "ok")
}

/// Whoever asked a daemon that answers nonsense must say so.
fn admits(_: &Entry, daemon: &Daemon, outcome: &Result<Answer, Error>) -> Result<(), String> {
    let asked = daemon.heard().iter().any(|heard| !is_meeting(heard));
    match outcome {
        Ok(answer) if names_no_host_as_fine(answer) => Ok(()),
        Ok(answer) if asked => {
            Err(format!("it made an answer of nonsense: {}", answer.text.chars().take(200).collect::<String>()))
        }
        Err(error) if ![Kind::Docker, Kind::Unreachable, Kind::Denied].contains(&error.kind()) => {
            Err(format!("{error:?}"))
        }
        Err(error) if error.to_json().to_string().contains('<') => Err(format!("{error:?}")),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn every_tool_admits_that_it_understood_nothing() {
    against_all(
        |_| Act::Send(b"hello\r\n\r\n".to_vec()),
        |_, _, outcome| match outcome {
            Err(error) if error.kind() == Kind::Unreachable => Ok(()),
            Ok(answer) if names_no_host_as_fine(answer) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
    let html = |heard: &Heard| {
        if is_meeting(heard) {
            engine(heard)
        } else {
            Act::Send(answer("200 OK", "text/html", "1.45", b"<html>welcome</html>"))
        }
    };
    against_all(html, admits).await;
    let forbidden = |heard: &Heard| {
        if is_meeting(heard) {
            engine(heard)
        } else {
            Act::Send(answer("403 Forbidden", "text/html", "1.45", b"<html>go away</html>"))
        }
    };
    against_all(forbidden, admits).await;
    let closing = |heard: &Heard| if is_meeting(heard) { engine(heard) } else { Act::Close };
    against_all(closing, admits).await;
    let no_http = |heard: &Heard| if is_meeting(heard) { engine(heard) } else { Act::Last(b"\0\0\0\r\n\r\n".to_vec()) };
    against_all(no_http, admits).await;
}

#[tokio::test]
async fn every_tool_survives_answers_that_are_cut() {
    fn cut(heard: &Heard, keep: fn(usize) -> usize) -> Act {
        match engine(heard) {
            act if is_meeting(heard) => act,
            Act::Send(bytes) | Act::Last(bytes) => {
                let body = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
                let kept = body + keep(bytes.len() - body);
                Act::Last(bytes[..kept].to_vec())
            }
            other => other,
        }
    }
    against_all(|heard| cut(heard, |length| length / 2), decent).await;
    against_all(|heard| cut(heard, |length| length.saturating_sub(1)), decent).await;
    against_all(|heard| cut(heard, |_| 0), decent).await;
}

#[tokio::test]
async fn every_tool_survives_a_stream_of_nonsense() {
    let nonsense = |heard: &Heard| match heard.path().rsplit('/').next() {
        _ if is_meeting(heard) => engine(heard),
        Some("logs") => Act::Send(answer(
            "200 OK",
            "application/vnd.docker.multiplexed-stream",
            "1.45",
            &[frame(1, "fine\n"), vec![9, 9, 9, 9], frame(2, &"\u{1b}[2J".repeat(20_000))].concat(),
        )),
        Some("events" | "create" | "stats") => {
            Act::Send(answer("200 OK", "application/json", "1.45", b"{\"a\":\n}{{{\r\n[\"\xff\"]\r\n"))
        }
        _ => engine(heard),
    };
    against_all(nonsense, decent).await;
}

#[tokio::test]
async fn nobody_is_fooled_by_hostile_arguments() {
    let texts = hostile_texts("");
    let verdicts: Vec<Vec<String>> = stream::iter(tools())
        .map(|entry| {
            let texts = texts.clone();
            async move {
                let mut verdicts = Vec::new();
                let base = plausible(&entry, &world());
                for (property, text, arguments) in hostile(&entry, &base, &texts) {
                    let daemon = Daemon::new(engine);
                    let tool = entry.card.name;
                    let outcome = call(&gateway(&[daemon.spec("a", "")]), tool, Value::Object(arguments), 20).await;
                    let mut blame = |why: String| verdicts.push(format!("{tool}.{property} = {text:.20?}: {why}"));
                    if let Err(error) = &outcome
                        && error.kind() == Kind::Internal
                    {
                        blame(format!("{error:?}"));
                    }
                    for heard in daemon.asked() {
                        let lower = heard.target.to_ascii_lowercase();
                        let path = lower.split('?').next().unwrap_or_default();
                        let climbs = lower.contains("../") || lower.contains("%2e%2e") || path.contains("%00");
                        if climbs || path.len() > 1_000 {
                            blame(format!("{} {:.200} was sent", heard.method, heard.target));
                        }
                        heard.wire();
                    }
                    if names_an_object(tool, &property) && !(text.ends_with("a/b") && may_have_slashes(&property)) {
                        let writes: Vec<_> = daemon.asked().into_iter().filter(|heard| !heard.looks()).collect();
                        if !writes.is_empty() {
                            blame(format!("it was sent: {} {:.200}", writes[0].method, writes[0].target));
                        }
                        match &outcome {
                            Err(error) if [Kind::Invalid, Kind::NotFound].contains(&error.kind()) => {}
                            Err(error) => blame(format!("it is no {}: {error}", error.kind())),
                            Ok(answer) => blame(format!("it was taken: {:.200}", answer.text)),
                        }
                    }
                }
                verdicts
            }
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
    assert!(verdicts.is_empty(), "{verdicts:#?}");
}

#[tokio::test]
async fn wrong_types_and_unknown_arguments_are_named() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), daemon.spec("b", "")]);
    for entry in everything() {
        let tool = entry.card.name;
        let refused = async |arguments: Value| {
            let error = call(&gateway, tool, arguments.clone(), 5).await.expect_err(&format!("{tool} {arguments}"));
            assert_eq!(error.kind(), Kind::Invalid, "{tool} {arguments}: {error}");
            assert!(error.hint_text().is_some(), "{tool} {arguments}: {error}");
            error.message().to_owned()
        };
        let mut base = Value::Object(plausible(&entry, &world()));
        if entry.card.names_host() {
            base["host"] = json!("a");
        }
        let with = |name: &str, value: Value| {
            let mut arguments = base.clone();
            arguments[name] = value;
            arguments
        };
        assert!(refused(with("nonsense", json!(1))).await.contains("\"nonsense\""), "{tool}");
        for host in [json!("c"), json!("../a"), json!(7), json!(["a"]), json!("tag:none"), json!("a\0")] {
            if entry.card.names_host() {
                refused(with("host", host)).await;
            }
        }
        let properties = entry.card.input().get("properties").and_then(Value::as_object).unwrap();
        for (name, schema) in properties {
            let wrong = match schema["type"].as_str() {
                Some("string") => vec![json!(7), json!(["x"]), json!({"a": 1}), json!(true)],
                Some("boolean") => vec![json!("true"), json!(1), json!([])],
                Some("integer") => vec![json!("1"), json!(1.5), json!([1]), json!(true)],
                Some("number") => vec![json!("1"), json!([1])],
                Some("array") => vec![json!("x"), json!({"a": 1}), json!([{"deep": []}])],
                // It takes what any tool takes.
                Some("object") if ["explain_policy", "read_tool", "call_tool"].contains(&tool) => {
                    vec![json!("x"), json!([])]
                }
                Some("object") if schema["additionalProperties"]["type"] == "integer" => {
                    vec![json!("x"), json!([]), json!({"a": "x"}), json!({"a": [1]})]
                }
                Some("object") => vec![json!("x"), json!([]), json!({"a": 1}), json!({"a": ["x"]})],
                other => panic!("{tool}.{name}: {other:?}"),
            };
            for wrong in wrong {
                let message = refused(with(name, wrong.clone())).await;
                assert!(message.contains(&format!("\"{name}\"")), "{tool}.{name} = {wrong}: {message}");
            }
            if schema.get("enum").is_some() {
                assert!(refused(with(name, json!("nonsense"))).await.contains(name), "{tool}");
            }
        }
        for required in entry.card.input().get("required").and_then(Value::as_array).into_iter().flatten() {
            let mut arguments = base.clone();
            arguments.as_object_mut().unwrap().remove(required.as_str().unwrap());
            assert!(refused(arguments).await.contains(required.as_str().unwrap()), "{tool}");
        }
        if entry.card.access.effect != Effect::Read && entry.card.names_host() {
            let mut arguments = base.clone();
            arguments.as_object_mut().unwrap().remove("host");
            assert!(refused(arguments).await.contains("\"host\" is missing"), "{tool}");
        }
    }
    assert_eq!(daemon.asked().len(), 0, "{:?}", daemon.asked().first());
}

/// The guard matrix on arguments thrown with dice; that on real engines is in `integration/tests`.
#[tokio::test]
async fn no_call_does_more_than_its_host_allows() {
    let mut calls = Vec::new();
    for entry in tools() {
        let mut dice =
            Dice::new(entry.card.name.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into())));
        for _ in 0..12 {
            let arguments = thrown(&entry, &world(), &mut dice);
            calls.extend(["", "(nd)", "(ro)"].map(|markers| (entry.clone(), arguments.clone(), markers)));
        }
    }
    let verdicts: Vec<Vec<String>> = stream::iter(calls)
        .map(|(entry, arguments, markers)| async move {
            let (name, effect) = (entry.card.name, entry.card.access.effect);
            let daemon = Daemon::new(engine);
            let gateway = gateway(&[daemon.spec("a", markers)]);
            let outcome = call(&gateway, name, Value::Object(arguments.clone()), 60).await;
            let mut verdicts = Vec::new();
            if let Err(error) = &outcome
                && (error.kind() == Kind::Internal || error.message().contains("the guard refused"))
            {
                verdicts.push(error.to_string());
            }
            let worst = match (markers, effect) {
                ("(ro)", _) | (_, Effect::Read) => Effect::Read,
                ("(nd)", _) | (_, Effect::Mutate) => Effect::Mutate,
                _ => Effect::Destroy,
            };
            for heard in daemon.asked() {
                let fits = match worst {
                    Effect::Read => heard.looks(),
                    Effect::Mutate => !matches!(heard.wire().class, Class::Destroy | Class::Never),
                    Effect::Destroy => heard.wire().class != Class::Never,
                };
                if !fits {
                    verdicts.push(format!("{} {} was sent", heard.method, heard.target));
                }
            }
            verdicts.into_iter().map(|why| format!("{name}{markers} {arguments:?}: {why}")).collect()
        })
        // Many at once, for some wait on purpose; and no more, for each has sockets.
        .buffer_unordered(60)
        .collect()
        .await;
    let verdicts: Vec<String> = verdicts.into_iter().flatten().collect();
    assert!(verdicts.is_empty(), "{verdicts:#?}");
}

#[tokio::test]
async fn writes_carry_the_full_id() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    call(&gateway, "stop_container", json!({"containers": ["c0ffee00c0ff"]}), 5).await.unwrap();
    let asked = daemon.asked();
    assert!(asked.iter().any(|heard| heard.is("POST", &format!("/containers/{WEB}/stop"))), "{asked:?}");
}
