//! A stack: the same files, put together by `docker stack`, and deployed out of the copy.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    Copied, Definition, LARGEST, Reader, Rendered,
    bodies::{hosts, items, number, words},
    copies::{Copies, Copying, parsed},
};
use crate::{
    docker::{Docker, cli::Cli},
    error::{Error, Result},
    tool::{BodyKind, Call, Plan},
};

/// A stack as it was put together and checked, with what it reads on this machine copied.
pub(crate) struct Stack {
    rendered: Rendered,
    copies: Copies,
}

impl Definition {
    /// The stack that these files define.
    ///
    /// # Errors
    /// Those of its files, and what the CLI says of what is in them.
    pub(crate) async fn stack(&self, name: &str, docker: &Docker, call: &Call) -> Result<Stack> {
        let Copied { copies, files, directory } = self.copied(Reader::Stack, call).await?;
        let mut arguments = vec!["stack".to_owned(), "config".to_owned()];
        for file in &files {
            arguments.extend(["--compose-file".to_owned(), file.display().to_string()]);
        }
        let cli = copies.read_by(docker.cli(call.programs(), None)?.keeping(LARGEST));
        let ran = cli.run(&arguments, &|_, _| {}).await?;
        if ran.is_cut {
            return Err(Error::invalid("the stack is larger than 4 MiB").hint("take it apart"));
        }
        let document = parsed(ran.document())?;
        let directory = directory.display().to_string();
        let rendered = Rendered { name: name.to_owned(), document, directory, warnings: Vec::new() }.settled();
        rendered.check(call.files()).await?;
        let mut copying = Copying::new(call.files(), &copies, Reader::Stack);
        for (key, file) in rendered.kept() {
            copying.payload(&key, Path::new(&file)).await?;
        }
        Ok(Stack { rendered, copies })
    }
}

impl Stack {
    /// The names of its services.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.rendered.services().map(|(name, _)| name)
    }

    /// The images that its services name.
    pub(crate) fn images(&self) -> impl Iterator<Item = &str> {
        self.rendered.images()
    }

    /// Adds to a plan what is asked of the engine, and the stack as it is defined.
    ///
    /// # Errors
    /// `internal` when a document cannot be written.
    pub(crate) fn planned(&self, plan: Plan) -> Result<Plan> {
        let mut plan = self.images().fold(plan, Plan::using);
        for (_, service) in self.rendered.services() {
            plan = plan.sending(BodyKind::Service, &of_service(service, &self.rendered.document))?;
        }
        Ok(plan.on([self.rendered.object()]))
    }

    /// Holds it to the one that was planned.
    ///
    /// # Errors
    /// `conflict` where its files were changed meanwhile.
    pub(crate) fn is_as_planned(&self, plan: &Plan) -> Result<()> {
        self.rendered.is_as_planned(plan)
    }

    /// A run of `docker stack deploy`, which reads the stack from standard input and its files from the copy.
    ///
    /// # Errors
    /// `unsupported` where the CLI is not installed.
    pub(crate) fn deploying(&self, docker: &Docker, call: &Call) -> Result<Cli> {
        let prefix = self.copies.prefix().display().to_string();
        let mut document = doubled(self.rendered.document.clone());
        for kind in ["configs", "secrets"] {
            let kept = document.get_mut(kind).and_then(Value::as_object_mut);
            for (_, one) in kept.into_iter().flatten() {
                if let Some(file) = one.get_mut("file") {
                    let place = file.as_str().map(|file| format!("{prefix}{file}"));
                    *file = place.into();
                }
            }
        }
        Ok(self.copies.read_by(docker.cli(call.programs(), None)?).reading(document.to_string()))
    }
}

/// What was filled in already must not be filled in again.
fn doubled(document: Value) -> Value {
    match document {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(items) => items.into_iter().map(doubled).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, doubled(value))).collect(),
        other => other,
    }
}

/// A service as the engine reads it, as far as a rule is about it.
fn of_service(service: &Value, whole: &Value) -> Value {
    let variables = words(service.get("environment"));
    let variables = variables.as_object().into_iter().flatten();
    let variables = variables.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
    let mounts = items(service, "volumes").map(|mount| mounted(mount, whole));
    let limits = |field: &str| number(service, &[&format!("deploy/resources/limits/{field}")]);
    let networks: Vec<Value> = match service.get("networks") {
        Some(Value::Object(networks)) => networks.keys().map(|name| named_network(name, whole)).collect(),
        Some(Value::Array(networks)) => {
            networks.iter().filter_map(Value::as_str).map(|name| named_network(name, whole)).collect()
        }
        _ => Vec::new(),
    };
    let ports: Vec<Value> = items(service, "ports").map(port).collect();
    let logging = service
        .get("logging")
        .map(|logging| json!({"Name": logging.get("driver"), "Options": words(logging.get("options"))}));
    json!({
        "Labels": words(service.pointer("/deploy/labels")),
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": service.get("image"), "User": service.get("user"), "Labels": words(service.get("labels")),
                "Env": variables.collect::<Vec<_>>(), "Mounts": mounts.collect::<Vec<_>>(),
                "CapabilityAdd": service.get("cap_add"), "Sysctls": words(service.get("sysctls")),
                "Hosts": hosts(service.get("extra_hosts")),
                "Privileges": service.get("credential_spec").map(|spec| json!({"CredentialSpec": spec})),
            },
            "Resources": {"Limits": {"MemoryBytes": limits("memory"), "Pids": limits("pids")}},
            "Networks": networks, "LogDriver": logging,
        },
        "EndpointSpec": {"Ports": ports},
    })
}

/// The network that a service is put on, by the name that the engine knows.
fn named_network(name: &str, whole: &Value) -> Value {
    let network = whole.get("networks").and_then(|networks| networks.get(name));
    let own = network.and_then(|network| network.get("name")).and_then(Value::as_str);
    json!({"Target": own.unwrap_or(name)})
}

fn port(port: &Value) -> Value {
    let number = |field: &str| match port.get(field) {
        Some(Value::String(text)) => text.parse::<u64>().ok(),
        Some(other) => other.as_u64(),
        None => None,
    };
    json!({
        "Protocol": port.get("protocol"), "PublishMode": port.get("mode"), "TargetPort": number("target"),
        "PublishedPort": number("published"),
    })
}

/// A mount, with what its volume is by its options.
fn mounted(mount: &Value, whole: &Value) -> Value {
    let text = |field: &str| mount.get(field).and_then(Value::as_str).unwrap_or_default();
    let volume = whole.get("volumes").and_then(|volumes| volumes.get(text("source")));
    let volume = volume.filter(|_| text("type") == "volume");
    let mut options = Map::new();
    if let Some(volume) = volume {
        let driver = json!({"Name": volume.get("driver"), "Options": volume.get("driver_opts")});
        options.insert("DriverConfig".into(), driver);
        options.insert("Labels".into(), words(volume.get("labels")));
    }
    json!({
        "Type": text("type"), "Source": text("source"), "Target": text("target"),
        "ReadOnly": mount.get("read_only"), "VolumeOptions": options,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_written_as_the_engine_reads_it() {
        let whole = json!({
            "volumes": {"data": {"driver": "local", "driver_opts": {"type": "none", "o": "bind", "device": "/"}}},
            "networks": {"out": {"external": true, "name": "host"}},
        });
        let service = json!({
            "image": "web:1", "cap_add": ["SYS_ADMIN"], "environment": {"A": "b"}, "networks": {"out": null},
            "volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"},
                        {"type": "volume", "source": "data", "target": "/d"}],
            "ports": [{"mode": "ingress", "target": 80, "published": 8080, "protocol": "tcp"}],
            "deploy": {"labels": {"traefik.enable": "true"}, "resources": {"limits": {"memory": "52428800"}}},
        });
        let spec = of_service(&service, &whole);
        let container = &spec["TaskTemplate"]["ContainerSpec"];
        assert_eq!(container["Mounts"][0]["Source"], json!("/var/run/docker.sock"));
        assert_eq!(container["Mounts"][1]["VolumeOptions"]["DriverConfig"]["Options"]["device"], json!("/"));
        assert_eq!(spec["TaskTemplate"]["Networks"], json!([{"Target": "host"}]));
        assert_eq!(spec["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"], json!(52_428_800));
        assert_eq!(spec["EndpointSpec"]["Ports"][0]["PublishedPort"], json!(8080));
        assert_eq!(spec["Labels"], json!({"traefik.enable": "true"}));
        assert_eq!(doubled(json!({"a": ["$x"]})), json!({"a": ["$$x"]}));
    }
}
