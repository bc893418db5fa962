//! Removing containers: the named ones, or all that are stopped.

use std::time::Duration;

use bollard::query_parameters::{RemoveContainerOptions, RemoveContainerOptionsBuilder};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{body::values::moment, lifecycle::named};
use crate::{
    docker::{Docker, Filters, Target, names::quote},
    error::{Error, Kind, Result},
    tool::{Access, Call, Effect, Object, ObjectKind, Permission, Permissions, Plan, Summary, Tool, text::count},
    tools::{
        outcome::Outcomes,
        view::{bytes, short_id, text},
    },
};

/// How long many removals may take.
const MANY: Duration = Duration::from_secs(300);
/// How long the daemon may count the bytes of all containers.
const SIZES: Duration = Duration::from_secs(60);
/// How many rows are shown.
const SHOWN: usize = 100;

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

/// Stopped containers, and what happened to them.
#[derive(Serialize, JsonSchema)]
pub(super) struct Pruned {
    dry_run: bool,
    containers: Vec<Row>,
    total: usize,
    shown: usize,
    size: String,
}

/// A stopped container.
#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    name: String,
    id: String,
    status: String,
    size: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip)]
    bytes: u64,
}

impl Summary for Pruned {
    fn summary(&self) -> String {
        let (total, size) = (count(self.total, "container"), &self.size);
        let failed = self.containers.iter().filter(|row| row.error.is_some()).count();
        match (self.dry_run, failed) {
            (true, _) => format!("{total} would be removed, {size}; set \"dry_run\" to false to do it"),
            (false, 0) => format!("{total} removed, {size}"),
            (false, failed) => format!("{total} to remove, {failed} failed; {size} freed"),
        }
    }
}

impl PruneContainers {
    fn is_dry(&self) -> bool {
        self.dry_run.unwrap_or(true)
    }
}

impl Tool for PruneContainers {
    const NAME: &'static str = "prune_containers";
    const ACCESS: Access = Access::destroy(&[Permission::Create]).down_to(Effect::Read);
    type Output = Pruned;

    fn deadline(&self) -> Option<Duration> {
        Some(MANY)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let now = Timestamp::now();
        let until = self.until.as_deref().map(|text| moment("until", text, now)).transpose()?;
        let filters = Filters::default().with("status", ["created", "exited", "dead"]).with("label", &self.label);
        let target = Target::new("/containers/json").query("all", "1").query("size", "1").filters(&filters);
        let listed = reading.json(target.patient(SIZES)).await?;
        let made = |container: &Value| container.get("Created").and_then(Value::as_i64).unwrap_or(i64::MAX);
        let old = |container: &&Value| until.is_none_or(|until| made(container) < until);
        let stopped = listed.as_array().into_iter().flatten().filter(old).filter_map(stopped);
        let plan = Plan::declared(Self::ACCESS).on(stopped);
        Ok(if self.is_dry() { Plan { permissions: Permissions::READ, ..plan.at_most(Effect::Read) } } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let dry_run = self.is_dry();
        let mut containers: Vec<Row> = Vec::new();
        for container in plan.objects {
            let mut row = Row::of(&container);
            if !dry_run {
                let removed =
                    docker.typed().await?.remove_container(&container.id, None::<RemoveContainerOptions>).await;
                match removed.map_err(Error::from) {
                    Ok(()) => row.result = "removed",
                    Err(error) if error.kind() == Kind::NotFound => row.result = "removed by another",
                    Err(error) => (row.result, row.error) = (error.kind().as_str(), Some(error.to_string())),
                }
            }
            containers.push(row);
        }
        // What failed is shown first, then what was large.
        containers.sort_by_key(|row| (row.error.is_none(), std::cmp::Reverse(row.bytes)));
        let total = containers.len();
        let freed = containers.iter().filter(|row| row.error.is_none()).map(|row| row.bytes).sum();
        containers.truncate(SHOWN);
        Ok(Pruned { dry_run, shown: containers.len(), containers, total, size: bytes(freed) })
    }
}

impl Row {
    fn of(container: &Object) -> Self {
        let size = container.fact("/SizeRw").and_then(Value::as_u64).unwrap_or_default();
        Self {
            name: container.name.clone(),
            id: short_id(&container.id),
            status: text(&container.facts, "Status").to_owned(),
            size: bytes(size),
            result: "would be removed",
            error: None,
            bytes: size,
        }
    }
}

/// A row of the engine's list; one without an id is left alone.
fn stopped(container: &Value) -> Option<Object> {
    let id = Some(text(container, "Id")).filter(|id| !id.is_empty())?.to_owned();
    let name = container.pointer("/Names/0").and_then(Value::as_str).unwrap_or(&id).trim_start_matches('/').to_owned();
    Some(Object { kind: ObjectKind::Container, asked: name.clone(), id, name, facts: container.clone() })
}
