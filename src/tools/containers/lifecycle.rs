//! Starting and stopping: one call for many containers, a result for each.

use std::time::Duration;

use bollard::query_parameters::{
    KillContainerOptionsBuilder, RestartContainerOptionsBuilder, StartContainerOptions, StopContainerOptionsBuilder,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, guard::is_mild_signal},
    error::Result,
    tool::{Access, Call, Effect, Object, Permission, Plan, Tool},
    tools::{
        logs,
        outcome::{self, Outcomes},
        view::{flag, text as field},
    },
};

const LIFECYCLE: &[Permission] = &[Permission::Lifecycle];
/// What a write may take beside its grace.
const WRITE: u64 = 60;

/// Starts containers that exist and do not run.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StartContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
}

impl Tool for StartContainer {
    const NAME: &'static str = "start_container";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const CORE: bool = true;
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(named(Self::ACCESS, reading, &self.containers).await?.entering())
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "started", async |container| {
            let already = container.is("/State/Running").then(|| "it was running already".to_owned());
            typed.start_container(&container.id, None::<StartContainerOptions>).await?;
            Ok(already)
        })
        .await
    }
}

/// Stops containers: a polite signal, then KILL after the grace.
///
/// One made with auto-remove is removed by that.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
    /// Seconds before KILL. Default: the container's, else 10.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600))]
    grace: Option<u32>,
}

impl Tool for StopContainer {
    const NAME: &'static str = "stop_container";
    const ACCESS: Access = Access::destroy(LIFECYCLE).down_to(Effect::Mutate).sometimes(Permission::Volumes);
    const CORE: bool = true;
    type Output = Outcomes;

    fn deadline(&self) -> Option<Duration> {
        Some(graceful(self.grace, self.containers.len()))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = named(Self::ACCESS, reading, &self.containers).await?;
        Ok(if plan.objects.iter().any(vanishes) { with_volumes(plan) } else { plan.at_most(Effect::Mutate) })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "stopped", async |container| {
            let options = StopContainerOptionsBuilder::new();
            let options = match self.grace {
                Some(grace) => options.t(seconds(grace)),
                None => options,
            };
            typed.stop_container(&container.id, Some(options.build())).await?;
            Ok(vanishes(&container).then(|| "it was made with auto-remove and is gone".to_owned()))
        })
        .await
    }
}

/// Restarts containers.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RestartContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
    /// Seconds before KILL. Default: the container's, else 10.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600))]
    grace: Option<u32>,
}

impl Tool for RestartContainer {
    const NAME: &'static str = "restart_container";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const CORE: bool = true;
    type Output = Outcomes;

    fn deadline(&self) -> Option<Duration> {
        Some(graceful(self.grace, self.containers.len()))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = named(Self::ACCESS, reading, &self.containers).await?;
        // What does not run is started by it.
        let starts = plan.objects.iter().any(|container| !container.is("/State/Running"));
        Ok(if starts { plan.entering() } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "restarted", async |container| {
            let before = last_state(docker, &container).await;
            let options = RestartContainerOptionsBuilder::new();
            let options = match self.grace {
                Some(grace) => options.t(seconds(grace)),
                None => options,
            };
            typed.restart_container(&container.id, Some(options.build())).await?;
            Ok(Some(before))
        })
        .await
    }
}

/// Pauses running containers: their processes are frozen until `unpause_container`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PauseContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
}

impl Tool for PauseContainer {
    const NAME: &'static str = "pause_container";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        named(Self::ACCESS, reading, &self.containers).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "paused", async |container| {
            typed.pause_container(&container.id).await?;
            Ok(None)
        })
        .await
    }
}

/// Lets paused containers go on.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UnpauseContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
}

impl Tool for UnpauseContainer {
    const NAME: &'static str = "unpause_container";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        named(Self::ACCESS, reading, &self.containers).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "unpaused", async |container| {
            typed.unpause_container(&container.id).await?;
            Ok(None)
        })
        .await
    }
}

/// Sends a signal to running containers.
///
/// Any but HUP, USR1, USR2 and WINCH counts as destroying.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KillContainer {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    containers: Vec<String>,
    /// Name or number. Default: KILL.
    #[serde(default)]
    signal: Option<String>,
}

impl Tool for KillContainer {
    const NAME: &'static str = "kill_container";
    const ACCESS: Access = Access::destroy(LIFECYCLE).down_to(Effect::Mutate).sometimes(Permission::Volumes);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.signal.as_ref().map_or(Ok(()), |given| outcome::signal("signal", given))?;
        let plan = named(Self::ACCESS, reading, &self.containers).await?;
        Ok(if is_mild_signal(self.signal.as_deref()) { plan.at_most(Effect::Mutate) } else { with_volumes(plan) })
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        let signal = self.signal.as_deref().unwrap_or("KILL");
        Outcomes::of(plan, "signalled", async |container| {
            let options = KillContainerOptionsBuilder::new().signal(signal).build();
            typed.kill_container(&container.id, Some(options)).await?;
            Ok(None)
        })
        .await
    }
}

/// The plan of a call that names containers and nothing else.
pub(super) async fn named(access: Access, reading: &Docker, containers: &[String]) -> Result<Plan> {
    outcome::some("containers", containers)?;
    Plan::declared(access).resolve(containers, |name| reading.container("containers", name)).await
}

/// Whether stopping it removes it.
fn vanishes(container: &Object) -> bool {
    container.is("/HostConfig/AutoRemove")
}

/// An engine that removes a container by itself removes its anonymous volumes too.
fn with_volumes(plan: Plan) -> Plan {
    let is_anonymous = |mount: &Value| {
        let name = mount.get("Name").and_then(Value::as_str).unwrap_or_default();
        name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    let mounts = |container: &Object| container.fact("/Mounts").and_then(Value::as_array).cloned().unwrap_or_default();
    let loses =
        plan.objects.iter().filter(|object| vanishes(object)).flat_map(mounts).any(|mount| is_anonymous(&mount));
    if loses { plan.needing(Permission::Volumes) } else { plan }
}

fn seconds(grace: u32) -> i32 {
    i32::try_from(grace).unwrap_or(i32::MAX)
}

fn graceful(grace: Option<u32>, containers: usize) -> Duration {
    let each = u64::from(grace.unwrap_or(10));
    Duration::from_secs(WRITE + each.saturating_mul(containers as u64))
}

/// State and last words, as evidence that a restart would wipe away.
async fn last_state(docker: &Docker, container: &Object) -> String {
    let state = container.fact("/State").cloned().unwrap_or_default();
    let exit = state.get("ExitCode").and_then(Value::as_i64).unwrap_or_default();
    let mut text = format!("before: {}, exit code {exit}", field(&state, "Status"));
    if flag(&state, "OOMKilled") {
        text.push_str(", killed for lack of memory");
    }
    if let Ok(lines) = logs::last_lines(docker, container, 5).await
        && !lines.is_empty()
    {
        text.push_str("; last lines: ");
        text.push_str(&lines.join(" / "));
    }
    text
}
