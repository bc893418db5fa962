//! Which hosts there are, and new connections to one.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Gateway, OwnTool};
use crate::{
    config::Mode,
    docker::{Host, probe::Enforcement, twins},
    error::{Error, Result},
    gateway::caller::Caller,
    tool::{Call, HostArgument, Permissions, Summary, text::count},
};

/// When the answer to a probe has to have begun.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a probe may take: a little beyond the 5 s of connecting, whose failure is to be remembered.
const PROBE: Duration = Duration::from_millis(5_200);

/// Lists the Docker hosts: name, mode (rw all, nd nothing destroyed, ro read-only), tags, the operator's note, status.
///
/// Call it first. Without `probe` it says what is known and contacts nobody.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListHosts {
    /// Only hosts with this tag.
    #[serde(default)]
    tag: Option<String>,
    /// Only hosts with this status.
    #[serde(default)]
    status: Option<Status>,
    /// Asks each host first, at most 5 s. Default: false.
    #[serde(default)]
    probe: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// It answered the last time.
    Ok,
    /// It could not be reached the last time.
    Unreachable,
    /// It was not asked yet.
    Unknown,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Hosts {
    hosts: Vec<HostRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
struct HostRow {
    host: String,
    mode: String,
    /// Where they are not what the mode implies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<String>,
    status: Status,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    default: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// Calls fail at once until the host is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    tried_again_in_s: Option<u64>,
    enforcement: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    enforcement_checked: Option<String>,
}

impl Summary for Hosts {
    fn summary(&self) -> String {
        let unreachable = self.hosts.iter().filter(|host| host.status == Status::Unreachable).count();
        let unreachable = if unreachable > 0 { format!(", {unreachable} unreachable") } else { String::new() };
        format!("{}{unreachable}; reads go to the default host, writes must name one", count(self.hosts.len(), "host"))
    }
}

impl OwnTool for ListHosts {
    const NAME: &'static str = "list_hosts";
    const CORE: bool = true;
    type Output = Hosts;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, _: &Caller, _: &Call) -> Result<Hosts> {
        let fleet = gateway.fleet();
        let mut hosts = match &self.tag {
            Some(tag) => fleet.scope(&format!("tag:{}", tag.trim_start_matches("tag:")))?,
            None => fleet.all(),
        };
        if self.probe {
            stream::iter(&hosts)
                .for_each_concurrent(64, |host| async move {
                    // Whoever asks for it wants to know now.
                    host.hurry();
                    tokio::time::timeout(PROBE, host.reading().info(ANSWER)).await.ok();
                })
                .await;
        }
        let default = fleet.configs().first().map(|config| config.name.clone());
        let status = |host: &Arc<Host>| match host.health() {
            health if health.failure.is_some() => Status::Unreachable,
            health if health.seen.is_some() => Status::Ok,
            _ => Status::Unknown,
        };
        hosts.retain(|host| self.status.is_none_or(|wanted| wanted == status(host)));
        let known = gateway.probes().known();
        let rows = hosts.iter().map(|host| {
            let (config, health, engine) = (host.config(), host.health(), host.engine());
            let granted = config.limits.permissions;
            let differs = granted != Permissions::implied_by(config.mode);
            let probed = known.of(config);
            // Whether an endpoint refuses writes by itself is not known before a person has probed it.
            let assumed = if config.mode == Mode::Rw { Enforcement::Unknown } else { Enforcement::Gateway };
            HostRow {
                host: config.name.clone(),
                mode: config.mode.as_str().to_owned(),
                permissions: granted.iter().filter(|_| differs).map(|each| each.as_str().to_owned()).collect(),
                status: status(host),
                default: Some(&config.name) == default.as_ref(),
                tags: config.tags.clone(),
                note: config.note.clone(),
                engine: engine.as_ref().and_then(|engine| engine.version.clone()),
                api: engine.map(|engine| engine.api.to_string()),
                latency_ms: health.latency.map(|latency| (latency.as_secs_f64() * 10_000.0).round() / 10.0),
                seen: health.seen.map(rfc3339),
                error: health.failure.as_ref().map(|(error, _)| error.to_string()),
                since: health.failure.map(|(_, since)| rfc3339(since)),
                tried_again_in_s: health.tripped.map(|tripped| tripped.again.as_secs()),
                enforcement: probed.map_or(assumed, |(enforcement, _)| enforcement).as_str().to_owned(),
                enforcement_checked: probed.map(|(_, checked)| checked.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            }
        });
        let ids: Vec<(&str, String)> =
            hosts.iter().filter_map(|host| Some((host.config().name.as_str(), host.engine()?.id?))).collect();
        let warnings = twins(ids.iter().map(|(host, id)| (*host, id.as_str())));
        Ok(Hosts { hosts: rows.collect(), warnings })
    }
}

fn rfc3339(time: std::time::SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default()
}

/// Opens new connections to a host for new calls, after a network change or a daemon's restart.
///
/// Calls in flight keep theirs. At most once in 10 s.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReconnectHost {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Reconnected {
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<String>,
    api: String,
}

impl Summary for Reconnected {
    fn summary(&self) -> String {
        format!("\"{}\" answers", self.host)
    }
}

impl OwnTool for ReconnectHost {
    const NAME: &'static str = "reconnect_host";
    const HOST: HostArgument = HostArgument::One;
    type Output = Reconnected;

    async fn call(self, _: &Gateway, hosts: Vec<Arc<Host>>, _: &Caller, _: &Call) -> Result<Reconnected> {
        let host = hosts.first().ok_or_else(|| Error::internal("a call has no host"))?;
        let name = host.config().name.clone();
        let engine = host.reconnect().await.map_err(|error| error.on(&name))?;
        Ok(Reconnected { host: name, engine: engine.version, api: engine.api.to_string() })
    }
}
