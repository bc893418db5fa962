//! Which events are only the daemon probing the health of a container.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::Event;
use crate::{
    docker::{Docker, Target, names},
    error::{Kind, Result},
    redact,
};

/// How many containers are looked at for their health checks, those with the newest events first.
const LOOKED_AT: usize = 32;
/// How many of them at once.
const AT_ONCE: usize = 8;

/// Takes out the commands of health checks, and health that did not change for the better or worse.
///
/// An event does not say that a command is a probe: it is one when it is the command of the
/// container's health check.
pub(super) async fn leave_out(docker: &Docker, events: &mut Vec<Event>) -> Result<()> {
    events.retain(|event| event.action != "health_status" || matches!(event.more.as_str(), "healthy" | "unhealthy"));
    let mut containers: Vec<&str> = Vec::new();
    for event in events.iter().rev().filter(|event| is_command(event)) {
        if containers.len() < LOOKED_AT && !containers.contains(&event.id.as_str()) {
            containers.push(&event.id);
        }
    }
    let looks: Vec<_> = containers.iter().map(|container| probe_of(docker, container)).collect();
    let probes: Vec<Result<Option<String>>> = stream::iter(looks).buffered(AT_ONCE).collect().await;
    let mut commands: BTreeMap<String, String> = BTreeMap::new();
    for (container, probe) in containers.iter().zip(probes) {
        if let Some(probe) = probe? {
            commands.insert((*container).to_owned(), probe);
        }
    }
    take_out(events, &commands);
    Ok(())
}

/// The command of a container's health check, as events write it; none of one that is gone.
async fn probe_of(docker: &Docker, container: &str) -> Result<Option<String>> {
    if names::object("container", container).is_err() {
        return Ok(None);
    }
    match docker.json(Target::new(format!("/containers/{container}/json"))).await {
        Ok(facts) => Ok(command(&facts)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

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
    Some(redact::plain(&command))
}

fn take_out(events: &mut Vec<Event>, probes: &BTreeMap<String, String>) {
    let execution = |event: &Event| event.attribute("execID").unwrap_or_default();
    let is_begin = |event: &Event| matches!(event.action.as_str(), "exec_create" | "exec_start");
    let is_probe =
        |event: &Event| is_begin(event) && probes.get(&event.id).is_some_and(|probe| probe.trim() == event.more.trim());
    let others: BTreeSet<String> =
        events.iter().filter(|event| is_begin(event) && !is_probe(event)).map(execution).collect();
    // The end of a command whose begin is out of sight is taken for a probe's where there are probes.
    events.retain(|event| {
        let ends_probe =
            event.action == "exec_die" && probes.contains_key(&event.id) && !others.contains(&execution(event));
        !is_probe(event) && !ends_probe
    });
}

fn is_command(event: &Event) -> bool {
    event.kind == "container" && event.action.starts_with("exec_")
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
        take_out(&mut events, &BTreeMap::from([("web".to_owned(), probe)]));
        let left: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(left, ["exec_create", "exec_die", "die"]);
        take_out(&mut events, &BTreeMap::new());
        assert_eq!(events.len(), 3);
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
