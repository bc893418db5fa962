//! One plugin in detail, by section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{capabilities, is_enabled};
use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Json, Plan, Tool},
    tools::{
        detail::Inspected,
        view::{cleaned, text},
    },
};

/// Shows one plugin: whether it runs, what it may do, its settings.
///
/// Values of settings are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectPlugin {
    /// Name or id.
    plugin: String,
    /// Which part. Default: summary.
    #[serde(default)]
    section: Section,
    /// The engine's document, masked. Default: false.
    #[serde(default)]
    raw: bool,
}

/// A part of what is known about a plugin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Section {
    #[default]
    Summary,
    Privileges,
    Settings,
    All,
}

impl Tool for InspectPlugin {
    const NAME: &'static str = "inspect_plugin";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.plugin("plugin", &self.plugin).await?]))
    }

    async fn call(self, _: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let object = plan.object()?;
        let facts = cleaned(&object.facts);
        let mut sections = Json::new();
        match self.section {
            _ if self.raw => drop(sections.insert("raw".into(), facts)),
            Section::Summary => sections = summary(&facts),
            Section::Privileges => drop(sections.insert("privileges".into(), privileges(&facts).into())),
            Section::Settings => drop(sections.insert("settings".into(), settings(&facts).into())),
            Section::All => {
                sections = summary(&facts);
                sections.insert("privileges".into(), privileges(&facts).into());
                sections.insert("settings".into(), settings(&facts).into());
            }
        }
        Ok(Inspected::of(object, sections))
    }
}

fn summary(facts: &Value) -> Json {
    let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
    filled(json!({
        "enabled": is_enabled(facts), "reference": text(facts, "PluginReference"), "capabilities": capabilities(facts),
        "description": at("/Config/Description"), "documentation": at("/Config/Documentation"),
        "engine": at("/Config/DockerVersion"), "entrypoint": at("/Config/Entrypoint"),
    }))
}

/// What of the machine it has.
fn privileges(facts: &Value) -> Json {
    let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
    filled(json!({
        "network": at("/Config/Network/Type"), "capabilities": at("/Config/Linux/Capabilities"),
        "all_devices": at("/Config/Linux/AllowAllDevices"), "host_ipc": at("/Config/IpcHost"),
        "host_pid": at("/Config/PidHost"), "mounts": at("/Settings/Mounts"), "devices": at("/Settings/Devices"),
    }))
}

fn settings(facts: &Value) -> Json {
    let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
    let fields = ["/Config/Env", "/Config/Mounts", "/Config/Linux/Devices"].into_iter().flat_map(|list| {
        let items = facts.pointer(list).and_then(Value::as_array).into_iter().flatten();
        items.filter(|item| item.get("Settable").and_then(Value::as_array).is_some_and(|fields| !fields.is_empty()))
    });
    let names: Vec<&str> = fields.map(|item| text(item, "Name")).collect();
    filled(json!({"env": at("/Settings/Env"), "args": at("/Settings/Args"), "settable": names}))
}

/// Drops what says nothing: null, empty text, empty lists.
fn filled(document: Value) -> Json {
    let Value::Object(fields) = document else { return Json::new() };
    let says_something = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    fields.into_iter().filter(|(_, value)| says_something(value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_anything_has_a_summary() {
        assert_eq!(Value::Object(summary(&json!({}))), json!({"enabled": false}));
        assert!(privileges(&json!({})).is_empty() && settings(&json!({})).is_empty());
        let settable =
            json!({"Config": {"Env": [{"Name": "A", "Settable": ["value"]}, {"Name": "B", "Settable": null}]}});
        assert_eq!(settings(&settable)["settable"], json!(["A"]));
    }
}
