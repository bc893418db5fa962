//! The list of containers: one engine request for each host, compact rows, filters before the cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Container, Docker, Filters, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        project::{PROJECT, SERVICE},
        view::{bytes, clipped, few, image, ports, short_id},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;
/// How many ports of a container a row shows.
const PORTS: usize = 30;

/// Lists containers: name, image, state, status with health and age, published ports.
///
/// Running ones only, unless `all` or `status` asks for others.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListContainers {
    /// Stopped ones too. Default: false.
    #[serde(default)]
    all: bool,
    /// In this state.
    #[serde(default)]
    status: Option<State>,
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// An image, by reference or id.
    #[serde(default)]
    image: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// A network, by name or id.
    #[serde(default)]
    network: Option<String>,
    /// A volume, by name or destination.
    #[serde(default)]
    volume: Option<String>,
    /// Of this compose project.
    #[serde(default)]
    project: Option<String>,
    /// With this health.
    #[serde(default)]
    health: Option<Health>,
    /// Made through Quaymaster. Default: false.
    #[serde(default)]
    managed_only: bool,
    /// Sizes too, which is slow. Default: false.
    #[serde(default)]
    size: bool,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// A container's state.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

/// What a health check says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Health {
    Starting,
    Healthy,
    Unhealthy,
    None,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Containers {
    containers: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    image: String,
    state: String,
    status: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
}

impl Summary for Containers {
    fn summary(&self) -> String {
        let running = self.containers.iter().filter(|row| row.state == "running").count();
        format!("{}, {running} running{}", count(self.containers.len(), "container"), self.page.rest())
    }
}

impl FleetTool for ListContainers {
    const NAME: &'static str = "list_containers";
    const CORE: bool = true;
    type Part = Vec<Row>;
    type Output = Containers;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label).managed(self.managed_only).project(self.project.as_deref());
        let filters = labels
            .filters(Filters::default())
            .with("status", self.status.map(word))
            .with("name", &self.name)
            .with("ancestor", &self.image)
            .with("network", &self.network)
            .with("volume", &self.volume)
            .with("health", self.health.map(word));
        // The engine's own `health` and `status` filters do not imply `all`; a stopped one has no health.
        let target = Target::new("/containers/json")
            .query("all", if self.all || self.status.is_some() { "1" } else { "0" })
            .query("size", if self.size { "1" } else { "0" })
            .filters(&filters);
        let read: Vec<&str> = [PROJECT, SERVICE].into_iter().chain(labels.keys()).collect();
        let listed = docker.list_containers(target, &read).await?;
        let containers = listed.iter().filter(|container| labels.fit_container(container));
        Ok(containers.map(|container| row(docker.host(), container)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Containers> {
        let (containers, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Containers { containers, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        [&self.host, "/", &self.name, "/", &self.id].concat()
    }
}

fn row(host: &str, container: &Container) -> Row {
    Row {
        host: host.to_owned(),
        name: clipped(&container.name, LONGEST),
        id: short_id(&container.id),
        image: clipped(&image(&container.image), LONGEST),
        state: clipped(&container.state, LONGEST),
        status: clipped(&container.status, LONGEST),
        ports: few(ports(&container.ports), PORTS),
        project: container.label(PROJECT).map(|project| clipped(project, LONGEST)),
        service: container.label(SERVICE).map(|service| clipped(service, LONGEST)),
        size: container.written.map(bytes),
    }
}

fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
