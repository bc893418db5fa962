//! A thousand hosts: a survey of them is a short answer that names the dead, and holds few connections at once.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::JoinSet,
};

use crate::{
    rig::{call, fields, gateway},
    simulated::answer,
};

const HOSTS: usize = 1000;
/// What a survey may hold open at once: two connections for each of 64 hosts, and as many again for those that were
/// slow on a busy machine and gave their place away.
const CONNECTIONS: usize = 256;

/// Daemons that count their connections; every one with a number in `silent` takes connections and says nothing.
struct Crowd {
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    _listening: JoinSet<()>,
}

impl Crowd {
    fn new(directory: &Path, is_dead: impl Fn(usize) -> bool) -> Self {
        // Both ends of every connection are in this process.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
        let (open, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let mut listening = JoinSet::new();
        for number in (0..HOSTS).filter(|number| !is_dead(*number)) {
            let listener = UnixListener::bind(directory.join(format!("{number}.sock"))).unwrap();
            let (open, most) = (open.clone(), most.clone());
            listening.spawn(async move {
                let mut serving = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let (open, most) = (open.clone(), most.clone());
                    serving.spawn(async move {
                        most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        serve(stream, number).await;
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
        }
        Self { open, most, _listening: listening }
    }
}

async fn serve(mut stream: UnixStream, number: usize) {
    let mut input = Vec::new();
    while stream.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
        while let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            let request = String::from_utf8(input.drain(..end + 4).collect()).unwrap();
            let document = if request.contains("/info") {
                json!({"ID": format!("id-{number}"), "ServerVersion": "26.1.5"})
            } else if request.contains("/containers/json") {
                json!([{"Id": "c0ffee", "Names": ["/web"], "State": "running", "Status": "Up 3 days"}])
            } else {
                json!({"Version": "26.1.5", "ApiVersion": "1.45", "MinAPIVersion": "1.24"})
            };
            let bytes = answer("200 OK", "application/json", "1.45", document.to_string().as_bytes());
            if stream.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}

fn hosts(directory: &Path) -> Vec<String> {
    (0..HOSTS).map(|number| format!("h{number}=unix://{}/{number}.sock", directory.display())).collect()
}

#[tokio::test]
async fn a_survey_of_a_thousand_hosts_is_short_and_names_the_dead() {
    let directory = tempfile::tempdir().unwrap();
    let is_dead = |number: usize| number % 10 == 3;
    let crowd = Crowd::new(directory.path(), is_dead);
    let gateway = gateway(&hosts(directory.path()));
    for _ in 0..2 {
        let answer = call(&gateway, "survey_hosts", json!({"host": "all"}), 60).await.unwrap();
        let said = fields(&answer);
        assert_eq!(said["totals"]["hosts"], HOSTS);
        assert_eq!((&said["totals"]["ok"], &said["totals"]["unreachable"]), (&json!(900), &json!(100)), "{said}");
        assert_eq!(said["totals"]["running"], 900);
        assert!(answer.text.len() < 24_000 && said.to_string().len() < 24_000);
        let rows = said["hosts"].as_array().unwrap().iter().filter_map(|row| row["host"].as_str());
        let more = said["not_shown"].as_str().unwrap_or_default().split(", ").filter(|name| !name.is_empty());
        let mut named: Vec<&str> = rows.chain(more).collect();
        named.sort_unstable();
        let mut dead: Vec<String> = (0..HOSTS).filter(|number| is_dead(*number)).map(|n| format!("h{n}")).collect();
        dead.sort_unstable();
        assert_eq!(named, dead);
    }
    let most = crowd.most.load(Ordering::SeqCst);
    assert!(most <= CONNECTIONS, "{most} connections at once");
}

#[tokio::test]
async fn what_a_survey_of_many_opened_is_closed_after_it_but_a_few_hosts_keep_theirs() {
    let directory = tempfile::tempdir().unwrap();
    let crowd = Crowd::new(directory.path(), |_| false);
    let gateway = gateway(&hosts(directory.path()));
    call(&gateway, "list_containers", json!({"host": "h7"}), 10).await.unwrap();
    let list = call(&gateway, "list_containers", json!({"host": "all"}), 60).await.unwrap();
    assert!(list.text.len() < 24_000);
    let said = fields(&list);
    let failed = |said: &Value| said["hosts"].as_array().unwrap().iter().filter(|row| row["status"] != "ok").count();
    assert_eq!(failed(&said), 0);
    // The other side learns of it a moment later.
    for _ in 0..200 {
        if crowd.open.load(Ordering::SeqCst) <= CONNECTIONS {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let open = crowd.open.load(Ordering::SeqCst);
    assert!(open <= CONNECTIONS, "{open} connections are still open");
    let dialled = gateway.fleet().host("h7").unwrap().dialled();
    for _ in 0..3 {
        call(&gateway, "list_containers", json!({"host": "h7"}), 10).await.unwrap();
    }
    assert!(gateway.fleet().host("h7").unwrap().dialled() <= dialled + 1, "a single call keeps its connection");
}
