//! The logs of a project: what all its containers write.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::{OneOff, members, objects, short};
use crate::{
    docker::{Docker, names::quote},
    error::Result,
    tool::{Access, Call, Object, Plan, Text, Tool},
    tools::logs::{SeveralLogs, Writer},
};

/// Reads a compose project's last log lines, merged by time.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ComposeLogs {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    #[serde(flatten)]
    log: SeveralLogs,
}

impl Tool for ComposeLogs {
    const NAME: &'static str = "compose_logs";
    const ACCESS: Access = Access::READ;
    const CORE: bool = true;
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(self.log.deadline())
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.log.check(call)?;
        let members = members(reading, &self.project, &self.services, OneOff::Without).await?;
        Ok(Plan::declared(Self::ACCESS).on(objects(reading, &members).await?))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        let named = |container: Object| Writer { name: short(&container).into(), container };
        let writers: Vec<Writer> = plan.objects.into_iter().map(named).collect();
        self.log.read(docker, &writers, &format!("project {}", quote(&self.project)), call).await
    }
}
