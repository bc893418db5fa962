//! An engine of a test's own, which may be stopped, killed, filled and started again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::space::{Network, Space, appended, children, freeze, signal, until};
use crate::rig::lab;

/// Which of the lab's engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// 20.10.
    Old,
    /// 26.1.
    New,
}

/// An engine with a containerd of its own, in namespaces of its own.
pub struct OwnEngine {
    // In this order: what runs ends before its files go.
    daemon: Child,
    pub space: Space,
    directory: TempDir,
    path: String,
}

impl OwnEngine {
    /// An engine 26.1 on a unix socket.
    pub fn start() -> Self {
        Self::of(Release::New)
    }

    /// An engine of a release on a unix socket.
    pub fn of(release: Release) -> Self {
        Self::with(release, "", |_| {})
    }

    /// One whose images and containers have so much room, such as `64m`.
    pub fn with_room(size: &str) -> Self {
        Self::with(Release::New, &format!("mount -t tmpfs -o size={size} none \"$0/root\";"), |_| {})
    }

    /// One that also listens on TCP port 2375 of its own network.
    pub fn on_tcp() -> Self {
        Self::with(Release::New, "", |settings| {
            settings["hosts"].as_array_mut().unwrap().push("tcp://0.0.0.0:2375".into());
            // Said aloud, or it waits a while for somebody to think better of it.
            settings["tls"] = false.into();
        })
    }

    /// One that may be part of a swarm; its name in there is the one given.
    pub fn of_swarm(release: Release, name: &str) -> Self {
        // Its containers end with it: what outlives its engine is refused in a swarm.
        let prepare = format!("hostname {name};");
        Self::with(release, &prepare, |settings| settings["live-restore"] = false.into())
    }

    fn with(release: Release, prepare: &str, set: impl FnOnce(&mut serde_json::Value)) -> Self {
        let directory = tempfile::Builder::new().prefix("qmf-").tempdir().expect("a directory");
        let home = directory.path().to_str().unwrap();
        let packages = packages();
        let (new, old) = (packages.join("26.1/usr"), packages.join("20.10/usr"));
        // The runc of the older release serves both, as in the lab.
        let path = format!(
            "{0}/sbin:{0}/bin:{1}/sbin:{1}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            if release == Release::New { new.display() } else { old.display() },
            old.display()
        );
        let containerd = format!(
            "version = 2\nroot = \"{home}/containerd\"\nstate = \"{home}/containerd-run\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{home}/containerd.sock\"\n"
        );
        fs::write(directory.path().join("containerd.toml"), containerd).unwrap();
        let mut settings = serde_json::json!({
            "data-root": format!("{home}/root"),
            "exec-root": format!("{home}/run"),
            "group": "root",
            "pidfile": format!("{home}/docker.pid"),
            "deprecated-key-path": format!("{home}/key.json"),
            "containerd": format!("{home}/containerd.sock"),
            "iptables": false, "ip6tables": false, "ip-masq": false, "userland-proxy": false,
            // Containers outlive their engine, so that what was done to them can be seen afterwards.
            "live-restore": true,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": format!("/{}", name(directory.path())),
            // Whatever is at the other end of a link.
            "insecure-registries": ["198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"],
            "init-path": new.join("bin/tini-static"),
            "hosts": [format!("unix://{home}/docker.sock")],
        });
        set(&mut settings);
        fs::write(directory.path().join("daemon.json"), settings.to_string()).unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        let script = format!("ip link set lo up; {prepare} exec containerd --config \"$0/containerd.toml\"");
        let log = directory.path().join("containerd.log");
        let space = Space::start(Network::Own, &log, &path, &["tini-static", "--", "sh", "-ec", &script, home]);
        until("containerd listens", || directory.path().join("containerd.sock").exists());
        let daemon = daemon(&space, directory.path(), &path);
        let engine = Self { daemon, space, directory, path };
        engine.is_there();
        engine.import();
        engine
    }

    /// The socket.
    pub fn socket(&self) -> String {
        self.directory.path().join("docker.sock").display().to_string()
    }

    /// The endpoint as a host specification has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// Stops it where it stands.
    pub fn freeze(&self) {
        freeze(self.pid());
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        // nsenter stops with what it started.
        for process in [self.daemon.id(), self.pid()] {
            signal(process, "CONT");
        }
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        self.leave("KILL");
    }

    /// Asks it to end, and waits for that.
    pub fn stop(&mut self) {
        self.leave("TERM");
    }

    /// Starts it after it has ended.
    pub fn start_again(&mut self) {
        self.daemon = daemon(&self.space, self.directory.path(), &self.path);
        self.is_there();
    }

    /// What a path of it is called here; its mounts are not seen otherwise.
    pub fn inner(&self, path: &str) -> PathBuf {
        let home = self.directory.path().display();
        format!("/proc/{}/root{home}/{path}", self.space.init()).into()
    }

    /// Runs the docker CLI against it and answers what it printed.
    #[track_caller]
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments).output().expect("the docker CLI");
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What happened to a container since this engine was started, such as `["create", "start"]`.
    pub fn events(&self, container: &str) -> Vec<String> {
        whole_second();
        let filter = format!("container={container}");
        let told = ["events", "--since", "1h", "--until", "0s", "--filter", &filter, "--format", "{{.Action}}"];
        self.docker(&told).lines().map(str::to_owned).collect()
    }

    fn cli(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(lab("LAB_DOCKER"));
        command.args(arguments).env("DOCKER_HOST", self.endpoint()).env("HOME", lab("LAB_HOME")).stdin(Stdio::null());
        command
    }

    fn is_there(&self) {
        until("the engine answers", || self.cli(&["version"]).output().is_ok_and(|output| output.status.success()));
    }

    /// The lab's image.
    fn import(&self) {
        let rootfs = fs::File::open(packages().join("base/rootfs.tar")).expect("the lab's root file system");
        let image = lab("LAB_IMAGE");
        let import = ["import", "--change", "ENV PATH=/bin", "--change", "CMD [\"sleep\",\"600\"]", "-", &image];
        let output = self.cli(&import).stdin(rootfs).output().expect("the docker CLI");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The daemon's process, as this machine numbers it.
    pub fn pid(&self) -> u32 {
        *children(self.daemon.id()).first().expect("the engine runs")
    }

    fn leave(&mut self, how: &str) {
        signal(self.pid(), how);
        self.daemon.wait().expect("it ends");
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        self.space.end();
        self.daemon.kill().ok();
        self.daemon.wait().ok();
        let groups = format!("*/{}*", name(self.directory.path()));
        let remove = ["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &groups, "-exec", "rmdir", "{}", "+"];
        Command::new("find").args(remove).stderr(Stdio::null()).status().ok();
    }
}

/// The CLI asks for events by whole seconds: those of the running one would be missing.
pub fn whole_second() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

/// Where the lab keeps its packages.
fn packages() -> PathBuf {
    let docker = PathBuf::from(lab("LAB_DOCKER"));
    docker.ancestors().nth(4).expect("the lab's own docker").to_owned()
}

fn daemon(space: &Space, home: &Path, path: &str) -> Child {
    // Its number may belong to another process by now.
    fs::remove_file(home.join("docker.pid")).ok();
    let log = home.join("dockerd.log");
    let settings = home.join("daemon.json").display().to_string();
    let daemon = space
        .command(path, &["dockerd", "--config-file", &settings])
        .stdout(appended(&log))
        .stderr(appended(&log))
        .spawn()
        .expect("nsenter");
    until("the engine runs", || !children(daemon.id()).is_empty());
    daemon
}

fn name(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
