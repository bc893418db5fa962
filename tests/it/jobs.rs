//! Calls that outlive their request: found again, waited for, joined, ended.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use quaymaster::{
    error::{Error, Kind},
    gateway::{Failure, Gateway, Request, caller::Caller},
    tool::{Answer, Progress},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    liveness::until,
    rig::{call, fields, gateway},
    simulated::{Act, Daemon, engine, frame},
};

/// A daemon whose pulls send a line of progress every 50 ms, so many times.
fn slow_to_pull(lines: usize) -> Daemon {
    Daemon::new(move |heard| {
        if heard.path() != "/images/create" {
            return engine(heard);
        }
        let line = |done: usize| {
            let step =
                json!({"status": "Downloading", "id": "aa", "progressDetail": {"current": done, "total": lines}});
            format!("{step}\r\n")
        };
        let body: String = (0..lines).map(line).collect();
        let head = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let pause = Duration::from_millis(50) / u32::try_from(line(0).len()).unwrap();
        Act::Drip(head.into_bytes(), body.into_bytes(), pause)
    })
}

fn somebody(name: &str) -> Caller {
    Caller::account(Some(name), "test")
}

/// A call that is answered with its job after `patience`.
async fn hasty(
    gateway: &Arc<Gateway>,
    caller: Caller,
    tool: &str,
    arguments: Value,
    patience: u64,
) -> Result<Answer, Error> {
    let arguments = arguments.as_object().unwrap().clone();
    let patience = Some(Duration::from_millis(patience));
    let request = Request { patience, ..Request::new(caller, tool.to_owned(), arguments) };
    let ended = timeout(Duration::from_secs(20), gateway.call(request)).await;
    ended.unwrap_or_else(|_| panic!("{tool} did not end")).map_err(|failure| match failure {
        Failure::Tool(error) | Failure::UnknownTool(error) => error,
        Failure::Asked { .. } => panic!("it asked"),
    })
}

fn pull() -> Value {
    json!({"host": "a", "image": "lab/base:1"})
}

fn pulls(daemon: &Daemon) -> usize {
    daemon.heard().iter().filter(|heard| heard.path() == "/images/create").count()
}

#[tokio::test]
async fn a_long_call_is_answered_with_its_job() {
    let daemon = slow_to_pull(30);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let me = || gateway.caller("test");
    let answer = hasty(&gateway, me(), "pull_image", pull(), 300).await.unwrap();
    let job = fields(&answer)["job"].as_str().unwrap().to_owned();
    assert_eq!(fields(&answer), json!({"host": "a", "job": job}));
    assert!(answer.text.contains("get_job") && answer.text.contains(&job), "{}", answer.text);

    let listed = fields(&call(&gateway, "list_jobs", json!({}), 1).await.unwrap());
    assert_eq!((&listed["jobs"][0]["state"], &listed["jobs"][0]["hosts"]), (&"running".into(), &json!(["a"])));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let progress = Arc::new(move |progress: Progress| told.lock().unwrap().push(progress.done));
    let arguments = json!({"job": job, "wait": 10}).as_object().unwrap().clone();
    let request = Request { progress, ..Request::new(me(), "get_job", arguments) };
    let ended = timeout(Duration::from_secs(12), gateway.call(request)).await.unwrap().unwrap();
    let shown = fields(&ended);
    assert_eq!((&shown["state"], &shown["result"]["image"]), (&"done".into(), &"lab/base:1".into()), "{shown}");
    assert!(
        shown["result"]["host"] == "a" && ended.text.ends_with(&format!("{job} (pull_image) is done")),
        "{}",
        ended.text
    );
    assert!(seen.lock().unwrap().len() > 3, "whoever waits is told how far it is");
    let again = fields(&call(&gateway, "get_job", json!({"job": job}), 1).await.unwrap());
    assert_eq!(again["result"], shown["result"], "what it answered is kept");
}

#[tokio::test]
async fn a_job_belongs_to_whoever_began_it() {
    let daemon = slow_to_pull(60);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let answer = hasty(&gateway, somebody("eve"), "pull_image", pull(), 100).await.unwrap();
    let job = fields(&answer)["job"].clone();
    for tool in ["get_job", "cancel_job"] {
        let error = hasty(&gateway, somebody("mallory"), tool, json!({"job": job}), 1000).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{tool}");
    }
    let listed = hasty(&gateway, somebody("mallory"), "list_jobs", json!({}), 1000).await.unwrap();
    assert_eq!(fields(&listed)["jobs"], json!([]));
    until("the pull was sent", || pulls(&daemon) == 1).await;
    let ended = hasty(&gateway, somebody("eve"), "cancel_job", json!({"job": job}), 1000).await.unwrap();
    assert_eq!(fields(&ended)["ended"], true);
    let shown = hasty(&gateway, somebody("eve"), "get_job", json!({"job": job}), 1000).await.unwrap();
    assert_eq!(fields(&shown)["state"], "cancelled");
}

#[tokio::test]
async fn identical_pulls_are_one_and_others_are_not() {
    let daemon = slow_to_pull(20);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let of = |name: &str, arguments: Value| hasty(&gateway, somebody(name), "pull_image", arguments, 15_000);
    let other = json!({"host": "a", "image": "lab/base:1", "platform": "linux/arm64"});
    let (one, two, three, four) =
        tokio::join!(of("eve", pull()), of("eve", pull()), of("mallory", pull()), of("eve", other));
    let answers = [one, two, three, four].map(Result::unwrap);
    assert_eq!(pulls(&daemon), 3);
    let joined = |answer: &&Answer| answer.text.contains("was under way already");
    assert_eq!(answers.iter().filter(joined).count(), 1);
}

#[tokio::test]
async fn the_one_who_leaves_does_not_end_it_for_the_other() {
    let daemon = slow_to_pull(20);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let first = hasty(&gateway, somebody("eve"), "pull_image", pull(), 200).await.unwrap();
    let second = tokio::spawn({
        let gateway = gateway.clone();
        async move { hasty(&gateway, somebody("eve"), "pull_image", pull(), 15_000).await }
    });
    sleep(Duration::from_millis(200)).await;
    let job = fields(&first)["job"].clone();
    hasty(&gateway, somebody("eve"), "cancel_job", json!({"job": job}), 1000).await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!((fields(&second)["image"].as_str(), pulls(&daemon)), (Some("lab/base:1"), 1));
}

#[tokio::test]
async fn a_cancelled_job_closes_its_connection_at_once() {
    let daemon =
        Daemon::new(|heard| if heard.path() == "/images/create" { Act::Hold(Vec::new()) } else { engine(heard) });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let answer = hasty(&gateway, gateway.caller("test"), "pull_image", pull(), 200).await.unwrap();
    assert_eq!(daemon.tally().left(), 0);
    call(&gateway, "cancel_job", json!({"job": fields(&answer)["job"]}), 1).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(daemon.tally().left(), 1);
}

#[tokio::test]
async fn text_of_a_job_is_kept_as_text() {
    let daemon = Daemon::new(|heard| {
        if heard.path().ends_with("/logs") && heard.target.contains("follow=1") {
            let log = frame(1, "2026-01-01T00:00:05.000000000Z a line of it\n");
            let head = "HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\r\n";
            return Act::Hold([head.as_bytes(), &log].concat());
        }
        engine(heard)
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let logs = json!({"container": "web", "follow_for": 2});
    let answer = hasty(&gateway, gateway.caller("test"), "container_logs", logs, 300).await.unwrap();
    assert!(answer.structured.is_none(), "a tool without an output schema answers with text alone");
    let job = answer.text.split([' ', '\n', ';']).find(|word| word.starts_with("job-")).unwrap().to_owned();
    let shown = call(&gateway, "get_job", json!({"job": job, "wait": 10}), 12).await.unwrap();
    assert!(shown.text.contains("a line of it") && shown.text.contains("boundary"), "{}", shown.text);
    assert!(fields(&shown)["text"].as_str().unwrap().contains("a line of it"));
}

#[tokio::test]
async fn the_end_of_the_process_ends_its_jobs() {
    let daemon =
        Daemon::new(|heard| if heard.path() == "/images/create" { Act::Hold(Vec::new()) } else { engine(heard) });
    let gateway = gateway(&[daemon.spec("a", "")]);
    hasty(&gateway, gateway.caller("test"), "pull_image", pull(), 200).await.unwrap();
    timeout(Duration::from_secs(2), gateway.settle(Duration::from_secs(5))).await.unwrap();
    sleep(Duration::from_millis(100)).await;
    assert_eq!(daemon.tally().left(), 1);
}

#[tokio::test]
async fn what_is_no_job_is_refused_in_words() {
    let gateway = gateway(&[Daemon::new(engine).spec("a", "")]);
    for id in ["", "job-", "job-00000000000g", "../../x"] {
        let error = call(&gateway, "get_job", json!({"job": id}), 1).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{id}");
    }
    let error = call(&gateway, "get_job", json!({"job": "job-000000000000"}), 1).await.unwrap_err();
    assert!(error.kind() == Kind::NotFound && error.hint_text().unwrap().contains("list_jobs"), "{error}");
    assert_eq!(
        call(&gateway, "get_job", json!({"job": "job-1", "wait": 41}), 1).await.unwrap_err().kind(),
        Kind::Invalid
    );
}
