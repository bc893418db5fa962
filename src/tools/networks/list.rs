//! The list of networks: one engine request for each host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::subnets;
use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        view::{clipped, few, filter, flag, short_id, text},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;
/// How many subnets of a network a row shows.
const SUBNETS: usize = 10;

/// Lists networks: name, id, driver, scope, subnets. All filters must match.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListNetworks {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// Of this driver, such as `bridge` or `overlay`.
    #[serde(default)]
    driver: Option<String>,
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

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    networks: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    driver: String,
    scope: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    internal: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subnets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{}{}", count(self.networks.len(), "network"), self.page.rest())
    }
}

impl FleetTool for ListNetworks {
    const NAME: &'static str = "list_networks";
    const CORE: bool = true;
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.driver.iter().try_for_each(|driver| filter("driver", driver))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label).managed(self.managed_only);
        let filters = labels.filters(Filters::default()).with("driver", &self.driver);
        let listed = docker.json(Target::new("/networks").filters(&filters)).await?;
        // The engine takes its `name` filter for a regular expression.
        let wanted =
            |network: &&Value| self.name.as_ref().is_none_or(|name| text(network, "Name").contains(name.as_str()));
        let networks = listed.as_array().into_iter().flatten().filter(wanted).filter(|network| labels.fit(network));
        Ok(networks.map(|network| row(docker.host(), network)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (networks, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { networks, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.host, self.name, self.id)
    }
}

fn row(host: &str, network: &Value) -> Row {
    Row {
        host: host.to_owned(),
        name: clipped(text(network, "Name"), LONGEST),
        id: short_id(text(network, "Id")),
        driver: clipped(text(network, "Driver"), LONGEST),
        scope: clipped(text(network, "Scope"), LONGEST),
        internal: flag(network, "Internal"),
        subnets: few(subnets(network).iter().map(|subnet| clipped(subnet, LONGEST)).collect(), SUBNETS),
        project: network
            .pointer("/Labels/com.docker.compose.project")
            .and_then(Value::as_str)
            .map(|project| clipped(project, LONGEST)),
    }
}
