//! The machines of a swarm: which there are, what each is, what it is to be, and which has gone.

use std::collections::BTreeMap;

use bollard::query_parameters::DeleteNodeOptionsBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Availability, Changed, PERMISSION, Role, changes, version};
use crate::{
    docker::{Docker, Target, names::quote},
    error::{Error, Result},
    redact,
    tool::{
        Access, BodyKind, Call, FleetTool, HostAnswer, HostStatus, Json, Object, Plan, Summary, Tool, cursor::Cursor,
        page::Page, text::count,
    },
    tools::{
        listing::{self, Labels},
        outcome::{self, Outcomes},
        view::{bytes, clipped, filter, flag, map, text, time},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;

/// Lists the nodes of a swarm, as a manager sees them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListNodes {
    /// Part of the name.
    #[serde(default)]
    name: Option<String>,
    /// Only workers, or only managers.
    #[serde(default)]
    role: Option<Role>,
    /// Only those of this availability.
    #[serde(default)]
    availability: Option<Availability>,
    /// `key[=value]`, all of them.
    #[serde(default)]
    label: Vec<String>,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// From an answer.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Listed {
    nodes: Vec<Row>,
    hosts: Vec<HostStatus>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    role: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    leader: bool,
    state: String,
    availability: String,
    /// Of a manager that the others cannot reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    reachability: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    engine: String,
}

impl Summary for Listed {
    fn summary(&self) -> String {
        format!("{}{}", count(self.nodes.len(), "node"), self.page.rest())
    }
}

impl FleetTool for ListNodes {
    const NAME: &'static str = "list_nodes";
    type Part = Vec<Row>;
    type Output = Listed;

    fn check(&self) -> Result<()> {
        self.name.iter().try_for_each(|name| filter("name", name))?;
        self.label.iter().try_for_each(|label| filter("label", label))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Vec<Row>> {
        let labels = Labels::of(&self.label);
        let listed = docker.json(Target::new("/nodes")).await?;
        let rows = listed.as_array().into_iter().flatten().filter(|node| {
            // The engine's `label` filter is about the labels of engines.
            labels.fit_with(|key| node.get("Spec")?.get("Labels")?.get(key))
                && self.role.is_none_or(|role| at(node, "/Spec/Role") == role.word())
                && self.availability.is_none_or(|wanted| at(node, "/Spec/Availability") == wanted.word())
                && self.name.as_ref().is_none_or(|name| at(node, "/Description/Hostname").contains(name.as_str()))
        });
        Ok(rows.map(|node| row(docker.host(), node)).collect())
    }

    fn combine(self, answers: Vec<HostAnswer<Vec<Row>>>, call: &Call) -> Result<Listed> {
        let (nodes, hosts, page) = listing::page(answers, Row::key, self.cursor.as_ref(), self.limit, call)?;
        Ok(Listed { nodes, hosts, page })
    }
}

impl Row {
    fn key(&self) -> String {
        format!("{}/{}/{}", self.host, self.name, self.id)
    }
}

fn row(host: &str, node: &Value) -> Row {
    let reachability = at(node, "/ManagerStatus/Reachability");
    Row {
        host: host.to_owned(),
        name: clipped(at(node, "/Description/Hostname"), LONGEST),
        id: clipped(text(node, "ID"), LONGEST),
        role: clipped(at(node, "/Spec/Role"), LONGEST),
        leader: node.get("ManagerStatus").is_some_and(|status| flag(status, "Leader")),
        state: clipped(at(node, "/Status/State"), LONGEST),
        availability: clipped(at(node, "/Spec/Availability"), LONGEST),
        reachability: (!matches!(reachability, "" | "reachable")).then(|| redact::shown(reachability)),
        address: clipped(at(node, "/Status/Addr"), LONGEST),
        engine: clipped(at(node, "/Description/Engine/EngineVersion"), LONGEST),
    }
}

/// Shows one node of a swarm: role, state, availability, labels, machine, engine.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectNode {
    /// Name or id; `self` is the host's own.
    node: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    name: String,
    id: String,
    role: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    leader: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reachability: String,
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    availability: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    engine_labels: BTreeMap<String, String>,
    engine: String,
    /// Such as `linux/x86_64`.
    platform: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpus: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        format!("node {} is {}, a {} and {}", quote(&self.name), self.state, self.role, self.availability)
    }
}

impl Tool for InspectNode {
    const NAME: &'static str = "inspect_node";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.node("node", &self.node).await?]))
    }

    async fn call(self, _: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        Ok(view(plan.object()?))
    }
}

fn view(node: &Object) -> Inspected {
    let facts = &node.facts;
    let plain = |pointer: &str| redact::shown(at(facts, pointer));
    let number = |pointer: &str| facts.pointer(pointer).and_then(Value::as_u64);
    let of = |pointer: &str| facts.pointer(pointer).map(|part| map(part, "Labels")).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "billionths of a processor")]
    let cpus = number("/Description/Resources/NanoCPUs").map(|billionths| billionths as f64 / 1e9);
    Inspected {
        name: redact::shown(&node.name),
        id: node.id.clone(),
        role: plain("/Spec/Role"),
        leader: node.is("/ManagerStatus/Leader"),
        reachability: plain("/ManagerStatus/Reachability"),
        state: plain("/Status/State"),
        message: plain("/Status/Message"),
        availability: plain("/Spec/Availability"),
        address: plain("/Status/Addr"),
        labels: of("/Spec"),
        engine_labels: of("/Description/Engine"),
        engine: plain("/Description/Engine/EngineVersion"),
        platform: format!("{}/{}", plain("/Description/Platform/OS"), plain("/Description/Platform/Architecture")),
        cpus,
        memory: number("/Description/Resources/MemoryBytes").map(bytes),
        created: time(text(facts, "CreatedAt")),
        version: version(facts),
    }
}

/// Changes a node of a swarm: `drain` moves its tasks to others, `manager` promotes it, `worker` demotes it.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateNode {
    /// Name or id; `self` is the host's own.
    node: String,
    /// What it is in the swarm.
    #[serde(default)]
    role: Option<Role>,
    /// Whether it gets tasks.
    #[serde(default)]
    availability: Option<Availability>,
    /// Added or changed; others stay.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Keys of labels that go.
    #[serde(default)]
    #[schemars(length(max = 200))]
    remove_labels: Vec<String>,
    /// Insists on this version. Default: any.
    #[serde(default)]
    version: Option<u64>,
}

impl UpdateNode {
    fn patch(&self) -> Result<Value> {
        let mut labels: Json = self.remove_labels.iter().map(|key| (key.clone(), Value::Null)).collect();
        for (key, value) in &self.labels {
            filter("labels", key)?;
            if labels.insert(key.clone(), value.as_str().into()).is_some() {
                return Err(Error::invalid(format!("argument \"labels\": {} is to be removed too", quote(key))));
            }
        }
        let parts = [
            ("Role", self.role.map(|role| role.word().into())),
            ("Availability", self.availability.map(|availability| availability.word().into())),
            ("Labels", (!labels.is_empty()).then(|| labels.into())),
        ];
        let patch: Json = parts.into_iter().filter_map(|(part, value)| Some((part.to_owned(), value?))).collect();
        if patch.is_empty() {
            return Err(Error::invalid("nothing is to be changed")
                .hint("give \"role\", \"availability\", \"labels\" or \"remove_labels\""));
        }
        Ok(patch.into())
    }
}

impl Tool for UpdateNode {
    const NAME: &'static str = "update_node";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Changed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let patch = self.patch()?;
        let node = reading.node("node", &self.node).await?;
        Plan::declared(Self::ACCESS).on([node]).sending(BodyKind::Labelled, &patch)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Changed> {
        let before = plan.object()?;
        // What was judged is what is sent.
        docker.amend(before, self.version, &plan.sent::<Value>()?, &[]).await?;
        let after = docker.node("node", &before.id).await?;
        let changed = changes(&spec(before), &spec(&after));
        Ok(Changed::of(&after, changed))
    }
}

/// What a node is to be.
fn spec(node: &Object) -> Json {
    let plain = |pointer: &str| Value::from(redact::shown(at(&node.facts, pointer)));
    let labels = node.fact("/Spec").map(|spec| map(spec, "Labels")).unwrap_or_default();
    let labels = labels.into_iter().map(|(key, value)| (format!("label {key}"), Value::from(value)));
    let spec = [("role", plain("/Spec/Role")), ("availability", plain("/Spec/Availability"))];
    spec.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(labels).collect()
}

/// Takes nodes that are down out of a swarm's list. A manager has to be made a worker first.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveNode {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    nodes: Vec<String>,
    /// Also one that is not down. Default: false.
    #[serde(default)]
    force: bool,
}

impl Tool for RemoveNode {
    const NAME: &'static str = "remove_node";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("nodes", &self.nodes)?;
        Plan::declared(Self::ACCESS).resolve(&self.nodes, |name| reading.node("nodes", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |node| {
            let options = DeleteNodeOptionsBuilder::new().force(self.force).build();
            typed.delete_node(&node.id, Some(options)).await?;
            Ok(None)
        })
        .await
    }
}

/// A text anywhere in a document, or nothing.
fn at<'a>(document: &'a Value, pointer: &str) -> &'a str {
    document.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(arguments: Value) -> Result<Value> {
        serde_json::from_value::<UpdateNode>(arguments).unwrap().patch()
    }

    #[test]
    fn only_what_is_given_is_changed() {
        let patch = update(json!({"node": "a", "role": "manager", "labels": {"zone": "b"}, "remove_labels": ["old"]}));
        assert_eq!(patch.unwrap(), json!({"Role": "manager", "Labels": {"old": null, "zone": "b"}}));
        assert_eq!(update(json!({"node": "a", "availability": "drain"})).unwrap(), json!({"Availability": "drain"}));
        assert!(update(json!({"node": "a"})).is_err());
        assert!(update(json!({"node": "a", "labels": {"a": "1"}, "remove_labels": ["a"]})).is_err());
    }
}
