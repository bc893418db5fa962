//! Containers: list, inspect, run, stop, remove, what happens inside, and the files there.

mod archive;
mod body;
mod changes;
mod commit;
mod exec;
mod export;
mod inspect;
mod lifecycle;
mod list;
mod logs;

mod pull;
mod put;
mod recreate;
mod remove;
mod run;
mod stats;
mod top;
mod update;
mod wait;

use crate::tool::{Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const CONTAINERS: Toolset = Toolset {
    name: "containers",
    about: "List, inspect, run, stop and remove containers; logs, statistics, commands and files inside.",
    tools: &[
        fleet::<list::ListContainers>,
        def::<inspect::InspectContainer>,
        def::<logs::ContainerLogs>,
        fleet::<stats::ContainerStats>,
        def::<top::ContainerTop>,
        def::<changes::ContainerChanges>,
        def::<wait::WaitFor>,
        def::<lifecycle::StartContainer>,
        def::<lifecycle::StopContainer>,
        def::<lifecycle::RestartContainer>,
        def::<lifecycle::PauseContainer>,
        def::<lifecycle::UnpauseContainer>,
        def::<lifecycle::KillContainer>,
        def::<run::RunContainer>,
        def::<run::CreateContainer>,
        def::<recreate::RecreateContainer>,
        def::<update::RenameContainer>,
        def::<update::UpdateContainer>,
        def::<remove::RemoveContainer>,
        def::<remove::PruneContainers>,
        def::<exec::ExecInContainer>,
        def::<commit::CommitContainer>,
        def::<export::ExportContainer>,
        def::<archive::GetContainerArchive>,
        def::<put::PutContainerArchive>,
    ],
};
