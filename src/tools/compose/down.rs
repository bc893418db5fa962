//! Taking a project down: its containers and networks, and its volumes only where they were asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shared::{Told, containers};
use crate::{
    docker::{Docker, Filters, Target, cli::Program, names::quote},
    error::{Error, Kind, Result},
    tool::{Access, Call, Course, LONGEST_JOB, Object, Permission, Plan, Summary, Tool, text::count},
    tools::{
        project::{self, Change, PROJECT, Rehearsal, Step, composing},
        view::text,
    },
};

/// Stops and removes the containers and networks of a compose project, by its labels.
///
/// Named volumes, and what is in them, stay unless `volumes` is set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeDown {
    /// Its name.
    project: String,
    /// Removes its volumes too, with all data. Default: false.
    #[serde(default)]
    volumes: bool,
    /// Seconds to stop before it is killed. Default: the container's own.
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
        let mut objects = Vec::new();
        for row in containers(reading, name).await? {
            push(&mut objects, reading.container("project", text(&row, "Id")).await)?;
        }
        for row in labelled(reading, "/networks", name).await? {
            push(&mut objects, reading.network("project", text(&row, "Id")).await)?;
        }
        let volumes = labelled(reading, "/volumes", name).await?;
        let is_empty = objects.is_empty() && (volumes.is_empty() || !self.volumes);
        if is_empty {
            return Err(Error::not_found(format!("nothing of project {} is on the host", quote(name)))
                .hint("compose_ls shows the projects; it counts stopped ones too"));
        }
        let mut plan = Plan::declared(Self::ACCESS);
        if self.volumes {
            for row in &volumes {
                push(&mut objects, reading.volume("project", text(row, "Name")).await)?;
            }
            plan = plan.needing(Permission::Volumes);
        }
        Ok(plan.on(objects))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Downed> {
        let mut arguments: Vec<String> =
            ["--project-name", &self.project, "down", "--remove-orphans"].map(str::to_owned).into();
        arguments.extend(self.volumes.then(|| "--volumes".to_owned()));
        if let Some(grace) = self.grace {
            arguments.extend(["--timeout".to_owned(), grace.to_string()]);
        }
        let told = Told::new(call);
        let ran = composing(&self.project, docker, call)?.run(&arguments, &told.listener()).await?;
        let changes = Rehearsal::of(&told.lines()).steps;
        Ok(Downed { project: self.project, changes, notes: ran.notes })
    }
}

/// What was there a moment ago and is gone needs nobody's leave.
fn push(objects: &mut Vec<Object>, found: Result<Object>) -> Result<()> {
    match found {
        Ok(object) => objects.push(object),
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Networks or volumes of a project, as the engine lists them.
async fn labelled(docker: &Docker, path: &str, project: &str) -> Result<Vec<Value>> {
    let filters = Filters::default().with("label", [format!("{PROJECT}={project}")]);
    let listed = docker.json(Target::new(path).filters(&filters)).await?;
    let rows = listed.get("Volumes").unwrap_or(&listed).as_array().cloned();
    Ok(rows.unwrap_or_default())
}
