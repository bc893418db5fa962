//! What a project will ask of the engine, written as the engine reads it: so that the rules of its host are asked once, before the run.
//!
//! The CLI's own requests are judged again when they come. What is written here only has to say the same of whatever a
//! rule is about.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{PROJECT, Rendered};
use crate::tool::BodyKind;

/// The fields of a service that the engine has under another name in `HostConfig`, with the same values.
const SAME: &[(&str, &str)] = &[
    ("privileged", "Privileged"),
    ("cap_add", "CapAdd"),
    ("security_opt", "SecurityOpt"),
    ("pid", "PidMode"),
    ("ipc", "IpcMode"),
    ("uts", "UTSMode"),
    ("userns_mode", "UsernsMode"),
    ("cgroup", "CgroupnsMode"),
    ("cgroup_parent", "CgroupParent"),
    ("runtime", "Runtime"),
    ("device_cgroup_rules", "DeviceCgroupRules"),
    ("oom_kill_disable", "OomKillDisable"),
    ("oom_score_adj", "OomScoreAdj"),
    ("pids_limit", "PidsLimit"),
    ("group_add", "GroupAdd"),
    ("external_links", "Links"),
];

/// Every document of these services that a rule can be about, and of the project's volumes and networks.
///
/// `there` are the containers that its services have already, by their ids: sharing what is theirs is a question of its
/// own. Those that the run makes are judged themselves.
pub(super) fn bodies(
    project: &Rendered,
    chosen: &[String],
    there: &BTreeMap<String, Vec<String>>,
) -> Vec<(BodyKind, Value)> {
    let plain = undoubled(project.document.clone());
    let services = plain.get("services").and_then(Value::as_object).into_iter().flatten();
    let mut bodies = Vec::new();
    for (_, service) in services.filter(|(name, _)| chosen.contains(name)) {
        let document = container(project, service, &plain);
        for (field, other) in shared(service) {
            for id in there.get(other).into_iter().flatten() {
                let mut document = document.clone();
                if let Some(host) = document.get_mut("HostConfig").and_then(Value::as_object_mut) {
                    let other = if field == "VolumesFrom" { json!([id]) } else { json!(format!("container:{id}")) };
                    host.insert(field.to_owned(), other);
                }
                bodies.push((BodyKind::Container, document));
            }
        }
        bodies.push((BodyKind::Container, document));
        if let Some(build) = service.get("build").filter(|build| build.is_object()) {
            bodies.push((BodyKind::Build, of_build(build)));
        }
    }
    for (_, volume) in plain.get("volumes").and_then(Value::as_object).into_iter().flatten() {
        if is_own(volume) {
            let options = volume.get("driver_opts").cloned().unwrap_or_default();
            let (driver, labels) = (volume.get("driver"), volume.get("labels"));
            bodies.push((BodyKind::Volume, json!({"Driver": driver, "DriverOpts": options, "Labels": labels})));
        }
    }
    for (_, network) in plain.get("networks").and_then(Value::as_object).into_iter().flatten() {
        if is_own(network) {
            let (driver, labels) = (network.get("driver"), network.get("labels"));
            bodies.push((BodyKind::Network, json!({"Driver": driver, "Labels": labels})));
        }
    }
    bodies
}

/// Whether the project makes it, and does not take what is there.
fn is_own(object: &Value) -> bool {
    !matches!(object.get("external"), Some(Value::Bool(true) | Value::Object(_)))
}

/// Rendered text has its dollar signs doubled; what is sent has not.
fn undoubled(document: Value) -> Value {
    match document {
        Value::String(text) => Value::String(text.replace("$$", "$")),
        Value::Array(items) => items.into_iter().map(undoubled).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, undoubled(value))).collect(),
        other => other,
    }
}

fn container(project: &Rendered, service: &Value, whole: &Value) -> Value {
    let mut host = Map::new();
    for (name, own) in SAME {
        if let Some(value) = service.get(*name).filter(|value| !value.is_null()) {
            host.insert((*own).to_owned(), value.clone());
        }
    }
    let text = |name: &str| service.get(name).and_then(Value::as_str).unwrap_or_default();
    // A mode that names a service of the project means a container of its own.
    for own in ["PidMode", "IpcMode"] {
        if host.get(own).and_then(Value::as_str).is_some_and(|mode| mode.starts_with("service:")) {
            host.remove(own);
        }
    }
    let mode = text("network_mode");
    if !mode.is_empty() && !mode.starts_with("service:") {
        host.insert("NetworkMode".into(), mode.into());
    }
    host.insert("Memory".into(), number(service, &["mem_limit", "deploy/resources/limits/memory"]).into());
    if let Some(pids) = service.pointer("/deploy/resources/limits/pids") {
        host.insert("PidsLimit".into(), pids.clone());
    }
    host.insert("Mounts".into(), items(service, "volumes").map(|mount| mounted(mount, whole)).collect());
    host.insert("VolumesFrom".into(), others(service).collect());
    host.insert("Devices".into(), items(service, "devices").map(device).collect());
    let requests = service.pointer("/deploy/resources/reservations/devices").and_then(Value::as_array);
    let gpus = service.get("gpus").and_then(Value::as_array);
    let requests = requests.into_iter().chain(gpus).flatten().map(request);
    host.insert("DeviceRequests".into(), requests.collect());
    host.insert("Sysctls".into(), words(service.get("sysctls")));
    host.insert("ExtraHosts".into(), hosts(service.get("extra_hosts")));
    host.insert("PortBindings".into(), ports(service));
    let policy = match service.pointer("/deploy/restart_policy/condition").and_then(Value::as_str) {
        Some("any") => "always",
        _ => text("restart"),
    };
    host.insert("RestartPolicy".into(), json!({ "Name": policy }));
    if let Some(logging) = service.get("logging") {
        let options = words(logging.get("options"));
        host.insert("LogConfig".into(), json!({"Type": logging.get("driver"), "Config": options}));
    }
    let mut labels = words(service.get("labels"));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(PROJECT.into(), project.name.as_str().into());
    }
    let variables = words(service.get("environment"));
    let variables = variables.as_object().into_iter().flatten();
    let variables = variables.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    json!({
        "Image": text("image"), "User": text("user"), "Labels": labels,
        "Env": variables.collect::<Vec<_>>(), "HostConfig": host,
    })
}

fn of_build(build: &Value) -> Value {
    let arguments = words(build.get("args"));
    let arguments = arguments.as_object().into_iter().flatten();
    let arguments = arguments.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    json!({
        "HostConfig": {"NetworkMode": build.get("network"), "ExtraHosts": hosts(build.get("extra_hosts"))},
        "Labels": words(build.get("labels")), "Env": arguments.collect::<Vec<_>>(), "Images": [],
    })
}

pub(super) fn items<'a>(service: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    service.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// A number that is written as a text where it was a size.
pub(super) fn number(service: &Value, places: &[&str]) -> Option<i64> {
    let found = places.iter().find_map(|place| service.pointer(&format!("/{place}")));
    found.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok()))
}

/// A map, also where it is written as a list of `NAME=value`.
pub(super) fn words(value: Option<&Value>) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let fields: Map<String, Value> = match value {
        Some(Value::Object(fields)) => fields.iter().map(|(name, value)| (name.clone(), text(value).into())).collect(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(|item| item.split_once('=').unwrap_or((item, "")))
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect(),
        _ => Map::new(),
    };
    fields.into()
}

/// Names with addresses, as a list of `name:address`.
pub(super) fn hosts(value: Option<&Value>) -> Value {
    match value {
        Some(Value::Object(fields)) => {
            let addresses = |value: &Value| match value {
                Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
                other => vec![other.as_str().unwrap_or_default().to_owned()],
            };
            let each = fields
                .iter()
                .flat_map(|(name, value)| addresses(value).into_iter().map(move |address| format!("{name}:{address}")));
            each.collect::<Vec<_>>().into()
        }
        Some(list @ Value::Array(_)) => list.clone(),
        _ => json!([]),
    }
}

fn mounted(mount: &Value, whole: &Value) -> Value {
    let kind = mount.get("type").and_then(Value::as_str).unwrap_or_default();
    let source = mount.get("source").and_then(Value::as_str).unwrap_or_default();
    let read_only = mount.get("read_only").and_then(Value::as_bool).unwrap_or_default();
    let target = mount.get("target").and_then(Value::as_str).unwrap_or_default();
    // A volume of the project goes by the name that the project gives it.
    let source = match whole.pointer("/volumes").and_then(|volumes| volumes.get(source)?.get("name")?.as_str()) {
        Some(name) if kind == "volume" => name,
        _ => source,
    };
    let labels = mount.pointer("/volume/labels").map(|labels| words(Some(labels)));
    json!({
        "Type": kind, "Source": source, "Target": target, "ReadOnly": read_only, "VolumeOptions": {"Labels": labels},
    })
}

/// Containers whose volumes are taken, but for those of services of the project.
fn others(service: &Value) -> impl Iterator<Item = Value> {
    let named = items(service, "volumes_from").filter_map(Value::as_str);
    named.filter_map(|name| name.strip_prefix("container:")).map(Value::from)
}

/// The services of the project whose containers' namespaces or volumes a service shares, with the engine's field.
fn shared(service: &Value) -> impl Iterator<Item = (&'static str, &str)> {
    let modes = [("network_mode", "NetworkMode"), ("pid", "PidMode"), ("ipc", "IpcMode")];
    let modes = modes
        .into_iter()
        .filter_map(|(name, field)| Some((field, service.get(name)?.as_str()?.strip_prefix("service:")?)));
    let volumes = items(service, "volumes_from").filter_map(Value::as_str);
    let volumes = volumes.filter(|name| !name.starts_with("container:"));
    modes.chain(volumes.map(|name| ("VolumesFrom", name.split(':').next().unwrap_or_default())))
}

/// Whether a service shares what is another's of the project.
pub(super) fn shares(service: &Value) -> bool {
    shared(service).next().is_some()
}

fn device(device: &Value) -> Value {
    let name = match device {
        Value::String(device) => device.split(':').next().unwrap_or_default(),
        device => device.get("source").and_then(Value::as_str).unwrap_or_default(),
    };
    json!({ "PathOnHost": name })
}

fn request(wanted: &Value) -> Value {
    let count = match wanted.get("count") {
        Some(Value::String(count)) if count == "all" => Some(-1),
        Some(Value::String(count)) => count.parse().ok(),
        Some(count) => count.as_i64(),
        None => None,
    };
    // Without kinds it is one for graphics processors.
    let kinds = wanted.get("capabilities").cloned().unwrap_or(json!(["gpu"]));
    json!({
        "Driver": wanted.get("driver"), "Count": count, "DeviceIDs": wanted.get("device_ids"),
        "Capabilities": [kinds],
    })
}

fn ports(service: &Value) -> Value {
    let mut bound = Map::new();
    for port in items(service, "ports") {
        let text = |field: &str| match port.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let protocol = Some(text("protocol")).filter(|protocol| !protocol.is_empty());
        let key = format!("{}/{}", text("target"), protocol.as_deref().unwrap_or("tcp"));
        let binding = json!({"HostIp": text("host_ip"), "HostPort": text("published")});
        match bound.entry(key).or_insert_with(|| json!([])) {
            Value::Array(bindings) => bindings.push(binding),
            other => *other = json!([binding]),
        }
    }
    bound.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(document: Value) -> Rendered {
        Rendered { name: "shop".into(), document, directory: "/srv/shop".into(), warnings: Vec::new() }
    }

    #[test]
    fn a_service_is_written_as_the_engine_reads_it() {
        let document = json!({
            "services": {"web": {
                "image": "web:1", "user": "0", "privileged": true, "cap_add": ["SYS_ADMIN"], "pid": "host",
                "ipc": "service:db", "network_mode": "host", "mem_limit": "52428800", "restart": "always",
                "environment": {"A": "x$$y", "B": null}, "labels": {"traefik.enable": "true"},
                "volumes": [{"type": "bind", "source": "/", "target": "/h", "read_only": true},
                            {"type": "volume", "source": "data", "target": "/d"}],
                "devices": ["/dev/kvm:/dev/kvm:rwm", {"source": "/dev/fuse", "target": "/dev/fuse"}],
                "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}],
                "extra_hosts": {"up": "host-gateway"}, "sysctls": {"kernel.msgmax": 1},
                "deploy": {"resources": {"limits": {"pids": 9},
                           "reservations": {"devices": [{"capabilities": ["gpu"], "count": -1}]}}},
                "build": {"context": "/srv/shop", "args": {"TOKEN": "x"}, "network": "host"},
            }},
            "volumes": {"data": {"name": "shop_data", "driver_opts": {"type": "none", "o": "bind", "device": "/"}},
                        "there": {"name": "there", "external": true}},
            "networks": {"default": {"name": "shop_default"}},
        });
        let bodies = bodies(&project(document), &["web".to_owned()], &BTreeMap::new());
        let kinds: Vec<BodyKind> = bodies.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [BodyKind::Container, BodyKind::Build, BodyKind::Volume, BodyKind::Network]);
        let body = &bodies[0].1;
        let host = &body["HostConfig"];
        assert_eq!(body["Env"], json!(["A=x$y", "B="]));
        assert_eq!(body["Labels"], json!({"traefik.enable": "true", PROJECT: "shop"}));
        assert_eq!(
            (&host["Privileged"], &host["PidMode"], &host["IpcMode"]),
            (&json!(true), &json!("host"), &Value::Null)
        );
        assert_eq!((&host["Memory"], &host["PidsLimit"]), (&json!(52_428_800), &json!(9)));
        assert_eq!(host["Mounts"][0]["Source"], json!("/"));
        assert_eq!(host["Mounts"][1]["Source"], json!("shop_data"));
        assert_eq!(host["Devices"], json!([{"PathOnHost": "/dev/kvm"}, {"PathOnHost": "/dev/fuse"}]));
        assert_eq!(host["PortBindings"], json!({"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}));
        assert_eq!(host["ExtraHosts"], json!(["up:host-gateway"]));
        assert_eq!(host["DeviceRequests"][0]["Count"], json!(-1));
        assert_eq!(bodies[1].1["HostConfig"]["NetworkMode"], json!("host"));
        assert_eq!(bodies[2].1["DriverOpts"]["device"], json!("/"));
    }
}
