//! The targets of a bake definition, built together.

use std::{ffi::OsStr, path::Path, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ACCESS,
    builders::Builders,
    prepared::{Built, Prepared},
    rendered,
};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    tool::{Access, Call, Course, LONGEST_JOB, Plan, Program, Tool},
};

/// The largest definition, in bytes.
const LARGEST: u64 = 1 << 20;

/// Builds the targets of a bake definition (HCL or JSON) with `BuildKit`, in parallel.
///
/// Secrets are `id=ID,src=secret://NAME`. `compose_build` takes compose files.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildxBake {
    /// Its text.
    #[serde(default)]
    definition: Option<String>,
    /// Or a file; relative paths begin beside it.
    #[serde(default)]
    file: Option<String>,
    /// Targets or groups. Default: the group `default`.
    #[serde(default)]
    targets: Vec<String>,
    /// Pushes every target. Default: as it says.
    #[serde(default)]
    push: bool,
    /// Loads every target. Default: as it says.
    #[serde(default)]
    load: bool,
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
}

impl BuildxBake {
    /// The definition, and where its relative paths begin.
    async fn text(&self, call: &Call) -> Result<(String, String)> {
        match (&self.definition, &self.file) {
            (Some(text), None) if text.len() as u64 <= LARGEST => Ok((text.clone(), String::new())),
            (Some(_), None) => Err(Error::invalid("argument \"definition\" is larger than 1 MiB")),
            (None, Some(path)) => {
                let extension = Path::new(path).extension().and_then(OsStr::to_str).unwrap_or_default();
                if ["yml", "yaml"].iter().any(|yaml| extension.eq_ignore_ascii_case(yaml)) {
                    return Err(Error::invalid(format!("argument \"file\": {} is a compose file", quote(path)))
                        .hint("compose_build builds its services; a bake file is HCL or JSON"));
                }
                let (base, name) = path.rsplit_once('/').unwrap_or((".", path));
                let base = if base.is_empty() { "/" } else { base };
                let directory = call.files().directory("file", base).await?;
                let text = directory.read(name, LARGEST).await?.ok_or_else(|| {
                    Error::not_found(format!("argument \"file\": there is no {}", quote(path)))
                        .hint("a path below an allowed root")
                })?;
                let text = String::from_utf8(text.to_vec())
                    .map_err(|_| Error::invalid(format!("argument \"file\": {} is no text", quote(path))))?;
                Ok((text, base.to_owned()))
            }
            (None, None) | (Some(_), Some(_)) => {
                Err(Error::invalid("\"definition\" or \"file\" is to be given").hint("give one of them"))
            }
        }
    }

    async fn prepared(&self, builders: &Builders, docker: &Docker, call: &Call) -> Result<Prepared> {
        let (text, base) = self.text(call).await?;
        let mut rendered = rendered::render(&text, &self.targets, builders, docker, call).await?;
        for (name, target) in &mut rendered.targets {
            if !rendered.wanted.contains(name) {
                continue;
            }
            let outputs = [(self.push, "type=registry"), (self.load, "type=docker")];
            if self.push || self.load {
                target.output = outputs.into_iter().filter(|(is, _)| *is).map(|(_, output)| output.into()).collect();
            }
            if self.push && target.tags.is_empty() {
                return Err(Error::invalid(format!("\"push\" is set and target {} has no tags", quote(name)))
                    .hint("name in \"tags\" of the target where it is pushed to"));
            }
        }
        Prepared::of(rendered, &base, docker, call).await
    }
}

impl Tool for BuildxBake {
    const NAME: &'static str = "buildx_bake";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Built;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let builders = Builders::of(reading, call)?;
        let builder = builders.named(self.builder.as_deref())?;
        let plan = self.prepared(&builders, reading, call).await?.planned(Plan::declared(ACCESS))?;
        builder.planned(plan, reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Built> {
        let builders = Builders::of(docker, call)?;
        let prepared = self.prepared(&builders, docker, call).await?;
        prepared.is_as(&plan)?;
        prepared.run(&builders.named(self.builder.as_deref())?, &builders, docker, call).await
    }
}
