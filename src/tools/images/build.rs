//! Building an image, out of a directory of this machine, a Dockerfile alone, or an address that the daemon fetches.

mod context;
mod ignore;
mod log;

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::PERMISSION;
use crate::{
    docker::{
        Docker, Target,
        names::{self, quote},
        reason,
        stream::JsonLines,
    },
    error::{Error, Kind, Result},
    redact::Masks,
    secret::SCHEME,
    tool::{Access, BodyKind, Call, Course, Effect, LONGEST_JOB, Plan, Summary, Tool},
    tools::{
        authorization::Authorization,
        dockerfile::Taken,
        pull::reference::Reference,
        view::{bytes, short_id},
    },
};
use context::Context;
use log::Log;

/// How long a daemon may say nothing of a build: a step may compile for long without a word.
const IDLE: Duration = Duration::from_secs(1800);
/// The most names that an image is given at once.
const MOST_TAGS: usize = 20;

/// Builds an image with the engine's classic builder, which knows no `RUN --mount` and no here-documents; for
/// `BuildKit` there is `buildx_build`.
///
/// Give `context`, `dockerfile_content` or both.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildImage {
    /// A directory below `files.roots` (its `.dockerignore` counts), or a URL that the daemon may fetch.
    #[serde(default)]
    context: Option<String>,
    /// Default: Dockerfile.
    #[serde(default)]
    dockerfile: Option<String>,
    /// A Dockerfile's text, instead.
    #[serde(default)]
    dockerfile_content: Option<String>,
    /// The image's names, with tags.
    #[serde(default)]
    #[schemars(length(max = 20))]
    tags: Vec<String>,
    /// For its `ARG`s; they stay in the history. A value may be `secret://NAME`.
    #[serde(default)]
    build_args: BTreeMap<String, String>,
    /// The stage to build. Default: the last.
    #[serde(default)]
    target: Option<String>,
    /// Such as `linux/arm64`. Default: the host's own.
    #[serde(default)]
    platform: Option<String>,
    /// Runs every step anew. Default: false.
    #[serde(default)]
    no_cache: bool,
    /// Pulls its bases anew. Default: false.
    #[serde(default)]
    pull: bool,
    /// Labels of the image.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Of its `RUN` steps. Default: bridge.
    #[serde(default)]
    network: Option<String>,
    /// More names for its `RUN` steps: `name:address`.
    #[serde(default)]
    extra_hosts: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Built {
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    steps: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The end of the log.
    log: Vec<String>,
}

impl Summary for Built {
    fn summary(&self) -> String {
        let steps = self.steps;
        match self.tags.first() {
            Some(tag) => format!("image \"{tag}\" ({}) was built in {steps} steps", self.id),
            None => format!("image {} was built in {steps} steps, without a name", self.id),
        }
    }
}

impl Tool for BuildImage {
    const NAME: &'static str = "build_image";
    /// Over `BuildKit`'s channel it would destroy, as no guard can look into that; the classic builder never does.
    const ACCESS: Access = Access::destroy(PERMISSION).down_to(Effect::Mutate);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Built;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.check(reading)?;
        // A secret that is missing ends the call before anything is sent.
        self.arguments(call)?;
        let context = Context::of(self, reading, call).await?;
        let mut plan = Plan::declared(Self::ACCESS).at_most(Effect::Mutate);
        let taken = context.taken(&self.build_args);
        Self::refuse_unseen(reading, &context, &taken)?;
        let mode = match self.network.as_deref() {
            None => None,
            Some(name @ ("host" | "none" | "bridge" | "default")) => Some(name.to_owned()),
            Some(name) => {
                let (object, mode) = if let Some(other) = name.strip_prefix("container:") {
                    let object = reading.container("network", other).await?;
                    let mode = format!("container:{}", object.id);
                    (object, mode)
                } else {
                    let object = reading.network("network", name).await?;
                    let mode = object.id.clone();
                    (object, mode)
                };
                plan = plan.on([object]);
                Some(mode)
            }
        };
        for tag in &self.tags {
            // What the name stands for until now.
            match reading.image("tags", &named(tag)).await {
                Ok(present) if plan.objects.iter().all(|known| known.id != present.id) => plan = plan.on([present]),
                Err(error) if error.kind() != Kind::NotFound => return Err(error),
                _ => {}
            }
        }
        let variables: Vec<String> = self.build_args.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body = json!({
            "HostConfig": {"NetworkMode": mode, "ExtraHosts": self.extra_hosts},
            "Labels": self.labels, "Env": variables, "Images": taken.images,
        });
        let names = self.tags.iter().map(|tag| named(tag)).chain(taken.images);
        names.fold(plan, Plan::using).sending(BodyKind::Build, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Built> {
        let mut context = Context::of(&self, docker, call).await?;
        let planned = &plan.sent::<Value>()?;
        let taken = context.taken(&self.build_args);
        if json!(taken.images) != planned.get("Images").cloned().unwrap_or_default() {
            return Err(Error::conflict("the Dockerfile has changed since the call was decided")
                .hint("make the call again: it is decided anew"));
        }
        let mode = planned.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
        let target = self.target(&context, mode, call)?;
        let registries = taken.images.iter().map(|image| Reference::of(image).registry());
        let target = Authorization::beside_build(target, registries, docker, call).await?;
        let mut log = Log::new(self.masks(docker, call)?);
        let built = match context.address() {
            Some(_) => docker.progress(target, IDLE).await,
            None => docker.upload(target, context.pack()?, IDLE).await,
        };
        let outcome = match built {
            Ok(steps) => follow(steps, &mut log, call).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| log.failed(&error))?;
        let id = log
            .image
            .take()
            .ok_or_else(|| log.failed(&Error::docker("the daemon ended the build without a word of what was built")))?;
        // Without a name it may be none that callers see.
        let image = match docker.image("image", &id).await {
            Ok(image) => Some(image),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Built {
            id: short_id(&id),
            tags: self.tags.iter().map(|tag| named(tag)).collect(),
            size: image.and_then(|image| image.fact("/Size").and_then(Value::as_u64)).map(bytes),
            steps: log.steps(),
            warnings: log.warnings,
            note: context.note(),
            log: log.tail.into(),
        })
    }
}

impl BuildImage {
    /// What can be said of the arguments before anything is looked at.
    fn check(&self, reading: &Docker) -> Result<()> {
        let refused = |argument: &str, what: &str, hint: &str| {
            Err(Error::invalid(format!("argument \"{argument}\" {what}")).hint(hint))
        };
        super::platform(self.platform.as_deref())?;
        if self.tags.len() > MOST_TAGS {
            return refused("tags", "has too many", "at most 20; tag_image gives more");
        }
        for tag in &self.tags {
            if Reference::of(names::image("tags", tag)?).digest.is_some() || names::is_image_id(tag) {
                return refused("tags", "has a digest or an id", "a name is registry, path and tag");
            }
        }
        for (argument, texts) in [("target", self.target.as_slice()), ("extra_hosts", self.extra_hosts.as_slice())] {
            if let Some(text) = texts.iter().find(|text| text.is_empty() || text.chars().any(odd)) {
                return refused(argument, &format!("has {}", quote(text)), "one word for each");
            }
        }
        if let Some(host) = self.extra_hosts.iter().find(|host| !host.contains(':')) {
            return refused("extra_hosts", &format!("has {}", quote(host)), "name:address, such as \"db:10.0.0.5\"");
        }
        for (name, value) in &self.build_args {
            if name.is_empty() || name.contains('=') || name.chars().any(odd) || value.contains('\0') {
                return refused(
                    "build_args",
                    &format!("has {}", quote(name)),
                    "a name without \"=\", a value without NUL",
                );
            }
            if value.starts_with(SCHEME) && reading.reveal().shows(name) {
                return refused(
                    "build_args",
                    &format!("has {}, which is shown to agents", quote(name)),
                    "give the secret to another",
                );
            }
        }
        for name in self.labels.keys() {
            if name.is_empty() || name.chars().any(char::is_control) {
                return refused("labels", &format!("has {}", quote(name)), "a name without control characters");
            }
        }
        Ok(())
    }

    /// The values for its `ARG`s, with the secrets that they name.
    fn arguments(&self, call: &Call) -> Result<BTreeMap<String, String>> {
        let value = |value: &String| match value.strip_prefix(SCHEME) {
            None => Ok(value.clone()),
            Some(secret) => call.secrets().named(secret).map(|secret| secret.expose().to_owned()),
        };
        self.build_args.iter().map(|(name, given)| Ok((name.clone(), value(given)?))).collect()
    }

    /// What must not be seen in the log: as in a container's, all values but harmless ones.
    fn masks(&self, docker: &Docker, call: &Call) -> Result<Masks> {
        let is_secret = |name: &str| self.build_args.get(name).is_some_and(|value| value.starts_with(SCHEME));
        let arguments = self.arguments(call)?;
        let hidden = arguments.iter().filter(|(name, _)| is_secret(name) || !docker.reveal().shows(name));
        Ok(Masks::default().with(hidden.map(|(_, value)| value)))
    }

    /// Refuses images that cannot be known before the build, where some must not be used.
    fn refuse_unseen(reading: &Docker, context: &Context, taken: &Taken) -> Result<()> {
        if reading.config().limits.images.is_open() {
            return Ok(());
        }
        let refused = |what: String| {
            Err(Error::denied(format!("{what}, and \"images\" in the configuration of the host allows only some"))
                .hint("name every image of the Dockerfile in full, in a context that is a directory"))
        };
        match taken.unclear.first() {
            _ if context.address().is_some() => {
                refused("what a fetched Dockerfile builds from is not known".to_owned())
            }
            Some(word) => refused(format!("which image {} of the Dockerfile stands for is not known", quote(word))),
            None => Ok(()),
        }
    }

    fn target(&self, context: &Context, mode: Option<&str>, call: &Call) -> Result<Target> {
        let object = |map: &BTreeMap<String, String>| json!(map).to_string();
        // Containers of the steps go, also where one fails.
        let mut target =
            Target::new("/build").query("rm", "1").query("forcerm", "1").query("dockerfile", context.dockerfile());
        let words = [("remote", context.address()), ("target", self.target.as_deref()), ("networkmode", mode)];
        for (name, value) in words.into_iter().chain([("platform", self.platform.as_deref())]) {
            if let Some(value) = value {
                target = target.query(name, value);
            }
        }
        for (name, is_set) in [("nocache", self.no_cache), ("pull", self.pull)] {
            if is_set {
                target = target.query(name, "1");
            }
        }
        for tag in &self.tags {
            target = target.query("t", named(tag));
        }
        for host in &self.extra_hosts {
            target = target.query("extrahosts", host);
        }
        if !self.labels.is_empty() {
            target = target.query("labels", object(&self.labels));
        }
        if !self.build_args.is_empty() {
            target = target.query("buildargs", object(&self.arguments(call)?));
        }
        Ok(target)
    }
}

/// Follows a build to its end.
async fn follow(mut steps: JsonLines, log: &mut Log, call: &Call) -> Result<()> {
    while let Some(told) = steps.next().await? {
        if let Some(error) = reason(&told) {
            return Err(error);
        }
        log.take(&told);
        call.progress(log.progress());
    }
    log.end();
    Ok(())
}

/// A name with the tag that it leaves out.
fn named(tag: &str) -> String {
    Reference::of(tag).of_one().to_string()
}

fn odd(character: char) -> bool {
    character.is_control() || character.is_whitespace()
}
