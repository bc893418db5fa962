//! Making a network.

use std::{collections::BTreeMap, net::IpAddr};

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PERMISSION, refused};
use crate::{
    docker::{
        Docker,
        names::{self, quote},
    },
    error::{Error, Kind, Result},
    redact,
    tool::{Access, BodyKind, Call, Plan, Summary, Tool},
    tools::view::short_id,
};

/// Creates a network.
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateNetwork {
    /// Its name, which no other network has.
    name: String,
    /// Such as `overlay` or `macvlan`. Default: bridge.
    #[serde(default)]
    driver: Option<String>,
    /// Such as `10.20.0.0/24`. Default: the engine picks one.
    #[serde(default)]
    subnet: Option<String>,
    /// Its gateway. Default: the engine's choice.
    #[serde(default)]
    gateway: Option<String>,
    /// Where addresses come from. Default: the subnet.
    #[serde(default)]
    ip_range: Option<String>,
    /// Without a way out. Default: false.
    #[serde(default)]
    internal: bool,
    /// Single containers may join a swarm network. Default: false.
    #[serde(default)]
    attachable: bool,
    /// IPv6 too. Default: false.
    #[serde(default)]
    ipv6: bool,
    /// Options of the driver.
    #[serde(default)]
    options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Where it exists. Default: what the driver says.
    #[serde(default)]
    scope: Option<Scope>,
    /// The swarm's routing mesh. Default: false.
    #[serde(default)]
    ingress: bool,
}

/// Where a network exists.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    Local,
    Swarm,
    Global,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Created {
    name: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    warning: String,
}

impl Summary for Created {
    fn summary(&self) -> String {
        format!("network \"{}\" ({}) created", self.name, self.id)
    }
}

impl CreateNetwork {
    fn request(&self, call: &Call) -> Result<NetworkCreateRequest> {
        let name = names::object("name", &self.name)?;
        if let Some(driver) = &self.driver {
            // A plugin's name is an image reference.
            names::image("driver", driver)?;
        }
        Ok(NetworkCreateRequest {
            name: name.to_owned(),
            driver: self.driver.clone(),
            scope: self.scope.map(|scope| scope.word().to_owned()),
            internal: Some(self.internal),
            attachable: Some(self.attachable),
            ingress: self.ingress.then_some(true),
            ipam: self.ranges()?,
            enable_ipv6: self.ipv6.then_some(true),
            options: Some(self.options.clone().into_iter().collect()).filter(|_| !self.options.is_empty()),
            labels: Some(call.labels(&self.labels)),
            ..NetworkCreateRequest::default()
        })
    }

    fn ranges(&self) -> Result<Option<Ipam>> {
        for (argument, range) in [("subnet", &self.subnet), ("ip_range", &self.ip_range)] {
            if let Some(range) = range {
                check_range(argument, range)?;
            }
        }
        if let Some(gateway) = &self.gateway
            && gateway.parse::<IpAddr>().is_err()
        {
            return Err(Error::invalid(format!("argument \"gateway\": {} is no address", quote(gateway)))
                .hint("an address in the subnet, such as \"10.20.0.1\""));
        }
        if self.subnet.is_none() {
            return match (&self.gateway, &self.ip_range) {
                (None, None) => Ok(None),
                _ => Err(Error::invalid("argument \"subnet\" is missing")
                    .hint("\"gateway\" and \"ip_range\" lie in a subnet: give it too")),
            };
        }
        let range = IpamConfig {
            subnet: self.subnet.clone(),
            ip_range: self.ip_range.clone(),
            gateway: self.gateway.clone(),
            ..IpamConfig::default()
        };
        Ok(Some(Ipam { config: Some(vec![range]), ..Ipam::default() }))
    }
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Swarm => "swarm",
            Self::Global => "global",
        }
    }
}

impl Tool for CreateNetwork {
    const NAME: &'static str = "create_network";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Created;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let request = self.request(call)?;
        // Engines before API 1.44 make a second network of the same name.
        match reading.network("name", &self.name).await {
            Ok(other) if other.name != self.name => {}
            Err(error) if error.kind() == Kind::NotFound => {}
            Ok(_) => return Err(exists(&self.name)),
            Err(error) if error.kind() == Kind::Conflict => return Err(exists(&self.name)),
            Err(error) => return Err(error),
        }
        Plan::declared(Self::ACCESS).marked(call).sending(BodyKind::Network, &request)
    }

    async fn call(self, docker: &Docker, plan: Plan, _: &Call) -> Result<Created> {
        // What was judged is what is sent.
        let request: NetworkCreateRequest = plan.sent()?;
        let made = docker.typed().await?.create_network(request).await.map_err(|error| refused(error.into()))?;
        Ok(Created { name: self.name, id: short_id(&made.id), warning: redact::shown(&made.warning) })
    }
}

fn exists(name: &str) -> Error {
    Error::conflict(format!("there is a network {} already", quote(name)))
        .hint("inspect_network shows it; use it, or take another name")
}

fn check_range(argument: &str, range: &str) -> Result<()> {
    let fits = range.split_once('/').is_some_and(|(address, length)| {
        let most = match address.parse() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        length.parse::<u8>().is_ok_and(|length| length <= most)
    });
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!("argument \"{argument}\": {} is no range of addresses", quote(range)))
        .hint("address and length, such as \"10.20.0.0/24\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_checked() {
        for range in ["10.20.0.0/24", "fd00::/64", "0.0.0.0/0"] {
            assert!(check_range("subnet", range).is_ok(), "{range}");
        }
        for range in ["", "10.20.0.0", "10.20.0.0/33", "10.20.0/24", "fd00::/129", "x/8", "10.0.0.0/-1", "10.0.0.0/8/8"]
        {
            assert!(check_range("subnet", range).is_err(), "{range}");
        }
    }
}
