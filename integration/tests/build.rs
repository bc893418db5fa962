//! `build_image` on real engines: contexts, failures, secrets, and what is not allowed.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use quaymaster::{
    config::{Globs, limits::Verdict},
    gateway::{Failure, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixListener, UnixStream},
    sync::mpsc,
};

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, gateway, lab, open},
};

/// A directory with files in it, below a root.
fn context(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn rig(link: Link, root: &Path) -> Rig {
    let root = root.to_owned();
    Rig::set(link, move |config| {
        open(config);
        config.files.roots = Some(vec![root]);
    })
}

/// The files that an image has below a directory.
fn files(link: Link, image: &str, directory: &str) -> BTreeSet<String> {
    let script = format!("cd {directory} && find . -type f");
    let listed = docker(link, &["run", "--rm", image, "sh", "-c", &script]);
    listed.lines().map(|line| line.trim_start_matches("./").to_owned()).collect()
}

const IGNORE: &str = "# what is not needed\n*.md\n!README.md\ntmp\n**/*.log\ndocs/**\n!docs/keep/**\n/vendor/\n!vendor/one\n\
                      src/[ab].txt\nDockerfile\n.dockerignore\n";

const TREE: &[(&str, &str)] = &[
    (".dockerignore", IGNORE),
    ("README.md", "x"),
    ("NOTES.md", "x"),
    ("src/a.txt", "x"),
    ("src/c.txt", "x"),
    ("src/deep/er/run.log", "x"),
    ("src/deep/er/run.sh", "x"),
    ("tmp/x", "x"),
    ("docs/one", "x"),
    ("docs/keep/this", "x"),
    ("vendor/one", "x"),
    ("vendor/two", "x"),
    (".hidden", "x"),
    ("run.log", "x"),
];

#[tokio::test]
async fn what_is_ignored_is_what_docker_ignores() {
    for link in LINKS {
        let directory = context(TREE);
        fs::write(directory.path().join("Dockerfile"), format!("FROM {}\nCOPY . /context\n", lab("LAB_IMAGE")))
            .unwrap();
        let (rig, mut scrap) = (rig(link, directory.path()), Scrap::on(link));
        let (ours, theirs, typed) = (rig.name("ours"), rig.name("theirs"), rig.name("typed"));
        for name in [&ours, &theirs, &typed] {
            scrap.image(name.clone());
        }

        let built = rig.call("build_image", json!({"context": directory.path(), "tags": [ours]})).await.ok();
        assert_eq!((&built["steps"], &built["tags"]), (&json!(2), &json!([format!("{ours}:latest")])), "{built}");
        assert!(built["log"].to_string().contains("Successfully built"), "{built}");
        docker(link, &["build", "--tag", &theirs, &directory.path().display().to_string()]);
        let (got, expected) = (files(link, &ours, "/context"), files(link, &theirs, "/context"));
        assert_eq!(got, expected, "{link:?}");
        let known = [".hidden", "README.md", "docs/keep/this", "src/c.txt", "src/deep/er/run.sh", "vendor/one"];
        assert_eq!(got, known.iter().map(|name| (*name).to_owned()).collect(), "{link:?}");

        // A typed Dockerfile is no part of what is copied.
        let content = format!("FROM {}\nCOPY . /context\n", lab("LAB_IMAGE"));
        let arguments = json!({"context": directory.path(), "dockerfile_content": content, "tags": [typed]});
        rig.call("build_image", arguments).await.ok();
        assert_eq!(files(link, &typed, "/context"), got, "{link:?}");
    }
}

#[tokio::test]
async fn arguments_target_labels_and_names_arrive() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let base = lab("LAB_IMAGE");
        let content = "ARG BASE=nothing.invalid/x\nFROM ${BASE} AS first\nARG LEVEL\n\
                       RUN echo level=$LEVEL > /level; cat /etc/hosts > /names\nFROM first AS second\nRUN exit 9\n";
        let (one, two) = (rig.name("one"), format!("{}:2", rig.name("two")));
        for name in [&one, &two] {
            scrap.image(name.clone());
        }
        let built = rig
            .call(
                "build_image",
                json!({"dockerfile_content": content, "tags": [one, two], "target": "first", "labels": {"team": "a"},
                    "build_args": {"BASE": base, "LEVEL": "7", "UNUSED": "x"}, "extra_hosts": ["db:10.1.2.3"], "no_cache": true}),
            )
            .await
            .ok();
        assert!(built["warnings"][0].as_str().unwrap().contains("UNUSED"), "{link:?}: {built}");
        let format = r#"{{index .Config.Labels "team"}} {{len .RepoTags}}"#;
        assert_eq!(docker(link, &["image", "inspect", "--format", format, &one]), "a 2");
        let said = docker(link, &["run", "--rm", &two, "cat", "/level", "/names"]);
        assert!(said.contains("level=7") && said.contains("10.1.2.3"), "{said}");
        let id = docker(link, &["image", "inspect", "--format", "{{.Id}}", &one]);
        assert_eq!(built["id"], id.trim_start_matches("sha256:")[..12], "{built}");
    }
}

#[tokio::test]
async fn a_step_that_fails_is_told_with_the_end_of_the_log() {
    for link in LINKS {
        let rig = Rig::new(link);
        let content =
            format!("FROM {}\nRUN echo before\nRUN echo this is why; exit 7\nRUN echo never\n", lab("LAB_IMAGE"));
        let error = rig.call("build_image", json!({"dockerfile_content": content, "no_cache": true})).await.error();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("at step 3/4") && message.contains("non-zero code: 7"), "{link:?}: {error}");
        assert!(message.contains("\nthis is why") && !message.contains("never"), "{error}");
        for (arguments, kind) in [
            (json!({"dockerfile_content": "FRO x\n"}), "invalid"),
            (json!({"dockerfile_content": format!("FROM {}/lab/none:1\n", lab("LAB_REGISTRY"))}), "not_found"),
            (json!({"context": "/etc"}), "denied"),
            (json!({}), "invalid"),
            (json!({"context": "https://user:hunter2hunter2@example.com/x"}), "invalid"),
            (json!({"context": "https://example.com/x"}), "denied"),
        ] {
            let error = rig.call("build_image", arguments.clone()).await.error();
            assert!(error["kind"] == kind || error["kind"] == "docker", "{arguments}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_secret_among_the_arguments_is_never_seen() {
    let secret = "c0rrect-horse-battery";
    for link in LINKS {
        let rig = Rig::with_secrets(link, &[("QUAYMASTER_SECRET_NPM", secret)], open);
        let content = format!(
            "FROM {}\nARG NPM_TOKEN\nARG PLAIN\nRUN echo got $NPM_TOKEN and $PLAIN\nRUN echo $NPM_TOKEN again; exit $PLAIN\n",
            lab("LAB_IMAGE")
        );
        let arguments = |plain: &str| {
            json!({"dockerfile_content": content, "build_args": {"NPM_TOKEN": "secret://NPM", "PLAIN": plain}, "no_cache": true,
                "tags": [rig.name("secret")]})
        };
        let mut scrap = Scrap::on(link);
        scrap.image(rig.name("secret"));
        let built = rig.call("build_image", arguments("0")).await.ok().to_string();
        assert!(built.contains("got <redacted") && !built.contains(secret), "{link:?}: {built}");
        let text = rig.call("build_image", arguments("0")).await.text();
        assert!(!text.contains(secret), "{text}");
        let failed = rig.call("build_image", arguments("4")).await.error().to_string();
        assert!(failed.contains("non-zero code: 4") && !failed.contains(secret), "{failed}");
        // Typed instead of named it is not written down either.
        let typed = json!({"dockerfile_content": "FROM scratch\nARG A\nLABEL a=b\n", "build_args": {"A": secret}});
        let answer = rig.call("build_image", typed).await.ok().to_string();
        assert!(!answer.contains(secret), "{answer}");
        let lines = rig.call("read_audit_log", json!({"limit": 20})).await.ok().to_string();
        assert!(lines.contains("build_image") && !lines.contains(secret), "{lines}");
        let missing =
            json!({"dockerfile_content": "FROM scratch\nLABEL a=b\n", "build_args": {"A_TOKEN": "secret://NONE"}});
        assert_eq!(rig.call("build_image", missing).await.kind(), "not_found");
    }
}

#[tokio::test]
async fn what_the_host_does_not_allow_is_not_built() {
    for link in LINKS {
        let image = lab("LAB_IMAGE");
        let allowed = image.clone();
        let narrow = Rig::set(link, move |config| {
            open(config);
            let limits = &mut config.hosts[0].limits;
            limits.images = Globs::of_images(&[allowed, "qm-*".to_owned()], &[]).unwrap();
            for rule in ["host-net", "host-gateway", "env-secret"] {
                let rule = quaymaster::config::limits::Rule::parse(rule).unwrap();
                limits.bodies.rules.insert(rule, Verdict::Deny);
            }
        });
        let content = format!("FROM {image}\nLABEL a=b\n");
        for arguments in [
            json!({"dockerfile_content": "FROM other/image:1\n"}),
            json!({"dockerfile_content": format!("FROM {image}\nCOPY --from=other/image:1 / /\n")}),
            json!({"dockerfile_content": "ARG X\nFROM ${X}\n"}),
            json!({"dockerfile_content": content, "tags": ["other/name:1"]}),
            json!({"dockerfile_content": content, "network": "host"}),
            json!({"dockerfile_content": content, "extra_hosts": ["me:host-gateway"]}),
            json!({"dockerfile_content": content, "build_args": {"API_TOKEN": "hunter2hunter2"}}),
        ] {
            let error = narrow.call("build_image", arguments.clone()).await.error();
            assert_eq!(error["kind"], "denied", "{link:?} {arguments}: {error}");
        }
        let name = narrow.name("fine");
        let mut scrap = Scrap::on(link);
        scrap.image(name.clone());
        narrow
            .call("build_image", json!({"dockerfile_content": content, "tags": [name], "network": "none"}))
            .await
            .ok();
    }
}

/// A daemon that fetches its context gets it from an address that its host allows, and from no other.
#[tokio::test]
async fn a_daemon_fetches_what_sources_allow() {
    let dockerfile = format!("FROM {}\nLABEL fetched=yes\n", lab("LAB_IMAGE"));
    for link in LINKS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = dockerfile.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let _ = socket.read(&mut buffer).await;
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    text.len()
                );
                let _ = socket.write_all(format!("{head}{text}").as_bytes()).await;
            }
        });
        let glob = format!("http://{address}/allowed/*");
        let rig = Rig::set(link, move |config| {
            open(config);
            config.hosts[0].limits.sources = quaymaster::config::Sources::new(&[glob]).unwrap();
        });
        let mut scrap = Scrap::on(link);
        let name = rig.name("fetched");
        scrap.image(name.clone());
        let from = |path: &str| json!({"context": format!("http://{address}{path}"), "tags": [name]});
        for path in ["/other/Dockerfile", "/allowed/../other"] {
            let kind = rig.call("build_image", from(path)).await.kind();
            assert!(["denied", "invalid"].contains(&kind.as_str()), "{path}");
        }
        rig.call("build_image", from("/allowed/Dockerfile")).await.ok();
        let format = r#"{{index .Config.Labels "fetched"}}"#;
        assert_eq!(docker(link, &["image", "inspect", "--format", format, &name]), "yes", "{link:?}");
        serving.abort();
    }
}

/// Stands between the gateway and an engine, and tells when the gateway closes the connection of a build.
async fn watch_builds(gateway: UnixListener, engine: String, closed: mpsc::UnboundedSender<Instant>) {
    loop {
        let (from_gateway, _) = gateway.accept().await.unwrap();
        let (mut requests, mut answers) = from_gateway.into_split();
        let (mut said, mut told) = UnixStream::connect(&engine).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut said, &mut answers).await });
        let closed = closed.clone();
        tokio::spawn(async move {
            let (mut buffer, mut is_build) = ([0; 4096], false);
            while let Ok(length @ 1..) = requests.read(&mut buffer).await {
                is_build |= String::from_utf8_lossy(&buffer[..length]).contains("/build?");
                told.write_all(&buffer[..length]).await.unwrap();
            }
            if is_build {
                closed.send(Instant::now()).ok();
            }
        });
    }
}

#[tokio::test]
async fn a_build_that_is_taken_back_closes_its_connection() {
    for link in [Link::Unix, Link::Tls] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("engine.sock");
        let (closed, mut is_closed) = mpsc::unbounded_channel();
        let watching = tokio::spawn(watch_builds(UnixListener::bind(&socket).unwrap(), link.socket(), closed));
        let gateway = gateway(&[format!("lab=unix://{}", socket.display())]);
        let content = format!(
            "FROM {}\nRUN for each in 1 2 3 4 5 6 7 8; do echo tick; sleep 1; done; sleep 60\n",
            lab("LAB_IMAGE")
        );
        let Value::Object(arguments) = json!({"dockerfile_content": content, "no_cache": true}) else { unreachable!() };
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut request = Request::new(gateway.caller("test"), "build_image", arguments);
        request.progress = std::sync::Arc::new(move |progress| drop(tell.send(progress.message)));
        let cancelled = request.cancelled.clone();
        let call = tokio::spawn(async move { gateway.call(request).await });
        let step = async { while !told.recv().await.expect("progress").contains("step 2/2") {} };
        tokio::time::timeout(Duration::from_secs(30), step).await.expect("the step begins");
        let asked = Instant::now();
        cancelled.cancel();
        let Err(Failure::Tool(error)) = call.await.unwrap() else { panic!("it went on") };
        assert_eq!(error.kind().as_str(), "cancelled");
        let at = tokio::time::timeout(Duration::from_secs(5), is_closed.recv()).await.expect("it is closed").unwrap();
        assert!(at.duration_since(asked) < Duration::from_millis(100), "{:?}", at.duration_since(asked));
        watching.abort();
    }
}
