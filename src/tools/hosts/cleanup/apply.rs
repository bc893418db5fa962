//! Applying a plan: each object is looked at again, and goes only if it is what was planned and nothing needs it.

use std::time::Duration;

use bollard::query_parameters::{RemoveContainerOptions, RemoveImageOptionsBuilder, RemoveVolumeOptionsBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Kind, LONGEST, Planned, Used,
    candidates::{changed, found, state},
    line,
};
use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Kind as ErrorKind, Result},
    tool::{Access, Call, HostArgument, Object, Permission, Plan, Progress, Summary, Tool, text::count},
    tools::view::{bytes, texts},
};

/// How long all removals of a plan may take.
const MANY: Duration = Duration::from_secs(600);
/// No new removal is begun after this long, so that the answer says what is left before the deadline hits.
const ENOUGH: Duration = Duration::from_secs(540);
/// How many rows of each outcome are shown.
const MOST_ROWS: usize = 60;

/// Removes what `plan_cleanup` planned: those objects only, and only if they are unchanged and unused.
///
/// What changed is left and named. A plan is good once.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::tools::hosts) struct ApplyPlan {
    /// The id that `plan_cleanup` answered.
    plan: String,
}

#[derive(Serialize, JsonSchema)]
pub(in crate::tools::hosts) struct Applied {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Row>,
    /// What changed, is in use now or would not go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reclaimed: Option<String>,
    #[serde(skip)]
    summary: String,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Summary for Applied {
    fn summary(&self) -> String {
        self.summary.clone()
    }
}

impl Tool for ApplyPlan {
    const NAME: &'static str = "apply_plan";
    const ACCESS: Access = Access::destroy(&[])
        .sometimes(Permission::Create)
        .sometimes(Permission::Images)
        .sometimes(Permission::Networks)
        .sometimes(Permission::Volumes);
    const HOST: HostArgument = HostArgument::Planned;
    type Output = Applied;

    fn deadline(&self) -> Option<Duration> {
        Some(MANY)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let planned: Vec<Planned> = call.plans().read(reading.host(), &self.plan)?;
        let mut plan = Plan::declared(Self::ACCESS);
        // A container that stays keeps what it uses.
        let mut going = Vec::new();
        for object in planned.iter().filter(|object| object.kind == Kind::Containers) {
            match same(reading, object).await {
                Ok(found) => {
                    going.push(object.clone());
                    plan = plan.on([found]).needing(object.kind.permission());
                }
                Err(error) => leave(&mut plan, object, error)?,
            }
        }
        let used = Used::but_for(reading, &going).await?;
        for object in planned.iter().filter(|object| object.kind != Kind::Containers) {
            match unused(&used, object, same(reading, object).await) {
                Ok(found) => plan = plan.on([found]).needing(object.kind.permission()),
                Err(error) => leave(&mut plan, object, error)?,
            }
        }
        match (plan.objects.is_empty(), plan.missing.first()) {
            (true, Some((name, error))) => {
                Err(Error::conflict(format!("nothing of the plan can go any more: {name}: {error}"))
                    .hint("make a new one with plan_cleanup"))
            }
            _ => Ok(plan),
        }
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Applied> {
        let planned: Vec<Planned> = call.plans().read(docker.host(), &self.plan)?;
        // From here on it is used up, whatever comes of it.
        call.plans().take(&self.plan)?;
        let started = tokio::time::Instant::now();
        let (mut removed, mut sizes) = (Vec::new(), None::<u64>);
        let mut left: Vec<Row> = Vec::new();
        for object in &planned {
            // What was left by the plan was not approved either.
            if !plan.objects.iter().any(|known| known.kind == object.kind.object() && known.id == object.id) {
                let why = plan.missing.iter().find(|(name, _)| *name == shown(object)).map(|(_, error)| error);
                left.push(Row::of(
                    object,
                    Some(why.map_or_else(|| "it was not planned".to_owned(), ToString::to_string)),
                ));
            } else if started.elapsed() > ENOUGH {
                left.push(Row::of(object, Some("there was no time left".to_owned())));
            } else if let Err(error) = remove(docker, object).await {
                left.push(Row::of(object, Some(error.to_string())));
            } else {
                sizes = object.size.map_or(sizes, |size| Some(sizes.unwrap_or_default().saturating_add(size)));
                removed.push(Row::of(object, None));
            }
            call.progress(Progress::of(removed.len() + left.len(), planned.len(), "objects"));
        }
        let rest = if left.is_empty() { String::new() } else { format!(", {} left", left.len()) };
        let reclaimed = sizes.map(bytes);
        let back = reclaimed.as_ref().map(|size| format!(", {size} reclaimed")).unwrap_or_default();
        let summary = format!("{} removed{rest}{back}", count(removed.len(), "object"));
        for rows in [&mut removed, &mut left] {
            rows.truncate(MOST_ROWS);
        }
        Ok(Applied { removed, left, reclaimed, summary })
    }
}

/// Notes what stays; whatever is about the host and not the object ends the call.
fn leave(plan: &mut Plan, object: &Planned, error: Error) -> Result<()> {
    if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) {
        return Err(error);
    }
    plan.missing.push((shown(object), error));
    Ok(())
}

fn shown(object: &Planned) -> String {
    format!("{} {}", object.kind.object().as_str(), quote(&object.name))
}

/// The object as it is now, if it is still what was planned.
async fn same(docker: &Docker, planned: &Planned) -> Result<Object> {
    let object = match found(planned.kind, docker, &planned.id).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(changed("it is gone")),
        other => other?,
    };
    if object.id != planned.id || object.digest != planned.digest {
        return Err(changed("it is not what was planned any more"));
    }
    if state(planned.kind, &object) != planned.state {
        return Err(changed(match planned.kind {
            Kind::Containers => "it was started since",
            _ => "its names have changed",
        }));
    }
    Ok(object)
}

/// Lets through what no container needs.
fn unused(used: &Used, planned: &Planned, object: Result<Object>) -> Result<Object> {
    let object = object?;
    let is_used = match planned.kind {
        Kind::Containers => false,
        Kind::Images => used.has_image(&object.id, texts(&object.facts, "RepoTags")),
        Kind::Networks => used.has_network(&object.id, &object.name),
        Kind::Volumes => used.has_volume(&object.id),
    };
    if is_used {
        return Err(changed("it is in use now"));
    }
    Ok(object)
}

/// Removes one object, right after a last look at it; never by force.
async fn remove(docker: &Docker, planned: &Planned) -> Result<()> {
    let object = same(docker, planned).await?;
    let typed = docker.typed().await?;
    if planned.kind == Kind::Containers {
        return Ok(typed.remove_container(&object.id, None::<RemoveContainerOptions>).await?);
    }
    let object = unused(&Used::but_for(docker, &[]).await?, planned, Ok(object))?;
    match planned.kind {
        Kind::Containers => {}
        Kind::Images => {
            let options = || Some(RemoveImageOptionsBuilder::new().force(false).noprune(false).build());
            let references: Vec<&str> = texts(&object.facts, "RepoTags").collect();
            // By id the engine removes one with several names only by force; by reference it takes them away one by
            // one, and the image goes with the last.
            if references.len() > 1 {
                for reference in references {
                    let reference = names::image("plan", reference)?;
                    if docker.image("plan", reference).await?.id != object.id {
                        return Err(changed("one of its names is another image's now"));
                    }
                    typed.remove_image(reference, options(), None).await?;
                }
            } else {
                typed.remove_image(&object.id, options(), None).await?;
            }
        }
        Kind::Networks => {
            let members = object.fact("/Containers").and_then(Value::as_object);
            if members.is_some_and(|members| !members.is_empty()) {
                return Err(changed("it is in use now"));
            }
            typed.remove_network(&object.id).await?;
        }
        Kind::Volumes => {
            // The name is the engine's, not the caller's: a driver may allow what a path does not.
            let name = names::object("volume", &object.id)?;
            typed.remove_volume(name, Some(RemoveVolumeOptionsBuilder::new().build())).await?;
        }
    }
    Ok(())
}

impl Row {
    fn of(planned: &Planned, why: Option<String>) -> Self {
        Self { kind: planned.kind.object().as_str(), name: line(&planned.name, LONGEST), why }
    }
}
