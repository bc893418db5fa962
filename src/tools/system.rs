//! system

use crate::tool::Toolset;

/// The toolset.
pub const SYSTEM: Toolset = Toolset { name: "system", about: "", tools: &[] };
