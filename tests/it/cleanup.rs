//! Plans: whose they are, how long and how often they are good, and that the policy sees what they do.

use std::sync::Arc;

use quaymaster::{
    config::{Config, globs::Globs, limits::Confirm},
    error::{Error, Kind},
    gateway::{
        Failure, Gateway, Request,
        caller::Caller,
        confirm::{ticket::Ticket, tickets::Tickets},
    },
    tool::{Answer, Permission, Permissions},
};
use serde_json::{Value, json};

use crate::{
    rig::{call, fields, gateway, gateway_with, state},
    simulated::{Daemon, Heard, engine, json_answer},
};

async fn plan(gateway: &Arc<Gateway>, arguments: Value) -> Value {
    fields(&call(gateway, "plan_cleanup", arguments, 10).await.unwrap())
}

fn apply(plan: &Value) -> Value {
    json!({"plan": plan["plan"]})
}

/// The requests that were no looks.
fn removals(daemon: &Daemon) -> Vec<String> {
    let sent = daemon.asked();
    sent.iter().filter(|heard| !heard.looks()).map(|heard| format!("{} {}", heard.method, heard.path())).collect()
}

async fn of_somebody(gateway: &Arc<Gateway>, name: &str, arguments: Value) -> Result<Answer, Error> {
    let arguments = arguments.as_object().unwrap().clone();
    let request = Request::new(Caller::account(Some(name), "test"), "apply_plan", arguments);
    gateway.call(request).await.map_err(|failure| match failure {
        Failure::Tool(error) | Failure::UnknownTool(error) => error,
        Failure::Asked { .. } => panic!("it asked"),
    })
}

#[tokio::test]
async fn a_plan_is_good_once_and_for_whom_it_was_made() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), daemon.spec("b", "")]);
    let planned = plan(&gateway, json!({"host": "b"})).await;
    let rows: Vec<_> = planned["objects"].as_array().unwrap().iter().map(|row| (&row["kind"], &row["name"])).collect();
    assert_eq!(rows, [(&json!("network"), &json!("spare"))], "{planned}");
    assert_eq!(removals(&daemon), [""; 0]);

    let stranger = of_somebody(&gateway, "mallory", apply(&planned)).await.unwrap_err();
    assert_eq!(stranger.kind(), Kind::NotFound, "{stranger}");
    for forged in ["plan-0123456789abcdef", "plan-", "job-000000000000", "", "../x"] {
        let error = call(&gateway, "apply_plan", json!({"plan": forged}), 5).await.unwrap_err();
        assert!([Kind::NotFound, Kind::Invalid].contains(&error.kind()), "{forged}: {error}");
    }
    let with_host = json!({"plan": planned["plan"], "host": "a"});
    assert_eq!(call(&gateway, "apply_plan", with_host, 5).await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(removals(&daemon), [""; 0]);

    let applied = fields(&call(&gateway, "apply_plan", apply(&planned), 5).await.unwrap());
    assert_eq!((&applied["host"], &applied["removed"][0]["name"]), (&json!("b"), &json!("spare")), "{applied}");
    assert_eq!(removals(&daemon).len(), 1);
    let again = call(&gateway, "apply_plan", apply(&planned), 5).await.unwrap_err();
    assert_eq!(again.kind(), Kind::NotFound, "{again}");
    assert_eq!(removals(&daemon).len(), 1);
}

#[tokio::test]
async fn of_two_that_apply_a_plan_one_does() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let planned = plan(&gateway, json!({})).await;
    let apply = || call(&gateway, "apply_plan", apply(&planned), 10);
    let (one, other) = tokio::join!(apply(), apply());
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(removals(&daemon).len(), 1);
}

#[tokio::test]
async fn what_is_kept_or_too_young_is_not_planned() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    for arguments in [
        json!({"keep": ["spa*"]}),
        json!({"kinds": ["images", "containers"]}),
        json!({"older_than": "2020-01-01T00:00:00Z"}),
        json!({"older_than": "100000d"}),
    ] {
        let planned = plan(&gateway, arguments.clone()).await;
        assert_eq!((&planned["plan"], &planned["objects"]), (&Value::Null, &json!([])), "{arguments}: {planned}");
    }
    for arguments in [json!({"kinds": ["volumes"]}), json!({"keep": ["["]}), json!({"older_than": "soon"})] {
        let error = call(&gateway, "plan_cleanup", arguments.clone(), 5).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{arguments}: {error}");
    }
}

fn planned_rules(set: impl FnOnce(&mut Config)) -> (Daemon, Arc<Gateway>) {
    let daemon = Daemon::new(engine);
    let gateway = gateway_with(&[daemon.spec("lab", "")], |config| {
        config.hosts[0].limits.confirm = Confirm::Never;
        set(config);
    });
    (daemon, gateway)
}

#[tokio::test]
async fn the_policy_sees_what_a_plan_does() {
    type Refusal = (fn(&mut Config), &'static str);
    let refusals: [Refusal; 3] = [
        (|config| config.hosts[0].mode = quaymaster::config::Mode::Ro, "is read-only"),
        (|config| config.hosts[0].mode = quaymaster::config::Mode::Nd, "lets nothing be destroyed"),
        (
            |config| config.hosts[0].limits.permissions = Permissions::of(&[Permission::Read, Permission::Create]),
            "does not grant \"networks\"",
        ),
    ];
    for (set, reason) in refusals {
        let (daemon, gateway) = planned_rules(set);
        let planned = plan(&gateway, json!({})).await;
        let error = call(&gateway, "apply_plan", apply(&planned), 5).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{error}");
        assert!(error.message().contains(reason), "{error}");
        let why = json!({"tool": "apply_plan", "arguments": apply(&planned)});
        let why = fields(&call(&gateway, "explain_policy", why, 5).await.unwrap());
        assert_eq!(why["decision"], "deny", "{why}");
        assert!(daemon.asked().iter().all(Heard::looks));
    }
    let (daemon, gateway) = planned_rules(|_| {});
    let planned = plan(&gateway, json!({})).await;
    let inside = json!({"name": "apply_plan", "arguments": apply(&planned)});
    assert_eq!(call(&gateway, "read_tool", inside.clone(), 5).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(removals(&daemon), [""; 0]);
    call(&gateway, "call_tool", inside, 5).await.unwrap();
    assert_eq!(removals(&daemon).len(), 1);
}

#[tokio::test]
async fn an_approval_is_for_the_objects_of_the_plan() {
    let place = state();
    let (daemon, gateway) = planned_rules(|config| {
        config.hosts[0].limits.confirm = Confirm::Destroy;
        config.state = Some(place.clone());
    });
    let planned = plan(&gateway, json!({})).await;
    let waiting = call(&gateway, "apply_plan", apply(&planned), 5).await.unwrap_err();
    assert_eq!(waiting.kind(), Kind::ApprovalNeeded, "{waiting}");
    let (_, ticket) = waiting.hint_text().unwrap().split_once("quaymaster approve ").unwrap();
    let tickets = Tickets::new(place);
    let waiting = tickets.find(&Ticket::parse(&ticket[..9]).unwrap()).unwrap();
    assert!(waiting.sheet.text().contains("network spare"), "{}", waiting.sheet.text());
    tickets.approve(&waiting, None).unwrap();
    assert_eq!(removals(&daemon), [""; 0]);
    call(&gateway, "apply_plan", apply(&planned), 5).await.unwrap();
    assert_eq!(removals(&daemon).len(), 1);
}

/// What a denied container uses is in use, though nobody is told by whom.
#[tokio::test]
async fn what_an_unseen_container_uses_stays() {
    let daemon = Daemon::new(|heard| match heard.path() {
        "/containers/json" => json_answer(
            "200 OK",
            &json!([{"Id": "5ec2e7".repeat(10) + "0000", "Names": ["/vault"], "Image": "x", "ImageID": "sha256:00",
                "State": "exited", "HostConfig": {"NetworkMode": "spare"}, "Mounts": [],
                "NetworkSettings": {"Networks": {"spare": {"NetworkID": ""}, "front": {"NetworkID": ""}}}}]),
        ),
        _ => engine(heard),
    });
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| {
        config.hosts[0].limits.containers = Globs::new(&[], &["vault".to_owned()]).unwrap();
    });
    let planned = plan(&gateway, json!({"kinds": ["containers", "networks"]})).await;
    assert_eq!(planned["objects"], json!([]), "{planned}");
    assert!(!planned.to_string().contains("vault"), "{planned}");
}
