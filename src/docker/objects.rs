//! Objects of an engine, resolved once: what a caller named becomes a full id that the request carries.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Docker, HEADERS, Target, names};
use crate::{
    error::{Error, Kind, Result},
    redact::{self, Masks, Reveal},
};

/// What kind of object it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A network.
    Network,
    /// A volume, whose name is its id.
    Volume,
    /// A swarm as a whole.
    Swarm,
    /// A service of a swarm.
    Service,
    /// A machine of a swarm.
    Node,
    /// A secret of a swarm.
    Secret,
    /// A configuration file of a swarm.
    Config,
    /// A plugin of an engine.
    Plugin,
    /// A record of the builder's cache.
    BuildCache,
    /// A project, as it is defined and not as it runs.
    Project,
}

impl ObjectKind {
    /// The word for sentences.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Swarm => "swarm",
            Self::Service => "service",
            Self::Node => "node",
            Self::Secret => "secret",
            Self::Config => "config",
            Self::Plugin => "plugin",
            Self::BuildCache => "cache record",
            Self::Project => "project",
        }
    }
}

/// One object, as it was when the call looked at it.
#[derive(Debug, Clone)]
pub struct Object {
    /// What it is.
    pub kind: ObjectKind,
    /// What the caller wrote.
    pub asked: String,
    /// The full id: 64 hexadecimal digits, `sha256:...` of an image, a volume's name.
    pub id: String,
    /// The name without a slash in front; an image's first tag, or its id where it has none.
    pub name: String,
    /// The engine's document about it, redacted.
    pub facts: Value,
    /// What an approval is bound to: a hash of everything that makes the object what it is, but not of
    /// what it does at the moment.
    pub digest: String,
    /// What must not be seen in a container's logs and output.
    pub masks: Arc<Masks>,
}

impl Object {
    /// An object of a document as the engine sent it.
    fn new(kind: ObjectKind, asked: &str, id: String, name: String, mut facts: Value, reveal: &Reveal) -> Self {
        let digest = digest(kind, &facts);
        let masks = Arc::new(Masks::of(&facts, reveal));
        redact::document(&mut facts, reveal);
        Self { kind, asked: asked.to_owned(), id, name, facts, digest, masks }
    }

    /// An object as a list of the engine shows it.
    #[must_use]
    pub fn listed(kind: ObjectKind, id: String, name: String, facts: Value) -> Self {
        // A row may have been masked with this process's key: only what is the same in every process counts.
        let made = facts.get("CreatedAt").or(facts.get("Created")).cloned().unwrap_or_default();
        // An image goes with all the names that it has.
        let mut names: Vec<&str> =
            facts.get("RepoTags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        names.sort_unstable();
        let digest = hash(&[&Value::from(id.as_str()), &made, &names.into()]);
        Self { kind, asked: name.clone(), id, name, facts, digest, masks: Arc::default() }
    }

    /// A plugin that a registry offers: what it asks for is part of what it is.
    #[must_use]
    pub fn offered(reference: &str, privileges: &Value) -> Self {
        let digest = hash(&[&Value::from(reference), privileges]);
        let (id, facts) = (reference.to_owned(), privileges.clone());
        Self { kind: ObjectKind::Plugin, asked: id.clone(), name: id.clone(), id, facts, digest, masks: Arc::default() }
    }

    /// What is defined somewhere else than at the engine: its definition is what it is.
    #[must_use]
    pub fn defined(kind: ObjectKind, name: &str, definition: &Value) -> Self {
        let (digest, name) = (hash(&[definition]), name.to_owned());
        Self { kind, asked: name.clone(), id: name.clone(), name, facts: Value::Null, digest, masks: Arc::default() }
    }

    /// A part of the engine's document, by JSON pointer.
    #[must_use]
    pub fn fact(&self, pointer: &str) -> Option<&Value> {
        self.facts.pointer(pointer)
    }

    /// Whether a part of the document is `true`.
    #[must_use]
    pub fn is(&self, pointer: &str) -> bool {
        self.fact(pointer).and_then(Value::as_bool).unwrap_or_default()
    }
}

impl Docker {
    /// Finds a container by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// `invalid` for a name that no container can have, `not_found`, and those of [`Docker::json`].
    pub async fn container(&self, argument: &str, name: &str) -> Result<Object> {
        let name = names::object(argument, name)?;
        let facts = self
            .inspected(name)
            .await
            .map_err(|error| missing(error, ObjectKind::Container, name, "list_containers"))?;
        let id = text(&facts, "/Id")?;
        let own = text(&facts, "/Name")?.trim_start_matches('/').to_owned();
        Ok(Object::new(ObjectKind::Container, name, id, own, facts, self.reveal()))
    }

    /// A container's document by whatever callers call it.
    async fn inspected(&self, name: &str) -> Result<Value> {
        let mut absent = Error::not_found("");
        // What was known may have gone, and come back under another id.
        for again in [false, true] {
            let Some(id) = self.full_id(name, again).await? else { break };
            match self.original(Target::new(format!("/containers/{id}/json"))).await {
                Err(error) if error.kind() == Kind::NotFound => absent = error,
                answer => return answer,
            }
        }
        Err(absent)
    }

    /// Finds an image by reference, id, or the beginning of an id.
    ///
    /// # Errors
    /// As [`Docker::container`].
    pub async fn image(&self, argument: &str, reference: &str) -> Result<Object> {
        let reference = names::image(argument, reference)?;
        let facts = self
            .original(Target::new(format!("/images/{reference}/json")))
            .await
            .map_err(|error| missing(error, ObjectKind::Image, reference, "list_images"))?;
        let id = text(&facts, "/Id")?;
        let own = facts.pointer("/RepoTags/0").and_then(Value::as_str).unwrap_or(&id).to_owned();
        Ok(Object::new(ObjectKind::Image, reference, id, own, facts, self.reveal()))
    }

    /// Finds a network by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// As [`Docker::container`]; `conflict` when several networks have the name.
    pub async fn network(&self, argument: &str, name: &str) -> Result<Object> {
        let name = names::network(argument, name)?;
        let listed = self.json(Target::new("/networks")).await?;
        let all = || listed.as_array().into_iter().flatten();
        let has = |network: &Value, field: &str| network.get(field).and_then(Value::as_str) == Some(name);
        let is_prefix = |network: &Value| {
            name.len() >= 4 && network.get("Id").and_then(Value::as_str).is_some_and(|id| id.starts_with(name))
        };
        let mut found: Vec<&Value> = all().filter(|network| has(network, "Id")).collect();
        if found.is_empty() {
            found = all().filter(|network| has(network, "Name")).collect();
        }
        if found.is_empty() {
            found = all().filter(|network| is_prefix(network)).collect();
        }
        match found.as_slice() {
            [] => Err(missing(Error::not_found(""), ObjectKind::Network, name, "list_networks")),
            [one] => {
                let id = text(one, "/Id")?;
                // The list leaves out who is connected.
                let facts = self.original(Target::new(format!("/networks/{}", names::object("id", &id)?))).await?;
                Ok(Object::new(ObjectKind::Network, name, id, text(one, "/Name")?, facts, self.reveal()))
            }
            several => Err(Error::conflict(format!("{} networks are called {}", several.len(), names::quote(name)))
                .hint("name it by id; list_networks shows them")),
        }
    }

    /// The swarm that the daemon is a manager of.
    ///
    /// # Errors
    /// As [`Docker::service`].
    pub async fn swarm(&self) -> Result<Object> {
        let facts = self.original(Target::new("/swarm")).await?;
        let (id, name) = (text(&facts, "/ID")?, text(&facts, "/Spec/Name").unwrap_or_default());
        Ok(Object::new(ObjectKind::Swarm, "", id, name, facts, self.reveal()))
    }

    /// Finds a service of the swarm by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// As [`Docker::container`]; `conflict` where the daemon is no manager of a swarm.
    pub async fn service(&self, argument: &str, name: &str) -> Result<Object> {
        self.of_swarm(ObjectKind::Service, argument, name).await
    }

    /// Finds a machine of the swarm by host name, id, the beginning of an id, or `self`.
    ///
    /// # Errors
    /// As [`Docker::service`].
    pub async fn node(&self, argument: &str, name: &str) -> Result<Object> {
        // The engine knows no such word, only the CLI does.
        let own = if name == "self" { self.own_node().await? } else { None };
        self.of_swarm(ObjectKind::Node, argument, own.as_deref().unwrap_or(name)).await
    }

    async fn own_node(&self) -> Result<Option<String>> {
        let info = self.info(HEADERS).await?;
        let id = info.pointer("/Swarm/NodeID").and_then(Value::as_str);
        Ok(id.filter(|id| !id.is_empty()).map(str::to_owned))
    }

    /// Finds a secret of the swarm by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// As [`Docker::service`].
    pub async fn secret(&self, argument: &str, name: &str) -> Result<Object> {
        self.of_swarm(ObjectKind::Secret, argument, name).await
    }

    /// Finds a configuration file of the swarm by name, id, or the beginning of an id.
    ///
    /// # Errors
    /// As [`Docker::service`].
    pub async fn swarm_config(&self, argument: &str, name: &str) -> Result<Object> {
        self.of_swarm(ObjectKind::Config, argument, name).await
    }

    /// An object that the managers of a swarm keep: they all are named and numbered in one way.
    async fn of_swarm(&self, kind: ObjectKind, argument: &str, name: &str) -> Result<Object> {
        let name = names::object(argument, name)?;
        let tool = format!("list_{}s", kind.as_str());
        let facts = self
            .original(Target::new(format!("/{}s/{name}", kind.as_str())))
            .await
            .map_err(|error| missing(error, kind, name, &tool))?;
        let id = text(&facts, "/ID")?;
        let own = match kind {
            ObjectKind::Node => text(&facts, "/Description/Hostname").unwrap_or_else(|_| id.clone()),
            _ => text(&facts, "/Spec/Name")?,
        };
        Ok(Object::new(kind, name, id, own, facts, self.reveal()))
    }

    /// Finds a plugin by name or id.
    ///
    /// # Errors
    /// As [`Docker::container`].
    pub async fn plugin(&self, argument: &str, name: &str) -> Result<Object> {
        let name = names::image(argument, name)?;
        let facts = self
            .original(Target::new(format!("/plugins/{name}/json")))
            .await
            .map_err(|error| missing(error, ObjectKind::Plugin, name, "list_plugins"))?;
        let (id, own) = (text(&facts, "/Id")?, text(&facts, "/Name")?);
        Ok(Object::new(ObjectKind::Plugin, name, id, own, facts, self.reveal()))
    }

    /// Finds a volume by name.
    ///
    /// # Errors
    /// As [`Docker::container`].
    pub async fn volume(&self, argument: &str, name: &str) -> Result<Object> {
        let name = names::object(argument, name)?;
        let facts = self
            .original(Target::new(format!("/volumes/{name}")))
            .await
            .map_err(|error| missing(error, ObjectKind::Volume, name, "list_volumes"))?;
        let own = text(&facts, "/Name")?;
        Ok(Object::new(ObjectKind::Volume, name, own.clone(), own, facts, self.reveal()))
    }
}

/// A hash of what makes an object what it is; the same in every process.
pub(super) fn digest(kind: ObjectKind, facts: &Value) -> String {
    let parts: &[&str] = match kind {
        ObjectKind::Container => &["/Id", "/Name", "/Image", "/Created", "/Config", "/HostConfig", "/Mounts"],
        ObjectKind::Image => &["/Id"],
        ObjectKind::Network => &["/Id", "/Name", "/Driver", "/Created", "/Options", "/Labels", "/IPAM"],
        // A volume made anew has the same name and another date.
        ObjectKind::Volume => &["/Name", "/Driver", "/CreatedAt", "/Options", "/Labels", "/Mountpoint"],
        ObjectKind::Swarm | ObjectKind::Service | ObjectKind::Secret | ObjectKind::Config | ObjectKind::Node => {
            &["/ID", "/CreatedAt", "/Spec"]
        }
        ObjectKind::Plugin => &["/Id", "/Name", "/Config", "/Settings"],
        ObjectKind::BuildCache => &["/ID", "/CreatedAt"],
        ObjectKind::Project => &[],
    };
    let mut values: Vec<Value> = parts.iter().map(|part| facts.pointer(part).cloned().unwrap_or_default()).collect();
    // The engine keeps these in maps: every look shows them in another order.
    let sort = |list: Option<&mut Value>| {
        if let Some(Value::Array(items)) = list {
            items.sort_by_cached_key(ToString::to_string);
        }
    };
    for (part, value) in parts.iter().zip(&mut values) {
        match *part {
            "/Mounts" => sort(Some(value)),
            "/HostConfig" => ["Ulimits", "Links"].into_iter().for_each(|list| sort(value.get_mut(list))),
            _ => {}
        }
    }
    hash(&values.iter().collect::<Vec<_>>())
}

fn hash(parts: &[&Value]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.to_string());
        hash.update([0]);
    }
    format!("{:x}", hash.finalize())
}

/// A daemon's 404 in our words, with the tool that shows what there is.
fn missing(error: Error, kind: ObjectKind, name: &str, tool: &str) -> Error {
    if error.kind() != Kind::NotFound {
        return error;
    }
    Error::not_found(format!("there is no {} {}", kind.as_str(), names::quote(name)))
        .hint(format!("{tool} shows what there is, find looks on every host"))
}

fn text(facts: &Value, pointer: &str) -> Result<String> {
    facts
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Error::docker("the daemon's answer lacks an id or a name").detail(format!("no {pointer}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_what_an_engine_keeps_in_maps_changes_no_digest() {
        let facts = |mounts: Value, ulimits: Value, image: &str| {
            digest(
                ObjectKind::Container,
                &json!({"Id": "a", "Image": image, "Mounts": mounts, "HostConfig": {"Ulimits": ulimits}}),
            )
        };
        let (one, other) = (json!({"Destination": "/a"}), json!({"Destination": "/b"}));
        let first = facts(json!([one, other]), json!([{"Name": "core"}, {"Name": "nofile"}]), "sha256:1");
        assert_eq!(facts(json!([other, one]), json!([{"Name": "nofile"}, {"Name": "core"}]), "sha256:1"), first);
        assert_ne!(facts(json!([one, other]), json!([{"Name": "core"}, {"Name": "nofile"}]), "sha256:2"), first);
        assert_ne!(facts(json!([one]), json!([{"Name": "core"}, {"Name": "nofile"}]), "sha256:1"), first);
    }
}
