//! A swarm's life: made, joined, looked at.

use serde_json::json;

use super::rig::{FIRST, SECOND, Swarm};
use crate::{faults::own_engine::Release, rig::lab};

#[tokio::test]
async fn a_manager_tells_of_its_swarm_and_a_worker_of_its_manager() {
    let swarm = Swarm::together(Release::Old).await;
    let manager = swarm.call("first", "inspect_swarm", json!({})).await.ok();
    assert_eq!((&manager["state"], &manager["role"]), (&json!("active"), &json!("manager")), "{manager}");
    assert_eq!((&manager["nodes"], &manager["settings"]["autolock"]), (&json!(2), &json!(false)), "{manager}");
    let worker = swarm.call("second", "inspect_swarm", json!({})).await.ok();
    assert_eq!((&worker["role"], &worker["node_address"]), (&json!("worker"), &json!(SECOND)), "{worker}");
    assert_eq!(worker["manager_addresses"], json!([format!("{FIRST}:2377")]), "{worker}");
    assert!(worker["note"].as_str().unwrap().contains("manager"), "{worker}");
    let listed = swarm.call("all", "list_nodes", json!({})).await.ok();
    let names: Vec<_> = listed["nodes"].as_array().unwrap().iter().map(|node| &node["name"]).collect();
    assert_eq!(names, ["first", "second"], "{listed}");
    assert_eq!((&listed["hosts"][0]["status"], &listed["hosts"][1]["status"]), (&json!("ok"), &json!("conflict")));
    let managers = swarm.call("first", "list_nodes", json!({"role": "manager"})).await.ok();
    assert_eq!(managers["nodes"].as_array().unwrap().len(), 1, "{managers}");
    let error = swarm.call("second", "list_nodes", json!({})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("name one that is a manager"), "{error}");
}

/// What the rest rests on: networks of the swarm reach from one engine to the other.
#[tokio::test]
async fn containers_of_both_engines_meet_on_an_overlay_network() {
    let swarm = Swarm::together(Release::Old).await;
    let image = lab("LAB_IMAGE");
    swarm.first.docker(&["network", "create", "--driver", "overlay", "--attachable", "wide"]);
    for (engine, name) in [(&swarm.first, "near"), (&swarm.second, "far")] {
        engine.docker(&["run", "--detach", "--name", name, "--network", "wide", &image]);
    }
    for (engine, name, other) in [(&swarm.first, "near", "far"), (&swarm.second, "far", "near")] {
        let heard = engine.docker(&["exec", name, "ping", "-c", "1", "-w", "10", other]);
        assert!(heard.contains(" 0% packet loss"), "{heard}");
    }
}
