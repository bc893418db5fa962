//! What is read of containers - logs, statistics, processes, changes - and waiting for them.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by it")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    engine::Engine,
    rig::{LINKS, Link, Rig},
};

/// Three hundred numbered lines, one on standard error, then silence.
const COUNTING: &str =
    r#"i=1; while [ $i -le 300 ]; do echo "line $i"; i=$((i+1)); done; sleep 0.2; echo "ERR bad" >&2; sleep 600"#;

/// The lines between the fence, and what stands after it.
fn lines(text: &str) -> (Vec<String>, String) {
    let (_, summary) = text.rsplit_once('\n').unwrap_or(("", text));
    let inside = text.lines().skip_while(|line| !line.starts_with("[begin of data")).skip(1);
    let inside = inside.take_while(|line| !line.starts_with("[end of data"));
    (inside.map(str::to_owned).collect(), summary.to_owned())
}

async fn logs(rig: &Rig, arguments: Value) -> (Vec<String>, String) {
    lines(&rig.call("container_logs", arguments).await.text())
}

fn cursor(summary: &str) -> String {
    let (_, rest) = summary.split_once("cursor \"").unwrap_or_else(|| panic!("no cursor: {summary}"));
    rest.split('"').next().unwrap().to_owned()
}

async fn wait_for_line(rig: &Rig, container: &str, pattern: &str) {
    let arguments = json!({"target": container, "until": "log_match", "pattern": pattern});
    let waited = rig.call("wait_for", arguments).await.ok();
    assert_eq!(waited["met"], true, "{waited}");
}

#[tokio::test]
async fn logs_are_cut_matched_and_counted_over_every_link() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container = engine.run(rig.name("counting"), &[], COUNTING);
        let name = &container.name;
        wait_for_line(&rig, name, "^ERR").await;

        let (shown, summary) = logs(&rig, json!({"container": name})).await;
        assert_eq!(shown.len(), 100, "{link:?}");
        assert_eq!((shown[0].as_str(), shown[99].as_str()), ("line 202", "ERR bad"));
        assert!(summary.starts_with("the last 100 lines of container"), "{summary}");

        let (shown, _) = logs(&rig, json!({"container": name, "tail": 2, "timestamps": true})).await;
        assert!(shown.len() == 2 && shown[1].ends_with("Z ERR bad") && shown[1].starts_with("20"), "{shown:?}");

        for (stream, expected) in [("stdout", ["line 299", "line 300"].as_slice()), ("stderr", &["ERR bad"])] {
            let (shown, _) = logs(&rig, json!({"container": name, "tail": 2, "stream": stream})).await;
            assert_eq!(shown, expected, "{stream}");
        }

        let (shown, summary) = logs(&rig, json!({"container": name, "grep": r"line 1\d\d$", "tail": 3})).await;
        assert_eq!(shown, ["line 197", "line 198", "line 199"]);
        assert!(summary.starts_with("3 of 100 matching lines shown, 301 lines read"), "{summary}");

        let (shown, _) = logs(&rig, json!({"container": name, "grep": "line (5|9)$", "context": 1})).await;
        assert_eq!(shown, ["line 4", "line 5", "line 6", "--", "line 8", "line 9", "line 10"]);
        let (shown, _) = logs(&rig, json!({"container": name, "grep": "err BAD", "ignore_case": true})).await;
        assert_eq!(shown, ["ERR bad"]);
        let (shown, _) = logs(&rig, json!({"container": name, "grep": "line", "invert": true})).await;
        assert_eq!(shown, ["ERR bad"]);

        let (shown, _) = logs(&rig, json!({"container": name, "since": "1h", "tail": 1})).await;
        assert_eq!(shown, ["ERR bad"]);
        let (shown, _) = logs(&rig, json!({"container": name, "until": "1d"})).await;
        assert_eq!(shown, [""; 0]);
        let times = engine.docker(&["logs", "-t", "--tail", "5", name]);
        let last_line = times.lines().find(|line| line.ends_with("line 300")).unwrap();
        let moment = last_line.split(' ').next().unwrap();
        let (shown, _) = logs(&rig, json!({"container": name, "until": moment, "tail": 2})).await;
        assert_eq!(shown, ["line 299", "line 300"], "until counts before the tail does");
        let (shown, _) = logs(&rig, json!({"container": name, "since": moment})).await;
        assert_eq!(shown, ["line 300", "ERR bad"]);
    }
}

#[tokio::test]
async fn a_cursor_repeats_and_loses_nothing() {
    for link in LINKS {
        let (rig, engine) = (Rig::new(link), Engine::of(link));
        let script = format!("echo begin; while [ ! -e /go ]; do sleep 0.05; done; {COUNTING}");
        let container = engine.run(rig.name("cursor"), &[], &script);
        let name = &container.name;
        wait_for_line(&rig, name, "^begin$").await;
        let (_, summary) = logs(&rig, json!({"container": name})).await;
        container.exec("touch /go");
        wait_for_line(&rig, name, "^ERR").await;

        // From the first line on, page by page.
        let (mut all, mut at) = (Vec::new(), cursor(&summary));
        loop {
            let (shown, summary) = logs(&rig, json!({"container": name, "cursor": at, "tail": 70})).await;
            at = cursor(&summary);
            if shown.is_empty() {
                break;
            }
            assert_eq!(summary.contains("there are more"), shown.len() == 70, "{summary}");
            all.extend(shown);
        }
        let expected: Vec<String> =
            (1..=300).map(|number| format!("line {number}")).chain(["ERR bad".to_owned()]).collect();
        assert_eq!(all, expected, "{link:?}");

        // Then what comes, by polling.
        container.exec("for i in 1 2 3; do echo new $i > /proc/1/fd/1; done");
        wait_for_line(&rig, name, "^new 3").await;
        let (shown, summary) = logs(&rig, json!({"container": name, "cursor": at})).await;
        assert_eq!(shown, ["new 1", "new 2", "new 3"]);
        let (shown, _) = logs(&rig, json!({"container": name, "cursor": cursor(&summary)})).await;
        assert_eq!(shown, [""; 0]);
    }
}

#[tokio::test]
async fn following_shows_what_comes_and_ends_in_time() {
    for link in LINKS {
        let (rig, engine) = (Rig::new(link), Engine::of(link));
        let script = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.3; done";
        let container = engine.run(rig.name("follow"), &[], script);
        wait_for_line(&rig, &container.name, "tick 1$").await;
        let started = Instant::now();
        let (shown, _) =
            logs(&rig, json!({"container": container.name, "tail": 50, "follow_for": 3, "timestamps": true})).await;
        let took = started.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(6)).contains(&took), "{link:?}: {took:?}");
        let ticks: Vec<&str> = shown.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
        let expected: Vec<String> = (1..=ticks.len()).map(|number| number.to_string()).collect();
        assert!(ticks == expected && ticks.len() > 5, "{ticks:?}");

        // It does not wait for a container that has ended.
        let ended = engine.run(rig.name("ended"), &[], "echo done");
        wait_for_line(&rig, &ended.name, "done").await;
        rig.call("wait_for", json!({"target": ended.name, "until": "exited"})).await.ok();
        let started = Instant::now();
        let (shown, _) = logs(&rig, json!({"container": ended.name, "follow_for": 20})).await;
        assert_eq!(shown, ["done"]);
        assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn logs_of_every_shape_stay_small_and_plain() {
    for link in LINKS {
        let (rig, engine) = (Rig::new(link), Engine::of(link));
        // A terminal has no frames.
        let terminal = engine.run(rig.name("tty"), &["-t"], r"printf '\033[31mred\033[0m\n'; echo end; sleep 600");
        wait_for_line(&rig, &terminal.name, "^end$").await;
        let (shown, _) = logs(&rig, json!({"container": terminal.name})).await;
        assert_eq!(shown, ["red", "end"], "{link:?}");

        let wild = engine.run(
            rig.name("wild"),
            &[],
            "for i in 1 2 3 4; do echo same; done; head -c 40000 /dev/zero | tr '\\0' x; echo END; \
             i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo \"$i $(head -c 150 /dev/zero | tr '\\0' y)\"; done; \
             echo last; sleep 600",
        );
        wait_for_line(&rig, &wild.name, "^last$").await;
        let (shown, _) = logs(&rig, json!({"container": wild.name, "grep": "^same|END$", "dedupe": true})).await;
        assert!(shown[0].starts_with("[4x, 20") && shown[0].ends_with("Z] same"), "{}", shown[0]);
        assert!(shown[1].starts_with("xxx") && shown[1].ends_with("xEND"), "{}", shown[1]);
        assert!(shown[1].contains("left out") && shown[1].len() < 2_200, "{}", shown[1].len());
        assert!(!shown[1].contains("20"), "no time inside a long line: {}", shown[1]);

        let text = rig.call("container_logs", json!({"container": wild.name, "tail": 1_000_000})).await.text();
        assert!(text.chars().count() <= 24_000, "{}", text.chars().count());
        let (shown, summary) = lines(&text);
        assert_eq!(shown.last().unwrap(), "last");
        assert!(summary.contains("older ones do not fit"), "{summary}");
    }
}

#[tokio::test]
async fn logs_that_cannot_be_read_say_why() {
    let (rig, engine) = (Rig::new(Link::Tls), Engine::of(Link::Tls));
    let mute = engine.run(rig.name("mute"), &["--log-driver", "none"], "sleep 600");
    let error = rig.call("container_logs", json!({"container": mute.name})).await.error();
    assert_eq!(error["kind"], "unsupported");
    assert!(error["message"].as_str().unwrap().contains("\"none\""), "{error}");
    // One that never ran has no lines.
    let created = engine.create(rig.name("created"), &[], "true");
    let text = rig.call("container_logs", json!({"container": created.name})).await.text();
    assert!(text.contains("nothing]") && text.contains("0 lines"), "{text}");

    let huge = "x".repeat(10_240);
    for (arguments, named) in [
        (json!({}), "container"),
        (json!({"container": "../info"}), "container"),
        (json!({"container": "a/b"}), "container"),
        (json!({"container": "a%2fb"}), "container"),
        (json!({"container": "a\u{7}"}), "container"),
        (json!({"container": huge}), "container"),
        (json!({"container": 7}), "container"),
        (json!({"container": mute.name, "tail": 0}), "tail"),
        (json!({"container": mute.name, "tail": "5"}), "tail"),
        (json!({"container": mute.name, "since": "yesterday"}), "since"),
        (json!({"container": mute.name, "until": huge}), "until"),
        (json!({"container": mute.name, "since": "1m", "until": "1h"}), "until"),
        (json!({"container": mute.name, "grep": "a(b"}), "grep"),
        (json!({"container": mute.name, "grep": "(".repeat(10_240)}), "grep"),
        (json!({"container": mute.name, "context": 5}), "context"),
        (json!({"container": mute.name, "grep": "a", "context": 51}), "context"),
        (json!({"container": mute.name, "stream": "stdin"}), "stream"),
        (json!({"container": mute.name, "follow_for": 41}), "follow_for"),
        (json!({"container": mute.name, "follow_for": 4, "until": "1s"}), "follow_for"),
        (json!({"container": mute.name, "cursor": "../x"}), "cursor"),
        (json!({"container": mute.name, "lines": 5}), "lines"),
    ] {
        let error = rig.call("container_logs", arguments.clone()).await.error();
        assert_eq!(error["kind"], "invalid", "{named}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{named}: {error}");
    }
    assert_eq!(rig.call("container_logs", json!({"container": rig.name("nobody")})).await.kind(), "not_found");
}

#[tokio::test]
async fn statistics_show_who_works() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let busy = engine.run(rig.name("busy"), &["--memory", "32m", "--cpus", "0.3"], "while :; do :; done");
        let idle = engine.run(rig.name("idle"), &[], "sleep 600");
        let created = engine.create(rig.name("created"), &[], "true");

        let all = rig.call("container_stats", json!({"limit": 500})).await.ok();
        let row = |name: &str| {
            let rows = all["containers"].as_array().unwrap();
            rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{link:?} {name}: {all}")).clone()
        };
        let (working, resting) = (row(&busy.name), row(&idle.name));
        let cpu = working["cpu_percent"].as_f64().unwrap();
        assert!((10.0..60.0).contains(&cpu), "{link:?}: {working}");
        assert!(resting["cpu_percent"].as_f64().unwrap() < 10.0, "{resting}");
        assert_eq!(working["memory_limit"], "32.0 MiB");
        assert!(working["throttled_periods"].as_str().unwrap().contains(" of "), "{working}");
        assert_eq!((&resting["pids"], &resting["host"]), (&json!(1), &json!("lab")));
        assert!(resting.get("throttled_periods").is_none());

        let named = json!({"containers": [idle.name, busy.name, created.name, rig.name("nobody")], "sort": "cpu"});
        let named = rig.call("container_stats", named).await.ok();
        let order: Vec<&Value> = named["containers"].as_array().unwrap().iter().map(|row| &row["name"]).collect();
        assert_eq!(order, [&busy.name, &idle.name]);
        assert_eq!(named["missing"].as_array().unwrap().len(), 2, "{named}");
        let named = json!({"containers": [idle.name, busy.name], "sort": "name", "limit": 1});
        let named = rig.call("container_stats", named).await.ok();
        assert_eq!(named["containers"][0]["name"], busy.name);
        assert_eq!((&named["total"], &named["shown"]), (&json!(2), &json!(1)));
        for sort in ["memory", "network", "block_io", "pids"] {
            let sorted = json!({"containers": [idle.name, busy.name], "sort": sort});
            assert_eq!(rig.call("container_stats", sorted).await.ok()["containers"].as_array().unwrap().len(), 2);
        }
    }
    let rig = Rig::new(Link::Unix);
    for wrong in
        [json!({"containers": ["a/b"]}), json!({"containers": "a"}), json!({"sort": "colour"}), json!({"all": 1})]
    {
        assert_eq!(rig.call("container_stats", wrong).await.kind(), "invalid");
    }
    assert_eq!(rig.call("container_stats", json!({"containers": [rig.name("x")]})).await.kind(), "not_found");
}

#[tokio::test]
async fn processes_are_listed() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container = engine.run(rig.name("top"), &[], "sleep 601 & sleep 602");
        wait_until(|| engine.docker(&["top", &container.name]).contains("sleep 602")).await;
        let shown = rig.call("container_top", json!({"container": container.name})).await.ok();
        let commands: Vec<&str> =
            shown["processes"].as_array().unwrap().iter().map(|row| row["command"].as_str().unwrap()).collect();
        assert!(commands.contains(&"sleep 601") && commands.iter().any(|command| command.contains("602")), "{shown}");
        assert!(shown["processes"][0]["pid"].as_u64().unwrap() > 1, "{shown}");
        assert_eq!(shown["processes"][0]["user"], "root");

        let page = rig.call("container_top", json!({"container": container.name, "limit": 1})).await.ok();
        let rest = json!({"container": container.name, "cursor": page["cursor"]});
        let rest = rig.call("container_top", rest).await.ok();
        let number = |page: &Value| page["processes"].as_array().unwrap().len();
        assert_eq!(number(&page) + number(&rest), number(&shown));
        assert_ne!(page["processes"][0]["pid"], rest["processes"][0]["pid"]);
        engine.docker(&["stop", "-t", "0", &container.name]);
        assert_eq!(rig.call("container_top", json!({"container": container.name})).await.kind(), "conflict");
    }
    let rig = Rig::new(Link::Unix);
    for wrong in [json!({"container": "../info"}), json!({"container": "x", "ps_args": "-ef"})] {
        assert_eq!(rig.call("container_top", wrong).await.kind(), "invalid");
    }
    assert_eq!(rig.call("container_top", json!({"container": rig.name("x")})).await.kind(), "not_found");
}

#[tokio::test]
async fn changes_are_grouped() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container = engine.run(rig.name("changes"), &[], "sleep 600");
        container.exec("mkdir -p /place/deep; touch /place/a /place/b /place/deep/c; touch /bin/sh; rm /bin/true");
        let shown = rig.call("container_changes", json!({"container": container.name, "path": "/place"})).await.ok();
        assert_eq!(
            shown["directories"],
            json!([
                {"directory": "/", "added": 1, "names": ["+place"]},
                {"directory": "/place", "added": 3, "names": ["+a", "+b", "+deep"]},
                {"directory": "/place/deep", "added": 1, "names": ["+c"]},
            ]),
            "{link:?}"
        );
        let bin = rig.call("container_changes", json!({"container": container.name, "path": "/bin"})).await.ok();
        assert_eq!(bin["deleted"], 1, "{bin}");
        let one = json!({"container": container.name, "limit": 1, "path": "/place"});
        let first = rig.call("container_changes", one).await.ok();
        assert_eq!(first["directories"].as_array().unwrap().len(), 1);
        let rest = json!({"container": container.name, "cursor": first["cursor"]});
        let error = rig.call("container_changes", rest.clone()).await.error();
        assert!(error["message"].as_str().unwrap().contains("belongs to other arguments"), "{error}");
        let mut rest = rest;
        rest["path"] = json!("/place");
        let rest = rig.call("container_changes", rest).await.ok();
        assert_eq!(rest["directories"][0]["directory"], "/place", "{rest}");
        let none = rig.call("container_changes", json!({"container": container.name, "path": "/plac"})).await.text();
        assert!(none.contains("changed nothing"), "{none}");
    }
    let rig = Rig::new(Link::Unix);
    assert_eq!(rig.call("container_changes", json!({"container": "x", "path": "etc"})).await.kind(), "invalid");
    assert_eq!(rig.call("container_changes", json!({"container": "a%2fb"})).await.kind(), "invalid");
    assert_eq!(rig.call("container_changes", json!({"container": rig.name("x")})).await.kind(), "not_found");
}

#[tokio::test]
async fn waiting_ends_when_it_is_so() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let wait = async |target: &str, until: &str| {
            rig.call("wait_for", json!({"target": target, "until": until, "timeout": 20})).await.ok()
        };
        let short = engine.run(rig.name("short"), &[], "sleep 2; echo over; exit 3");
        let running = wait(&short.name, "running").await;
        assert_eq!((&running["met"], &running["state"]), (&json!(true), &json!("running")), "{link:?}: {running}");
        let exited = wait(&short.name, "exited").await;
        assert_eq!((&exited["met"], &exited["exit_code"]), (&json!(true), &json!(3)), "{exited}");
        assert_eq!(wait(&short.name, "exited").await["exit_code"], 3, "at once when it is over");

        // The exit code of one that removes itself is not lost.
        let fleeting = engine.run(rig.name("fleeting"), &["--rm"], "sleep 2; exit 4");
        let exited = wait(&fleeting.name, "exited").await;
        assert_eq!((&exited["met"], &exited["exit_code"]), (&json!(true), &json!(4)), "{exited}");
        assert_eq!(wait(&fleeting.name, "removed").await["met"], true);

        let options = ["--health-cmd", "test -e /ready", "--health-interval", "1s", "--health-retries", "99"];
        let healthy = engine.run(rig.name("healthy"), &options, "sleep 2; touch /ready; sleep 600");
        let waited = wait(&healthy.name, "healthy").await;
        assert_eq!((&waited["met"], &waited["health"]), (&json!(true), &json!("healthy")), "{waited}");
        let plain = engine.run(rig.name("plain"), &[], "sleep 600");
        let waited = wait(&plain.name, "healthy").await;
        assert_eq!(waited["met"], false);
        assert!(waited["note"].as_str().unwrap().contains("no health check"), "{waited}");

        let image = json!({"kind": "image", "target": crate::rig::lab("LAB_IMAGE"), "until": "present"});
        assert_eq!(rig.call("wait_for", image).await.ok()["met"], true);
        let image = json!({"kind": "image", "target": rig.name("no-image"), "until": "removed"});
        assert_eq!(rig.call("wait_for", image).await.ok()["met"], true);
    }
}

#[tokio::test]
async fn waiting_for_a_line() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container =
            engine.run(rig.name("lines"), &[], r"echo early; sleep 2; printf '\033[1mlate\033[0m 7\n'; sleep 2");
        let arguments =
            |pattern: &str| json!({"target": container.name, "until": "log_match", "pattern": pattern, "timeout": 20});
        let late = rig.call("wait_for", arguments(r"^late \d$")).await.ok();
        assert_eq!((&late["met"], &late["line"]), (&json!(true), &json!("late 7")), "{link:?}: {late}");
        let early = rig.call("wait_for", arguments("early")).await.ok();
        assert_eq!((&early["met"], &early["seconds"]), (&json!(true), &json!(0)), "{early}");
        // One that ends without the line is not waited for any longer.
        let started = Instant::now();
        let never = rig.call("wait_for", arguments("never")).await.ok();
        assert_eq!((&never["met"], &never["state"]), (&json!(false), &json!("exited")), "{never}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn a_time_out_is_an_answer() {
    for link in LINKS {
        let (rig, engine) = (Rig::with_markers(link, "(ro)"), Engine::of(link));
        let container = engine.run(rig.name("patient"), &[], "sleep 600");
        for until in ["exited", "removed", "log_match"] {
            let mut arguments = json!({"target": container.name, "until": until, "timeout": 1});
            if until == "log_match" {
                arguments["pattern"] = "x".into();
            }
            let started = Instant::now();
            let waited = rig.call("wait_for", arguments).await.ok();
            assert_eq!((&waited["met"], &waited["state"]), (&json!(false), &json!("running")), "{until}: {waited}");
            assert!(started.elapsed() < Duration::from_secs(5), "{until}: {:?}", started.elapsed());
        }
        let nobody = json!({"target": rig.name("nobody"), "until": "running", "timeout": 1});
        let waited = rig.call("wait_for", nobody).await.ok();
        assert_eq!((&waited["met"], &waited["state"]), (&json!(false), &json!("not there")));
    }
    let rig = Rig::new(Link::Unix);
    for (arguments, named) in [
        (json!({"target": "x"}), "until"),
        (json!({"target": "../info", "until": "running"}), "target"),
        (json!({"target": "a/../b", "until": "present", "kind": "image"}), "target"),
        (json!({"target": "x", "until": "converged"}), "until"),
        (json!({"target": "x", "until": "running", "kind": "fleet"}), "kind"),
        (json!({"target": "x", "until": "running", "kind": "image"}), "until"),
        (json!({"target": "x", "until": "log_match"}), "pattern"),
        (json!({"target": "x", "until": "log_match", "pattern": "("}), "pattern"),
        (json!({"target": "x", "until": "running", "pattern": "x"}), "pattern"),
        (json!({"target": "x", "until": "running", "timeout": 601}), "timeout"),
        (json!({"target": "x", "until": "running", "timeout": 0}), "timeout"),
    ] {
        let error = rig.call("wait_for", arguments).await.error();
        assert_eq!(error["kind"], "invalid", "{named}: {error}");
        assert!(error["message"].as_str().unwrap().contains(named), "{named}: {error}");
    }
}

async fn wait_until(holds: impl Fn() -> bool) {
    for _ in 0..50 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not come to be");
}
