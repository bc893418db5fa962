//! How a host comes into a swarm and leaves it.

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    AGREEING, Availability, PERMISSION, Placed, Standing,
    settings::{self, Settings},
};
use crate::{
    docker::{Docker, Target},
    error::{Error, Result},
    tool::{Access, Call, Plan, Tool},
    tools::view::filter,
};

/// Where an engine listens for its swarm, unless it is told.
const LISTEN: &str = "0.0.0.0:2377";

/// Makes a new swarm of one host, which is its manager.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InitSwarm {
    /// Address or interface for other nodes. Default: the only one.
    #[serde(default)]
    advertise_addr: Option<String>,
    /// Default: `0.0.0.0:2377`.
    #[serde(default)]
    listen_addr: Option<String>,
    /// For the traffic of containers. Default: `advertise_addr`.
    #[serde(default)]
    data_path_addr: Option<String>,
    /// The port for it. Default: 4789.
    #[serde(default)]
    #[schemars(range(min = 1024, max = 49_151))]
    data_path_port: Option<u32>,
    /// Ranges of swarm networks. Default: `10.0.0.0/8`.
    #[serde(default)]
    #[schemars(length(max = 50))]
    address_pools: Vec<String>,
    /// Length of their subnets. Default: 24.
    #[serde(default)]
    #[schemars(range(min = 8, max = 29))]
    subnet_size: Option<u32>,
    /// Default: active.
    #[serde(default)]
    availability: Option<Availability>,
    /// Locks a manager that is started again. Default: false.
    #[serde(default)]
    autolock: bool,
    /// Ended tasks kept for each slot. Default: 5.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    task_history: Option<u32>,
    /// Seconds between signs of life. Default: 5.
    #[serde(default)]
    #[schemars(range(min = 1, max = 3600))]
    heartbeat: Option<u32>,
    /// Of nodes. Default: 2160.
    #[serde(default)]
    #[schemars(range(min = 1, max = 87_600))]
    certificate_hours: Option<u32>,
    /// After most managers were lost: a new swarm of what this one knows. Default: false.
    #[serde(default)]
    force_new_cluster: bool,
}

/// Takes a host into a swarm.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct JoinSwarm {
    /// Name of the operator's secret that is the token, such as `prod.worker`.
    from: String,
    /// Addresses of managers, such as `10.0.0.5:2377`.
    #[schemars(length(min = 1, max = 50))]
    remote_addrs: Vec<String>,
    /// Address or interface for other nodes. Default: the only one.
    #[serde(default)]
    advertise_addr: Option<String>,
    /// Default: `0.0.0.0:2377`.
    #[serde(default)]
    listen_addr: Option<String>,
    /// For the traffic of containers. Default: `advertise_addr`.
    #[serde(default)]
    data_path_addr: Option<String>,
    /// Default: active.
    #[serde(default)]
    availability: Option<Availability>,
}

/// Takes a host out of its swarm, with all its tasks. The last manager takes the whole swarm with it, for good.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LeaveSwarm {
    /// Also a manager. Default: false.
    #[serde(default)]
    force: bool,
}

impl InitSwarm {
    fn body(&self) -> Result<Value> {
        check_addresses(self.advertise_addr.as_deref(), self.listen_addr.as_deref(), self.data_path_addr.as_deref())?;
        self.address_pools.iter().try_for_each(|pool| filter("address_pools", pool))?;
        let spec = settings::patch(&Settings {
            autolock: Some(self.autolock),
            task_history: self.task_history,
            heartbeat: self.heartbeat,
            certificate_hours: self.certificate_hours,
            ..Settings::default()
        });
        Ok(without_nulls(json!({
            "ListenAddr": self.listen_addr.as_deref().unwrap_or(LISTEN),
            "AdvertiseAddr": self.advertise_addr,
            "DataPathAddr": self.data_path_addr,
            "DataPathPort": self.data_path_port,
            "DefaultAddrPool": Some(&self.address_pools).filter(|pools| !pools.is_empty()),
            "SubnetSize": self.subnet_size,
            "Availability": self.availability.map(Availability::word),
            "ForceNewCluster": self.force_new_cluster,
            "Spec": spec,
        })))
    }
}

impl Tool for InitSwarm {
    const NAME: &'static str = "init_swarm";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Placed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        self.body()?;
        let standing = Standing::of(reading).await?;
        let plan = Plan::declared(Self::ACCESS).on([standing.node()]);
        match (standing.is_in_one(), self.force_new_cluster) {
            (true, false) => Err(standing.taken()),
            // What only the other managers know is lost.
            (true, true) => Ok(plan.losing()),
            (false, true) => Err(Error::conflict("the host is in no swarm, of which a new one could be made")
                .hint("leave out force_new_cluster")),
            (false, false) => Ok(plan),
        }
    }

    async fn call(self, docker: &Docker, _: Plan, _: &Call) -> Result<Placed> {
        docker.write(Method::POST, Target::new("/swarm/init").patient(AGREEING), Some(&self.body()?)).await?;
        let note = if self.autolock {
            "get_swarm_unlock_key keeps the key, without which a manager that is started again stays locked"
        } else {
            "get_swarm_join_tokens keeps the tokens that others join with"
        };
        Ok(Placed::now(docker, "swarm made").await?.noting(note))
    }
}

impl Tool for JoinSwarm {
    const NAME: &'static str = "join_swarm";
    const ACCESS: Access = Access::mutate(PERMISSION);
    type Output = Placed;

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        call.secrets().named(&self.from)?;
        check_addresses(self.advertise_addr.as_deref(), self.listen_addr.as_deref(), self.data_path_addr.as_deref())?;
        self.remote_addrs.iter().try_for_each(|address| filter("remote_addrs", address))?;
        let standing = Standing::of(reading).await?;
        if standing.is_in_one() {
            return Err(standing.taken());
        }
        Ok(Plan::declared(Self::ACCESS).on([standing.node()]))
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Placed> {
        let token = call.secrets().named(&self.from)?;
        let body = without_nulls(json!({
            "ListenAddr": self.listen_addr.as_deref().unwrap_or(LISTEN),
            "AdvertiseAddr": self.advertise_addr,
            "DataPathAddr": self.data_path_addr,
            "RemoteAddrs": self.remote_addrs,
            "Availability": self.availability.map(Availability::word),
            "JoinToken": token.expose(),
        }));
        docker.write(Method::POST, Target::new("/swarm/join").patient(AGREEING), Some(&body)).await?;
        Placed::now(docker, "joined").await
    }
}

impl Tool for LeaveSwarm {
    const NAME: &'static str = "leave_swarm";
    const ACCESS: Access = Access::destroy(PERMISSION);
    type Output = Placed;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        let standing = Standing::of(reading).await?;
        if !standing.is_in_one() {
            return Err(Error::conflict("the host is in no swarm"));
        }
        Ok(Plan::declared(Self::ACCESS).on([standing.node()]))
    }

    async fn call(self, docker: &Docker, _: Plan, _: &Call) -> Result<Placed> {
        let target = Target::new("/swarm/leave").query("force", self.force.to_string()).patient(AGREEING);
        docker.write(Method::POST, target, None).await?;
        Placed::now(docker, "left").await
    }
}

/// Refuses what no address or interface can be; the engine knows the rest.
fn check_addresses(advertise: Option<&str>, listen: Option<&str>, data_path: Option<&str>) -> Result<()> {
    let given = [("advertise_addr", advertise), ("listen_addr", listen), ("data_path_addr", data_path)];
    given.iter().try_for_each(|(name, address)| address.iter().try_for_each(|address| filter(name, address)))
}

/// Go reads a `null` as nothing, older engines not everywhere.
fn without_nulls(mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}
