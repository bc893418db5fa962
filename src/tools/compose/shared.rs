//! What runs of compose have in common: what they tell, how they log in, what is there afterwards.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::{
    docker::{
        Docker,
        cli::{Cli, Source},
    },
    error::{Kind, Result},
    tool::{Call, Permission, Progress},
    tools::{
        authorization::Authorization,
        listing::labelled,
        project::{PROJECT, Rendered},
        pull::reference::Reference,
        view::{container_name, text},
    },
};

/// How much of what a run tells is kept, in bytes.
const KEPT: usize = 256 << 10;
/// The most containers that an answer names.
const MOST: usize = 100;

/// What a run tells, line by line: progress for whoever waits, and what became of its objects.
pub(super) struct Told<'a> {
    call: &'a Call,
    lines: Mutex<String>,
}

impl<'a> Told<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        Self { call, lines: Mutex::new(String::new()) }
    }

    pub(super) fn listener(&self) -> impl Fn(Source, &str) + Send + Sync {
        |_, line| {
            let line = line.trim();
            if !line.is_empty() {
                self.call.progress(Progress { message: line.to_owned(), ..Progress::default() });
            }
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() + line.len() < KEPT {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }

    pub(super) fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

/// The containers of a project, as the engine lists them.
pub(super) async fn containers(docker: &Docker, project: &str) -> Result<Vec<Value>> {
    labelled(docker, "/containers/json", PROJECT, project).await
}

/// The containers of a project, in a few words each.
pub(super) async fn state(docker: &Docker, project: &str) -> Result<Vec<String>> {
    let rows = containers(docker, project).await?;
    let mut lines: Vec<String> =
        rows.iter().map(|row| format!("{} {}", container_name(row), text(row, "Status"))).collect();
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
