//! A project as compose puts it together, without running it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::Chosen;
use crate::{
    docker::{Docker, cli::Program},
    error::Result,
    redact::{self, Reveal},
    tool::{Access, Call, Json, Permission, Plan, Summary, Tool, text::count},
};

/// Shows a project as compose puts it together: files merged, variables filled in (masked), paths checked.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ComposeConfig {
    #[serde(flatten)]
    chosen: Chosen,
    /// Only these services. Default: all.
    #[serde(default)]
    services: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Config {
    project: String,
    services: Json,
    #[serde(skip_serializing_if = "Json::is_empty")]
    networks: Json,
    #[serde(skip_serializing_if = "Json::is_empty")]
    volumes: Json,
    #[serde(skip_serializing_if = "Json::is_empty")]
    configs: Json,
    #[serde(skip_serializing_if = "Json::is_empty")]
    secrets: Json,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Summary for Config {
    fn summary(&self) -> String {
        format!("project \"{}\" has {}", self.project, count(self.services.len(), "service"))
    }
}

impl Tool for ComposeConfig {
    const NAME: &'static str = "compose_config";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const ACCESS: Access = Access::read(&[Permission::Files]);
    type Output = Config;

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Config> {
        let rendered = self.chosen.rendered(docker, call).await?;
        let warnings = rendered.warnings_on(docker);
        rendered.know(&self.services)?;
        let mut document = shown(rendered.document, docker.reveal());
        let mut part = |name: &str| match document.get_mut(name).map(Value::take) {
            Some(Value::Object(fields)) => fields,
            _ => Json::new(),
        };
        let mut services = part("services");
        if !self.services.is_empty() {
            services.retain(|name, _| self.services.contains(name));
        }
        Ok(Config {
            project: rendered.name,
            services,
            networks: part("networks"),
            volumes: part("volumes"),
            configs: part("configs"),
            secrets: part("secrets"),
            warnings,
        })
    }
}

/// The document with the values of its variables masked, and without what says nothing.
fn shown(document: Value, reveal: &Reveal) -> Value {
    let Value::Object(fields) = document else { return document };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| {
        let value = match (name.as_str(), value) {
            ("environment" | "args" | "driver_opts" | "options", Value::Object(variables)) => {
                let masked = |name: &str, value: &Value| match value.as_str() {
                    Some(value) if !reveal.shows(name) => {
                        let masked = redact::variable(&format!("{name}={value}"));
                        masked.split_once('=').map_or(masked.clone(), |(_, value)| value.to_owned()).into()
                    }
                    _ => value.clone(),
                };
                variables.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect()
            }
            ("content", Value::String(content)) => format!("<redacted len={}>", content.len()).into(),
            (_, Value::Array(items)) => items.into_iter().map(|item| shown(item, reveal)).collect(),
            (_, value) => shown(value, reveal),
        };
        (name, value)
    });
    Value::Object(fields.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_masked_and_names_stay() {
        let document = json!({"services": {"web": {
            "environment": {"PASSWORD": "hunter2", "TZ": "UTC"}, "command": null,
            "build": {"args": {"TOKEN": "hunter2"}},
        }}, "configs": {"c": {"content": "hunter2"}}});
        let shown = shown(document, &Reveal::default()).to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("command"), "{shown}");
        assert!(shown.contains("PASSWORD") && shown.contains("TOKEN") && shown.contains("UTC"), "{shown}");
    }
}
