//! The credentials of a registry go to a daemon for a request about that registry, and nowhere else.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE};
use quaymaster::{
    config::Environment,
    gateway::{Gateway, audit::Wanted},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    rig::{call, gateway_of},
    simulated::{Daemon, Heard, engine, json_answer},
};

const PASSWORD: &str = "correct horse battery";

/// A home with a configuration of the docker CLI.
fn home(config: &Value) -> (TempDir, Environment) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join(".docker")).unwrap();
    fs::write(directory.path().join(".docker/config.json"), config.to_string()).unwrap();
    let environment = Environment { home: Some(directory.path().to_owned()), ..Environment::default() };
    (directory, environment)
}

fn login() -> Value {
    json!({"auths": {"reg.example": {"username": "ann", "password": PASSWORD},
        "https://index.docker.io/v1/": {"identitytoken": "hub"}}})
}

/// What came with the pulls, decoded.
fn sent(daemon: &Daemon) -> Vec<Option<Value>> {
    let pulls = daemon.heard().into_iter().filter(|heard| heard.path() == "/images/create");
    let decoded = |text: String| serde_json::from_slice(&URL_SAFE.decode(text).unwrap()).unwrap();
    pulls.map(|heard| heard.authorization.map(decoded)).collect()
}

async fn pull(gateway: &Arc<Gateway>, image: &str) {
    call(gateway, "pull_image", json!({ "image": image }), 10).await.ok();
}

#[tokio::test]
async fn a_pull_carries_the_credentials_of_its_registry_only() {
    let daemon = Daemon::new(engine);
    let (_home, environment) = home(&login());
    let gateway = gateway_of(environment, &[daemon.spec("a", "")], |_| {});
    for image in ["reg.example/a:1", "nginx:1", "other.example/a:1", "reg.example:5000/a:1", "reg.example.evil/a:1"] {
        pull(&gateway, image).await;
    }
    call(&gateway, "run_container", json!({"image": "reg.example/b:1", "name": "x", "pull": "always"}), 10).await.ok();
    let ann = json!({"username": "ann", "password": PASSWORD, "serveraddress": "reg.example"});
    let hub = json!({"identitytoken": "hub", "serveraddress": "https://index.docker.io/v1/"});
    assert_eq!(sent(&daemon), [Some(ann.clone()), Some(hub), None, None, None, Some(ann)]);
    let others = daemon.heard().into_iter().filter(|heard| heard.path() != "/images/create");
    assert!(others.into_iter().all(|heard| heard.authorization.is_none()));
}

#[tokio::test]
async fn passwords_are_in_no_answer_and_in_no_audit() {
    let refused = |heard: &Heard| match heard.path() {
        "/images/create" => {
            json_answer("500 Internal Server Error", &json!({"message": "unauthorized: authentication required"}))
        }
        _ => engine(heard),
    };
    let daemon = Daemon::new(refused);
    let (_home, environment) = home(&login());
    let gateway = gateway_of(environment, &[daemon.spec("a", "")], |_| {});
    let error = call(&gateway, "pull_image", json!({"image": "reg.example/a:1"}), 10).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("were sent"), "{error:?}");
    let other = call(&gateway, "pull_image", json!({"image": "other.example/a:1"}), 10).await.unwrap_err();
    assert!(other.hint_text().unwrap().contains("no credentials for registry \"other.example\""), "{other:?}");
    let rows = gateway.audit().read(Wanted { limit: 20, ..Wanted::default() }).await.unwrap();
    assert!(!rows.is_empty());
    let told = format!("{error:?} {other:?} {rows:?}");
    for secret in [PASSWORD, "horse", &URL_SAFE.encode(PASSWORD)] {
        assert!(!told.contains(secret), "{told}");
    }
}

/// A program on the path of an environment.
fn program(home: &Path, name: &str, script: &str) {
    let bin = home.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join(name), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_helper_is_asked_for_the_registry_of_a_pull_and_one_that_fails_stops_none() {
    let daemon = Daemon::new(engine);
    let config = json!({"credHelpers": {"reg.example": "good", "bad.example": "bad", "gone.example": "gone"}});
    let (home, mut environment) = home(&config);
    let path = format!("{}:/usr/bin:/bin", home.path().join("bin").display());
    environment.variables.insert("PATH".into(), path);
    let log = home.path().join("asked");
    let script =
        format!("read -r key; echo \"$key\" >> {}; printf '{{\"Username\":\"u\",\"Secret\":\"s\"}}'", log.display());
    program(home.path(), "docker-credential-good", &script);
    program(home.path(), "docker-credential-bad", "echo s3cr3t; exit 1");
    let gateway = gateway_of(environment, &[daemon.spec("a", "")], |_| {});
    call(&gateway, "list_images", json!({}), 5).await.unwrap();
    assert!(!log.exists(), "nobody is asked before a call needs it");
    for image in ["reg.example/a:1", "bad.example/a:1", "gone.example/a:1", "other.example/a:1"] {
        pull(&gateway, image).await;
    }
    let good = json!({"username": "u", "password": "s", "serveraddress": "reg.example"});
    assert_eq!(sent(&daemon), [Some(good), None, None, None]);
    assert_eq!(fs::read_to_string(&log).unwrap(), "reg.example\n");
}
