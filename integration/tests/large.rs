//! The real binary carries what is larger than all it may take: by itself and through the socket of a docker CLI.

use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    engine::docker,
    rig::{LINKS, Link, lab, programs},
};

/// What a debug binary may take at most, in KiB; the release binary takes a quarter of it.
const MOST: u64 = 100 << 10;
/// What is carried.
const LARGE: u64 = 320 << 20;

/// A directory with a Dockerfile that does not look at the large file beside it.
fn context(more: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("Dockerfile"), "FROM scratch\nCOPY large /\n").unwrap();
    for (name, content) in more {
        fs::write(directory.path().join(name), content).unwrap();
    }
    // Holes for an engine, bytes for whoever carries them.
    fs::File::create(directory.path().join("large")).unwrap().set_len(LARGE).unwrap();
    directory
}

/// Calls a tool of the binary inside a directory; what it prints.
#[track_caller]
fn call(link: Link, directory: &TempDir, tool: &str, arguments: &[&str]) -> String {
    let state = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_quaymaster"))
        .args(["call", tool, "host=lab"])
        .args(arguments)
        .current_dir(directory.path())
        .env_clear()
        .envs(programs())
        .env("HOME", lab("LAB_HOME"))
        .env("XDG_STATE_HOME", state.path())
        .env("QUAYMASTER_HOSTS", format!("lab={}", link.endpoint()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let found = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = found.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default();
        peak = peak.max(kib);
        std::thread::sleep(Duration::from_millis(20));
    }
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{tool} over {link:?}: {said} {}", String::from_utf8_lossy(&done.stderr));
    assert!(peak > 0 && peak < MOST, "{tool} over {link:?}: {peak} KiB at most");
    said
}

#[test]
fn a_build_context_is_streamed() {
    for link in LINKS {
        let directory = context(&[]);
        let answer: Value = call(link, &directory, "build_image", &["context=.", "--json"]).parse().unwrap();
        docker(link, &["rmi", "--force", answer["id"].as_str().unwrap()]);
    }
}

#[test]
fn what_a_docker_cli_sends_is_streamed() {
    for link in LINKS {
        for kit in [false, true] {
            // The old engine has none, and of what counts as another machine its channel is asked about.
            if kit && link != Link::Tls {
                continue;
            }
            let image = format!("large-{}-{kit}:1", std::process::id());
            let project = format!("services:\n  web:\n    image: {image}\n    build: .\n");
            let directory = context(&[("compose.yaml", &project)]);
            let kit = format!("buildkit={kit}");
            call(link, &directory, "compose_build", &["directory=.", "project=large", &kit]);
            let size: u64 = docker(link, &["inspect", "-f", "{{.Size}}", &image]).parse().unwrap();
            assert!(size >= LARGE, "{link:?}, {kit}: {size}");
            docker(link, &["rmi", "--force", &image]);
        }
    }
}

#[test]
fn what_a_docker_cli_is_sent_is_streamed() {
    let script = "head -c 104857600 /dev/zero | tr '\\\\0' x | fold -w 1000; echo the end";
    for link in LINKS {
        let directory = tempfile::tempdir().unwrap();
        let project = format!("services: {{web: {{image: '{}'}}}}\n", lab("LAB_IMAGE"));
        fs::write(directory.path().join("compose.yaml"), project).unwrap();
        let command = format!("command=[\"sh\",\"-c\",\"{script}\"]");
        let said = call(link, &directory, "compose_run", &["directory=.", "project=large", "service=web", &command]);
        assert!(said.contains("\nthe command ended with status 0; its output was longer"), "{link:?}: {said}");
        docker(link, &["network", "rm", "large_default"]);
    }
}
