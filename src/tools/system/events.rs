//! What happened on a daemon, as far back as it remembers, and what happens while one waits.

mod probes;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::parts;
use crate::{
    docker::{Docker, Target, names},
    error::{Error, Result},
    redact,
    tool::{
        Call, FleetTool, HostAnswer, HostStatus, Summary,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::{
        listing::{Labels, folded, size},
        time::{self, Window},
        view::{clipped, fit, short_id, text},
    },
};

/// What is read when no `since` is given.
const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How many events a daemon remembers.
const REMEMBERED: usize = 256;
/// How many events of a host are held while they are read.
const HELD: usize = 2_000;
/// How much text of a host's events is held; those of a sane daemon are a hundredth of it.
const HELD_TEXT: usize = 16 << 20;
/// How much longer than asked a stream may take, for clocks that differ.
const SPARE: Duration = Duration::from_secs(5);
/// The most characters of one attribute.
const LONGEST_DETAIL: usize = 300;
/// How many bytes say how far back the daemons remember.
const REACHES: usize = 3_000;

/// Shows what happened on a daemon: containers, images, networks, volumes.
///
/// A daemon remembers its last 256 events: `reach` says how far back that is. Health checks are left out, unless
/// `action` asks for them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Events {
    /// RFC 3339, unix seconds, or so long ago (`2h30m`). Default: an hour before `until`.
    #[serde(default)]
    since: Option<String>,
    /// Not after, written like `since`. Default: now.
    #[serde(default)]
    until: Option<String>,
    /// Only events of these objects.
    #[serde(default)]
    kind: Option<Kind>,
    /// Such as `die`, `oom`, `health_status`.
    #[serde(default)]
    action: Option<String>,
    /// A container's, also of one that is gone.
    #[serde(default)]
    container: Option<String>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// The newest. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Goes on from an answer, to older ones.
    #[serde(default)]
    cursor: Option<Cursor>,
    /// Then waits so many seconds for more. Default: 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 40))]
    follow_for: Option<u32>,
}

/// What events are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Container,
    Image,
    Network,
    Volume,
    Daemon,
    Plugin,
    Service,
    Node,
    Secret,
    Config,
    Builder,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Daemon => "daemon",
            Self::Plugin => "plugin",
            Self::Service => "service",
            Self::Node => "node",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Builder => "builder",
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Happened {
    events: Vec<Row>,
    /// How far back the daemons remember.
    reach: Vec<Reach>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    host: String,
    time: String,
    kind: String,
    action: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<&'static str, String>,
    #[serde(skip)]
    at: Timestamp,
}

/// From when on nothing is missing.
#[derive(Serialize, JsonSchema)]
struct Reach {
    host: String,
    from: String,
    /// Whether that is the whole window.
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<&'static str>,
}

impl Row {
    /// The newest is the first.
    fn key(&self) -> String {
        let age = Timestamp::MAX.as_nanosecond() - self.at.as_nanosecond();
        format!("{age:022} {}", self.host)
    }
}

/// What one host contributes.
pub(super) struct Part {
    rows: Vec<Row>,
    reach: Reach,
}

impl Summary for Happened {
    fn summary(&self) -> String {
        let older = match self.page.more {
            0 => String::new(),
            more => format!("; {more} older left out: give the cursor, a narrower filter or a larger limit"),
        };
        let forgotten = self.reach.iter().filter(|reach| !reach.complete).map(|reach| reach.host.as_str());
        let forgotten = forgotten.collect::<Vec<_>>().join(", ");
        let forgotten = if forgotten.is_empty() {
            String::new()
        } else {
            format!("; older ones are forgotten by {forgotten}, see reach")
        };
        format!("{}, the newest last{older}{forgotten}", count(self.events.len(), "event"))
    }
}

impl FleetTool for Events {
    const NAME: &'static str = "events";
    const CORE: bool = true;
    type Part = Part;
    type Output = Happened;

    fn deadline(&self) -> Option<Duration> {
        Some(self.following() + SPARE + Duration::from_secs(20))
    }

    fn check(&self) -> Result<()> {
        self.window()?;
        if self.until.is_some() && !self.following().is_zero() {
            return Err(Error::invalid("argument \"follow_for\" waits for new events, and \"until\" excludes them")
                .hint("leave one of them out"));
        }
        self.container.as_deref().map_or(Ok(()), |name| names::object("container", name).map(drop))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Part> {
        let window = self.window()?;
        let since = window.since.unwrap_or(Timestamp::UNIX_EPOCH);
        let now = Timestamp::now();
        let end = now.checked_add(SignedDuration::try_from(self.following()).unwrap_or_default()).unwrap_or(now);
        // Neither filters nor an earlier end are left to the engine: all that it remembers is little,
        // and only unfiltered does it tell how far back that goes.
        let target = Target::new("/events").query("since", time::parameter(since)).query("until", time::parameter(end));
        let mut reader =
            Reader { window, tool: self, now, past: 0, oldest: None, found: VecDeque::new(), held: 0, cut: false };
        let notice = reader.read(docker, target).await?;
        let Reader { past, oldest, found, cut, .. } = reader;
        let mut found: Vec<Event> = found.into_iter().map(|(event, _)| event).collect();
        let notice = notice.or(cut.then_some("there are more than could be held: ask for a shorter window"));
        let looked = probes::look(docker, &found).await?;
        probes::hide(&mut found, &looked);
        found.retain(|event| self.wants_action(event));
        if !self.wants_probes() {
            probes::leave_out(&mut found, &looked);
        }
        let complete = past < REMEMBERED;
        let from = oldest.filter(|_| !complete).unwrap_or(since);
        Ok(Part {
            rows: found.iter().map(|event| event.row(docker.host())).collect(),
            reach: Reach { host: docker.host().to_owned(), from: time::milliseconds(from), complete, notice },
        })
    }

    fn combine(self, answers: Vec<HostAnswer<Part>>, call: &Call) -> Result<Happened> {
        let hosts = folded(HostStatus::of(&answers));
        let (mut events, mut reach) = (Vec::new(), Vec::new());
        for part in parts(answers) {
            events.extend(part.rows);
            reach.push(part.reach);
        }
        let mut room = REACHES;
        fit(&mut reach, &mut room);
        let taken = REACHES - room + size(&hosts);
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 50, taken };
        // Pages go back in time, and what has the same time keeps the engine's order.
        events.reverse();
        let (mut events, page) = paged(events, Row::key, wanted, call.cursors())?;
        events.reverse();
        Ok(Happened { events, reach, hosts, page })
    }
}

impl Events {
    fn following(&self) -> Duration {
        Duration::from_secs(u64::from(self.follow_for.unwrap_or_default()))
    }

    fn window(&self) -> Result<Window> {
        let window = Window::parse(self.since.as_deref(), self.until.as_deref())?;
        let end = window.until.unwrap_or_else(Timestamp::now);
        let since = window.since.unwrap_or_else(|| end.checked_sub(HOUR).unwrap_or(end));
        Ok(Window { since: Some(since), ..window })
    }

    fn wants_probes(&self) -> bool {
        self.action.as_deref().is_some_and(|action| action.starts_with("exec_") || action.starts_with("health_status"))
    }

    /// Whether an event is asked for, as far as that can be said before its command is masked.
    fn may_want(&self, event: &Event) -> bool {
        let name = |action: &str| action.split(": ").next() == Some(event.action.as_str());
        self.kind.is_none_or(|kind| kind.as_str() == event.kind)
            && self.action.as_deref().is_none_or(name)
            && self.container.as_deref().is_none_or(|container| event.is_of(container))
            && Labels::of(&self.label).fit_with(|key| event.attributes.get(key))
    }

    fn wants_action(&self, event: &Event) -> bool {
        self.action.as_deref().is_none_or(|action| action == event.action || action == event.full_action())
    }
}

/// One event, as it may be shown.
struct Event {
    at: Timestamp,
    kind: String,
    /// Without what stands behind the colon.
    action: String,
    /// What stands behind it: a command, a state.
    more: String,
    id: String,
    attributes: Value,
}

impl Event {
    fn of(document: &Value) -> Option<Self> {
        let nanoseconds = document.get("timeNano").and_then(Value::as_i64);
        let at = match nanoseconds {
            Some(nanoseconds) => Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?,
            None => Timestamp::from_second(document.get("time").and_then(Value::as_i64)?).ok()?,
        };
        let (action, more) = text(document, "Action").split_once(": ").unwrap_or((text(document, "Action"), ""));
        let actor = document.get("Actor").cloned().unwrap_or_default();
        Some(Self {
            at,
            kind: redact::shown(text(document, "Type")),
            action: redact::shown(action),
            more: redact::shown(more),
            id: redact::shown(text(&actor, "ID")),
            attributes: actor.get("Attributes").cloned().unwrap_or_default(),
        })
    }

    /// Whether it is about a command inside a container.
    fn is_command(&self) -> bool {
        self.kind == "container" && self.action.starts_with("exec_")
    }

    fn full_action(&self) -> String {
        format!("{}: {}", self.action, self.more)
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.attributes.get(name).and_then(Value::as_str).map(redact::shown)
    }

    /// Without the attributes that are not shown, and how much text is left.
    fn slim(mut self) -> (Self, usize) {
        let mut length = self.kind.len() + self.action.len() + self.more.len() + self.id.len();
        if let Value::Object(attributes) = &mut self.attributes {
            let is_shown = |name: &str| {
                matches!(name, "name" | "execID") || DETAILS.iter().any(|(attribute, _)| *attribute == name)
            };
            attributes.retain(|name, value| is_shown(name) && value.is_string());
            length += attributes.values().filter_map(Value::as_str).map(str::len).sum::<usize>();
        }
        (self, length)
    }

    fn is_of(&self, container: &str) -> bool {
        let by_name = || self.attribute("name").as_deref() == Some(container);
        self.kind == "container" && (by_name() || (container.len() >= 4 && self.id.starts_with(container)))
    }

    fn row(&self, host: &str) -> Row {
        let mut details = BTreeMap::new();
        for (attribute, name) in DETAILS {
            if let Some(value) = self.attribute(attribute).filter(|value| !value.is_empty()) {
                let value = if is_long_id(&value) { short_id(&value) } else { clipped(&value, LONGEST_DETAIL) };
                details.insert(*name, value);
            }
        }
        let mut action = self.action.clone();
        if action.starts_with("exec_") && !self.more.is_empty() {
            details.insert("command", clipped(&self.more, LONGEST_DETAIL));
        } else if !self.more.is_empty() {
            action = clipped(&self.full_action(), LONGEST_DETAIL);
        }
        let is_named = self.attribute("name").filter(|name| !name.is_empty());
        let name = is_named.unwrap_or_else(|| self.id.clone());
        Row {
            host: host.to_owned(),
            time: time::milliseconds(self.at),
            kind: self.kind.clone(),
            action,
            name: if is_long_id(&name) { short_id(&name) } else { clipped(&name, LONGEST_DETAIL) },
            id: if is_long_id(&self.id) { short_id(&self.id) } else { String::new() },
            details,
            at: self.at,
        }
    }
}

/// The attributes that are shown, and their names here; the others are mostly labels.
const DETAILS: &[(&str, &str)] = &[
    ("image", "image"),
    ("exitCode", "exit_code"),
    ("signal", "signal"),
    ("container", "container"),
    ("driver", "driver"),
    ("destination", "destination"),
    ("oldName", "old_name"),
    ("reclaimed", "reclaimed"),
    ("reason", "reason"),
    ("com.docker.compose.project", "project"),
    ("com.docker.compose.service", "service"),
];

fn is_long_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A stream of events on its way into an answer.
struct Reader<'a> {
    tool: &'a Events,
    window: Window,
    now: Timestamp,
    /// How many the daemon remembered of the time since the window's begin.
    past: usize,
    oldest: Option<Timestamp>,
    /// What is wanted, with how much text it is.
    found: VecDeque<(Event, usize)>,
    held: usize,
    /// Whether some had no room.
    cut: bool,
}

impl Reader<'_> {
    /// Reads to the end; what came before a stream breaks off still counts, with a notice.
    async fn read(&mut self, docker: &Docker, target: Target) -> Result<Option<&'static str>> {
        let end = Instant::now() + self.tool.following() + SPARE;
        let mut stream = docker.events(target).await?;
        let mut notice = None;
        while Instant::now() < end {
            match timeout_at(end, stream.next()).await {
                Ok(Ok(Some(event))) => self.take(&event),
                Ok(Err(_)) => {
                    notice = Some("the stream broke off: events may be missing");
                    break;
                }
                // The daemon's clock is behind ours, or the end is reached.
                Err(_) | Ok(Ok(None)) => break,
            }
        }
        // What was left out took room in the daemon's memory all the same.
        self.past += stream.unseen();
        Ok(notice)
    }

    fn take(&mut self, event: &Value) {
        let Some(event) = Event::of(event) else { return };
        if event.at <= self.now {
            self.past += 1;
            self.oldest = Some(self.oldest.map_or(event.at, |oldest| oldest.min(event.at)));
        }
        if !self.window.holds(event.at) || !self.tool.may_want(&event) {
            return;
        }
        let (event, length) = event.slim();
        self.held += length;
        self.found.push_back((event, length));
        while self.found.len() > HELD || self.held > HELD_TEXT {
            let Some((_, length)) = self.found.pop_front() else { break };
            self.held -= length;
            self.cut = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(action: &str, attributes: &Value) -> Event {
        let line = json!({
            "Type": "container", "Action": action, "timeNano": 1_795_192_726_079_572_693_i64,
            "Actor": {"ID": "a".repeat(64), "Attributes": attributes},
        });
        Event::of(&line).unwrap()
    }

    fn events(arguments: Value) -> Events {
        serde_json::from_value(arguments).unwrap()
    }

    #[test]
    fn attributes_are_reduced() {
        let row = event("exec_create: sh -c \u{1b}[31mid", &json!({"name": "web", "image": "i:1", "maintainer": "me"}))
            .row("local");
        assert_eq!((row.action.as_str(), row.name.as_str(), row.id.as_str()), ("exec_create", "web", "aaaaaaaaaaaa"));
        assert_eq!(row.details, BTreeMap::from([("image", "i:1".to_owned()), ("command", "sh -c id".to_owned())]));
        assert_eq!(row.time, "2026-11-20T16:38:46.079Z");
        assert_eq!(event("health_status: unhealthy", &json!({})).row("local").action, "health_status: unhealthy");
    }

    fn wants(arguments: Value, event: &Event) -> bool {
        let events = events(arguments);
        events.may_want(event) && events.wants_action(event)
    }

    #[test]
    fn filters_must_all_fit() {
        let die = event("die", &json!({"name": "web", "tier": "front", "exitCode": "1"}));
        for (arguments, fits) in [
            (json!({}), true),
            (json!({"kind": "container", "action": "die", "container": "web", "label": ["tier=front", "tier"]}), true),
            (json!({"container": "aaaaaa"}), true),
            (json!({"container": "we"}), false),
            (json!({"kind": "image"}), false),
            (json!({"action": "start"}), false),
            (json!({"label": ["tier=back"]}), false),
            (json!({"label": ["tier", "other"]}), false),
        ] {
            assert_eq!(wants(arguments.clone(), &die), fits, "{arguments}");
        }
        let health = event("health_status: healthy", &json!({}));
        for (action, fits) in [("health_status", true), ("health_status: healthy", true), ("health_status: un", false)]
        {
            assert_eq!(wants(json!({"action": action}), &health), fits, "{action}");
        }
    }

    #[test]
    fn foreign_documents_are_skipped() {
        for document in [json!({}), json!(null), json!({"time": "x"}), json!("<html>"), json!({"timeNano": 1e300})] {
            assert!(Event::of(&document).is_none(), "{document}");
        }
        assert!(Event::of(&json!({"time": 1})).is_some());
    }
}
