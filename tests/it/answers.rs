//! Small answers: whatever a daemon holds, no answer is longer than one may be, and cursors reach all of it.

use std::{collections::BTreeSet, sync::Arc};

use quaymaster::{
    error::Kind,
    gateway::{Gateway, catalogue::everything},
    tool::{Answer, Effect, Json},
};
use serde_json::{Value, json};

use crate::{
    arguments::plausible,
    rig::{call, fields, gateway, gateway_with},
    simulated::{Act, Daemon, Heard, answer, engine, engine_in, json_answer, world},
};

/// The most characters of a channel, and the most bytes of one where nothing is said about how much is wanted.
const LONGEST: usize = 24_000;
const USUAL: usize = 6_000;

/// The lists of a daemon that holds very much, made once.
struct Plenty {
    containers: Vec<u8>,
    images: Vec<u8>,
    networks: Vec<u8>,
    volumes: Vec<u8>,
    changes: Vec<u8>,
    top: Vec<u8>,
    history: Vec<u8>,
}

impl Plenty {
    /// Every tenth object but an image has so many labels.
    fn new(labels: usize) -> Arc<Self> {
        let list = |document: Value| answer("200 OK", "application/json", "1.45", document.to_string().as_bytes());
        let many: Json = (0..labels).map(|number| (format!("l{number}"), "v".into())).collect();
        let rows = |count: usize, row: &dyn Fn(usize) -> Value| (0..count).map(row).collect::<Vec<Value>>();
        let labels = |number: usize| if number.is_multiple_of(10) { json!(many) } else { json!({"l1": "v"}) };
        // The beginning of an id is what tells it from others.
        let id = |number: usize| format!("{number:012x}{:052x}", 0);
        let container = |number: usize| {
            json!({"Id": id(number), "Names": [format!("/service-{number}")], "Image": "lab/base:1",
                "State": "running", "Status": "Up 2 minutes (healthy)", "Labels": labels(number), "Created": 1_763_600_000,
                "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 10_000 + number, "Type": "tcp"}]})
        };
        let image = |number: usize| {
            let tags: Vec<String> = match number {
                7 => (0..2_000).map(|tag| format!("many/tags:{tag}")).collect(),
                _ => vec![format!("registry.example.com/team/app-{number}:1.{number}")],
            };
            json!({"Id": format!("sha256:{}", id(number)), "RepoTags": tags, "RepoDigests": [], "Size": number,
                "Created": 1_763_600_000, "Labels": {"a": "b"}})
        };
        let network = |number: usize| {
            json!({"Id": id(number), "Name": format!("network-{number}"), "Driver": "bridge",
                "Scope": "local", "Labels": labels(number), "IPAM": {"Config": [{"Subnet": format!("10.0.{number}.0/24")}]}})
        };
        let volume = |number: usize| {
            json!({"Name": format!("volume-{number}"), "Driver": "local", "Labels": labels(number), "Mountpoint": "/v",
                "CreatedAt": "2026-01-01T00:00:00Z"})
        };
        let change = |number: usize| json!({"Path": format!("/var/{}/{}", number / 100, number), "Kind": 1});
        let process = |number: usize| json!([number.to_string(), "1", "root", "S", "1", "1", "100", "sleep 600"]);
        let step = |number: usize| json!({"Id": "<missing>", "Created": 1_763_600_000, "CreatedBy": format!("RUN step {number}"), "Size": 1});
        Arc::new(Self {
            containers: list(rows(500, &container).into()),
            images: list(rows(2_000, &image).into()),
            networks: list(rows(500, &network).into()),
            volumes: list(json!({"Volumes": rows(500, &volume), "Warnings": null})),
            changes: list(rows(100_000, &change).into()),
            top: list(json!({"Titles": ["PID", "PPID", "USER", "STAT", "ELAPSED", "TIME", "RSS", "COMMAND"],
                "Processes": rows(3_000, &process)})),
            history: list(rows(700, &step).into()),
        })
    }

    fn answers(&self, heard: &Heard) -> Act {
        let path = heard.path();
        let list = match path.rsplit('/').next().unwrap_or_default() {
            _ if heard.method != "GET" => return engine(heard),
            "json" if path == "/containers/json" => &self.containers,
            "json" if path == "/images/json" => &self.images,
            "networks" => &self.networks,
            "volumes" => &self.volumes,
            "changes" => &self.changes,
            "top" => &self.top,
            "history" => &self.history,
            _ => return engine(heard),
        };
        Act::Send(list.clone())
    }
}

fn plenty(labels: usize) -> (Daemon, Arc<Gateway>) {
    let plenty = Plenty::new(labels);
    let daemon = Daemon::new(move |heard| plenty.answers(heard));
    let gateway = gateway(&[daemon.spec("a", "")]);
    (daemon, gateway)
}

/// Holds an answer to what every answer is held to.
fn is_small(tool: &str, answer: &Answer) {
    let structured = answer.structured.as_ref().map_or(0, |fields| json!(fields).to_string().chars().count());
    assert!(answer.text.chars().count() <= LONGEST, "{tool}: the text has {}", answer.text.chars().count());
    assert!(structured <= LONGEST, "{tool}: the data have {structured}");
    let fields = fields(answer);
    if let Some(cursor) = fields["cursor"].as_str() {
        assert!(answer.text.contains(&format!("cursor: {cursor}\n")), "{tool}: both channels go on alike");
        assert!(cursor.len() <= 200, "{tool}: {cursor}");
        assert_eq!(fields["truncated"], true, "{tool}");
        assert!(fields["shown"].as_u64().unwrap() < fields["total"].as_u64().unwrap(), "{tool}: {fields}");
    }
}

// What is asked, how many rows there are, where they are and what tells them apart.
fn lists() -> Vec<(&'static str, Value, usize, &'static str, &'static [&'static str])> {
    vec![
        ("list_containers", json!({"all": true}), 500, "containers", &["id"]),
        ("list_images", json!({}), 2_000 - 1 + 100, "images", &["id", "references"]),
        ("list_networks", json!({}), 500, "networks", &["id"]),
        ("list_volumes", json!({}), 500, "volumes", &["name"]),
        ("container_changes", json!({"container": "web"}), 1_000, "directories", &["directory"]),
        ("container_top", json!({"container": "web"}), 3_000, "processes", &["pid"]),
        ("image_history", json!({"image": "lab/base:1"}), 700, "steps", &["step"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_pages_to_its_end_in_small_answers() {
    let (_daemon, gateway) = plenty(300);
    for (tool, arguments, total, rows, key) in lists() {
        let usual = call(&gateway, tool, arguments.clone(), 60).await.unwrap();
        is_small(tool, &usual);
        let data = json!(usual.structured).to_string();
        assert!(usual.text.len() <= USUAL && data.len() <= USUAL, "{tool}: {} and {}", usual.text.len(), data.len());
        assert!(data.len() > USUAL / 3, "{tool}: a small answer is not an empty one: {data}");
        assert_eq!(fields(&usual)["total"], total, "{tool}");
        let (mut seen, mut cursor, mut pages, mut count) = (BTreeSet::new(), fields(&usual)["cursor"].clone(), 1, 0);
        let mut take = |answer: &Value| {
            for row in answer[rows].as_array().unwrap() {
                count += 1;
                seen.insert(key.iter().map(|key| row[key].to_string()).collect::<String>());
            }
            count
        };
        take(&fields(&usual));
        while !cursor.is_null() {
            let mut next = arguments.clone();
            // How much is asked for may change on the way.
            next["cursor"] = cursor;
            next["limit"] = json!(500);
            let answer = call(&gateway, tool, next, 60).await.unwrap();
            is_small(tool, &answer);
            let answer = fields(&answer);
            take(&answer);
            assert_eq!(answer["total"], total, "{tool}");
            cursor = answer["cursor"].clone();
            pages += 1;
            assert!(pages < 200, "{tool} has no end");
        }
        assert_eq!((take(&json!({rows: []})), seen.len()), (total, total), "{tool}: no row twice, none missed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_call_says_so() {
    let (daemon, gateway) = plenty(3);
    let first = fields(&call(&gateway, "list_volumes", json!({"limit": 5}), 60).await.unwrap());
    let cursor = first["cursor"].as_str().unwrap();
    let other = gateway_with(&[daemon.spec("a", "")], |_| {});
    let cases = [
        (&gateway, "list_volumes", json!({"cursor": cursor, "driver": "local"}), "belongs to other arguments"),
        (&gateway, "list_networks", json!({"cursor": cursor}), "belongs to other arguments"),
        (&gateway, "container_logs", json!({"container": "web", "cursor": cursor}), "belongs to other arguments"),
        (&gateway, "list_volumes", json!({"cursor": format!("{cursor}A")}), "not one that an answer gave"),
        (&gateway, "list_volumes", json!({"cursor": "volume-7"}), "not one that an answer gave"),
        (&gateway, "list_volumes", json!({"cursor": ""}), "not one that an answer gave"),
        (&other, "list_volumes", json!({"cursor": cursor}), "earlier process"),
    ];
    for (gateway, tool, arguments, why) in cases {
        let error = call(gateway, tool, arguments.clone(), 60).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{tool} {arguments}: {error}");
        assert!(error.message().contains("argument \"cursor\""), "{error}");
        assert!(error.message().contains(why) && error.hint_text().is_some(), "{tool} {arguments}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_and_go_between_pages_repeat_and_hide_nothing() {
    let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let daemon = Daemon::new(move |heard| {
        if heard.path() != "/volumes" {
            return engine(heard);
        }
        // Half of them are always there; the others are there every other time.
        let turn = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let volume = |number: usize| json!({"Name": format!("v{number:03}"), "Driver": "local"});
        let there = (0..200).filter(|number| number % 2 == 0 || (number / 2 + turn).is_multiple_of(2));
        json_answer("200 OK", &json!({"Volumes": there.map(volume).collect::<Vec<_>>(), "Warnings": null}))
    });
    let gateway = gateway(&[daemon.spec("a", "")]);
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let answer = fields(&call(&gateway, "list_volumes", json!({"limit": 7, "cursor": cursor}), 60).await.unwrap());
        seen.extend(answer["volumes"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()));
        cursor = answer["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "no row twice");
    assert!((0..200).step_by(2).all(|number| distinct.contains(&format!("v{number:03}"))), "{seen:?}");
}

/// Calls every tool with what a sensible caller would give, and holds every answer to the budget.
async fn every_answer_is_small(gateway: &Arc<Gateway>, wanted: fn(Effect) -> bool) {
    for entry in everything().into_iter().filter(|entry| wanted(entry.card.access.effect)) {
        let arguments = plausible(&entry, &world());
        let tool = entry.card.name;
        match call(gateway, tool, Value::Object(arguments), 120).await {
            Ok(answer) => is_small(tool, &answer),
            Err(error) => {
                assert_ne!(error.kind(), Kind::Internal, "{tool}: {error:?}");
                let told = error.to_json().to_string();
                assert!(told.chars().count() <= USUAL, "{tool}: an error is no answer: {} characters", told.len());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_answers_small_on_a_daemon_that_holds_much() {
    let (_daemon, gateway) = plenty(3);
    every_answer_is_small(&gateway, |_| true).await;
    for arguments in [json!({"query": "service"}), json!({"query": "l1=v"}), json!({"query": "e"})] {
        is_small("find", &call(&gateway, "find", arguments, 60).await.unwrap());
    }
}

/// What shows one object, by everything that can be asked of it.
async fn every_view_is_small(gateway: &Arc<Gateway>) {
    for (tool, name, object) in [
        ("inspect_container", "container", "web"),
        ("inspect_image", "image", "lab/base:1"),
        ("inspect_network", "network", "front"),
        ("inspect_volume", "volume", "data"),
    ] {
        is_small(tool, &call(gateway, tool, json!({name: object}), 60).await.unwrap());
        if ["container", "image"].contains(&name) {
            let all = call(gateway, tool, json!({name: object, "section": "all"}), 60).await;
            if let Ok(answer) = &all {
                is_small(tool, answer);
            }
            let raw = call(gateway, tool, json!({name: object, "raw": true}), 60).await.unwrap();
            is_small(tool, &raw);
            assert_eq!(fields(&raw)["truncated"], true, "{tool}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_answers_small_where_objects_have_thousands_of_labels() {
    let daemon = Daemon::new(|heard| engine_in("1.45", many_labels, heard));
    let gateway = gateway(&[daemon.spec("a", "")]);
    every_answer_is_small(&gateway, |effect| effect == Effect::Read).await;
    every_view_is_small(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_five_megabytes_is_a_short_text() {
    let daemon = Daemon::new(|heard| engine_in("1.45", one_endless_label, heard));
    let gateway = gateway(&[daemon.spec("a", "")]);
    for tool in ["list_containers", "list_volumes"] {
        let answer = call(&gateway, tool, json!({}), 60).await.unwrap();
        is_small(tool, &answer);
        assert!(answer.text.len() <= USUAL, "{tool}: {}", answer.text.len());
    }
    for arguments in [json!({"container": "web"}), json!({"container": "web", "raw": true})] {
        is_small("inspect_container", &call(&gateway, "inspect_container", arguments, 60).await.unwrap());
    }
}

/// Puts labels on whatever can have them.
fn label(document: &mut Value, labels: &Json) {
    match document {
        Value::Array(items) => items.iter_mut().for_each(|item| label(item, labels)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Object(known) if name == "Labels" => known.extend(labels.clone()),
                    value => label(value, labels),
                }
            }
        }
        _ => {}
    }
}

fn one_endless_label(document: &mut Value) {
    let endless = Value::from("x ".repeat(2_500_000));
    label(document, &Json::from_iter([("endless".to_owned(), endless)]));
    if let Some(project) = document.pointer_mut("/0/Labels/com.docker.compose.project") {
        *project = Value::from("y".repeat(1_000_000));
    }
}

fn many_labels(document: &mut Value) {
    let value = "a rather long description of what this label is for, and who put it there";
    label(document, &(0..3_000).map(|number| (format!("label-{number}"), value.into())).collect());
}
