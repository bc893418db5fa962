//! The builders of a host, and what one of them says of itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ACCESS,
    builders::{Builder, Builders},
};
use crate::{
    docker::Docker,
    error::{Error, Result},
    tool::{Access, Call, Course, Plan, Program, Summary, Tool, text::count},
    tools::view::{clipped, few, flag, items, text, texts},
};

/// The longest text of buildx's in a row, in characters.
const LONGEST: usize = 200;
/// How many platforms of a node a row shows.
const PLATFORMS: usize = 12;
/// How many lines a builder says of itself.
const LINES: usize = 80;

/// Lists the host's builders: driver, nodes, platforms, and which one is in use.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxLs {}

/// Shows what a builder says of itself.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxInspect {
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
    /// Starts it. Default: false.
    #[serde(default)]
    bootstrap: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    builders: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    driver: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    used: bool,
    nodes: Vec<NodeRow>,
}

#[derive(Serialize, JsonSchema)]
struct NodeRow {
    name: String,
    status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    buildkit: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Said {
    builder: String,
    lines: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        let used = self.builders.iter().find(|row| row.used).map_or("default", |row| row.name.as_str());
        format!("{}; \"{used}\" is used by default", count(self.builders.len(), "builder"))
    }
}

impl Summary for Said {
    fn summary(&self) -> String {
        format!("builder \"{}\"", self.builder)
    }
}

impl Tool for BuildxLs {
    const NAME: &'static str = "buildx_ls";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Listed;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let mut plan = Plan::declared(ACCESS);
        for builder in Builders::of(reading, call)?.all() {
            plan = builder.planned(plan, reading).await?;
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Listed> {
        let builders = Builders::of(docker, call)?;
        let ran = builders.cli(docker, call)?.run(&["ls", "--format", "json"], &|_, _| {}).await?;
        let used = builders.named(None)?.name;
        let mut rows: Vec<Row> = Vec::new();
        for line in ran.document().lines().filter(|line| line.starts_with('{')) {
            let document: Value = serde_json::from_str(line).map_err(|error| {
                Error::docker("buildx lists builders in a way that is not known").detail(error.to_string())
            })?;
            let row = row(&document, &used);
            // Some versions print a line for each node too.
            if rows.iter().all(|known| known.name != row.name) {
                rows.push(row);
            }
        }
        Ok(Listed { builders: rows })
    }
}

fn row(document: &Value, used: &str) -> Row {
    let word = |value: &Value, field: &str| clipped(text(value, field), LONGEST);
    let node = |node: &Value| NodeRow {
        name: word(node, "Name"),
        status: word(node, "Status"),
        buildkit: word(node, "Version"),
        platforms: few(texts(node, "Platforms").map(|platform| clipped(platform, LONGEST)).collect(), PLATFORMS),
        error: word(node, "Err"),
    };
    let name = word(document, "Name");
    Row {
        used: name == used || flag(document, "Current") && used.is_empty(),
        driver: word(document, "Driver"),
        nodes: items(document, "Nodes").map(node).collect(),
        name,
    }
}

impl Tool for BuildxInspect {
    const NAME: &'static str = "buildx_inspect";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    type Output = Said;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        planned(self.builder.as_deref(), reading, call).await
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Said> {
        let builders = Builders::of(docker, call)?;
        let Builder { name, .. } = builders.named(self.builder.as_deref())?;
        let mut arguments = vec!["inspect", name.as_str()];
        arguments.extend(self.bootstrap.then_some("--bootstrap"));
        let ran = builders.cli(docker, call)?.run(&arguments, &|_, _| {}).await?;
        let notes = ran.notes.join("; ");
        Ok(Said { builder: name, lines: lines(&ran.shown(), LINES), note: (!notes.is_empty()).then_some(notes) })
    }
}

/// What any use of a builder is planned as.
pub(super) async fn planned(builder: Option<&str>, reading: &Docker, call: &Call) -> Result<Plan> {
    Builders::of(reading, call)?.named(builder)?.planned(Plan::declared(ACCESS), reading).await
}

/// So many lines of what was printed, each of bounded length.
pub(super) fn lines(printed: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = printed.lines().map(|line| clipped(line.trim_end(), LONGEST)).collect();
    lines.retain(|line| !line.is_empty());
    few(lines, most)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_builder_is_a_row() {
        let document = json!({"Name": "default", "Driver": "docker", "Dynamic": false, "Nodes": [{"Name": "default",
            "Endpoint": "default", "Status": "running", "Version": "v0.13.2", "Platforms": ["linux/amd64", "linux/386"]}]});
        let shown = serde_json::to_value(row(&document, "default")).unwrap();
        assert_eq!(
            shown,
            json!({"name": "default", "driver": "docker", "used": true, "nodes": [{"name": "default", "status": "running",
                "buildkit": "v0.13.2", "platforms": ["linux/amd64", "linux/386"]}]})
        );
    }
}
