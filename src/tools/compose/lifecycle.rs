//! Starting and stopping what a project has, by compose itself: it knows what has to come first.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::{LONGEST, Member, OneOff, members, objects, service_of, with_dependencies};
use crate::{
    docker::{
        Docker,
        cli::positional,
        judge::Mark,
        names::{object, quote},
    },
    error::Result,
    tool::{Access, Call, Course, Permission, Plan, Program, Progress, Summary, Tool, text::count},
    tools::{
        outcome::signal,
        project::containers,
        view::{clipped, short_id, text},
    },
};

const LIFECYCLE: &[Permission] = &[Permission::Lifecycle];
/// How long compose may take beside the grace: what is started may have to become healthy first.
const LIMIT: Duration = Duration::from_secs(600);

/// What became of the containers of a project.
#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    containers: Vec<Row>,
    /// What compose or a rule has to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip)]
    project: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    service: String,
    name: String,
    id: String,
    /// Before.
    was: String,
    /// Now.
    state: String,
}

impl Summary for Done {
    fn summary(&self) -> String {
        let mut states: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &self.containers {
            *states.entry(&row.state).or_default() += 1;
        }
        let states: Vec<String> = states.into_iter().map(|(state, number)| format!("{number} {state}")).collect();
        let containers = count(self.containers.len(), "container");
        format!("{containers} of project {}: {}", quote(&self.project), states.join(", "))
    }
}

/// Starts the containers of a compose project.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeStart {
    /// Its name.
    project: String,
    /// And what they depend on. Default: all.
    #[serde(default)]
    services: Vec<String>,
}

/// Restarts the containers of a compose project.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeRestart {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Seconds before KILL. Default: the container's, else 10.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600))]
    grace: Option<u32>,
}

/// Pauses the containers of a compose project.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposePause {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
}

/// Lets the paused containers of a compose project go on.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeUnpause {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
}

/// Stops the containers of a compose project and keeps them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeStop {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Seconds before KILL. Default: the container's, else 10.
    #[serde(default)]
    #[schemars(range(min = 0, max = 600))]
    grace: Option<u32>,
}

/// Sends a signal to the running containers of a compose project.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeKill {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Name or number. Default: KILL.
    #[serde(default)]
    signal: Option<String>,
}

impl Tool for ComposeStart {
    const NAME: &'static str = "compose_start";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    fn deadline(&self) -> Option<Duration> {
        Some(LIMIT)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let Self { project, services } = self;
        let mut all = members(reading, project, &[], OneOff::Without).await?;
        if !services.is_empty() {
            members(reading, project, services, OneOff::Without).await?;
            let wanted = with_dependencies(&all, services);
            all.retain(|member| wanted.contains(&member.service));
        }
        Ok(planned(Self::ACCESS, reading, &all, services).await?.entering())
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        Run { command: "start", options: vec![], project: &self.project, services: &self.services }
            .run(docker, plan, call)
            .await
    }
}

impl Tool for ComposeRestart {
    const NAME: &'static str = "compose_restart";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    fn deadline(&self) -> Option<Duration> {
        Some(LIMIT + seconds(self.grace))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = of_services(Self::ACCESS, reading, &self.project, &self.services, OneOff::Without).await?;
        // What does not run is started by it.
        let starts = plan.objects.iter().any(|container| !container.is("/State/Running"));
        Ok(if starts { plan.entering() } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        // Nothing but what was named and judged.
        let options = [vec!["--no-deps".to_owned()], grace(self.grace)].concat();
        Run { command: "restart", options, project: &self.project, services: &self.services }
            .run(docker, plan, call)
            .await
    }
}

impl Tool for ComposePause {
    const NAME: &'static str = "compose_pause";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        of_services(Self::ACCESS, reading, &self.project, &self.services, OneOff::Without).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        Run { command: "pause", options: vec![], project: &self.project, services: &self.services }
            .run(docker, plan, call)
            .await
    }
}

impl Tool for ComposeUnpause {
    const NAME: &'static str = "compose_unpause";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        of_services(Self::ACCESS, reading, &self.project, &self.services, OneOff::Without).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        Run { command: "unpause", options: vec![], project: &self.project, services: &self.services }
            .run(docker, plan, call)
            .await
    }
}

impl Tool for ComposeStop {
    const NAME: &'static str = "compose_stop";
    const ACCESS: Access = Access::mutate(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    fn deadline(&self) -> Option<Duration> {
        Some(LIMIT + seconds(self.grace))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let plan = of_services(Self::ACCESS, reading, &self.project, &self.services, OneOff::Without).await?;
        // No service is made so, but who knows what made this one: stopping removes it.
        let vanishes = plan.objects.iter().any(|container| container.is("/HostConfig/AutoRemove"));
        Ok(if vanishes { plan.losing() } else { plan })
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        Run { command: "stop", options: grace(self.grace), project: &self.project, services: &self.services }
            .run(docker, plan, call)
            .await
    }
}

impl Tool for ComposeKill {
    const NAME: &'static str = "compose_kill";
    const ACCESS: Access = Access::destroy(LIFECYCLE);
    const COURSE: Option<Course> = Some(Course::Stoppable);
    const PROGRAM: Option<Program> = Some(Program::Compose);
    type Output = Done;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.signal.as_ref().map_or(Ok(()), |given| signal("signal", given))?;
        of_services(Self::ACCESS, reading, &self.project, &self.services, OneOff::With).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        let options = vec!["--signal".to_owned(), self.signal.unwrap_or_else(|| "KILL".to_owned())];
        Run { command: "kill", options, project: &self.project, services: &self.services }.run(docker, plan, call).await
    }
}

fn seconds(grace: Option<u32>) -> Duration {
    Duration::from_secs(grace.unwrap_or(10).into())
}

fn grace(grace: Option<u32>) -> Vec<String> {
    grace.map(|seconds| vec!["--timeout".to_owned(), seconds.to_string()]).unwrap_or_default()
}

/// The plan of a call on what some services have, or all.
async fn of_services(
    access: Access,
    reading: &Docker,
    project: &str,
    services: &[String],
    one_off: OneOff,
) -> Result<Plan> {
    let members = members(reading, project, services, one_off).await?;
    planned(access, reading, &members, services).await
}

async fn planned(access: Access, reading: &Docker, members: &[Member], services: &[String]) -> Result<Plan> {
    services.iter().try_for_each(|service| object("services", service).map(drop))?;
    Ok(Plan::declared(access).on(objects(reading, members).await?))
}

/// A command of compose on a project that is known by its containers.
struct Run<'a> {
    command: &'static str,
    options: Vec<String>,
    project: &'a str,
    services: &'a [String],
}

impl Run<'_> {
    async fn run(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Done> {
        let project = positional("project", self.project)?.to_owned();
        let mut arguments = vec!["--project-name".to_owned(), project.clone(), self.command.to_owned()];
        arguments.extend(self.options);
        arguments.extend(self.services.iter().cloned());
        let cli = docker.cli(call.programs(), Program::Compose.plugin())?.marking(Mark::Prefix("com.docker.compose."));
        let told = |_, line: &str| {
            let message = clipped(line.trim(), LONGEST);
            call.progress(Progress { done: 0.0, total: None, message });
        };
        let ran = cli.run(&arguments, &told).await?;
        let now = containers::of_all(docker).await?;
        let row = |container: crate::tool::Object| {
            let after = now.iter().find(|row| row.id == container.id);
            let was = container.fact("/State").map(|state| text(state, "Status")).unwrap_or_default();
            Row {
                service: service_of(&container),
                id: short_id(&container.id),
                was: clipped(was, LONGEST),
                state: after.map_or_else(|| "removed".to_owned(), |row| clipped(&row.state, LONGEST)),
                name: container.name,
            }
        };
        let containers = plan.objects.into_iter().map(row).collect();
        Ok(Done { containers, notes: ran.notes, project })
    }
}
