//! The tools of the toolset `system`.

#![expect(clippy::panic, clippy::expect_used, reason = "a test fails by it")]

use std::time::{Duration, Instant};

use quaymaster::gateway::Request;
use serde_json::{Value, json};

use crate::{
    engine::Engine,
    rig::{LINKS, Link, Rig, gateway, lab},
};

/// The three engines as one fleet, and one host that is not there.
async fn fleet(tool: &str, arguments: Value) -> Value {
    let gone = format!("gone=unix://{}/nothing.sock", lab("LAB_DIR"));
    let hosts = LINKS.iter().enumerate().map(|(number, link)| format!("h{number}={}", link.endpoint()));
    let gateway = gateway(&hosts.chain([gone]).collect::<Vec<_>>());
    let Value::Object(mut arguments) = arguments else { panic!("arguments are an object") };
    arguments.insert("host".into(), "all".into());
    let answer = gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await.expect("a partial answer");
    assert!(answer.text.len() <= 24_000, "{}", answer.text.len());
    Value::Object(answer.structured.expect("data"))
}

#[tokio::test]
async fn every_read_answers_for_the_whole_fleet() {
    for (tool, rows, least) in [
        ("ping", "pings", 3),
        ("version", "versions", 3),
        ("info", "daemons", 3),
        ("disk_usage", "totals", 3),
        ("events", "reach", 3),
        ("container_stats", "containers", 0),
    ] {
        let answer = fleet(tool, json!({})).await;
        let statuses: Vec<&str> =
            answer["hosts"].as_array().unwrap().iter().map(|host| host["status"].as_str().unwrap()).collect();
        assert_eq!(statuses, ["ok", "ok", "ok", "unreachable"], "{tool}: {answer}");
        let rows = answer[rows].as_array().unwrap();
        assert!(rows.len() >= least && rows.iter().all(|row| row["host"].is_string()), "{tool}: {answer}");
    }
}

#[tokio::test]
async fn daemons_say_what_they_are() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let ping = rig.call("ping", json!({})).await.ok();
        assert!(ping["pings"][0]["latency_ms"].as_f64().unwrap() < 2_000.0, "{ping}");

        let version = rig.call("version", json!({})).await.ok();
        let told = engine.docker(&["version", "--format", "{{.Server.Version}} {{.Server.APIVersion}}"]);
        let row = &version["versions"][0];
        assert_eq!(format!("{} {}", row["version"].as_str().unwrap(), row["api"].as_str().unwrap()), told);
        assert!(row["components"].to_string().contains("containerd"), "{row}");

        let summary = rig.call("info", json!({})).await.ok();
        let told = engine.docker(&["info", "--format", "{{.ServerVersion}} {{.NCPU}} {{.Driver}}"]);
        let row = &summary["daemons"][0];
        let shown =
            format!("{} {} {}", row["version"].as_str().unwrap(), row["cpus"], row["storage_driver"].as_str().unwrap());
        assert_eq!(shown, told);
        for (section, field) in [
            ("daemon", "kernel"),
            ("runtime", "runtimes"),
            ("storage", "status"),
            ("swarm", "state"),
            ("security", "options"),
            ("warnings", "warnings"),
        ] {
            let shown = rig.call("info", json!({"section": section})).await.ok();
            assert!(!shown["daemons"][0][field].is_null(), "{section}: {shown}");
        }
        let all = rig.call("info", json!({"section": "all"})).await.text();
        assert!(all.chars().count() < 24_000, "{}", all.chars().count());
        assert!(!all.contains("oci-runtime-spec.features"), "the document of a runtime is no answer");
    }
    let rig = Rig::new(Link::Unix);
    for (tool, wrong) in [
        ("ping", json!({"count": 3})),
        ("version", json!({"x": 1})),
        ("info", json!({"section": "everything"})),
        ("info", json!({"section": ["all"]})),
        ("disk_usage", json!({"kind": "networks"})),
        ("disk_usage", json!({"verbose": "yes"})),
    ] {
        assert_eq!(rig.call(tool, wrong).await.kind(), "invalid", "{tool}");
    }
}

#[tokio::test]
async fn disk_usage_agrees_with_the_engine_and_is_kept() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let volume = rig.name("data");
        engine.docker(&["volume", "create", &volume]);
        let mount = format!("{volume}:/data");
        let script = "head -c 5000000 /dev/zero > /data/x; head -c 3000000 /dev/zero > /y; sleep 600";
        let container = engine.run(rig.name("writer"), &["-v", &mount], script);
        rig.call("wait_for", json!({"target": container.name, "until": "running"})).await.ok();
        tokio::time::sleep(Duration::from_secs(1)).await;

        let usage = rig.call("disk_usage", json!({"verbose": true})).await.ok();
        let kinds: Vec<&str> =
            usage["totals"].as_array().unwrap().iter().map(|total| total["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["images", "containers", "volumes", "build_cache"], "{link:?}");
        let large = |name: &str| {
            let largest = usage["largest"].as_array().unwrap();
            largest.iter().find(|large| large["name"] == name).unwrap_or_else(|| panic!("{name}: {usage}")).clone()
        };
        let (data, layer) = (large(&volume), large(&container.name));
        assert_eq!(
            (&data["size"], &data["in_use"], &data["kind"]),
            (&json!("4.8 MiB"), &json!(true), &json!("volumes"))
        );
        assert_eq!((&layer["size"], &layer["kind"]), (&json!("2.9 MiB"), &json!("containers")));
        assert!(layer["note"].as_str().unwrap().starts_with("Up"), "{layer}");

        // A part comes out of the whole that is known, and a second reading costs nothing.
        let part = rig.call("disk_usage", json!({"kind": "volumes"})).await.ok();
        assert!(part["totals"].as_array().unwrap().iter().all(|total| total["kind"] == "volumes"), "{part}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let again = rig.call("disk_usage", json!({})).await.ok();
        assert!(again["age_seconds"].as_u64().unwrap() >= 1, "{again}");
        assert!(again["largest"].as_array().unwrap().len() <= 10 && again["largest"][0].get("note").is_none());

        // Asked for first, a part is read alone.
        let other = Rig::new(link);
        for kind in ["images", "containers", "volumes", "build_cache"] {
            let part = other.call("disk_usage", json!({"kind": kind})).await.ok();
            assert_eq!(part["totals"].as_array().unwrap().len(), 1, "{kind}: {part}");
            assert_eq!(part["totals"][0]["kind"], kind);
            if kind == "volumes" {
                assert!(part["largest"].to_string().contains(&volume), "{part}");
            }
        }
        drop(container);
        engine.docker(&["volume", "rm", &volume]);
    }
}

#[tokio::test]
async fn what_is_dear_is_read_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    let rig = Rig::new(Link::Unix);
    let docker = rig.gateway.fleet().host("lab").unwrap().reading();
    let readings = AtomicUsize::new(0);
    let read = || async {
        readings.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(json!("much"))
    };
    let fresh = Duration::from_secs(60);
    let (first, second, third) = tokio::join!(
        docker.seldom("test", fresh, read()),
        docker.seldom("test", fresh, read()),
        docker.seldom("test", fresh, read()),
    );
    assert!([first, second, third].into_iter().all(|memory| memory.unwrap().value == "much"));
    assert_eq!(readings.load(Ordering::Relaxed), 1);
    assert!(docker.recall("test").is_some() && docker.recall("other").is_none());
    docker.seldom("test", Duration::ZERO, read()).await.unwrap();
    assert_eq!(readings.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn events_tell_what_happened() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let label = format!("{}=yes", rig.name("label"));
        let container = engine.run(rig.name("eventful"), &["--label", &label], "sleep 600");
        container.exec("true");
        engine.docker(&["kill", "-s", "USR1", &container.name]);
        engine.docker(&["kill", &container.name]);
        tokio::time::sleep(Duration::from_millis(500)).await;

        let told = rig.call("events", json!({"container": container.name, "since": "5m"})).await.ok();
        let actions: Vec<&str> =
            told["events"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap()).collect();
        for action in ["create", "start", "exec_create", "exec_start", "exec_die", "kill", "die"] {
            assert!(actions.contains(&action), "{link:?} {action}: {actions:?}");
        }
        let event = |action: &str| {
            told["events"].as_array().unwrap().iter().find(|event| event["action"] == action).unwrap().clone()
        };
        assert_eq!(event("exec_create")["details"]["command"], "sh -c true");
        assert_eq!(event("die")["details"]["exit_code"], "137");
        assert_eq!((&event("die")["host"], &event("die")["name"]), (&json!("lab"), &json!(container.name)));
        assert!(!told.to_string().contains("quaymaster-lab\":\"1"), "labels are left out");
        let times: Vec<&str> =
            told["events"].as_array().unwrap().iter().map(|event| event["time"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(told["reach"][0]["host"], "lab");

        for (arguments, expected) in [
            (json!({"label": [label], "action": "die"}), 1),
            (json!({"label": [label, "other"]}), 0),
            (json!({"container": container.name, "kind": "image"}), 0),
            (json!({"container": container.name, "kind": "container", "action": "start"}), 1),
            (json!({"container": container.name, "since": "2d", "until": "1d"}), 0),
            (json!({"container": container.name, "limit": 1}), 1),
        ] {
            let told = rig.call("events", arguments.clone()).await.ok();
            assert_eq!(told["events"].as_array().unwrap().len(), expected, "{arguments}: {told}");
        }
        let newest = rig.call("events", json!({"container": container.name, "limit": 1})).await.ok();
        assert_eq!(newest["events"][0]["action"], "die", "{newest}");
        assert!(newest["total"].as_u64().unwrap() > 1);
    }
}

#[tokio::test]
async fn probes_of_health_are_no_news() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let options = ["--health-cmd", "true", "--health-interval", "1s"];
        let container = engine.run(rig.name("probed"), &options, "sleep 600");
        rig.call("wait_for", json!({"target": container.name, "until": "healthy"})).await.ok();
        container.exec("echo mine");
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = rig.call("events", json!({"container": container.name})).await.ok();
        let of_exec: Vec<&Value> = told["events"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["action"].as_str().unwrap().starts_with("exec_"))
            .collect();
        assert_eq!(of_exec.len(), 3, "{link:?}: only the person's own command: {told}");
        assert_eq!(of_exec[0]["details"]["command"], "sh -c echo mine");
        assert!(told.to_string().contains("health_status: healthy"), "{told}");
        let asked = json!({"container": container.name, "action": "exec_create"});
        let asked = rig.call("events", asked).await.ok();
        assert!(asked["events"].to_string().contains("/bin/sh -c true"), "{asked}");
    }
}

#[tokio::test]
async fn events_are_followed_and_end_in_time() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container = engine.run(rig.name("followed"), &[], "sleep 1.5");
        let started = Instant::now();
        let told =
            rig.call("events", json!({"container": container.name, "action": "die", "follow_for": 4})).await.ok();
        let took = started.elapsed();
        assert_eq!(told["events"][0]["name"], container.name, "{link:?}: {told}");
        assert!((Duration::from_secs(3)..Duration::from_secs(10)).contains(&took), "{took:?}");
        let started = Instant::now();
        rig.call("events", json!({})).await.ok();
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_full_memory_is_admitted() {
    let (rig, engine) = (Rig::new(Link::Tls), Engine::of(Link::Tls));
    let container = engine.run(rig.name("noisy"), &[], "sleep 600");
    for _ in 0..140 {
        // Each look at its processes is an event.
        engine.docker(&["kill", "-s", "WINCH", &container.name]);
        engine.docker(&["top", &container.name]);
    }
    let told = rig.call("events", json!({"since": "3d", "kind": "image"})).await.ok();
    assert_eq!(told["reach"][0]["complete"], false, "{told}");
    let text = rig.call("events", json!({"since": "3d", "limit": 500})).await.text();
    assert!(text.chars().count() <= 24_000 && text.contains("forgotten by lab"), "{}", text.len());
}

#[tokio::test]
async fn wrong_questions_about_events_are_refused() {
    let rig = Rig::new(Link::Unix);
    for (arguments, named) in [
        (json!({"since": "soon"}), "since"),
        (json!({"since": "1m", "until": "1h"}), "until"),
        (json!({"until": "1m", "follow_for": 3}), "follow_for"),
        (json!({"follow_for": 41}), "follow_for"),
        (json!({"kind": "planet"}), "kind"),
        (json!({"container": "../x"}), "container"),
        (json!({"container": "x".repeat(10_240)}), "container"),
        (json!({"label": "a=b"}), "label"),
        (json!({"limit": 0}), "limit"),
        (json!({"filters": {}}), "filters"),
    ] {
        let error = rig.call("events", arguments).await.error();
        assert_eq!(error["kind"], "invalid", "{named}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{named}: {error}");
    }
}
