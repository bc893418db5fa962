//! Building and pulling the images of a project.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Chosen, logins};
use crate::{
    docker::{
        Docker,
        cli::{Cli, Program},
    },
    error::{Error, Result},
    tool::{Access, BodyKind, Call, Course, Effect, LONGEST_JOB, Permission, Plan, Summary, Tool, text::count},
    tools::project::{Rendered, Told},
};

/// How many of the last lines of a run are told.
const TAIL: usize = 20;

/// Builds the images of a project's services.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ComposeBuild {
    #[serde(flatten)]
    chosen: Chosen,
    /// Only these services. Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Runs every step anew. Default: false.
    #[serde(default)]
    no_cache: bool,
    /// Pulls their bases anew. Default: false.
    #[serde(default)]
    pull: bool,
    /// With `BuildKit`, whose channel no guard sees. Default: false.
    #[serde(default)]
    buildkit: bool,
}

/// Pulls the images of a project's services.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ComposePull {
    #[serde(flatten)]
    chosen: Chosen,
    /// Only these services. Default: all.
    #[serde(default)]
    services: Vec<String>,
}

/// What was made or fetched.
#[derive(Serialize, JsonSchema)]
pub(super) struct Images {
    project: String,
    /// The services whose images these are.
    services: Vec<String>,
    /// The end of what the run told.
    log: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip)]
    verb: &'static str,
}

impl Summary for Images {
    fn summary(&self) -> String {
        let number = count(self.services.len(), "service");
        format!("the images of {number} of project \"{}\" were {}", self.project, self.verb)
    }
}

impl Tool for ComposeBuild {
    const NAME: &'static str = "compose_build";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const ACCESS: Access = Access::destroy(&[Permission::Images]).down_to(Effect::Mutate);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Images;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let rendered = self.chosen.rendered(reading, call).await?;
        let services = chosen(&rendered, &self.services, "build")?;
        let plan = Plan::declared(Self::ACCESS);
        // The classic builder, which the guard can look into, ends nothing.
        let plan = if self.buildkit { plan.opening() } else { plan.at_most(Effect::Mutate) };
        let plan = rendered.planned_for(plan, &services, &[BodyKind::Build], reading).await?;
        Ok(rendered.images_of(&services).fold(plan, Plan::using))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Images> {
        let rendered = self.chosen.rendered(docker, call).await?;
        rendered.is_as_planned(&plan)?;
        let services = chosen(&rendered, &self.services, "build")?;
        let mut arguments = vec!["build".to_owned()];
        arguments.extend(self.no_cache.then(|| "--no-cache".to_owned()));
        arguments.extend(self.pull.then(|| "--pull".to_owned()));
        let cli = if self.buildkit {
            let private = call.programs().private()?;
            let cli = rendered.for_buildkit(&private, call.files()).await?.compose(docker, call)?.holding(&private);
            // Without a name of its own it would look for another builder where this one fails.
            cli.variable("DOCKER_BUILDKIT", "1").variable("BUILDX_BUILDER", "default")
        } else {
            rendered.compose(docker, call)?
        };
        run(cli, &rendered, arguments, services, "built", docker, call).await
    }
}

impl Tool for ComposePull {
    const NAME: &'static str = "compose_pull";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const ACCESS: Access = Access::mutate(&[Permission::Images]);
    const COURSE: Option<Course> = Some(Course::Job);
    const OPEN_WORLD: bool = true;
    type Output = Images;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let rendered = self.chosen.rendered(reading, call).await?;
        let services = chosen(&rendered, &self.services, "image")?;
        let plan = rendered.planned_for(Plan::declared(Self::ACCESS), &services, &[], reading).await?;
        Ok(rendered.images_of(&services).fold(plan, Plan::using))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Images> {
        let rendered = self.chosen.rendered(docker, call).await?;
        rendered.is_as_planned(&plan)?;
        let services = chosen(&rendered, &self.services, "image")?;
        let cli = rendered.compose(docker, call)?;
        run(cli, &rendered, vec!["pull".to_owned()], services, "pulled", docker, call).await
    }
}

/// The services that were asked for, or all, of those that have a field.
fn chosen(rendered: &Rendered, asked: &[String], field: &str) -> Result<Vec<String>> {
    rendered.know(asked)?;
    let named = rendered.services().filter(|(_, service)| service.get(field).is_some_and(|field| !field.is_null()));
    let all: Vec<String> = named.map(|(name, _)| name.to_owned()).collect();
    if let Some(other) = asked.iter().find(|name| !all.contains(name)) {
        return Err(
            Error::invalid(format!("service \"{other}\" has no \"{field}\" in the project")).hint("leave it out")
        );
    }
    if all.is_empty() {
        return Err(Error::invalid(format!("no service of the project has \"{field}\"")).hint("there is nothing to do"));
    }
    Ok(if asked.is_empty() { all } else { asked.to_vec() })
}

async fn run(
    cli: Cli,
    rendered: &Rendered,
    command: Vec<String>,
    services: Vec<String>,
    verb: &'static str,
    docker: &Docker,
    call: &Call,
) -> Result<Images> {
    let (cli, mut warnings) = logins(cli, rendered.images(), docker, call).await;
    warnings.extend(rendered.warnings.iter().cloned());
    let told = Told::to(call);
    let mut arguments = rendered.arguments();
    arguments.extend(command);
    arguments.extend(services.iter().cloned());
    let ran = cli.run(&arguments, &told.listener()).await?;
    warnings.extend(ran.notes);
    let lines = told.lines();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    let tail = lines.iter().skip(lines.len().saturating_sub(TAIL));
    let log = tail.map(|line| (*line).to_owned()).collect();
    Ok(Images { project: rendered.name.clone(), services, log, warnings, verb })
}
