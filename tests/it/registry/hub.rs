//! Docker Hub, which no test reaches: a simulated one behind a proxy, for what is made of its answers.

use quaymaster::{config::Environment, error::Kind};
use serde_json::{Value, json};

use super::{
    authority::Authority,
    home,
    machine::{Answer, Asked, Machine, Proxy},
    vouching,
};
use crate::rig::{call, fields};

const MACHINES: [&str; 3] = ["hub.docker.com", "registry-1.docker.io", "auth.docker.io"];

fn hub(asked: &Asked) -> Answer {
    let target = asked.target.as_str();
    if target.starts_with("/token") {
        return Answer::json(&json!({"token": "T", "expires_in": 300}));
    }
    if target.starts_with("/v2/ratelimitpreview/") {
        return match &asked.authorization {
            None => Answer::status("401 Unauthorized").with(
                "WWW-Authenticate",
                "Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\"",
            ),
            Some(_) => Answer::status("200 OK")
                .with("RateLimit-Limit", "100;w=21600")
                .with("RateLimit-Remaining", "76;w=21600"),
        };
    }
    let row = |name: &str| {
        json!({"name": name, "last_updated": "2026-11-01T10:00:00.123Z", "full_size": 5 << 20, "digest": "sha256:ab",
            "images": [{"os": "linux", "architecture": "amd64"}, {"os": "linux", "architecture": "arm", "variant": "v7"},
                {"os": "unknown", "architecture": "unknown"}]})
    };
    match target {
        "/v2/repositories/library/nginx/tags?page=1&page_size=2&ordering=last_updated" => {
            Answer::json(&json!({"count": 3, "next": "https://evil.example/", "results": [row("3"), row("2")]}))
        }
        "/v2/repositories/library/nginx/tags?page=2&page_size=2&ordering=last_updated" => {
            Answer::json(&json!({"count": 3, "next": null, "results": [row("1")]}))
        }
        "/v2/repositories/ops/web" => {
            Answer::json(&json!({"description": "\u{1b}[31mA web", "star_count": 7, "pull_count": 9,
            "is_private": false, "last_updated": "2026-11-01T10:00:00Z", "date_registered": "2020-01-01T00:00:00Z"}))
        }
        "/v2/repositories/ops/busy" => Answer::status("429 Too Many Requests"),
        "/v2/repositories/ops/page" => Answer("200 OK", Vec::new(), b"<html>".to_vec()),
        "/v2/repositories/ops/odd" => Answer::json(&json!(["nothing", 5])),
        _ => Answer::status("404 Not Found"),
    }
}

/// A call of a tool against the simulated Hub.
async fn asked(
    calls: &[(&str, Value)],
    login: Value,
) -> (Vec<Result<Value, quaymaster::error::Error>>, Machine, Proxy) {
    let authority = Authority::new();
    let machine = Machine::new(&authority, &MACHINES, hub).await;
    let proxy = Proxy::to(&MACHINES.map(|name| (name, machine.address()))).await;
    let (_home, mut environment) = home(&login);
    environment.variables.insert("HTTPS_PROXY".into(), proxy.url());
    let gateway = vouching(environment, &authority, &["docker.io"]);
    let mut outcomes = Vec::new();
    let mut cursor = Value::Null;
    for (tool, arguments) in calls {
        let mut arguments = arguments.clone();
        if arguments.get("cursor").is_some() {
            arguments["cursor"] = cursor.clone();
        }
        let outcome = call(&gateway, tool, arguments, 10).await.map(|answer| fields(&answer));
        cursor = outcome.as_ref().map(|answer| answer["cursor"].clone()).unwrap_or_default();
        outcomes.push(outcome);
    }
    (outcomes, machine, proxy)
}

#[tokio::test]
async fn tags_have_dates_and_pages() {
    let page = json!({"image": "nginx:1", "limit": 2});
    let next = json!({"image": "nginx:1", "limit": 2, "cursor": ""});
    let (outcomes, _, proxy) = asked(&[("hub_list_tags", page), ("hub_list_tags", next)], json!({})).await;
    let answers: Vec<Value> = outcomes.into_iter().map(Result::unwrap).collect();
    assert_eq!((&answers[0]["tags"][0]["tag"], &answers[1]["tags"][0]["tag"]), (&json!("3"), &json!("1")));
    let first = &answers[0]["tags"][0];
    assert_eq!((&first["size"], &first["updated"]), (&json!("5.0 MiB"), &json!("2026-11-01T10:00:00Z")));
    assert_eq!(first["platforms"], json!(["linux/amd64", "linux/arm/v7"]));
    assert!(answers[1].get("cursor").is_none());
    assert!(
        proxy.asked()[0].starts_with("CONNECT hub.docker.com:443 HTTP/1.1")
            && proxy.asked()[0].contains("Proxy-Authorization: Basic dXNlcjpwYXNz")
    );
}

#[tokio::test]
async fn repositories_are_shown_and_faults_are_errors() {
    let of = |image: &str| ("hub_repo_info", json!({ "image": image }));
    let calls =
        [of("ops/web"), of("ops/gone"), of("ops/busy"), of("ops/page"), of("ops/odd"), of("ghcr.io/a/b"), of("a/b/c")];
    let (outcomes, machine, _) = asked(&calls, json!({})).await;
    let web = outcomes[0].as_ref().unwrap();
    assert_eq!((&web["description"], &web["stars"], &web["official"]), (&json!("A web"), &json!(7), &json!(false)));
    let kind = |number: usize| outcomes[number].as_ref().unwrap_err().kind();
    assert_eq!((kind(1), kind(2), kind(3)), (Kind::NotFound, Kind::Busy, Kind::Docker));
    assert_eq!(outcomes[4].as_ref().unwrap()["description"], "");
    assert_eq!((kind(5), kind(6)), (Kind::Invalid, Kind::Invalid));
    assert!(machine.asked().iter().all(|asked| asked.authorization.is_none()), "the site gets no credentials");
}

#[tokio::test]
async fn the_limit_of_pulls_costs_none() {
    let (outcomes, machine, _) = asked(&[("hub_rate_limit", json!({}))], json!({})).await;
    let limit = outcomes[0].as_ref().unwrap();
    assert_eq!(
        (&limit["limit"], &limit["remaining"], &limit["window"], &limit["of"]),
        (&json!(100), &json!(76), &json!(21600), &json!("address"))
    );
    let asked_for: Vec<String> = machine
        .asked()
        .into_iter()
        .filter(|asked| asked.target.contains("preview/test/"))
        .map(|asked| asked.method)
        .collect();
    assert_eq!(asked_for, ["HEAD", "HEAD"]);
    let login = json!({"auths": {"https://index.docker.io/v1/": {"username": "ann", "password": "pw"}}});
    let (outcomes, machine, _) =
        asked(&[("hub_rate_limit", json!({})), ("login", json!({"registry": "docker.io"}))], login).await;
    assert_eq!(outcomes[0].as_ref().unwrap()["of"], "account");
    let token = machine.asked().into_iter().find(|asked| asked.target.starts_with("/token")).unwrap();
    assert!(token.authorization.unwrap().starts_with("Basic ") && token.target.contains("account=ann"));
    assert_eq!(outcomes[1].as_ref().unwrap()["command"], "docker login");
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_none_is_told() {
    let proxy = Proxy::to(&[]).await;
    for (url, kind) in [
        (proxy.url(), Kind::Unreachable),
        ("https://p:1".to_owned(), Kind::Config),
        ("http://127.0.0.1:1".to_owned(), Kind::Unreachable),
    ] {
        let mut environment = Environment::default();
        environment.variables.insert("https_proxy".into(), url.clone());
        let gateway = vouching(environment, &Authority::new(), &[]);
        let error = call(&gateway, "hub_repo_info", json!({"image": "nginx"}), 10).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error:?}");
        assert!(!format!("{error:?}").contains("pass") && !error.message().contains("127.0.0.1"), "{error:?}");
    }
    let mut environment = Environment::default();
    environment.variables.insert("https_proxy".into(), proxy.url());
    let gateway = vouching(environment, &Authority::new(), &[]);
    let error = call(&gateway, "registry_list_tags", json!({"image": "10.0.0.1/a"}), 10).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "an address is an address behind a proxy too");
}
