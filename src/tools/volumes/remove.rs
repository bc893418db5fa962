//! Removing volumes, with their data: named ones, and those that nothing uses.

use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PERMISSION, is_anonymous};
use crate::{
    docker::{Docker, Filters, Target, names},
    error::{Error, Result},
    tool::{Access, Call, Effect, Object, ObjectKind, Permission, Plan, Tool},
    tools::{
        listing::Labels,
        outcome::{self, Outcomes},
        prune::{self, Facts, Pruned},
        view::{filter, items, text},
    },
};

/// Removes volumes with all their data, for good. One that a container uses, even a stopped one, is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveVolume {
    /// Names.
    #[schemars(length(min = 1, max = 200))]
    volumes: Vec<String>,
    /// Also where the driver has lost it; never one that is in use. Default: false.
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

/// Removes the anonymous volumes that no container uses, with all their data, for good.
///
/// With `named` also those that somebody named. Without `dry_run: false` it only lists them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneVolumes {
    /// Named ones too. Default: false.
    #[serde(default)]
    named: bool,
    /// Only those with every label: `key` or `key=value`.
    #[serde(default)]
    label: Vec<String>,
    /// Only lists what would go. Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneVolumes {
    const NAME: &'static str = "prune_volumes";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Volumes);
    type Output = Pruned;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.label.iter().try_for_each(|label| filter("label", label))?;
        let labels = Labels::of(&self.label);
        let filters = labels.filters(Filters::default().with("dangling", ["true"]));
        let listed = reading.json(Target::new("/volumes").filters(&filters)).await?;
        let goes = |volume: &&Value| self.named || is_anonymous(volume);
        // A volume of a cluster may be in use on another node.
        let is_local = |volume: &&Value| volume.get("ClusterVolume").is_none_or(Value::is_null);
        let objects = items(&listed, "Volumes")
            .filter(|volume| labels.fit(volume))
            .filter(goes)
            .filter(is_local)
            .map(object)
            .collect();
        Ok(prune::plan(Self::ACCESS, Permission::Volumes, self.dry_run.unwrap_or(true), objects))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = docker.typed().await?;
        let about = |volume: &Object| Facts {
            size: None,
            reason: is_anonymous(&volume.facts).then(|| "anonymous".to_owned()).filter(|_| self.named),
        };
        let remove = async |volume: Object| {
            // The name is the engine's, not the caller's: a driver may allow what a path does not.
            let name = names::object("volume", &volume.id)?;
            let options = RemoveVolumeOptionsBuilder::new().build();
            typed.remove_volume(name, Some(options)).await.map_err(Error::from)
        };
        Ok(Pruned::of(plan, "volume", about, remove).await)
    }
}

fn object(volume: &Value) -> Object {
    let name = text(volume, "Name").to_owned();
    Object::listed(ObjectKind::Volume, name.clone(), name, volume.clone())
}
