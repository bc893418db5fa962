//! Services of a swarm: list, inspect, tasks, logs, create, update, scale, remove.

pub(super) mod create;
pub(super) mod inspect;
pub(super) mod list;
pub(super) mod logs;
pub(super) mod remove;
mod settings;
pub(super) mod tasks;
pub(super) mod update;
pub(super) mod view;
