//! Networks: list, inspect, create, connect, disconnect, remove, prune.

mod connect;
mod create;
mod inspect;
mod list;
mod remove;

use serde_json::Value;

use crate::{
    error::{Error, Kind},
    tool::{Permission, Toolset, def, fleet},
    tools::view::{items, text},
};

/// The toolset, which is also this folder's table of contents.
pub const NETWORKS: Toolset = Toolset {
    name: "networks",
    about: "List, inspect, create, connect and remove networks.",
    tools: &[
        fleet::<list::ListNetworks>,
        def::<inspect::InspectNetwork>,
        def::<create::CreateNetwork>,
        def::<connect::ConnectNetwork>,
        def::<connect::DisconnectNetwork>,
        def::<remove::RemoveNetwork>,
        def::<remove::PruneNetworks>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Networks];

/// The address ranges of a network.
fn subnets(network: &Value) -> Vec<String> {
    let ranges = network.get("IPAM").into_iter().flat_map(|ipam| items(ipam, "Config"));
    ranges.map(|range| text(range, "Subnet").to_owned()).filter(|subnet| !subnet.is_empty()).collect()
}

/// The engine says 403 where a network's state forbids something, and 404 where it lacks a driver or an
/// address pool; neither means what these statuses mean elsewhere.
fn refused(error: Error) -> Error {
    let message = error.message();
    match error.kind() {
        Kind::Denied if message.contains("network") || message.contains("endpoint") => Error::conflict(message),
        Kind::NotFound if message.contains("address pool") => {
            Error::unsupported(message).hint("give \"subnet\", one that no other network has")
        }
        Kind::NotFound if message.contains("plugin") => {
            Error::unsupported(message).hint("this engine has no such driver; bridge is always there")
        }
        _ => error,
    }
}
