//! What the engine keeps on disk: totals and the largest, never the whole document.

use std::{cmp::Reverse, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ROOM, parts};
use crate::{
    docker::{Docker, Target},
    error::{Error, Result},
    redact,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, text::count},
    tools::{
        usage::usage,
        view::{bytes, clipped, fit, flag, short_id, sum, text},
    },
};

/// The daemon walks every layer and volume for it.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long an answer counts as fresh.
const FRESH: Duration = Duration::from_secs(60);
/// How many of the largest are shown.
const LARGEST: usize = 10;
/// The most characters of one name.
const LONGEST_NAME: usize = 160;

/// Shows the disk usage of images, containers, volumes and build cache, and what could be freed.
///
/// An answer is kept for 60 s.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiskUsage {
    /// Only this. Default: all four.
    #[serde(default)]
    kind: Option<Kind>,
    /// The ten largest of each kind. Default: false.
    #[serde(default)]
    verbose: bool,
}

/// What takes room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Images,
    Containers,
    Volumes,
    BuildCache,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Images, Self::Containers, Self::Volumes, Self::BuildCache];

    /// The name under which the answer is kept, and the engine's `type`.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Images => ("disk_usage/images", "image"),
            Self::Containers => ("disk_usage/containers", "container"),
            Self::Volumes => ("disk_usage/volumes", "volume"),
            Self::BuildCache => ("disk_usage/build_cache", "build-cache"),
        }
    }

    /// Where an engine lists it: from API 1.52, and before.
    const fn fields(self) -> (&'static str, &'static str) {
        match self {
            Self::Images => ("ImageUsage", "Images"),
            Self::Containers => ("ContainerUsage", "Containers"),
            Self::Volumes => ("VolumeUsage", "Volumes"),
            Self::BuildCache => ("BuildCacheUsage", "BuildCache"),
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Usage {
    totals: Vec<Total>,
    largest: Vec<Large>,
    hosts: Vec<HostStatus>,
    /// How old the oldest of these numbers is.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
    #[serde(skip)]
    bytes: u64,
    #[serde(skip)]
    reclaimable: u64,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Total {
    host: String,
    kind: Kind,
    count: u64,
    active: u64,
    size: String,
    reclaimable: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Large {
    host: String,
    kind: Kind,
    name: String,
    size: String,
    in_use: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip)]
    bytes: u64,
}

/// What one host contributes.
pub(super) struct Part {
    host: String,
    age: u64,
    kinds: Vec<OfKind>,
}

/// One kind on one host, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OfKind {
    kind: Kind,
    count: u64,
    active: u64,
    size: u64,
    reclaimable: u64,
    largest: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    name: String,
    size: u64,
    in_use: bool,
    /// Whether others have a part in its size, so that it frees nothing.
    shared: bool,
    note: String,
}

impl Summary for Usage {
    fn summary(&self) -> String {
        let age = self.age_seconds.map(|age| format!(", as of {age} s ago")).unwrap_or_default();
        let hosts = self.hosts.iter().filter(|host| host.error.is_none()).count();
        format!("{} on {}, {} reclaimable{age}", bytes(self.bytes), count(hosts, "host"), bytes(self.reclaimable))
    }
}

impl FleetTool for DiskUsage {
    const NAME: &'static str = "disk_usage";
    const CORE: bool = true;
    type Part = Part;
    type Output = Usage;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn ask(&self, docker: &Docker, _: &Call) -> Result<Part> {
        let api = docker.engine().await?.api;
        // Before API 1.42 there is only the whole document; where that is known, it has the part too.
        let part = self.kind.filter(|_| api.minor >= 42);
        let whole = docker.recall("disk_usage").filter(|memory| memory.age() < FRESH);
        let memory = match (whole, part) {
            (Some(whole), _) => whole,
            (None, part) => {
                let mut target = Target::new("/system/df").patient(PATIENCE);
                if let Some(kind) = part {
                    target = target.query("type", kind.names().1);
                }
                if api.minor >= 52 {
                    target = target.query("verbose", "1");
                }
                let kinds = part.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
                let name = part.map_or("disk_usage", |kind| kind.names().0);
                docker.seldom(name, FRESH, read(docker, target, kinds)).await?
            }
        };
        let age = memory.age().as_secs();
        let kinds: Vec<OfKind> = serde_json::from_value(memory.value)
            .map_err(|error| Error::internal("what was kept cannot be read").detail(error.to_string()))?;
        let kinds = kinds.into_iter().filter(|of| self.kind.is_none_or(|kind| kind == of.kind)).collect();
        Ok(Part { host: docker.host().to_owned(), age, kinds })
    }

    fn combine(self, answers: Vec<HostAnswer<Part>>, _: &Call) -> Result<Usage> {
        let hosts = HostStatus::of(&answers);
        let parts = parts(answers);
        let age = parts.iter().map(|part| part.age).max().filter(|age| *age > 0);
        let (mut totals, mut largest) = (Vec::new(), Vec::new());
        let (mut size, mut reclaimable) = (0, 0);
        for part in parts {
            let mut items = Vec::new();
            for of in part.kinds {
                (size, reclaimable) = (sum([size, of.size]), sum([reclaimable, of.reclaimable]));
                items.extend(
                    of.largest.iter().filter(|item| item.size > 0).map(|item| self.large(&part.host, of.kind, item)),
                );
                totals.push(of.total(&part.host));
            }
            items.sort_by_key(|large| Reverse(large.bytes));
            items.truncate(if self.verbose { usize::MAX } else { LARGEST });
            largest.extend(items);
        }
        if self.verbose {
            largest.sort_by_key(|large: &Large| large.kind as u8);
        }
        let mut room = ROOM;
        fit(&mut totals, &mut room);
        fit(&mut largest, &mut room);
        Ok(Usage { totals, largest, hosts, age_seconds: age, bytes: size, reclaimable })
    }
}

/// Reads the engine's document and keeps only what is shown of it.
async fn read(docker: &Docker, target: Target, kinds: Vec<Kind>) -> Result<Value> {
    let document = usage(docker, target).await?;
    let kinds: Vec<OfKind> = kinds.into_iter().map(|kind| OfKind::of(kind, &document)).collect();
    serde_json::to_value(kinds)
        .map_err(|error| Error::internal("what is to be kept cannot be written").detail(error.to_string()))
}

impl DiskUsage {
    fn large(&self, host: &str, kind: Kind, item: &Item) -> Large {
        Large {
            host: host.to_owned(),
            kind,
            name: item.name.clone(),
            size: bytes(item.size),
            in_use: item.in_use,
            note: Some(item.note.clone()).filter(|note| self.verbose && !note.is_empty()),
            bytes: item.size,
        }
    }
}

impl OfKind {
    /// Reads one kind, as the engine tells it from API 1.52 or as it did before.
    fn of(kind: Kind, document: &Value) -> Self {
        let (new, old) = kind.fields();
        let told = document.get(new).filter(|told| told.is_object());
        let listed = told.map_or_else(|| document.get(old), |told| told.get("Items"));
        let items: Vec<Item> =
            listed.and_then(Value::as_array).into_iter().flatten().map(|item| Item::of(kind, item)).collect();
        let count = |items: &mut dyn Iterator<Item = &Item>| items.count() as u64;
        let own = || items.iter().filter(|item| !item.shared);
        let mut size = sum(own().map(|item| item.size));
        let mut reclaimable = sum(own().filter(|item| !item.in_use).map(|item| item.size));
        if kind == Kind::Images && told.is_none() {
            // Layers that several images share are on disk once.
            let images = listed.and_then(Value::as_array).into_iter().flatten();
            let used = sum(images
                .filter(|image| number(image, "Containers") != Some(0))
                .map(|image| size_of_image(image).saturating_sub(number(image, "SharedSize").unwrap_or_default())));
            size = number(document, "LayersSize").unwrap_or(size);
            reclaimable = size.saturating_sub(used);
        }
        let said = |field: &str| told.and_then(|told| number(told, field));
        let mut of = Self {
            kind,
            count: said("TotalCount").unwrap_or_else(|| count(&mut items.iter())),
            active: said("ActiveCount").unwrap_or_else(|| count(&mut items.iter().filter(|item| item.in_use))),
            size: said("TotalSize").unwrap_or(size),
            reclaimable: said("Reclaimable").unwrap_or(reclaimable),
            largest: items,
        };
        of.largest.sort_by(|left, right| right.size.cmp(&left.size).then_with(|| left.name.cmp(&right.name)));
        of.largest.truncate(LARGEST);
        of
    }

    fn total(&self, host: &str) -> Total {
        Total {
            host: host.to_owned(),
            kind: self.kind,
            count: self.count,
            active: self.active,
            size: bytes(self.size),
            reclaimable: bytes(self.reclaimable),
        }
    }
}

impl Item {
    fn of(kind: Kind, item: &Value) -> Self {
        let first = |field: &str| item.get(field).and_then(|names| names.get(0)).and_then(Value::as_str);
        let (name, size, in_use, note) = match kind {
            Kind::Images => {
                let id = format!("<none> {}", short_id(text(item, "Id")));
                let shared = number(item, "SharedSize").filter(|size| *size > 0);
                let containers = number(item, "Containers").unwrap_or_default();
                let note = shared.map_or_else(String::new, |size| format!(", {} shared", bytes(size)));
                (
                    first("RepoTags").filter(|tag| *tag != "<none>:<none>").unwrap_or(&id).to_owned(),
                    Some(size_of_image(item)),
                    containers > 0,
                    count(usize::try_from(containers).unwrap_or_default(), "container") + &note,
                )
            }
            Kind::Containers => (
                first("Names").unwrap_or_default().trim_start_matches('/').to_owned(),
                number(item, "SizeRw"),
                matches!(text(item, "State"), "running" | "paused" | "restarting"),
                text(item, "Status").to_owned(),
            ),
            Kind::Volumes => {
                let users = item.pointer("/UsageData/RefCount").and_then(Value::as_u64).unwrap_or_default();
                (
                    text(item, "Name").to_owned(),
                    item.pointer("/UsageData/Size").and_then(Value::as_u64),
                    users > 0,
                    count(usize::try_from(users).unwrap_or_default(), "container"),
                )
            }
            Kind::BuildCache => (
                format!("{} {}", short_id(text(item, "ID")), text(item, "Description")),
                number(item, "Size"),
                flag(item, "InUse"),
                format!("{}, last used {}", text(item, "Type"), text(item, "LastUsedAt")),
            ),
        };
        Self {
            name: clipped(redact::plain(&name).trim(), LONGEST_NAME),
            size: size.unwrap_or_default(),
            in_use,
            shared: kind == Kind::BuildCache && flag(item, "Shared"),
            note: clipped(&note, LONGEST_NAME),
        }
    }
}

/// A number that is known; the engine writes -1 where it is not.
fn number(document: &Value, field: &str) -> Option<u64> {
    document.get(field).and_then(Value::as_u64)
}

/// `VirtualSize` went away with API 1.44; it always was the same.
fn size_of_image(image: &Value) -> u64 {
    number(image, "Size").or_else(|| number(image, "VirtualSize")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_of_old() {
        let document = json!({
            "LayersSize": 1000,
            "Images": [
                {"Id": "sha256:aaaaaaaaaaaaaaaa", "RepoTags": ["a:1"], "Size": 600, "SharedSize": 100, "Containers": 1},
                {"Id": "sha256:bbbbbbbbbbbbbbbb", "RepoTags": null, "Size": 500, "SharedSize": 100, "Containers": 0},
            ],
            "Containers": [
                {"Names": ["/web"], "SizeRw": 10, "State": "running"}, {"Names": ["/old"], "SizeRw": 7, "State": "exited"},
            ],
            "Volumes": [
                {"Name": "data", "UsageData": {"Size": 30, "RefCount": 1}}, {"Name": "odd", "UsageData": {"Size": -1, "RefCount": -1}},
            ],
            "BuildCache": null,
        });
        let images = OfKind::of(Kind::Images, &document);
        assert_eq!((images.count, images.active, images.size, images.reclaimable), (2, 1, 1000, 500));
        assert_eq!(images.largest[1].name, "<none> bbbbbbbbbbbb");
        let containers = OfKind::of(Kind::Containers, &document);
        assert_eq!((containers.active, containers.size, containers.reclaimable), (1, 17, 7));
        let volumes = OfKind::of(Kind::Volumes, &document);
        assert_eq!((volumes.count, volumes.active, volumes.size, volumes.reclaimable), (2, 1, 30, 0));
        assert_eq!(OfKind::of(Kind::BuildCache, &document).count, 0);
    }

    #[test]
    fn the_document_from_api_1_52() {
        let document = json!({
            "ImageUsage": {"ActiveCount": 1, "TotalCount": 40, "TotalSize": 5000, "Reclaimable": 4000, "Items": [
                {"Id": "sha256:aaaaaaaaaaaaaaaa", "RepoTags": ["a:1"], "Size": 600, "Containers": 1},
            ]},
            "VolumeUsage": {"TotalCount": 3},
        });
        let images = OfKind::of(Kind::Images, &document);
        assert_eq!((images.count, images.active, images.size, images.reclaimable), (40, 1, 5000, 4000));
        assert_eq!(images.largest.len(), 1);
        assert_eq!(OfKind::of(Kind::Volumes, &document).count, 3);
        assert_eq!(OfKind::of(Kind::Containers, &document).count, 0);
    }
}
