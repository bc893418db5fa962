//! Stacks out of compose files, deployed to a real swarm, updated and removed.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use quaymaster::{
    config::{
        Config,
        limits::{Bodies, Profile},
    },
    gateway::Gateway,
};
use serde_json::{Value, json};

use super::rig::{Swarm, call};
use crate::{
    faults::own_engine::Release,
    rig::{Reply, lab},
};

/// The gateway's machine: a root with the stack's files, and gateways of several minds.
struct Yard {
    swarm: Swarm,
    root: tempfile::TempDir,
}

impl Yard {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("work")).unwrap();
        fs::write(root.path().join("outside.txt"), "hunter2").unwrap();
        Self { swarm: Swarm::together(Release::Old), root }
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.work().join(name), text.replace("IMAGE", &lab("LAB_IMAGE"))).unwrap();
    }

    /// A gateway with the root, with markers, and rules for bodies where it is a careful one.
    fn gateway(&self, markers: &str, is_careful: bool) -> Arc<Gateway> {
        let roots = vec![self.work()];
        self.swarm.marked(markers, move |config: &mut Config| {
            config.files.roots = Some(roots);
            if is_careful {
                config.hosts.iter_mut().for_each(|host| host.limits.bodies = Bodies::of(Profile::Guarded));
            }
        })
    }

    async fn deploy(&self, gateway: &Arc<Gateway>, prune: bool) -> Reply {
        let arguments = json!({"stack": "shop", "files": [self.work().join("stack.yaml")], "prune": prune});
        call(gateway, "first", "stack_deploy", arguments).await
    }

    /// What of the stack there is, by the engine's own lists.
    fn names(&self, what: &str) -> Vec<String> {
        let filter = "label=com.docker.stack.namespace=shop";
        let text = self.swarm.first.docker(&[what, "ls", "--format", "{{.Name}}", "--filter", filter]);
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
}

const WHOLE: &str = "version: '3.8'
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stack_is_deployed_updated_and_removed() {
    let yard = Yard::new();
    let gateway = yard.gateway("", false);
    for (name, text) in
        [("stack.yaml", WHOLE), ("web.env", "FROM_FILE=yes\n"), ("page.txt", "welcome $WORD\n"), ("key.txt", "hunter3")]
    {
        yard.write(name, text);
    }
    let deployed = yard.deploy(&gateway, false).await.ok();
    assert_eq!(deployed["services"], json!(["db", "web"]), "{deployed}");
    assert_eq!(yard.names("service"), ["shop_db", "shop_web"]);
    assert_eq!(
        (yard.names("config"), yard.names("secret")),
        (vec!["shop_page".to_owned()], vec!["shop_key".to_owned()])
    );
    let wanted = |answer: &Value| {
        answer["services"].as_array().unwrap().iter().any(|row| row["name"] == "shop_web" && row["replicas"] == "2/2")
    };
    yard.swarm.until("first", "stack_services", json!({"stack": "shop"}), wanted).await;
    // What was filled in once is not filled in again.
    let variables = "{{json .Spec.TaskTemplate.ContainerSpec.Env}}";
    let spec = yard.swarm.first.docker(&["service", "inspect", "--format", variables, "shop_web"]);
    assert!(spec.contains("PRICE=5$\"") && spec.contains("FROM_FILE=yes"), "{spec}");
    let told = yard.swarm.first.docker(&["config", "inspect", "--pretty", "shop_page"]);
    assert!(told.contains("welcome $WORD"), "{told}");

    // Without the database; it goes only where that is asked for.
    let less = WHOLE.replace("  db:\n    image: IMAGE\n    command: [sleep, '600']\n", "");
    yard.write("stack.yaml", &less.replace("replicas: 2", "replicas: 1"));
    yard.deploy(&gateway, false).await.ok();
    assert_eq!(yard.names("service"), ["shop_db", "shop_web"]);
    assert_eq!(yard.deploy(&yard.gateway("(nd)", false), true).await.kind(), "denied");
    yard.deploy(&gateway, true).await.ok();
    assert_eq!(yard.names("service"), ["shop_web"]);
    let reading = yard.gateway("(ro)", false);
    assert_eq!(yard.deploy(&reading, false).await.kind(), "denied");
    assert_eq!(call(&reading, "first", "stack_rm", json!({"stack": "shop"})).await.kind(), "denied");

    let removed = call(&gateway, "first", "stack_rm", json!({"stack": "shop"})).await.ok();
    assert_eq!(removed["services"], json!(["shop_web"]), "{removed}");
    assert_eq!((yard.names("service"), yard.names("secret")), (vec![], vec![]));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stack_asks_for_and_reads_is_checked_before() {
    let yard = Yard::new();
    let careful = yard.gateway("", true);
    for (what, service) in [
        ("the engine's socket", "volumes: ['/var/run/docker.sock:/s']"),
        ("the machine", "volumes: ['/:/host']"),
        ("a volume that is a bind", "volumes: ['disguised:/host']"),
    ] {
        let disguised = "disguised: {driver_opts: {type: none, o: bind, device: /}}";
        let service = format!("services:\n  web:\n    image: IMAGE\n    {service}\n");
        yard.write("stack.yaml", &format!("version: '3.8'\n{service}volumes:\n  {disguised}\n"));
        let kind = yard.deploy(&careful, false).await.kind();
        assert!(["denied", "approval_needed"].contains(&kind.as_str()), "{what}: {kind}");
    }
    let gateway = yard.gateway("", false);
    for (what, text) in [
        ("a config", "configs: {c: {file: ../outside.txt}}\nservices: {web: {image: x, configs: [c]}}\n"),
        ("a secret", "secrets: {c: {file: ../outside.txt}}\nservices: {web: {image: x, secrets: [c]}}\n"),
        ("variables", "services: {web: {image: x, env_file: ../outside.txt}}\n"),
    ] {
        yard.write("stack.yaml", &format!("version: '3.8'\n{text}"));
        let error = yard.deploy(&gateway, false).await.error();
        assert_eq!(error["kind"], "denied", "{what}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{what}: {error}");
    }
    assert_eq!(yard.names("service"), Vec::<String>::new());
}
