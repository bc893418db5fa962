//! images

use crate::tool::Toolset;

/// The toolset.
pub const IMAGES: Toolset = Toolset { name: "images", about: "", tools: &[] };
