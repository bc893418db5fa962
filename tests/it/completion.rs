//! Completion through the protocol, in both eras: what exists for the caller, at once or not at all.

use std::{sync::Arc, time::Instant};

use quaymaster::{
    config::globs::Globs,
    gateway::{Gateway, audit::Wanted},
};
use serde_json::{Value, json};

use crate::{
    mcp::Client,
    rig::{gateway, gateway_with},
    simulated::{Act, Daemon, engine, json_answer},
};

const LOGS: &str = "docker-logs://{host}/{container}";

/// Completes an argument of a resource.
async fn complete(client: &mut Client, argument: &str, typed: &str, host: Option<&str>) -> Value {
    let mut params = json!({
        "ref": {"type": "ref/resource", "uri": LOGS},
        "argument": {"name": argument, "value": typed},
    });
    if let Some(host) = host {
        params["context"] = json!({"arguments": {"host": host}});
    }
    client.ask("completion/complete", params).await["result"]["completion"].clone()
}

async fn clients(gateway: &Arc<Gateway>) -> [Client; 2] {
    [Client::legacy_of(gateway.clone(), json!({})).await, Client::modern_of(gateway.clone(), json!({}))]
}

/// Containers with these names.
fn listing(names: Vec<String>) -> Daemon {
    Daemon::new(move |heard| match heard.path() {
        "/containers/json" => {
            let row = |(number, name): (usize, &String)| {
                json!({"Id": format!("{number:064x}"), "Names": [format!("/{name}")], "Image": "x", "ImageID": "",
                    "State": "exited", "Status": "Exited (0)", "Created": 1_763_600_000, "Labels": {}})
            };
            json_answer("200 OK", &names.iter().enumerate().map(row).collect::<Vec<_>>().into())
        }
        _ => engine(heard),
    })
}

#[tokio::test]
async fn hosts_and_containers_complete_in_both_eras() {
    let first = listing(vec!["web-1".into(), "web-2".into(), "db".into(), "old-web".into()]);
    let second = listing(vec!["worker".into()]);
    let gateway = gateway(&[first.spec("staging", ""), second.spec("prod", "(ro)"), second.spec("spare", "")]);
    for mut client in clients(&gateway).await {
        let hosts = complete(&mut client, "host", "s", None).await;
        assert_eq!((&hosts["values"], &hosts["hasMore"]), (&json!(["spare", "staging"]), &json!(false)), "{hosts}");
        assert_eq!(complete(&mut client, "host", "", None).await["total"], 3);
        // Of the default host, and of the one that was chosen; what begins so comes first.
        let web = complete(&mut client, "container", "WEB", None).await;
        assert_eq!(web["values"], json!(["web-1", "web-2", "old-web"]), "{web}");
        let other = complete(&mut client, "container", "w", Some("prod")).await;
        assert_eq!(other["values"], json!(["worker"]), "{other}");
        assert_eq!(complete(&mut client, "container", "", Some("nosuch")).await["values"], json!([]));
    }
    let rows = gateway.audit().read(Wanted { limit: 99, ..Wanted::default() }).await.unwrap();
    assert!(rows.iter().all(|row| row["tool"] == "list_containers"), "a completion is a call of a list: {rows:#?}");
}

#[tokio::test]
async fn what_does_not_exist_is_refused() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for mut client in clients(&gateway).await {
        let capabilities =
            if daemon.heard().is_empty() { client.ask("tools/list", json!({})).await } else { json!({}) };
        assert!(capabilities.get("error").is_none(), "{capabilities}");
        for (reference, argument) in [
            (json!({"type": "ref/resource", "uri": "docker-logs://x"}), "host"),
            (json!({"type": "ref/resource", "uri": LOGS}), "volume"),
            (json!({"type": "ref/prompt", "name": "nosuch"}), "host"),
            (json!({"type": "ref/prompt", "name": "survey_hosts"}), "host"),
        ] {
            let params = json!({"ref": reference, "argument": {"name": argument, "value": ""}});
            let answer = client.ask("completion/complete", params).await;
            assert_eq!(answer["error"]["code"], -32602, "{answer}");
        }
        // Anything goes there, so nothing is proposed.
        let focus = json!({"ref": {"type": "ref/prompt", "name": "survey_hosts"},
            "argument": {"name": "focus", "value": "x"}});
        let answer = client.ask("completion/complete", focus).await;
        assert_eq!(answer["result"]["completion"]["values"], json!([]), "{answer}");
    }
}

#[tokio::test]
async fn what_the_policy_hides_never_completes() {
    let daemon = listing(vec!["vault".into(), "web".into()]);
    let hidden = gateway_with(&[daemon.spec("a", "")], |config| {
        config.hosts[0].limits.containers = Globs::new(&[], &["vau*".to_owned()]).unwrap();
    });
    let denied = gateway_with(&[daemon.spec("a", "")], |config| config.deny = vec!["list_containers".into()]);
    for (gateway, expected) in [(hidden, json!(["web"])), (denied, json!([]))] {
        for mut client in clients(&gateway).await {
            assert_eq!(complete(&mut client, "container", "", None).await["values"], expected);
            assert_eq!(complete(&mut client, "container", "vault", None).await["values"], json!([]));
        }
    }
}

#[tokio::test]
async fn at_most_a_hundred_values_come() {
    let names: Vec<String> = (0..150).map(|number| format!("web-{number:03}")).collect();
    let daemon = listing(names);
    for mut client in clients(&gateway(&[daemon.spec("a", "")])).await {
        let all = complete(&mut client, "container", "web", None).await;
        assert_eq!((all["values"].as_array().unwrap().len(), &all["hasMore"]), (100, &json!(true)), "{all}");
        let few = complete(&mut client, "container", "web-14", None).await;
        assert_eq!((few["values"].as_array().unwrap().len(), &few["hasMore"]), (10, &json!(false)), "{few}");
    }
}

#[tokio::test]
async fn nobody_who_types_waits_for_a_daemon() {
    let hung = Daemon::at_once(Act::Hold(Vec::new()));
    let gateway = gateway(&[hung.spec("hung", ""), "gone=unix:///nowhere/gone.sock".to_owned()]);
    for mut client in clients(&gateway).await {
        for host in ["hung", "gone"] {
            let started = Instant::now();
            let none = complete(&mut client, "container", "w", Some(host)).await;
            assert_eq!(none["values"], json!([]), "{host}: {none}");
            assert!(started.elapsed().as_millis() < 2_000, "{host}: {:?}", started.elapsed());
        }
        assert_eq!(complete(&mut client, "host", "h", None).await["values"], json!(["hung"]));
    }
}
