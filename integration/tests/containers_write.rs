//! The tools that make, change, enter and remove containers, over every link.

#![expect(clippy::expect_used, reason = "what helps a test fails as a test does")]

use std::time::Instant;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::rig::{LINKS, Link, Rig, lab};

/// A request beside Quaymaster: the status and the JSON of its answer.
pub async fn ask(mut socket: impl AsyncRead + AsyncWrite + Unpin, head: &str, body: &str) -> (u16, Value) {
    let request = format!("{head}\r\nHost: lab\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    socket.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    // There may be the sizes of chunks around it.
    let document =
        body.find(['{', '[']).zip(body.rfind(['}', ']'])).and_then(|(from, to)| body.get(from..=to)).unwrap_or("null");
    (status, serde_json::from_str(document).expect("JSON"))
}

async fn engine(link: Link, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let socket = UnixStream::connect(link.socket()).await.expect("the engine's socket");
    let head = format!("{method} {path} HTTP/1.0\r\nContent-Type: application/json");
    ask(socket, &head, &if body.is_null() { String::new() } else { body.to_string() }).await
}

/// What the engine itself says.
async fn read(link: Link, path: &str) -> Value {
    engine(link, "GET", path, &Value::Null).await.1
}

async fn delete(link: Link, path: &str) {
    let (status, answer) = engine(link, "DELETE", path, &Value::Null).await;
    assert!((200..300).contains(&status), "{path}: {answer}");
}

async fn facts(link: Link, container: &str) -> Value {
    read(link, &format!("/containers/{container}/json")).await
}

async fn exists(link: Link, container: &str) -> bool {
    facts(link, container).await.get("Id").is_some()
}

#[tokio::test]
async fn a_container_is_run_as_it_was_asked_for() {
    for link in LINKS {
        let rig = Rig::new(link);
        let (name, volume) = (rig.name("full"), rig.name("volume"));
        let ran = rig
            .call(
                "run_container",
                json!({
                    "image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"],
                    "env": {"COLOUR": "blue", "LINES": "a\nb=c"},
                    "ports": ["127.0.0.1::8080", "127.0.0.1::5353/udp"],
                    "mounts": [format!("{volume}:/data:ro"), "/cache", "type=tmpfs,dst=/scratch,tmpfs-size=1m"],
                    "networks": ["bridge"], "hostname": "quay", "user": "0:0", "working_dir": "/tmp",
                    "entrypoint": [], "restart": "on-failure:3", "labels": {"team": "harbour"},
                    "memory": "64m", "cpus": 0.5, "pids": 50, "health_command": "true", "health_interval": "1m30s",
                    "init": false, "read_only_root": true, "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"],
                    "security_opt": ["no-new-privileges"], "devices": ["/dev/null:/dev/nothing:r"], "pull": "never",
                }),
            )
            .await
            .ok();
        assert_eq!(ran["name"], name.as_str());
        assert_eq!(ran["state"], "running", "{link:?}: {ran}");
        let ports = ran["ports"].as_array().expect("ports");
        assert!(ports.len() == 2 && ports[0].as_str().unwrap().starts_with("127.0.0.1:"), "{ran}");
        let is = facts(link, &name).await;
        let at = |pointer: &str| is.pointer(pointer).cloned().unwrap_or_default();
        let env = at("/Config/Env");
        let env: Vec<&str> = env.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(env.contains(&"COLOUR=blue") && env.contains(&"LINES=a\nb=c"), "{env:?}");
        for (pointer, expected) in [
            ("/Config/Cmd", json!(["sleep", "600"])),
            ("/Config/Image", json!(lab("LAB_IMAGE"))),
            ("/Config/Hostname", json!("quay")),
            ("/Config/User", json!("0:0")),
            ("/Config/WorkingDir", json!("/tmp")),
            ("/Config/Labels/team", json!("harbour")),
            ("/Config/Labels/quaymaster.managed", json!("true")),
            ("/Config/Labels/quaymaster.tool", json!("run_container")),
            ("/Config/Healthcheck/Test", json!(["CMD-SHELL", "true"])),
            ("/Config/Healthcheck/Interval", json!(90_000_000_000_i64)),
            ("/HostConfig/RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 3})),
            ("/HostConfig/Memory", json!(64 << 20)),
            ("/HostConfig/NanoCpus", json!(500_000_000)),
            ("/HostConfig/PidsLimit", json!(50)),
            ("/HostConfig/ReadonlyRootfs", json!(true)),
            ("/HostConfig/Privileged", json!(false)),
            ("/HostConfig/AutoRemove", json!(false)),
            ("/HostConfig/CapDrop", json!(["MKNOD"])),
            ("/HostConfig/SecurityOpt", json!(["no-new-privileges"])),
            ("/HostConfig/NetworkMode", json!("bridge")),
            ("/HostConfig/Devices/0/PathInContainer", json!("/dev/nothing")),
            ("/HostConfig/Binds", json!([format!("{volume}:/data:ro")])),
            ("/HostConfig/Mounts/0/TmpfsOptions/SizeBytes", json!(1 << 20)),
            ("/HostConfig/PortBindings/5353~1udp/0/HostIp", json!("127.0.0.1")),
        ] {
            assert_eq!(at(pointer), expected, "{link:?} {pointer}");
        }
        assert!(at("/HostConfig/CapAdd/0").as_str().unwrap().ends_with("NET_ADMIN"));
        let destinations: Vec<Value> =
            at("/Mounts").as_array().unwrap().iter().map(|mount| mount["Destination"].clone()).collect();
        assert!(destinations.contains(&json!("/cache")) && destinations.contains(&json!("/data")), "{destinations:?}");
        rig.remove(&name).await;
        assert!(!exists(link, &name).await);
        delete(link, &format!("/volumes/{volume}")).await;
    }
}

#[tokio::test]
async fn what_rare_arguments_ask_for_arrives_too() {
    let rig = Rig::new(Link::Tls);
    let name = rig.name("rare");
    let made = rig
        .call(
            "create_container",
            json!({
                "image": lab("LAB_IMAGE"), "name": name, "entrypoint": ["/bin/sh", "-c"], "command": ["true"],
                "privileged": true, "init": true, "auto_remove": true, "gpus": "2", "platform": "linux/amd64",
                "networks": ["host"], "mounts": ["type=bind,src=/tmp,dst=/host,readonly"], "pull": "missing",
            }),
        )
        .await
        .ok();
    assert_eq!(made["name"], name.as_str());
    let is = facts(Link::Tls, &name).await;
    for (pointer, expected) in [
        ("/Config/Entrypoint", json!(["/bin/sh", "-c"])),
        ("/HostConfig/Privileged", json!(true)),
        ("/HostConfig/Init", json!(true)),
        ("/HostConfig/AutoRemove", json!(true)),
        ("/HostConfig/DeviceRequests/0/Count", json!(2)),
        ("/HostConfig/NetworkMode", json!("host")),
        ("/HostConfig/Mounts/0/ReadOnly", json!(true)),
        ("/State/Status", json!("created")),
        ("/Config/Labels/quaymaster.tool", json!("create_container")),
    ] {
        assert_eq!(is.pointer(pointer), Some(&expected), "{pointer}");
    }
    rig.remove(&name).await;
}

#[tokio::test]
async fn a_run_that_is_waited_for_answers_output_and_exit_code() {
    for link in LINKS {
        let rig = Rig::new(link);
        for auto_remove in [false, true] {
            let name = rig.name("job");
            let arguments = json!({
                "image": lab("LAB_IMAGE"), "name": name, "auto_remove": auto_remove, "wait": 30,
                "command": ["sh", "-c", "echo first; echo problem >&2; sleep 0.2; echo last; exit 7"],
            });
            let ran = rig.call("run_container", arguments).await;
            let text = format!("{ran:?}");
            let ran = ran.ok();
            assert_eq!(ran["exit_code"], 7, "{link:?}: {ran}");
            assert_eq!(ran["output"], "stdout:\nfirst\nlast\nstderr:\nproblem\n", "{link:?}");
            assert!(text.contains("ended with exit code 7") && text.contains("begin of data from host lab"), "{text}");
            if auto_remove {
                assert!(!exists(link, &name).await);
            } else {
                assert_eq!(ran["state"], "exited");
                rig.remove(&name).await;
            }
        }
    }
}

#[tokio::test]
async fn a_run_that_outlasts_its_wait_goes_on() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.name("long");
        let begun = Instant::now();
        let ran = rig
            .call(
                "run_container",
                json!({"image": lab("LAB_IMAGE"), "name": name, "wait": 2, "command": ["sh", "-c", "echo up; sleep 600"]}),
            )
            .await;
        let text = format!("{ran:?}");
        let ran = ran.ok();
        assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
        assert!(text.contains("still runs after 2 s"), "{text}");
        assert_eq!((&ran["output"], &ran["state"]), (&json!("up\n"), &json!("running")), "{link:?}");
        assert!(ran.get("exit_code").is_none());
        assert_eq!(facts(link, &name).await["State"]["Running"], true);
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn endless_output_is_cut_in_the_middle() {
    let rig = Rig::new(Link::Unix);
    let name = rig.name("loud");
    let command = ["sh", "-c", "echo begin; yes abcdefghijklmnop | head -c 3000000; echo end"];
    let ran = rig
        .call("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "wait": 60, "command": command}))
        .await
        .ok();
    let output = ran["output"].as_str().unwrap();
    assert!(output.starts_with("begin\n") && output.ends_with("end\n"), "{output}");
    assert!(output.contains("characters left out") && output.len() < 9_000, "{}", output.len());
    rig.remove(&name).await;
}

#[tokio::test]
async fn a_failed_start_is_seen_at_once() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.name("fails");
        let command = ["sh", "-c", "echo no configuration >&2; exit 3"];
        let ran =
            rig.call("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": command})).await.ok();
        assert_eq!((&ran["state"], &ran["exit_code"]), (&json!("exited"), &json!(3)), "{link:?}: {ran}");
        assert_eq!(ran["output"], "no configuration");
        rig.remove(&name).await;

        let error = rig
            .call("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["/no/such/program"]}))
            .await
            .error();
        let hint = error["hint"].as_str().unwrap();
        assert!(hint.contains(&name) && hint.contains("remains") && hint.contains("remove_container"), "{error}");
        assert!(exists(link, &name).await, "{link:?}: nothing is removed by itself");
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn several_networks_are_joined_on_every_engine() {
    for link in LINKS {
        let rig = Rig::new(link);
        let (first, second, name) = (rig.name("one"), rig.name("two"), rig.name("joined"));
        for network in [&first, &second] {
            engine(link, "POST", "/networks/create", &json!({"Name": network})).await;
        }
        let arguments = json!({
            "image": lab("LAB_IMAGE"), "name": name, "networks": [first, second], "command": ["sleep", "600"],
        });
        rig.call("run_container", arguments).await.ok();
        let is = facts(link, &name).await;
        let networks = is["NetworkSettings"]["Networks"].as_object().unwrap();
        let mut joined: Vec<&String> = networks.keys().collect();
        joined.sort();
        assert_eq!(joined, [&first, &second], "{link:?}");
        assert!(networks.values().all(|network| network["IPAddress"].as_str().is_some_and(|text| !text.is_empty())));

        let beside = rig.name("beside");
        let arguments = json!({
            "image": lab("LAB_IMAGE"), "name": beside, "networks": [format!("container:{name}")], "command": ["true"],
        });
        rig.call("create_container", arguments).await.ok();
        let mode = facts(link, &beside).await["HostConfig"]["NetworkMode"].clone();
        assert_eq!(mode, json!(format!("container:{}", is["Id"].as_str().unwrap())));
        let error =
            rig.call("run_container", json!({"image": lab("LAB_IMAGE"), "networks": ["host", first]})).await.error();
        assert_eq!(error["kind"], "invalid", "{error}");
        rig.remove(&beside).await;
        rig.remove(&name).await;
        for network in [first, second] {
            delete(link, &format!("/networks/{network}")).await;
        }
    }
}

/// Gives the registry's image another tag, so that no other test has pulled it.
async fn tag_in_registry(tag: &str) -> String {
    let registry = lab("LAB_REGISTRY");
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let socket = TcpStream::connect(&registry).await.expect("the registry");
    let (_, manifest) = ask(socket, &format!("GET /v2/lab/base/manifests/1 HTTP/1.0\r\nAccept: {kind}"), "").await;
    let socket = TcpStream::connect(&registry).await.expect("the registry");
    let head = format!("PUT /v2/lab/base/manifests/{tag} HTTP/1.0\r\nContent-Type: {kind}");
    let (status, answer) = ask(socket, &head, &manifest.to_string()).await;
    assert_eq!(status, 201, "{answer}");
    format!("{registry}/lab/base:{tag}")
}

#[tokio::test]
async fn images_are_pulled_when_that_is_asked_for() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.name("pulled");
        let image = tag_in_registry(&name).await;
        let run = |pull: &str| json!({"image": image, "name": name, "pull": pull, "command": ["true"], "wait": 30});
        let error = rig.call("run_container", run("never")).await.error();
        assert_eq!(error["kind"], "not_found", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("missing"), "{error}");
        for pull in ["missing", "missing", "always", "never"] {
            assert_eq!(rig.call("run_container", run(pull)).await.ok()["exit_code"], 0, "{link:?} {pull}");
            rig.remove(&name).await;
        }
        delete(link, &format!("/images/{image}")).await;

        let unknown = format!("{}/lab/base:{}", lab("LAB_REGISTRY"), rig.name("unknown"));
        let error = rig.call("create_container", json!({"image": unknown, "name": name})).await.error();
        assert!(error["message"].as_str().unwrap().contains("cannot pull"), "{error}");
        assert!(!exists(link, &name).await);

        // Nobody listens there.
        let deaf = json!({"image": "127.0.0.1:9/lab/base:1", "name": name});
        let error = rig.call("create_container", deaf).await.error().to_string();
        assert!(
            error.contains("cannot reach registry") && !error.contains("http") && !error.contains("dial"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn containers_are_renamed_and_updated() {
    for link in LINKS {
        let rig = Rig::new(link);
        let (old, new) = (rig.sleeper("old").await, rig.name("new"));
        let renamed = rig.call("rename_container", json!({"container": old, "name": new})).await.ok();
        assert_eq!((&renamed["name"], &renamed["old_name"]), (&json!(new), &json!(old)));
        assert!(exists(link, &new).await && !exists(link, &old).await);
        assert_eq!(rig.call("rename_container", json!({"container": new, "name": "a/b"})).await.kind(), "invalid");

        let updated = rig
            .call(
                "update_container",
                json!({
                    "container": new, "memory": "128m", "memory_swap": "256m", "cpus": 1.5, "cpu_shares": 512,
                    "pids": 99, "restart": "unless-stopped",
                }),
            )
            .await
            .ok();
        let changes: Vec<(&str, &str)> = updated["changes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|change| (change["setting"].as_str().unwrap(), change["new"].as_str().unwrap()))
            .collect();
        assert_eq!(
            changes,
            [
                ("memory", "128 MiB"),
                ("memory_swap", "256 MiB"),
                ("cpus", "1.5"),
                ("cpu_shares", "512"),
                ("pids", "99"),
                ("restart", "unless-stopped")
            ],
            "{link:?}"
        );
        assert_eq!(updated["changes"][0]["old"], "no limit");
        assert_eq!(updated["changes"][5]["old"], "no");
        let is = facts(link, &new).await;
        assert_eq!(is["HostConfig"]["Memory"], 128 << 20);
        assert_eq!(is["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
        assert_eq!(rig.call("update_container", json!({"container": new})).await.kind(), "invalid");
        rig.remove(&new).await;
    }
}

#[tokio::test]
async fn removal_needs_force_while_it_runs() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("busy").await;
        let error = rig.call("remove_container", json!({"containers": [name]})).await.error();
        assert_eq!(error["kind"], "conflict", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("force"), "{error}");
        assert!(exists(link, &name).await);
        let missing = rig.name("missing");
        let removed = rig.call("remove_container", json!({"containers": [name, missing], "force": true})).await.ok();
        assert_eq!(removed["results"][0]["result"], "removed", "{removed}");
        assert_eq!(removed["results"][1]["result"], "not_found", "{removed}");
        assert!(!exists(link, &name).await);
    }
}

#[tokio::test]
async fn anonymous_volumes_go_only_when_asked() {
    for link in LINKS {
        let rig = Rig::new(link);
        for volumes in [false, true] {
            let name = rig.name("holder");
            let arguments = json!({"image": lab("LAB_IMAGE"), "name": name, "mounts": ["/data"], "command": ["true"]});
            rig.call("create_container", arguments).await.ok();
            let volume = facts(link, &name).await["Mounts"][0]["Name"].as_str().unwrap().to_owned();
            rig.call("remove_container", json!({"containers": [name], "volumes": volumes})).await.ok();
            let stays = read(link, &format!("/volumes/{volume}")).await.get("Name").is_some();
            assert_eq!(stays, !volumes, "{link:?}");
            if stays {
                delete(link, &format!("/volumes/{volume}")).await;
            }
        }
    }
}

#[tokio::test]
async fn prune_shows_first_and_spares_what_runs() {
    for link in LINKS {
        let rig = Rig::new(link);
        let mark = rig.name("mark");
        let make = |name: String, command: Value| json!({"image": lab("LAB_IMAGE"), "name": name, "labels": {"prune": mark}, "command": command});
        let (stopped, fresh, running) = (rig.name("stopped"), rig.name("fresh"), rig.name("running"));
        let arguments = make(stopped.clone(), json!(["sh", "-c", "head -c 5000 /dev/zero > /file"]));
        rig.call("run_container", arguments).await.ok();
        rig.call("create_container", make(fresh.clone(), json!(["true"]))).await.ok();
        rig.call("run_container", make(running.clone(), json!(["sleep", "600"]))).await.ok();
        let label = format!("prune={mark}");
        let shown = rig.call("prune_containers", json!({"label": [label]})).await.ok();
        let names = |rows: &Value| {
            let mut names: Vec<String> =
                rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let mut expected = vec![stopped.clone(), fresh.clone()];
        expected.sort();
        assert_eq!(names(&shown["would_remove"]), expected, "{link:?}: {shown}");
        assert!(exists(link, &stopped).await);
        let none = rig.call("prune_containers", json!({"label": [label], "until": "1h", "dry_run": false})).await.ok();
        assert!(none["removed"].is_null() && none["would_remove"].is_null(), "{none}");
        let read_only = Rig::with_markers(link, "(ro)");
        let shown = read_only.call("prune_containers", json!({"label": [label]})).await.ok();
        assert_eq!(names(&shown["would_remove"]), expected, "{shown}");
        let careful = Rig::with_markers(link, "(nd)");
        let refused = json!({"label": [label], "dry_run": false});
        assert_eq!(careful.call("prune_containers", refused.clone()).await.kind(), "denied");
        assert!(exists(link, &stopped).await);
        let pruned = rig.call("prune_containers", refused).await.ok();
        assert_eq!(names(&pruned["removed"]), expected, "{pruned}");
        assert!(!exists(link, &stopped).await && !exists(link, &fresh).await && exists(link, &running).await);
        rig.remove(&running).await;
    }
}

#[tokio::test]
async fn an_image_is_made_of_a_container() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("source").await;
        rig.call("exec_in_container", json!({"container": name, "shell": "echo kept > /kept"})).await.text();
        let image = format!("{}:v1", rig.name("image"));
        let made = rig
            .call(
                "commit_container",
                json!({
                    "container": name, "image": image, "message": "kept; and more", "author": "harbour", "pause": false,
                    "changes": ["ENV COLOUR=blue", "CMD [\"cat\", \"/kept\"]"],
                }),
            )
            .await
            .ok();
        assert_eq!(made["image"], image.as_str());
        let is = read(link, &format!("/images/{image}/json")).await;
        assert_eq!((&is["Comment"], &is["Author"]), (&json!("kept; and more"), &json!("harbour")), "{link:?}");
        assert!(is["Id"].as_str().unwrap().contains(made["id"].as_str().unwrap()));
        let job = rig.name("job");
        let ran = rig.call("run_container", json!({"image": image, "name": job, "wait": 30})).await.ok();
        assert_eq!(ran["output"], "kept\n", "{link:?}");
        for wrong in ["../x", "a b", "sha256:abc", "a:b:c", "%2f"] {
            let kind = rig.call("commit_container", json!({"container": name, "image": wrong})).await.kind();
            assert_eq!(kind, "invalid", "{wrong}");
        }
        rig.remove(&job).await;
        rig.remove(&name).await;
        delete(link, &format!("/images/{image}")).await;
    }
}

#[tokio::test]
async fn read_only_and_careful_hosts_refuse_what_they_must() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("guarded").await;
        let writes = [
            ("run_container", json!({"image": lab("LAB_IMAGE"), "name": rig.name("never")})),
            ("create_container", json!({"image": lab("LAB_IMAGE"), "name": rig.name("never")})),
            ("rename_container", json!({"container": name, "name": rig.name("never")})),
            ("update_container", json!({"container": name, "memory": "64m"})),
            ("remove_container", json!({"containers": [name], "force": true})),
            ("prune_containers", json!({"label": [rig.name("never")], "dry_run": false})),
            ("exec_in_container", json!({"container": name, "command": ["true"]})),
            ("commit_container", json!({"container": name, "image": rig.name("never")})),
        ];
        let read_only = Rig::with_markers(link, "(ro)");
        for (tool, arguments) in &writes {
            assert_eq!(read_only.call(tool, arguments.clone()).await.kind(), "denied", "{link:?} {tool}");
        }
        let careful = Rig::with_markers(link, "(nd)");
        let error = careful.call("remove_container", json!({"containers": [name], "force": true})).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        let text =
            careful.call("exec_in_container", json!({"container": name, "command": ["echo", "hi"]})).await.text();
        assert!(text.contains("\nhi\n"), "{text}");
        assert!(exists(link, &name).await && !exists(link, &rig.name("never")).await);
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn hostile_arguments_are_refused_by_name() {
    let rig = Rig::new(Link::Unix);
    let long = "a".repeat(10_240);
    let image = lab("LAB_IMAGE");
    for name in ["../info", "a/b", "a%2fb", "a\nb", "a\0b", "", "a?x=1", "a b", long.as_str()] {
        for (tool, arguments) in [
            ("run_container", json!({"image": name})),
            ("run_container", json!({"image": image, "name": name})),
            ("create_container", json!({"image": image, "networks": [format!("container:{name}")]})),
            ("rename_container", json!({"container": name, "name": "x"})),
            ("rename_container", json!({"container": "x", "name": name})),
            ("update_container", json!({"container": name, "memory": "64m"})),
            ("remove_container", json!({"containers": [name]})),
            ("exec_in_container", json!({"container": name, "command": ["true"]})),
            ("commit_container", json!({"container": name, "image": "x"})),
        ] {
            // An image may have slashes.
            let kind = match rig.call(tool, arguments.clone()).await.kind() {
                kind if kind == "invalid" => continue,
                kind => kind,
            };
            assert_eq!((tool, name), ("run_container", "a/b"), "{kind}: {arguments}");
        }
    }
    let run = |field: &str, value: Value| {
        let mut arguments = json!({"image": image, "name": rig.name("hostile")});
        arguments[field] = value;
        arguments
    };
    for (field, value) in [
        ("ports", json!(["80:http"])),
        ("ports", json!("80")),
        ("mounts", json!(["./here:/x"])),
        ("mounts", json!(["a:/x:wrong"])),
        ("networks", json!(["a\nb"])),
        ("memory", json!("lots")),
        ("memory", json!(5)),
        ("cpus", json!(-1)),
        ("cpus", json!("1")),
        ("restart", json!("sometimes")),
        ("env", json!({"A=B": "c"})),
        ("env", json!({"A": 1})),
        ("env", json!({"A": "b\0c"})),
        ("env", json!(["A=b"])),
        ("command", json!("sleep 5")),
        ("command", json!(["a\0b"])),
        ("user", json!("a\nb")),
        ("hostname", json!("")),
        ("health_interval", json!("soon")),
        ("devices", json!(["sda"])),
        ("gpus", json!("many")),
        ("pull", json!("sometimes")),
        ("wait", json!(0)),
        ("wait", json!(601)),
        ("wait", json!("5")),
        ("cap_add", json!(["a\u{1b}[0m"])),
        ("volumes", json!(true)),
    ] {
        let error = rig.call("run_container", run(field, value.clone())).await.error();
        assert_eq!(error["kind"], "invalid", "{field} {value}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("\"{field}\"")), "{field} {value}: {error}");
    }
    for (tool, arguments) in [
        ("create_container", json!({"image": image, "wait": 5})),
        ("exec_in_container", json!({"container": "x"})),
        ("exec_in_container", json!({"container": "x", "command": ["a"], "shell": "b"})),
        ("exec_in_container", json!({"container": "x", "shell": "b", "timeout": 0})),
        ("exec_in_container", json!({"container": "x", "shell": "b", "timeout": 601})),
        ("exec_in_container", json!({"container": "x", "shell": "b", "max_output": 1_000_000})),
        ("exec_in_container", json!({"container": "x", "shell": "b", "tty": true})),
        ("prune_containers", json!({"until": "yesterday"})),
        ("prune_containers", json!({"all": true})),
        ("remove_container", json!({"containers": []})),
        ("remove_container", json!({"containers": vec!["a"; 201]})),
        ("update_container", json!({"container": "x", "memory": "-5"})),
        ("update_container", json!({"container": "x", "pids": -2})),
        ("commit_container", json!({"container": "x", "image": "y", "changes": ["ENV A=b\nUSER root"]})),
    ] {
        assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "invalid", "{tool} {arguments}");
    }
    let missing = rig.name("missing");
    for (tool, arguments) in [
        ("rename_container", json!({"container": missing, "name": "x"})),
        ("update_container", json!({"container": missing, "memory": "64m"})),
        ("remove_container", json!({"containers": [missing]})),
        ("exec_in_container", json!({"container": missing, "command": ["true"]})),
        ("commit_container", json!({"container": missing, "image": "x"})),
        ("run_container", json!({"image": image, "networks": [missing]})),
    ] {
        assert_eq!(rig.call(tool, arguments).await.kind(), "not_found", "{tool}");
    }
}
