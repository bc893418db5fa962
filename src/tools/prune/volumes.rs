//! Volumes that no container uses, running or stopped.

use std::collections::HashSet;

use bollard::query_parameters::RemoveVolumeOptions;
use serde_json::Value;

use super::{Wanted, containers::Staying};
use crate::{
    docker::{Docker, Filters, Target, names},
    error::{Error, Kind, Result},
    tool::{Object, ObjectKind},
    tools::view::{items, text},
};

/// Those that are wanted and unused; with `named` also those that somebody named.
pub(crate) async fn candidates(reading: &Docker, wanted: &Wanted<'_>, named: bool) -> Result<Vec<Object>> {
    let listed = dangling(reading, wanted).await?;
    Ok(items(&listed, "Volumes").filter(|volume| goes(volume, wanted, named)).map(object).collect())
}

/// The same, where those that only going containers use count as unused.
pub(crate) async fn freed(
    reading: &Docker,
    wanted: &Wanted<'_>,
    going: &[Object],
    staying: &Staying<'_>,
) -> Result<Vec<Object>> {
    let dangling = dangling(reading, wanted).await?;
    let listed = reading.json(Target::new("/volumes").filters(&wanted.labels.filters(Filters::default()))).await?;
    let unseen = reading.needed_unseen(ObjectKind::Volume).await?;
    let unused: HashSet<&str> = items(&dangling, "Volumes").map(|volume| text(volume, "Name")).collect();
    let used = staying.volumes();
    let left = going.iter().flat_map(|container| items(&container.facts, "Mounts")).map(|mount| text(mount, "Name"));
    let left: HashSet<&str> = left.filter(|name| !used.contains(name) && !unseen.contains(*name)).collect();
    let is_free = |name: &str| unused.contains(name) || left.contains(name);
    let volumes = items(&listed, "Volumes").filter(|volume| goes(volume, wanted, false));
    Ok(volumes.filter(|volume| is_free(text(volume, "Name"))).map(object).collect())
}

async fn dangling(reading: &Docker, wanted: &Wanted<'_>) -> Result<Value> {
    let filters = wanted.labels.filters(Filters::default().with("dangling", ["true"]));
    reading.json(Target::new("/volumes").filters(&filters)).await
}

fn goes(volume: &Value, wanted: &Wanted<'_>, named: bool) -> bool {
    // A volume of a cluster may be in use on another node.
    let is_local = volume.get("ClusterVolume").is_none_or(Value::is_null);
    let is_wanted = wanted.labels.fit(volume) && wanted.is_old_by(text(volume, "CreatedAt"));
    is_local && is_wanted && (named || is_anonymous(volume))
}

/// Whether nobody named it: engines before 23.0 show that only by a name of 64 hexadecimal digits,
/// later ones also by a label.
pub(crate) fn is_anonymous(volume: &Value) -> bool {
    let name = text(volume, "Name");
    let is_digest = name.len() == 64 && name.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f'));
    is_digest || volume.pointer("/Labels/com.docker.volume.anonymous").is_some()
}

fn object(volume: &Value) -> Object {
    let name = text(volume, "Name").to_owned();
    Object::listed(ObjectKind::Volume, name.clone(), name, volume.clone())
}

/// Removes one, unless a container has taken it meanwhile: the engine refuses that.
pub(crate) async fn remove(typed: &bollard::Docker, volume: Object) -> Result<()> {
    // The name is the engine's, not the caller's: a driver may allow what a path does not.
    let name = names::object("volume", &volume.id)?;
    match typed.remove_volume(name, None::<RemoveVolumeOptions>).await.map_err(Error::from) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn anonymous_volumes_are_known_on_every_engine() {
        let digest = "0123456789abcdef".repeat(4);
        assert!(is_anonymous(&json!({"Name": digest, "Labels": null})));
        assert!(is_anonymous(&json!({"Name": "x", "Labels": {"com.docker.volume.anonymous": ""}})));
        let (shorter, upper) = (&digest[1..], digest.to_uppercase());
        for name in ["data", shorter, &upper] {
            assert!(!is_anonymous(&json!({"Name": name, "Labels": {"a": "b"}})), "{name}");
        }
    }
}
