//! The builds that a builder remembers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ACCESS,
    builders::Builders,
    list::{lines, planned},
};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Course, Plan, Program, Summary, Tool, text::count},
    tools::view::{clipped, text, time},
};

/// The first buildx that knows of it.
const FIRST: (u32, u32) = (0, 20);
/// How many builds are shown.
const ROWS: usize = 25;
/// The longest text in a row, in characters.
const LONGEST: usize = 160;
/// How many lines a build is told in.
const LINES: usize = 120;

/// Lists the builds that a builder remembers, the latest 25 (buildx 0.20).
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxHistoryLs {
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
}

/// Shows one build that a builder remembers: state, duration, platforms, arguments (buildx 0.20).
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxHistoryInspect {
    /// The build, as `buildx_history_ls` names it.
    build: String,
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    builder: String,
    builds: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    build: String,
    name: String,
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Told {
    build: String,
    lines: Vec<String>,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{} of builder \"{}\"", count(self.builds.len(), "build"), self.builder)
    }
}

impl Summary for Told {
    fn summary(&self) -> String {
        format!("build \"{}\"", self.build)
    }
}

impl Tool for BuildxHistoryLs {
    const NAME: &'static str = "buildx_history_ls";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Listed;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let plan = planned(self.builder.as_deref(), reading, call).await?;
        remembers(reading, call).await?;
        Ok(plan)
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Listed> {
        let builders = Builders::of(docker, call)?;
        let builder = builders.named(self.builder.as_deref())?.name;
        let of = format!("--builder={builder}");
        let ran = builders.cli(docker, call)?.run(&["history", "ls", &of, "--format", "json"], &|_, _| {}).await?;
        let documents = ran.document().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut documents: Vec<Value> = documents.collect();
        documents.sort_by(|one, other| text(other, "created_at").cmp(text(one, "created_at")));
        let builds = documents.iter().take(ROWS).map(row).collect();
        Ok(Listed { builder, builds })
    }
}

impl Tool for BuildxHistoryInspect {
    const NAME: &'static str = "buildx_history_inspect";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    type Output = Told;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.reference()?;
        let plan = planned(self.builder.as_deref(), reading, call).await?;
        remembers(reading, call).await?;
        Ok(plan)
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Told> {
        let builders = Builders::of(docker, call)?;
        let of = format!("--builder={}", builders.named(self.builder.as_deref())?.name);
        let arguments = ["history", "inspect", &of, self.reference()?];
        let ran = builders.cli(docker, call)?.run(&arguments, &|_, _| {}).await?;
        Ok(Told { lines: lines(&ran.shown(), LINES), build: self.build })
    }
}

impl BuildxHistoryInspect {
    fn reference(&self) -> Result<&str> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/^".contains(letter);
        let fits = self.build.len() <= 200 && !self.build.starts_with('-') && self.build.chars().all(plain);
        if fits && !self.build.is_empty() {
            return Ok(&self.build);
        }
        Err(Error::invalid(format!("argument \"build\": {} is none", quote(&self.build)))
            .hint("buildx_history_ls shows those that there are"))
    }
}

fn row(document: &Value) -> Row {
    let word = |field: &str| clipped(text(document, field), LONGEST);
    let number = |field: &str| document.get(field).and_then(Value::as_u64);
    let reference = word("ref");
    Row {
        // Its builder and node stand in front.
        build: reference.rsplit('/').next().unwrap_or_default().to_owned(),
        name: word("name"),
        status: word("status"),
        created: time(text(document, "created_at")),
        steps: number("total_steps"),
        cached: number("cached_steps"),
    }
}

/// Refuses where the plugin of this machine is older than what is asked of it: it would print its help instead.
async fn remembers(reading: &Docker, call: &Call) -> Result<()> {
    let ran = Builders::of(reading, call)?.cli(reading, call)?.run(&["version"], &|_, _| {}).await?;
    match version(ran.document()) {
        Some(version) if version < FIRST => {
            let (major, minor) = version;
            Err(Error::unsupported(format!("buildx {major}.{minor} on the machine of Quaymaster keeps no history"))
                .hint("ask the person to install buildx 0.20 or newer there (the package docker-buildx-plugin)"))
        }
        _ => Ok(()),
    }
}

/// `github.com/docker/buildx v0.29.1 a32761a`
fn version(printed: &str) -> Option<(u32, u32)> {
    let word = printed.split_whitespace().nth(1)?.trim_start_matches('v');
    let mut parts = word.split('.');
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("github.com/docker/buildx v0.29.1 a32761a"), Some((0, 29)));
        assert_eq!(version("github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3\n"), Some((0, 13)));
        assert_eq!(version("something else"), None);
        assert!((0, 13) < FIRST && (0, 29) >= FIRST && (1, 0) > FIRST);
    }

    #[test]
    fn a_build_is_a_row() {
        let shown = row(&json!({"ref": "default/default/rg5syrb3", "name": "app", "status": "Completed",
            "created_at": "2026-11-29T20:49:13.1Z", "total_steps": 7, "cached_steps": 2}));
        let expected = json!({"build": "rg5syrb3", "name": "app", "status": "Completed", "created": "2026-11-29T20:49:13Z", "steps": 7, "cached": 2});
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }
}
