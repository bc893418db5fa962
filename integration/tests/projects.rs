//! Compose projects out of files, through the gateway and the real plugin, over every link.

use std::{fs, path::PathBuf, time::Duration};

use quaymaster::{
    config::{
        Config,
        limits::{Bodies, Confirm, Profile, Rule, Verdict},
    },
    gateway::{Request, confirm::tickets::Tickets},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::docker,
    recorder::{Recorded, Recorder},
    rig::{LINKS, Link, Reply, Rig, environment, gateway_in, lab, open},
};

const PROJECT: &str = "com.docker.compose.project";

/// A directory with a project of a name of its own, and a gateway that knows the docker CLI.
struct Yard {
    root: TempDir,
    rig: Rig,
    link: Link,
    project: String,
}

impl Yard {
    fn on(link: Link) -> Self {
        Self::set(link, &format!("lab={}", link.endpoint()), open)
    }

    fn set(link: Link, spec: &str, set: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let roots = vec![root.path().join("work")];
        fs::create_dir(&roots[0]).unwrap();
        let gateway = gateway_in(environment(), &[spec.to_owned()], move |config| {
            set(config);
            config.files.roots = Some(roots);
        });
        let rig = Rig::of(gateway);
        let project = rig.name("p");
        Self { root, rig, link, project }
    }

    /// Another gateway's yard for the same project.
    fn beside(&self, spec: &str, set: impl FnOnce(&mut Config)) -> Self {
        let mut yard = Self::set(self.link, spec, set);
        yard.project.clone_from(&self.project);
        for entry in fs::read_dir(self.work()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), yard.work().join(entry.file_name())).unwrap();
            }
        }
        yard
    }

    fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.work().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content.replace("IMAGE", &lab("LAB_IMAGE"))).unwrap();
    }

    /// Three services with a network of their own, a volume, a health check, and files beside.
    fn three(&self) {
        self.write(
            "compose.yaml",
            "services:
  db:
    image: IMAGE
    command: [sh, -c, 'echo ready > /data/ready; trap exit TERM; while sleep 0.2; do :; done']
    volumes: ['data:/data']
    networks: [back]
    healthcheck: {test: [CMD, cat, /data/ready], interval: 1s, retries: 20}
  api:
    extends: {file: parts/base.yaml, service: base}
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
  web:
    image: IMAGE
    command: [sh, -c, 'echo web says $$GREETING; trap exit TERM; while sleep 0.2; do :; done']
    environment: {GREETING: \"${WORD:-hello}\"}
    env_file: [web.env, {path: missing.env, required: false}]
    networks: [back]
    depends_on: [api]
networks: {back: {}}
volumes: {data: {}}
",
        );
        self.write("web.env", "FROM_FILE=yes\n");
        self.write(
            "parts/base.yaml",
            "services:
  base:
    image: IMAGE
    env_file: base.env
    command: [sh, -c, 'echo api started; trap exit TERM; while sleep 0.2; do :; done']
",
        );
        self.write("parts/base.env", "BASE=yes\n");
    }

    async fn call(&self, tool: &str, more: Value) -> Reply {
        let mut arguments = json!({"host": "lab", "project": self.project});
        if tool != "compose_down" && more.get("yaml").is_none() {
            arguments["directory"] = json!(self.work());
        }
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        self.rig.call(tool, arguments).await
    }

    fn listed(&self, what: &[&str]) -> Vec<String> {
        let label = format!("label={PROJECT}={}", self.project);
        let text = docker(self.link, &[what, &["--filter", &label]].concat());
        text.lines().map(str::to_owned).collect()
    }

    /// Containers, networks and volumes of the project.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |what: &[&str]| self.listed(what).len();
        (count(&["ps", "-aq"]), count(&["network", "ls", "-q"]), count(&["volume", "ls", "-q"]))
    }

    fn id_of(&self, service: &str) -> String {
        docker(self.link, &["inspect", "-f", "{{.Id}}", &format!("{}-{service}-1", self.project)])
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        for id in self.listed(&["ps", "-aq"]) {
            docker(self.link, &["rm", "-fv", &id]);
        }
        for id in self.listed(&["network", "ls", "-q"]) {
            docker(self.link, &["network", "rm", &id]);
        }
        for id in self.listed(&["volume", "ls", "-q"]) {
            docker(self.link, &["volume", "rm", &id]);
        }
    }
}

#[track_caller]
fn changes(answer: &Value) -> Vec<String> {
    let steps = answer["changes"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let text = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
    let mut changes: Vec<String> =
        steps.iter().map(|step| format!("{} {}", text(step, "change"), text(step, "what"))).collect();
    changes.sort();
    changes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_comes_up_and_goes_down() {
    for link in LINKS {
        let yard = Yard::on(link);
        let p = &yard.project;
        yard.three();
        let config = yard.call("compose_config", json!({})).await.ok();
        let variables = &config["services"]["web"]["environment"];
        assert!(variables["FROM_FILE"].as_str().unwrap().contains("<redacted"), "{config}");
        assert!(config["services"]["api"]["environment"].get("BASE").is_some(), "{config}");
        // The rehearsal says what would be, and does nothing.
        let dry = yard.call("compose_up", json!({"dry_run": true})).await.ok();
        let made = ["api", "db", "web"].map(|service| format!("create container {p}-{service}-1"));
        let mut wanted = made.to_vec();
        wanted.extend([format!("create network {p}_back"), format!("create volume {p}_data")]);
        assert_eq!(changes(&dry), wanted, "{link:?}");
        assert_eq!(yard.counts(), (0, 0, 0), "{link:?}");
        let up = yard.call("compose_up", json!({"wait": true})).await.ok();
        assert_eq!(changes(&up), wanted, "{link:?}");
        assert_eq!((up["containers"].as_array().unwrap().len(), yard.counts()), (3, (3, 1, 1)), "{link:?}");
        let log = docker(link, &["logs", &format!("{p}-web-1")]);
        assert!(log.contains("web says hello"), "{log}");
        // What has not changed stays.
        let again = yard.call("compose_up", json!({})).await.ok();
        assert_eq!(changes(&again), Vec::<String>::new(), "{link:?}");
        let (web, api) = (yard.id_of("web"), yard.id_of("api"));
        yard.write("web.env", "FROM_FILE=other\n");
        let dry = yard.call("compose_up", json!({"dry_run": true})).await.ok();
        assert_eq!(changes(&dry), [format!("recreate container {p}-web-1")], "{link:?}");
        let up = yard.call("compose_up", json!({"scale": {"api": 2}})).await.ok();
        assert_eq!(changes(&up), [format!("create container {p}-api-2"), format!("recreate container {p}-web-1")]);
        assert!(web != yard.id_of("web") && api == yard.id_of("api"), "{link:?}");
        let down = yard.call("compose_down", json!({"grace": 5})).await.ok();
        assert_eq!(changes(&down).len(), 5, "{down}");
        assert_eq!(yard.counts(), (0, 0, 1), "{link:?}");
        yard.call("compose_up", json!({"services": ["db"]})).await.ok();
        yard.call("compose_down", json!({"grace": 5, "volumes": true})).await.ok();
        assert_eq!(yard.counts(), (0, 0, 0), "{link:?}");
        let gone = yard.call("compose_down", json!({})).await.error();
        assert_eq!(gone["kind"], "not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inline_yaml_needs_no_directory_and_gets_none() {
    let yard = Yard::on(Link::Unix);
    let yaml = format!("services: {{web: {{image: {}, command: [sleep, '60'], init: true}}}}", lab("LAB_IMAGE"));
    let up = yard.call("compose_up", json!({"yaml": yaml})).await.ok();
    assert_eq!(changes(&up).len(), 2, "{up}");
    yard.call("compose_down", json!({"grace": 1})).await.ok();
    for (yaml, kind) in [
        ("services: {web: {image: x, env_file: web.env}}", "invalid"),
        ("services: {web: {image: x, volumes: ['./data:/data']}}", "invalid"),
        ("services: {web: {build: .}}", "invalid"),
        ("configs: {c: {file: ./x}}\nservices: {web: {image: x, configs: [c]}}", "invalid"),
        ("services: {web: {image: x}, web: {image: y}}", "invalid"),
        ("services: {web: {image: x}}\nmodels: {m: {model: y}}", "denied"),
        // The CLI would take the name for an option.
        ("services: {--remove-orphans: {image: x}}", "invalid"),
    ] {
        let error = yard.call("compose_up", json!({"yaml": yaml})).await.error();
        assert_eq!(error["kind"], kind, "{yaml}: {error}");
    }
    // What stands in the gateway's environment is nobody's value.
    let yaml = "services: {web: {image: \"x:${HOME}\", labels: {a: \"${PATH:-none}\"}}}";
    let error = yard.call("compose_config", json!({"yaml": yaml})).await.error();
    assert!(error["message"].as_str().unwrap().contains("the gateway's own"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_outside_the_roots_are_refused() {
    let yard = Yard::on(Link::Unix);
    fs::write(yard.root.path().join("outside.env"), "TOKEN=hunter2\n").unwrap();
    fs::write(yard.root.path().join("outside.yaml"), "services: {x: {image: y}}\n").unwrap();
    std::os::unix::fs::symlink(yard.root.path().join("outside.env"), yard.work().join("link.env")).unwrap();
    fs::create_dir(yard.root.path().join("context")).unwrap();
    std::os::unix::fs::symlink(yard.root.path().join("context"), yard.work().join("link$out")).unwrap();
    let outside = yard.root.path().join("outside.env").display().to_string();
    for (what, service) in [
        ("a file above", "env_file: ../outside.env".to_owned()),
        ("a whole path", format!("env_file: {outside}")),
        ("a link", "env_file: link.env".to_owned()),
        ("one that may be missing", "env_file: [{path: ../outside.env, required: false}]".to_owned()),
        ("a variable", "env_file: \"${X:-../outside.env}\"".to_owned()),
        ("an anchor", "x-a: &a {env_file: ../outside.env}\n    <<: *a".to_owned()),
        ("a base", "extends: {file: ../outside.yaml, service: x}".to_owned()),
        ("a context", "build: ../context".to_owned()),
        ("a link with a dollar sign", "build: link$$out".to_owned()),
        ("a Dockerfile", "build: {context: ., dockerfile: ../outside.env}".to_owned()),
        ("another context", "build: {context: ., additional_contexts: {o: ../context}}".to_owned()),
        ("a context that is fetched", "build: https://example.com/x.git".to_owned()),
        ("keys", "build: {context: ., ssh: [default]}".to_owned()),
    ] {
        yard.write("compose.yaml", &format!("services:\n  web:\n    image: x\n    {service}\n"));
        for tool in ["compose_config", "compose_up"] {
            let error = yard.call(tool, json!({})).await.error();
            assert_eq!(error["kind"], "denied", "{what}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{what}: {error}");
        }
    }
    for (what, file) in [
        ("an include", "include: [../outside.yaml]\nservices: {web: {image: x}}\n".to_owned()),
        ("its variables", "include: [{path: own.yaml, env_file: ../outside.env}]\n".to_owned()),
        ("a secret", "secrets: {s: {file: ../outside.env}}\nservices: {web: {image: x, secrets: [s]}}\n".to_owned()),
        ("a config", format!("configs: {{c: {{file: {outside}}}}}\nservices: {{web: {{image: x, configs: [c]}}}}\n")),
    ] {
        yard.write("own.yaml", "services: {own: {image: x}}\n");
        yard.write("compose.yaml", &file);
        let error = yard.call("compose_config", json!({})).await.error();
        assert_eq!(error["kind"], "denied", "{what}: {error}");
    }
    // A file of variables that compose would read by itself has a name under which secrets are kept.
    yard.write("compose.yaml", "services: {web: {image: x}}\n");
    yard.write(".env", "WORD=x\n");
    let error = yard.call("compose_config", json!({})).await.error();
    assert!(error["hint"].as_str().unwrap().contains("allow"), "{error}");
    let error = yard.call("compose_config", json!({"directory": yard.root.path()})).await.error();
    assert_eq!(error["kind"], "denied", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rules_of_a_host_are_asked_once_and_before() {
    for link in [Link::Unix, Link::Tls] {
        let recorder = Recorder::before(&link.socket());
        let guarded = |config: &mut Config| {
            for host in &mut config.hosts {
                host.limits.confirm = Confirm::Never;
                host.limits.bodies = Bodies::of(Profile::Guarded);
            }
        };
        let yard = Yard::set(link, &recorder.spec(""), guarded);
        for (what, service) in [
            ("privileged", "privileged: true"),
            ("the engine's socket", "volumes: ['/var/run/docker.sock:/s']"),
            ("the machine", "volumes: ['/:/host']"),
            ("a volume that is a bind", "volumes: ['disguised:/host']"),
            ("its processes", "pid: host"),
        ] {
            yard.write(
                "compose.yaml",
                &format!(
                    "services:\n  web:\n    image: IMAGE\n    command: [sleep, '60']\n    {service}\nvolumes:\n  \
                     disguised: {{driver_opts: {{type: none, o: bind, device: /}}}}\n"
                ),
            );
            let error = yard.call("compose_up", json!({})).await.error();
            assert!(["denied", "approval_needed"].contains(&error["kind"].as_str().unwrap()), "{what}: {error}");
            let sent = recorder.take();
            assert!(sent.iter().all(Recorded::looks), "{what}: {sent:?}");
            assert_eq!(yard.counts(), (0, 0, 0), "{what}");
        }
        // What no rule is about comes up.
        yard.three();
        yard.call("compose_up", json!({})).await.ok();
        assert_eq!(yard.counts(), (3, 1, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_services_share_is_asked_about_where_it_was_there_before() {
    for link in [Link::Unix, Link::Tls] {
        let state = tempfile::tempdir().unwrap();
        let place = state.path().to_owned();
        let yard = Yard::set(link, &format!("lab={}", link.endpoint()), move |config| {
            open(config);
            config.state = Some(place);
            for rule in [Rule::ContainerNamespace, Rule::VolumesFrom] {
                config.hosts[0].limits.bodies.rules.insert(rule, Verdict::Ask);
            }
        });
        let write = |seconds: u32| {
            yard.write(
                "compose.yaml",
                &format!(
                    "services:\n  net:\n    image: IMAGE\n    command: [sleep, '600']\n    volumes: [data:/data]\n  \
                     side:\n    image: IMAGE\n    command: [sleep, '{seconds}']\n    network_mode: service:net\n    \
                     volumes_from: [net]\nvolumes: {{data: {{}}}}\n"
                ),
            );
        };
        // The call itself makes both.
        write(600);
        yard.call("compose_up", json!({})).await.ok();
        // One comes anew beside one that is there: whose that is, the call does not know.
        write(700);
        let error = yard.call("compose_up", json!({})).await.error();
        assert_eq!(error["kind"], "approval_needed", "{link:?}: {error}");
        let tickets = Tickets::new(state.path().to_owned());
        let waiting = tickets.waiting().unwrap();
        assert_eq!(waiting.len(), 1, "{link:?}");
        let other = yard.id_of("net");
        let asked = format!("{:?}", waiting[0].sheet);
        assert!(asked.contains("a namespace of container") && asked.contains(&other[..40]), "{asked}");
        tickets.approve(&waiting[0], None).unwrap();
        yard.call("compose_up", json!({})).await.ok();
        let side = format!("{}-side-1", yard.project);
        let made = docker(link, &["inspect", "-f", "{{.HostConfig.NetworkMode}} {{.Args}}", &side]);
        assert_eq!(made, format!("container:{other} [700]"), "{link:?}");
        yard.call("compose_down", json!({"volumes": true})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_a_host_hold_for_projects() {
    for link in [Link::Unix, Link::Tls] {
        let yard = Yard::on(link);
        yard.three();
        yard.call("compose_up", json!({})).await.ok();
        yard.write("web.env", "FROM_FILE=changed\n");
        let before = yard.id_of("web");
        let recorder = Recorder::before(&link.socket());
        let ro = yard.beside(&recorder.spec("(ro)"), open);
        yard_parts(&ro);
        for (tool, arguments) in [
            ("compose_up", json!({})),
            ("compose_up", json!({"force_recreate": true})),
            ("compose_down", json!({})),
            ("compose_down", json!({"volumes": true})),
            ("compose_pull", json!({})),
            ("compose_build", json!({})),
        ] {
            assert_eq!(ro.call(tool, arguments).await.error()["kind"], "denied", "{tool}");
        }
        let dry = ro.call("compose_up", json!({"dry_run": true})).await.ok();
        assert_eq!(changes(&dry), [format!("recreate container {}-web-1", yard.project)]);
        let sent = recorder.take();
        assert!(sent.len() > 5 && sent.iter().all(Recorded::looks), "{sent:?}");
        // Nothing goes where nothing is destroyed: what is there stays as it is.
        let nd = yard.beside(&recorder.spec("(nd)"), open);
        yard_parts(&nd);
        nd.call("compose_up", json!({"force_recreate": true, "scale": {"api": 2}})).await.ok();
        assert_eq!((yard.id_of("web"), yard.counts()), (before, (4, 1, 1)));
        assert_eq!(nd.call("compose_down", json!({})).await.error()["kind"], "denied");
        let sent = recorder.take();
        assert!(sent.iter().any(|request| !request.looks()), "{sent:?}");
        assert!(!sent.iter().any(Recorded::destroys), "{sent:?}");
    }
}

/// What lies in a directory of the project.
fn yard_parts(yard: &Yard) {
    let changed = fs::read_to_string(yard.work().join("web.env")).unwrap();
    yard.three();
    yard.write("web.env", &changed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn images_are_built_and_pulled() {
    for link in LINKS {
        let yard = Yard::on(link);
        yard.write("ctx/Dockerfile", "FROM IMAGE\nARG WORD\nRUN echo built $WORD > /word\nCMD [\"cat\", \"/word\"]\n");
        let image = format!("{}/built:1", yard.project);
        yard.write(
            "compose.yaml",
            &format!("services:\n  web:\n    image: {image}\n    build: {{context: ctx, args: {{WORD: well}}}}\n"),
        );
        let built = yard.call("compose_build", json!({})).await.ok();
        assert_eq!(built["services"], json!(["web"]), "{built}");
        assert_eq!(docker(link, &["run", "--rm", &image]), "built well", "{link:?}");
        // With BuildKit too, where it is let through: a step that the classic builder does not know.
        yard.write(
            "ctx/Dockerfile",
            "FROM IMAGE\nARG WORD\nRUN --mount=type=cache,target=/c echo kit $WORD > /word\nCMD [\"cat\", \"/word\"]\n",
        );
        if link != Link::Unix {
            yard.call("compose_build", json!({"buildkit": true})).await.ok();
            assert_eq!(docker(link, &["run", "--rm", &image]), "kit well", "{link:?}");
        }
        yard.write("ctx/Dockerfile", "FROM IMAGE\nCMD [\"true\"]\n");
        let up = yard.call("compose_up", json!({"build": true})).await.ok();
        assert!(changes(&up).contains(&format!("create container {}-web-1", yard.project)), "{up}");
        // A registry that nobody is: the error says whom it asked for.
        yard.write("compose.yaml", "services: {web: {image: '127.0.0.1:9/none/there:1'}}\n");
        let error = yard.call("compose_pull", json!({})).await.error();
        assert_eq!(error["kind"], "docker", "{error}");
        yard.call("compose_down", json!({})).await.ok();
        docker(link, &["rmi", "-f", &image]);
    }
}

/// What has a name of secrets does not leave the machine, whoever packs the context.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_beside_a_dockerfile_stay_here() {
    for link in LINKS {
        for kit in [false, true] {
            if kit && link == Link::Unix {
                continue;
            }
            let yard = Yard::on(link);
            let image = format!("{}/sent:1", yard.project);
            yard.write("ctx/Dockerfile", "FROM IMAGE\nCOPY . /sent\n");
            for name in ["kept", "ignored", ".env", "deep/server.key", ".git/config"] {
                yard.write(&format!("ctx/{name}"), "x");
            }
            yard.write("ctx/.dockerignore", "ignored\n!.env\n");
            for inline in ["", ", dockerfile_inline: \"FROM IMAGE\\nARG A=$$X\\nCOPY . /sent\\n\""] {
                yard.write(
                    "compose.yaml",
                    &format!("services:\n  web:\n    image: {image}\n    build: {{context: ctx{inline}}}\n"),
                );
                let built = yard.call("compose_build", json!({"buildkit": kit})).await.ok();
                let found = docker(link, &["run", "--rm", &image, "find", "/sent", "-type", "f"]);
                let mut found: Vec<&str> = found.lines().collect();
                found.sort_unstable();
                let expected = ["/sent/.dockerignore", "/sent/Dockerfile", "/sent/kept"];
                assert_eq!(found, expected, "{link:?}, {kit}, {inline}");
                assert_eq!(built.to_string().contains("3 files with a name of secrets"), !kit, "{built}");
                docker(link, &["rmi", "-f", &image]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_once_in_a_container_of_its_own() {
    for link in LINKS {
        let yard = Yard::on(link);
        yard.three();
        let run = |more: Value| {
            let mut arguments = json!({"service": "web"});
            arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            arguments
        };
        let script = "echo $GREETING $MORE as $(id -u) in $(pwd); echo wrong >&2; exit 3";
        let arguments = json!({
            "command": ["sh", "-c", script], "env": {"MORE": "a b"}, "user": "65534", "working_dir": "/tmp",
        });
        let said = yard.call("compose_run", run(arguments)).await.text();
        assert!(said.contains("hello a b as 65534 in /tmp"), "{link:?}: {said}");
        assert!(said.contains("stderr:\nwrong") && said.contains("status 3"), "{link:?}: {said}");
        assert_eq!(yard.counts().0, 0, "{link:?}");
        // What takes too long is stopped, and its container goes with it.
        let error = yard.call("compose_run", run(json!({"command": ["sleep", "600"], "timeout": 1}))).await.error();
        assert_eq!(error["kind"], "timeout", "{link:?}: {error}");
        for _ in 0..100 {
            if yard.counts().0 == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(yard.counts().0, 0, "{link:?}");
        yard.call("compose_down", json!({"volumes": true})).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_up_that_is_taken_back_leaves_no_process() {
    let yard = Yard::on(Link::Unix);
    // It waits for a container that never becomes healthy.
    yard.write(
        "compose.yaml",
        "services:\n  web: {image: IMAGE, command: [sleep, '600'], init: true, healthcheck: {test: [CMD, 'false'], \
         interval: 1s, retries: 1000}}\n",
    );
    let arguments = json!({"host": "lab", "project": yard.project, "directory": yard.work(), "wait": true});
    let Value::Object(arguments) = arguments else { unreachable!() };
    let request = Request::new(yard.rig.gateway.caller("test"), "compose_up", arguments);
    let cancelled = request.cancelled.clone();
    let gateway = yard.rig.gateway.clone();
    let running = tokio::spawn(async move { gateway.call(request).await });
    let processes = || {
        let output = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().filter(|line| line.contains(&yard.project) && line.contains("compose")).count()
    };
    let until = async |wanted: bool| {
        for _ in 0..300 {
            if (processes() > 0) == wanted && (!wanted || yard.counts().0 == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{} processes", processes());
    };
    until(true).await;
    cancelled.cancel();
    let error = Reply::of(running.await.unwrap()).error();
    assert_eq!(error["kind"], "cancelled", "{error}");
    until(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_do_not_disturb_each_other() {
    let yards = [Yard::on(Link::Unix), Yard::on(Link::Ssh)];
    yards.iter().for_each(Yard::three);
    let (one, other) = tokio::join!(yards[0].call("compose_up", json!({})), yards[1].call("compose_up", json!({})));
    one.ok();
    other.ok();
    for yard in &yards {
        assert_eq!(yard.counts(), (3, 1, 1));
    }
    let (one, other) = tokio::join!(
        yards[0].call("compose_down", json!({"volumes": true, "grace": 2})),
        yards[1].call("compose_down", json!({"volumes": true, "grace": 2}))
    );
    one.ok();
    other.ok();
    for yard in &yards {
        assert_eq!(yard.counts(), (0, 0, 0));
    }
}
