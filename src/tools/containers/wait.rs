//! Waiting for a container, a project, an image or a part of a swarm to become what it is meant to be; a time-out is an answer.

mod container;
mod node;
mod project;
mod service;

use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    docker::{Docker, names::quote},
    error::{Error, Kind as ErrorKind, Result},
    tool::{Access, Call, Object, ObjectKind, Plan, Summary, Tool},
    tools::{
        logs::{Position, pattern},
        redaction::Redaction,
        time,
        view::clipped,
    },
};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// The most characters of a line in the answer.
const LONGEST_LINE: usize = 300;

/// Waits for a container (running, healthy, exited, removed, a line of its log), a compose project, an image, or a
/// swarm's node, service or stack.
///
/// A time-out is no error: `met` is false then. What does not exist yet is waited for. Many clients give up after 60 s:
/// wait again rather than longer.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitFor {
    /// What is waited for. Default: container.
    #[serde(default)]
    kind: Kind,
    /// A name or an id.
    target: String,
    /// An image: `present`, `removed`; a node: `ready`, `down`, `present`, `removed`; a service or stack: `converged`,
    /// `running`, `removed`; a container or project: the others.
    until: Condition,
    /// For `log_match`: a regular expression.
    #[serde(default)]
    pattern: Option<String>,
    /// Seconds to wait at most. Default: 40.
    #[serde(default)]
    #[schemars(range(min = 1, max = 600))]
    timeout: Option<u32>,
}

/// What can be waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Container,
    Image,
    Node,
    Service,
    Stack,
    Project,
}

impl Kind {
    const fn words(self) -> &'static str {
        match self {
            Self::Container => "a container",
            Self::Image => "an image",
            Self::Node => "a node",
            Self::Service => "a service",
            Self::Stack => "a stack",
            Self::Project => "a project",
        }
    }

    /// Whether it is no object, but a label that objects have.
    const fn is_label(self) -> bool {
        matches!(self, Self::Stack | Self::Project)
    }

    /// What it can become.
    const fn conditions(self) -> &'static [Condition] {
        use Condition::{Converged, Down, Exited, Healthy, LogMatch, Present, Ready, Removed, Running};
        match self {
            Self::Container => &[Running, Healthy, Exited, Removed, LogMatch, Present],
            Self::Image => &[Present, Removed],
            Self::Node => &[Ready, Down, Present, Removed],
            Self::Service => &[Converged, Running, Removed, LogMatch, Present],
            Self::Stack => &[Converged, Running, Removed, Present],
            Self::Project => &[Running, Healthy, Exited, Removed, Present],
        }
    }
}

/// What it has to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Condition {
    Running,
    Healthy,
    Exited,
    Removed,
    LogMatch,
    Present,
    Ready,
    Down,
    Converged,
}

impl Condition {
    const fn words(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Exited => "exited",
            Self::Removed => "removed",
            Self::LogMatch => "a matching log line",
            Self::Present => "present",
            Self::Ready => "ready",
            Self::Down => "down",
            Self::Converged => "converged",
        }
    }

    /// The word of the argument.
    const fn argument(self) -> &'static str {
        if let Self::LogMatch = self { "log_match" } else { self.words() }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Waited {
    met: bool,
    target: String,
    seconds: u64,
    #[serde(flatten)]
    seen: Seen,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    until: &'static str,
}

/// What was seen last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct Seen {
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    /// The line that matched.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_time: Option<String>,
}

impl Summary for Waited {
    fn summary(&self) -> String {
        let health = self.seen.health.as_ref().map(|health| format!(", {health}")).unwrap_or_default();
        let seen = format!("{} is {}{health}", quote(&self.target), self.seen.state);
        if self.met {
            return format!("met after {} s: {seen}", self.seconds);
        }
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!("not met after {} s of waiting for {}: {seen}{note}", self.seconds, self.until)
    }
}

/// What a look showed about the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    NotYet,
    /// Waiting longer is no use.
    Never(&'static str),
}

impl Tool for WaitFor {
    const NAME: &'static str = "wait_for";
    const ACCESS: Access = Access::READ;
    const CORE: bool = true;
    type Output = Waited;

    fn deadline(&self) -> Option<Duration> {
        // The first look may have to connect.
        Some(self.timeout() + Duration::from_secs(20))
    }

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.pattern()?;
        let plan = Plan::declared(Self::ACCESS);
        Ok(match self.look(reading).await? {
            Some(object) if !self.kind.is_label() => plan.on([object]),
            _ => plan,
        })
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Waited> {
        let started = Instant::now();
        let last = match self.kind {
            kind if kind.is_label() => self.look(docker).await?,
            _ => plan.objects.into_iter().next(),
        };
        let mut wait = Wait {
            pattern: self.pattern()?,
            tool: &self,
            docker,
            end: started + self.timeout(),
            last,
            existed: false,
            position: None,
            redaction: None,
            seen: Seen::default(),
            note: None,
        };
        let met = call.timed(wait.until_met(), self.timeout(), &format!("waits for {}", self.until.words())).await?;
        let Wait { seen, note, .. } = wait;
        Ok(Waited {
            met,
            seconds: started.elapsed().as_secs(),
            seen,
            note,
            until: self.until.words(),
            target: self.target,
        })
    }
}

impl WaitFor {
    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout.unwrap_or(40)))
    }

    /// The pattern, or why the arguments do not fit each other.
    fn pattern(&self) -> Result<Option<Regex>> {
        let conditions = self.kind.conditions();
        if !conditions.contains(&self.until) {
            let (kind, words) = (self.kind.words(), conditions.iter().map(|condition| condition.argument()));
            return Err(Error::invalid(format!("argument \"until\": {kind} is never {}", self.until.argument()))
                .hint(format!("for {kind}: {}", words.collect::<Vec<_>>().join(", "))));
        }
        match (self.until, &self.pattern) {
            (Condition::LogMatch, Some(text)) => Ok(Some(pattern("pattern", text, false)?)),
            (Condition::LogMatch, None) => {
                Err(Error::invalid("argument \"pattern\" is missing: until log_match looks for it")
                    .hint("pattern: a regular expression"))
            }
            (_, Some(_)) => Err(Error::invalid("argument \"pattern\" belongs to until log_match")
                .hint("leave it out, or set until to log_match")),
            (_, None) => Ok(None),
        }
    }

    /// The target, or nothing where it does not exist.
    async fn look(&self, docker: &Docker) -> Result<Option<Object>> {
        let found = match self.kind {
            Kind::Container => docker.container("target", &self.target).await,
            Kind::Image => docker.image("target", &self.target).await,
            Kind::Node => docker.node("target", &self.target).await,
            Kind::Service => service::look(docker, &self.target).await,
            Kind::Stack => service::look_at_stack(docker, &self.target).await,
            Kind::Project => project::look(docker, &self.target).await,
        };
        match found {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A wait in progress.
struct Wait<'a> {
    tool: &'a WaitFor,
    docker: &'a Docker,
    pattern: Option<Regex>,
    end: Instant,
    last: Option<Object>,
    /// Whether it was ever there.
    existed: bool,
    /// How far its log was read, and what was begun in it; of another container from the start.
    position: Option<Position>,
    redaction: Option<(String, Redaction)>,
    seen: Seen,
    note: Option<String>,
}

impl Wait<'_> {
    async fn until_met(&mut self) -> Result<bool> {
        loop {
            self.existed |= self.last.is_some();
            self.seen = Seen::of(self.last.as_ref(), self.existed);
            match judge(self.tool.until, self.last.as_ref(), self.existed) {
                Verdict::Met => return Ok(true),
                Verdict::Never(reason) => {
                    self.note = Some(reason.to_owned());
                    return Ok(false);
                }
                Verdict::NotYet => {}
            }
            let met = match (self.tool.until, self.last.clone()) {
                (Condition::Exited, Some(container)) if !self.tool.kind.is_label() => self.exit(&container).await,
                (Condition::LogMatch, Some(container)) => match self.line(&container).await {
                    Ok(Some(entry)) => {
                        self.seen.line = Some(clipped(&entry.text, LONGEST_LINE));
                        self.seen.line_time = entry.time.map(time::milliseconds);
                        true
                    }
                    Ok(None) if container::has_ended(&container) => {
                        self.note = Some("it has ended, and its log has no matching line".to_owned());
                        return Ok(false);
                    }
                    Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error),
                    // Another look, and another reading from there.
                    Ok(None) | Err(_) => false,
                },
                _ => false,
            };
            if met {
                return Ok(true);
            }
            sleep_until(self.end.min(Instant::now() + PAUSE)).await;
            if Instant::now() >= self.end {
                return Ok(false);
            }
            match timeout_at(self.end, self.tool.look(self.docker)).await {
                Err(_) => return Ok(false),
                Ok(Ok(found)) => (self.last, self.note) = (found, None),
                // It answered before: it may come back.
                Ok(Err(error)) => self.note = Some(format!("the last look failed: {error}")),
            }
        }
    }
}

impl Seen {
    fn of(object: Option<&Object>, existed: bool) -> Self {
        let state = |state: &str| Self { state: state.to_owned(), ..Self::default() };
        match object {
            None => state(if existed { "removed" } else { "not there" }),
            Some(object) => match object.kind {
                ObjectKind::Container => container::seen(object),
                ObjectKind::Node => node::seen(object),
                ObjectKind::Service => service::seen(object),
                _ => state("present"),
            },
        }
    }
}

fn judge(until: Condition, object: Option<&Object>, existed: bool) -> Verdict {
    let Some(object) = object else {
        let is_gone = until == Condition::Removed || (until == Condition::Exited && existed);
        return if is_gone { Verdict::Met } else { Verdict::NotYet };
    };
    match (until, object.kind) {
        (Condition::Present, _) => Verdict::Met,
        (Condition::Removed, _) => Verdict::NotYet,
        (_, ObjectKind::Container) => container::judge(until, object),
        (_, ObjectKind::Node) => node::judge(until, object),
        (_, ObjectKind::Service) => service::judge(until, object),
        _ => Verdict::NotYet,
    }
}
