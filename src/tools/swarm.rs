//! Swarms: the cluster, its nodes, its services and stacks, its secrets and configs.

mod cluster;
mod nodes;
mod services;
mod stacks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, HEADERS},
    error::Result,
    tool::{Toolset, def, fleet},
    tools::view::{flag, text},
};

/// The toolset, which is also this folder's table of contents.
pub const SWARM: Toolset = Toolset {
    name: "swarm",
    about: "Swarms: the cluster, nodes, services, stacks, secrets and configs.",
    tools: &[
        def::<cluster::InspectSwarm>,
        fleet::<nodes::ListNodes>,
        fleet::<services::list::ListServices>,
        def::<services::inspect::InspectService>,
        def::<services::tasks::ServiceTasks>,
        def::<services::logs::ServiceLogs>,
        def::<services::create::CreateService>,
        def::<services::update::UpdateService>,
        def::<services::update::RollbackService>,
        def::<services::update::ScaleService>,
        def::<services::remove::RemoveService>,
        fleet::<stacks::StackLs>,
        def::<stacks::StackPs>,
        def::<stacks::StackServices>,
    ],
};

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
struct Standing(Value);

impl Standing {
    async fn of(docker: &Docker) -> Result<Self> {
        Ok(Self(docker.info(HEADERS).await?.get_mut("Swarm").map(Value::take).unwrap_or_default()))
    }

    /// `inactive`, `pending`, `active`, `locked` or `error`.
    fn state(&self) -> &str {
        Some(text(&self.0, "LocalNodeState")).filter(|state| !state.is_empty()).unwrap_or("inactive")
    }

    fn role(&self) -> &'static str {
        match self.state() {
            "active" if flag(&self.0, "ControlAvailable") => Role::Manager.word(),
            "active" | "pending" => Role::Worker.word(),
            "locked" => Role::Manager.word(),
            _ => "",
        }
    }
}
