//! The tools of the toolset `images`, over every link.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use quaymaster::gateway::{Failure, Request};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    sync::mpsc,
};

use crate::{
    engine::{Scrap, docker, image},
    rig::{LINKS, Link, Rig, gateway, lab},
};

fn rows(answer: &Value) -> Vec<Value> {
    answer["images"].as_array().expect("images").clone()
}

fn short(id: &str) -> &str {
    &id.trim_start_matches("sha256:")[..12]
}

#[tokio::test]
async fn lists_filter_and_page() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (name, label) = (rig.name("list"), format!("qm-test={}", rig.name("label")));
        let mut ids = Vec::new();
        for tag in ["1", "2"] {
            let reference = format!("{name}:{tag}");
            scrap.image(reference.clone());
            ids.push(image(link, &reference, 3000, &[&format!("LABEL {label}")]));
        }

        let listed = rig.call("list_images", json!({"reference": name})).await.ok();
        assert_eq!(listed["hosts"][0]["status"], "ok");
        let found = rows(&listed);
        assert_eq!(found.len(), 2, "{link:?}: {listed}");
        assert_eq!((&found[0]["host"], &found[0]["references"]), (&json!("lab"), &json!([format!("{name}:1")])));
        assert_eq!(found[0]["id"], short(&ids[0]));
        assert!(found[0]["size"].as_str().unwrap().ends_with("KiB") && found[0].get("dangling").is_none());
        assert!(found[0]["created"].as_str().unwrap().ends_with('Z'), "{listed}");

        let first = rig.call("list_images", json!({"label": [label], "limit": 1})).await.ok();
        assert_eq!((&first["total"], &first["shown"]), (&json!(2), &json!(1)));
        let rest = rig.call("list_images", json!({"label": [label], "cursor": first["cursor"]})).await.ok();
        assert_eq!(rows(&rest)[0]["references"], json!([format!("{name}:2")]), "{rest}");
        assert!(rest.get("cursor").is_none());

        let none = rig.call("list_images", json!({"label": [format!("{label}x")]})).await.ok();
        assert!(rows(&none).is_empty());

        // An image that loses its tag to another is dangling.
        docker(link, &["tag", &format!("{name}:2"), &format!("{name}:1")]);
        scrap.image(ids[0].clone());
        let dangling = rig.call("list_images", json!({"label": [label], "dangling": true})).await.ok();
        assert_eq!((rows(&dangling).len(), &dangling["images"][0]["dangling"]), (1, &json!(true)), "{dangling}");
        assert_eq!(dangling["images"][0]["id"], short(&ids[0]));
        let tagged = rig.call("list_images", json!({"label": [label], "dangling": false})).await.ok();
        assert_eq!(rows(&tagged)[0]["references"].as_array().unwrap().len(), 2, "{tagged}");

        // A container that was never started uses its image too.
        let container = rig.name("user");
        scrap.container(container.clone());
        docker(link, &["create", "--name", &container, &format!("{name}:2"), "/none"]);
        let unused = rig.call("list_images", json!({"label": [label], "unused": true})).await.ok();
        let unused: Vec<_> = rows(&unused).iter().map(|row| row["id"].clone()).collect();
        assert_eq!(unused, [short(&ids[0])], "{link:?}");
    }
}

#[tokio::test]
async fn every_section_hides_the_values_of_variables() {
    for link in LINKS {
        let rig = Rig::new(link);
        let lab_image = lab("LAB_IMAGE");
        for arguments in [
            json!({}),
            json!({"section": "summary"}),
            json!({"section": "config"}),
            json!({"section": "layers"}),
            json!({"section": "all"}),
            json!({"raw": true}),
        ] {
            let mut with_image = arguments.clone();
            with_image["image"] = lab_image.clone().into();
            let shown = rig.call("inspect_image", with_image.clone()).await.ok();
            let text = rig.call("inspect_image", with_image).await.text();
            assert!(!shown.to_string().contains("hunter2") && !text.contains("hunter2"), "{arguments}: {shown}");
            match arguments["section"].as_str() {
                _ if arguments["raw"] == true => assert!(shown["raw"]["RootFS"]["Layers"][0].is_string()),
                Some("config") => {
                    let secret = shown["config"]["env"][1].as_str().unwrap();
                    assert!(secret.starts_with("LAB_SECRET=<redacted len=14"), "{secret}");
                }
                Some("layers") => assert!(shown["layers"]["digests"][0].as_str().unwrap().starts_with("sha256:")),
                Some("all") => assert!(shown["layers"].is_object() && shown["config"].is_object()),
                _ => {
                    assert_eq!((&shown["env"], &shown["layers_total"]), (&json!(["PATH", "LAB_SECRET"]), &json!(1)));
                    assert!(shown["platform"].as_str().unwrap().starts_with("linux/"), "{shown}");
                }
            }
        }
        let by_id = rig.call("inspect_image", json!({"image": lab_image})).await.ok()["id"].clone();
        assert_eq!(rig.call("inspect_image", json!({"image": by_id})).await.ok()["id"], by_id);
    }
}

#[tokio::test]
async fn history_shows_names_and_no_values() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let name = format!("{}:1", rig.name("history"));
        scrap.image(name.clone());
        let directory = tempfile::tempdir().unwrap();
        let dockerfile = format!(
            "FROM {}\nARG BUILD_TOKEN=correcthorse\nENV APP_TOKEN=\"batterystaple with blanks\"\nRUN echo built > /built\n",
            lab("LAB_IMAGE")
        );
        std::fs::write(directory.path().join("Dockerfile"), dockerfile).unwrap();
        let context = directory.path().to_str().unwrap();
        docker(link, &["build", "--build-arg", "BUILD_TOKEN=trombone three", "--tag", &name, context]);

        let history = rig.call("image_history", json!({"image": name})).await.ok();
        let text = history.to_string();
        for secret in ["correcthorse", "batterystaple", "with blanks", "trombone", "three"] {
            assert!(!text.contains(secret), "{link:?}: {secret} in {text}");
        }
        for kept in ["ARG BUILD_TOKEN=<redacted", "ENV APP_TOKEN=<redacted", "|1 BUILD_TOKEN=<redacted", "echo built"] {
            assert!(text.contains(kept), "{link:?}: no {kept} in {text}");
        }
        let steps = history["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 4, "{history}");
        assert!(steps[0]["tags"][0].as_str().unwrap().ends_with(&name) && steps[0]["step"] == 0);

        let page = rig.call("image_history", json!({"image": name, "limit": 3})).await.ok();
        let rest = rig.call("image_history", json!({"image": name, "cursor": page["cursor"]})).await.ok();
        assert_eq!((page["steps"].as_array().unwrap().len(), rest["steps"][0]["step"].as_u64()), (3, Some(3)));
    }
}

#[tokio::test]
async fn an_image_is_pulled_with_progress() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let repository = format!("{}/{}", lab("LAB_REGISTRY"), rig.name("pull"));
        let latest = format!("{repository}:latest");
        scrap.image(latest.clone());
        let id = image(link, &latest, 6_000_000, &["LABEL a=b"]);
        docker(link, &["push", "--quiet", &latest]);
        docker(link, &["rmi", &latest]);

        let reports = Arc::new(Mutex::new(Vec::new()));
        let heard = reports.clone();
        let Value::Object(arguments) = json!({"image": repository}) else { unreachable!() };
        let request = Request {
            progress: Arc::new(move |progress| heard.lock().unwrap().push((Instant::now(), progress))),
            ..Request::new(rig.gateway.caller("test"), "pull_image", arguments)
        };
        let pulled = rig.gateway.call(request).await.expect("the pull").structured.unwrap();
        assert_eq!((&pulled["image"], &pulled["up_to_date"]), (&json!(latest), &json!(false)), "{link:?}");
        assert_eq!(pulled["id"], short(&id));
        assert!(
            docker(link, &["image", "inspect", "--format", "{{.RepoDigests}}", &latest])
                .contains(pulled["digest"].as_str().unwrap())
        );
        let reports = std::mem::take(&mut *reports.lock().unwrap());
        assert!(!reports.is_empty());
        for pair in reports.windows(2) {
            let [(earlier, before), (later, after)] = pair else { unreachable!() };
            assert!(later.duration_since(*earlier) >= Duration::from_millis(240), "more than four in a second");
            assert!(after.done >= before.done, "{before:?} {after:?}");
        }

        let again = rig.call("pull_image", json!({"image": latest})).await.ok();
        assert_eq!((&again["up_to_date"], &again["digest"]), (&json!(true), &pulled["digest"]), "{again}");

        let by_digest = format!("{repository}@{}", pulled["digest"].as_str().unwrap());
        docker(link, &["rmi", &latest]);
        scrap.image(by_digest.clone());
        let pulled = rig.call("pull_image", json!({"image": by_digest})).await.ok();
        assert_eq!((&pulled["image"], &pulled["id"]), (&json!(by_digest), &json!(short(&id))), "{pulled}");
    }
}

#[tokio::test]
async fn all_tags_of_a_repository_are_pulled() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let repository = format!("{}/{}", lab("LAB_REGISTRY"), rig.name("tags"));
        let tags = ["1", "2"].map(|tag| format!("{repository}:{tag}"));
        for tag in &tags {
            scrap.image(tag.clone());
            image(link, tag, 2000, &[]);
            docker(link, &["push", "--quiet", tag]);
            docker(link, &["rmi", tag]);
        }
        let pulled = rig.call("pull_image", json!({"image": repository, "all_tags": true})).await.ok();
        assert_eq!((&pulled["tags"], &pulled["up_to_date"]), (&json!(tags), &json!(false)), "{link:?}");
        let again = rig.call("pull_image", json!({"image": repository, "all_tags": true})).await.ok();
        assert_eq!(again["up_to_date"], true, "{again}");
        let refused = rig.call("pull_image", json!({"image": tags[0], "all_tags": true})).await;
        assert_eq!(refused.kind(), "invalid");
    }
}

/// 26.1 says so in the middle of the stream, after a status of 200; 20.10 does not say it at all.
#[tokio::test]
async fn the_wrong_platform_is_not_passed_over() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let reference = format!("{}/{}:1", lab("LAB_REGISTRY"), rig.name("platform"));
        scrap.image(reference.clone());
        image(link, &reference, 2000, &[]);
        docker(link, &["push", "--quiet", &reference]);
        docker(link, &["rmi", &reference]);
        let pulled = rig.call("pull_image", json!({"image": reference, "platform": "linux/s390x"})).await;
        if link == Link::Unix {
            let note = pulled.ok()["note"].clone();
            assert!(note.as_str().unwrap().starts_with("asked for linux/s390x, got linux/"), "{note}");
        } else {
            let error = pulled.error();
            assert!(error["message"].as_str().unwrap().contains("does not match the specified platform"), "{error}");
        }
        let fitting = rig.call("pull_image", json!({"image": reference, "platform": "linux/amd64"})).await.ok();
        assert!(fitting.get("note").is_none(), "{fitting}");
    }
}

#[tokio::test]
async fn a_pull_that_cannot_be_says_why() {
    for link in LINKS {
        let rig = Rig::new(link);
        let missing = format!("{}/lab/{}:1", lab("LAB_REGISTRY"), rig.name("none"));
        let error = rig.call("pull_image", json!({"image": missing})).await.error();
        assert_eq!(error["kind"], "not_found", "{error}");
        let error = rig.call("pull_image", json!({"image": "127.0.0.1:1/nobody/listens:1"})).await.error();
        assert_eq!(error["kind"], "docker", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("\"127.0.0.1:1\"") && message.ends_with("connection refused"), "{message}");
        assert!(!message.contains("dial tcp"), "{message}");
    }
}

/// Stands between the gateway and an engine, and tells when the gateway closes the connection of a pull.
async fn watch_pulls(gateway: UnixListener, engine: String, closed: mpsc::UnboundedSender<()>) {
    loop {
        let (from_gateway, _) = gateway.accept().await.unwrap();
        let (mut requests, mut answers) = from_gateway.into_split();
        let (mut said, mut told) = UnixStream::connect(&engine).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut said, &mut answers).await });
        let closed = closed.clone();
        tokio::spawn(async move {
            let (mut buffer, mut is_pull) = ([0; 4096], false);
            while let Ok(length @ 1..) = requests.read(&mut buffer).await {
                is_pull |= String::from_utf8_lossy(&buffer[..length]).contains("/images/create");
                told.write_all(&buffer[..length]).await.unwrap();
            }
            if is_pull {
                closed.send(()).ok();
            }
        });
    }
}

#[tokio::test]
async fn a_pull_that_is_taken_back_closes_its_connection() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("engine.sock");
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    tokio::spawn(watch_pulls(UnixListener::bind(&socket).unwrap(), Link::Unix.socket(), closed));
    // A registry that takes connections and never says a word.
    let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = registry.local_addr().unwrap();

    let Value::Object(arguments) = json!({"image": format!("{address}/a/b:1")}) else { unreachable!() };
    let gateway = gateway(&[format!("lab=unix://{}", socket.display())]);
    let request = Request::new(gateway.caller("test"), "pull_image", arguments);
    let cancelled = request.cancelled.clone();
    let call = tokio::spawn(async move { gateway.call(request).await });
    let daemon = tokio::time::timeout(Duration::from_secs(10), registry.accept()).await.expect("the daemon connects");

    cancelled.cancel();
    let Err(Failure::Tool(error)) = call.await.unwrap() else { panic!("it went on") };
    assert_eq!(error.kind().as_str(), "cancelled");
    let told = tokio::time::timeout(Duration::from_millis(500), is_closed.recv()).await;
    assert_eq!(told.expect("the connection is closed"), Some(()));
    drop(daemon);
}

#[tokio::test]
async fn a_name_can_be_given_and_taken() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (one, two, three) = (rig.name("one"), rig.name("two"), format!("{}/x:3", rig.name("three")));
        let id = image(link, &format!("{one}:latest"), 2000, &[]);
        scrap.image(id.clone());
        for name in [&one, &two, &three] {
            scrap.image(name.clone());
        }
        let tagged = rig.call("tag_image", json!({"image": id, "tag": two})).await.ok();
        assert_eq!((&tagged["tag"], tagged.get("taken_from")), (&json!(format!("{two}:latest")), None), "{tagged}");
        rig.call("tag_image", json!({"image": one, "tag": three})).await.ok();
        assert_eq!(docker(link, &["image", "inspect", "--format", "{{.Id}}", &three]), id);

        // A name that another image has moves.
        let other = image(link, &format!("{}:latest", rig.name("other")), 2000, &[]);
        scrap.image(other.clone());
        let moved = rig.call("tag_image", json!({"image": other, "tag": two})).await.ok();
        assert_eq!(moved["taken_from"], short(&id));
        rig.call("tag_image", json!({"image": id, "tag": two})).await.ok();

        // One name goes, the image and its other names stay.
        let removed = rig.call("remove_image", json!({"images": [two]})).await.ok();
        assert_eq!(removed["results"][0]["result"], "untagged", "{removed}");
        assert_eq!(removed["results"][0]["untagged"], json!([format!("{two}:latest")]));
        assert_eq!(docker(link, &["image", "inspect", "--format", "{{len .RepoTags}}", &id]), "2");

        // The id means the whole image, which has two names.
        let refused = rig.call("remove_image", json!({"images": [short(&id)]})).await.error();
        assert_eq!(refused["kind"], "conflict", "{refused}");
        let removed = rig.call("remove_image", json!({"images": [short(&id)], "force": true})).await.ok();
        assert_eq!(removed["results"][0]["result"], "deleted", "{removed}");
        assert_eq!(removed["results"][0]["untagged"].as_array().unwrap().len(), 2);
        assert_eq!(rig.call("inspect_image", json!({"image": id})).await.kind(), "not_found");
    }
}

#[tokio::test]
async fn many_images_go_in_one_call_whatever_fails() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (one, two, used) = (rig.name("one"), rig.name("two"), rig.name("used"));
        let container = rig.name("user");
        scrap.container(container.clone());
        for name in [&one, &used] {
            scrap.image(name.clone());
            image(link, &format!("{name}:latest"), 2000, &[]);
        }
        docker(link, &["tag", &one, &two]);
        scrap.image(two.clone());
        docker(link, &["create", "--name", &container, &used, "/none"]);

        // Two names of one image are two removals; a name said twice is one.
        let images = json!([one, two, format!("{one}:latest"), used, rig.name("none")]);
        let removed = rig.call("remove_image", json!({"images": images, "no_prune": true})).await.ok();
        let results: Vec<_> =
            removed["results"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["untagged", "deleted", "conflict", "not_found"], "{link:?}: {removed}");

        let refused = rig.call("remove_image", json!({"images": [used]})).await.error();
        assert_eq!(refused["kind"], "conflict");
        let forced = rig.call("remove_image", json!({"images": [used], "force": true})).await.ok();
        assert!(forced["results"][0].get("error").is_none(), "{forced}");
    }
}

#[tokio::test]
async fn a_search_that_reaches_nobody_says_so_in_time() {
    let rig = Rig::new(Link::Unix);
    let started = Instant::now();
    let error = rig.call("search_images", json!({"term": "nginx", "limit": 5, "official": true})).await.error();
    // The lab has no way to the internet.
    assert!(started.elapsed() < Duration::from_secs(28), "{:?}", started.elapsed());
    assert!(["docker", "timeout"].contains(&error["kind"].as_str().unwrap()), "{error}");
    assert!(error["message"].as_str().unwrap().contains("docker.io") || error["kind"] == "timeout", "{error}");
    assert!(!error["message"].as_str().unwrap().contains("dial tcp") && error["hint"].is_string(), "{error}");
}

/// Nothing that a caller writes makes a daemon connect to where he likes.
#[tokio::test]
async fn a_search_never_leads_to_another_registry() {
    let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = registry.local_addr().unwrap().to_string();
    for link in LINKS {
        let rig = Rig::new(link);
        for term in [format!("{address}/x"), "localhost/x".to_owned(), format!("http://{address}/x")] {
            assert_eq!(rig.call("search_images", json!({"term": term})).await.kind(), "invalid", "{term}");
        }
        for term in ["", "a\nb", &"x".repeat(10_240)] {
            assert_eq!(rig.call("search_images", json!({"term": term})).await.kind(), "invalid", "{term:?}");
        }
    }
    assert!(tokio::time::timeout(Duration::from_millis(200), registry.accept()).await.is_err(), "somebody connected");
}

#[tokio::test]
async fn hostile_arguments_are_refused() {
    let rig = Rig::new(Link::Unix);
    let long = "a".repeat(10_240);
    for name in ["", "../info", "a/../b", "%2f", "a%2fb", "a\nb", "a b", "a?x=1", "a#b", long.as_str()] {
        for call in [
            ("inspect_image", json!({"image": name})),
            ("image_history", json!({"image": name})),
            ("pull_image", json!({"image": name})),
            ("tag_image", json!({"image": name, "tag": "x"})),
            ("tag_image", json!({"image": lab("LAB_IMAGE"), "tag": name})),
            ("remove_image", json!({"images": [name]})),
        ] {
            let (tool, arguments) = call;
            assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "invalid", "{tool} {arguments}");
        }
    }
    for (tool, arguments) in [
        ("list_images", json!({"reference": long})),
        ("list_images", json!({"label": ["a\u{0}"]})),
        ("list_images", json!({"limit": 0})),
        ("list_images", json!({"unused": "yes"})),
        ("inspect_image", json!({"image": "a", "section": "layer"})),
        ("inspect_image", json!({"image": ["a"]})),
        ("inspect_image", json!({"image": "a", "pretty": true})),
        ("pull_image", json!({"image": "a", "platform": "linux/../x y"})),
        ("pull_image", json!({"image": "sha256:0123456789ab"})),
        ("tag_image", json!({"image": lab("LAB_IMAGE"), "tag": format!("a@sha256:{}", "0".repeat(64))})),
        ("remove_image", json!({"images": []})),
        ("remove_image", json!({"images": vec!["a"; 201]})),
        ("search_images", json!({"term": "a", "limit": 101})),
    ] {
        assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "invalid", "{tool} {arguments}");
    }
    for (tool, arguments) in [
        ("inspect_image", json!({"image": rig.name("none")})),
        ("image_history", json!({"image": rig.name("none")})),
        ("tag_image", json!({"image": rig.name("none"), "tag": "x"})),
        ("remove_image", json!({"images": [rig.name("none")]})),
    ] {
        assert_eq!(rig.call(tool, arguments).await.kind(), "not_found", "{tool}");
    }
}

#[tokio::test]
async fn modes_hold() {
    for link in LINKS {
        let image = lab("LAB_IMAGE");
        let ro = Rig::with_markers(link, "(ro)");
        ro.call("list_images", json!({})).await.ok();
        ro.call("inspect_image", json!({"image": image})).await.ok();
        ro.call("image_history", json!({"image": image})).await.ok();
        for (tool, arguments) in [
            ("pull_image", json!({"image": image})),
            ("tag_image", json!({"image": image, "tag": ro.name("tag")})),
            ("remove_image", json!({"images": [image]})),
        ] {
            assert_eq!(ro.call(tool, arguments).await.kind(), "denied", "{link:?} {tool}");
        }
        let nd = Rig::with_markers(link, "(nd)");
        let mut scrap = Scrap::on(link);
        let tag = nd.name("tag");
        scrap.image(tag.clone());
        nd.call("tag_image", json!({"image": image, "tag": tag})).await.ok();
        assert_eq!(nd.call("remove_image", json!({"images": [tag]})).await.kind(), "denied", "{link:?}");
        docker(link, &["image", "inspect", &tag]);
    }
}
