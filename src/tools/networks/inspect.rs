//! One network in detail, with who is connected.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target},
    error::Result,
    redact,
    tool::{Access, Call, Plan, Summary, Tool, text::count},
    tools::view::{flag, items, map, short_id, text, time},
};

/// How many members an answer shows.
const MOST_MEMBERS: usize = 100;

/// Shows one network: driver, subnets, options, labels, and the running containers on it with their addresses.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InspectNetwork {
    /// Name or id.
    network: String,
    /// Services and peers of a swarm network too. Default: false.
    #[serde(default)]
    verbose: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Inspected {
    name: String,
    id: String,
    driver: String,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// `internal`, `attachable`, `ingress`, `ipv6`, `config_only`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subnets: Vec<Pool>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    members: Vec<Member>,
    /// How many there are, where not all are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    members_total: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    services: Vec<Service>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Peer>,
}

#[derive(Serialize, JsonSchema)]
struct Pool {
    subnet: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    gateway: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ip_range: String,
}

#[derive(Serialize, JsonSchema)]
struct Member {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ipv4: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ipv6: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
}

#[derive(Serialize, JsonSchema)]
struct Service {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    virtual_ip: String,
    tasks: usize,
}

#[derive(Serialize, JsonSchema)]
struct Peer {
    name: String,
    ip: String,
}

impl Summary for Inspected {
    fn summary(&self) -> String {
        let members = count(self.members_total.unwrap_or(self.members.len()), "container");
        format!("network \"{}\" ({}) with {members}", self.name, self.id)
    }
}

impl Tool for InspectNetwork {
    const NAME: &'static str = "inspect_network";
    const ACCESS: Access = Access::READ;
    type Output = Inspected;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.network("network", &self.network).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Inspected> {
        let network = plan.object()?;
        if !self.verbose {
            return Ok(view(&network.facts));
        }
        let target = Target::new(format!("/networks/{}", network.id)).query("verbose", "true");
        Ok(view(&docker.json(target).await?))
    }
}

fn view(facts: &Value) -> Inspected {
    let plain = |document: &Value, field: &str| redact::shown(text(document, field));
    let fields = |field: &str| facts.get(field).and_then(Value::as_object).into_iter().flatten();
    let properties = [
        ("Internal", "internal"),
        ("Attachable", "attachable"),
        ("Ingress", "ingress"),
        ("EnableIPv6", "ipv6"),
        ("ConfigOnly", "config_only"),
    ];
    let ranges = facts.get("IPAM").into_iter().flat_map(|ipam| items(ipam, "Config"));
    let mut members: Vec<Member> = fields("Containers")
        .map(|(id, member)| Member {
            name: plain(member, "Name"),
            id: short_id(id),
            ipv4: plain(member, "IPv4Address"),
            ipv6: plain(member, "IPv6Address"),
            mac: plain(member, "MacAddress"),
        })
        .collect();
    members.sort_by(|left, right| left.name.cmp(&right.name));
    let total = members.len();
    members.truncate(MOST_MEMBERS);
    Inspected {
        name: plain(facts, "Name"),
        id: short_id(text(facts, "Id")),
        driver: plain(facts, "Driver"),
        scope: plain(facts, "Scope"),
        created: time(text(facts, "Created")),
        properties: properties.into_iter().filter(|(field, _)| flag(facts, field)).map(|(_, word)| word).collect(),
        subnets: ranges
            .map(|range| Pool {
                subnet: plain(range, "Subnet"),
                gateway: plain(range, "Gateway"),
                ip_range: plain(range, "IPRange"),
            })
            .collect(),
        options: map(facts, "Options"),
        labels: map(facts, "Labels"),
        members,
        members_total: (total > MOST_MEMBERS).then_some(total),
        services: fields("Services")
            .map(|(name, service)| Service {
                name: redact::shown(name),
                virtual_ip: plain(service, "VIP"),
                tasks: items(service, "Tasks").count(),
            })
            .take(MOST_MEMBERS)
            .collect(),
        peers: items(facts, "Peers")
            .map(|peer| Peer { name: plain(peer, "Name"), ip: plain(peer, "IP") })
            .take(MOST_MEMBERS)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_swarm_network_has_services_and_peers() {
        let shown = view(&json!({
            "Name": "web", "Id": "0123456789abcdef", "Ingress": true, "IPAM": {"Config": null}, "Containers": {},
            "Services": {"api": {"VIP": "10.0.1.2", "Tasks": [{"Name": "api.1"}, {"Name": "api.2"}]}},
            "Peers": [{"Name": "n1", "IP": "192.168.0.2"}],
        }));
        assert_eq!((shown.services[0].tasks, shown.peers[0].name.as_str()), (2, "n1"));
        assert_eq!(shown.properties, ["ingress"]);
    }

    #[test]
    fn a_crowd_is_cut() {
        let crowd: serde_json::Map<String, Value> =
            (0..250).map(|number| (format!("{number:064}"), json!({"Name": format!("c{number:03}")}))).collect();
        let shown = view(&json!({"Containers": crowd}));
        assert_eq!((shown.members.len(), shown.members_total), (MOST_MEMBERS, Some(250)));
        assert_eq!(shown.members[0].name, "c000");
    }
}
