//! The images that the containers of a project were made of.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::project::{LONGEST, OneOff, members};
use crate::{
    docker::{Docker, names::quote},
    error::{Kind, Result},
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::{bytes, clipped, image, short_id, text, time},
};

/// How many rows a page has, where the call does not say.
const ROWS: usize = 50;

/// Lists the images of a compose project's containers: id, size, age.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeImages {
    /// Its name.
    project: String,
    /// Default: all.
    #[serde(default)]
    services: Vec<String>,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Images {
    images: Vec<Row>,
    #[serde(flatten)]
    page: Page,
    #[serde(skip)]
    project: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    service: String,
    /// How many containers.
    containers: usize,
    image: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
}

impl Summary for Images {
    fn summary(&self) -> String {
        let images = count(self.images.len(), "image");
        format!("{images} of project {}{}", quote(&self.project), self.page.rest())
    }
}

impl Tool for ComposeImages {
    const NAME: &'static str = "compose_images";
    const ACCESS: Access = Access::READ;
    type Output = Images;

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Images> {
        let members = members(docker, &self.project, &self.services, OneOff::Without).await?;
        let mut used: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
        for member in &members {
            let (name, id) = (member.container.image.as_str(), member.container.image_id.as_str());
            *used.entry((&member.service, name, id)).or_default() += 1;
        }
        let (mut rows, mut known) = (Vec::new(), BTreeMap::new());
        for ((service, name, id), containers) in used {
            if !known.contains_key(id) {
                known.insert(id, facts(docker, id).await?);
            }
            let facts = known.get(id).unwrap_or(&Value::Null);
            rows.push(Row {
                service: service.to_owned(),
                containers,
                image: clipped(&image(name), LONGEST),
                id: short_id(id),
                size: facts.get("Size").and_then(Value::as_u64).map(bytes),
                created: time(text(facts, "Created")),
            });
        }
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: ROWS, taken: 0 };
        let (images, page) = paged(rows, Row::key, wanted, call.cursors())?;
        Ok(Images { images, page, project: self.project })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.service, self.image, self.id)
    }
}

/// An image's document; nothing of one that is gone or does not exist for the caller.
async fn facts(docker: &Docker, id: &str) -> Result<Value> {
    match docker.image("image", id).await {
        Ok(image) => Ok(image.facts),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => Ok(Value::Null),
        Err(error) => Err(error),
    }
}
