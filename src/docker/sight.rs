//! What exists for callers: takes denied containers and images out of every document that a daemon answers with.
//!
//! The documents are judged here, by their route and without asking anybody; what has to be asked for
//! that, and what a request may name, is in [`gate`].

mod census;
pub(super) mod events;
mod gate;
mod images;
mod traces;
mod words;

use serde_json::Value;

use super::guard::Wire;
use crate::config::Globs;
use census::Census;
use images::Catalogue;
use traces::Traces;

pub(super) use gate::{Memory, NAMING_BODIES};

/// What stands in a visible document where a denied object was named.
pub(super) const HIDDEN: &str = "<hidden>";

/// What is needed to judge the documents of one host.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    containers: &'a Globs,
    images: &'a Globs,
    /// Every container; empty where the document needs none.
    census: &'a Census,
    /// The names of services by their ids; empty where the document needs none.
    services: &'a Services,
    /// Every image; empty where the document needs none.
    catalogue: &'a Catalogue,
}

/// The names of the services of a swarm, by their ids.
pub(super) type Services = std::collections::HashMap<String, String>;

/// What has to be asked before a document can be judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    census: bool,
    services: bool,
    catalogue: bool,
}

impl Sight<'_> {
    /// Takes what does not exist for callers out of a document; `false` when nothing is left of it.
    pub(super) fn sift(&self, wire: &Wire, document: &mut Value) -> bool {
        let images = !self.images.is_open();
        if images {
            match wire.route.template {
                "/images/json" => keep(document, |image| images::sift(self.images, image)),
                "/images/{name}/json"
                    if !images::answers(self.images, wire.subject.as_deref().unwrap_or_default(), document) =>
                {
                    return false;
                }
                "/images/{name}/history" => each(document, |layer| images::drop_tags(self.images, layer, "Tags")),
                "/system/df" => traces::images_of_usage(self.images, document),
                "/info" => subtract(document.get_mut("Images"), self.catalogue.hidden()),
                _ => {}
            }
        }
        self.containers.is_open() || self.sift_containers(wire, document)
    }

    fn sift_containers(&self, wire: &Wire, document: &mut Value) -> bool {
        let traces = Traces { globs: self.containers, census: self.census };
        match wire.route.template {
            "/containers/json" => keep(document, |row| traces.row(row)),
            "/containers/{id}/json" => return traces.container(document),
            "/networks" => each(document, |network| traces.network(network)),
            "/networks/{id}" => traces.network(document),
            "/volumes/{id}" => traces.volume(document),
            "/volumes" => {
                if let Some(volumes) = document.get_mut("Volumes") {
                    each(volumes, |volume| traces.volume(volume));
                }
            }
            "/images/json" => each(document, |image| {
                traces.image(image);
            }),
            "/system/df" => traces.usage(document),
            "/info" => traces.counts(document),
            "/exec/{id}/json" => return self.census.shows(text(document, "ContainerID")),
            "/services" => keep(document, |service| self.service(service)),
            "/services/{id}" => return self.service(document),
            "/tasks" => keep(document, |task| self.task(task)),
            "/tasks/{id}" => return self.task(document),
            _ => {}
        }
        true
    }

    /// A service is judged by its name.
    fn service(&self, service: &Value) -> bool {
        let name = service.pointer("/Spec/Name").and_then(Value::as_str).unwrap_or_default();
        self.containers.admit(Some(name).filter(|name| !name.is_empty()))
    }

    /// A task is judged by its service and by its container.
    fn task(&self, task: &Value) -> bool {
        let inside = |pointer: &str| task.pointer(pointer).and_then(Value::as_str).filter(|id| !id.is_empty());
        if let Some(container) = inside("/Spec/NetworkAttachmentSpec/ContainerID") {
            return self.census.shows(container);
        }
        // The task of a service that is gone has no name any more.
        let Some(service) = self.services.get(text(task, "ServiceID")) else { return false };
        let place = match task.get("Slot").and_then(Value::as_u64).filter(|slot| *slot > 0) {
            Some(slot) => slot.to_string(),
            None => text(task, "NodeID").to_owned(),
        };
        let container = format!("{service}.{place}.{}", text(task, "ID"));
        let is_hidden = |id: &str| self.census.known(id).is_some_and(|known| !known.shown);
        census::admits(self.containers, Some(&container), Some(service))
            && !inside("/Status/ContainerStatus/ContainerID").is_some_and(is_hidden)
    }
}

impl Needs {
    /// What a document of that route needs; most need nothing.
    pub(super) fn of(wire: &Wire, document: &Value, containers: &Globs, images: &Globs) -> Self {
        let template = wire.route.template;
        let catalogue = !images.is_open() && template == "/info";
        if containers.is_open() {
            return Self { catalogue, ..Self::default() };
        }
        let is_some = |number: Option<&Value>| number.and_then(Value::as_i64).is_some_and(|count| count > 0);
        let has_users = |volume: &Value| is_some(volume.pointer("/UsageData/RefCount"));
        let any = |list: Option<&Value>, is: &dyn Fn(&Value) -> bool| {
            list.and_then(Value::as_array).into_iter().flatten().any(is)
        };
        let census = match template {
            "/system/df" | "/info" | "/exec/{id}/json" | "/tasks" | "/tasks/{id}" => true,
            "/containers/json" => any(Some(document), &traces::names_others),
            "/containers/{id}/json" => traces::names_others(document),
            "/networks" => any(Some(document), &traces::has_members),
            "/networks/{id}" => traces::has_members(document),
            "/volumes" => any(document.get("Volumes"), &has_users),
            "/volumes/{id}" => has_users(document),
            "/images/json" => any(Some(document), &|image: &Value| is_some(image.get("Containers"))),
            _ => false,
        };
        Self { census, services: matches!(template, "/tasks" | "/tasks/{id}"), catalogue }
    }
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Keeps the rows of a list that are let through, which may be changed by that.
fn keep(list: &mut Value, mut admit: impl FnMut(&mut Value) -> bool) {
    if let Value::Array(rows) = list {
        rows.retain_mut(|row| admit(row));
    }
}

fn each(list: &mut Value, change: impl FnMut(&mut Value)) {
    list.as_array_mut().into_iter().flatten().for_each(change);
}

/// Lowers a number that is known; the engine writes -1 where it is not.
fn subtract(number: Option<&mut Value>, by: u64) {
    if let Some(number) = number
        && let Some(known) = number.as_u64()
    {
        *number = known.saturating_sub(by).into();
    }
}

#[cfg(test)]
mod tests;
