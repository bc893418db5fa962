//! `exec_in_container`: a command inside a running container.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{Access, Call, Course, Permission, Plan, Text, Tool},
    tools::exec::{AROUND, Asked, limit, planned},
};

/// Runs a command inside a running container: stdout, stderr, exit code.
///
/// Give `command` or `shell`. When the time is up it is ended in there.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecInContainer {
    /// Name or id.
    container: String,
    /// Program and arguments.
    #[serde(default)]
    command: Vec<String>,
    /// A script for `/bin/sh -c` instead.
    #[serde(default)]
    shell: Option<String>,
    /// Text for its standard input.
    #[serde(default)]
    stdin: Option<String>,
    /// Name or uid. Default: the container's.
    #[serde(default)]
    user: Option<String>,
    /// Default: the container's.
    #[serde(default)]
    working_dir: Option<String>,
    /// Variables; a value may be `secret://NAME`.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Default: false.
    #[serde(default)]
    privileged: bool,
    /// Seconds. Default: 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    timeout: Option<u32>,
    /// Characters; beginning and end are kept. Default: 20000.
    #[serde(default)]
    #[schemars(range(min = 100, max = 23000))]
    max_output: Option<usize>,
}

impl Tool for ExecInContainer {
    const NAME: &'static str = "exec_in_container";
    const ACCESS: Access = Access::mutate(&[Permission::Exec]);
    const CORE: bool = true;
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(limit(self.timeout) + AROUND)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let body = self.asked()?.body(call)?;
        planned(Self::ACCESS, reading.container("container", &self.container).await?, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        self.asked()?.run(docker, &plan, call).await
    }
}

impl ExecInContainer {
    fn asked(&self) -> Result<Asked<'_>> {
        let argv = match (self.command.as_slice(), &self.shell) {
            (argv @ [_, ..], None) => argv.to_vec(),
            ([], Some(script)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()],
            ([], None) => {
                return Err(Error::invalid("neither \"command\" nor \"shell\" is given")
                    .hint("give \"command\", such as [\"ls\", \"-l\"], or \"shell\", such as \"ls | wc -l\""));
            }
            _ => {
                return Err(Error::invalid("\"command\" and \"shell\" are both given").hint("give one of them"));
            }
        };
        Ok(Asked {
            argument: if self.shell.is_some() { "shell" } else { "command" },
            argv,
            stdin: self.stdin.as_deref(),
            user: self.user.as_ref(),
            working_dir: self.working_dir.as_ref(),
            env: &self.env,
            privileged: self.privileged,
            timeout: self.timeout,
            max_output: self.max_output,
        })
    }
}
