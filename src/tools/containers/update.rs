//! Changes of a container that stays: its name, its limits, its restart policy.

use bollard::{models::ContainerUpdateBody, query_parameters::RenameContainerOptionsBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, names},
    error::{Error, Result},
    tool::{Access, BodyKind, Call, Object, Permission, Plan, Summary, Tool, text::count},
    tools::{
        body::values,
        view::{bytes, short_id, text},
    },
};

/// Gives a container another name.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RenameContainer {
    /// Name or id.
    container: String,
    /// The new name.
    name: String,
}

/// A renamed container.
#[derive(Serialize, JsonSchema)]
pub(super) struct Renamed {
    name: String,
    id: String,
    old_name: String,
}

impl Summary for Renamed {
    fn summary(&self) -> String {
        format!("container \"{}\" is now \"{}\"", self.old_name, self.name)
    }
}

impl Tool for RenameContainer {
    const NAME: &'static str = "rename_container";
    const ACCESS: Access = Access::mutate(&[Permission::Create]);
    type Output = Renamed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        names::object("name", &self.name)?;
        reading.may_be_called("name", Some(&self.name))?;
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Renamed> {
        let container = plan.object()?;
        let options = RenameContainerOptionsBuilder::new().name(&self.name).build();
        docker.typed().await?.rename_container(&container.id, options).await?;
        Ok(Renamed { name: self.name, id: short_id(&container.id), old_name: container.name.clone() })
    }
}

/// Changes limits and restart policy of a container, running or not; answers old and new values.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateContainer {
    /// Name or id.
    container: String,
    /// Such as `512m` or `2g`.
    #[serde(default)]
    memory: Option<String>,
    /// Memory and swap together; `-1` is without limit.
    #[serde(default)]
    memory_swap: Option<String>,
    /// Such as 0.5.
    #[serde(default)]
    cpus: Option<f64>,
    /// Relative weight; 1024 is normal.
    #[serde(default)]
    #[schemars(range(min = 2, max = 262_144))]
    cpu_shares: Option<i64>,
    /// At most so many processes; -1 is without limit.
    #[serde(default)]
    #[schemars(range(min = -1))]
    pids: Option<i64>,
    /// `no`, `always`, `unless-stopped`, `on-failure[:N]`.
    #[serde(default)]
    restart: Option<String>,
}

/// What changed.
#[derive(Serialize, JsonSchema)]
pub(super) struct Updated {
    name: String,
    id: String,
    changes: Vec<Change>,
}

/// One setting.
#[derive(Serialize, JsonSchema)]
pub(super) struct Change {
    setting: &'static str,
    old: String,
    new: String,
}

impl Summary for Updated {
    fn summary(&self) -> String {
        format!("{} of container \"{}\" updated", count(self.changes.len(), "setting"), self.name)
    }
}

impl Tool for UpdateContainer {
    const NAME: &'static str = "update_container";
    const ACCESS: Access = Access::mutate(&[Permission::Create]);
    type Output = Updated;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let body = self.body()?;
        if body == ContainerUpdateBody::default() {
            return Err(Error::invalid("nothing is to be changed").hint("give \"memory\", \"cpus\", \"restart\", ..."));
        }
        let container = reading.container("container", &self.container).await?;
        Plan::declared(Self::ACCESS).on([container]).sending(BodyKind::Update, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Updated> {
        let before = plan.object()?;
        docker.typed().await?.update_container(&before.id, plan.sent()?).await?;
        let after = docker.container("container", &before.id).await?;
        let given = [
            ("memory", self.memory.is_some()),
            ("memory_swap", self.memory_swap.is_some()),
            ("cpus", self.cpus.is_some()),
            ("cpu_shares", self.cpu_shares.is_some()),
            ("pids", self.pids.is_some()),
            ("restart", self.restart.is_some()),
        ];
        let changes = given.into_iter().filter(|(_, given)| *given);
        let changes = changes
            .map(|(setting, _)| Change { setting, old: shown(before, setting), new: shown(&after, setting) })
            .collect();
        Ok(Updated { name: after.name, id: short_id(&after.id), changes })
    }
}

impl UpdateContainer {
    fn body(&self) -> Result<ContainerUpdateBody> {
        let swap = |text: &str| if text == "-1" { Ok(-1) } else { values::size("memory_swap", text) };
        Ok(ContainerUpdateBody {
            memory: self.memory.as_deref().map(|text| values::size("memory", text)).transpose()?,
            memory_swap: self.memory_swap.as_deref().map(swap).transpose()?,
            nano_cpus: self.cpus.map(values::cpus).transpose()?,
            cpu_shares: self.cpu_shares,
            pids_limit: self.pids,
            restart_policy: self.restart.as_deref().map(values::restart).transpose()?,
            ..Default::default()
        })
    }
}

/// A setting as people write it.
fn shown(container: &Object, setting: &str) -> String {
    let number =
        |field: &str| container.fact(&format!("/HostConfig/{field}")).and_then(Value::as_i64).unwrap_or_default();
    let or_none = |number: i64, write: &dyn Fn(u64) -> String| match u64::try_from(number) {
        Ok(0) | Err(_) => "no limit".to_owned(),
        Ok(number) => write(number),
    };
    match setting {
        "memory" => or_none(number("Memory"), &bytes),
        "memory_swap" => or_none(number("MemorySwap"), &bytes),
        "cpus" => or_none(number("NanoCpus"), &|billionths| {
            let text = format!("{}.{:09}", billionths / 1_000_000_000, billionths % 1_000_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }),
        "cpu_shares" => match number("CpuShares") {
            0 => "1024".to_owned(),
            shares => shares.to_string(),
        },
        "pids" => or_none(number("PidsLimit"), &|pids| pids.to_string()),
        _ => {
            let policy = container.fact("/HostConfig/RestartPolicy").cloned().unwrap_or_default();
            match (text(&policy, "Name"), policy.get("MaximumRetryCount").and_then(Value::as_u64)) {
                ("", _) => "no".to_owned(),
                (name, Some(retries)) if retries > 0 => format!("{name}:{retries}"),
                (name, _) => name.to_owned(),
            }
        }
    }
}
