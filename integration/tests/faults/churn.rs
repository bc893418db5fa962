//! Containers that come and go while they are listed and looked at.

use std::{collections::HashSet, sync::Arc, time::Duration};

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    own_engine::{OwnEngine, Release},
    ward::{Ward, list},
};
use crate::rig::{Rig, lab};

/// How often so many lists are asked for at once.
const ROUNDS: usize = 10;
const LISTS: usize = 32;

/// Makes and removes containers until it is told to stop; answers how many.
async fn churn(rig: Arc<Rig>, number: usize, over: CancellationToken) -> usize {
    let mut made = 0;
    while !over.is_cancelled() {
        let name = rig.name(&format!("{number}-{made}"));
        let tool = if made % 3 == 0 { "run_container" } else { "create_container" };
        let new = json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"]});
        rig.call(tool, new).await.ok();
        rig.call("remove_container", json!({"containers": [name], "force": true})).await.ok();
        made += 1;
    }
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_whole_while_containers_come_and_go() {
    for release in [Release::Old, Release::New] {
        let engine = OwnEngine::of(release);
        let ward = Ward::with(&engine.endpoint());
        let mut steady = HashSet::new();
        for number in 0..3 {
            steady.insert(ward.run(&format!("steady-{number}"), "echo here; exec sleep 600").await);
        }
        let spec = format!("lab={}", engine.endpoint());
        let (others, over) = (Arc::new(Rig::among(crate::rig::environment(), &[spec])), CancellationToken::new());
        let churning: Vec<_> = (0..3).map(|number| tokio::spawn(churn(others.clone(), number, over.clone()))).collect();

        let witness = ward.witness();
        let (mut seen, mut looks, mut gone) = (HashSet::new(), 0, 0);
        for round in 0..ROUNDS {
            let lists: Vec<_> = (0..LISTS)
                .map(|_| {
                    let gateway = ward.rig.gateway.clone();
                    tokio::spawn(async move { list(&gateway, "ill", json!({"all": true})).await })
                })
                .collect();
            let mut passing = HashSet::new();
            for listed in lists {
                let names = listed.await.unwrap().unwrap_or_else(|error| panic!("{release:?}, round {round}: {error}"));
                let unique: HashSet<String> = names.iter().cloned().collect();
                assert_eq!(unique.len(), names.len(), "{release:?}: a row is there twice: {names:?}");
                assert!(steady.is_subset(&unique), "{release:?}: {names:?}");
                passing.extend(unique.into_iter().filter(|name| !steady.contains(name)));
            }
            // What was just there may be gone, and nothing else may be wrong with it.
            let calls: Vec<_> = passing
                .iter()
                .take(4)
                .flat_map(|name| {
                    [
                        ward.begin("inspect_container", json!({"container": name})),
                        ward.begin("container_logs", json!({"container": name})),
                        ward.begin("container_stats", json!({"containers": [name]})),
                    ]
                })
                .collect();
            for call in calls {
                let reply = call.within(Duration::from_secs(30)).await;
                looks += 1;
                if reply.is_error() {
                    let error = reply.error();
                    assert_eq!(error["kind"], "not_found", "{release:?}: {error}");
                    gone += 1;
                }
            }
            seen.extend(passing);
        }
        over.cancel();
        let mut made = 0;
        for churner in churning {
            made += churner.await.unwrap();
        }
        witness.saw_no_trouble().await;
        assert!(made > ROUNDS && seen.len() > 3 && looks > 0, "{made} made, {} seen, {gone} gone", seen.len());
        // What was made is gone, and what was there is as it was.
        let left: HashSet<String> = ward.list().await.unwrap().into_iter().collect();
        assert_eq!(left, steady, "{release:?}");
        let statistics = ward.call("container_stats", json!({})).await.ok().to_string();
        assert!(steady.iter().all(|name| statistics.contains(name.as_str())), "{statistics}");
    }
}
