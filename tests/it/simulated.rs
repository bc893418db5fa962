//! A simulated daemon on a unix socket, for faults that no real engine shows on request.
//!
//! It hears every request and acts as its script says. What real engines do is tested on real ones.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use quaymaster::docker::guard::{Class, Wire, classify};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    task::{JoinHandle, JoinSet},
};

use crate::arguments::World;

/// A request as the daemon heard it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    /// Path and query, untouched.
    pub(crate) target: String,
    pub(crate) upgrade: bool,
    /// The credentials for a registry that came with it.
    pub(crate) authorization: Option<String>,
    /// Which connection, from 0, and which request on it.
    pub(crate) connection: usize,
    pub(crate) number: usize,
}

impl Heard {
    /// The path without version and query.
    pub(crate) fn path(&self) -> &str {
        let path = self.target.split('?').next().unwrap_or_default();
        match path.strip_prefix("/v1.").and_then(|rest| rest.split_once('/')) {
            Some((version, _)) => &path["/v1.".len() + version.len()..],
            None => path,
        }
    }

    /// What the guard makes of it.
    pub(crate) fn wire(&self) -> Wire {
        classify(&self.method.parse().unwrap(), &self.target.parse().unwrap())
            .unwrap_or_else(|refusal| panic!("{} {} left although {refusal:?}", self.method, self.target))
    }

    pub(crate) fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path() == path
    }

    /// Whether it only looks: GET, HEAD, and the POST that waits.
    pub(crate) fn looks(&self) -> bool {
        let waits = self.method == "POST" && self.path().ends_with("/wait");
        (waits || self.method == "GET" || self.method == "HEAD")
            && !self.upgrade
            && !matches!(self.wire().class, Class::Mutate | Class::Destroy | Class::Never)
    }
}

/// What the daemon does about a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// Sends these bytes and listens on.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    Last(Vec<u8>),
    /// Sends these bytes and then nothing more.
    Hold(Vec<u8>),
    /// Sends a beginning, and then the rest byte by byte with pauses.
    Drip(Vec<u8>, Vec<u8>, Duration),
    /// Sends a beginning and then the same chunk for ever.
    Flood(Vec<u8>, Vec<u8>),
    /// Closes without an answer.
    Close,
}

/// What became of the acts that go on until the other side leaves: holding, dripping, flooding.
#[derive(Default)]
pub(crate) struct Tally {
    begun: AtomicUsize,
    left: AtomicUsize,
    largest: AtomicU64,
}

impl Tally {
    /// How many have begun, and of how many the other side has closed the connection.
    pub(crate) fn acts(&self) -> (usize, usize) {
        (self.begun.load(Ordering::SeqCst), self.left.load(Ordering::SeqCst))
    }

    /// How many the other side has left.
    pub(crate) fn left(&self) -> usize {
        self.acts().1
    }

    /// The most bytes that one flood could get rid of.
    pub(crate) fn largest(&self) -> u64 {
        self.largest.load(Ordering::SeqCst)
    }
}

type Script = Arc<dyn Fn(&Heard) -> Act + Send + Sync>;

/// A running daemon; it ends when it is dropped.
pub(crate) struct Daemon {
    directory: Arc<TempDir>,
    heard: Arc<Mutex<Vec<Heard>>>,
    tally: Arc<Tally>,
    listening: JoinHandle<()>,
}

impl Daemon {
    pub(crate) fn new(script: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        Self::start(Arc::new(tempfile::tempdir().unwrap()), Arc::new(script), None)
    }

    /// One that acts as soon as somebody connects, whatever they say.
    pub(crate) fn at_once(act: Act) -> Self {
        Self::start(Arc::new(tempfile::tempdir().unwrap()), Arc::new(|_| Act::Close), Some(act))
    }

    /// Ends it with all its connections, and starts another one on the same socket.
    pub(crate) async fn restart(self, script: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let directory = self.directory.clone();
        self.listening.abort();
        while !self.listening.is_finished() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        std::fs::remove_file(directory.path().join("docker.sock")).unwrap();
        Self::start(directory, Arc::new(script), None)
    }

    fn start(directory: Arc<TempDir>, script: Script, greeting: Option<Act>) -> Self {
        let listener = UnixListener::bind(directory.path().join("docker.sock")).unwrap();
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let log = heard.clone();
        let tally = Arc::<Tally>::default();
        let told = tally.clone();
        let listening = tokio::spawn(async move {
            let connections = AtomicUsize::new(0);
            // Dropped with this task, and every connection with it.
            let mut serving = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (script, log, tally, greeting) = (script.clone(), log.clone(), told.clone(), greeting.clone());
                let connection = connections.fetch_add(1, Ordering::Relaxed);
                serving.spawn(async move {
                    match greeting {
                        Some(act) => drop(perform(&mut stream, act, &tally).await),
                        None => serve(stream, connection, &script, &log, &tally).await,
                    }
                });
            }
        });
        Self { directory, heard, tally, listening }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("docker.sock")
    }

    /// Its host specification, such as `a=unix:///...(ro)`.
    pub(crate) fn spec(&self, name: &str, markers: &str) -> String {
        format!("{name}=unix://{}{markers}", self.socket().display())
    }

    /// What became of its endless acts.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What it has heard so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What it has heard that was not only to get to know it.
    pub(crate) fn asked(&self) -> Vec<Heard> {
        self.heard().into_iter().filter(|heard| !["/_ping", "/version"].contains(&heard.target.as_str())).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: UnixStream, connection: usize, script: &Script, log: &Mutex<Vec<Heard>>, tally: &Tally) {
    let mut input = Vec::new();
    for number in 0.. {
        let Some(heard) = request(&mut stream, &mut input, connection, number).await else { return };
        log.lock().unwrap().push(heard.clone());
        if !perform(&mut stream, script(&heard), tally).await {
            return;
        }
    }
}

/// Does it; answers whether the connection goes on.
async fn perform(stream: &mut UnixStream, act: Act, tally: &Tally) -> bool {
    let goes_on = matches!(act, Act::Hold(_) | Act::Drip(..) | Act::Flood(..));
    tally.begun.fetch_add(usize::from(goes_on), Ordering::SeqCst);
    match act {
        Act::Send(bytes) => stream.write_all(&bytes).await.is_ok(),
        Act::Last(bytes) => {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
            false
        }
        Act::Hold(bytes) => {
            stream.write_all(&bytes).await.ok();
            let mut rest = [0; 1024];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            tally.left.fetch_add(1, Ordering::SeqCst);
            false
        }
        Act::Drip(first, rest, pause) => {
            let mut open = stream.write_all(&first).await.is_ok();
            for byte in rest {
                if open {
                    tokio::time::sleep(pause).await;
                    open = stream.write_all(&[byte]).await.is_ok();
                }
            }
            tally.left.fetch_add(usize::from(!open), Ordering::SeqCst);
            open
        }
        Act::Flood(first, chunk) => {
            let mut open = stream.write_all(&first).await.is_ok();
            let (mut sent, mut at) = (0, 0);
            while open {
                match stream.write(&chunk[at..]).await {
                    Ok(written) => {
                        sent += written as u64;
                        at = (at + written) % chunk.len();
                    }
                    Err(_) => open = false,
                }
                tally.largest.fetch_max(sent, Ordering::SeqCst);
            }
            tally.left.fetch_add(1, Ordering::SeqCst);
            false
        }
        Act::Close => false,
    }
}

/// The next request with its body read to the end.
async fn request(stream: &mut UnixStream, input: &mut Vec<u8>, connection: usize, number: usize) -> Option<Heard> {
    let head = loop {
        if let Some(end) = find(input, b"\r\n\r\n") {
            break input.drain(..end + 4).collect::<Vec<u8>>();
        }
        more(stream, input).await?;
    };
    let head = String::from_utf8(head).expect("a request is text");
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |name: &str| {
        let mut headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
    };
    if header("transfer-encoding").is_some() {
        loop {
            let end = loop {
                match find(input, b"\r\n") {
                    Some(end) => break end,
                    None => more(stream, input).await?,
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&input[..end]).unwrap(), 16).unwrap();
            while input.len() < end + 2 + size + 2 {
                more(stream, input).await?;
            }
            input.drain(..end + 2 + size + 2);
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = header("content-length") {
        let length = length.parse().unwrap();
        while input.len() < length {
            more(stream, input).await?;
        }
        input.drain(..length);
    }
    let (upgrade, authorization) = (header("upgrade").is_some(), header("x-registry-auth"));
    Some(Heard { method, target, upgrade, authorization, connection, number })
}

async fn more(stream: &mut UnixStream, input: &mut Vec<u8>) -> Option<()> {
    let read = stream.read_buf(input).await.ok()?;
    (read > 0).then_some(())
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}

/// An answer with a body.
pub(crate) fn answer(status: &str, kind: &str, api: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nApi-Version: {api}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A JSON answer.
pub(crate) fn json_answer(status: &str, document: &Value) -> Act {
    Act::Send(answer(status, "application/json", "1.45", document.to_string().as_bytes()))
}

// What a small engine would say.

pub(crate) const WEB: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
const TEMP: &str = "7e3b00007e3b00007e3b00007e3b00007e3b00007e3b00007e3b00007e3b0000";
const NEW: &str = "beef0000beef0000beef0000beef0000beef0000beef0000beef0000beef0000";
const EXEC: &str = "e8ec0000e8ec0000e8ec0000e8ec0000e8ec0000e8ec0000e8ec0000e8ec0000";
const IMAGE: &str = "sha256:1a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e00001a6e0000";
const SPARE: &str = "5ba2e0005ba2e0005ba2e0005ba2e0005ba2e0005ba2e0005ba2e0005ba2e000";
const FRONT: &str = "f0270000f0270000f0270000f0270000f0270000f0270000f0270000f0270000";

const CLUSTER: &str = "c1a57e2c1a57e2c1a57e2c1a5";
const NODE: &str = "40de0040de0040de0040de004";
const SECRET: &str = "5ec2e75ec2e75ec2e75ec2e75";
const CONFIG: &str = "c0f19c0f19c0f19c0f19c0f19";
const API: &str = "a9ia9ia9ia9ia9ia9ia9ia9i0";
const TASK: &str = "7a5c7a5c7a5c7a5c7a5c7a5c0";

/// What can be named on it.
pub(crate) fn world() -> World {
    World {
        container: "web".into(),
        image: "lab/base:1".into(),
        network: "front".into(),
        spare: "spare".into(),
        volume: "data".into(),
        node: "first".into(),
        secret: "password".into(),
        config: "site".into(),
        stored: "token".into(),
        prefix: "qm".into(),
    }
}

/// How an engine differs from a sane one; applied to every JSON document that it sends.
pub(crate) type Weather = fn(&mut Value);

/// A small sane engine: one running container, one that removes itself, an image, a network, a volume.
pub(crate) fn engine(heard: &Heard) -> Act {
    engine_in("1.45", |_| {}, heard)
}

/// The same with another API version, and with its documents spoiled.
#[expect(
    clippy::too_many_lines,
    clippy::match_same_arms,
    clippy::similar_names,
    reason = "a table of what an engine answers, route by route"
)]
pub(crate) fn engine_in(api: &str, weather: Weather, heard: &Heard) -> Act {
    let path = heard.path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let method = if heard.method == "HEAD" { "GET" } else { heard.method.as_str() };
    let json = |status: &str, mut document: Value| {
        weather(&mut document);
        Act::Send(answer(status, "application/json", api, document.to_string().as_bytes()))
    };
    let ok = |document: Value| json("200 OK", document);
    let lines = |documents: Vec<Value>| {
        let text = documents.into_iter().fold(String::new(), |text, mut document| {
            weather(&mut document);
            format!("{text}{document}\r\n")
        });
        Act::Send(answer("200 OK", "application/json", api, text.as_bytes()))
    };
    let done = || Act::Send(format!("HTTP/1.1 204 No Content\r\nApi-Version: {api}\r\n\r\n").into_bytes());
    let missing = |what: &str| json("404 Not Found", json!({"message": format!("No such {what}")}));
    match (method, &segments[..]) {
        ("GET", ["_ping"]) if heard.method == "HEAD" => {
            Act::Send(format!("HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Length: 0\r\n\r\n").into_bytes())
        }
        ("GET", ["_ping"]) => Act::Send(answer("200 OK", "text/plain; charset=utf-8", api, b"OK")),
        ("GET", ["version"]) => ok(json!({"Version": "26.1.5", "ApiVersion": api, "MinAPIVersion": "1.24",
            "Os": "linux", "Arch": "amd64", "KernelVersion": "6.1", "Components": [{"Name": "Engine", "Version": "26.1.5"}]})),
        ("GET", ["info"]) => ok(json!({"ID": "ENGINE", "Name": "host", "Containers": 2, "ContainersRunning": 2,
            "ContainersPaused": 0, "ContainersStopped": 0, "Images": 1, "Driver": "overlay2", "ServerVersion": "26.1.5",
            "NCPU": 2, "MemTotal": 1 << 30, "OperatingSystem": "Linux", "Warnings": ["WARNING: bridge-nf is off"],
            "Swarm": {"LocalNodeState": "active", "ControlAvailable": true, "NodeID": NODE, "NodeAddr": "10.0.0.5",
                "Nodes": 1, "Managers": 1, "RemoteManagers": [{"NodeID": NODE, "Addr": "10.0.0.5:2377"}], "Cluster": swarm()},
            "Labels": ["a=b"], "RegistryConfig": {"Mirrors": []},
            "Plugins": {"Volume": ["local"]}, "SecurityOptions": ["name=seccomp"], "LoggingDriver": "json-file"})),
        ("GET", ["events"]) => lines(vec![json!({"Type": "container", "Action": "start", "scope": "local",
            "Actor": {"ID": WEB, "Attributes": {"name": "web", "image": "lab/base:1"}},
            "time": 1_763_600_000, "timeNano": 1_763_600_000_000_000_000_i64})]),
        ("GET", ["system", "df"]) => ok(json!({"LayersSize": 1000, "Images": [image_row()],
            "Containers": [container_row()], "Volumes": [volume()],
            "BuildCache": [{"ID": "x", "Type": "regular", "InUse": false, "Shared": false, "Size": 5, "CreatedAt": "2026-01-01T00:00:00Z"}]})),
        ("GET", ["containers", "json"]) => ok(json!([container_row()])),
        ("GET", ["containers", name, "json"]) => match container(name) {
            Some(facts) => ok(facts),
            None => missing(&format!("container: {name}")),
        },
        ("GET", ["containers", _, "logs"]) => Act::Send(answer(
            "200 OK",
            "application/vnd.docker.multiplexed-stream",
            api,
            &[frame(1, "2026-01-01T00:00:00.000000000Z first\n"), frame(2, "2026-01-01T00:00:01.000000000Z second\n")]
                .concat(),
        )),
        ("GET", ["containers", _, "stats"]) => ok(stats()),
        ("GET", ["containers", _, "top"]) => ok(json!({"Titles": ["PID", "CMD"], "Processes": [["1", "sleep 600"]]})),
        ("GET", ["containers", _, "changes"]) => {
            ok(json!([{"Path": "/tmp", "Kind": 0}, {"Path": "/tmp/x", "Kind": 1}]))
        }
        ("GET", ["containers", _, "archive"]) => {
            let stat =
                base64(br#"{"name":"hosts","size":5,"mode":420,"mtime":"2026-01-01T00:00:00Z","linkTarget":""}"#);
            let tar = tar("hosts", b"plain");
            let head = format!(
                "HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Type: application/x-tar\r\n\
                 X-Docker-Container-Path-Stat: {stat}\r\nContent-Length: {}\r\n\r\n",
                tar.len()
            );
            Act::Send([head.as_bytes(), &tar].concat())
        }
        ("PUT", ["containers", _, "archive"]) => Act::Send(answer("200 OK", "text/plain", api, b"")),
        ("GET", ["containers", _, "export"]) => {
            Act::Send(answer("200 OK", "application/octet-stream", api, &tar("etc/hosts", b"plain")))
        }
        ("GET", ["images", "get"]) => {
            let manifest = br#"[{"Config":"x.json","RepoTags":["lab/base:1"],"Layers":[]}]"#;
            Act::Send(answer("200 OK", "application/x-tar", api, &tar("manifest.json", manifest)))
        }
        ("POST", ["images", "load"]) => lines(vec![json!({"stream": "Loaded image: lab/base:1\n"})]),
        ("POST", ["images", "create"]) if heard.target.contains("fromSrc") => lines(vec![json!({"status": IMAGE})]),
        ("POST", ["containers", _, "wait"]) => ok(json!({"StatusCode": 0})),
        ("POST", ["containers", "create"]) => json("201 Created", json!({"Id": NEW, "Warnings": []})),
        ("POST", ["containers", _, "exec"]) => json("201 Created", json!({"Id": EXEC})),
        ("POST", ["containers", _, "update"]) => ok(json!({"Warnings": []})),
        ("POST", ["exec", _, "start"] | ["containers", _, "attach"]) => {
            let switch = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
            Act::Last([switch.as_bytes(), &frame(1, "out\n")].concat())
        }
        ("GET", ["exec", _, "json"]) => ok(json!({"ID": EXEC, "Running": false, "ExitCode": 0, "Pid": 42,
            "ContainerID": WEB, "ProcessConfig": {"entrypoint": "true", "arguments": []}})),
        ("POST" | "DELETE", ["containers", ..]) | ("DELETE", ["networks" | "volumes", ..]) => done(),
        ("POST", ["commit"]) => json("201 Created", json!({"Id": IMAGE})),
        ("GET", ["images", "json"]) => ok(json!([image_row()])),
        ("GET", ["images", "search"]) => ok(json!([{"name": "busybox", "description": "a box", "star_count": 7,
            "is_official": true, "is_automated": false}])),
        ("GET", ["images", .., "history"]) => {
            ok(json!([{"Id": IMAGE, "Created": 1_763_600_000, "CreatedBy": "/bin/sh -c x",
            "Tags": ["lab/base:1"], "Size": 5, "Comment": ""}]))
        }
        ("GET", ["images", name @ .., "json"]) => {
            let name = name.join("/");
            if [IMAGE, "lab/base:1", "lab/base", "x"].contains(&name.as_str()) { ok(image()) } else { missing("image") }
        }
        ("POST", ["images", "create"]) => lines(vec![
            json!({"status": "Pulling from lab/base", "id": "1"}),
            json!({"status": "Downloading", "id": "aa", "progressDetail": {"current": 1, "total": 2}}),
            json!({"status": "Status: Image is up to date for lab/base:1"}),
        ]),
        ("POST", ["images", .., "push"]) => lines(vec![
            json!({"status": "The push refers to repository [docker.io/lab/base]"}),
            json!({"status": "Pushing", "id": "aa", "progressDetail": {"current": 1, "total": 2}}),
            json!({"status": "Pushed", "id": "aa"}),
            json!({"progressDetail": {}, "aux": {"Tag": "1", "Digest": IMAGE, "Size": 500}}),
        ]),
        ("POST", ["build"]) => lines(vec![
            json!({"stream": "Step 1/2 : FROM lab/base:1"}),
            json!({"stream": "\n"}),
            json!({"stream": "Step 2/2 : RUN true\n"}),
            json!({"aux": {"ID": IMAGE}}),
            json!({"stream": "Successfully built 1a6e00001a6e\n"}),
        ]),
        ("POST", ["images", .., "tag"]) => Act::Send(answer("201 Created", "text/plain", api, b"")),
        ("DELETE", ["images", ..]) => ok(json!([{"Untagged": "lab/base:1"}, {"Deleted": IMAGE}])),
        ("GET", ["distribution", ..]) => ok(json!({"Descriptor": {"digest": IMAGE}, "Platforms": []})),
        ("GET", ["networks"]) => ok(json!([network(), spare()])),
        ("GET", ["networks", name]) if [SPARE, "spare"].contains(name) => ok(spare()),
        ("GET", ["networks", name]) if [FRONT, "front"].contains(name) => ok(network()),
        ("POST", ["networks", "create"]) => json("201 Created", json!({"Id": NEW, "Warning": ""})),
        ("POST", ["networks", ..]) => Act::Send(answer("200 OK", "text/plain", api, b"")),
        ("GET", ["volumes"]) => ok(json!({"Volumes": [volume()], "Warnings": null})),
        ("GET", ["volumes", "data"]) => ok(volume()),
        ("POST", ["volumes", "create"]) => json("201 Created", volume()),
        ("POST", ["build", "prune"]) => ok(json!({"CachesDeleted": ["x"], "SpaceReclaimed": 5})),
        ("GET", ["swarm"]) => ok(swarm()),
        ("GET", ["swarm", "unlockkey"]) => {
            ok(json!({"UnlockKey": "SWMKEY-1-7c37Cc8654o6p38HnroywCi19pllOnGtbdZEgtKxZu8"}))
        }
        ("GET", ["nodes"]) => ok(json!([node()])),
        ("GET", ["nodes", NODE | "first" | "self"]) => ok(node()),
        ("GET", ["secrets"]) => ok(json!([kept(SECRET, "password", None)])),
        ("GET", ["secrets", SECRET | "password"]) => ok(kept(SECRET, "password", None)),
        ("GET", ["configs"]) => ok(json!([kept(CONFIG, "site", Some("bGlzdGVuIDgwCg=="))])),
        ("GET", ["configs", CONFIG | "site"]) => ok(kept(CONFIG, "site", Some("bGlzdGVuIDgwCg=="))),
        ("POST", ["secrets" | "configs", "create"]) => json("201 Created", json!({"ID": SECRET})),
        ("POST", ["swarm" | "nodes", ..]) => Act::Send(answer("200 OK", "text/plain", api, b"")),
        ("DELETE", ["nodes" | "secrets" | "configs", _]) => done(),
        (_, ["services" | "tasks", ..]) => of_swarm(method, &segments, api, weather),
        ("GET", ["plugins"]) => ok(json!([plugin()])),
        ("GET", ["plugins", "privileges"]) => ok(privileges()),
        ("GET", ["plugins", .., "json"]) => ok(plugin()),
        ("POST", ["plugins", "pull"] | ["plugins", .., "upgrade"]) => lines(vec![
            json!({"status": "Downloading", "id": "aa", "progressDetail": {"current": 1, "total": 2}}),
            json!({"status": "Pull complete", "id": "aa"}),
        ]),
        ("POST", ["plugins", .., "enable" | "disable"]) => Act::Send(answer("200 OK", "text/plain", api, b"")),
        ("POST", ["plugins", .., "set"]) => done(),
        ("DELETE", ["plugins", ..]) => ok(plugin()),
        ("GET", [what, ..]) => missing(what.trim_end_matches('s')),
        _ => json("404 Not Found", json!({"message": "page not found"})),
    }
}

/// What the managers of a swarm with one service would say.
fn of_swarm(method: &str, segments: &[&str], api: &str, weather: Weather) -> Act {
    let json = |status: &str, mut document: Value| {
        weather(&mut document);
        Act::Send(answer(status, "application/json", api, document.to_string().as_bytes()))
    };
    let ok = |document: Value| json("200 OK", document);
    match (method, segments) {
        ("GET", ["services"]) => ok(json!([service()])),
        ("GET", ["services", API | "api"]) => ok(service()),
        ("GET", ["services", API, "logs"]) => Act::Send(answer(
            "200 OK",
            "application/vnd.docker.multiplexed-stream",
            api,
            &frame(1, &format!("2026-01-01T00:00:00.000000000Z com.docker.swarm.task.id={TASK} first\n")),
        )),
        ("GET", ["services", name]) => json("404 Not Found", json!({"message": format!("service {name} not found")})),
        ("POST", ["services", "create"]) => json("201 Created", json!({"ID": API, "Warning": ""})),
        ("POST", ["services", API, "update"]) => ok(json!({"Warnings": null})),
        ("DELETE", ["services", API]) => Act::Send(answer("200 OK", "text/plain", api, b"")),
        ("GET", ["tasks"]) => ok(json!([task()])),
        _ => json("404 Not Found", json!({"message": "page not found"})),
    }
}

/// A tar of one file, as the crate of the same name writes it.
pub(crate) fn tar(name: &str, contents: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(contents.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    builder.append_data(&mut header, name, contents).unwrap();
    builder.into_inner().unwrap()
}

fn base64(bytes: &[u8]) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(bytes)
}

/// A frame of a log stream.
pub(crate) fn frame(source: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![source, 0, 0, 0];
    bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
    bytes.extend(text.as_bytes());
    bytes
}

fn container_row() -> Value {
    json!({"Id": WEB, "Names": ["/web"], "Image": "lab/base:1", "ImageID": IMAGE, "Command": "sleep 600",
        "Created": 1_763_600_000, "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        "Labels": {"com.docker.compose.project": "shop", "com.docker.compose.service": "web",
            "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False"}, "State": "running",
        "Status": "Up 2 minutes (healthy)", "HostConfig": {"NetworkMode": "front"}, "SizeRw": 10, "SizeRootFs": 20,
        "NetworkSettings": {"Networks": {"front": {"NetworkID": FRONT, "IPAddress": "10.0.0.2"}}},
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/data", "RW": true}]})
}

fn container(name: &str) -> Option<Value> {
    let (id, name, auto_remove) = match name {
        WEB | "web" | "c0ffee00c0ff" => (WEB, "/web", false),
        TEMP | "temp" => (TEMP, "/temp", true),
        NEW => (NEW, "/new", false),
        _ => return None,
    };
    Some(json!({"Id": id, "Name": name, "Image": IMAGE, "Created": "2026-01-01T00:00:00.000000000Z", "Path": "sleep",
        "Args": ["600"], "RestartCount": 0, "Platform": "linux", "Driver": "overlay2", "LogPath": "/x-json.log",
        "State": {"Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
            "Dead": false, "Pid": 42, "ExitCode": 0, "Error": "", "StartedAt": "2026-01-01T00:00:00.000000000Z",
            "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "healthy", "FailingStreak": 0, "Log": [{"ExitCode": 0, "Output": "fine"}]}},
        "Config": {"Image": "lab/base:1", "Env": ["SECRET=hunter2"], "Cmd": ["sleep", "600"], "Entrypoint": null,
            "Labels": {"a": "b"}, "Tty": false, "User": "", "WorkingDir": "", "Hostname": "web", "OpenStdin": false,
            "Healthcheck": {"Test": ["CMD", "true"]}},
        "HostConfig": {"AutoRemove": auto_remove, "NetworkMode": "front", "Memory": 0, "NanoCpus": 0, "PidsLimit": 0,
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "LogConfig": {"Type": "json-file", "Config": {}},
            "Privileged": false, "Binds": null, "PortBindings": {}},
        "Mounts": [{"Type": "volume", "Name": "data", "Source": "/v", "Destination": "/data", "RW": true}],
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
            "Networks": {"front": {"NetworkID": FRONT, "IPAddress": "10.0.0.2", "Aliases": ["web"]}}}}))
}

fn image_row() -> Value {
    json!({"Id": IMAGE, "RepoTags": ["lab/base:1"], "RepoDigests": [], "Created": 1_763_600_000, "Size": 100,
        "SharedSize": -1, "Containers": 1, "Labels": {"a": "b"}, "ParentId": ""})
}

fn image() -> Value {
    json!({"Id": IMAGE, "RepoTags": ["lab/base:1"], "RepoDigests": [], "Created": "2026-01-01T00:00:00Z", "Size": 100,
        "Os": "linux", "Architecture": "amd64", "RootFS": {"Type": "layers", "Layers": ["sha256:x"]},
        "Config": {"Env": ["SECRET=hunter2"], "Cmd": ["sh"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}}})
}

fn network() -> Value {
    json!({"Id": FRONT, "Name": "front", "Driver": "bridge", "Scope": "local", "Internal": false, "Attachable": false,
        "EnableIPv6": false, "Created": "2026-01-01T00:00:00Z", "Labels": {"a": "b"}, "Options": {},
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]},
        "Containers": {WEB: {"Name": "web", "IPv4Address": "10.0.0.2/24", "IPv6Address": ""}}})
}

fn spare() -> Value {
    let mut network = network();
    for (field, value) in [("Id", json!(SPARE)), ("Name", json!("spare")), ("Containers", json!({}))] {
        network[field] = value;
    }
    network
}

fn plugin() -> Value {
    json!({"Id": SPARE, "Name": "lab/plugin:1", "Enabled": false, "PluginReference": "lab/plugin:1",
        "Settings": {"Env": ["DEBUG=hunter2"], "Args": [], "Devices": [], "Mounts": []},
        "Config": {"Description": "a driver", "Documentation": "", "Entrypoint": ["/driver"], "WorkDir": "", "User": {},
            "Interface": {"Types": ["docker.volumedriver/1.0"], "Socket": "driver.sock"}, "Network": {"Type": "none"},
            "Linux": {"Capabilities": ["CAP_SYS_ADMIN"], "AllowAllDevices": false, "Devices": []},
            "Env": [{"Name": "DEBUG", "Description": "", "Settable": ["value"], "Value": "hunter2"}],
            "Args": {"Name": "", "Description": "", "Settable": null, "Value": []}, "Mounts": [],
            "PropagatedMount": "", "IpcHost": false, "PidHost": false}})
}

fn privileges() -> Value {
    json!([{"Name": "network", "Description": "permissions to access a network", "Value": ["host"]}])
}

fn volume() -> Value {
    json!({"Name": "data", "Driver": "local", "Mountpoint": "/v", "Scope": "local", "CreatedAt": "2026-01-01T00:00:00Z",
        "Labels": {"a": "b"}, "Options": {"o": "password=x"}, "UsageData": {"Size": 10, "RefCount": 1}})
}

fn service() -> Value {
    let spec = json!({"Name": "api", "Labels": {"com.docker.stack.namespace": "shop"},
        "Mode": {"Replicated": {"Replicas": 1}}, "TaskTemplate": {"ForceUpdate": 0, "ContainerSpec": {
            "Image": "lab/base:1", "Args": ["sleep", "600"], "Env": ["SECRET=hunter2"]}}});
    json!({"ID": API, "Version": {"Index": 7}, "CreatedAt": "2026-01-01T00:00:00Z", "UpdatedAt": "2026-01-01T00:00:00Z",
        "Spec": spec, "PreviousSpec": spec, "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080}]},
        "ServiceStatus": {"RunningTasks": 1, "DesiredTasks": 1, "CompletedTasks": 0}})
}

fn task() -> Value {
    json!({"ID": TASK, "ServiceID": API, "NodeID": NODE, "Slot": 1, "DesiredState": "running",
        "Spec": {"ForceUpdate": 0, "ContainerSpec": {"Image": "lab/base:1", "Args": ["sleep", "600"], "Env": ["SECRET=hunter2"]}},
        "Status": {"State": "running", "Timestamp": "2026-01-01T00:00:00Z", "Message": "started",
            "ContainerStatus": {"ContainerID": WEB, "PID": 42, "ExitCode": 0}}})
}

fn swarm() -> Value {
    json!({"ID": CLUSTER, "Version": {"Index": 10}, "CreatedAt": "2026-01-01T00:00:00Z",
        "UpdatedAt": "2026-01-01T00:00:00Z", "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "DataPathPort": 4789,
        "Spec": {"Name": "default", "Labels": {}, "Orchestration": {"TaskHistoryRetentionLimit": 5},
            "Raft": {"SnapshotInterval": 10_000, "KeepOldSnapshots": 0}, "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_u64},
            "CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_u64}, "TaskDefaults": {},
            "EncryptionConfig": {"AutoLockManagers": true}},
        "JoinTokens": {
            "Worker": "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx",
            "Manager": "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-7p73s1dx5in4tatdymyhg9hu2"}})
}

fn node() -> Value {
    json!({"ID": NODE, "Version": {"Index": 9}, "CreatedAt": "2026-01-01T00:00:00Z", "UpdatedAt": "2026-01-01T00:00:00Z",
        "Spec": {"Labels": {"zone": "a"}, "Role": "manager", "Availability": "active"},
        "Description": {"Hostname": "first", "Platform": {"Architecture": "x86_64", "OS": "linux"},
            "Resources": {"NanoCPUs": 2_000_000_000_u64, "MemoryBytes": 1 << 30},
            "Engine": {"EngineVersion": "26.1.5", "Labels": {"disk": "fast"}, "Plugins": [{"Type": "Volume", "Name": "local"}]}},
        "Status": {"State": "ready", "Addr": "10.0.0.5"},
        "ManagerStatus": {"Leader": true, "Reachability": "reachable", "Addr": "10.0.0.5:2377"}})
}

fn kept(id: &str, name: &str, data: Option<&str>) -> Value {
    let mut kept = json!({"ID": id, "Version": {"Index": 11}, "CreatedAt": "2026-01-01T00:00:00Z",
        "UpdatedAt": "2026-01-02T00:00:00Z", "Spec": {"Name": name, "Labels": {"a": "b"}}});
    if let Some(data) = data {
        kept["Spec"]["Data"] = data.into();
    }
    kept
}

fn stats() -> Value {
    let cpu = json!({"cpu_usage": {"total_usage": 1000, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "system_cpu_usage": 100_000, "online_cpus": 2,
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}});
    json!({"read": "2026-01-01T00:00:01Z", "preread": "2026-01-01T00:00:00Z", "id": WEB, "name": "/web",
        "cpu_stats": cpu, "precpu_stats": cpu, "pids_stats": {"current": 1},
        "memory_stats": {"usage": 1000, "limit": 1 << 30, "stats": {"inactive_file": 10}},
        "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}},
        "blkio_stats": {"io_service_bytes_recursive": [{"major": 8, "minor": 0, "op": "Read", "value": 5}]}})
}
