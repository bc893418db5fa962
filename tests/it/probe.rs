//! `check --probe-guard` against endpoints that no lab has: what they answer, and what is told of it.

use std::{fs, path::Path, process::Stdio, time::Duration};

use quaymaster::{
    docker::probe::Enforcement,
    error::{Error, Kind},
    gateway::Gateway,
};
use serde_json::{Value, json};

use crate::{
    rig::{call, fields, gateway},
    simulated::{Act, Daemon, Heard, answer, engine, json_answer},
};

fn is_start(heard: &Heard) -> bool {
    heard.method == "POST" && heard.path().starts_with("/containers/quaymaster-probe-")
}

/// The engine, with another answer to the probe.
fn with(act: impl Fn() -> Act + Send + Sync + 'static) -> Daemon {
    Daemon::new(move |heard| if is_start(heard) { act() } else { engine(heard) })
}

/// The engine as it is: it knows no container of that name.
fn sound() -> Daemon {
    Daemon::new(|heard| {
        if !is_start(heard) {
            return engine(heard);
        }
        let name = heard.path().split('/').nth(2).unwrap().to_owned();
        json_answer("404 Not Found", &json!({"message": format!("No such container: {name}")}))
    })
}

fn page(status: &str) -> Act {
    Act::Send(answer(status, "text/html", "1.45", b"<html><body><h1>no</h1></body></html>"))
}

async fn probe(gateway: &Gateway) -> Result<Enforcement, Error> {
    tokio::time::timeout(Duration::from_secs(12), gateway.fleet().host("a").unwrap().probe_guard()).await.unwrap()
}

/// How often a write was heard.
fn writes(daemon: &Daemon) -> usize {
    daemon.heard().iter().filter(|heard| !heard.looks()).count()
}

#[tokio::test]
async fn answers_are_told_apart() {
    let cases: Vec<(&str, Daemon, Option<Enforcement>)> = vec![
        ("an engine", sound(), Some(Enforcement::Gateway)),
        ("a proxy", with(|| page("403 Forbidden")), Some(Enforcement::Endpoint)),
        ("another proxy", with(|| page("405 Method Not Allowed")), Some(Enforcement::Endpoint)),
        (
            "a plugin that authorises",
            with(|| json_answer("403 Forbidden", &json!({"message": "authorization denied by plugin opa: no"}))),
            Some(Enforcement::Endpoint),
        ),
        ("a proxy that hides", with(|| page("404 Not Found")), None),
        ("a router", with(|| json_answer("404 Not Found", &json!({"message": "page not found"}))), None),
        ("somebody who says yes to all", with(|| page("200 OK")), None),
        ("a proxy whose engine is away", with(|| page("502 Bad Gateway")), None),
        ("somebody who hangs up", with(|| Act::Close), None),
        ("noise", with(|| Act::Send(vec![0; 64])), None),
    ];
    for (who, daemon, expected) in cases {
        for markers in ["", "(ro)", "(nd)"] {
            let gateway = gateway(&[daemon.spec("a", markers)]);
            let found = probe(&gateway).await;
            assert_eq!(found.as_ref().ok().copied(), expected, "{who} {markers}: {found:?}");
        }
        assert_eq!(writes(&daemon), 3, "{who}: {:?}", daemon.heard());
    }
}

/// Why nothing can be sent, and how the endpoint shows it.
type Case = (&'static str, fn() -> Act);

#[tokio::test]
async fn nothing_is_sent_where_the_name_cannot_be_looked_up() {
    let inspects = |heard: &Heard| heard.path().starts_with("/containers/quaymaster-probe-");
    let cases: [Case; 5] = [
        ("it shows no containers", || page("403 Forbidden")),
        ("it hides what it does not show", || page("404 Not Found")),
        ("it knows a container of every name", || json_answer("200 OK", &json!({"Id": "x", "Name": "/x"}))),
        ("it is broken", || json_answer("500 Internal Server Error", &json!({"message": "database is locked"}))),
        ("it hangs up", || Act::Close),
    ];
    for (why, act) in cases {
        let daemon = Daemon::new(move |heard| if inspects(heard) { act() } else { engine(heard) });
        let gateway = gateway(&[daemon.spec("a", "")]);
        let error = probe(&gateway).await.expect_err(why);
        assert_eq!(writes(&daemon), 0, "{why}: {error}");
    }
    let gateway = gateway(&["a=unix:///nowhere/a.sock".to_owned()]);
    assert_eq!(probe(&gateway).await.unwrap_err().kind(), Kind::Unreachable);
}

#[tokio::test]
async fn it_has_connections_and_names_of_its_own() {
    let daemon = sound();
    let gateway = gateway(&[daemon.spec("a", "(ro)")]);
    call(&gateway, "info", json!({}), 5).await.unwrap();
    let before = daemon.heard().iter().map(|heard| heard.connection).max();
    for _ in 0..2 {
        probe(&gateway).await.unwrap();
    }
    let starts: Vec<Heard> = daemon.heard().into_iter().filter(is_start).collect();
    assert!(starts.iter().all(|heard| Some(heard.connection) > before), "{starts:?}");
    assert_ne!(starts[0].target, starts[1].target);
    let name = starts[0].path().split('/').nth(2).unwrap().trim_start_matches("quaymaster-probe-").to_owned();
    assert!(name.len() == 32 && name.chars().all(|digit| digit.is_ascii_hexdigit()), "{name}");
}

#[tokio::test]
async fn a_result_is_shown_with_its_date() {
    let (daemon, other) = (sound(), sound());
    let specs = [daemon.spec("a", "(ro)"), daemon.spec("b", ""), other.spec("c", "(nd)")];
    let gateway = gateway(&specs);
    let rows = async || fields(&call(&gateway, "list_hosts", json!({}), 5).await.unwrap())["hosts"].clone();
    let shown = |rows: &Value| -> Vec<String> {
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("-").to_owned();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| format!("{} {}", text(row, "enforcement"), text(row, "enforcement_checked"))).collect()
    };
    assert_eq!(shown(&rows().await), ["gateway -", "unknown -", "gateway -"]);
    let configs = gateway.fleet().configs();
    let found = [(&configs[0], Enforcement::Endpoint), (&configs[1], Enforcement::Gateway)];
    gateway.probes().keep(&found, "2026-11-20T10:00:00.5Z".parse().unwrap()).unwrap();
    let expected = ["endpoint 2026-11-20T10:00:00Z", "gateway 2026-11-20T10:00:00Z", "gateway -"];
    assert_eq!(shown(&rows().await), expected);
    assert_eq!(writes(&daemon) + writes(&other), 0);
}

/// Runs `check` with the real binary.
async fn check(state: &Path, hosts: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_quaymaster"));
    command.arg("check").args(arguments).env_clear().env("XDG_STATE_HOME", state).env("QUAYMASTER_HOSTS", hosts);
    let output = command.stdin(Stdio::null()).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn a_person_is_told_what_it_means() {
    let (open, closed) = (sound(), with(|| page("403 Forbidden")));
    let hosts = format!(
        "{}, {}, {}, dead=unix:///nowhere/a.sock",
        open.spec("held", "(ro)"),
        open.spec("free", ""),
        closed.spec("shut", "(ro)")
    );
    let directory = tempfile::tempdir().unwrap();
    let (code, plain) = check(directory.path(), &hosts, &[]).await;
    assert!(code == Some(1) && !plain.contains("enforcement"), "{plain}");
    assert_eq!((writes(&open), writes(&closed)), (0, 0));
    let (code, told) = check(directory.path(), &hosts, &["--probe-guard"]).await;
    assert_eq!(code, Some(1), "a host is dead: {told}");
    for line in [
        "held: enforcement gateway: the endpoint lets writes through: only Quaymaster holds (ro); \
         \"quaymaster proxy-config\" closes it",
        "free: enforcement gateway: the endpoint lets writes through, as the host allows",
        "shut: enforcement endpoint: the endpoint itself refused to start a container",
        "dead: enforcement unknown: the host did not answer; what was found before stays",
    ] {
        assert!(told.lines().any(|found| found == line), "{line}\n{told}");
    }
    assert_eq!((writes(&open), writes(&closed)), (2, 1));
    let (code, data) = check(directory.path(), &hosts, &["--probe-guard", "--json", "shut", "dead"]).await;
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((code, &data["hosts"][0]["enforcement"]), (Some(1), &"endpoint".into()), "{data}");
    assert_eq!(data["hosts"][1]["enforcement"], "unknown", "{data}");
    let kept = fs::read_to_string(directory.path().join("quaymaster/probes.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let names: Vec<&String> = kept.as_object().unwrap().keys().collect();
    assert_eq!(names, ["free", "held", "shut"]);
}

#[tokio::test]
async fn a_result_that_cannot_be_kept_is_told_all_the_same() {
    let open = sound();
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("a file");
    fs::write(&state, "").unwrap();
    let (_, told) = check(&state, &open.spec("a", ""), &["--probe-guard"]).await;
    // Either the audit refuses the write, or the result is lost: the person hears of both.
    let lost = told.contains("a: enforcement gateway") && told.contains("a file");
    assert!(lost || told.contains("a: enforcement unknown"), "{told}");
}
