//! The list of images: one engine request for each host, and a second one only when unused ones are asked for.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, cursor::Cursor, page::Page, text::count},
    tools::{
        listing::{self, Labels},
        view::{bytes, clipped, filter, short_id, text, texts, timestamp},
    },
};

/// How many references a row shows; an image with more has more rows.
const REFERENCES: usize = 20;
/// The most characters of one reference.
const LONGEST: usize = 300;

/// Lists images: references, id, size, age.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListImages {
    /// Repository, reference or pattern, such as `ghcr.io/*/web:*`.
    #[serde(default)]
    reference: Option<String>,
    /// Without a tag; with false, with one.
    #[serde(default)]
    dangling: Option<bool>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Used by no container. Default: false.
    #[serde(default)]
    unused: bool,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    images: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    /// Tags; digests where there is no tag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    references: Vec<String>,
    id: String,
    size: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dangling: bool,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        let dangling = self.images.iter().filter(|row| row.dangling).count();
        let distinct: HashSet<(&str, &str)> = self.images.iter().map(|row| (&*row.host, &*row.id)).collect();
        format!("{}, {dangling} dangling{}", count(distinct.len(), "image"), self.page.rest())
    }
}

impl FleetTool for ListImages {
    const NAME: &'static str = "list_images";
    const CORE: bool = true;
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.reference.iter().try_for_each(|reference| filter("reference", reference))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label);
        let filters = labels
            .filters(Filters::default())
            .with("reference", &self.reference)
            .with("dangling", self.dangling.map(|dangling| dangling.to_string()));
        let listed = docker.json(Target::new("/images/json").filters(&filters)).await?;
        let used = if self.unused { used(docker).await? } else { HashSet::new() };
        let is_used = |image: &Value| {
            used.contains(text(image, "Id")) || texts(image, "RepoTags").any(|reference| used.contains(reference))
        };
        let images = listed.as_array().into_iter().flatten().filter(|image| labels.fit(image));
        Ok(images.filter(|image| !is_used(image)).flat_map(|image| rows(docker.host(), image)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (images, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { images, hosts, page })
    }
}

impl Row {
    /// Those without a reference come last.
    fn key(&self) -> String {
        format!("{}/{}/{}", self.host, self.references.first().map_or("~", String::as_str), self.id)
    }
}

fn rows(host: &str, image: &Value) -> Vec<Row> {
    let named = |field| -> Vec<String> {
        let references = texts(image, field).filter(|reference| !reference.starts_with("<none>"));
        references.map(|reference| clipped(reference, LONGEST)).collect()
    };
    let tags = named("RepoTags");
    let dangling = tags.is_empty();
    let mut references = if dangling { named("RepoDigests") } else { tags };
    if references.len() <= REFERENCES {
        return vec![row(host, image, references, dangling)];
    }
    references.sort_unstable();
    references.chunks(REFERENCES).map(|some| row(host, image, some.to_vec(), dangling)).collect()
}

fn row(host: &str, image: &Value, references: Vec<String>, dangling: bool) -> Row {
    Row {
        host: host.to_owned(),
        references,
        id: short_id(text(image, "Id")),
        size: bytes(image.get("Size").and_then(Value::as_u64).unwrap_or_default()),
        created: image.get("Created").and_then(Value::as_i64).and_then(timestamp),
        dangling,
    }
}

/// Ids and references of the images of all containers.
///
/// The reference counts beside the id: with containerd's image store the ids of a container's image
/// and of the list may be those of a platform's manifest and of the index above it.
async fn used(docker: &Docker) -> Result<HashSet<String>> {
    let containers = docker.json(Target::new("/containers/json").query("all", "1")).await?;
    let of = |container: &Value| ["ImageID", "Image"].map(|field| text(container, field).to_owned());
    Ok(containers.as_array().into_iter().flatten().flat_map(of).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_ways_of_having_no_tag_are_dangling() {
        let old = json!({"Id": "sha256:aa", "RepoTags": ["<none>:<none>"], "RepoDigests": ["<none>@<none>"]});
        let new =
            json!({"Id": "sha256:aa", "RepoTags": [], "RepoDigests": ["web@sha256:00"], "Size": 2048, "Future": {}});
        let pulled_by_digest = &rows("local", &new)[0];
        assert_eq!((pulled_by_digest.dangling, pulled_by_digest.references.len()), (true, 1));
        let row = &rows("local", &old)[0];
        assert_eq!((row.dangling, row.references.len(), row.id.as_str()), (true, 0, "aa"));
    }

    #[test]
    fn an_image_with_many_references_has_many_rows() {
        let tags: Vec<String> = (0..45).map(|number| format!("web:{number:02}")).collect();
        let rows = rows("local", &json!({"Id": "sha256:aa", "RepoTags": tags}));
        let shown: Vec<&String> = rows.iter().flat_map(|row| &row.references).collect();
        assert_eq!((rows.len(), shown.len()), (3, 45));
        assert!(rows.iter().map(Row::key).collect::<HashSet<_>>().len() == 3);
    }
}
