//! Projects that were started elsewhere: known by the labels of their containers, without a file.

use std::{
    fs,
    time::{Duration, Instant},
};

use quaymaster::{config::Config, gateway::Request};
use serde_json::{Value, json};

use super::Project;
use crate::{
    engine::docker,
    rig::{LINKS, Link, Rig, environment, gateway_in, gateway_inside, open},
};

/// Two that serve, one with a health check, and a job that fails.
const SHOP: &str = "services:
  db:
    image: IMAGE
    command: [sh, -c, 'for i in $$(seq 1 150); do echo line $$i; done; touch /ready; trap exit TERM; while sleep 0.2; do :; done']
    healthcheck: {test: [CMD, cat, /ready], interval: 1s, retries: 20}
  web:
    image: IMAGE
    command: [sh, -c, 'echo web begins; trap exit TERM; while sleep 0.2; do :; done']
    environment: {API_TOKEN: hunter2-and-more}
    ports: ['127.0.0.1::80']
    depends_on: {db: {condition: service_healthy}}
    scale: 2
  job:
    image: IMAGE
    command: [sh, -c, 'echo job begins with token $$API_TOKEN; exit 3']
    environment: {API_TOKEN: hunter2-and-more}
    depends_on: [web]
";

fn shop(link: Link, rig: &Rig) -> Project {
    let project = Project::new(link, rig.name("shop"), SHOP);
    project.compose(&["up", "-d", "--quiet-pull"]);
    project
}

fn column<'a>(answer: &'a Value, rows: &str, field: &str) -> Vec<&'a str> {
    let rows = answer[rows].as_array().unwrap_or_else(|| panic!("{answer}"));
    rows.iter().map(|row| row[field].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_made_elsewhere_is_seen() {
    for link in LINKS {
        let rig = Rig::new(link);
        let project = shop(link, &rig);
        let name = project.name.as_str();
        let waited = rig.call("compose_wait", json!({"project": name, "services": ["job"]})).await.ok();
        assert_eq!((&waited["met"], &waited["containers"][0]["exit_code"]), (&json!(true), &json!(3)), "{waited}");
        let waited = json!({"project": name, "services": ["db", "job"], "timeout": 1});
        let waited = rig.call("compose_wait", waited).await.ok();
        assert_eq!((&waited["met"], &waited["containers"][0]["state"]), (&json!(false), &json!("running")), "{waited}");
        let waited = json!({"kind": "project", "target": name, "until": "healthy", "timeout": 1});
        let waited = rig.call("wait_for", waited).await.ok();
        assert_eq!((&waited["met"], &waited["state"]), (&json!(false), &json!("exited(1), running(3)")), "{waited}");

        let all = rig.call("compose_ls", json!({"host": "all", "limit": 500})).await.ok();
        let rows = all["projects"].as_array().unwrap();
        let row = rows.iter().find(|row| row["project"] == name).unwrap_or_else(|| panic!("{link:?}: {all}"));
        assert_eq!((&row["status"], &row["services"]), (&json!("running(3), exited(1)"), &json!(3)), "{row}");
        assert!(!row.to_string().contains('/') && row.get("unhealthy").is_none(), "{row}");

        let running = rig.call("compose_ps", json!({"project": name})).await;
        let text = running.text();
        assert!(text.contains("3 containers of project") && text.contains("1 stopped, all shows them"), "{text}");
        let running = rig.call("compose_ps", json!({"project": name, "all": true})).await.ok();
        assert_eq!(column(&running, "containers", "service"), ["db", "job", "web", "web"], "{link:?}");
        let rows = running["containers"].as_array().unwrap();
        assert_eq!((&rows[0]["health"], &rows[1]["state"]), (&json!("healthy"), &json!("exited")), "{running}");
        assert!(rows[1]["status"].as_str().unwrap().contains("Exited (3)"), "{running}");
        assert!(rows[2]["ports"][0].as_str().unwrap().contains("->80"), "{running}");
        assert_eq!(&project.id("web", 1)[..12], rows[2]["id"].as_str().unwrap());
        let page = rig.call("compose_images", json!({"project": name, "limit": 1})).await.ok();
        let rest = json!({"project": name, "limit": 1, "cursor": page["cursor"]});
        let rest = rig.call("compose_images", rest).await.ok();
        assert_ne!(page["images"][0]["service"], rest["images"][0]["service"], "{page} {rest}");

        let images = rig.call("compose_images", json!({"project": name})).await.ok();
        assert_eq!(column(&images, "images", "service"), ["db", "job", "web"], "{images}");
        assert_eq!(images["images"][2]["containers"], 2, "{images}");
        assert!(images["images"][0]["size"].is_string() && images["images"][0]["created"].is_string(), "{images}");

        let top = rig.call("compose_top", json!({"project": name, "services": ["db"]})).await.ok();
        assert!(column(&top, "processes", "container").iter().all(|container| *container == "db-1"), "{top}");
        assert!(column(&top, "processes", "command").iter().any(|command| command.contains("sh -c")), "{top}");

        let port = json!({"project": name, "service": "web", "port": 80, "index": 2});
        let port = rig.call("compose_port", port).await.ok();
        let expected = docker(link, &["port", &project.id("web", 2), "80/tcp"]);
        assert_eq!(port["published"], json!([expected.lines().next().unwrap()]), "{link:?}");
        for (arguments, word) in [
            (json!({"project": name, "service": "web", "port": 81}), "its ports are "),
            (json!({"project": name, "service": "web", "port": 80, "protocol": "udp"}), "->80"),
            (json!({"project": name, "service": "db", "port": 80}), "it has no ports"),
            (json!({"project": name, "service": "job", "port": 80}), "does not run"),
        ] {
            let none = rig.call("compose_port", arguments.clone()).await.ok();
            assert_eq!(none["published"], json!([]), "{arguments}: {none}");
            assert!(none["note"].as_str().unwrap().contains(word), "{arguments}: {none}");
        }
        for (arguments, word) in [
            (json!({"project": name, "service": "web", "port": 80, "index": 7}), "numbers: 1, 2"),
            (json!({"project": name, "service": "wbe", "port": 80}), "services: db, job, web"),
            (json!({"project": rig.name("bank"), "service": "web", "port": 80}), "compose_ls"),
        ] {
            let error = rig.call("compose_port", arguments.clone()).await.error();
            assert_eq!(error["kind"], "not_found", "{arguments}: {error}");
            assert!(error["hint"].as_str().unwrap().contains(word), "{arguments}: {error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_of_a_project_are_one() {
    for link in LINKS {
        let rig = Rig::new(link);
        let project = shop(link, &rig);
        let name = project.name.as_str();
        rig.call("compose_wait", json!({"project": name, "services": ["job"]})).await.ok();
        let logs = async |more: Value| {
            let mut arguments = json!({"project": name});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rig.call("compose_logs", arguments).await.text()
        };
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.contains("-1 | ") || line.contains("-2 | ")).map(str::to_owned).collect()
        };
        let all = logs(json!({"tail": 1000})).await;
        assert_eq!(lines(&all).len(), 153, "{link:?}: {all}");
        let last = lines(&logs(json!({})).await);
        assert_eq!(last.len(), 100, "{link:?}");
        // The job is the last to begin, and what it says is masked.
        assert!(last[99].contains("job-1 | job begins with token ") && !all.contains("hunter2"), "{last:?}");
        assert!(last.iter().any(|line| line.contains("web-2 | web begins")), "{last:?}");
        let timed = lines(&logs(json!({"timestamps": true, "tail": 1000})).await);
        assert!(timed.is_sorted_by_key(|line| line.split(' ').next().unwrap().to_owned()), "{timed:?}");
        let found = logs(json!({"grep": "(?i)LINE 14[0-9]$", "tail": 3})).await;
        assert_eq!(lines(&found), ["db-1 | line 147", "db-1 | line 148", "db-1 | line 149"], "{found}");
        assert!(found.contains("3 of 10 matching lines shown, 153 lines read of project"), "{found}");
        let one = logs(json!({"services": ["web"]})).await;
        assert_eq!(lines(&one).len(), 2, "{one}");
        assert_eq!(lines(&logs(json!({"until": "1h"})).await).len(), 0);
        assert_eq!(lines(&logs(json!({"since": "1h", "tail": 200})).await).len(), 153);
        for (more, kind) in [
            (json!({"services": ["wbe"]}), "not_found"),
            (json!({"grep": "("}), "invalid"),
            (json!({"follow_for": 1}), "invalid"),
            (json!({"since": "nonsense"}), "invalid"),
        ] {
            let mut arguments = json!({"project": name});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(rig.call("compose_logs", arguments).await.kind(), kind, "{more}");
        }
    }
}

/// Long logs of several containers, of which only a few lines are looked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_lines_are_found_in_long_logs() {
    let link = Link::Tls;
    let rig = Rig::new(link);
    let script = "seq 1 60000 | sed \"s/$$/ is a line of some length that nobody looks for/\"";
    let file = format!("services:\n  a: {{image: IMAGE, command: [sh, -c, '{script}'], scale: 2}}\n");
    let project = Project::new(link, rig.name("long"), &file);
    project.compose(&["up", "-d"]);
    let waited = json!({"project": project.name, "services": ["a"], "timeout": 120});
    assert_eq!(rig.call("compose_wait", waited).await.ok()["met"], true);
    let begun = Instant::now();
    let found = rig.call("compose_logs", json!({"project": project.name, "grep": "^5999[89] "})).await.text();
    assert_eq!(found.matches(" is a line").count(), 4, "{found}");
    assert!(found.contains("120000 lines read"), "{found}");
    assert!(begun.elapsed() < Duration::from_secs(40));
}

/// The states of a project's containers as the engine has them, by service.
fn states(project: &Project, services: &[&str]) -> Vec<String> {
    services.iter().map(|service| project.inspect(service, "{{.State.Status}}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_is_stopped_and_started() {
    for link in LINKS {
        let rig = Rig::new(link);
        let project = shop(link, &rig);
        let name = project.name.as_str();
        rig.call("compose_wait", json!({"project": name, "services": ["job"]})).await.ok();
        let act = async |tool: &str, more: Value| {
            let mut arguments = json!({"project": name, "host": "lab"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rig.call(tool, arguments).await.ok()
        };
        let done = act("compose_pause", json!({"services": ["web"]})).await;
        assert_eq!(column(&done, "containers", "state"), ["paused", "paused"], "{link:?}: {done}");
        assert_eq!(column(&done, "containers", "was"), ["running", "running"], "{done}");
        assert_eq!(states(&project, &["db", "web"]), ["running", "paused"]);
        act("compose_unpause", json!({"services": ["web"]})).await;
        assert_eq!(states(&project, &["db", "web"]), ["running", "running"]);
        let began = project.inspect("db", "{{.State.StartedAt}}");
        act("compose_restart", json!({"services": ["db"], "grace": 5})).await;
        assert_ne!(project.inspect("db", "{{.State.StartedAt}}"), began);
        let done = act("compose_stop", json!({"grace": 5})).await;
        assert_eq!(states(&project, &["db", "web", "job"]), ["exited", "exited", "exited"], "{done}");
        assert_eq!(done["containers"].as_array().unwrap().len(), 4, "{done}");
        // What it depends on comes first, and is waited for.
        let done = act("compose_start", json!({"services": ["web"]})).await;
        assert_eq!(states(&project, &["db", "web", "job"]), ["running", "running", "exited"], "{done}");
        assert_eq!(column(&done, "containers", "service"), ["db", "web", "web"], "{done}");
        let done = act("compose_kill", json!({"services": ["db"], "signal": "SIGKILL"})).await;
        assert_eq!(states(&project, &["db", "web"]), ["exited", "running"], "{done}");
        for (tool, arguments, kind) in [
            ("compose_stop", json!({"project": rig.name("bank")}), "not_found"),
            ("compose_stop", json!({"project": name, "services": ["wbe"]}), "not_found"),
            ("compose_stop", json!({"project": "--help"}), "not_found"),
            ("compose_kill", json!({"project": name, "signal": "a b"}), "invalid"),
        ] {
            assert_eq!(rig.call(tool, arguments.clone()).await.kind(), kind, "{tool} {arguments}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_in_a_service() {
    for link in LINKS {
        let rig = Rig::new(link);
        let project = shop(link, &rig);
        let run = async |more: Value| {
            let mut arguments = json!({"project": project.name, "service": "web"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rig.call("compose_exec", arguments).await
        };
        let told = run(json!({"command": ["sh", "-c", "echo out; echo err >&2; exit 7"]})).await.text();
        assert!(told.contains("out") && told.contains("stderr:\nerr") && told.contains("exit code 7"), "{told}");
        let told = run(json!({"command": ["hostname"], "index": 2})).await.text();
        assert!(told.contains(&project.id("web", 2)[..12]), "{told}");
        let told = json!({"command": ["sh", "-c", "pwd; id -u; echo $A"], "working_dir": "/tmp", "user": "12",
            "env": {"A": "given"}});
        let told = run(told).await.text();
        assert!(told.contains("/tmp\n12\n") && !told.contains("hunter2"), "{told}");
        // The container's own values stay in there.
        assert!(!run(json!({"command": ["env"]})).await.text().contains("hunter2"));
        let late = run(json!({"command": ["sleep", "30"], "timeout": 1})).await.text();
        assert!(late.contains("ended inside the container"), "{late}");
        assert_eq!(run(json!({"command": []})).await.kind(), "invalid");
        let error = rig
            .call("compose_exec", json!({"project": project.name, "service": "job", "command": ["true"]}))
            .await
            .error();
        assert_eq!(error["kind"], "conflict", "{error}");
    }
}

fn with_files(link: Link, root: &std::path::Path, set: impl FnOnce(&mut Config)) -> Rig {
    let roots = vec![root.to_owned()];
    Rig::set(link, move |config| {
        open(config);
        config.files.roots = Some(roots);
        set(config);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_go_in_and_come_out() {
    for link in LINKS {
        let root = tempfile::tempdir().unwrap();
        let rig = with_files(link, root.path(), |_| {});
        let project = shop(link, &rig);
        let path = |name: &str| root.path().join(name);
        let copy = async |from: &str, to: &str| {
            rig.call("compose_cp", json!({"project": project.name, "from": from, "to": to})).await
        };
        let inside = |script: &str| docker(link, &["exec", &project.id("web", 1), "sh", "-c", script]);
        fs::write(path("motd"), "hello\n").unwrap();
        fs::create_dir(path("site")).unwrap();
        fs::write(path("site/index.html"), "<p>").unwrap();
        // Into a directory, onto a new name, onto what is there, and a directory's contents.
        copy("motd", "web:/tmp").await.ok();
        copy("motd", "web:/tmp/new").await.ok();
        assert_eq!(inside("cat /tmp/motd /tmp/new"), "hello\nhello");
        inside("chown 12:13 /tmp/new && chmod 640 /tmp/new && mkdir /srv && ln -s /srv /tmp/link");
        fs::write(path("motd"), "bye\n").unwrap();
        copy("motd", "web:/tmp/new").await.ok();
        assert_eq!(inside("cat /tmp/new; stat -c '%u %g %a' /tmp/new"), "bye\n12 13 640");
        copy("site", "web:/srv").await.ok();
        copy("motd", "web:/tmp/link").await.ok();
        assert_eq!(inside("cat /srv/index.html /srv/motd"), "<p>bye");
        assert_eq!(copy("motd", "web:/nowhere/else").await.kind(), "not_found");
        assert_eq!(copy("nothing", "web:/tmp").await.kind(), "not_found");

        let out = copy("web:/tmp/new", "back").await.ok();
        assert_eq!((fs::read_to_string(path("back")).unwrap().as_str(), &out["bytes"]), ("bye\n", &json!(4)), "{out}");
        assert_eq!(copy("web:/tmp/new", "back").await.kind(), "conflict");
        let out = copy("web:/srv", "site.tar").await.ok();
        assert!(out["entries"].as_u64().unwrap() >= 3 && path("site.tar").is_file(), "{out}");
        for (from, to) in [("web:/tmp/new", "../escape"), ("../../etc/passwd", "web:/tmp")] {
            assert!(copy(from, to).await.is_error(), "{from} {to}");
        }
        assert_eq!(copy("web:/a", "db:/b").await.kind(), "invalid");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_for_projects() {
    for link in [Link::Unix, Link::Tls] {
        let project = shop(link, &Rig::new(link));
        let name = project.name.as_str();
        let before = states(&project, &["db", "web"]);
        let acts = [
            ("compose_start", json!({"project": name})),
            ("compose_restart", json!({"project": name})),
            ("compose_pause", json!({"project": name})),
            ("compose_unpause", json!({"project": name})),
            ("compose_stop", json!({"project": name})),
            ("compose_exec", json!({"project": name, "service": "web", "command": ["true"]})),
            ("compose_kill", json!({"project": name})),
            ("compose_cp", json!({"project": name, "from": "x", "to": "web:/tmp"})),
        ];
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("x"), "x").unwrap();
        let rig = Rig::with_markers(link, "(ro)");
        for (tool, arguments) in &acts[..7] {
            assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "denied", "{tool}");
        }
        rig.call("compose_ps", json!({"project": name})).await.ok();
        let rig = with_files(link, root.path(), |config| config.hosts[0].mode = quaymaster::config::Mode::Nd);
        for (tool, arguments) in &acts[6..] {
            assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "denied", "{tool}");
        }
        rig.call("compose_pause", json!({"project": name, "services": ["web"]})).await.ok();
        rig.call("compose_unpause", json!({"project": name, "services": ["web"]})).await.ok();
        // The container that Quaymaster itself is in.
        let spec = [format!("lab={}", link.endpoint())];
        let inside = gateway_inside(&project.id("db", 1), &spec);
        for (tool, arguments) in &acts[1..5] {
            let Value::Object(arguments) = arguments.clone() else { unreachable!() };
            let outcome = inside.call(Request::new(inside.caller("test"), *tool, arguments)).await;
            let error = crate::rig::Reply::of(outcome).error();
            if *tool != "compose_unpause" {
                assert!(error["message"].as_str().unwrap().contains("Quaymaster itself"), "{tool}: {error}");
            }
        }
        // A denied container does not exist, for compose neither.
        let denying = Rig::set(link, |config| {
            open(config);
            config.hosts[0].limits.containers = quaymaster::config::Globs::new(&[], &["*-job-*".to_owned()]).unwrap();
        });
        let seen = denying.call("compose_ps", json!({"project": name, "all": true})).await.ok();
        assert_eq!(column(&seen, "containers", "service"), ["db", "web", "web"], "{seen}");
        let began = |service: &str| project.inspect(service, "{{.State.StartedAt}}");
        let (job, web) = (began("job"), began("web"));
        denying.call("compose_restart", json!({"project": name, "grace": 5})).await.ok();
        assert_eq!((began("job") == job, began("web") == web), (true, false), "{link:?}");
        assert_eq!(before, ["running", "running"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_cli_it_is_said_what_to_install() {
    let link = Link::Unix;
    let project = shop(link, &Rig::new(link));
    let mut bare = environment();
    bare.variables = [("PATH".to_owned(), "/nonexistent".to_owned())].into();
    bare.home = Some("/nonexistent".into());
    let gateway = gateway_in(bare, &[format!("lab={}", link.endpoint())], open);
    let listed: Vec<&str> = gateway.catalogue().listed().map(|entry| entry.card.name).collect();
    for tool in ["compose_start", "compose_restart", "compose_pause", "compose_unpause", "compose_stop", "compose_kill"]
    {
        assert!(!listed.contains(&tool), "{tool} is listed");
    }
    let call = async |tool: &str, arguments: Value| {
        let Value::Object(arguments) = arguments else { unreachable!() };
        crate::rig::Reply::of(gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await)
    };
    // What needs no program works.
    assert!(listed.contains(&"compose_ps") && listed.contains(&"compose_exec") && listed.contains(&"compose_cp"));
    call("compose_ps", json!({"project": project.name})).await.ok();
    let inner = json!({"name": "compose_stop", "arguments": {"project": project.name}});
    let error = call("call_tool", inner).await.error();
    assert_eq!(error["kind"], "unsupported", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("docker-ce-cli"), "{error}");
    let found = call("find_tools", json!({"query": "compose_stop", "limit": 1})).await.ok();
    assert!(found["tools"][0]["why"].as_str().unwrap().starts_with("program: the docker CLI"), "{found}");
    assert_eq!(states(&project, &["web"]), ["running"]);
}
