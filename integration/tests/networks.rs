//! The tools of the toolset `networks`, over every link.

use serde_json::{Value, json};

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, lab},
};

/// The first three parts of a range that no other test and no engine of the lab uses.
fn range(rig: &Rig) -> String {
    let digits = rig.name("");
    let number = u32::from_str_radix(&digits[3..11], 16).unwrap();
    format!("10.{}.{}", 64 + number % 64, number / 64 % 256)
}

fn names(answer: &Value) -> Vec<&str> {
    answer["networks"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

/// A running container on a network.
fn container(link: Link, scrap: &mut Scrap, name: &str, network: &str) {
    scrap.container(name);
    docker(link, &["run", "--detach", "--name", name, "--network", network, &lab("LAB_IMAGE"), "sleep", "600"]);
}

#[tokio::test]
async fn a_network_is_made_as_asked() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (name, range) = (rig.name("made"), range(&rig));
        scrap.network(name.clone());
        let made = rig
            .call(
                "create_network",
                json!({
                    "name": name, "driver": "bridge", "subnet": format!("{range}.0/24"), "gateway": format!("{range}.9"),
                    "ip_range": format!("{range}.128/25"), "internal": true, "attachable": true, "scope": "local",
                    "options": {"com.docker.network.driver.mtu": "1400"}, "labels": {"team": "a", "note": "\u{1b}[31mx"},
                }),
            )
            .await
            .ok();
        let engine: Value =
            serde_json::from_str(&docker(link, &["network", "inspect", "--format", "{{json .}}", &name])).unwrap();
        assert!(engine["Id"].as_str().unwrap().starts_with(made["id"].as_str().unwrap()));
        let pool = &engine["IPAM"]["Config"][0];
        assert_eq!(pool["Subnet"], format!("{range}.0/24"));
        assert_eq!(
            (&pool["Gateway"], &pool["IPRange"]),
            (&json!(format!("{range}.9")), &json!(format!("{range}.128/25")))
        );
        assert_eq!((&engine["Internal"], &engine["Attachable"]), (&json!(true), &json!(true)));
        assert_eq!(engine["Options"]["com.docker.network.driver.mtu"], "1400");
        assert_eq!(engine["Labels"]["team"], "a");
        assert_eq!(engine["Labels"]["quaymaster.managed"], "true");
        assert_eq!(engine["Labels"]["quaymaster.tool"], "create_network");

        let shown = rig.call("inspect_network", json!({"network": name, "verbose": true})).await.ok();
        assert_eq!(shown["properties"], json!(["internal", "attachable"]), "{shown}");
        assert_eq!(shown["subnets"][0]["gateway"], format!("{range}.9"));
        assert_eq!((&shown["labels"]["note"], &shown["members"]), (&json!("x"), &json!([])));
        assert_eq!(shown["options"]["com.docker.network.driver.mtu"], "1400");
        let by_prefix = rig.call("inspect_network", json!({"network": made["id"]})).await.ok();
        assert_eq!(by_prefix["name"], name);

        // 20.10 would make a second one of that name.
        let again = rig.call("create_network", json!({"name": name})).await.error();
        assert_eq!(again["kind"], "conflict", "{link:?}: {again}");
    }
}

#[tokio::test]
async fn a_network_of_version_six() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let name = rig.name("six");
        scrap.network(name.clone());
        let subnet = format!("fd00:{}::/64", range(&rig).trim_start_matches("10.").replace('.', ":"));
        rig.call("create_network", json!({"name": name, "ipv6": true, "subnet": subnet})).await.ok();
        let shown = rig.call("inspect_network", json!({"network": name})).await.ok();
        assert_eq!(shown["properties"], json!(["ipv6"]), "{link:?}: {shown}");
        assert!(shown["subnets"].to_string().contains(&subnet), "{shown}");
    }
}

#[tokio::test]
async fn lists_filter_and_page() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (own, foreign) = (rig.name("a"), rig.name("b"));
        for name in [&own, &foreign] {
            scrap.network(name.clone());
        }
        let range = range(&rig);
        rig.call("create_network", json!({"name": own, "subnet": format!("{range}.0/25"), "labels": {"k": own}}))
            .await
            .ok();
        docker(link, &["network", "create", "--subnet", &format!("{range}.128/25"), "--internal", &foreign]);

        let prefix = rig.name("");
        let both = rig.call("list_networks", json!({"name": prefix})).await.ok();
        assert_eq!(names(&both), [&own, &foreign], "{link:?}");
        let row = &both["networks"][1];
        assert_eq!(
            (&row["driver"], &row["scope"], &row["internal"]),
            (&json!("bridge"), &json!("local"), &json!(true))
        );
        assert_eq!(row["subnets"], json!([format!("{range}.128/25")]));
        for (arguments, expected) in [
            (json!({"name": prefix, "managed_only": true}), vec![own.as_str()]),
            (json!({"label": [format!("k={own}")]}), vec![&own]),
            (json!({"label": [format!("k={own}"), "nobody=x"]}), vec![]),
            (json!({"name": prefix, "driver": "bridge"}), vec![&own, &foreign]),
            (json!({"name": prefix, "driver": "overlay"}), vec![]),
            // No regular expression.
            (json!({"name": format!("{prefix}.*")}), vec![]),
        ] {
            let listed = rig.call("list_networks", arguments.clone()).await.ok();
            assert_eq!(names(&listed), expected, "{link:?} {arguments}");
        }
        let first = rig.call("list_networks", json!({"name": prefix, "limit": 1})).await.ok();
        let rest = rig.call("list_networks", json!({"name": prefix, "cursor": first["cursor"]})).await.ok();
        assert_eq!((names(&first), names(&rest)), (vec![own.as_str()], vec![foreign.as_str()]));
    }
}

#[tokio::test]
async fn containers_come_and_go() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (network, name, range) = (rig.name("net"), rig.name("member"), range(&rig));
        scrap.network(network.clone());
        container(link, &mut scrap, &name, "none");
        // A container on `none` takes no other network.
        docker(link, &["network", "disconnect", "none", &name]);
        rig.call("create_network", json!({"name": network, "subnet": format!("{range}.0/24")})).await.ok();

        let absent = rig.call("disconnect_network", json!({"network": network, "container": name})).await.error();
        assert_eq!(absent["kind"], "conflict", "{absent}");

        let address = format!("{range}.77");
        let connected = rig
            .call(
                "connect_network",
                json!({"network": network, "container": name, "ipv4": address, "aliases": ["db"], "mac": "02:42:0a:00:00:4d"}),
            )
            .await
            .ok();
        assert_eq!((&connected["ipv4"], &connected["connected"]), (&json!(address), &json!(true)), "{connected}");
        let engine: Value = serde_json::from_str(&docker(
            link,
            &["inspect", "--format", &format!("{{{{json (index .NetworkSettings.Networks \"{network}\")}}}}"), &name],
        ))
        .unwrap();
        assert!(engine["Aliases"].to_string().contains("\"db\""), "{engine}");
        assert_eq!(engine["IPAddress"], address);
        // An address that the engine did not take is said so.
        let taken = engine["MacAddress"] == "02:42:0a:00:00:4d";
        assert_eq!(connected.get("note").is_none(), taken, "{connected}");

        let shown = rig.call("inspect_network", json!({"network": network})).await.ok();
        assert_eq!(shown["members"][0]["name"], name, "{shown}");
        assert_eq!(shown["members"][0]["ipv4"], format!("{address}/24"));
        let again = rig.call("connect_network", json!({"network": network, "container": name})).await.error();
        assert_eq!(again["kind"], "conflict", "{again}");

        let busy = rig.call("remove_network", json!({"networks": [network]})).await.error();
        assert_eq!(busy["kind"], "conflict", "{busy}");
        assert!(busy["message"].as_str().unwrap().contains(&name), "{busy}");

        let arguments = json!({"network": network, "container": name, "force": true});
        let gone = rig.call("disconnect_network", arguments).await.ok();
        assert_eq!(gone["connected"], false);
        let shown = rig.call("inspect_network", json!({"network": network})).await.ok();
        assert_eq!(shown["members"], json!([]));

        // One that does not run gets its addresses later.
        docker(link, &["stop", "--time", "0", &name]);
        let waiting = rig.call("connect_network", json!({"network": network, "container": name})).await.ok();
        assert_eq!(waiting["note"], "it gets its addresses when it starts", "{waiting}");
        rig.call("disconnect_network", json!({"network": network, "container": name})).await.ok();
    }
}

#[tokio::test]
async fn networks_are_removed_whatever_fails() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let names = ["a", "b"].map(|suffix| rig.name(suffix));
        for name in &names {
            scrap.network(name.clone());
            rig.call("create_network", json!({"name": name})).await.ok();
        }
        let asked = json!([names[0], "bridge", names[1], names[0], rig.name("none")]);
        let removed = rig.call("remove_network", json!({"networks": asked})).await.ok();
        let results: Vec<_> =
            removed["results"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect();
        assert_eq!(results, ["removed", "conflict", "removed", "not_found"], "{link:?}: {removed}");
        assert_eq!(rig.call("inspect_network", json!({"network": names[0]})).await.kind(), "not_found");
        for name in ["host", "none"] {
            assert_eq!(rig.call("remove_network", json!({"networks": [name]})).await.kind(), "conflict", "{name}");
        }
    }
}

#[tokio::test]
async fn only_unused_networks_are_pruned() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let label = format!("qm-test={}", rig.name("prune"));
        let [free, running, stopped, never_started] =
            ["free", "running", "stopped", "never"].map(|suffix| rig.name(suffix));
        for name in [&free, &running, &stopped, &never_started] {
            scrap.network(name.clone());
            docker(link, &["network", "create", "--label", &label, name]);
        }
        let users = [(&running, rig.name("c1")), (&stopped, rig.name("c2"))];
        for (network, name) in &users {
            container(link, &mut scrap, name, network);
        }
        docker(link, &["stop", "--time", "0", &users[1].1]);
        let created = rig.name("c3");
        scrap.container(created.clone());
        docker(link, &["create", "--name", &created, "--network", &never_started, &lab("LAB_IMAGE"), "sleep", "1"]);

        let would = rig.call("prune_networks", json!({"label": [label]})).await.ok();
        let names: Vec<_> =
            would["would_remove"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(names, [&free], "{link:?}: {would}");
        assert!(would.get("removed").is_none());
        docker(link, &["network", "inspect", &free]);

        let recent = json!({"label": [label], "until": "1h", "dry_run": false});
        assert!(rig.call("prune_networks", recent).await.ok().get("removed").is_none());
        let removed = rig.call("prune_networks", json!({"label": [label], "until": "0s", "dry_run": false})).await.ok();
        assert_eq!(removed["removed"][0]["name"], free, "{removed}");
        let left = docker(link, &["network", "ls", "--filter", &format!("label={label}"), "--format", "{{.Name}}"]);
        assert_eq!(left.lines().count(), 3, "{left}");
        assert!(!left.lines().any(|name| name == free));
    }
}

/// All at once: the engine looks for a plugin for a quarter of a minute.
#[tokio::test]
async fn a_driver_that_is_not_there_is_unsupported() {
    let asked = LINKS.map(|link| async move {
        let rig = Rig::new(link);
        let name = rig.name("driver");
        let error = rig.call("create_network", json!({"name": name, "driver": "nosuchdriver"})).await.error();
        assert_eq!(error["kind"], "unsupported", "{link:?}: {error}");
        // No engine of the lab is in a swarm.
        let arguments = json!({"name": name, "driver": "overlay", "scope": "swarm", "ingress": true});
        let error = rig.call("create_network", arguments).await.error();
        assert!(error["message"].as_str().unwrap().contains("swarm"), "{link:?}: {error}");
    });
    futures_util::future::join_all(asked).await;
}

#[tokio::test]
async fn hostile_arguments_are_refused() {
    let rig = Rig::new(Link::Unix);
    let long = "a".repeat(10_240);
    for name in ["", "a\nb", "a\u{0}", long.as_str()] {
        for (tool, arguments) in [
            ("inspect_network", json!({"network": name})),
            ("remove_network", json!({"networks": [name]})),
            ("connect_network", json!({"network": name, "container": "x"})),
            ("list_networks", json!({"name": name})),
            ("prune_networks", json!({"label": [name]})),
        ] {
            assert_eq!(rig.call(tool, arguments).await.kind(), "invalid", "{tool} {name:?}");
        }
    }
    // A network may be called so, and is looked for in a list only.
    for name in ["../info", "a/b", "%2f", "a?b#c"] {
        assert_eq!(rig.call("inspect_network", json!({"network": name})).await.kind(), "not_found", "{name}");
        assert_eq!(rig.call("remove_network", json!({"networks": [name]})).await.kind(), "not_found", "{name}");
        assert_eq!(rig.call("create_network", json!({"name": name})).await.kind(), "invalid", "{name}");
        let arguments = json!({"network": "bridge", "container": name});
        assert_eq!(rig.call("connect_network", arguments.clone()).await.kind(), "invalid", "{name}");
        assert_eq!(rig.call("disconnect_network", arguments).await.kind(), "invalid", "{name}");
    }
    let name = rig.name("never");
    for arguments in [
        json!({"name": name, "subnet": "10.0.0.0"}),
        json!({"name": name, "subnet": "10.0.0.0/24", "gateway": "10.0.0"}),
        json!({"name": name, "subnet": "10.0.0.0/24", "ip_range": "x"}),
        json!({"name": name, "gateway": "10.0.0.1"}),
        json!({"name": name, "driver": "../x"}),
        json!({"name": name, "scope": "world"}),
        json!({"name": name, "labels": {"a": 1}}),
        json!({"name": name, "options": ["a"]}),
        json!({"name": name, "internal": "yes"}),
        json!({"name": name, "subnets": "10.0.0.0/24"}),
    ] {
        assert_eq!(rig.call("create_network", arguments.clone()).await.kind(), "invalid", "{arguments}");
    }
    for extra in
        [json!({"ipv4": "10.0.0"}), json!({"ipv6": "10.0.0.1"}), json!({"mac": "x"}), json!({"aliases": ["a b"]})]
    {
        let mut arguments = json!({"network": "bridge", "container": "x"});
        arguments.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        assert_eq!(rig.call("connect_network", arguments).await.kind(), "invalid", "{extra}");
    }
    assert_eq!(rig.call("prune_networks", json!({"until": "yesterday"})).await.kind(), "invalid");
    assert_eq!(rig.call("remove_network", json!({"networks": []})).await.kind(), "invalid");
    let arguments = json!({"network": "bridge", "container": rig.name("none")});
    assert_eq!(rig.call("connect_network", arguments).await.kind(), "not_found");
}

#[tokio::test]
async fn modes_hold() {
    for link in LINKS {
        let ro = Rig::with_markers(link, "(ro)");
        ro.call("list_networks", json!({})).await.ok();
        ro.call("inspect_network", json!({"network": "bridge", "verbose": true})).await.ok();
        // Looking at what would go is a read.
        ro.call("prune_networks", json!({"label": [ro.name("none")]})).await.ok();
        for (tool, arguments) in [
            ("create_network", json!({"name": ro.name("x")})),
            ("connect_network", json!({"network": "bridge", "container": "x"})),
            ("disconnect_network", json!({"network": "bridge", "container": "x"})),
            ("remove_network", json!({"networks": ["bridge"]})),
            ("prune_networks", json!({"label": [ro.name("none")], "dry_run": false})),
        ] {
            assert_eq!(ro.call(tool, arguments).await.kind(), "denied", "{link:?} {tool}");
        }
        let (nd, mut scrap) = (Rig::with_markers(link, "(nd)"), Scrap::on(link));
        let name = nd.name("kept");
        scrap.network(name.clone());
        nd.call("create_network", json!({"name": name, "labels": {"k": name}})).await.ok();
        assert_eq!(nd.call("remove_network", json!({"networks": [name]})).await.kind(), "denied");
        let prune = json!({"label": [format!("k={name}")], "dry_run": false});
        assert_eq!(nd.call("prune_networks", prune).await.kind(), "denied");
        docker(link, &["network", "inspect", &name]);
    }
}
