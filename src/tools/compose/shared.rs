//! What runs of compose have in common: what they tell, how they log in, what is there afterwards.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::{
    docker::{
        Docker, Filters, Target,
        cli::{Cli, Source},
    },
    error::Result,
    tool::{Call, Progress},
    tools::{
        authorization::Authorization,
        project::PROJECT,
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
    let filters = Filters::default().with("label", [format!("{PROJECT}={project}")]);
    let rows = docker.json(Target::new("/containers/json").query("all", "1").filters(&filters)).await?;
    Ok(match rows {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    })
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
