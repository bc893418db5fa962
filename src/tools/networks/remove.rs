//! Removing networks: named ones, and those that nothing uses.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PERMISSION, refused};
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Effect, Object, Permission, Plan, Tool},
    tools::{
        outcome::{self, Outcomes},
        prune::{self, Facts, Pruned, Wanted, containers::Staying},
        view::text,
    },
};

/// How many containers a refusal names.
const MOST_NAMES: usize = 5;

/// Removes networks that no running container is connected to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveNetwork {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    networks: Vec<String>,
}

impl Tool for RemoveNetwork {
    const NAME: &'static str = "remove_network";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("networks", &self.networks)?;
        Plan::declared(Self::ACCESS).resolve(&self.networks, |name| reading.network("networks", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |network| {
            check(&network)?;
            typed.remove_network(&network.id).await.map_err(|error| refused(error.into()))?;
            Ok(None)
        })
        .await
    }
}

/// Says what stands in the way, which the engine's own refusal does not name.
fn check(network: &Object) -> Result<()> {
    if matches!(network.name.as_str(), "bridge" | "host" | "none") {
        return Err(Error::conflict(format!("network {} belongs to the engine itself", quote(&network.name)))
            .hint("it cannot be removed"));
    }
    let members: Vec<&str> = network
        .fact("/Containers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(id, member)| Some(text(member, "Name")).filter(|name| !name.is_empty()).unwrap_or(id))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let names = members.iter().take(MOST_NAMES).map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let more = match members.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::conflict(format!("network {} is in use by {names}{more}", quote(&network.name)))
        .hint("disconnect_network takes a container off it"))
}

/// Removes the networks that no container uses, running or stopped.
///
/// Without `dry_run: false` it only lists them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneNetworks {
    /// Made before: so long ago (`24h`), or a time. Default: any.
    #[serde(default)]
    until: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneNetworks {
    const NAME: &'static str = "prune_networks";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Networks);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(prune::DEADLINE)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let wanted = Wanted::of(self.until.as_deref(), &self.label)?;
        let containers = reading.json(Target::new("/containers/json").query("all", "1")).await?;
        let unused = prune::networks::candidates(reading, &wanted, &Staying::of(&containers, &[])).await?;
        Ok(prune::plan(Self::ACCESS, PERMISSION, self.dry_run.unwrap_or(true), unused))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = &docker.typed().await?;
        let remove = |network| prune::networks::remove(typed, network, &[]);
        Ok(Pruned::of(plan, "network", |_| Facts::default(), remove).await)
    }
}
