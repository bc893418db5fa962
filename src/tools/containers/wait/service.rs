//! How far a service or a stack has come: whether its tasks are what it is meant to be.

use serde_json::{Value, json};

use super::{Condition, Seen, Verdict};
use crate::{
    docker::{Docker, Filters, Target},
    error::{Error, Result},
    tool::{Object, ObjectKind},
    tools::view::text,
};

/// The label that names the stack.
const STACK: &str = "com.docker.stack.namespace";

/// A service with how far it has come, as the state of a container would say it.
pub(super) async fn look(docker: &Docker, name: &str) -> Result<Object> {
    let mut service = docker.service("target", name).await?;
    let tasks = tasks(docker, &[&service.id]).await?;
    let state = Progress::of(&service.facts, &tasks).state();
    if let Value::Object(facts) = &mut service.facts {
        facts.insert("State".into(), state);
    }
    Ok(service)
}

/// All services of a stack as one.
pub(super) async fn look_at_stack(docker: &Docker, name: &str) -> Result<Object> {
    let target = Target::new("/services").filters(&Filters::default().with("label", [STACK]));
    let listed = docker.json(target).await?;
    let is_of = |service: &&Value| {
        let labels = service.pointer("/Spec/Labels");
        labels.and_then(|labels| labels.get(STACK)).and_then(Value::as_str) == Some(name)
    };
    let services: Vec<&Value> = listed.as_array().into_iter().flatten().filter(is_of).collect();
    let ids: Vec<&str> = services.iter().map(|service| text(service, "ID")).collect();
    if ids.is_empty() {
        return Err(Error::not_found("there is no such stack"));
    }
    let tasks = tasks(docker, &ids).await?;
    let progress = services.iter().map(|service| Progress::of(service, &tasks));
    let whole = progress.reduce(Progress::with).unwrap_or_default();
    let facts = json!({"State": whole.state()});
    Ok(Object::listed(ObjectKind::Service, name.to_owned(), name.to_owned(), facts))
}

pub(super) fn seen(service: &Object) -> Seen {
    let state = service.fact("/State").map(|state| text(state, "Status")).unwrap_or_default();
    Seen { state: state.to_owned(), ..Seen::default() }
}

pub(super) fn judge(until: Condition, service: &Object) -> Verdict {
    let met = match until {
        Condition::Converged if service.is("/State/Paused") => {
            return Verdict::Never("its update is paused: service_tasks tells why, rollback_service goes back");
        }
        Condition::Converged => service.is("/State/Converged"),
        Condition::Running => service.is("/State/AllRun"),
        _ => false,
    };
    if met { Verdict::Met } else { Verdict::NotYet }
}

async fn tasks(docker: &Docker, services: &[&str]) -> Result<Vec<Value>> {
    let filters = Filters::default().with("service", services).with("desired-state", ["running", "accepted", "ready"]);
    match docker.json(Target::new("/tasks").filters(&filters)).await? {
        Value::Array(tasks) => Ok(tasks),
        _ => Ok(Vec::new()),
    }
}

/// How many tasks there are, and of what kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    wanted: usize,
    running: usize,
    /// Running ones that are what the service is meant to be now.
    current: usize,
    updating: bool,
    paused: bool,
}

impl Progress {
    fn of(service: &Value, tasks: &[Value]) -> Self {
        let own = tasks.iter().filter(|task| text(task, "ServiceID") == text(service, "ID"));
        let own: Vec<&Value> = own.collect();
        let is_running = |task: &&&Value| task.pointer("/Status/State").and_then(Value::as_str) == Some("running");
        // Equal masks are equal values.
        let is_current = |task: &&&Value| {
            let mut parts = ["ContainerSpec", "Resources", "ForceUpdate"].into_iter();
            let same = |part: &str| {
                let (own, wanted) =
                    (task.pointer(&format!("/Spec/{part}")), service.pointer(&format!("/Spec/TaskTemplate/{part}")));
                own == wanted
            };
            parts.all(same)
        };
        let replicas = service.pointer("/Spec/Mode/Replicated/Replicas").and_then(Value::as_u64);
        let state = service.pointer("/UpdateStatus/State").and_then(Value::as_str).unwrap_or_default();
        Self {
            // A global one has as many as there are nodes that fit.
            wanted: replicas.map_or(own.len(), |replicas| usize::try_from(replicas).unwrap_or(usize::MAX)),
            running: own.iter().filter(is_running).count(),
            current: own.iter().filter(is_running).filter(is_current).count(),
            updating: matches!(state, "updating" | "rollback_started"),
            paused: matches!(state, "paused" | "rollback_paused"),
        }
    }

    fn with(self, other: Self) -> Self {
        Self {
            wanted: self.wanted.saturating_add(other.wanted),
            running: self.running + other.running,
            current: self.current + other.current,
            updating: self.updating || other.updating,
            paused: self.paused || other.paused,
        }
    }

    fn has_converged(self) -> bool {
        !self.updating && !self.paused && self.current == self.wanted && self.running == self.wanted
    }

    /// As the state of a container is told: `converged`, or what it is instead.
    fn state(self) -> Value {
        let Self { wanted, running, current, updating, paused } = self;
        let word = match self {
            _ if self.has_converged() => "converged",
            _ if paused => "paused in its update",
            _ if updating => "updating",
            _ => "converging",
        };
        let tasks = format!("{word}: {running} of {wanted} tasks run, {current} as they are meant to be");
        json!({"Status": tasks, "Converged": self.has_converged(), "Paused": paused, "AllRun": running >= wanted})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(update: &str, image: &str) -> Value {
        json!({"ID": "s", "Spec": {"Mode": {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0}}, "UpdateStatus": {"State": update}})
    }

    fn task(state: &str, image: &str) -> Value {
        json!({"ServiceID": "s", "Status": {"State": state}, "Spec": {"ContainerSpec": {"Image": image}, "ForceUpdate": 0}})
    }

    #[test]
    fn a_service_has_converged_when_all_its_tasks_are_what_they_are_meant_to_be() {
        let both = [task("running", "x"), task("running", "x")];
        for (service, tasks, converged) in [
            (service("", "x"), &both[..], true),
            (service("completed", "x"), &both[..], true),
            (service("rollback_completed", "x"), &both[..], true),
            (service("updating", "x"), &both[..], false),
            (service("paused", "x"), &both[..], false),
            // The managers have not begun with the update yet.
            (service("", "y"), &both[..], false),
            (service("", "x"), &both[..1], false),
            (service("", "x"), &[task("running", "x"), task("starting", "x")], false),
            (service("", "x"), &[task("running", "x"), task("running", "x"), task("running", "x")], false),
        ] {
            let state = Progress::of(&service, tasks).state();
            assert_eq!(state["Converged"], converged, "{state}");
        }
        let global = json!({"ID": "s", "Spec": {"Mode": {"Global": {}}, "TaskTemplate": {"ContainerSpec": {"Image": "x"}, "ForceUpdate": 0}}});
        assert!(Progress::of(&global, &both).has_converged());
    }

    #[test]
    fn a_stack_is_the_sum_of_its_services() {
        let good = Progress::of(&service("", "x"), &[task("running", "x"), task("running", "x")]);
        let bad = Progress::of(&service("paused", "x"), &[]);
        assert!(good.with(good).has_converged() && !good.with(bad).has_converged());
        assert_eq!(
            good.with(bad).state()["Status"],
            "paused in its update: 2 of 4 tasks run, 2 as they are meant to be"
        );
    }
}
