//! Removing networks: named ones, and those that nothing uses.

use std::collections::HashSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PERMISSION, refused};
use crate::{
    docker::{
        Docker, Filters, Target,
        names::{self, quote},
    },
    error::{Error, Result},
    tool::{Access, Call, Effect, Object, ObjectKind, Permission, Plan, Tool},
    tools::{
        listing::Labels,
        outcome::{self, Outcomes},
        prune::{self, Facts, Pruned},
        time::moment,
        view::{filter, flag, text},
    },
};

/// What the engine makes for itself.
const PREDEFINED: &[&str] = &["bridge", "host", "none", "ingress", "docker_gwbridge"];
/// How many containers a refusal names.
const MOST_NAMES: usize = 5;

/// Removes networks that no running container is connected to.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RemoveNetwork {
    /// Names or ids.
    #[schemars(length(min = 1, max = 200))]
    networks: Vec<String>,
}

impl Tool for RemoveNetwork {
    const NAME: &'static str = "remove_network";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Outcomes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        outcome::some("networks", &self.networks)?;
        Plan::declared(Self::ACCESS).resolve(&self.networks, |name| reading.network("networks", name)).await
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Outcomes> {
        let typed = docker.typed().await?;
        Outcomes::of(plan, "removed", async |network| {
            check(&network)?;
            typed.remove_network(&network.id).await.map_err(|error| refused(error.into()))?;
            Ok(None)
        })
        .await
    }
}

/// Says what stands in the way, which the engine's own refusal does not name.
fn check(network: &Object) -> Result<()> {
    if matches!(network.name.as_str(), "bridge" | "host" | "none") {
        return Err(Error::conflict(format!("network {} belongs to the engine itself", quote(&network.name)))
            .hint("it cannot be removed"));
    }
    let members: Vec<&str> = network
        .fact("/Containers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(id, member)| Some(text(member, "Name")).filter(|name| !name.is_empty()).unwrap_or(id))
        .collect();
    if members.is_empty() {
        return Ok(());
    }
    let names = members.iter().take(MOST_NAMES).map(|name| quote(name)).collect::<Vec<_>>().join(", ");
    let more = match members.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(Error::conflict(format!("network {} is in use by {names}{more}", quote(&network.name)))
        .hint("disconnect_network takes a container off it"))
}

/// Removes the networks that no container uses, running or stopped.
///
/// The engine's own networks and those of a swarm stay. Without `dry_run: false` it only lists them.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PruneNetworks {
    /// Only those made before: so long ago (`24h`), or a time. Default: any.
    #[serde(default)]
    until: Option<String>,
    /// Only those with every label: `key` or `key=value`.
    #[serde(default)]
    label: Vec<String>,
    /// Only lists what would go. Default: true.
    #[serde(default)]
    dry_run: Option<bool>,
}

impl Tool for PruneNetworks {
    const NAME: &'static str = "prune_networks";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read).sometimes(Permission::Networks);
    type Output = Pruned;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.label.iter().try_for_each(|label| filter("label", label))?;
        let until = self.until.as_deref().map(|until| moment("until", until, Timestamp::now())).transpose()?;
        let labels = Labels::of(&self.label);
        let filters = labels.filters(Filters::default());
        let listed = reading.json(Target::new("/networks").filters(&filters)).await?;
        let containers = reading.json(Target::new("/containers/json").query("all", "1")).await?;
        let unseen = reading.needed_unseen(ObjectKind::Network).await?;
        let mut used = used(&containers);
        used.extend(unseen.iter().map(String::as_str));
        let labelled = listed.as_array().into_iter().flatten().filter(|network| labels.fit(network));
        let candidates = labelled.filter(|network| is_candidate(network, &used, until));
        let objects = candidates.map(object).collect::<Result<Vec<_>>>()?;
        Ok(prune::plan(Self::ACCESS, Permission::Networks, self.dry_run.unwrap_or(true), objects))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Pruned> {
        let typed = docker.typed().await?;
        let remove =
            async |network: Object| typed.remove_network(&network.id).await.map_err(|error| refused(error.into()));
        Ok(Pruned::of(plan, "network", |_| Facts::default(), remove).await)
    }
}

/// By what the containers name their networks: ids, and names where there is no id before the first start.
fn used(containers: &Value) -> HashSet<&str> {
    let containers = containers.as_array().into_iter().flatten();
    containers
        .flat_map(|container| {
            let networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
            let connected = networks.into_iter().flatten();
            let mode = container.pointer("/HostConfig/NetworkMode").and_then(Value::as_str);
            connected.flat_map(|(name, network)| [name.as_str(), text(network, "NetworkID")]).chain(mode)
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn is_candidate(network: &Value, used: &HashSet<&str>, until: Option<Timestamp>) -> bool {
    let (id, name) = (text(network, "Id"), text(network, "Name"));
    let old_enough = until.is_none_or(|until| {
        // What has no time of its making is not old.
        text(network, "Created").parse::<Timestamp>().is_ok_and(|created| created < until)
    });
    // A container may name its network by the beginning of the id.
    let is_used = used.contains(name) || used.iter().any(|known| known.len() >= 12 && id.starts_with(known));
    // A service or a plan for networks of other hosts may need these, which no container shows.
    let kept = PREDEFINED.contains(&name)
        || text(network, "Scope") != "local"
        || flag(network, "Ingress")
        || flag(network, "ConfigOnly");
    old_enough && !is_used && !kept
}

fn object(network: &Value) -> Result<Object> {
    let id = names::object("id", text(network, "Id"))?.to_owned();
    let name = text(network, "Name").to_owned();
    Ok(Object::listed(ObjectKind::Network, id, name, network.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stopped_containers_are_users_too() {
        let containers = json!([
            {"HostConfig": {"NetworkMode": "by-mode"}},
            {"NetworkSettings": {"Networks": {"never-started": {"NetworkID": ""}, "x": {"NetworkID": "0123456789abcdef"}}}},
            {"NetworkSettings": null, "HostConfig": {"NetworkMode": "fedcba987654"}},
        ]);
        let used = used(&containers);
        let is_candidate =
            |name: &str, id: &str| is_candidate(&json!({"Name": name, "Id": id, "Scope": "local"}), &used, None);
        assert!(!is_candidate("by-mode", "a") && !is_candidate("never-started", "b"));
        assert!(!is_candidate("renamed", "0123456789abcdef") && !is_candidate("by-prefix", "fedcba9876543210"));
        assert!(is_candidate("free", "00000000"));
    }

    #[test]
    fn what_others_may_need_stays() {
        let none = HashSet::new();
        let keeps = |network: Value| !is_candidate(&network, &none, None);
        for name in PREDEFINED {
            assert!(keeps(json!({"Name": name, "Id": "a", "Scope": "local"})), "{name}");
        }
        assert!(keeps(json!({"Name": "a", "Id": "a", "Scope": "swarm"})));
        assert!(keeps(json!({"Name": "a", "Id": "a", "Scope": "local", "ConfigOnly": true})));
        let until = "2026-01-01T00:00:00Z".parse().ok();
        let made = |created: &str| {
            is_candidate(&json!({"Name": "a", "Id": "a", "Scope": "local", "Created": created}), &none, until)
        };
        assert!(made("2025-12-31T23:59:59Z") && !made("2026-01-01T00:00:01Z") && !made(""));
    }
}
