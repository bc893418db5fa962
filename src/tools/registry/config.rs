//! The configuration of an image that is still in its registry.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    docker::names,
    error::{Error, Result},
    redact::{self, Reveal},
    tool::{Call, HostlessTool, Summary},
    tools::view::{clipped, few, map, text, texts, time},
};

/// How many of each are shown.
const MOST: usize = 60;
/// The longest text that is shown.
const LONGEST: usize = 300;

/// Shows how an image in a registry would run.
///
/// Nothing is pulled.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryGetConfig {
    /// Reference. Default tag: latest.
    image: String,
    /// Such as `linux/arm64`. Default: `linux/amd64`.
    #[serde(default)]
    platform: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Configured {
    image: String,
    digest: String,
    platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    entrypoint: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    command: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    working_dir: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    /// How many layers it has.
    layers: usize,
}

impl Summary for Configured {
    fn summary(&self) -> String {
        format!("\"{}\" for {}", self.image, self.platform)
    }
}

impl HostlessTool for RegistryGetConfig {
    const NAME: &'static str = "registry_get_config";
    type Output = Configured;

    async fn call(self, call: &Call) -> Result<Configured> {
        let image = super::image(&self.image)?;
        let manifest = super::of_platform(&image, self.platform.as_deref(), call).await?;
        let descriptor = manifest.document.config.as_ref();
        let is_image = descriptor.is_some_and(|config| config.media_type.contains("image"));
        let Some(descriptor) = descriptor.filter(|_| is_image) else {
            return Err(Error::unsupported(format!(
                "{} is no image but another artifact",
                names::quote(&super::shown(&image))
            ))
            .hint("registry_inspect_manifest shows what it is"));
        };
        let document = call.registries().config(&image, descriptor).await?;
        Ok(configured(super::shown(&image), manifest.digest, &document))
    }
}

fn configured(image: String, digest: String, document: &Value) -> Configured {
    // As an engine would tell it, so that the same places are masked.
    let mut engine = json!({"Config": document.get("config").cloned().unwrap_or_default()});
    redact::document(&mut engine, &Reveal::default());
    let config = engine.get("Config").cloned().unwrap_or_default();
    let all = |field: &str| few(texts(&config, field).map(|each| clipped(each, LONGEST)).collect(), MOST);
    let keys = |field: &str| {
        let fields = config.get(field).and_then(Value::as_object).into_iter().flatten();
        few(fields.map(|(key, _)| clipped(key, LONGEST)).collect(), MOST)
    };
    let one = |field: &str| clipped(text(&config, field), LONGEST);
    let platform = [text(document, "os"), text(document, "architecture"), text(document, "variant")];
    let platform: Vec<&str> = platform.into_iter().filter(|part| !part.is_empty()).collect();
    let layers = document.pointer("/rootfs/diff_ids").and_then(Value::as_array).map_or(0, Vec::len);
    Configured {
        image,
        digest,
        platform: clipped(&platform.join("/"), LONGEST),
        created: time(text(document, "created")),
        entrypoint: all("Entrypoint"),
        command: all("Cmd"),
        env: all("Env"),
        ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
        user: one("User"),
        working_dir: one("WorkingDir"),
        stop_signal: one("StopSignal"),
        labels: map(&config, "Labels")
            .into_iter()
            .take(MOST)
            .map(|(key, value)| (clipped(&key, LONGEST), clipped(&value, LONGEST)))
            .collect(),
        layers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_are_masked() {
        let document = json!({"os": "linux", "architecture": "arm64", "variant": "v8", "created": "2026-01-01T00:00:00.5Z",
            "config": {"Env": ["API_KEY=hunter2", "PATH=/bin"], "Cmd": ["serve", "--password", "hunter3"],
                "Labels": {"a": "b", "x.password": "hunter4"}, "ExposedPorts": {"80/tcp": {}}, "User": "app"},
            "rootfs": {"diff_ids": ["sha256:1", "sha256:2"]}});
        let shown = configured("x:1".into(), "sha256:00".into(), &document);
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("hunter"), "{text}");
        assert_eq!((shown.platform.as_str(), shown.layers), ("linux/arm64/v8", 2));
        assert_eq!((shown.env.len(), shown.ports, shown.user.as_str()), (2, vec!["80/tcp".to_owned()], "app"));
        assert_eq!(shown.created.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert!(shown.env.iter().any(|variable| variable.starts_with("API_KEY=<redacted")));
    }

    #[test]
    fn nonsense_is_an_empty_configuration() {
        for document in [json!(null), json!([]), json!({"config": 5, "os": [], "rootfs": "x"})] {
            assert_eq!(configured("x".into(), "d".into(), &document).layers, 0);
        }
    }
}
