//! Search on Docker Hub, which the daemon asks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Filters, Target},
    error::{Error, Kind, Result},
    redact,
    tool::{Access, Call, Plan, Summary, Tool, text::count},
    tools::{
        pull::{reference::Reference, unreached},
        view::{clipped, filter, flag, text},
    },
};

/// How long the daemon may take to ask the internet.
const PATIENCE: Duration = Duration::from_secs(25);
/// The longest description that is shown.
const LONGEST: usize = 150;

/// Searches Docker Hub for images by name and description, from the host.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchImages {
    /// What to look for; no registry.
    term: String,
    /// At most this many. Default: 25.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u32>,
    /// Only official images. Default: false.
    #[serde(default)]
    official: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Found {
    images: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    name: String,
    stars: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    official: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
}

impl Summary for Found {
    fn summary(&self) -> String {
        format!("{} found on Docker Hub", count(self.images.len(), "image"))
    }
}

impl Tool for SearchImages {
    const NAME: &'static str = "search_images";
    const ACCESS: Access = Access::READ;
    type Output = Found;

    async fn plan(&self, _: &Docker, _: &Call) -> Result<Plan> {
        filter("term", &self.term)?;
        // The daemon would connect to a registry in the term; the guard refuses that too.
        if Reference::of(&self.term).registry() != "docker.io" || self.term.contains("://") {
            return Err(Error::invalid("argument \"term\" names a registry")
                .hint("only Docker Hub is searched: leave the registry out"));
        }
        Ok(Plan::declared(Self::ACCESS))
    }

    async fn call(self, docker: &Docker, _: Plan, _: &Call) -> Result<Found> {
        let filters = Filters::default().with("is-official", self.official.then_some("true"));
        let target = Target::new("/images/search")
            .query("term", &self.term)
            .query("limit", self.limit.unwrap_or(25).to_string())
            .filters(&filters)
            .patient(PATIENCE);
        let found = docker.json(target).await.map_err(|error| match error.kind() {
            Kind::Timeout => Error::timeout("the daemon got no answer from Docker Hub in time")
                .hint("the host may have no way to the internet; do not repeat it at once"),
            _ => unreached(error, "docker.io"),
        })?;
        Ok(Found { images: found.as_array().into_iter().flatten().map(row).collect() })
    }
}

fn row(image: &Value) -> Row {
    Row {
        name: redact::shown(text(image, "name")),
        stars: image.get("star_count").and_then(Value::as_u64).unwrap_or_default(),
        official: flag(image, "is_official"),
        description: clipped(text(image, "description"), LONGEST),
    }
}
