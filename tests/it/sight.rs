//! What is denied does not exist: a daemon with a denied container answers through every tool as one without it.

use std::sync::Arc;

use quaymaster::{
    config::{Globs, RegistryConfig, limits::Confirm},
    docker::Target,
    error::{Error, Kind},
    gateway::{Gateway, catalogue::everything},
    tool::{Answer, Effect},
};
use serde_json::{Value, json};

use crate::{
    arguments::plausible,
    rig::{call, gateway, gateway_with},
    simulated::{Act, Daemon, Heard, WEB, answer, engine, frame, json_answer, world},
};

const VAULT: &str = "5ec2e7115ec2e7115ec2e7115ec2e7115ec2e7115ec2e7115ec2e7115ec2e711";
const GHOST: &str = "9057000090570000905700009057000090570000905700009057000090570000";
const EXEC: &str = "5ececececececececececececececececececececececececececececececece";
/// What gives the denied container away, wherever it stands.
const SIGNS: &[&str] = &["vault", "5ec2e7115ec2", "UNSEAL_KEY", "unseal --now", "10.9.9.9", "5ecececececec", "8299"];

fn denying(daemon: &Daemon) -> Arc<Gateway> {
    gateway_with(&[daemon.spec("a", "")], |config| {
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            host.limits.containers = Globs::new(&[], &["vault".to_owned()]).unwrap();
        }
    })
}

/// The document that the small engine answers with.
fn document(heard: &Heard) -> Value {
    let Act::Send(bytes) = engine(heard) else { panic!("{heard:?} has no answer") };
    let text = String::from_utf8(bytes).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// The small engine with one container more, which everything else knows of.
fn haunted(heard: &Heard) -> Act {
    let path = heard.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let ok = |document: Value| json_answer("200 OK", &document);
    let edit = |change: &dyn Fn(&mut Value)| {
        let mut document = document(heard);
        change(&mut document);
        ok(document)
    };
    let haunt_network = |network: &mut Value| {
        network["Containers"][VAULT] = json!({"Name": "vault", "IPv4Address": "10.9.9.9/24", "IPv6Address": ""});
    };
    let is_vault = |name: &str| name == "vault" || (name.len() >= 4 && VAULT.starts_with(name));
    match (heard.method.as_str(), &segments[..]) {
        ("GET", ["containers", "json"]) => edit(&|rows| {
            let rows = rows.as_array_mut().unwrap();
            rows.push(row());
        }),
        (method, ["containers", name, rest @ ..]) if is_vault(name) => match (method, rest) {
            ("GET", ["json"]) => {
                let mut facts = web();
                facts["Id"] = VAULT.into();
                facts["Name"] = "/vault".into();
                facts["Config"]["Env"] = json!(["UNSEAL_KEY=x"]);
                facts["Args"] = json!(["unseal --now"]);
                ok(facts)
            }
            ("GET", ["logs"]) => Act::Send(answer(
                "200 OK",
                "application/vnd.docker.multiplexed-stream",
                "1.45",
                &frame(1, "2026-01-01T00:00:00.000000000Z UNSEAL_KEY in the vault\n"),
            )),
            ("GET", ["top"]) => ok(json!({"Titles": ["PID", "CMD"], "Processes": [["1", "unseal --now"]]})),
            ("GET", ["changes"]) => ok(json!([{"Path": "/vault", "Kind": 1}])),
            _ => json_answer("500 Internal Server Error", &json!({"message": format!("vault {VAULT} was reached")})),
        },
        ("GET", ["containers", "web" | WEB, "json"]) => ok(web()),
        ("GET", ["exec", EXEC, "json"]) => ok(json!({"ID": EXEC, "ContainerID": VAULT, "Running": true,
            "ProcessConfig": {"entrypoint": "unseal --now"}})),
        ("GET", ["networks"]) => edit(&|networks| networks.as_array_mut().unwrap().iter_mut().for_each(haunt_network)),
        ("GET", ["networks", _]) => match engine(heard) {
            Act::Send(bytes) if bytes.starts_with(b"HTTP/1.1 200") => edit(&haunt_network),
            other => other,
        },
        ("DELETE", ["networks", _]) => refusal(
            "403 Forbidden",
            &format!("error while removing network: has active endpoints (name:\"vault\" id:\"{}\")", &VAULT[..12]),
        ),
        ("DELETE", ["volumes", _]) => refusal("409 Conflict", &format!("remove data: volume is in use - [{VAULT}]")),
        ("DELETE", ["images", ..]) => refusal(
            "409 Conflict",
            &format!("conflict: unable to delete 1a6e00 - image is being used by running container {}", &VAULT[..12]),
        ),
        ("POST", ["containers", "create"]) => refusal(
            "409 Conflict",
            &format!("Conflict. The container name \"/x\" is already in use by container \"{VAULT}\"."),
        ),
        ("GET", ["system", "df"]) => edit(&|usage| {
            usage["Containers"].as_array_mut().unwrap().push(row());
            usage["Images"][0]["Containers"] = 2.into();
            usage["Volumes"][0]["UsageData"]["RefCount"] = 2.into();
        }),
        ("GET", ["info"]) => edit(&|info| {
            info["Containers"] = 9.into();
            info["ContainersRunning"] = 9.into();
        }),
        ("GET", ["events"]) => {
            let at = |mut event: Value| {
                event["time"] = 1_763_600_000.into();
                event["timeNano"] = 1_763_600_000_000_000_000_i64.into();
                format!("{event}\r\n")
            };
            let of = |kind: &str, action: &str, id: &str, attributes: Value| {
                at(json!({"Type": kind, "Action": action, "scope": "local",
                    "Actor": {"ID": id, "Attributes": attributes}}))
            };
            let lines = [
                of("container", "create", VAULT, json!({"name": "vault", "image": "lab/base:1"})),
                of("container", "exec_create: unseal --now", VAULT, json!({"name": "vault", "execID": EXEC})),
                of("container", "start", WEB, json!({"name": "web", "image": "lab/base:1"})),
                of("container", "rename", WEB, json!({"name": "web", "oldName": "/vault"})),
                of("network", "connect", "f027", json!({"name": "front", "container": VAULT})),
                of("volume", "mount", "data", json!({"container": VAULT, "destination": "/vault"})),
                at(json!({"status": "die", "id": VAULT, "from": "vault"})),
            ];
            Act::Send(answer("200 OK", "application/json", "1.45", lines.concat().as_bytes()))
        }
        _ => engine(heard),
    }
}

fn refusal(status: &str, message: &str) -> Act {
    json_answer(status, &json!({"message": message}))
}

fn row() -> Value {
    json!({"Id": VAULT, "Names": ["/vault"], "Image": "lab/base:1", "Command": "unseal --now", "State": "running",
        "ImageID": "sha256:1a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e0000",
        "Created": 1_763_600_000, "Labels": {"UNSEAL_KEY": "x"}, "Status": "Up 9 minutes (unhealthy)", "SizeRw": 77,
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8299, "Type": "tcp"}],
        "HostConfig": {"NetworkMode": "front"},
        "NetworkSettings": {"Networks": {"front": {"NetworkID": "f027", "IPAddress": "10.9.9.9"},
            "spare": {"NetworkID": "5ba2e0", "IPAddress": "10.9.9.9"}}},
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/vault", "RW": true}]})
}

/// A container that is tied to the denied one in every way that there is.
fn web() -> Value {
    let heard = Heard {
        method: "GET".into(),
        target: "/v1.45/containers/web/json".into(),
        upgrade: false,
        authorization: None,
        connection: 0,
        number: 0,
    };
    let mut web = document(&heard);
    web["HostConfig"]["PidMode"] = format!("container:{VAULT}").into();
    web["HostConfig"]["VolumesFrom"] = json!(["vault:ro"]);
    web["HostConfig"]["Links"] = json!(["/vault:/web/db"]);
    web["State"]["Error"] = format!("cannot join the namespace of {VAULT}").into();
    web
}

/// Everything that a caller gets to see of an answer.
fn told(answer: &Result<Answer, Error>) -> String {
    match answer {
        Ok(answer) => format!("{:?} {}", answer.structured, answer.text),
        Err(error) => error.to_json().to_string(),
    }
}

#[tokio::test]
async fn no_tool_gives_it_away() {
    let (mut reached, mut otherwise) = (Vec::new(), String::new());
    for entry in everything().into_iter().filter(|entry| entry.card.names_host()) {
        let daemon = Daemon::new(haunted);
        let denied = denying(&daemon);
        let mut variants = vec![plausible(&entry, &world())];
        // Everything that a tool can be told to show.
        if let Some(properties) = entry.card.input().get("properties").and_then(Value::as_object) {
            for (name, schema) in properties.iter().filter(|(_, schema)| schema["type"] == "boolean") {
                assert!(schema.is_object());
                let mut arguments = plausible(&entry, &world());
                arguments.insert(name.clone(), true.into());
                variants.push(arguments);
            }
        }
        let plain = Daemon::new(haunted);
        let open = gateway(&[plain.spec("a", "")]);
        for mut arguments in variants {
            arguments.insert("host".into(), "a".into());
            if entry.card.name == "events" {
                arguments.insert("since".into(), "2025-01-01T00:00:00Z".into());
            }
            if entry.card.access.effect == Effect::Read {
                otherwise += &told(&call(&open, entry.card.name, arguments.clone().into(), 60).await);
            }
            let shown = format!("{} {arguments:?}", entry.card.name);
            let told = told(&call(&denied, entry.card.name, arguments.into(), 60).await);
            for sign in SIGNS {
                assert!(!told.contains(sign), "{shown} tells {sign:?}: {told}");
            }
        }
        reached.extend(
            daemon.asked().iter().filter(|heard| heard.path().contains(VAULT)).map(|heard| heard.target.clone()),
        );
    }
    assert!(reached.is_empty(), "{reached:?}");
    // Where nothing is denied the same calls do tell: the signs are there to be found.
    for sign in ["vault", "5ec2e7115ec2", "unseal --now", "8299", "10.9.9.9"] {
        assert!(otherwise.contains(sign), "nothing ever tells {sign:?}");
    }
}

/// Reads compare equal, character by character, to those of a daemon on which it does not exist.
#[tokio::test]
async fn reads_are_those_of_a_daemon_without_it() {
    for (tool, arguments) in [
        ("list_containers", json!({"all": true, "size": true})),
        ("survey_hosts", json!({"detail": "all"})),
        ("disk_usage", json!({"verbose": true})),
        ("events", json!({"since": "2025-01-01T00:00:00Z"})),
        ("find", json!({"query": "8299"})),
        ("find", json!({"query": "unseal"})),
        ("find", json!({"query": "10.9.9.9"})),
        ("inspect_network", json!({"network": "front"})),
        ("inspect_network", json!({"network": "spare", "verbose": true})),
        ("inspect_volume", json!({"volume": "data"})),
        ("list_images", json!({"unused": true})),
        ("list_networks", json!({})),
        ("list_volumes", json!({})),
        ("container_stats", json!({})),
        ("prune_containers", json!({})),
    ] {
        let (sound, haunted) = (Daemon::new(engine), Daemon::new(haunted));
        let expected = call(&denying(&sound), tool, arguments.clone(), 10).await;
        let given = call(&denying(&haunted), tool, arguments.clone(), 10).await;
        let plain = |answer: Result<Answer, Error>| {
            let mut fields = answer.unwrap_or_else(|error| panic!("{tool} {arguments}: {error:?}")).structured;
            // Rounded to the moment of the call.
            fields.as_mut().map(|fields| fields.remove("reach"));
            fields
        };
        assert_eq!(plain(given), plain(expected), "{tool} {arguments}");
    }
}

/// By name, id and the beginning of an id it is as absent as one that never was.
#[tokio::test]
async fn it_is_as_absent_as_what_never_was() {
    let mut tried = 0;
    for entry in everything() {
        for property in ["container", "containers", "target"] {
            let mut world = world();
            if entry.card.input().get("properties").is_none_or(|known| known.get(property).is_none()) {
                continue;
            }
            tried += 1;
            for (vault, ghost) in [("vault", "ghost"), (VAULT, GHOST), (&VAULT[..12], &GHOST[..12]), ("5ec2e", "90570")]
            {
                let mut tell = async |name: &str| {
                    name.clone_into(&mut world.container);
                    let daemon = Daemon::new(haunted);
                    let mut arguments = plausible(&entry, &world);
                    let value = if property == "containers" { json!([name]) } else { json!(name) };
                    arguments.insert(property.into(), value);
                    arguments.insert("host".into(), "a".into());
                    let answer = call(&denying(&daemon), entry.card.name, arguments.into(), 60).await;
                    // A sentence quotes the first sixty characters.
                    let told = told(&answer).replace(name, "NAME").replace(&name[..name.len().min(60)], "NAME");
                    (told, daemon.asked().iter().map(|heard| heard.target.replace(name, "NAME")).collect::<Vec<_>>())
                };
                let (as_vault, as_ghost) = (tell(vault).await, tell(ghost).await);
                if entry.card.name == "events" || entry.card.name == "wait_for" {
                    // Their answers hold times.
                    assert!(!as_vault.0.contains("unseal") && !as_vault.0.contains("5ec2e7115ec2"), "{}", as_vault.0);
                    continue;
                }
                assert_eq!(as_vault, as_ghost, "{} {property} {vault}", entry.card.name);
            }
        }
    }
    assert!(tried > 10, "only {tried} tools take a container");
}

#[tokio::test]
async fn no_container_gets_a_name_that_is_denied() {
    for (tool, arguments) in [
        ("create_container", json!({"image": "lab/base:1", "name": "vault"})),
        ("run_container", json!({"image": "lab/base:1", "name": "vault"})),
        ("rename_container", json!({"container": "web", "name": "vault"})),
    ] {
        for script in [engine, haunted] {
            let daemon = Daemon::new(script);
            let error = call(&denying(&daemon), tool, arguments.clone(), 10).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{tool}: {error:?}");
            assert!(error.message().contains("\"containers\""), "{tool}: {error}");
            assert!(daemon.asked().iter().all(Heard::looks), "{:?}", daemon.asked());
        }
    }
    // Where only some names are allowed, a container needs one of them.
    let daemon = Daemon::new(engine);
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| {
        config.hosts[0].limits.confirm = Confirm::Never;
        config.hosts[0].limits.containers = Globs::new(&["web*".to_owned()], &[]).unwrap();
    });
    let nameless = call(&gateway, "create_container", json!({"image": "lab/base:1"}), 10).await.unwrap_err();
    assert_eq!(nameless.kind(), Kind::Denied, "{nameless:?}");
    assert!(daemon.asked().iter().all(Heard::looks), "{:?}", daemon.asked());
}

/// A network that only a hidden container uses looks unused, and is no prey of a prune.
#[tokio::test]
async fn prunes_spare_what_it_needs() {
    let daemon = Daemon::new(haunted);
    let pruned = call(&denying(&daemon), "prune_networks", json!({"dry_run": false}), 10).await.unwrap();
    assert!(!pruned.text.contains("spare"), "{}", pruned.text);
    assert!(daemon.asked().iter().all(Heard::looks), "{:?}", daemon.asked());
    // Without the hidden container it goes.
    let daemon = Daemon::new(engine);
    call(&denying(&daemon), "prune_networks", json!({"dry_run": false}), 10).await.unwrap();
    assert!(daemon.asked().iter().any(|heard| heard.method == "DELETE"));
}

#[tokio::test]
async fn a_list_costs_nothing_more() {
    let daemon = Daemon::new(haunted);
    let gateway = denying(&daemon);
    call(&gateway, "list_containers", json!({}), 5).await.unwrap();
    let asked: Vec<String> = daemon.asked().iter().map(|heard| heard.path().to_owned()).collect();
    assert_eq!(asked, ["/containers/json"]);
}

/// Below the tools too: no path, no query leads to it.
#[tokio::test]
async fn no_request_names_it() {
    let daemon = Daemon::new(haunted);
    let gateway = denying(&daemon);
    let docker = gateway.fleet().default_host().unwrap().reading();
    for path in [
        format!("/containers/{VAULT}/json"),
        "/containers/vault/json".to_owned(),
        "/containers/v%61ult/json".to_owned(),
        "/containers/5ec2/top".to_owned(),
        "/containers/vault/stats".to_owned(),
        "/containers/vault/changes".to_owned(),
        format!("/exec/{EXEC}/json"),
    ] {
        let error = docker.json(Target::new(path.as_str())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{path}: {error}");
    }
    assert!(docker.bytes(Target::new("/containers/vault/logs").query("stdout", "1")).await.is_err());
    assert_eq!(docker.bytes(Target::new("/events")).await.err().unwrap().kind(), Kind::Internal);
    assert!(docker.wait("vault", "not-running").await.is_err());
    let reached = daemon.asked().into_iter().filter(|heard| heard.path().starts_with("/containers/v"));
    assert_eq!(reached.count(), 0, "{:?}", daemon.asked());
}

#[tokio::test]
async fn denied_images_do_not_exist_either() {
    let daemon = Daemon::new(engine);
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| {
        config.hosts[0].limits.confirm = Confirm::Never;
        config.hosts[0].limits.images = Globs::new(&[], &["lab/*".to_owned()]).unwrap();
    });
    let listed = call(&gateway, "list_images", json!({}), 5).await.unwrap();
    assert!(!listed.text.contains("lab/base"), "{}", listed.text);
    for entry in everything()
        .into_iter()
        .filter(|entry| entry.card.access.effect != Effect::Read || entry.card.name.contains("image"))
        // No program of this machine is found by the test.
        .filter(|entry| entry.card.program.is_none())
    {
        for image in ["lab/base:1", "sha256:1a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e0000"] {
            let mut world = world();
            image.clone_into(&mut world.image);
            let mut arguments = plausible(&entry, &world);
            let takes = |name: &str| arguments.get(name).is_some_and(|given| given.to_string().contains(image));
            if !takes("image") && !takes("images") {
                continue;
            }
            arguments.insert("host".into(), "a".into());
            let error = call(&gateway, entry.card.name, arguments.into(), 30).await.expect_err(entry.card.name);
            assert!(
                matches!(error.kind(), Kind::NotFound | Kind::Denied)
                    // By an id nothing is pulled or pushed.
                    || (["pull_image", "push_image"].contains(&entry.card.name) && error.kind() == Kind::Invalid),
                "{} {image}: {error:?}",
                entry.card.name
            );
        }
    }
    assert!(daemon.asked().iter().all(Heard::looks), "{:?}", daemon.asked());
}

#[tokio::test]
async fn reads_send_a_daemon_to_known_registries_only() {
    let images = |heard: &Heard| match heard.path() {
        "/images/json" => json_answer("200 OK", &json!([{"Id": "sha256:aa", "RepoTags": ["Ghcr.io/ops/web:1"]}])),
        _ => engine(heard),
    };
    let daemon = Daemon::new(images);
    let gateway = gateway_with(&[daemon.spec("a", "")], |config| {
        config.registries =
            vec![RegistryConfig { host: "Registry.Example:5000".to_owned(), insecure: false, ca: None }];
    });
    let docker = gateway.fleet().default_host().unwrap().reading();
    let ask = async |name: &str| docker.json(Target::new(format!("/distribution/{name}/json"))).await;
    for name in ["nginx", "docker.io/library/nginx", "ghcr.io/other/x", "registry.example:5000/a", "GHCR.IO/x"] {
        ask(name).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    for name in
        ["evil.example/x", "10.0.0.1:80/x", "registry.example/a", "EVIL/x", "localhost/x", "ghcr.io.evil.example/x"]
    {
        let error = ask(name).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Denied, "{name}: {error}");
        assert!(error.message().contains("\"registries\""), "{name}: {error}");
    }
    let sent = daemon.asked().into_iter().filter(|heard| heard.path().starts_with("/distribution/"));
    assert_eq!(sent.count(), 5);
}
