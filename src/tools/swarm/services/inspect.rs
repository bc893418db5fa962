//! One service in detail, by section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::view::{mode, replicas, stack, update_state};
use crate::{
    docker::{Docker, Filters},
    error::Result,
    tool::{Access, Call, Json, Plan, Tool},
    tools::{
        detail::Inspected,
        view::{cleaned, few},
    },
};

/// How many names of variables a summary shows; the section `config` shows all.
const VARIABLES: usize = 60;

/// Shows one service: what it runs, tasks, ports, limits, its last update.
///
/// Values of variables are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct InspectService {
    /// Name or id.
    service: String,
    /// Which part. Default: summary.
    #[serde(default)]
    section: Section,
    /// The engine's document, masked. Default: false.
    #[serde(default)]
    raw: bool,
}

/// A part of what is known about a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Section {
    #[default]
    Summary,
    Config,
    Network,
    Mounts,
    Resources,
    Update,
    /// What it was before its last update, which `rollback_service` brings back.
    Previous,
    All,
}

impl Tool for InspectService {
    const NAME: &'static str = "inspect_service";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.service("service", &self.service).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let service = plan.object()?;
        let mut facts = cleaned(&service.facts);
        let mut sections = Json::new();
        if self.raw {
            sections.insert("raw".into(), facts);
            return Ok(Inspected::of(service, sections));
        }
        // Only the list tells how many tasks run.
        let filters = Filters::default().with("id", [&service.id]);
        let listed = super::list::listed(docker, filters).await?;
        let status = listed.into_iter().find(|row| row.get("ID").and_then(Value::as_str) == Some(service.id.as_str()));
        if let (Some(status), Some(fields)) =
            (status.and_then(|row| row.get("ServiceStatus").cloned()), facts.as_object_mut())
        {
            fields.insert("ServiceStatus".into(), status);
        }
        for section in self.section.parts() {
            match section.view(&facts) {
                Value::Object(fields) if self.section == Section::Summary => sections.extend(fields),
                view => drop(sections.insert(section.name().into(), view)),
            }
        }
        Ok(Inspected::of(service, sections))
    }
}

impl Section {
    fn parts(self) -> Vec<Self> {
        match self {
            Self::All => vec![Self::Summary, Self::Config, Self::Network, Self::Mounts, Self::Resources, Self::Update],
            one => vec![one],
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Config => "config",
            Self::Network => "network",
            Self::Mounts => "mounts",
            Self::Resources => "resources",
            Self::Update => "update",
            Self::Previous => "previous",
            Self::All => "all",
        }
    }

    fn view(self, facts: &Value) -> Value {
        let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
        let task = |field: &str| at(&format!("/Spec/TaskTemplate/{field}"));
        let container = |field: &str| at(&format!("/Spec/TaskTemplate/ContainerSpec/{field}"));
        match self {
            Self::Config => compact(json!({
                "image": container("Image"), "command": container("Command"), "args": container("Args"),
                "env": container("Env"), "user": container("User"), "working_dir": container("Dir"),
                "hostname": container("Hostname"), "labels": at("/Spec/Labels"), "container_labels": container("Labels"),
                "secrets": files(&container("Secrets"), "SecretName"), "configs": files(&container("Configs"), "ConfigName"),
                "health_check": container("Healthcheck"), "cap_add": container("CapabilityAdd"),
                "cap_drop": container("CapabilityDrop"), "read_only_root": container("ReadOnly"),
                "restart": task("RestartPolicy"), "constraints": task("Placement/Constraints"),
                "preferences": task("Placement/Preferences"), "log_driver": task("LogDriver/Name"),
                "created": at("/CreatedAt"), "updated": at("/UpdatedAt"),
            })),
            Self::Network => compact(json!({
                "ports": at("/Endpoint/Ports"), "networks": task("Networks"), "virtual_ips": at("/Endpoint/VirtualIPs"),
                "endpoint_mode": at("/Spec/EndpointSpec/Mode"), "dns": container("DNSConfig"), "hosts": container("Hosts"),
            })),
            Self::Mounts => container("Mounts"),
            Self::Resources => compact(json!({
                "limits": task("Resources/Limits"), "reservations": task("Resources/Reservations"),
                "ulimits": container("Ulimits"), "pids": task("Resources/Limits/Pids"),
            })),
            Self::Update => compact(json!({
                "status": at("/UpdateStatus"), "update": at("/Spec/UpdateConfig"), "rollback": at("/Spec/RollbackConfig"),
                "can_roll_back": facts.pointer("/PreviousSpec").is_some_and(Value::is_object),
                "forced": task("ForceUpdate"),
            })),
            Self::Previous => at("/PreviousSpec"),
            Self::Summary | Self::All => compact(json!({
                "version": at("/Version/Index"), "mode": mode(facts), "replicas": replicas(facts),
                "running": at("/ServiceStatus/RunningTasks"), "desired": at("/ServiceStatus/DesiredTasks"),
                "image": container("Image"), "command": container("Command"), "args": container("Args"),
                "env": names_of_variables(facts), "ports": at("/Endpoint/Ports"), "constraints": task("Placement/Constraints"),
                "secrets": files(&container("Secrets"), "SecretName"), "configs": files(&container("Configs"), "ConfigName"),
                "stack": stack(facts), "update": update_state(facts), "update_message": at("/UpdateStatus/Message"),
            })),
        }
    }
}

fn names_of_variables(facts: &Value) -> Value {
    let variables =
        facts.pointer("/Spec/TaskTemplate/ContainerSpec/Env").and_then(Value::as_array).into_iter().flatten();
    let names = variables.filter_map(Value::as_str).map(|text| text.split('=').next().unwrap_or(text).to_owned());
    few(names.collect(), VARIABLES).into()
}

/// `name -> file` of every secret or configuration.
fn files(list: &Value, name: &str) -> Value {
    let files = list.as_array().into_iter().flatten().map(|file| {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        format!("{} -> {}", text(file.get(name)), text(file.pointer("/File/Name"))).into()
    });
    files.collect::<Vec<Value>>().into()
}

/// Drops what says nothing; numbers stay, for none of something is worth knowing here.
fn compact(document: Value) -> Value {
    let Value::Object(fields) = document else { return document };
    let says_something = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(_) | Value::Bool(true) => true,
    };
    fields.into_iter().filter(|(_, value)| says_something(value)).collect::<Json>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact;

    #[test]
    fn no_section_shows_what_is_not_text() {
        let foreign = "\u{1b}[31mred\u{202e}";
        let spec = json!({"Name": foreign, "Labels": {foreign: foreign}, "TaskTemplate": {"ContainerSpec": {
            "Image": foreign, "Args": [foreign], "Env": [redact::variable("A=hunter2")],
            "Secrets": [{"SecretName": foreign, "File": {"Name": foreign}}], "Mounts": [{"Source": foreign}]}}});
        let facts = cleaned(&json!({"Spec": spec, "PreviousSpec": spec, "UpdateStatus": {"Message": foreign}}));
        for section in [Section::Previous].into_iter().chain(Section::All.parts()) {
            let view = section.view(&facts).to_string();
            assert!(!view.contains("\\u001b") && !view.contains('\u{202e}') && !view.contains("hunter2"), "{view}");
        }
        assert_eq!(Section::Summary.view(&facts)["env"], json!(["A"]));
        assert_eq!(Section::Config.view(&facts)["secrets"], json!(["red -> red"]));
    }
}
