//! Services of a real swarm: made, changed, scaled, read, removed, and what must not happen to them.

use std::{fs, sync::Arc, time::Duration};

use quaymaster::{
    config::{
        Globs,
        limits::{Bodies, Profile},
    },
    gateway::Gateway,
};
use serde_json::{Value, json};

use super::rig::{Swarm, call};
use crate::{
    faults::own_engine::{OwnEngine, Release},
    rig::{gateway, lab},
};

/// The engine's own document about a service.
fn engine(manager: &OwnEngine, service: &str) -> Value {
    serde_json::from_str(&manager.docker(&["service", "inspect", "--format", "{{json .}}", service])).unwrap()
}

/// Waits until a service or a stack is what it is meant to be.
async fn converged(gateway: &Arc<Gateway>, kind: &str, target: &str) -> Value {
    let arguments = json!({"kind": kind, "target": target, "until": "converged", "timeout": 60});
    let waited = call(gateway, "first", "wait_for", arguments).await.ok();
    assert_eq!(waited["met"], true, "{waited}");
    waited
}

/// A service that says who it is, once a second.
fn teller(name: &str, replicas: u64) -> Value {
    json!({
        "name": name, "image": lab("LAB_IMAGE"), "replicas": replicas,
        "args": ["sh", "-c", "while true; do echo \"from $(hostname) with $PASSWORD\"; sleep 1; done"],
        "env": {"PASSWORD": "secret://db"},
    })
}

#[tokio::test]
async fn a_service_is_made_as_asked_and_changed_in_parts() {
    let swarm = Swarm::together(Release::Old);
    let made = made(&swarm).await;
    changed(&swarm, &made).await;
}

/// Makes a service with everything; answers the engine's document about it.
async fn made(swarm: &Swarm) -> Value {
    fs::write(swarm.store().join("db"), "hunter2-of-the-operator").unwrap();
    let (manager, image) = (&swarm.first, lab("LAB_IMAGE"));
    for command in [
        vec!["network", "create", "--driver", "overlay", "wide"],
        vec!["config", "create", "site", "/etc/hostname"],
        vec!["secret", "create", "key", "/etc/hostname"],
    ] {
        manager.docker(&command);
    }
    let arguments = json!({
        "name": "whole", "image": image, "command": ["/bin/sh"], "args": ["-c", "sleep 600"], "replicas": 2,
        "env": {"A": "1", "PASSWORD": "secret://db"}, "ports": ["8080:80", "5353:53/udp"],
        "mounts": ["data:/data:ro", "/srv:/srv:rslave", "type=tmpfs,dst=/t,tmpfs-size=1m"], "networks": ["wide"],
        "secrets": ["key", "key:other"], "configs": ["site:/etc/site"], "constraints": ["node.labels.nowhere==yes"],
        "labels": {"team": "a"}, "restart": "on-failure", "memory": "64m",
        "cpus": 0.5, "health_command": "true", "health_interval": "5s", "user": "1000",
        "working_dir": "/tmp", "hostname": "told", "cap_add": ["NET_ADMIN"], "cap_drop": ["CHOWN"],
        "update": {"order": "start-first", "delay": "1s", "failure": "rollback", "parallelism": "2"},
    });
    let made = swarm.call("first", "create_service", arguments).await.ok();
    let facts = engine(manager, "whole");
    assert!(facts["ID"].as_str().unwrap().starts_with(made["id"].as_str().unwrap()), "{made}");
    let spec = &facts["Spec"];
    let (task, container) = (&spec["TaskTemplate"], &spec["TaskTemplate"]["ContainerSpec"]);
    assert_eq!(container["Env"], json!(["A=1", "PASSWORD=hunter2-of-the-operator"]));
    assert_eq!((&container["Command"], &container["Args"]), (&json!(["/bin/sh"]), &json!(["-c", "sleep 600"])));
    assert_eq!(
        (&container["User"], &container["Dir"], &container["Hostname"]),
        (&json!("1000"), &json!("/tmp"), &json!("told"))
    );
    assert_eq!(container["Healthcheck"], json!({"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000_u64}));
    assert!(container["CapabilityAdd"].to_string().contains("NET_ADMIN"), "{container}");
    assert!(container["CapabilityDrop"].to_string().contains("CHOWN"), "{container}");
    assert_eq!(container["Mounts"].as_array().unwrap().len(), 3, "{container}");
    assert_eq!(container["Secrets"].as_array().unwrap().len(), 2, "{container}");
    assert_eq!(container["Configs"][0]["File"]["Name"], "/etc/site");
    assert_eq!(task["Resources"]["Limits"], json!({"NanoCPUs": 500_000_000, "MemoryBytes": 64 << 20}));
    assert_eq!(task["RestartPolicy"]["Condition"], "on-failure");
    assert_eq!(task["Networks"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&spec["UpdateConfig"]["Parallelism"], &spec["UpdateConfig"]["Order"]),
        (&json!(2), &json!("start-first"))
    );
    assert_eq!(
        (&spec["UpdateConfig"]["FailureAction"], &spec["RollbackConfig"]["Order"]),
        (&json!("rollback"), &json!("start-first"))
    );
    assert_eq!(spec["EndpointSpec"]["Ports"].as_array().unwrap().len(), 2, "{spec}");
    assert_eq!((&spec["Labels"]["team"], &spec["Labels"]["quaymaster.tool"]), (&json!("a"), &json!("create_service")));

    // It fits on no node, which its tasks say first.
    let tasks = swarm
        .until("first", "service_tasks", json!({"service": "whole"}), |tasks| {
            tasks["tasks"][0]["error"].as_str().is_some_and(|error| error.contains("no suitable node"))
        })
        .await;
    assert_eq!(
        (&tasks["tasks"][0]["state"], tasks["tasks"].as_array().unwrap().len()),
        (&json!("pending"), 2),
        "{tasks}"
    );
    let listed = swarm.call("all", "list_services", json!({})).await.ok();
    assert_eq!(listed["services"][0]["replicas"], "0/2", "{listed}");
    assert_eq!(listed["services"][0]["ports"], json!(["8080->80", "5353->53/udp"]), "{listed}");
    assert_eq!(listed["hosts"][1]["status"], "conflict", "{listed}");
    for section in ["summary", "config", "network", "mounts", "resources", "update", "all"] {
        let shown = swarm.call("first", "inspect_service", json!({"service": "whole", "section": section})).await.ok();
        assert!(!shown.to_string().contains("hunter2"), "{section}: {shown}");
    }
    let again = swarm.call("first", "create_service", json!({"name": "whole", "image": image})).await.error();
    assert_eq!(again["kind"], "conflict", "{again}");

    facts
}

/// Changes it in parts.
async fn changed(swarm: &Swarm, facts: &Value) {
    let manager = &swarm.first;
    // What is not named stays, secrets too; what is gone is gone.
    let shown = swarm.call("first", "inspect_service", json!({"service": "whole"})).await.ok();
    let version = shown["version"].as_u64().unwrap();
    let change = json!({
        "service": "whole", "version": version, "env": {"A": "2", "B": "3"}, "remove": ["label:team"],
        "ports": [], "memory": "96m", "args": ["-c", "sleep 700"],
    });
    let updated = swarm.call("first", "update_service", change).await.ok();
    let after = engine(manager, "whole");
    let container = &after["Spec"]["TaskTemplate"]["ContainerSpec"];
    assert_eq!(container["Env"], json!(["A=2", "PASSWORD=hunter2-of-the-operator", "B=3"]));
    assert_eq!(
        (&container["Mounts"], &container["Secrets"]),
        (
            &facts["Spec"]["TaskTemplate"]["ContainerSpec"]["Mounts"],
            &facts["Spec"]["TaskTemplate"]["ContainerSpec"]["Secrets"]
        )
    );
    assert_eq!(
        (&after["Spec"]["Labels"]["team"], &after["Spec"]["Labels"]["quaymaster.managed"]),
        (&Value::Null, &json!("true"))
    );
    assert!(after["Spec"]["EndpointSpec"]["Ports"].is_null(), "{after}");
    assert!(!updated.to_string().contains("hunter2"), "{updated}");
    let changes = updated["changes"].as_array().unwrap();
    let memory = changes.iter().find(|change| change["setting"] == "memory").unwrap();
    assert_eq!((&memory["old"], &memory["new"]), (&json!("67108864"), &json!("100663296")), "{updated}");

    // The version of then is not the one of now.
    let late = swarm
        .call("first", "update_service", json!({"service": "whole", "version": version, "memory": "64m"}))
        .await
        .error();
    assert_eq!(late["kind"], "conflict", "{late}");
    for arguments in [json!({"service": "whole"}), json!({"service": "whole", "replicas": 0})] {
        assert_eq!(swarm.call("first", "update_service", arguments).await.kind(), "invalid");
    }
    let removed = swarm.call("first", "update_service", json!({"service": "whole", "remove": ["env:PASSWORD"]})).await;
    assert!(removed.ok()["changes"].to_string().contains("env"));
    assert_eq!(engine(manager, "whole")["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["A=2", "B=3"]));

    let gone = swarm.call("first", "remove_service", json!({"services": ["whole", "nobody"]})).await.ok();
    assert_eq!(
        (&gone["results"][0]["result"], &gone["results"][1]["result"]),
        (&json!("removed"), &json!("not_found")),
        "{gone}"
    );
    assert_eq!(swarm.call("first", "inspect_service", json!({"service": "whole"})).await.kind(), "not_found");
}

#[tokio::test]
async fn tasks_on_two_nodes_are_scaled_read_and_found() {
    let swarm = Swarm::together(Release::Old);
    fs::write(swarm.store().join("db"), "hunter2-of-the-operator").unwrap();
    swarm.call("first", "create_service", teller("told", 2)).await.ok();
    converged(&swarm.gateway, "service", "told").await;
    let tasks = swarm.call("first", "service_tasks", json!({"service": "told"})).await.ok();
    let mut nodes: Vec<&str> =
        tasks["tasks"].as_array().unwrap().iter().map(|task| task["node"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["first", "second"], "{tasks}");

    tokio::time::sleep(Duration::from_secs(4)).await;
    let log = swarm.call("first", "service_logs", json!({"service": "told", "timestamps": true})).await.text();
    assert!(log.contains("@first | from ") && log.contains("@second | from "), "{log}");
    assert!(!log.contains("hunter2") && log.contains("redacted"), "{log}");
    let times: Vec<&str> =
        log.lines().filter(|line| line.contains(" | from ")).map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times.len() >= 4 && times.is_sorted(), "{log}");
    // The cursor goes on where the answer ended.
    let cursor = |log: &str| log.split("cursor \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let more = json!({"service": "told", "timestamps": true, "cursor": cursor(&log), "follow_for": 3});
    let more = swarm.call("first", "service_logs", more).await.text();
    let first = more.lines().find(|line| line.contains(" | from ")).unwrap_or_else(|| panic!("{more}"));
    assert!(first.split(' ').next().unwrap() >= *times.last().unwrap(), "{more}");
    let grep = json!({"service": "told", "grep": "^from", "tail": 1});
    let grep = swarm.call("first", "service_logs", grep).await.text();
    assert!(grep.contains("1 of ") && grep.contains("matching lines shown"), "{grep}");

    for (query, by) in [("told", "name"), (lab("LAB_IMAGE").as_str(), "image")] {
        let found = swarm.call("all", "find", json!({"query": query, "kind": "service"})).await.ok();
        assert_eq!(
            (&found["hits"][0]["kind"], &found["hits"][0]["name"]),
            (&json!("service"), &json!("told")),
            "{found}"
        );
        assert!(found["hits"][0]["matched"].as_str().unwrap().starts_with(by), "{found}");
        assert_eq!(
            (&found["hosts"][0]["status"], &found["hosts"][1]["status"]),
            (&json!("ok"), &json!("ok")),
            "{found}"
        );
    }
    let line =
        json!({"kind": "service", "target": "told", "until": "log_match", "pattern": "from \\w+", "timeout": 20});
    assert_eq!(swarm.call("first", "wait_for", line).await.ok()["met"], true);

    // What only changes may, and what ends everything may not.
    let (sparing, reading) = (swarm.marked("(nd)", |_| {}), swarm.marked("(ro)", |_| {}));
    let scale = |replicas: u64| json!({"service": "told", "replicas": replicas});
    let scaled = call(&sparing, "first", "scale_service", scale(4)).await.ok();
    assert_eq!((&scaled["changes"][0]["old"], &scaled["changes"][0]["new"]), (&json!("2"), &json!("4")), "{scaled}");
    converged(&swarm.gateway, "service", "told").await;
    assert_eq!(
        swarm.call("first", "list_services", json!({"name": "told"})).await.ok()["services"][0]["replicas"],
        "4/4"
    );
    assert_eq!(call(&sparing, "first", "scale_service", scale(0)).await.kind(), "denied");
    assert_eq!(call(&sparing, "first", "remove_service", json!({"services": ["told"]})).await.kind(), "denied");
    for (tool, arguments) in [
        ("scale_service", scale(5)),
        ("update_service", json!({"service": "told", "force": true})),
        ("rollback_service", json!({"service": "told"})),
        ("create_service", json!({"name": "other", "image": lab("LAB_IMAGE")})),
        ("remove_service", json!({"services": ["told"]})),
    ] {
        let error = call(&reading, "first", tool, arguments).await.error();
        assert_eq!(error["kind"], "denied", "{tool}: {error}");
    }
    assert!(!call(&reading, "first", "service_tasks", json!({"service": "told"})).await.is_error());
    assert_eq!(engine(&swarm.first, "told")["Spec"]["Mode"]["Replicated"]["Replicas"], 4);

    swarm.call("first", "scale_service", scale(0)).await.ok();
    let gone = json!({"service": "told"});
    swarm.until("first", "service_tasks", gone, |tasks| !tasks.to_string().contains("\"state\":\"running\"")).await;
    let error = swarm.call("second", "list_services", json!({})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
}

#[tokio::test]
async fn an_update_that_fails_is_told_and_taken_back() {
    let swarm = Swarm::together(Release::Old);
    let image = lab("LAB_IMAGE");
    let arguments =
        json!({"name": "web", "image": image, "args": ["sleep", "600"], "replicas": 2, "update": {"failure": "pause"}});
    swarm.call("first", "create_service", arguments).await.ok();
    converged(&swarm.gateway, "service", "web").await;
    assert_eq!(swarm.call("first", "rollback_service", json!({"service": "web"})).await.kind(), "conflict");

    let forced = swarm.call("first", "update_service", json!({"service": "web", "force": true})).await.ok();
    assert_eq!(forced["changes"][0]["setting"], "force", "{forced}");
    let waited = converged(&swarm.gateway, "service", "web").await;
    assert!(waited["state"].as_str().unwrap().contains("2 as they are meant"), "{waited}");

    let broken = json!({"service": "web", "args": ["sh", "-c", "exit 7"]});
    swarm.call("first", "update_service", broken).await.ok();
    let waited = json!({"kind": "service", "target": "web", "until": "converged", "timeout": 60});
    let waited = swarm.call("first", "wait_for", waited).await.ok();
    assert_eq!(waited["met"], false, "{waited}");
    assert!(waited["note"].as_str().unwrap().contains("paused"), "{waited}");
    let tasks = swarm.call("first", "service_tasks", json!({"service": "web"})).await.ok();
    let worst = &tasks["tasks"][0];
    assert_eq!((&worst["state"], &worst["exit_code"]), (&json!("failed"), &json!(7)), "{tasks}");
    assert!(worst["error"].as_str().unwrap().contains("non-zero exit (7)"), "{tasks}");
    let listed = swarm.call("first", "list_services", json!({})).await.ok();
    assert_eq!(listed["services"][0]["update"], "paused", "{listed}");

    let back = swarm.call("first", "rollback_service", json!({"service": "web"})).await.ok();
    assert!(back["changes"][0]["new"].as_str().unwrap().contains("600"), "{back}");
    converged(&swarm.gateway, "service", "web").await;
    assert_eq!(engine(&swarm.first, "web")["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"], json!(["sleep", "600"]));
}

#[tokio::test]
async fn stacks_are_what_their_labels_say() {
    let swarm = Swarm::together(Release::Old);
    let image = lab("LAB_IMAGE");
    for (name, stack, replicas) in [("shop_web", "shop", "2"), ("shop_db", "shop", "1"), ("blog_web", "blog", "1")] {
        let label = format!("com.docker.stack.namespace={stack}");
        swarm.first.docker(&[
            "service",
            "create",
            "--detach",
            "--no-resolve-image",
            "--name",
            name,
            "--label",
            &label,
            "--replicas",
            replicas,
            &image,
            "sleep",
            "600",
        ]);
    }
    swarm.first.docker(&[
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "alone",
        &image,
        "sleep",
        "600",
    ]);
    for stack in ["shop", "blog"] {
        converged(&swarm.gateway, "stack", stack).await;
    }
    let stacks = swarm.call("all", "stack_ls", json!({})).await.ok();
    let rows: Vec<_> = stacks["stacks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (row["name"].as_str().unwrap(), row["services"].as_u64().unwrap(), row["replicas"].as_str().unwrap())
        })
        .collect();
    assert_eq!(rows, [("blog", 1, "1/1"), ("shop", 2, "3/3")], "{stacks}");
    let services = swarm.call("first", "stack_services", json!({"stack": "shop"})).await.ok();
    let names: Vec<_> = services["services"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
    assert_eq!(names, ["shop_db", "shop_web"], "{services}");
    let tasks = swarm.call("first", "stack_ps", json!({"stack": "shop"})).await.ok();
    let mut names: Vec<_> =
        tasks["tasks"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["shop_db.1", "shop_web.1", "shop_web.2"], "{tasks}");
    for tool in ["stack_ps", "stack_services"] {
        assert_eq!(swarm.call("first", tool, json!({"stack": "nobody"})).await.kind(), "not_found");
    }
    let of_one = swarm.call("first", "list_services", json!({"stack": "blog"})).await.ok();
    assert_eq!(of_one["services"].as_array().unwrap().len(), 1, "{of_one}");

    // What is denied does not exist, whatever is asked.
    let hiding = swarm.marked("", |config| {
        for host in &mut config.hosts {
            host.limits.containers = Globs::new(&[], &["*_db".to_owned()]).unwrap();
        }
    });
    let listed = call(&hiding, "first", "list_services", json!({})).await.ok();
    assert!(!listed.to_string().contains("shop_db") && listed.to_string().contains("shop_web"), "{listed}");
    for (tool, arguments) in [
        ("inspect_service", json!({"service": "shop_db"})),
        ("service_tasks", json!({"service": "shop_db"})),
        ("service_logs", json!({"service": "shop_db"})),
        ("scale_service", json!({"service": "shop_db", "replicas": 2})),
        ("update_service", json!({"service": "shop_db", "force": true})),
        ("remove_service", json!({"services": ["shop_db"]})),
    ] {
        let error = call(&hiding, "first", tool, arguments).await.error();
        assert_eq!(error["kind"], "not_found", "{tool}: {error}");
    }
    let tasks = call(&hiding, "first", "stack_ps", json!({"stack": "shop"})).await.ok();
    assert!(!tasks.to_string().contains("_db"), "{tasks}");
    let made = call(&hiding, "first", "create_service", json!({"name": "new_db", "image": image})).await.error();
    assert_eq!(made["kind"], "denied", "{made}");
    let gone = json!({"kind": "stack", "target": "blog", "until": "removed", "timeout": 30});
    swarm.call("first", "remove_service", json!({"services": ["blog_web"]})).await.ok();
    assert_eq!(swarm.call("first", "wait_for", gone).await.ok()["met"], true);
}

#[tokio::test]
async fn what_a_service_asks_for_is_judged_before_it_is_sent() {
    let swarm = Swarm::together(Release::Old);
    let image = lab("LAB_IMAGE");
    let guarded = swarm.marked("", |config| {
        for host in &mut config.hosts {
            host.limits.bodies = Bodies::of(Profile::Guarded);
        }
    });
    for (settings, said) in [
        (json!({"mounts": ["/:/host"]}), "a bind of"),
        (json!({"mounts": ["/var/run/docker.sock:/s"]}), "a bind of"),
        (json!({"mounts": ["type=bind,src=/etc,dst=/x,readonly"]}), "a bind of"),
        (json!({"cap_add": ["SYS_ADMIN"]}), "capability"),
        (json!({"cap_add": ["cap_sys_ptrace"]}), "capability"),
        (json!({"networks": ["host"]}), "network"),
    ] {
        let mut new = json!({"name": "bad", "image": image});
        new.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let error = call(&guarded, "first", "create_service", new).await.error();
        let is_stopped = ["denied", "approval_needed"].contains(&error["kind"].as_str().unwrap());
        assert!(is_stopped && error.to_string().contains(said), "{settings}: {error}");
    }
    assert_eq!(swarm.first.docker(&["service", "ls", "--quiet"]), "");

    // What somebody else made so is not made more of, nor changed into more.
    swarm.first.docker(&[
        "service",
        "create",
        "--detach",
        "--no-resolve-image",
        "--name",
        "risky",
        "--mount",
        "type=bind,src=/,dst=/host",
        "--env",
        "PASSWORD=hunter2hunter2",
        &image,
        "sleep",
        "600",
    ]);
    for (tool, arguments) in [
        ("scale_service", json!({"service": "risky", "replicas": 3})),
        ("update_service", json!({"service": "risky", "env": {"A": "1"}})),
    ] {
        let error = call(&guarded, "first", tool, arguments).await.error();
        assert!(error.to_string().contains("a bind of"), "{tool}: {error}");
    }
    // Less of it is no risk; and without the bind it passes, the secret that it had being no new one.
    call(&guarded, "first", "scale_service", json!({"service": "risky", "replicas": 1})).await.ok();
    let mended = call(&guarded, "first", "update_service", json!({"service": "risky", "mounts": []})).await;
    mended.ok();
    let spec = engine(&swarm.first, "risky");
    assert_eq!(spec["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["PASSWORD=hunter2hunter2"]));
    let back = call(&guarded, "first", "rollback_service", json!({"service": "risky"})).await.error();
    assert!(back.to_string().contains("a bind of"), "{back}");
    let literal = json!({"service": "risky", "env": {"API_TOKEN": "typed-by-an-agent"}});
    let literal = call(&guarded, "first", "update_service", literal).await.ok();
    assert!(literal["notes"].to_string().contains("API_TOKEN"), "{literal}");
}

#[tokio::test]
async fn an_older_manager_does_the_same() {
    let engine = OwnEngine::of_swarm(Release::Old, "first");
    engine.docker(&["swarm", "init", "--advertise-addr", "127.0.0.1"]);
    let gateway = gateway(&[format!("first={}", engine.endpoint())]);
    let image = lab("LAB_IMAGE");
    let new =
        json!({"name": "old", "image": image, "args": ["sh", "-c", "echo hello; sleep 600"], "labels": {"k": "v"}});
    call(&gateway, "first", "create_service", new).await.ok();
    converged(&gateway, "service", "old").await;
    call(&gateway, "first", "scale_service", json!({"service": "old", "replicas": 2})).await.ok();
    converged(&gateway, "service", "old").await;
    let listed = call(&gateway, "first", "list_services", json!({"label": ["k=v"], "managed_only": true})).await.ok();
    assert_eq!(listed["services"][0]["replicas"], "2/2", "{listed}");
    let log = call(&gateway, "first", "service_logs", json!({"service": "old"})).await.text();
    assert_eq!(log.matches("@first | hello").count(), 2, "{log}");
    let updated = call(&gateway, "first", "update_service", json!({"service": "old", "env": {"A": "1"}})).await.ok();
    assert_eq!(updated["changes"][0]["setting"], "env", "{updated}");
    converged(&gateway, "service", "old").await;
    call(&gateway, "first", "rollback_service", json!({"service": "old"})).await.ok();
    converged(&gateway, "service", "old").await;
    call(&gateway, "first", "remove_service", json!({"services": ["old"]})).await.ok();
    let global = json!({"name": "everywhere", "image": image, "mode": "global", "args": ["sleep", "600"]});
    call(&gateway, "first", "create_service", global).await.ok();
    converged(&gateway, "service", "everywhere").await;
    let listed = call(&gateway, "first", "list_services", json!({"mode": "global"})).await.ok();
    assert_eq!(listed["services"][0]["replicas"], "1/1", "{listed}");
    assert_eq!(
        call(&gateway, "first", "scale_service", json!({"service": "everywhere", "replicas": 2})).await.kind(),
        "conflict"
    );
}
