//! The settings of a plugin, which it gets when it is enabled.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{PERMISSION, is_enabled};
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Result},
    secret::SCHEME,
    tool::{Access, BodyKind, Call, Plan, Summary, Tool},
};

/// Changes settings of a disabled plugin; `inspect_plugin` shows which there are.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigurePlugin {
    /// Name or id.
    plugin: String,
    /// Variables, `MOUNT.source`, `DEVICE.path`, `args`; a value may be `secret://NAME`.
    env: BTreeMap<String, String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Configured {
    plugin: String,
    /// The names of what was set.
    set: Vec<String>,
}

impl Summary for Configured {
    fn summary(&self) -> String {
        format!("plugin \"{}\": {} set; enable_plugin starts it with them", self.plugin, self.set.join(", "))
    }
}

impl Tool for ConfigurePlugin {
    const NAME: &'static str = "configure_plugin";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Configured;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if self.env.is_empty() {
            return Err(Error::invalid("argument \"env\" is empty").hint("name at least one setting"));
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0', '\n'])) {
            return Err(Error::invalid(format!("argument \"env\": {} names no setting", quote(name)))
                .hint("inspect_plugin with section \"settings\" shows which there are"));
        }
        // A secret that is missing ends the call before anything is sent.
        self.settings(Some(call))?;
        let plugin = reading.plugin("plugin", &self.plugin).await?;
        if is_enabled(&plugin.facts) {
            return Err(Error::conflict(format!("plugin {} is enabled", quote(&plugin.name)))
                .hint("disable_plugin first; it gets its settings when it is enabled again"));
        }
        Plan::declared(Self::ACCESS)
            .on([plugin])
            .sending(BodyKind::Settings, &json!({"Settings": self.settings(None)?}))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Configured> {
        let plugin = plan.object()?;
        // What was judged and written down names its secrets; only the engine gets them.
        let settings: Value = self.settings(Some(call))?.into();
        docker.write(Method::POST, Target::new(format!("/plugins/{}/set", plugin.id)), Some(&settings)).await?;
        Ok(Configured { plugin: plugin.name.clone(), set: self.env.into_keys().collect() })
    }
}

impl ConfigurePlugin {
    /// As the engine takes them, with the secrets that they name where there is a call.
    fn settings(&self, call: Option<&Call>) -> Result<Vec<String>> {
        let mut settings = Vec::new();
        for (name, given) in &self.env {
            match (call, given.strip_prefix(SCHEME)) {
                (Some(call), Some(secret)) => {
                    settings.push(format!("{name}={}", call.secrets().named(secret)?.expose()));
                }
                _ => settings.push(format!("{name}={given}")),
            }
        }
        Ok(settings)
    }
}
