//! Every call leaves its two lines, whatever becomes of it, and shows nobody what is not theirs.

use std::{sync::Arc, time::Duration};

use quaymaster::{
    gateway::{
        Gateway, Request,
        audit::{Wanted, verify::verify},
        caller::Caller,
    },
    tool::Json,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    rig::{fields, gateway, gateway_with, state},
    simulated::{Act, Daemon, engine},
};

fn object(value: Value) -> Json {
    match value {
        Value::Object(fields) => fields,
        other => panic!("no object: {other}"),
    }
}

async fn call(gateway: &Arc<Gateway>, tool: &str, arguments: Value) {
    // Whatever becomes of it.
    gateway.call(Request::new(gateway.caller("test"), tool, object(arguments))).await.ok();
}

async fn rows(gateway: &Arc<Gateway>) -> Vec<Value> {
    gateway.audit().read(Wanted { limit: 100, ..Wanted::default() }).await.unwrap()
}

/// Every line of every file.
async fn lines(gateway: &Arc<Gateway>) -> Vec<Value> {
    gateway.audit().flush().await;
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(gateway.audit().directory().unwrap()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

#[tokio::test]
async fn every_call_has_a_start_and_an_end() {
    let daemon = Daemon::new(engine);
    let hung = Daemon::at_once(Act::Hold(Vec::new()));
    let hosts = [
        daemon.spec("a", ""),
        daemon.spec("frozen", "(ro)"),
        hung.spec("hung", ""),
        "gone=unix:///nowhere/gone.sock".to_owned(),
    ];
    let gateway = gateway(&hosts);
    let secret = "hunter2-hunter2";
    call(&gateway, "list_containers", json!({})).await;
    call(&gateway, "create_volume", json!({"host": "a", "name": "new"})).await;
    call(&gateway, "remove_container", json!({"host": "frozen", "containers": ["web"]})).await;
    call(
        &gateway,
        "exec_in_container",
        json!({"host": "frozen", "container": "web", "command": ["x"], "env": {"A": secret}}),
    )
    .await;
    call(&gateway, "list_container", json!({"env": [format!("A={secret}")]})).await;
    call(&gateway, "list_containers", json!({"nonsense": true})).await;
    call(&gateway, "list_containers", json!({"host": "gone"})).await;
    call(&gateway, "list_hosts", json!({})).await;
    let cancelled = CancellationToken::new();
    let request = Request {
        cancelled: cancelled.clone(),
        ..Request::new(gateway.caller("test"), "list_containers", object(json!({"host": "hung"})))
    };
    let (calling, ()) = tokio::join!(gateway.call(request), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        cancelled.cancel();
    });
    assert!(calling.is_err());

    let shown: Vec<String> = rows(&gateway)
        .await
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or("-");
            format!("{} {} {} {} {}", text("tool"), text("effect"), text("decision"), text("rule"), text("outcome"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "list_containers read allow - ok",
            "create_volume mutate allow - ok",
            "remove_container destroy deny mode denied",
            "exec_in_container mutate deny mode denied",
            "list_container - - - not_found",
            "list_containers - - - invalid",
            "list_containers read allow - unreachable",
            "list_hosts read allow - ok",
            "list_containers read allow - cancelled",
        ]
    );
    let lines = lines(&gateway).await;
    assert!(!format!("{lines:?}").contains(secret));
    for event in ["start", "end"] {
        let ids: Vec<&str> =
            lines.iter().filter(|line| line["event"] == event).map(|line| line["id"].as_str().unwrap()).collect();
        let mut once = ids.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((ids.len(), once.len()), (9, 9), "{event}: {ids:?}");
    }
    let report = verify(gateway.audit().directory().unwrap()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test]
async fn what_changes_an_engine_is_on_the_disk_before_it_leaves() {
    let state = state();
    let directory = state.join("audit");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (log, place) = (seen.clone(), directory.clone());
    let daemon = Daemon::new(move |heard| {
        if heard.method == "POST" {
            let files = std::fs::read_dir(&place).unwrap();
            let texts = files.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
            log.lock().unwrap().push(texts.collect::<String>());
        }
        engine(heard)
    });
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| config.state = Some(state));
    call(&gateway, "stop_container", json!({"containers": ["web"]})).await;
    let seen = seen.lock().unwrap();
    assert!(!seen.is_empty(), "it was sent");
    assert!(
        seen.iter().all(|text| text.contains("\"event\":\"start\"") && text.contains("stop_container")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn callers_see_their_own_calls_without_what_is_the_persons() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), "gone=unix:///nowhere/gone.sock".to_owned()]);
    let other = Caller { principal: "somebody else".to_owned(), ..gateway.caller("test") };
    gateway.call(Request::new(other.clone(), "version", Json::new())).await.unwrap();
    call(&gateway, "list_containers", json!({"host": "gone"})).await;
    call(&gateway, "list_hosts", json!({"tag": "x".repeat(50_000)})).await;
    let read = async |caller: &Caller, arguments: Value| {
        let answer = gateway.call(Request::new(caller.clone(), "read_audit_log", object(arguments))).await.unwrap();
        assert!(!answer.text.contains("/nowhere") && answer.text.len() < 5_000, "{}", answer.text);
        let tools =
            fields(&answer)["calls"].as_array().unwrap().iter().map(|row| row["tool"].to_string()).collect::<Vec<_>>();
        tools.join(" ")
    };
    let own = gateway.caller("test");
    assert_eq!(read(&own, json!({"outcome": "failed"})).await, "\"list_containers\" \"list_hosts\"");
    assert_eq!(read(&own, json!({"tool": "list_containers"})).await, "\"list_containers\"");
    assert_eq!(read(&own, json!({"limit": 1, "outcome": "unreachable"})).await, "\"list_containers\"");
    assert_eq!(read(&own, json!({"limit": 1})).await, "\"read_audit_log\"", "the one before this one");
    assert_eq!(read(&other, json!({})).await, "\"version\"");
    let (wrong, hint) =
        match gateway.call(Request::new(own, "read_audit_log", object(json!({"outcome": "deny"})))).await {
            Err(quaymaster::gateway::Failure::Tool(error)) => {
                (error.message().to_owned(), error.hint_text().map(str::to_owned))
            }
            other => panic!("{other:?}"),
        };
    assert!(wrong.contains("there is no outcome \"deny\"") && hint.unwrap().contains("denied"), "{wrong}");
}
