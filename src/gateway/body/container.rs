//! The rules of a container's `HostConfig`, which a create, an update and an inspect share.

use serde_json::Value;

use super::{
    Hit, Seen, mounts,
    read::{flag, items, number, part, text, texts, words},
};
use crate::{config::limits::Rule, docker::names::quote};

/// What Docker gives every container.
const CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// What every engine since 20.10 hides; newer ones hide more.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
/// What every engine since 20.10 keeps from being written.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
/// Log drivers that keep what they get on the engine's machine.
const LOCAL_LOGS: &[&str] = &["", "none", "json-file", "local", "journald", "etwlogs", "db"];

/// Whose namespace a mode means.
pub(super) enum Mode<'a> {
    /// The container's own, or one that the engine made.
    Own,
    /// The machine's.
    Machine,
    /// Another container's.
    Of(&'a str),
}

/// What a mode of `HostConfig` says. Podman's `ns:/proc/1/ns/net` is the machine's, or as bad.
pub(super) fn mode(value: &str) -> Mode<'_> {
    let (kind, rest) = value.split_once(':').unwrap_or((value, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "host" | "ns" => Mode::Machine,
        "container" => Mode::Of(rest),
        _ => Mode::Own,
    }
}

/// The modes that can mean another's namespace: the field, and the rule that the machine's one hits.
pub(super) const MODES: &[(&str, Rule)] = &[
    ("PidMode", Rule::HostPid),
    ("NetworkMode", Rule::HostNet),
    ("IpcMode", Rule::HostIpc),
    ("UTSMode", Rule::HostUts),
    ("UsernsMode", Rule::HostUserns),
    ("CgroupnsMode", Rule::HostCgroup),
    ("Cgroup", Rule::HostCgroup),
];

/// The containers whose namespaces it takes, as they were named.
pub(super) fn namespaces(host: &Value) -> impl Iterator<Item = &str> {
    MODES.iter().filter_map(|(field, _)| match mode(text(host, field)) {
        Mode::Of(container) => Some(container),
        Mode::Own | Mode::Machine => None,
    })
}

/// The containers whose volumes it takes, as they were named.
pub(super) fn volumes_from(host: &Value) -> impl Iterator<Item = &str> {
    texts(host, "VolumesFrom").map(|spec| spec.split(':').next().unwrap_or_default())
}

/// The rules that the rights of a container hit, beside its mounts and ports.
pub(super) fn rights(host: &Value, seen: &Seen, prefix: &str) -> Vec<Hit> {
    let place = |field: &str| if prefix.is_empty() { field.to_owned() } else { format!("{prefix}.{field}") };
    let mut hits = Vec::new();
    let mut hit = |rule, what: String, field: &str| hits.push(Hit::at(rule, what, &place(field)));
    if flag(host, "Privileged") {
        hit(Rule::Privileged, "privileged mode".to_owned(), "Privileged");
    }
    for capability in texts(host, "CapAdd").filter(|capability| !is_usual(capability)) {
        hit(Rule::Capability, format!("capability {}", quote(capability)), "CapAdd");
    }
    for (field, rule) in MODES {
        let value = text(host, field);
        if matches!(mode(value), Mode::Machine) && !(*field == "CgroupnsMode" && seen.shares_cgroups()) {
            hit(*rule, format!("mode {}", quote(value)), field);
        }
    }
    if text(host, "IpcMode").eq_ignore_ascii_case("shareable") {
        hit(Rule::HostIpc, "mode \"shareable\"".to_owned(), "IpcMode");
    }
    if !text(host, "CgroupParent").is_empty() {
        hit(Rule::HostCgroup, format!("parent {}", quote(text(host, "CgroupParent"))), "CgroupParent");
    }
    for option in texts(host, "SecurityOpt") {
        // The engine adds this one by itself to a container that may see the machine's processes or memory.
        let machine = |field| matches!(mode(text(host, field)), Mode::Machine);
        let own = option == "label=disable" && (flag(host, "Privileged") || machine("PidMode") || machine("IpcMode"));
        if !own && loosens(option) {
            hit(Rule::SecurityOpt, format!("option {}", quote(option)), "SecurityOpt");
        }
    }
    for (field, usual) in [("MaskedPaths", MASKED), ("ReadonlyPaths", READ_ONLY)] {
        let given: Option<Vec<&str>> =
            host.get(field).and_then(Value::as_array).map(|paths| paths.iter().filter_map(Value::as_str).collect());
        // Absent is the engine's own list; a list that holds all of it takes nothing away.
        if let Some(lacking) = given.and_then(|given| usual.iter().find(|path| !given.contains(path))) {
            hit(Rule::MaskedPaths, format!("a list without {}", quote(lacking)), field);
        }
    }
    let runtime = text(host, "Runtime");
    if !runtime.is_empty() && !seen.is_default_runtime(runtime) {
        hit(Rule::Runtime, format!("runtime {}", quote(runtime)), "Runtime");
    }
    for (name, _) in words(host, "Sysctls").filter(|(name, _)| !is_of_network(name)) {
        hit(Rule::Sysctl, format!("kernel setting {}", quote(name)), "Sysctls");
    }
    hits.extend(mounts::devices(host, &place));
    hits.extend(log(part(host, &["LogConfig"]), "Type", "Config", seen, &place("LogConfig")));
    hits
}

/// The rules about how it is run, which harm nobody's secrets.
pub(super) fn manners(host: &Value, prefix: &str) -> Vec<Hit> {
    let place = |field: &str| if prefix.is_empty() { field.to_owned() } else { format!("{prefix}.{field}") };
    let mut hits = Vec::new();
    let policy = text(part(host, &["RestartPolicy"]), "Name");
    if ["always", "unless-stopped"].contains(&policy) {
        hits.push(Hit::at(Rule::RestartAlways, format!("restart policy {}", quote(policy)), &place("RestartPolicy")));
    }
    if flag(host, "OomKillDisable") {
        hits.push(Hit::at(Rule::Oom, "no end when memory runs out", &place("OomKillDisable")));
    }
    hits.extend(oom(host, &place("OomScoreAdj")));
    for host in texts(host, "ExtraHosts").filter(|host| host.to_lowercase().contains("host-gateway")) {
        hits.push(Hit::at(Rule::HostGateway, format!("name {}", quote(host)), &place("ExtraHosts")));
    }
    for link in texts(host, "Links") {
        // A link puts the other's variables into the new one.
        hits.push(Hit::at(Rule::ContainerNamespace, format!("a link to {}", quote(link)), &place("Links")));
    }
    hits
}

/// Nothing that keeps it from eating the machine.
pub(super) fn limits(memory: Option<i64>, processes: Option<i64>) -> Option<Hit> {
    let free = |limit: Option<i64>| limit.is_none_or(|limit| limit <= 0);
    let what = match (free(memory), free(processes)) {
        (true, true) => "no limit of memory and processes",
        (true, false) => "no limit of memory",
        (false, true) => "no limit of processes",
        (false, false) => return None,
    };
    Some(Hit::new(Rule::Limits, what.to_owned()))
}

/// A score that spares it.
pub(super) fn oom(document: &Value, place: &str) -> Option<Hit> {
    let score = number(document, "OomScoreAdj").filter(|score| *score < 0)?;
    Some(Hit::at(Rule::Oom, format!("the score {score}"), place))
}

/// A log driver that sends what a container says to another place than the engine does by itself.
pub(super) fn log(config: &Value, name: &str, options: &str, seen: &Seen, place: &str) -> Option<Hit> {
    let driver = text(config, name);
    let is_local = LOCAL_LOGS.contains(&driver);
    let is_own = seen.is_default_log(driver) && words(config, options).next().is_none();
    (!is_local && !is_own).then(|| Hit::at(Rule::LogDriver, format!("log driver {}", quote(driver)), place))
}

/// Whether Docker gives a capability to every container anyway; names go with and without `CAP_`, in any case.
pub(super) fn is_usual(capability: &str) -> bool {
    let upper = capability.to_ascii_uppercase();
    CAPABILITIES.contains(&upper.strip_prefix("CAP_").unwrap_or(&upper))
}

/// Whether a kernel setting is one of the container's own network.
pub(super) fn is_of_network(name: &str) -> bool {
    let name = name.replace('/', ".");
    name.starts_with("net.") && !name.contains("..")
}

/// Whether a security option takes away what protects. What is not known to be harmless does.
fn loosens(option: &str) -> bool {
    // The engine takes the first `=`, and a colon only where there is none.
    let (name, value) = match option.split_once('=').or_else(|| option.split_once(':')) {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let harmless = match (name, value) {
        ("no-new-privileges", None) => true,
        ("no-new-privileges", Some(value)) => ["1", "t", "T", "TRUE", "true", "True"].contains(&value),
        ("apparmor", Some(profile)) => profile == "docker-default",
        _ => false,
    };
    !harmless
}

/// Whether any of its modes or settings is only judged with the engine's own ones known.
pub(super) fn needs_engine(host: &Value) -> bool {
    let runtime = text(host, "Runtime");
    let log = text(part(host, &["LogConfig"]), "Type");
    !runtime.is_empty()
        || matches!(mode(text(host, "CgroupnsMode")), Mode::Machine)
        || !LOCAL_LOGS.contains(&log)
        || mounts::has_paths(mounts::of_host(host))
}

/// Whether a network or an endpoint means the machine's network by its name.
pub(super) fn is_host_network(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("host")
}

/// The networks that a new container is put on, beside its mode.
pub(super) fn endpoints(body: &Value) -> impl Iterator<Item = &str> {
    let endpoints = part(body, &["NetworkingConfig", "EndpointsConfig"]).as_object();
    endpoints.into_iter().flatten().map(|(name, _)| name.as_str())
}

/// The networks that a service is put on.
pub(super) fn networks_of_service(spec: &Value) -> impl Iterator<Item = &str> {
    let task = items(part(spec, &["TaskTemplate"]), "Networks").iter();
    task.chain(items(spec, "Networks")).map(|network| text(network, "Target"))
}
