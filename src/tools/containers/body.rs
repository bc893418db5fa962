//! The body of a new container: typed arguments in, the engine's document out; and its creation.

use std::collections::{BTreeMap, HashMap};

use bollard::{
    models::{
        ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, NetworkConnectRequest, NetworkingConfig,
    },
    query_parameters::CreateContainerOptionsBuilder,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pull::{self, Pull};
use crate::{
    docker::{Docker, names},
    error::{Error, Result},
    redact,
    secret::SCHEME,
    tool::{Access, BodyKind, Call, Object, ObjectKind, Permission, Plan},
    tools::body::{
        arguments, filled, mounts, ports, values,
        variables::{resolved, variables},
        words,
    },
};

/// From this API version on a container can be created on several networks at once.
pub(super) const SEVERAL_NETWORKS: usize = 44;

/// What `run_container` and `create_container` share.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct NewContainer {
    /// Reference or id.
    image: String,
    #[serde(flatten)]
    settings: Settings,
}

/// What can be said of a container beside its image; `recreate_container` takes it as changes.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(super) struct Settings {
    /// Default: image's.
    #[serde(default)]
    command: Vec<String>,
    /// Default: made up.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// Variables.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// 8080:80, as `-p`.
    #[serde(default)]
    ports: Vec<String>,
    /// As `-v` or `--mount`.
    #[serde(default)]
    mounts: Vec<String>,
    /// First: the main one.
    #[serde(default)]
    networks: Vec<String>,
    /// Default: its id.
    #[serde(default)]
    hostname: Option<String>,
    /// Name or uid[:gid].
    #[serde(default)]
    user: Option<String>,
    /// Default: image's.
    #[serde(default)]
    working_dir: Option<String>,
    /// Default: image's.
    #[serde(default)]
    entrypoint: Vec<String>,
    /// always, unless-stopped, on-failure[:N]. Default: no.
    #[serde(default)]
    restart: Option<String>,
    /// Labels.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Default: false.
    #[serde(default)]
    auto_remove: Option<bool>,
    /// 512m, 2g.
    #[serde(default)]
    memory: Option<String>,
    /// 0.5 is half a CPU.
    #[serde(default)]
    cpus: Option<f64>,
    /// Most processes.
    #[serde(default)]
    pids: Option<i64>,
    /// Shell command.
    #[serde(default)]
    health_command: Option<String>,
    /// Default: 30s.
    #[serde(default)]
    health_interval: Option<String>,
    /// Default: false.
    #[serde(default)]
    init: Option<bool>,
    /// Default: false.
    #[serde(default)]
    read_only_root: Option<bool>,
    /// `NET_ADMIN`.
    #[serde(default)]
    cap_add: Vec<String>,
    /// ALL.
    #[serde(default)]
    cap_drop: Vec<String>,
    /// no-new-privileges.
    #[serde(default)]
    security_opt: Vec<String>,
    /// /dev/a[:/dev/b][:rwm].
    #[serde(default)]
    devices: Vec<String>,
    /// all, or how many.
    #[serde(default)]
    gpus: Option<String>,
    /// Default: false.
    #[serde(default)]
    privileged: Option<bool>,
    /// linux/arm64.
    #[serde(default)]
    pub(super) platform: Option<String>,
    /// Default: missing.
    #[serde(default)]
    pub(super) pull: Pull,
}

/// A container that this call has made.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) warnings: Vec<String>,
}

impl NewContainer {
    /// Whether it vanishes at its end.
    pub(super) fn auto_remove(&self) -> bool {
        self.settings.auto_remove.unwrap_or_default()
    }

    /// Whether an image may be pulled first, which takes its time.
    pub(super) fn may_pull(&self) -> bool {
        self.settings.pull != Pull::Never
    }

    /// The networks and the image that it needs, and the body that will be sent.
    pub(super) async fn plan(&self, access: Access, reading: &Docker, call: &Call) -> Result<Plan> {
        let Settings { name, platform, pull, .. } = &self.settings;
        if let Some(name) = name {
            names::object("name", name)?;
        }
        reading.may_be_called("name", name.as_deref())?;
        let (mut body, mut host) = (self.settings.body(call)?, self.settings.host()?);
        body.image = Some(self.image.clone());
        self.settings.check_secrets(reading, call)?;
        let mut plan = Plan::declared(access).marked(call);
        let networks = self.settings.networks(reading).await?;
        if let Some((main, others)) = networks.split_first() {
            host.network_mode = Some(main.mode());
            if !others.is_empty() {
                refuse_private(&networks)?;
                if reading.engine().await?.api.minor >= SEVERAL_NETWORKS {
                    body.networking_config = Some(endpoints(&networks));
                } else {
                    plan = plan.needing(Permission::Networks);
                }
            }
        }
        let (image, pulls) = pull::look(reading, &self.image, platform.as_deref(), *pull).await?;
        if pulls {
            plan = plan.needing(Permission::Images);
        }
        body.host_config = Some(host);
        let plan = plan.on(image).on(networks.into_iter().map(|network| network.0)).using(self.image.as_str());
        plan.sending(BodyKind::Container, &body)
    }

    /// Makes the container as it was planned: the image, the container, its further networks.
    pub(super) async fn create(&self, docker: &Docker, plan: &Plan, call: &Call) -> Result<Made> {
        let Settings { name, platform, .. } = &self.settings;
        if plan.permissions.has(Permission::Images) {
            pull::pull(docker, &self.image, platform.as_deref(), call).await?;
        }
        let mut body: ContainerCreateBody = plan.sent()?;
        // What was judged and written down names its secrets; only the engine gets them.
        body.env = resolved(body.env, call.secrets())?;
        let mut options = CreateContainerOptionsBuilder::new();
        if let Some(name) = name {
            options = options.name(name);
        }
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let typed = docker.typed().await?;
        let made = typed.create_container(Some(options.build()), body).await?;
        docker.made(&made.id);
        if plan.permissions.has(Permission::Networks) {
            let networks = plan.objects.iter().filter(|object| object.kind == ObjectKind::Network);
            for network in networks.skip(1) {
                let request = NetworkConnectRequest { container: made.id.clone(), endpoint_config: None };
                if let Err(error) = typed.connect_network(&network.id, request).await {
                    return Err(remains(docker, &made.id, error.into()).await);
                }
            }
        }
        let warnings = made.warnings.iter().map(|warning| redact::shown(warning)).collect();
        Ok(Made { id: made.id, warnings })
    }
}

impl Settings {
    /// Refuses a secret that would be shown, and one that is missing: before anything is sent.
    pub(super) fn check_secrets(&self, reading: &Docker, call: &Call) -> Result<()> {
        let is_shown = |(name, value): &(&String, &String)| value.starts_with(SCHEME) && reading.reveal().shows(name);
        if let Some((name, _)) = self.env.iter().find(is_shown) {
            return Err(Error::invalid(format!(
                "argument \"env\": {} is shown to agents, so it takes no secret",
                names::quote(name)
            ))
            .hint("give the secret to another variable"));
        }
        resolved(Some(variables(&self.env)?), call.secrets()).map(drop)
    }

    /// Variables of which those that were given have the secrets that they name: what was there before names none.
    pub(super) fn with_secrets(&self, own: Vec<String>, call: &Call) -> Result<Vec<String>> {
        let given = variables(&self.env)?;
        let (given, mut all): (Vec<_>, Vec<_>) = own.into_iter().partition(|variable| given.contains(variable));
        all.extend(resolved(Some(given), call.secrets())?.unwrap_or_default());
        Ok(all)
    }

    /// The labels that were given.
    pub(super) fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The body as far as it is about the process; the labels that mark what is made here included.
    pub(super) fn body(&self, call: &Call) -> Result<ContainerCreateBody> {
        let (exposed, _) = ports::published(&self.ports)?;
        let volumes = mounts::mounts(&self.mounts)?.anonymous;
        arguments("command", &self.command)?;
        arguments("entrypoint", &self.entrypoint)?;
        Ok(ContainerCreateBody {
            hostname: words("hostname", self.hostname.as_ref())?,
            user: words("user", self.user.as_ref())?,
            env: filled(variables(&self.env)?),
            cmd: filled(self.command.clone()),
            healthcheck: self.health()?,
            volumes: filled(volumes),
            working_dir: words("working_dir", self.working_dir.as_ref())?,
            entrypoint: filled(self.entrypoint.clone()),
            labels: Some(call.labels(&self.labels)).filter(|labels| !labels.is_empty()),
            exposed_ports: filled(exposed),
            ..Default::default()
        })
    }

    /// The body as far as it is about its place on the machine, networks left out.
    pub(super) fn host(&self) -> Result<HostConfig> {
        let (_, bindings) = ports::published(&self.ports)?;
        let mounts = mounts::mounts(&self.mounts)?;
        for (argument, given) in
            [("cap_add", &self.cap_add), ("cap_drop", &self.cap_drop), ("security_opt", &self.security_opt)]
        {
            given.iter().try_for_each(|text| words(argument, Some(text)).map(drop))?;
        }
        Ok(HostConfig {
            memory: self.memory.as_deref().map(|text| values::size("memory", text)).transpose()?,
            nano_cpus: self.cpus.map(values::cpus).transpose()?,
            pids_limit: self.pids,
            binds: filled(mounts.binds),
            mounts: filled(mounts.long),
            port_bindings: Some(bindings).filter(|bindings| !bindings.is_empty()),
            restart_policy: self.restart.as_deref().map(values::restart).transpose()?,
            auto_remove: self.auto_remove,
            cap_add: filled(self.cap_add.clone()),
            cap_drop: filled(self.cap_drop.clone()),
            security_opt: filled(self.security_opt.clone()),
            devices: filled(self.devices.iter().map(|text| values::device(text)).collect::<Result<_>>()?),
            device_requests: self.gpus.as_deref().map(values::gpus).transpose()?.map(|gpus| vec![gpus]),
            privileged: self.privileged,
            readonly_rootfs: self.read_only_root,
            init: self.init,
            ..Default::default()
        })
    }

    fn health(&self) -> Result<Option<HealthConfig>> {
        let interval =
            self.health_interval.as_deref().map(|text| values::duration("health_interval", text)).transpose()?;
        arguments("health_command", self.health_command.as_slice())?;
        let test = self.health_command.as_ref().map(|command| vec!["CMD-SHELL".to_owned(), command.clone()]);
        Ok((test.is_some() || interval.is_some()).then(|| HealthConfig { test, interval, ..Default::default() }))
    }

    /// The networks that were named, the main one first.
    pub(super) async fn networks(&self, reading: &Docker) -> Result<Vec<Network>> {
        let mut networks: Vec<Network> = Vec::new();
        for name in &self.networks {
            let object = match name.strip_prefix("container:") {
                Some(container) => reading.container("networks", container).await?,
                None => reading.network("networks", name).await?,
            };
            if networks.iter().all(|known| known.0.id != object.id) {
                networks.push(Network(object));
            }
        }
        Ok(networks)
    }
}

/// A network, or the container whose network is shared.
pub(super) struct Network(pub(super) Object);

impl Network {
    /// What it is called as the mode of a container.
    pub(super) fn mode(&self) -> String {
        match (self.0.kind, self.0.name.as_str()) {
            (ObjectKind::Container, _) => format!("container:{}", self.0.id),
            // What these mean the engine knows by their names only.
            (_, name @ ("bridge" | "host" | "none")) => name.to_owned(),
            _ => self.0.id.clone(),
        }
    }

    /// Whether no other network can stand beside it.
    pub(super) fn is_private(&self) -> bool {
        self.0.kind == ObjectKind::Container || matches!(self.0.name.as_str(), "host" | "none")
    }
}

/// Refuses other networks beside one that stands alone.
pub(super) fn refuse_private(networks: &[Network]) -> Result<()> {
    match networks.iter().find(|network| network.is_private()) {
        None => Ok(()),
        Some(network) => Err(Error::invalid(format!(
            "argument \"networks\": {} stands alone, no other network can be added",
            names::quote(&network.0.asked)
        ))
        .hint("name it alone, or leave it out")),
    }
}

fn endpoints(networks: &[Network]) -> NetworkingConfig {
    let endpoints: HashMap<_, _> =
        networks.iter().map(|network| (network.mode(), EndpointSettings::default())).collect();
    NetworkingConfig { endpoints_config: Some(endpoints) }
}

/// A failure after a container was made: what is left of it, and how to go on.
pub(super) async fn remains(docker: &Docker, id: &str, error: Error) -> Error {
    let Ok(left) = docker.container("container", id).await else { return error };
    let name = names::quote(&left.name);
    let hint = error.hint_text().map(|hint| format!("{hint}; ")).unwrap_or_default();
    error.hint(format!(
        "{hint}container {name} was created and remains: mend the cause and use start_container, or use remove_container"
    ))
}
