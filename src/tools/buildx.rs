//! Builds over `BuildKit` with buildx, the docker CLI's own plugin: images, bake files, builders, caches, images of several platforms.
//!
//! All but one of them open `BuildKit`'s own channel, which no guard can look into: they count as removals.

mod bake;
mod build;
mod builders;
mod cache;
mod definition;
mod history;
mod imagetools;
mod keep;
mod list;
mod log;
mod prepared;
mod rendered;

use crate::tool::{Access, Permission, Toolset, def};

/// The toolset, which is also this folder's table of contents.
pub const BUILDX: Toolset = Toolset {
    name: "buildx",
    about: "Build with BuildKit through the docker CLI's buildx: images for several platforms, bake files, builders.",
    tools: &[
        def::<build::BuildxBuild>,
        def::<bake::BuildxBake>,
        def::<imagetools::BuildxImagetoolsInspect>,
        def::<imagetools::BuildxImagetoolsCreate>,
        def::<list::BuildxLs>,
        def::<list::BuildxInspect>,
        def::<cache::BuildxDu>,
        def::<history::BuildxHistoryLs>,
        def::<history::BuildxHistoryInspect>,
        def::<cache::BuildxPrune>,
        def::<keep::BuildxCreate>,
        def::<keep::BuildxUse>,
        def::<keep::BuildxRm>,
    ],
};

/// The plugin.
const PLUGIN: &str = "buildx";

/// What opens the channel of the engine's own builder, and what a builder in a container needs beside: it is made and
/// started, its configuration put in, and spoken to by a program that runs in it.
const ACCESS: Access = Access::destroy(&[Permission::Images])
    .sometimes(Permission::Create)
    .sometimes(Permission::Lifecycle)
    .sometimes(Permission::Exec)
    .sometimes(Permission::Files);
