//! An engine whose disk is full.

use std::{fs, io::Write, path::Path, time::Duration};

use serde_json::json;

use super::{
    own_engine::OwnEngine,
    registry::Registry,
    space::Link,
    ward::{Ward, told},
};
use crate::{
    engine::{Scrap, docker, image},
    rig::{self, lab},
};

/// Writes until nothing more fits.
fn fill(file: &Path) {
    let mut file = fs::File::create(file).expect("a file");
    for size in [1 << 20, 4 << 10, 1] {
        let chunk = vec![0; size];
        while file.write_all(&chunk).is_ok() {}
    }
}

#[tokio::test]
async fn a_full_disk_is_told_in_the_engines_words_and_ends_when_there_is_room_again() {
    let engine = OwnEngine::with_room("48m");
    let ward = Ward::with(&engine.endpoint());
    let link = Link::to(&engine.space);
    let registry = Registry::at(&link.near()).await;
    let (source, mut scrap) = (rig::Link::Unix, Scrap::on(rig::Link::Unix));
    let repository = format!("lab/{}", ward.rig.name("large"));
    let pushed = format!("{}/{repository}:1", lab("LAB_REGISTRY"));
    scrap.image(pushed.clone());
    image(source, &pushed, 2_000_000, &[]);
    docker(source, &["push", "--quiet", &pushed]);
    let large = registry.name(&format!("{repository}:1"));
    let running = ward.run("running", "echo said before; exec sleep 600").await;

    let filling = |number: usize| engine.inner(&format!("root/filling-{number}"));
    let witness = ward.witness();
    let full = "no space left on device";
    let new = || json!({"image": lab("LAB_IMAGE"), "name": ward.rig.name("new"), "command": ["sleep", "600"]});
    let writes = [
        ("run_container", new()),
        ("create_container", new()),
        ("pull_image", json!({"image": large})),
        ("commit_container", json!({"container": running, "image": format!("{}:1", ward.rig.name("kept"))})),
    ];
    for (number, (tool, arguments)) in writes.into_iter().enumerate() {
        // What failed may have left a little room.
        fill(&filling(number));
        let error = ward.begin(tool, arguments).within(Duration::from_secs(45)).await.error();
        let message = told(&error, &["docker"]);
        assert!(message.contains(full), "{tool}: {message}");
    }
    fill(&filling(4));
    let shell = "head -c 100000 /dev/zero >/much";
    let written = ward.call("exec_in_container", json!({"container": running, "shell": shell})).await.text();
    assert!(written.ends_with("exit code 1"), "{written}");
    // An engine that answers with an error is not out of reach: reads go on, however many writes failed.
    assert!(ward.list().await.unwrap().contains(&running));
    ward.call("inspect_container", json!({"container": running})).await.ok();
    let log = ward.call("container_logs", json!({"container": running})).await.text();
    assert!(log.contains("said before"), "{log}");
    witness.saw_no_trouble().await;

    for number in 0..5 {
        fs::remove_file(filling(number)).unwrap();
    }
    let made = ward.call("run_container", new()).await.ok();
    assert_eq!(made["state"], "running", "{made}");
    ward.call("pull_image", json!({"image": large})).await.ok();
    let names = ward.list().await.unwrap();
    assert_eq!(names.iter().filter(|name| **name == ward.rig.name("new")).count(), 1, "{names:?}");
}
