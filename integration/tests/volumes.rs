//! The tools of the toolset `volumes`, over every link.

use serde_json::{Value, json};

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, lab},
};

fn names(rows: &Value) -> Vec<&str> {
    rows.as_array().into_iter().flatten().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_volume_is_made_as_asked_and_shows_no_password() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let name = rig.name("made");
        scrap.volume(name.clone());
        let asked = json!({
            "name": name, "driver": "local", "labels": {"team": "a"},
            "options": {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000"},
        });
        let made = rig.call("create_volume", asked.clone()).await.ok();
        assert_eq!((&made["name"], &made["created"]), (&json!(name), &json!(true)), "{made}");
        let engine: Value =
            serde_json::from_str(&docker(link, &["volume", "inspect", "--format", "{{json .}}", &name])).unwrap();
        assert_eq!(engine["Options"], asked["options"], "{link:?}");
        assert_eq!(
            (&engine["Labels"]["team"], &engine["Labels"]["quaymaster.tool"]),
            (&json!("a"), &json!("create_volume"))
        );

        let shown = rig.call("inspect_volume", json!({"volume": name})).await.ok();
        assert_eq!((&shown["options"]["type"], &shown["options"]["device"]), (&json!("tmpfs"), &json!("tmpfs")));
        // No option of these may hold a secret.
        assert_eq!(shown["options"]["o"], asked["options"]["o"], "{shown}");
        assert_eq!((&shown["labels"]["team"], &shown["used_by"]), (&json!("a"), &json!([])));
        assert!(shown["created"].as_str().unwrap().ends_with('Z') && shown.get("anonymous").is_none());

        let again = rig.call("create_volume", json!({"name": name, "labels": {"team": "b"}})).await.ok();
        assert_eq!((&again["created"], again["note"].is_string()), (&json!(false), true), "{again}");
        assert_eq!(docker(link, &["volume", "inspect", "--format", "{{.Labels.team}}", &name]), "a");
    }
}

#[tokio::test]
async fn a_volume_without_a_name_gets_one() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let made = rig.call("create_volume", json!({})).await.ok();
        let name = made["name"].as_str().unwrap().to_owned();
        scrap.volume(name.clone());
        assert_eq!((name.len(), &made["created"]), (64, &json!(true)), "{made}");
        let shown = rig.call("inspect_volume", json!({"volume": name})).await.ok();
        assert_eq!(shown["anonymous"], true, "{link:?}: {shown}");
    }
}

/// All at once: the engine looks for a plugin for a quarter of a minute.
#[tokio::test]
async fn a_driver_that_is_not_there_is_named() {
    let asked = LINKS.map(|link| async move {
        let rig = Rig::new(link);
        let error = rig.call("create_volume", json!({"name": rig.name("x"), "driver": "nosuchdriver"})).await.error();
        assert_eq!(error["kind"], "unsupported", "{link:?}: {error}");
        assert!(error["message"].as_str().unwrap().contains("nosuchdriver"), "{link:?}: {error}");
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn lists_filter_and_page() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (own, used, container) = (rig.name("a"), rig.name("b"), rig.name("user"));
        for name in [&own, &used] {
            scrap.volume(name.clone());
        }
        rig.call("create_volume", json!({"name": own, "labels": {"k": own}})).await.ok();
        docker(link, &["volume", "create", &used]);
        scrap.container(container.clone());
        docker(link, &["create", "--name", &container, "--volume", &format!("{used}:/data:ro"), &lab("LAB_IMAGE")]);

        let prefix = rig.name("");
        for (arguments, expected) in [
            (json!({"name": prefix}), vec![own.as_str(), used.as_str()]),
            (json!({"name": prefix, "driver": "local"}), vec![&own, &used]),
            (json!({"name": prefix, "driver": "nfs"}), vec![]),
            (json!({"name": prefix, "dangling": true}), vec![&own]),
            (json!({"name": prefix, "dangling": false}), vec![&used]),
            (json!({"name": prefix, "managed_only": true}), vec![&own]),
            (json!({"label": [format!("k={own}")]}), vec![&own]),
            (json!({"name": format!("{prefix}.*")}), vec![]),
        ] {
            let listed = rig.call("list_volumes", arguments.clone()).await.ok();
            assert_eq!(names(&listed["volumes"]), expected, "{link:?} {arguments}");
            assert_eq!(listed["hosts"][0]["status"], "ok");
        }
        let first = rig.call("list_volumes", json!({"name": prefix, "limit": 1})).await.ok();
        let rest = rig.call("list_volumes", json!({"name": prefix, "cursor": first["cursor"]})).await.ok();
        assert_eq!((names(&first["volumes"]), names(&rest["volumes"])), (vec![own.as_str()], vec![used.as_str()]));

        let shown = rig.call("inspect_volume", json!({"volume": used})).await.ok();
        let expected = json!({"container": container, "state": "created", "destination": "/data", "read_only": true});
        let mut by = shown["used_by"][0].clone();
        by.as_object_mut().unwrap().remove("id");
        assert_eq!(by, expected, "{link:?}: {shown}");
    }
}

#[tokio::test]
async fn volumes_are_removed_whatever_fails() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let [one, two, used, container] = ["one", "two", "used", "user"].map(|suffix| rig.name(suffix));
        for name in [&one, &two, &used] {
            scrap.volume(name.clone());
            docker(link, &["volume", "create", name]);
        }
        scrap.container(container.clone());
        docker(link, &["create", "--name", &container, "--volume", &format!("{used}:/data"), &lab("LAB_IMAGE")]);

        let removed = rig.call("remove_volume", json!({"volumes": [one, used, two, one, rig.name("none")]})).await.ok();
        let results: Vec<_> =
            removed["results"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["removed", "conflict", "removed", "not_found"], "{link:?}: {removed}");
        // Force does not take it from a container.
        let refused = rig.call("remove_volume", json!({"volumes": [used], "force": true})).await.error();
        assert_eq!(refused["kind"], "conflict", "{refused}");
        docker(link, &["volume", "inspect", &used]);
        docker(link, &["rm", &container]);
        rig.call("remove_volume", json!({"volumes": [used], "force": true})).await.ok();
        assert_eq!(rig.call("inspect_volume", json!({"volume": used})).await.kind(), "not_found");
    }
}

#[tokio::test]
async fn only_unused_anonymous_volumes_are_pruned() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let label = format!("qm-test={}", rig.name("prune"));
        let (named, container) = (rig.name("named"), rig.name("user"));
        scrap.volume(named.clone());
        docker(link, &["volume", "create", "--label", &label, &named]);
        let [anonymous, mounted] = [(); 2].map(|()| {
            let name = docker(link, &["volume", "create", "--label", &label]);
            scrap.volume(name.clone());
            name
        });
        assert_eq!(anonymous.len(), 64);
        scrap.container(container.clone());
        docker(link, &["create", "--name", &container, "--volume", &format!("{mounted}:/data"), &lab("LAB_IMAGE")]);
        let left = || {
            let listed =
                docker(link, &["volume", "ls", "--filter", &format!("label={label}"), "--format", "{{.Name}}"]);
            let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };

        let would = rig.call("prune_volumes", json!({"label": [label]})).await.ok();
        assert_eq!(names(&would["would_remove"]), [&anonymous], "{link:?}: {would}");
        assert_eq!(left().len(), 3);
        let removed = rig.call("prune_volumes", json!({"label": [label], "dry_run": false})).await.ok();
        assert_eq!(names(&removed["removed"]), [&anonymous], "{removed}");
        let mut expected = [named.clone(), mounted.clone()];
        expected.sort();
        assert_eq!(left(), expected, "{link:?}");

        let would = rig.call("prune_volumes", json!({"label": [label], "named": true, "dry_run": true})).await.ok();
        assert_eq!(names(&would["would_remove"]), [&named], "{would}");
        let all = json!({"label": [label], "named": true, "dry_run": false});
        assert_eq!(names(&rig.call("prune_volumes", all).await.ok()["removed"]), [&named]);
        assert_eq!(left(), [mounted], "{link:?}");
    }
}

#[tokio::test]
async fn hostile_arguments_are_refused() {
    let rig = Rig::new(Link::Unix);
    let long = "a".repeat(10_240);
    for name in ["", "../info", "a/b", "%2f", "a%2fb", "a\nb", "a\u{0}", "a?b", "a#b", ".hidden", long.as_str()] {
        for (tool, arguments) in [
            ("inspect_volume", json!({"volume": name})),
            ("create_volume", json!({"name": name})),
            ("remove_volume", json!({"volumes": [name]})),
        ] {
            assert_eq!(rig.call(tool, arguments).await.kind(), "invalid", "{tool} {name:?}");
        }
    }
    for (tool, arguments) in [
        ("list_volumes", json!({"name": long})),
        ("list_volumes", json!({"dangling": "true"})),
        ("list_volumes", json!({"cursor": "%ff"})),
        ("create_volume", json!({"options": {"o": ["a"]}})),
        ("create_volume", json!({"driver": "../x"})),
        ("create_volume", json!({"size": "1g"})),
        ("remove_volume", json!({"volumes": []})),
        ("remove_volume", json!({"volumes": "a"})),
        ("prune_volumes", json!({"label": ["a\nb"]})),
        ("prune_volumes", json!({"all": true})),
    ] {
        assert_eq!(rig.call(tool, arguments.clone()).await.kind(), "invalid", "{tool} {arguments}");
    }
    for (tool, arguments) in [
        ("inspect_volume", json!({"volume": rig.name("none")})),
        ("remove_volume", json!({"volumes": [rig.name("none")]})),
    ] {
        assert_eq!(rig.call(tool, arguments).await.kind(), "not_found", "{tool}");
    }
}

#[tokio::test]
async fn modes_hold() {
    for link in LINKS {
        let mut scrap = Scrap::on(link);
        let ro = Rig::with_markers(link, "(ro)");
        let (kept, label) = (ro.name("kept"), format!("qm-test={}", ro.name("label")));
        scrap.volume(kept.clone());
        docker(link, &["volume", "create", "--label", &label, &kept]);
        ro.call("list_volumes", json!({})).await.ok();
        ro.call("inspect_volume", json!({"volume": kept})).await.ok();
        let would = ro.call("prune_volumes", json!({"label": [label], "named": true})).await.ok();
        assert_eq!(names(&would["would_remove"]), [&kept]);
        let prune = json!({"label": [label], "named": true, "dry_run": false});
        for (tool, arguments) in [
            ("create_volume", json!({"name": ro.name("x")})),
            ("remove_volume", json!({"volumes": [kept]})),
            ("prune_volumes", prune.clone()),
        ] {
            assert_eq!(ro.call(tool, arguments).await.kind(), "denied", "{link:?} {tool}");
        }
        let nd = Rig::with_markers(link, "(nd)");
        let made = nd.name("made");
        scrap.volume(made.clone());
        nd.call("create_volume", json!({"name": made})).await.ok();
        assert_eq!(nd.call("remove_volume", json!({"volumes": [kept]})).await.kind(), "denied");
        assert_eq!(nd.call("prune_volumes", prune).await.kind(), "denied");
        docker(link, &["volume", "inspect", &kept]);
    }
}
