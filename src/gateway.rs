//! The one path of every call, whoever makes it: look up, parse, plan, decide, run, answer.

pub mod catalogue;
pub mod policy;
mod tools;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinError;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Environment},
    docker::{Docker, Fleet, Host, access::Ceiling, access::Permissions, names::quote},
    error::{Error, Result},
    redact,
    tool::{Answer, Call, Effect, HostArgument, Json, Plan, Progress},
};
use catalogue::{Catalogue, Entry, Run};
use policy::{Decision, Facts};

/// How long a read may take as a whole.
const READ: Duration = Duration::from_secs(30);
/// How long one host of a survey may take.
const READ_OF_FLEET: Duration = Duration::from_secs(10);
/// How long a write may take that says nothing else.
const WRITE: Duration = Duration::from_secs(60);

/// Everything between a client and the daemons.
pub struct Gateway {
    config: Config,
    fleet: Fleet,
    catalogue: Catalogue,
    running: TaskTracker,
}

/// One call, as it arrives.
pub struct Request {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, `host` among them.
    pub arguments: Json,
    /// Told how far a long call has come.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
    /// Cancelled when the caller takes the call back.
    pub cancelled: CancellationToken,
}

impl Request {
    /// A call that nobody watches.
    #[must_use]
    pub fn new(tool: impl Into<String>, arguments: Json) -> Self {
        Self { tool: tool.into(), arguments, progress: Arc::new(|_| {}), cancelled: CancellationToken::new() }
    }
}

/// Why a call has no answer of its tool.
#[derive(Debug)]
pub enum Failure {
    /// There is no such tool: a protocol error, not the tool's.
    UnknownTool(Error),
    /// The tool, the policy or the daemon refused.
    Tool(Error),
}

impl Gateway {
    /// A gateway for a configuration; nothing is contacted.
    ///
    /// # Errors
    /// `config` for an unknown toolset, or a deny that fits no tool.
    pub fn new(config: Config, environment: Environment) -> Result<Arc<Self>> {
        let fleet = Fleet::new(&config, Arc::new(environment));
        let catalogue = Catalogue::new(&config)?;
        Ok(Arc::new(Self { config, fleet, catalogue, running: TaskTracker::new() }))
    }

    /// What was configured.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The hosts.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The tools.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Makes a call. Whatever happens inside it - a panic included - comes back as an answer.
    ///
    /// # Errors
    /// [`Failure`], with the host and what to do next.
    pub async fn call(self: &Arc<Self>, request: Request) -> Result<Answer, Failure> {
        let entry = self.catalogue.find(&request.tool).map_err(Failure::UnknownTool)?;
        let outcome = self.dispatch(entry, request).await;
        outcome.map(Answer::presentable).map_err(|error| Failure::Tool(error.reworded(redact::plain)))
    }

    async fn dispatch(self: &Arc<Self>, entry: Entry, request: Request) -> Result<Answer> {
        let mut arguments = request.arguments;
        let hosts = self.hosts_of(&entry, &mut arguments)?;
        let call = Call::new(request.progress, self.labels(entry.card.name));
        let gateway = self.clone();
        let running = entry.clone();
        let mut task = self.running.spawn(async move { gateway.run(&running, hosts, arguments, call).await });
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = request.cancelled.cancelled() => {
                // What may change an engine is never cut off once it may have been sent.
                if entry.card.stoppable {
                    task.abort();
                    return Err(Error::cancelled("the call was taken back and has been stopped"));
                }
                return Err(Error::cancelled("the call was taken back; what was sent goes on at the daemon")
                    .hint("look at the object before you repeat it"));
            }
        };
        ended.unwrap_or_else(|error| Err(panicked(&entry, &error)))
    }

    /// Waits for what was sent and must not be cut off, but not longer than `limit`.
    pub async fn settle(&self, limit: Duration) {
        self.running.close();
        if tokio::time::timeout(limit, self.running.wait()).await.is_err() {
            tracing::warn!("{} calls had not ended when the gateway did", self.running.len());
        }
    }

    async fn run(
        self: &Arc<Self>,
        entry: &Entry,
        hosts: Vec<Arc<Host>>,
        arguments: Json,
        call: Call,
    ) -> Result<Answer> {
        match entry.run {
            Run::One(parse) => {
                let tool = parse(arguments, &entry.card.input)?;
                let host = hosts.first().ok_or_else(|| Error::internal("a call has no host"))?;
                let name = host.config().name.as_str();
                let limit = tool.deadline();
                let mildest = entry.card.access.mildest;
                allow(entry, host, mildest, Permissions::READ)?;
                within(limit.unwrap_or(if entry.card.access.effect == Effect::Read { READ } else { WRITE }), async {
                    let plan = tool.plan(&host.reading(), &call).await?;
                    let docker = decide(entry, host, &plan)?;
                    tool.call(&docker, plan, &call).await
                })
                .await
                .map_err(|error| error.on(name))
            }
            Run::Fleet(parse) => {
                let tool = parse(arguments, &entry.card.input)?;
                let single = hosts.len() == 1;
                let limit = tool.deadline().unwrap_or(if single { READ } else { READ_OF_FLEET });
                let readings = hosts.iter().map(Host::reading).collect();
                tool.call(readings, limit, call).await
            }
            Run::Own(parse) => within(READ, parse(arguments, &entry.card.input)?.call(self, hosts)).await,
        }
    }

    /// Takes `host` off the arguments: reads default to the first host, writes must name one.
    fn hosts_of(&self, entry: &Entry, arguments: &mut Json) -> Result<Vec<Arc<Host>>> {
        let card = &entry.card;
        if card.host == HostArgument::None {
            return Ok(Vec::new());
        }
        let given = match arguments.remove("host") {
            None | Some(serde_json::Value::Null) => None,
            Some(serde_json::Value::String(name)) => Some(name),
            Some(other) => {
                return Err(Error::invalid(format!(
                    "argument \"host\" must be a string, not {}",
                    quote(&other.to_string())
                ))
                .hint("give the name of one host; list_hosts shows them"));
            }
        };
        match (card.host, given) {
            (HostArgument::Fleet { .. }, Some(scope)) => self.fleet.scope(&scope),
            (HostArgument::Fleet { whole: true }, None) => Ok(self.fleet.all()),
            (_, Some(name)) if name == "all" || name.starts_with("tag:") => {
                Err(Error::invalid(format!("argument \"host\": {} takes one host, not {}", card.name, quote(&name)))
                    .hint("call it once for each host"))
            }
            (_, Some(name)) => Ok(vec![self.fleet.host(&name)?]),
            (_, None) if card.access.effect == Effect::Read || self.fleet.configs().len() == 1 => {
                Ok(vec![self.fleet.default_host()?])
            }
            (_, None) => Err(Error::invalid(format!(
                "argument \"host\" is missing: {} {}",
                card.name,
                card.access.effect.verb()
            ))
            .hint(format!("name the host to act on; {}", self.names()))),
        }
    }

    fn names(&self) -> String {
        let configs = self.fleet.configs();
        if configs.len() > 15 {
            return "list_hosts shows them".to_owned();
        }
        format!("hosts: {}", configs.iter().map(|config| config.name.as_str()).collect::<Vec<_>>().join(", "))
    }

    /// What marks an object that is made here.
    fn labels(&self, tool: &str) -> Option<Arc<Vec<(String, String)>>> {
        self.config.labels.then(|| {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let labels =
                [("managed", "true"), ("version", env!("CARGO_PKG_VERSION")), ("tool", tool), ("created", &now)];
            Arc::new(labels.into_iter().map(|(key, value)| (format!("quaymaster.{key}"), value.to_owned())).collect())
        })
    }
}

/// The only place that hands out a connection which may do more than read.
fn decide(entry: &Entry, host: &Arc<Host>, plan: &Plan) -> Result<Docker> {
    let access = entry.card.access;
    if plan.effect > access.effect || plan.effect < access.mildest || !access.at_most.covers(plan.permissions) {
        return Err(Error::internal(format!("{} planned more than it declares", entry.card.name)));
    }
    allow(entry, host, plan.effect, plan.permissions)?;
    let mode = host.config().mode;
    Ok(host.with_ceiling(Ceiling { mode, effect: plan.effect, permissions: plan.permissions }))
}

fn allow(entry: &Entry, host: &Arc<Host>, effect: Effect, needed: Permissions) -> Result<()> {
    let config = host.config();
    let facts = Facts {
        tool: entry.card.name,
        host: &config.name,
        mode: config.mode,
        granted: Permissions::implied_by(config.mode),
        effect,
        needed,
    };
    match policy::decide(&facts) {
        Decision::Allow => Ok(()),
        Decision::Deny { reason, remedy, .. } => Err(Error::denied(reason).hint(remedy).on(&config.name)),
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::timeout(format!("the call did not end within {} s", limit.as_secs()))
            .hint("what was sent may still take effect: look at the object before you repeat the call"))
    })
}

fn panicked(entry: &Entry, error: &JoinError) -> Error {
    tracing::error!(tool = entry.card.name, "a call ended in a defect: {error}");
    Error::internal(format!("{} met a defect of Quaymaster", entry.card.name))
        .hint("other calls are not affected; report it with the arguments, and do not repeat it")
}

#[cfg(test)]
mod tests {
    use super::{catalogue::OwnCall, *};
    use crate::{config::Flags, error::Kind, tool::Pending};

    struct Defect;

    impl OwnCall for Defect {
        fn call(self: Box<Self>, _: &Gateway, _: Vec<Arc<Host>>) -> Pending<'_, Result<Answer>> {
            Box::pin(async { panic!("a defect") })
        }
    }

    fn gateway() -> Arc<Gateway> {
        let environment = Environment::default();
        let flags = Flags { hosts: vec!["local=unix:///nowhere.sock".into()], ..Flags::default() };
        Gateway::new(Config::load(&environment, &flags).unwrap(), environment).unwrap()
    }

    #[tokio::test]
    async fn a_panic_ends_one_call_and_no_other() {
        let gateway = gateway();
        let entry =
            Entry { run: Run::Own(|_, _| Ok(Box::new(Defect))), ..gateway.catalogue.find("list_hosts").unwrap() };
        let error = gateway.dispatch(entry, Request::new("list_hosts", Json::new())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.hint_text().is_some());
        gateway.call(Request::new("list_hosts", Json::new())).await.unwrap();
    }
}
