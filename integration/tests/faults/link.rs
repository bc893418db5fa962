//! A link that is cut in the middle of a call: packets vanish, and neither end is told.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::{
    own_engine::OwnEngine,
    own_sshd::OwnSshd,
    registry::Registry,
    space::Link,
    ward::{Ward, told},
};
use crate::{
    engine::{Scrap, docker, image},
    rig::{self, lab},
};

/// A dead peer is noticed within 10 s; and a little.
const NOTICED: Duration = Duration::from_secs(25);

/// What is at the far end of the link.
enum Far {
    Tcp(OwnEngine),
    Ssh { engine: OwnEngine, _sshd: OwnSshd },
}

impl Far {
    /// An engine that listens on TCP itself, and one behind an sshd; each at the far end of a link.
    fn both() -> Vec<(Self, Ward, Link)> {
        let engine = OwnEngine::on_tcp();
        let link = Link::to(&engine.space);
        let ward = Ward::with(&format!("tcp://{}:2375(insecure)", link.far()));
        let tcp = (Self::Tcp(engine), ward, link);

        let engine = OwnEngine::start();
        let (sshd, link) = OwnSshd::apart(&engine.socket());
        let ward = Ward::for_person(sshd.person(), &sshd.endpoint_at(&link.far()));
        vec![tcp, (Self::Ssh { engine, _sshd: sshd }, ward, link)]
    }

    fn engine(&self) -> &OwnEngine {
        match self {
            Self::Tcp(engine) | Self::Ssh { engine, .. } => engine,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Ssh { .. } => "ssh",
        }
    }
}

#[tokio::test]
async fn a_link_cut_in_a_followed_log_keeps_the_lines_so_far() {
    for (far, ward, link) in Far::both() {
        let name = ward.run("talks", "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.2; done").await;
        let following = ward.begin("container_logs", json!({"container": name, "follow_for": 35}));
        sleep(Duration::from_secs(3)).await;
        let witness = ward.witness();
        link.cut();
        let log = following.within(NOTICED).await.text();
        assert!(log.contains("\nline 1\n") && log.contains("\nline 10\n"), "{}: {log}", far.name());
        assert!(log.contains("the stream broke off before the end: lines may be missing"), "{}: {log}", far.name());
        assert!(log.contains("cursor \""), "{}: {log}", far.name());

        // While it is cut, calls fail in time and by name.
        let error = ward.begin("inspect_container", json!({"container": name})).within(NOTICED).await.error();
        told(&error, &["unreachable", "timeout"]);
        witness.saw_no_trouble().await;
        link.mend();
        ward.recovers().await;

        // Nothing of the log is lost or told twice: the cursor goes on where the cut was.
        let cursor = log.rsplit("cursor \"").next().unwrap().split('"').next().unwrap();
        let rest = ward.call("container_logs", json!({"container": name, "cursor": cursor, "tail": 5000})).await.text();
        let number = |line: &str| line.strip_prefix("line ")?.parse::<u32>().ok();
        let numbers: Vec<u32> = log.lines().chain(rest.lines()).filter_map(number).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{}: {numbers:?}", far.name());
    }
}

#[tokio::test]
async fn a_link_cut_in_a_pull_is_told_and_the_pull_can_be_made_again() {
    let (source, mut scrap) = (rig::Link::Unix, Scrap::on(rig::Link::Unix));
    for (far, ward, link) in Far::both() {
        let repository = format!("lab/{}", ward.rig.name("slow"));
        let pushed = format!("{}/{repository}:1", lab("LAB_REGISTRY"));
        scrap.image(pushed.clone());
        image(source, &pushed, 3_000_000, &[]);
        docker(source, &["push", "--quiet", &pushed]);
        // The registry is reached over another cable, which stays whole.
        let cable = Link::to(&far.engine().space);
        let registry = Registry::at(&cable.near()).await;
        let name = registry.name(&format!("{repository}:1"));

        registry.slow(true);
        let pulling = ward.begin("pull_image", json!({"image": name}));
        sleep(Duration::from_secs(3)).await;
        let witness = ward.witness();
        link.cut();
        let error = pulling.within(NOTICED).await.error();
        told(&error, &["unreachable", "docker", "timeout"]);
        witness.saw_no_trouble().await;
        link.mend();
        registry.slow(false);
        ward.recovers().await;
        let pulled = ward.begin("pull_image", json!({"image": name})).within(Duration::from_secs(45)).await.ok();
        assert!(pulled["id"].is_string(), "{}: {pulled}", far.name());
    }
}

#[tokio::test]
async fn a_link_cut_in_an_exec_costs_bounded_time_and_runs_it_once() {
    for (far, ward, link) in Far::both() {
        let name = ward.run("works", "exec sleep 600").await;
        let shell = "echo begun >>/tmp/ran; echo begun; sleep 60";
        let running = ward.begin("exec_in_container", json!({"container": name, "shell": shell, "timeout": 4}));
        sleep(Duration::from_secs(2)).await;
        let witness = ward.witness();
        link.cut();
        let reply = running.within(Duration::from_secs(40)).await;
        if reply.is_error() {
            told(&reply.error(), &["unreachable", "docker", "timeout"]);
        } else {
            let text = reply.text();
            assert!(text.contains("begun") && text.contains("still runs"), "{}: {text}", far.name());
        }
        witness.saw_no_trouble().await;
        link.mend();
        ward.recovers().await;
        assert_eq!(far.engine().docker(&["exec", &name, "cat", "/tmp/ran"]), "begun", "{}", far.name());
        let text =
            ward.call("exec_in_container", json!({"container": name, "command": ["echo", "again"]})).await.text();
        assert!(text.contains("again"), "{text}");
    }
}
