//! Compose projects: what runs of them on a host, by the labels that compose gives its containers, and what acts on it.
//!
//! Whatever made a project, here or elsewhere: its containers tell of it, and no file is needed.

mod copy;
mod exec;
mod images;
mod lifecycle;
mod logs;
mod ls;
mod port;
mod project;
mod ps;
mod top;
mod wait;

use crate::tool::{Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const COMPOSE: Toolset = Toolset {
    name: "compose",
    about: "Compose projects: their services, logs, life, commands and files.",
    tools: &[
        def::<ps::ComposePs>,
        def::<logs::ComposeLogs>,
        fleet::<ls::ComposeLs>,
        def::<images::ComposeImages>,
        def::<top::ComposeTop>,
        def::<port::ComposePort>,
        def::<lifecycle::ComposeStart>,
        def::<lifecycle::ComposeRestart>,
        def::<lifecycle::ComposePause>,
        def::<lifecycle::ComposeUnpause>,
        def::<lifecycle::ComposeStop>,
        def::<exec::ComposeExec>,
        def::<copy::ComposeCp>,
        def::<lifecycle::ComposeKill>,
        def::<wait::ComposeWait>,
    ],
};
