//! Where a port of a service is published.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::project::one;
use crate::{
    docker::{Docker, Port, names::quote},
    error::Result,
    tool::{Access, Call, Plan, Summary, Tool},
    tools::view::{clipped, few, ports},
};

/// How many ports an answer names.
const PORTS: usize = 20;

/// Tells where a port of a compose service is published.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ComposePort {
    /// Its name.
    project: String,
    /// Its name.
    service: String,
    /// The port in the container.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// Default: tcp.
    #[serde(default)]
    protocol: Protocol,
    /// Container's number. Default: the first that runs.
    #[serde(default)]
    index: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Protocol {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Published {
    container: String,
    /// `0.0.0.0:8080`; none where it is not published.
    published: Vec<String>,
    /// What it has in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    port: String,
}

impl Summary for Published {
    fn summary(&self) -> String {
        let which = format!("{} of container {}", self.port, quote(&self.container));
        match &self.note {
            Some(note) => format!("{which} is not published: {note}"),
            None => format!("{which} is at {}", self.published.join(", ")),
        }
    }
}

impl Tool for ComposePort {
    const NAME: &'static str = "compose_port";
    const ACCESS: Access = Access::READ;
    type Output = Published;

    async fn call(self, docker: &Docker, _: Plan, _: &Call) -> Result<Published> {
        let member = one(docker, &self.project, &self.service, self.index).await?;
        let (container, port) = (member.name(), format!("{}/{}", self.port, self.protocol.word()));
        let published = addresses(&member.container.ports, self.port, self.protocol);
        let others = few(ports(&member.container.ports), PORTS).join(", ");
        let note = match others.as_str() {
            _ if !published.is_empty() => None,
            _ if !member.is_alive() => Some("the container does not run".to_owned()),
            "" => Some("it has no ports".to_owned()),
            others => Some(format!("its ports are {others}")),
        };
        Ok(Published { container, published, note, port })
    }
}

/// The addresses of the host that lead to a port.
fn addresses(ports: &[Port], port: u16, protocol: Protocol) -> Vec<String> {
    let is_meant = |one: &&Port| one.private == Some(port.into()) && one.protocol == protocol.word();
    let address = |one: &Port| {
        let public = one.public?;
        let address = clipped(&one.address, 64);
        Some(match address.as_str() {
            "" => format!("0.0.0.0:{public}"),
            address if address.contains(':') => format!("[{address}]:{public}"),
            address => format!("{address}:{public}"),
        })
    };
    let mut found: Vec<String> = ports.iter().filter(is_meant).filter_map(address).collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::docker::Container;

    #[test]
    fn a_port_may_be_published_at_several_addresses() {
        let port = |ip: &str, private: u16, public: Option<u16>, kind: &str| json!({"IP": ip, "PrivatePort": private, "PublicPort": public, "Type": kind});
        let container = Container::of(json!({"Ports": [
            port("::", 80, Some(8080), "tcp"), port("0.0.0.0", 80, Some(8080), "tcp"), port("", 53, Some(5353), "udp"),
            port("127.0.0.1", 80, Some(9090), "tcp"), port("", 443, None, "tcp"),
        ]}));
        assert_eq!(addresses(&container.ports, 80, Protocol::Tcp), ["0.0.0.0:8080", "127.0.0.1:9090", "[::]:8080"]);
        assert_eq!(addresses(&container.ports, 53, Protocol::Udp), ["0.0.0.0:5353"]);
        for (port, protocol) in [(443, Protocol::Tcp), (53, Protocol::Tcp), (80, Protocol::Sctp)] {
            assert!(addresses(&container.ports, port, protocol).is_empty(), "{port}");
        }
        assert!(addresses(&Container::of(json!({"Ports": null})).ports, 80, Protocol::Tcp).is_empty());
    }
}
