//! The daemon itself: whether it answers, what it is, what it uses, what happened, and what it can do without.

mod disk_usage;
mod events;
mod info;
mod login;
mod prune;

use std::time::Instant;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::view::{self, fit};
use crate::{
    docker::{Docker, Target},
    error::Result,
    redact,
    tool::{
        Call, FleetTool, HostAnswer, HostStatus, Summary, Toolset, def, fleet, hostless, page::LONGEST_ANSWER,
        text::count,
    },
};

/// The toolset, which is also this folder's table of contents.
pub const SYSTEM: Toolset = Toolset {
    name: "system",
    about: "What a daemon is, what it uses on disk, what happened on it; clean-up.",
    tools: &[
        fleet::<Ping>,
        fleet::<Version>,
        fleet::<info::Info>,
        fleet::<disk_usage::DiskUsage>,
        fleet::<events::Events>,
        def::<prune::PruneSystem>,
        def::<prune::PruneBuildCache>,
        hostless::<login::Login>,
        hostless::<login::Logout>,
    ],
};

/// What is left for rows in an answer, beside statuses and summary.
const ROOM: usize = LONGEST_ANSWER - 4_000;

/// Asks whether the daemon answers, and how fast.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ping {}

#[derive(Serialize, JsonSchema)]
struct Pings {
    pings: Vec<Answered>,
    hosts: Vec<HostStatus>,
}

#[derive(Serialize, JsonSchema)]
struct Answered {
    host: String,
    latency_ms: f64,
}

impl Summary for Pings {
    fn summary(&self) -> String {
        format!("{} of {} answered", self.pings.len(), count(self.hosts.len(), "host"))
    }
}

impl FleetTool for Ping {
    const NAME: &'static str = "ping";
    type Part = Answered;
    type Output = Pings;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Answered> {
        let (connections, started) = (docker.dialled(), Instant::now());
        docker.ping().await?;
        let mut latency = started.elapsed();
        if docker.dialled() != connections {
            // Connecting is not what is measured.
            let started = Instant::now();
            docker.ping().await?;
            latency = started.elapsed();
        }
        let latency_ms = (latency.as_secs_f64() * 10_000.0).round() / 10.0;
        Ok(Answered { host: docker.host().to_owned(), latency_ms })
    }

    fn combine(self, answers: Vec<HostAnswer<Answered>>, _: &Call) -> Result<Pings> {
        let hosts = HostStatus::of(&answers);
        Ok(Pings { pings: parts(answers), hosts })
    }
}

/// Shows the versions of the engine, its API, its parts and its kernel.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Version {}

#[derive(Serialize, JsonSchema)]
struct Versions {
    versions: Vec<Engine>,
    hosts: Vec<HostStatus>,
}

#[derive(Serialize, JsonSchema)]
struct Engine {
    host: String,
    version: String,
    api: String,
    minimum_api: String,
    system: String,
    kernel: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    built: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    platform: String,
    /// Such as `containerd 1.6.20`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<String>,
}

impl Summary for Versions {
    fn summary(&self) -> String {
        let mut versions: Vec<&str> = self.versions.iter().map(|engine| engine.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        format!("{} with {}", count(self.versions.len(), "engine"), versions.join(", "))
    }
}

impl FleetTool for Version {
    const NAME: &'static str = "version";
    type Part = Engine;
    type Output = Versions;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Engine> {
        let document = docker.json(Target::new("/version")).await?;
        Ok(Engine::of(docker.host(), &document))
    }

    fn combine(self, answers: Vec<HostAnswer<Engine>>, _: &Call) -> Result<Versions> {
        let hosts = HostStatus::of(&answers);
        let mut versions = parts(answers);
        fit(&mut versions, &mut ROOM.clone());
        Ok(Versions { versions, hosts })
    }
}

impl Engine {
    fn of(host: &str, document: &Value) -> Self {
        let text = |field: &str| redact::shown(view::text(document, field));
        let components = document.get("Components").and_then(Value::as_array).into_iter().flatten();
        let components = components
            .map(|component| {
                redact::shown(&format!("{} {}", view::text(component, "Name"), view::text(component, "Version")))
            })
            .filter(|component| !component.starts_with("Engine "))
            .collect();
        let platform = document.get("Platform").map(|platform| redact::shown(view::text(platform, "Name")));
        Self {
            host: host.to_owned(),
            version: text("Version"),
            api: text("ApiVersion"),
            minimum_api: text("MinAPIVersion"),
            system: format!("{}/{}", text("Os"), text("Arch")),
            kernel: text("KernelVersion"),
            built: text("BuildTime"),
            platform: platform.unwrap_or_default(),
            components,
        }
    }
}

/// What the hosts that answered contributed.
fn parts<T>(answers: Vec<HostAnswer<T>>) -> Vec<T> {
    answers.into_iter().filter_map(|answer| answer.answer.ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_may_lack_anything() {
        let engine = Engine::of("local", &json!({"Version": "99", "Components": [{"Name": "runc"}, 7], "Os": null}));
        assert_eq!(engine.version, "99");
        assert_eq!(engine.components, ["runc ", " "]);
        assert_eq!(Engine::of("local", &Value::Null).system, "/");
    }
}
