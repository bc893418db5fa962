//! Builders in containers: made, chosen, removed. What is kept of them lies in our state directory, for each host its own.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ACCESS,
    builders::{Builder, Builders, DEFAULT, named},
};
use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Result},
    tool::{Access, Call, Permission, Plan, Program, Summary, Tool},
};

/// How long it may take to make a builder: its image may have to be pulled.
const PATIENCE: Duration = Duration::from_secs(600);

/// Creates a builder in a privileged container of the host. It starts when it is first used.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxCreate {
    /// Its name.
    name: String,
    /// The image of `BuildKit`. Default: moby/buildkit:buildx-stable-1.
    #[serde(default)]
    image: Option<String>,
    /// Starts it now. Default: false.
    #[serde(default)]
    bootstrap: bool,
    /// Uses it from now on. Default: false.
    #[serde(default, rename = "use")]
    is_used: bool,
}

/// Chooses the builder that the host's builds use when they name none.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxUse {
    /// Its name, or `default`: the host's own.
    builder: String,
}

/// Removes a builder that `buildx_create` made, and its cache.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxRm {
    /// Its name.
    builder: String,
    /// Keeps its cache. Default: false.
    #[serde(default)]
    keep_state: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Done {
    builder: String,
    done: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Done {
    fn new(builder: String, done: &'static str, notes: &[String]) -> Self {
        Self { builder, done, note: (!notes.is_empty()).then(|| notes.join("; ")) }
    }
}

impl Summary for Done {
    fn summary(&self) -> String {
        format!("builder \"{}\" was {}", self.builder, self.done)
    }
}

impl Tool for BuildxCreate {
    const NAME: &'static str = "buildx_create";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    type Output = Done;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if named("name", &self.name)? == DEFAULT {
            return Err(
                Error::invalid("argument \"name\": \"default\" is the host's own builder").hint("take another name")
            );
        }
        if let Some(image) = &self.image {
            names::image("image", image)?;
        }
        let builders = Builders::of(reading, call)?;
        builders.kept(call)?;
        if builders.named(Some(&self.name)).is_ok() {
            return Err(Error::conflict(format!("the host has a builder {} already", quote(&self.name)))
                .hint("take another name, or remove it with buildx_rm"));
        }
        // What it will be is judged now, also where it comes to be later.
        Builder::new(&self.name, self.image.as_deref()).planned(Plan::declared(ACCESS), reading).await
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Done> {
        let builders = Builders::of(docker, call)?;
        let mut arguments =
            vec!["create".to_owned(), "--driver=docker-container".into(), format!("--name={}", self.name)];
        arguments.extend(self.image.as_ref().map(|image| format!("--driver-opt=image={image}")));
        builders.cli(docker, call)?.run(&arguments, &|_, _| {}).await?;
        builders.settle(&self.name)?;
        let mut notes = Vec::new();
        if self.is_used {
            choose(&self.name, &builders, docker, call).await?;
        }
        if self.bootstrap {
            let ran = builders.cli(docker, call)?.run(&["inspect", "--bootstrap", &self.name], &|_, _| {}).await;
            notes = ran
                .map_err(|error| {
                    let hint =
                        error.hint_text().unwrap_or("remove it with buildx_rm, or look at its container").to_owned();
                    Error::new(error.kind(), format!("the builder is kept, but does not start: {}", error.message()))
                        .hint(hint)
                })?
                .notes;
        }
        Ok(Done::new(self.name, if self.bootstrap { "made and started" } else { "made" }, &notes))
    }
}

impl Tool for BuildxUse {
    const NAME: &'static str = "buildx_use";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    type Output = Done;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let builders = Builders::of(reading, call)?;
        builders.kept(call)?;
        builders.named(Some(&self.builder))?;
        Ok(Plan::declared(ACCESS).opening())
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Done> {
        choose(&self.builder, &Builders::of(docker, call)?, docker, call).await?;
        Ok(Done::new(self.builder, "chosen", &[]))
    }
}

impl Tool for BuildxRm {
    const NAME: &'static str = "buildx_rm";
    const ACCESS: Access = ACCESS.sometimes(Permission::Volumes);
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    type Output = Done;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let builder = Builders::of(reading, call)?.named(Some(&self.builder))?;
        if builder.is_default() {
            return Err(Error::invalid("argument \"builder\": the host's own builder cannot be removed")
                .hint("buildx_prune clears its cache"));
        }
        let plan = builder.removed(Plan::declared(ACCESS), reading).await?;
        Ok(if self.keep_state { plan } else { plan.needing(Permission::Volumes) })
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Done> {
        let builders = Builders::of(docker, call)?;
        let mut arguments = vec!["rm", "--force"];
        arguments.extend(self.keep_state.then_some("--keep-state"));
        arguments.push(&self.builder);
        let ran = builders.cli(docker, call)?.run(&arguments, &|_, _| {}).await?;
        Ok(Done::new(self.builder, "removed", &ran.notes))
    }
}

/// Chooses a builder, whatever the socket of a run is called.
async fn choose(name: &str, builders: &Builders, docker: &Docker, call: &Call) -> Result<()> {
    builders.cli(docker, call)?.run(&["use", "--global", name], &|_, _| {}).await.map(drop)
}
