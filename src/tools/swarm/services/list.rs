//! The list of services: one engine request for each host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::view::{STACK, ServiceRow, mode};
use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        view::filter,
    },
};

/// Lists the services of a swarm: mode, tasks, image, ports, an update under way.
///
/// Only managers can tell.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::swarm) struct ListServices {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// Of this mode.
    #[serde(default)]
    mode: Option<Mode>,
    /// Of this stack.
    #[serde(default)]
    stack: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Made through Quaymaster. Default: false.
    #[serde(default)]
    managed_only: bool,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// How the tasks of a service are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Replicated,
    Global,
    ReplicatedJob,
    GlobalJob,
}

impl Mode {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Replicated => "replicated",
            Self::Global => "global",
            Self::ReplicatedJob => "replicated_job",
            Self::GlobalJob => "global_job",
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct Services {
    services: Vec<ServiceRow>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

impl Summary for Services {
    fn summary(&self) -> String {
        let short = self.services.iter().filter(|row| row.is_short).count();
        let short = if short > 0 { format!(", {short} with fewer tasks than wanted") } else { String::new() };
        format!("{}{short}{}", count(self.services.len(), "service"), self.page.rest())
    }
}

impl FleetTool for ListServices {
    const NAME: &'static str = "list_services";
    type Part = Vec<ServiceRow>;
    type Output = Services;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.stack.iter().try_for_each(|stack| filter("stack", stack))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<ServiceRow>> {
        let labels = Labels::of(&self.label).managed(self.managed_only);
        let services = listed(docker, labels.filters(Filters::default())).await?;
        let has = |service: &Value, pointer: &str, wanted: &dyn Fn(&str) -> bool| {
            service.pointer(pointer).and_then(Value::as_str).is_some_and(wanted)
        };
        let wanted = |service: &&Value| {
            let own = service.pointer("/Spec/Labels");
            self.name.as_ref().is_none_or(|name| has(service, "/Spec/Name", &|own| own.contains(name.as_str())))
                && self.mode.is_none_or(|wanted| mode(service) == wanted.as_str())
                && self.stack.as_ref().is_none_or(|stack| super::view::stack(service) == Some(stack))
                && labels.fit_with(|key| own.and_then(|labels| labels.get(key)))
        };
        Ok(services.iter().filter(wanted).map(|service| ServiceRow::of(Some(docker.host()), service)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<ServiceRow>>>, call: &Call) -> Result<Services> {
        let (services, hosts, page) = listing::page(answers, ServiceRow::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Services { services, hosts, page })
    }
}

/// The services of a swarm, with how many of their tasks run.
pub(in crate::tools::swarm) async fn listed(docker: &Docker, filters: Filters) -> Result<Vec<Value>> {
    let target = Target::new("/services").query("status", "true").filters(&filters);
    match docker.json(target).await? {
        Value::Array(services) => Ok(services),
        _ => Ok(Vec::new()),
    }
}

/// Those of a stack, or of any.
pub(in crate::tools::swarm) async fn of_stack(docker: &Docker, stack: Option<&str>) -> Result<Vec<Value>> {
    let mut services = listed(docker, Filters::default().with("label", [STACK])).await?;
    services.retain(|service| {
        let own = super::view::stack(service);
        own.is_some() && stack.is_none_or(|stack| own == Some(stack))
    });
    Ok(services)
}
