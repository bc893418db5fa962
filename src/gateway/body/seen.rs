//! What a judgement has to know beside the body: the engine's own settings, other containers, volumes and their users.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    Judged, container,
    mounts::{self, Disguise},
    path::Own,
    read::{part, text},
    service,
};
use crate::{
    config::{
        Endpoint,
        limits::{Bodies, Rule, Verdict},
    },
    docker::{Docker, HEADERS},
    error::{Kind, Result},
    tool::{Body, BodyKind, Object, ObjectKind, Plan},
};

/// How many containers are looked at for one judgement.
const CONTAINERS: usize = 32;
/// The label by which containers and volumes of one project know each other.
const PROJECT: &str = "com.docker.compose.project";

/// What was looked at. What is not in here counts as the worst, where a rule needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// `/info`.
    pub(super) engine: Option<Value>,
    /// Where the engine is.
    pub(super) own: Own,
    /// Inspected containers, as they were named.
    pub(super) containers: BTreeMap<String, Value>,
    /// Volumes that exist, with their options as they are.
    pub(super) volumes: Vec<Value>,
    /// Containers that use one of them.
    pub(super) users: Vec<Value>,
}

impl Seen {
    /// What its options make of a volume that exists.
    pub(super) fn disguise(&self, volume: &str) -> Option<Disguise> {
        let volume = self.volume(volume)?;
        Disguise::of(text(volume, "Driver"), part(volume, &["Options"]))
    }

    fn volume(&self, name: &str) -> Option<&Value> {
        self.volumes.iter().find(|volume| text(volume, "Name") == name)
    }

    /// Whether a volume is another project's, or used by one or by somebody unlabelled.
    pub(super) fn is_foreign(&self, volume: &str, project: &str, own: &[Object]) -> bool {
        let Some(found) = self.volume(volume) else { return false };
        let owner = text(part(found, &["Labels"]), PROJECT);
        if !owner.is_empty() {
            return owner != project;
        }
        let mut users = self.users.iter().filter(|user| mounts::uses(user, volume));
        users.any(|user| {
            let is_own = own.iter().any(|object| object.id == text(user, "Id"));
            !is_own && (project.is_empty() || text(part(user, &["Labels"]), PROJECT) != project)
        })
    }

    /// Whether containers share the machine's control groups anyway: there is nothing else with cgroup v1.
    pub(super) fn shares_cgroups(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| text(engine, "CgroupVersion") == "1")
    }

    /// Whether a runtime is the one that the engine takes by itself.
    pub(super) fn is_default_runtime(&self, runtime: &str) -> bool {
        let plain = |name: &str| if name == "io.containerd.runc.v2" { "runc".to_owned() } else { name.to_owned() };
        self.engine.as_ref().is_some_and(|engine| plain(text(engine, "DefaultRuntime")) == plain(runtime))
    }

    /// Whether a log driver is the one that the engine takes by itself.
    pub(super) fn is_default_log(&self, driver: &str) -> bool {
        self.engine.as_ref().is_some_and(|engine| text(engine, "LoggingDriver") == driver)
    }
}

/// The project that a body says it belongs to.
pub(super) fn project(document: &Value) -> &str {
    text(part(document, &["Labels"]), PROJECT)
}

/// Looks at whatever the rules need to know for this plan, and at nothing that no rule asks for.
///
/// # Errors
/// `not_found` for a container that the body names and that is not there, and those of the daemon.
pub(super) async fn look(judged: &Judged<'_>, bodies: &Bodies, reading: &Docker) -> Result<Seen> {
    let mut seen = Seen { own: Own { root: None, socket: socket(reading) }, ..Seen::default() };
    let Judged { plan, body, is_first } = *judged;
    let document = body.map(|body| &body.document);
    let host = document.map(|document| part(document, &["HostConfig"]));
    let entered: Vec<&Object> = if plan.enters && is_first { containers(plan).collect() } else { Vec::new() };

    let others = host.into_iter().flat_map(|host| container::namespaces(host).chain(container::volumes_from(host)));
    let mut wanted: Vec<(String, bool)> = others.map(|name| (name.to_owned(), true)).collect();
    let facts = entered.iter().map(|object| part(&object.facts, &["HostConfig"]));
    wanted.extend(facts.flat_map(container::namespaces).map(|name| (name.to_owned(), false)));
    while let Some((name, is_named)) = wanted.pop() {
        if seen.containers.contains_key(&name) || seen.containers.len() >= CONTAINERS {
            continue;
        }
        let known = containers(plan).find(|object| object.id == name || object.name == name);
        let facts = match known {
            Some(object) => object.facts.clone(),
            None => match reading.container("container", &name).await {
                Ok(object) => object.facts,
                // Whom the caller did not name is judged as the worst, without a word of who it is.
                // What is hidden stands there as no name at all.
                Err(error) if !is_named && matches!(error.kind(), Kind::NotFound | Kind::Invalid) => continue,
                Err(error) => return Err(error),
            },
        };
        wanted.extend(container::namespaces(part(&facts, &["HostConfig"])).map(|name| (name.to_owned(), false)));
        seen.containers.insert(name, facts);
    }

    let inspected = || seen.containers.values().chain(entered.iter().map(|object| &object.facts));
    let needs_engine = host.is_some_and(container::needs_engine)
        || document.is_some_and(|document| needs_engine_for(body, document))
        || inspected().any(|facts| {
            container::needs_engine(part(facts, &["HostConfig"])) || mounts::has_paths(mounts::of_inspect(facts))
        });
    let asked = |rule| bodies.verdict(rule) != Verdict::Allow;
    let mut names: BTreeSet<&str> = BTreeSet::new();
    if [Rule::DisguisedBind, Rule::SensitiveBind, Rule::DockerSocket].into_iter().any(asked) {
        names.extend(inspected().flat_map(|facts| mounts::volumes(mounts::of_inspect(facts))));
    }
    let mounted: BTreeSet<&str> = body.map(volumes_of).unwrap_or_default();
    if asked(Rule::DisguisedBind) || asked(Rule::ForeignVolume) {
        names.extend(&mounted);
    }
    let volumes = async {
        if names.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let volumes = reading.volumes_as_they_are(&names).await?;
        let exist = |name: &&str| volumes.iter().any(|volume| text(volume, "Name") == *name);
        let used: BTreeSet<&str> = mounted.into_iter().filter(exist).collect();
        let users = if used.is_empty() || !asked(Rule::ForeignVolume) {
            Vec::new()
        } else {
            reading.users_as_they_are(&used).await?
        };
        Ok((volumes, users))
    };
    let engine = async { if needs_engine { reading.info(HEADERS).await.map(Some) } else { Ok(None) } };
    let ((volumes, users), engine): (_, Option<Value>) = tokio::try_join!(volumes, engine)?;
    let root = engine.as_ref().map(|engine| text(engine, "DockerRootDir").to_owned());
    seen.own.root = root.filter(|root| root.starts_with('/'));
    (seen.engine, seen.volumes, seen.users) = (engine, volumes, users);
    Ok(seen)
}

fn containers(plan: &Plan) -> impl Iterator<Item = &Object> {
    plan.objects.iter().filter(|object| object.kind == ObjectKind::Container)
}

/// The volumes that a body names.
fn volumes_of(body: &Body) -> BTreeSet<&str> {
    match body.kind {
        BodyKind::Container => mounts::volumes(mounts::of_host(part(&body.document, &["HostConfig"]))).collect(),
        BodyKind::Service => mounts::volumes(mounts::of_service(service::container_of(&body.document))).collect(),
        _ => BTreeSet::new(),
    }
}

fn needs_engine_for(body: Option<&Body>, document: &Value) -> bool {
    body.is_some_and(|body| body.kind == BodyKind::Service)
        && (mounts::has_paths(mounts::of_service(service::container_of(document)))
            || !part(document, &["TaskTemplate", "LogDriver"]).is_null())
}

/// Where the engine listens on its own machine, as far as the gateway knows.
fn socket(reading: &Docker) -> Option<String> {
    match &reading.config().endpoint {
        Endpoint::Unix { path } => path.to_str().map(str::to_owned),
        Endpoint::Ssh(ssh) => ssh.socket.clone(),
        Endpoint::Tcp { .. } | Endpoint::Tls { .. } | Endpoint::Missing { .. } => None,
    }
}
