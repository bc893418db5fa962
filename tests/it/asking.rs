//! A person is asked in the client, in both eras of the protocol, and nothing is sent before the yes.

use std::sync::Arc;

use quaymaster::{config::limits::Confirm, gateway::Gateway};
use serde_json::{Value, json};

use crate::{
    mcp::Client,
    rig::gateway_with,
    simulated::{Daemon, Heard, WEB, engine},
};

pub(crate) const FORMS: fn() -> Value = || json!({"elicitation": {}});

pub(crate) fn asking(daemon: &Daemon) -> Arc<Gateway> {
    gateway_with(&[daemon.spec("lab", "")], |config| config.hosts[0].limits.confirm = Confirm::Write)
}

fn arguments() -> Value {
    json!({"name": "rename_container", "arguments": {"container": WEB, "name": "renamed"}})
}

pub(crate) fn writes(daemon: &Daemon) -> usize {
    daemon.asked().iter().filter(|heard| !heard.looks()).count()
}

pub(crate) fn error(answer: &Value) -> &Value {
    &answer["result"]["structuredContent"]["error"]
}

/// Answers the question that a legacy server sends while the call waits.
pub(crate) async fn reply(client: &mut Client, result: Value) -> (Value, Value) {
    let question = client.read().await;
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    client.write(&answer.to_string()).await;
    (question, client.read().await)
}

#[tokio::test]
async fn a_client_with_sessions_is_asked_while_the_call_waits() {
    for (result, kind) in [
        (json!({"action": "accept", "content": {"host": "lab"}}), None),
        (json!({"action": "accept", "content": {"host": "prod"}}), Some("denied")),
        (json!({"action": "accept", "content": {}}), Some("denied")),
        (json!({"action": "accept"}), Some("denied")),
        (json!({"action": "decline"}), Some("denied")),
        (json!({"action": "cancel"}), Some("denied")),
    ] {
        let daemon = Daemon::new(engine);
        let mut client = Client::legacy_of(asking(&daemon), FORMS()).await;
        client.send("tools/call", arguments()).await;
        let (question, answer) = reply(&mut client, result.clone()).await;
        let message = question["params"]["message"].as_str().unwrap();
        for part in ["lab", "rename_container", WEB, "renamed"] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
        assert_eq!(question["params"]["requestedSchema"]["required"], json!(["host"]), "{question}");
        match kind {
            None => assert_eq!(answer["result"]["isError"], json!(false), "{answer}"),
            Some(kind) => assert_eq!(error(&answer)["kind"], kind, "{result}: {answer}"),
        }
        assert_eq!(writes(&daemon), usize::from(kind.is_none()), "{result}");
        client.leave().await;
    }
}

#[tokio::test]
async fn a_declined_question_is_not_asked_again() {
    let daemon = Daemon::new(engine);
    let mut client = Client::legacy_of(asking(&daemon), FORMS()).await;
    client.send("tools/call", arguments()).await;
    reply(&mut client, json!({"action": "decline"})).await;
    let again = client.ask("tools/call", arguments()).await;
    assert_eq!(error(&again)["kind"], "denied", "{again}");
    assert_eq!(writes(&daemon), 0);
}

#[tokio::test]
async fn a_client_that_cannot_ask_gets_a_ticket() {
    for capabilities in [json!({}), json!({"elicitation": {"url": {}}})] {
        let daemon = Daemon::new(engine);
        for modern in [false, true] {
            let gateway = asking(&daemon);
            let mut client = if modern {
                Client::modern_of(gateway, capabilities.clone())
            } else {
                Client::legacy_of(gateway, capabilities.clone()).await
            };
            let answer = client.ask("tools/call", arguments()).await;
            assert_eq!(error(&answer)["kind"], "approval_needed", "{answer}");
            assert!(error(&answer)["hint"].as_str().unwrap().contains("quaymaster approve "), "{answer}");
        }
        assert_eq!(writes(&daemon), 0);
    }
}

/// Makes the call again with a reply to its question.
pub(crate) async fn again(client: &mut Client, mut arguments: Value, state: &Value, reply: Value) -> Value {
    arguments["requestState"] = state.clone();
    arguments["inputResponses"] = json!({"approval": reply});
    client.ask("tools/call", arguments).await
}

#[tokio::test]
async fn a_client_without_sessions_makes_the_call_again_with_the_reply() {
    let daemon = Daemon::new(engine);
    let mut client = Client::modern_of(asking(&daemon), FORMS());
    let asked = client.ask("tools/call", arguments()).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let question = &asked["result"]["inputRequests"]["approval"];
    assert_eq!(question["method"], "elicitation/create", "{asked}");
    assert!(question["params"]["message"].as_str().unwrap().contains("renamed"), "{asked}");
    let state = asked["result"]["requestState"].clone();
    assert_eq!(writes(&daemon), 0);
    let yes = json!({"action": "accept", "content": {"host": "lab"}});
    let done = again(&mut client, arguments(), &state, yes.clone()).await;
    assert_eq!(done["result"]["isError"], json!(false), "{done}");
    assert_eq!(writes(&daemon), 1);
    // The state is good for one reply.
    let replayed = again(&mut client, arguments(), &state, yes).await;
    assert_eq!(error(&replayed)["kind"], "denied", "{replayed}");
    assert_eq!(writes(&daemon), 1);
}

#[tokio::test]
async fn a_state_is_bound_to_its_call() {
    let daemon = Daemon::new(engine);
    let yes = || json!({"action": "accept", "content": {"host": "lab"}});
    let other = json!({"name": "rename_container", "arguments": {"container": WEB, "name": "another"}});
    let tampered = |state: &Value| {
        let mut text = state.as_str().unwrap().to_owned();
        let last = text.pop().unwrap();
        text.push(if last == '0' { '1' } else { '0' });
        Value::String(text)
    };
    let mut client = Client::modern_of(asking(&daemon), FORMS());
    let state = client.ask("tools/call", arguments()).await["result"]["requestState"].clone();
    for (call, state) in [(other, state.clone()), (arguments(), tampered(&state)), (arguments(), json!("made up"))] {
        let answer = again(&mut client, call, &state, yes()).await;
        assert_eq!(error(&answer)["kind"], "denied", "{answer}");
    }
    let state = client.ask("tools/call", arguments()).await["result"]["requestState"].clone();
    for reply in [json!({"action": "decline"}), json!("nonsense"), Value::Null] {
        let answer = again(&mut client, arguments(), &state, reply).await;
        assert_eq!(error(&answer)["kind"], "denied", "{answer}");
    }
    assert_eq!(writes(&daemon), 0);
}

#[tokio::test]
async fn policy_is_explained_without_acting() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_with(&[daemon.spec("lab", ""), daemon.spec("prod", "(ro)")], |config| {
        config.hosts[0].limits.confirm = Confirm::Destroy;
    });
    let mut client = Client::modern_of(gateway, json!({}));
    let mut explain = async |tool: &str, arguments: Value| {
        let answer = client.call("explain_policy", json!({"tool": tool, "arguments": arguments})).await;
        answer["result"]["structuredContent"].clone()
    };
    let remove = |host: &str| json!({"host": host, "containers": [WEB], "force": true});
    let asked = explain("remove_container", remove("lab")).await;
    assert_eq!((&asked["decision"], &asked["because"][0]["rule"]), (&json!("ask"), &json!("confirm")), "{asked}");
    let denied = explain("remove_container", remove("prod")).await;
    assert_eq!((&denied["decision"], &denied["because"][0]["rule"]), (&json!("deny"), &json!("mode")), "{denied}");
    let allowed = explain("list_containers", json!({"host": "all"})).await;
    assert_eq!((&allowed["decision"], &allowed["effect"]), (&json!("allow"), &json!("read")), "{allowed}");
    let renamed = explain("rename_container", json!({"host": "lab", "container": WEB, "name": "x"})).await;
    assert_eq!((&renamed["decision"], &renamed["objects"]), (&json!("allow"), &json!(["container web"])));
    for (tool, arguments) in [
        ("remove_containers", json!({})),
        ("remove_container", json!({"containers": [WEB]})),
        ("remove_container", json!({"host": "lab", "containers": ["nosuch"]})),
    ] {
        assert!(explain(tool, arguments).await["error"]["kind"].is_string(), "{tool}");
    }
    assert!(daemon.asked().iter().all(Heard::looks));
}
