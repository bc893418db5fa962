//! An image made of a container as it is now.

use std::time::Duration;

use bollard::{models::ContainerConfig, query_parameters::CommitContainerOptionsBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Result},
    tool::{Access, BodyKind, Call, Permission, Plan, Summary, Tool},
    tools::{body::arguments, pull::reference::Reference, view::short_id},
};

/// How long the copy of a large container may take.
const COPY: Duration = Duration::from_secs(600);

/// Makes an image of a container's files as they are now, secrets in them included.
///
/// Volumes are not part of it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitContainer {
    /// Name or id.
    container: String,
    /// The new image's reference.
    image: String,
    /// A note in its history.
    #[serde(default)]
    message: Option<String>,
    /// Who made it.
    #[serde(default)]
    author: Option<String>,
    /// Freezes the container meanwhile. Default: true.
    #[serde(default)]
    pause: Option<bool>,
    /// Dockerfile lines on top.
    #[serde(default)]
    changes: Vec<String>,
}

/// The new image.
#[derive(Serialize, JsonSchema)]
pub(super) struct Committed {
    image: String,
    id: String,
    container: String,
}

impl Summary for Committed {
    fn summary(&self) -> String {
        format!("image \"{}\" ({}) made of container \"{}\"", self.image, self.id, self.container)
    }
}

impl Tool for CommitContainer {
    const NAME: &'static str = "commit_container";
    const ACCESS: Access = Access::mutate(&[Permission::Images]);
    type Output = Committed;

    fn deadline(&self) -> Option<Duration> {
        Some(COPY)
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        names::image("image", &self.image)?;
        if self.image.contains('@') || self.image.starts_with("sha256:") {
            return Err(Error::invalid(format!("argument \"image\": {} is a digest", quote(&self.image)))
                .hint("give a name, with a tag if needed"));
        }
        arguments("message", self.message.as_slice())?;
        arguments("author", self.author.as_slice())?;
        if let Some(line) = self.changes.iter().find(|line| line.trim().is_empty() || line.contains(['\n', '\r', '\0']))
        {
            return Err(Error::invalid(format!("argument \"changes\": {} is not one line", quote(line)))
                .hint("one instruction for each entry, such as \"ENV A=b\""));
        }
        let plan = Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]);
        plan.using(self.image.as_str()).sending(BodyKind::Commit, &serde_json::json!({"Changes": self.changes}))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Committed> {
        let container = plan.object()?;
        let Reference { repository, tag, .. } = Reference::of(&self.image);
        let tag = tag.unwrap_or("latest");
        let options = CommitContainerOptionsBuilder::new()
            .container(&container.id)
            .repo(repository)
            .tag(tag)
            .comment(self.message.as_deref().unwrap_or_default())
            .author(self.author.as_deref().unwrap_or_default())
            .pause(self.pause.unwrap_or(true));
        // Engine 20.10 takes an empty list of changes for a Dockerfile without a line, and refuses it.
        let options = if self.changes.is_empty() { options } else { options.changes(&self.changes.join("\n")) };
        let options = options.build();
        let made = docker.typed().await?.commit_container(options, ContainerConfig::default()).await?;
        Ok(Committed {
            image: format!("{repository}:{tag}"),
            id: short_id(&made.id),
            container: container.name.clone(),
        })
    }
}
