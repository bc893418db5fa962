//! What could go of each kind: not in use, not kept, old enough; looked at one by one for what it is.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use serde_json::Value;

use super::{Kind, Planned, Used, Wish};
use crate::{
    docker::{Docker, Filters, Target, names},
    error::{Error, Kind as ErrorKind, Result},
    tool::Object,
    tools::{
        project::PROJECT,
        view::{container_name, flag, items, text, texts},
    },
};

/// How long the daemon may count bytes.
const SIZES: Duration = Duration::from_secs(60);
/// How many objects of a kind are looked at.
const MOST_LOOKS: usize = 400;
/// How many at once.
const AT_ONCE: usize = 8;
/// The states in which a container can go.
const STOPPED: [&str; 3] = ["created", "exited", "dead"];
/// What the engine makes for itself.
const PREDEFINED: &[&str] = &["bridge", "host", "none", "ingress", "docker_gwbridge"];
/// The label that names the tool which made an object here.
const TOOL: &str = "quaymaster.tool";

/// An object that could go.
pub(super) struct Candidate {
    /// What is kept of it.
    pub(super) planned: Planned,
    /// Whose it is, by its labels.
    pub(super) owner: Option<String>,
    /// What was last done with it, and when.
    pub(super) last_use: Option<(&'static str, Timestamp)>,
}

/// A row of a list that could be one, before it is looked at.
struct Rough {
    id: String,
    size: Option<u64>,
}

/// What could go of a kind.
pub(super) async fn of(
    kind: Kind,
    docker: &Docker,
    wish: &Wish,
    used: &Used,
    notes: &mut Vec<String>,
) -> Result<Vec<Candidate>> {
    let mut rough = match kind {
        Kind::Containers => containers(docker, wish).await?,
        Kind::Images => images(docker, wish, used, notes).await?,
        Kind::Networks => networks(docker, wish, used).await?,
        Kind::Volumes => volumes(docker, wish, used).await?,
    };
    rough.sort_by(|one, other| other.size.cmp(&one.size).then_with(|| one.id.cmp(&other.id)));
    rough.truncate(MOST_LOOKS);
    let looks = stream::iter(rough).map(|rough| async move {
        match found(kind, docker, &rough.id).await {
            // Gone since it was listed, or called by its driver as no request can call it.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(None),
            Err(error) => Err(error),
            Ok(object) => Ok(Some(Candidate::of(kind, &object, rough.size))),
        }
    });
    let looked: Vec<Result<Option<Candidate>>> = looks.buffered(AT_ONCE).collect().await;
    let all = looked.into_iter().filter_map(Result::transpose).collect::<Result<Vec<_>>>()?;
    // What has no time of its making is not old.
    let is_old = |candidate: &Candidate| {
        wish.before.is_none_or(|before| candidate.last_use.is_some_and(|(_, time)| time < before))
    };
    Ok(all.into_iter().filter(is_old).collect())
}

/// Looks at one object by its full id.
///
/// # Errors
/// As [`Docker::container`].
pub(super) async fn found(kind: Kind, docker: &Docker, id: &str) -> Result<Object> {
    match kind {
        Kind::Containers => docker.container("plan", id).await,
        Kind::Images => docker.image("plan", id).await,
        Kind::Networks => docker.network("plan", id).await,
        Kind::Volumes => docker.volume("plan", id).await,
    }
}

/// What an object did last, as far as that must not change.
pub(super) fn state(kind: Kind, object: &Object) -> String {
    match kind {
        // It was run again since, or runs.
        Kind::Containers => format!("{} {}", text_at(object, "/State/Status"), text_at(object, "/State/FinishedAt")),
        // Another name is another wish to keep it.
        Kind::Images => {
            let mut names: Vec<&str> = texts(&object.facts, "RepoTags").collect();
            names.sort_unstable();
            names.join(" ")
        }
        Kind::Networks | Kind::Volumes => String::new(),
    }
}

impl Candidate {
    fn of(kind: Kind, object: &Object, size: Option<u64>) -> Self {
        let moment = |pointer: &str| {
            let time = text_at(object, pointer).parse::<Timestamp>().ok();
            time.filter(|time| time.as_second() > 0)
        };
        let made = || moment("/Created").or_else(|| moment("/CreatedAt")).map(|time| ("created", time));
        let last_use = match kind {
            Kind::Containers => moment("/State/FinishedAt").map(|time| ("ended", time)),
            Kind::Images => moment("/Metadata/LastTagTime").map(|time| ("tagged", time)),
            Kind::Networks | Kind::Volumes => None,
        };
        let planned = Planned {
            kind,
            id: object.id.clone(),
            name: object.name.clone(),
            digest: object.digest.clone(),
            state: state(kind, object),
            size,
        };
        Self { planned, owner: owner(object), last_use: last_use.or_else(made) }
    }
}

/// Whose an object is, by its labels.
fn owner(object: &Object) -> Option<String> {
    let label = |key: &str| {
        let labels = object.fact("/Labels").or(object.fact("/Config/Labels"))?;
        labels.get(key).and_then(Value::as_str).filter(|value| !value.is_empty())
    };
    let project = label(PROJECT).map(|project| format!("compose {project}"));
    project.or_else(|| label(TOOL).map(|tool| format!("quaymaster {tool}")))
}

fn text_at<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.fact(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Wish {
    /// Whether something with this name and these labels stays.
    fn keeps(&self, row: &Value, name: &str) -> bool {
        let project = row.get("Labels").map(|labels| text(labels, PROJECT)).filter(|project| !project.is_empty());
        !self.keep.admit([name].into_iter().chain(project))
    }
}

async fn containers(docker: &Docker, wish: &Wish) -> Result<Vec<Rough>> {
    let filters = Filters::default().with("status", STOPPED);
    let target = Target::new("/containers/json").query("all", "1").query("size", "1").filters(&filters);
    let listed = docker.json(target.patient(SIZES)).await?;
    let rows = listed.as_array().into_iter().flatten();
    // What runs stays, whatever the filter was understood as.
    let rows = rows.filter(|row| STOPPED.contains(&text(row, "State")) && !wish.keeps(row, container_name(row)));
    Ok(rows.filter_map(|row| rough(row, "Id", row.get("SizeRw").and_then(Value::as_u64))).collect())
}

async fn images(docker: &Docker, wish: &Wish, used: &Used, notes: &mut Vec<String>) -> Result<Vec<Rough>> {
    let tells_shared = docker.engine().await?.api.minor >= 42;
    let target = Target::new("/images/json").patient(SIZES);
    let target = if tells_shared { target.query("shared-size", "1") } else { target };
    let listed = docker.json(target).await?;
    let mut found = Vec::new();
    for row in listed.as_array().into_iter().flatten() {
        let (id, names) = (text(row, "Id"), || texts(row, "RepoTags").filter(|name| *name != "<none>:<none>"));
        let spelled: Vec<String> = names().flat_map(names::spellings).collect();
        let is_kept = wish.keeps(row, id) || !wish.keep_images.admit(spelled.iter().map(String::as_str));
        if is_kept || used.has_image(id, names()) {
            continue;
        }
        let number = |field: &str| row.get(field).and_then(Value::as_i64).and_then(|size| u64::try_from(size).ok());
        // What others share stays with them.
        let size = number("Size").map(|size| size.saturating_sub(number("SharedSize").unwrap_or_default()));
        found.extend(rough(row, "Id", size));
    }
    if !found.is_empty() && !tells_shared {
        notes.push("this engine does not tell what images share: less than their sizes may come back".to_owned());
    }
    Ok(found)
}

async fn networks(docker: &Docker, wish: &Wish, used: &Used) -> Result<Vec<Rough>> {
    let listed = docker.json(Target::new("/networks")).await?;
    let goes = |row: &&Value| {
        let (id, name) = (text(row, "Id"), text(row, "Name"));
        // A service or a plan for networks of other hosts may need these, which no container shows.
        let others = PREDEFINED.contains(&name)
            || text(row, "Scope") != "local"
            || flag(row, "Ingress")
            || flag(row, "ConfigOnly");
        !others && !wish.keeps(row, name) && !used.has_network(id, name)
    };
    Ok(listed.as_array().into_iter().flatten().filter(goes).filter_map(|row| rough(row, "Id", None)).collect())
}

async fn volumes(docker: &Docker, wish: &Wish, used: &Used) -> Result<Vec<Rough>> {
    let listed = docker.json(Target::new("/volumes")).await?;
    let mut found: Vec<Rough> = items(&listed, "Volumes")
        .filter(|row| !wish.keeps(row, text(row, "Name")) && !used.has_volume(text(row, "Name")))
        // A volume of a cluster may be in use on another node.
        .filter(|row| row.get("ClusterVolume").is_none_or(Value::is_null))
        .filter_map(|row| rough(row, "Name", None))
        .collect();
    if !found.is_empty() {
        let sizes = sizes_of_volumes(docker).await;
        for volume in &mut found {
            volume.size = sizes.get(&volume.id).copied();
        }
    }
    Ok(found)
}

/// What volumes take; nothing where the daemon does not tell in time, for the plan is good without it.
async fn sizes_of_volumes(docker: &Docker) -> HashMap<String, u64> {
    let asked = async {
        let target = Target::new("/system/df").patient(SIZES);
        let is_told_apart = docker.engine().await?.api.minor >= 42;
        docker.json(if is_told_apart { target.query("type", "volume") } else { target }).await
    };
    let told: Value = match tokio::time::timeout(SIZES, asked).await {
        Ok(Ok(told)) => told,
        Ok(Err(_)) | Err(_) => return HashMap::new(),
    };
    // From API 1.52 on they stand elsewhere.
    let new = told.get("VolumeUsage").map(|usage| items(usage, "Items")).into_iter().flatten();
    let size = |row: &Value| row.pointer("/UsageData/Size").and_then(Value::as_u64);
    items(&told, "Volumes").chain(new).filter_map(|row| Some((text(row, "Name").to_owned(), size(row)?))).collect()
}

/// A row whose id can be asked for; what has none is left alone.
fn rough(row: &Value, field: &str, size: Option<u64>) -> Option<Rough> {
    Some(text(row, field)).filter(|id| !id.is_empty()).map(|id| Rough { id: id.to_owned(), size })
}

/// That an object is not what was planned any more.
pub(super) fn changed(why: &str) -> Error {
    Error::conflict(why.to_owned())
}
