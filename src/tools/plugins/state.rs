//! Plugins enabled, disabled and removed.

use std::time::Duration;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, is_enabled};
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Plan, Summary, Tool},
    tools::view::short_id,
};

/// How long a daemon may wait for a plugin that starts.
const STARTS: u64 = 30;
/// How long a daemon may take to stop and to remove one.
const ENDS: Duration = Duration::from_secs(55);

/// Starts a plugin, which runs as root with what it was granted.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EnablePlugin {
    /// Name or id.
    plugin: String,
}

/// Stops a plugin: what it does is gone until it is enabled again.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DisablePlugin {
    /// Name or id.
    plugin: String,
    /// Also while it is used. Default: false.
    #[serde(default)]
    force: bool,
}

/// Removes a disabled plugin with its settings and files.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemovePlugin {
    /// Name or id.
    plugin: String,
    /// Also enabled or used. Default: false.
    #[serde(default)]
    force: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Changed {
    plugin: String,
    id: String,
    /// `enabled`, `disabled` or `removed`.
    state: &'static str,
    /// Whether it was so already.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unchanged: bool,
}

impl Summary for Changed {
    fn summary(&self) -> String {
        let was = if self.unchanged { "was already" } else { "is" };
        format!("plugin \"{}\" {was} {}", self.plugin, self.state)
    }
}

impl Changed {
    fn to(plan: &Plan, state: &'static str, unchanged: bool) -> Result<Self> {
        let plugin = plan.object()?;
        Ok(Self { plugin: plugin.name.clone(), id: short_id(&plugin.id), state, unchanged })
    }
}

impl Tool for EnablePlugin {
    const NAME: &'static str = "enable_plugin";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Changed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.plugin("plugin", &self.plugin).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let plugin = plan.object()?;
        if is_enabled(&plugin.facts) {
            return Changed::to(&plan, "enabled", true);
        }
        let target = Target::new(format!("/plugins/{}/enable", plugin.id)).query("timeout", STARTS.to_string());
        docker.write(Method::POST, target.patient(ENDS), None).await?;
        Changed::to(&plan, "enabled", false)
    }
}

impl Tool for DisablePlugin {
    const NAME: &'static str = "disable_plugin";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Changed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.plugin("plugin", &self.plugin).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let plugin = plan.object()?;
        if !is_enabled(&plugin.facts) {
            return Changed::to(&plan, "disabled", true);
        }
        let target = forced(Target::new(format!("/plugins/{}/disable", plugin.id)), self.force);
        docker.write(Method::POST, target, None).await?;
        Changed::to(&plan, "disabled", false)
    }
}

impl Tool for RemovePlugin {
    const NAME: &'static str = "remove_plugin";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Changed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.plugin("plugin", &self.plugin).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let plugin = plan.object()?;
        if is_enabled(&plugin.facts) && !self.force {
            return Err(Error::conflict(format!("plugin {} is enabled", quote(&plugin.name)))
                .hint("disable_plugin first, or set \"force\""));
        }
        let target = forced(Target::new(format!("/plugins/{}", plugin.id)), self.force);
        docker.write(Method::DELETE, target, None).await?;
        Changed::to(&plan, "removed", false)
    }
}

fn forced(target: Target, force: bool) -> Target {
    let target = target.patient(ENDS);
    if force { target.query("force", "1") } else { target }
}
