//! `proxy-config`: the pages as people get them, and what they promise.
//!
//! `INSTA_UPDATE=always cargo test --test it proxy_config` writes the snapshots anew.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Runs the command; answers its exit code, its data and its words.
fn run(hosts: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
    command.arg("proxy-config").args(arguments).env_clear().env("HOME", "/nonexistent").env("QUAYMASTER_HOSTS", hosts);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn page(hosts: &str, arguments: &[&str]) -> String {
    let (code, out, err) = run(hosts, arguments);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{arguments:?}");
    out
}

fn data(hosts: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&page(hosts, &[arguments, &["--json"]].concat())).unwrap()
}

#[test]
fn the_pages() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("pages");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let prod = "prod=ssh://ops@prod.example.com:2222(ro)";
        insta::assert_snapshot!("proxy_config_ro", page(prod, &["prod"]));
        insta::assert_snapshot!("proxy_config_nd", page("build=tcp://10.0.0.5(nd)(insecure)", &["build"]));
        insta::assert_snapshot!("proxy_config_rw", page("local=unix:///run/docker.sock", &["local"]));
    });
}

#[test]
fn one_proxy_can_be_asked_for() {
    let host = "a=unix:///run/docker.sock(ro)";
    for (proxy, image) in [
        ("wollomatic", "wollomatic/socket-proxy:1"),
        ("linuxserver", "lscr.io/linuxserver/socket-proxy:latest"),
        ("tecnativa", "tecnativa/docker-socket-proxy:latest"),
    ] {
        let one = data(host, &["a", "--for", proxy]);
        assert_eq!((one["host"].as_str(), one["mode"].as_str()), (Some("a"), Some("ro")), "{one}");
        let proxies = one["proxies"].as_array().unwrap();
        assert_eq!((proxies.len(), proxies[0]["image"].as_str()), (1, Some(image)), "{one}");
        assert!(proxies[0]["compose"].as_str().unwrap().starts_with("services:\n"), "{one}");
    }
    assert_eq!(data(host, &["a"])["proxies"].as_array().unwrap().len(), 3);
}

#[test]
fn wrong_words_are_refused_and_nothing_is_printed() {
    let hosts = "local=unix:///x, prod=unix:///y";
    let (code, out, err) = run(hosts, &["lokal"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("there is no host \"lokal\"") && err.contains("did you mean \"local\"?"), "{err}");
    for arguments in [&["local", "--for", "nginx"][..], &[]] {
        let (code, out, _) = run(hosts, arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
    }
}

#[test]
fn whatever_is_not_data_is_a_comment() {
    // A path may be anything that a file system takes.
    let odd = "a=\"unix:///run/a b$HOME'\\\": x/docker.sock\"(ro)";
    let page = page(odd, &["a", "--for", "tecnativa"]);
    let source = "        source: \"/run/a b$$HOME'\\\": x/docker.sock\"";
    assert!(page.lines().any(|line| line == source), "{page}");
    for line in page.lines() {
        let is_data = line.starts_with("services:") || line.starts_with("  ") || line.is_empty();
        assert!(is_data || line == "#" || line.starts_with("# "), "{line}");
    }
}

#[test]
fn the_forced_command_runs_one_thing_only() {
    for host in ["a=ssh://ops@a(ro)", "a=unix:///x"] {
        for advice in data(host, &["a"])["proxies"].as_array().unwrap() {
            let line = advice["authorized_keys"].as_str().unwrap();
            let command = line.strip_prefix("restrict,command=\"").and_then(|rest| rest.split_once("\" ")).unwrap().0;
            let words: Vec<&str> = command.split(' ').collect();
            assert_eq!(words[0], "env");
            assert!(
                ["DOCKER_HOST=unix:///run/quaymaster/docker.sock", "DOCKER_HOST=tcp://127.0.0.1:2375"]
                    .contains(&words[1])
            );
            assert_eq!(words[2..], ["docker", "system", "dial-stdio"]);
        }
    }
}

#[test]
fn no_page_has_lost_its_test() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pages");
    let names = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    for name in names.filter(|name| name.starts_with("proxy_config")) {
        assert!(["ro", "nd", "rw"].iter().any(|mode| name == format!("proxy_config_{mode}.snap")), "{name}: remove it");
    }
}
