//! networks

use crate::tool::Toolset;

/// The toolset.
pub const NETWORKS: Toolset = Toolset { name: "networks", about: "", tools: &[] };
