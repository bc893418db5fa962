//! The containers of one project.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::{LONGEST, Member, OneOff, members};
use crate::{
    docker::{Docker, names::quote},
    error::Result,
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::{clipped, few, image, ports, short_id},
};

/// How many rows a page has.
const ROWS: usize = 50;
/// How many ports of a container a row shows.
const PORTS: usize = 30;

/// Lists a project's containers.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposePs {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Stopped too. Default: false.
    #[serde(default)]
    all: bool,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Containers {
    containers: Vec<Row>,
    #[serde(flatten)]
    page: Page,
    #[serde(skip)]
    project: String,
    /// How many there are beside, stopped.
    #[serde(skip)]
    stopped: usize,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    service: String,
    name: String,
    id: String,
    state: String,
    /// With age, and exit code where it has ended.
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    image: String,
    /// Whether `compose run` made it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    one_off: bool,
}

impl Summary for Containers {
    fn summary(&self) -> String {
        let unhealthy = self.containers.iter().filter(|row| row.health == Some("unhealthy")).count();
        let unhealthy = if unhealthy > 0 { format!(", {unhealthy} unhealthy") } else { String::new() };
        let stopped = match self.stopped {
            0 => String::new(),
            stopped => format!("; {stopped} stopped, all shows them"),
        };
        let whose = format!("of project {}", quote(&self.project));
        format!("{} {whose}{unhealthy}{stopped}{}", count(self.containers.len(), "container"), self.page.rest())
    }
}

impl Tool for ComposePs {
    const NAME: &'static str = "compose_ps";
    const ACCESS: Access = Access::READ;
    const CORE: bool = true;
    type Output = Containers;

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Containers> {
        let one_off = if self.all { OneOff::With } else { OneOff::Without };
        let members = members(docker, &self.project, &self.services, one_off).await?;
        let shown = members.iter().filter(|member| self.all || member.is_alive());
        let rows: Vec<Row> = shown.map(row).collect();
        let stopped = members.len() - rows.len();
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: None, usual: ROWS, taken: 0 };
        let (containers, page) = paged(rows, Row::key, wanted, call.cursors())?;
        Ok(Containers { containers, page, project: self.project, stopped })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.service, self.name, self.id)
    }
}

fn row(member: &Member) -> Row {
    Row {
        service: member.service.clone(),
        name: member.name(),
        id: short_id(member.id()),
        state: clipped(member.state(), LONGEST),
        status: clipped(&member.container.status, LONGEST),
        health: member.health(),
        ports: few(ports(&member.container.ports), PORTS),
        image: clipped(&image(&member.container.image), LONGEST),
        one_off: member.one_off,
    }
}
