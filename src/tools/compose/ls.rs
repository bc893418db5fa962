//! The projects of many hosts, one engine request for each.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::LONGEST;
use crate::{
    docker::{Container, Docker},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing,
        project::containers::{self, CONFIG_FILES, PROJECT, SERVICE, health},
        view::{clipped, few},
    },
};

/// How many files a row names.
const FILES: usize = 5;

/// Lists compose projects, wherever they were started.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeLs {
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Projects {
    projects: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    project: String,
    /// `running(3), exited(1)`.
    status: String,
    #[serde(skip_serializing_if = "is_zero")]
    unhealthy: usize,
    services: usize,
    /// The names of the files that it was made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}", self.host, self.project)
    }
}

impl Summary for Projects {
    fn summary(&self) -> String {
        let bad: usize = self.projects.iter().map(|row| row.unhealthy).sum();
        let bad = if bad > 0 { format!(", {bad} unhealthy") } else { String::new() };
        format!("{}{bad}{}", count(self.projects.len(), "project"), self.page.rest())
    }
}

impl FleetTool for ComposeLs {
    const NAME: &'static str = "compose_ls";
    type Part = Vec<Row>;
    type Output = Projects;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        Ok(rows(docker.host(), &containers::of_all(docker).await?))
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Projects> {
        let (projects, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Projects { projects, hosts, page })
    }
}

fn rows(host: &str, containers: &[Container]) -> Vec<Row> {
    let mut projects: BTreeMap<&str, Vec<&Container>> = BTreeMap::new();
    for container in containers {
        if let Some(project) = container.label(PROJECT).filter(|name| !name.is_empty()) {
            projects.entry(project).or_default().push(container);
        }
    }
    let row = |(project, containers): (&str, Vec<&Container>)| {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for container in &containers {
            *counts.entry(&container.state).or_default() += 1;
        }
        // What runs comes first.
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(state, _)| *state != "running");
        let status = counts.iter().map(|(state, number)| format!("{}({number})", clipped(state, LONGEST)));
        let services: BTreeSet<&str> = containers.iter().filter_map(|container| container.label(SERVICE)).collect();
        Row {
            host: host.to_owned(),
            project: clipped(project, LONGEST),
            status: status.collect::<Vec<_>>().join(", "),
            unhealthy: containers.iter().filter(|row| health(&row.status) == Some("unhealthy")).count(),
            services: services.len(),
            files: few(files(&containers), FILES),
        }
    };
    projects.into_iter().map(row).collect()
}

/// The names of the files: where they lie on somebody's machine is nobody's business.
fn files(containers: &[&Container]) -> Vec<String> {
    let all = containers.iter().filter_map(|container| container.label(CONFIG_FILES)).flat_map(|all| all.split(','));
    let names = all.filter_map(|path| path.rsplit(['/', '\\']).next()).filter(|name| !name.is_empty());
    names.map(|name| clipped(name, LONGEST)).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_project_is_the_sum_of_its_containers() {
        let container = |project: &str, service: &str, state: &str, status: &str| {
            Container::of(json!({"State": state, "Status": status, "Labels": {
                PROJECT: project, SERVICE: service,
                CONFIG_FILES: "/home/ana/shop/compose.yaml,C:\\shop\\compose.prod.yaml",
            }}))
        };
        let rows = rows(
            "a",
            &[
                container("shop", "web", "running", "Up 2 minutes (healthy)"),
                container("shop", "web", "running", "Up 2 minutes (unhealthy)"),
                container("shop", "db", "exited", "Exited (1) 2 minutes ago"),
                container("bank", "web", "running", "Up 2 minutes"),
                Container::of(json!({"State": "running", "Labels": {}})),
            ],
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].project, "shop");
        assert_eq!((rows[1].status.as_str(), rows[1].unhealthy, rows[1].services), ("running(2), exited(1)", 1, 2));
        assert_eq!(rows[1].files, ["compose.prod.yaml", "compose.yaml"]);
        assert_eq!((rows[0].status.as_str(), rows[0].unhealthy), ("running(1)", 0));
    }
}
