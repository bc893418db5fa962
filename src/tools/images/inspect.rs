//! One image in detail, by section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Json, Plan, Tool},
    tools::{
        detail::Inspected,
        view::{bytes, cleaned, text, texts, time},
    },
};

/// Shows one image: platform, size, command, ports, volumes, user, labels, layers.
///
/// Values of variables are masked.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectImage {
    /// Reference or id.
    image: String,
    /// Which part. Default: summary.
    #[serde(default)]
    section: Section,
    /// The engine's document, masked. Default: false.
    #[serde(default)]
    raw: bool,
}

/// A part of what is known about an image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Section {
    #[default]
    Summary,
    Config,
    Layers,
    All,
}

impl Tool for InspectImage {
    const NAME: &'static str = "inspect_image";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.image("image", &self.image).await?]))
    }

    async fn call(self, _: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let object = plan.object()?;
        let facts = cleaned(&object.facts);
        let mut sections = Json::new();
        match self.section {
            _ if self.raw => drop(sections.insert("raw".into(), facts)),
            Section::Summary => sections = summary(&facts),
            Section::Config => drop(sections.insert("config".into(), config(&facts).into())),
            Section::Layers => drop(sections.insert("layers".into(), layers(&facts).into())),
            Section::All => {
                sections = summary(&facts);
                sections.insert("config".into(), config(&facts).into());
                sections.insert("layers".into(), layers(&facts).into());
            }
        }
        Ok(Inspected::of(object, sections))
    }
}

fn summary(facts: &Value) -> Json {
    let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
    let platform = [text(facts, "Os"), text(facts, "Architecture"), text(facts, "Variant")];
    let variables = facts.get("Config").into_iter().flat_map(|config| texts(config, "Env"));
    let names: Vec<&str> = variables.map(|variable| variable.split('=').next().unwrap_or(variable)).collect();
    filled(json!({
        "references": at("/RepoTags"), "digests": at("/RepoDigests"),
        "platform": platform.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
        "size": facts.get("Size").and_then(Value::as_u64).map(bytes), "created": time(text(facts, "Created")),
        "layers_total": facts.pointer("/RootFS/Layers").and_then(Value::as_array).map(Vec::len),
        "entrypoint": at("/Config/Entrypoint"), "command": at("/Config/Cmd"), "user": at("/Config/User"),
        "working_dir": at("/Config/WorkingDir"), "ports": keys(&at("/Config/ExposedPorts")),
        "volumes": keys(&at("/Config/Volumes")), "env": names,
    }))
}

fn config(facts: &Value) -> Json {
    let at = |name: &str| facts.get("Config").and_then(|config| config.get(name)).cloned().unwrap_or_default();
    filled(json!({
        "entrypoint": at("Entrypoint"), "command": at("Cmd"), "shell": at("Shell"), "user": at("User"),
        "working_dir": at("WorkingDir"), "env": at("Env"), "labels": at("Labels"), "ports": keys(&at("ExposedPorts")),
        "volumes": keys(&at("Volumes")), "stop_signal": at("StopSignal"), "healthcheck": at("Healthcheck"),
        "on_build": at("OnBuild"), "author": text(facts, "Author"), "comment": text(facts, "Comment"),
    }))
}

fn layers(facts: &Value) -> Json {
    let at = |pointer: &str| facts.pointer(pointer).cloned().unwrap_or_default();
    filled(json!({"digests": at("/RootFS/Layers"), "storage_driver": at("/GraphDriver/Name")}))
}

/// The engine writes sets as objects with empty values.
fn keys(set: &Value) -> Vec<&str> {
    set.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect()
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
        assert!(summary(&json!({})).is_empty());
        let arm = json!({"Os": "linux", "Architecture": "arm64", "Variant": "v8", "RootFS": {"Layers": ["a", "b"]}});
        let view = summary(&arm);
        assert_eq!((view["platform"].as_str(), view["layers_total"].as_u64()), (Some("linux/arm64/v8"), Some(2)));
    }
}
