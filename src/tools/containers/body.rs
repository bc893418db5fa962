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
const SEVERAL_NETWORKS: usize = 44;

/// What `run_container` and `create_container` share.
#[derive(Deserialize, Serialize, JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub(super) struct NewContainer {
    /// Reference or id.
    image: String,
    /// Default: image's.
    #[serde(default)]
    command: Vec<String>,
    /// Default: made up.
    #[serde(default)]
    name: Option<String>,
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
    auto_remove: bool,
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
    init: bool,
    /// Default: false.
    #[serde(default)]
    read_only_root: bool,
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
    privileged: bool,
    /// linux/arm64.
    #[serde(default)]
    platform: Option<String>,
    /// Default: missing.
    #[serde(default)]
    pull: Pull,
}

/// A container that this call has made.
pub(super) struct Made {
    pub(super) id: String,
    pub(super) warnings: Vec<String>,
}

impl NewContainer {
    /// Whether it vanishes at its end.
    pub(super) fn auto_remove(&self) -> bool {
        self.auto_remove
    }

    /// Whether an image may be pulled first, which takes its time.
    pub(super) fn may_pull(&self) -> bool {
        self.pull != Pull::Never
    }

    /// The networks and the image that it needs, and the body that will be sent.
    pub(super) async fn plan(&self, access: Access, reading: &Docker, call: &Call) -> Result<Plan> {
        if let Some(name) = &self.name {
            names::object("name", name)?;
        }
        reading.may_be_called("name", self.name.as_deref())?;
        let (mut body, mut host) = (self.body(call)?, self.host()?);
        let is_shown = |(name, value): &(&String, &String)| value.starts_with(SCHEME) && reading.reveal().shows(name);
        if let Some((name, _)) = self.env.iter().find(is_shown) {
            return Err(Error::invalid(format!(
                "argument \"env\": {} is shown to agents, so it takes no secret",
                names::quote(name)
            ))
            .hint("give the secret to another variable"));
        }
        // A secret that is missing ends the call before anything is sent.
        resolved(body.env.clone(), call.secrets())?;
        let mut plan = Plan::declared(access).marked(call);
        let networks = self.networks(reading).await?;
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
        let (image, pulls) = pull::look(reading, &self.image, self.platform.as_deref(), self.pull).await?;
        if pulls {
            plan = plan.needing(Permission::Images);
        }
        body.host_config = Some(host);
        let plan = plan.on(image).on(networks.into_iter().map(|network| network.0)).using(self.image.as_str());
        plan.sending(BodyKind::Container, &body)
    }

    /// Makes the container as it was planned: the image, the container, its further networks.
    pub(super) async fn create(&self, docker: &Docker, plan: &Plan, call: &Call) -> Result<Made> {
        if plan.permissions.has(Permission::Images) {
            pull::pull(docker, &self.image, self.platform.as_deref(), call).await?;
        }
        let mut body: ContainerCreateBody = plan.sent()?;
        // What was judged and written down names its secrets; only the engine gets them.
        body.env = resolved(body.env, call.secrets())?;
        let mut options = CreateContainerOptionsBuilder::new();
        if let Some(name) = &self.name {
            options = options.name(name);
        }
        if let Some(platform) = &self.platform {
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

    fn body(&self, call: &Call) -> Result<ContainerCreateBody> {
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
            image: Some(self.image.clone()),
            volumes: filled(volumes),
            working_dir: words("working_dir", self.working_dir.as_ref())?,
            entrypoint: filled(self.entrypoint.clone()),
            labels: Some(call.labels(&self.labels)).filter(|labels| !labels.is_empty()),
            exposed_ports: filled(exposed),
            ..Default::default()
        })
    }

    fn host(&self) -> Result<HostConfig> {
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
            auto_remove: self.auto_remove.then_some(true),
            cap_add: filled(self.cap_add.clone()),
            cap_drop: filled(self.cap_drop.clone()),
            security_opt: filled(self.security_opt.clone()),
            devices: filled(self.devices.iter().map(|text| values::device(text)).collect::<Result<_>>()?),
            device_requests: self.gpus.as_deref().map(values::gpus).transpose()?.map(|gpus| vec![gpus]),
            privileged: self.privileged.then_some(true),
            readonly_rootfs: self.read_only_root.then_some(true),
            init: self.init.then_some(true),
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

    async fn networks(&self, reading: &Docker) -> Result<Vec<Network>> {
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
struct Network(Object);

impl Network {
    fn mode(&self) -> String {
        match (self.0.kind, self.0.name.as_str()) {
            (ObjectKind::Container, _) => format!("container:{}", self.0.id),
            // What these mean the engine knows by their names only.
            (_, name @ ("bridge" | "host" | "none")) => name.to_owned(),
            _ => self.0.id.clone(),
        }
    }

    fn is_private(&self) -> bool {
        self.0.kind == ObjectKind::Container || matches!(self.0.name.as_str(), "host" | "none")
    }
}

fn refuse_private(networks: &[Network]) -> Result<()> {
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
