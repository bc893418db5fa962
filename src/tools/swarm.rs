//! Swarms: services and stacks.

mod services;
mod stacks;

use crate::tool::{Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const SWARM: Toolset = Toolset {
    name: "swarm",
    about: "Services and stacks of a swarm.",
    tools: &[
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
