//! The body rules in front of real engines: what is refused leaves no trace, what is allowed works.

use std::collections::{BTreeMap, BTreeSet};

use quaymaster::config::limits::{Bodies, Confirm, Profile, Rule, Verdict};
use serde_json::{Value, json};

use crate::{
    engine::{Engine, Scrap, docker},
    rig::{LINKS, Link, Rig, lab},
};

/// A host with a profile of its own, which asks nobody but for its bodies.
fn rig(link: Link, profile: Profile, rules: &[(Rule, Verdict)]) -> Rig {
    let rules: BTreeMap<Rule, Verdict> = rules.iter().copied().collect();
    Rig::set(link, |config| {
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            host.limits.bodies = Bodies { rules: rules.clone(), ..Bodies::of(profile) };
        }
    })
}

/// Names of this test's containers and volumes on the engine.
fn state(link: Link, rig: &Rig) -> BTreeSet<String> {
    let prefix = rig.name("");
    let containers = docker(link, &["ps", "-a", "--format", "{{.Names}}"]);
    let volumes = docker(link, &["volume", "ls", "-q"]);
    containers.lines().chain(volumes.lines()).filter(|name| name.contains(&prefix)).map(str::to_owned).collect()
}

/// The arguments of a new container that breaks a rule, and a part of what is said about it.
fn disguises() -> Vec<(Value, &'static str)> {
    let mount = |spec: &str| json!({"mounts": [spec]});
    vec![
        (json!({"privileged": true}), "privileged mode"),
        (json!({"cap_add": ["SYS_ADMIN"]}), "capability"),
        (json!({"cap_add": ["cap_sys_ptrace"]}), "capability"),
        (json!({"cap_add": ["all"]}), "capability"),
        (json!({"security_opt": ["seccomp=unconfined"]}), "option"),
        (json!({"security_opt": ["seccomp:unconfined"]}), "option"),
        (json!({"security_opt": ["apparmor=unconfined"]}), "option"),
        (json!({"security_opt": ["label:disable"]}), "option"),
        (json!({"security_opt": ["no-new-privileges=false"]}), "option"),
        (json!({"devices": ["/dev/null"]}), "device"),
        (json!({"devices": ["/dev/fuse:/dev/x:r"]}), "device"),
        (mount("/:/host"), "a bind of"),
        (mount("/etc:/x:ro"), "a bind of"),
        (mount("//etc:/x"), "a bind of"),
        (mount("/srv/../etc:/x"), "a bind of"),
        (mount("/./etc/.:/x"), "a bind of"),
        (mount("/proc/self/root/etc:/x"), "a bind of"),
        (mount("/proc/1/root:/x"), "a bind of"),
        (mount("/root/.ssh:/x"), "a bind of"),
        (mount("/tmp/.aws:/x"), "a bind of"),
        (mount("/var/lib/docker:/x"), "a bind of"),
        (mount("/dev:/x"), "a bind of"),
        (mount("/sys:/x:ro"), "a bind of"),
        (mount("/var/run/docker.sock:/s"), "a bind of"),
        (mount("/run/docker.sock:/s:ro"), "a bind of"),
        (mount("/var/run:/x"), "a bind of"),
        (mount("/var:/x"), "a bind of"),
        (mount("/run/containerd/containerd.sock:/s"), "a bind of"),
        (mount("type=bind,src=/etc,dst=/x"), "a bind of"),
        (mount("type=bind,src=/srv//..//etc/,dst=/x,readonly"), "a bind of"),
        (mount("type=bind,src=/var/run/docker.sock,dst=/s"), "a bind of"),
        (mount("type=bind,src=/run,dst=/x"), "a bind of"),
    ]
}

fn with(base: Value, more: &Value) -> Value {
    let mut all = base;
    for (name, value) in more.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

#[tokio::test]
async fn every_disguise_is_refused_and_nothing_is_made() {
    for link in LINKS {
        let rig = rig(link, Profile::Guarded, &[]);
        let _scrap = scrap(link, &rig, &["made"], &["volume"]);
        let before = state(link, &rig);
        for (arguments, said) in disguises() {
            for tool in ["create_container", "run_container"] {
                let base = json!({"image": lab("LAB_IMAGE"), "name": rig.name("made"), "command": ["true"]});
                let error = rig.call(tool, with(base, &arguments)).await.error();
                let message = error["message"].as_str().unwrap();
                assert_eq!(error["kind"], "denied", "{link:?} {arguments}: {error}");
                assert!(message.starts_with("host \"lab\" refuses ") && message.contains(said), "{message}");
                assert!(error["hint"].as_str().unwrap().contains("rules = {"), "{error}");
            }
        }
        for options in [
            json!({"type": "none", "o": "bind", "device": "/etc"}),
            json!({"o": "bind", "device": "/srv"}),
            json!({"type": "ext4", "device": "/dev/sda1"}),
            json!({"type": "overlay", "device": "overlay", "o": "lowerdir=/etc"}),
            json!({"type": "tmpfs", "device": "/etc", "o": "rbind"}),
            json!({"type": "nfs", "device": "/etc", "o": "addr=127.0.0.1,bind"}),
        ] {
            for driver in [json!(null), json!("local")] {
                let arguments = json!({"name": rig.name("volume"), "driver": driver, "options": options});
                let error = rig.call("create_volume", arguments).await.error();
                assert_eq!(error["kind"], "denied", "{error}");
                assert!(error["message"].as_str().unwrap().contains("a volume "), "{error}");
            }
        }
        assert_eq!(state(link, &rig), before, "{link:?}");
    }
}

fn scrap(link: Link, rig: &Rig, containers: &[&str], volumes: &[&str]) -> Scrap {
    let mut scrap = Scrap::on(link);
    for name in containers {
        scrap.container(rig.name(name));
    }
    for name in volumes {
        scrap.volume(rig.name(name));
    }
    scrap
}

#[tokio::test]
async fn what_a_container_is_decides_who_gets_in() {
    for link in LINKS {
        let rig = rig(link, Profile::Guarded, &[]);
        let engine = Engine::of(link);
        let disguised = rig.name("disguised");
        let _scrap = scrap(link, &rig, &[], &["disguised"]);
        docker(link, &["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", "device=/etc", &disguised]);
        let volume = format!("{disguised}:/x");
        let socket = format!("{}:/s", link.socket());
        let cases: &[(&str, &[&str], &str)] = &[
            // The lab's own machine does not let these run: they are judged at their start.
            ("privileged", &["--privileged"], "privileged mode"),
            ("pids", &["--pid", "host"], "mode \"host\""),
            ("socket", &["-v", &socket], "a bind of"),
            ("etc", &["-v", "/etc:/x"], "a bind of"),
            ("hidden", &["-v", &volume], "a bind of \"/etc\""),
        ];
        for (name, options, said) in cases {
            let runs = options[0] == "-v";
            let target = if runs {
                engine.run(rig.name(name), options, "sleep 600")
            } else {
                engine.create(rig.name(name), options, "sleep 600")
            };
            if runs {
                let arguments = json!({"container": target.name, "command": ["true"]});
                let error = rig.call("exec_in_container", arguments).await.error();
                assert_eq!(error["kind"], "denied", "{link:?} {name}: {error}");
                assert!(error["message"].as_str().unwrap().contains(said), "{error}");
                rig.call("stop_container", json!({"containers": [target.name], "grace": 0})).await.ok();
            }
            for tool in ["start_container", "restart_container"] {
                let error = rig.call(tool, json!({"containers": [target.name]})).await.error();
                assert_eq!(error["kind"], "denied", "{link:?} {tool} {name}: {error}");
                assert!(error["message"].as_str().unwrap().contains(said), "{error}");
            }
            assert_eq!(docker(link, &["inspect", "-f", "{{.State.Running}}", &target.name]), "false");
            // Nor do its volumes and its namespaces go to another.
            let made = json!({"image": lab("LAB_IMAGE"), "name": rig.name("taker"), "networks": [format!("container:{}", target.name)]});
            assert_eq!(rig.call("create_container", made).await.kind(), "denied", "{name}");
        }
        let plain = engine.run(rig.name("plain"), &["-v", "/etc:/x:ro"], "sleep 600");
        let arguments = json!({"container": plain.name, "command": ["true"]});
        assert!(rig.call("exec_in_container", arguments).await.text().contains("exit code 0"));
        let arguments = json!({"container": plain.name, "command": ["true"], "privileged": true});
        assert_eq!(rig.call("exec_in_container", arguments).await.kind(), "denied");
        assert_eq!(state(link, &rig), BTreeSet::from([disguised, plain.name.clone()]));
    }
}

#[tokio::test]
async fn what_is_allowed_works_and_what_is_noted_is_said() {
    let allowed = [
        (Rule::Privileged, Verdict::Allow),
        (Rule::SensitiveBind, Verdict::Allow),
        (Rule::Bind, Verdict::Allow),
        (Rule::DisguisedBind, Verdict::Allow),
    ];
    for link in LINKS {
        let rig = rig(link, Profile::Open, &allowed);
        let _scrap = scrap(link, &rig, &["made"], &["volume"]);
        let options = json!({"type": "none", "o": "bind", "device": "/etc"});
        rig.call("create_volume", json!({"name": rig.name("volume"), "options": options})).await.ok();
        let mounts = json!(["/etc/hostname:/x:ro", format!("{}:/y:ro", rig.name("volume"))]);
        let arguments = json!({
            "image": lab("LAB_IMAGE"), "name": rig.name("made"), "command": ["sleep", "600"],
            "mounts": mounts, "labels": {"traefik.enable": "false"}, "env": {"DB_PASSWORD": "literal"},
        });
        let made = rig.call("run_container", arguments).await.ok();
        assert!(made.get("notes").is_none(), "{made}");
        // The lab's machine does not give such a command its rights, but the engine takes it.
        let arguments = json!({"container": rig.name("made"), "command": ["true"], "privileged": true});
        assert!(rig.call("exec_in_container", arguments).await.text().contains("exit code"));
        rig.remove(&rig.name("made")).await;
        let arguments = json!({"image": lab("LAB_IMAGE"), "name": rig.name("made"), "privileged": true});
        rig.call("create_container", arguments).await.ok();
        assert_eq!(docker(link, &["inspect", "-f", "{{.HostConfig.Privileged}}", &rig.name("made")]), "true");
        rig.remove(&rig.name("made")).await;

        let guarded = self::rig(link, Profile::Guarded, &[]);
        let _scrap = scrap(link, &guarded, &["noted"], &["data"]);
        let arguments = json!({
            "image": lab("LAB_IMAGE"), "name": guarded.name("noted"), "ports": ["80"],
            "mounts": [format!("{}:/d", guarded.name("data"))], "env": {"DB_PASSWORD": "literal"}, "pids": 10,
        });
        let text = guarded.call("create_container", arguments).await.text();
        for note in [
            "note: no limit of memory",
            "without a digest",
            "on all interfaces",
            "variable \"DB_PASSWORD\" with a literal",
        ] {
            assert!(text.contains(note), "{link:?} {note}: {text}");
        }
        assert!(!text.contains("quaymaster.") && !text.contains("\"literal\""), "{text}");
        // The first user is nobody's rival, the second takes what is another's.
        assert!(!text.contains("which others use"), "{text}");
        let arguments = json!({
            "image": lab("LAB_IMAGE"), "name": guarded.name("second"), "mounts": [format!("{}:/d", guarded.name("data"))],
        });
        let _scrap = scrap(link, &guarded, &["second"], &[]);
        let text = guarded.call("create_container", arguments).await.text();
        assert!(text.contains("which others use"), "{link:?}: {text}");
    }
}

#[tokio::test]
async fn updates_and_labels_are_judged_too() {
    for link in LINKS {
        let rig = rig(link, Profile::Strict, &[]);
        let _scrap = scrap(link, &rig, &["spoof"], &["spoof"]);
        let target = Engine::of(link).create(rig.name("update"), &["--pids-limit", "10"], "sleep 600");
        let text = rig.call("update_container", json!({"container": target.name, "pids": -1})).await.text();
        assert!(text.contains("note: no limit of processes"), "{link:?}: {text}");
        let labels = json!({"com.docker.compose.project": "shop"});
        let spoof = json!({"image": lab("LAB_IMAGE"), "name": rig.name("spoof"), "labels": labels});
        let error = rig.call("create_container", spoof).await.error();
        assert!(error["message"].as_str().unwrap().contains("label \"com.docker.compose.project\""), "{error}");
        let spoof = json!({"name": rig.name("spoof"), "labels": {"quaymaster.managed": "false"}});
        assert_eq!(rig.call("create_volume", spoof).await.kind(), "denied");
        let arguments = json!({"container": target.name, "image": format!("{}:1", rig.name("image")), "changes": ["LABEL a=b \\", "traefik.enable=true"]});
        assert_eq!(rig.call("commit_container", arguments).await.kind(), "denied");
        // Our own labels are none of the caller's.
        rig.call("create_volume", json!({"name": rig.name("spoof")})).await.ok();
        assert_eq!(state(link, &rig), BTreeSet::from([rig.name("spoof"), target.name.clone()]));
    }
}

#[tokio::test]
async fn secrets_are_named_and_reach_the_engine_only() {
    for link in LINKS {
        let rig = Rig::with_secrets(link, &[("QUAYMASTER_SECRET_DB", "correct-horse-battery")], |config| {
            config.hosts[0].limits.bodies = Bodies::of(Profile::Strict);
            config.hosts[0].limits.confirm = Confirm::Never;
        });
        let name = rig.name("secret");
        let _scrap = scrap(link, &rig, &["secret", "missing"], &[]);
        let env = json!({"DB_PASSWORD": "secret://db"});
        let arguments = json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"], "env": env});
        let text = rig.call("run_container", arguments).await.text();
        assert!(!text.contains("correct-horse"), "{text}");
        assert_eq!(docker(link, &["exec", &name, "sh", "-c", "echo $DB_PASSWORD"]), "correct-horse-battery");
        let shell = "test \"$OTHER\" = correct-horse-battery && echo same";
        let arguments = json!({"container": name, "shell": shell, "env": {"OTHER": "secret://db"}});
        assert!(rig.call("exec_in_container", arguments).await.text().contains("\nsame\n"));
        for env in [json!({"A": "secret://none"}), json!({"A": "secret://../etc/passwd"})] {
            let arguments = json!({"image": lab("LAB_IMAGE"), "name": rig.name("missing"), "env": env});
            assert!(["not_found", "invalid"].contains(&rig.call("create_container", arguments).await.kind().as_str()));
        }
        assert_eq!(state(link, &rig), BTreeSet::from([name]));
    }
}
