//! Two engines that can make a swarm, and a gateway in front of them.

use std::{path::PathBuf, sync::Arc};

use quaymaster::{
    config::{Config, Environment},
    gateway::{Gateway, Request},
    tool::Permission,
};
use serde_json::{Value, json};

use crate::{
    faults::{
        own_engine::{OwnEngine, Release},
        space::connect,
    },
    rig::{Reply, environment, gateway_in, open},
};

/// The address of the first engine on the cable.
pub const FIRST: &str = "10.77.0.1";
/// The address of the second one.
pub const SECOND: &str = "10.77.0.2";

/// Two engines, called `first` and `second` as hosts and as nodes, with a cable between them.
pub struct Swarm {
    pub first: OwnEngine,
    pub second: OwnEngine,
    pub gateway: Arc<Gateway>,
    secrets: tempfile::TempDir,
}

impl Swarm {
    /// Engines 26.1 and one of another release, in no swarm yet.
    pub fn apart(second: Release) -> Self {
        // One after the other: they end with the thread that started them.
        let (first, second) = (OwnEngine::of_swarm(Release::New, "first"), OwnEngine::of_swarm(second, "second"));
        connect(&first.space, &second.space);
        let secrets = tempfile::tempdir().unwrap();
        let gateway = guarded(&first, &second, secrets.path().to_owned(), "", |_| {});
        Self { first, second, gateway, secrets }
    }

    /// The same as one swarm: the first engine manages, the second works.
    pub fn together(second: Release) -> Self {
        let swarm = Self::apart(second);
        swarm.first.docker(&["swarm", "init", "--advertise-addr", FIRST]);
        let token = swarm.first.docker(&["swarm", "join-token", "--quiet", "worker"]);
        swarm.second.docker(&[
            "swarm",
            "join",
            "--advertise-addr",
            SECOND,
            "--token",
            &token,
            &format!("{FIRST}:2377"),
        ]);
        swarm
    }

    /// A gateway with markers such as `(ro)` behind both hosts, and settings of its own.
    pub fn marked(&self, markers: &str, set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
        guarded(&self.first, &self.second, self.store(), markers, set)
    }

    /// Calls a tool for a host.
    pub async fn call(&self, host: &str, tool: &str, arguments: Value) -> Reply {
        call(&self.gateway, host, tool, arguments).await
    }

    /// Calls a tool until its answer is as wanted, for half a minute.
    pub async fn until(&self, host: &str, tool: &str, arguments: Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Value::Null;
        for _ in 0..60 {
            let reply = self.call(host, tool, arguments.clone()).await;
            if !reply.is_error() {
                seen = reply.ok();
                if wanted(&seen) {
                    return seen;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        panic!("{tool} {arguments} never became what it should: {seen}");
    }

    /// The operator's store of secrets.
    pub fn store(&self) -> PathBuf {
        self.secrets.path().to_owned()
    }
}

/// Calls a tool for a host of a gateway.
pub async fn call(gateway: &Arc<Gateway>, host: &str, tool: &str, mut arguments: Value) -> Reply {
    arguments["host"] = json!(host);
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    Reply::of(gateway.call(Request::new(gateway.caller("test"), tool, arguments)).await)
}

fn guarded(
    first: &OwnEngine,
    second: &OwnEngine,
    store: PathBuf,
    markers: &str,
    set: impl FnOnce(&mut Config),
) -> Arc<Gateway> {
    let specs = [format!("first={}{markers}", first.endpoint()), format!("second={}{markers}", second.endpoint())];
    gateway_in(Environment { ..environment() }, &specs, |config| {
        open(config);
        config.secrets = Some(store);
        for host in &mut config.hosts {
            host.limits.permissions = host.limits.permissions.with(Permission::Credentials);
        }
        set(config);
    })
}
