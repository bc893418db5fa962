//! The tasks of one service: what runs where, and what went wrong.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::{TaskRow, tasks};
use crate::{
    docker::{Docker, names::quote},
    error::Result,
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
};

/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;

/// Lists the tasks of a service: state, node, error, exit code; those that have failed first.
///
/// The swarm keeps the last few of every slot.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct ServiceTasks {
    /// Name or id.
    service: String,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// Tasks, the worst first.
#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct Tasks {
    tasks: Vec<TaskRow>,
    #[serde(flatten)]
    page: Page,
    #[serde(skip)]
    whose: String,
}

impl Tasks {
    /// One page of rows.
    pub(in crate::tools::swarm) fn of(
        rows: Vec<TaskRow>,
        whose: String,
        cursor: Option<&Cursor>,
        limit: Option<usize>,
        call: &Call,
    ) -> Result<Self> {
        let wanted = Wanted { cursor, limit, usual: ROWS, taken: 0 };
        let (tasks, page) = paged(rows, TaskRow::key, wanted, call.cursors())?;
        Ok(Self { tasks, page, whose })
    }
}

impl Summary for Tasks {
    fn summary(&self) -> String {
        let of = |is: fn(&TaskRow) -> bool| self.tasks.iter().filter(|row| is(row)).count();
        format!(
            "{} of {}, {} running, {} failed{}",
            count(self.tasks.len(), "task"),
            self.whose,
            of(TaskRow::runs),
            of(TaskRow::has_failed),
            self.page.rest()
        )
    }
}

impl Tool for ServiceTasks {
    const NAME: &'static str = "service_tasks";
    const ACCESS: Access = Access::READ;
    type Output = Tasks;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.service("service", &self.service).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Tasks> {
        let service = plan.object()?;
        let rows = tasks(docker, HashMap::from([(service.id.clone(), service.name.clone())])).await?;
        let whose = format!("service {}", quote(&service.name));
        Tasks::of(rows, whose, self.cursor.as_ref(), self.limit, call)
    }
}
