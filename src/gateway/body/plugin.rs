//! The rule of plugins: whoever installs one gives it the machine.

use serde_json::Value;

use super::{
    Hit,
    read::{part, text, texts},
};
use crate::{
    config::limits::Rule,
    docker::names::quote,
    tool::{Object, ObjectKind},
};

/// How many characters of what a plugin asks for a finding shows.
const LONGEST: usize = 200;

/// A plugin that is installed or upgraded: one that asks for nothing runs as root and serves the engine all the same.
pub(super) fn granted(document: &Value) -> Vec<Hit> {
    let asked = part(document, &["Privileges"]).as_array().into_iter().flatten().map(|privilege| {
        let values: Vec<&str> = texts(privilege, "Value").collect();
        format!("{} [{}]", text(privilege, "Name"), values.join(", "))
    });
    let asked: String = asked.collect::<Vec<_>>().join(", ").escape_debug().take(LONGEST).collect();
    let plugin = quote(text(document, "Remote"));
    let what = if asked.is_empty() { format!("plugin {plugin}") } else { format!("plugin {plugin} with {asked}") };
    vec![Hit::at(Rule::PluginPrivileges, what, "Privileges")]
}

/// Settings that name what the plugin gets of the machine: where a mount comes from, which device.
pub(super) fn set(document: &Value, objects: &[Object]) -> Vec<Hit> {
    let plugins = || objects.iter().filter(|object| object.kind == ObjectKind::Plugin);
    let is_part_of_machine = |name: &str| {
        let has = |list: &Value| list.as_array().into_iter().flatten().any(|item| text(item, "Name") == name);
        plugins().any(|plugin| {
            has(part(&plugin.facts, &["Config", "Mounts"])) || has(part(&plugin.facts, &["Config", "Linux", "Devices"]))
        })
    };
    // The engine takes `name`, `name.field` and both with a value.
    let named = |setting: &str| {
        let name = setting.split('=').next().unwrap_or_default();
        is_part_of_machine(name) || name.rsplit_once('.').is_some_and(|(name, _)| is_part_of_machine(name))
    };
    let hits = texts(document, "Settings").filter(|setting| named(setting));
    hits.map(|setting| Hit::at(Rule::PluginPrivileges, format!("setting {}", quote(setting)), "Settings")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_plugin_is_told_with_what_it_asks_for() {
        let hits = granted(&json!({"Remote": "a/b:1", "Privileges": [
            {"Name": "network", "Value": ["host"]}, {"Name": "capabilities", "Value": ["CAP_SYS_ADMIN"]},
        ]}));
        assert_eq!(
            hits[0].value,
            "plugin \"a/b:1\" with network [host], capabilities [CAP_SYS_ADMIN] at \"Privileges\""
        );
        assert_eq!(granted(&json!({"Remote": "a/b:1", "Privileges": null})).len(), 1);
    }

    #[test]
    fn a_setting_that_reaches_into_the_machine_is_one() {
        let facts = json!({"Config": {"Mounts": [{"Name": "state"}], "Linux": {"Devices": [{"Name": "card"}]}}});
        let plugin = Object::listed(ObjectKind::Plugin, "a".into(), "a".into(), facts);
        let hits = |setting: &str| set(&json!({"Settings": [setting]}), std::slice::from_ref(&plugin)).len();
        for setting in ["state=/etc", "state.source=/etc", "card=/dev/sda", "card.path=/dev/sda", "state"] {
            assert_eq!(hits(setting), 1, "{setting}");
        }
        for setting in ["DEBUG=1", "DEBUG=state", "args=state.source=/etc"] {
            assert_eq!(hits(setting), 0, "{setting}");
        }
    }
}
