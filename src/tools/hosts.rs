//! hosts

use crate::tool::Toolset;

/// The toolset.
pub const HOSTS: Toolset = Toolset { name: "hosts", about: "", tools: &[] };
