//! `recreate_container` on real engines: what goes over, and that one of the two always runs.

use std::time::Duration;

use quaymaster::gateway::{Failure, Request};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    engine::{Scrap, docker},
    rig::{LINKS, Link, Rig, lab},
};

/// A part of what the engine itself says of a container.
fn inspect(link: Link, name: &str, format: &str) -> String {
    docker(link, &["inspect", "--type", "container", "--format", format, name])
}

/// The containers whose names begin so, with their states.
fn states(link: Link, name: &str) -> Vec<String> {
    let filter = format!("name={name}");
    let listed = docker(link, &["ps", "--all", "--filter", &filter, "--format", "{{.Names}} {{.State}}"]);
    let mut rows: Vec<String> = listed.lines().map(str::to_owned).collect();
    rows.sort();
    rows
}

/// A container with all that can go over.
struct Stage {
    link: Link,
    rig: Rig,
    scrap: Scrap,
    web: String,
    networks: [String; 2],
}

impl Stage {
    fn set(link: Link) -> Self {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let web = rig.name("web");
        let networks = [rig.name("front"), rig.name("back")];
        // Networks of their own, so that addresses can be asked for.
        for (network, own) in networks.iter().zip(["front", "back"]) {
            let subnet = format!("{}.0/24", prefix(&web, own));
            docker(link, &["network", "create", "--subnet", &subnet, network]);
            scrap.network(network.clone());
        }
        let (ip, volume) = (format!("{}.9", prefix(&web, "front")), rig.name("data"));
        scrap.volume(volume.clone());
        docker(link, &["volume", "create", &volume]);
        let mount = format!("{volume}:/data:ro");
        let options = [
            "--network",
            &networks[0],
            "--ip",
            &ip,
            "--network-alias",
            "api",
            "--volume",
            &mount,
            "--volume",
            "/scratch",
            "--mount",
            "type=volume,dst=/long",
            "--label",
            "team=a",
            "--env",
            "DB_PASSWORD=hunter2hunter2",
            "--env",
            "LEVEL=1",
            "--memory",
            "64m",
            "--cap-drop",
            "MKNOD",
            "--ulimit",
            "nofile=100:200",
            "--restart",
            "on-failure:3",
            "--workdir",
            "/tmp",
            "--user",
            "0:0",
            "--stop-timeout",
            "1",
            "--add-host",
            "other:10.9.8.7",
            "--publish",
            "127.0.0.1::80",
        ];
        scrap.run(&web, &options, &["sh", "-c", "echo kept > /scratch/file; echo kept > /long/file; exec sleep 600"]);
        docker(link, &["network", "connect", "--alias", "inner", &networks[1], &web]);
        Self { link, rig, scrap, web, networks }
    }

    /// What a new container has to have as the old one had it.
    fn kept(&self) -> Vec<String> {
        [
            "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{json .HostConfig.CapDrop}} {{json .HostConfig.Ulimits}}",
            "{{json .HostConfig.RestartPolicy}} {{json .HostConfig.ExtraHosts}} {{json .HostConfig.PortBindings}}",
            "{{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}} {{.HostConfig.IpcMode}} {{.HostConfig.ShmSize}}",
            "{{json .Config.Cmd}} {{json .Config.Env}} {{.Config.WorkingDir}} {{.Config.User}} {{.Config.StopTimeout}} {{.Config.Image}}",
            r#"{{index .Config.Labels "team"}}"#,
        ]
        .map(|format| inspect(self.link, &self.web, format))
        .into()
    }

    fn volumes(&self) -> Vec<String> {
        let format = "{{range .Mounts}}{{.Name}} {{.Destination}} {{.RW}}\n{{end}}";
        let mut volumes: Vec<String> = inspect(self.link, &self.web, format).lines().map(str::to_owned).collect();
        volumes.sort();
        volumes
    }

    async fn recreate(&self, changes: Value) -> crate::rig::Reply {
        let mut arguments = changes;
        arguments["container"] = self.web.as_str().into();
        self.rig.call("recreate_container", arguments).await
    }

    /// The old container is there under its name, runs as it did, and nothing else is left.
    fn is_as_it_was(&self, id: &str) {
        assert_eq!(states(self.link, &self.web), [format!("{} running", self.web)], "{:?}", self.link);
        assert_eq!(inspect(self.link, &self.web, "{{.Id}}"), id);
    }
}

/// The beginning of addresses that hardly any other test has.
fn prefix(name: &str, network: &str) -> String {
    let bytes = name.bytes().chain(network.bytes());
    let [high, low] = bytes.fold(7_u16, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())).to_be_bytes();
    format!("10.{}.{low}", 64 + high % 128)
}

#[tokio::test]
async fn everything_goes_over_and_what_is_named_changes() {
    for link in LINKS {
        let mut stage = Stage::set(link);
        let (id, kept, volumes) = (inspect(link, &stage.web, "{{.Id}}"), stage.kept(), stage.volumes());
        assert_eq!(volumes.len(), 3, "{volumes:?}");

        let made = stage.recreate(json!({})).await.ok();
        assert_eq!((&made["name"], &made["state"]), (&json!(stage.web), &json!("running")), "{link:?}: {made}");
        assert_eq!(made["replaced"], id[..12], "{made}");
        let new = inspect(link, &stage.web, "{{.Id}}");
        assert_ne!(new, id);
        assert_eq!(states(link, &stage.web), [format!("{} running", stage.web)]);
        assert_eq!(stage.kept(), kept, "{link:?}");
        assert_eq!(stage.volumes(), volumes, "{link:?}");
        assert_eq!(docker(link, &["exec", &stage.web, "cat", "/scratch/file", "/long/file"]), "kept\nkept");
        let [front, back] = &stage.networks;
        let place = |network: &str, field: &str| {
            inspect(
                link,
                &stage.web,
                &format!(r#"{{{{with index .NetworkSettings.Networks "{network}"}}}}{{{{{field}}}}}{{{{end}}}}"#),
            )
        };
        assert_eq!(place(front, ".IPAddress"), format!("{}.9", prefix(&stage.web, "front")), "{link:?}");
        assert!(
            place(front, "json .Aliases").contains("\"api\"") && place(back, "json .Aliases").contains("\"inner\"")
        );
        assert!(!place(front, "json .Aliases").contains(&id[..12]), "the old one's own alias");
        // The engine's own name for it is the new one's.
        assert_eq!(inspect(link, &stage.web, "{{.Config.Hostname}}"), new[..12]);

        let changes = json!({
            "env": {"LEVEL": "2", "NEW": "x"}, "labels": {"team": "b"}, "memory": "96m", "restart": "no",
            "mounts": [format!("{}:/data", stage.rig.name("other"))], "command": ["sleep", "601"],
        });
        stage.scrap.volume(stage.rig.name("other"));
        stage.recreate(changes).await.ok();
        let env = inspect(link, &stage.web, "{{json .Config.Env}}");
        assert!(env.contains("\"LEVEL=2\"") && env.contains("\"NEW=x\"") && !env.contains("LEVEL=1"), "{env}");
        assert!(env.contains("DB_PASSWORD=hunter2hunter2"), "values go over as they are: {env}");
        assert_eq!(
            inspect(link, &stage.web, "{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}"),
            "100663296 no"
        );
        assert_eq!(
            inspect(link, &stage.web, r#"{{index .Config.Labels "team"}} {{json .Config.Cmd}}"#),
            "b [\"sleep\",\"601\"]"
        );
        let volumes = stage.volumes();
        assert!(
            volumes.contains(&format!("{} /data true", stage.rig.name("other"))) && volumes.len() == 3,
            "{volumes:?}"
        );
        assert_eq!(docker(link, &["exec", &stage.web, "cat", "/scratch/file"]), "kept", "a second time");
    }
}

#[tokio::test]
async fn whatever_fails_brings_the_old_one_back() {
    const CODE: &str = "exit code 3";
    for link in LINKS {
        let mut stage = Stage::set(link);
        let (id, kept, volumes) = (inspect(link, &stage.web, "{{.Id}}"), stage.kept(), stage.volumes());
        // Another container has a name and a port.
        let taken = stage.rig.name("taken");
        stage.scrap.run(&taken, &["--publish", "127.0.0.1::80"], &["sleep", "600"]);
        let port = inspect(link, &taken, r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#);
        for (changes, words) in [
            (json!({"command": ["sh", "-c", "echo hopeless; exit 3"]}), CODE),
            (json!({"command": ["sh", "-c", "exit 3"], "restart": "always"}), CODE),
            (json!({"command": ["/no/such/file"]}), "/no/such/file"),
            (json!({"health_command": "echo sick; exit 1", "health_interval": "1s"}), "unhealthy"),
            (json!({"name": taken}), "in use"),
            (json!({"ports": [format!("127.0.0.1:{port}:80")]}), "port is already allocated"),
            (json!({"networks": ["none"], "mounts": ["/data"], "security_opt": ["nonsense"]}), "security"),
        ] {
            let error = stage.recreate(changes.clone()).await.error();
            let message = error["message"].as_str().unwrap();
            // While it runs again there is no exit code, and none is made up.
            let is_told = message.contains(words) || (words == CODE && message.contains("ended and is started again"));
            assert!(is_told && !message.contains("exit code 0"), "{link:?} {changes}: {error}");
            assert!(error["hint"].as_str().unwrap().contains("is back and running"), "{changes}: {error}");
            stage.is_as_it_was(&id);
            assert_eq!(states(link, &taken), [format!("{taken} running")], "{changes}");
        }
        assert_eq!((stage.kept(), stage.volumes()), (kept, volumes));
        assert_eq!(docker(link, &["exec", &stage.web, "cat", "/scratch/file"]), "kept");
        // What it said before it went is in the answer.
        let error = stage.recreate(json!({"command": ["sh", "-c", "echo hopeless; exit 3"]})).await.error();
        assert!(error["message"].as_str().unwrap().contains("hopeless"), "{error}");
    }
}

#[tokio::test]
async fn health_is_waited_for() {
    for link in LINKS {
        let stage = Stage::set(link);
        let made = stage
            .recreate(json!({"health_command": "test -e /tmp/ready", "health_interval": "1s",
            "command": ["sh", "-c", "sleep 2; touch /tmp/ready; exec sleep 600"]}))
            .await
            .ok();
        assert_eq!(made["state"], "running, healthy", "{link:?}: {made}");
    }
}

#[tokio::test]
async fn what_does_not_run_is_made_anew_and_stays_so() {
    for link in LINKS {
        let stage = Stage::set(link);
        docker(link, &["stop", "--time", "0", &stage.web]);
        let made = stage.recreate(json!({"labels": {"team": "c"}})).await.ok();
        assert!(made["note"].as_str().unwrap().contains("not started"), "{made}");
        assert_eq!(states(link, &stage.web), [format!("{} created", stage.web)]);
        let error = stage.recreate(json!({"security_opt": ["nonsense"]})).await.error();
        assert!(error["hint"].as_str().unwrap().contains("as it was"), "{error}");
        assert_eq!(states(link, &stage.web), [format!("{} created", stage.web)]);
    }
}

/// Whenever a call is taken back: it goes on to its end, and one of the two runs under the name.
#[tokio::test]
async fn a_call_that_is_taken_back_leaves_one_of_the_two_running() {
    for link in LINKS {
        let stage = Stage::set(link);
        let is_there = stage.web.clone();
        for (number, after) in [0, 150, 400, 900, 1600, 2600].into_iter().enumerate() {
            let fails = number % 2 == 1;
            let command = if fails { json!(["sh", "-c", "sleep 1; exit 3"]) } else { json!(["sleep", "600"]) };
            let Value::Object(arguments) = json!({"container": is_there, "command": command}) else { unreachable!() };
            let gateway = Rig::new(link).gateway;
            let settled = gateway.clone();
            let request = Request::new(gateway.caller("test"), "recreate_container", arguments);
            let cancelled = request.cancelled.clone();
            let call = tokio::spawn(async move { gateway.call(request).await });
            sleep(Duration::from_millis(after)).await;
            cancelled.cancel();
            if let Err(Failure::Tool(error)) = call.await.unwrap() {
                assert!(["cancelled", "docker"].contains(&error.kind().as_str()), "{error}");
            }
            // What was sent goes on.
            settled.settle(Duration::from_secs(60)).await;
            assert_eq!(states(link, &is_there), [format!("{is_there} running")], "{link:?} after {after} ms");
        }
    }
}

#[tokio::test]
async fn who_cannot_be_brought_back_is_left_alone() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        for (name, options, words) in [
            ("gone", vec!["--rm"], "run_container"),
            ("composed", vec!["--label", "com.docker.compose.project=shop"], "compose_up"),
            ("task", vec!["--label", "com.docker.swarm.service.id=x"], "update_service"),
        ] {
            let name = rig.name(name);
            let id = scrap.run(&name, &options, &["sleep", "600"]);
            let error = rig.call("recreate_container", json!({"container": name})).await.error();
            assert_eq!(error["kind"], "conflict", "{error}");
            assert!(error["hint"].as_str().unwrap().contains(words), "{error}");
            assert_eq!(inspect(link, &name, "{{.Id}} {{.State.Running}}"), format!("{id} true"));
        }
        // Names that callers may not use are no names for what is put aside.
        let name = rig.name("exact");
        scrap.run(&name, &[], &["sleep", "600"]);
        let allowed = name.clone();
        let narrow = Rig::set(link, move |config| {
            crate::rig::open(config);
            let globs = quaymaster::config::Globs::new(&[allowed], &[]).unwrap();
            config.hosts[0].limits.containers = globs;
        });
        let error = narrow.call("recreate_container", json!({"container": name})).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        assert_eq!(states(link, &name), [format!("{name} running")]);
    }
}

#[tokio::test]
async fn another_image_brings_its_own_settings() {
    for link in LINKS {
        let (rig, mut scrap) = (Rig::new(link), Scrap::on(link));
        let (one, two, name) = (rig.name("one"), rig.name("two"), rig.name("web"));
        for (image, level) in [(&one, "1"), (&two, "2")] {
            scrap.image(image.clone());
            let made = format!("{name}-{level}");
            docker(link, &["create", "--name", &made, &lab("LAB_IMAGE"), "true"]);
            let (env, label) = (format!("ENV LEVEL={level} ONLY_{level}=x"), format!("LABEL level={level}"));
            let changes = [
                "--change",
                &env,
                "--change",
                &label,
                "--change",
                "CMD [\"sleep\", \"600\"]",
                "--change",
                "WORKDIR /tmp",
            ];
            docker(link, &[&["commit"][..], &changes[..], &[made.as_str(), image.as_str()][..]].concat());
            docker(link, &["rm", &made]);
        }
        scrap.container(name.clone());
        docker(link, &["run", "-d", "--name", &name, "--env", "OWN=y", &one]);
        let made = rig.call("recreate_container", json!({"container": name, "image": two})).await.ok();
        assert!(made["old_image_id"].is_string() && made["image"] == json!(two), "{made}");
        let env = inspect(link, &name, "{{json .Config.Env}}");
        assert!(env.contains("LEVEL=2") && env.contains("ONLY_2=x") && env.contains("OWN=y"), "{env}");
        assert!(!env.contains("ONLY_1") && !env.contains("LEVEL=1"), "{env}");
        assert_eq!(inspect(link, &name, r#"{{index .Config.Labels "level"}}"#), "2");
    }
}
