//! Daemons that drip, stop in the middle or never end: each costs bounded time and memory, and nobody else anything.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use quaymaster::{
    error::{Error, Kind},
    gateway::catalogue::{Entry, everything},
    tool::{Answer, Effect},
};
use serde_json::{Value, json};

use crate::{
    arguments::plausible,
    rig::{call, fields, gateway},
    simulated::{Act, Daemon, Heard, answer, engine, frame, world},
};

const LIST: &str = "list_containers";
/// The longest document, and what the kernel holds of a connection beside.
const MOST: u64 = (32 << 20) + (4 << 20);
/// Longer than every deadline of these calls, on a busy machine too.
const PATIENCE: u64 = 90;

const JSON: &str = "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\n";

fn head(length: &str) -> Vec<u8> {
    format!("{JSON}{length}\r\n\r\n").into_bytes()
}

fn chunk(text: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn is_meeting(heard: &Heard) -> bool {
    heard.path() == "/_ping" || heard.target == "/version"
}

/// The reading tools that speak to a daemon.
fn readers() -> Vec<Entry> {
    let is_reader = |entry: &Entry| entry.card.access.effect == Effect::Read && entry.card.names_host();
    everything().into_iter().filter(is_reader).collect()
}

/// What a daemon does instead of answering.
type Fault = fn(&Heard) -> Act;

/// A daemon that answers as many requests sanely as told, those to get to know it not counted.
fn sane_until(count: usize, fault: Fault) -> Daemon {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Daemon::new(move |heard| {
        if is_meeting(heard) || asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < count {
            engine(heard)
        } else {
            fault(heard)
        }
    })
}

/// What came of a call to a tool.
struct Outcome {
    entry: Entry,
    daemon: Daemon,
    answer: Result<Answer, Error>,
}

/// Calls each tool twice: its first request meets the fault, and its last one does.
///
/// Meanwhile another host has to answer as ever.
async fn met(tools: Vec<Entry>, fault: Fault) -> Vec<Outcome> {
    let sound = Arc::new(Daemon::new(engine));
    let outcomes = stream::iter(tools).map(|entry| {
        let sound = sound.clone();
        async move {
            let arguments = plausible(&entry, &world());
            let sane = Daemon::new(engine);
            call(&gateway(&[sane.spec("a", "")]), entry.card.name, Value::Object(arguments.clone()), PATIENCE)
                .await
                .ok();
            let last = sane.asked().len().saturating_sub(1);
            let mut outcomes = Vec::new();
            for count in if last == 0 { vec![0] } else { vec![0, last] } {
                let (entry, arguments, sound) = (entry.clone(), arguments.clone(), sound.clone());
                outcomes.push(async move {
                    let daemon = sane_until(count, fault);
                    let gateway = gateway(&[daemon.spec("a", ""), sound.spec("sound", "")]);
                    let mut arguments = Value::Object(arguments);
                    arguments["host"] = "a".into();
                    let (answer, ()) = tokio::join!(call(&gateway, entry.card.name, arguments, PATIENCE), async {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        call(&gateway, LIST, json!({"host": "sound"}), 10).await.expect("the sound host answers");
                    });
                    Outcome { entry, daemon, answer }
                });
            }
            futures_util::future::join_all(outcomes).await
        }
    });
    outcomes.buffer_unordered(16).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Every endless act has met a closed connection, and none could send more than a limit.
async fn left(outcomes: &[Outcome], most: u64) {
    for Outcome { entry, daemon, .. } in outcomes {
        let name = entry.card.name;
        let closed = async {
            while daemon.tally().acts().0 > daemon.tally().acts().1 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let closed = tokio::time::timeout(Duration::from_secs(10), closed).await;
        assert!(closed.is_ok(), "{name}: its connection stays open: {:?}", daemon.tally().acts());
        assert!(daemon.tally().largest() <= most, "{name}: it took {} bytes", daemon.tally().largest());
    }
}

/// An answer that names a failed host, a partial one, or an error with something to do next.
fn admits(Outcome { entry, daemon, answer }: &Outcome) {
    if daemon.tally().acts().0 == 0 {
        return;
    }
    match answer {
        Err(error) => {
            // The deadline of a whole call says itself how long it was.
            let is_late = error.kind() == Kind::Timeout && error.message().contains("within");
            let is_known = matches!(error.kind(), Kind::Timeout | Kind::Docker | Kind::Unreachable);
            assert!(is_known && (is_late || error.hint_text().is_some()), "{}: {error:?}", entry.card.name);
        }
        Ok(answer) => {
            let hosts = fields(answer)["hosts"].clone();
            let is_fine = hosts.as_array().is_some_and(|hosts| hosts.iter().all(|host| host["status"] == "ok"));
            let is_partial = ["container_logs", "events", "wait_for", "container_stats"].contains(&entry.card.name);
            assert!(!is_fine || is_partial, "{} knows nothing of it: {}", entry.card.name, answer.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_stops_in_the_middle_is_given_up() {
    let outcomes =
        met(readers(), |_| Act::Hold([head("Content-Length: 1000"), b"[{\"Id\": \"".to_vec()].concat())).await;
    left(&outcomes, 0).await;
    outcomes.iter().for_each(admits);
    let list = outcomes.iter().find(|outcome| outcome.entry.card.name == LIST).unwrap();
    let error = list.answer.as_ref().unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout, "{error:?}");
    assert!(error.message().contains("sent nothing for 10 s"), "{error}");
}

/// What is slow on purpose has a deadline of two minutes, and what moves data goes on as a job for as long as any comes.
fn quick_readers() -> Vec<Entry> {
    let slow = ["disk_usage", "export_container", "plan_cleanup", "save_image"];
    readers().into_iter().filter(|entry| !slow.contains(&entry.card.name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_drip_meet_the_deadline() {
    let outcomes =
        met(quick_readers(), |_| Act::Drip(Vec::new(), head("Content-Length: 1000"), Duration::from_secs(1))).await;
    left(&outcomes, 0).await;
    outcomes.iter().for_each(admits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_drip_meet_the_deadline() {
    let announced: Fault =
        |_| Act::Drip([head("Content-Length: 1000"), b"[".to_vec()].concat(), vec![b' '; 500], Duration::from_secs(1));
    let chunked: Fault = |_| {
        let rest = chunk(b" ").repeat(100);
        Act::Drip([head("Transfer-Encoding: chunked"), chunk(b"[")].concat(), rest, Duration::from_secs(1))
    };
    let (announced, chunked) = tokio::join!(met(quick_readers(), announced), met(quick_readers(), chunked));
    for outcomes in [announced, chunked] {
        left(&outcomes, 0).await;
        outcomes.iter().for_each(admits);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_documents_end_at_a_limit() {
    fn is_stream(heard: &Heard) -> bool {
        heard.path().ends_with("/logs") || heard.path() == "/events"
    }
    let list: Fault = |heard| {
        if is_stream(heard) {
            return engine(heard);
        }
        Act::Flood(
            [head("Transfer-Encoding: chunked"), chunk(b"[")].concat(),
            chunk("{\"Id\":\"x\"},".repeat(8_000).as_bytes()),
        )
    };
    let text: Fault = |heard| {
        if is_stream(heard) {
            return engine(heard);
        }
        Act::Flood([head("Transfer-Encoding: chunked"), chunk(b"{\"Id\":\"")].concat(), chunk(&vec![b'x'; 100_000]))
    };
    let huge: Fault = |heard| {
        if is_stream(heard) {
            return engine(heard);
        }
        Act::Flood([head("Content-Length: 10737418240"), b"[".to_vec()].concat(), vec![b' '; 100_000])
    };
    for (fault, most) in [(list, MOST), (text, MOST), (huge, 4 << 20)] {
        let outcomes = met(readers(), fault).await;
        left(&outcomes, most).await;
        outcomes.iter().for_each(admits);
        let list = outcomes.iter().find(|outcome| outcome.entry.card.name == LIST).unwrap();
        let error = list.answer.as_ref().unwrap_err();
        assert!(error.message().contains("larger than 32 MiB"), "{error}");
        let hint = error.hint_text().unwrap_or_default();
        assert!(["\"name\"", "\"label\"", "\"status\""].iter().all(|filter| hint.contains(filter)), "{hint}");
    }
}

/// The most memory that this process has had beside the pages of the program, in kilobytes: how many of those are
/// in memory is up to the kernel.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    kilobytes("VmHWM:").saturating_sub(kilobytes("RssFile:"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_document_of_tiny_values_does_not_become_large() {
    // As values it would take a gigabyte.
    let body: Arc<[u8]> = format!("[{}[0]]", "[0],".repeat(4 << 20)).into_bytes().into();
    let daemon = Daemon::new(move |heard| {
        if is_meeting(heard) { engine(heard) } else { Act::Send(answer("200 OK", "application/json", "1.45", &body)) }
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let before = peak();
    let error = call(&gateway, LIST, json!({}), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Docker, "{error}");
    assert!(
        error.message().contains("64 MiB of memory") && error.hint_text().unwrap().contains("\"label\""),
        "{error:?}"
    );
    let grown = peak().saturating_sub(before) >> 10;
    // The daemon's own copies of what it sends are in it: twice 16 MiB.
    assert!(grown < 100 + 32, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_end_is_read_for_as_long_as_asked_and_held_nowhere() {
    let line: Fault = |heard| match heard.path().rsplit('/').next() {
        Some("logs") => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
            Act::Flood(head.into(), frame(1, &"x".repeat(100_000)))
        }
        _ => engine(heard),
    };
    let announced: Fault = |heard| match heard.path().rsplit('/').next() {
        Some("logs") => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
            Act::Flood([&head[..], &[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]].concat(), vec![b'x'; 100_000])
        }
        _ => engine(heard),
    };
    let before = peak();
    for fault in [line, announced] {
        let daemon = Daemon::new(fault);
        let gateway = gateway(&[daemon.spec("a", "")]);
        let waiting = json!({"target": "web", "until": "log_match", "pattern": "never", "timeout": 3});
        let waited = call(&gateway, "wait_for", waiting, PATIENCE).await;
        assert!(waited.is_ok(), "{waited:?}");
        assert!(daemon.tally().largest() > 1 << 20, "{}", daemon.tally().largest());
        left(&[Outcome { entry: readers().remove(0), daemon, answer: waited }], u64::MAX).await;
    }
    let grown = peak().saturating_sub(before) >> 10;
    assert!(grown < 40, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_end_are_read_for_as_long_as_asked_and_held_nowhere() {
    let flood = |details: String| {
        move |heard: &Heard| {
            if heard.path() != "/events" {
                return engine(heard);
            }
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            let event = json!({"Type": "container", "Action": "die", "time": now, "timeNano": now * 1_000_000_000,
                "Actor": {"ID": "x", "Attributes": {"name": details, "other": details}}});
            let head = format!("{JSON}\r\n");
            Act::Flood(head.into(), format!("{event}\n").repeat(2).into_bytes())
        }
    };
    let before = peak();
    for details in ["short".to_owned(), "long".repeat(50_000)] {
        let daemon = Daemon::new(flood(details));
        let gateway = gateway(&[daemon.spec("a", "")]);
        let happened = call(&gateway, "events", json!({"since": "5m"}), PATIENCE).await.unwrap();
        assert_eq!(fields(&happened)["reach"][0]["complete"], false);
        left(&[Outcome { entry: readers().remove(0), daemon, answer: Ok(happened) }], u64::MAX).await;
    }
    // Without a line end nothing is an event.
    let daemon = Daemon::new(|heard| {
        if heard.path() != "/events" {
            return engine(heard);
        }
        Act::Flood(format!("{JSON}\r\n").into(), vec![b'{'; 100_000])
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let happened = fields(&call(&gateway, "events", json!({}), PATIENCE).await.unwrap());
    assert!(happened["reach"][0]["notice"].as_str().unwrap().contains("broke off"), "{happened}");
    left(&[Outcome { entry: readers().remove(0), daemon, answer: Err(Error::internal("none")) }], 4 << 20).await;
    let grown = peak().saturating_sub(before) >> 10;
    assert!(grown < 90, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_announces_four_gigabytes_or_speaks_nonsense() {
    fn switched(rest: &[u8]) -> Vec<u8> {
        let head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
            Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
        [head.as_bytes(), rest].concat()
    }
    let is_stream = |heard: &Heard| heard.path().ends_with("/start") && heard.path().starts_with("/exec");
    let before = peak();
    let huge = Daemon::new(move |heard| {
        if is_stream(heard) {
            Act::Flood(switched(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), vec![b'x'; 100_000])
        } else {
            engine(heard)
        }
    });
    let gateway = gateway(&[huge.spec("a", "")]);
    let run = json!({"container": "web", "command": ["yes"], "timeout": 2});
    let answered = call(&gateway, "exec_in_container", run.clone(), PATIENCE).await.unwrap();
    // A fast machine reads all of the four gigabytes in less, and then what follows is no frame.
    let is_read_to_its_end = answered.text.contains("broke off") && huge.tally().largest() >= u64::from(u32::MAX);
    assert!(answered.text.contains("it took longer than 2 s") || is_read_to_its_end, "{}", answered.text);
    assert!(answered.text.chars().count() < 24_000);
    left(&[Outcome { entry: readers().remove(0), daemon: huge, answer: Ok(answered) }], u64::MAX).await;
    let grown = peak().saturating_sub(before) >> 10;
    assert!(grown < 40, "{grown} MiB");

    let nonsense = Daemon::new(move |heard| {
        if is_stream(heard) {
            Act::Last(switched(b"\x01\0\0\0\0\0\0\x03oh\n<html>hello</html>"))
        } else {
            engine(heard)
        }
    });
    let gateway = crate::rig::gateway(&[nonsense.spec("a", "")]);
    let answered = call(&gateway, "exec_in_container", run.clone(), PATIENCE).await.unwrap();
    assert!(answered.text.contains("oh\n") && answered.text.contains("broke off"), "{}", answered.text);
    assert!(!answered.text.contains("html"), "{}", answered.text);

    let closed = Daemon::new(move |heard| {
        if is_stream(heard) { Act::Send(answer("200 OK", "text/plain", "1.45", b"hi")) } else { engine(heard) }
    });
    let gateway = crate::rig::gateway(&[closed.spec("a", "")]);
    let error = call(&gateway, "exec_in_container", run, PATIENCE).await.unwrap_err();
    assert!(error.message().contains("did not open a stream") && error.hint_text().is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_whose_stream_has_no_lines_and_a_receipt_without_end() {
    let endless = |path: &'static str| {
        Daemon::new(move |heard| {
            if heard.method == "POST" && heard.path() == path {
                Act::Flood(
                    [head("Transfer-Encoding: chunked"), chunk(b"{\"status\":\"")].concat(),
                    chunk(&vec![b'x'; 100_000]),
                )
            } else {
                engine(heard)
            }
        })
    };
    let before = peak();
    let daemon = endless("/images/create");
    let gateway = gateway(&[daemon.spec("a", "")]);
    let error = call(&gateway, "pull_image", json!({"image": "lab/other:1"}), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Docker, "{error:?}");
    assert!(error.message().contains("a line of more than 1 MiB"), "{error}");
    left(&[Outcome { entry: readers().remove(0), daemon, answer: Err(error) }], 4 << 20).await;

    let daemon = endless("/volumes/create");
    let gateway = crate::rig::gateway(&[daemon.spec("a", "")]);
    let error = call(&gateway, "create_volume", json!({"name": "new"}), PATIENCE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Docker, "{error:?}");
    assert!(error.message().contains("larger than"), "{error}");
    left(&[Outcome { entry: readers().remove(0), daemon, answer: Err(error) }], 8 << 20).await;
    let grown = peak().saturating_sub(before) >> 10;
    assert!(grown < 60, "{grown} MiB");
}
