//! Stacks, which a swarm knows by a label only: which there are, their services, their tasks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::services::{
    list::of_stack,
    tasks::Tasks,
    view::{ServiceRow, counted, stack, tasks, update_state},
};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    tool::{
        Access, Call, FleetTool, HostAnswer, HostStatus, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::{
        listing,
        view::{clipped, filter, text},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;
/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;

/// Lists the stacks of a swarm: how many services, and running of wanted tasks.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StackLs {
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// Lists the tasks of all services of a stack, those that have failed first.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StackPs {
    /// Its name.
    stack: String,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// Lists the services of a stack: mode, tasks, image, ports, an update under way.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StackServices {
    /// Its name.
    stack: String,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Stacks {
    stacks: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    services: usize,
    /// How many tasks run, of how many that are wanted.
    replicas: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    updating: Vec<String>,
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }
}

impl Summary for Stacks {
    fn summary(&self) -> String {
        format!("{}{}", count(self.stacks.len(), "stack"), self.page.rest())
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Services {
    services: Vec<ServiceRow>,
    #[serde(flatten)]
    page: Page,
    #[serde(skip)]
    stack: String,
}

impl Summary for Services {
    fn summary(&self) -> String {
        let short = self.services.iter().filter(|row| row.is_short).count();
        let short = if short > 0 { format!(", {short} with fewer tasks than wanted") } else { String::new() };
        let whose = format!("of stack {}", quote(&self.stack));
        format!("{} {whose}{short}{}", count(self.services.len(), "service"), self.page.rest())
    }
}

impl FleetTool for StackLs {
    const NAME: &'static str = "stack_ls";
    type Part = Vec<Row>;
    type Output = Stacks;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let services = of_stack(docker, None).await?;
        let mut stacks: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for service in &services {
            if let Some(stack) = stack(service) {
                stacks.entry(stack).or_default().push(service);
            }
        }
        let row = |(name, services): (&str, Vec<&Value>)| {
            let counts = services.iter().map(|service| counted(service));
            let (running, wanted) = counts.fold((0_u64, 0_u64), |(running, wanted), (more, of)| {
                (running.saturating_add(more), wanted.saturating_add(of))
            });
            let updating = services.iter().filter(|service| update_state(service).is_some());
            let named = |service: &&Value| service.get("Spec").map(|spec| clipped(text(spec, "Name"), LONGEST));
            Row {
                host: docker.host().to_owned(),
                name: clipped(name, LONGEST),
                services: services.len(),
                replicas: format!("{running}/{wanted}"),
                updating: updating.filter_map(named).collect(),
            }
        };
        Ok(stacks.into_iter().map(row).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Stacks> {
        let (stacks, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Stacks { stacks, hosts, page })
    }
}

impl Tool for StackPs {
    const NAME: &'static str = "stack_ps";
    const ACCESS: Access = Access::READ;
    type Output = Tasks;

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Tasks> {
        let services = services(docker, &self.stack).await?;
        let name = |service: &Value| {
            let name = service.get("Spec").map(|spec| text(spec, "Name")).unwrap_or_default();
            (text(service, "ID").to_owned(), name.to_owned())
        };
        let rows = tasks(docker, services.iter().map(name).collect()).await?;
        let whose = format!("stack {}", quote(&self.stack));
        Tasks::of(rows, whose, self.cursor.as_ref(), self.limit, call)
    }
}

impl Tool for StackServices {
    const NAME: &'static str = "stack_services";
    const ACCESS: Access = Access::READ;
    type Output = Services;

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Services> {
        let services = services(docker, &self.stack).await?;
        let rows: Vec<ServiceRow> = services.iter().map(|service| ServiceRow::of(None, service)).collect();
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: ROWS, taken: 0 };
        let (services, page) = paged(rows, ServiceRow::key, wanted, call.cursors())?;
        Ok(Services { services, page, stack: self.stack })
    }
}

/// The services of a stack that exists.
async fn services(docker: &Docker, stack: &str) -> Result<Vec<Value>> {
    filter("stack", stack)?;
    let services = of_stack(docker, Some(stack)).await?;
    if services.is_empty() {
        return Err(
            Error::not_found(format!("there is no stack {}", quote(stack))).hint("stack_ls shows what there is")
        );
    }
    Ok(services)
}
