//! The command line against real engines: the real binary, as a person runs it.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, lab},
};

/// What a command left behind.
#[derive(Debug)]
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A host for each link, named after it.
fn hosts() -> String {
    format!(
        "unix={}, tls={}, ssh={}, frozen={}(ro)",
        Link::Unix.endpoint(),
        Link::Tls.endpoint(),
        Link::Ssh.endpoint(),
        Link::Unix.endpoint()
    )
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
    command.args(arguments).env_clear().env("HOME", lab("LAB_HOME")).env("QUAYMASTER_HOSTS", hosts());
    command.stdin(Stdio::null());
    command
}

fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[track_caller]
fn run(arguments: &[&str], code: i32) -> Done {
    let done = done(&mut command(arguments));
    assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
    done
}

#[track_caller]
fn json(arguments: &[&str], code: i32) -> Value {
    let done = run(&[arguments, &["--json"]].concat(), code);
    assert_eq!(done.err, "", "{arguments:?}");
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

const fn name(link: Link) -> &'static str {
    match link {
        Link::Unix => "unix",
        Link::Tls => "tls",
        Link::Ssh => "ssh",
    }
}

#[test]
fn a_check_proves_every_link() {
    let report = json(&["check"], 0);
    for (link, finding) in LINKS.into_iter().zip(report["hosts"].as_array().unwrap()) {
        assert_eq!((&finding["host"], &finding["ok"]), (&name(link).into(), &true.into()), "{report}");
        assert_eq!(finding["engine"], docker(link, &["version", "--format", "{{.Server.Version}}"]));
        assert_eq!(finding["api"], docker(link, &["version", "--format", "{{.Server.APIVersion}}"]));
        assert!(finding["latency_ms"].as_f64().unwrap() > 0.0, "{report}");
    }
    assert_eq!(report["warnings"][0], "\"unix\" and \"frozen\" answer with the same engine id: they may be one daemon");
    let text = run(&["check"], 0);
    assert!(text.out.ends_with("4 hosts from QUAYMASTER_HOSTS: all answer\n"), "{text:?}");
    assert_eq!(json(&["check", "ssh", "ssh"], 0)["hosts"].as_array().unwrap().len(), 1);
}

#[test]
fn a_check_tells_how_to_mend_what_real_servers_refuse() {
    let stranger = tempfile::tempdir().unwrap();
    let ssh = format!("ssh={}", Link::Ssh.endpoint());
    // Somebody who has never met that machine.
    let unknown = done(command(&["--host", &ssh, "check"]).env("HOME", stranger.path()));
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.out.contains("ssh: the host key is not known\n"), "{unknown:?}");
    let target = format!("run \"ssh -p {} {}@127.0.0.1\" once", lab("LAB_SSH_PORT"), lab("LAB_SSH_USER"));
    assert!(unknown.out.contains(&format!("mend: {target}")), "{unknown:?}");
    let plain = format!("plain=tcp://127.0.0.1:{}", lab("LAB_STAGING_PORT"));
    let plain = done(&mut command(&["--host", &plain, "check"]));
    assert!(plain.code == Some(1) && plain.out.contains("mend: "), "{plain:?}");
}

#[test]
fn the_table_of_hosts_names_all_of_them() {
    let table = done(&mut command(&["hosts"]));
    assert_eq!(table.code, Some(0), "{table:?}");
    for host in ["unix", "tls", "ssh", "frozen"] {
        assert!(table.out.lines().any(|line| line.starts_with(&format!("{host} "))), "{table:?}");
    }
    assert!(table.out.starts_with("HOST    MODE"), "{table:?}");
}

#[test]
fn calls_reach_every_link_and_stop_at_the_mode() {
    for link in LINKS {
        let host = format!("host={}", name(link));
        let mut scrap = Scrap::on(link);
        let container = format!("qm-cli-{}-{}", std::process::id(), name(link));
        scrap.run(&container, &[], &["sleep", "600"]);
        let listed = json(&["call", "list_containers", &host, "all=true", &format!("name={container}")], 0);
        assert_eq!(listed["containers"][0]["state"], "running", "{listed}");
        let target = format!("containers={container}");
        if link == Link::Unix {
            let refused = run(&["call", "stop_container", "host=frozen", &target, "grace=0"], 1);
            assert!(refused.err.starts_with("error: host \"frozen\" is read-only; stop_container "), "{refused:?}");
            assert_eq!(refused.out, "");
            assert_eq!(docker(link, &["inspect", "--format", "{{.State.Running}}", &container]), "true");
        }
        let stopped = json(&["call", "stop_container", &host, &target, "grace=0"], 0);
        assert_eq!(stopped["results"][0]["result"], "stopped", "{stopped}");
        assert_eq!(docker(link, &["inspect", "--format", "{{.State.Running}}", &container]), "false");
        let missing = run(&["call", "start_container", &host, "containers=qm-there-is-no-such"], 1);
        assert!(missing.err.starts_with(&format!("error: host \"{}\": ", name(link))), "{missing:?}");
        assert!(missing.err.contains("\nhint: "), "{missing:?}");
    }
}

#[test]
fn a_container_is_run_and_removed_from_the_shell() {
    let container = format!("qm-cli-run-{}", std::process::id());
    let mut scrap = Scrap::on(Link::Unix);
    scrap.container(&container);
    let (image, name) = (format!("image={}", lab("LAB_IMAGE")), format!("name={container}"));
    let run_it =
        ["call", "run_container", "host=unix", &image, &name, "env=A=1", "env=B=x=y", "command=sleep", "command=600"];
    run(&run_it, 0);
    let env = docker(Link::Unix, &["inspect", "--format", "{{json .Config.Env}} {{json .Config.Cmd}}", &container]);
    assert!(env.contains("\"A=1\"") && env.contains("\"B=x=y\"") && env.ends_with("[\"sleep\",\"600\"]"), "{env}");
    let target = format!("containers={container}");
    let refused = run(&["call", "remove_container", "host=frozen", &target, "force=true"], 1);
    assert!(
        refused.err.starts_with("error: host \"frozen\" is read-only; remove_container destroys\nhint: "),
        "{refused:?}"
    );
    run(&["call", "remove_container", "host=unix", &target, "force=true"], 0);
    let left = json(&["call", "list_containers", "host=unix", "all=true", &name], 0);
    assert_eq!(left["containers"], serde_json::json!([]));
}

#[test]
fn no_filter_opens_the_log_to_payloads() {
    // An alias, so that the ssh configuration is read too, whose parser may say what it likes.
    let call = ["--host", "ssh=ssh://lab-prod", "call", "list_containers"];
    let logged = done(command(&call).env("QUAYMASTER_LOG", "trace"));
    assert_eq!(logged.code, Some(0), "{logged:?}");
    for line in logged.err.lines().filter(|line| line.contains("DEBUG") || line.contains("TRACE")) {
        assert!(!line.contains("russh") && !line.contains("bollard"), "{line}");
    }
    assert!(logged.err.contains("TRACE") || logged.err.contains("DEBUG"), "the filter was not heard: {logged:?}");
}
