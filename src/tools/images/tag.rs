//! Tags: another name for an image.

use bollard::query_parameters::TagImageOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PERMISSION;
use crate::{
    docker::{Docker, names},
    error::{Error, Kind, Result},
    tool::{Access, Call, Plan, Summary, Tool},
    tools::{pull::reference::Reference, view::short_id},
};

/// Gives an image another name (tag). A name that another image has moves to this one.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TagImage {
    /// Reference or id.
    image: String,
    /// The new reference. Default tag: latest.
    tag: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Tagged {
    id: String,
    tag: String,
    /// The image that had the name before.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_from: Option<String>,
}

impl Summary for Tagged {
    fn summary(&self) -> String {
        match &self.taken_from {
            None => format!("image {} is \"{}\"", self.id, self.tag),
            Some(other) => format!("image {} is \"{}\", which was {other} before", self.id, self.tag),
        }
    }
}

impl Tool for TagImage {
    const NAME: &'static str = "tag_image";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Tagged;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        if Reference::of(names::image("tag", &self.tag)?).digest.is_some() {
            return Err(Error::invalid("argument \"tag\" has a digest").hint("a new name is registry, path and tag"));
        }
        Ok(Plan::declared(Self::ACCESS).on([reading.image("image", &self.image).await?]).using(self.tag.as_str()))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Tagged> {
        let image = plan.object()?;
        let Reference { repository, tag, .. } = Reference::of(&self.tag);
        let tag = tag.unwrap_or("latest");
        let name = format!("{repository}:{tag}");
        let taken_from = match docker.image("tag", &name).await {
            Ok(other) => Some(other.id).filter(|id| *id != image.id).map(|id| short_id(&id)),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => None,
            Err(error) => return Err(error),
        };
        let options = TagImageOptionsBuilder::new().repo(repository).tag(tag).build();
        docker.typed().await?.tag_image(&image.id, Some(options)).await?;
        Ok(Tagged { id: short_id(&image.id), tag: name, taken_from })
    }
}
