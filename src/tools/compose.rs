//! Compose: projects, put together from files here, run by the docker CLI's own plugin.

mod build;
mod config;
mod down;
mod run;
mod shared;
mod up;

use crate::tool::{Toolset, def};

/// The toolset, which is also this folder's table of contents.
pub const COMPOSE: Toolset = Toolset {
    name: "compose",
    about: "Compose projects: what runs, and bringing them up and down.",
    tools: &[
        def::<config::ComposeConfig>,
        def::<up::ComposeUp>,
        def::<build::ComposeBuild>,
        def::<build::ComposePull>,
        def::<run::ComposeRun>,
        def::<down::ComposeDown>,
    ],
};
