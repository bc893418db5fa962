//! Removing containers: the named ones, or all that are stopped.

use std::time::Duration;

use bollard::query_parameters::{RemoveContainerOptions, RemoveContainerOptionsBuilder};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lifecycle::named;
use crate::{
    docker::{Docker, Filters, Target, names::quote},
    error::{Error, Kind, Result},
    tool::{Access, Call, Effect, Object, ObjectKind, Permission, Plan, Tool},
    tools::{
        listing::Labels,
        outcome::Outcomes,
        prune::{self, Facts, Pruned},
        time::moment,
        view::text,
    },
};

/// How long many removals may take.
const MANY: Duration = Duration::from_secs(300);
/// How long the daemon may count the bytes of all containers.
const SIZES: Duration = Duration::from_secs(60);

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
    /// Only those made before: RFC 3339, unix seconds, or so long ago (`24h`).
    #[serde(default)]
    until: Option<String>,
    /// Only those with every label: `key` or `key=value`.
    #[serde(default)]
    label: Vec<String>,
    /// Shows them and removes none. Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneContainers {
    const NAME: &'static str = "prune_containers";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Create);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(MANY)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let until = self.until.as_deref().map(|text| moment("until", text, Timestamp::now())).transpose()?;
        let labels = Labels::of(&self.label);
        let filters = labels.filters(Filters::default().with("status", ["created", "exited", "dead"]));
        let target = Target::new("/containers/json").query("all", "1").query("size", "1").filters(&filters);
        let listed = reading.json(target.patient(SIZES)).await?;
        let made = |container: &Value| container.get("Created").and_then(Value::as_i64).unwrap_or(i64::MAX);
        let old = |container: &&Value| until.is_none_or(|until| made(container) < until.as_second());
        let labelled = listed.as_array().into_iter().flatten().filter(|container| labels.fit(container));
        let stopped = labelled.filter(old).filter_map(stopped).collect();
        Ok(prune::plan(Self::ACCESS, Permission::Create, self.dry_run.unwrap_or(true), stopped))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let about = |container: &Object| Facts {
            size: container.fact("/SizeRw").and_then(Value::as_u64),
            reason: Some(text(&container.facts, "Status").to_owned()),
        };
        let typed = &docker.typed().await?;
        let remove = async |container: Object| {
            match typed.remove_container(&container.id, None::<RemoveContainerOptions>).await.map_err(Error::from) {
                // Somebody else was faster; it is gone all the same.
                Err(error) if error.kind() == Kind::NotFound => Ok(()),
                removed => removed,
            }
        };
        Ok(Pruned::of(plan, "container", about, remove).await)
    }
}

/// A row of the engine's list; one without an id is left alone.
fn stopped(container: &Value) -> Option<Object> {
    let id = Some(text(container, "Id")).filter(|id| !id.is_empty())?.to_owned();
    let name = container.pointer("/Names/0").and_then(Value::as_str).unwrap_or(&id).trim_start_matches('/').to_owned();
    Some(Object::listed(ObjectKind::Container, id, name, container.clone()))
}
