//! Volumes: list, inspect, create, remove, prune.

mod create;
mod inspect;
mod list;
mod remove;

use super::prune::volumes::is_anonymous;
use crate::tool::{Permission, Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const VOLUMES: Toolset = Toolset {
    name: "volumes",
    about: "List, inspect, create and remove volumes.",
    tools: &[
        fleet::<list::ListVolumes>,
        def::<inspect::InspectVolume>,
        def::<create::CreateVolume>,
        def::<remove::RemoveVolume>,
        def::<remove::PruneVolumes>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Volumes];
