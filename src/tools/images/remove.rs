//! Removing images: a name that was given loses that name only, an id loses all of them.

use bollard::query_parameters::RemoveImageOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, target::target};
use crate::{
    docker::Docker,
    error::{Error, Kind, Result},
    tool::{Access, Call, Plan, Summary, Tool, text::count},
    tools::{outcome, view::short_id},
};

/// Removes images.
///
/// By reference it loses that name, and goes with its last one; by id it goes as a whole. One that a running container
/// uses is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveImage {
    /// References or ids.
    #[schemars(length(min = 1, max = 200))]
    images: Vec<String>,
    /// Also with several names, or used by stopped ones. Default: false.
    #[serde(default)]
    force: bool,
    /// Keeps untagged parent images. Default: false.
    #[serde(default)]
    no_prune: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Removed {
    results: Vec<Removal>,
}

#[derive(Serialize, JsonSchema)]
struct Removal {
    /// What was asked for.
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// `deleted`, `untagged`, or the kind of the error.
    result: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    untagged: Vec<String>,
    /// How many images and layers are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Summary for Removed {
    fn summary(&self) -> String {
        let number = |result: &str| self.results.iter().filter(|removal| removal.result == result).count();
        let failed = self.results.iter().filter(|removal| removal.error.is_some()).count();
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        format!("{} deleted, {} untagged{failed}", count(number("deleted"), "image"), number("untagged"))
    }
}

impl Tool for RemoveImage {
    const NAME: &'static str = "remove_image";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Removed;

    /// Not [`Plan::resolve`], which takes two names of one image for the same object.
    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("images", &self.images)?;
        let mut plan = Plan::declared(Self::ACCESS);
        let mut targets = Vec::new();
        for name in &self.images {
            let found = reading.image("images", name).await.and_then(|image| Ok((target("images", &image)?, image)));
            match found {
                Ok((target, _)) if targets.contains(&target) => {}
                Ok((target, image)) => {
                    targets.push(target);
                    plan.objects.push(image);
                }
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict) && self.images.len() > 1 => {
                    plan.missing.push((name.clone(), error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(plan)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Removed> {
        let typed = docker.typed().await?;
        let single = self.images.len() == 1;
        let mut results = Vec::new();
        for image in plan.objects {
            let options = RemoveImageOptionsBuilder::new().force(self.force).noprune(self.no_prune).build();
            match typed.remove_image(&target("images", &image)?, Some(options), None).await.map_err(Error::from) {
                Ok(steps) => {
                    let deleted = steps.iter().filter(|step| step.deleted.is_some()).count();
                    results.push(Removal {
                        image: image.asked,
                        id: Some(short_id(&image.id)),
                        result: if deleted > 0 { "deleted" } else { "untagged" }.to_owned(),
                        untagged: steps.into_iter().filter_map(|step| step.untagged).collect(),
                        deleted: (deleted > 0).then_some(deleted),
                        error: None,
                    });
                }
                Err(error) if single => return Err(error),
                Err(error) => results.push(Removal::failed(image.asked, Some(short_id(&image.id)), &error)),
            }
        }
        results.extend(plan.missing.into_iter().map(|(name, error)| Removal::failed(name, None, &error)));
        Ok(Removed { results })
    }
}

impl Removal {
    fn failed(image: String, id: Option<String>, error: &Error) -> Self {
        let (result, error) = (error.kind().as_str().to_owned(), Some(error.to_string()));
        Self { image, id, result, untagged: Vec::new(), deleted: None, error }
    }
}
