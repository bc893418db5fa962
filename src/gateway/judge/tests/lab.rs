//! What compose and buildx do, may do and may not do on real engines.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::UnixStream;

use super::{
    recorder::{Recorded, Recorder},
    rig::{LINKS, Link, Project, Rig, lab, processes_about},
};
use crate::{
    config::{
        Globs, Mode,
        limits::{Bodies, Profile, Rule, Verdict},
    },
    docker::{access::Ceiling, judge::Mark},
    error::Kind,
    gateway::{body::Finding, judge::ForeignJudge},
    tool::{Effect, Permissions},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_compose_lives_a_whole_life() {
    for link in LINKS {
        let (rig, project) = (Rig::new(link), Project::three(link));
        let step = async |effect: &str, arguments: &[&str]| {
            rig.compose(effect, &project, arguments)
                .await
                .unwrap_or_else(|error| panic!("{link:?} {arguments:?}: {error:?}"))
        };
        step("mutate", &["up", "-d"]).await;
        assert_eq!(project.containers().len(), 3, "{link:?}");
        let shown = step("read", &["ps", "--format", "json"]).await;
        assert!(shown.contains("\"Service\":\"db\"") && shown.contains("healthy"), "{link:?}: {shown}");
        let shown = step("read", &["logs", "--no-color"]).await;
        assert!(shown.contains("api started") && shown.contains("web started"), "{link:?}: {shown}");
        let shown = step("mutate", &["exec", "-T", "web", "sh", "-c", "echo $GREETING from $(cat /proc/1/comm)"]).await;
        assert!(shown.contains("hello from"), "{link:?}: {shown}");
        // Many bytes in both directions of a stream.
        let shown = step("mutate", &["exec", "-T", "db", "sh", "-c", "head -c 300000 /dev/zero | wc -c"]).await;
        assert!(shown.contains("300000"), "{link:?}: {shown}");
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), vec![b'x'; 3 << 20]).unwrap();
        let from = file.path().display().to_string();
        step("destroy", &["cp", &from, "web:/tmp/there"]).await;
        let shown = step("mutate", &["exec", "-T", "web", "wc", "-c", "/tmp/there"]).await;
        assert!(shown.contains("3145728"), "{link:?}: {shown}");
        let back = tempfile::tempdir().unwrap();
        let to = back.path().join("back").display().to_string();
        step("mutate", &["cp", "web:/tmp/there", &to]).await;
        assert_eq!(fs::metadata(back.path().join("back")).unwrap().len(), 3 << 20);
        let shown = step("destroy", &["run", "--rm", "-T", "--no-deps", "web", "sh", "-c", "echo once"]).await;
        assert!(shown.contains("once"), "{link:?}: {shown}");
        step("mutate", &["restart", "-t", "5", "web"]).await;
        // A change makes compose stop, rename, make and remove.
        let mut changed = Project::of(&project);
        changed.file = project.file.replace("GREETING: hello", "GREETING: bye");
        rig.compose("destroy", &changed, &["up", "-d"]).await.unwrap_or_else(|error| panic!("{link:?}: {error:?}"));
        let shown = step("mutate", &["exec", "-T", "web", "sh", "-c", "echo $GREETING"]).await;
        assert!(shown.contains("bye"), "{link:?}: {shown}");
        std::mem::forget(changed);
        step("destroy", &["down", "-t", "5"]).await;
        assert_eq!((project.containers().len(), project.networks().len(), project.volumes().len()), (0, 0, 1));
        step("mutate", &["up", "-d", "db"]).await;
        step("destroy", &["down", "-t", "5", "--volumes"]).await;
        assert_eq!((project.containers().len(), project.volumes().len()), (0, 0), "{link:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_limits_of_a_host_hold_for_its_cli() {
    for link in [Link::Unix, Link::Tls] {
        let project = Project::three(link);
        Rig::new(link).compose("mutate", &project, &["up", "-d"]).await.unwrap();
        let recorder = Recorder::before(&link.socket());
        // A run that was decided to be a read is one, on any host.
        for markers in ["(ro)", ""] {
            let rig = Rig::set(&recorder.spec(markers), |_| {});
            let shown = rig.compose("read", &project, &["ps"]).await.unwrap();
            assert!(shown.contains("web"), "{shown}");
            let dry = ["-p", &project.name, "-f", "-", "--dry-run", "up", "-d", "--force-recreate"];
            rig.run("compose", "read", &dry, &project.file).await.unwrap();
            for arguments in [
                &["stop", "web"][..],
                &["restart", "web"],
                &["down", "--volumes"],
                &["up", "-d", "--force-recreate"],
                &["exec", "-T", "web", "id"],
                &["rm", "-fs", "web"],
                &["kill", "web"],
                &["pause", "web"],
                &["cp", "/etc/hostname", "web:/tmp/x"],
                &["run", "--rm", "-T", "--no-deps", "web", "id"],
            ] {
                let outcome = rig.compose("read", &project, arguments).await;
                let error = outcome.expect_err(&format!("{markers} {arguments:?}"));
                assert_eq!(error.kind(), Kind::Denied, "{markers} {arguments:?}: {error:?}");
                assert!(error.message().contains("the guard refused"), "{error:?}");
            }
            let sent = recorder.take();
            assert!(sent.len() > 20 && sent.iter().all(Recorded::looks), "{sent:?}");
        }
        let rig = Rig::set(&recorder.spec("(nd)"), |_| {});
        rig.compose("mutate", &project, &["stop", "-t", "5", "web"]).await.unwrap();
        for arguments in [&["down", "--volumes"][..], &["rm", "-fs", "api"], &["kill", "db"]] {
            let error = rig.compose("mutate", &project, arguments).await.expect_err(&format!("{arguments:?}"));
            assert_eq!(error.kind(), Kind::Denied, "{arguments:?}: {error:?}");
        }
        let sent = recorder.take();
        assert!(sent.iter().any(|request| !request.looks()), "{sent:?}");
        assert!(!sent.iter().any(Recorded::destroys), "{sent:?}");
        assert_eq!((project.containers().len(), project.volumes().len()), (3, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_what_gives_the_machine_away_is_refused() {
    for link in LINKS {
        let recorder = Recorder::before(&link.socket());
        let rig = Rig::judging(&recorder.spec(""), Profile::Guarded);
        for (services, rule, words) in [
            ("services: {a: {image: IMAGE, privileged: true}}", "privileged", "privileged mode"),
            (
                "services: {a: {image: IMAGE, volumes: ['/var/run/docker.sock:/s']}}",
                "docker-socket",
                "/var/run/docker.sock",
            ),
            // The engine's own socket is in it.
            ("services: {a: {image: IMAGE, volumes: ['/:/host']}}", "docker-socket", "\"/\""),
            ("services: {a: {image: IMAGE, volumes: ['/etc/ssh:/host:ro']}}", "sensitive-bind", "/etc/ssh"),
            ("services: {a: {image: IMAGE, cap_add: [SYS_ADMIN]}}", "capability", "SYS_ADMIN"),
            ("services: {a: {image: IMAGE, pid: host}}", "host-pid", "host"),
            ("services: {a: {image: IMAGE, network_mode: host}}", "host-net", "host"),
            ("services: {a: {image: IMAGE, volumes: ['/srv/data:/d']}}", "bind", "/srv/data"),
            (
                "services: {a: {image: IMAGE, volumes: ['data:/d']}}\nvolumes: {data: {driver_opts: {type: none, o: bind, device: /etc}}}",
                "disguised-bind",
                "/etc",
            ),
        ] {
            let project = Project::new(link, services);
            let error = rig.compose("destroy", &project, &["up", "-d"]).await.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{rule}: {error:?}");
            assert!(error.message().contains(words), "{rule}: {error:?}");
            assert!(
                error.to_string().contains(rule) || error.hint_text().unwrap_or_default().contains(rule),
                "{error:?}"
            );
            // The program got the same words.
            assert!(error.detail_text().unwrap_or_default().contains("refuses") || error.message().contains("asked"));
            assert_eq!(project.containers(), Vec::<String>::new(), "{rule}");
        }
        let sent = recorder.take();
        let made = |path: &str| sent.iter().any(|request| request.method == "POST" && request.target.contains(path));
        assert!(!made("/containers/create") && !made("/volumes/create"), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_what_a_person_said_yes_to_passes_and_nothing_else() {
    let link = Link::Tls;
    let rig = Rig::judging(&format!("lab={}", link.endpoint()), Profile::Guarded);
    let project = Project::new(
        link,
        "services: {a: {image: IMAGE, command: [sleep, '60'], stop_grace_period: 0s, volumes: ['/srv/qm-lab:/d:ro']}}",
    );
    let error = rig.compose("destroy", &project, &["up", "-d"]).await.unwrap_err();
    let (_, asked) = error.message().split_once("nobody was asked: ").unwrap();
    let (asked, _) = asked.split_once(" (body:bind)").unwrap();
    let approved = |value: &str| vec![Finding { rule: Rule::Bind, verdict: Verdict::Ask, value: value.to_owned() }];
    for (value, passes) in [(asked.replace("qm-lab", "other"), false), (asked.to_owned(), true)] {
        let ceiling =
            Ceiling { mode: Mode::Rw, effect: Effect::Destroy, permissions: Permissions::implied_by(Mode::Rw) };
        let docker = rig.gateway.fleet.host("lab").unwrap().with_ceiling(ceiling);
        let docker = docker.judged_by(Arc::new(ForeignJudge::new("test", None, approved(&value))));
        let run = docker.cli(&rig.gateway.means.programs, Some("compose")).unwrap();
        let run = run.marking(Mark::Prefix("com.docker.compose.")).reading(project.file.clone());
        let ran = run.run(&["-p", &project.name, "-f", "-", "up", "-d"], &|_, _| {}).await;
        assert_eq!(ran.is_ok(), passes, "{value}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_quaymasters_own_container_is_spared() {
    let link = Link::Unix;
    let project = Project::three(link);
    Rig::new(link).compose("mutate", &project, &["up", "-d", "db"]).await.unwrap();
    let id = link.docker(&["ps", "-q", "--no-trunc", "--filter", &format!("name={}-db", project.name)]);
    let rig = Rig::inside(&format!("lab={}", link.endpoint()), &id);
    for arguments in [&["stop", "db"][..], &["down"], &["restart", "db"]] {
        let error = rig.compose("destroy", &project, arguments).await.unwrap_err();
        assert!(error.message().contains("Quaymaster itself runs in container"), "{error:?}");
    }
    assert_eq!(link.docker(&["ps", "-q", "--no-trunc", "--filter", &format!("id={id}")]), id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_what_is_denied_does_not_exist_inside_either() {
    let link = Link::Tls;
    let project = Project::three(link);
    Rig::new(link).compose("mutate", &project, &["up", "-d"]).await.unwrap();
    let spec = format!("lab={}", link.endpoint());
    let rig = Rig::set(&spec, |config| {
        for host in &mut config.hosts {
            host.limits.containers = Globs::new(&[], &["*-db-*".to_owned()]).unwrap();
            host.limits.exec_deny = Globs::new(&[], &["*secret*".to_owned()]).unwrap();
            host.limits.images = Globs::of_images(&[], &["*forbidden*".to_owned()]).unwrap();
        }
    });
    let shown = rig.compose("read", &project, &["ps", "-a"]).await.unwrap();
    assert!(shown.contains("-web-1") && !shown.contains("-db-1"), "{shown}");
    let own = format!("label=com.docker.compose.project={}", project.name);
    let events =
        ["events", "--since", "10m", "--until", "0s", "--format", "{{.Actor.Attributes.name}}", "--filter", &own];
    let shown = rig.run("", "read", &events, "").await.unwrap().text;
    assert!(shown.contains("-web-1") && !shown.contains("-db-1"), "{shown}");
    let error = rig.run("", "mutate", &["exec", &format!("{}-db-1", project.name), "id"], "").await.unwrap_err();
    assert!(error.message().contains("No such container"), "{error:?}");
    let error = rig.compose("mutate", &project, &["exec", "-T", "web", "cat", "/secret"]).await.unwrap_err();
    assert!(error.kind() == Kind::Denied && error.message().contains("refuses the command"), "{error:?}");
    let error = rig.run("", "mutate", &["pull", "forbidden/image:1"], "").await.unwrap_err();
    assert!(error.kind() == Kind::Denied && error.message().contains("forbidden/image:1"), "{error:?}");
    let other = Project::new(link, "services: {a: {image: forbidden/image, pull_policy: never}}");
    assert!(rig.compose("mutate", &other, &["up", "-d"]).await.is_err());
    let error = rig.run("", "mutate", &["create", "--pull", "never", "forbidden/image"], "").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_buildx_builds_where_its_channel_is_allowed() {
    let context = tempfile::tempdir().unwrap();
    fs::write(context.path().join("Dockerfile"), format!("FROM {}\nCOPY big /big\nRUN wc -c /big\n", lab("LAB_IMAGE")))
        .unwrap();
    fs::write(context.path().join("big"), vec![7; 8 << 20]).unwrap();
    fs::set_permissions(context.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = context.path().display().to_string();
    for link in LINKS {
        let tag = format!("{}:1", Project::new(link, "").name);
        let spec = format!("lab={}", link.endpoint());
        let build = ["build", "--builder", "default", "--progress", "plain", "-t", &tag, &path];
        let answer = Rig::new(link).run("buildx", "destroy", &build, "").await;
        answer.unwrap_or_else(|error| panic!("{link:?}: {error:?}"));
        assert_eq!(link.docker(&["images", "-q", &tag]).lines().count(), 1, "{link:?}");
        link.docker(&["rmi", "-f", &tag]);
        // The classic builder needs no channel: its context is a stream.
        let classic = ["build", "-t", &tag, &path];
        let answer = Rig::judging(&spec, Profile::Guarded).run("classic", "mutate", &classic, "").await;
        answer.unwrap_or_else(|error| panic!("{link:?}: {error:?}"));
        assert_eq!(link.docker(&["images", "-q", &tag]).lines().count(), 1, "{link:?}");
        link.docker(&["rmi", "-f", &tag]);
        for verdict in [Verdict::Deny, Verdict::Ask] {
            let rig = Rig::set(&spec, |config| {
                for host in &mut config.hosts {
                    host.limits.bodies = Bodies::of(Profile::Open);
                    host.limits.bodies.rules.insert(Rule::BuildChannel, verdict);
                }
            });
            let error = rig.run("buildx", "destroy", &build, "").await.unwrap_err();
            assert!(error.kind() == Kind::Denied && error.message().contains("build-channel"), "{error:?}");
        }
        // It is no read, and no mere change.
        for effect in ["read", "mutate"] {
            let error = Rig::new(link).run("buildx", effect, &build, "").await.unwrap_err();
            assert_eq!(error.kind(), Kind::Denied, "{effect}: {error:?}");
        }
        assert_eq!(link.docker(&["images", "-q", &tag]), "", "{link:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_two_hosts_at_once() {
    let (one, other) = (Project::three(Link::Unix), Project::three(Link::Ssh));
    let (left, right) = (Rig::new(Link::Unix), Rig::new(Link::Ssh));
    let (first, second) =
        tokio::join!(left.compose("mutate", &one, &["up", "-d"]), right.compose("mutate", &other, &["up", "-d"]));
    first.unwrap();
    second.unwrap();
    assert_eq!((one.containers().len(), other.containers().len()), (3, 3));
    let here = left.compose("read", &one, &["ps"]).await.unwrap();
    assert!(here.contains(&one.name) && !here.contains(&other.name), "{here}");
    let (first, second) = tokio::join!(
        left.compose("destroy", &one, &["down", "-v", "-t", "5"]),
        right.compose("destroy", &other, &["down", "-v", "-t", "5"])
    );
    first.unwrap();
    second.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lab_a_cancelled_up_leaves_no_process_and_its_socket_is_its_own() {
    for link in LINKS {
        // It never becomes healthy, so compose waits.
        let project = Project::new(
            link,
            "services:
  slow: {image: IMAGE, command: [sleep, '600'], stop_grace_period: 0s, healthcheck: {test: [CMD, 'false'], interval: 1s, retries: 100000}}
  late: {image: IMAGE, command: [sleep, '600'], depends_on: {slow: {condition: service_healthy}}}
",
        );
        let (rig, name) = (Rig::new(link), project.name.clone());
        let file = project.file.clone();
        let gateway = rig.gateway.clone();
        let task = tokio::spawn(async move {
            let arguments = ["-p", &name, "-f", "-", "up", "-d"];
            rig.run("compose", "mutate", &arguments, &file).await.map(drop)
        });
        let started = Instant::now();
        while project.containers().is_empty() {
            assert!(started.elapsed() < Duration::from_secs(40) && !task.is_finished(), "{link:?}: nothing was made");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let running = processes_about(&project.name);
        assert!(running.iter().any(|line| line.contains("docker-compose")), "{running:?}");
        // This process is none of the run's, though it is of the same account.
        let socket = socket_of(&running);
        let stranger = UnixStream::connect(&socket).await.unwrap();
        let mut answer = Vec::new();
        let heard = async {
            let (mut reader, mut writer) = stranger.into_split();
            tokio::io::AsyncWriteExt::write_all(&mut writer, b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n").await.ok();
            tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut answer).await.ok();
        };
        tokio::time::timeout(Duration::from_secs(5), heard).await.unwrap();
        assert_eq!(answer, b"", "{link:?}");
        task.abort();
        task.await.ok();
        // The call itself is a write and goes on; the end of the gateway ends it, as the end of its input does.
        for job in gateway.jobs.running() {
            job.work.stop(&gateway.audit).await;
        }
        gateway.settle(Duration::from_secs(5)).await;
        let started = Instant::now();
        while !processes_about(&project.name).is_empty() {
            assert!(started.elapsed() < Duration::from_secs(8), "{:?}", processes_about(&project.name));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!std::path::Path::new(&socket).exists(), "{socket} is still there");
    }
}

/// Where a run listens, by what its processes inherited.
fn socket_of(processes: &[String]) -> String {
    let ids = processes.iter().filter_map(|line| line.split_whitespace().next());
    let mut variables = ids.filter_map(|id| fs::read_to_string(format!("/proc/{id}/environ")).ok());
    variables
        .find_map(|text| text.split('\0').find_map(|one| one.strip_prefix("DOCKER_HOST=unix://").map(str::to_owned)))
        .expect("a socket")
}
