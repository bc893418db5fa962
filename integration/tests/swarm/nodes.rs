//! Nodes: labelled, drained, promoted, demoted, down, removed.

use serde_json::json;

use super::rig::Swarm;
use crate::{faults::own_engine::Release, rig::lab};

#[tokio::test]
async fn a_node_is_changed_and_in_the_end_removed() {
    let mut swarm = Swarm::together(Release::New);
    let node = swarm.call("first", "inspect_node", json!({"node": "second"})).await.ok();
    assert_eq!((&node["role"], &node["availability"]), (&json!("worker"), &json!("active")), "{node}");
    let (id, version) = (node["id"].clone(), node["version"].as_u64().unwrap());

    let labels = json!({"node": id, "labels": {"zone": "a", "api-key": "hunter2hunter2"}, "version": version});
    let changed = swarm.call("first", "update_node", labels.clone()).await.ok();
    assert_eq!(changed["changes"].as_array().unwrap().len(), 2, "{changed}");
    assert!(!changed.to_string().contains("hunter2"), "{changed}");
    let stale = swarm.call("first", "update_node", labels).await.error();
    assert_eq!(stale["kind"], "conflict", "{stale}");
    // What is masked on its way out goes back as it was.
    let change = json!({"node": "second", "labels": {"zone": "b"}});
    let changed = swarm.call("first", "update_node", change).await.ok();
    assert_eq!(changed["changes"], json!([{"setting": "label zone", "old": "a", "new": "b"}]), "{changed}");
    let format = "{{index .Spec.Labels \"api-key\"}} {{.Spec.Labels.zone}}";
    assert_eq!(swarm.first.docker(&["node", "inspect", "--format", format, "second"]), "hunter2hunter2 b");
    let listed = swarm.call("first", "list_nodes", json!({"label": ["zone=b"]})).await.ok();
    assert_eq!(listed["nodes"][0]["name"], "second", "{listed}");
    let dropped = json!({"node": "second", "remove_labels": ["api-key", "none"]});
    let changed = swarm.call("first", "update_node", dropped).await.ok();
    assert_eq!(changed["changes"].as_array().unwrap().len(), 1, "{changed}");

    // A service on both nodes leaves the drained one, and comes back.
    let image = lab("LAB_IMAGE");
    let create = ["service", "create", "--detach", "--mode", "global", "--name", "all", &image, "sleep", "600"];
    swarm.first.docker(&create);
    let placed = ["service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}}", "all"];
    let nodes = |wanted: &str| {
        crate::faults::space::until(wanted, || {
            let mut nodes: Vec<String> = swarm.first.docker(&placed).lines().map(str::to_owned).collect();
            nodes.sort();
            nodes.join(" ") == wanted
        });
    };
    nodes("first second");
    for (availability, wanted) in [("drain", "first"), ("active", "first second")] {
        let update = json!({"node": "second", "availability": availability});
        let changed = swarm.call("first", "update_node", update).await.ok();
        assert_eq!(changed["changes"][0]["new"], availability, "{changed}");
        nodes(wanted);
    }

    // Up and down again.
    swarm.call("first", "update_node", json!({"node": "second", "role": "manager"})).await.ok();
    swarm.until("second", "inspect_swarm", json!({}), |seen| seen["role"] == "manager").await;
    swarm.until("second", "list_nodes", json!({"role": "manager"}), |seen| seen["nodes"][1]["role"] == "manager").await;
    let refused = swarm.call("first", "remove_node", json!({"nodes": ["second"], "force": true})).await.error();
    assert_eq!(refused["kind"], "conflict", "{refused}");
    swarm.call("first", "update_node", json!({"node": "second", "role": "worker"})).await.ok();
    swarm.until("second", "inspect_swarm", json!({}), |seen| seen["role"] == "worker").await;
    let refused = swarm.call("first", "update_node", json!({"node": "self", "role": "worker"})).await.error();
    assert_eq!(refused["kind"], "conflict", "{refused}");

    let refused = swarm.call("first", "remove_node", json!({"nodes": ["second"]})).await.error();
    assert_eq!(refused["kind"], "conflict", "{refused}");
    let wait = |until: &str| json!({"kind": "node", "target": "second", "until": until, "timeout": 40});
    let ready = swarm.call("first", "wait_for", wait("ready")).await.ok();
    assert_eq!((&ready["met"], &ready["state"]), (&json!(true), &json!("ready")), "{ready}");
    assert_eq!(swarm.call("first", "wait_for", wait("running")).await.kind(), "invalid");
    swarm.second.stop();
    let down = swarm.call("first", "wait_for", wait("down")).await.ok();
    assert_eq!((&down["met"], &down["state"]), (&json!(true), &json!("down")), "{down}");
    let removed = swarm.call("first", "remove_node", json!({"nodes": ["second", "nobody"]})).await.ok();
    let results: Vec<_> = removed["results"].as_array().unwrap().iter().map(|one| &one["result"]).collect();
    assert_eq!(results, ["removed", "not_found"], "{removed}");
    assert_eq!(swarm.first.docker(&["node", "ls", "--format", "{{.Hostname}}"]), "first");
    let gone = swarm.call("first", "wait_for", wait("removed")).await.ok();
    assert_eq!(gone["met"], true, "{gone}");
}
