//! The processes of a whole project.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::{OneOff, members, objects, short};
use crate::{
    docker::{Docker, names::quote},
    error::{Kind, Result},
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::processes::{Process, processes},
};

/// How many rows a page has, where the call does not say.
const ROWS: usize = 100;

/// Lists the processes of a compose project's running containers; the ids are the host's.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeTop {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Rows. Default: 100.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Processes {
    processes: Vec<Row>,
    #[serde(flatten)]
    page: Page,
    #[serde(skip)]
    project: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    /// Service and number.
    container: String,
    #[serde(flatten)]
    process: Process,
}

impl Summary for Processes {
    fn summary(&self) -> String {
        let processes = count(self.processes.len(), "process");
        format!("{processes} of project {}{}", quote(&self.project), self.page.rest())
    }
}

impl Tool for ComposeTop {
    const NAME: &'static str = "compose_top";
    const ACCESS: Access = Access::READ;
    type Output = Processes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let mut members = members(reading, &self.project, &self.services, OneOff::With).await?;
        members.retain(|member| matches!(member.state(), "running" | "paused"));
        Ok(Plan::declared(Self::ACCESS).on(objects(reading, &members).await?))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Processes> {
        let mut rows = Vec::new();
        for container in &plan.objects {
            match processes(docker, container).await {
                Ok(found) => {
                    let container = short(container);
                    rows.extend(found.into_iter().map(|process| Row { container: container.clone(), process }));
                }
                // It has ended since.
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: ROWS, taken: 0 };
        let key = |row: &Row| format!("{}/{}", row.container, row.process.key());
        let (processes, page) = paged(rows, key, wanted, call.cursors())?;
        Ok(Processes { processes, page, project: self.project })
    }
}
