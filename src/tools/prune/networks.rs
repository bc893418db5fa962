//! Networks that no container uses, running or stopped.

use std::collections::HashSet;

use serde_json::Value;

use super::{Wanted, containers::Staying, rows};
use crate::{
    docker::{Docker, Filters, Target, names},
    error::{Error, Kind, Result},
    tool::{Object, ObjectKind},
    tools::view::{flag, text},
};

/// What the engine makes for itself.
const PREDEFINED: &[&str] = &["bridge", "host", "none", "ingress", "docker_gwbridge"];

/// Those that are wanted and that no container needs which stays.
pub(crate) async fn candidates(reading: &Docker, wanted: &Wanted<'_>, staying: &Staying<'_>) -> Result<Vec<Object>> {
    let filters = wanted.labels.filters(Filters::default());
    let listed = reading.json(Target::new("/networks").filters(&filters)).await?;
    let unseen = reading.needed_unseen(ObjectKind::Network).await?;
    let mut used = staying.networks();
    used.extend(unseen.iter().map(String::as_str));
    rows(&listed).filter(|network| is_candidate(network, &used, wanted)).map(object).collect()
}

fn is_candidate(network: &Value, used: &HashSet<&str>, wanted: &Wanted<'_>) -> bool {
    let name = text(network, "Name");
    // A service or a plan for networks of other hosts may need these, which no container shows.
    let kept = PREDEFINED.contains(&name)
        || text(network, "Scope") != "local"
        || flag(network, "Ingress")
        || flag(network, "ConfigOnly");
    let is_wanted = wanted.labels.fit(network) && wanted.is_old_by(text(network, "Created"));
    is_wanted && !kept && !is_used(text(network, "Id"), name, used)
}

/// A container may name its network by the beginning of the id.
fn is_used(id: &str, name: &str, used: &HashSet<&str>) -> bool {
    used.contains(name) || used.iter().any(|known| known.len() >= 12 && id.starts_with(known))
}

fn object(network: &Value) -> Result<Object> {
    let id = names::object("id", text(network, "Id"))?.to_owned();
    let name = text(network, "Name").to_owned();
    Ok(Object::listed(ObjectKind::Network, id, name, network.clone()))
}

/// Removes one that none of these containers needs: the engine itself only spares those of running ones.
pub(crate) async fn remove(typed: &bollard::Docker, network: Object, stayed: &[Object]) -> Result<()> {
    let rows = stayed.iter().map(|container| container.facts.clone()).collect::<Vec<_>>().into();
    if is_used(&network.id, &network.name, &Staying::of(&rows, &[]).networks()) {
        return Err(Error::conflict("a container that was to go and stayed needs it"));
    }
    match typed.remove_network(&network.id).await.map_err(Error::from) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn any() -> Wanted<'static> {
        Wanted::of(None, &[]).unwrap()
    }

    #[test]
    fn stopped_containers_are_users_too() {
        let containers = json!([
            {"HostConfig": {"NetworkMode": "by-mode"}},
            {"NetworkSettings": {"Networks": {"never-started": {"NetworkID": ""}, "x": {"NetworkID": "0123456789abcdef"}}}},
            {"NetworkSettings": null, "HostConfig": {"NetworkMode": "fedcba987654"}},
        ]);
        let used = Staying::of(&containers, &[]).networks();
        let is_candidate =
            |name: &str, id: &str| is_candidate(&json!({"Name": name, "Id": id, "Scope": "local"}), &used, &any());
        assert!(!is_candidate("by-mode", "a") && !is_candidate("never-started", "b"));
        assert!(!is_candidate("renamed", "0123456789abcdef") && !is_candidate("by-prefix", "fedcba9876543210"));
        assert!(is_candidate("free", "00000000"));
    }

    #[test]
    fn what_others_may_need_stays() {
        let none = HashSet::new();
        let keeps = |network: Value| !is_candidate(&network, &none, &any());
        for name in PREDEFINED {
            assert!(keeps(json!({"Name": name, "Id": "a", "Scope": "local"})), "{name}");
        }
        assert!(keeps(json!({"Name": "a", "Id": "a", "Scope": "swarm"})));
        assert!(keeps(json!({"Name": "a", "Id": "a", "Scope": "local", "ConfigOnly": true})));
        let wanted = Wanted::of(Some("2026-01-01T00:00:00Z"), &[]).unwrap();
        let made = |created: &str| {
            is_candidate(&json!({"Name": "a", "Id": "a", "Scope": "local", "Created": created}), &none, &wanted)
        };
        assert!(made("2025-12-31T23:59:59Z") && !made("2026-01-01T00:00:01Z") && !made(""));
    }
}
