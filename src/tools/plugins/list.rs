//! The list of plugins: one engine request for each host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{capabilities, is_enabled};
use crate::{
    docker::{Docker, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing,
        view::{clipped, few, filter, short_id, text},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 160;
/// How many capabilities of a plugin a row shows.
const CAPABILITIES: usize = 10;

/// Lists plugins: name, id, whether they run, what they do.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListPlugins {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// That run; with false, that do not.
    #[serde(default)]
    enabled: Option<bool>,
    /// Such as `volumedriver`.
    #[serde(default)]
    capability: Option<String>,
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
    plugins: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    enabled: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    capabilities: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        let enabled = self.plugins.iter().filter(|row| row.enabled).count();
        format!("{}, {enabled} enabled{}", count(self.plugins.len(), "plugin"), self.page.rest())
    }
}

impl FleetTool for ListPlugins {
    const NAME: &'static str = "list_plugins";
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.capability.iter().try_for_each(|capability| filter("capability", capability))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let listed = docker.json(Target::new("/plugins")).await?;
        let wanted = |row: &Row| {
            self.name.as_ref().is_none_or(|name| row.name.contains(name.as_str()))
                && self.enabled.is_none_or(|enabled| row.enabled == enabled)
                && self.capability.as_ref().is_none_or(|capability| row.capabilities.contains(capability))
        };
        let rows = listed.as_array().into_iter().flatten().map(|plugin| row(docker.host(), plugin));
        Ok(rows.filter(wanted).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (plugins, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { plugins, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.host, self.name, self.id)
    }
}

fn row(host: &str, plugin: &Value) -> Row {
    let description = plugin.pointer("/Config/Description").and_then(Value::as_str).unwrap_or_default();
    let capabilities = capabilities(plugin).iter().map(|name| clipped(name, LONGEST)).collect();
    Row {
        host: host.to_owned(),
        name: clipped(text(plugin, "Name"), LONGEST),
        id: short_id(text(plugin, "Id")),
        enabled: is_enabled(plugin),
        capabilities: few(capabilities, CAPABILITIES),
        description: clipped(description, LONGEST),
    }
}
