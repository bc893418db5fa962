//! Statistics: what running containers use right now, from two samples a second apart.

use std::{cmp::Ordering, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target, names},
    error::{Kind, Result},
    tool::{
        Call, FleetTool, HostAnswer, HostStatus, Summary,
        page::{LONGEST_ANSWER, USUAL_ANSWER},
        text::count,
    },
    tools::view::{bytes, container_name, fit, short_id, sum, text},
};

/// How many containers of a host are asked at once.
const AT_ONCE: usize = 16;
/// The time between the two samples that the CPU share is computed from.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long one sample may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Shows what running containers use: CPU, memory without cache, network, block I/O, processes, throttling.
///
/// CPU is in percent of one core; other numbers are totals since the start.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerStats {
    /// Names or ids. Default: all running ones.
    #[serde(default)]
    #[schemars(length(max = 200))]
    containers: Vec<String>,
    /// What comes first. Default: cpu.
    #[serde(default)]
    sort: Sort,
    /// Rows. Default: 50.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
}

/// What rows are ordered by: the most first, names from a to z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Sort {
    #[default]
    Cpu,
    Memory,
    Name,
    Network,
    BlockIo,
    Pids,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Statistics {
    containers: Vec<Row>,
    /// Named, but not running or not there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<Missing>,
    hosts: Vec<HostStatus>,
    /// Whether there is more; measured anew each time, so there is no cursor: name some, or sort differently.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Row {
    host: String,
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_percent: Option<f64>,
    memory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_percent: Option<f64>,
    network_received: String,
    network_sent: String,
    block_read: String,
    block_written: String,
    pids: u64,
    /// Of how many periods with a CPU limit, how many used it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    throttled_periods: Option<String>,
    #[serde(skip)]
    usage: Usage,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Missing {
    host: String,
    name: String,
    reason: String,
}

/// What one host contributes.
pub(super) struct Part {
    rows: Vec<Row>,
    missing: Vec<Missing>,
}

impl Summary for Statistics {
    fn summary(&self) -> String {
        let rest = match (self.shown, self.total) {
            (Some(shown), Some(total)) => format!(", {} more: name some, or sort differently", total - shown),
            _ => String::new(),
        };
        format!("{}{rest}", count(self.containers.len(), "running container"))
    }
}

impl FleetTool for ContainerStats {
    const NAME: &'static str = "container_stats";
    const CORE: bool = true;
    type Part = Part;
    type Output = Statistics;

    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    fn check(&self) -> Result<()> {
        self.containers.iter().try_for_each(|name| names::object("containers", name).map(drop))
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Part> {
        let (containers, missing) =
            if self.containers.is_empty() { (running(docker).await?, Vec::new()) } else { self.named(docker).await? };
        let first = samples(docker, &containers).await?;
        tokio::time::sleep(BETWEEN).await;
        let second = samples(docker, &containers).await?;
        let rows = containers.iter().zip(first.iter().zip(&second)).filter_map(|(container, samples)| match samples {
            // One that ended meanwhile is left out.
            (Some(before), Some(after)) => Some(row(docker.host(), container, before, after)),
            _ => None,
        });
        Ok(Part { rows: rows.collect(), missing })
    }

    fn combine(self, answers: Vec<HostAnswer<Part>>, _: &Call) -> Result<Statistics> {
        let hosts = HostStatus::of(&answers);
        let (mut containers, mut missing) = (Vec::new(), Vec::new());
        for part in answers.into_iter().filter_map(|answer| answer.answer.ok()) {
            containers.extend(part.rows);
            missing.extend(part.missing);
        }
        // On a fleet a name need not be everywhere.
        if hosts.len() > 1 {
            missing.retain(|missing| {
                !containers.iter().any(|row: &Row| row.name == missing.name || row.id == missing.name)
            });
        }
        containers.sort_by(|left, right| {
            self.sort.compare(left, right).then_with(|| (&left.host, &left.name).cmp(&(&right.host, &right.name)))
        });
        let total = containers.len();
        containers.truncate(self.limit.unwrap_or(50));
        let room = if self.limit.is_some() { LONGEST_ANSWER - 4_000 } else { USUAL_ANSWER - 1_000 };
        fit(&mut containers, &mut room.clone());
        let cut = (containers.len() < total).then_some((total, containers.len()));
        Ok(Statistics {
            containers,
            missing,
            hosts,
            truncated: cut.is_some(),
            total: cut.map(|(total, _)| total),
            shown: cut.map(|(_, shown)| shown),
        })
    }
}

impl ContainerStats {
    /// The named ones that run, and why the others are left out.
    async fn named(&self, docker: &Docker) -> Result<(Vec<Container>, Vec<Missing>)> {
        let (mut found, mut missing): (Vec<Container>, Vec<Missing>) = (Vec::new(), Vec::new());
        let looks: Vec<_> = self.containers.iter().map(|name| docker.container("containers", name)).collect();
        let answers: Vec<_> = stream::iter(looks).buffered(AT_ONCE).collect().await;
        for (name, answer) in self.containers.iter().zip(answers) {
            let reason = match answer {
                Ok(container) if !container.is("/State/Running") => "it is not running".to_owned(),
                Ok(container) if found.iter().any(|known| known.id == container.id) => continue,
                Ok(container) => {
                    found.push(Container { id: container.id, name: container.name });
                    continue;
                }
                Err(error) if error.kind() == Kind::NotFound && self.containers.len() == 1 => return Err(error),
                Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => error.to_string(),
                Err(error) => return Err(error),
            };
            missing.push(Missing { host: docker.host().to_owned(), name: name.clone(), reason });
        }
        Ok((found, missing))
    }
}

struct Container {
    id: String,
    name: String,
}

async fn running(docker: &Docker) -> Result<Vec<Container>> {
    let listed = docker.json(Target::new("/containers/json")).await?;
    let containers = listed.as_array().into_iter().flatten().map(|container| Container {
        id: text(container, "Id").to_owned(),
        name: container_name(container).to_owned(),
    });
    Ok(containers.collect())
}

/// One sample of each; none of one that vanished or stopped.
///
/// `one-shot` answers at once. Without it the daemon waits for its next two samples, one to two
/// seconds for every container, and over SSH only a few requests fit side by side.
async fn samples(docker: &Docker, containers: &[Container]) -> Result<Vec<Option<Sample>>> {
    let samples: Vec<_> = containers.iter().map(|container| sample(docker, &container.id)).collect();
    stream::iter(samples).buffered(AT_ONCE).collect::<Vec<Result<_>>>().await.into_iter().collect()
}

async fn sample(docker: &Docker, container: &str) -> Result<Option<Sample>> {
    let target = Target::new(format!("/containers/{container}/stats"))
        .query("stream", "0")
        .query("one-shot", "1")
        .patient(PATIENCE);
    match docker.json(target).await {
        Ok(document) => Ok(Sample::of(&document)),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Conflict | Kind::Docker) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Sample {
    at: Timestamp,
    cpu: u64,
    usage: Usage,
    limit: u64,
    received: u64,
    sent: u64,
    read: u64,
    written: u64,
    periods: u64,
    throttled: u64,
}

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Usage {
    cpu: f64,
    memory: u64,
    network: u64,
    block: u64,
    pids: u64,
}

impl Sample {
    /// Reads an engine's document; none of a container that does not run, whose time is zero.
    fn of(document: &Value) -> Option<Self> {
        let at: Timestamp = text(document, "read").parse().ok().filter(|at| *at > Timestamp::UNIX_EPOCH)?;
        let number = |pointer: &str| document.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let networks = document.get("networks").and_then(Value::as_object).into_iter().flatten();
        let (mut received, mut sent) = (0_u64, 0_u64);
        for (_, network) in networks {
            let more = |field: &str| network.get(field).and_then(Value::as_u64).unwrap_or_default();
            (received, sent) = (sum([received, more("rx_bytes")]), sum([sent, more("tx_bytes")]));
        }
        let block = |operation: &str| -> u64 {
            let entries = document.pointer("/blkio_stats/io_service_bytes_recursive").and_then(Value::as_array);
            let of_operation =
                entries.into_iter().flatten().filter(|entry| text(entry, "op").eq_ignore_ascii_case(operation));
            sum(of_operation.filter_map(|entry| entry.get("value").and_then(Value::as_u64)))
        };
        let (read, written) = (block("read"), block("write"));
        // Cache that the kernel would give back does not count: cgroup v1 and v2 name it differently.
        let inactive = document
            .pointer("/memory_stats/stats/total_inactive_file")
            .or_else(|| document.pointer("/memory_stats/stats/inactive_file"))
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let used = number("/memory_stats/usage");
        let usage = Usage {
            cpu: 0.0,
            memory: if inactive < used { used - inactive } else { used },
            network: sum([received, sent]),
            block: sum([read, written]),
            pids: number("/pids_stats/current"),
        };
        Some(Self {
            at,
            cpu: number("/cpu_stats/cpu_usage/total_usage"),
            usage,
            limit: number("/memory_stats/limit"),
            received,
            sent,
            read,
            written,
            periods: number("/cpu_stats/throttling_data/periods"),
            throttled: number("/cpu_stats/throttling_data/throttled_periods"),
        })
    }

    /// The share of one core since the sample before, in percent.
    fn cpu_since(&self, before: &Self) -> Option<f64> {
        let elapsed =
            u64::try_from(self.at.duration_since(before.at).as_nanos()).ok().filter(|elapsed| *elapsed > 0)?;
        Some(percent(self.cpu.checked_sub(before.cpu)?, elapsed))
    }
}

fn row(host: &str, container: &Container, before: &Sample, after: &Sample) -> Row {
    let cpu = after.cpu_since(before);
    Row {
        host: host.to_owned(),
        name: container.name.clone(),
        id: short_id(&container.id),
        cpu_percent: cpu,
        memory: bytes(after.usage.memory),
        memory_limit: (after.limit > 0).then(|| bytes(after.limit)),
        memory_percent: (after.limit > 0).then(|| percent(after.usage.memory, after.limit)),
        network_received: bytes(after.received),
        network_sent: bytes(after.sent),
        block_read: bytes(after.read),
        block_written: bytes(after.written),
        pids: after.usage.pids,
        throttled_periods: (after.throttled > 0).then(|| format!("{} of {}", after.throttled, after.periods)),
        usage: Usage { cpu: cpu.unwrap_or_default(), ..after.usage },
    }
}

impl Sort {
    fn compare(self, left: &Row, right: &Row) -> Ordering {
        let (more, less) = (&right.usage, &left.usage);
        match self {
            Self::Cpu => more.cpu.total_cmp(&less.cpu),
            Self::Memory => more.memory.cmp(&less.memory),
            Self::Name => left.name.cmp(&right.name),
            Self::Network => more.network.cmp(&less.network),
            Self::BlockIo => more.block.cmp(&less.block),
            Self::Pids => more.pids.cmp(&less.pids),
        }
    }
}

/// With one decimal.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64 * 1_000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_control_group_versions_are_understood() {
        let first = json!({
            "read": "2026-11-20T16:38:50Z",
            "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000_u64}},
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"total_inactive_file": 400, "inactive_file": 1}},
            "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 6}, "eth1": {"rx_bytes": 1}},
            "blkio_stats": {"io_service_bytes_recursive": [
                {"op": "Read", "value": 10}, {"op": "Write", "value": 20}, {"op": "read", "value": 1}, {"op": "Total", "value": 30},
            ]},
            "pids_stats": {"current": 3},
        });
        let second = json!({
            "read": "2026-11-20T16:38:52Z",
            "cpu_stats": {
                "cpu_usage": {"total_usage": 4_000_000_000_u64},
                "throttling_data": {"periods": 10, "throttled_periods": 4},
            },
            "memory_stats": {"usage": 1000, "limit": 4000, "stats": {"inactive_file": 100}},
        });
        let (first, second) = (Sample::of(&first).unwrap(), Sample::of(&second).unwrap());
        assert_eq!(first.usage, Usage { cpu: 0.0, memory: 600, network: 12, block: 31, pids: 3 });
        let container = Container { id: "0123456789abcdef".into(), name: "web".into() };
        let row = row("local", &container, &first, &second);
        assert_eq!(row.cpu_percent, Some(150.0));
        assert_eq!((row.memory.as_str(), row.memory_percent), ("900 B", Some(22.5)));
        assert_eq!(row.throttled_periods.as_deref(), Some("4 of 10"));
    }

    #[test]
    fn what_does_not_run_has_no_sample() {
        assert_eq!(Sample::of(&json!({"read": "0001-01-01T00:00:00Z"})), None);
        assert_eq!(Sample::of(&json!({})), None);
        assert!(Sample::of(&json!({"read": "2026-11-20T16:38:50Z", "networks": null})).is_some());
    }
}
