//! Compose projects: out of files here, run by the docker CLI's own plugin; and what runs of them on a host, by the labels
//! that compose gives its containers, whoever made it.

mod build;
mod config;
mod copy;
mod down;
mod exec;
mod images;
mod lifecycle;
mod logs;
mod ls;
mod port;
mod project;
mod ps;
mod run;
mod shared;
mod top;
mod up;
mod wait;

use crate::tool::{Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const COMPOSE: Toolset = Toolset {
    name: "compose",
    about: "Compose projects: bringing them up and down, their services, logs, life, commands and files.",
    tools: &[
        def::<ps::ComposePs>,
        def::<logs::ComposeLogs>,
        fleet::<ls::ComposeLs>,
        def::<images::ComposeImages>,
        def::<top::ComposeTop>,
        def::<port::ComposePort>,
        def::<config::ComposeConfig>,
        def::<up::ComposeUp>,
        def::<build::ComposeBuild>,
        def::<build::ComposePull>,
        def::<lifecycle::ComposeStart>,
        def::<lifecycle::ComposeRestart>,
        def::<lifecycle::ComposePause>,
        def::<lifecycle::ComposeUnpause>,
        def::<lifecycle::ComposeStop>,
        def::<run::ComposeRun>,
        def::<exec::ComposeExec>,
        def::<copy::ComposeCp>,
        def::<down::ComposeDown>,
        def::<lifecycle::ComposeKill>,
        def::<wait::ComposeWait>,
    ],
};
