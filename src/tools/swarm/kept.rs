//! What secrets and configs have in common: a name, labels, and a payload that is not shown with them.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::version;
use crate::{
    docker::{
        Docker, Filters, Target,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    redact,
    tool::{BodyKind, Call, Json, Object, ObjectKind, Plan, Summary},
    tools::{
        listing::Labels,
        view::{clipped, map, text, time},
    },
};

/// The longest text of somebody else's in a row, in characters.
const LONGEST: usize = 255;

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    /// Made through Quaymaster.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    managed: bool,
    /// Of a driver other than the swarm's own.
    #[serde(skip_serializing_if = "String::is_empty")]
    driver: String,
}

impl Row {
    pub(super) fn key(&self) -> String {
        format!("{}/{}/{}", self.host, self.name, self.id)
    }
}

/// The rows of a host whose names contain a text and that have all labels.
pub(super) async fn rows(
    docker: &Docker,
    path: &'static str,
    name: Option<&str>,
    labels: &Labels<'_>,
) -> Result<Vec<Row>> {
    let filters = labels.filters(Filters::default());
    let listed = docker.json(Target::new(path).filters(&filters)).await?;
    let kept = listed.as_array().into_iter().flatten().filter_map(|one| {
        let spec = one.get("Spec")?;
        let fits = name.is_none_or(|name| text(spec, "Name").contains(name)) && labels.fit(spec);
        fits.then(|| row(docker.host(), one, spec))
    });
    Ok(kept.collect())
}

fn row(host: &str, one: &Value, spec: &Value) -> Row {
    let (created, updated) = (time(text(one, "CreatedAt")), time(text(one, "UpdatedAt")));
    Row {
        host: host.to_owned(),
        name: clipped(text(spec, "Name"), LONGEST),
        id: clipped(text(one, "ID"), LONGEST),
        updated: updated.filter(|updated| created.as_ref() != Some(updated)),
        created,
        managed: spec.pointer("/Labels/quaymaster.managed").and_then(Value::as_str) == Some("true"),
        driver: clipped(spec.get("Driver").map_or("", |driver| text(driver, "Name")), LONGEST),
    }
}

/// What is shown of one.
#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    driver: String,
    /// Whether services fill it in like a template.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    template: bool,
    /// How many bytes it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    /// What it holds, redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
    #[serde(skip)]
    kind: ObjectKind,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        format!("{} {} ({})", self.kind.as_str(), quote(&self.name), self.id)
    }
}

impl Inspected {
    /// Everything but the payload.
    pub(super) fn of(object: &Object) -> Self {
        let facts = &object.facts;
        let spec = facts.get("Spec").cloned().unwrap_or_default();
        Self {
            name: redact::shown(&object.name),
            id: object.id.clone(),
            created: time(text(facts, "CreatedAt")),
            updated: time(text(facts, "UpdatedAt")),
            version: version(facts),
            labels: map(&spec, "Labels"),
            driver: redact::shown(spec.get("Driver").map_or("", |driver| text(driver, "Name"))),
            template: spec.pointer("/Templating/Name").and_then(Value::as_str).is_some_and(|name| !name.is_empty()),
            size: None,
            content: None,
            note: None,
            kind: object.kind,
        }
    }

    /// With the payload as it may be shown: text, redacted and then cut.
    pub(super) fn holding(mut self, payload: &[u8], most: usize) -> Self {
        self.size = Some(payload.len());
        match std::str::from_utf8(payload) {
            Err(_) => self.note = Some("it holds no text, which cannot be shown"),
            Ok(text) => {
                let shown = clipped(text, most);
                self.note = shown.ends_with('…').then_some("it is longer than what is shown");
                self.content = Some(shown);
            }
        }
        self
    }
}

/// What was made.
#[derive(Serialize, JsonSchema)]
pub(super) struct Made {
    name: String,
    id: String,
    #[serde(skip)]
    kind: ObjectKind,
}

impl Summary for Made {
    fn summary(&self) -> String {
        format!("{} {} ({}) created", self.kind.as_str(), quote(&self.name), self.id)
    }
}

/// What is to be made, without its payload.
pub(super) struct Draft<'a> {
    pub(super) kind: ObjectKind,
    pub(super) name: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) template: bool,
}

impl Draft<'_> {
    /// What the plan says of it, once it is known that there is none of the name.
    pub(super) async fn planned(&self, plan: Plan, reading: &Docker, call: &Call) -> Result<Plan> {
        let name = names::object("name", self.name)?;
        let found = match self.kind {
            ObjectKind::Secret => reading.secret("name", name).await,
            _ => reading.swarm_config("name", name).await,
        };
        match found {
            Err(error) if error.kind() == Kind::NotFound => {}
            Err(error) => return Err(error),
            // An id may begin like the name.
            Ok(other) if other.name != name => {}
            Ok(_) => {
                let kind = self.kind.as_str();
                return Err(Error::conflict(format!("there is a {kind} {} already", quote(name)))
                    .hint("neither can change: take another name, such as one with a version in it"));
            }
        }
        let mut spec = Json::new();
        spec.insert("Name".to_owned(), name.into());
        spec.insert("Labels".to_owned(), json!(call.labels(self.labels)));
        if self.template {
            spec.insert("Templating".to_owned(), json!({"Name": "golang"}));
        }
        plan.marked(call).sending(BodyKind::Labelled, &spec)
    }

    /// Makes it as it was planned and judged, with its payload.
    pub(super) async fn made(&self, docker: &Docker, plan: &Plan, payload: &str) -> Result<Made> {
        if payload.is_empty() {
            return Err(Error::invalid(format!("a {} cannot be empty", self.kind.as_str())));
        }
        let mut spec: Json = plan.sent()?;
        spec.insert("Data".to_owned(), STANDARD.encode(payload).into());
        let target = Target::new(format!("/{}s/create", self.kind.as_str()));
        let answer = docker.write(Method::POST, target, Some(&spec.into())).await?;
        Ok(Made { name: self.name.to_owned(), id: redact::shown(text(&answer, "ID")), kind: self.kind })
    }
}

/// The bytes of a payload as the engine writes it.
pub(super) fn payload(facts: &Value) -> Result<Vec<u8>> {
    let data = facts.pointer("/Spec/Data").and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(data).map_err(|error| Error::docker("the payload cannot be read").detail(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(payload: &[u8], most: usize) -> Inspected {
        Inspected::of(&Object::listed(ObjectKind::Config, "0".into(), "web".into(), Value::Null)).holding(payload, most)
    }

    #[test]
    fn a_payload_is_redacted_before_it_is_cut() {
        let shown = inspected(b"listen 80\npassword=hunter2hunter2\n", 100).content.unwrap();
        assert!(shown.starts_with("listen 80\n") && !shown.contains("hunter2"), "{shown}");
        for most in 10..30 {
            let shown = inspected(b"listen 80\npassword=hunter2hunter2\n", most);
            assert!(!shown.content.unwrap().contains("hun") && shown.note.is_some(), "{most}");
        }
    }

    #[test]
    fn what_is_no_text_is_counted_only() {
        let shown = inspected(&[0xff, 0xfe, 0], 100);
        assert_eq!((shown.size, shown.content), (Some(3), None));
        assert!(shown.note.is_some());
    }
}
