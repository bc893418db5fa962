//! Namespaces of a test's own: whatever runs and is mounted in them ends with their first process, however the test
//! ends.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long anything here may take to come or go.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether processes get a network of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// That of the machine.
    Shared,
    /// An empty one, which a [`Link`] connects.
    Own,
}

/// Process, mount and perhaps network namespaces.
pub struct Space {
    child: Child,
    init: u32,
}

impl Space {
    /// Runs a command as the first process of new namespaces.
    pub fn start(network: Network, log: &Path, path: &str, command: &[&str]) -> Self {
        // The kernel ends it with the thread of the test, where that cannot do so itself.
        let mut start = Command::new("setpriv");
        start.args(["--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--mount-proc", "--uts"]);
        start.args(["--fork", "--kill-child"]);
        if network == Network::Own {
            start.arg("--net");
        }
        let child = start
            .args(command)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(appended(log))
            .stderr(appended(log))
            .spawn()
            .expect("setpriv and unshare");
        let outer = child.id();
        let mut space = Self { child, init: 0 };
        until("the namespaces have a process", || {
            children(outer).first().is_some_and(|first| {
                space.init = *first;
                true
            })
        });
        space
    }

    /// The first process; with it everything ends.
    pub fn init(&self) -> u32 {
        self.init
    }

    /// A command that will run in there.
    pub fn command(&self, path: &str, command: &[&str]) -> Command {
        let mut enter = Command::new("setpriv");
        enter
            .args(["--pdeathsig", "KILL", "nsenter", "--target", &self.init.to_string()])
            .args(["--mount", "--net", "--pid", "--uts"])
            .args(command)
            .env("PATH", path)
            .stdin(Stdio::null());
        enter
    }

    /// Every process in there but the first, as this machine numbers them.
    pub fn descendants(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut parents = vec![self.init];
        while let Some(parent) = parents.pop() {
            let children = children(parent);
            parents.extend(&children);
            found.extend(children);
        }
        found
    }

    /// Ends everything in there.
    pub fn end(&mut self) {
        // The first process goes last: once it is gone, all the others are.
        match self.init {
            0 => {
                self.child.kill().ok();
            }
            init => signal(init, "KILL"),
        }
        self.child.wait().ok();
        self.init = 0;
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.end();
    }
}

/// Ranges that are set apart for documentation; a machine may use one of them all the same.
const RANGES: [&str; 3] = ["198.51.100", "203.0.113", "192.0.2"];

/// A cable between this machine and a space, with which it goes.
///
/// It is never removed by name: by then that may be another test's.
pub struct Link {
    name: String,
    init: u32,
    range: &'static str,
    number: u8,
}

impl Link {
    /// Connects a space.
    pub fn to(space: &Space) -> Self {
        let is_free = |range: &&&str| {
            let network = format!("{range}.0/24");
            let routes = Command::new("ip").args(["-4", "route", "show", "root", &network]).output().expect("ip");
            String::from_utf8_lossy(&routes.stdout).lines().all(|route| route.contains(" dev qmf-"))
        };
        let range = RANGES.iter().find(is_free).expect("a range of addresses that this machine does not use");
        let init = space.init().to_string();
        for number in 0..63 {
            let name = format!("qmf-{number}");
            // The name is the lock on the addresses: the kernel makes it only once.
            let pair = ["link", "add", &name, "type", "veth", "peer", "name", &format!("{name}f"), "netns", &init];
            if !Command::new("ip").args(pair).stderr(Stdio::null()).status().expect("ip").success() {
                continue;
            }
            let link = Self { name, init: space.init(), range, number };
            run(Command::new("ip").args(["addr", "add", &format!("{}/30", link.near()), "dev", &link.name]));
            run(Command::new("ip").args(["link", "set", &link.name, "up"]));
            link.inside(&["addr", "add", &format!("{}/30", link.far()), "dev", &format!("{}f", link.name)]);
            link.mend();
            return link;
        }
        panic!("no address is free for a link");
    }

    /// The address of this machine on it.
    pub fn near(&self) -> String {
        format!("{}.{}", self.range, 4 * self.number + 1)
    }

    /// The address of the space on it.
    pub fn far(&self) -> String {
        format!("{}.{}", self.range, 4 * self.number + 2)
    }

    /// Nothing passes any more, and nobody is told.
    pub fn cut(&self) {
        self.inside(&["link", "set", &format!("{}f", self.name), "down"]);
    }

    /// It is whole again.
    pub fn mend(&self) {
        self.inside(&["link", "set", &format!("{}f", self.name), "up"]);
    }

    fn inside(&self, arguments: &[&str]) {
        run(Command::new("nsenter").args(["--target", &self.init.to_string(), "--net", "ip"]).args(arguments));
    }
}

/// Connects two spaces with each other and with nothing else; their addresses are `10.77.0.1` and `10.77.0.2`.
pub fn connect(one: &Space, other: &Space) {
    let (first, second) = (one.init().to_string(), other.init().to_string());
    let pair = ["link", "add", "cable", "netns", &first, "type", "veth", "peer", "name", "cable", "netns", &second];
    run(Command::new("ip").args(pair));
    for (init, number) in [(&first, 1), (&second, 2)] {
        for arguments in [format!("addr add 10.77.0.{number}/24 dev cable"), "link set cable up".to_owned()] {
            run(Command::new("nsenter").args(["--target", init, "--net", "ip"]).args(arguments.split(' ')));
        }
    }
}

/// Runs a command that must succeed.
#[track_caller]
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("a command");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sends a signal to one process.
pub fn signal(process: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &process.to_string()]).stderr(Stdio::null()).status().ok();
}

/// Stops a process and waits until none of its threads runs.
pub fn freeze(process: u32) {
    signal(process, "STOP");
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(") ").next().is_none_or(|state| state.starts_with(['T', 't', 'Z', 'X']) || state.is_empty())
    };
    until("it is stopped", || {
        fs::read_dir(format!("/proc/{process}/task"))
            .is_ok_and(|mut tasks| tasks.all(|task| task.is_ok_and(is_stopped)))
    });
}

/// The children of a process.
pub fn children(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let children = tasks.flatten().map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    children.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Waits for what must come, off the runtime: nothing else is to happen meanwhile.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// A log that goes on where it ended.
pub fn appended(log: &Path) -> fs::File {
    fs::OpenOptions::new().create(true).append(true).open(log).expect("a log")
}
