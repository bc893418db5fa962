//! What a container brings in from its machine: binds, mounts, volumes that are binds by their options.

use serde_json::Value;

use super::{
    Hit, Seen,
    path::{self, Windows},
    read::{flag, items, number, part, text, texts, words},
};
use crate::{config::limits::Rule, docker::names::quote};

/// One mount, however it was written.
pub(super) struct Mounted<'a> {
    pub(super) source: Source<'a>,
    pub(super) read_only: bool,
    pub(super) place: &'static str,
}

/// Where it comes from.
pub(super) enum Source<'a> {
    /// A path of the machine.
    Path(&'a str),
    /// A volume by name; one that is not there yet is made with these options.
    Volume { name: &'a str, driver: &'a str, options: &'a Value },
    /// Nothing of the machine: memory, an image.
    Nothing,
    /// What no engine takes.
    Broken(&'a str),
}

/// Every mount of a container's `HostConfig`.
pub(super) fn of_host(host: &Value) -> impl Iterator<Item = Mounted<'_>> {
    let driver = text(host, "VolumeDriver");
    texts(host, "Binds")
        .map(move |spec| short(spec, driver))
        .chain(items(host, "Mounts").iter().map(|mount| long(mount, "HostConfig.Mounts")))
}

/// Every mount of a service's `ContainerSpec`.
pub(super) fn of_service(spec: &Value) -> impl Iterator<Item = Mounted<'_>> {
    items(spec, "Mounts").iter().map(|mount| long(mount, "TaskTemplate.ContainerSpec.Mounts"))
}

/// Every mount of a container that exists, as its inspect resolves them: those of others included.
pub(super) fn of_inspect(facts: &Value) -> impl Iterator<Item = Mounted<'_>> {
    items(facts, "Mounts").iter().map(|mount| {
        let source = match text(mount, "Type") {
            "volume" => Source::Volume {
                name: text(mount, "Name"),
                driver: text(mount, "Driver"),
                options: part(mount, &["no options"]),
            },
            "tmpfs" | "image" | "cluster" => Source::Nothing,
            _ => Source::Path(text(mount, "Source")),
        };
        Mounted { source, read_only: mount.get("RW") == Some(&Value::Bool(false)), place: "Mounts" }
    })
}

/// `source:/destination[:options]`, taken apart as the engine does.
fn short<'a>(spec: &'a str, driver: &'a str) -> Mounted<'a> {
    let mounted = |source, read_only| Mounted { source, read_only, place: "HostConfig.Binds" };
    if path::windows(spec).is_some() {
        return mounted(Source::Path(windows_source(spec)), false);
    }
    let mut parts = spec.split(':');
    let (source, options) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        // A destination alone is a new volume without a name.
        (Some(destination), None, ..) if !destination.is_empty() => return mounted(Source::Nothing, false),
        (Some(source), Some(_), options, None) if !source.is_empty() => (source, options.unwrap_or_default()),
        _ => return mounted(Source::Broken(spec), false),
    };
    let read_only = options.split(',').any(|option| option == "ro");
    let source = if source.starts_with('/') {
        Source::Path(source)
    } else if is_volume(source) {
        Source::Volume { name: source, driver, options: part(&Value::Null, &[]) }
    } else {
        Source::Broken(source)
    };
    mounted(source, read_only)
}

/// The source of a bind of Windows, where a drive has a colon of its own.
fn windows_source(spec: &str) -> &str {
    let prefix = if spec.starts_with(r"\\") { 4 } else { 0 };
    let drive = if spec.get(prefix + 1..prefix + 2) == Some(":") { 2 } else { 0 };
    let end = spec.get(prefix + drive..).and_then(|rest| rest.find(':'));
    end.and_then(|end| spec.get(..prefix + drive + end)).unwrap_or(spec)
}

/// One of `Mounts`.
fn long<'a>(mount: &'a Value, place: &'static str) -> Mounted<'a> {
    let source = text(mount, "Source");
    let options = part(mount, &["VolumeOptions", "DriverConfig"]);
    // Of a service the engine takes the type in any case, and none for a bind.
    let source = match text(mount, "Type").to_ascii_lowercase().as_str() {
        "tmpfs" | "image" | "cluster" => Source::Nothing,
        "volume" if source.is_empty() || is_volume(source) => {
            Source::Volume { name: source, driver: text(options, "Name"), options: part(options, &["Options"]) }
        }
        "" if source.is_empty() => Source::Nothing,
        _ => Source::Path(source),
    };
    Mounted { source, read_only: flag(mount, "ReadOnly"), place }
}

/// Whether it is a name and no path.
fn is_volume(source: &str) -> bool {
    source.starts_with(|first: char| first.is_ascii_alphanumeric())
        && source.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

/// The rules that mounts hit by themselves; `foreign` says whose volume it is not.
pub(super) fn hits(mounted: &Mounted<'_>, seen: &Seen, foreign: &dyn Fn(&str) -> bool) -> Vec<Hit> {
    let Mounted { source, read_only, place } = mounted;
    match source {
        Source::Nothing => Vec::new(),
        Source::Path(path) => of_path(path, *read_only, place, seen),
        Source::Broken(spec) => {
            vec![Hit::at(Rule::Bind, format!("the mount {}, which is neither a path nor a volume", quote(spec)), place)]
        }
        Source::Volume { name, driver, options } => {
            let mut hits = Vec::new();
            if let Some(disguise) = Disguise::of(driver, options) {
                let what = format!("a volume {}", disguise.describe());
                hits.push(Hit::at(Rule::DisguisedBind, what, place));
            }
            if seen.disguise(name).is_some() {
                let what = format!("volume {}, which is a part of the machine by its options,", quote(name));
                hits.push(Hit::at(Rule::DisguisedBind, what, place));
            }
            if foreign(name) {
                let what = format!("volume {}, which others use,", quote(name));
                hits.push(Hit::at(Rule::ForeignVolume, what, place));
            }
            hits
        }
    }
}

/// The rules that a path hits.
pub(super) fn of_path(written: &str, read_only: bool, place: &str, seen: &Seen) -> Vec<Hit> {
    let bind = format!("a bind of {}", quote(written));
    if let Some(windows) = path::windows(written) {
        let (rule, what) = match windows {
            Windows::Engine => (Rule::DockerSocket, bind),
            Windows::Sensitive => (Rule::SensitiveBind, bind),
            Windows::Pipe | Windows::Directory => (Rule::Bind, bind),
        };
        return vec![Hit::at(rule, what, place)];
    }
    let Some(path) = path::canonical(written) else {
        return vec![Hit::at(Rule::Bind, format!("{bind}, which is no absolute path,"), place)];
    };
    // What somebody wrote in another way is shown as what it is.
    let bind = if path == written { bind } else { format!("{bind}, which is {},", quote(&path)) };
    let nature = path::nature(&path, read_only, &seen.own);
    let mut hits = Vec::new();
    if nature.socket {
        hits.push(Hit::at(Rule::DockerSocket, bind.clone(), place));
    }
    if nature.holds_socket {
        hits.push(Hit::at(Rule::DockerSocket, format!("{bind} with the socket of an engine in it"), place));
    }
    if nature.sensitive {
        hits.push(Hit::at(Rule::SensitiveBind, bind.clone(), place));
    }
    if hits.is_empty() {
        hits.push(Hit { allowable: Some(path), ..Hit::at(Rule::Bind, bind, place) });
    }
    hits
}

/// A volume of the local driver that is a directory or a device of the machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disguise {
    /// What it is, as it was written.
    pub(super) device: String,
    kind: String,
}

impl Disguise {
    /// What the options of a volume make of it; nothing where they say nothing of the machine.
    pub(super) fn of(driver: &str, options: &Value) -> Option<Self> {
        let driver = driver.to_ascii_lowercase();
        let driver = driver.split(':').next().unwrap_or_default();
        if !driver.is_empty() && driver != "local" {
            return None;
        }
        // Some engines and some callers write the names in another case; every value counts.
        let given = |name: &'static str| {
            let options = options.as_object().into_iter().flatten();
            let named = options.filter(move |(key, _)| key.trim().eq_ignore_ascii_case(name));
            named.map(|(_, value)| value.as_str().unwrap_or("?")).filter(|value| !value.is_empty())
        };
        let binds = given("o").flat_map(|value| value.split(',')).any(|option| {
            let option = option.trim().to_ascii_lowercase();
            // Each of these makes the kernel overlook the type.
            matches!(option.as_str(), "bind" | "rbind" | "move" | "remount")
        });
        let kinds: Vec<&str> = given("type").collect();
        let devices: Vec<&str> = given("device").collect();
        let remote = |device: &&str, kind: &str| match kind {
            "tmpfs" => true,
            "cifs" | "smb3" => device.starts_with("//") || device.starts_with(r"\\"),
            _ => !device.starts_with('/') && device.contains(':'),
        };
        let is_other = |kind: &&str| matches!(*kind, "tmpfs" | "nfs" | "nfs4" | "cifs" | "smb3");
        let elsewhere = !kinds.is_empty()
            && kinds.iter().all(|kind| is_other(kind) && devices.iter().all(|device| remote(device, kind)));
        let says_something = !kinds.is_empty() || !devices.is_empty() || given("o").next().is_some();
        (binds || (says_something && !elsewhere)).then(|| Self { device: devices.join(", "), kind: kinds.join(", ") })
    }

    /// Whether nothing says what it could be.
    pub(super) fn is_empty(&self) -> bool {
        self.device.is_empty() && self.kind.is_empty()
    }

    /// `of type "none" and device "/etc"`.
    pub(super) fn describe(&self) -> String {
        match (self.kind.as_str(), self.device.as_str()) {
            ("", "") => "with an \"o\" of a mount".to_owned(),
            (kind, "") => format!("of type {}", quote(kind)),
            ("", device) => format!("of device {}", quote(device)),
            (kind, device) => format!("of type {} and device {}", quote(kind), quote(device)),
        }
    }
}

/// The rules that a new volume hits.
pub(super) fn of_volume(request: &Value) -> Option<Hit> {
    let disguise = Disguise::of(text(request, "Driver"), part(request, &["DriverOpts"]))?;
    Some(Hit::at(Rule::DisguisedBind, format!("a volume {}", disguise.describe()), "DriverOpts"))
}

/// The devices of a container's `HostConfig`, or of an update's body.
pub(super) fn devices(host: &Value, place: &dyn Fn(&str) -> String) -> Vec<Hit> {
    let mut hits = Vec::new();
    for device in items(host, "Devices") {
        let name = text(device, "PathOnHost");
        hits.push(Hit::at(Rule::RawDevices, format!("device {}", quote(name)), &place("Devices")));
    }
    for rule in texts(host, "DeviceCgroupRules") {
        let what = format!("device rule {}", quote(rule));
        hits.push(Hit::at(Rule::DeviceCgroup, what, &place("DeviceCgroupRules")));
    }
    for request in items(host, "DeviceRequests") {
        let ids = || texts(request, "DeviceIDs");
        let is_gpu = if text(request, "Driver").eq_ignore_ascii_case("cdi") {
            // Such a name can stand for any device and any bind; those of graphics processors are known.
            ids().next().is_some()
                && ids().all(|id| {
                    ["nvidia.com/gpu=", "amd.com/gpu=", "intel.com/gpu="].iter().any(|known| id.starts_with(known))
                })
        } else {
            let kinds = items(request, "Capabilities").iter().filter_map(Value::as_array).flatten();
            kinds.filter_map(Value::as_str).any(|kind| kind.eq_ignore_ascii_case("gpu"))
        };
        let (rule, what) = match (is_gpu, ids().next()) {
            (true, _) if number(request, "Count").is_some_and(|count| count < 0) => (Rule::Gpu, "all GPUs".to_owned()),
            (true, _) => (Rule::Gpu, "a GPU".to_owned()),
            (false, Some(id)) => (Rule::RawDevices, format!("device {}", quote(id))),
            (false, None) => (Rule::RawDevices, "a device of a driver".to_owned()),
        };
        hits.push(Hit::at(rule, what, &place("DeviceRequests")));
    }
    hits
}

/// The labels of volumes that are made on the way.
pub(super) fn labels(mounts: &Value) -> impl Iterator<Item = (&str, &str)> {
    items(mounts, "Mounts").iter().flat_map(|mount| words(part(mount, &["VolumeOptions"]), "Labels"))
}

/// Whether there is any path of the machine among the mounts.
pub(super) fn has_paths<'a>(mut mounts: impl Iterator<Item = Mounted<'a>>) -> bool {
    mounts.any(|mounted| matches!(mounted.source, Source::Path(_)))
}

/// The names of volumes.
pub(super) fn volumes<'a>(mounts: impl Iterator<Item = Mounted<'a>>) -> impl Iterator<Item = &'a str> {
    mounts.filter_map(|mounted| match mounted.source {
        Source::Volume { name, .. } if !name.is_empty() => Some(name),
        _ => None,
    })
}

/// Whether a container uses a volume.
pub(super) fn uses(container: &Value, volume: &str) -> bool {
    items(container, "Mounts").iter().any(|mount| text(mount, "Type") == "volume" && text(mount, "Name") == volume)
}

/// Generic resources of a service that are graphics processors.
pub(super) fn gpus_of_service(resources: &Value) -> Option<Hit> {
    let reserved = items(part(resources, &["Reservations"]), "GenericResources").iter();
    let mut kinds = reserved.flat_map(|resource| {
        ["NamedResourceSpec", "DiscreteResourceSpec"].map(|kind| text(part(resource, &[kind]), "Kind").to_lowercase())
    });
    kinds
        .any(|kind| kind.contains("gpu"))
        .then(|| Hit::at(Rule::Gpu, "a GPU", "TaskTemplate.Resources.Reservations.GenericResources"))
}
