//! Traces of hidden containers in documents about something else: references, members, users, counts.

use serde_json::Value;

use super::{
    HIDDEN,
    census::{self, Census},
    each, images, keep, subtract, text,
};
use crate::config::Globs;

/// Where a container says that it shares a namespace.
const MODES: &[&str] = &["NetworkMode", "PidMode", "IpcMode", "UTSMode", "CgroupnsMode"];
/// In front of the container that a namespace is shared with.
const SHARED: &str = "container:";

/// What the traces of containers are judged by.
pub(super) struct Traces<'a> {
    pub(super) globs: &'a Globs,
    pub(super) census: &'a Census,
}

/// Whether a document about a container, or a row, may name another one.
pub(super) fn names_others(container: &Value) -> bool {
    let filled = |pointer: &str| match container.pointer(pointer) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    let shares = MODES.iter().any(|mode| {
        let mode = container.pointer(&format!("/HostConfig/{mode}")).and_then(Value::as_str);
        mode.is_some_and(|mode| mode.starts_with(SHARED))
    });
    let links = |network: &Value| network.get("Links").and_then(Value::as_array).is_some_and(|links| !links.is_empty());
    let mut networks = container.pointer("/NetworkSettings/Networks").and_then(Value::as_object).into_iter().flatten();
    shares
        || filled("/HostConfig/VolumesFrom")
        || filled("/HostConfig/Links")
        || filled("/State/Error")
        || container.get("Names").and_then(Value::as_array).is_some_and(|names| names.len() > 1)
        || networks.any(|(_, network)| links(network))
}

/// Whether somebody is connected to a network.
pub(super) fn has_members(network: &Value) -> bool {
    network.get("Containers").and_then(Value::as_object).is_some_and(|members| !members.is_empty())
}

impl Traces<'_> {
    /// A row of the list of containers.
    pub(super) fn row(&self, row: &mut Value) -> bool {
        if !census::shows_row(self.globs, row) {
            return false;
        }
        if let Some(Value::Array(names)) = row.get_mut("Names") {
            // `/web/db` is what the container `web` calls one that it links to.
            names.retain(|name| {
                let owner = name.as_str().and_then(|name| name.trim_start_matches('/').split_once('/'));
                owner.is_none_or(|(owner, _)| self.census.shows(owner))
            });
        }
        self.references(row);
        true
    }

    /// A container that was inspected.
    pub(super) fn container(&self, container: &mut Value) -> bool {
        let service =
            container.pointer("/Config/Labels").and_then(|labels| labels.get(census::SERVICE)).and_then(Value::as_str);
        if !census::admits(self.globs, Some(text(container, "Name").trim_start_matches('/')), service) {
            return false;
        }
        let own = [text(container, "Name").trim_start_matches('/').to_owned(), text(container, "Id").to_owned()];
        if let Some(Value::String(error)) = container.pointer_mut("/State/Error") {
            *error = super::words::unsay(error, self.census, &own.each_ref().map(String::as_str));
        }
        self.references(container);
        // Who joins another's network gets its name and its files from the engine.
        let joins_hidden = container.pointer("/HostConfig/NetworkMode").and_then(Value::as_str)
            == Some(format!("{SHARED}{HIDDEN}").as_str());
        if joins_hidden {
            for place in ["/ResolvConfPath", "/HostnamePath", "/HostsPath", "/Config/Hostname", "/Config/Domainname"] {
                if let Some(Value::String(text)) = container.pointer_mut(place)
                    && !text.is_empty()
                {
                    HIDDEN.clone_into(text);
                }
            }
        }
        true
    }

    /// What a container says of others.
    fn references(&self, container: &mut Value) {
        if let Some(host) = container.get_mut("HostConfig") {
            for mode in MODES {
                if let Some(Value::String(mode)) = host.get_mut(mode)
                    && let Some(other) = mode.strip_prefix(SHARED)
                    && !self.census.shows(other)
                {
                    *mode = format!("{SHARED}{HIDDEN}");
                }
            }
            for list in ["VolumesFrom", "Links"] {
                if let Some(list) = host.get_mut(list) {
                    self.named_first(list);
                }
            }
        }
        let networks = container.pointer_mut("/NetworkSettings/Networks").and_then(Value::as_object_mut);
        for (_, network) in networks.into_iter().flatten() {
            if let Some(links) = network.get_mut("Links") {
                self.named_first(links);
            }
        }
    }

    /// A list of `container:more`.
    fn named_first(&self, list: &mut Value) {
        keep(list, |item| {
            item.as_str().is_some_and(|item| self.census.shows(item.split(':').next().unwrap_or_default()))
        });
    }

    /// The members of a network.
    pub(super) fn network(&self, network: &mut Value) {
        if let Some(Value::Object(members)) = network.get_mut("Containers") {
            members.retain(|id, member| {
                let name = text(member, "Name");
                match self.census.known(id) {
                    Some(known) => known.shown && (name.is_empty() || name == known.name || self.admits(name)),
                    // Who came after the census, or is none of this engine's.
                    None => self.admits(name),
                }
            });
        }
        if let Some(Value::Object(services)) = network.get_mut("Services") {
            services.retain(|name, service| {
                if let Some(tasks) = service.get_mut("Tasks") {
                    keep(tasks, |task| census::admits(self.globs, Some(text(task, "Name")), Some(name)));
                }
                self.admits(name)
            });
        }
    }

    fn admits(&self, name: &str) -> bool {
        census::admits(self.globs, Some(name), None)
    }

    /// How many containers use a volume.
    pub(super) fn volume(&self, volume: &mut Value) {
        let name = text(volume, "Name");
        let users = self.census.hidden().filter(|known| known.volumes.iter().any(|used| used == name)).count() as u64;
        subtract(volume.pointer_mut("/UsageData/RefCount"), users);
    }

    /// How many containers use an image; `true` when those that are left do not, and others did.
    pub(super) fn image(&self, image: &mut Value) -> bool {
        let id = text(image, "Id");
        let users = self.census.hidden().filter(|known| known.image == id).count() as u64;
        subtract(image.get_mut("Containers"), users);
        users > 0 && image.get("Containers").and_then(Value::as_u64) == Some(0)
    }

    /// The counts of `/info`: as if there were only what callers see.
    pub(super) fn counts(&self, info: &mut Value) {
        // As the engine's own counters: what restarts does not run.
        let of = |states: &dyn Fn(&str) -> bool| self.census.shown().filter(|known| states(&known.state)).count();
        for (field, number) in [
            ("Containers", of(&|_| true)),
            ("ContainersRunning", of(&|state| state == "running")),
            ("ContainersPaused", of(&|state| state == "paused")),
            ("ContainersStopped", of(&|state| !matches!(state, "running" | "paused"))),
        ] {
            if let Some(count) = info.get_mut(field) {
                *count = number.into();
            }
        }
    }

    /// What containers, images and volumes take on disk, as engines tell it before API 1.52 and since.
    pub(super) fn usage(&self, usage: &mut Value) {
        if let Some(rows) = usage.get_mut("Containers") {
            keep(rows, |row| self.row(row));
        }
        if let Some(rows) = usage.get_mut("Images") {
            each(rows, |image| {
                self.image(image);
            });
        }
        if let Some(rows) = usage.get_mut("Volumes") {
            each(rows, |volume| self.volume(volume));
        }
        if let Some(told) = usage.get_mut("ContainerUsage") {
            self.container_usage(told);
        }
        if let Some(told) = usage.get_mut("ImageUsage") {
            let size = |image: &Value| number(image, "Size").saturating_sub(number(image, "SharedSize"));
            self.freed(told, |image| self.image(image).then(|| size(image)));
        }
        if let Some(told) = usage.get_mut("VolumeUsage") {
            self.freed(told, |volume| {
                let used = |volume: &Value| volume.pointer("/UsageData/RefCount").and_then(Value::as_u64);
                let before = used(volume);
                self.volume(volume);
                let is_freed = before.is_some_and(|users| users > 0) && used(volume) == Some(0);
                is_freed.then(|| volume.pointer("/UsageData/Size").and_then(Value::as_u64).unwrap_or_default())
            });
        }
    }

    fn container_usage(&self, told: &mut Value) {
        let is_active = |state: &str| matches!(state, "running" | "paused" | "restarting");
        let Some(Value::Array(rows)) = told.get_mut("Items") else {
            // Only sums, of which nobody can tell what belongs to whom.
            if self.census.hidden().next().is_some() {
                let active = self.census.shown().filter(|known| is_active(&known.state)).count();
                *told = serde_json::json!({"TotalCount": self.census.shown().count(), "ActiveCount": active});
            }
            return;
        };
        let (mut count, mut active, mut size, mut reclaimable) = (0, 0, 0, 0);
        rows.retain_mut(|row| {
            let (state, own) = (text(row, "State").to_owned(), number(row, "SizeRw"));
            let shown = self.row(row);
            if !shown {
                count += 1;
                size += own;
                if is_active(&state) { active += 1 } else { reclaimable += own }
            }
            shown
        });
        for (field, by) in
            [("TotalCount", count), ("ActiveCount", active), ("TotalSize", size), ("Reclaimable", reclaimable)]
        {
            subtract(told.get_mut(field), by);
        }
    }

    /// Counts what only hidden containers use as unused; `free` says how much one of these takes.
    fn freed(&self, told: &mut Value, mut free: impl FnMut(&mut Value) -> Option<u64>) {
        let Some(Value::Array(rows)) = told.get_mut("Items") else {
            if self.census.hidden().next().is_some()
                && let Value::Object(told) = told
            {
                told.remove("ActiveCount");
                told.remove("Reclaimable");
            }
            return;
        };
        let freed: Vec<u64> = rows.iter_mut().filter_map(&mut free).collect();
        subtract(told.get_mut("ActiveCount"), freed.len() as u64);
        if let Some(reclaimable) = told.get_mut("Reclaimable")
            && let Some(known) = reclaimable.as_u64()
        {
            *reclaimable = freed.iter().fold(known, |sum, size| sum.saturating_add(*size)).into();
        }
    }
}

/// Takes denied images out of what images take on disk.
pub(super) fn images_of_usage(globs: &Globs, usage: &mut Value) {
    if let Some(rows) = usage.get_mut("Images") {
        keep(rows, |image| images::sift(globs, image));
    }
    let Some(told) = usage.get_mut("ImageUsage") else { return };
    let Some(Value::Array(rows)) = told.get_mut("Items") else { return };
    let (mut count, mut active, mut reclaimable) = (0, 0, 0);
    rows.retain_mut(|image| {
        let shown = images::sift(globs, image);
        if !shown {
            count += 1;
            let own = number(image, "Size").saturating_sub(number(image, "SharedSize"));
            if number(image, "Containers") > 0 { active += 1 } else { reclaimable += own }
        }
        shown
    });
    for (field, by) in [("TotalCount", count), ("ActiveCount", active), ("Reclaimable", reclaimable)] {
        subtract(told.get_mut(field), by);
    }
}

/// A size; the engine writes -1 where it is not known.
fn number(document: &Value, field: &str) -> u64 {
    document.get(field).and_then(Value::as_u64).unwrap_or_default()
}
