//! Pushing an image to its registry, with the progress of its layers.

use std::{collections::HashMap, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PERMISSION;
use crate::{
    docker::{Docker, Filters, Target, names, reason},
    error::{Error, Kind, Result},
    redact,
    tool::{Access, Call, Course, LONGEST_JOB, Plan, Progress, Summary, Tool, text::count},
    tools::{
        authorization::Authorization,
        pull::{reference::Reference, unreached},
        view::{bytes, clipped, text, texts},
    },
};

/// How long a daemon may say nothing of a push: it waits for a registry.
const IDLE: Duration = Duration::from_secs(600);
/// How many layers are followed; no image has as many.
const MOST_LAYERS: usize = 2_000;
/// No id of a layer and no word that is understood is longer.
const LONGEST_WORD: usize = 200;
/// How many tags an answer names.
const MOST_TAGS: usize = 100;

/// Pushes (publishes) an image to the registry that its name begins with. It cannot be undone.
///
/// `tag_image` gives it that name first.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PushImage {
    /// Reference. Default tag: latest.
    image: String,
    /// Every tag of the host's. Default: false.
    #[serde(default)]
    all_tags: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pushed {
    image: String,
    registry: String,
    /// What the registry knows now, each with its digest.
    tags: Vec<Tag>,
    /// Layers that the registry did not have.
    layers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Tag {
    tag: String,
    digest: String,
}

impl Summary for Pushed {
    fn summary(&self) -> String {
        let tags = count(self.tags.len(), "tag");
        format!("{tags} of \"{}\" pushed to {}, {} of them new", self.image, self.registry, count(self.layers, "layer"))
    }
}

impl PushImage {
    /// The reference with what it leaves out, after a check of its grammar.
    fn reference(&self) -> Result<Reference<'_>> {
        let reference = Reference::of(names::image("image", &self.image)?);
        let refused = |what: &str, hint: &str| Err(Error::invalid(format!("argument \"image\" {what}")).hint(hint));
        if names::is_image_id(&self.image) || matches!(reference.repository, "sha256" | "sha512") {
            return refused("is an id", "an image is pushed by its reference; tag_image gives it one");
        }
        if reference.digest.is_some() {
            return refused("has a digest", "a registry makes the digest itself: name the image by its tag");
        }
        if self.all_tags && reference.tag.is_some() {
            return refused("has a tag, and \"all_tags\" is set", "give the repository alone");
        }
        Ok(if self.all_tags { reference } else { reference.of_one() })
    }
}

impl Tool for PushImage {
    const NAME: &'static str = "push_image";
    const ACCESS: Access = Access::destroy(PERMISSION);
    const COURSE: Option<Course> = Some(Course::Job);
    type Output = Pushed;

    fn deadline(&self) -> Option<Duration> {
        Some(LONGEST_JOB)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let reference = self.reference()?;
        let mut plan = Plan::declared(Self::ACCESS);
        if !self.all_tags {
            let name = reference.to_string();
            return Ok(plan.on([reading.image("image", &name).await?]).using(name));
        }
        let filters = Filters::default().with("reference", [reference.repository]);
        let listed = reading.json(Target::new("/images/json").filters(&filters)).await?;
        let images = listed.as_array().into_iter().flatten();
        let own = |name: &&str| Reference::of(name).repository == reference.repository;
        for name in images.flat_map(|image| texts(image, "RepoTags").filter(own)) {
            // One image may have several tags: an approval is for each of them.
            plan = plan.using(name);
            let image = reading.image("image", name).await?;
            if plan.objects.iter().all(|known| known.id != image.id) {
                plan = plan.on([image]);
            }
        }
        if plan.images.is_empty() {
            return Err(Error::not_found(format!("the host has no tag of {}", names::quote(reference.repository)))
                .hint("list_images shows what there is"));
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Pushed> {
        let reference = self.reference()?;
        let registry = reference.registry();
        let mut target = Target::new(format!("/images/{}/push", reference.repository));
        if let Some(tag) = reference.tag {
            target = target.query("tag", tag);
        }
        let (target, authorization) = Authorization::beside_push(target, registry, docker, call).await?;
        let failed = |error: Error| refused(authorization.explains(unreached(error, registry), registry));
        let mut steps = docker.progress(target, IDLE).await.map_err(failed)?;
        let mut layers = Layers::default();
        while let Some(step) = steps.next().await.map_err(failed)? {
            if let Some(error) = reason(&step) {
                return Err(failed(error));
            }
            layers.take(&step);
            call.progress(layers.progress());
        }
        if layers.tags.is_empty() {
            return Err(Error::docker("the daemon ended the push without a word of what the registry took")
                .hint("look at the registry before you repeat it"));
        }
        let all = layers.tags.len();
        layers.tags.truncate(MOST_TAGS);
        Ok(Pushed {
            image: reference.to_string(),
            registry: registry.to_owned(),
            layers: layers.new,
            tags: layers.tags,
            note: (all > MOST_TAGS).then(|| format!("{} in all", count(all, "tag"))),
        })
    }
}

/// What a registry refused is an error of the registry, and worth another look only after something has changed.
fn refused(error: Error) -> Error {
    if error.kind() == Kind::Docker && error.hint_text().is_none() {
        return error.hint("does the repository exist there, and may the gateway's account push to it?");
    }
    error
}

/// How far the layers of a push have come, and what the registry took.
#[derive(Default)]
struct Layers {
    done: HashMap<String, f64>,
    message: String,
    new: usize,
    tags: Vec<Tag>,
}

impl Layers {
    fn take(&mut self, step: &Value) {
        if let Some(taken) = step.get("aux").filter(|aux| aux.get("Digest").is_some()) {
            let word = |field| clipped(&redact::plain(text(taken, field)), LONGEST_WORD);
            if self.tags.len() < MOST_LAYERS {
                self.tags.push(Tag { tag: word("Tag"), digest: word("Digest") });
            }
            return;
        }
        let status = clipped(&redact::plain(text(step, "status")), LONGEST_WORD);
        let number = |pointer: &str| step.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let (current, total) = (number("/progressDetail/current"), number("/progressDetail/total"));
        #[expect(clippy::cast_precision_loss, reason = "a share of the way, not an account")]
        let share = if total > 0 { (current as f64 / total as f64).min(1.0) } else { 0.0 };
        let done = match status.as_str() {
            "Preparing" | "Waiting" => 0.0,
            "Pushing" => share,
            "Pushed" | "Layer already exists" => 1.0,
            mounted if mounted.starts_with("Mounted from") => 1.0,
            // A word that is not known is no progress of a layer.
            _ => {
                self.message = status;
                return;
            }
        };
        let layer = text(step, "id");
        let is_known = self.done.contains_key(layer);
        if layer.is_empty() || layer.len() > LONGEST_WORD || (!is_known && self.done.len() >= MOST_LAYERS) {
            return;
        }
        self.new += usize::from(status == "Pushed");
        self.message = if total > 0 {
            format!("{} {layer}: {} of {}", status.to_lowercase(), bytes(current), bytes(total))
        } else {
            format!("{} {layer}", status.to_lowercase())
        };
        let known = self.done.entry(layer.to_owned()).or_default();
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
    use serde_json::json;

    use super::*;

    fn asked(image: &str, all_tags: bool) -> PushImage {
        PushImage { image: image.to_owned(), all_tags }
    }

    #[test]
    fn only_names_are_pushed() {
        let named =
            |image: &str, all_tags| asked(image, all_tags).reference().map(|reference| reference.to_string()).ok();
        assert_eq!(named("127.0.0.1:5000/a", false).as_deref(), Some("127.0.0.1:5000/a:latest"));
        assert_eq!(named("127.0.0.1:5000/a:1", false).as_deref(), Some("127.0.0.1:5000/a:1"));
        assert_eq!(named("127.0.0.1:5000/a", true).as_deref(), Some("127.0.0.1:5000/a"));
        let digest = format!("a@sha256:{}", "0".repeat(64));
        for (image, all_tags) in
            [("sha256:0123456789ab", false), (&"a".repeat(64), false), (&digest, false), ("a:1", true)]
        {
            assert_eq!(named(image, all_tags), None, "{image}");
        }
    }

    #[test]
    fn what_the_registry_took_is_told_and_layers_never_go_back() {
        let step = |status: &str, id: &str, current: u64, total: u64| json!({"id": id, "status": status, "progressDetail": {"current": current, "total": total}});
        let mut layers = Layers::default();
        let mut done = Vec::new();
        for step in [
            json!({"status": "The push refers to repository [127.0.0.1:5000/a]"}),
            step("Preparing", "a", 0, 0),
            step("Layer already exists", "b", 0, 0),
            step("Pushing", "a", 5, 10),
            step("Pushing", "a", 1, 10),
            step("Pushed", "a", 0, 0),
            json!({"status": "1: digest: sha256:00 size: 500"}),
            json!({"progressDetail": {}, "aux": {"Tag": "1", "Digest": "sha256:00", "Size": 500}}),
        ] {
            layers.take(&step);
            done.push(layers.progress().done);
        }
        assert_eq!(done, [0.0, 0.0, 1.0, 1.5, 1.5, 2.0, 2.0, 2.0]);
        assert_eq!((layers.new, layers.tags.len(), layers.tags[0].digest.as_str()), (1, 1, "sha256:00"));
    }
}
