//! A container made anew in the place of an old one, which comes back where that fails.
//!
//! Volumes, those without a name too, networks and everything that the engine filled in go over. Variables and labels
//! are changed by name, mounts by their destination; any other list is replaced.

mod kept;
mod swap;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    body::{Network, SEVERAL_NETWORKS, Settings, refuse_private},
    pull::{self, Pull},
};
use crate::{
    docker::{Docker, names},
    error::{Error, Kind, Result},
    redact,
    tool::{Access, BodyKind, Call, Json, Object, ObjectKind, Permission, Plan, Summary, Tool},
    tools::{
        project::PROJECT,
        view::{map, short_id},
    },
};
use kept::text;
use swap::{Made, Order, Swap};

/// What a pull may take beside.
const PULL: Duration = Duration::from_secs(600);

/// Makes a container anew; what is not named stays. If it fails, the old one comes back.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct RecreateContainer {
    /// Name or id.
    container: String,
    /// Default: its own.
    #[serde(default)]
    image: Option<String>,
    #[serde(flatten)]
    changes: Settings,
}

/// The new container.
#[derive(Serialize, JsonSchema)]
pub(super) struct Recreated {
    name: String,
    id: String,
    /// The id of the one that is gone.
    replaced: String,
    state: String,
    image: String,
    image_id: String,
    /// The image that it was made of before, where it is another one now.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_image_id: Option<String>,
    /// The volumes that went over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volumes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

impl Summary for Recreated {
    fn summary(&self) -> String {
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!("container \"{}\" was made anew and is {}{note}", self.name, self.state)
    }
}

impl Tool for RecreateContainer {
    const NAME: &'static str = "recreate_container";
    const ACCESS: Access =
        Access::destroy(&[Permission::Create]).sometimes(Permission::Images).sometimes(Permission::Networks);
    type Output = Recreated;

    fn deadline(&self) -> Option<Duration> {
        // Never shorter than all of its steps together: at its deadline a call is cut off.
        Some(if self.changes.pull == Pull::Never { swap::LONGEST } else { swap::LONGEST + PULL })
    }

    async fn plan(&self, reading: &Docker, call: &Call) -> Result<Plan> {
        let old = reading.container("container", &self.container).await?;
        refuse(&old)?;
        if let Some(name) = &self.changes.name {
            names::object("name", name)?;
            reading.may_be_called("name", Some(name))?;
        }
        reading.may_be_called("container", Some(&swap::aside(&old))).map_err(|error| {
            let name = names::quote(&old.name);
            error.hint(format!("{name} has that name while it is replaced; the person can allow such names"))
        })?;
        self.changes.check_secrets(reading, call)?;
        let facts = reading.as_it_is(&old).await?;
        let reference = self.reference(reading, &facts).await?;
        let Settings { platform, pull, .. } = &self.changes;
        let (image, pulls) = pull::look(reading, &reference, platform.as_deref(), *pull).await?;
        let mut body = self.body(reading, call, &facts).await?;
        body.insert("Image".into(), reference.as_str().into());
        let networks = self.connect(reading, &facts, &mut body).await?;
        let mut plan = Plan::declared(Self::ACCESS).marked(call).on([old]).on(image);
        if pulls {
            plan = plan.needing(Permission::Images);
        }
        if networks.len() > 1 && reading.engine().await?.api.minor < SEVERAL_NETWORKS {
            plan = plan.needing(Permission::Networks);
        }
        // Nobody has typed what it had before.
        let labels = facts.get("Config").map(|config| map(config, "Labels")).unwrap_or_default();
        plan.marks.extend(labels.into_iter().filter(|(name, _)| !self.changes.labels().contains_key(name)));
        let networks = networks.into_iter().map(|network| network.0);
        plan.on(networks).using(reference).sending(BodyKind::Container, &body)
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Recreated> {
        let planned = plan.object()?;
        let reference = plan.images.first().cloned().unwrap_or_default();
        let order = self.order(&plan, call)?;
        if plan.permissions.has(Permission::Images) {
            pull::pull(docker, &reference, self.changes.platform.as_deref(), call).await?;
        }
        docker.replaces(planned);
        // A person may have been asked meanwhile: what runs now is what has to run again.
        let old = docker.container("container", &planned.id).await?;
        let swap = Swap::new(docker, &old, call);
        let Made { id, warnings } = swap.replace(&order).await?;
        let note = swap.finish().await;
        let new = docker.container("container", &id).await?;
        let (image, old_image) = (text(&new.facts, "/Image"), text(&old.facts, "/Image"));
        let mounts = new.fact("/Mounts").and_then(Value::as_array).into_iter().flatten();
        let volumes = mounts.map(|mount| text(mount, "/Name")).filter(|name| !name.is_empty());
        Ok(Recreated {
            volumes: volumes.map(str::to_owned).collect(),
            old_image_id: (image != old_image).then(|| short_id(old_image)),
            image_id: short_id(image),
            id: short_id(&id),
            replaced: short_id(&old.id),
            state: swap::state(&new),
            image: reference,
            warnings: warnings.iter().map(|warning| redact::shown(warning)).collect(),
            note,
            name: new.name,
        })
    }
}

impl RecreateContainer {
    /// The image as it was asked for, else as the container names it; by its id where that name is gone.
    async fn reference(&self, reading: &Docker, facts: &Value) -> Result<String> {
        if let Some(image) = &self.image {
            return Ok(image.clone());
        }
        let (own, id) = (text(facts, "/Config/Image"), text(facts, "/Image"));
        if self.changes.pull == Pull::Always {
            return Ok(own.to_owned());
        }
        match reading.image("image", own).await {
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => Ok(id.to_owned()),
            _ => Ok(own.to_owned()),
        }
    }

    /// The body of the new container, its image and its networks left out.
    async fn body(&self, reading: &Docker, call: &Call, facts: &Value) -> Result<Json> {
        let image = match reading.image("image", text(facts, "/Image")).await {
            Ok(image) => Some(reading.as_it_is(&image).await?),
            // An image that was removed by force, or is not for callers to see.
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Invalid) => None,
            Err(error) => return Err(error),
        };
        let mut lenders = Vec::new();
        let specs = facts.pointer("/HostConfig/VolumesFrom").and_then(Value::as_array).into_iter().flatten();
        for lender in specs.filter_map(|spec| spec.as_str()?.split(':').next()) {
            lenders.push(reading.container("container", lender).await?.facts);
        }
        let image = image.as_ref().and_then(|image| image.get("Config"));
        let mut body = kept::carried(facts, image, &kept::lent(lenders.iter()));
        let mut changes = self.changes.body(call)?;
        changes.host_config = Some(self.changes.host()?);
        let changes = serde_json::to_value(changes)
            .map_err(|error| Error::internal("a request cannot be written").detail(error.to_string()))?;
        kept::change(&mut body, &changes);
        Ok(body)
    }

    /// Puts the networks into the body, the main one as its mode; answers them.
    async fn connect(&self, reading: &Docker, facts: &Value, body: &mut Json) -> Result<Vec<Network>> {
        let macs = reading.engine().await?.api.minor >= SEVERAL_NETWORKS;
        if macs {
            // Each network has its own since then.
            body.remove("MacAddress");
        }
        let old = facts.pointer("/NetworkSettings/Networks").and_then(Value::as_object).cloned().unwrap_or_default();
        let networks = match self.changes.networks(reading).await? {
            given if given.is_empty() => own_networks(reading, facts, &old).await?,
            given => given,
        };
        let Some((main, others)) = networks.split_first() else { return Ok(networks) };
        if !others.is_empty() {
            refuse_private(&networks)?;
        }
        let mut endpoints = Json::new();
        for network in networks.iter().filter(|network| !network.is_private()) {
            let was =
                old.iter().find(|(name, was)| **name == network.0.name || text(was, "/NetworkID") == network.0.id);
            let endpoint = kept::endpoint(text(facts, "/Id"), was.map_or(&Value::Null, |(_, was)| was), macs);
            endpoints.insert(network.mode(), endpoint.into());
        }
        kept::fields(body, "HostConfig", |host| drop(host.insert("NetworkMode".into(), main.mode().into())));
        body.insert("NetworkingConfig".into(), json!({"EndpointsConfig": endpoints}));
        Ok(networks)
    }

    /// What is sent to make the new container, with the secrets that were named.
    fn order(&self, plan: &Plan, call: &Call) -> Result<Order> {
        let mut body: Json = plan.sent()?;
        if let Some(own) = body.get("Env").and_then(Value::as_array) {
            let own = own.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            let variables = self.changes.with_secrets(own, call)?;
            body.insert("Env".into(), variables.into());
        }
        let mut further = Vec::new();
        if plan.permissions.has(Permission::Networks) {
            let networks =
                plan.objects.iter().filter(|object| object.kind == ObjectKind::Network).cloned().map(Network);
            let main = body.get("HostConfig").map(|host| text(host, "/NetworkMode").to_owned()).unwrap_or_default();
            kept::fields(&mut body, "NetworkingConfig", |networking| {
                kept::fields(networking, "EndpointsConfig", |endpoints| {
                    for network in networks.filter(|network| network.mode() != main) {
                        further.extend(endpoints.remove(&network.mode()).map(|endpoint| (network.0.id, endpoint)));
                    }
                });
            });
        }
        Ok(Order { name: self.changes.name.clone(), platform: self.changes.platform.clone(), body, further })
    }
}

/// The networks that a container is in, the main one first.
async fn own_networks(reading: &Docker, facts: &Value, old: &Json) -> Result<Vec<Network>> {
    let mode = text(facts, "/HostConfig/NetworkMode");
    if let Some(other) = mode.strip_prefix("container:") {
        return Ok(vec![Network(reading.container("container", other).await?)]);
    }
    let is_main = |name: &str, id: &str| name == mode || id == mode || (name == "bridge" && mode == "default");
    let mut networks = Vec::new();
    for (name, settings) in old {
        let id = text(settings, "/NetworkID");
        let network = Network(reading.network("container", if id.is_empty() { name } else { id }).await?);
        let place = if is_main(name, id) { 0 } else { networks.len() };
        networks.insert(place, network);
    }
    Ok(networks)
}

/// Refuses what cannot be brought back, and what somebody else makes anew.
fn refuse(old: &Object) -> Result<()> {
    let name = names::quote(&old.name);
    let labelled = |label: &str| old.fact("/Config/Labels").and_then(|labels| labels.get(label)).is_some();
    if old.is("/HostConfig/AutoRemove") {
        return Err(Error::conflict(format!(
            "container {name} was made with auto-remove: stopped, it is gone for good"
        ))
        .hint("make a new one with run_container"));
    }
    if labelled(PROJECT) {
        return Err(Error::conflict(format!("container {name} belongs to a compose project"))
            .hint("compose_up makes it anew from its file"));
    }
    if labelled("com.docker.swarm.service.id") {
        return Err(Error::conflict(format!("container {name} belongs to a service of the swarm"))
            .hint("update_service makes its tasks anew"));
    }
    if old.is("/State/Dead") || text(&old.facts, "/State/Status") == "removing" {
        return Err(Error::conflict(format!("container {name} is being removed")).hint("run_container makes a new one"));
    }
    Ok(())
}
