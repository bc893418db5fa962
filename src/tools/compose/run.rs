//! One command in a new container of a service, which goes when the command has ended.

use std::{collections::BTreeMap, time::Duration};

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::shared::{logins, missing_parts};
use crate::{
    docker::{
        Docker, Target,
        cli::{Program, positional},
        names::quote,
    },
    error::{Error, Kind, Result},
    redact,
    secret::random,
    tool::{Access, BodyKind, Call, Effect, Permission, Plan, Text, Tool},
    tools::project::{Definition, Rendered},
};

/// How long a command may take, unless the call says otherwise, and at most, in seconds.
const USUAL: u64 = 60;
const LONGEST: u64 = 600;
/// How long its container takes to come and to go, beside the command.
const AROUND: Duration = Duration::from_secs(10);
/// What compose tells of containers, beside what the command says.
const TOLD: &[&str] = &["Container ", "Network ", "Volume "];

/// Runs a command in a new container of a project's service, and removes the container.
///
/// In a running one: `compose_exec`.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct ComposeRun {
    /// Default: as the files say.
    #[serde(default)]
    project: Option<String>,
    #[serde(flatten)]
    definition: Definition,
    /// Its service.
    service: String,
    /// Command and arguments. Default: the service's.
    #[serde(default)]
    command: Vec<String>,
    /// More variables.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Default: the service's.
    #[serde(default)]
    user: Option<String>,
    /// Default: the service's.
    #[serde(default)]
    working_dir: Option<String>,
    /// Also starts what it depends on. Default: false.
    #[serde(default)]
    deps: bool,
    /// Seconds until it is stopped. Default: 60.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    timeout: Option<u64>,
}

impl Tool for ComposeRun {
    const NAME: &'static str = "compose_run";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const ACCESS: Access = Access::mutate(&[Permission::Exec, Permission::Create])
        .sometimes(Permission::Lifecycle)
        .sometimes(Permission::Images)
        .sometimes(Permission::Networks)
        .sometimes(Permission::Volumes);
    type Output = Text;

    fn deadline(&self) -> Option<Duration> {
        Some(self.limit() + AROUND + AROUND)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.check()?;
        let rendered = self.rendered(reading, call).await?;
        let mut plan = Plan::declared(Self::ACCESS).at_most(Effect::Mutate);
        for permission in missing_parts(&rendered, reading).await? {
            plan = plan.needing(permission);
        }
        if self.deps {
            plan = plan.needing(Permission::Lifecycle);
        }
        let chosen: Vec<String> = if self.deps {
            rendered.services().map(|(name, _)| name.to_owned()).collect()
        } else {
            vec![self.service.clone()]
        };
        let kinds = [BodyKind::Container, BodyKind::Volume, BodyKind::Network];
        let plan = rendered.images_of(&chosen).fold(plan, Plan::using);
        let variables: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let command = json!({"Cmd": self.command, "Env": variables, "Privileged": false});
        rendered.planned_for(plan, &chosen, &kinds, reading).await?.sending(BodyKind::Exec, &command)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Text> {
        let rendered = self.rendered(docker, call).await?;
        rendered.is_as_planned(&plan)?;
        let name = format!("{}-{}-run-{:08x}", rendered.name, self.service, u32::from_be_bytes(random()?));
        let (cli, notes) = logins(rendered.compose(docker, call)?, rendered.images(), docker, call).await;
        let arguments = self.arguments(&rendered, &name);
        let run = cli.with_any_status().run(&arguments, &|_, _| {});
        let Ok(ran) = tokio::time::timeout(self.limit() + AROUND, run).await else {
            stop(docker, &name).await?;
            return Err(Error::timeout(format!("the command did not end within {} s", self.limit().as_secs()))
                .hint("its container was stopped; give it more \"timeout\" if it needs that"));
        };
        let ran = ran?;
        let said = ran.messages.lines().filter(|line| !TOLD.iter().any(|told| line.trim_start().starts_with(told)));
        let said: Vec<&str> = said.filter(|line| !line.trim().is_empty()).collect();
        let mut body = ran.shown();
        if !said.is_empty() {
            body.extend(["stderr:\n", said.join("\n").as_str(), "\n"]);
        }
        let mut summary = format!("the command ended with status {}", ran.status);
        if ran.is_cut {
            summary += "; its output was longer";
        }
        for note in notes.iter().chain(&ran.notes) {
            summary.extend(["; ", note.as_str()]);
        }
        let source = format!("service {} of project {}", self.service, rendered.name);
        Ok(Text { source, body: redact::shown(&body), summary })
    }
}

impl ComposeRun {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout.unwrap_or(USUAL).min(LONGEST))
    }

    async fn rendered(&self, docker: &Docker, call: &Call) -> Result<Rendered> {
        let rendered = self.definition.rendered(self.project.as_deref(), &[], docker, call).await?;
        rendered.know([&self.service])?;
        Ok(rendered)
    }

    fn check(&self) -> Result<()> {
        positional("service", &self.service)?;
        let texts = self.command.iter().chain(self.env.values()).chain(&self.user).chain(&self.working_dir);
        if let Some(text) = texts.into_iter().find(|text| text.contains('\0')) {
            return Err(Error::invalid(format!("{} has NUL in it", quote(text))).hint("leave it out"));
        }
        match self.env.keys().find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            Some(name) => Err(Error::invalid(format!("argument \"env\": {} cannot be a variable", quote(name)))
                .hint("a name without \"=\"")),
            None => Ok(()),
        }
    }

    fn arguments(&self, rendered: &Rendered, name: &str) -> Vec<String> {
        let mut arguments = rendered.arguments();
        arguments.extend(["run", "--rm", "--no-TTY", "--quiet-pull", "--name", name].map(str::to_owned));
        arguments.extend((!self.deps).then(|| "--no-deps".to_owned()));
        for (name, value) in &self.env {
            arguments.extend(["--env".to_owned(), format!("{name}={value}")]);
        }
        for (option, value) in [("--user", &self.user), ("--workdir", &self.working_dir)] {
            if let Some(value) = value {
                arguments.push(format!("{option}={value}"));
            }
        }
        arguments.push(self.service.clone());
        arguments.extend(self.command.iter().cloned());
        arguments
    }
}

/// Stops the container of a command that takes too long; the engine removes it.
async fn stop(docker: &Docker, name: &str) -> Result<()> {
    let facts = match docker.json(Target::new(format!("/containers/{name}/json"))).await {
        Ok(facts) => facts,
        Err(error) if error.kind() == Kind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let id = facts.get("Id").and_then(Value::as_str).unwrap_or_default();
    let target = Target::new(format!("/containers/{id}/stop")).query("t", "2");
    docker.write(Method::POST, target, None).await.map(drop)
}
