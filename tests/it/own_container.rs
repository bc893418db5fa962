//! The container that Quaymaster itself runs in: no call ends, changes or removes it, under whatever name.

use quaymaster::error::{Error, Kind};
use serde_json::{Value, json};

use crate::{
    rig::{call, fields, gateway_inside},
    simulated::{Act, Daemon, Heard, WEB, engine},
};

/// Every call that would end, change or remove a container, with what its argument is called.
fn ends(container: &str) -> Vec<(&'static str, Value)> {
    vec![
        ("stop_container", json!({"containers": [container], "grace": 0})),
        ("restart_container", json!({"containers": [container], "grace": 0})),
        ("pause_container", json!({"containers": [container]})),
        ("kill_container", json!({"containers": [container]})),
        ("kill_container", json!({"containers": [container], "signal": "HUP"})),
        ("rename_container", json!({"container": container, "name": "renamed"})),
        ("update_container", json!({"container": container, "cpus": 0.5})),
        ("remove_container", json!({"containers": [container], "force": true})),
    ]
}

/// What the daemon heard that was not only a look.
fn writes(daemon: &Daemon) -> Vec<Heard> {
    daemon.heard().into_iter().filter(|heard| !heard.looks()).collect()
}

fn is_refusal(error: &Error) -> bool {
    error.kind() == Kind::Denied
        && error.message().starts_with("Quaymaster itself runs in container ")
        && error.hint_text().is_some_and(|hint| hint.contains("own_container = \"allow\""))
}

/// The engine, after its container `web` was renamed.
fn renamed(heard: &Heard) -> Act {
    if heard.path() == "/containers/renamed/json" {
        let path = heard.target.replace("/renamed/", "/web/");
        return match engine(&Heard { target: path, ..heard.clone() }) {
            Act::Send(bytes) => {
                // As long as the old one, so that the length of the answer stays right.
                Act::Send(
                    String::from_utf8(bytes).unwrap().replace(r#""Name":"/web""#, r#""Name":"/neo""#).into_bytes(),
                )
            }
            other => other,
        };
    }
    engine(heard)
}

#[tokio::test]
async fn nothing_ends_it_under_any_name() {
    let daemon = Daemon::new(renamed);
    let gateway = gateway_inside(WEB, &[daemon.spec("a", "")], |_| {});
    for name in ["web", WEB, &WEB[..12], "renamed"] {
        for (tool, arguments) in ends(name) {
            let error = call(&gateway, tool, arguments, 5).await.expect_err(tool);
            assert!(is_refusal(&error), "{tool} {name}: {error:?}");
            let own = if name == "renamed" { "\"neo\"" } else { "\"web\"" };
            assert!(error.message().contains(own) && error.message().contains(tool), "{tool} {name}: {error}");
        }
    }
    assert_eq!(writes(&daemon).len(), 0, "{:?}", writes(&daemon));
}

#[tokio::test]
async fn it_is_not_ended_among_others() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_inside(WEB, &[daemon.spec("a", "")], |_| {});
    for tool in ["stop_container", "remove_container", "kill_container"] {
        let error = call(&gateway, tool, json!({"containers": ["temp", "web"]}), 5).await.expect_err(tool);
        assert!(is_refusal(&error), "{tool}: {error:?}");
    }
    assert_eq!(writes(&daemon).len(), 0, "{:?}", writes(&daemon));
}

#[tokio::test]
async fn a_prune_does_not_take_it() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_inside(WEB, &[daemon.spec("a", "")], |_| {});
    // This engine lists it among the stopped, whatever is asked for.
    let listed = call(&gateway, "prune_containers", json!({}), 5).await.unwrap();
    assert_eq!(fields(&listed)["would_remove"][0]["name"], "web", "{}", listed.text);
    let error = call(&gateway, "prune_containers", json!({"dry_run": false}), 5).await.expect_err("it was pruned");
    assert!(is_refusal(&error), "{error:?}");
    assert_eq!(writes(&daemon).len(), 0, "{:?}", writes(&daemon));
}

#[tokio::test]
async fn whatever_else_may_be_done_to_it() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_inside(WEB, &[daemon.spec("a", "")], |_| {});
    for (tool, arguments) in [
        ("inspect_container", json!({"container": "web"})),
        ("container_logs", json!({"container": "web"})),
        ("exec_in_container", json!({"container": "web", "command": ["id"]})),
        ("commit_container", json!({"container": "web", "image": "lab/base:2"})),
    ] {
        call(&gateway, tool, arguments, 5).await.unwrap_or_else(|error| panic!("{tool}: {error:?}"));
    }
}

#[tokio::test]
async fn others_are_ended_as_before() {
    for own in [Some(WEB), None] {
        let daemon = Daemon::new(engine);
        let own = own.map_or_else(|| WEB.replace('c', "d"), str::to_owned);
        let gateway = gateway_inside(&own, &[daemon.spec("a", "")], |_| {});
        let others = if own == WEB { "temp" } else { "web" };
        for (tool, arguments) in ends(others) {
            call(&gateway, tool, arguments, 5).await.unwrap_or_else(|error| panic!("{tool}: {error:?}"));
        }
        assert_eq!(writes(&daemon).len(), ends(others).len(), "{:?}", writes(&daemon));
    }
}

#[tokio::test]
async fn a_setting_lifts_it_for_its_host_only() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_inside(WEB, &[daemon.spec("a", ""), daemon.spec("b", "")], |config| {
        config.hosts[0].limits.own_container = true;
    });
    for (tool, arguments) in ends("web") {
        let on = |host: &str| {
            let mut arguments = arguments.clone();
            arguments["host"] = host.into();
            arguments
        };
        call(&gateway, tool, on("a"), 5).await.unwrap_or_else(|error| panic!("{tool}: {error:?}"));
        assert!(is_refusal(&call(&gateway, tool, on("b"), 5).await.expect_err(tool)), "{tool}");
    }
    assert_eq!(writes(&daemon).len(), ends("web").len(), "{:?}", writes(&daemon));
}
