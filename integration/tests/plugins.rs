//! Plugins on real engines: one that is built here, put into the lab's registry, and from there installed through the
//! gateway, configured, enabled, disabled, upgraded and removed.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
};

use quaymaster::config::{
    Config, RegistryConfig,
    limits::{Bodies, Confirm, Profile, Rule, Verdict},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    engine::docker,
    recorder::Recorder,
    rig::{LINKS, Link, Rig, gateway_with, lab, open},
};

/// A plugin in the lab's registry, and as it is called on one engine; it goes with the value.
struct Sample {
    link: Link,
    name: String,
}

impl Sample {
    /// Builds versions 1 and 2, of which the second asks for more, and puts them into the registry.
    ///
    /// By hand: engine 20.10 can end in a panic when it pushes a plugin ("send on closed channel").
    fn push(link: Link, repository: &str) -> Self {
        let directory = TempDir::new().unwrap();
        compile(&directory.path().join("driver"));
        let sample = Self { link, name: format!("{}/{repository}", lab("LAB_REGISTRY")) };
        let root = directory.path().join("rootfs");
        fs::create_dir_all(root.join("run/docker/plugins")).unwrap();
        fs::create_dir_all(root.join("data")).unwrap();
        fs::rename(directory.path().join("driver"), root.join("driver")).unwrap();
        let script = "tar -C \"$0/rootfs\" -cf \"$0/layer.tar\" . && gzip --keep \"$0/layer.tar\"";
        assert!(Command::new("sh").args(["-c", script]).arg(directory.path()).status().unwrap().success());
        let read = |file: &str| fs::read(directory.path().join(file)).unwrap();
        let (plain, layer) = (digest(&read("layer.tar")), read("layer.tar.gz"));
        for version in [1, 2] {
            let mut config = config(version);
            config["rootfs"] = json!({"type": "layers", "diff_ids": [plain]});
            let config = config.to_string().into_bytes();
            let part =
                |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "size": bytes.len(), "digest": digest(bytes)});
            let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
                "config": part("application/vnd.docker.plugin.v1+json", &config),
                "layers": [part("application/vnd.docker.image.rootfs.diff.tar.gzip", &layer)]});
            for bytes in [&config, &layer] {
                let place = send("POST", &format!("/v2/{repository}/blobs/uploads/"), "", &[]).expect("an upload");
                let place = place.strip_prefix(&format!("http://{}", lab("LAB_REGISTRY"))).unwrap_or(&place).to_owned();
                let join = if place.contains('?') { '&' } else { '?' };
                let target = format!("{place}{join}digest={}", digest(bytes).replace(':', "%3A"));
                send("PUT", &target, "application/octet-stream", bytes);
            }
            let manifest = manifest.to_string();
            send("PUT", &format!("/v2/{repository}/manifests/{version}"), MANIFEST, manifest.as_bytes());
        }
        sample
    }

    fn version(&self, version: u8) -> String {
        format!("{}:{version}", self.name)
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        for version in [1, 2] {
            Command::new(lab("LAB_DOCKER"))
                .args(["plugin", "rm", "--force", &self.version(version)])
                .env("DOCKER_HOST", format!("unix://{}", self.link.socket()))
                .output()
                .ok();
        }
    }
}

/// Daemons may be asked about the lab's registry, whatever images they have.
fn known(config: &mut Config) {
    config.registries = vec![RegistryConfig { host: lab("LAB_REGISTRY"), insecure: true, ca: None }];
}

/// A host whose bodies are judged by a profile, and that asks nothing else.
fn judging(link: Link, profile: Profile) -> Rig {
    Rig::set(link, |config| {
        known(config);
        config.hosts[0].limits.confirm = Confirm::Never;
        config.hosts[0].limits.bodies = Bodies::of(profile);
    })
}

/// A host that asks nothing.
fn free(link: Link) -> Rig {
    Rig::with_secrets(link, &[("QUAYMASTER_SECRET_DRIVER", "hunter2hunter2")], |config| {
        open(config);
        known(config);
    })
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Sends the lab's registry a request that it grants; answers where it says that something is.
fn send(method: &str, target: &str, kind: &str, body: &[u8]) -> Option<String> {
    let registry = lab("LAB_REGISTRY");
    let mut stream = TcpStream::connect(&registry).expect("the registry");
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {registry}\r\n{kind}Content-Length: {length}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{method} {target}: {answer}");
    answer.lines().find_map(|line| line.strip_prefix("Location: ").map(|place| place.trim().to_owned()))
}

/// The driver, linked so that it needs nothing beside itself.
fn compile(to: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("integration/tests/plugins/driver.rs");
    let compiled = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into()))
        .args(["--edition", "2024", "-C", "target-feature=+crt-static", "-C", "strip=symbols", "-o"])
        .args([to, &source])
        .output()
        .expect("rustc");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}

fn config(version: u8) -> Value {
    let capabilities = if version == 1 { json!(["CAP_NET_ADMIN"]) } else { json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]) };
    json!({
        "description": format!("a driver without volumes, version {version}"), "documentation": "",
        "entrypoint": ["/driver"], "workdir": "", "network": {"type": "none"},
        "interface": {"types": ["docker.volumedriver/1.0"], "socket": "driver.sock"},
        "linux": {"capabilities": capabilities, "allowAllDevices": false, "devices": null},
        "env": [{"name": "API_KEY", "description": "a key", "settable": ["value"], "value": "none"}],
        "mounts": [{"name": "data", "description": "data", "destination": "/data", "source": "/tmp",
            "type": "bind", "options": ["rbind"], "settable": ["source"]}],
        "args": {"name": "", "description": "", "settable": null, "value": null},
    })
}

fn values(answer: &Value, name: &str) -> Value {
    let privileges = answer["privileges"].as_array().unwrap();
    privileges
        .iter()
        .find(|privilege| privilege["name"] == name)
        .map(|privilege| privilege["values"].clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_plugin_is_installed_and_used_and_removed() {
    for link in LINKS {
        let rig = free(link);
        let sample = Sample::push(link, &rig.name("driver"));
        let (first, second) = (sample.version(1), sample.version(2));
        let state = |name: &str| {
            docker(link, &["plugin", "ls", "--format", "{{.Name}} {{.Enabled}}", "--filter", "capability=volumedriver"])
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned))
        };

        // A dry run tells what it asks for, and the host has nothing yet.
        let asked = rig.call("install_plugin", json!({"plugin": first, "dry_run": true})).await.ok();
        assert_eq!(values(&asked, "capabilities"), json!(["CAP_NET_ADMIN"]), "{link:?}: {asked}");
        assert_eq!(values(&asked, "mount"), json!(["/tmp"]), "{link:?}: {asked}");
        assert_eq!(state(&first), None, "{link:?}");

        let installed = rig.call("install_plugin", json!({"plugin": first})).await.ok();
        assert_eq!(
            (installed["plugin"].as_str(), state(&first)),
            (Some(first.as_str()), Some("false".into())),
            "{link:?}"
        );
        assert_eq!(rig.call("install_plugin", json!({"plugin": first})).await.kind(), "conflict", "{link:?}");
        let listed = rig.call("list_plugins", json!({"name": sample.name, "capability": "volumedriver"})).await.ok();
        assert_eq!(
            (listed["plugins"][0]["name"].as_str(), listed["plugins"][0]["enabled"].as_bool()),
            (Some(first.as_str()), Some(false))
        );

        // Its key is a secret: the engine gets it, nobody sees it.
        let key = json!({"plugin": first, "env": {"API_KEY": "secret://DRIVER"}});
        rig.call("configure_plugin", key.clone()).await.ok();
        assert!(
            docker(link, &["plugin", "inspect", "--format", "{{.Settings.Env}}", &first]).contains("hunter2hunter2")
        );
        for section in [json!({"section": "all"}), json!({"raw": true})] {
            let mut arguments = section;
            arguments["plugin"] = first.as_str().into();
            let shown = rig.call("inspect_plugin", arguments).await.text();
            assert!(shown.contains("API_KEY=") && !shown.contains("hunter2"), "{link:?}: {shown}");
        }
        let odd = json!({"plugin": first, "env": {"NO_SUCH": "1"}});
        assert!(rig.call("configure_plugin", odd).await.is_error(), "{link:?}");

        // It runs: the engine has spoken to it over its socket.
        let enabled = rig.call("enable_plugin", json!({"plugin": first})).await.ok();
        assert_eq!((enabled["state"].as_str(), state(&first)), (Some("enabled"), Some("true".into())), "{link:?}");
        assert_eq!(rig.call("enable_plugin", json!({"plugin": first})).await.ok()["unchanged"], true, "{link:?}");
        let volume = json!({"name": rig.name("volume"), "driver": first});
        let error = rig.call("create_volume", volume).await.error();
        assert!(error["message"].as_str().unwrap().contains("there are no volumes"), "{link:?}: {error}");
        for (tool, arguments) in [
            ("configure_plugin", key),
            ("upgrade_plugin", json!({"plugin": first, "remote": second})),
            ("remove_plugin", json!({"plugin": first})),
        ] {
            let error = rig.call(tool, arguments).await.error();
            assert!(
                error["kind"] == "conflict" && error["hint"].as_str().unwrap().contains("disable_plugin"),
                "{link:?} {tool}: {error}"
            );
        }

        rig.call("disable_plugin", json!({"plugin": first})).await.ok();
        assert_eq!(state(&first), Some("false".into()), "{link:?}");
        let upgrade =
            rig.call("upgrade_plugin", json!({"plugin": first, "remote": second, "dry_run": true})).await.ok();
        assert_eq!(values(&upgrade, "capabilities"), json!(["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]), "{link:?}: {upgrade}");
        rig.call("upgrade_plugin", json!({"plugin": first, "remote": second})).await.ok();
        let shown = rig.call("inspect_plugin", json!({"plugin": first, "section": "all"})).await.ok();
        assert!(shown["description"].as_str().unwrap().ends_with("version 2"), "{link:?}: {shown}");
        rig.call("enable_plugin", json!({"plugin": first})).await.ok();
        rig.call("remove_plugin", json!({"plugin": first, "force": true})).await.ok();
        assert_eq!(state(&first), None, "{link:?}");
        assert_eq!(rig.call("inspect_plugin", json!({"plugin": first})).await.kind(), "not_found", "{link:?}");
    }
}

#[tokio::test]
async fn what_it_asks_for_is_judged_before_it_comes() {
    for link in [Link::Unix, Link::Tls] {
        let names = Rig::new(link);
        let sample = Sample::push(link, &names.name("judged"));
        let first = sample.version(1);
        let install = json!({"plugin": first});
        for profile in [Profile::Strict, Profile::Guarded] {
            let rig = judging(link, profile);
            let error = rig.call("install_plugin", install.clone()).await.error();
            let words = error.to_string();
            assert!(error["kind"] == "denied" && words.contains("CAP_NET_ADMIN"), "{link:?} {profile:?}: {error}");
            // To look at what it asks for is allowed.
            rig.call("install_plugin", json!({"plugin": first, "dry_run": true})).await.ok();
        }
        let asks = judging(link, Profile::Open);
        assert_eq!(asks.call("install_plugin", install.clone()).await.kind(), "approval_needed", "{link:?}");

        // A mount's source is what the machine gives away.
        let rig = free(link);
        rig.call("install_plugin", install).await.ok();
        let guarded = judging(link, Profile::Guarded);
        let source = json!({"plugin": first, "env": {"data.source": "/etc"}});
        assert_eq!(guarded.call("configure_plugin", source.clone()).await.kind(), "denied", "{link:?}");
        guarded.call("configure_plugin", json!({"plugin": first, "env": {"API_KEY": ""}})).await.ok();
        rig.call("configure_plugin", source).await.ok();
        assert!(docker(link, &["plugin", "inspect", "--format", "{{json .Settings.Mounts}}", &first]).contains("/etc"));

        // Nothing of it passes where nothing is changed or destroyed.
        let ro = Rig::with_markers(link, "(ro)");
        for tool in ["install_plugin", "enable_plugin", "disable_plugin", "remove_plugin"] {
            assert_eq!(ro.call(tool, json!({"plugin": first})).await.kind(), "denied", "{link:?} {tool}");
        }
        let nd = Rig::with_markers(link, "(nd)");
        for tool in ["disable_plugin", "remove_plugin"] {
            assert_eq!(nd.call(tool, json!({"plugin": first})).await.kind(), "denied", "{link:?} {tool}");
        }
    }
}

#[tokio::test]
async fn a_daemon_is_not_sent_to_a_strange_registry_for_a_plugin() {
    let link = Link::Unix;
    let recorder = Recorder::before(&link.socket());
    let gateway = gateway_with(&[recorder.spec("")], |config| {
        config.hosts[0].limits.bodies = Bodies::of(Profile::Open);
        config.hosts[0].limits.bodies.rules = [(Rule::PluginPrivileges, Verdict::Allow)].into_iter().collect();
        config.hosts[0].limits.confirm = Confirm::Never;
    });
    for dry_run in [true, false] {
        let arguments = json!({"plugin": "evil.example/driver:1", "dry_run": dry_run}).as_object().unwrap().clone();
        let request = quaymaster::gateway::Request::new(gateway.caller("test"), "install_plugin", arguments);
        let error = crate::rig::Reply::of(gateway.call(request).await).error();
        assert_eq!(error["kind"], "denied", "{error}");
        let sent = recorder.take();
        assert!(!sent.iter().any(|request| request.target.contains("/plugins/")), "{sent:?}");
    }
}
