//! Containers that exist, judged by their own inspect: what is entered, and whose namespaces or volumes are taken.

use serde_json::Value;

use super::{
    Hit, Seen,
    container::{self, Mode},
    mounts::{self, Source},
    path,
    read::{part, text},
};
use crate::{config::limits::Rule, docker::names::quote};

/// Rules that say nothing of what somebody who shares a container with another gets.
const PRIVATE: &[Rule] = &[Rule::LogDriver, Rule::ForeignVolume];
/// How far namespaces are followed from one container to the next.
const DEEP: usize = 8;

/// What somebody gets who runs code in a container or changes its files.
pub(super) fn entered(facts: &Value, seen: &Seen) -> Vec<Hit> {
    let name = text(facts, "Name").trim_start_matches('/');
    let host = part(facts, &["HostConfig"]);
    let mut hits: Vec<Hit> = container::rights(host, seen, "HostConfig")
        .into_iter()
        .filter(|hit| matches!(hit.rule, Rule::Privileged | Rule::HostPid))
        .collect();
    if sees_processes(host, seen, DEEP) {
        let what = format!("mode {}", quote(text(host, "PidMode")));
        hits.push(Hit::at(Rule::HostPid, what, "HostConfig.PidMode"));
    }
    for mounted in mounts::of_inspect(facts) {
        let found = match mounted.source {
            Source::Path(path) => mounts::of_path(path, mounted.read_only, mounted.place, seen),
            Source::Volume { name, .. } => seen.disguise(name).map_or_else(Vec::new, |disguise| {
                // Options without a type and a device mount nothing.
                if disguise.is_empty() {
                    return Vec::new();
                }
                // What a device holds, nobody knows.
                let is_directory = path::canonical(&disguise.device).is_some_and(|path| !path.starts_with("/dev/"));
                if is_directory {
                    mounts::of_path(&disguise.device, mounted.read_only, mounted.place, seen)
                } else {
                    vec![Hit::at(Rule::SensitiveBind, format!("volume {} of a device", quote(name)), mounted.place)]
                }
            }),
            Source::Nothing | Source::Broken(_) => Vec::new(),
        };
        hits.extend(
            found.into_iter().filter(|hit| {
                hit.rule == Rule::DockerSocket || (hit.rule == Rule::SensitiveBind && !mounted.read_only)
            }),
        );
    }
    hits.into_iter().map(|hit| hit.of(&format!("container {}", quote(name)))).collect()
}

/// Whether it sees the machine's processes through another container; one that cannot be looked at counts as that.
fn sees_processes(host: &Value, seen: &Seen, deep: usize) -> bool {
    match container::mode(text(host, "PidMode")) {
        Mode::Own => false,
        Mode::Machine => deep < DEEP,
        Mode::Of(other) => match (deep.checked_sub(1), seen.containers.get(other)) {
            (Some(deep), Some(facts)) => sees_processes(part(facts, &["HostConfig"]), seen, deep),
            _ => true,
        },
    }
}

/// What somebody gets who takes a container's namespaces or volumes: every rule that it breaks itself.
pub(super) fn shared(facts: &Value, seen: &Seen) -> Vec<Hit> {
    taken(facts, seen, DEEP)
}

fn taken(facts: &Value, seen: &Seen, deep: usize) -> Vec<Hit> {
    let host = part(facts, &["HostConfig"]);
    let mut hits = container::rights(host, seen, "HostConfig");
    for mounted in mounts::of_inspect(facts) {
        hits.extend(mounts::hits(&mounted, seen, &|_| false));
    }
    hits.retain(|hit| !PRIVATE.contains(&hit.rule));
    for other in container::namespaces(host) {
        match (deep.checked_sub(1), seen.containers.get(other)) {
            (Some(deep), Some(facts)) => hits.extend(taken(facts, seen, deep)),
            // What cannot be looked at is as bad as can be.
            _ => hits.push(Hit::new(Rule::HostPid, format!("the namespace of container {}", quote(other)))),
        }
    }
    let name = text(facts, "Name").trim_start_matches('/');
    hits.into_iter().map(|hit| hit.of(&format!("container {}", quote(name)))).collect()
}
