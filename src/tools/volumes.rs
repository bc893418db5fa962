//! Volumes: list, inspect, create, remove, prune.

mod create;
mod inspect;
mod list;
mod remove;

use serde_json::Value;

use crate::{
    tool::{Permission, Toolset, def, fleet},
    tools::view::text,
};

/// The toolset, which is also this folder's table of contents.
pub const VOLUMES: Toolset = Toolset {
    name: "volumes",
    about: "List, inspect, create and remove volumes.",
    tools: &[
        fleet::<list::ListVolumes>,
        def::<inspect::InspectVolume>,
        def::<create::CreateVolume>,
        def::<remove::RemoveVolume>,
        def::<remove::PruneVolumes>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::Volumes];

/// Whether nobody named it: engines before 23.0 show that only by a name of 64 hexadecimal digits,
/// later ones also by a label.
fn is_anonymous(volume: &Value) -> bool {
    let name = text(volume, "Name");
    let is_digest = name.len() == 64 && name.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f'));
    is_digest || volume.pointer("/Labels/com.docker.volume.anonymous").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn anonymous_volumes_are_known_on_every_engine() {
        let digest = "0123456789abcdef".repeat(4);
        assert!(is_anonymous(&json!({"Name": digest, "Labels": null})));
        assert!(is_anonymous(&json!({"Name": "x", "Labels": {"com.docker.volume.anonymous": ""}})));
        let (shorter, upper) = (&digest[1..], digest.to_uppercase());
        for name in ["data", shorter, &upper] {
            assert!(!is_anonymous(&json!({"Name": name, "Labels": {"a": "b"}})), "{name}");
        }
    }
}
