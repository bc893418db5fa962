//! Waiting for a container or an image to become what it is meant to be; a time-out is an answer.

use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    docker::{Docker, names::quote},
    error::{Error, Kind as ErrorKind, Result},
    tool::{Access, Call, Object, Plan, Summary, Tool},
    tools::{
        logs::{Ending, Entry, Log, Position, Reading, Step, Wanted, pattern},
        redaction::Redaction,
        time,
        view::{clipped, text},
    },
};

/// The time between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How many lines that are there already are looked through.
const LINES_BEFORE: usize = 200;
/// The most characters of a line in the answer.
const LONGEST_LINE: usize = 300;

/// Waits until a container runs, is healthy, has exited, is removed or logs a line, or an image is there.
///
/// A time-out is no error: the answer says `met` false and what was seen last. What does not exist
/// yet is waited for. Many clients give up after 60 s: wait again rather than longer.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WaitFor {
    /// What is waited for. Default: container.
    #[serde(default)]
    kind: Kind,
    /// A container's name or id, an image's reference or id.
    target: String,
    /// What it has to become; an image only `present` or `removed`.
    until: Condition,
    /// For `log_match`: a regular expression; the last 200 lines count too.
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
        }
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
            Some(object) => plan.on([object]),
            None => plan,
        })
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Waited> {
        let started = Instant::now();
        let mut wait = Wait {
            pattern: self.pattern()?,
            tool: &self,
            docker,
            end: started + self.timeout(),
            last: plan.objects.into_iter().next(),
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
        if self.kind == Kind::Image && !matches!(self.until, Condition::Present | Condition::Removed) {
            return Err(Error::invalid(format!(
                "argument \"until\": an image is never {}",
                if self.until == Condition::LogMatch { "logging" } else { self.until.words() }
            ))
            .hint("for an image: present or removed"));
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
                (Condition::Exited, Some(container)) => self.exit(&container).await,
                (Condition::LogMatch, Some(container)) => match self.line(&container).await {
                    Ok(Some(entry)) => {
                        self.seen.line = Some(clipped(&entry.text, LONGEST_LINE));
                        self.seen.line_time = entry.time.map(time::milliseconds);
                        true
                    }
                    Ok(None) if has_ended(&container) => {
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

    /// Waits in the daemon for the end of a container: nothing is missed, and a removed one's exit
    /// code is known too.
    async fn exit(&mut self, container: &Object) -> bool {
        if matches!(status(container), "created" | "removing") {
            return false;
        }
        match timeout_at(self.end, self.docker.wait(&container.id, "not-running")).await {
            Ok(Ok(code)) => {
                self.seen = match self.tool.look(self.docker).await {
                    Ok(after) => Seen::of(after.as_ref(), true),
                    Err(_) => Seen { state: "exited".to_owned(), ..Seen::default() },
                };
                self.seen.exit_code = code;
                true
            }
            // A proxy in front of the engine may refuse it: then looking has to do.
            _ => false,
        }
    }

    /// Reads the log until a line matches, the log ends, or the time is up.
    async fn line(&mut self, container: &Object) -> Result<Option<Entry>> {
        let Some(pattern) = &self.pattern else { return Ok(None) };
        let tail = self.position.is_none().then_some(LINES_BEFORE);
        let wanted = Wanted { tail, from: self.position, follow: true, ..Wanted::default() };
        if self.redaction.as_ref().is_none_or(|(id, _)| *id != container.id) {
            let redaction = Redaction::new(&container.masks, wanted.is_whole());
            self.redaction = Some((container.id.clone(), redaction));
        }
        let Some((_, redaction)) = &mut self.redaction else { return Ok(None) };
        let mut reading =
            match timeout_at(self.end, Reading::open(self.docker, &Log::of_container(container), wanted)).await {
                Err(_) => return Ok(None),
                Ok(opened) => opened?,
            };
        loop {
            match reading.next(self.end, self.tool.timeout(), redaction).await? {
                Step::Entries(entries) => {
                    for entry in entries {
                        Position::pass(&mut self.position, &entry);
                        if pattern.is_match(&entry.text) {
                            return Ok(Some(entry));
                        }
                    }
                }
                Step::End(Ending::Complete | Ending::Broken | Ending::Late | Ending::Silent) => return Ok(None),
            }
        }
    }
}

impl Seen {
    fn of(object: Option<&Object>, existed: bool) -> Self {
        let Some(object) = object else {
            let state = if existed { "removed" } else { "not there" };
            return Self { state: state.to_owned(), ..Self::default() };
        };
        let state = status(object);
        let exit_code = object.fact("/State/ExitCode").and_then(Value::as_i64);
        Self {
            state: if state.is_empty() { "present".to_owned() } else { state.to_owned() },
            health: health(object).map(str::to_owned),
            exit_code: exit_code.filter(|_| has_ended(object)),
            ..Self::default()
        }
    }
}

fn judge(until: Condition, object: Option<&Object>, existed: bool) -> Verdict {
    let Some(object) = object else {
        let is_gone = until == Condition::Removed || (until == Condition::Exited && existed);
        return if is_gone { Verdict::Met } else { Verdict::NotYet };
    };
    let met = match until {
        Condition::Present => true,
        Condition::Running => status(object) == "running",
        Condition::Exited => has_ended(object),
        Condition::Healthy if health(object).is_none() && status(object) == "running" => {
            return Verdict::Never("it has no health check: wait for running, or for a log line");
        }
        Condition::Healthy => health(object) == Some("healthy"),
        Condition::Removed | Condition::LogMatch => false,
    };
    if met { Verdict::Met } else { Verdict::NotYet }
}

fn status(object: &Object) -> &str {
    object.fact("/State").map(|state| text(state, "Status")).unwrap_or_default()
}

fn has_ended(object: &Object) -> bool {
    matches!(status(object), "exited" | "dead")
}

fn health(object: &Object) -> Option<&str> {
    object.fact("/State/Health").map(|health| text(health, "Status")).filter(|status| !matches!(*status, "" | "none"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    fn container(state: &Value) -> Object {
        Object::listed(ObjectKind::Container, "0".into(), "web".into(), json!({"State": state}))
    }

    #[test]
    fn the_table() {
        use Condition::{Exited, Healthy, Present, Removed, Running};
        use Verdict::{Met, NotYet};
        let running = container(&json!({"Status": "running", "ExitCode": 0}));
        let starting = container(&json!({"Status": "running", "Health": {"Status": "starting"}}));
        let healthy = container(&json!({"Status": "running", "Health": {"Status": "healthy"}}));
        let exited = container(&json!({"Status": "exited", "ExitCode": 3}));
        let future = container(&json!({"Status": "dreaming"}));
        for (until, object, existed, verdict) in [
            (Running, Some(&running), true, Met),
            (Running, Some(&exited), true, NotYet),
            (Running, Some(&future), true, NotYet),
            (Running, None, false, NotYet),
            (Healthy, Some(&starting), true, NotYet),
            (Healthy, Some(&healthy), true, Met),
            (Healthy, Some(&exited), true, NotYet),
            (Exited, Some(&running), true, NotYet),
            (Exited, Some(&exited), true, Met),
            (Exited, None, true, Met),
            (Exited, None, false, NotYet),
            (Removed, Some(&exited), true, NotYet),
            (Removed, None, false, Met),
            (Present, Some(&exited), true, Met),
            (Present, None, true, NotYet),
        ] {
            assert_eq!(judge(until, object, existed), verdict, "{until:?} {:?}", object.map(|object| &object.facts));
        }
        assert!(matches!(judge(Healthy, Some(&running), true), Verdict::Never(_)));
        assert_eq!(Seen::of(Some(&exited), true).exit_code, Some(3));
        assert_eq!(Seen::of(Some(&running), true).exit_code, None);
    }
}
