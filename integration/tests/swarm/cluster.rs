//! A swarm's life: made, joined, looked at, locked, left; and that what opens it is seen by nobody.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::{Value, json};

use super::rig::{FIRST, SECOND, Swarm, call};
use crate::{faults::own_engine::Release, rig::lab};

/// A file of the operator's store.
fn stored(swarm: &Swarm, name: &str) -> String {
    let path = swarm.store().join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    fs::read_to_string(path).unwrap()
}

/// Everything that files below a directory hold.
pub fn everything(directory: &Path) -> String {
    let mut all = String::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        all += &if path.is_dir() { everything(&path) } else { fs::read_to_string(&path).unwrap_or_default() };
    }
    all
}

#[tokio::test]
async fn a_swarm_is_made_joined_and_left_and_its_tokens_are_seen_by_nobody() {
    let swarm = Swarm::apart(Release::Old);
    let mut answers = Vec::new();
    let mut ask = async |host: &str, tool: &str, arguments: Value| {
        let answer = swarm.call(host, tool, arguments).await.ok();
        answers.push(answer.to_string());
        answer
    };
    let nowhere = ask("second", "inspect_swarm", json!({})).await;
    assert_eq!(nowhere["state"], "inactive", "{nowhere}");
    let made = ask("first", "init_swarm", json!({"advertise_addr": FIRST, "task_history": 3})).await;
    assert_eq!((&made["state"], &made["role"]), (&json!("active"), &json!("manager")), "{made}");
    let error = swarm.call("first", "init_swarm", json!({})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
    assert_eq!(ask("first", "inspect_swarm", json!({})).await["settings"]["task_history"], 3);

    let kept = ask("first", "get_swarm_join_tokens", json!({"to": "lab"})).await;
    assert_eq!(kept["secrets"], json!(["lab.worker", "lab.manager"]), "{kept}");
    for role in ["worker", "manager"] {
        let token = swarm.first.docker(&["swarm", "join-token", "--quiet", role]);
        assert_eq!(stored(&swarm, &format!("lab.{role}")), token);
    }
    let join = json!({"from": "lab.worker", "remote_addrs": [format!("{FIRST}:2377")], "advertise_addr": SECOND});
    let joined = ask("second", "join_swarm", join).await;
    assert_eq!((&joined["state"], &joined["role"]), (&json!("active"), &json!("worker")), "{joined}");
    let error = swarm.call("second", "get_swarm_join_tokens", json!({"to": "x"})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");

    // Another token: the old one opens nothing, and the file follows.
    let old = stored(&swarm, "lab.worker");
    let version = ask("first", "inspect_swarm", json!({})).await["version"].as_u64().unwrap();
    let stale = json!({"role": "worker", "version": version - 1});
    assert_eq!(swarm.call("first", "rotate_swarm_join_token", stale).await.kind(), "conflict");
    ask("first", "rotate_swarm_join_token", json!({"role": "worker", "version": version})).await;
    fs::write(swarm.store().join("taken"), "mine").unwrap();
    assert_eq!(swarm.call("first", "get_swarm_unlock_key", json!({"to": "taken"})).await.kind(), "conflict");
    ask("first", "get_swarm_join_tokens", json!({"to": "lab"})).await;
    let new = stored(&swarm, "lab.worker");
    assert!(new != old && new == swarm.first.docker(&["swarm", "join-token", "--quiet", "worker"]));
    fs::write(swarm.store().join("lab2.worker"), "mine").unwrap();
    assert_eq!(swarm.call("first", "get_swarm_join_tokens", json!({"to": "lab2"})).await.kind(), "conflict");
    assert_eq!(fs::read_to_string(swarm.store().join("lab2.worker")).unwrap(), "mine");

    // Out and in again with the new one; the old one is refused.
    assert_eq!(ask("second", "leave_swarm", json!({})).await["state"], "inactive");
    fs::write(swarm.store().join("old"), &old).unwrap();
    let join = |from: &str| json!({"from": from, "remote_addrs": [FIRST], "advertise_addr": SECOND});
    let refused = swarm.call("second", "join_swarm", join("old")).await.error();
    assert!(refused["message"].as_str().unwrap().contains("token"), "{refused}");
    ask("second", "join_swarm", join("lab.worker")).await;
    let error = swarm.call("first", "leave_swarm", json!({})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
    assert_eq!(ask("first", "leave_swarm", json!({"force": true})).await["state"], "inactive");
    assert_eq!(swarm.call("first", "leave_swarm", json!({"force": true})).await.kind(), "conflict");

    let audit = everything(swarm.gateway.config().state.as_deref().unwrap());
    assert!(audit.contains("join_swarm") && audit.contains("lab.worker"), "{audit}");
    let answers = format!("{}{refused}", answers.concat());
    for token in [&old, &new, &stored(&swarm, "lab.manager")] {
        let secret = token.rsplit('-').next().unwrap();
        assert!(!audit.contains(secret) && !answers.contains(secret), "a token is in an answer or in the audit");
    }
}

#[tokio::test]
async fn a_locked_manager_opens_with_the_kept_key_only() {
    let mut swarm = Swarm::apart(Release::New);
    swarm.call("first", "init_swarm", json!({"advertise_addr": FIRST})).await.ok();
    let error = swarm.call("first", "get_swarm_unlock_key", json!({"to": "key"})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
    let changed = swarm.call("first", "update_swarm", json!({"autolock": true, "heartbeat": 7})).await.ok();
    let expected = json!([{"setting": "autolock", "old": "false", "new": "true"},
        {"setting": "heartbeat", "old": "5", "new": "7"}]);
    assert_eq!(changed["changes"], expected, "{changed}");
    assert_eq!(swarm.call("first", "update_swarm", json!({})).await.kind(), "invalid");
    let kept = swarm.call("first", "get_swarm_unlock_key", json!({"to": "key"})).await.ok();
    assert_eq!(kept["secrets"], json!(["key"]), "{kept}");
    let key = stored(&swarm, "key");
    assert!(swarm.first.docker(&["swarm", "unlock-key", "--quiet"]) == key && !kept.to_string().contains(&key));
    assert_eq!(swarm.call("first", "unlock_swarm", json!({"from": "key"})).await.kind(), "conflict");

    swarm.first.stop();
    swarm.first.start_again();
    let locked = swarm.until("first", "inspect_swarm", json!({}), |seen| seen["state"] == "locked").await;
    assert!(locked["note"].as_str().unwrap().contains("unlock_swarm"), "{locked}");
    let error = swarm.call("first", "list_nodes", json!({})).await.error();
    assert!(error["hint"].as_str().unwrap().contains("unlock_swarm"), "{error}");
    fs::write(swarm.store().join("wrong"), "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8").unwrap();
    let error = swarm.call("first", "unlock_swarm", json!({"from": "wrong"})).await.error();
    assert!(error["kind"] == "invalid" && !error.to_string().contains("7c37"), "{error}");
    assert_eq!(swarm.call("first", "unlock_swarm", json!({"from": "none"})).await.kind(), "not_found");
    let open = swarm.call("first", "unlock_swarm", json!({"from": "key"})).await.ok();
    assert_eq!(open["state"], "active", "{open}");
    swarm.until("first", "list_nodes", json!({}), |seen| seen["nodes"][0]["state"] == "ready").await;

    // The only manager makes a new swarm of what it knows, which it cannot while it locks itself; a person is asked where data are.
    let forced = json!({"force_new_cluster": true, "advertise_addr": FIRST});
    let asking = swarm.marked("", |config| {
        for host in &mut config.hosts {
            host.limits.confirm = quaymaster::config::limits::Confirm::Data;
        }
    });
    assert_eq!(call(&asking, "first", "init_swarm", forced.clone()).await.kind(), "approval_needed");
    assert_eq!(call(&asking, "first", "leave_swarm", json!({"force": true})).await.kind(), "approval_needed");
    let careful = swarm.marked("(nd)", |_| {});
    assert_eq!(call(&careful, "first", "init_swarm", forced.clone()).await.kind(), "denied");
    swarm.call("first", "update_swarm", json!({"autolock": false})).await.ok();
    let again = swarm.call("first", "init_swarm", forced).await.ok();
    assert_eq!(again["role"], "manager", "{again}");
    let audit = everything(swarm.gateway.config().state.as_deref().unwrap());
    assert!(!audit.contains(&key) && audit.contains("unlock_swarm"));
}

#[tokio::test]
async fn a_manager_tells_of_its_swarm_and_a_worker_of_its_manager() {
    let swarm = Swarm::together(Release::Old);
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
    limits_hold(&swarm).await;
}

/// What a host does not grant is refused, and credentials have to be granted aloud.
async fn limits_hold(swarm: &Swarm) {
    let without = swarm.marked("", |config| {
        for host in &mut config.hosts {
            host.limits.permissions = quaymaster::tool::Permissions::implied_by(host.mode);
        }
    });
    for (tool, arguments) in
        [("get_swarm_join_tokens", json!({"to": "x"})), ("get_swarm_unlock_key", json!({"to": "x"}))]
    {
        assert_eq!(call(&without, "first", tool, arguments.clone()).await.kind(), "denied", "{tool}");
        assert!(without.catalogue().listed().all(|entry| entry.card.name != tool), "{tool} is listed");
        assert!(swarm.gateway.catalogue().listed().any(|entry| entry.card.name == tool), "{tool} is not listed");
    }
    for (markers, tools) in
        [("(ro)", ["update_node", "leave_swarm", "create_config"]), ("(nd)", ["", "leave_swarm", ""])]
    {
        let gateway = swarm.marked(markers, |_| {});
        for tool in tools.into_iter().filter(|tool| !tool.is_empty()) {
            let arguments = match tool {
                "update_node" => json!({"node": "second", "availability": "drain"}),
                "create_config" => json!({"name": "x", "content": "x"}),
                _ => json!({}),
            };
            assert_eq!(call(&gateway, "first", tool, arguments).await.kind(), "denied", "{markers} {tool}");
        }
        call(&gateway, "first", "list_nodes", json!({})).await.ok();
    }
    let reading = swarm.marked("(ro)", |_| {});
    call(&reading, "first", "get_swarm_join_tokens", json!({"to": "from-ro"})).await.ok();
    assert!(stored(swarm, "from-ro.manager").starts_with("SWMTKN-"));
}

/// What the rest rests on: networks of the swarm reach from one engine to the other.
#[tokio::test]
async fn containers_of_both_engines_meet_on_an_overlay_network() {
    let swarm = Swarm::together(Release::Old);
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
