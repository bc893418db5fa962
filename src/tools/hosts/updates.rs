//! Which running images have a newer one in their registry: asked once for each image, for the whole fleet.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::names;
use crate::{
    docker::{
        Docker, Target,
        names::{image, is_image_id},
    },
    error::{Error, Result},
    registry::Image,
    tool::{Call, FleetTool, HostAnswer, HostStatus, Summary, page::USUAL_ANSWER, text::count},
    tools::{
        listing,
        pull::reference::Reference,
        view::{clipped, container_name, fit, short_id, text, texts},
    },
};

/// How long a host may take, with the registries that its images are from.
const PATIENCE: Duration = Duration::from_secs(28);
/// How many registries are asked at once for one host.
const AT_ONCE: usize = 6;
/// How many images of one host are looked at.
const MOST_IMAGES: usize = 200;
/// How many containers are looked at for the name of an image that has another one by now.
const MOST_INSPECTED: usize = 50;
/// How many containers a row names.
const CONTAINERS: usize = 8;
/// The longest text that is shown.
const LONGEST: usize = 200;

/// Compares running images with their registries: which have an update, which were pulled but not recreated.
///
/// Asked from the gateway's machine; answers are kept for 3 minutes.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckImageUpdates {
    /// Repository or reference; then up-to-date ones are shown too.
    #[serde(default)]
    image: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Checked {
    images: Vec<Row>,
    /// How many have an update.
    updates: usize,
    /// How many are up to date.
    current: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    hosts: Vec<HostStatus>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    image: String,
    /// `update`: pull and recreate; `recreate`: the host has it already; `current`; `unchecked`.
    status: &'static str,
    /// What the registry has.
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    running: Vec<Running>,
}

#[derive(Serialize, JsonSchema)]
struct Running {
    host: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    containers: String,
}

/// What one host runs.
pub(super) struct Found {
    uses: Vec<Use>,
    /// What is of no registry: pinned by digest, or made there.
    pinned: usize,
    local: usize,
    /// What there was no time or room to look at.
    left_out: usize,
}

/// One image as one host runs it.
struct Use {
    image: String,
    status: &'static str,
    digest: Option<String>,
    latest: Result<String, String>,
    containers: Vec<String>,
}

/// One image of running containers, before its registry was asked.
struct Wanted {
    reference: String,
    running: Vec<String>,
    /// Whether the reference stands for another image than the one that runs.
    moved: bool,
    /// The digests of what the reference stands for on the host.
    present: Vec<String>,
    containers: Vec<String>,
}

impl Summary for Checked {
    fn summary(&self) -> String {
        let recreate = self.images.iter().filter(|row| row.status == "recreate").count();
        let unchecked = self.images.iter().filter(|row| row.status == "unchecked").count();
        format!(
            "{} with an update, {recreate} pulled but not recreated, {} up to date, {unchecked} not checked",
            count(self.updates, "image"),
            self.current
        )
    }
}

impl FleetTool for CheckImageUpdates {
    const NAME: &'static str = "check_image_updates";
    const WHOLE_FLEET: bool = true;
    const OPEN_WORLD: bool = true;
    type Part = Found;
    type Output = Checked;

    fn deadline(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    fn check(&self) -> Result<()> {
        self.image.as_deref().map_or(Ok(()), |text| image("image", text).map(drop))
    }

    async fn ask(&self, docker: &Docker, call: &Call) -> Result<Found> {
        let running = docker.json(Target::new("/containers/json")).await?;
        let images = docker.json(Target::new("/images/json")).await?;
        let mut found = Found { uses: Vec::new(), pinned: 0, local: 0, left_out: 0 };
        let mut wanted = self.wanted(docker, &running, &images, &mut found).await?;
        found.left_out += wanted.len().saturating_sub(MOST_IMAGES);
        wanted.truncate(MOST_IMAGES);
        let asked = stream::iter(wanted).map(|wanted| async move {
            let image = Image::of_canonical(&Reference::of(&wanted.reference).canonical());
            let latest = match image {
                Ok(image) => call.registries().digest(&image).await,
                Err(error) => Err(error),
            };
            wanted.used(latest)
        });
        found.uses = asked.buffer_unordered(AT_ONCE).collect().await;
        Ok(found)
    }

    fn combine(self, answers: Vec<HostAnswer<Found>>, _: &Call) -> Result<Checked> {
        let hosts = listing::folded(HostStatus::of(&answers));
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let (mut pinned, mut local, mut left_out) = (0, 0, 0);
        for HostAnswer { host, answer } in answers {
            let Ok(found) = answer else { continue };
            pinned += found.pinned;
            local += found.local;
            left_out += found.left_out;
            for used in found.uses {
                let row = rows.entry(used.image.clone()).or_insert_with(|| Row {
                    image: used.image.clone(),
                    status: used.status,
                    registry_digest: None,
                    error: None,
                    running: Vec::new(),
                });
                row.take(&host, used);
            }
        }
        let (updates, current) = (count_of(&rows, "update"), count_of(&rows, "current"));
        let mut images: Vec<Row> =
            rows.into_values().filter(|row| self.image.is_some() || row.status != "current").collect();
        images.sort_by_key(|row| rank(row.status));
        let total = images.len();
        fit(&mut images, &mut USUAL_ANSWER.saturating_sub(1_200 + listing::size(&hosts)).max(2_000));
        let notes = [
            (pinned, "pinned by digest"),
            (local, "of no registry"),
            (left_out, "left out: too many, name one"),
            (total - images.len(), "not shown: name one"),
        ];
        let notes: Vec<String> =
            notes.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
        let note = (!notes.is_empty()).then(|| notes.join("; "));
        Ok(Checked { images, updates, current, note, hosts })
    }
}

impl CheckImageUpdates {
    /// The images of running containers that a registry can be asked for.
    async fn wanted(&self, docker: &Docker, running: &Value, images: &Value, found: &mut Found) -> Result<Vec<Wanted>> {
        let images = images.as_array().map(Vec::as_slice).unwrap_or_default();
        let by_id: HashMap<&str, &Value> = images.iter().map(|image| (text(image, "Id"), image)).collect();
        let by_tag: HashMap<String, &str> = images
            .iter()
            .flat_map(|image| {
                texts(image, "RepoTags").map(move |tag| (Reference::of(tag).canonical(), text(image, "Id")))
            })
            .collect();
        let mut grouped: BTreeMap<(String, &str), Wanted> = BTreeMap::new();
        let mut inspected = 0;
        for container in running.as_array().into_iter().flatten() {
            let id = text(container, "ImageID");
            let Some(reference) = reference(docker, container, &mut inspected).await? else {
                found.left_out += 1;
                continue;
            };
            if image("image", &reference).is_err() || is_image_id(&reference) {
                found.local += 1;
                continue;
            }
            let name = Reference::of(&reference);
            if !self.fits(name) {
                continue;
            }
            if name.digest.is_some() {
                found.pinned += 1;
                continue;
            }
            let canonical = name.canonical();
            let present = by_tag.get(&canonical).copied();
            let digests = |id: &str| by_id.get(id).map(|image| digests(image, name)).unwrap_or_default();
            let entry = grouped.entry((canonical, id)).or_insert_with(|| Wanted {
                reference: name.of_one().to_string(),
                running: digests(id),
                moved: present.is_some_and(|present| present != id),
                present: present.map(digests).unwrap_or_default(),
                containers: Vec::new(),
            });
            entry.containers.push(container_name(container).to_owned());
        }
        let (known, made): (Vec<Wanted>, Vec<Wanted>) =
            grouped.into_values().partition(|wanted| !wanted.running.is_empty() || !wanted.present.is_empty());
        found.local += made.len();
        Ok(known)
    }

    /// Whether it is one that was asked for: the same reference, or one of the same repository.
    fn fits(&self, name: Reference<'_>) -> bool {
        let Some(asked) = self.image.as_deref().map(Reference::of) else { return true };
        let repository = |name: Reference<'_>| Reference { tag: None, digest: None, ..name }.canonical();
        repository(asked) == repository(name) && (asked.tag.is_none() || asked.of_one().tag == name.of_one().tag)
    }
}

/// The name that a container's image had when it was made; `None` where too many would have to be looked at.
///
/// An engine that knows the image by another name by now, or by none, tells its id instead.
async fn reference(docker: &Docker, container: &Value, inspected: &mut usize) -> Result<Option<String>> {
    let name = text(container, "Image");
    if !is_image_id(name) && !name.starts_with("sha256:") {
        return Ok(Some(name.to_owned()));
    }
    if *inspected >= MOST_INSPECTED {
        return Ok(None);
    }
    *inspected += 1;
    match docker.json(Target::new(format!("/containers/{}/json", text(container, "Id")))).await {
        Ok(facts) => Ok(Some(facts.pointer("/Config/Image").and_then(Value::as_str).unwrap_or(name).to_owned())),
        // It has gone meanwhile.
        Err(error) if error.kind() == crate::error::Kind::NotFound => Ok(Some(name.to_owned())),
        Err(error) => Err(error),
    }
}

/// The digests that an image has in the repository of a reference.
fn digests(image: &Value, name: Reference<'_>) -> Vec<String> {
    let repository = |name: Reference<'_>| Reference { tag: None, digest: None, ..name }.canonical();
    let own = |text: &str| {
        let listed = Reference::of(text);
        Some(listed.digest?.to_owned()).filter(|_| repository(listed) == repository(name))
    };
    texts(image, "RepoDigests").filter_map(own).collect()
}

impl Wanted {
    /// What its registry's answer makes of it.
    fn used(self, latest: Result<String, Error>) -> Use {
        let status = match &latest {
            Err(_) => "unchecked",
            Ok(latest) if self.running.contains(latest) => "current",
            Ok(latest) if self.moved && self.present.contains(latest) => "recreate",
            Ok(_) => "update",
        };
        Use {
            image: clipped(&self.reference, LONGEST),
            status,
            digest: self.running.into_iter().next(),
            latest: latest.map_err(|error| clipped(error.message(), LONGEST)),
            containers: self.containers,
        }
    }
}

impl Row {
    /// Adds how a host runs it.
    fn take(&mut self, host: &str, used: Use) {
        if rank(used.status) < rank(self.status) {
            self.status = used.status;
        }
        match used.latest {
            Ok(latest) => self.registry_digest = Some(short_id(&latest)),
            Err(error) => self.error = Some(error),
        }
        let containers: Vec<String> = used.containers.iter().map(|name| clipped(name, 80)).collect();
        self.running.push(Running {
            host: host.to_owned(),
            status: used.status,
            digest: used.digest.as_deref().map(short_id),
            containers: names(&containers, CONTAINERS),
        });
    }
}

/// What has to be done comes first.
fn rank(status: &str) -> usize {
    ["update", "recreate", "unchecked", "current"].iter().position(|known| *known == status).unwrap_or(usize::MAX)
}

fn count_of(rows: &BTreeMap<String, Row>, status: &str) -> usize {
    rows.values().filter(|row| row.status == status).count()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(running: &[&str], present: &[&str]) -> Wanted {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Wanted {
            reference: "nginx:1".into(),
            running: owned(running),
            moved: running != present,
            present: owned(present),
            containers: vec!["web".into()],
        }
    }

    #[test]
    fn what_has_to_be_done_is_told_apart() {
        let status = |running: &[&str], present: &[&str]| wanted(running, present).used(Ok("new".into())).status;
        assert_eq!(status(&["new"], &["new"]), "current");
        assert_eq!(status(&["old"], &["old"]), "update");
        assert_eq!(status(&["old"], &["new"]), "recreate");
        assert_eq!(status(&["old"], &["middle"]), "update");
        assert_eq!(status(&["old", "new"], &[]), "current");
        assert_eq!(wanted(&["old"], &[]).used(Err(Error::unreachable("gone"))).status, "unchecked");
    }

    #[test]
    fn an_image_is_one_row_for_all_hosts() {
        let found = |uses| Found { uses, pinned: 1, local: 0, left_out: 0 };
        let answer = |host: &str, answer| HostAnswer { host: host.to_owned(), answer };
        let answers = vec![
            answer("a", Ok(found(vec![wanted(&["new"], &["new"]).used(Ok("new".into()))]))),
            answer("b", Ok(found(vec![wanted(&["old"], &["old"]).used(Ok("new".into()))]))),
            answer("c", Err(Error::unreachable("no answer"))),
        ];
        let checked = CheckImageUpdates { image: None }.combine(answers, &Call::alone()).unwrap();
        assert_eq!((checked.updates, checked.current, checked.images.len()), (1, 0, 1));
        assert_eq!(
            checked.images[0].running.iter().map(|running| running.status).collect::<Vec<_>>(),
            ["current", "update"]
        );
        assert_eq!((checked.note.as_deref(), checked.hosts.len()), (Some("2 pinned by digest"), 3));
    }

    #[test]
    fn digests_are_those_of_the_same_repository() {
        let image =
            json!({"RepoDigests": ["nginx@sha256:1", "other/nginx@sha256:2", "docker.io/library/nginx@sha256:3", "x"]});
        assert_eq!(digests(&image, Reference::of("nginx:1")), ["sha256:1", "sha256:3"]);
        let asked = |image: &str| CheckImageUpdates { image: Some(image.to_owned()) };
        assert!(asked("nginx").fits(Reference::of("docker.io/library/nginx:1")));
        assert!(asked("nginx:latest").fits(Reference::of("nginx")));
        assert!(!asked("nginx:1").fits(Reference::of("nginx:2")) && !asked("x/nginx").fits(Reference::of("nginx")));
    }
}
