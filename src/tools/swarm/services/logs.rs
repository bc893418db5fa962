//! The log of a service: what all its tasks write, on whatever node.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::writers;
use crate::{
    docker::Docker,
    error::Result,
    tool::{Access, Call, Plan, Text, Tool},
    tools::logs::{Log, LogArguments},
};

/// Reads the log of a service as `container_logs` does, over all its tasks by time.
///
/// Sorting reads the whole window: a narrow one is fast.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct ServiceLogs {
    /// Name or id.
    service: String,
    #[serde(flatten)]
    log: LogArguments,
}

impl Tool for ServiceLogs {
    const NAME: &'static str = "service_logs";
    const ACCESS: Access = Access::READ;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(self.log.deadline())
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.log.check(call)?;
        Ok(Plan::declared(Self::ACCESS).on([reading.service("service", &self.service).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        let service = plan.object()?;
        let writers = writers(docker, &service.id).await?;
        self.log.read(docker, &Log::of_service(service, writers), call).await
    }
}
