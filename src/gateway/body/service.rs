//! The rules of a service, which spells most of what a container has in words of its own.

use serde_json::Value;

use super::{
    Hit, Seen, container, mounts, ports,
    read::{flag, number, part, text, texts, words},
};
use crate::{config::limits::Rule, docker::names::quote};

/// The part of a service that is a container.
pub(super) fn container_of(spec: &Value) -> &Value {
    part(spec, &["TaskTemplate", "ContainerSpec"])
}

/// The rules that a service hits, beside its mounts, variables, labels and its image.
pub(super) fn hits(spec: &Value, seen: &Seen) -> Vec<Hit> {
    let container = container_of(spec);
    let task = part(spec, &["TaskTemplate"]);
    let place = |field: &str| format!("TaskTemplate.ContainerSpec.{field}");
    let mut hits = privileges(part(container, &["Privileges"]), &place("Privileges"));
    for capability in texts(container, "CapabilityAdd").filter(|name| !container::is_usual(name)) {
        hits.push(Hit::at(Rule::Capability, format!("capability {}", quote(capability)), &place("CapabilityAdd")));
    }
    for (name, _) in words(container, "Sysctls").filter(|(name, _)| !container::is_of_network(name)) {
        hits.push(Hit::at(Rule::Sysctl, format!("kernel setting {}", quote(name)), &place("Sysctls")));
    }
    for host in texts(container, "Hosts").filter(|host| host.to_lowercase().contains("host-gateway")) {
        hits.push(Hit::at(Rule::HostGateway, format!("name {}", quote(host)), &place("Hosts")));
    }
    hits.extend(container::oom(container, &place("OomScoreAdj")));
    if !part(task, &["PluginSpec"]).is_null() || text(task, "Runtime").to_lowercase().contains("plugin") {
        let name = text(part(task, &["PluginSpec"]), "Remote");
        hits.push(Hit::at(Rule::PluginPrivileges, format!("plugin {}", quote(name)), "TaskTemplate.PluginSpec"));
    }
    let resources = part(task, &["Resources"]);
    let limits = part(resources, &["Limits"]);
    hits.extend(mounts::gpus_of_service(resources));
    hits.extend(container::limits(number(limits, "MemoryBytes"), number(limits, "Pids")));
    hits.extend(container::log(part(task, &["LogDriver"]), "Name", "Options", seen, "TaskTemplate.LogDriver"));
    hits.extend(ports::of_service(part(spec, &["EndpointSpec"])));
    hits
}

/// What loosens a service's confinement.
fn privileges(privileges: &Value, place: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut hit = |what: String| hits.push(Hit::at(Rule::SecurityOpt, what, place));
    let seccomp = text(part(privileges, &["Seccomp"]), "Mode");
    if !seccomp.is_empty() && !seccomp.eq_ignore_ascii_case("default") {
        hit(format!("seccomp mode {}", quote(seccomp)));
    }
    let apparmor = text(part(privileges, &["AppArmor"]), "Mode");
    if !apparmor.is_empty() && !apparmor.eq_ignore_ascii_case("default") {
        hit(format!("AppArmor mode {}", quote(apparmor)));
    }
    let label = part(privileges, &["SELinuxContext"]);
    if flag(label, "Disable") || ["User", "Role", "Type", "Level"].iter().any(|field| !text(label, field).is_empty()) {
        hit("an SELinux context".to_owned());
    }
    if part(privileges, &["CredentialSpec"]).as_object().is_some_and(|spec| !spec.is_empty()) {
        hit("a credential of the machine".to_owned());
    }
    hits
}
