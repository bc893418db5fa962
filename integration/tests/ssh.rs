//! Hosts behind sshd, through the whole gateway; what only the dialer can show is in `src/docker/ssh/lab_tests`.

use std::sync::Arc;

use quaymaster::{
    config::{Config, Environment, Flags},
    gateway::{Gateway, Request},
};
use serde_json::{Value, json};

use crate::rig::{environment, gateway, lab};

async fn list(gateway: &Arc<Gateway>) -> Result<Value, String> {
    let Value::Object(arguments) = json!({"all": true}) else { unreachable!() };
    let answer = gateway
        .call(Request::new(gateway.caller("test"), "list_containers", arguments))
        .await
        .map_err(|error| format!("{error:?}"))?;
    let listed = Value::Object(answer.structured.ok_or("no structured answer")?);
    match listed["hosts"][0]["status"].as_str() {
        Some("ok") => Ok(listed),
        _ => Err(listed.to_string()),
    }
}

#[tokio::test]
async fn an_alias_a_jump_host_and_a_socket_lead_to_the_engine() {
    for endpoint in [
        "ssh://lab-prod".to_owned(),
        "ssh://lab-prod-jump".to_owned(),
        format!("ssh://lab-prod{}", lab("LAB_PROD_SOCKET")),
        format!("ssh://{}@127.0.0.1:{}", lab("LAB_SSH_USER"), lab("LAB_SSH_PORT")),
    ] {
        let gateway = gateway(&[format!("prod={endpoint}")]);
        list(&gateway).await.unwrap_or_else(|error| panic!("{endpoint}: {error}"));
    }
}

#[tokio::test]
async fn an_unknown_host_key_is_refused_without_telling_the_agent_where() {
    let home = tempfile::tempdir().expect("a directory");
    let environment = Environment { home: Some(home.path().to_owned()), ..environment() };
    let endpoint = format!("prod=ssh://127.0.0.1:{}", lab("LAB_SSH_PORT"));
    let flags = Flags { hosts: vec![endpoint], ..Flags::default() };
    let config = Config::load(&environment, &flags).expect("a configuration");
    let gateway = Gateway::new(config, environment).expect("a gateway");
    let error = list(&gateway).await.expect_err("no list");
    assert!(error.contains("the host key is not known"), "{error}");
    assert!(!home.path().join(".ssh").exists(), "nothing is recorded");
}
