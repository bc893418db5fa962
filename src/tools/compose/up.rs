//! Bringing a project up: rehearsed first, so that what would go is known before anything is asked or sent.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::{Chosen, lacks_images, logins, state};
use crate::{
    config::Mode,
    docker::{Docker, cli::Program},
    error::{Kind, Result},
    tool::{Access, Call, Course, Effect, LONGEST_JOB, Permission, Plan, Summary, Tool},
    tools::project::{Change, Rehearsal, Rendered, Step, Told},
};

/// When images are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Pull {
    Always,
    Missing,
    Never,
}

/// Starts a compose project, or brings a running one up to its files.
///
/// What changed is recreated; `dry_run` shows what would be.
#[derive(Deserialize, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(super) struct ComposeUp {
    #[serde(flatten)]
    chosen: Chosen,
    /// Only these, with what they depend on. Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Builds images first. Default: only missing ones.
    #[serde(default)]
    build: bool,
    /// Default: as in the files.
    #[serde(default)]
    pull: Option<Pull>,
    /// Also what has not changed. Default: false.
    #[serde(default)]
    force_recreate: bool,
    /// Removes services that the files lack. Default: false.
    #[serde(default)]
    remove_orphans: bool,
    /// Containers for each service.
    #[serde(default)]
    scale: BTreeMap<String, u16>,
    /// Until running or healthy. Default: false.
    #[serde(default)]
    wait: bool,
    /// Default: false.
    #[serde(default)]
    dry_run: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Upped {
    project: String,
    /// What became of containers, networks and volumes; those that stayed as they were are left out.
    changes: Vec<Step>,
    /// The project's containers now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    containers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    dry_run: bool,
}

impl Summary for Upped {
    fn summary(&self) -> String {
        let number = |change: Change| self.changes.iter().filter(|step| step.change == change).count();
        let all = [Change::Create, Change::Recreate, Change::Start, Change::Stop, Change::Remove];
        let counted = all.map(|change| (change, number(change))).into_iter().filter(|(_, number)| *number > 0);
        let counted: Vec<String> =
            counted.map(|(change, number)| format!("{number} {}", change.told(self.dry_run))).collect();
        let what = if counted.is_empty() { "nothing changes".to_owned() } else { counted.join(", ") };
        let dry = if self.dry_run { "; nothing was done: call again without \"dry_run\"" } else { "" };
        format!("project \"{}\": {what}{dry}", self.project)
    }
}

impl Tool for ComposeUp {
    const NAME: &'static str = "compose_up";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const CORE: bool = true;
    const ACCESS: Access = Access::destroy(&[])
        .down_to(Effect::Read)
        .sometimes(Permission::Create)
        .sometimes(Permission::Lifecycle)
        .sometimes(Permission::Images)
        .sometimes(Permission::Networks)
        .sometimes(Permission::Volumes)
        .sometimes(Permission::Files);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Upped;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let rendered = self.rendered(reading, call).await?;
        let rehearsal = self.rehearsed(&rendered, reading, call).await?;
        let effect = match (self.dry_run, rehearsal.destroys() || puts_files(&rendered.document)) {
            (true, _) => Effect::Read,
            (false, true) => Effect::Destroy,
            (false, false) => Effect::Mutate,
        };
        let mut plan = Plan::declared(Self::ACCESS).at_most(effect);
        if self.dry_run {
            return Ok(plan.on([rendered.object()]));
        }
        for permission in self.needs(&rendered, &rehearsal, reading).await? {
            plan = plan.needing(permission);
        }
        // What is there already and is touched, by its id.
        for step in rehearsal.steps.iter().filter(|step| step.change != Change::Create) {
            let Some(name) = step.what.strip_prefix("container ") else { continue };
            plan = plan.on_listed(reading.container("project", name).await)?;
        }
        rendered.planned(plan, reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Upped> {
        let rendered = self.rendered(docker, call).await?;
        let mut warnings = rendered.warnings_on(docker);
        let project = rendered.name.clone();
        if self.dry_run {
            let changes = self.rehearsed(&rendered, docker, call).await?.steps;
            return Ok(Upped { project, changes, containers: Vec::new(), warnings, dry_run: true });
        }
        rendered.is_as_planned(&plan)?;
        let (cli, notes) = logins(rendered.compose(docker, call)?, rendered.images(), docker, call).await;
        warnings.extend(notes);
        let told = Told::to(call);
        let ran = cli.run(&self.arguments(&rendered, docker, false), &told.listener()).await;
        // A refusal says by itself what to do.
        let ran = ran.map_err(|error| match error.kind() {
            Kind::Docker => error.hint("compose_ps shows how far it came; compose_logs why a container ended"),
            _ => error,
        })?;
        warnings.extend(ran.notes);
        let changes = Rehearsal::of(&told.lines()).steps;
        let containers = state(docker, &project).await?;
        Ok(Upped { project, changes, containers, warnings, dry_run: false })
    }
}

impl ComposeUp {
    async fn rendered(&self, docker: &Docker, call: &Call) -> Result<Rendered> {
        let rendered = self.chosen.rendered(docker, call).await?;
        rendered.know(&self.services)?;
        rendered.know(self.scale.keys())?;
        Ok(rendered)
    }

    /// Asks compose what it would do; sends only reads.
    async fn rehearsed(&self, rendered: &Rendered, reading: &Docker, call: &Call) -> Result<Rehearsal> {
        let told = Told::default();
        let cli = rendered.compose(reading, call)?;
        cli.run(&self.arguments(rendered, reading, true), &told.listener()).await?;
        Ok(Rehearsal::of(&told.lines()))
    }

    fn arguments(&self, rendered: &Rendered, docker: &Docker, dry: bool) -> Vec<String> {
        let mut arguments = rendered.arguments();
        if dry {
            arguments.push("--dry-run".to_owned());
        }
        arguments.extend(["up", "--detach", "--quiet-pull"].map(str::to_owned));
        let mut flag = |is_set: bool, flag: &str| arguments.extend(is_set.then(|| flag.to_owned()));
        flag(self.build, "--build");
        // A rehearsal would build for as long as the build takes.
        flag(dry && !self.build, "--no-build");
        // Nothing that is there goes on a host where nothing is destroyed.
        let keeps = docker.config().mode == Mode::Nd;
        flag(keeps, "--no-recreate");
        flag(self.force_recreate && !keeps, "--force-recreate");
        flag(self.remove_orphans, "--remove-orphans");
        flag(self.wait && !dry, "--wait");
        if let Some(pull) = self.pull {
            let pull = match pull {
                Pull::Always => "always",
                Pull::Missing => "missing",
                Pull::Never => "never",
            };
            arguments.extend(["--pull".to_owned(), pull.to_owned()]);
        }
        for (service, number) in &self.scale {
            arguments.extend(["--scale".to_owned(), format!("{service}={number}")]);
        }
        arguments.extend(self.services.iter().cloned());
        arguments
    }

    /// What the run will need, by what it makes and touches.
    async fn needs(&self, rendered: &Rendered, rehearsal: &Rehearsal, reading: &Docker) -> Result<Vec<Permission>> {
        let mut needs = vec![Permission::Create, Permission::Lifecycle];
        let makes = |kind: &str| rehearsal.steps.iter().any(|step| step.what.starts_with(kind));
        needs.extend(makes("network").then_some(Permission::Networks));
        needs.extend(makes("volume").then_some(Permission::Volumes));
        needs.extend(puts_files(&rendered.document).then_some(Permission::Files));
        let fetches = self.build || rendered.builds() || self.pull == Some(Pull::Always);
        if fetches || lacks_images(rendered.images(), reading).await? {
            needs.push(Permission::Images);
        }
        Ok(needs)
    }
}

/// Whether files are put into containers: compose does so with what is written in the project itself.
fn puts_files(document: &Value) -> bool {
    ["configs", "secrets"].into_iter().any(|kind| {
        let kept = document.get(kind).and_then(Value::as_object);
        kept.into_iter().flatten().any(|(_, one)| one.get("content").is_some() || one.get("environment").is_some())
    })
}
