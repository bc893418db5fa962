//! Commands inside containers: what they answer, and that they are ended.

use std::time::{Duration, Instant};

use quaymaster::gateway::Request;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::rig::{LINKS, Link, Rig, lab};

#[tokio::test]
async fn commands_answer_their_output_and_exit_code() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("exec").await;
        let exec = async |mut arguments: Value| {
            arguments["container"] = json!(name);
            rig.call("exec_in_container", arguments).await.text()
        };
        let text = exec(json!({"command": ["echo", "$HOME", "a  b"]})).await;
        assert!(text.contains("\n$HOME a  b\n") && text.ends_with("exit code 0"), "{link:?}: {text}");
        assert!(text.starts_with(&format!("[begin of data from host lab, container {name}, boundary ")), "{text}");
        let text = exec(json!({"shell": "echo out; echo err >&2; exit 5"})).await;
        assert!(text.contains("stdout:\nout\nstderr:\nerr\n") && text.ends_with("exit code 5"), "{text}");
        let text = exec(json!({"command": ["cat"], "stdin": "from the caller\n"})).await;
        assert!(text.contains("\nfrom the caller\n") && text.ends_with("exit code 0"), "{link:?}: {text}");
        let text = exec(json!({"shell": "wc -c", "stdin": "x".repeat(300_000)})).await;
        assert!(text.contains("300000"), "{link:?}: {text}");
        let text = exec(json!({"shell": "echo unread", "stdin": "x".repeat(2_000_000), "timeout": 10})).await;
        assert!(text.contains("\nunread\n") && text.ends_with("exit code 0"), "{link:?}: {text}");
        let asked = json!({"shell": "id -u; pwd; echo $COLOUR", "user": "65534", "working_dir": "/tmp", "env": {"COLOUR": "blue"}});
        let text = exec(asked).await;
        assert!(text.contains("\n65534\n/tmp\nblue\n"), "{text}");
        let capabilities = json!({"shell": "grep CapEff /proc/self/status", "privileged": true});
        let with = exec(capabilities).await;
        let without = exec(json!({"shell": "grep CapEff /proc/self/status"})).await;
        assert_ne!(with, without);
        let text = exec(json!({"shell": "printf '\\033[31mred\\033[0m\\n'"})).await;
        assert!(text.contains("\nred\n"), "{text:?}");
        let text = exec(json!({"shell": "echo begin; yes | head -c 2000000; echo end", "max_output": 500})).await;
        assert!(text.contains("begin\n") && text.contains("\nend\n") && text.len() < 900, "{text}");
        assert!(text.contains("characters left out") && text.ends_with("exit code 0"), "{text}");
        let text =
            exec(json!({"shell": "head -c 5000000 /dev/zero | tr '\\0' x; sleep 0.1; echo; echo end", "timeout": 60}))
                .await;
        assert!(text.contains("end\n") && text.len() < 24_000, "{}", text.len());
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn a_program_that_is_missing_is_told() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("missing").await;
        let reply = rig.call("exec_in_container", json!({"container": name, "command": ["/no/such"]})).await;
        let text = format!("{reply:?}");
        assert!(text.contains("no such file") || text.contains("exit code 12"), "{link:?}: {text}");
        rig.remove(&name).await;
    }
}

/// Whether a process with this argument runs in the container.
async fn runs(rig: &Rig, container: &str, argument: &str) -> bool {
    let script = format!("ps | grep -v grep | grep -c 'sleep {argument}$'");
    let text = rig.call("exec_in_container", json!({"container": container, "shell": script})).await.text();
    !text.contains("\n0\n")
}

#[tokio::test]
async fn a_command_is_ended_inside_when_its_time_is_up() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("slow").await;
        for (argument, script) in [
            ("4711", "echo begun; sleep 4711"),
            ("4712", "echo begun; trap '' TERM; sleep 4712; sleep 4712"),
            ("4713", "echo begun; (sleep 4713 &) ; wait; sleep 4713"),
        ] {
            let begun = Instant::now();
            let arguments = json!({"container": name, "shell": script, "timeout": 1});
            let text = rig.call("exec_in_container", arguments).await.text();
            assert!(text.contains("\nbegun\n"), "{text}");
            assert!(text.ends_with("it took longer than 1 s; it was ended inside the container"), "{link:?}: {text}");
            assert!(begun.elapsed().as_secs() < 12, "{:?}", begun.elapsed());
            assert!(!runs(&rig, &name, argument).await, "{link:?} {argument}");
        }
        let arguments = json!({"container": name, "command": ["sleep", "4714"], "timeout": 1, "user": "65534"});
        let text = rig.call("exec_in_container", arguments).await.text();
        assert!(text.ends_with("it was ended inside the container"), "{link:?}: {text}");
        assert!(!runs(&rig, &name, "4714").await);
        assert!(runs(&rig, &name, "600").await, "what was not started by it goes on");
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn a_command_without_a_shell_to_end_it_is_said_to_run() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.name("bare");
        let script = "rm /bin/sh && exec sleep 600";
        let arguments = json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sh", "-c", script]});
        rig.call("run_container", arguments).await.ok();
        let arguments = json!({"container": name, "command": ["sleep", "30"], "timeout": 1});
        let text = rig.call("exec_in_container", arguments).await.text();
        assert!(text.contains("it still runs as exec"), "{link:?}: {text}");
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn a_command_that_is_taken_back_is_ended_too() {
    for link in LINKS {
        let rig = Rig::new(link);
        let name = rig.sleeper("taken").await;
        let arguments = json!({"host": "lab", "container": name, "command": ["sleep", "4715"], "timeout": 60});
        let request =
            Request::new(rig.gateway.caller("test"), "exec_in_container", arguments.as_object().cloned().unwrap());
        let cancelled = request.cancelled.clone();
        let gateway = rig.gateway.clone();
        let call = tokio::spawn(async move { gateway.call(request).await });
        while !runs(&rig, &name, "4715").await {
            sleep(Duration::from_millis(100)).await;
        }
        cancelled.cancel();
        assert!(call.await.unwrap().is_err());
        let begun = Instant::now();
        while runs(&rig, &name, "4715").await {
            assert!(begun.elapsed().as_secs() < 8, "{link:?}: it still runs");
            sleep(Duration::from_millis(200)).await;
        }
        rig.remove(&name).await;
    }
}

#[tokio::test]
async fn commands_need_a_container_that_runs() {
    let rig = Rig::new(Link::Unix);
    let name = rig.name("stopped");
    rig.call("create_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["true"]})).await.ok();
    let error = rig.call("exec_in_container", json!({"container": name, "command": ["true"]})).await.error();
    assert_eq!(error["kind"], "conflict", "{error}");
    rig.remove(&name).await;
    let name = rig.sleeper("paused").await;
    rig.call("pause_container", json!({"containers": [name]})).await.ok();
    let error = rig.call("exec_in_container", json!({"container": name, "command": ["true"]})).await.error();
    assert!(error["hint"].as_str().unwrap().contains("unpause_container"), "{error}");
    rig.remove(&name).await;
}
