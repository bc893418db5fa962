//! The tools, one file for each domain; each file opens with its slice.

pub(crate) mod authorization;
pub mod containers;
mod detail;
pub mod hosts;
pub mod images;
mod listing;
pub mod networks;
mod outcome;
pub mod plugins;
mod prune;
mod pull;
pub mod system;
pub(crate) mod time;
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
    &plugins::PLUGINS,
];
