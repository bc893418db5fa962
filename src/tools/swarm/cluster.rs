//! How a host takes part in a swarm, and how the swarm is set up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Standing, settings};
use crate::{
    docker::Docker,
    error::Result,
    redact,
    tool::{Access, Call, Json, Plan, Summary, Tool},
    tools::view::{items, text, time},
};

/// How many managers of the swarm a worker's answer names.
const MOST_MANAGERS: usize = 20;

/// Shows how a host takes part in a swarm, and on a manager how the swarm is set up. Never the tokens.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectSwarm {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    /// `inactive`, `pending`, `active`, `locked` or `error`.
    state: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    node_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    node_address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    managers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<u64>,
    /// Where the managers listen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    manager_addresses: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Json::is_empty")]
    settings: Json,
    /// What to do next, where the host is no manager.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        match (self.state.as_str(), self.role) {
            ("active", role) => {
                let nodes = self.nodes.filter(|nodes| *nodes > 0).map(|nodes| format!(" of {nodes} nodes"));
                format!("a {role} of a swarm{}", nodes.unwrap_or_default())
            }
            ("inactive", _) => "in no swarm".to_owned(),
            (state, _) => format!("the host's place in its swarm is {state}"),
        }
    }
}

impl Tool for InspectSwarm {
    const NAME: &'static str = "inspect_swarm";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn call(self, docker: &Docker, _: Plan, _: &Call) -> Result<Inspected> {
        Ok(view(&Standing::of(docker).await?))
    }
}

fn view(standing: &Standing) -> Inspected {
    let facts = &standing.swarm;
    let plain = |field: &str| redact::shown(text(facts, field));
    let number = |field: &str| facts.get(field).and_then(Value::as_u64).filter(|number| *number > 0);
    let cluster = facts.get("Cluster").cloned().unwrap_or_default();
    let (state, role) = (standing.state(), standing.role());
    let note = match (state, role) {
        ("inactive", _) => Some("init_swarm makes a swarm here, join_swarm takes the host into one"),
        ("locked", _) => Some("unlock_swarm unlocks it with the key from the operator's secrets"),
        ("pending", _) => Some("it is on its way into a swarm: look again soon, or leave_swarm"),
        ("active", "worker") => Some("only a manager can show or change the swarm: name the host that is one"),
        ("error", _) => Some("leave_swarm with force takes it out; then it can join again"),
        _ => None,
    };
    Inspected {
        state: redact::shown(state),
        role,
        node_id: plain("NodeID"),
        node_address: plain("NodeAddr"),
        error: plain("Error"),
        managers: number("Managers"),
        nodes: number("Nodes"),
        manager_addresses: items(facts, "RemoteManagers")
            .map(|manager| redact::shown(text(manager, "Addr")))
            .take(MOST_MANAGERS)
            .collect(),
        cluster_id: redact::shown(text(&cluster, "ID")),
        created: time(text(&cluster, "CreatedAt")),
        version: cluster.pointer("/Version/Index").and_then(Value::as_u64),
        settings: settings::of(&cluster),
        note,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_in_a_swarm_says_what_to_do_next() {
        for (facts, role, way) in [
            (json!({"LocalNodeState": "inactive"}), "", "init_swarm"),
            (json!({}), "", "init_swarm"),
            (json!({"LocalNodeState": "locked"}), "manager", "unlock_swarm"),
            (json!({"LocalNodeState": "pending"}), "worker", "again"),
            (json!({"LocalNodeState": "active", "ControlAvailable": false}), "worker", "manager"),
            (json!({"LocalNodeState": "error", "Error": "x509: expired"}), "", "force"),
        ] {
            let shown = view(&Standing::of_swarm(facts.clone()));
            assert_eq!(shown.role, role, "{facts}");
            assert!(shown.note.unwrap().contains(way), "{facts}");
        }
        let manager = json!({"LocalNodeState": "active", "ControlAvailable": true, "Nodes": 2, "Managers": 1,
            "Cluster": {"ID": "x", "Version": {"Index": 12}, "Spec": {"CAConfig": {"NodeCertExpiry": 7_776_000_000_000_000_u64}}}});
        let shown = view(&Standing::of_swarm(manager));
        assert_eq!(
            (shown.note, shown.version, shown.summary().as_str()),
            (None, Some(12), "a manager of a swarm of 2 nodes")
        );
        assert_eq!(shown.settings["certificate_hours"], 2160);
    }
}
