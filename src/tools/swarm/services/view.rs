//! What is shown of services and their tasks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{
    docker::{Docker, Filters, Target},
    error::Result,
    tools::view::{clipped, few, items, short_id, text},
};

/// The label that names the stack.
pub(in crate::tools::swarm) const STACK: &str = "com.docker.stack.namespace";
/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;
/// The same of what went wrong.
const LONGEST_ERROR: usize = 200;
/// How many ports of a service a row shows.
const PORTS: usize = 20;

/// A service in one line.
#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct ServiceRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::tools::swarm) host: Option<String>,
    pub(in crate::tools::swarm) name: String,
    id: String,
    mode: String,
    /// How many tasks run, of how many that are wanted.
    replicas: String,
    image: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ports: Vec<String>,
    /// How the last update stands, where it is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stack: Option<String>,
    #[serde(skip)]
    pub(in crate::tools::swarm) is_short: bool,
}

impl ServiceRow {
    /// Of the engine's document, with its status.
    pub(in crate::tools::swarm) fn of(host: Option<&str>, service: &Value) -> Self {
        let (running, desired) = counted(service);
        let at = |pointer: &str| service.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        Self {
            host: host.map(str::to_owned),
            name: clipped(at("/Spec/Name"), LONGEST),
            id: short_id(at("/ID")),
            mode: mode(service).to_owned(),
            replicas: format!("{running}/{desired}"),
            image: clipped(image(at("/Spec/TaskTemplate/ContainerSpec/Image")), LONGEST),
            ports: few(ports(service), PORTS),
            update: update_state(service).map(|state| clipped(state, LONGEST)),
            stack: stack(service).map(|stack| clipped(stack, LONGEST)),
            is_short: running < desired,
        }
    }

    /// What it is sorted by.
    pub(in crate::tools::swarm) fn key(&self) -> String {
        format!("{}/{}/{}", self.host.as_deref().unwrap_or_default(), self.name, self.id)
    }
}

/// A task in one line.
#[derive(Serialize, JsonSchema)]
pub(in crate::tools::swarm) struct TaskRow {
    name: String,
    id: String,
    state: String,
    desired: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    /// How long it has been in its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i64>,
    #[serde(skip)]
    rank: u8,
    #[serde(skip)]
    age: i64,
}

impl TaskRow {
    /// What it is sorted by: what has failed and is still wanted first, what is over last; the newest first.
    pub(in crate::tools::swarm) fn key(&self) -> String {
        format!("{}/{:020}/{}/{}", self.rank, self.age, self.name, self.id)
    }

    /// Whether something went wrong with it.
    pub(in crate::tools::swarm) fn has_failed(&self) -> bool {
        self.rank == 0
    }

    /// Whether it does what it is there for.
    pub(in crate::tools::swarm) fn runs(&self) -> bool {
        self.state == "running"
    }

    fn of(task: &Value, names: &Names, now: Timestamp) -> Self {
        let at = |pointer: &str| task.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (state, desired) = (at("/Status/State"), text(task, "DesiredState"));
        let since = at("/Status/Timestamp").parse::<Timestamp>().ok();
        let age = since.map_or(0, |since| now.as_second().saturating_sub(since.as_second()).max(0));
        let error = [at("/Status/Err"), at("/Status/Message")].into_iter().find(|text| !text.is_empty());
        let error = error.filter(|_| is_failure(state) || !at("/Status/Err").is_empty());
        Self {
            name: clipped(&names.of_task(task), LONGEST),
            id: short_id(text(task, "ID")),
            state: clipped(state, LONGEST),
            desired: clipped(desired, LONGEST),
            node: Some(names.node(text(task, "NodeID"))).filter(|node| !node.is_empty()),
            since: since.map(|_| ago(age)),
            image: clipped(image(at("/Spec/ContainerSpec/Image")), LONGEST),
            error: error.map(|error| clipped(error, LONGEST_ERROR)),
            exit_code: task
                .pointer("/Status/ContainerStatus/ExitCode")
                .and_then(Value::as_i64)
                .filter(|code| *code != 0 || state == "complete"),
            rank: match state {
                _ if is_failure(state) => 0,
                "pending" if error.is_some() => 0,
                _ if is_over(state) => 2,
                _ => 1,
            },
            age,
        }
    }
}

/// What tasks and nodes are called.
pub(in crate::tools::swarm) struct Names {
    nodes: HashMap<String, String>,
    services: HashMap<String, String>,
}

impl Names {
    /// Reads the names of the nodes; those of the services are known.
    pub(in crate::tools::swarm) async fn of(docker: &Docker, services: HashMap<String, String>) -> Result<Self> {
        let nodes = docker.json(Target::new("/nodes")).await?;
        let name = |node: &Value| {
            let name = node.pointer("/Description/Hostname").and_then(Value::as_str).unwrap_or_default();
            (text(node, "ID").to_owned(), clipped(name, LONGEST))
        };
        Ok(Self { nodes: nodes.as_array().into_iter().flatten().map(name).collect(), services })
    }

    fn node(&self, id: &str) -> String {
        self.nodes.get(id).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| short_id(id))
    }

    /// `web.2`, or of a global service `web.node`.
    fn of_task(&self, task: &Value) -> String {
        let service = text(task, "ServiceID");
        let service = self.services.get(service).cloned().unwrap_or_else(|| short_id(service));
        match slot(task) {
            Some(slot) => format!("{service}.{slot}"),
            None => format!("{service}.{}", self.node(text(task, "NodeID"))),
        }
    }
}

/// The tasks of services, as rows.
pub(in crate::tools::swarm) async fn tasks(docker: &Docker, services: HashMap<String, String>) -> Result<Vec<TaskRow>> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let filters = Filters::default().with("service", services.keys());
    let tasks = docker.json(Target::new("/tasks").filters(&filters)).await?;
    let names = Names::of(docker, services).await?;
    let now = Timestamp::now();
    Ok(tasks.as_array().into_iter().flatten().map(|task| TaskRow::of(task, &names, now)).collect())
}

/// What the tasks of a service are called in its log: `2@node`.
pub(in crate::tools::swarm) async fn writers(docker: &Docker, service: &str) -> Result<BTreeMap<String, Arc<str>>> {
    let filters = Filters::default().with("service", [service]);
    let tasks = docker.json(Target::new("/tasks").filters(&filters)).await?;
    let names = Names::of(docker, HashMap::new()).await?;
    let writer = |task: &Value| {
        let node = names.node(text(task, "NodeID"));
        let name = slot(task).map_or_else(|| node.clone(), |slot| format!("{slot}@{node}"));
        (text(task, "ID").to_owned(), Arc::from(name))
    };
    Ok(tasks.as_array().into_iter().flatten().map(writer).collect())
}

fn slot(task: &Value) -> Option<u64> {
    task.get("Slot").and_then(Value::as_u64).filter(|slot| *slot > 0)
}

fn is_failure(state: &str) -> bool {
    matches!(state, "failed" | "rejected" | "orphaned")
}

fn is_over(state: &str) -> bool {
    matches!(state, "complete" | "shutdown" | "remove") || is_failure(state)
}

/// How many tasks of a service run, and how many are wanted.
pub(in crate::tools::swarm) fn counted(service: &Value) -> (u64, u64) {
    let number =
        |field: &str| service.pointer(&format!("/ServiceStatus/{field}")).and_then(Value::as_u64).unwrap_or_default();
    (number("RunningTasks"), number("DesiredTasks"))
}

/// How many tasks a replicated service is to have.
pub(in crate::tools::swarm) fn replicas(service: &Value) -> Option<u64> {
    let replicated = service.pointer("/Spec/Mode/Replicated")?;
    // A service that nobody gave a number has one task.
    Some(replicated.get("Replicas").and_then(Value::as_u64).unwrap_or(1))
}

/// `replicated`, `global`, or what newer engines have.
pub(in crate::tools::swarm) fn mode(service: &Value) -> &'static str {
    let has = |mode: &str| service.pointer("/Spec/Mode").is_some_and(|modes| modes.get(mode).is_some());
    [
        ("Replicated", "replicated"),
        ("Global", "global"),
        ("ReplicatedJob", "replicated_job"),
        ("GlobalJob", "global_job"),
    ]
    .into_iter()
    .find(|(field, _)| has(field))
    .map_or("unknown", |(_, word)| word)
}

/// How its last update stands; nothing where it is over.
pub(in crate::tools::swarm) fn update_state(service: &Value) -> Option<&str> {
    let state = service.pointer("/UpdateStatus/State").and_then(Value::as_str)?;
    Some(state).filter(|state| !matches!(*state, "" | "completed" | "rollback_completed"))
}

/// The stack that a service belongs to.
pub(in crate::tools::swarm) fn stack(service: &Value) -> Option<&str> {
    service.pointer("/Spec/Labels")?.get(STACK)?.as_str().filter(|stack| !stack.is_empty())
}

/// `8080->80/tcp`, without the protocol where it is TCP.
fn ports(service: &Value) -> Vec<String> {
    let endpoint = service.get("Endpoint").unwrap_or(&Value::Null);
    items(endpoint, "Ports")
        .map(|port| {
            let number = |field: &str| port.get(field).and_then(Value::as_u64).unwrap_or_default();
            let protocol = match text(port, "Protocol") {
                "tcp" | "" => String::new(),
                other => format!("/{}", clipped(other, LONGEST)),
            };
            match number("PublishedPort") {
                0 => format!("{}{protocol}", number("TargetPort")),
                published => format!("{published}->{}{protocol}", number("TargetPort")),
            }
        })
        .collect()
}

/// The reference without the digest that a client has pinned beside a tag.
fn image(reference: &str) -> &str {
    match reference.split_once('@') {
        Some((name, _)) if name.rsplit('/').next().is_some_and(|last| last.contains(':')) => name,
        _ => reference,
    }
}

/// `5s`, `3m`, `2h`, `4d`.
fn ago(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_is_one_line() {
        let row = ServiceRow::of(
            None,
            &json!({
                "ID": "abcdefghijklmnop", "Spec": {"Name": "web", "Labels": {STACK: "shop"}, "Mode": {"Replicated": {"Replicas": 3}},
                    "TaskTemplate": {"ContainerSpec": {"Image": "lab/web:1@sha256:00"}}},
                "ServiceStatus": {"RunningTasks": 2, "DesiredTasks": 3}, "UpdateStatus": {"State": "updating"},
                "Endpoint": {"Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080}, {"Protocol": "udp", "TargetPort": 53}]},
            }),
        );
        assert_eq!((row.replicas.as_str(), row.mode.as_str(), row.is_short), ("2/3", "replicated", true));
        assert_eq!((row.image.as_str(), row.ports), ("lab/web:1", vec!["8080->80".to_owned(), "53/udp".to_owned()]));
        assert_eq!((row.update.as_deref(), row.stack.as_deref()), (Some("updating"), Some("shop")));
    }

    #[test]
    fn what_an_engine_of_the_future_says_is_no_failure() {
        for document in [
            json!(null),
            json!({"Spec": 3, "Endpoint": [], "ServiceStatus": "x"}),
            json!({"Spec": {"Mode": {"Dreaming": {}}}}),
        ] {
            let row = ServiceRow::of(None, &document);
            assert_eq!((row.mode.as_str(), row.replicas.as_str()), ("unknown", "0/0"));
        }
    }

    #[test]
    fn tasks_that_have_failed_come_first() {
        let names = Names {
            nodes: [("n1".to_owned(), "node-a".to_owned())].into(),
            services: [("s1".to_owned(), "web".to_owned())].into(),
        };
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let task = |slot: u64, state: &str, at: &str, error: &str| {
            let task = json!({"ID": format!("{state}{slot}"), "ServiceID": "s1", "NodeID": "n1", "Slot": slot, "DesiredState": "running",
                "Status": {"State": state, "Timestamp": format!("2026-11-20T{at}Z"), "Err": error, "Message": "started"}});
            TaskRow::of(&task, &names, now)
        };
        let mut rows = [
            task(1, "running", "11:00:00", ""),
            task(2, "shutdown", "11:59:00", ""),
            task(3, "failed", "11:00:00", "task: non-zero exit (3)"),
            task(4, "rejected", "11:59:55", "No such image"),
            task(5, "pending", "11:00:00", "no suitable node"),
        ];
        rows.sort_by_key(TaskRow::key);
        let order: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(order, ["web.4", "web.3", "web.5", "web.1", "web.2"]);
        assert_eq!(
            (rows[0].since.as_deref(), rows[1].since.as_deref(), rows[0].node.as_deref()),
            (Some("5s"), Some("1h"), Some("node-a"))
        );
        assert_eq!((rows[0].error.as_deref(), rows[3].error.as_deref()), (Some("No such image"), None));
        let global = TaskRow::of(&json!({"ServiceID": "s1", "NodeID": "n1"}), &names, now);
        assert_eq!(global.name, "web.node-a");
    }
}
