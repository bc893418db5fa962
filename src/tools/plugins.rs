//! Plugins of an engine, which run as root on its machine: list, inspect, install, configure, enable, disable, upgrade,
//! remove.

mod inspect;
mod install;
mod list;
mod settings;
mod state;

use serde_json::Value;

use super::view::{flag, texts};
use crate::tool::{Permission, Toolset, def, fleet};

/// The toolset, which is also this folder's table of contents.
pub const PLUGINS: Toolset = Toolset {
    name: "plugins",
    about: "List, inspect, install, configure, enable, disable, upgrade and remove plugins.",
    tools: &[
        fleet::<list::ListPlugins>,
        def::<inspect::InspectPlugin>,
        def::<install::InstallPlugin>,
        def::<settings::ConfigurePlugin>,
        def::<state::EnablePlugin>,
        def::<install::UpgradePlugin>,
        def::<state::DisablePlugin>,
        def::<state::RemovePlugin>,
    ],
};

const PERMISSION: &[Permission] = &[Permission::System];

/// What a plugin does for the engine, such as `volumedriver`.
fn capabilities(plugin: &Value) -> Vec<String> {
    let Some(interface) = plugin.pointer("/Config/Interface") else { return Vec::new() };
    let short = |name: &str| name.trim_start_matches("docker.").split('/').next().unwrap_or(name).to_owned();
    // Engines write `docker.volumedriver/1.0`, or its parts.
    let parts = interface.get("Types").and_then(Value::as_array).into_iter().flatten();
    let parts = parts.filter_map(|part| part.get("Capability").and_then(Value::as_str));
    texts(interface, "Types").chain(parts).map(short).collect()
}

/// Whether it runs.
fn is_enabled(plugin: &Value) -> bool {
    flag(plugin, "Enabled")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_spellings_of_a_capability_are_read() {
        for kind in [json!("docker.volumedriver/1.0"), json!({"Prefix": "docker", "Capability": "volumedriver"})] {
            assert_eq!(capabilities(&json!({"Config": {"Interface": {"Types": [kind]}}})), ["volumedriver"]);
        }
        assert!(capabilities(&json!({"Config": null})).is_empty());
    }
}
