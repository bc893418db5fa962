//! What a daemon says of itself, by section.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ROOM, parts};
use crate::{
    docker::{Docker, HEADERS},
    error::Result,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Json, Summary, text::count},
    tools::view::{bytes, clipped, fit, text},
};

/// The most characters of one text that the daemon says.
const LONGEST_TEXT: usize = 500;

/// Shows what a daemon is: version, machine, storage, runtimes, swarm, security, its own warnings.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Info {
    /// Which part. Default: summary.
    #[serde(default)]
    section: Section,
}

/// A part of what a daemon says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Section {
    #[default]
    Summary,
    Daemon,
    Runtime,
    Storage,
    Swarm,
    Security,
    Warnings,
    All,
}

#[expect(clippy::struct_field_names, reason = "clients see the names")]
#[derive(Serialize, JsonSchema)]
pub(super) struct Daemons {
    daemons: Vec<Daemon>,
    hosts: Vec<HostStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Daemon {
    host: String,
    #[serde(flatten)]
    sections: Json,
    #[serde(skip)]
    warnings: usize,
}

impl Summary for Daemons {
    fn summary(&self) -> String {
        let warnings = self.daemons.iter().map(|daemon| daemon.warnings).sum();
        let rest = match (self.shown, self.total) {
            (Some(shown), Some(total)) => format!(" of {total} ({shown} fit one answer: ask for fewer hosts)"),
            _ => String::new(),
        };
        format!("{}{rest}, {}", count(self.daemons.len(), "daemon"), count(warnings, "warning"))
    }
}

impl FleetTool for Info {
    const NAME: &'static str = "info";
    type Part = Daemon;
    type Output = Daemons;

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Daemon> {
        let mut info = docker.info(HEADERS).await?;
        strip(&mut info);
        let warnings = info.get("Warnings").and_then(Value::as_array).map_or(0, Vec::len);
        Ok(Daemon { host: docker.host().to_owned(), sections: self.section.fields(&info), warnings })
    }

    fn combine(self, answers: Vec<HostAnswer<Daemon>>, _: &Call) -> Result<Daemons> {
        let hosts = HostStatus::of(&answers);
        let mut daemons = parts(answers);
        let total = daemons.len();
        fit(&mut daemons, &mut ROOM.clone());
        let cut = (daemons.len() < total).then_some((total, daemons.len()));
        Ok(Daemons { daemons, hosts, total: cut.map(|(total, _)| total), shown: cut.map(|(_, shown)| shown) })
    }
}

impl Section {
    const PARTS: [Self; 6] = [Self::Daemon, Self::Runtime, Self::Storage, Self::Swarm, Self::Security, Self::Warnings];

    const fn name(self) -> &'static str {
        match self {
            Self::Summary => "summary",
            Self::Daemon => "daemon",
            Self::Runtime => "runtime",
            Self::Storage => "storage",
            Self::Swarm => "swarm",
            Self::Security => "security",
            Self::Warnings => "warnings",
            Self::All => "all",
        }
    }

    /// One section as fields, or all of them by name.
    fn fields(self, info: &Value) -> Json {
        let fields = |section: Self| match section.view(info) {
            Value::Object(fields) => fields.into_iter().filter(|(_, value)| says_something(value)).collect(),
            other => Json::from_iter([(section.name().to_owned(), other)]),
        };
        match self {
            Self::All => {
                Self::PARTS.into_iter().map(|section| (section.name().to_owned(), fields(section).into())).collect()
            }
            section => fields(section),
        }
    }

    fn view(self, info: &Value) -> Value {
        let at = |pointer: &str| info.pointer(pointer).cloned().unwrap_or_default();
        let size = |pointer: &str| info.pointer(pointer).and_then(Value::as_u64).map(bytes);
        match self {
            Self::Summary | Self::All => json!({
                "version": at("/ServerVersion"), "name": at("/Name"), "system": at("/OperatingSystem"),
                "kernel": at("/KernelVersion"), "architecture": at("/Architecture"), "cpus": at("/NCPU"),
                "memory": size("/MemTotal"), "running": at("/ContainersRunning"),
                "paused": at("/ContainersPaused"), "stopped": at("/ContainersStopped"),
                "images": at("/Images"), "storage_driver": at("/Driver"), "log_driver": at("/LoggingDriver"),
                "cgroups": cgroups(info), "swarm": at("/Swarm/LocalNodeState"), "warnings": at("/Warnings"),
            }),
            Self::Daemon => json!({
                "id": at("/ID"), "name": at("/Name"), "version": at("/ServerVersion"),
                "system": at("/OperatingSystem"), "system_version": at("/OSVersion"), "kind": at("/OSType"),
                "kernel": at("/KernelVersion"), "architecture": at("/Architecture"), "cpus": at("/NCPU"),
                "memory": size("/MemTotal"), "time": at("/SystemTime"), "labels": at("/Labels"),
                "log_driver": at("/LoggingDriver"), "debug": at("/Debug"), "experimental": at("/ExperimentalBuild"),
                "live_restore": at("/LiveRestoreEnabled"), "address_pools": at("/DefaultAddressPools"),
                "http_proxy": at("/HttpProxy"), "https_proxy": at("/HttpsProxy"), "no_proxy": at("/NoProxy"),
                "mirrors": at("/RegistryConfig/Mirrors"), "index": at("/IndexServerAddress"),
                "goroutines": at("/NGoroutines"), "open_files": at("/NFd"), "product_license": at("/ProductLicense"),
            }),
            Self::Runtime => json!({
                "default": at("/DefaultRuntime"), "runtimes": names(info.get("Runtimes")),
                "containerd": at("/ContainerdCommit/ID"), "runc": at("/RuncCommit/ID"), "init": at("/InitCommit/ID"),
                "init_binary": at("/InitBinary"), "isolation": at("/Isolation"), "cgroups": cgroups(info),
                "log_drivers": at("/Plugins/Log"), "network_drivers": at("/Plugins/Network"),
                "volume_drivers": at("/Plugins/Volume"), "generic_resources": at("/GenericResources"),
                "devices": at("/DiscoveredDevices"),
            }),
            Self::Storage => json!({
                "driver": at("/Driver"), "root": at("/DockerRootDir"), "status": status(info.get("DriverStatus")),
                "containers": at("/Containers"), "images": at("/Images"),
            }),
            Self::Swarm => json!({
                "state": at("/Swarm/LocalNodeState"), "error": at("/Swarm/Error"), "node_id": at("/Swarm/NodeID"),
                "node_address": at("/Swarm/NodeAddr"), "is_manager": at("/Swarm/ControlAvailable"),
                "managers": at("/Swarm/Managers"), "nodes": at("/Swarm/Nodes"), "cluster_id": at("/Swarm/Cluster/ID"),
            }),
            Self::Security => json!({
                "options": at("/SecurityOptions"), "authorization_plugins": at("/Plugins/Authorization"),
                "insecure_registries": at("/RegistryConfig/InsecureRegistryCIDRs"),
                "limits_it_cannot_set": unsupported(info),
            }),
            Self::Warnings => match info.get("Warnings") {
                Some(Value::Array(warnings)) => warnings.clone().into(),
                _ => Value::Array(Vec::new()),
            },
        }
    }
}

/// Everything that the daemon says is text of a machine that may be foreign.
fn strip(document: &mut Value) {
    match document {
        Value::String(text) => *text = clipped(text, LONGEST_TEXT),
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(fields) => fields.values_mut().for_each(strip),
        _ => {}
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Number(_) | Value::Bool(true) => true,
    }
}

fn cgroups(info: &Value) -> String {
    format!("v{}, {}", text(info, "CgroupVersion"), text(info, "CgroupDriver"))
}

fn names(document: Option<&Value>) -> Vec<&str> {
    document.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// The storage driver's pairs of names and values.
fn status(pairs: Option<&Value>) -> Value {
    let pairs = pairs.and_then(Value::as_array).into_iter().flatten();
    let fields = pairs.filter_map(|pair| {
        let name = pair.get(0)?.as_str()?;
        Some((name.to_owned(), pair.get(1)?.clone()))
    });
    fields.collect::<Json>().into()
}

/// What the kernel lacks for limits.
fn unsupported(info: &Value) -> Vec<&'static str> {
    [
        ("MemoryLimit", "memory"),
        ("SwapLimit", "swap"),
        ("CpuCfsQuota", "cpu quota"),
        ("CPUShares", "cpu shares"),
        ("CPUSet", "cpu set"),
        ("PidsLimit", "pids"),
    ]
    .into_iter()
    .filter(|(field, _)| info.get(*field) == Some(&Value::Bool(false)))
    .map(|(_, name)| name)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_may_say_anything() {
        for info in [Value::Null, json!([]), json!({"Warnings": 7, "Plugins": "x", "DriverStatus": [["a"], 3, null]})] {
            for section in [Section::Summary, Section::All, Section::Storage, Section::Warnings] {
                section.fields(&info);
            }
        }
    }

    #[test]
    fn sections_say_only_what_there_is_to_say() {
        let mut info = json!({
            "ServerVersion": "26.1.5", "ContainersRunning": 0, "Swarm": {"LocalNodeState": "inactive"},
            "DriverStatus": [["Backing Filesystem", "extfs"]], "Runtimes": {"runc": {"path": "runc"}},
            "SwapLimit": false, "Warnings": ["WARNING: \u{1b}[31mno swap limit"], "Debug": false,
        });
        strip(&mut info);
        let summary = Section::Summary.fields(&info);
        assert_eq!(summary.get("running"), Some(&json!(0)));
        assert_eq!(summary.get("warnings"), Some(&json!(["WARNING: no swap limit"])));
        assert!(!summary.contains_key("paused"));
        let all = Section::All.fields(&info);
        assert_eq!(all.keys().collect::<Vec<_>>(), ["daemon", "runtime", "storage", "swarm", "security", "warnings"]);
        assert_eq!(all["security"]["limits_it_cannot_set"], json!(["swap"]));
        assert_eq!(all["storage"]["status"]["Backing Filesystem"], "extfs");
    }
}
