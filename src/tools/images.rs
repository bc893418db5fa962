//! Images: list, inspect, search, pull, push, build, tag, remove, save, load, import, prune.

mod build;
mod history;
mod import;
mod inspect;
mod list;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod search;
mod tag;
mod target;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    tool::{Permission, Toolset, def, fleet},
};

/// The toolset, which is also this folder's table of contents.
pub const IMAGES: Toolset = Toolset {
    name: "images",
    about: "List, inspect, search, pull, push, build, tag, remove, save, load and import images.",
    tools: &[
        fleet::<list::ListImages>,
        def::<inspect::InspectImage>,
        def::<history::ImageHistory>,
        def::<search::SearchImages>,
        def::<pull::PullImage>,
        def::<push::PushImage>,
        def::<build::BuildImage>,
        def::<tag::TagImage>,
        def::<remove::RemoveImage>,
        def::<prune::PruneImages>,
        def::<save::SaveImage>,
        def::<save::LoadImage>,
        def::<import::ImportImage>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Images];

/// `os/architecture[/variant]`.
fn platform(given: Option<&str>) -> Result<Option<&str>> {
    let fits = |platform: &str| {
        let parts: Vec<&str> = platform.split('/').collect();
        let plain = |part: &&str| {
            !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
        };
        platform.len() <= 64 && parts.len() <= 3 && parts.iter().all(plain)
    };
    match given {
        Some(platform) if !fits(platform) => {
            Err(Error::invalid(format!("argument \"platform\": {} is none", quote(platform)))
                .hint("os/architecture[/variant], such as \"linux/arm64\""))
        }
        platform => Ok(platform),
    }
}
