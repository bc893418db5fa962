//! Waiting for the end of services, and how they ended; a time-out is an answer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::project::{OneOff, members, objects, short};
use crate::{
    docker::{Docker, names::quote},
    error::{Kind, Result},
    tool::{Access, Call, Object, Plan, Summary, Tool, text::count},
    tools::{
        outcome,
        view::{clipped, text},
    },
};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Waits until the containers of compose services have exited: their exit codes.
///
/// At a time-out `met` is false.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposeWait {
    /// Its name.
    project: String,
    /// Which ones.
    #[schemars(length(min = 1))]
    services: Vec<String>,
    /// Seconds at most. Default: 40.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    timeout: Option<u32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Waited {
    met: bool,
    seconds: u64,
    containers: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Row {
    /// Service and number.
    container: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
}

impl Row {
    fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "exited" | "dead" | "removed")
    }
}

impl Summary for Waited {
    fn summary(&self) -> String {
        let failed: Vec<String> =
            self.containers.iter().filter(|row| row.exit_code.is_some_and(|code| code != 0)).map(code).collect();
        let failed = if failed.is_empty() { String::new() } else { format!("; failed: {}", failed.join(", ")) };
        let ended = self.containers.iter().filter(|row| row.has_ended()).count();
        let how = if self.met { "met" } else { "not met" };
        let of = count(self.containers.len(), "container");
        format!("{how} after {} s: {ended} of {of} ended{failed}", self.seconds)
    }
}

fn code(row: &Row) -> String {
    format!("{} ({})", quote(&row.container), row.exit_code.unwrap_or_default())
}

impl Tool for ComposeWait {
    const NAME: &'static str = "compose_wait";
    const ACCESS: Access = Access::READ;
    type Output = Waited;

    fn deadline(&self) -> Option<Duration> {
        // The first look may have to connect.
        Some(self.timeout() + Duration::from_secs(20))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("services", &self.services)?;
        let members = members(reading, &self.project, &self.services, OneOff::Without).await?;
        Ok(Plan::declared(Self::ACCESS).on(objects(reading, &members).await?))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Waited> {
        let started = Instant::now();
        let end = started + self.timeout();
        let all = async {
            let mut containers = Vec::new();
            // All have to end, so it does not matter which is waited for first.
            for container in &plan.objects {
                containers.push(ended(docker, container, end).await);
            }
            containers
        };
        let containers = call.timed(all, self.timeout(), "waits for the services to end").await;
        let met = containers.iter().all(Row::has_ended);
        Ok(Waited { met, seconds: started.elapsed().as_secs(), containers })
    }
}

impl ComposeWait {
    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout.unwrap_or(40)))
    }
}

/// Waits in the daemon for the end of a container, so that nothing is missed.
async fn ended(docker: &Docker, container: &Object, end: Instant) -> Row {
    let name = short(container);
    let mut seen = seen(&name, container);
    loop {
        if seen.has_ended() || Instant::now() >= end {
            return seen;
        }
        if !matches!(seen.state.as_str(), "created" | "removing") {
            match timeout_at(end, docker.wait(&container.id, "not-running")).await {
                Ok(Ok(exit_code)) => return Row { state: "exited".to_owned(), exit_code, ..seen },
                // A proxy in front of the engine may refuse it, or it is gone: then looking has to do.
                Ok(Err(_)) => {}
                Err(_) => return seen,
            }
        }
        sleep_until(end.min(Instant::now() + PAUSE)).await;
        match timeout_at(end, docker.container("project", &container.id)).await {
            Ok(Ok(found)) => seen = self::seen(&name, &found),
            Ok(Err(error)) if error.kind() == Kind::NotFound => "removed".clone_into(&mut seen.state),
            _ => {}
        }
    }
}

fn seen(name: &str, container: &Object) -> Row {
    let state = container.fact("/State").cloned().unwrap_or_default();
    let mut row = Row { container: name.to_owned(), state: clipped(text(&state, "Status"), 50), exit_code: None };
    row.exit_code = state.get("ExitCode").and_then(Value::as_i64).filter(|_| row.has_ended());
    row
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    #[test]
    fn only_what_has_ended_has_an_exit_code() {
        let container = |status: &str| {
            let facts = json!({"State": {"Status": status, "ExitCode": 3}});
            Object::listed(ObjectKind::Container, "0".into(), "x".into(), facts)
        };
        for (status, ended) in [("exited", true), ("dead", true), ("running", false), ("created", false)] {
            let row = seen("web-1", &container(status));
            assert_eq!((row.has_ended(), row.exit_code.is_some()), (ended, ended), "{status}");
        }
        let waited = Waited { met: true, seconds: 2, containers: vec![seen("web-1", &container("exited"))] };
        assert_eq!(waited.summary(), "met after 2 s: 1 of 1 container ended; failed: \"web-1\" (3)");
    }
}
