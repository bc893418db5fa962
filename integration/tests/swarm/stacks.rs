//! Stacks out of compose files, deployed to a real swarm, updated and removed.

use std::{fs, time::Duration};

use quaymaster::config::{
    Config,
    limits::{Bodies, Profile},
};
use serde_json::{Value, json};

use super::rig::{Swarm, call};
use crate::{faults::own_engine::Release, rig::lab};

fn names(swarm: &Swarm, what: &[&str]) -> Vec<String> {
    let text = swarm.first.docker(&[what, &["--filter", "label=com.docker.stack.namespace=shop"]].concat());
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn services(swarm: &Swarm) -> Vec<String> {
    names(swarm, &["service", "ls", "--format", "{{.Name}}"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_is_deployed_updated_and_removed() {
    let swarm = Swarm::together(Release::Old);
    let root = tempfile::tempdir().unwrap();
    let roots = vec![root.path().join("work")];
    fs::create_dir(&roots[0]).unwrap();
    fs::write(root.path().join("outside.txt"), "hunter2").unwrap();
    let write = |name: &str, text: &str| {
        fs::write(roots[0].join(name), text.replace("IMAGE", &lab("LAB_IMAGE"))).unwrap();
    };
    let rooted = |markers: &str, guarded: bool| {
        let roots = roots.clone();
        swarm.marked(markers, move |config: &mut Config| {
            config.files.roots = Some(roots);
            if guarded {
                config.hosts.iter_mut().for_each(|host| host.limits.bodies = Bodies::of(Profile::Guarded));
            }
        })
    };
    let gateway = rooted("", false);
    let stack = |more: Value| {
        let mut arguments = json!({"stack": "shop", "files": [roots[0].join("stack.yaml")]});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        arguments
    };
    let whole = "version: '3.8'
services:
  web:
    image: IMAGE
    command: [sh, -c, 'cat /page; trap exit TERM; while sleep 0.2; do :; done']
    environment: {PRICE: '5$$', WORD: well}
    env_file: web.env
    configs: [{source: page, target: /page}]
    secrets: [key]
    deploy: {replicas: 2}
  db:
    image: IMAGE
    command: [sleep, '600']
configs: {page: {file: ./page.txt}}
secrets: {key: {file: ./key.txt}}
";
    write("stack.yaml", whole);
    write("web.env", "FROM_FILE=yes\n");
    write("page.txt", "welcome $WORD\n");
    write("key.txt", "hunter3");
    let deployed = call(&gateway, "first", "stack_deploy", stack(json!({}))).await.ok();
    assert_eq!(deployed["services"], json!(["db", "web"]), "{deployed}");
    assert_eq!(services(&swarm), ["shop_db", "shop_web"]);
    assert_eq!(names(&swarm, &["config", "ls", "--format", "{{.Name}}"]), ["shop_page"]);
    assert_eq!(names(&swarm, &["secret", "ls", "--format", "{{.Name}}"]), ["shop_key"]);
    let wanted = |answer: &Value| {
        answer["services"].as_array().unwrap().iter().any(|row| row["name"] == "shop_web" && row["replicas"] == "2/2")
    };
    swarm.until("first", "stack_services", json!({"stack": "shop"}), wanted).await;
    // What was filled in once is not filled in again.
    let spec = swarm.first.docker(&[
        "service",
        "inspect",
        "--format",
        "{{json .Spec.TaskTemplate.ContainerSpec.Env}}",
        "shop_web",
    ]);
    assert!(spec.contains("PRICE=5$\"") && spec.contains("FROM_FILE=yes"), "{spec}");
    let told = swarm.first.docker(&["config", "inspect", "--pretty", "shop_page"]);
    assert!(told.contains("welcome $WORD"), "{told}");

    // Without the database; it goes only where that is asked for.
    let less = whole
        .replace("  db:\n    image: IMAGE\n    command: [sleep, '600']\n", "")
        .replace("replicas: 2", "replicas: 1");
    write("stack.yaml", &less);
    call(&gateway, "first", "stack_deploy", stack(json!({}))).await.ok();
    assert_eq!(services(&swarm), ["shop_db", "shop_web"]);
    let pruned = rooted("(nd)", false);
    assert_eq!(call(&pruned, "first", "stack_deploy", stack(json!({"prune": true}))).await.kind(), "denied");
    call(&gateway, "first", "stack_deploy", stack(json!({"prune": true}))).await.ok();
    assert_eq!(services(&swarm), ["shop_web"]);

    // Limits of a host, rules for bodies, files outside.
    let reading = rooted("(ro)", false);
    for tool in ["stack_deploy", "stack_rm"] {
        let arguments = if tool == "stack_rm" { json!({"stack": "shop"}) } else { stack(json!({})) };
        assert_eq!(call(&reading, "first", tool, arguments).await.kind(), "denied", "{tool}");
    }
    let strict = rooted("", true);
    for (what, service) in [
        ("the engine's socket", "volumes: ['/var/run/docker.sock:/s']"),
        ("the machine", "volumes: ['/:/host']"),
        ("a volume that is a bind", "volumes: ['disguised:/host']"),
    ] {
        write(
            "stack.yaml",
            &format!(
                "version: '3.8'\nservices:\n  web:\n    image: IMAGE\n    {service}\nvolumes:\n  disguised: {{driver_opts: \
                 {{type: none, o: bind, device: /}}}}\n"
            ),
        );
        let kind = call(&strict, "first", "stack_deploy", stack(json!({}))).await.kind();
        assert!(["denied", "approval_needed"].contains(&kind.as_str()), "{what}: {kind}");
    }
    for (what, text) in [
        ("a config", "configs: {c: {file: ../outside.txt}}\nservices: {web: {image: x, configs: [c]}}\n"),
        ("a secret", "secrets: {c: {file: ../outside.txt}}\nservices: {web: {image: x, secrets: [c]}}\n"),
        ("variables", "services: {web: {image: x, env_file: ../outside.txt}}\n"),
    ] {
        write("stack.yaml", &format!("version: '3.8'\n{text}"));
        let error = call(&gateway, "first", "stack_deploy", stack(json!({}))).await.error();
        assert_eq!(error["kind"], "denied", "{what}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{what}: {error}");
    }
    assert_eq!(services(&swarm), ["shop_web"]);

    let removed = call(&gateway, "first", "stack_rm", json!({"stack": "shop"})).await.ok();
    assert_eq!(removed["services"], json!(["shop_web"]), "{removed}");
    assert_eq!(services(&swarm), Vec::<String>::new());
    assert_eq!(names(&swarm, &["secret", "ls", "--format", "{{.Name}}"]), Vec::<String>::new());
    // Its network goes with the last task.
    let mut kind = String::new();
    for _ in 0..60 {
        let again = call(&gateway, "first", "stack_rm", json!({"stack": "shop"})).await;
        kind = if again.is_error() { again.kind() } else { String::new() };
        if kind == "not_found" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(kind, "not_found");
}
