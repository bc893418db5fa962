//! Images: list, inspect, search, pull, tag, remove, save, load, import.

mod history;
mod import;
mod inspect;
mod list;
mod pull;
mod remove;
mod save;
mod search;
mod tag;
mod target;

use crate::tool::{Permission, Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const IMAGES: Toolset = Toolset {
    name: "images",
    about: "List, inspect, search, pull, tag, remove, save, load and import images.",
    tools: &[
        fleet::<list::ListImages>,
        def::<inspect::InspectImage>,
        def::<history::ImageHistory>,
        def::<search::SearchImages>,
        def::<pull::PullImage>,
        def::<tag::TagImage>,
        def::<remove::RemoveImage>,
        def::<save::SaveImage>,
        def::<save::LoadImage>,
        def::<import::ImportImage>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Images];
