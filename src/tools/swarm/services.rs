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

use crate::error::Error;

/// An engine that is no manager says so in many words, and with a status that means something else elsewhere.
pub(super) fn of_manager(error: Error) -> Error {
    let message = error.message();
    if message.contains("not a swarm manager") || message.contains("not part of a swarm") {
        return Error::conflict("this host is no manager of a swarm").hint(
            "services are seen and changed on a manager; list_hosts and info (section swarm) tell which hosts are",
        );
    }
    error
}
