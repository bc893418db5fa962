//! Never hang: the breaker, the places of a host, and writes that nobody cuts off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, future::join_all, stream};
use quaymaster::{
    error::Kind,
    gateway::{Failure, Gateway, Request},
};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    rig::{call, fields, gateway},
    simulated::{Act, Daemon, answer, engine, json_answer},
};

const LIST: &str = "list_containers";

/// Waits for up to 5 s.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s: {what}");
}

#[tokio::test]
async fn a_host_out_of_reach_fails_at_once_and_comes_back() {
    let daemon = Daemon::new(|_| Act::Close);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for _ in 0..2 {
        call(&gateway, LIST, json!({}), 8).await.unwrap_err();
    }
    let before = daemon.heard().len();
    let refused = call(&gateway, LIST, json!({}), 1).await.unwrap_err();
    assert_eq!((refused.kind(), refused.host()), (Kind::Unreachable, Some("a")));
    assert!(refused.message().contains("fail at once since"), "{refused}");
    assert!(refused.hint_text().unwrap().contains("tried again in"), "{:?}", refused.hint_text());
    assert_eq!(daemon.heard().len(), before, "nothing was sent");

    let hosts = fields(&call(&gateway, "list_hosts", json!({}), 1).await.unwrap());
    assert_eq!(hosts["hosts"][0]["status"], "unreachable", "{hosts}");
    assert!(hosts["hosts"][0]["tried_again_in_s"].as_u64().unwrap() <= 30, "{hosts}");
    let survey = fields(&call(&gateway, "survey_hosts", json!({}), 2).await.unwrap());
    assert!(survey["hosts"][0]["tried_again_in_s"].as_u64().unwrap() <= 30, "{survey}");
    assert_eq!(daemon.heard().len(), before, "a survey does not ask it either");

    let daemon = daemon.restart(engine).await;
    call(&gateway, "reconnect_host", json!({}), 3).await.unwrap();
    call(&gateway, LIST, json!({}), 3).await.unwrap();
    let hosts = fields(&call(&gateway, "list_hosts", json!({}), 1).await.unwrap());
    assert_eq!((&hosts["hosts"][0]["status"], &hosts["hosts"][0]["tried_again_in_s"]), (&"ok".into(), &json!(null)));
    drop(daemon);
}

#[tokio::test]
async fn whoever_asks_for_a_probe_gets_one() {
    let daemon = Daemon::new(|_| Act::Close);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for _ in 0..3 {
        call(&gateway, LIST, json!({}), 8).await.unwrap_err();
    }
    let daemon = daemon.restart(engine).await;
    call(&gateway, LIST, json!({}), 1).await.unwrap_err();
    let hosts = fields(&call(&gateway, "list_hosts", json!({"probe": true}), 3).await.unwrap());
    assert_eq!(hosts["hosts"][0]["status"], "ok", "{hosts}");
    call(&gateway, LIST, json!({}), 3).await.unwrap();
    drop(daemon);
}

#[tokio::test]
async fn what_a_daemon_answers_is_no_failure_to_reach_it() {
    let daemon = Daemon::new(|heard| {
        if heard.is("GET", "/containers/json") {
            return json_answer("500 Internal Server Error", &json!({"message": "no"}));
        }
        engine(heard)
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    for _ in 0..8 {
        let error = call(&gateway, LIST, json!({}), 3).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Docker);
    }
    call(&gateway, "list_images", json!({}), 3).await.unwrap();
}

#[tokio::test]
async fn sixteen_calls_are_in_flight_and_the_queue_has_an_end() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let open = Arc::new(AtomicBool::new(false));
    let (counter, peak, gate) = (now.clone(), most.clone(), open.clone());
    let daemon = Daemon::new(move |heard| {
        if heard.is("GET", "/containers/json") && !gate.load(Ordering::SeqCst) {
            peak.fetch_max(counter.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            return Act::Hold(Vec::new());
        }
        engine(heard)
    });
    let other = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), other.spec("b", "")]);
    let crowd: Vec<_> = (0..16 + 128).map(|_| begin(&gateway, "a")).collect();
    until("all places are taken", || now.load(Ordering::SeqCst) == 16).await;
    sleep(Duration::from_millis(300)).await;
    let refused = call(&gateway, LIST, json!({"host": "a"}), 2).await.unwrap_err();
    assert_eq!((refused.kind(), refused.host()), (Kind::Busy, Some("a")));
    assert!(refused.message().contains("16 calls are in flight"), "{refused}");
    // Another host does not notice.
    call(&gateway, LIST, json!({"host": "b"}), 2).await.unwrap();
    assert_eq!(most.load(Ordering::SeqCst), 16);
    // Those that are taken back make room, and the queue moves on.
    open.store(true, Ordering::SeqCst);
    for (token, _) in &crowd[..16] {
        token.cancel();
    }
    let ended = join_all(crowd.into_iter().map(|(_, call)| timeout(Duration::from_secs(20), call))).await;
    let ended: Vec<_> = ended.into_iter().map(|call| call.unwrap().unwrap()).collect();
    assert_eq!(ended.iter().filter(|outcome| outcome.is_ok()).count(), 128);
    call(&gateway, LIST, json!({"host": "a"}), 2).await.unwrap();
}

#[tokio::test]
async fn those_who_wait_to_ask_the_same_ask_once_and_outlive_the_one_that_asks() {
    let held = Arc::new(AtomicUsize::new(0));
    let (asked, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (holding, counter, gate) = (held.clone(), asked.clone(), open.clone());
    let daemon = Daemon::new(move |heard| {
        if heard.is("GET", "/containers/json") {
            if !gate.load(Ordering::SeqCst) {
                holding.fetch_add(1, Ordering::SeqCst);
                return Act::Hold(Vec::new());
            }
            counter.fetch_add(1, Ordering::SeqCst);
        }
        engine(heard)
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let mut in_flight: Vec<_> = (0..16).map(|_| begin(&gateway, "a")).collect();
    until("all places are taken", || held.load(Ordering::SeqCst) == 16).await;
    let first = begin(&gateway, "a");
    sleep(Duration::from_millis(200)).await;
    let crowd: Vec<_> = (0..40).map(|_| begin(&gateway, "a")).collect();
    let other = call(&gateway, "list_images", json!({"host": "a"}), 10);
    let (other, ()) = tokio::join!(other, async {
        sleep(Duration::from_millis(200)).await;
        // One place becomes free: the first asks for all, and its call is taken back while it does.
        in_flight.swap_remove(0).0.cancel();
        until("the first asks", || held.load(Ordering::SeqCst) == 17).await;
        open.store(true, Ordering::SeqCst);
        first.0.cancel();
    });
    other.unwrap();
    for (_, call) in crowd {
        timeout(Duration::from_secs(10), call).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "forty calls that waited for the same");
    assert_eq!(held.load(Ordering::SeqCst), 17);
    for (token, _) in in_flight {
        token.cancel();
    }
}

type Begun = (CancellationToken, tokio::task::JoinHandle<Result<quaymaster::tool::Answer, Failure>>);

/// Begins a list that can be taken back.
fn begin(gateway: &Arc<Gateway>, host: &str) -> Begun {
    begin_call(gateway, LIST, json!({"host": host}))
}

fn begin_call(gateway: &Arc<Gateway>, tool: &str, arguments: serde_json::Value) -> Begun {
    let cancelled = CancellationToken::new();
    let serde_json::Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let request =
        Request { cancelled: cancelled.clone(), ..Request::new(gateway.caller("test"), tool.to_owned(), arguments) };
    let gateway = gateway.clone();
    (cancelled, tokio::spawn(async move { gateway.call(request).await }))
}

#[tokio::test]
async fn those_who_wait_leave_a_place_to_the_others() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let counter = waiting.clone();
    let daemon = Daemon::new(move |heard| {
        if heard.path().ends_with("/wait") || heard.path().ends_with("/events") {
            counter.fetch_add(1, Ordering::SeqCst);
            return Act::Hold(Vec::new());
        }
        engine(heard)
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let wait = json!({"kind": "container", "target": "web", "until": "exited", "timeout": 30});
    let waits: Vec<_> = (0..40).map(|_| begin_call(&gateway, "wait_for", wait.clone())).collect();
    until("they wait", || waiting.load(Ordering::SeqCst) >= 15).await;
    for _ in 0..5 {
        call(&gateway, LIST, json!({}), 5).await.unwrap();
    }
    assert_eq!(waiting.load(Ordering::SeqCst), 15);
    for (token, _) in &waits {
        token.cancel();
    }
    let ended: Vec<_> = stream::iter(waits).then(|(_, call)| timeout(Duration::from_secs(5), call)).collect().await;
    assert!(ended.into_iter().all(|ended| ended.is_ok()));
    until("what they had open is closed", || daemon.tally().left() == 15).await;
}

/// A daemon that takes its time to stop a container.
fn slow_to_stop(takes: Duration) -> Daemon {
    Daemon::new(move |heard| {
        if heard.path().ends_with("/stop") {
            let done = answer("204 No Content", "text/plain", "1.45", b"");
            let pause = takes / u32::try_from(done.len()).unwrap();
            return Act::Drip(Vec::new(), done, pause);
        }
        engine(heard)
    })
}

#[tokio::test]
async fn a_stop_that_was_sent_is_seen_through() {
    let daemon = slow_to_stop(Duration::from_secs(2));
    let gateway = gateway(&[daemon.spec("a", "")]);
    let (token, stop) = begin_call(&gateway, "stop_container", json!({"host": "a", "containers": ["web"]}));
    until("it was sent", || daemon.heard().iter().any(|heard| heard.path().ends_with("/stop"))).await;
    token.cancel();
    let Err(Failure::Tool(error)) = stop.await.unwrap() else { panic!("it was taken back") };
    assert_eq!(error.kind(), Kind::Cancelled);
    assert!(error.message().contains("goes on") && error.hint_text().unwrap().contains("job-"), "{error:?}");
    let job = error.hint_text().unwrap().split(' ').find(|word| word.starts_with("job-")).unwrap().to_owned();
    let ended = fields(&call(&gateway, "get_job", json!({"job": job, "wait": 10}), 12).await.unwrap());
    assert_eq!((&ended["state"], &ended["tool"]), (&"done".into(), &"stop_container".into()), "{ended}");
    let sent = daemon.heard().iter().filter(|heard| heard.path().ends_with("/stop")).count();
    assert_eq!(sent, 1, "{:?}", daemon.heard());
}

#[tokio::test]
async fn a_write_outlives_the_process_loop_by_a_moment() {
    let daemon = slow_to_stop(Duration::from_secs(1));
    let gateway = gateway(&[daemon.spec("a", "")]);
    let (token, stop) = begin_call(&gateway, "stop_container", json!({"host": "a", "containers": ["web"]}));
    until("it was sent", || daemon.heard().iter().any(|heard| heard.path().ends_with("/stop"))).await;
    token.cancel();
    stop.await.unwrap().unwrap_err();
    let before = std::time::Instant::now();
    gateway.settle(Duration::from_secs(5)).await;
    assert!(before.elapsed() > Duration::from_millis(300), "it was waited for");
    let connections = daemon.heard().iter().map(|heard| heard.connection).max();
    assert_eq!(connections, Some(0), "the connection was not lost");
}
