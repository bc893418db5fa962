//! What a request may name, and what has to be asked before an answer can be judged: the side of the sight that asks.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Method, Uri};
use serde_json::Value;

use super::{
    Needs, Services, Sight,
    census::{Census, Found},
    events::{Events, Judge},
    images::{self, Catalogue},
    text, words,
};
use crate::{
    config::Globs,
    docker::{Docker, Filters, Target, guard::Wire, names::quote, objects::ObjectKind, reference::Reference},
    error::{Error, Kind, Result},
};

/// What one call has learned of what exists.
#[derive(Default)]
pub(in crate::docker) struct Memory {
    /// Held while the list is read, so that many looks at once cost one.
    census: tokio::sync::Mutex<Option<Arc<Census>>>,
    /// Executions, services, tasks and images that were found to exist for callers.
    seen: Mutex<HashSet<String>>,
}

/// The bodies that may name containers or images.
pub(in crate::docker) const NAMING_BODIES: &[&str] = &[
    "/containers/create",
    "/networks/{id}/connect",
    "/networks/{id}/disconnect",
    "/services/create",
    "/services/{id}/update",
];

impl Docker {
    fn containers(&self) -> &Globs {
        &self.config().limits.containers
    }

    fn images(&self) -> &Globs {
        &self.config().limits.images
    }

    /// Whether nothing is denied here, and so nothing has to be looked at.
    pub(in crate::docker) fn sees_all(&self) -> bool {
        self.containers().is_open() && self.images().is_open()
    }

    /// Streams events, those left out that are about what does not exist for callers.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn events(&self, target: Target) -> Result<Events> {
        let judge = self.judge_of_events().await?;
        Ok(Events::new(self.stream(target).await?, judge, self.reveal().clone()))
    }

    /// What tells which events are about what exists for callers.
    pub(in crate::docker) async fn judge_of_events(&self) -> Result<Judge> {
        let census = if self.containers().is_open() { Arc::default() } else { self.census_now().await? };
        let catalogue = if self.images().is_open() { Arc::default() } else { Arc::new(self.catalogue().await?) };
        Ok(Judge::new(self.containers(), self.images(), census, catalogue))
    }

    /// Refuses a name for a new container that would not exist for callers afterwards.
    ///
    /// # Errors
    /// `denied`, naming the setting.
    pub fn may_be_called(&self, argument: &str, name: Option<&str>) -> Result<()> {
        if self.containers().admit(name) {
            return Ok(());
        }
        Err(match name {
            Some(name) => Error::denied(format!(
                "argument \"{argument}\": \"containers\" in the configuration of the host denies {}",
                quote(name)
            )),
            None => Error::denied(format!(
                "argument \"{argument}\" is missing: \"containers\" in the configuration of the host allows some names only"
            )),
        }
        .hint("choose a name that the host allows, such as those of list_containers; the person can change the setting"))
    }

    /// What hidden containers and images need, by every name and id that they use for it; empty where none is hidden.
    ///
    /// A prune has to spare it: it looks unused and is not.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn needed_unseen(&self, kind: ObjectKind) -> Result<HashSet<String>> {
        let mut needed = self.needed_by_containers(kind).await?;
        if kind == ObjectKind::Image && !self.images().is_open() {
            let list = self.look(Target::new("/images/json").query("all", "1")).await?;
            needed.extend(images::needed_unseen(self.images(), &list));
        }
        Ok(needed)
    }

    async fn needed_by_containers(&self, kind: ObjectKind) -> Result<HashSet<String>> {
        if self.containers().is_open() {
            return Ok(HashSet::new());
        }
        let census = self.census_now().await?;
        let hidden = census.hidden();
        Ok(match kind {
            ObjectKind::Image => hidden.map(|known| known.image.clone()).collect(),
            ObjectKind::Network => hidden.flat_map(|known| known.networks.iter().cloned()).collect(),
            ObjectKind::Volume => hidden.flat_map(|known| known.volumes.iter().cloned()).collect(),
            // No container keeps these.
            _ => HashSet::new(),
        })
    }

    /// The full id of a container that exists for callers; where nothing is denied, what was asked for.
    ///
    /// What does not exist and what is hidden cost the same: one list. `again` looks anew.
    pub(in crate::docker) async fn full_id(&self, asked: &str, again: bool) -> Result<Option<String>> {
        if self.containers().is_open() {
            return Ok((!again).then(|| asked.to_owned()));
        }
        let known = if again { None } else { self.call.sight.census.lock().await.clone() };
        let find = |census: &Census| match census.resolve_shown(asked) {
            Found::One(known) => Some(known.id.clone()),
            // The engine has words for it.
            Found::Several => Some(asked.to_owned()),
            Found::None => None,
        };
        match known.as_deref().and_then(find) {
            Some(id) => Ok(Some(id)),
            None => Ok(find(self.census_now().await?.as_ref())),
        }
    }

    /// Refuses a request that names what does not exist for callers, or sends the daemon to a strange registry.
    pub(in crate::docker) async fn admit_subject(&self, method: &Method, wire: &Wire, uri: &Uri) -> Result<()> {
        if let Some(registry) = &wire.registry {
            self.admit_registry(registry).await?;
        }
        if self.sees_all() {
            return Ok(());
        }
        let given = Given::of(uri);
        if !self.containers().is_open() {
            self.admit_container(wire, &given).await?;
        }
        if !self.images().is_open() {
            self.admit_image(method, wire, &given).await?;
        }
        Ok(())
    }

    async fn admit_container(&self, wire: &Wire, given: &Given) -> Result<()> {
        let subject = wire.subject.as_deref().unwrap_or_default();
        match wire.route.template {
            "/containers/create" => return self.may_be_called("name", given.first("name")),
            "/containers/prune" | "/networks/prune" | "/volumes/prune" | "/images/prune" => return Err(sweeping()),
            "/containers/{id}/rename" => self.may_be_called("name", given.first("name"))?,
            "/commit" => {
                for container in given.all("container") {
                    self.admit_reference(container).await?;
                }
                return Ok(());
            }
            // Its own answer says whose it is.
            "/exec/{id}/json" | "/services/{id}" | "/tasks/{id}" if wire.route.method == "GET" => return Ok(()),
            _ => {}
        }
        match wire.route.template.split('/').nth(1) {
            Some("containers") if wire.subject.is_some() => self.admit_reference(subject).await,
            Some("exec") => self.admit_shown(&format!("/exec/{subject}/json"), subject).await,
            Some("services") if wire.subject.is_some() => {
                self.admit_shown(&format!("/services/{subject}"), subject).await
            }
            Some("tasks") if wire.subject.is_some() => self.admit_shown(&format!("/tasks/{subject}"), subject).await,
            _ => Ok(()),
        }
    }

    /// Refuses a container as the engine would one that is not there.
    async fn admit_reference(&self, reference: &str) -> Result<()> {
        if self.call.has_made(reference) {
            return Ok(());
        }
        let known = self.call.sight.census.lock().await.clone();
        let shown = |census: &Census| match census.resolve(reference) {
            Found::One(known) => Some(known.shown),
            Found::Several => Some(matches!(census.resolve_shown(reference), Found::Several)),
            Found::None => None,
        };
        let shown = match known.as_deref().and_then(shown) {
            Some(shown) => shown,
            None => shown(self.census_now().await?.as_ref()).unwrap_or_default(),
        };
        if shown { Ok(()) } else { Err(absent("/containers/{id}", reference)) }
    }

    /// Looks at a document that tells whose a subject is, once for each call.
    async fn admit_shown(&self, path: &str, subject: &str) -> Result<()> {
        if self.call.sight.has_seen(path) {
            return Ok(());
        }
        // It is judged as every other answer.
        Box::pin(self.original(Target::new(path))).await.map_err(|error| match error.kind() {
            Kind::NotFound => absent(path, subject),
            _ => error,
        })?;
        self.call.sight.see(path);
        Ok(())
    }

    async fn admit_image(&self, method: &Method, wire: &Wire, given: &Given) -> Result<()> {
        let subject = wire.subject.as_deref().unwrap_or_default();
        let named = |repository: Option<&str>, tag: Option<&str>| match (repository, tag) {
            (Some(repository), Some(tag)) if tag.contains(':') => Some(format!("{repository}@{tag}")),
            (Some(repository), Some(tag)) if !tag.is_empty() => Some(format!("{repository}:{tag}")),
            (Some(repository), _) if !repository.is_empty() => Some(repository.to_owned()),
            _ => None,
        };
        match wire.route.template {
            "/images/create" => {
                // A pull names what it fetches, an import what it makes.
                let name = given.first("fromImage").or(given.first("repo"));
                return self.may_be_named(named(name, given.first("tag")));
            }
            "/commit" => return self.may_be_named(named(given.first("repo"), given.first("tag"))),
            "/build" => return given.all("t").try_for_each(|tag| self.may_be_named(Some(tag.to_owned()))),
            "/images/prune" => return Err(sweeping()),
            "/images/{name}/push" => return self.admit_push(subject, given.first("tag")).await,
            "/images/{name}/tag" => self.may_be_named(named(given.first("repo"), given.first("tag")))?,
            "/images/get" => {
                for name in given.all("names") {
                    one_image(name)?;
                    self.admit_shown(&format!("/images/{name}/json"), name).await?;
                }
            }
            "/distribution/{name}/json" if !images::admits(self.images(), subject) => {
                return Err(absent("/images/{name}", subject));
            }
            _ => {}
        }
        // Its own answer says what it is.
        if wire.route.template == "/images/{name}/json" || !wire.route.template.starts_with("/images/{name}") {
            return Ok(());
        }
        if method == Method::DELETE {
            return self.admit_removal(subject).await;
        }
        if wire.route.template == "/images/{name}/get" {
            one_image(subject)?;
        }
        self.admit_shown(&format!("/images/{subject}/json"), subject).await
    }

    /// Without a tag every image of the repository goes out, and each has to exist for callers.
    async fn admit_push(&self, repository: &str, tag: Option<&str>) -> Result<()> {
        let names = match tag.filter(|tag| !tag.is_empty()) {
            Some(tag) => vec![format!("{repository}:{tag}")],
            None => self.names_of(repository).await?,
        };
        for name in names {
            self.may_be_named(Some(name.clone()))?;
            self.admit_shown(&format!("/images/{name}/json"), &name).await?;
        }
        Ok(())
    }

    /// Every name that the images of a repository have here, hidden ones too.
    async fn names_of(&self, repository: &str) -> Result<Vec<String>> {
        let filters = Filters::default().with("reference", [repository]);
        let listed = self.look(Target::new("/images/json").filters(&filters)).await?;
        let images = listed.as_array().into_iter().flatten();
        let names = images.filter_map(|image| image.get("RepoTags")?.as_array()).flatten().filter_map(Value::as_str);
        Ok(names.filter(|name| Reference::of(name).repository == repository).map(str::to_owned).collect())
    }

    /// By its id an image goes with all its names, and with those that callers cannot see.
    async fn admit_removal(&self, subject: &str) -> Result<()> {
        let path = format!("/images/{subject}/json");
        let mut image = self.look(Target::new(path.as_str())).await?;
        let is_by_id =
            text(&image, "Id").trim_start_matches("sha256:").starts_with(subject.trim_start_matches("sha256:"));
        let spares = is_by_id && images::has_hidden_names(self.images(), &image);
        if !images::answers(self.images(), subject, &mut image) {
            return Err(absent(&path, subject));
        }
        if spares {
            return Err(Error::conflict(format!("image {} is referenced in several repositories", quote(subject)))
                .hint("remove it by its references; list_images shows them"));
        }
        Ok(())
    }

    /// Refuses a name for an image that would not exist for callers afterwards.
    ///
    /// # Errors
    /// `denied`, naming the setting.
    pub fn may_be_named(&self, reference: Option<String>) -> Result<()> {
        match reference.filter(|reference| !images::admits(self.images(), reference)) {
            None => Ok(()),
            Some(reference) => {
                Err(Error::denied(format!("\"images\" in the configuration of the host denies {}", quote(&reference)))
                    .hint("use an image that the host allows; the person can change the setting"))
            }
        }
    }

    /// Refuses a body that names what does not exist for callers.
    pub(in crate::docker) async fn admit_body(&self, template: &str, body: &Value) -> Result<()> {
        let inside = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        let mut containers: Vec<&str> = Vec::new();
        match template {
            "/networks/{id}/connect" | "/networks/{id}/disconnect" => containers.extend(inside("/Container")),
            "/services/create" | "/services/{id}/update" => {
                if let Some(name) = inside("/Name") {
                    self.may_be_called("name", Some(name))?;
                }
            }
            _ => {
                containers.extend(others(body));
                if let Some(image) = inside("/Image").filter(|_| !self.images().is_open()) {
                    self.admit_shown(&format!("/images/{image}/json"), image).await?;
                }
            }
        }
        if !self.containers().is_open() {
            for container in containers {
                self.admit_reference(container).await?;
            }
        }
        Ok(())
    }

    /// Takes out of a document what does not exist for callers.
    pub(in crate::docker) async fn sift(&self, wire: &Wire, document: &mut Value) -> Result<()> {
        if wire.route.template == "/images/json" && self.images().is_open() {
            self.note_registries(document);
        }
        if self.sees_all() {
            return Ok(());
        }
        let needs = Needs::of(wire, document, self.containers(), self.images());
        let census = if needs.census { self.census().await? } else { Arc::default() };
        let services = if needs.services { self.services().await? } else { Services::new() };
        let catalogue = if needs.catalogue { self.catalogue().await? } else { Catalogue::default() };
        let sight = Sight {
            containers: self.containers(),
            images: self.images(),
            census: &census,
            services: &services,
            catalogue: &catalogue,
        };
        if !sight.sift(wire, document) {
            return Err(absent(wire.route.template, wire.subject.as_deref().unwrap_or_default()));
        }
        if wire.route.template == "/images/json" {
            self.note_registries(document);
        }
        Ok(())
    }

    /// Takes out of a daemon's words what names a hidden container.
    pub(in crate::docker) async fn unsay(&self, error: Error, wire: &Wire, uri: &Uri) -> Error {
        if self.containers().is_open() {
            return error;
        }
        let Ok(census) = self.census_now().await else {
            // What cannot be judged is not told.
            return Error::new(error.kind(), "the daemon refused the request").detail(error.message());
        };
        let given = Given::of(uri);
        let mut asked: Vec<&str> = given.0.iter().map(|(_, value)| value.as_str()).collect();
        asked.extend(wire.subject.as_deref());
        error.reworded(|text| words::unsay(text, &census, &asked))
    }

    async fn census(&self) -> Result<Arc<Census>> {
        let mut kept = self.call.sight.census.lock().await;
        if let Some(census) = kept.as_ref() {
            return Ok(census.clone());
        }
        let census = Arc::new(self.counted().await?);
        *kept = Some(census.clone());
        Ok(census)
    }

    async fn census_now(&self) -> Result<Arc<Census>> {
        let census = Arc::new(self.counted().await?);
        *self.call.sight.census.lock().await = Some(census.clone());
        Ok(census)
    }

    async fn counted(&self) -> Result<Census> {
        let list = self.look(Target::new("/containers/json").query("all", "1")).await?;
        Ok(Census::of(&list, self.containers()))
    }

    async fn services(&self) -> Result<Services> {
        let list = self.look(Target::new("/services")).await?;
        let services = list.as_array().into_iter().flatten();
        let name = |service: &Value| service.pointer("/Spec/Name").and_then(Value::as_str).map(str::to_owned);
        Ok(services.filter_map(|service| Some((text(service, "ID").to_owned(), name(service)?))).collect())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::of(&self.look(Target::new("/images/json")).await?, self.images()))
    }

    /// Refuses a registry that neither the configuration nor an image of this host names.
    async fn admit_registry(&self, registry: &str) -> Result<()> {
        if self.host.may_reach(registry) {
            return Ok(());
        }
        // What passes is remembered.
        Box::pin(self.original(Target::new("/images/json"))).await?;
        if self.host.may_reach(registry) {
            return Ok(());
        }
        Err(Error::denied(format!(
            "the daemon is not sent to registry {}: no image of the host comes from it, and \"registries\" in the \
             configuration does not name it",
            quote(registry)
        ))
        .hint("nothing was sent; the person can add it to \"registries\""))
    }

    /// Refuses a registry that a program of this machine would ask on behalf of a call, unless it is Docker Hub, or
    /// the configuration or an image of this host names it: a strange one could send the program anywhere.
    ///
    /// # Errors
    /// `denied` for any other.
    pub async fn may_ask(&self, registry: &str) -> Result<()> {
        let registry = registry.to_ascii_lowercase();
        if matches!(registry.as_str(), "docker.io" | "index.docker.io") {
            return Ok(());
        }
        Box::pin(self.admit_registry(&registry)).await.map_err(|_| {
            Error::denied(format!(
                "registry {} is not asked: no image of the host comes from it, and \"registries\" in the configuration \
                 does not name it",
                quote(&registry)
            ))
            .hint("nothing was sent; the person can add it to \"registries\"")
        })
    }

    fn note_registries(&self, images: &Value) {
        let names = images.as_array().into_iter().flatten().flat_map(|image| {
            let of = |field| image.get(field).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
            of("RepoTags").chain(of("RepoDigests"))
        });
        self.host.note_registries(names);
    }
}

impl Memory {
    fn has_seen(&self, path: &str) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    fn see(&self, path: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }
}

/// The parameters of a request, decoded.
struct Given(Vec<(String, String)>);

impl Given {
    fn of(uri: &Uri) -> Self {
        Self(url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn first<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }
}

/// The containers that a new one is tied to.
fn others(body: &Value) -> Vec<&str> {
    let host = body.get("HostConfig").unwrap_or(&Value::Null);
    let modes = ["NetworkMode", "PidMode", "IpcMode", "UTSMode"].into_iter();
    let shared = modes.filter_map(|mode| host.get(mode)?.as_str()?.strip_prefix("container:"));
    let lists = ["VolumesFrom", "Links"].into_iter();
    let named = lists.flat_map(|list| host.get(list).and_then(Value::as_array).into_iter().flatten());
    shared.chain(named.filter_map(|item| item.as_str()?.split(':').next())).collect()
}

/// Refuses a repository where an image is meant: an engine saves every tag of it, the hidden ones too.
fn one_image(name: &str) -> Result<()> {
    let Reference { tag, digest, .. } = Reference::of(name);
    if tag.is_some() || digest.is_some() {
        return Ok(());
    }
    Err(Error::denied(format!("{} stands for all images of a repository", quote(name)))
        .hint("name one of them, by tag or by its whole id"))
}

/// What an engine says of what is not there.
fn absent(path: &str, subject: &str) -> Error {
    Error::not_found(match path.split('/').nth(1) {
        Some("containers") => format!("No such container: {subject}"),
        Some("images") => format!("No such image: {subject}"),
        Some("exec") => format!("No such exec instance: {subject}"),
        Some("tasks") => format!("task {subject} not found"),
        _ => format!("service {subject} not found"),
    })
}

/// The engine's own prunes know nothing of what is hidden.
fn sweeping() -> Error {
    Error::denied(
        "the engine's own prune would also reach what \"containers\" and \"images\" in the configuration deny",
    )
    .hint("remove objects by name")
}
