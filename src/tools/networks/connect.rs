//! Connecting containers to networks and disconnecting them.

use std::net::{Ipv4Addr, Ipv6Addr};

use bollard::models::{EndpointIpamConfig, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{PERMISSION, refused};
use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Result},
    tool::{Access, BodyKind, Call, Object, Plan, Summary, Tool},
    tools::view::text,
};

/// Connects a container to a network.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectNetwork {
    /// Name or id.
    network: String,
    /// Name or id.
    container: String,
    /// More names for it on this network.
    #[serde(default)]
    #[schemars(length(max = 50))]
    aliases: Vec<String>,
    /// Address. Default: the engine's choice.
    #[serde(default)]
    ipv4: Option<String>,
    /// IPv6 address. Default: the engine's choice.
    #[serde(default)]
    ipv6: Option<String>,
    /// MAC address. Default: the engine's choice.
    #[serde(default)]
    mac: Option<String>,
}

/// Disconnects a container from a network, which cuts its open connections.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DisconnectNetwork {
    /// Name or id.
    network: String,
    /// Name or id.
    container: String,
    /// Even if it does not count as connected. Default: false.
    #[serde(default)]
    force: bool,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Connection {
    network: String,
    container: String,
    connected: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    ipv4: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ipv6: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Connection {
    fn summary(&self) -> String {
        let done = if self.connected { "connected to" } else { "disconnected from" };
        format!("container \"{}\" {done} network \"{}\"", self.container, self.network)
    }
}

impl ConnectNetwork {
    fn settings(&self) -> Result<EndpointSettings> {
        self.aliases.iter().try_for_each(|alias| names::object("aliases", alias).map(drop))?;
        let ipv4 = self.ipv4.as_deref().map(|address| address_of::<Ipv4Addr>("ipv4", address)).transpose()?;
        let ipv6 = self.ipv6.as_deref().map(|address| address_of::<Ipv6Addr>("ipv6", address)).transpose()?;
        if let Some(mac) = self.mac.as_deref().filter(|mac| !is_mac(mac)) {
            return Err(Error::invalid(format!("argument \"mac\": {} is no MAC address", quote(mac)))
                .hint("six bytes, such as \"02:42:ac:11:00:02\""));
        }
        let addresses = EndpointIpamConfig { ipv4_address: ipv4, ipv6_address: ipv6, ..EndpointIpamConfig::default() };
        Ok(EndpointSettings {
            aliases: Some(self.aliases.clone()).filter(|aliases| !aliases.is_empty()),
            ipam_config: (self.ipv4.is_some() || self.ipv6.is_some()).then_some(addresses),
            mac_address: self.mac.clone(),
            ..EndpointSettings::default()
        })
    }
}

impl Tool for ConnectNetwork {
    const NAME: &'static str = "connect_network";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Connection;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let settings = self.settings()?;
        let (network, container) = both(reading, &self.network, &self.container).await?;
        if endpoint(&network, &container.facts).is_some() {
            return Err(Error::conflict(format!(
                "container {} is connected to network {} already",
                quote(&container.name),
                quote(&network.name)
            ))
            .hint("disconnect_network first, if it is to have other aliases or addresses"));
        }
        let request = NetworkConnectRequest { container: container.id.clone(), endpoint_config: Some(settings) };
        Plan::declared(Self::ACCESS).on([network, container]).sending(BodyKind::Connection, &request)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Connection> {
        let [network, container] = two(&plan.objects)?;
        // What was judged is what is sent.
        let request: NetworkConnectRequest = plan.sent()?;
        let typed = docker.typed().await?;
        typed.connect_network(&network.id, request).await.map_err(|error| refused(error.into()))?;
        let now = docker.container("container", &container.id).await?;
        let endpoint = endpoint(network, &now.facts).cloned().unwrap_or_default();
        let mac = text(&endpoint, "MacAddress").to_owned();
        let note = if now.is("/State/Running") {
            // Seen on 20.10 and 26.1: the address is taken without a word and not used.
            let ignored = self.mac.filter(|asked| !asked.replace('-', ":").eq_ignore_ascii_case(&mac));
            ignored.map(|asked| format!("this engine did not take the MAC address {asked}"))
        } else {
            Some("it gets its addresses when it starts".to_owned())
        };
        Ok(Connection {
            network: network.name.clone(),
            container: container.name.clone(),
            connected: true,
            ipv4: text(&endpoint, "IPAddress").to_owned(),
            ipv6: text(&endpoint, "GlobalIPv6Address").to_owned(),
            mac,
            note,
        })
    }
}

impl Tool for DisconnectNetwork {
    const NAME: &'static str = "disconnect_network";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Connection;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let (network, container) = both(reading, &self.network, &self.container).await?;
        if !self.force && endpoint(&network, &container.facts).is_none() {
            return Err(Error::conflict(format!(
                "container {} is not connected to network {}",
                quote(&container.name),
                quote(&network.name)
            ))
            .hint("inspect_container with section network shows what it is connected to"));
        }
        Ok(Plan::declared(Self::ACCESS).on([network, container]))
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Connection> {
        let [network, container] = two(&plan.objects)?;
        let request = NetworkDisconnectRequest { container: container.id.clone(), force: Some(self.force) };
        let typed = docker.typed().await?;
        typed.disconnect_network(&network.id, request).await.map_err(|error| refused(error.into()))?;
        Ok(Connection {
            network: network.name.clone(),
            container: container.name.clone(),
            connected: false,
            ipv4: String::new(),
            ipv6: String::new(),
            mac: String::new(),
            note: None,
        })
    }
}

async fn both(reading: &Docker, network: &str, container: &str) -> Result<(Object, Object)> {
    Ok((reading.network("network", network).await?, reading.container("container", container).await?))
}

fn two(objects: &[Object]) -> Result<[&Object; 2]> {
    match objects {
        [network, container] => Ok([network, container]),
        _ => Err(Error::internal("the plan of this call did not resolve a network and a container")),
    }
}

/// What a container has on a network.
///
/// One that was never started has no network ids yet, only what the network was called at its creation.
fn endpoint<'a>(network: &Object, container: &'a Value) -> Option<&'a Value> {
    let endpoints = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object)?;
    let fits = |name: &str, id: &str| match id {
        "" => name == network.name || name == network.id,
        id => id == network.id,
    };
    endpoints.iter().find(|(name, endpoint)| fits(name, text(endpoint, "NetworkID"))).map(|(_, endpoint)| endpoint)
}

fn address_of<T: std::str::FromStr + ToString>(argument: &str, address: &str) -> Result<String> {
    address.parse::<T>().map(|address| address.to_string()).map_err(|_| {
        Error::invalid(format!("argument \"{argument}\": {} is no such address", quote(address)))
            .hint("an address in the network's subnet")
    })
}

fn is_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    parts.len() == 6 && parts.iter().all(|part| part.len() == 2 && part.chars().all(|digit| digit.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tool::ObjectKind;

    #[test]
    fn endpoints_are_found_before_the_first_start_too() {
        let network = Object::listed(ObjectKind::Network, "0a1b".to_owned(), "web".to_owned(), Value::Null);
        let with = |name: &str, id: &str| json!({"NetworkSettings": {"Networks": {name: {"NetworkID": id}}}});
        assert!(endpoint(&network, &with("web", "")).is_some());
        assert!(endpoint(&network, &with("renamed", "0a1b")).is_some());
        assert!(endpoint(&network, &with("web", "another of that name")).is_none());
        assert!(endpoint(&network, &json!({})).is_none());
    }

    #[test]
    fn mac_addresses_have_six_bytes() {
        assert!(is_mac("02:42:ac:11:00:02") && is_mac("02-42-AC-11-00-02"));
        assert!(
            !is_mac("02:42:ac:11:00") && !is_mac("02:42:ac:11:00:0g") && !is_mac("") && !is_mac("2:42:ac:11:00:02")
        );
    }
}
