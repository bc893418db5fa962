//! The processes of a container.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::processes::{Process, processes},
};

/// Lists the processes of a running container, as `ps` shows them; the ids are the host's.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerTop {
    /// Name or id.
    container: String,
    /// Rows. Default: 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[expect(clippy::struct_field_names, reason = "clients see the names")]
#[derive(Serialize, JsonSchema)]
pub(super) struct Processes {
    container: String,
    processes: Vec<Process>,
    #[serde(flatten)]
    page: Page,
}

impl Summary for Processes {
    fn summary(&self) -> String {
        let processes = count(self.processes.len(), "process");
        format!("{processes} of container \"{}\"{}", self.container, self.page.rest())
    }
}

impl Tool for ContainerTop {
    const NAME: &'static str = "container_top";
    const ACCESS: Access = Access::READ;
    type Output = Processes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Processes> {
        let container = plan.object()?;
        if !container.is("/State/Running") {
            return Err(Error::conflict(format!("container \"{}\" does not run", container.name))
                .hint("inspect_container shows how it ended"));
        }
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 100, taken: 0 };
        let (processes, page) = paged(processes(docker, container).await?, Process::key, wanted, call.cursors())?;
        Ok(Processes { container: container.name.clone(), processes, page })
    }
}
