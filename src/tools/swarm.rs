//! Swarms: the cluster, its nodes, its services and stacks, its secrets and configs.

mod cluster;
mod configs;
mod deploy;
mod kept;
mod membership;
mod nodes;
mod secrets;
mod services;
mod settings;
mod stacks;
mod tokens;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, HEADERS},
    error::{Error, Result},
    redact,
    tool::{Json, Object, ObjectKind, Permission, Summary, Toolset, def, fleet, text::count},
    tools::view::{flag, text},
};

/// The toolset, which is also this folder's table of contents.
pub const SWARM: Toolset = Toolset {
    name: "swarm",
    about: "Swarms: the cluster, nodes, services, stacks, secrets and configs.",
    tools: &[
        def::<cluster::InspectSwarm>,
        def::<tokens::GetSwarmJoinTokens>,
        def::<tokens::GetSwarmUnlockKey>,
        def::<membership::InitSwarm>,
        def::<membership::JoinSwarm>,
        def::<settings::UpdateSwarm>,
        def::<tokens::RotateSwarmJoinToken>,
        def::<tokens::UnlockSwarm>,
        def::<membership::LeaveSwarm>,
        fleet::<nodes::ListNodes>,
        def::<nodes::InspectNode>,
        def::<nodes::UpdateNode>,
        def::<nodes::RemoveNode>,
        fleet::<services::list::ListServices>,
        def::<services::inspect::InspectService>,
        def::<services::tasks::ServiceTasks>,
        def::<services::logs::ServiceLogs>,
        def::<services::create::CreateService>,
        def::<services::update::UpdateService>,
        def::<services::update::RollbackService>,
        def::<services::update::ScaleService>,
        def::<services::remove::RemoveService>,
        fleet::<secrets::ListSecrets>,
        def::<secrets::InspectSecret>,
        def::<secrets::CreateSecret>,
        def::<secrets::RemoveSecret>,
        fleet::<configs::ListConfigs>,
        def::<configs::InspectConfig>,
        def::<configs::CreateConfig>,
        def::<configs::RemoveConfig>,
        fleet::<stacks::StackLs>,
        def::<stacks::StackPs>,
        def::<stacks::StackServices>,
        def::<deploy::StackDeploy>,
        def::<deploy::StackRm>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Swarm];
/// How long an engine may take to come into a swarm, to leave it, or to agree with the others.
const AGREEING: Duration = Duration::from_secs(50);

/// What a node is in its swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Role {
    Worker,
    Manager,
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

/// Whether a node gets tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Availability {
    Active,
    Pause,
    Drain,
}

impl Availability {
    const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pause => "pause",
            Self::Drain => "drain",
        }
    }
}

/// How a host takes part in a swarm, as its own engine tells.
struct Standing {
    engine: String,
    name: String,
    swarm: Value,
}

impl Standing {
    async fn of(docker: &Docker) -> Result<Self> {
        let mut info = docker.info(HEADERS).await?;
        let swarm = info.get_mut("Swarm").map(Value::take).unwrap_or_default();
        Ok(Self { engine: text(&info, "ID").to_owned(), name: text(&info, "Name").to_owned(), swarm })
    }

    /// `inactive`, `pending`, `active`, `locked` or `error`.
    fn state(&self) -> &str {
        Some(text(&self.swarm, "LocalNodeState")).filter(|state| !state.is_empty()).unwrap_or("inactive")
    }

    fn role(&self) -> &'static str {
        let manages = flag(&self.swarm, "ControlAvailable");
        match self.state() {
            "active" | "pending" if !manages => Role::Worker.word(),
            "active" | "pending" | "locked" => Role::Manager.word(),
            _ => "",
        }
    }

    fn is_in_one(&self) -> bool {
        self.state() != "inactive"
    }

    /// The host as a node; by its engine where it does not know what the swarm calls it.
    fn node(&self) -> Object {
        let node = Some(text(&self.swarm, "NodeID")).filter(|id| !id.is_empty()).unwrap_or(&self.engine);
        Object::listed(ObjectKind::Node, node.to_owned(), self.name.clone(), self.swarm.clone())
    }

    /// Why it cannot come into a swarm.
    fn taken(&self) -> Error {
        Error::conflict(format!("the host is in a swarm already; its state there is {}", self.state()))
            .hint("inspect_swarm shows which; leave_swarm takes it out")
    }
}

/// What a host is in a swarm now.
#[derive(Serialize, JsonSchema)]
struct Placed {
    /// `inactive`, `pending`, `active` or `locked`.
    state: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    node_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(skip)]
    done: &'static str,
}

impl Placed {
    async fn now(docker: &Docker, done: &'static str) -> Result<Self> {
        let standing = Standing::of(docker).await?;
        let (state, role) = (redact::shown(standing.state()), standing.role());
        Ok(Self { state, role, node_id: redact::shown(text(&standing.swarm, "NodeID")), note: None, done })
    }

    fn noting(mut self, note: &'static str) -> Self {
        self.note = Some(note);
        self
    }
}

impl Summary for Placed {
    fn summary(&self) -> String {
        let role = if self.role.is_empty() { String::new() } else { format!(" as a {}", self.role) };
        format!("{}; the host is {}{role}", self.done, self.state)
    }
}

/// What changed about a part of a swarm.
#[derive(Serialize, JsonSchema)]
struct Changed {
    name: String,
    id: String,
    changes: Vec<Change>,
    /// The version that it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(skip)]
    kind: ObjectKind,
}

/// One setting.
#[derive(Serialize, JsonSchema)]
struct Change {
    setting: String,
    old: String,
    new: String,
}

impl Changed {
    fn of(after: &Object, changes: Vec<Change>) -> Self {
        let version = version(&after.facts);
        Self { name: after.name.clone(), id: after.id.clone(), changes, version, note: None, kind: after.kind }
    }
}

impl Summary for Changed {
    fn summary(&self) -> String {
        format!("{} of {} \"{}\" changed", count(self.changes.len(), "setting"), self.kind.as_str(), self.name)
    }
}

/// What is another value than before.
fn changes(before: &Json, after: &Json) -> Vec<Change> {
    let shown = |value: Option<&Value>| match value {
        None => "none".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let names: Vec<&String> = after.keys().chain(gone).collect();
    let differs = |name: &&&String| before.get(name.as_str()) != after.get(name.as_str());
    let change = |name: &&String| Change {
        setting: (*name).clone(),
        old: shown(before.get(name.as_str())),
        new: shown(after.get(name.as_str())),
    };
    names.iter().filter(differs).map(change).collect()
}

/// The version of a part of a swarm, which every change of it has to name.
fn version(facts: &Value) -> Option<u64> {
    facts.pointer("/Version/Index").and_then(Value::as_u64)
}

#[cfg(test)]
impl Standing {
    fn of_swarm(swarm: Value) -> Self {
        Self { engine: "ENGINE".to_owned(), name: "host".to_owned(), swarm }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_is_a_change() {
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let before = fields(json!({"role": "worker", "labels": {"a": "1"}, "gone": 1}));
        let after = fields(json!({"role": "worker", "labels": {"a": "2"}, "come": true}));
        let changed = changes(&before, &after);
        let rows: Vec<_> = changed.iter().map(|one| [one.setting.as_str(), &one.old, &one.new]).collect();
        assert_eq!(rows, [["labels", r#"{"a":"1"}"#, r#"{"a":"2"}"#], ["come", "none", "true"], ["gone", "1", "none"]]);
    }
}
