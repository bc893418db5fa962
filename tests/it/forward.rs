//! The whole surface from a small list: tools are found, and calls inside calls are what they are outside.

use std::{sync::Arc, time::Duration};

use quaymaster::{
    config::limits::Confirm,
    error::{Error, Kind},
    gateway::{
        Failure, Gateway, Request,
        audit::Wanted,
        catalogue::{Catalogue, Entry, everything},
        confirm::{ticket::Ticket, tickets::Tickets},
    },
    tool::{Answer, Effect, Permission, Permissions},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    arguments::plausible,
    asking::{FORMS, again, asking, error, reply, writes},
    liveness::until,
    mcp::Client,
    rig::{call, config, fields, gateway, gateway_with, generous, state},
    simulated::{Act, Daemon, Heard, WEB, engine, world},
};

/// A call inside another.
#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed over")]
fn inside(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// What became of a call: the names of what it answered, for its values differ from call to call; or its error.
fn told(outcome: &Result<Answer, Error>) -> Value {
    match outcome {
        Ok(answer) => fields(answer).as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()).into(),
        Err(error) => error.to_json(),
    }
}

fn sent(daemon: &Daemon) -> Vec<String> {
    daemon.asked().iter().map(|heard| format!("{} {}", heard.method, heard.path())).collect()
}

fn tools() -> impl Iterator<Item = Entry> {
    everything().into_iter().filter(|entry| !entry.is_forwarding())
}

#[tokio::test]
async fn a_call_inside_is_the_call_outside() {
    for entry in tools() {
        let (tool, access) = (entry.card.name, entry.card.access);
        for markers in ["", "(nd)", "(ro)"] {
            let mut arguments = Value::Object(plausible(&entry, &world()));
            if entry.card.names_host() {
                arguments["host"] = json!("a");
            }
            let ask = async |via: Option<&str>| {
                let daemon = Daemon::new(engine);
                let gateway = generous(&[daemon.spec("a", markers)]);
                let outcome = match via {
                    None => call(&gateway, tool, arguments.clone(), 60).await,
                    Some(via) => call(&gateway, via, inside(tool, arguments.clone()), 60).await,
                };
                (told(&outcome), sent(&daemon))
            };
            let direct = ask(None).await;
            assert_eq!(ask(Some("call_tool")).await, direct, "{tool}{markers} {arguments}");
            let (read, looked) = ask(Some("read_tool")).await;
            if access.effect == Effect::Read {
                assert_eq!((read, looked), direct, "{tool}{markers}");
                // A plan says only then what it does when there is one: see `cleanup`.
            } else if access.mildest > Effect::Read && tool != "apply_plan" {
                assert_eq!(read["kind"], "denied", "{tool}{markers}: {read}");
                assert_eq!(looked, [""; 0], "{tool}{markers}");
            }
        }
    }
}

#[tokio::test]
async fn read_tool_runs_dry_runs_and_refuses_what_is_none() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let prune = |dry_run: bool| inside("prune_volumes", json!({"host": "a", "named": true, "dry_run": dry_run}));
    call(&gateway, "read_tool", prune(true), 5).await.unwrap();
    let refused = call(&gateway, "read_tool", prune(false), 5).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Denied, "{refused}");
    assert_eq!(refused.message(), "this call of prune_volumes destroys; read_tool runs only what reads");
    assert_eq!(refused.hint_text(), Some("make the call with call_tool"));
    assert!(daemon.asked().iter().all(Heard::looks), "{:?}", daemon.asked());
    call(&gateway, "call_tool", prune(false), 5).await.unwrap();
    assert!(daemon.asked().iter().any(|heard| heard.is("DELETE", "/volumes/data")));
    // What a mode forbids is said first: call_tool would not help.
    let frozen = crate::rig::gateway(&[daemon.spec("a", "(ro)")]);
    let refused = call(&frozen, "read_tool", prune(false), 5).await.unwrap_err();
    assert!(refused.message().contains("is read-only"), "{refused}");
    let cancel = inside("cancel_job", json!({"job": "job-000000000000"}));
    assert_eq!(call(&gateway, "read_tool", cancel.clone(), 5).await.unwrap_err().kind(), Kind::Denied);
    assert_eq!(call(&gateway, "call_tool", cancel, 5).await.unwrap_err().kind(), Kind::NotFound);
}

#[tokio::test]
async fn wrong_calls_inside_are_named() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", ""), daemon.spec("b", "")]);
    let refused = async |via: &str, arguments: Value| {
        let error = call(&gateway, via, arguments, 5).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{error}");
        format!("{error} | {}", error.hint_text().unwrap_or_default())
    };
    for via in ["read_tool", "call_tool"] {
        for nested in ["read_tool", "call_tool"] {
            let inner = inside("list_volumes", json!({}));
            let expected = format!("argument \"name\": {via} does not run {nested}");
            assert!(refused(via, inside(nested, inner)).await.starts_with(&expected));
        }
        assert_eq!(
            refused(via, inside("list_volume", json!({}))).await,
            "argument \"name\": unknown tool \"list_volume\" | did you mean \"list_volumes\"?"
        );
        assert_eq!(
            refused(via, inside("list_volumes", json!({"nam": "x"}))).await,
            "unknown argument \"nam\" | did you mean \"name\"?"
        );
    }
    assert_eq!(
        refused("call_tool", inside("start_container", json!({"containers": ["web"]}))).await,
        "argument \"host\" is missing: start_container changes things | name the host to act on; hosts: a, b"
    );
    // The host belongs to the inner call.
    let outside = json!({"name": "list_volumes", "arguments": {}, "host": "a"});
    assert!(refused("read_tool", outside).await.starts_with("unknown argument \"host\""));
    assert_eq!(daemon.asked().len(), 0);
}

#[tokio::test]
async fn what_is_denied_is_not_inside_either() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| config.deny = vec!["remove_*".to_owned()]);
    let remove = inside("remove_volume", json!({"host": "a", "volumes": ["data"]}));
    let error = call(&gateway, "call_tool", remove, 5).await.unwrap_err();
    assert_eq!(error.message(), "argument \"name\": unknown tool \"remove_volume\"");
    let found = call(&gateway, "find_tools", json!({"query": "remove_volume"}), 5).await.unwrap();
    assert!(!found.text.contains("remove_volume"), "{}", found.text);
    assert_eq!(daemon.asked().len(), 0);
}

// Approvals.

fn rename() -> Value {
    json!({"container": WEB, "name": "renamed"})
}

#[tokio::test]
async fn a_person_is_asked_about_the_call_inside() {
    let yes = || json!({"action": "accept", "content": {"host": "lab"}});
    let daemon = Daemon::new(engine);
    let mut client = Client::legacy_of(asking(&daemon), FORMS()).await;
    let params = json!({"name": "call_tool", "arguments": inside("rename_container", rename())});
    client.send("tools/call", params.clone()).await;
    let (question, answer) = reply(&mut client, yes()).await;
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("rename_container") && !message.contains("call_tool"), "{message}");
    assert_eq!(answer["result"]["isError"], json!(false), "{answer}");
    assert_eq!(writes(&daemon), 1);

    let mut client = Client::modern_of(asking(&daemon), FORMS());
    let asked = client.ask("tools/call", params.clone()).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let state = asked["result"]["requestState"].clone();
    assert_eq!(writes(&daemon), 1);
    // The answer belongs to the inner call, on whichever way it comes.
    let direct = json!({"name": "rename_container", "arguments": rename()});
    let done = again(&mut client, direct, &state, yes()).await;
    assert_eq!(done["result"]["isError"], json!(false), "{done}");
    assert_eq!(writes(&daemon), 2);
    let replayed = again(&mut client, params, &state, yes()).await;
    assert_eq!(error(&replayed)["kind"], "denied", "{replayed}");
    assert_eq!(writes(&daemon), 2);
}

#[tokio::test]
async fn an_approval_serves_both_ways_once() {
    for (first, second) in [(None, Some("call_tool")), (Some("call_tool"), None)] {
        let daemon = Daemon::new(engine);
        let place = state();
        let gateway = gateway_with(&[daemon.spec("lab", "")], |config| {
            config.hosts[0].limits.confirm = Confirm::Write;
            config.state = Some(place.clone());
        });
        let make = async |via: Option<&str>| match via {
            None => call(&gateway, "rename_container", rename(), 5).await,
            Some(via) => call(&gateway, via, inside("rename_container", rename()), 5).await,
        };
        let waiting = make(first).await.unwrap_err();
        assert_eq!(waiting.kind(), Kind::ApprovalNeeded, "{waiting}");
        let (_, ticket) = waiting.hint_text().unwrap().split_once("quaymaster approve ").unwrap();
        let tickets = Tickets::new(place);
        tickets.approve(&tickets.find(&Ticket::parse(&ticket[..9]).unwrap()).unwrap(), None).unwrap();
        make(second).await.unwrap();
        assert_eq!(writes(&daemon), 1);
        assert_eq!(make(second).await.unwrap_err().kind(), Kind::ApprovalNeeded);
        assert_eq!(writes(&daemon), 1);
    }
}

// The audit, jobs, and calls that are taken back.

#[tokio::test]
async fn the_audit_names_the_inner_tool_and_how_it_came() {
    let daemon = Daemon::new(engine);
    let gateway = gateway(&[daemon.spec("a", "")]);
    let secret = "hunter2-hunter2";
    let exec = json!({"host": "a", "container": "web", "command": ["x"], "env": {"A": secret}});
    call(&gateway, "call_tool", inside("exec_in_container", exec.clone()), 5).await.ok();
    call(&gateway, "read_tool", inside("exec_in_container", exec), 5).await.unwrap_err();
    call(&gateway, "read_tool", inside("list_volumes", json!({})), 5).await.unwrap();
    call(&gateway, "call_tool", inside("nonsense", json!({"env": {"A": secret}})), 5).await.unwrap_err();
    call(&gateway, "list_volumes", json!({}), 5).await.unwrap();
    let rows = gateway.audit().read(Wanted { limit: 9, ..Wanted::default() }).await.unwrap();
    let shown: Vec<String> = rows
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or("-");
            format!("{} {} {} {} {}", text("tool"), text("via"), text("decision"), text("rule"), text("outcome"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "exec_in_container call_tool allow - ok",
            "exec_in_container read_tool deny read_tool denied",
            "list_volumes read_tool allow - ok",
            "call_tool - - - invalid",
            "list_volumes - allow - ok",
        ]
    );
    assert!(!json!(rows).to_string().contains(secret), "{rows:#?}");
    assert_eq!(rows[0]["arguments"]["container"], "web", "{rows:#?}");
    let own = call(&gateway, "read_audit_log", json!({}), 5).await.unwrap();
    assert_eq!(fields(&own)["calls"][0]["via"], "call_tool", "{}", own.text);
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed over")]
fn request(gateway: &Gateway, tool: &str, arguments: Value, cancelled: &CancellationToken) -> Request {
    let arguments = arguments.as_object().unwrap().clone();
    Request { cancelled: cancelled.clone(), ..Request::new(gateway.caller("test"), tool, arguments) }
}

/// A daemon that holds back its answers to one path.
fn holding(path: &'static str) -> Daemon {
    Daemon::new(move |heard| if heard.path() == path { Act::Hold(Vec::new()) } else { engine(heard) })
}

/// Makes a call through another, and takes it back as soon as a request was sent.
async fn taken_back(gateway: &Arc<Gateway>, daemon: &Daemon, method: &str, via: &str, inner: Value) -> Error {
    let cancelled = CancellationToken::new();
    let (outcome, ()) = tokio::join!(gateway.call(request(gateway, via, inner, &cancelled)), async {
        let is_held = |heard: &Heard| heard.method == method && heard.path().starts_with("/volumes");
        until("it was sent", || daemon.asked().iter().any(is_held)).await;
        cancelled.cancel();
    });
    match outcome {
        Err(Failure::Tool(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_call_inside_is_taken_back_as_one_outside() {
    let daemon = holding("/volumes");
    let gateway = gateway(&[daemon.spec("a", "")]);
    let error = taken_back(&gateway, &daemon, "GET", "read_tool", inside("list_volumes", json!({}))).await;
    assert_eq!(error.message(), "the call was taken back and has been stopped");
    until("the connection is closed", || daemon.tally().left() == 1).await;

    // What removes is never cut off: it goes on as a job of the inner tool.
    let daemon = Daemon::new(|heard| match (heard.method.as_str(), heard.path()) {
        ("DELETE", "/volumes/data") => Act::Hold(Vec::new()),
        _ => engine(heard),
    });
    let gateway = crate::rig::gateway(&[daemon.spec("a", "")]);
    let remove = inside("remove_volume", json!({"host": "a", "volumes": ["data"]}));
    let error = taken_back(&gateway, &daemon, "DELETE", "call_tool", remove).await;
    assert!(error.message().contains("what was sent goes on at the daemon"), "{error}");
    let jobs = fields(&call(&gateway, "list_jobs", json!({}), 5).await.unwrap());
    assert_eq!((&jobs["jobs"][0]["tool"], &jobs["jobs"][0]["state"]), (&json!("remove_volume"), &json!("running")));
}

#[tokio::test]
async fn a_long_call_inside_becomes_the_job_of_the_inner_tool() {
    let daemon = holding("/images/create");
    let gateway = gateway(&[daemon.spec("a", "")]);
    let pull = inside("pull_image", json!({"host": "a", "image": "lab/base:1"}));
    let patience = Some(Duration::from_millis(200));
    let request = Request { patience, ..request(&gateway, "call_tool", pull, &CancellationToken::new()) };
    let answer = fields(&gateway.call(request).await.unwrap());
    let job = answer["job"].as_str().unwrap();
    let shown = fields(&call(&gateway, "get_job", json!({"job": job}), 5).await.unwrap());
    assert_eq!(shown["tool"], "pull_image", "{shown}");
    let ended = fields(&call(&gateway, "call_tool", inside("cancel_job", json!({"job": job})), 5).await.unwrap());
    assert_eq!(ended["ended"], true, "{ended}");
}

// What is found.

#[tokio::test]
async fn a_tool_is_found_with_the_schema_that_a_list_would_show() {
    let gateway = gateway_with(&three_hosts_specs(), |config| {
        config.toolsets.clear();
        // Where nobody grants them, the tools for credentials are named without a schema.
        config.hosts.iter_mut().for_each(|host| host.limits.permissions = Permissions::of(&Permission::ALL));
    });
    // Tools whose program is missing are named without a schema too.
    for entry in everything().into_iter().filter(|entry| entry.card.program.is_none()) {
        let name = entry.card.name;
        let found = call(&gateway, "find_tools", json!({"query": name}), 5).await.unwrap();
        let row = &fields(&found)["tools"][0];
        assert_eq!(row["name"], name, "{}", found.text);
        assert_eq!(row["input_schema"], json!(entry.input_schema(gateway.config())), "{name}");
        assert_eq!(row["listed"].as_bool().unwrap_or_default(), entry.card.core, "{name}: {row}");
        let through = if entry.card.access.effect == Effect::Read { "read_tool" } else { "call_tool" };
        assert_eq!(row["through"].as_str(), (!entry.card.core).then_some(through), "{name}: {row}");
        for size in [json!(fields(&found)).to_string().len(), found.text.len()] {
            assert!(size <= 6_000, "{name}: {size} bytes");
        }
    }
}

fn three_hosts_specs() -> [String; 3] {
    ["local=unix:///run/docker.sock", "staging=tcp://127.0.0.1:2375", "prod=ssh://ops@prod.example.com(ro)"]
        .map(str::to_owned)
}

#[tokio::test]
async fn many_tools_are_found_in_a_small_answer() {
    let gateway = gateway(&three_hosts_specs());
    for query in ["container", "remove", "e", "list image network volume container", "host"] {
        for limit in [json!(1), json!(5), json!(50)] {
            let found = call(&gateway, "find_tools", json!({"query": query, "limit": limit}), 5).await.unwrap();
            let size = json!(fields(&found)).to_string().len().max(found.text.len());
            assert!(size <= 6_000, "{query} {limit}: {size} bytes");
        }
    }
    let few = fields(&call(&gateway, "find_tools", json!({"query": "container", "limit": 1}), 5).await.unwrap());
    assert_eq!(few["tools"].as_array().unwrap().len(), 1, "{few}");
    assert!(!few["more"].as_array().unwrap().is_empty(), "{few}");
    let only = json!({"query": "remove", "toolset": "volumes", "effect": "destroy"});
    let only = fields(&call(&gateway, "find_tools", only, 5).await.unwrap());
    assert_eq!(only["tools"][0]["name"], "remove_volume", "{only}");
    assert!(only["tools"].as_array().unwrap().iter().all(|row| row["toolset"] == "volumes"), "{only}");
    let wrong = call(&gateway, "find_tools", json!({"toolset": "volume"}), 5).await.unwrap_err();
    assert_eq!(wrong.hint_text(), Some("did you mean \"volumes\"?"));
}

#[tokio::test]
async fn what_no_host_allows_is_named_with_its_rule() {
    let gateway = gateway(&["a=unix:///nowhere/a.sock(ro)".to_owned(), "b=unix:///nowhere/b.sock(nd)".to_owned()]);
    let found = fields(&call(&gateway, "find_tools", json!({"query": "remove_volume"}), 5).await.unwrap());
    let row = &found["tools"][0];
    assert_eq!((row["name"].as_str(), row.get("input_schema")), (Some("remove_volume"), None), "{row}");
    assert_eq!(row["why"], "mode: host \"a\" is read-only; remove_volume destroys", "{row}");
    let found = fields(&call(&gateway, "find_tools", json!({"query": "create_volume"}), 5).await.unwrap());
    assert!(found["tools"][0]["input_schema"].is_object(), "one host allows it: {found}");
}

#[tokio::test]
async fn the_catalogue_is_a_resource() {
    let gateway = gateway_with(&three_hosts_specs(), |config| config.toolsets.clear());
    let mut client = Client::legacy_of(gateway, json!({})).await;
    let read = client.ask("resources/read", json!({"uri": "quaymaster://tools"})).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap();
    let shown: Value = serde_json::from_str(text).unwrap();
    let rows = shown["tools"].as_array().unwrap();
    assert_eq!(rows.len(), everything().len(), "{text}");
    for (row, entry) in rows.iter().zip(everything()) {
        assert_eq!(row["name"], entry.card.name);
        assert!(row["toolset"].is_string() && row["effect"].is_string(), "{row}");
        assert_eq!(row["listed"] == true, row["why"].is_null(), "{row}");
        assert!(row["input_schema"].is_null(), "{row}");
    }
    client.leave().await;
}

#[test]
fn call_tool_is_listed_where_something_can_be_changed() {
    let listed = |specs: &[String], set: fn(&mut quaymaster::config::Config)| {
        let mut config = config(specs);
        config.toolsets.clear();
        set(&mut config);
        let catalogue = Catalogue::new(&config).unwrap();
        assert!(catalogue.lists("read_tool"));
        catalogue.lists("call_tool")
    };
    let one = |markers: &str| [format!("a=unix:///nowhere.sock{markers}")];
    let nothing: fn(&mut quaymaster::config::Config) = |_| {};
    assert!(listed(&one(""), nothing) && listed(&one("(nd)"), nothing) && !listed(&one("(ro)"), nothing));
    assert!(!listed(&one(""), |config| config.hosts[0].limits.permissions = quaymaster::tool::Permissions::READ));
    assert!(listed(&three_hosts_specs(), nothing));
}
