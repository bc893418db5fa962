//! Pulling an image, with the progress of its layers.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PERMISSION;
use crate::{
    docker::{Docker, Filters, Target, names},
    error::{Error, Kind, Result},
    tool::{Access, Call, Course, LONGEST_JOB, Plan, Summary, Tool, text::count},
    tools::{
        pull::{pull, reference::Reference},
        view::{bytes, short_id, text, texts},
    },
};

/// How many tags an answer names.
const MOST_TAGS: usize = 100;

/// Pulls (downloads) an image from its registry.
///
/// Of another registry: `ghcr.io/owner/web:1.2`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PullImage {
    /// Reference. Default tag: latest.
    image: String,
    /// Such as `linux/arm64`. Default: the host's own.
    #[serde(default)]
    platform: Option<String>,
    /// Every tag. Default: false.
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
        let reference = Reference::of(names::image("image", &self.image)?);
        if matches!(reference.repository, "sha256" | "sha512") {
            return Err(Error::invalid("argument \"image\" is an id").hint("an image is pulled by its reference"));
        }
        if self.all_tags && (reference.tag.is_some() || reference.digest.is_some()) {
            return Err(Error::invalid("argument \"all_tags\" and a tag or digest exclude each other")
                .hint("give the repository alone"));
        }
        Ok(if self.all_tags { reference } else { reference.of_one() })
    }

    fn platform(&self) -> Result<Option<&str>> {
        super::platform(self.platform.as_deref())
    }
}

impl Tool for PullImage {
    const NAME: &'static str = "pull_image";
    const ACCESS: Access = Access::mutate(PERMISSION);
    const CORE: bool = true;
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Pulled;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    /// The object is what the name stands for until now, if anything.
    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.platform()?;
        let name = self.reference()?.to_string();
        let plan = Plan::declared(Self::ACCESS).using(name.as_str());
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
        let pulled = pull(docker, reference, self.platform()?, call).await?;
        let name = reference.to_string();
        if self.all_tags {
            let tags = tags(docker, reference.repository).await?;
            let note = (tags.len() > MOST_TAGS).then(|| format!("{} in all", count(tags.len(), "tag")));
            let shown = tags.into_iter().take(MOST_TAGS).collect();
            return Ok(Pulled { tags: shown, note, ..Pulled::new(name, pulled.up_to_date) });
        }
        let image = docker.image("image", &name).await?;
        let platform = format!("{}/{}", text(&image.facts, "Os"), text(&image.facts, "Architecture"));
        // Engine 20.10 takes an image of another platform without a word, where there is no other.
        let asked = self.platform.filter(|asked| *asked != platform && !asked.starts_with(&format!("{platform}/")));
        Ok(Pulled {
            id: Some(short_id(&image.id)),
            digest: pulled.digest,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(image: &str) -> PullImage {
        PullImage { image: image.to_owned(), platform: None, all_tags: false }
    }

    #[test]
    fn all_tags_are_asked_for_by_the_repository_alone() {
        assert_eq!(asked("nginx").reference().unwrap().to_string(), "nginx:latest");
        assert_eq!(PullImage { all_tags: true, ..asked("nginx") }.reference().unwrap().to_string(), "nginx");
    }

    #[test]
    fn what_cannot_be_pulled_is_refused() {
        for image in ["sha256:0123456789ab", "a//b", "", "http://x/y"] {
            assert!(asked(image).reference().is_err(), "{image}");
        }
        assert!(PullImage { all_tags: true, ..asked("nginx:1") }.reference().is_err());
        for platform in ["", "linux/", "linux/a/b/c", "linux/amd64&x=1", "a b"] {
            assert!(PullImage { platform: Some(platform.to_owned()), ..asked("a") }.platform().is_err(), "{platform}");
        }
    }
}
