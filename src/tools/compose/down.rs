//! Taking a project down: its containers and networks, and its volumes only where they were asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{Docker, cli::Program, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Course, LONGEST_JOB, Permission, Plan, Summary, Tool, text::count},
    tools::{
        listing::labelled,
        project::{self, Change, PROJECT, Rehearsal, Step, Told, composing, containers},
        view::text,
    },
};

/// Removes the containers and networks of a compose project.
///
/// Named volumes stay unless `volumes` is set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeDown {
    /// Its name.
    project: String,
    /// Its volumes too, with all data. Default: false.
    #[serde(default)]
    volumes: bool,
    /// Seconds before KILL. Default: the container's.
    #[serde(default)]
    #[schemars(range(max = 600))]
    grace: Option<u16>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Downed {
    project: String,
    changes: Vec<Step>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

impl Summary for Downed {
    fn summary(&self) -> String {
        let removed = self.changes.iter().filter(|step| step.change == Change::Remove).count();
        format!("project \"{}\" is down: {} removed", self.project, count(removed, "object"))
    }
}

impl Tool for ComposeDown {
    const NAME: &'static str = "compose_down";
    const PROGRAM: Option<Program> = Some(Program::Compose);
    const CORE: bool = true;
    const ACCESS: Access = Access::destroy(&[Permission::Create, Permission::Lifecycle, Permission::Networks])
        .sometimes(Permission::Volumes);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Downed;

    fn deadline(&self) -> Option<std::time::Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let name = project::name(&self.project)?;
        let mut plan = Plan::declared(Self::ACCESS);
        for container in containers::of(reading, name).await? {
            plan = plan.on_listed(reading.container("project", &container.id).await)?;
        }
        for row in labelled(reading, "/networks", PROJECT, name).await? {
            plan = plan.on_listed(reading.network("project", text(&row, "Id")).await)?;
        }
        let volumes = labelled(reading, "/volumes", PROJECT, name).await?;
        let is_empty = plan.objects.is_empty() && (volumes.is_empty() || !self.volumes);
        if is_empty {
            return Err(Error::not_found(format!("nothing of project {} is on the host", quote(name)))
                .hint("compose_ls shows the projects; it counts stopped ones too"));
        }
        if self.volumes {
            for row in &volumes {
                plan = plan.on_listed(reading.volume("project", text(row, "Name")).await)?;
            }
            plan = plan.needing(Permission::Volumes);
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Downed> {
        let mut arguments: Vec<String> =
            ["--project-name", &self.project, "down", "--remove-orphans"].map(str::to_owned).into();
        arguments.extend(self.volumes.then(|| "--volumes".to_owned()));
        if let Some(grace) = self.grace {
            arguments.extend(["--timeout".to_owned(), grace.to_string()]);
        }
        let told = Told::to(call);
        let ran = composing(&self.project, docker, call)?.run(&arguments, &told.listener()).await?;
        let changes = Rehearsal::of(&told.lines()).steps;
        Ok(Downed { project: self.project, changes, notes: ran.notes })
    }
}
