//! Waiting for a container: what it is, its end as the daemon tells it, a line of its log.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio::time::timeout_at;

use super::{Condition, Seen, Verdict, Wait};
use crate::{
    error::Result,
    tool::{Object, ObjectKind},
    tools::{
        logs::{Ending, Entry, Log, Position, Reading, Step, Wanted},
        redaction::Redaction,
        view::text,
    },
};

/// How many lines that are there already are looked through.
const LINES_BEFORE: usize = 200;

impl Wait<'_> {
    /// Waits in the daemon for the end of a container: nothing is missed, and a removed one's exit
    /// code is known too.
    pub(super) async fn exit(&mut self, container: &Object) -> bool {
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
    pub(super) async fn line(&mut self, container: &Object) -> Result<Option<Entry>> {
        let Some(pattern) = &self.pattern else { return Ok(None) };
        let tail = self.position.is_none().then_some(LINES_BEFORE);
        let wanted = Wanted { tail, from: self.position, follow: true, ..Wanted::default() };
        if self.redaction.as_ref().is_none_or(|(id, _)| *id != container.id) {
            let redaction = Redaction::new(&container.masks, wanted.is_whole());
            self.redaction = Some((container.id.clone(), redaction));
        }
        let Some((_, redaction)) = &mut self.redaction else { return Ok(None) };
        let log = match container.kind {
            // Whose line it is, is not asked here.
            ObjectKind::Service => Log::of_service(container, BTreeMap::new()),
            _ => Log::of_container(container),
        };
        let mut reading = match timeout_at(self.end, Reading::open(self.docker, &log, wanted)).await {
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

pub(super) fn seen(container: &Object) -> Seen {
    let state = status(container);
    let exit_code = container.fact("/State/ExitCode").and_then(Value::as_i64);
    Seen {
        state: if state.is_empty() { "present".to_owned() } else { state.to_owned() },
        health: health(container).map(str::to_owned),
        exit_code: exit_code.filter(|_| has_ended(container)),
        ..Seen::default()
    }
}

pub(super) fn judge(until: Condition, container: &Object) -> Verdict {
    let met = match until {
        Condition::Running => status(container) == "running",
        Condition::Exited => has_ended(container),
        Condition::Healthy if health(container).is_none() && status(container) == "running" => {
            return Verdict::Never("it has no health check: wait for running, or for a log line");
        }
        Condition::Healthy => health(container) == Some("healthy"),
        _ => false,
    };
    if met { Verdict::Met } else { Verdict::NotYet }
}

fn status(object: &Object) -> &str {
    object.fact("/State").map(|state| text(state, "Status")).unwrap_or_default()
}

pub(super) fn has_ended(object: &Object) -> bool {
    matches!(status(object), "exited" | "dead")
}

fn health(object: &Object) -> Option<&str> {
    object.fact("/State/Health").map(|health| text(health, "Status")).filter(|status| !matches!(*status, "" | "none"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::judge, *};

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
