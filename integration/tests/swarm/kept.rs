//! Secrets and configs: made out of the operator's store, seen in a container of a service, shown as little as can be.

use std::fs;

use serde_json::{Value, json};

use super::rig::{FIRST, Swarm, call};
use crate::{faults::own_engine::Release, rig::lab};

const PASSWORD: &str = "correct-horse-battery";

#[tokio::test]
async fn what_a_swarm_keeps_reaches_its_services_and_nobody_else() {
    let swarm = Swarm::apart(Release::New);
    for (engine, host) in [(&swarm.first, "first"), (&swarm.second, "second")] {
        engine.docker(&["swarm", "init", "--advertise-addr", if host == "first" { FIRST } else { super::rig::SECOND }]);
    }
    fs::write(swarm.store().join("db"), format!("{PASSWORD}\n")).unwrap();
    let mut answers = Vec::new();
    let mut ask = async |tool: &str, arguments: Value| {
        let answer = swarm.call("first", tool, arguments).await.ok();
        answers.push(answer.to_string());
        answer
    };
    ask("create_secret", json!({"name": "db-1", "from": "db", "labels": {"tier": "data"}})).await;
    let content = "listen 80\npassword=hunter2hunter2\n";
    ask("create_config", json!({"name": "site-1", "content": content, "template": true})).await;
    ask("create_config", json!({"name": "site-2", "from": "db"})).await;
    for (tool, arguments, kind) in [
        ("create_secret", json!({"name": "db-1", "from": "db"}), "conflict"),
        ("create_secret", json!({"name": "x", "from": "none"}), "not_found"),
        ("create_secret", json!({"name": "a/b", "from": "db"}), "invalid"),
        ("create_config", json!({"name": "site-1", "content": "x"}), "conflict"),
        ("create_config", json!({"name": "x"}), "invalid"),
        ("create_config", json!({"name": "x", "content": "x", "from": "db"}), "invalid"),
        ("create_config", json!({"name": "x", "content": ""}), "invalid"),
        ("inspect_secret", json!({"secret": "none"}), "not_found"),
    ] {
        assert_eq!(swarm.call("first", tool, arguments.clone()).await.kind(), kind, "{tool} {arguments}");
    }

    let secret = ask("inspect_secret", json!({"secret": "db-1"})).await;
    assert_eq!((&secret["labels"]["tier"], &secret["labels"]["quaymaster.managed"]), (&json!("data"), &json!("true")));
    let config = ask("inspect_config", json!({"config": "site-1"})).await;
    assert!(config["content"].is_null() && config["template"] == true, "{config}");
    let config = ask("inspect_config", json!({"config": "site-1", "payload": true})).await;
    assert_eq!(config["size"], content.len(), "{config}");
    assert!(config["content"].as_str().unwrap().starts_with("listen 80\n"), "{config}");
    let listed = ask("list_secrets", json!({"managed_only": true, "label": ["tier=data"]})).await;
    assert_eq!((&listed["secrets"][0]["name"], &listed["secrets"][0]["managed"]), (&json!("db-1"), &json!(true)));
    let cut = ask("list_configs", json!({"limit": 1})).await;
    let rest = ask("list_configs", json!({"limit": 1, "cursor": cut["cursor"]})).await;
    assert_eq!((&cut["configs"][0]["name"], &rest["configs"][0]["name"]), (&json!("site-1"), &json!("site-2")));
    let both = swarm.call("all", "list_secrets", json!({})).await.ok();
    assert_eq!(both["hosts"].as_array().unwrap().len(), 2, "{both}");

    // In a container of a service it is what it was.
    let image = lab("LAB_IMAGE");
    let kept = ["--secret", "db-1", "--config", "source=site-1,target=/site"];
    let service = [&["service", "create", "--detach", "--name", "web"][..], &kept, &[&image, "sleep", "600"]].concat();
    swarm.first.docker(&service);
    let task = || swarm.first.docker(&["ps", "--quiet", "--filter", "name=web"]);
    crate::faults::space::until("the service runs", || !task().is_empty());
    let read = |path: &str| swarm.first.docker(&["exec", &task(), "cat", path]);
    assert_eq!((read("/run/secrets/db-1").as_str(), read("/site").as_str()), (PASSWORD, content.trim_end()));

    let used = swarm.call("first", "remove_secret", json!({"secrets": ["db-1"]})).await.error();
    assert!(used["kind"] == "conflict" && used["message"].as_str().unwrap().contains("web"), "{used}");
    swarm.first.docker(&["service", "rm", "web"]);
    limits_hold(&swarm).await;
    let removed = ask("remove_config", json!({"configs": ["site-1", "site-2", "none"]})).await;
    let results: Vec<_> = removed["results"].as_array().unwrap().iter().map(|one| &one["result"]).collect();
    assert_eq!(results, ["removed", "removed", "not_found"], "{removed}");
    ask("remove_secret", json!({"secrets": ["db-1"]})).await;
    assert_eq!(swarm.first.docker(&["secret", "ls", "--quiet"]), "");

    let state = swarm.gateway.config().state.clone().unwrap();
    let audit = super::cluster::everything(&state);
    assert!(audit.contains("create_secret"), "{audit}");
    for told in [answers.concat(), audit] {
        assert!(!told.contains(PASSWORD) && !told.contains("hunter2"), "{told}");
    }
}

async fn limits_hold(swarm: &Swarm) {
    for (markers, tool, arguments) in [
        ("(nd)", "remove_secret", json!({"secrets": ["db-1"]})),
        ("(nd)", "remove_config", json!({"configs": ["site-1"]})),
        ("(ro)", "create_secret", json!({"name": "x", "from": "db"})),
        ("(ro)", "inspect_config", json!({"config": "site-1", "payload": true})),
    ] {
        let gateway = swarm.marked(markers, |config| {
            for host in &mut config.hosts {
                host.limits.permissions = quaymaster::tool::Permissions::implied_by(host.mode);
            }
        });
        assert_eq!(call(&gateway, "first", tool, arguments).await.kind(), "denied", "{markers} {tool}");
    }
    let reading = swarm.marked("(ro)", |_| {});
    let seen = call(&reading, "first", "inspect_config", json!({"config": "site-1"})).await.ok();
    assert!(seen["content"].is_null() && !seen.to_string().contains("listen"), "{seen}");
    let asking = swarm.marked("", |config| {
        for host in &mut config.hosts {
            host.limits.confirm = quaymaster::config::limits::Confirm::Data;
        }
    });
    for (tool, arguments) in
        [("remove_secret", json!({"secrets": ["db-1"]})), ("remove_config", json!({"configs": ["site-1"]}))]
    {
        assert_eq!(call(&asking, "first", tool, arguments).await.kind(), "approval_needed", "{tool}");
    }
}
