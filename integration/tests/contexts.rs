//! The context tools on the docker CLI's own configuration: a copy of it that belongs to the test.

use std::{fs, path::Path};

use quaymaster::{
    config::{Config, Mode, limits::Confirm},
    gateway::audit::Wanted,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::rig::{Link, Rig, environment, gateway_in, open};

/// Somebody with a configuration of the docker CLI of the test's own, who has granted it.
fn rig(directory: &Path, set: impl FnOnce(&mut Config)) -> Rig {
    let mut environment = environment();
    environment.variables.insert("DOCKER_CONFIG".into(), directory.display().to_string());
    Rig::of(gateway_in(environment, &[format!("lab={}", Link::Tls.endpoint())], |config| {
        open(config);
        config.cli_config = true;
        set(config);
    }))
}

fn configuration() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), r#"{"auths": {"a.b": {"auth": "YW5uOmh1bnRlcjI="}}}"#).unwrap();
    directory
}

fn current(directory: &Path) -> Value {
    let text = fs::read(directory.join("config.json")).unwrap();
    serde_json::from_slice::<Value>(&text).unwrap()["currentContext"].clone()
}

#[tokio::test]
async fn a_context_lives_a_whole_life() {
    let (directory, files) = (configuration(), tempfile::tempdir().unwrap());
    let tls = files.path().join("certs");
    fs::create_dir(&tls).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(Path::new(&crate::rig::lab("LAB_TLS_DIR")).join(file), tls.join(file)).unwrap();
    }
    let rig = rig(directory.path(), |config| {
        config.files.roots = Some(vec![files.path().to_owned()]);
        config.files.allow = vec!["*.pem".to_owned()];
    });
    let listed = rig.call("context_ls", json!({})).await.ok();
    assert_eq!(
        (&listed["contexts"][0]["name"], &listed["contexts"][0]["in_use"]),
        (&json!("default"), &json!(true)),
        "{listed}"
    );
    let create =
        json!({"context": "prod", "endpoint": "ssh://ops@prod.example.com:2222", "description": "customers, eu"});
    let made = rig.call("context_create", create.clone()).await.ok();
    assert_eq!(made["endpoint"], "ssh://prod.example.com:2222", "{made}");
    assert_eq!(rig.call("context_create", create).await.kind(), "conflict");
    let create = json!({"context": "staging", "endpoint": "tcp://127.0.0.1:2376", "tls": "certs"});
    rig.call("context_create", create).await.ok();
    let shown = rig.call("context_inspect", json!({"context": "staging"})).await.ok();
    assert_eq!(
        (&shown["endpoint"], &shown["tls_files"]),
        (&json!("tcp://127.0.0.1:2376"), &json!(["ca.pem", "cert.pem", "key.pem"])),
        "{shown}"
    );
    let shown = rig.call("context_inspect", json!({"context": "prod"})).await.ok();
    assert_eq!(
        (&shown["endpoint"], &shown["description"]),
        (&json!("ssh://prod.example.com:2222"), &json!("customers, eu"))
    );
    let listed = rig.call("context_ls", json!({})).await.ok().to_string();
    assert!(listed.contains("prod.example.com") && !listed.contains("ops") && !listed.contains("/tmp"), "{listed}");
    rig.call("context_use", json!({"context": "prod"})).await.ok();
    assert_eq!(current(directory.path()), "prod");
    assert_eq!(rig.call("context_rm", json!({"context": "prod"})).await.kind(), "conflict");
    rig.call("context_use", json!({"context": "default"})).await.ok();
    rig.call("context_rm", json!({"context": "prod"})).await.ok();
    for tool in ["context_inspect", "context_rm", "context_use"] {
        assert_eq!(rig.call(tool, json!({"context": "prod"})).await.kind(), "not_found", "{tool}");
    }
    // What was there beside is there still.
    let kept = fs::read_to_string(directory.path().join("config.json")).unwrap();
    assert!(kept.contains("YW5uOmh1bnRlcjI="), "{kept}");
    let rows = rig.gateway.audit().read(Wanted { limit: 50, ..Wanted::default() }).await.unwrap();
    let rows = format!("{rows:?}");
    assert!(rows.contains("context_rm") && rows.contains("destroy"), "{rows}");
}

#[tokio::test]
async fn without_the_grant_they_are_not_listed_and_refused() {
    let directory = configuration();
    let before = fs::read(directory.path().join("config.json")).unwrap();
    let all = [
        ("context_ls", json!({})),
        ("context_inspect", json!({"context": "default"})),
        ("context_create", json!({"context": "prod", "endpoint": "ssh://prod"})),
        ("context_use", json!({"context": "default"})),
        ("context_rm", json!({"context": "prod"})),
    ];
    let ungranted = rig(directory.path(), |config| config.cli_config = false);
    assert!(ungranted.gateway.catalogue().listed().all(|entry| entry.toolset != "context"));
    for (tool, arguments) in all.clone() {
        let error = ungranted.call(tool, arguments).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        assert!(error["hint"].as_str().unwrap().contains("\"cli-config\""), "{error}");
    }
    let granted = rig(directory.path(), |_| {});
    assert_eq!(granted.gateway.catalogue().listed().filter(|entry| entry.toolset == "context").count(), 5);
    // Where every host is read-only, or nothing may be destroyed, so it is here.
    for (mode, refused) in [(Mode::Ro, &all[2..]), (Mode::Nd, &all[4..])] {
        let rig = rig(directory.path(), |config| config.hosts[0].mode = mode);
        for (tool, arguments) in refused {
            let error = rig.call(tool, arguments.clone()).await.error();
            assert_eq!(error["kind"], "denied", "{mode:?} {tool}: {error}");
        }
        rig.call("context_ls", json!({})).await.ok();
    }
    // A person is asked as the strictest host wants it, and nothing happens before.
    let asking = rig(directory.path(), |config| config.hosts[0].limits.confirm = Confirm::Write);
    for (tool, arguments) in &all[2..] {
        assert_eq!(asking.call(tool, arguments.clone()).await.kind(), "approval_needed", "{tool}");
    }
    let through = json!({"name": "context_use", "arguments": {"context": "default"}});
    assert_eq!(granted.call("read_tool", through).await.kind(), "denied");
    for arguments in [
        json!({"context": "prod", "endpoint": "ssh://ops:hunter2@prod"}),
        json!({"context": "--help", "endpoint": "ssh://prod"}),
        json!({"context": "prod", "endpoint": "tcp://prod:2375"}),
        json!({"context": "prod", "endpoint": "unix:///x,skip-tls-verify=true"}),
    ] {
        let error = granted.call("context_create", arguments).await.error();
        assert!(error["kind"] == "invalid" && !error.to_string().contains("hunter2"), "{error}");
    }
    assert_eq!(fs::read(directory.path().join("config.json")).unwrap(), before);
}
