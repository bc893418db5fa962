//! One container in detail, by section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Json, Object, Plan, Tool},
    tools::{
        detail::Inspected,
        view::{cleaned, clipped, few, text},
    },
};

/// The most characters of what a health check printed.
const LONGEST_OUTPUT: usize = 300;
/// How many names of variables a summary shows; the section `config` shows all.
const VARIABLES: usize = 60;

/// Shows one container: what it runs, its state, network, mounts, limits, health.
///
/// Values of variables are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectContainer {
    /// Name or id.
    container: String,
    /// Which part. Default: summary.
    #[serde(default)]
    section: Section,
    /// The engine's document, masked. Default: false.
    #[serde(default)]
    raw: bool,
}

/// A part of what is known about a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Section {
    #[default]
    Summary,
    Config,
    State,
    Network,
    Mounts,
    Resources,
    Health,
    All,
}

impl Tool for InspectContainer {
    const NAME: &'static str = "inspect_container";
    const ACCESS: Access = Access::READ;
    const CORE: bool = true;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, _: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let object = plan.object()?;
        let facts = facts(object);
        let mut sections = Json::new();
        if self.raw {
            sections.insert("raw".into(), facts);
        } else {
            for section in self.section.parts() {
                let view = section.view(&facts);
                if self.section == Section::Summary
                    && let Value::Object(fields) = view
                {
                    sections.extend(fields);
                } else {
                    sections.insert(section.name().into(), view);
                }
            }
        }
        Ok(Inspected::of(object, sections))
    }
}

/// The container's document as it may be shown; what its health check prints may hold the values of its variables.
fn facts(container: &Object) -> Value {
    let mut facts = cleaned(&container.facts);
    let probes = facts.pointer_mut("/State/Health/Log").and_then(Value::as_array_mut);
    for output in probes.into_iter().flatten().filter_map(|probe| probe.get_mut("Output")) {
        if let Value::String(text) = output {
            *text = container.masks.hide(text).into_owned();
        }
    }
    facts
}

impl Section {
    fn parts(self) -> Vec<Self> {
        match self {
            Self::All => vec![Self::Config, Self::State, Self::Network, Self::Mounts, Self::Resources, Self::Health],
            one => vec![one],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Config => "config",
            Self::State => "state",
            Self::Network => "network",
            Self::Mounts => "mounts",
            Self::Resources => "resources",
            Self::Health => "health",
            Self::All => "all",
        }
    }

    fn view(self, facts: &Value) -> Value {
        let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
        match self {
            Self::Config => compact(json!({
                "image": at("/Config/Image"), "image_id": at("/Image"), "entrypoint": at("/Config/Entrypoint"),
                "command": at("/Config/Cmd"), "user": at("/Config/User"), "working_dir": at("/Config/WorkingDir"),
                "hostname": at("/Config/Hostname"), "env": at("/Config/Env"), "labels": at("/Config/Labels"),
                "restart": at("/HostConfig/RestartPolicy"), "auto_remove": at("/HostConfig/AutoRemove"),
                "log_driver": at("/HostConfig/LogConfig/Type"), "tty": at("/Config/Tty"), "created": at("/Created"),
            })),
            Self::State => {
                let mut state = at("/State");
                if let Some(fields) = state.as_object_mut() {
                    fields.remove("Health");
                    fields.insert("RestartCount".into(), at("/RestartCount"));
                }
                compact(state)
            }
            Self::Network => compact(json!({
                "mode": at("/HostConfig/NetworkMode"), "ports": at("/NetworkSettings/Ports"),
                "networks": networks(facts), "dns": at("/HostConfig/Dns"), "extra_hosts": at("/HostConfig/ExtraHosts"),
            })),
            Self::Mounts => mounts(facts),
            Self::Resources => compact(json!({
                "memory": at("/HostConfig/Memory"), "memory_swap": at("/HostConfig/MemorySwap"),
                "nano_cpus": at("/HostConfig/NanoCpus"), "cpu_shares": at("/HostConfig/CpuShares"),
                "cpuset": at("/HostConfig/CpusetCpus"), "pids": at("/HostConfig/PidsLimit"),
                "privileged": at("/HostConfig/Privileged"), "cap_add": at("/HostConfig/CapAdd"),
                "cap_drop": at("/HostConfig/CapDrop"), "security_opt": at("/HostConfig/SecurityOpt"),
                "read_only_root": at("/HostConfig/ReadonlyRootfs"), "devices": at("/HostConfig/Devices"),
            })),
            Self::Health => health(facts),
            Self::Summary | Self::All => {
                let state = facts.pointer("/State").cloned().unwrap_or_default();
                compact(json!({
                    "image": at("/Config/Image"), "state": at("/State/Status"), "health": at("/State/Health/Status"),
                    "exit_code": if text(&state, "Status") == "running" { Value::Null } else { at("/State/ExitCode") },
                    "error": at("/State/Error"), "oom_killed": at("/State/OOMKilled"),
                    "restarts": at("/RestartCount"), "started": at("/State/StartedAt"),
                    "finished": if text(&state, "Status") == "running" { Value::Null } else { at("/State/FinishedAt") },
                    "command": command(facts), "restart": at("/HostConfig/RestartPolicy/Name"),
                    "networks": networks(facts), "ports": published(facts), "mounts": mounts(facts),
                    "env": names_of_variables(facts), "project": at("/Config/Labels/com.docker.compose.project"),
                }))
            }
        }
    }
}

fn command(facts: &Value) -> Value {
    let part = |pointer: &str| facts.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    part("/Config/Entrypoint").into_iter().chain(part("/Config/Cmd")).collect::<Vec<_>>().into()
}

fn names_of_variables(facts: &Value) -> Value {
    let variables = facts.pointer("/Config/Env").and_then(Value::as_array).into_iter().flatten();
    let names = variables.filter_map(Value::as_str).map(|text| text.split('=').next().unwrap_or(text).to_owned());
    few(names.collect(), VARIABLES).into()
}

fn networks(facts: &Value) -> Value {
    let networks = facts.pointer("/NetworkSettings/Networks").and_then(Value::as_object).into_iter().flatten();
    networks
        .map(|(name, network)| {
            compact(json!({"network": name, "address": text(network, "IPAddress"), "aliases": network.get("Aliases")}))
        })
        .collect::<Vec<_>>()
        .into()
}

fn published(facts: &Value) -> Value {
    let ports = facts.pointer("/NetworkSettings/Ports").and_then(Value::as_object).into_iter().flatten();
    let shown: Vec<Value> = ports
        .flat_map(|(port, bindings)| {
            let bindings = bindings.as_array().into_iter().flatten();
            bindings
                .map(move |binding| format!("{}:{}->{port}", text(binding, "HostIp"), text(binding, "HostPort")).into())
        })
        .collect();
    shown.into()
}

fn mounts(facts: &Value) -> Value {
    let mounts = facts.pointer("/Mounts").and_then(Value::as_array).into_iter().flatten();
    mounts
        .map(|mount| {
            let source = match text(mount, "Name") {
                "" => text(mount, "Source"),
                name => name,
            };
            compact(json!({
                "type": text(mount, "Type"), "source": source, "destination": text(mount, "Destination"),
                "read_only": mount.get("RW").and_then(Value::as_bool) == Some(false),
            }))
        })
        .collect::<Vec<_>>()
        .into()
}

/// The last probe's output is cut after 300 characters.
fn health(facts: &Value) -> Value {
    let Some(health) = facts.pointer("/State/Health") else { return Value::Null };
    let last = health.pointer("/Log").and_then(Value::as_array).and_then(|log| log.last());
    compact(json!({
        "status": health.get("Status"), "failing_streak": health.get("FailingStreak"),
        "test": facts.pointer("/Config/Healthcheck/Test"),
        "last_exit_code": last.and_then(|probe| probe.get("ExitCode")),
        "last_output": last.map(|probe| clipped(text(probe, "Output"), LONGEST_OUTPUT)),
    }))
}

/// Drops what says nothing: null, empty text, empty lists, `false`, zero.
fn compact(document: Value) -> Value {
    let Value::Object(fields) = document else { return document };
    let says_something = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::Bool(true) => true,
    };
    let kept = |(name, value): &(String, Value)| says_something(value) || (is_exit_code(name) && !value.is_null());
    fields.into_iter().filter(kept).collect::<Json>().into()
}

/// Zero says something there.
fn is_exit_code(name: &str) -> bool {
    name.ends_with("exit_code") || name == "ExitCode"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact;

    #[test]
    fn no_section_shows_what_is_not_text() {
        let foreign = "\u{1b}[31mred\u{202e}";
        let facts = cleaned(&json!({
            "Config": {"Image": foreign, "Cmd": [foreign], "Labels": {foreign: foreign}, "Env": [redact::variable("A=hunter2")]},
            "State": {"Status": "exited", "Error": foreign, "Health": {"Log": [{"Output": foreign}]}},
            "Mounts": [{"Source": foreign, "Destination": foreign}],
        }));
        for section in [Section::Summary].into_iter().chain(Section::All.parts()) {
            let view = section.view(&facts).to_string();
            assert!(!view.contains("\\u001b") && !view.contains('\u{202e}') && !view.contains("hunter2"), "{view}");
        }
        assert_eq!(Section::Config.view(&facts)["labels"], json!({"red": "red"}));
        assert_eq!(Section::Health.view(&facts)["last_output"], "red");
    }
}
