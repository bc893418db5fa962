//! Every container of an engine, and whether it exists for callers.

use serde_json::Value;

use super::text;
use crate::config::Globs;

/// The label by which the container of a service says whose it is.
pub(super) const SERVICE: &str = "com.docker.swarm.service.name";

/// One container, as far as others name it.
#[derive(Debug, Clone)]
pub(in crate::docker) struct Known {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) shown: bool,
    pub(super) state: String,
    pub(super) image: String,
    pub(super) volumes: Vec<String>,
    /// Names, ids and modes by which it says what it is connected to.
    pub(super) networks: Vec<String>,
}

/// Every container of an engine, hidden ones too.
#[derive(Debug, Clone, Default)]
pub(in crate::docker) struct Census(Vec<Known>);

/// What a name, an id or the beginning of one leads to.
#[derive(Debug, Clone, Copy)]
pub(in crate::docker) enum Found<'a> {
    None,
    One(&'a Known),
    /// The beginning of several ids.
    Several,
}

impl Census {
    /// The census of an engine's complete list.
    pub(super) fn of(list: &Value, globs: &Globs) -> Self {
        Self(list.as_array().into_iter().flatten().map(|row| Known::of(row, globs)).collect())
    }

    pub(super) fn hidden(&self) -> impl Iterator<Item = &Known> {
        self.0.iter().filter(|known| !known.shown)
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = &Known> {
        self.0.iter().filter(|known| known.shown)
    }

    /// A container by its full id.
    pub(super) fn known(&self, id: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.id == id)
    }

    /// What the engine takes a name for: an id, else a name, else the beginning of an id.
    pub(super) fn resolve(&self, reference: &str) -> Found<'_> {
        resolve(|| self.0.iter(), reference)
    }

    /// What it would take it for if nothing else existed than what callers see.
    pub(super) fn resolve_shown(&self, reference: &str) -> Found<'_> {
        resolve(|| self.shown(), reference)
    }

    /// Whether another document may name a container so; an id that nobody has is not told.
    pub(super) fn shows(&self, reference: &str) -> bool {
        matches!(self.resolve(reference), Found::One(known) if known.shown)
    }
}

fn resolve<'a, I: Iterator<Item = &'a Known>>(all: impl Fn() -> I, reference: &str) -> Found<'a> {
    let reference = reference.trim_start_matches('/');
    if reference.is_empty() {
        return Found::None;
    }
    let exact = all().find(|known| known.id == reference).or_else(|| all().find(|known| known.name == reference));
    if let Some(known) = exact {
        return Found::One(known);
    }
    let mut beginning = all().filter(|known| known.id.starts_with(reference));
    match (beginning.next(), beginning.next()) {
        (None, _) => Found::None,
        (Some(known), None) => Found::One(known),
        (Some(_), Some(_)) => Found::Several,
    }
}

impl Known {
    fn of(row: &Value, globs: &Globs) -> Self {
        let name = name(row);
        let networks = row.pointer("/NetworkSettings/Networks").and_then(Value::as_object).into_iter().flatten();
        let mode = row.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
        let mounts = row.get("Mounts").and_then(Value::as_array).into_iter().flatten();
        Self {
            id: text(row, "Id").to_owned(),
            name: name.unwrap_or_default().to_owned(),
            shown: shows_row(globs, row),
            state: text(row, "State").to_owned(),
            image: text(row, "ImageID").to_owned(),
            volumes: mounts.map(|mount| text(mount, "Name").to_owned()).filter(|volume| !volume.is_empty()).collect(),
            networks: networks
                .flat_map(|(name, network)| [name.as_str(), text(network, "NetworkID")])
                .chain(mode)
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// The name of a row; the others are what it is called in the containers that link to it.
pub(super) fn name(row: &Value) -> Option<&str> {
    let names = row.get("Names").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut names = names.map(|name| name.trim_start_matches('/'));
    names.find(|name| !name.is_empty() && !name.contains('/'))
}

/// Whether a row of the engine's list exists for callers.
pub(super) fn shows_row(globs: &Globs, row: &Value) -> bool {
    let service = row.get("Labels").and_then(|labels| labels.get(SERVICE)).and_then(Value::as_str);
    admits(globs, name(row), service)
}

/// Whether a container of that name exists for callers.
///
/// One of a service goes by the service's name too, but only if it is called after it: anybody can set a label.
pub(super) fn admits(globs: &Globs, name: Option<&str>, service: Option<&str>) -> bool {
    let name = name.filter(|name| !name.is_empty());
    let is_of = |service: &&str| {
        let rest = name.and_then(|name| name.strip_prefix(*service));
        !service.is_empty() && rest.is_some_and(|rest| rest.starts_with('.'))
    };
    globs.admit(name.into_iter().chain(service.filter(is_of)))
}
