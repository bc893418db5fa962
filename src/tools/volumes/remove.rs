//! Removing volumes, with their data: named ones, and those that nothing uses.

use std::time::Duration;

use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, is_anonymous};
use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Effect, Object, Permission, Plan, Tool},
    tools::{
        outcome::{self, Outcomes},
        prune::{self, Facts, Pruned, Wanted},
    },
};

/// Removes volumes with all their data, for good. Used ones are refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveVolume {
    /// Names.
    #[schemars(length(min = 1, max = 200))]
    volumes: Vec<String>,
    /// Also where the driver has lost it. Default: false.
    #[serde(default)]
    force: bool,
}

impl Tool for RemoveVolume {
    const NAME: &'static str = "remove_volume";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("volumes", &self.volumes)?;
        Plan::declared(Self::ACCESS).resolve(&self.volumes, |name| reading.volume("volumes", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |volume| {
            let options = RemoveVolumeOptionsBuilder::new().force(self.force).build();
            typed.remove_volume(&volume.id, Some(options)).await?;
            Ok(None)
        })
        .await
    }
}

/// Removes the anonymous volumes that no container uses, for good.
///
/// With `named` named ones too. Without `dry_run: false` it only lists them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneVolumes {
    /// Named ones too. Default: false.
    #[serde(default)]
    named: bool,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneVolumes {
    const NAME: &'static str = "prune_volumes";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Volumes);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(None, &self.label)?;
        let unused = prune::volumes::candidates(reading, &wanted, self.named).await?;
        Ok(prune::plan(Self::ACCESS, PERMISSION, self.dry_run.unwrap_or(true), unused))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = &docker.typed().await?;
        let about = |volume: &Object| Facts {
            size: None,
            reason: is_anonymous(&volume.facts).then(|| "anonymous".to_owned()).filter(|_| self.named),
        };
        Ok(Pruned::of(plan, "volume", about, |volume| prune::volumes::remove(typed, volume)).await)
    }
}
