//! The buildx tools: real builds over BuildKit's channel on real engines, and what must not be built.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use quaymaster::{
    config::{
        Config, RegistryConfig,
        limits::{Profile, Rule, Verdict},
    },
    gateway::{Failure, Request},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::{Scrap, docker},
    recorder::{Recorded, Recorder},
    rig::{LINKS, Link, Rig, environment, gateway_in, lab, open},
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

/// A host that allows everything, for somebody who has the lab's programs and a secret.
fn rig(link: Link, root: &Path) -> Rig {
    rig_with(&format!("lab={}", link.endpoint()), root, |_| {})
}

fn rig_with(spec: &str, root: &Path, set: impl FnOnce(&mut Config)) -> Rig {
    let mut environment = environment();
    environment.variables.insert("QUAYMASTER_SECRET_TOKEN".into(), "hunter2hunter2".into());
    Rig::of(gateway_in(environment, &[spec.to_owned()], |config| {
        open(config);
        config.files.roots = Some(vec![root.to_owned()]);
        config.registries = vec![RegistryConfig { host: lab("LAB_REGISTRY"), insecure: true, ca: None }];
        set(config);
    }))
}

fn dockerfile() -> String {
    format!(
        "FROM {} AS base\nARG LEVEL\nCOPY . /context\nRUN --mount=type=secret,id=tok wc -c < /run/secrets/tok > /size; \
         cat /run/secrets/tok; echo level=$LEVEL > /level\nFROM base AS second\nRUN echo two > /two\n",
        lab("LAB_IMAGE")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_is_pushed_and_its_tag_is_there() {
    for link in LINKS {
        let directory = context(&[
            ("Dockerfile", &dockerfile()),
            (".dockerignore", "*.md\n"),
            ("a.txt", "a"),
            ("NOTES.md", "x"),
            (".env", "PASSWORD=hunter2hunter2"),
            ("keys/id_rsa", "x"),
        ]);
        let (rig, mut scrap) = (rig(link, directory.path()), Scrap::on(link));
        let repository = format!("{}/{}", lab("LAB_REGISTRY"), rig.name("built"));
        let tag = format!("{repository}:1");
        scrap.image(tag.clone());
        let built = rig
            .call(
                "buildx_build",
                json!({"context": ".", "tags": [tag], "push": true, "build_args": {"LEVEL": "7"}, "labels": {"team": "a"},
                    "secrets": {"tok": "secret://token"}, "target": "second", "no_cache": true}),
            )
            .await
            .ok();
        let image = &built["images"][0];
        assert_eq!(
            (&image["pushed"], &image["tags"], &built["builder"]),
            (&json!(true), &json!([tag]), &json!("default")),
            "{built}"
        );
        assert!(image["digest"].as_str().unwrap().starts_with("sha256:"), "{link:?}: {built}");
        assert!(built["steps"].as_u64().unwrap() > 5, "{built}");
        assert!(
            !built.to_string().contains("hunter2hunter2") && !built.to_string().contains("/tmp/quaymaster"),
            "{built}"
        );
        let tags = rig.call("registry_list_tags", json!({"image": repository})).await.ok();
        assert_eq!(tags["tags"], json!(["1"]), "{link:?}: {tags}");
        let said =
            docker(link, &["run", "--rm", &tag, "sh", "-c", "cat /size /level; cd /context; find . -type f | sort"]);
        let expected = ["14", "level=7", "./.dockerignore", "./Dockerfile", "./a.txt"];
        assert_eq!(said.lines().map(str::trim).collect::<Vec<_>>(), expected, "{link:?}");
        let format = r#"{{index .Config.Labels "team"}}"#;
        assert_eq!(docker(link, &["image", "inspect", "--format", format, &tag]), "a");

        // The other image of it, by the registry's own account.
        let inspected = rig.call("buildx_imagetools_inspect", json!({"image": tag})).await.ok();
        assert_eq!(inspected["digest"], image["digest"], "{inspected}");
        let both = format!("{repository}:both");
        let create = |dry: bool| json!({"tags": [both], "sources": [tag], "dry_run": dry});
        let shown = rig.call("buildx_imagetools_create", create(true)).await.ok();
        assert_eq!(
            (&shown["platforms"][0]["platform"], &shown["dry_run"]),
            (&json!("linux/amd64"), &json!(true)),
            "{shown}"
        );
        let made = rig.call("buildx_imagetools_create", create(false)).await.ok();
        assert_eq!(made["platforms"][0]["digest"], image["digest"], "{made}");
        let inspected = rig.call("buildx_imagetools_inspect", json!({"image": both})).await.ok();
        assert_eq!(
            (&inspected["digest"], &inspected["platforms"]),
            (&made["digest"], &made["platforms"]),
            "{inspected}"
        );
        let missing = json!({"image": format!("{repository}:none")});
        assert_eq!(rig.call("buildx_imagetools_inspect", missing).await.kind(), "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_baked_together() {
    for link in LINKS {
        let directory =
            context(&[("app/Dockerfile", &format!("FROM {}\nARG WORD\nRUN echo $WORD > /word\n", lab("LAB_IMAGE")))]);
        let (rig, mut scrap) = (rig(link, directory.path()), Scrap::on(link));
        let (one, two) = (format!("{}:1", rig.name("one")), format!("{}:2", rig.name("two")));
        scrap.image(one.clone());
        scrap.image(two.clone());
        // Engine 20.10 builds from nothing but a context.
        let is_old = link == Link::Unix;
        let first = if is_old { lab("LAB_IMAGE") } else { "first".to_owned() };
        let contexts = if is_old { "" } else { "contexts = { first = \"target:one\" }" };
        let definition = format!(
            "variable \"V\" {{ default = \"1\" }}\ngroup \"default\" {{\n  targets = [\"one\", \"two\"]\n}}\n\
             target \"one\" {{\n  context = \"app\"\n  tags = [\"{}:${{V}}\"]\n  args = {{ WORD = \"$${{PLAIN}}\" }}\n}}\n\
             target \"two\" {{\n  inherits = [\"one\"]\n  tags = [\"{two}\"]\n  {contexts}\n  \
             dockerfile-inline = \"FROM {first}\\nRUN --mount=type=secret,id=t wc -c < /run/secrets/t > /size\\n\"\n  \
             secret = [\"id=t,src=secret://token\"]\n}}\n",
            rig.name("one")
        );
        let baked = rig.call("buildx_bake", json!({"definition": definition})).await.ok();
        let names: Vec<&Value> = baked["images"].as_array().unwrap().iter().map(|image| &image["target"]).collect();
        assert_eq!(names, ["one", "two"], "{link:?}: {baked}");
        assert_eq!(docker(link, &["run", "--rm", &one, "cat", "/word"]), "${PLAIN}", "{link:?}");
        assert_eq!(docker(link, &["run", "--rm", &two, "cat", "/size"]).trim(), "14", "{link:?}");
        if is_old {
            let contexts =
                definition.replace("dockerfile-inline", "contexts = { first = \"target:one\" }\n  dockerfile-inline");
            assert_eq!(rig.call("buildx_bake", json!({"definition": contexts})).await.kind(), "unsupported");
        } else {
            assert_eq!(docker(link, &["run", "--rm", &two, "cat", "/word"]), "${PLAIN}", "{link:?}");
        }
        let id = docker(link, &["image", "inspect", "--format", "{{.Id}}", &two]);
        assert_eq!(baked["images"][1]["id"], id.trim_start_matches("sha256:")[..12], "{baked}");

        // A file's paths begin where it lies, and it may be JSON.
        let file = json!({"target": {"one": {"context": ".", "tags": [one], "args": {"WORD": "again"}}}}).to_string();
        fs::write(directory.path().join("app/bake.json"), file).unwrap();
        rig.call("buildx_bake", json!({"file": "app/bake.json", "targets": ["one"]})).await.ok();
        assert_eq!(docker(link, &["run", "--rm", &one, "cat", "/word"]), "again", "{link:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leads_out_is_refused_before_anything_is_sent() {
    let link = Link::Tls;
    let (inside, outside) =
        (context(&[("Dockerfile", "FROM scratch\n")]), context(&[("Dockerfile", "FROM scratch\n")]));
    std::os::unix::fs::symlink(outside.path(), inside.path().join("away")).unwrap();
    fs::write(inside.path().join("compose.yml"), "services:\n  a: {build: .}\n").unwrap();
    let recorder = Recorder::before(&link.socket());
    let rig = rig_with(&recorder.spec(""), inside.path(), |_| {});
    let out = outside.path().display().to_string();
    for (tool, arguments, kind, words) in [
        ("buildx_build", json!({"context": out}), "denied", "context"),
        ("buildx_build", json!({"context": "away"}), "denied", "context"),
        ("buildx_build", json!({"context": ".", "dockerfile": "away/Dockerfile"}), "denied", "Dockerfile"),
        ("buildx_build", json!({"context": ".", "dockerfile": "../Dockerfile"}), "invalid", "dockerfile"),
        ("buildx_build", json!({"context": "https://example.com/x.git"}), "denied", "sources"),
        ("buildx_build", json!({"context": ".", "cache_to": ["type=local,dest=/etc"]}), "denied", "cache-to"),
        ("buildx_build", json!({"context": ".", "secrets": {"a": "/etc/shadow"}}), "invalid", "secret"),
        ("buildx_build", json!({"context": ".", "secrets": {"a": "secret://nobody"}}), "not_found", "nobody"),
        ("buildx_build", json!({"context": ".", "builder": "other"}), "not_found", "other"),
        ("buildx_build", json!({"context": ".", "push": true}), "invalid", "tags"),
        ("buildx_build", json!({}), "invalid", "context"),
        (
            "buildx_bake",
            json!({"definition": format!("target \"a\" {{\n context = \"{out}\"\n}}"), "targets": ["a"]}),
            "denied",
            "target \"a\"",
        ),
        (
            "buildx_bake",
            json!({"definition": "{\"target\": {\"a\": {\"ssh\": [\"default\"]}}}", "targets": ["a"]}),
            "denied",
            "\"ssh\"",
        ),
        (
            "buildx_bake",
            json!({"definition": "{\"target\": {\"a\": {\"output\": [\"type=local,dest=/tmp/x\"]}}}", "targets": ["a"]}),
            "denied",
            "\"output\"",
        ),
        (
            "buildx_bake",
            json!({"definition": "{\"target\": {\"a\": {\"secret\": [\"id=x,src=/etc/shadow\"]}}}", "targets": ["a"]}),
            "denied",
            "\"secret\"",
        ),
        (
            "buildx_bake",
            json!({"definition": "{\"target\": {\"a\": {\"contexts\": {\"x\": \".\"}}}}", "targets": ["a"]}),
            "denied",
            "\"contexts\"",
        ),
        ("buildx_bake", json!({"definition": "services:\n  a: {image: x}\n"}), "invalid", "compose"),
        ("buildx_bake", json!({"file": "compose.yml"}), "invalid", "compose"),
        ("buildx_bake", json!({"file": format!("{out}/bake.hcl")}), "denied", "file"),
        ("buildx_bake", json!({"definition": "{}", "targets": ["https://example.com/x.git"]}), "invalid", "target"),
        ("buildx_imagetools_inspect", json!({"image": "strange.example.com/x:1"}), "denied", "registries"),
        (
            "buildx_imagetools_create",
            json!({"tags": ["strange.example.com/x:1"], "sources": ["busybox"]}),
            "denied",
            "registries",
        ),
    ] {
        let error = rig.call(tool, arguments.clone()).await.error();
        assert_eq!(error["kind"], kind, "{tool} {arguments}: {error}");
        let said = format!("{} {}", error["message"], error["hint"]).replace("\\\"", "\"");
        assert!(said.contains(words), "{tool} {arguments}: {error}");
    }
    let sent = recorder.take();
    assert!(sent.iter().all(Recorded::looks), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_fails_says_why() {
    for link in LINKS {
        let directory = context(&[]);
        let rig = rig(link, directory.path());
        let content =
            format!("FROM {}\nRUN echo before\nRUN echo this is why hunter2hunter2; exit 7\n", lab("LAB_IMAGE"));
        let arguments = json!({"dockerfile_content": content, "no_cache": true, "build_args": {"A": "secret://token"}});
        let error = rig.call("buildx_build", arguments).await.error();
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("exit code: 7") && message.contains("this is why"), "{link:?}: {error}");
        assert!(!message.contains("hunter2hunter2") && !message.contains("/tmp/"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn builders_and_caches_are_listed() {
    for link in LINKS {
        let directory = context(&[]);
        let (rig, mut scrap) = (rig(link, directory.path()), Scrap::on(link));
        let tag = format!("{}:1", rig.name("cached"));
        scrap.image(tag.clone());
        let content = format!("FROM {}\nRUN echo {} > /x\n", lab("LAB_IMAGE"), rig.name("mark"));
        rig.call("buildx_build", json!({"dockerfile_content": content, "tags": [tag]})).await.ok();
        let listed = rig.call("buildx_ls", json!({})).await.ok();
        assert_eq!(listed["builders"].as_array().unwrap().len(), 1, "{listed}");
        let row = &listed["builders"][0];
        assert_eq!((&row["name"], &row["driver"], &row["used"]), (&json!("default"), &json!("docker"), &json!(true)));
        assert_eq!(row["nodes"][0]["status"], "running", "{link:?}: {listed}");
        let said = rig.call("buildx_inspect", json!({})).await.ok();
        assert!(said["lines"].to_string().contains("linux/amd64"), "{said}");
        let used = rig.call("buildx_du", json!({"limit": 500})).await.ok();
        let mark = rig.name("mark");
        let find = |used: &Value| {
            used["records"].as_array().unwrap().iter().any(|row| row["about"].to_string().contains(&mark))
        };
        assert!(find(&used) && used["total"].as_str().unwrap().ends_with('B'), "{link:?}: {used}");
        let only = rig.call("buildx_du", json!({"filter": ["type=exec.cachemount"]})).await.ok();
        assert!(!find(&only), "{only}");
        // Younger than that is all.
        let dry = rig.call("buildx_prune", json!({"filter": ["until=1000h"]})).await.ok();
        assert_eq!((&dry["dry_run"], &dry["size"]), (&json!(true), &json!("0B")), "{dry}");
        let pruned = rig.call("buildx_prune", json!({"filter": ["until=1000h"], "dry_run": false})).await.ok();
        assert_eq!((&pruned["records"], &pruned["size"]), (&json!(0), &json!("0B")), "{link:?}: {pruned}");
        assert!(find(&rig.call("buildx_du", json!({"limit": 500})).await.ok()));
        for (tool, arguments) in [("buildx_history_ls", json!({})), ("buildx_history_inspect", json!({"build": "x"}))] {
            let error = rig.call(tool, arguments).await.error();
            assert_eq!(error["kind"], "unsupported", "{error}");
            assert!(error["hint"].as_str().unwrap().contains("buildx 0.20"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_in_a_container_lives_in_our_state_and_under_the_rules() {
    for link in LINKS {
        let directory = context(&[]);
        let (rig, mut scrap) = (rig(link, directory.path()), Scrap::on(link));
        let name = rig.name("bob");
        scrap.container(format!("buildx_buildkit_{name}0"));
        // The image of BuildKit cannot be had here: the lab's own takes its place, up to the start of its program.
        let arguments = json!({"name": name, "image": lab("LAB_IMAGE"), "use": true});
        rig.call("buildx_create", arguments.clone()).await.ok();
        assert_eq!(rig.call("buildx_create", arguments).await.kind(), "conflict");
        let listed = rig.call("buildx_ls", json!({})).await.ok();
        let rows: Vec<_> = listed["builders"].as_array().unwrap().iter().filter(|row| row["used"] == true).collect();
        assert_eq!(
            (rows.len(), &rows[0]["name"], &rows[0]["driver"]),
            (1, &json!(name), &json!("docker-container")),
            "{listed}"
        );
        assert_eq!(rows[0]["nodes"][0]["status"], "inactive", "{link:?}: {listed}");
        let error = rig.call("buildx_inspect", json!({"bootstrap": true})).await.error();
        let containers = docker(
            link,
            &["ps", "--all", "--filter", &format!("name=buildx_buildkit_{name}0"), "--format", "{{.Image}}"],
        );
        assert_eq!(containers, lab("LAB_IMAGE"), "{link:?}: {error}");
        let format = "{{.HostConfig.Privileged}}";
        assert_eq!(
            docker(link, &["container", "inspect", "--format", format, &format!("buildx_buildkit_{name}0")]),
            "true"
        );
        rig.call("buildx_use", json!({"builder": "default"})).await.ok();
        let built =
            rig.call("buildx_build", json!({"dockerfile_content": format!("FROM {}\n", lab("LAB_IMAGE"))})).await.ok();
        assert_eq!(built["builder"], "default");
        docker(link, &["rmi", "--force", built["images"][0]["id"].as_str().unwrap_or_default()]).clear();
        rig.call("buildx_rm", json!({"builder": name})).await.ok();
        let left = docker(link, &["ps", "--all", "--quiet", "--filter", &format!("name=buildx_buildkit_{name}0")]);
        assert_eq!(left, "", "{link:?}");
        assert_eq!(
            docker(link, &["volume", "ls", "--quiet", "--filter", &format!("name=buildx_buildkit_{name}0")]),
            ""
        );
        assert_eq!(rig.call("buildx_rm", json!({"builder": "default"})).await.kind(), "invalid");
        assert_eq!(rig.call("buildx_rm", json!({"builder": name})).await.kind(), "not_found");

        // A privileged container needs more than a name.
        let guarded = rig_with(&format!("lab={}", link.endpoint()), directory.path(), |config| {
            config.hosts[0].limits.bodies = quaymaster::config::limits::Bodies::of(Profile::Guarded);
            config.hosts[0].limits.bodies.rules.insert(Rule::BuildChannel, Verdict::Allow);
        });
        let error = guarded.call("buildx_create", json!({"name": name, "bootstrap": true})).await.error();
        assert!(error["kind"] == "denied" && error["message"].as_str().unwrap().contains("privileged"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channel_is_asked_about_before_it_is_opened() {
    for link in [Link::Unix, Link::Tls] {
        let directory = context(&[]);
        let recorder = Recorder::before(&link.socket());
        let arguments = json!({"dockerfile_content": format!("FROM {}\n", lab("LAB_IMAGE"))});
        for (verdict, markers, kind) in [
            (Verdict::Deny, "", "denied"),
            (Verdict::Ask, "", "approval_needed"),
            (Verdict::Allow, "(ro)", "denied"),
            (Verdict::Allow, "(nd)", "denied"),
        ] {
            let rig = rig_with(&recorder.spec(markers), directory.path(), |config| {
                config.hosts[0].limits.bodies.rules.insert(Rule::BuildChannel, verdict);
            });
            for (tool, arguments) in [
                ("buildx_build", arguments.clone()),
                (
                    "buildx_bake",
                    json!({"definition": "{\"target\": {\"default\": {\"dockerfile-inline\": \"FROM scratch\"}}}"}),
                ),
                ("buildx_ls", json!({})),
                ("buildx_inspect", json!({})),
                ("buildx_du", json!({})),
                ("buildx_prune", json!({})),
                ("buildx_create", json!({"name": "other"})),
                ("buildx_use", json!({"builder": "default"})),
            ] {
                let error = rig.call(tool, arguments).await.error();
                assert_eq!(error["kind"], kind, "{link:?} {verdict:?} {markers} {tool}: {error}");
            }
            let sent = recorder.take();
            assert!(sent.iter().all(Recorded::looks), "{sent:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_that_is_taken_back_leaves_no_process() {
    for link in LINKS {
        let directory = context(&[]);
        let rig = rig(link, directory.path());
        let mark = rig.name("cancelled");
        let content = format!(
            "FROM {}\nRUN for each in 1 2 3 4 5 6 7 8; do echo {mark}; sleep 1; done; sleep 60\n",
            lab("LAB_IMAGE")
        );
        let Value::Object(arguments) =
            json!({"dockerfile_content": content, "tags": [format!("{mark}:1")], "no_cache": true})
        else {
            unreachable!()
        };
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let mut request = Request::new(rig.gateway.caller("test"), "buildx_build", arguments);
        request.progress = std::sync::Arc::new(move |progress| drop(tell.send(progress.message)));
        let (cancelled, gateway) = (request.cancelled.clone(), rig.gateway.clone());
        let call = tokio::spawn(async move { gateway.call(request).await });
        let step = async { while !told.recv().await.expect("progress").contains("RUN for") {} };
        tokio::time::timeout(Duration::from_secs(30), step).await.expect("the step begins");
        let home = builds();
        assert!(!home.is_empty(), "no build runs");
        cancelled.cancel();
        let Err(Failure::Tool(error)) = call.await.unwrap() else { panic!("it went on") };
        assert_eq!(error.kind().as_str(), "cancelled");
        let started = Instant::now();
        while builds().iter().any(|line| home.contains(line)) {
            assert!(started.elapsed() < Duration::from_secs(8), "{link:?}: {:?}", builds());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let steps = docker(link, &["ps", "--quiet", "--filter", "ancestor=nothing"]);
        assert_eq!(steps, "");
    }
}

/// The processes that bake for this test's gateway: they inherited the directory of its state.
fn builds() -> Vec<String> {
    let own = std::process::id().to_string();
    let output = Command::new("ps").args(["-eo", "pid,args"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_own = |line: &&str| {
        let id = line.split_whitespace().next().unwrap_or_default();
        let variables = fs::read_to_string(format!("/proc/{id}/environ")).unwrap_or_default();
        variables.contains(&format!("state-{own}-"))
    };
    text.lines().filter(|line| line.contains("bake --builder")).filter(is_own).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_plugin_is_missing_it_is_said_what_to_install() {
    let directory = tempfile::tempdir().unwrap();
    let mut environment = environment();
    environment.variables.insert("QUAYMASTER_CLI_PLUGINS".into(), directory.path().display().to_string());
    let rig = Rig::among(environment, &[format!("lab={}", Link::Tls.endpoint())]);
    let error = rig.call("buildx_ls", json!({})).await.error();
    assert_eq!(error["kind"], "unsupported", "{error}");
    assert!(error["hint"].as_str().unwrap().contains("docker-buildx-plugin"), "{error}");
}
