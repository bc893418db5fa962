//! An engine asked directly over its socket, past the gateway: what a test arranges and compares with.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};

use crate::rig::lab;

/// An engine's own socket.
#[derive(Debug, Clone)]
pub(crate) struct Bare {
    socket: String,
}

impl Bare {
    pub(crate) fn at(socket: &str) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Sends a request; answers status and document, or null where there is none.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.socket).expect("the engine");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        write!(
            stream,
            "{method} /v1.41{path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = &answer[end + 4..];
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.to_vec() };
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.send("GET", path, &Value::Null).1
    }

    /// Sends a change that must succeed.
    #[track_caller]
    pub(crate) fn make(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send("POST", path, body);
        assert!((200..400).contains(&status), "POST {path}: {status} {answer}");
        answer
    }

    /// Removes everything whose name holds the text; nobody else's does.
    pub(crate) fn sweep(&self, prefix: &str) {
        let gone = |path: String| drop(self.send("DELETE", &path, &Value::Null));
        for (_, id) in self.containers(prefix) {
            gone(format!("/containers/{id}?force=1&v=1"));
        }
        for (_, id) in self.networks(prefix) {
            gone(format!("/networks/{id}"));
        }
        for name in self.volumes(prefix) {
            gone(format!("/volumes/{name}?force=1"));
        }
        for (tag, _) in self.images(prefix) {
            gone(format!("/images/{tag}"));
        }
        for (_, id) in self.plugins(prefix) {
            gone(format!("/plugins/{id}?force=1"));
        }
    }

    /// Names and ids of the plugins whose name holds the text.
    pub(crate) fn plugins(&self, prefix: &str) -> Vec<(String, String)> {
        named(&self.get("/plugins"), prefix, |row| vec![row["Name"].as_str().unwrap_or_default().to_owned()], "Id")
    }

    /// Makes a plugin that can be configured, and not be enabled: there is no program in it.
    fn plugin(&self, name: &str) {
        let home = tempfile::tempdir().expect("a directory");
        fs::create_dir(home.path().join("rootfs")).expect("a directory");
        // No two tests may make the same content at once.
        fs::write(home.path().join("rootfs/name"), name).expect("a file");
        let config = json!({"description": "a test's", "documentation": "", "entrypoint": ["/none"],
            "interface": {"types": ["docker.volumedriver/1.0"], "socket": "none.sock"},
            "env": [{"name": "DEBUG", "description": "", "settable": ["value"], "value": "0"}]});
        fs::write(home.path().join("config.json"), config.to_string()).expect("a file");
        let made = Command::new(lab("LAB_DOCKER"))
            .args(["plugin", "create", name, &home.path().display().to_string()])
            .env("DOCKER_HOST", format!("unix://{}", self.socket))
            .output()
            .expect("the docker CLI");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Names and ids of the containers whose name holds the text.
    pub(crate) fn containers(&self, prefix: &str) -> Vec<(String, String)> {
        let listed = self.get("/containers/json?all=1");
        let name = |row: &Value| row["Names"][0].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        named(&listed, prefix, |row| vec![name(row)], "Id")
    }

    pub(crate) fn networks(&self, prefix: &str) -> Vec<(String, String)> {
        named(&self.get("/networks"), prefix, |row| vec![row["Name"].as_str().unwrap_or_default().to_owned()], "Id")
    }

    pub(crate) fn volumes(&self, prefix: &str) -> Vec<String> {
        let listed = self.get("/volumes");
        let names =
            named(&listed["Volumes"], prefix, |row| vec![row["Name"].as_str().unwrap_or_default().into()], "Name");
        names.into_iter().map(|(name, _)| name).collect()
    }

    /// Tags that hold the text, and the ids behind them.
    pub(crate) fn images(&self, prefix: &str) -> Vec<(String, String)> {
        let tags = |row: &Value| {
            let tags = row["RepoTags"].as_array().into_iter().flatten().filter_map(Value::as_str);
            tags.map(str::to_owned).collect()
        };
        named(&self.get("/images/json"), prefix, tags, "Id")
    }

    /// Everything of the given name as it is now: what a call that only looks must leave alone.
    pub(crate) fn picture(&self, prefix: &str) -> Value {
        let containers = self.containers(prefix).into_iter().map(|(name, id)| {
            let facts = self.get(&format!("/containers/{id}/json"));
            let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
            let networks: Vec<String> = at("/NetworkSettings/Networks")
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            json!({
                "name": name, "id": id, "state": at("/State/Status"), "started": at("/State/StartedAt"),
                "finished": at("/State/FinishedAt"), "pid": at("/State/Pid"), "restarts": at("/RestartCount"),
                "execs": at("/ExecIDs"), "host": at("/HostConfig"), "config": at("/Config"), "networks": networks,
            })
        });
        let containers: Vec<Value> = containers.collect();
        let networks = self.networks(prefix).into_iter().map(|(name, id)| {
            json!({"name": name, "id": id, "containers": self.get(&format!("/networks/{id}"))["Containers"]})
        });
        let networks: Vec<Value> = networks.collect();
        let plugins = self.plugins(prefix).into_iter().map(|(name, id)| {
            let facts = self.get(&format!("/plugins/{id}/json"));
            json!({"name": name, "id": id, "enabled": facts["Enabled"], "env": facts["Settings"]["Env"]})
        });
        let plugins: Vec<Value> = plugins.collect();
        json!({
            "plugins": plugins,
            "containers": containers, "networks": networks,
            "volumes": self.volumes(prefix), "images": self.images(prefix),
        })
    }
}

fn named(rows: &Value, text: &str, names: impl Fn(&Value) -> Vec<String>, id: &str) -> Vec<(String, String)> {
    let rows = rows.as_array().into_iter().flatten();
    let mut found: Vec<(String, String)> = rows
        .flat_map(|row| {
            let id = row[id].as_str().unwrap_or_default().to_owned();
            names(row).into_iter().map(move |name| (name, id.clone()))
        })
        .filter(|(name, _)| name.contains(text))
        .collect();
    found.sort();
    found
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(&String::from_utf8_lossy(&body[..end]), 16).unwrap_or_default();
        if size == 0 || body.len() < end + 2 + size {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = body.get(end + 2 + size + 2..).unwrap_or_default();
    }
    whole
}

/// Objects of every kind on an engine, made past the gateway and removed at the end, however it ends.
pub(crate) struct Stage {
    pub(crate) engine: Bare,
    /// In the name of all that belongs to the test.
    pub(crate) prefix: String,
    /// How it looked when it was last made.
    made: Value,
}

impl Stage {
    pub(crate) fn set(socket: &str, prefix: String) -> Self {
        let mut stage = Self::unset(socket, prefix);
        stage.restore();
        stage
    }

    /// Names without objects behind them.
    pub(crate) fn unset(socket: &str, prefix: String) -> Self {
        Self { engine: Bare::at(socket), prefix, made: Value::Null }
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.prefix)
    }

    /// A label that only objects of the test have.
    pub(crate) fn label(&self) -> String {
        format!("quaymaster.test={}", self.prefix)
    }

    /// Makes everything as it was in the beginning: `web` runs, `temp` runs and removes itself, `old` has
    /// ended, `shop` is a compose project; `net` and `data` are in use, `spare` ones are not; the image has a tag of its own; the plugin rests.
    pub(crate) fn restore(&mut self) {
        let Self { engine, prefix, made } = &*self;
        if *made == engine.picture(prefix) {
            return;
        }
        engine.sweep(prefix);
        let labels = json!({"quaymaster.test": prefix});
        let image = self.name("image");
        engine.make(&format!("/images/{}/tag?repo={image}&tag=1", lab("LAB_IMAGE")), &Value::Null);
        for network in ["net", "spare"] {
            engine.make("/networks/create", &json!({"Name": self.name(network), "Labels": labels}));
        }
        for volume in ["data", "spare"] {
            engine.make("/volumes/create", &json!({"Name": self.name(volume), "Labels": labels}));
        }
        for (container, command, auto_remove) in
            [("web", ["sleep", "600"], false), ("temp", ["sleep", "600"], true), ("old", ["echo", "done"], false)]
        {
            let body = json!({"Image": format!("{image}:1"), "Cmd": command, "Labels": labels, "StopSignal": "SIGKILL",
                "HostConfig": {"NetworkMode": self.name("net"), "AutoRemove": auto_remove,
                    "Binds": [format!("{}:/data", self.name("data"))]}});
            let name = self.name(container);
            engine.make(&format!("/containers/create?name={name}"), &body);
            engine.make(&format!("/containers/{name}/start"), &Value::Null);
        }
        engine.make(&format!("/containers/{}/wait", self.name("old")), &Value::Null);
        let shop = self.name("shop");
        let labels = json!({"quaymaster.test": prefix, "com.docker.compose.project": shop,
            "com.docker.compose.service": "web", "com.docker.compose.container-number": "1",
            "com.docker.compose.oneoff": "False", "com.docker.compose.config-hash": "0", "com.docker.compose.version": "2"});
        let body = json!({"Image": format!("{image}:1"), "Cmd": ["sleep", "600"], "Labels": labels,
            "StopSignal": "SIGKILL", "ExposedPorts": {"80/tcp": {}}, "HostConfig": {"NetworkMode": self.name("net"),
                "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}});
        engine.make(&format!("/containers/create?name={shop}"), &body);
        engine.make(&format!("/containers/{shop}/start"), &Value::Null);
        engine.plugin(&self.name("plugin"));
        self.made = engine.picture(prefix);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.sweep(&self.prefix);
    }
}
