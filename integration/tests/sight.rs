//! A denied container on real engines: a member, a user, the cause of refusals and of events, and nowhere to be seen.

use quaymaster::config::{
    Globs,
    limits::{Bodies, Confirm, Profile, Rule, Verdict},
};
use serde_json::{Value, json};

use crate::{
    engine::{Engine, Scrap, docker},
    rig::{LINKS, Link, Rig, gateway_with, lab},
};

/// A rig on whose host containers that end with `-vault` do not exist.
fn denying(link: Link) -> Rig {
    let mut rig = Rig::new(link);
    rig.gateway = gateway_with(&[format!("lab={}", link.endpoint())], |config| {
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            host.limits.bodies = Bodies::of(Profile::Open);
            host.limits.bodies.rules = Rule::ALL.iter().map(|rule| (*rule, Verdict::Allow)).collect();
            host.limits.containers = Globs::new(&[], &["*-vault".to_owned()]).unwrap();
        }
    });
    rig
}

fn inspected(link: Link, container: &str, format: &str) -> String {
    docker(link, &["inspect", "--format", format, container])
}

#[tokio::test]
async fn a_denied_container_leaves_no_trace() {
    for link in LINKS {
        let (rig, mut scrap) = (denying(link), Scrap::on(link));
        let [network, volume, vault, web, beside] = ["net", "vol", "vault", "web", "beside"].map(|name| rig.name(name));
        scrap.network(network.clone());
        scrap.volume(volume.clone());
        docker(link, &["network", "create", "--label", &format!("own={network}"), &network]);
        docker(link, &["volume", "create", &volume]);
        let mount = format!("{volume}:/data");
        let options = ["--network", &network, "--volume", &mount, "--env", "UNSEAL=open-sesame"];
        let id = scrap.run(&vault, &options, &["sleep", "601"]);
        let address = inspected(link, &vault, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}");
        scrap.run(&web, &["--network", &network], &["sleep", "602"]);
        let shared = format!("container:{vault}");
        scrap.run(&beside, &["--network", &shared, "--volumes-from", &vault], &["sleep", "603"]);
        docker(link, &["exec", &vault, "echo", "unsealed"]);

        let signs = [vault.as_str(), &id[..12], "open-sesame", "sleep 601", "echo unsealed", "\"vault\""];
        let is_clean = |what: &str, told: &str| {
            for sign in signs {
                assert!(!told.contains(sign), "{link:?}: {what} tells {sign}: {told}");
            }
        };
        for (tool, arguments) in [
            ("list_containers", json!({"all": true})),
            ("list_containers", json!({"network": network})),
            ("list_containers", json!({"volume": volume, "all": true})),
            ("inspect_network", json!({"network": network, "verbose": true})),
            ("inspect_volume", json!({"volume": volume})),
            ("inspect_container", json!({"container": beside})),
            ("inspect_container", json!({"container": web})),
            ("container_stats", json!({})),
            ("events", json!({"since": "10m", "limit": 500, "action": "exec_create"})),
            ("events", json!({"since": "10m", "limit": 500})),
            ("disk_usage", json!({"verbose": true})),
            ("survey_hosts", json!({"detail": "all"})),
            ("system_info", json!({})),
        ] {
            if rig.gateway.catalogue().find(tool).is_ok() {
                let answer = rig.call(tool, arguments.clone()).await;
                is_clean(&format!("{tool} {arguments}"), &answer.text());
            }
        }
        let members = rig.call("inspect_network", json!({"network": network})).await.ok();
        assert_eq!(members["members"].as_array().unwrap().len(), 1, "{members}");
        assert!(!members.to_string().contains(&format!("{address}/")), "{link:?}: {members}");
        let users = rig.call("inspect_volume", json!({"volume": volume})).await.ok();
        let users: Vec<&str> =
            users["used_by"].as_array().unwrap().iter().map(|user| user["container"].as_str().unwrap()).collect();
        assert_eq!(users, [beside.as_str()]);
        for query in [vault.as_str(), &id, &id[..12], &address] {
            let found = rig.call("find", json!({"query": query})).await.ok();
            let hits = found["hits"].to_string();
            assert!(!hits.contains(&vault) && !hits.contains(&id[..12]), "{link:?}: {query}: {found}");
        }
        absent(link, &rig, &vault, &id).await;

        // What it stands in the way of is refused without its name.
        docker(link, &["rm", "--force", &web, &beside]);
        for (tool, arguments) in
            [("remove_volume", json!({"volumes": [volume]})), ("remove_network", json!({"networks": [network]}))]
        {
            let error = rig.call(tool, arguments).await.error();
            assert!(matches!(error["kind"].as_str(), Some("conflict" | "denied")), "{link:?}: {tool}: {error}");
            is_clean(tool, &error.to_string());
        }
        assert_eq!(inspected(link, &vault, "{{.State.Running}}"), "true", "{link:?}");
    }
}

/// By every way to name it, it is what never was.
async fn absent(link: Link, rig: &Rig, vault: &str, id: &str) {
    let ghost = rig.name("ghost");
    for (tool, more) in [
        ("inspect_container", json!({})),
        ("container_logs", json!({})),
        ("container_top", json!({})),
        ("stop_container", json!({})),
        ("kill_container", json!({})),
        ("remove_container", json!({"force": true})),
        ("rename_container", json!({"name": rig.name("other")})),
        ("exec_in_container", json!({"command": ["true"]})),
        ("commit_container", json!({"image": rig.name("image")})),
    ] {
        let Ok(entry) = rig.gateway.catalogue().find(tool) else { continue };
        let properties = entry.card.input()["properties"].as_object().unwrap();
        let told = async |name: &str| {
            let mut arguments = more.clone();
            if properties.contains_key("containers") {
                arguments["containers"] = json!([name]);
            } else {
                arguments["container"] = json!(name);
            }
            let error: Value = rig.call(tool, arguments).await.error();
            error.to_string().replace(name, "NAME").replace(&name[..name.len().min(60)], "NAME")
        };
        // A sentence cuts what is long.
        let expected = told(&ghost).await;
        for name in [vault, id, &id[..12]] {
            assert_eq!(told(name).await.replace('…', ""), expected, "{link:?}: {tool} {name}");
        }
    }
    assert_eq!(inspected(link, vault, "{{.State.Running}} {{.Name}}"), format!("true /{vault}"));
}

#[tokio::test]
async fn a_prune_spares_what_a_denied_container_needs() {
    for link in LINKS {
        let (rig, mut scrap) = (denying(link), Scrap::on(link));
        let [network, volume, vault] = ["net", "vol", "vault"].map(|name| rig.name(name));
        let label = format!("own={network}");
        scrap.network(network.clone());
        scrap.volume(volume.clone());
        docker(link, &["network", "create", "--label", &label, &network]);
        docker(link, &["volume", "create", "--label", &label, &volume]);
        // It never ran: the engine itself would let both networks and containers go.
        let made = Engine::of(link).create(
            vault.clone(),
            &["--network", &network, "--volume", &format!("{volume}:/data")],
            "sleep 600",
        );
        for (tool, more) in
            [("prune_networks", json!({})), ("prune_volumes", json!({"named": true})), ("prune_containers", json!({}))]
        {
            let mut arguments = more;
            arguments["label"] = json!([label]);
            arguments["dry_run"] = json!(false);
            let pruned = rig.call(tool, arguments).await.ok();
            assert!(pruned.get("removed").is_none() && pruned.get("failed").is_none(), "{link:?}: {tool}: {pruned}");
        }
        assert_eq!(docker(link, &["network", "inspect", "--format", "{{.Name}}", &network]), network);
        assert_eq!(docker(link, &["volume", "inspect", "--format", "{{.Name}}", &volume]), volume);
        assert_eq!(inspected(link, &vault, "{{.State.Status}}"), "created");
        drop(made);
        let pruned = rig.call("prune_networks", json!({"label": [label], "dry_run": false})).await.ok();
        assert_eq!(pruned["removed"][0]["name"], network.as_str(), "{link:?}: {pruned}");
    }
}

#[tokio::test]
async fn nothing_is_made_under_a_denied_name() {
    for link in LINKS {
        let rig = denying(link);
        let vault = rig.name("vault");
        for tool in ["create_container", "run_container"] {
            let error =
                rig.call(tool, json!({"image": lab("LAB_IMAGE"), "name": vault, "command": ["true"]})).await.error();
            assert_eq!(error["kind"], "denied", "{link:?}: {error}");
        }
        let web = rig.sleeper("web").await;
        let error = rig.call("rename_container", json!({"container": web, "name": vault})).await.error();
        assert_eq!(error["kind"], "denied", "{link:?}: {error}");
        // What is allowed works as ever, commands and all.
        let ran = rig.call("exec_in_container", json!({"container": web, "command": ["echo", "fine"]})).await.text();
        assert!(ran.contains("fine"), "{link:?}: {ran}");
        rig.remove(&web).await;
        assert!(!docker(link, &["ps", "--all", "--format", "{{.Names}}"]).contains(rig.name("").as_str()), "{link:?}");
    }
}
