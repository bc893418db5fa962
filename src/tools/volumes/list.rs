//! The list of volumes: one engine request for each host.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::is_anonymous;
use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        view::{clipped, filter, items, text, time},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;

/// Lists volumes: name, driver, age.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListVolumes {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// Only those of this driver.
    #[serde(default)]
    driver: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Used by no container; with false, by one.
    #[serde(default)]
    dangling: Option<bool>,
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
    volumes: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    driver: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    anonymous: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        let anonymous = self.volumes.iter().filter(|row| row.anonymous).count();
        format!("{}, {anonymous} anonymous{}", count(self.volumes.len(), "volume"), self.page.rest())
    }
}

impl FleetTool for ListVolumes {
    const NAME: &'static str = "list_volumes";
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
        let filters = labels
            .filters(Filters::default())
            .with("driver", &self.driver)
            .with("dangling", self.dangling.map(|dangling| dangling.to_string()));
        let listed = docker.json(Target::new("/volumes").filters(&filters)).await?;
        // The engine takes its `name` filter for a regular expression.
        let wanted =
            |volume: &&Value| self.name.as_ref().is_none_or(|name| text(volume, "Name").contains(name.as_str()));
        let volumes = items(&listed, "Volumes").filter(wanted).filter(|volume| labels.fit(volume));
        Ok(volumes.map(|volume| row(docker.host(), volume)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (volumes, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { volumes, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}", self.host, self.name)
    }
}

fn row(host: &str, volume: &Value) -> Row {
    Row {
        host: host.to_owned(),
        name: clipped(text(volume, "Name"), LONGEST),
        driver: clipped(text(volume, "Driver"), LONGEST),
        created: time(text(volume, "CreatedAt")),
        anonymous: is_anonymous(volume),
        project: volume
            .pointer("/Labels/com.docker.compose.project")
            .and_then(Value::as_str)
            .map(|project| clipped(project, LONGEST)),
    }
}
