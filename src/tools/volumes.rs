//! volumes

use crate::tool::Toolset;

/// The toolset.
pub const VOLUMES: Toolset = Toolset { name: "volumes", about: "", tools: &[] };
