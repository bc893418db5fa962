//! Removing the images that nothing uses.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PERMISSION;
use crate::{
    docker::{Docker, Target},
    error::Result,
    tool::{Access, Call, Effect, Permission, Plan, Tool},
    tools::prune::{self, Pruned, Wanted, containers::Staying},
};

/// Removes the images without a name that nothing uses, or lists which would go.
///
/// With `all` named ones too. Without `dry_run: false` it only lists them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneImages {
    /// Those with a name too. Default: false.
    #[serde(default)]
    all: bool,
    /// Built before: so long ago (`24h`), or a time. Default: any.
    #[serde(default)]
    until: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneImages {
    const NAME: &'static str = "prune_images";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Images);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(self.until.as_deref(), &self.label)?;
        let containers = reading.json(Target::new("/containers/json").query("all", "1")).await?;
        let unused = prune::images::candidates(reading, &wanted, self.all, &Staying::of(&containers, &[])).await?;
        Ok(prune::plan(Self::ACCESS, PERMISSION, self.dry_run.unwrap_or(true), unused))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = &docker.typed().await?;
        let remove = |image| prune::images::remove(docker, typed, image);
        Ok(Pruned::of(plan, "image", prune::images::about, remove).await)
    }
}
