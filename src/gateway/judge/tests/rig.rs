//! A tool that runs the CLI with whatever it is given, called through the gateway; compose files; what is left behind.

use std::{
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    config::{
        Config, Environment, Flags,
        limits::{Bodies, Confirm, Profile},
    },
    docker::{Docker, judge::Mark},
    error::{Error, Result},
    gateway::{
        Caller, Failure, Gateway, Request,
        catalogue::{Entry, Run},
        record::Record,
    },
    tool::{Access, Answer, Call, Course, Effect, Parse, Permission, Plan, Summary, Tool, def},
};

/// A variable of the lab; without the lab there is no test.
pub(super) fn lab(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests through integration/test"))
}

/// How an engine is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Unix,
    Tls,
    Ssh,
}

pub(super) const LINKS: [Link; 3] = [Link::Unix, Link::Tls, Link::Ssh];

impl Link {
    pub(super) fn endpoint(self) -> String {
        match self {
            Self::Unix => format!("unix://{}", lab("LAB_LOCAL_SOCKET")),
            Self::Tls => format!("tcp://127.0.0.1:{}(tls={})", lab("LAB_STAGING_PORT"), lab("LAB_TLS_DIR")),
            Self::Ssh => format!("ssh://{}@127.0.0.1:{}", lab("LAB_SSH_USER"), lab("LAB_SSH_PORT")),
        }
    }

    pub(super) fn socket(self) -> String {
        lab(match self {
            Self::Unix => "LAB_LOCAL_SOCKET",
            Self::Tls => "LAB_STAGING_SOCKET",
            Self::Ssh => "LAB_PROD_SOCKET",
        })
    }

    /// Runs the CLI past the gateway and answers what it printed.
    pub(super) fn docker(self, arguments: &[&str]) -> String {
        let output = Command::new(lab("LAB_DOCKER"))
            .args(arguments)
            .env("DOCKER_HOST", format!("unix://{}", self.socket()))
            .env("HOME", lab("LAB_HOME"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Runs a plugin of the docker CLI; a tool of the tests only.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RunCli {
    plugin: String,
    arguments: Vec<String>,
    #[serde(default)]
    input: String,
    effect: String,
}

/// What it printed.
#[derive(Serialize, JsonSchema)]
struct Printed {
    output: String,
    messages: String,
    said: Vec<String>,
}

impl Summary for Printed {
    fn summary(&self) -> String {
        "it ended".to_owned()
    }
}

const NEEDED: &[Permission] = &[
    Permission::Create,
    Permission::Lifecycle,
    Permission::Exec,
    Permission::Files,
    Permission::Images,
    Permission::Networks,
    Permission::Volumes,
];

impl Tool for RunCli {
    const NAME: &'static str = "run_cli";
    const COURSE: Option<Course> = Some(Course::Job);
    const ACCESS: Access = Access {
        effect: Effect::Destroy,
        mildest: Effect::Read,
        always: crate::tool::Permissions::READ,
        at_most: crate::tool::Permissions::of(NEEDED).with(Permission::Read),
    };
    type Output = Printed;

    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_secs(120))
    }

    async fn plan(&self, _: &Docker, _: &Call) -> Result<Plan> {
        let plan = Plan::declared(Self::ACCESS);
        Ok(match self.effect.as_str() {
            "read" => plan.at_most(Effect::Read),
            "mutate" => NEEDED.iter().fold(plan.at_most(Effect::Mutate), |plan, permission| plan.needing(*permission)),
            _ => NEEDED.iter().fold(plan, |plan, permission| plan.needing(*permission)),
        })
    }

    async fn call(self, docker: &Docker, _: Plan, call: &Call) -> Result<Printed> {
        let plugin = match self.plugin.as_str() {
            "compose" => Some("compose"),
            "buildx" => Some("buildx"),
            _ => None,
        };
        let run = docker
            .cli(call.programs(), plugin)?
            .marking(Mark::Prefix("com.docker.compose."))
            .variable("DOCKER_BUILDKIT", if self.plugin == "classic" { "0" } else { "1" })
            .reading(self.input);
        let ran = run.run(&self.arguments, &|_, _| {}).await?;
        Ok(Printed { output: ran.shown(), messages: ran.messages, said: ran.notes })
    }
}

/// A gateway with one host, and runs on it.
pub(super) struct Rig {
    pub(super) gateway: Arc<Gateway>,
    _state: tempfile::TempDir,
}

impl Rig {
    pub(super) fn new(link: Link) -> Self {
        Self::set(&format!("lab={}", link.endpoint()), |_| {})
    }

    /// A host that asks nobody and lets every body pass, and then some other settings.
    pub(super) fn set(spec: &str, set: impl FnOnce(&mut Config)) -> Self {
        Self::made(spec, None, set)
    }

    /// The gateway of a process that runs in a container itself.
    pub(super) fn inside(spec: &str, container: &str) -> Self {
        Self::made(spec, Some(container.to_owned()), |_| {})
    }

    fn made(spec: &str, container: Option<String>, set: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let programs = std::path::Path::new(&lab("LAB_DOCKER")).parent().unwrap().display().to_string();
        let variables =
            [("PATH", format!("{programs}:/usr/bin:/bin")), ("QUAYMASTER_CLI_PLUGINS", lab("LAB_COMPOSE_PLUGINS"))];
        let environment = Environment {
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            home: Some(lab("LAB_HOME").into()),
            user: Some("root".into()),
            working_directory: lab("LAB_DIR").into(),
            container,
        };
        let flags = Flags { hosts: vec![spec.to_owned()], ..Flags::default() };
        let mut config = Config::load(&environment, &flags).unwrap();
        config.state = Some(state.path().to_owned());
        for host in &mut config.hosts {
            host.limits.confirm = Confirm::Never;
            host.limits.bodies = Bodies::of(Profile::Open);
        }
        set(&mut config);
        Self { gateway: Gateway::new(config, environment).unwrap(), _state: state }
    }

    /// A host with a profile for bodies.
    pub(super) fn judging(spec: &str, profile: Profile) -> Self {
        Self::set(spec, |config| config.hosts.iter_mut().for_each(|host| host.limits.bodies = Bodies::of(profile)))
    }

    pub(super) async fn run(&self, plugin: &str, effect: &str, arguments: &[&str], input: &str) -> Result<Answer> {
        let arguments = json!({"plugin": plugin, "arguments": arguments, "input": input, "effect": effect});
        let Value::Object(arguments) = arguments else { unreachable!() };
        let definition = def::<RunCli>();
        let Parse::One(parse) = definition.parse else { unreachable!() };
        let entry =
            Entry { card: Arc::new(definition.card), toolset: "tests", run: Run::One(parse), ceiling: Effect::Destroy };
        let request = Request::new(Caller::test(), "run_cli", arguments);
        let record = Arc::new(Record::new(&request));
        let outcome = Box::pin(self.gateway.dispatch(entry, request, record)).await;
        outcome.map_err(|failure| match failure {
            Failure::Tool(error) | Failure::UnknownTool(error) => error,
            Failure::Asked { form, .. } => Error::internal(format!("it asked: {form:?}")),
        })
    }

    /// Runs compose for a project whose file is given; answers everything that was printed.
    pub(super) async fn compose(&self, effect: &str, project: &Project, arguments: &[&str]) -> Result<String> {
        let all = [&["-p", &project.name, "-f", "-"][..], arguments].concat();
        let answer = self.run("compose", effect, &all, &project.file).await?;
        let fields = answer.structured.unwrap_or_default();
        Ok(format!("{}{}{}", fields["output"].as_str().unwrap(), fields["messages"].as_str().unwrap(), fields["said"]))
    }
}

/// A compose project, which is gone from the engine when the value is.
pub(super) struct Project {
    pub(super) link: Link,
    pub(super) name: String,
    pub(super) file: String,
}

impl Project {
    /// A project with these services.
    pub(super) fn new(link: Link, services: &str) -> Self {
        let random: [u8; 4] = crate::secret::random().unwrap();
        let name = format!("qmcli{:08x}", u32::from_be_bytes(random));
        Self { link, name, file: services.replace("IMAGE", &lab("LAB_IMAGE")) }
    }

    /// Three services with a network of their own, a volume and a health check.
    pub(super) fn three(link: Link) -> Self {
        Self::new(
            link,
            "services:
  db:
    image: IMAGE
    command: [sh, -c, 'echo ready > /data/ready; trap exit TERM; while sleep 0.2; do :; done']
    volumes: ['data:/data']
    networks: [back]
    healthcheck: {test: [CMD, cat, /data/ready], interval: 1s, retries: 20}
  api:
    image: IMAGE
    command: [sh, -c, 'echo api started; trap exit TERM; while sleep 0.2; do :; done']
    networks: [back]
    depends_on: {db: {condition: service_healthy}}
  web:
    image: IMAGE
    command: [sh, -c, 'echo web started; trap exit TERM; while sleep 0.2; do :; done']
    environment: {GREETING: hello}
    networks: [back]
    depends_on: [api]
networks: {back: {}}
volumes: {data: {}}
",
        )
    }

    /// Another value for the same project.
    pub(super) fn of(other: &Self) -> Self {
        Self { link: other.link, name: other.name.clone(), file: other.file.clone() }
    }

    fn listed(&self, what: &[&str]) -> Vec<String> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let text = self.link.docker(&[what, &["--filter", &label]].concat());
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn containers(&self) -> Vec<String> {
        self.listed(&["ps", "-aq"])
    }

    pub(super) fn volumes(&self) -> Vec<String> {
        self.listed(&["volume", "ls", "-q"])
    }

    pub(super) fn networks(&self) -> Vec<String> {
        self.listed(&["network", "ls", "-q"])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for id in self.containers() {
            self.link.docker(&["rm", "-fv", &id]);
        }
        for id in self.networks() {
            self.link.docker(&["network", "rm", &id]);
        }
        for id in self.volumes() {
            self.link.docker(&["volume", "rm", &id]);
        }
    }
}

/// The processes that inherited a name in their arguments.
pub(super) fn processes_about(name: &str) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "pid,args"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter(|line| line.contains(name) && !line.contains("ps -eo")).map(str::to_owned).collect()
}
