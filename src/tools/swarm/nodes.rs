//! The machines of a swarm: which there are.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Availability, Role};
use crate::{
    docker::{Docker, Target},
    error::Result,
    redact,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        view::{clipped, filter, flag, text},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;

/// Lists the nodes of a swarm, as a manager sees them. All filters must match.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListNodes {
    /// Only names that contain this text.
    #[serde(default)]
    name: Option<String>,
    /// Only workers, or only managers.
    #[serde(default)]
    role: Option<Role>,
    /// Only those of this availability.
    #[serde(default)]
    availability: Option<Availability>,
    /// Only those with every label: `key` or `key=value`.
    #[serde(default)]
    label: Vec<String>,
    /// At most this many rows. Default: 50, fewer where they are long.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Goes on where the answer before was cut.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    nodes: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    role: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    leader: bool,
    state: String,
    availability: String,
    /// Of a manager that the others cannot reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    reachability: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    engine: String,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{}{}", count(self.nodes.len(), "node"), self.page.rest())
    }
}

impl FleetTool for ListNodes {
    const NAME: &'static str = "list_nodes";
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label);
        let listed = docker.json(Target::new("/nodes")).await?;
        let rows = listed.as_array().into_iter().flatten().filter(|node| {
            // The engine's `label` filter is about the labels of engines.
            labels.fit_with(|key| node.get("Spec")?.get("Labels")?.get(key))
                && self.role.is_none_or(|role| at(node, "/Spec/Role") == role.word())
                && self.availability.is_none_or(|wanted| at(node, "/Spec/Availability") == wanted.word())
                && self.name.as_ref().is_none_or(|name| at(node, "/Description/Hostname").contains(name.as_str()))
        });
        Ok(rows.map(|node| row(docker.host(), node)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (nodes, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { nodes, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}\0{}\0{}", self.host, self.name, self.id)
    }
}

fn row(host: &str, node: &Value) -> Row {
    let reachability = at(node, "/ManagerStatus/Reachability");
    Row {
        host: host.to_owned(),
        name: clipped(at(node, "/Description/Hostname"), LONGEST),
        id: clipped(text(node, "ID"), LONGEST),
        role: clipped(at(node, "/Spec/Role"), LONGEST),
        leader: node.get("ManagerStatus").is_some_and(|status| flag(status, "Leader")),
        state: clipped(at(node, "/Status/State"), LONGEST),
        availability: clipped(at(node, "/Spec/Availability"), LONGEST),
        reachability: (!matches!(reachability, "" | "reachable")).then(|| redact::shown(reachability)),
        address: clipped(at(node, "/Status/Addr"), LONGEST),
        engine: clipped(at(node, "/Description/Engine/EngineVersion"), LONGEST),
    }
}

/// A text anywhere in a document, or nothing.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
