//! Registries that are busy, fail, lie, flood or lead astray.

use std::time::{Duration, Instant};

use quaymaster::{config::Environment, error::Kind};
use serde_json::json;

use super::{
    authority::Authority,
    image,
    machine::{Answer, Asked, Machine},
    vouching,
};
use crate::rig::{call, fields, gateway};

const TAGS: &str = "registry_list_tags";

/// What listing tags comes to against a script, and how often it was asked.
async fn listed(
    script: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
) -> (Result<serde_json::Value, quaymaster::error::Error>, Vec<Asked>) {
    let authority = Authority::new();
    let machine = Machine::new(&authority, &["127.0.0.1"], script).await;
    let gateway = vouching(Environment::default(), &authority, &[&machine.host()]);
    let answer = call(&gateway, TAGS, json!({"image": image(&machine, "a/b"), "limit": 1000}), 35).await;
    (answer.map(|answer| fields(&answer)), machine.asked())
}

fn tags(tags: &[&str]) -> Answer {
    Answer::json(&json!({ "tags": tags }))
}

#[tokio::test]
async fn a_registry_that_is_busy_is_waited_for_within_reason() {
    let started = Instant::now();
    let busy = |seconds: &'static str| Answer::status("429 Too Many Requests").with("Retry-After", seconds);
    let (answer, asked) = listed(move |asked| if asked.number < 2 { busy("1") } else { tags(&["1"]) }).await;
    assert_eq!((answer.unwrap()["tags"].clone(), asked.len()), (json!(["1"]), 3));
    assert!(started.elapsed() >= Duration::from_secs(2));
    let started = Instant::now();
    let (answer, asked) = listed(move |_| busy("3600")).await;
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), asked.len(), error.is_retryable()), (Kind::Busy, 1, true));
    assert!(error.hint_text().unwrap().contains("3600 s") && started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_failure_is_tried_once_more() {
    let (answer, asked) =
        listed(|asked| if asked.number == 0 { Answer::status("503 Service Unavailable") } else { tags(&["1"]) }).await;
    assert_eq!((answer.unwrap()["tags"].clone(), asked.len()), (json!(["1"]), 2));
    let (answer, asked) = listed(|_| Answer::status("502 Bad Gateway")).await;
    assert_eq!((answer.unwrap_err().kind(), asked.len()), (Kind::Docker, 2));
}

#[tokio::test]
async fn pages_are_followed_on_the_same_machine_only() {
    let (answer, asked) = listed(|asked| match asked.target.as_str() {
        "/v2/a/b/tags/list?n=1000" => tags(&["1", "2"]).with("Link", "</v2/a/b/tags/list?n=1000&last=2>; rel=\"next\""),
        "/v2/a/b/tags/list?n=1000&last=2" => tags(&["3"]).with("Link", "<tags/list?last=3>; rel=next"),
        "/v2/a/b/tags/tags/list?last=3" | "/v2/a/b/tags/list?last=3" => tags(&["10", "bad tag", "\u{1b}[31m"]),
        other => panic!("{other}"),
    })
    .await;
    assert_eq!((answer.unwrap()["tags"].clone(), asked.len()), (json!(["10", "3", "2", "1"]), 3));
    for next in ["<https://10.0.0.1/v2/>; rel=\"next\"", "</v2/a/b/tags/list?n=1000>; rel=\"next\""] {
        let (answer, asked) = listed(move |_| tags(&["1"]).with("Link", next)).await;
        assert_eq!((answer.unwrap_err().kind(), asked.len()), (Kind::Docker, 1), "{next}");
    }
}

#[tokio::test]
async fn redirects_end_and_never_lead_inside() {
    let (answer, asked) = listed(|_| Answer::status("302 Found").with("Location", "/v2/a/b/tags/list")).await;
    assert_eq!((answer.unwrap_err().kind(), asked.len()), (Kind::Docker, 6));
    for inside in
        ["https://10.0.0.1/", "http://127.0.0.1:1/", "https://localhost:1/", "https://[::ffff:10.0.0.1]/", "ftp://x/"]
    {
        let (answer, _) = listed(move |_| Answer::status("302 Found").with("Location", inside)).await;
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{inside}: {error:?}");
    }
}

#[tokio::test]
async fn nonsense_and_floods_are_errors() {
    let html = || Answer("200 OK", vec![("Content-Type", "text/html".into())], b"<html>login</html>".to_vec());
    let flood = || Answer("200 OK", Vec::new(), vec![b' '; 5 << 20]);
    let told = |status| {
        Answer(status, Vec::new(), br#"{"errors":[{"code":"NAME_UNKNOWN","message":"hunter2 <b>"}]}"#.to_vec())
    };
    for (what, answer, kind) in [
        ("html", html(), Kind::Docker),
        ("flood", flood(), Kind::Docker),
        ("unknown", told("404 Not Found"), Kind::NotFound),
        ("forbidden", told("403 Forbidden"), Kind::Denied),
        ("no challenge", told("401 Unauthorized"), Kind::Denied),
        ("teapot", told("418 I'm a teapot"), Kind::Docker),
    ] {
        let (outcome, _) = listed(move |_| answer.clone()).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error:?}");
        assert!(!format!("{error:?}").contains("hunter2") && !error.message().contains('<'), "{error:?}");
    }
}

#[tokio::test]
async fn a_manifest_is_what_its_digest_says() {
    let authority = Authority::new();
    let digest = format!("sha256:{}", "0".repeat(64));
    let machine =
        Machine::new(&authority, &["127.0.0.1"], |_| Answer::json(&json!({"schemaVersion": 2, "layers": []}))).await;
    let gateway = vouching(Environment::default(), &authority, &[&machine.host()]);
    let image = image(&machine, &format!("a/b@{digest}"));
    let error = call(&gateway, "registry_inspect_manifest", json!({ "image": image }), 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Docker);
    assert!(error.message().contains("digest"), "{error}");
}

#[tokio::test]
async fn nobody_is_reached_inside_who_is_not_vouched_for() {
    let authority = Authority::new();
    let machine = Machine::new(&authority, &["127.0.0.1", "localhost"], |_| tags(&["1"])).await;
    let port = machine.address().port();
    let gateway = crate::rig::gateway_of(Environment::default(), &["a=unix:///nowhere.sock".to_owned()], |_| {});
    for host in
        [format!("127.0.0.1:{port}"), format!("localhost:{port}"), "10.0.0.1:443".into(), "169.254.169.254:80".into()]
    {
        for tool in [TAGS, "registry_inspect_manifest", "registry_get_config"] {
            let error = call(&gateway, tool, json!({"image": format!("{host}/a/b:1")}), 10).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{host}: {error:?}");
            assert!(error.hint_text().unwrap().contains("\"registries\""), "{error:?}");
        }
    }
    assert!(machine.asked().is_empty());
}

#[tokio::test]
async fn an_unknown_authority_is_no_registry() {
    let (authority, other) = (Authority::new(), Authority::new());
    let machine = Machine::new(&authority, &["127.0.0.1"], |_| tags(&["1"])).await;
    let trusting = vouching(Environment::default(), &other, &[&machine.host()]);
    let error = call(&trusting, TAGS, json!({"image": image(&machine, "a/b")}), 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().contains("certificate"), "{error}");
    let misnamed = Machine::new(&authority, &["127.0.0.9"], |_| tags(&["1"])).await;
    let trusting = vouching(Environment::default(), &authority, &[&misnamed.host()]);
    let error = call(&trusting, TAGS, json!({"image": image(&misnamed, "a/b")}), 10).await.unwrap_err();
    assert!(error.message().contains("certificate"), "{error}");
    assert!(machine.asked().is_empty() && misnamed.asked().is_empty());
}

#[tokio::test]
async fn a_tool_that_is_denied_everywhere_is_denied() {
    let gateway = gateway(&["a=unix:///nowhere.sock".to_owned()]);
    assert!(gateway.catalogue().find(TAGS).is_ok());
    let denied = crate::rig::gateway_with(&["a=unix:///nowhere.sock".to_owned()], |config| {
        config.hosts[0].limits.tools = quaymaster::config::Globs::new(&[], &["registry_*".to_owned()]).unwrap();
    });
    let error = call(&denied, TAGS, json!({"image": "127.0.0.1:1/a"}), 5).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(!error.message().contains("private network"), "{error}");
}
