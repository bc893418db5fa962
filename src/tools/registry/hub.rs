//! Docker Hub beside its registry: tags with dates and sizes, repositories, the limit of pulls.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::names::quote,
    error::{Error, Result},
    registry::{Image, RateLimit},
    tool::{Call, HostlessTool, Summary, cursor::Cursor, text::count},
    tools::view::{bytes, clipped, few, flag, items, text, time},
};

/// The longest description that is shown.
const LONGEST: usize = 500;
/// The longest name that is shown.
const LONGEST_NAME: usize = 150;
/// How many platforms of a tag are shown.
const PLATFORMS: usize = 12;

/// An argument's image, which has to be on Docker Hub.
fn on_hub(text: &str) -> Result<Image> {
    let image = super::image(text)?;
    if image.registry() != "docker.io" {
        return Err(Error::invalid(format!("argument \"image\": {} is not on Docker Hub", quote(text)))
            .hint("registry_list_tags asks any registry"));
    }
    Ok(image)
}

/// `owner/name` as Docker Hub's site has it.
fn path(image: &Image) -> Result<String> {
    match image.repository().split('/').collect::<Vec<_>>()[..] {
        [_, _] => Ok(format!("repositories/{}", image.repository())),
        _ => Err(Error::invalid(format!(
            "argument \"image\": {} is no repository of Docker Hub",
            quote(image.repository())
        ))
        .hint("such as `nginx` or `owner/name`")),
    }
}

/// Lists the tags of a Docker Hub repository with date, size, digest, platforms.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubListTags {
    /// Repository, such as `owner/name`.
    image: String,
    /// Only tags that contain this.
    #[serde(default)]
    name: Option<String>,
    /// At most this many. Default: 20.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    limit: Option<usize>,
    /// From an answer; keep `limit`.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct HubTags {
    repository: String,
    tags: Vec<HubTag>,
    /// How many there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    /// Goes on after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
struct HubTag {
    tag: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<String>,
}

impl Summary for HubTags {
    fn summary(&self) -> String {
        let more = if self.cursor.is_some() { "; give the cursor for more" } else { "" };
        format!("{} of \"{}\"{more}", count(self.tags.len(), "tag"), self.repository)
    }
}

impl HostlessTool for HubListTags {
    const NAME: &'static str = "hub_list_tags";
    type Output = HubTags;

    async fn call(self, call: &Call) -> Result<HubTags> {
        let image = on_hub(&self.image)?;
        let position = self.cursor.as_ref().map(|cursor| call.cursors().open(cursor)).transpose()?;
        let number = position.and_then(|number| number.parse::<u32>().ok()).unwrap_or(1);
        let (page, size) = (number.to_string(), self.limit.unwrap_or(20).clamp(1, 100).to_string());
        let mut query = vec![("page", page.as_str()), ("page_size", size.as_str()), ("ordering", "last_updated")];
        query.extend(self.name.as_deref().map(|name| ("name", name)));
        let listed = call.registries().hub(&format!("{}/tags", path(&image)?), &query).await?;
        let has_more = listed.get("next").is_some_and(|next| !next.is_null());
        Ok(HubTags {
            repository: super::repository(&image),
            tags: items(&listed, "results").take(100).map(tag).collect(),
            total: listed.get("count").and_then(Value::as_u64),
            cursor: has_more.then(|| call.cursors().seal(&number.saturating_add(1).to_string())),
        })
    }
}

fn tag(document: &Value) -> HubTag {
    let platform = |image: &Value| {
        let parts = [text(image, "os"), text(image, "architecture"), text(image, "variant")];
        clipped(&parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"), LONGEST_NAME)
    };
    let is_real = |platform: &String| !platform.is_empty() && !platform.starts_with("unknown");
    HubTag {
        tag: clipped(text(document, "name"), LONGEST_NAME),
        updated: time(text(document, "last_updated")),
        size: document.get("full_size").and_then(Value::as_u64).map(bytes),
        digest: clipped(text(document, "digest"), LONGEST_NAME),
        platforms: few(items(document, "images").map(platform).filter(is_real).collect(), PLATFORMS),
    }
}

/// Shows a Docker Hub repository: description, stars, pulls, when it was last pushed to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubRepoInfo {
    /// Repository, such as `owner/name`.
    image: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct HubRepository {
    repository: String,
    description: String,
    /// Whether Docker itself curates it.
    official: bool,
    private: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stars: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pulls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<String>,
}

impl Summary for HubRepository {
    fn summary(&self) -> String {
        let official = if self.official { ", official" } else { "" };
        format!("\"{}\" on Docker Hub{official}", self.repository)
    }
}

impl HostlessTool for HubRepoInfo {
    const NAME: &'static str = "hub_repo_info";
    type Output = HubRepository;

    async fn call(self, call: &Call) -> Result<HubRepository> {
        let image = on_hub(&self.image)?;
        let told = call.registries().hub(&path(&image)?, &[]).await?;
        let number = |field: &str| told.get(field).and_then(Value::as_u64);
        Ok(HubRepository {
            repository: super::repository(&image),
            description: clipped(text(&told, "description"), LONGEST),
            official: image.repository().starts_with("library/"),
            private: flag(&told, "is_private"),
            stars: number("star_count"),
            pulls: number("pull_count"),
            updated: time(text(&told, "last_updated")),
            registered: time(text(&told, "date_registered")),
        })
    }
}

/// Shows how many pulls Docker Hub still lets the gateway make; asking costs none.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HubRateLimit {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Limit {
    /// How many in all; left out where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining: Option<u64>,
    /// The time that they are for, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u64>,
    /// `account` or `address`: whose limit it is. A host that pulls has its own address.
    of: &'static str,
}

impl Summary for Limit {
    fn summary(&self) -> String {
        match (self.remaining, self.limit) {
            (Some(remaining), Some(limit)) => format!("{remaining} of {limit} pulls are left"),
            _ => "Docker Hub tells of no limit".to_owned(),
        }
    }
}

impl HostlessTool for HubRateLimit {
    const NAME: &'static str = "hub_rate_limit";
    type Output = Limit;

    async fn call(self, call: &Call) -> Result<Limit> {
        let RateLimit { limit, remaining, window, account } = call.registries().rate_limit().await?;
        Ok(Limit { limit, remaining, window, of: if account { "account" } else { "address" } })
    }
}
