//! How the gateway is let in: tokens of a registry's service, kept while they are good, and shown to nobody else.

use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use quaymaster::{config::Environment, error::Kind, gateway::audit::Wanted};
use serde_json::json;

use super::{
    authority::Authority,
    home, image,
    machine::{Answer, Asked, Machine},
    vouching,
};
use crate::rig::{call, fields};

const TAGS: &str = "registry_list_tags";

/// A registry with a token service of its own, where it stands: it lets in who shows the token of the scope.
fn guarded(life: u64) -> (impl Fn(&Asked) -> Answer + Send + Sync + 'static, Arc<Mutex<String>>) {
    let realm = Arc::new(Mutex::new(String::new()));
    let own = realm.clone();
    let script = move |asked: &Asked| {
        if asked.target.starts_with("/token") {
            let who = asked.authorization.clone().unwrap_or_default();
            let refresh = asked.body.contains("refresh_token=idt");
            if !asked.body.is_empty() && !refresh || who == format!("Basic {}", STANDARD.encode("ann:hunter2")) {
                return Answer::status("401 Unauthorized");
            }
            let who = if refresh { "idt".to_owned() } else { who };
            return Answer::json(&json!({"token": format!("T{}", STANDARD.encode(who)), "expires_in": life}));
        }
        match &asked.authorization {
            Some(shown) if shown.starts_with("Bearer T") => Answer::json(&json!({"tags": ["1", "2"]})),
            _ => Answer::status("401 Unauthorized").with(
                "WWW-Authenticate",
                format!("Bearer realm=\"{}\",service=\"svc\",scope=\"repository:a/b:pull,push\"", own.lock().unwrap()),
            ),
        }
    };
    (script, realm)
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_only_to_look() {
    let authority = Authority::new();
    for (login, expected) in [
        (json!({}), None),
        (json!({"username": "ann", "password": "pw"}), Some(format!("Basic {}", STANDARD.encode("ann:pw")))),
        (json!({"identitytoken": "idt"}), None),
    ] {
        let (script, realm) = guarded(300);
        let machine = Machine::new(&authority, &["127.0.0.1"], script).await;
        *realm.lock().unwrap() = format!("https://{}/token", machine.host());
        let (_home, environment) = home(&json!({"auths": {machine.host(): login}}));
        let gateway = vouching(environment, &authority, &[&machine.host()]);
        for _ in 0..3 {
            let answer = call(&gateway, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap();
            assert_eq!(fields(&answer)["tags"], json!(["2", "1"]));
        }
        let asked = machine.asked();
        let tokens: Vec<&Asked> = asked.iter().filter(|asked| asked.target.starts_with("/token")).collect();
        assert_eq!((tokens.len(), asked.len()), (1, 5), "{asked:?}");
        assert_eq!(tokens[0].authorization, expected);
        let said = format!("{}{}", tokens[0].target, tokens[0].body);
        assert!(
            said.contains("scope=repository%3Aa%2Fb%3Apull&") || said.ends_with("%3Apull") || said.contains("%3Apull&"),
            "{said}"
        );
        assert!(!said.contains("push") && said.contains("service=svc"), "{said}");
        assert!(!asked[0].target.contains("token") && asked[0].authorization.is_none(), "nothing is shown unasked");
    }
}

#[tokio::test]
async fn a_token_that_ends_is_asked_for_again() {
    let authority = Authority::new();
    let (script, realm) = guarded(5);
    let machine = Machine::new(&authority, &["127.0.0.1"], script).await;
    *realm.lock().unwrap() = format!("https://{}/token", machine.host());
    let gateway = vouching(Environment::default(), &authority, &[&machine.host()]);
    for _ in 0..2 {
        call(&gateway, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap();
    }
    assert_eq!(machine.asked().iter().filter(|asked| asked.target.starts_with("/token")).count(), 2);
}

#[tokio::test]
async fn wrong_credentials_are_told_and_never_repeated() {
    let authority = Authority::new();
    let (script, realm) = guarded(300);
    let machine = Machine::new(&authority, &["127.0.0.1"], script).await;
    *realm.lock().unwrap() = format!("https://{}/token", machine.host());
    let (_home, environment) = home(&json!({"auths": {machine.host(): {"username": "ann", "password": "hunter2"}}}));
    let gateway = vouching(environment, &authority, &[&machine.host()]);
    let error = call(&gateway, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.message().contains("refuses the gateway's credentials"), "{error}");
    let login = fields(&call(&gateway, "login", json!({}), 10).await.unwrap());
    assert_eq!(
        (&login["registries"][0]["status"], &login["registries"][0]["source"]),
        (&json!("refused"), &json!("docker config"))
    );
    let rows = gateway.audit().read(Wanted { limit: 20, ..Wanted::default() }).await.unwrap();
    let told = format!("{error:?} {login} {rows:?}");
    assert!(!told.contains("hunter2") && !told.contains(&STANDARD.encode("ann:hunter2")), "{told}");
}

#[tokio::test]
async fn a_token_service_elsewhere_has_to_be_public_or_vouched_for() {
    let authority = Authority::new();
    let service = Machine::new(&authority, &["127.0.0.2", "127.0.0.1"], |_| Answer::json(&json!({"token": "T"}))).await;
    let port = service.address().port();
    for realm in [
        format!("http://127.0.0.1:{port}/token"),
        format!("https://localhost:{port}/token"),
        "https://10.0.0.1/token".to_owned(),
        "https://169.254.169.254/token".to_owned(),
        "https://u:p@127.0.0.1/token".to_owned(),
        "file:///etc/passwd".to_owned(),
        "nonsense".to_owned(),
    ] {
        let (script, named) = guarded(300);
        let machine = Machine::new(&authority, &["127.0.0.1"], script).await;
        *named.lock().unwrap() = realm.clone();
        let (_home, environment) = home(&json!({"auths": {machine.host(): {"username": "ann", "password": "pw"}}}));
        let gateway = vouching(environment, &authority, &[&machine.host()]);
        let error = call(&gateway, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap_err();
        assert!(matches!(error.kind(), Kind::Denied | Kind::Docker), "{realm}: {error:?}");
        assert!(!error.to_json().to_string().contains("10.0.0.1\""), "{error:?}");
    }
    assert!(service.asked().is_empty(), "{:?}", service.asked());
}

#[tokio::test]
async fn a_redirect_to_another_machine_takes_no_credentials_along() {
    let authority = Authority::new();
    let store = Machine::new(&authority, &["127.0.0.1"], |_| Answer::json(&json!({"tags": ["x"]}))).await;
    let location = format!("https://{}/elsewhere", store.host());
    let machine = Machine::new(&authority, &["127.0.0.1"], move |asked| {
        if asked.authorization.is_none() {
            return Answer::status("401 Unauthorized").with("WWW-Authenticate", "Basic realm=\"x\"");
        }
        Answer::status("307 Temporary Redirect").with("Location", location.clone())
    })
    .await;
    let (_home, environment) = home(&json!({"auths": {machine.host(): {"username": "ann", "password": "pw"}}}));
    let gateway = vouching(environment, &authority, &[&machine.host()]);
    let answer = call(&gateway, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap();
    assert_eq!(fields(&answer)["tags"], json!(["x"]));
    assert!(machine.asked()[1].authorization.is_some());
    assert_eq!(store.asked()[0].authorization, None);
}
