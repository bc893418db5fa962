//! Calls that ask an engine for the same at the same time: it is asked less often, and nobody hears old news.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    engine::docker,
    recorder::Recorder,
    rig::{Link, Rig, gateway, lab},
};

/// What the target of a list contains.
const LISTS: &str = "/containers/json";
/// So many at once that most of them wait for one of the host's places.
const CROWD: usize = 64;
/// How many containers come and go.
const ROUNDS: usize = 6;
/// How long an answer is on its way: long enough for a container to come or to go meanwhile.
const PAUSE: Duration = Duration::from_millis(400);

/// The names that a list shows of what this test has made.
async fn names(rig: &Rig) -> Vec<String> {
    let listed = rig.call("list_containers", json!({"name": rig.name("")})).await.ok();
    let rows = listed["containers"].as_array().into_iter().flatten();
    rows.map(|row| row["name"].as_str().map(str::to_owned).unwrap_or_default()).collect()
}

/// How many lists the engine was asked for.
fn lists_asked_for(recorder: &Recorder) -> usize {
    recorder.take().iter().filter(|request| request.target.contains(LISTS)).count()
}

/// What the engine's own CLI does.
fn directly(link: Link, arguments: &[&str]) {
    tokio::task::block_in_place(|| docker(link, arguments));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_ask_at_once_is_asked_less_often_and_never_old() {
    for link in [Link::Unix, Link::Tls] {
        // What goes to an engine can only be counted on its socket.
        let recorder = Recorder::pausing(&link.socket(), LISTS, PAUSE);
        let rig = Arc::new(Rig::of(gateway(&[recorder.spec("")])));
        let (over, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                let (rig, over, lists) = (rig.clone(), over.clone(), lists.clone());
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        names(&rig).await;
                        lists.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for round in 0..ROUNDS {
            // By somebody else: a call of ours would leave a place behind, and the list would be asked for by itself.
            let made = rig.name(&round.to_string());
            directly(link, &["run", "--detach", "--name", &made, &lab("LAB_IMAGE"), "sleep", "600"]);
            let seen = names(&rig).await;
            assert!(seen.contains(&made), "{link:?}: {made} runs and is not in {seen:?}");
            directly(link, &["rm", "--force", &made]);
            let seen = names(&rig).await;
            assert!(!seen.contains(&made), "{link:?}: {made} is gone and still in {seen:?}");
        }
        over.store(true, Ordering::Relaxed);
        for one in crowd {
            one.await.unwrap();
        }
        let asked = lists_asked_for(&recorder);
        let answered = lists.load(Ordering::Relaxed) + 2 * ROUNDS;
        assert!(asked > 0 && asked * 3 < answered * 2, "{link:?}: {answered} lists were answered, {asked} asked for");
        assert_eq!(names(&rig).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_answer_is_masked_for_each() {
    // With answers that take their time, so that all places are taken also where the engine is fast.
    let recorder = Recorder::pausing(&Link::Unix.socket(), LISTS, PAUSE);
    let rig = Arc::new(Rig::of(gateway(&[recorder.spec("")])));
    let name = rig.name("labelled");
    let labels = json!({"db.password": "hunter2hunter2", "com.docker.compose.project": "shop"});
    let new = json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"], "labels": labels});
    rig.call("run_container", new).await.ok();
    let calls: Vec<_> = (0..CROWD)
        .map(|number| {
            let rig = rig.clone();
            // Half of them ask for what is hidden: their question to the engine is the same, their answer is not.
            let label = if number % 2 == 0 { "db.password" } else { "db.password=hunter2hunter2" };
            let asked = json!({"name": rig.name(""), "label": [label]});
            tokio::spawn(async move { (number, rig.call("list_containers", asked).await.ok()) })
        })
        .collect();
    for call in calls {
        let (number, listed) = call.await.unwrap();
        let rows = listed["containers"].as_array().map_or(0, Vec::len);
        assert_eq!(rows, usize::from(number % 2 == 0), "{listed}");
        assert!(!listed.to_string().contains("hunter2"), "{listed}");
        if rows > 0 {
            assert_eq!(listed["containers"][0]["project"], Value::from("shop"));
        }
    }
    rig.remove(&name).await;
    let asked = lists_asked_for(&recorder);
    assert!(asked > 0 && asked * 3 < CROWD * 2, "{CROWD} lists were answered, {asked} asked for");
}
