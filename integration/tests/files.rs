//! Files of containers and images through the gateway's machine, over every link.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use quaymaster::{config::Config, gateway::Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    engine::{Engine, Scrap, docker, image},
    rig::{LINKS, Link, Reply, Rig, lab, open},
};

/// A root below which the arguments of a rig lie.
struct Ground {
    root: TempDir,
    rig: Rig,
}

impl Ground {
    fn on(link: Link) -> Self {
        Self::set(link, |_| {})
    }

    fn set(link: Link, set: impl FnOnce(&mut Config)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let roots = vec![root.path().to_owned()];
        let rig = Rig::set(link, move |config| {
            open(config);
            config.files.roots = Some(roots);
            set(config);
        });
        Self { root, rig }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, contents: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    async fn call(&self, tool: &str, arguments: Value) -> Reply {
        self.rig.call(tool, arguments).await
    }

    /// What lies in the root, by name: nothing half-written may be among it.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// The names in a tar, as the system's own program reads it.
fn listed(tar: &Path) -> Vec<String> {
    let output = Command::new("tar").arg("-tf").arg(tar).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn sh(script: &str, directory: &Path) {
    let status = Command::new("sh").args(["-ec", script]).current_dir(directory).status().unwrap();
    assert!(status.success(), "{script}");
}

#[tokio::test]
async fn files_come_out_of_a_container() {
    for link in LINKS {
        let ground = Ground::on(link);
        let container = Engine::of(link).run(ground.rig.name("get"), &["-e", "TOKEN=hunter2-hunter2"], "sleep 600");
        container.exec(
            "mkdir -p /d/sub; echo one > /d/sub/a; ln -s /etc/passwd /d/out; ln -s /d/sub/a /l; mkfifo /p; \
             printf 'line\\nit is hunter2-hunter2\\n' > /t; head -c 100 /dev/urandom > /b; head -c 100000 /dev/urandom > /bb",
        );
        let name = container.name.as_str();
        let get = |path: &str| json!({"container": name, "path": path});

        let text = ground.call("get_container_archive", get("/t")).await.text();
        assert!(text.contains("\nline\n") && !text.contains("hunter2"), "{text}");
        assert!(text.contains("1 value redacted"), "{text}");
        let followed = ground.call("get_container_archive", get("/l")).await.text();
        assert!(followed.contains("\none\n"), "{followed}");

        let bytes = ground.call("get_container_archive", get("/b")).await.text();
        let inline: String = bytes.lines().skip(1).take_while(|line| !line.starts_with('[')).collect();
        let expected = container.exec("base64 /b").replace('\n', "");
        assert_eq!(inline, expected, "{link:?}: {bytes}");
        assert_eq!(ground.call("get_container_archive", get("/bb")).await.kind(), "invalid");
        assert_eq!(ground.call("get_container_archive", get("/p")).await.kind(), "invalid");
        assert_eq!(ground.call("get_container_archive", get("/none")).await.kind(), "not_found");
        assert_eq!(ground.call("get_container_archive", get("t")).await.kind(), "invalid");

        let to = |path: &str, to: &str| json!({"container": name, "path": path, "to": to});
        ground.call("get_container_archive", to("/bb", "bb")).await.text();
        let sum = Command::new("sha256sum").arg(ground.path("bb")).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        assert_eq!(sum.split(' ').next(), container.exec("sha256sum /bb").split(' ').next());
        let kept = ground.call("get_container_archive", to("/d", "d.tar")).await.text();
        assert!(kept.contains("is in \"d.tar\"") && !kept.contains(&*ground.root.path().to_string_lossy()), "{kept}");
        let mut names = listed(&ground.path("d.tar"));
        names.sort();
        assert_eq!(names, ["d/", "d/out", "d/sub/", "d/sub/a"]);

        assert_eq!(ground.call("get_container_archive", to("/t", "bb")).await.kind(), "conflict");
        let mut again = to("/t", "bb");
        again["overwrite"] = true.into();
        ground.call("get_container_archive", again).await.text();
        assert!(fs::read_to_string(ground.path("bb")).unwrap().contains("hunter2"), "a file is as it is");
        assert_eq!(ground.call("get_container_archive", to("/t", "../x")).await.kind(), "denied");
        assert_eq!(ground.call("get_container_archive", to("/t", "/etc/quaymaster-x")).await.kind(), "denied");
        assert_eq!(ground.call("get_container_archive", to("/none", "x")).await.kind(), "not_found");
        assert_eq!(ground.names(), ["bb", "d.tar"]);
    }
}

#[tokio::test]
async fn files_go_into_a_container() {
    for link in LINKS {
        let ground = Ground::on(link);
        let container = Engine::of(link).run(ground.rig.name("put"), &[], "sleep 600");
        container.exec("mkdir -p /srv/dir; echo old > /srv/owned; chown 1000:7 /srv/owned; chmod 640 /srv/owned");
        let name = container.name.as_str();
        let content = |path: &str, text: &str| json!({"container": name, "path": path, "content": text});

        let put = ground.call("put_container_archive", content("/srv/new", "grün\n")).await.ok();
        assert_eq!((&put["path"], &put["bytes"]), (&json!("/srv/new"), &json!(6)), "{put}");
        assert_eq!(container.exec("cat /srv/new; stat -c '%u:%g %a' /srv/new"), "grün\n0:0 644");
        ground.call("put_container_archive", content("/srv/owned", "new")).await.ok();
        assert_eq!(container.exec("cat /srv/owned; stat -c ' %u:%g %a' /srv/owned"), "new 1000:7 640");
        assert_eq!(ground.call("put_container_archive", content("/none/x", "x")).await.kind(), "not_found");
        assert!(ground.call("put_container_archive", content("/srv/dir", "x")).await.is_error());
        assert_eq!(container.exec("test -d /srv/dir && echo still"), "still");

        ground.write("plain.conf", "a=b\n");
        ground.write("tree/one", "1");
        ground.write("tree/deep/two", "2");
        ground.write("tree/.env", "SECRET=1");
        sh(
            "ln -s /etc/passwd tree/out; tar -cf tree.tar -C tree one deep out; gzip -k tree.tar; mkfifo tree/pipe",
            ground.root.path(),
        );
        let from = |path: &str, from: &str| json!({"container": name, "path": path, "from": from});
        ground.call("put_container_archive", from("/srv", "plain.conf")).await.ok();
        assert_eq!(container.exec("cat /srv/plain.conf"), "a=b");
        container.exec("mkdir /tree /tar /tgz");
        let put = ground.call("put_container_archive", from("/tree", "tree")).await.ok();
        let left_out = put["left_out"].as_str().unwrap();
        assert!(left_out.contains("1 name of secrets"), "{put}");
        assert!(left_out.contains("pipe"), "{put}");
        for (directory, archive) in [("/tar", "tree.tar"), ("/tgz", "tree.tar.gz")] {
            let put = ground.call("put_container_archive", from(directory, archive)).await.ok();
            assert_eq!(put["entries"], 4, "{put}");
        }
        for directory in ["/tree", "/tar", "/tgz"] {
            assert_eq!(
                container.exec(&format!("cd {directory}; cat one deep/two; readlink out; ls -A")),
                "12/etc/passwd\ndeep\none\nout"
            );
        }

        sh(
            "mkdir bad; ln -s /srv bad/l; tar -cf bad.tar -C bad l; rm bad/l; mkdir bad/l; echo x > bad/l/evil; tar -rf bad.tar -C bad l/evil",
            ground.root.path(),
        );
        let error = ground.call("put_container_archive", from("/tree", "bad.tar")).await.error();
        assert_eq!(error["kind"], "denied", "{error}");
        assert!(container.exec("ls /srv/evil 2>&1 || true").contains("No such file"));
        for outside in ["../x", "/etc/passwd", "tree/.env"] {
            assert_eq!(
                ground.call("put_container_archive", from("/tree", outside)).await.kind(),
                "denied",
                "{outside}"
            );
        }
    }
}

#[tokio::test]
async fn what_a_target_is_decides_whether_files_go_in() {
    let ground = Ground::set(Link::Tls, |config| {
        use quaymaster::config::limits::{Bodies, Profile};
        config.hosts[0].limits.bodies = Bodies::of(Profile::Guarded);
    });
    let engine = Engine::of(Link::Tls);
    let plain = engine.run(ground.rig.name("plain"), &[], "sleep 600");
    let privileged = engine.run(ground.rig.name("priv"), &["--privileged"], "sleep 600");
    let put = |name: &str| json!({"container": name, "path": "/x", "content": "x"});
    ground.call("put_container_archive", put(&plain.name)).await.ok();
    assert_eq!(ground.call("put_container_archive", put(&privileged.name)).await.kind(), "denied");
}

#[tokio::test]
async fn a_read_only_host_shows_files_by_a_grant_only() {
    let rig = Rig::with_markers(Link::Unix, "(ro)");
    let container = Engine::of(Link::Unix).run(rig.name("ro"), &[], "sleep 600");
    let get = json!({"container": container.name, "path": "/etc/hosts"});
    assert_eq!(rig.call("get_container_archive", get.clone()).await.kind(), "denied");
    let granted = Ground::set(Link::Unix, |config| {
        use quaymaster::{config::Mode, tool::Permission};
        config.hosts[0].mode = Mode::Ro;
        config.hosts[0].limits.permissions = config.hosts[0].limits.permissions.with(Permission::Files);
    });
    granted.call("get_container_archive", get).await.text();
    granted.call("export_container", json!({"container": container.name, "to": "all.tar"})).await.ok();
    let put = json!({"container": container.name, "path": "/x", "content": "x"});
    assert_eq!(granted.call("put_container_archive", put).await.kind(), "denied");
}

#[tokio::test]
async fn a_container_becomes_a_tar_and_the_tar_an_image() {
    for link in LINKS {
        let (ground, mut scrap) = (Ground::on(link), Scrap::on(link));
        let container = Engine::of(link).run(ground.rig.name("export"), &[], "echo marked > /mark; sleep 600");
        let until = Instant::now() + Duration::from_secs(10);
        while container.exec("cat /mark 2>/dev/null || true") != "marked" {
            assert!(Instant::now() < until);
        }
        let exported =
            ground.call("export_container", json!({"container": container.name, "to": "all.tar"})).await.ok();
        let names = listed(&ground.path("all.tar"));
        assert!(names.iter().any(|name| name == "mark"), "{names:?}");
        assert_eq!(exported["entries"], names.len(), "{exported}");
        let again = json!({"container": container.name, "to": "all.tar"});
        assert_eq!(ground.call("export_container", again).await.kind(), "conflict");

        let reference = format!("{}:1", ground.rig.name("imported"));
        scrap.image(reference.clone());
        let import =
            json!({"image": reference, "from": "all.tar", "changes": ["CMD [\"cat\", \"/mark\"]", "ENV A=\"b c\""]});
        let imported = ground.call("import_image", import).await.ok();
        assert_eq!(imported["image"], reference.as_str(), "{imported}");
        assert_eq!(
            docker(link, &["image", "inspect", "-f", "{{.Id}}", &reference])[7..19],
            imported["id"].as_str().unwrap()[..]
        );
        assert_eq!(docker(link, &["run", "--rm", &reference]), "marked");
        assert!(docker(link, &["image", "inspect", "-f", "{{.Config.Env}}", &reference]).contains("A=b c"));
        let url = json!({"image": reference, "url": "http://127.0.0.1:1/x.tar"});
        assert_eq!(ground.call("import_image", url).await.kind(), "denied");
        ground.write("text", "no tar");
        let text = json!({"image": ground.rig.name("none"), "from": "text"});
        assert_eq!(ground.call("import_image", text).await.kind(), "invalid");
    }
}

#[tokio::test]
async fn images_are_saved_by_name_and_loaded_again() {
    for link in LINKS {
        let (ground, mut scrap) = (Ground::on(link), Scrap::on(link));
        let name = ground.rig.name("saved");
        let (one, two) = (format!("{name}:1"), format!("{name}:2"));
        let ids = [&one, &two].map(|reference| {
            scrap.image(reference.clone());
            image(link, reference, 5000, &["CMD [\"x\"]"])
        });
        let saved = ground.call("save_image", json!({"images": [one, ids[1]], "to": "images.tar"})).await.ok();
        assert_eq!(saved["images"], json!([one, ids[1]]), "{saved}");
        docker(link, &["rmi", &one, &two]);
        let loaded = ground.call("load_image", json!({"from": "images.tar"})).await.ok();
        assert_eq!(loaded["images"], json!([one]), "{link:?}: {loaded}");
        scrap.image(ids[1].clone());
        assert_eq!(docker(link, &["image", "inspect", "-f", "{{.Id}}", &one]), ids[0]);
        assert_eq!(docker(link, &["image", "inspect", "-f", "{{.RepoTags}}", &ids[1]]), "[]", "an id has no name");

        sh("gzip -k images.tar", ground.root.path());
        ground.call("load_image", json!({"from": "images.tar.gz"})).await.ok();
        let bare = json!({"images": [name.as_str()], "to": "x.tar"});
        assert_eq!(ground.call("save_image", bare).await.kind(), "not_found", "a repository is no image");
        ground.write("text", "no tar");
        assert_eq!(ground.call("load_image", json!({"from": "text"})).await.kind(), "invalid");
        sh("mkdir e; echo x > e/x; tar -cf other.tar -C e x", ground.root.path());
        assert!(ground.call("load_image", json!({"from": "other.tar"})).await.is_error());
        assert_eq!(ground.names(), ["e", "images.tar", "images.tar.gz", "other.tar", "text"]);
    }
}

#[tokio::test]
async fn denied_images_neither_leave_nor_come() {
    let link = Link::Unix;
    let mut scrap = Scrap::on(link);
    let free = Ground::on(link);
    let name = free.rig.name("hidden");
    let (shown, hidden) = (format!("{name}:shown"), format!("{name}:hidden"));
    for reference in [&shown, &hidden] {
        scrap.image(reference.clone());
        image(link, reference, 1000, &[]);
    }
    free.call("save_image", json!({"images": [hidden], "to": "hidden.tar"})).await.ok();
    let glob = format!("{name}:hid*");
    let bound = Ground::set(link, move |config| {
        config.hosts[0].limits.images = quaymaster::config::Globs::of_images(&[], &[glob]).unwrap();
    });
    let save = |image: &str| json!({"images": [image], "to": "x.tar"});
    assert_eq!(bound.call("save_image", save(&hidden)).await.kind(), "not_found");
    let id = docker(link, &["image", "inspect", "-f", "{{.Id}}", &hidden]);
    assert_eq!(bound.call("save_image", save(&id)).await.kind(), "not_found");
    assert!(bound.names().is_empty());
    bound.call("save_image", save(&shown)).await.ok();
    fs::copy(free.path("hidden.tar"), bound.path("hidden.tar")).unwrap();
    docker(link, &["rmi", &hidden]);
    assert_eq!(bound.call("load_image", json!({"from": "hidden.tar"})).await.kind(), "denied");
    let import = json!({"image": hidden, "from": "hidden.tar"});
    assert!(bound.call("import_image", import).await.is_error());
    let left = docker(link, &["images", "-q", &hidden]);
    assert!(left.is_empty(), "a denied name came: {left}");
}

#[tokio::test]
async fn a_save_that_is_given_up_leaves_nothing_behind() {
    let link = Link::Tls;
    let (ground, mut scrap) = (Ground::on(link), Scrap::on(link));
    let reference = format!("{}:1", ground.rig.name("large"));
    scrap.image(reference.clone());
    image(link, &reference, 100 << 20, &[]);
    let Value::Object(arguments) = json!({"images": [reference], "to": "large.tar"}) else { unreachable!() };
    let gateway = &ground.rig.gateway;
    let request = Request::new(gateway.caller("test"), "save_image", arguments);
    let cancelled = request.cancelled.clone();
    // Taken back as soon as something was written.
    let begun = async {
        while ground.names().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        cancelled.cancel();
    };
    let (outcome, ()) = tokio::join!(gateway.call(request), begun);
    assert_eq!(Reply::of(outcome).kind(), "cancelled");
    let until = Instant::now() + Duration::from_secs(10);
    while !ground.names().is_empty() {
        assert!(Instant::now() < until, "{:?}", ground.names());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The most memory that a process has had, in KiB; nothing once it has gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn a_large_image_passes_through_little_memory() {
    for link in LINKS {
        let (ground, mut scrap) = (Ground::on(link), Scrap::on(link));
        let reference = format!("{}:1", ground.rig.name("huge"));
        scrap.image(reference.clone());
        let id = image(link, &reference, 300 << 20, &[]);
        let call = |tool: &str, arguments: Value| {
            let settings = ground.path("hosts.toml");
            fs::write(&settings, format!("[files]\nroots = [\"{}\"]\n", ground.root.path().display())).unwrap();
            let state = ground.path("state");
            let mut command = Command::new(env!("CARGO_BIN_EXE_quaymaster"));
            command.arg("--config").arg(&settings).args(["--host", &format!("lab={}", link.endpoint())]);
            command.args(["call", tool]);
            for (name, value) in arguments.as_object().unwrap() {
                command.arg(format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
            }
            command.env("HOME", lab("LAB_HOME")).env("XDG_STATE_HOME", &state).env("USER", "root");
            let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
            let (mut most, until) = (0, Instant::now() + Duration::from_secs(300));
            let status = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break status;
                }
                assert!(Instant::now() < until);
                most = most.max(peak(child.id()));
                std::thread::sleep(Duration::from_millis(5));
            };
            assert!(status.success(), "{tool} over {link:?}");
            most
        };
        let save = call("save_image", json!({"images": [reference], "to": "huge.tar"}));
        docker(link, &["rmi", &reference]);
        let load = call("load_image", json!({"from": "huge.tar"}));
        assert_eq!(docker(link, &["image", "inspect", "-f", "{{.Id}}", &reference]), id);
        eprintln!("{link:?}: save {save} KiB, load {load} KiB");
        assert!(save < 60 << 10 && load < 60 << 10, "{link:?}: {save} KiB, {load} KiB");
        fs::remove_file(ground.path("huge.tar")).unwrap();
    }
}
