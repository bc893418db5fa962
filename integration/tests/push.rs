//! `push_image` with the lab's registry.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    containers_write::ask,
    engine::{Scrap, docker, image},
    rig::{LINKS, Rig, lab},
};

/// The tags that the registry has of a repository.
async fn tags(repository: &str) -> Vec<String> {
    let (registry, path) = repository.split_once('/').unwrap();
    let socket = TcpStream::connect(registry).await.expect("the registry");
    let (_, answer) = ask(socket, &format!("GET /v2/{path}/tags/list HTTP/1.0"), "").await;
    let mut tags: Vec<String> =
        answer["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    tags.sort();
    tags
}

#[tokio::test]
async fn a_name_is_published_and_its_other_names_only_when_asked_for() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let repository = format!("{}/{}", lab("LAB_REGISTRY"), rig.name("push"));
        for tag in ["1", "2", "latest"] {
            let name = format!("{repository}:{tag}");
            image(link, &name, 300_000, &[]);
            scrap.image(name);
        }
        let pushed = rig.call("push_image", json!({"image": format!("{repository}:1")})).await.ok();
        assert_eq!(tags(&repository).await, ["1"], "{link:?}: {pushed}");
        assert_eq!((&pushed["layers"], &pushed["tags"][0]["tag"]), (&json!(1), &json!("1")), "{pushed}");
        let digest = pushed["tags"][0]["digest"].as_str().unwrap();
        let names =
            docker(link, &["image", "inspect", "--format", "{{json .RepoDigests}}", &format!("{repository}:1")]);
        assert!(names.contains(digest), "{names}");

        // What is there is not sent again; without a tag it is `latest`.
        let again = rig.call("push_image", json!({"image": format!("{repository}:1")})).await.ok();
        assert_eq!((&again["layers"], &again["tags"]), (&json!(0), &pushed["tags"]), "{again}");
        rig.call("push_image", json!({"image": repository})).await.ok();
        assert_eq!(tags(&repository).await, ["1", "latest"]);

        let all = rig.call("push_image", json!({"image": repository, "all_tags": true})).await.ok();
        assert_eq!(tags(&repository).await, ["1", "2", "latest"], "{link:?}: {all}");
        assert_eq!(all["tags"].as_array().unwrap().len(), 3, "{all}");
    }
}

#[tokio::test]
async fn a_push_that_cannot_be_says_why() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let missing = format!("{}/{}:1", lab("LAB_REGISTRY"), rig.name("none"));
        for arguments in [json!({"image": missing}), json!({"image": missing.strip_suffix(":1"), "all_tags": true})] {
            let error = rig.call("push_image", arguments).await.error();
            assert_eq!(error["kind"], "not_found", "{error}");
        }
        // Nobody listens there.
        let deaf = format!("127.0.0.1:1/{}:1", rig.name("deaf"));
        image(link, &deaf, 2000, &[]);
        scrap.image(deaf.clone());
        let error = rig.call("push_image", json!({"image": deaf})).await.error();
        assert_eq!(error["kind"], "docker", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("\"127.0.0.1:1\"") && !message.contains("dial tcp"), "{message}");

        // Names that the host does not let out stay in, one among several too.
        let repository = format!("{}/{}", lab("LAB_REGISTRY"), rig.name("closed"));
        for tag in ["open", "secret"] {
            image(link, &format!("{repository}:{tag}"), 2000, &[]);
            scrap.image(format!("{repository}:{tag}"));
        }
        let denied = format!("{repository}:secret");
        let narrow = Rig::set(link, |config| {
            crate::rig::open(config);
            config.hosts[0].limits.images = quaymaster::config::Globs::of_images(&[], &[denied]).unwrap();
        });
        let error = narrow.call("push_image", json!({"image": format!("{repository}:secret")})).await.error();
        assert_eq!(error["kind"], "not_found", "it does not exist for callers: {error}");
        let error = narrow.call("push_image", json!({"image": repository, "all_tags": true})).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        assert_eq!(tags(&repository).await, Vec::<String>::new());
        narrow.call("push_image", json!({"image": format!("{repository}:open")})).await.ok();
        assert_eq!(tags(&repository).await, ["open"]);
    }
}
