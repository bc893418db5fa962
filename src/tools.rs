//! The tools, one file for each domain; each file opens with its slice.

pub(crate) mod authorization;
mod body;
pub mod buildx;
pub mod compose;
pub mod containers;
pub mod context;
mod copy;
mod detail;
mod dockerfile;
mod exec;
pub mod hosts;
pub mod images;
mod listing;
mod logs;
pub mod networks;
mod outcome;
mod output;
pub mod plugins;
mod processes;
mod project;
mod prune;
mod pull;
mod redaction;
pub mod registry;
pub mod scout;
pub mod swarm;
pub mod system;
pub(crate) mod time;
mod transfer;
mod usage;
pub(crate) mod view;
pub mod volumes;

use crate::tool::Toolset;

/// Every domain, in the order of the documentation.
pub const TOOLSETS: &[&Toolset] = &[
    &hosts::HOSTS,
    &containers::CONTAINERS,
    &images::IMAGES,
    &networks::NETWORKS,
    &volumes::VOLUMES,
    &system::SYSTEM,
    &swarm::SWARM,
    &plugins::PLUGINS,
    &compose::COMPOSE,
    &registry::REGISTRY,
    &buildx::BUILDX,
    &context::CONTEXT,
    &scout::SCOUT,
];
