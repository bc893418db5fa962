//! Engines that are stopped, killed and started again.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{
    gate::Gate,
    own_engine::OwnEngine,
    space::freeze,
    ward::{Ward, told},
};
use crate::rig::lab;

/// What the headers of a read may take, and a little.
const READ: Duration = Duration::from_secs(14);

#[tokio::test]
async fn a_stopped_engine_fails_its_reads_in_time_and_no_others() {
    let engine = OwnEngine::start();
    let ward = Ward::with(&engine.endpoint());
    let name = ward.run("stopped", "exec sleep 600").await;
    ward.list().await.unwrap();

    engine.freeze();
    let witness = ward.witness();
    // Over a connection that rested, and over new ones, all at once.
    let reads: Vec<_> = ["inspect_container", "container_top", "container_changes", "inspect_container"]
        .map(|tool| ward.begin(tool, json!({"container": name})))
        .into_iter()
        .collect();
    for read in reads {
        told(&read.within(READ).await.error(), &["timeout", "unreachable"]);
    }
    // A list over both hosts has the one and names the other.
    let listed = ward.rig.call("list_containers", json!({"host": "all"})).await.ok();
    let status = |host: &str| {
        let hosts = listed["hosts"].as_array().unwrap();
        hosts.iter().find(|row| row["host"] == host).unwrap()["status"].clone()
    };
    assert_eq!(status("well"), "ok", "{listed}");
    assert_ne!(status("ill"), "ok", "{listed}");
    // A survey waits for nobody, and says who it is.
    let started = Instant::now();
    let survey = ward.rig.call("survey_hosts", json!({})).await.text();
    assert!(started.elapsed() < Duration::from_secs(8) && survey.contains("ill"), "{survey}");
    witness.saw_no_trouble().await;

    engine.thaw();
    ward.recovers().await;
    ward.call("inspect_container", json!({"container": name})).await.ok();
    assert_eq!(engine.events(&name).iter().filter(|action| *action == "start").count(), 1);
}

#[tokio::test]
async fn a_write_that_meets_a_stopped_engine_is_done_once() {
    let engine = OwnEngine::start();
    let daemon = engine.pid();
    let gate = Gate::before(engine.socket(), "/containers/create?", move || freeze(daemon));
    let ward = Ward::with(&gate.endpoint());
    ward.list().await.unwrap();

    let name = ward.rig.name("made");
    let made =
        ward.begin("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"]}));
    gate.passed().await;
    let witness = ward.witness();
    sleep(Duration::from_secs(12)).await;
    engine.thaw();
    let answer = made.within(Duration::from_secs(40)).await.ok();
    assert_eq!(answer["name"], json!(name), "{answer}");
    witness.saw_no_trouble().await;
    assert_eq!(gate.came(), 1, "sent once");
    let count = |actions: &[String], action: &str| actions.iter().filter(|each| each.starts_with(action)).count();
    let actions = engine.events(&name);
    assert_eq!((count(&actions, "create"), count(&actions, "start")), (1, 1), "{actions:?}");
    ward.recovers().await;
}

#[tokio::test]
async fn a_write_goes_on_at_a_stopped_engine_when_its_caller_is_gone() {
    let engine = OwnEngine::start();
    let daemon = engine.pid();
    let gate = Gate::before(engine.socket(), "/stop?", move || freeze(daemon));
    let ward = Ward::with(&gate.endpoint());
    let name = ward.run("left", "trap 'exit 0' TERM; while :; do sleep 0.1; done").await;

    let stopping = ward.begin("stop_container", json!({"containers": [name], "grace": 5}));
    gate.passed().await;
    sleep(Duration::from_secs(2)).await;
    stopping.cancelled.cancel();
    let error = stopping.within(Duration::from_secs(5)).await.error();
    assert_eq!(error["kind"], "cancelled", "{error}");
    assert!(error["message"].as_str().unwrap().contains("goes on"), "{error}");

    engine.thaw();
    ward.recovers().await;
    for _ in 0..100 {
        if engine.docker(&["inspect", "--format", "{{.State.Running}}", &name]) == "false" {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let actions = engine.events(&name);
    let count = |action: &str| actions.iter().filter(|each| each.as_str() == action).count();
    assert_eq!((count("stop"), count("die"), gate.came()), (1, 1, 1), "{actions:?}");
}

#[tokio::test]
async fn a_killed_engine_is_told_at_once_and_no_call_is_made_again() {
    let mut engine = OwnEngine::start();
    let ward = Ward::with(&engine.endpoint());
    let name = ward.run("deaf", "trap '' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done").await;

    let following = ward.begin("container_logs", json!({"container": name, "follow_for": 30}));
    let waiting = ward.begin("wait_for", json!({"target": name, "until": "exited", "timeout": 15}));
    let running = ward.begin("exec_in_container", json!({"container": name, "command": ["sleep", "30"]}));
    // It does not listen to the polite signal, so the engine is in the middle of this for long.
    let stopping = ward.begin("stop_container", json!({"containers": [name], "grace": 60}));
    sleep(Duration::from_secs(2)).await;
    let witness = ward.witness();
    engine.kill();

    let at_once = Duration::from_secs(10);
    let log = following.within(at_once).await.text();
    assert!(log.contains("\nline 1\n") && log.contains("the stream broke off"), "{log}");
    // A wait may outlive an engine's restart, but says that it saw nothing.
    let waited = waiting.within(Duration::from_secs(25)).await;
    if waited.is_error() {
        told(&waited.error(), &["unreachable"]);
    } else {
        assert_eq!(waited.ok()["met"], false);
    }
    let ended = running.within(at_once).await;
    let text = format!("{ended:?}");
    assert!(text.contains("ill") && !text.contains("exit code 0"), "{text}");
    let stopped = stopping.within(at_once).await.error();
    told(&stopped, &["unreachable", "docker"]);

    let error = ward.call("inspect_container", json!({"container": name})).await.error();
    let message = told(&error, &["unreachable"]);
    assert!(message.contains("connection refused") || message.contains("since"), "{message}");
    witness.saw_no_trouble().await;

    engine.start_again();
    ward.recovers().await;
    // The engine lost the call with its life, and nobody makes it for the caller.
    sleep(Duration::from_secs(2)).await;
    let inspected = ward.call("inspect_container", json!({"container": name})).await.ok();
    assert_eq!(engine.docker(&["inspect", "--format", "{{.State.Running}}", &name]), "true", "{inspected}");
    assert!(!engine.events(&name).iter().any(|action| action == "kill" || action == "stop"));
    ward.call("stop_container", json!({"containers": [name], "grace": 0})).await.ok();
}

#[tokio::test]
async fn connections_that_a_restart_left_stale_do_no_harm() {
    let mut engine = OwnEngine::start();
    let ward = Ward::with(&engine.endpoint());
    for (round, first) in ["read", "write", "read", "write"].iter().enumerate() {
        // Several connections rest.
        let lists: Vec<_> = (0..6).map(|_| ward.begin("list_containers", json!({"all": true}))).collect();
        for list in lists {
            list.within(READ).await.ok();
        }
        if round < 2 {
            engine.stop();
        } else {
            engine.kill();
        }
        engine.start_again();

        if *first == "read" {
            ward.list().await.unwrap();
        }
        let label = format!("round={round}");
        let new =
            json!({"image": lab("LAB_IMAGE"), "command": ["sleep", "600"], "labels": {"round": round.to_string()}});
        ward.call("run_container", new).await.ok();
        let filter = format!("label={label}");
        assert_eq!(engine.docker(&["ps", "-aq", "--filter", &filter]).lines().count(), 1, "{label}");
    }
}

#[tokio::test]
async fn an_engine_that_comes_back_is_found_without_being_told() {
    let mut engine = OwnEngine::start();
    let ward = Ward::with(&engine.endpoint());
    ward.list().await.unwrap();
    engine.kill();
    for _ in 0..4 {
        told(&ward.call("list_networks", json!({})).await.error(), &["unreachable"]);
    }
    engine.start_again();
    // Nobody reconnects it; what was tried in vain is tried again after a while.
    let end = Instant::now() + Duration::from_secs(45);
    while let Err(error) = ward.list().await {
        assert!(Instant::now() < end, "{error}");
        sleep(Duration::from_millis(500)).await;
    }
}
