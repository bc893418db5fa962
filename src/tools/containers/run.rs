//! New containers: made only, or made and started, or watched to their end.

use std::time::Duration;

use bollard::query_parameters::StartContainerOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::body::{Made, NewContainer, remains};
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Kind, Result},
    tool::{Access, Answer, Call, Json, Object, Output, Permission, Plan, Summary, Tool, schema, text},
    tools::{
        logs::last_lines,
        output::Transcript,
        redaction::told,
        view::{short_id, text as field},
    },
};

const ACCESS: Access =
    Access::mutate(&[Permission::Create]).sometimes(Permission::Images).sometimes(Permission::Networks);
/// What making and starting may take.
const WRITE: u64 = 60;
/// What a pull may take beside.
const PULL: u64 = 600;
/// The longest wait for the end of a container, in seconds.
const LONGEST_WAIT: u32 = 600;
/// When a new container is looked at: most failures to start show by then.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// How much output of a container that was waited for is shown.
const OUTPUT: usize = 8_000;

/// Runs a new container from an image, detached; `wait` answers output and exit code.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct RunContainer {
    #[serde(flatten)]
    new: NewContainer,
    /// Seconds to wait for its end.
    #[serde(default)]
    wait: Option<u32>,
}

/// Creates a container from an image without starting it.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct CreateContainer {
    #[serde(flatten)]
    new: NewContainer,
}

/// A new container.
#[derive(Serialize, JsonSchema)]
pub(super) struct Created {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Summary for Created {
    fn summary(&self) -> String {
        format!("container \"{}\" created; start_container starts it", self.name)
    }
}

/// A new container that was started.
#[derive(Serialize, JsonSchema)]
pub(super) struct Started {
    name: String,
    id: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    output: String,
    #[serde(skip)]
    said: String,
}

impl Output for Started {
    fn schema() -> Option<Json> {
        Some(schema::output(Self::json_schema))
    }

    /// The output keeps its lines in the text, fenced.
    fn answer(mut self, host: Option<&str>) -> Result<Answer> {
        let write = |value: &Self| match serde_json::to_value(value) {
            Ok(Value::Object(fields)) => {
                let host = host.map(|host| ("host".to_owned(), host.into()));
                Ok(host.into_iter().chain(fields).collect::<Json>())
            }
            _ => Err(Error::internal("an answer cannot be written")),
        };
        let structured = write(&self)?;
        let output = std::mem::take(&mut self.output);
        let text = if output.is_empty() {
            text::render(&structured, &self.said)
        } else {
            let source =
                format!("{}container {}", host.map(|host| format!("host {host}, ")).unwrap_or_default(), self.name);
            text::render(&write(&self)?, &text::fence(&source, &output, &self.said)?)
        };
        Ok(Answer::new(Some(structured), text))
    }
}

impl Tool for CreateContainer {
    const NAME: &'static str = "create_container";
    const ACCESS: Access = ACCESS;
    type Output = Created;

    fn deadline(&self) -> Option<Duration> {
        Some(self.new.deadline())
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        self.new.plan(Self::ACCESS, reading, call).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Created> {
        let Made { id, warnings } = self.new.create(docker, &plan, call).await?;
        let made = docker.container("container", &id).await?;
        Ok(Created { name: made.name, id: short_id(&id), warnings })
    }
}

impl Tool for RunContainer {
    const NAME: &'static str = "run_container";
    const ACCESS: Access = ACCESS;
    const CORE: bool = true;
    type Output = Started;

    fn deadline(&self) -> Option<Duration> {
        Some(self.new.deadline() + Duration::from_secs(self.wait.unwrap_or_default().into()))
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        if let Some(seconds) = self.wait.filter(|seconds| !(1..=LONGEST_WAIT).contains(seconds)) {
            return Err(Error::invalid(format!("argument \"wait\" is {seconds}"))
                .hint(format!("1 to {LONGEST_WAIT} seconds; leave it out to come back at once")));
        }
        self.new.plan(Self::ACCESS, reading, call).await
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Started> {
        let made = self.new.create(docker, &plan, call).await?;
        let id = made.id.clone();
        let started = match self.wait {
            Some(seconds) => self.attended(docker, made, seconds).await,
            None => self.detached(docker, made).await,
        };
        match started {
            Ok(started) => Ok(started),
            Err(error) => Err(remains(docker, &id, error).await),
        }
    }
}

impl NewContainer {
    fn deadline(&self) -> Duration {
        Duration::from_secs(if self.may_pull() { WRITE + PULL } else { WRITE })
    }
}

impl RunContainer {
    /// Starts it and has one look, in which a command that fails at once shows.
    async fn detached(&self, docker: &Docker, made: Made) -> Result<Started> {
        let container = docker.container("container", &made.id).await?;
        docker.typed().await?.start_container(&made.id, None::<StartContainerOptions>).await?;
        sleep(FIRST_LOOK).await;
        let container = match docker.container("container", &made.id).await {
            Ok(container) => container,
            Err(error) if error.kind() == Kind::NotFound && self.new.auto_remove() => {
                return Ok(Started {
                    state: "removed".to_owned(),
                    said: format!(
                        "container {} ended and was removed at once, as auto_remove says",
                        quote(&container.name)
                    ),
                    ..Started::of(&container, made)
                });
            }
            Err(error) => return Err(error),
        };
        let mut started = Started::of(&container, made);
        let name = quote(&container.name);
        if matches!(started.state.as_str(), "running" | "created") {
            started.said = format!("container {name} is {}", started.state);
        } else {
            started.exit_code = container.fact("/State/ExitCode").and_then(Value::as_i64);
            started.output = last_lines(docker, &container, 20).await.unwrap_or_default().join("\n");
            let code = started.exit_code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
            started.said = format!("container {name} has ended already{code}; its state is {}", started.state);
        }
        Ok(started)
    }

    /// Attaches first, so that no output is missed, and waits for the end.
    async fn attended(&self, docker: &Docker, made: Made, seconds: u32) -> Result<Started> {
        let container = docker.container("container", &made.id).await?;
        let typed = docker.typed().await?;
        let target = Target::new(format!("/containers/{}/attach", made.id))
            .query("stream", "1")
            .query("stdout", "1")
            .query("stderr", "1")
            .patient(Duration::from_secs(WRITE));
        let mut attached = docker.duplex(target, None, !container.is("/Config/Tty")).await?;
        let condition = if self.new.auto_remove() { "removed" } else { "next-exit" };
        let exit = docker.waiting(&made.id, condition).await?;
        typed.start_container(&made.id, None::<StartContainerOptions>).await?;
        let deadline = Instant::now() + Duration::from_secs(seconds.into());
        let mut transcript = Transcript::new(OUTPUT, &container.masks);
        timeout_at(deadline, transcript.read(&mut attached.output)).await.ok();
        // The stream ends a moment before the daemon notes the exit code.
        let code = timeout_at(deadline + FIRST_LOOK, exit.code()).await.ok().and_then(Result::ok).flatten();
        let now = docker.container("container", &made.id).await;
        let mut started = Started::of(now.as_ref().unwrap_or(&container), made);
        let output = transcript.finish();
        started.output = output.text;
        let masked = told(output.masked);
        let name = quote(&container.name);
        match (code, now) {
            (None, Ok(now)) if now.is("/State/Running") => {
                started.said =
                    format!("container {name} still runs after {seconds} s; container_logs and wait_for go on{masked}");
                return Ok(started);
            }
            (code, Ok(now)) => {
                started.exit_code = code.or_else(|| now.fact("/State/ExitCode").and_then(Value::as_i64));
            }
            (code, Err(_)) => {
                "removed".clone_into(&mut started.state);
                started.exit_code = code;
            }
        }
        started.said = match started.exit_code {
            Some(code) => format!("container {name} ended with exit code {code}{masked}"),
            None => format!("container {name} ended; its exit code is not known{masked}"),
        };
        Ok(started)
    }
}

impl Started {
    fn of(container: &Object, made: Made) -> Self {
        Self {
            name: container.name.clone(),
            id: short_id(&made.id),
            state: container.fact("/State").map(|state| field(state, "Status").to_owned()).unwrap_or_default(),
            exit_code: None,
            ports: published(&container.facts),
            warnings: made.warnings,
            output: String::new(),
            said: String::new(),
        }
    }
}

/// `8080->80/tcp`; an address in front where it is not every one.
fn published(facts: &Value) -> Vec<String> {
    let ports = facts.pointer("/NetworkSettings/Ports").and_then(Value::as_object).into_iter().flatten();
    let mut shown: Vec<String> = ports
        .flat_map(|(port, bindings)| {
            bindings.as_array().into_iter().flatten().map(move |binding| {
                match (field(binding, "HostIp"), field(binding, "HostPort")) {
                    ("" | "0.0.0.0" | "::", outside) => format!("{outside}->{port}"),
                    (address, outside) => format!("{address}:{outside}->{port}"),
                }
            })
        })
        .collect();
    shown.sort();
    shown.dedup();
    shown
}
