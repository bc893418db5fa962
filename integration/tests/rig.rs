//! A gateway in front of the lab's engines, and calls of its tools in one line.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use quaymaster::{
    config::{
        Config, Environment, Flags,
        limits::{Bodies, Confirm, Profile, Rule, Verdict},
    },
    gateway::{Failure, Gateway, Request},
    tool::Answer,
};
use serde_json::{Value, json};

/// How an engine is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Engine 20.10 on a unix socket.
    Unix,
    /// Engine 26.1 over TCP with mutual TLS.
    Tls,
    /// Engine 26.1 behind sshd, through `docker system dial-stdio`.
    Ssh,
}

/// Every way, and with it both engine versions.
pub const LINKS: [Link; 3] = [Link::Unix, Link::Tls, Link::Ssh];

/// A variable of the lab; without the lab there is no test.
pub fn lab(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests through integration/test"))
}

impl Link {
    /// The endpoint as a host specification has it, markers left out.
    pub fn endpoint(self) -> String {
        match self {
            Self::Unix => format!("unix://{}", lab("LAB_LOCAL_SOCKET")),
            Self::Tls => format!("tcp://127.0.0.1:{}(tls={})", lab("LAB_STAGING_PORT"), lab("LAB_TLS_DIR")),
            Self::Ssh => format!("ssh://{}@127.0.0.1:{}", lab("LAB_SSH_USER"), lab("LAB_SSH_PORT")),
        }
    }

    /// The unix socket of the engine behind it, for looking at it directly.
    pub fn socket(self) -> String {
        lab(match self {
            Self::Unix => "LAB_LOCAL_SOCKET",
            Self::Tls => "LAB_STAGING_SOCKET",
            Self::Ssh => "LAB_PROD_SOCKET",
        })
    }
}

/// The environment of the lab's person: its home holds the ssh keys and known hosts, its path the docker CLI.
pub fn environment() -> Environment {
    Environment {
        variables: programs(),
        home: Some(lab("LAB_HOME").into()),
        user: Some("root".into()),
        working_directory: lab("LAB_DIR").into(),
        ..Environment::default()
    }
}

/// Where the docker CLI of the lab and its plugins are.
pub fn programs() -> BTreeMap<String, String> {
    let docker = lab("LAB_DOCKER");
    let place = Path::new(&docker).parent().map(|place| place.display().to_string()).unwrap_or_default();
    let variables =
        [("PATH", format!("{place}:/usr/bin:/bin")), ("QUAYMASTER_CLI_PLUGINS", lab("LAB_COMPOSE_PLUGINS"))];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A gateway for host specifications, in order, that asks nobody and lets every body pass.
pub fn gateway(specs: &[String]) -> Arc<Gateway> {
    gateway_with(specs, open)
}

/// The same, of a process that runs in a container itself.
pub fn gateway_inside(container: &str, specs: &[String]) -> Arc<Gateway> {
    gateway_in(Environment { container: Some(container.to_owned()), ..environment() }, specs, open)
}

/// A gateway for host specifications with other settings than the defaults; it keeps its audit and its
/// approvals in a directory of its own.
pub fn gateway_with(specs: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
    gateway_in(environment(), specs, set)
}

/// The same in an environment of the test's own.
pub fn gateway_in(environment: Environment, specs: &[String], set: impl FnOnce(&mut Config)) -> Arc<Gateway> {
    let flags = Flags { hosts: specs.to_vec(), toolsets: vec!["all".into()], ..Flags::default() };
    let mut config = Config::load(&environment, &flags).unwrap_or_else(|error| panic!("{error}: {specs:?}"));
    config.state =
        Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("state-{}-{:08x}", std::process::id(), rand())));
    set(&mut config);
    Gateway::new(config, environment).expect("the gateway")
}

/// Asks nobody and lets every body pass.
pub fn open(config: &mut Config) {
    for host in &mut config.hosts {
        host.limits.confirm = Confirm::Never;
        host.limits.bodies = Bodies::of(Profile::Open);
        host.limits.bodies.rules = Rule::ALL.iter().map(|rule| (*rule, Verdict::Allow)).collect();
    }
}

/// One host called `lab`, and calls on it.
pub struct Rig {
    pub gateway: Arc<Gateway>,
    prefix: String,
}

impl Rig {
    /// A host that allows everything.
    pub fn new(link: Link) -> Self {
        Self::with_markers(link, "")
    }

    /// A host with markers such as `(ro)`.
    pub fn with_markers(link: Link, markers: &str) -> Self {
        let prefix = format!("qm-{:08x}", rand());
        Self { gateway: gateway(&[format!("lab={}{markers}", link.endpoint())]), prefix }
    }

    /// A host with other settings than the defaults.
    pub fn set(link: Link, set: impl FnOnce(&mut Config)) -> Self {
        Self::with_secrets(link, &[], set)
    }

    /// Calls of a gateway that the test has made.
    pub fn of(gateway: Arc<Gateway>) -> Self {
        Self { gateway, prefix: format!("qm-{:08x}", rand()) }
    }

    /// Many hosts, by their specifications; calls name theirs themselves.
    pub fn among(environment: Environment, specs: &[String]) -> Self {
        Self { gateway: gateway_in(environment, specs, open), prefix: format!("qm-{:08x}", rand()) }
    }

    /// The same for a person with variables.
    pub fn with_secrets(link: Link, variables: &[(&str, &str)], set: impl FnOnce(&mut Config)) -> Self {
        let mut environment = environment();
        environment.variables.extend(variables.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let gateway = gateway_in(environment, &[format!("lab={}", link.endpoint())], set);
        Self { gateway, prefix: format!("qm-{:08x}", rand()) }
    }

    /// A name that no other test uses.
    pub fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Calls a tool.
    pub async fn call(&self, tool: &str, arguments: Value) -> Reply {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        Reply(self.gateway.call(Request::new(self.gateway.caller("test"), tool, arguments)).await)
    }

    /// Starts a container of the lab's image that sleeps; the caller removes it.
    pub async fn sleeper(&self, suffix: &str) -> String {
        let name = self.name(suffix);
        self.call("run_container", json!({"image": lab("LAB_IMAGE"), "name": name, "command": ["sleep", "600"]}))
            .await
            .ok();
        name
    }

    /// Removes a container, whatever its state.
    pub async fn remove(&self, container: &str) {
        self.call("remove_container", json!({"containers": [container], "force": true, "volumes": true})).await.ok();
    }
}

/// What a call answered.
#[derive(Debug)]
pub struct Reply(Result<Answer, Failure>);

impl Reply {
    /// What a call of the gateway itself came to.
    pub fn of(outcome: Result<Answer, Failure>) -> Self {
        Self(outcome)
    }

    /// The structured answer.
    #[track_caller]
    pub fn ok(self) -> Value {
        match self.0 {
            Ok(answer) => answer.structured.map_or(Value::String(answer.text), Value::Object),
            Err(failure) => panic!("the call failed: {failure:?}"),
        }
    }

    /// The text of the answer.
    #[track_caller]
    pub fn text(self) -> String {
        self.0.unwrap_or_else(|failure| panic!("the call failed: {failure:?}")).text
    }

    /// The error as an agent gets it: `kind`, `host`, `message`, `hint`, `retryable`.
    #[track_caller]
    pub fn error(self) -> Value {
        match self.0 {
            Ok(answer) => panic!("the call succeeded: {}", answer.text),
            Err(Failure::Tool(error) | Failure::UnknownTool(error)) => error.to_json(),
            Err(Failure::Asked { form, .. }) => panic!("it asked: {form:?}"),
        }
    }

    /// Whether the call failed.
    pub fn is_error(&self) -> bool {
        self.0.is_err()
    }

    /// The error's kind.
    #[track_caller]
    pub fn kind(self) -> String {
        self.error()["kind"].as_str().unwrap_or_default().to_owned()
    }
}

fn rand() -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let hash = std::collections::hash_map::RandomState::new().build_hasher().finish();
    u32::try_from(hash >> 32).unwrap_or_default()
}
