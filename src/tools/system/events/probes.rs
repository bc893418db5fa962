//! Which events are only the daemon probing the health of a container.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::Event;
use crate::{
    docker::{Docker, names},
    error::{Kind, Result},
    redact::{self, Masks},
};

/// How many containers of commands are looked at, those with the newest events first.
const LOOKED_AT: usize = 32;
/// How many of them at once.
const AT_ONCE: usize = 8;

/// What is known of the containers of commands, by their ids; nothing of those that are gone.
pub(super) type Looked = BTreeMap<String, Option<Seen>>;

/// What the commands of a container are compared with.
pub(super) struct Seen {
    masks: Arc<Masks>,
    probe: Option<String>,
}

/// Looks at the containers in which commands ran.
pub(super) async fn look(docker: &Docker, events: &[Event]) -> Result<Looked> {
    let mut containers: Vec<&str> = Vec::new();
    for event in events.iter().rev().filter(|event| event.is_command()) {
        if containers.len() < LOOKED_AT && !containers.contains(&event.id.as_str()) {
            containers.push(&event.id);
        }
    }
    let looks: Vec<_> = containers.iter().map(|container| seen(docker, container)).collect();
    let found: Vec<Result<Option<Seen>>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    containers.into_iter().zip(found).map(|(container, seen)| Ok((container.to_owned(), seen?))).collect()
}

async fn seen(docker: &Docker, container: &str) -> Result<Option<Seen>> {
    if names::object("container", container).is_err() {
        return Ok(None);
    }
    match docker.container("container", container).await {
        Ok(container) => {
            let probe = command(&container.facts).map(|probe| container.masks.hide(&probe).into_owned());
            Ok(Some(Seen { masks: container.masks, probe }))
        }
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes out of commands what was a value of their container's variables; a command is left out where
/// nobody looked.
pub(super) fn hide(events: &mut [Event], looked: &Looked) {
    for event in events.iter_mut().filter(|event| event.is_command()) {
        match looked.get(&event.id) {
            Some(Some(seen)) => event.more = seen.masks.hide(&event.more).into_owned(),
            Some(None) => {}
            None => event.more.clear(),
        }
    }
}

/// Takes out the commands of health checks, and health that did not change for the better or worse.
///
/// An event does not say that a command is a probe: it is one when it is the command of the
/// container's health check.
pub(super) fn leave_out(events: &mut Vec<Event>, looked: &Looked) {
    events.retain(|event| event.action != "health_status" || matches!(event.more.as_str(), "healthy" | "unhealthy"));
    let probes = looked.iter().filter_map(|(id, seen)| Some((id.as_str(), seen.as_ref()?.probe.as_deref()?)));
    take_out(events, &probes.collect());
}

/// The command of a health check, as events write it and as it may be shown.
fn command(facts: &Value) -> Option<String> {
    let words = |pointer: &str| -> Vec<&str> {
        facts.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let test = words("/Config/Healthcheck/Test");
    let command = match test.split_first()? {
        (&"CMD", arguments) => arguments.join(" "),
        (&"CMD-SHELL", script) => {
            let mut shell = words("/Config/Shell");
            if shell.is_empty() {
                shell = vec!["/bin/sh", "-c"];
            }
            shell.extend(script);
            shell.join(" ")
        }
        _ => return None,
    };
    Some(redact::shown(&command))
}

fn take_out(events: &mut Vec<Event>, probes: &BTreeMap<&str, &str>) {
    let execution = |event: &Event| event.attribute("execID").unwrap_or_default();
    let is_begin = |event: &Event| matches!(event.action.as_str(), "exec_create" | "exec_start");
    let is_probe = |event: &Event| {
        is_begin(event) && probes.get(event.id.as_str()).is_some_and(|probe| probe.trim() == event.more.trim())
    };
    let others: BTreeSet<String> =
        events.iter().filter(|event| is_begin(event) && !is_probe(event)).map(execution).collect();
    // The end of a command whose begin is out of sight is taken for a probe's where there are probes.
    events.retain(|event| {
        let ends_probe =
            event.action == "exec_die" && probes.contains_key(event.id.as_str()) && !others.contains(&execution(event));
        !is_probe(event) && !ends_probe
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(action: &str, execution: &str) -> Event {
        let line = json!({
            "Type": "container", "Action": action, "time": 1,
            "Actor": {"ID": "web", "Attributes": {"execID": execution}},
        });
        Event::of(&line).unwrap()
    }

    #[test]
    fn only_probes_are_taken_out() {
        let facts = json!({"Config": {"Healthcheck": {"Test": ["CMD-SHELL", "curl -f localhost"]}}});
        let probe = command(&facts).unwrap();
        assert_eq!(probe, "/bin/sh -c curl -f localhost");
        let mut events = vec![
            event("exec_die", "0"),
            event("exec_create: /bin/sh -c curl -f localhost", "1"),
            event("exec_start: /bin/sh -c curl -f localhost", "1"),
            event("exec_create: id", "2"),
            event("exec_die", "1"),
            event("exec_die", "2"),
            event("die", ""),
        ];
        take_out(&mut events, &BTreeMap::from([("web", probe.as_str())]));
        let left: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(left, ["exec_create", "exec_die", "die"]);
        take_out(&mut events, &BTreeMap::new());
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn a_command_that_nobody_could_look_into_is_left_out() {
        let mut events = vec![event("exec_create: run hunter2", "1"), event("die", "")];
        hide(&mut events, &Looked::from([("web".to_owned(), None)]));
        assert_eq!(events[0].more, "run hunter2");
        hide(&mut events, &Looked::new());
        assert_eq!((events[0].more.as_str(), events[0].action.as_str()), ("", "exec_create"));
    }

    #[test]
    fn health_checks_are_written_in_several_ways() {
        let command = |test: Value| command(&json!({"Config": {"Healthcheck": {"Test": test}}}));
        assert_eq!(command(json!(["CMD", "a", "b c"])).as_deref(), Some("a b c"));
        assert_eq!(command(json!(["NONE"])), None);
        assert_eq!(command(json!([])), None);
        assert_eq!(command(Value::Null), None);
    }
}
