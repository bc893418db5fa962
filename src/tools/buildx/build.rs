//! One image, built over `BuildKit`.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ACCESS,
    builders::Builders,
    definition::Target,
    prepared::{Built, Prepared},
    rendered::Rendered,
};
use crate::{
    docker::{Docker, names::quote},
    error::{Error, Result},
    secret::SCHEME,
    tool::{Access, Call, Course, LONGEST_JOB, Plan, Program, Tool},
};

/// What the one target is called.
pub(super) const TARGET: &str = "build";

/// Builds an image with `BuildKit`, for one platform or several; pushes or loads it.
///
/// Give `context`, `dockerfile_content` or both.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(super) struct BuildxBuild {
    /// A directory below `files.roots`, or a URL that the daemon may fetch.
    #[serde(default)]
    context: Option<String>,
    /// Default: Dockerfile.
    #[serde(default)]
    dockerfile: Option<String>,
    /// The text of a Dockerfile instead.
    #[serde(default)]
    dockerfile_content: Option<String>,
    /// Its names, with tags.
    #[serde(default)]
    tags: Vec<String>,
    /// The stage to build. Default: the last.
    #[serde(default)]
    target: Option<String>,
    /// Such as `linux/arm64`; several need a builder of `buildx_create`.
    #[serde(default)]
    platforms: Vec<String>,
    /// Values, or `secret://NAME`, for its `ARG`s.
    #[serde(default)]
    build_args: BTreeMap<String, String>,
    /// Labels of the image.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// For `RUN --mount=type=secret`: id to `secret://NAME`.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Caches in registries, by reference.
    #[serde(default)]
    cache_from: Vec<String>,
    /// The same, written to; or `inline`.
    #[serde(default)]
    cache_to: Vec<String>,
    /// Pushes it. Default: false.
    #[serde(default)]
    push: bool,
    /// Loads it. Default: as the builder does.
    #[serde(default)]
    load: bool,
    /// Runs every step anew. Default: false.
    #[serde(default)]
    no_cache: bool,
    /// Pulls its bases anew. Default: false.
    #[serde(default)]
    pull: bool,
    /// Attests provenance and SBOM. Default: false.
    #[serde(default)]
    attest: bool,
    /// Default: the one in use.
    #[serde(default)]
    builder: Option<String>,
}

impl BuildxBuild {
    fn target(&self) -> Result<Target> {
        if self.context.is_none() && self.dockerfile_content.is_none() {
            return Err(Error::invalid("neither \"context\" nor \"dockerfile_content\" is given")
                .hint("give a directory, or the text of a Dockerfile"));
        }
        if self.dockerfile.is_some() && self.dockerfile_content.is_some() {
            return Err(
                Error::invalid("\"dockerfile\" and \"dockerfile_content\" are both given").hint("give one of them")
            );
        }
        if self.push && self.tags.is_empty() {
            return Err(Error::invalid("\"push\" is set and \"tags\" is empty").hint("name where it is pushed to"));
        }
        for (id, value) in &self.secrets {
            if !value.starts_with(SCHEME) || value.contains([',', '"']) {
                return Err(Error::invalid(format!(
                    "argument \"secrets\": {} is no secret of the operator's",
                    quote(id)
                ))
                .hint("its value is secret://NAME"));
            }
        }
        let some = |map: &BTreeMap<String, String>| map.clone().into_iter().map(|(name, value)| (name, Some(value)));
        let texts = |texts: &[String]| texts.iter().cloned().map(Value::from).collect::<Vec<_>>();
        let outputs = [(self.push, "type=registry"), (self.load, "type=docker")];
        let attests = ["type=provenance,mode=max", "type=sbom"].into_iter().filter(|_| self.attest);
        Ok(Target {
            context: self.context.clone(),
            dockerfile: self.dockerfile.clone(),
            dockerfile_inline: self.dockerfile_content.clone(),
            args: some(&self.build_args).collect(),
            labels: some(&self.labels).collect(),
            tags: self.tags.clone(),
            target: self.target.clone(),
            platforms: self.platforms.clone(),
            no_cache: self.no_cache.then_some(true),
            pull: self.pull.then_some(true),
            secret: self.secrets.iter().map(|(id, value)| format!("id={id},src={value}").into()).collect(),
            output: outputs.into_iter().filter(|(wanted, _)| *wanted).map(|(_, output)| output.into()).collect(),
            cache_from: texts(&self.cache_from),
            cache_to: texts(&self.cache_to),
            attest: attests.map(Value::from).collect(),
            ..Target::default()
        })
    }

    async fn prepared(&self, docker: &Docker, call: &Call) -> Result<Prepared> {
        let targets = [(TARGET.to_owned(), self.target()?)].into();
        Prepared::of(Rendered { targets, wanted: vec![TARGET.to_owned()] }, "", docker, call).await
    }
}

impl Tool for BuildxBuild {
    const NAME: &'static str = "buildx_build";
    const ACCESS: Access = ACCESS;
    const PROGRAM: Option<Program> = Some(Program::Buildx);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Built;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let plan = self.prepared(reading, call).await?.planned(Plan::declared(ACCESS))?;
        Builders::of(reading, call)?.named(self.builder.as_deref())?.planned(plan, reading).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Built> {
        let prepared = self.prepared(docker, call).await?;
        prepared.is_as(&plan)?;
        let builders = Builders::of(docker, call)?;
        prepared.run(&builders.named(self.builder.as_deref())?, &builders, docker, call).await
    }
}
