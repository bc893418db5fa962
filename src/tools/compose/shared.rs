//! What runs of compose have in common: which project they are about, how they log in, what is there afterwards.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, cli::Cli},
    error::{Kind, Result},
    tool::{Call, Permission},
    tools::{
        authorization::Authorization,
        project::{Definition, Rendered, containers},
        pull::reference::Reference,
        view::text,
    },
};

/// The most containers that an answer names.
const MOST: usize = 100;

/// Which project is meant, and what of it.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub(super) struct Chosen {
    /// Default: as the files say.
    #[serde(default)]
    project: Option<String>,
    #[serde(flatten)]
    definition: Definition,
    /// Profiles to enable.
    #[serde(default)]
    profiles: Vec<String>,
}

impl Chosen {
    /// The project, put together and checked.
    ///
    /// # Errors
    /// As [`Definition::rendered`].
    pub(super) async fn rendered(&self, docker: &Docker, call: &Call) -> Result<Rendered> {
        self.definition.rendered(self.project.as_deref(), &self.profiles, docker, call).await
    }
}

/// A run with the credentials for the registries of these images, and what is to be said where some are missing.
pub(super) async fn logins<'a>(
    cli: Cli,
    images: impl Iterator<Item = &'a str>,
    docker: &Docker,
    call: &Call,
) -> (Cli, Vec<String>) {
    let registries: Vec<String> = images.map(|image| Reference::of(image).registry().to_owned()).collect();
    let registries = registries.iter().map(String::as_str);
    let (logins, notes) = Authorization::logins(registries, false, docker, call).await;
    (logins.into_iter().fold(cli, Cli::login), notes)
}

/// The containers of a project, in a few words each.
pub(super) async fn state(docker: &Docker, project: &str) -> Result<Vec<String>> {
    let rows = containers::of(docker, project).await?;
    let mut lines: Vec<String> = rows.iter().map(|row| format!("{} {}", row.name, row.status)).collect();
    lines.sort();
    lines.truncate(MOST);
    Ok(lines)
}

/// What is needed beside the containers, by what of a project is not there yet: its networks, volumes and images.
pub(super) async fn missing_parts(rendered: &Rendered, reading: &Docker) -> Result<Vec<Permission>> {
    let mut needed = Vec::new();
    for (kind, permission) in [("networks", Permission::Networks), ("volumes", Permission::Volumes)] {
        let own = rendered.document.get(kind).and_then(Value::as_object).into_iter().flatten();
        for (_, one) in own {
            let name = text(one, "name");
            let found = match kind {
                _ if name.is_empty() || one.get("external").is_some() => continue,
                "networks" => reading.network(kind, name).await,
                _ => reading.volume(kind, name).await,
            };
            match found {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::NotFound => {
                    needed.push(permission);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
    }
    if lacks_images(rendered.images(), reading).await? {
        needed.push(Permission::Images);
    }
    Ok(needed)
}

/// Whether an image is not there yet.
pub(super) async fn lacks_images(images: impl Iterator<Item = &str>, reading: &Docker) -> Result<bool> {
    for image in images {
        match reading.image("image", image).await {
            Ok(_) => {}
            Err(error) if error.kind() == Kind::NotFound => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
