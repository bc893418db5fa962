//! A command in the container of a service.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::one;
use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{Access, Call, Course, Permission, Plan, Text, Tool},
    tools::exec::{AROUND, Asked, limit, planned},
};

/// Runs a command in a compose service's container: output, exit code.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeExec {
    /// Its name.
    project: String,
    /// Its name.
    service: String,
    /// Program and arguments.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// Container's number. Default: the first that runs.
    #[serde(default)]
    index: Option<u64>,
    /// Name or uid. Default: the container's.
    #[serde(default)]
    user: Option<String>,
    /// Default: the container's.
    #[serde(default)]
    working_dir: Option<String>,
    /// Values may be `secret://NAME`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Seconds. Default: 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    timeout: Option<u32>,
}

impl Tool for ComposeExec {
    const NAME: &'static str = "compose_exec";
    const ACCESS: Access = Access::mutate(&[Permission::Exec]);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(limit(self.timeout) + AROUND)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if self.command.is_empty() {
            return Err(Error::invalid("argument \"command\" is empty").hint("such as [\"ls\", \"-l\"]"));
        }
        let body = self.asked().body(call)?;
        let member = one(reading, &self.project, &self.service, self.index).await?;
        planned(Self::ACCESS, reading.container("service", member.id()).await?, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.asked().run(docker, &plan, call).await
    }
}

impl ComposeExec {
    fn asked(&self) -> Asked<'_> {
        Asked {
            argument: "command",
            argv: self.command.clone(),
            stdin: None,
            user: self.user.as_ref(),
            working_dir: self.working_dir.as_ref(),
            env: &self.env,
            privileged: false,
            timeout: self.timeout,
            max_output: None,
        }
    }
}
