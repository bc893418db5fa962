//! Stopped containers, and what those that stay need.

use std::{collections::HashSet, time::Duration};

use bollard::query_parameters::RemoveContainerOptions;
use jiff::Timestamp;
use serde_json::Value;

use super::{Facts, Wanted, rows};
use crate::{
    docker::{Docker, Filters, Target},
    error::{Error, Kind, Result},
    tool::{Object, ObjectKind},
    tools::view::{container_name, items, text},
};

/// How long the daemon may count the bytes of all containers.
const SIZES: Duration = Duration::from_secs(60);
/// In which states a container does not run and will not by itself.
const STOPPED: [&str; 3] = ["created", "exited", "dead"];

/// Lists all containers with the bytes that their removal gives back.
pub(crate) async fn listed(reading: &Docker) -> Result<Value> {
    reading.json(Target::new("/containers/json").query("all", "1").query("size", "1").patient(SIZES)).await
}

/// The stopped ones that are wanted.
pub(crate) async fn candidates(reading: &Docker, wanted: &Wanted<'_>) -> Result<Vec<Object>> {
    let filters = wanted.labels.filters(Filters::default().with("status", STOPPED));
    let target = Target::new("/containers/json").query("all", "1").query("size", "1").filters(&filters);
    let listed = reading.json(target.patient(SIZES)).await?;
    Ok(rows(&listed).filter(|row| is_wanted(row, wanted)).filter_map(object).collect())
}

/// The stopped ones of a list that are wanted.
pub(crate) fn among(list: &Value, wanted: &Wanted<'_>) -> Vec<Object> {
    let stopped = rows(list).filter(|row| STOPPED.contains(&text(row, "State")));
    stopped.filter(|row| is_wanted(row, wanted)).filter_map(object).collect()
}

fn is_wanted(row: &Value, wanted: &Wanted<'_>) -> bool {
    let made = row.get("Created").and_then(Value::as_i64).and_then(|made| Timestamp::from_second(made).ok());
    wanted.labels.fit(row) && wanted.is_old(made)
}

/// A row of the engine's list; one without an id is left alone.
fn object(row: &Value) -> Option<Object> {
    let id = Some(text(row, "Id")).filter(|id| !id.is_empty())?.to_owned();
    let name = Some(container_name(row)).filter(|name| !name.is_empty()).unwrap_or(&id).to_owned();
    Some(Object::listed(ObjectKind::Container, id, name, row.clone()))
}

/// What a container gives back, and since when it is stopped.
pub(crate) fn about(container: &Object) -> Facts {
    let size = container.fact("/SizeRw").and_then(Value::as_u64);
    Facts { size, reason: Some(text(&container.facts, "Status").to_owned()) }
}

/// Removes one, if it still is stopped.
pub(crate) async fn remove(typed: &bollard::Docker, container: Object) -> Result<()> {
    match typed.remove_container(&container.id, None::<RemoveContainerOptions>).await.map_err(Error::from) {
        // Somebody else was faster; it is gone all the same.
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The containers that stay, and with them what they need.
pub(crate) struct Staying<'a>(Vec<&'a Value>);

impl<'a> Staying<'a> {
    /// Those of a list that do not go.
    pub(crate) fn of(list: &'a Value, going: &[Object]) -> Self {
        let going: HashSet<&str> = going.iter().map(|container| container.id.as_str()).collect();
        Self(rows(list).filter(|row| !going.contains(text(row, "Id"))).collect())
    }

    /// By what they name their networks: ids, and names where there is no id before the first start.
    pub(super) fn networks(&self) -> HashSet<&'a str> {
        let named = self.0.iter().flat_map(|container| {
            let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
            let connected = networks.into_iter().flatten();
            let mode = container.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
            connected.flat_map(|(name, network)| [name.as_str(), text(network, "NetworkID")]).chain(mode)
        });
        named.filter(|name| !name.is_empty()).collect()
    }

    /// Ids and references of their images.
    ///
    /// The reference counts beside the id: with containerd's image store the ids of a container's image
    /// and of the list may be those of a platform's manifest and of the index above it.
    pub(super) fn images(&self) -> HashSet<&'a str> {
        let named = self.0.iter().flat_map(|container| ["ImageID", "Image"].map(|field| text(container, field)));
        named.filter(|name| !name.is_empty()).collect()
    }

    /// The names of their volumes.
    pub(super) fn volumes(&self) -> HashSet<&'a str> {
        let mounts = self.0.iter().flat_map(|container| items(container, "Mounts"));
        mounts.map(|mount| text(mount, "Name")).filter(|name| !name.is_empty()).collect()
    }
}
