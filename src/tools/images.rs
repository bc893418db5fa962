//! Images: list, inspect, search, pull, tag, remove, prune.

mod history;
mod inspect;
mod list;
mod prune;
mod pull;
mod remove;
mod search;
mod tag;

use crate::tool::{Permission, Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const IMAGES: Toolset = Toolset {
    name: "images",
    about: "List, inspect, search, pull, tag and remove images.",
    tools: &[
        fleet::<list::ListImages>,
        def::<inspect::InspectImage>,
        def::<history::ImageHistory>,
        def::<search::SearchImages>,
        def::<pull::PullImage>,
        def::<tag::TagImage>,
        def::<remove::RemoveImage>,
        def::<prune::PruneImages>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Images];
