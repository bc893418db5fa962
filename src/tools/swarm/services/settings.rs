//! What a service is told to be: typed arguments in, a change of its specification out.

use std::collections::BTreeMap;

use bollard::models::{Mount, MountBindOptions, MountType, MountVolumeOptions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    docker::{
        Docker,
        amend::Amendment,
        names::{self, quote},
    },
    error::{Error, Result},
    secret::SCHEME,
    tool::{Call, Object, ObjectKind},
    tools::body::{arguments, mounts, ports, values, variables::variables, words},
};

/// Where the parts of a specification stand.
const CONTAINER: [&str; 2] = ["TaskTemplate", "ContainerSpec"];
/// Who reads a secret or a configuration, and how, unless it is said otherwise.
const FILE_MODE: u32 = 0o444;
/// How an update goes where nothing is said: the engine takes what is missing for zero, and zero for all at once.
const UPDATE: [(&str, u64); 2] = [("Parallelism", 1), ("Monitor", 5_000_000_000)];

/// What `create_service` and `update_service` share.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct Settings {
    /// Replaces the image's entrypoint.
    #[serde(default)]
    command: Option<Vec<String>>,
    /// Replaces the image's command.
    #[serde(default)]
    args: Option<Vec<String>>,
    /// Variables; a value may be `secret://NAME`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Of a replicated one.
    #[serde(default)]
    pub(super) replicas: Option<u64>,
    /// 8080:80, no address.
    #[serde(default)]
    ports: Option<Vec<String>>,
    /// As `-v` or `--mount`.
    #[serde(default)]
    mounts: Option<Vec<String>>,
    /// Overlay networks.
    #[serde(default)]
    networks: Option<Vec<String>>,
    /// NAME[:file].
    #[serde(default)]
    secrets: Option<Vec<String>>,
    /// NAME[:/file].
    #[serde(default)]
    configs: Option<Vec<String>>,
    /// node.role==worker.
    #[serde(default)]
    constraints: Option<Vec<String>>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// When a task is replaced.
    #[serde(default)]
    restart: Option<Restart>,
    /// 512m, 2g.
    #[serde(default)]
    memory: Option<String>,
    /// 0.5 is half a CPU.
    #[serde(default)]
    cpus: Option<f64>,
    /// Shell command.
    #[serde(default)]
    health_command: Option<String>,
    /// Such as 30s.
    #[serde(default)]
    health_interval: Option<String>,
    /// Name or uid[:gid].
    #[serde(default)]
    user: Option<String>,
    /// Path inside.
    #[serde(default)]
    working_dir: Option<String>,
    /// Of its containers.
    #[serde(default)]
    hostname: Option<String>,
    /// `NET_ADMIN`.
    #[serde(default)]
    cap_add: Option<Vec<String>>,
    /// ALL.
    #[serde(default)]
    cap_drop: Option<Vec<String>>,
    /// parallelism, delay, order (start-first), failure (rollback).
    #[serde(default)]
    update: BTreeMap<String, String>,
}

/// When a task is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Restart {
    None,
    OnFailure,
    Any,
}

/// The settings that an answer shows, and where they stand in a specification.
const SHOWN: &[(&str, &str)] = &[
    ("command", "/TaskTemplate/ContainerSpec/Command"),
    ("args", "/TaskTemplate/ContainerSpec/Args"),
    ("env", "/TaskTemplate/ContainerSpec/Env"),
    ("replicas", "/Mode/Replicated/Replicas"),
    ("ports", "/EndpointSpec/Ports"),
    ("mounts", "/TaskTemplate/ContainerSpec/Mounts"),
    ("networks", "/TaskTemplate/Networks"),
    ("secrets", "/TaskTemplate/ContainerSpec/Secrets"),
    ("configs", "/TaskTemplate/ContainerSpec/Configs"),
    ("constraints", "/TaskTemplate/Placement/Constraints"),
    ("labels", "/Labels"),
    ("restart", "/TaskTemplate/RestartPolicy/Condition"),
    ("memory", "/TaskTemplate/Resources/Limits/MemoryBytes"),
    ("cpus", "/TaskTemplate/Resources/Limits/NanoCPUs"),
    ("health_command", "/TaskTemplate/ContainerSpec/Healthcheck/Test"),
    ("health_interval", "/TaskTemplate/ContainerSpec/Healthcheck/Interval"),
    ("user", "/TaskTemplate/ContainerSpec/User"),
    ("working_dir", "/TaskTemplate/ContainerSpec/Dir"),
    ("hostname", "/TaskTemplate/ContainerSpec/Hostname"),
    ("cap_add", "/TaskTemplate/ContainerSpec/CapabilityAdd"),
    ("cap_drop", "/TaskTemplate/ContainerSpec/CapabilityDrop"),
    ("update", "/UpdateConfig/Parallelism"),
    ("update", "/UpdateConfig/Delay"),
    ("update", "/UpdateConfig/Order"),
    ("update", "/UpdateConfig/FailureAction"),
    ("image", "/TaskTemplate/ContainerSpec/Image"),
    ("force", "/TaskTemplate/ForceUpdate"),
];

/// Every setting in which two specifications differ, by its argument, with its value before and after.
pub(super) fn differences(before: &Value, after: &Value) -> Vec<(&'static str, Value, Value)> {
    let at = |document: &Value, pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
    let both = SHOWN.iter().map(|(name, pointer)| (*name, at(before, pointer), at(after, pointer)));
    both.filter(|(_, before, after)| before != after).collect()
}

impl Settings {
    /// Everything that the arguments name, resolved.
    pub(super) async fn named(&self, reading: &Docker) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        for name in self.networks.iter().flatten() {
            objects.push(reading.network("networks", name).await?);
        }
        for spec in self.secrets.iter().flatten() {
            objects.push(reading.secret("secrets", split(spec).0).await?);
        }
        for spec in self.configs.iter().flatten() {
            objects.push(reading.swarm_config("configs", split(spec).0).await?);
        }
        Ok(objects)
    }

    /// Refuses a secret for a variable that is shown to agents.
    pub(super) fn check_secrets(&self, reading: &Docker) -> Result<()> {
        let is_shown = |(name, value): &(&String, &String)| value.starts_with(SCHEME) && reading.reveal().shows(name);
        match self.env.iter().find(is_shown) {
            None => Ok(()),
            Some((name, _)) => Err(Error::invalid(format!(
                "argument \"env\": {} is shown to agents, so it takes no secret",
                quote(name)
            ))
            .hint("give the secret to another variable")),
        }
    }

    /// The variables as they were typed.
    pub(super) fn variables(&self) -> Result<Vec<String>> {
        variables(&self.env)
    }

    /// The change that the arguments are, with these variables; `objects` are what they name.
    pub(super) fn amendment(&self, variables: Vec<String>, objects: &[Object]) -> Result<Amendment> {
        let mut change = Draft(Amendment::default());
        self.process(&mut change, variables)?;
        self.surroundings(&mut change, objects)?;
        self.limits(&mut change)?;
        self.course(&mut change)?;
        Ok(change.0)
    }

    /// What runs in its containers, and as whom.
    fn process(&self, change: &mut Draft, variables: Vec<String>) -> Result<()> {
        for (argument, given, field) in [("command", &self.command, "Command"), ("args", &self.args, "Args")] {
            if let Some(given) = given {
                arguments(argument, given)?;
                change.container(field, given.clone());
            }
        }
        if !variables.is_empty() {
            change.0 = std::mem::take(&mut change.0).variables(&[CONTAINER[0], CONTAINER[1], "Env"], variables);
        }
        for (argument, given, field) in [
            ("user", &self.user, "User"),
            ("working_dir", &self.working_dir, "Dir"),
            ("hostname", &self.hostname, "Hostname"),
        ] {
            if let Some(text) = words(argument, given.as_ref())? {
                change.container(field, text);
            }
        }
        for (argument, given, field) in
            [("cap_add", &self.cap_add, "CapabilityAdd"), ("cap_drop", &self.cap_drop, "CapabilityDrop")]
        {
            if let Some(given) = given {
                given.iter().try_for_each(|text| words(argument, Some(text)).map(drop))?;
                change.container(field, given.clone());
            }
        }
        if let Some(command) = &self.health_command {
            arguments("health_command", std::slice::from_ref(command))?;
            change.set(&[CONTAINER[0], CONTAINER[1], "Healthcheck", "Test"], json!(["CMD-SHELL", command]));
        }
        if let Some(interval) = &self.health_interval {
            let interval = values::duration("health_interval", interval)?;
            change.set(&[CONTAINER[0], CONTAINER[1], "Healthcheck", "Interval"], interval);
        }
        Ok(())
    }

    /// What is around them: ports, mounts, networks, secrets, labels, places.
    fn surroundings(&self, change: &mut Draft, objects: &[Object]) -> Result<()> {
        if let Some(given) = &self.ports {
            change.set(&["EndpointSpec", "Ports"], published(given)?);
        }
        if let Some(given) = &self.mounts {
            change.container("Mounts", mounted(given)?);
        }
        let find = |kind: ObjectKind, asked: &str| {
            let mut found = objects.iter().filter(|object| object.kind == kind && object.asked == asked);
            found.next().ok_or_else(|| Error::internal("what the call names was not resolved"))
        };
        if let Some(given) = &self.networks {
            let network = |name: &String| Ok(json!({"Target": find(ObjectKind::Network, name)?.id}));
            change.set(&["TaskTemplate", "Networks"], given.iter().map(network).collect::<Result<Vec<_>>>()?);
            // Where older clients wrote them; both at once are refused.
            change.set(&["Networks"], Value::Null);
        }
        for (kind, given, field, prefix) in [
            (ObjectKind::Secret, &self.secrets, "Secrets", "Secret"),
            (ObjectKind::Config, &self.configs, "Configs", "Config"),
        ] {
            let Some(given) = given else { continue };
            let reference = |spec: &String| {
                let (name, file) = split(spec);
                let object = find(kind, name)?;
                let file = file.unwrap_or(&object.name);
                if file.is_empty() || file.chars().any(char::is_control) {
                    return Err(values::wrong(&field.to_lowercase(), spec, "no name", "NAME, or NAME:FILE"));
                }
                Ok(json!({
                    format!("{prefix}ID"): object.id, format!("{prefix}Name"): object.name,
                    "File": {"Name": file, "UID": "0", "GID": "0", "Mode": FILE_MODE},
                }))
            };
            change.container(field, given.iter().map(reference).collect::<Result<Vec<_>>>()?);
        }
        if let Some(given) = &self.constraints {
            given.iter().try_for_each(|text| words("constraints", Some(text)).map(drop))?;
            change.set(&["TaskTemplate", "Placement", "Constraints"], given.clone());
        }
        for (name, value) in &self.labels {
            change.set(&["Labels", name], value.as_str());
        }
        Ok(())
    }

    fn limits(&self, change: &mut Draft) -> Result<()> {
        let mut limit = |field: &str, value: i64| change.set(&["TaskTemplate", "Resources", "Limits", field], value);
        if let Some(memory) = &self.memory {
            limit("MemoryBytes", values::size("memory", memory)?);
        }
        if let Some(cpus) = self.cpus {
            limit("NanoCPUs", values::cpus(cpus)?);
        }
        Ok(())
    }

    /// How many there are, and how they come and go.
    fn course(&self, change: &mut Draft) -> Result<()> {
        if let Some(replicas) = self.replicas {
            change.set(&["Mode", "Replicated", "Replicas"], replicas);
        }
        if let Some(restart) = self.restart {
            change.set(&["TaskTemplate", "RestartPolicy", "Condition"], json!(restart));
        }
        for (name, value) in &self.update {
            let (field, value) = update(name, value)?;
            change.set(&["UpdateConfig", field], value.clone());
            // Going back goes the same way.
            if field != "FailureAction" {
                change.set(&["RollbackConfig", field], value);
            }
        }
        if !self.update.is_empty() {
            for (config, (field, value)) in
                ["UpdateConfig", "RollbackConfig"].into_iter().flat_map(|config| UPDATE.map(|usual| (config, usual)))
            {
                change.0 = std::mem::take(&mut change.0).preset(&[config, field], value);
            }
        }
        Ok(())
    }
}

/// A change on its way.
struct Draft(Amendment);

impl Draft {
    fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        self.0 = std::mem::take(&mut self.0).set(path, value);
    }

    fn container(&mut self, field: &str, value: impl Into<Value>) {
        self.set(&[CONTAINER[0], CONTAINER[1], field], value);
    }
}

/// One part of the way in which an update goes.
fn update(name: &str, value: &str) -> Result<(&'static str, Value)> {
    let wrong = |allowed: &str| values::wrong("update", &format!("{name}={value}"), "not allowed", allowed);
    let word = |words: &[&str]| {
        let known = words.contains(&value);
        if known { Ok(Value::from(value)) } else { Err(wrong(&format!("{name}: {}", words.join(", ")))) }
    };
    Ok(match name {
        "parallelism" => {
            let number = value.parse::<u16>().map_err(|_| wrong("parallelism: how many tasks at once, 0 for all"))?;
            ("Parallelism", number.into())
        }
        "delay" => ("Delay", values::duration("update", value)?.into()),
        "order" => ("Order", word(&["stop-first", "start-first"])?),
        "failure" => ("FailureAction", word(&["pause", "continue", "rollback"])?),
        _ => return Err(wrong("parallelism, delay, order, failure")),
    })
}

/// `name`, or `name:file`.
fn split(spec: &str) -> (&str, Option<&str>) {
    spec.split_once(':').map_or((spec, None), |(name, file)| (name, Some(file)))
}

/// Ports as a service has them: every node answers, so there is no address.
fn published(specs: &[String]) -> Result<Vec<Value>> {
    let (exposed, bindings) = ports::published(specs)?;
    let mut published = Vec::new();
    for port in exposed {
        let (target, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
        let target: u16 = target.parse().map_err(|_| Error::internal("a port is no number"))?;
        for binding in bindings.get(&port).into_iter().flatten().flatten() {
            let refused = |hint: &str| {
                let spec = specs.join(", ");
                Error::invalid(format!("argument \"ports\": {} does not fit a service", quote(&spec))).hint(hint)
            };
            if binding.host_ip.is_some() {
                return Err(refused("every node of the swarm answers on the port: leave the address out"));
            }
            let outside = binding.host_port.as_deref().unwrap_or_default();
            let mut entry = json!({"Protocol": protocol, "TargetPort": target, "PublishMode": "ingress"});
            if !outside.is_empty() {
                let outside: u16 = outside.parse().map_err(|_| refused("name one port, not several"))?;
                if let Some(fields) = entry.as_object_mut() {
                    fields.insert("PublishedPort".into(), outside.into());
                }
            }
            published.push(entry);
        }
    }
    Ok(published)
}

/// Mounts as a service has them: all in the long form.
fn mounted(specs: &[String]) -> Result<Vec<Value>> {
    let given = mounts::mounts(specs)?;
    let mut all = given.long;
    for spec in &given.binds {
        all.push(long(spec)?);
    }
    all.extend(given.anonymous.into_iter().map(|target| Mount {
        typ: Some(MountType::VOLUME),
        target: Some(target),
        ..Mount::default()
    }));
    all.iter()
        .map(|mount| {
            serde_json::to_value(mount)
                .map_err(|error| Error::internal("a mount cannot be written").detail(error.to_string()))
        })
        .collect()
}

/// `source:/destination[:options]` in the long form; the paths were read before.
fn long(spec: &str) -> Result<Mount> {
    let mut parts = spec.splitn(3, ':');
    let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_path = source.starts_with('/');
    let mut mount = Mount {
        typ: Some(if is_path { MountType::BIND } else { MountType::VOLUME }),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        ..Mount::default()
    };
    let (mut bind, mut volume) = (MountBindOptions::default(), MountVolumeOptions::default());
    for option in parts.next().into_iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => mount.read_only = Some(true),
            "rw" => {}
            "nocopy" if !is_path => volume.no_copy = Some(true),
            "bind-nonrecursive" if is_path => bind.non_recursive = Some(true),
            "bind-recursive" if is_path => {}
            other => match other.parse() {
                Ok(propagation) if is_path => bind.propagation = Some(propagation),
                _ => {
                    let allowed = "of a service: ro, rw, nocopy, bind-nonrecursive, and how a bind propagates";
                    return Err(values::wrong("mounts", other, "no option of a service's mount", allowed));
                }
            },
        }
    }
    mount.bind_options = (bind != MountBindOptions::default()).then_some(bind);
    mount.volume_options = (volume != MountVolumeOptions::default()).then_some(volume);
    Ok(mount)
}

/// Refuses what no name of a service can be, and one that callers could not see.
pub(super) fn check_name(reading: &Docker, name: &str) -> Result<()> {
    names::object("name", name)?;
    reading.may_be_called("name", Some(name))
}

/// The labels that mark what is made here, as a change that leaves those of the caller.
pub(super) fn marked(call: &Call) -> Amendment {
    let marks = call.labels(&BTreeMap::new());
    marks.iter().fold(Amendment::default(), |change, (name, value)| change.preset(&["Labels", name], value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::amend::Change;

    fn settings(arguments: Value) -> Settings {
        serde_json::from_value(arguments).unwrap()
    }

    fn spec(arguments: Value, before: Value) -> Result<Value> {
        let settings = settings(arguments);
        let objects = [
            (ObjectKind::Network, "net-id", "front"),
            (ObjectKind::Secret, "secret-id", "key"),
            (ObjectKind::Config, "config-id", "site"),
        ];
        let objects = objects.map(|(kind, id, name)| Object::listed(kind, id.into(), name.into(), Value::Null));
        let mut document = before;
        settings.amendment(settings.variables()?, &objects)?.apply(&mut document);
        Ok(document)
    }

    #[test]
    fn every_argument_has_its_place() {
        let spec = spec(
            json!({
                "command": ["/bin/web"], "args": ["-v"], "env": {"A": "1"}, "replicas": 3, "ports": ["8080:80", "53/udp"],
                "mounts": ["data:/data:ro,nocopy", "/srv/a:/a:rslave", "/cache", "type=tmpfs,dst=/t"],
                "networks": ["front"], "secrets": ["key", "key:/etc/key"], "configs": ["site:/etc/site.conf"],
                "constraints": ["node.role==worker"], "labels": {"a.b": "c"},
                "restart": "on-failure", "memory": "64m", "cpus": 0.5, "health_command": "true",
                "health_interval": "5s", "user": "1", "working_dir": "/w", "hostname": "h", "cap_add": ["NET_ADMIN"],
                "cap_drop": ["ALL"],
                "update": {"order": "start-first", "failure": "rollback", "delay": "1s"},
            }),
            json!({"Name": "web"}),
        );
        let spec = spec.unwrap();
        let container = &spec["TaskTemplate"]["ContainerSpec"];
        assert_eq!(container["Env"], json!(["A=1"]));
        assert_eq!(spec["Mode"], json!({"Replicated": {"Replicas": 3}}));
        assert_eq!(
            spec["EndpointSpec"]["Ports"],
            json!([{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress", "PublishedPort": 8080},
                {"Protocol": "udp", "TargetPort": 53, "PublishMode": "ingress"}])
        );
        let kinds: Vec<&Value> = container["Mounts"].as_array().unwrap().iter().map(|mount| &mount["Type"]).collect();
        assert_eq!(kinds, ["tmpfs", "volume", "bind", "volume"]);
        assert_eq!(container["Mounts"][1]["VolumeOptions"]["NoCopy"], true);
        assert_eq!(container["Mounts"][2]["BindOptions"]["Propagation"], "rslave");
        assert_eq!(container["Secrets"][0]["File"]["Name"], "key");
        assert_eq!(
            (&container["Secrets"][1]["SecretID"], &container["Secrets"][1]["File"]["Name"]),
            (&json!("secret-id"), &json!("/etc/key"))
        );
        assert_eq!(
            (&container["Configs"][0]["ConfigName"], &container["Configs"][0]["File"]["Mode"]),
            (&json!("site"), &json!(292))
        );
        assert_eq!(spec["TaskTemplate"]["Networks"], json!([{"Target": "net-id"}]));
        assert_eq!(
            spec["TaskTemplate"]["Resources"]["Limits"],
            json!({"MemoryBytes": 64 << 20, "NanoCPUs": 500_000_000 })
        );
        assert_eq!(spec["TaskTemplate"]["RestartPolicy"]["Condition"], "on-failure");
        assert_eq!(
            spec["UpdateConfig"],
            json!({"Order": "start-first", "FailureAction": "rollback", "Delay": 1_000_000_000, "Parallelism": 1, "Monitor": 5_000_000_000_u64})
        );
        assert_eq!(spec["RollbackConfig"]["FailureAction"], Value::Null);
        assert_eq!(spec["Labels"]["a.b"], "c");
        // Every place that an answer shows is one that is written.
        for (name, pointer) in SHOWN.iter().filter(|(name, _)| !["image", "force"].contains(name)) {
            assert!(spec.pointer(pointer).is_some(), "{name} is not at {pointer}");
        }
        assert_eq!(differences(&json!({}), &spec).len(), SHOWN.len() - 2);
    }

    #[test]
    fn what_is_not_given_stays() {
        let before = json!({"Name": "web", "Labels": {"k": "v"}, "TaskTemplate": {"ContainerSpec": {"Image": "x",
            "Env": ["P=secret"], "Args": ["a"]}, "ForceUpdate": 1}, "UpdateConfig": {"Parallelism": 4}});
        assert_eq!(spec(json!({}), before.clone()).unwrap(), before);
        let after =
            spec(json!({"env": {"A": "1"}, "args": [], "update": {"order": "stop-first"}}), before.clone()).unwrap();
        assert_eq!(
            after["TaskTemplate"]["ContainerSpec"],
            json!({"Image": "x", "Env": ["P=secret", "A=1"], "Args": []})
        );
        assert_eq!(after["UpdateConfig"]["Parallelism"], 4);
        let names: Vec<&str> = differences(&before, &after).iter().map(|(name, ..)| *name).collect();
        assert_eq!(names, ["args", "env", "update"]);
    }

    #[test]
    fn what_no_service_can_have_is_refused() {
        for arguments in [
            json!({"ports": ["127.0.0.1:80:80"]}),
            json!({"ports": ["8000-8005:80"]}),
            json!({"ports": ["x"]}),
            json!({"mounts": ["data:/data:z"]}),
            json!({"mounts": ["data:/data:rslave"]}),
            json!({"mounts": ["./a:/a"]}),
            json!({"secrets": ["key:"]}),
            json!({"memory": "much"}),
            json!({"cpus": 0}),
            json!({"update": {"delay": "soon"}}),
            json!({"update": {"order": "both"}}),
            json!({"update": {"speed": "1"}}),
            json!({"update": {"parallelism": "-1"}}),
            json!({"user": "a\nb"}),
            json!({"constraints": [""]}),
            json!({"env": {"A=B": "x"}}),
        ] {
            assert!(spec(arguments.clone(), json!({})).is_err(), "{arguments}");
        }
    }
}
