//! The registry tools against a real registry, with TLS and a password, and pulls by real engines from it.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use quaymaster::{
    config::{Config, Environment, RegistryConfig},
    gateway::{Gateway, Request, audit::Wanted},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    authority::Authority,
    engine::{Scrap, docker},
    rig::{LINKS, Reply, environment, gateway_in, lab, open},
};

const PASSWORD: &str = "lab-password";
/// What htpasswd makes of it.
const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuL/Ej5MNdcjasz4Sr7bjTMIxZn.WGpgG";

/// A registry of a test's own: one door with TLS and a password, one with a password alone, and a plain one for what
/// the test puts in.
struct Registry {
    doors: [Child; 3],
    /// `HOST:PORT` of each.
    guarded: String,
    locked: String,
    plain: String,
    authority: Authority,
    _directory: TempDir,
}

impl Registry {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path();
        let authority = Authority::new();
        let (certificate, key) = authority.certify(&["127.0.0.1"]);
        fs::write(home.join("cert.pem"), certificate).unwrap();
        fs::write(home.join("key.pem"), key).unwrap();
        fs::write(home.join("htpasswd"), format!("ann:{HASH}\n")).unwrap();
        let [guarded, locked, plain] = [free_port(), free_port(), free_port()];
        let storage =
            format!("storage: {{filesystem: {{rootdirectory: {0}/data}}, delete: {{enabled: true}}}}", home.display());
        let common =
            |port: u16| format!("version: 0.1\nlog: {{level: error}}\n{storage}\nhttp:\n  addr: 127.0.0.1:{port}\n");
        let tls = format!("  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n", home.display());
        let auth = format!("auth: {{htpasswd: {{realm: lab, path: {}/htpasswd}}}}\n", home.display());
        let doors = [
            ("guarded", format!("{}{tls}{auth}", common(guarded))),
            ("locked", format!("{}{auth}", common(locked))),
            ("plain", common(plain)),
        ]
        .map(|(name, text)| {
            let file = home.join(format!("{name}.yml"));
            fs::write(&file, text).unwrap();
            Command::new(program()).arg("serve").arg(file).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        });
        let [guarded, locked, plain] = [guarded, locked, plain].map(|port| format!("127.0.0.1:{port}"));
        let registry = Self { doors, guarded, locked, plain, authority, _directory: directory };
        let started = Instant::now();
        for door in [&registry.guarded, &registry.locked, &registry.plain] {
            while TcpStream::connect(door).is_err() {
                assert!(started.elapsed() < Duration::from_secs(10), "the registry does not listen");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        registry
    }

    /// Puts a blob in; answers its digest.
    fn blob(&self, repository: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        let (status, location) = ask(&self.plain, "POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"");
        assert_eq!(status, 202);
        let path = location.split_once("/v2/").map(|(_, rest)| format!("/v2/{rest}")).unwrap();
        let (status, _) =
            ask(&self.plain, "PUT", &format!("{path}&digest={digest}"), "application/octet-stream", bytes);
        assert_eq!(status, 201);
        json!({"digest": digest, "size": bytes.len()})
    }

    /// Puts a manifest in under a tag or its digest; answers its digest.
    fn manifest(&self, repository: &str, reference: Option<&str>, kind: &str, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let digest = digest(&bytes);
        let path = format!("/v2/{repository}/manifests/{}", reference.unwrap_or(&digest));
        let (status, _) = ask(&self.plain, "PUT", &path, kind, &bytes);
        assert_eq!(status, 201, "{document}");
        digest
    }

    /// Puts an image with one layer in; answers its digest and size.
    fn image(&self, repository: &str, reference: Option<&str>, architecture: &str, mark: &str) -> (String, usize) {
        let layer = layer(mark);
        let config = json!({"architecture": architecture, "os": "linux", "created": "2026-11-01T10:00:00Z",
            "config": {"Env": ["PATH=/bin", format!("API_KEY=hunter2-{mark}")], "Cmd": ["/hello"], "User": "app",
                "ExposedPorts": {"80/tcp": {}}, "Labels": {"org.example": mark}},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]}});
        let with = |mut descriptor: Value, kind: &str| {
            descriptor["mediaType"] = kind.into();
            descriptor
        };
        let config = with(
            self.blob(repository, config.to_string().as_bytes()),
            "application/vnd.docker.container.image.v1+json",
        );
        let layer = with(self.blob(repository, &layer), "application/vnd.docker.image.rootfs.diff.tar");
        let kind = "application/vnd.docker.distribution.manifest.v2+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
        (self.manifest(repository, reference, kind, &manifest), manifest.to_string().len())
    }

    /// A gateway of somebody who is logged in with a password, or not at all.
    fn gateway(
        &self,
        password: Option<&str>,
        specs: &[String],
        set: impl FnOnce(&mut Config),
    ) -> (TempDir, Arc<Gateway>) {
        let home = tempfile::tempdir().unwrap();
        let login = password.map(|password| json!({"username": "ann", "password": password}));
        let auths = login.map(|login| json!({&self.guarded: login, &self.locked: login}));
        fs::write(home.path().join("config.json"), json!({ "auths": auths }).to_string()).unwrap();
        let mut environment = environment();
        environment.variables.insert("DOCKER_CONFIG".into(), home.path().display().to_string());
        let gateway = self.gateway_in(environment, specs, set);
        (home, gateway)
    }

    fn gateway_in(&self, environment: Environment, specs: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
        let ca = self.authority.file();
        gateway_in(environment, specs, |config| {
            open(config);
            config.registries = vec![
                RegistryConfig { host: self.guarded.clone(), insecure: false, ca: Some(ca) },
                RegistryConfig { host: self.locked.clone(), insecure: true, ca: None },
                RegistryConfig { host: self.plain.clone(), insecure: true, ca: None },
            ];
            set(config);
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for door in &mut self.doors {
            door.kill().ok();
            door.wait().ok();
        }
    }
}

/// The program of the lab's own registry.
fn program() -> std::path::PathBuf {
    fs::read_link(format!("/proc/{}/exe", lab("LAB_REGISTRY_PID"))).expect("the lab's registry runs")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// A tar with one small file that no other test has.
fn layer(mark: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("hello"), mark).unwrap();
    let tar = Command::new("tar").args(["--mtime=@0", "-C"]).arg(directory.path()).args(["-cf", "-", "hello"]).output();
    tar.unwrap().stdout
}

/// One request to the plain door; the status and the `Location` of the answer.
fn ask(door: &str, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(door).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {door}\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let location = answer.lines().find_map(|line| line.strip_prefix("Location: ")).unwrap_or_default();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), location.trim().to_owned())
}

async fn call(gateway: &Arc<Gateway>, tool: &str, arguments: Value) -> Reply {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Reply::of(gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await)
}

fn nowhere() -> Vec<String> {
    vec!["nowhere=unix:///nowhere.sock".to_owned()]
}

#[tokio::test]
async fn tags_are_listed_with_the_password_and_in_pages() {
    let registry = Registry::start();
    registry.image("lab/many", Some("1.0"), "amd64", "many");
    for tag in (1..150).map(|number| format!("1.{number}")).chain(["latest".to_owned()]) {
        registry.image("lab/many", Some(&tag), "amd64", "many");
    }
    let image = format!("{}/lab/many", registry.guarded);
    let (_home, gateway) = registry.gateway(Some(PASSWORD), &nowhere(), |_| {});
    let first = call(&gateway, "registry_list_tags", json!({ "image": image })).await.ok();
    let tags = |answer: &Value| answer["tags"].as_array().unwrap().clone();
    assert_eq!(
        (tags(&first)[..3].to_vec(), &first["total"]),
        (vec![json!("latest"), json!("1.149"), json!("1.148")], &json!(151))
    );
    let rest = call(&gateway, "registry_list_tags", json!({"image": image, "cursor": first["cursor"]})).await.ok();
    assert_eq!((tags(&rest).len(), tags(&rest).last().cloned()), (51, Some(json!("1.0"))), "{rest}");
    let some = call(&gateway, "registry_list_tags", json!({"image": image, "name": "1.14"})).await.ok();
    assert_eq!(tags(&some).len(), 11, "{some}");
    let error =
        call(&gateway, "registry_list_tags", json!({"image": format!("{}/lab/none", registry.guarded)})).await.error();
    assert_eq!(error["kind"], "not_found", "{error}");

    for password in [None, Some("wrong-password")] {
        let (_home, gateway) = registry.gateway(password, &nowhere(), |_| {});
        let error = call(&gateway, "registry_list_tags", json!({ "image": image })).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        assert!(!error.to_string().contains("wrong-password"), "{error}");
    }
    let rows = gateway.audit().read(Wanted { limit: 50, ..Wanted::default() }).await.unwrap();
    assert!(!rows.is_empty() && !format!("{rows:?}").contains(PASSWORD));
}

#[tokio::test]
async fn manifests_and_configurations_of_several_platforms() {
    let registry = Registry::start();
    let kind = "application/vnd.docker.distribution.manifest.v2+json";
    let on = |architecture: &str, variant: Option<&str>| {
        let (digest, size) = registry.image("lab/multi", None, architecture, architecture);
        let mut platform = json!({"os": "linux", "architecture": architecture});
        if let Some(variant) = variant {
            platform["variant"] = variant.into();
        }
        json!({"mediaType": kind, "digest": digest, "size": size, "platform": platform})
    };
    let index = "application/vnd.docker.distribution.manifest.list.v2+json";
    let document = json!({"schemaVersion": 2, "mediaType": index, "manifests": [on("amd64", None), on("arm64", Some("v8")), on("arm", Some("v7"))]});
    let digest = registry.manifest("lab/multi", Some("1"), index, &document);
    for door in [&registry.guarded, &registry.plain] {
        let image = format!("{door}/lab/multi:1");
        let (_home, gateway) = registry.gateway(Some(PASSWORD), &nowhere(), |_| {});
        let inspected = call(&gateway, "registry_inspect_manifest", json!({ "image": image })).await.ok();
        assert_eq!((&inspected["digest"], &inspected["media_type"]), (&json!(digest), &json!(index)));
        let platforms: Vec<&Value> =
            inspected["platforms"].as_array().unwrap().iter().map(|row| &row["platform"]).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64/v8", "linux/arm/v7"]);
        let arm =
            call(&gateway, "registry_inspect_manifest", json!({"image": image, "platform": "linux/arm64"})).await.ok();
        assert_eq!(arm["digest"], document["manifests"][1]["digest"]);
        assert_eq!(
            (arm["layers"].as_array().unwrap().len(), arm["size"].as_str().unwrap().ends_with("KiB")),
            (1, true),
            "{arm}"
        );
        let by_digest = json!({"image": format!("{door}/lab/multi@{digest}")});
        assert_eq!(call(&gateway, "registry_inspect_manifest", by_digest).await.ok()["digest"], json!(digest));
        let config =
            call(&gateway, "registry_get_config", json!({"image": image, "platform": "linux/arm/v7"})).await.ok();
        assert_eq!(
            (&config["platform"], &config["user"], &config["command"]),
            (&json!("linux/arm"), &json!("app"), &json!(["/hello"]))
        );
        assert!(
            !config.to_string().contains("hunter2") && config["env"].to_string().contains("API_KEY=<redacted"),
            "{config}"
        );
        let config = call(&gateway, "registry_get_config", json!({ "image": image })).await.ok();
        assert_eq!(config["platform"], "linux/amd64");
        let error =
            call(&gateway, "registry_get_config", json!({"image": image, "platform": "linux/s390x"})).await.error();
        assert!(error["hint"].as_str().unwrap().contains("linux/arm/v7"), "{error}");
    }
}

#[tokio::test]
async fn logins_say_whether_they_work() {
    let registry = Registry::start();
    let status = async |password: Option<&str>, of: &str| {
        let (_home, gateway) = registry.gateway(password, &nowhere(), |_| {});
        call(&gateway, "login", json!({ "registry": of })).await.ok()
    };
    let works = status(Some(PASSWORD), &registry.guarded).await;
    assert_eq!(
        (&works["registries"][0]["status"], &works["registries"][0]["source"]),
        (&json!("works"), &json!("docker config")),
        "{works}"
    );
    assert_eq!(works["command"], format!("docker login {}", registry.guarded));
    assert_eq!(status(Some("wrong"), &registry.guarded).await["registries"][0]["status"], "refused");
    assert_eq!(status(None, &registry.guarded).await["registries"][0]["status"], "none");
    assert_eq!(status(None, &registry.plain).await["registries"][0]["status"], "open");

    let (_home, gateway) = registry.gateway(Some(PASSWORD), &nowhere(), |_| {});
    let all = call(&gateway, "logout", json!({})).await.ok();
    assert_eq!((all["registries"].as_array().unwrap().len(), &all["command"]), (2, &json!("docker logout REGISTRY")));
    assert!(!all.to_string().contains(PASSWORD) && !all.to_string().contains("ann"));

    // Nobody vouches for it: nothing is sent, whatever there is in the CLI's configuration.
    let (_home, gateway) = registry.gateway(Some(PASSWORD), &nowhere(), |config| config.registries.clear());
    let refused = call(&gateway, "login", json!({})).await.ok();
    assert_eq!(refused["registries"][0]["status"], "denied", "{refused}");
    assert!(refused.to_string().contains("private network"));

    // Bound to one registry by variables.
    let mut environment = environment();
    for (name, value) in [("", registry.guarded.as_str()), ("_USERNAME", "ann"), ("_PASSWORD", PASSWORD)] {
        environment.variables.insert(format!("QUAYMASTER_REGISTRY{name}"), value.to_owned());
    }
    let gateway = registry.gateway_in(environment, &nowhere(), |_| {});
    let bound = call(&gateway, "login", json!({})).await.ok();
    let row =
        bound["registries"].as_array().unwrap().iter().find(|row| row["registry"] == json!(registry.guarded)).unwrap();
    assert_eq!((&row["status"], &row["source"]), (&json!("works"), &json!("variables")));
}

#[tokio::test]
async fn engines_pull_with_the_gateways_password() {
    let registry = Registry::start();
    for link in LINKS {
        let mut scrap = Scrap::on(link);
        let mark = format!("pull-{link:?}").to_lowercase();
        registry.image("lab/private", Some(&mark), "amd64", &mark);
        let image = format!("{}/lab/private:{mark}", registry.locked);
        scrap.image(image.clone());
        let specs = [format!("lab={}", link.endpoint())];
        let (_home, gateway) = registry.gateway(None, &specs, |_| {});
        let error = call(&gateway, "pull_image", json!({"host": "lab", "image": image})).await.error();
        assert!(error["hint"].as_str().unwrap_or_default().contains("no credentials"), "{link:?}: {error}");
        let (_home, gateway) = registry.gateway(Some("wrong"), &specs, |_| {});
        let error = call(&gateway, "pull_image", json!({"host": "lab", "image": image})).await.error();
        assert!(!error.to_string().contains("wrong"), "{link:?}: {error}");
        let (_home, gateway) = registry.gateway(Some(PASSWORD), &specs, |_| {});
        let pulled = call(&gateway, "pull_image", json!({"host": "lab", "image": image})).await.ok();
        assert_eq!(pulled["up_to_date"], false, "{link:?}: {pulled}");
        let rows = gateway.audit().read(Wanted { limit: 50, ..Wanted::default() }).await.unwrap();
        assert!(!format!("{rows:?}").contains(PASSWORD));
    }
}

#[tokio::test]
async fn projects_are_pulled_with_the_gateways_password() {
    let registry = Registry::start();
    for link in LINKS {
        let mut scrap = Scrap::on(link);
        let mark = format!("project-{link:?}").to_lowercase();
        registry.image("lab/private", Some(&mark), "amd64", &mark);
        let image = format!("{}/lab/private:{mark}", registry.locked);
        scrap.image(image.clone());
        let specs = [format!("lab={}", link.endpoint())];
        let project =
            json!({"host": "lab", "project": "pulled", "yaml": format!("services: {{web: {{image: '{image}'}}}}")});
        for password in [None, Some("wrong-password")] {
            let (_home, gateway) = registry.gateway(password, &specs, |_| {});
            let error = call(&gateway, "compose_pull", project.clone()).await.error();
            assert_eq!(error["kind"], "docker", "{link:?}: {error}");
            assert!(!error.to_string().contains("wrong-password"), "{link:?}: {error}");
        }
        let (_home, gateway) = registry.gateway(Some(PASSWORD), &specs, |_| {});
        let pulled = call(&gateway, "compose_pull", project).await.ok();
        assert!(!pulled.to_string().contains(PASSWORD), "{pulled}");
        call(&gateway, "inspect_image", json!({"host": "lab", "image": image})).await.ok();
        let rows = gateway.audit().read(Wanted { limit: 50, ..Wanted::default() }).await.unwrap();
        assert!(!format!("{rows:?}").contains(PASSWORD));
    }
}

#[tokio::test]
async fn updates_are_told_from_what_was_pulled_but_not_recreated() {
    let registry = Registry::start();
    let mut scraps = Vec::new();
    let specs: Vec<String> =
        LINKS.iter().zip(["a", "b", "c"]).map(|(link, name)| format!("{name}={}", link.endpoint())).collect();
    let repository = format!("lab/updates-{}", std::process::id());
    // The lab's image, so that it runs: taken from the engine and put into the registry.
    let image = format!("{}/{repository}:1", registry.plain);
    docker(LINKS[0], &["tag", &lab("LAB_IMAGE"), &image]);
    docker(LINKS[0], &["push", &image]);
    docker(LINKS[0], &["rmi", &image]);
    let (_home, gateway) = registry.gateway(None, &specs, |_| {});
    for (link, host) in LINKS.iter().zip(["a", "b", "c"]) {
        let mut scrap = Scrap::on(*link);
        scrap.image(image.clone());
        let name = format!("qm-updates-{host}-{}", std::process::id());
        scrap.container(name.clone());
        scraps.push(scrap);
        let run = json!({"host": host, "image": image, "name": name, "command": ["sleep", "600"]});
        call(&gateway, "run_container", run).await.ok();
    }
    let check =
        async |gateway: &Arc<Gateway>| call(gateway, "check_image_updates", json!({ "image": image })).await.ok();
    let current = check(&gateway).await;
    let row = &current["images"][0];
    assert_eq!(
        (&row["status"], row["running"].as_array().unwrap().len(), &current["current"]),
        (&json!("current"), 3, &json!(1)),
        "{current}"
    );

    // A newer one under the same tag; a gateway that has asked before knows it a few minutes later.
    docker(
        LINKS[0],
        &["commit", "--change", "LABEL newer=yes", &format!("qm-updates-a-{}", std::process::id()), &image],
    );
    docker(LINKS[0], &["push", &image]);
    assert_eq!(check(&gateway).await["images"][0]["status"], "current", "it is asked for once in a while");
    let (_home, gateway) = registry.gateway(None, &specs, |_| {});
    let newer = check(&gateway).await;
    let statuses = |answer: &Value| -> Vec<(String, String)> {
        let running = answer["images"][0]["running"].as_array().unwrap().clone();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        running.iter().map(|row| (text(row, "host"), text(row, "status"))).collect()
    };
    let expected = |status: [&str; 3]| {
        ["a", "b", "c"]
            .into_iter()
            .zip(status)
            .map(|(host, status)| (host.to_owned(), status.to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses(&newer), expected(["recreate", "update", "update"]), "{newer}");
    assert_eq!((&newer["images"][0]["status"], &newer["updates"]), (&json!("update"), &json!(1)), "{newer}");
    call(&gateway, "pull_image", json!({"host": "b", "image": image})).await.ok();
    let pulled = check(&gateway).await;
    assert_eq!(statuses(&pulled), expected(["recreate", "recreate", "update"]), "{pulled}");

    // A registry that nobody vouches for is named, and the rest is told all the same.
    let (_home, gateway) = registry.gateway(None, &specs, |config| config.registries.clear());
    let unchecked = check(&gateway).await;
    assert_eq!(unchecked["images"][0]["status"], "unchecked", "{unchecked}");
    assert!(unchecked["images"][0]["error"].as_str().unwrap().contains(&registry.plain), "{unchecked}");
}
