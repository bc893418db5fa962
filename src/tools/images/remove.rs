//! Removing images: a name that was given loses that name only, an id loses all of them.

use bollard::query_parameters::RemoveImageOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PERMISSION;
use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    tool::{Access, Call, Object, Plan, Summary, Tool, text::count},
    tools::{
        outcome,
        pull::reference::Reference,
        view::{short_id, texts},
    },
};

/// Removes images.
///
/// By reference the image loses that name, and goes with its last one; by id it goes as a whole,
/// which needs `force` where it has several names. One that a running container uses is refused.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveImage {
    /// References or ids.
    #[schemars(length(min = 1, max = 200))]
    images: Vec<String>,
    /// Also with several names, or used by stopped containers. Default: false.
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
            let found = reading.image("images", name).await.and_then(|image| Ok((target(&image)?, image)));
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
            match typed.remove_image(&target(&image)?, Some(options), None).await.map_err(Error::from) {
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

/// What the request names.
///
/// Elsewhere a request carries the full id. Here the id would mean more than was asked for: the
/// engine deletes an image by id together with all its names (with `force`) or refuses (without),
/// but by reference it takes away that one name. So a caller who wrote a reference gets exactly
/// that reference, as the resolved image itself lists it; a caller who wrote an id gets the full
/// id. A name that moves to another image in between is the price: the engine has no request that
/// names both.
fn target(image: &Object) -> Result<String> {
    let asked = Reference::of(&image.asked).canonical();
    let mut known = texts(&image.facts, "RepoTags").chain(texts(&image.facts, "RepoDigests"));
    if let Some(reference) = known.find(|known| Reference::of(known).canonical() == asked) {
        return names::image("images", reference).map(str::to_owned);
    }
    let digits = |id: &str| id.strip_prefix("sha256:").unwrap_or(id).to_owned();
    if digits(&image.id).starts_with(&digits(&image.asked)) {
        return Ok(image.id.clone());
    }
    Err(Error::conflict(format!("{} is neither a name nor the id of the image that it leads to", quote(&image.asked)))
        .hint("name it by one of its references or by its id; list_images shows them"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    fn asked(text: &str) -> Result<String> {
        let facts = json!({"RepoTags": ["nginx:latest", "127.0.0.1:5000/web:1"], "RepoDigests": ["nginx@sha256:0a"]});
        let image = Object::listed(ObjectKind::Image, "sha256:ec27ff71eefe".into(), "nginx:latest".into(), facts);
        target(&Object { asked: text.to_owned(), ..image })
    }

    #[test]
    fn a_reference_takes_away_that_name_only() {
        assert_eq!(asked("nginx").unwrap(), "nginx:latest");
        assert_eq!(asked("docker.io/library/nginx:latest").unwrap(), "nginx:latest");
        assert_eq!(asked("127.0.0.1:5000/web:1").unwrap(), "127.0.0.1:5000/web:1");
        // The grammar of a digest is checked again, and this one is too short.
        assert!(asked("nginx@sha256:0a").is_err());
    }

    #[test]
    fn an_id_means_the_whole_image() {
        for id in ["sha256:ec27ff71eefe", "ec27ff71eefe", "ec27"] {
            assert_eq!(asked(id).unwrap(), "sha256:ec27ff71eefe", "{id}");
        }
        assert_eq!(asked("other:1").unwrap_err().kind(), Kind::Conflict);
    }
}
