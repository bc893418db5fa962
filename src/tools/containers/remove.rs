//! Removing containers: the named ones, or all that are stopped.

use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lifecycle::named;
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Effect, Permission, Plan, Tool},
    tools::{
        outcome::Outcomes,
        prune::{self, Pruned, Wanted},
    },
};

/// How long many removals may take.
const MANY: Duration = Duration::from_secs(300);

/// Removes containers.
///
/// A running one is refused unless `force` is set. Named volumes always stay.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
    /// Kills a running one first. Default: false.
    #[serde(default)]
    force: bool,
    /// Its anonymous volumes too. Default: false.
    #[serde(default)]
    volumes: bool,
}

impl Tool for RemoveContainer {
    const NAME: &'static str = "remove_container";
    const ACCESS: Access = Access::destroy(&[Permission::Create]).sometimes(Permission::Volumes);
    const CORE: bool = true;
    type Output = Outcomes;

    fn deadline(&self) -> Option<Duration> {
        Some(MANY)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = named(Self::ACCESS, reading, &self.containers).await?;
        Ok(if self.volumes { plan.needing(Permission::Volumes) } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |container| {
            if container.is("/State/Running") && !self.force {
                return Err(Error::conflict(format!("container {} is running", quote(&container.name)))
                    .hint("stop_container first, or set \"force\""));
            }
            let options = RemoveContainerOptionsBuilder::new().force(self.force).v(self.volumes).build();
            typed.remove_container(&container.id, Some(options)).await?;
            Ok(None)
        })
        .await
    }
}

/// Removes all stopped containers, or shows which would go.
///
/// Those that never ran count too. Volumes stay.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneContainers {
    /// Made before: a time, or so long ago (`24h`).
    #[serde(default)]
    until: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneContainers {
    const NAME: &'static str = "prune_containers";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Create);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(self.until.as_deref(), &self.label)?;
        let stopped = prune::containers::candidates(reading, &wanted).await?;
        Ok(prune::plan(Self::ACCESS, &[Permission::Create], self.dry_run.unwrap_or(true), stopped))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = &docker.typed().await?;
        let remove = |container| prune::containers::remove(typed, container);
        Ok(Pruned::of(plan, "container", prune::containers::about, remove).await)
    }
}
