//! An sshd that is killed, stalled, started again, and replaced by another machine.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{
    own_engine::whole_second,
    own_sshd::{OwnSshd, thaw},
    ward::{Ward, told},
};
use crate::{
    engine::{Scrap, docker},
    rig::{Link, lab},
};

/// A dead peer is noticed within 10 s, and what was asked is asked once more; and a little.
const NOTICED: Duration = Duration::from_secs(22);

/// What happened to a container of the lab's engine behind ssh.
fn events(container: &str, action: &str) -> usize {
    whole_second();
    let (container, event) = (format!("container={container}"), format!("event={action}"));
    let told = ["events", "--since", "10m", "--until", "0s", "--filter", &container, "--filter", &event];
    docker(Link::Ssh, &told).lines().count()
}

#[tokio::test]
async fn a_killed_sshd_is_told_and_its_return_is_found() {
    let mut sshd = OwnSshd::before(&lab("LAB_PROD_SOCKET"));
    let (ward, mut scrap) = (Ward::for_person(sshd.person(), &sshd.endpoint()), Scrap::on(Link::Ssh));
    let name = ward.rig.name("deaf");
    scrap.run(&name, &[], &["sh", "-c", "trap '' TERM; i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done"]);

    let following = ward.begin("container_logs", json!({"container": name, "follow_for": 30}));
    let running = ward.begin("exec_in_container", json!({"container": name, "command": ["sleep", "30"]}));
    let stopping = ward.begin("stop_container", json!({"containers": [name], "grace": 5}));
    sleep(Duration::from_secs(2)).await;
    let witness = ward.witness();
    sshd.kill();
    let at_once = Duration::from_secs(12);
    let log = following.within(at_once).await.text();
    assert!(log.contains("\nline 1\n") && log.contains("the stream broke off"), "{log}");
    let ended = format!("{:?}", running.within(at_once).await);
    assert!(ended.contains("ill") && !ended.contains("exit code 0"), "{ended}");
    told(&stopping.within(at_once).await.error(), &["unreachable"]);
    for _ in 0..3 {
        let error = ward.call("inspect_container", json!({"container": name})).await.error();
        let message = told(&error, &["unreachable"]);
        assert!(!message.contains("127.0.0.1"), "{message}");
    }
    witness.saw_no_trouble().await;

    sshd.start();
    ward.recovers().await;
    ward.call("inspect_container", json!({"container": name})).await.ok();
    // What had been sent may have been done, and never twice.
    sleep(Duration::from_secs(6)).await;
    assert!(events(&name, "stop") <= 1 && events(&name, "kill") <= 2, "{}", events(&name, "kill"));
}

#[tokio::test]
async fn a_stalled_session_is_given_up_and_replaced() {
    let sshd = OwnSshd::before(&lab("LAB_PROD_SOCKET"));
    let (ward, mut scrap) = (Ward::for_person(sshd.person(), &sshd.endpoint()), Scrap::on(Link::Ssh));
    let name = ward.rig.name("deaf");
    scrap.run(&name, &[], &["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]);
    ward.list().await.unwrap();

    let stopping = ward.begin("stop_container", json!({"containers": [name], "grace": 4}));
    sleep(Duration::from_secs(1)).await;
    let frozen = sshd.freeze_connections();
    assert!(!frozen.is_empty());
    let witness = ward.witness();
    let reads: Vec<_> = (0..4).map(|_| ward.begin("inspect_container", json!({"container": name}))).collect();
    for read in reads {
        // Asked once more over a new connection, or told.
        let reply = read.within(NOTICED).await;
        if reply.is_error() {
            told(&reply.error(), &["timeout", "unreachable"]);
        }
    }
    let told_of = stopping.within(NOTICED).await.error();
    told(&told_of, &["unreachable", "timeout"]);
    witness.saw_no_trouble().await;
    // The old session stands still, and nobody needs it.
    ward.recovers().await;
    assert!(sshd.logins() >= 2, "{}", sshd.logins());
    assert_eq!(events(&name, "stop"), 1);
    assert_eq!(events(&name, "kill"), 2, "the polite signal, and KILL after the grace");

    thaw(&frozen);
    sleep(Duration::from_secs(2)).await;
    ward.list().await.unwrap();
    assert_eq!((events(&name, "stop"), events(&name, "kill")), (1, 2));
}

#[tokio::test]
async fn connections_that_a_restarted_sshd_left_stale_do_no_harm() {
    let mut sshd = OwnSshd::before(&lab("LAB_PROD_SOCKET"));
    let (ward, mut scrap) = (Ward::for_person(sshd.person(), &sshd.endpoint()), Scrap::on(Link::Ssh));
    for (round, first) in ["read", "write"].into_iter().enumerate() {
        let lists: Vec<_> = (0..4).map(|_| ward.begin("list_containers", json!({"all": true}))).collect();
        for list in lists {
            list.within(NOTICED).await.ok();
        }
        sshd.kill();
        sshd.start();
        if first == "read" {
            ward.list().await.unwrap();
        }
        let (label, value) = (ward.rig.name("round"), round.to_string());
        let new = json!({"image": lab("LAB_IMAGE"), "command": ["sleep", "600"], "labels": {(label.clone()): value}});
        let made = ward.call("run_container", new).await.ok();
        scrap.container(made["name"].as_str().unwrap());
        let filter = format!("label={label}={round}");
        assert_eq!(docker(Link::Ssh, &["ps", "-aq", "--filter", &filter]).lines().count(), 1, "{first}");
    }
}

#[tokio::test]
async fn another_host_key_is_refused_and_nothing_is_sent() {
    let mut sshd = OwnSshd::before(&lab("LAB_PROD_SOCKET"));
    let ward = Ward::for_person(sshd.person(), &sshd.endpoint());
    ward.list().await.unwrap();
    sshd.kill();
    sshd.change_host_key();
    sshd.start();
    let (logins, commands) = (sshd.logins(), sshd.commands());
    let witness = ward.witness();
    let started = Instant::now();
    for (tool, arguments) in [
        ("inspect_container", json!({"container": "x"})),
        ("run_container", json!({"image": lab("LAB_IMAGE"), "name": ward.rig.name("never")})),
        ("remove_container", json!({"containers": ["x"]})),
    ] {
        let message = told(&ward.call(tool, arguments).await.error(), &["unreachable"]);
        assert!(message.contains("the host key has CHANGED"), "{tool}: {message}");
        assert!(!message.contains("SHA256") && !message.contains("127.0.0.1"), "{message}");
    }
    // Nothing that an agent can do makes it trusted.
    let message = told(&ward.call("reconnect_host", json!({})).await.error(), &["unreachable"]);
    assert!(message.contains("the host key has CHANGED"), "{message}");
    assert!(started.elapsed() < Duration::from_secs(20));
    witness.saw_no_trouble().await;
    assert_eq!((sshd.logins(), sshd.commands()), (logins, commands), "nobody logged in and nothing was run");

    // A person says that it is the right one.
    sshd.know("127.0.0.1");
    ward.recovers().await;
    assert_eq!(docker(Link::Ssh, &["ps", "-aq", "--filter", &format!("name={}", ward.rig.name("never"))]), "");
}
