//! Pulling an image, with the progress of its layers.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bollard::{models::CreateImageInfo, query_parameters::CreateImageOptionsBuilder};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PERMISSION, reference::Reference, unreached};
use crate::{
    docker::{
        Docker, Filters, Target,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    redact,
    tool::{Access, Call, Plan, Progress, Summary, Tool, text::count},
    tools::view::{bytes, short_id, text, texts},
};

/// How long a pull may take as a whole.
const DEADLINE: Duration = Duration::from_secs(600);
/// At most four reports of progress in a second.
const BETWEEN_REPORTS: Duration = Duration::from_millis(250);
/// How many tags an answer names.
const MOST_TAGS: usize = 100;

/// Pulls (downloads) an image from its registry.
///
/// A registry other than Docker Hub is part of the reference: `ghcr.io/owner/web:1.2`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PullImage {
    /// Reference with tag or digest; without one it is `latest`.
    image: String,
    /// Such as `linux/arm64`. Default: the host's own.
    #[serde(default)]
    platform: Option<String>,
    /// Every tag of the repository. Default: false.
    #[serde(default)]
    all_tags: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pulled {
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    /// Whether the host had it already.
    up_to_date: bool,
    /// What the repository has now, where all tags were pulled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Pulled {
    fn summary(&self) -> String {
        let image = &self.image;
        match (self.up_to_date, self.tags.len()) {
            (true, _) => format!("image \"{image}\" was up to date"),
            (false, 0) => format!("image \"{image}\" was pulled"),
            (false, tags) => format!("{} of \"{image}\" on the host", count(tags, "tag")),
        }
    }
}

impl PullImage {
    /// The reference with what it leaves out, after a check of its grammar.
    fn reference(&self) -> Result<Reference<'_>> {
        let mut reference = Reference::of(names::image("image", &self.image)?);
        if matches!(reference.repository, "sha256" | "sha512") {
            return Err(Error::invalid("argument \"image\" is an id").hint("an image is pulled by its reference"));
        }
        if self.all_tags && (reference.tag.is_some() || reference.digest.is_some()) {
            return Err(Error::invalid("argument \"all_tags\" and a tag or digest exclude each other")
                .hint("give the repository alone"));
        }
        if reference.digest.is_some() {
            // The engine looks at the digest only.
            reference.tag = None;
        } else if !self.all_tags {
            reference.tag.get_or_insert("latest");
        }
        Ok(reference)
    }

    fn platform(&self) -> Result<Option<&str>> {
        let fits = |platform: &str| {
            let parts: Vec<&str> = platform.split('/').collect();
            let plain = |part: &&str| {
                !part.is_empty() && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter))
            };
            platform.len() <= 64 && parts.len() <= 3 && parts.iter().all(plain)
        };
        match self.platform.as_deref() {
            Some(platform) if !fits(platform) => {
                Err(Error::invalid(format!("argument \"platform\": {} is none", quote(platform)))
                    .hint("os/architecture[/variant], such as \"linux/arm64\""))
            }
            platform => Ok(platform),
        }
    }
}

impl Tool for PullImage {
    const NAME: &'static str = "pull_image";
    const ACCESS: Access = Access::mutate(PERMISSION);
    const CORE: bool = true;
    const STOPPABLE: bool = true;
    type Output = Pulled;

    fn deadline(&self) -> Option<Duration> {
        Some(DEADLINE)
    }

    /// The object is what the name stands for until now, if anything.
    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.platform()?;
        let name = written(self.reference()?);
        let plan = Plan::declared(Self::ACCESS);
        if self.all_tags {
            return Ok(plan);
        }
        match reading.image("image", &name).await {
            Ok(present) => Ok(plan.on([present])),
            Err(error) if error.kind() == Kind::NotFound => Ok(plan),
            Err(error) => Err(error),
        }
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Pulled> {
        let reference = self.reference()?;
        let mut options = CreateImageOptionsBuilder::new().from_image(reference.repository);
        if let Some(tag) = reference.digest.or(reference.tag) {
            options = options.tag(tag);
        }
        if let Some(platform) = self.platform()? {
            options = options.platform(platform);
        }
        let typed = docker.typed().await?;
        let mut steps = typed.create_image(Some(options.build()), None, None);
        let mut layers = Layers::default();
        let mut reported = None::<Instant>;
        while let Some(step) = steps.next().await {
            let step = step.map_err(|error| unreached(error.into(), reference.registry()))?;
            layers.take(&step);
            if reported.is_none_or(|at| at.elapsed() >= BETWEEN_REPORTS) {
                reported = Some(Instant::now());
                call.progress(layers.progress());
            }
        }
        let name = written(reference);
        if self.all_tags {
            let tags = tags(docker, reference.repository).await?;
            let note = (tags.len() > MOST_TAGS).then(|| format!("{} in all", count(tags.len(), "tag")));
            let shown = tags.into_iter().take(MOST_TAGS).collect();
            return Ok(Pulled { tags: shown, note, ..Pulled::new(name, layers.up_to_date) });
        }
        let image = docker.image("image", &name).await?;
        let platform = format!("{}/{}", text(&image.facts, "Os"), text(&image.facts, "Architecture"));
        // Engine 20.10 takes an image of another platform without a word, where there is no other.
        let asked = self.platform.filter(|asked| *asked != platform && !asked.starts_with(&format!("{platform}/")));
        Ok(Pulled {
            id: Some(short_id(&image.id)),
            digest: layers.digest,
            size: image.fact("/Size").and_then(Value::as_u64).map(bytes),
            note: asked.map(|asked| format!("asked for {asked}, got {platform}")),
            platform: Some(platform),
            ..Pulled::new(name, plan.objects.iter().any(|present| present.id == image.id))
        })
    }
}

impl Pulled {
    fn new(image: String, up_to_date: bool) -> Self {
        Self { image, id: None, digest: None, platform: None, size: None, up_to_date, tags: Vec::new(), note: None }
    }
}

fn written(reference: Reference<'_>) -> String {
    let Reference { repository, tag, digest } = reference;
    match (tag, digest) {
        (_, Some(digest)) => format!("{repository}@{digest}"),
        (Some(tag), None) => format!("{repository}:{tag}"),
        (None, None) => repository.to_owned(),
    }
}

/// The tags that the host has of a repository.
async fn tags(docker: &Docker, repository: &str) -> Result<Vec<String>> {
    let filters = Filters::default().with("reference", [repository]);
    let listed = docker.json(Target::new("/images/json").filters(&filters)).await?;
    let images = listed.as_array().into_iter().flatten();
    let own = |name: &&str| Reference::of(name).repository == repository;
    let mut tags: Vec<String> =
        images.flat_map(|image| texts(image, "RepoTags").filter(own)).map(str::to_owned).collect();
    tags.sort();
    Ok(tags)
}

/// How far the layers of a pull have come.
#[derive(Default)]
struct Layers {
    /// From 0 (known) to 1 (unpacked): downloading is the first half, unpacking the second.
    done: HashMap<String, f64>,
    message: String,
    digest: Option<String>,
    up_to_date: bool,
}

impl Layers {
    fn take(&mut self, step: &CreateImageInfo) {
        let status = redact::plain(step.status.as_deref().unwrap_or_default());
        if let Some(digest) = status.strip_prefix("Digest: ") {
            self.digest = Some(digest.to_owned());
        }
        self.up_to_date |= status.starts_with("Status: Image is up to date");
        let detail = step.progress_detail.as_ref();
        let (current, total) = detail.map_or((0, 0), |detail| {
            (detail.current.unwrap_or_default().max(0), detail.total.unwrap_or_default().max(0))
        });
        #[expect(clippy::cast_precision_loss, reason = "a share of the way, not an account")]
        let share = if total > 0 { (current as f64 / total as f64).min(1.0) } else { 0.0 };
        let done = match status.as_str() {
            "Downloading" => share / 2.0,
            "Verifying Checksum" | "Download complete" => 0.5,
            "Extracting" => 0.5 + share / 2.0,
            "Pull complete" | "Already exists" => 1.0,
            "Pulling fs layer" | "Waiting" => 0.0,
            // A word that is not known is no progress of a layer.
            _ => {
                self.message = status;
                return;
            }
        };
        let Some(layer) = &step.id else { return };
        self.message = match (u64::try_from(current), u64::try_from(total)) {
            (Ok(current), Ok(total)) if total > 0 => {
                format!("{} {layer}: {} of {}", status.to_lowercase(), bytes(current), bytes(total))
            }
            _ => format!("{} {layer}", status.to_lowercase()),
        };
        // A layer that is fetched again never goes back.
        let known = self.done.entry(layer.clone()).or_default();
        *known = known.max(done);
    }

    fn progress(&self) -> Progress {
        #[expect(clippy::cast_precision_loss, reason = "an image has at most a few hundred layers")]
        let total = (!self.done.is_empty()).then_some(self.done.len() as f64);
        Progress { done: self.done.values().sum(), total, message: self.message.clone() }
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn pull(image: &str) -> PullImage {
        PullImage { image: image.to_owned(), platform: None, all_tags: false }
    }

    #[test]
    fn a_reference_without_a_tag_is_latest() {
        let digest = format!("a/b:1@sha256:{}", "0".repeat(64));
        for (image, expected) in [
            ("nginx", "nginx:latest"),
            ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
            ("a:2", "a:2"),
            (digest.as_str(), &digest.replace(":1@", "@")),
        ] {
            assert_eq!(written(pull(image).reference().unwrap()), expected);
        }
        assert_eq!(written(PullImage { all_tags: true, ..pull("nginx") }.reference().unwrap()), "nginx");
    }

    #[test]
    fn what_cannot_be_pulled_is_refused() {
        for image in ["sha256:0123456789ab", "a//b", "", "http://x/y"] {
            assert!(pull(image).reference().is_err(), "{image}");
        }
        assert!(PullImage { all_tags: true, ..pull("nginx:1") }.reference().is_err());
        for platform in ["", "linux/", "linux/a/b/c", "linux/amd64&x=1", "a b"] {
            assert!(PullImage { platform: Some(platform.to_owned()), ..pull("a") }.platform().is_err(), "{platform}");
        }
    }

    #[test]
    fn progress_never_goes_back() {
        let step = |status: &str, id: &str, current, total| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: Some(ProgressDetail { current: Some(current), total: Some(total) }),
            ..Default::default()
        };
        let mut layers = Layers::default();
        let mut done = Vec::new();
        for step in [
            step("Pulling from lab/base", "1", 0, 0),
            step("Pulling fs layer", "a", 0, 0),
            step("Already exists", "b", 0, 0),
            step("Downloading", "a", 5, 10),
            step("Downloading", "a", 1, 10),
            step("Extracting", "a", 5, 10),
            step("Pull complete", "a", 0, 0),
            step("Some word of the future", "a", -1, -1),
        ] {
            layers.take(&step);
            done.push(layers.progress().done);
        }
        assert_eq!(done, [0.0, 0.0, 1.0, 1.25, 1.25, 1.75, 2.0, 2.0]);
        assert_eq!(layers.progress().total, Some(2.0));
    }
}
