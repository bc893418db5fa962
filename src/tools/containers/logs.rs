//! The log of one container.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Plan, Text, Tool},
    tools::logs::{Log, LogArguments},
};

/// Reads a container's log: the last lines, or with `grep` the last matching lines of the whole window.
///
/// With `cursor` the first ones after it instead, none repeated or left out (those of one instant
/// are counted): give the newest cursor again to poll. A long scan answers after 40 s with what it
/// found and a cursor that goes on.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ContainerLogs {
    /// Name or id.
    container: String,
    #[serde(flatten)]
    log: LogArguments,
}

impl Tool for ContainerLogs {
    const NAME: &'static str = "container_logs";
    const ACCESS: Access = Access::READ;
    const CORE: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(self.log.deadline())
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.log.check(call)?;
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.log.read(docker, &Log::of_container(plan.object()?), call).await
    }
}
