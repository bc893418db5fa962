//! The one path of every call, whoever makes it: look up, parse, plan, decide, ask, write down, run, answer.

pub mod audit;
pub mod body;
pub mod caller;
pub mod catalogue;
pub mod confirm;
mod decision;
mod explain;
mod forward;
mod jobs;
mod joins;
mod judge;
pub mod policy;
pub mod probes;
mod record;
mod target;
mod tools;
mod work;

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::{Config, Environment},
    docker::{Fleet, cli::Programs},
    error::{Error, Result},
    files::Files,
    redact,
    registry::Registries,
    secret::Secrets,
    tool::{Access, Answer, Call, Course, Effect, Json, Means, Permissions, Progress, cursor::Cursors, plans::Plans},
};
use audit::Audit;
use caller::Caller;
use catalogue::{Catalogue, Entry, Run};
use confirm::{Approvals, Form, Voice};
use decision::{Decided, admit};
pub use explain::Explained;
use forward::Routed;
use jobs::{Job, Jobs};
use joins::{Joins, Key};
use policy::Decision;
use probes::Probes;
use record::Record;
use work::{Reports, Stopped, Work};

/// How long a read may take as a whole.
const READ: Duration = Duration::from_secs(30);
/// How long one host of a survey may take.
const READ_OF_FLEET: Duration = Duration::from_secs(10);
/// How long a write may take that says nothing else.
const WRITE: Duration = Duration::from_secs(60);
/// How long a request waits for its call; then it is answered with the job that the call has become. The first
/// clients give up after 60 s.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// Everything between a client and the daemons.
pub struct Gateway {
    config: Config,
    fleet: Fleet,
    catalogue: Catalogue,
    approvals: Approvals,
    audit: Audit,
    probes: Probes,
    means: Arc<Means>,
    jobs: Jobs<Work>,
    joins: Joins,
    cursors: Cursors,
    account: Option<String>,
    own_container: Option<String>,
    running: TaskTracker,
}

/// One call, as it arrives.
pub struct Request {
    /// The tool's name.
    pub tool: String,
    /// Its arguments, `host` among them.
    pub arguments: Json,
    /// Who makes it.
    pub caller: Caller,
    /// How the person behind it can be asked.
    pub voice: Voice,
    /// Told how far a long call has come.
    pub progress: Arc<dyn Fn(Progress) + Send + Sync>,
    /// Cancelled when the caller takes the call back.
    pub cancelled: CancellationToken,
    /// How long it waits for the call before it is answered with the job that the call has become; `None` waits
    /// for the call itself, however long that takes.
    pub patience: Option<Duration>,
}

impl Request {
    /// A call that nobody watches.
    #[must_use]
    pub fn new(caller: Caller, tool: impl Into<String>, arguments: Json) -> Self {
        Self {
            tool: tool.into(),
            arguments,
            caller,
            voice: Voice::Silent,
            progress: Arc::new(|_| {}),
            cancelled: CancellationToken::new(),
            patience: Some(PATIENCE),
        }
    }
}

/// Why a call has no answer of its tool.
#[derive(Debug, Clone)]
pub enum Failure {
    /// There is no such tool: a protocol error, not the tool's.
    UnknownTool(Error),
    /// The tool, the policy or the daemon refused.
    Tool(Error),
    /// A person has to be asked first; the call is made again with the reply.
    Asked {
        /// The question.
        form: Form,
        /// What the reply has to carry.
        state: String,
    },
}

impl Failure {
    /// The same without what may not leave.
    fn reworded(self) -> Self {
        match self {
            Self::UnknownTool(error) => Self::UnknownTool(error.reworded(redact::shown)),
            Self::Tool(error) => Self::Tool(error.reworded(redact::shown)),
            asked @ Self::Asked { .. } => asked,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Tool(error)
    }
}

impl Gateway {
    /// A gateway for a configuration; nothing is contacted.
    ///
    /// # Errors
    /// `config` for an unknown toolset, a deny that fits no tool, a verifier that makes no sense.
    pub fn new(config: Config, environment: Environment) -> Result<Arc<Self>> {
        let programs = Programs::new(&environment);
        let catalogue = Catalogue::new(&config)?.on(programs.clone());
        let approvals = Approvals::new(config.state.clone(), config.approval_passphrase.as_deref())?;
        let audit = Audit::new(config.state.clone(), &config.audit);
        let probes = Probes::new(config.state.clone());
        let own = [&config.state, &config.secrets, &config.audit.directory].into_iter().flatten().cloned();
        let means = Arc::new(Means {
            labels: config.labels,
            secrets: Secrets::new(config.secrets.clone(), &environment.variables),
            files: Files::new(&config.files, &environment).sparing(own),
            registries: Registries::new(&config, &environment),
            plans: Plans::default(),
            programs,
            state: config.state.clone(),
        });
        let (account, own_container) = (environment.user.clone(), environment.container.clone());
        let fleet = Fleet::new(&config, Arc::new(environment));
        let running = TaskTracker::new();
        Ok(Arc::new(Self {
            config,
            fleet,
            catalogue,
            approvals,
            audit,
            probes,
            means,
            jobs: Jobs::default(),
            joins: Joins::default(),
            cursors: Cursors::new()?,
            account,
            own_container,
            running,
        }))
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

    /// The audit.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// What was found out about who enforces the limits of hosts.
    #[must_use]
    pub fn probes(&self) -> &Probes {
        &self.probes
    }

    /// Whoever started this process, calling over a protocol.
    #[must_use]
    pub fn caller(&self, protocol: impl Into<String>) -> Caller {
        Caller::account(self.account.as_deref(), protocol)
    }

    /// Makes a call. Whatever happens inside it - a panic included - comes back as an answer.
    ///
    /// # Errors
    /// [`Failure`], with the host and what to do next.
    pub async fn call(self: &Arc<Self>, mut request: Request) -> Result<Answer, Failure> {
        let record = Record::new(&request);
        let arguments = std::mem::take(&mut request.arguments);
        let found = self.catalogue.find(&request.tool).map_err(Failure::UnknownTool);
        let Routed { entry, arguments, via } = match found.and_then(|entry| Ok(self.routed(entry, arguments)?)) {
            Ok(routed) => routed,
            Err(failure) => {
                let failure = failure.reworded();
                record.end(&self.audit, Err(&failure)).await;
                return Err(failure);
            }
        };
        if let Some(via) = via {
            record.came(via, entry.card.name, &arguments);
        }
        request.arguments = arguments;
        let outcome = self.dispatch(entry, request, Arc::new(record)).await;
        outcome.map(Answer::presentable).map_err(Failure::reworded)
    }

    async fn dispatch(
        self: &Arc<Self>,
        entry: Entry,
        request: Request,
        record: Arc<Record>,
    ) -> Result<Answer, Failure> {
        let Request { arguments, caller, voice, progress, cancelled, patience, .. } = request;
        let reports = Reports::new(progress);
        let call = Call::new(entry.card.name, reports.sink(), self.means.clone(), self.cursors.clone());
        let call = call.of(&caller.principal);
        let (gateway, running, noted, principal) =
            (self.clone(), entry.clone(), record.clone(), caller.principal.clone());
        let work = Work::start(entry.card.name, principal, entry.card.course, record, reports, |ending| {
            let task = self.running.spawn(async move {
                // A defect must have its line, also where nobody waits for the call any more.
                let outcome = AssertUnwindSafe(gateway.run(&running, arguments, &caller, &voice, call, &noted));
                let outcome = outcome.catch_unwind().await.unwrap_or_else(|_| Err(panicked(&running).into()));
                noted.end(&gateway.audit, outcome.as_ref()).await;
                ending.with(outcome);
            });
            task.abort_handle()
        });
        if entry.card.course == Course::Job
            && let Err(error) = self.jobs.keep(&work)
        {
            work.stop(&self.audit).await;
            return Err(error.into());
        }
        tokio::select! {
            biased;
            outcome = work.end() => {
                // With it goes the channel's own reference: the answer need not be copied.
                drop(work);
                Arc::unwrap_or_clone(outcome)
            }
            () = cancelled.cancelled() => self.take_back(&work).await,
            job = self.outlives(&work, patience) => Ok(job.answer(entry.card.output().is_some())),
        }
    }

    /// Stops a call whose caller wants it no more; what cannot be stopped goes on as a job.
    async fn take_back(&self, work: &Arc<Work>) -> Result<Answer, Failure> {
        work.leave();
        match work.stop(&self.audit).await {
            Stopped::Cut => Err(work::taken_back()),
            Stopped::GoesOn => {
                let job = self.jobs.keep(work).map(|job| format!(", or for the end of {}", job.id)).unwrap_or_default();
                Err(Error::cancelled("the call was taken back; what was sent goes on at the daemon")
                    .hint(format!("look at the object{job} before you repeat it"))
                    .into())
            }
        }
    }

    /// Ends when the call has taken so long that its request is answered with a job.
    async fn outlives(&self, work: &Arc<Work>, patience: Option<Duration>) -> Arc<Job<Work>> {
        if let Some(patience) = patience {
            tokio::time::sleep(work.record.left_of(patience)).await;
            if let Ok(job) = self.jobs.keep(work) {
                work.leave();
                return job;
            }
        }
        // There is no room for another job: the request waits for its call.
        std::future::pending().await
    }

    /// Ends what can be ended, and waits for the rest - what was sent and must not be cut off - but not longer than
    /// `limit`, and until it is written down.
    pub async fn settle(&self, limit: Duration) {
        self.running.close();
        for job in self.jobs.running() {
            job.work.stop(&self.audit).await;
        }
        let rest = async { tokio::join!(self.running.wait(), self.fleet.settle()) };
        if tokio::time::timeout(limit, rest).await.is_err() {
            tracing::warn!("{} calls had not ended when the gateway did", self.running.len());
        }
        self.audit.flush().await;
    }

    async fn run(
        self: &Arc<Self>,
        entry: &Entry,
        mut arguments: Json,
        caller: &Caller,
        voice: &Voice,
        call: Call,
        record: &Record,
    ) -> Result<Answer, Failure> {
        let hosts = self.hosts_of(entry, &mut arguments, caller)?;
        record.hosts(&hosts);
        match entry.run {
            Run::One(parse) => {
                let tool = parse(arguments, entry.card.input())?;
                let host = hosts.first().ok_or_else(|| Error::internal("a call has no host"))?;
                let name = host.config().name.as_str();
                let arguments = tool.arguments();
                let call = call.bound(entry.card.name, [name].into_iter(), &arguments);
                record.arguments(arguments.clone());
                let limit =
                    tool.deadline().unwrap_or(if entry.card.access.effect == Effect::Read { READ } else { WRITE });
                let started = Instant::now();
                let planned = within(limit, async {
                    admit(entry, host, entry.card.access.mildest, entry.card.access.always, Some(record))?;
                    self.catalogue.missing(&entry.card).map_or(Ok(()), Err)?;
                    let plan = tool.plan(&host.reading(), &call).await?;
                    let verdict = self.decide(entry, host, &plan).await?;
                    Ok((plan, verdict))
                })
                .await;
                let (plan, verdict) = planned.map_err(|error| error.on(name))?;
                let left = limit.saturating_sub(started.elapsed());
                let decided = Decided { entry, host, arguments, plan, verdict };
                let approved = self.approved(&decided, caller, voice, record).await?;
                if approved.is_some() && matches!(voice, Voice::Live(_)) {
                    // The question was open for a while: the yes is for what the person saw.
                    let now = within(limit, tool.plan(&host.reading(), &call)).await.map_err(|error| error.on(name))?;
                    if !decided.plan.is_of(&now) {
                        return Err(Error::conflict("what the call acts on changed while the person was asked")
                            .hint("look at it, then make the call again: the person is asked anew")
                            .on(name)
                            .into());
                    }
                }
                let docker = self.permit(&decided, approved, record).await?;
                let Decided { plan, verdict, arguments, .. } = decided;
                let answer = if entry.card.course == Course::Job {
                    let key = Key::new(&caller.principal, entry.card.name, name, &arguments);
                    let work = |call| async move { tool.call(&docker, plan, &call).await };
                    within(left, self.joins.join(key, &call, work)).await
                } else {
                    within(left, tool.call(&docker, plan, &call)).await
                };
                Ok(answer
                    .map_err(|error| error.on(name))?
                    .noting(verdict.findings.iter().filter(|finding| finding.is_noted()).map(|finding| &finding.value)))
            }
            Run::Fleet(parse) => {
                let tool = parse(arguments, entry.card.input())?;
                let names = hosts.iter().map(|host| host.config().name.as_str());
                let arguments = tool.arguments();
                let call = call.bound(entry.card.name, names, &arguments);
                record.arguments(arguments);
                if let [host] = hosts.as_slice() {
                    admit(entry, host, Effect::Read, Permissions::READ, Some(record))?;
                }
                record.allowed(&self.audit, Effect::Read, Permissions::READ, None).await?;
                let limit = tool.deadline().unwrap_or(if hosts.len() == 1 { READ } else { READ_OF_FLEET });
                let members = hosts.iter().map(|host| {
                    let admitted = admit(entry, host, Effect::Read, Permissions::READ, None);
                    (host.config().name.clone(), admitted.map(|()| host.reading()))
                });
                Ok(tool.call(members.collect(), limit, call).await?)
            }
            Run::Hostless(parse) => {
                let tool = parse(arguments, entry.card.input())?;
                let call = call.bound(entry.card.name, std::iter::empty(), &tool.arguments());
                record.arguments(tool.arguments());
                let host = self.admit_anywhere(entry, record)?;
                self.catalogue.missing(&entry.card).map_or(Ok(()), Err)?;
                let Access { effect, always, .. } = entry.card.access;
                let approved = self.approved_here(entry, &host, tool.arguments(), caller, voice, record).await?;
                record.allowed(&self.audit, effect, always, approved).await?;
                if effect != Effect::Read && !record.begins() {
                    return Err(Error::cancelled("the call was taken back before anything was done").into());
                }
                let limit = tool.deadline().unwrap_or(READ);
                Ok(within(limit, tool.call(&call)).await?)
            }
            Run::Own(parse) => {
                let tool = parse(arguments, entry.card.input())?;
                record.arguments(tool.arguments());
                let access = entry.card.access;
                let beyond = policy::beyond(entry.card.name, access.effect, entry.ceiling);
                if let Some(Decision::Deny { rule, reason, remedy }) = beyond {
                    record.denied(access.effect, access.always, &rule);
                    return Err(Error::denied(reason).hint(remedy).into());
                }
                for host in &hosts {
                    admit(entry, host, access.mildest, access.always, Some(record))?;
                }
                record.allowed(&self.audit, access.effect, access.always, None).await?;
                let limit = tool.deadline().unwrap_or(READ);
                Ok(within(limit, tool.call(self, hosts, caller, &call)).await?)
            }
            Run::Forward { .. } => Err(Error::internal("a call that carries another one was not taken apart").into()),
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::timeout(format!("the call did not end within {} s", limit.as_secs()))
            .hint("what was sent may still take effect: look at the object before you repeat the call"))
    })
}

fn panicked(entry: &Entry) -> Error {
    tracing::error!(tool = entry.card.name, "a call ended in a defect");
    Error::internal(format!("{} met a defect of Quaymaster", entry.card.name))
        .hint("other calls are not affected; report it with the arguments, and do not repeat it")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{catalogue::OwnCall, *};
    use crate::{config::Flags, docker::Host, error::Kind, tool::Pending};

    struct Defect;

    impl OwnCall for Defect {
        fn arguments(&self) -> Json {
            Json::new()
        }

        fn deadline(&self) -> Option<Duration> {
            None
        }

        fn call<'a>(
            self: Box<Self>,
            _: &'a Gateway,
            _: Vec<Arc<Host>>,
            _: &'a Caller,
            _: &'a Call,
        ) -> Pending<'a, Result<Answer>> {
            Box::pin(async { panic!("a defect") })
        }
    }

    fn gateway(state: &Path) -> Arc<Gateway> {
        let environment = Environment::default();
        let flags = Flags { hosts: vec!["local=unix:///nowhere.sock".into()], ..Flags::default() };
        let mut config = Config::load(&environment, &flags).unwrap();
        config.state = Some(state.to_owned());
        Gateway::new(config, environment).unwrap()
    }

    #[tokio::test]
    async fn a_panic_ends_one_call_and_no_other() {
        let state = tempfile::tempdir().unwrap();
        let gateway = gateway(state.path());
        let request = || Request::new(Caller::test(), "list_hosts", Json::new());
        let entry =
            Entry { run: Run::Own(|_, _| Ok(Box::new(Defect))), ..gateway.catalogue.find("list_hosts").unwrap() };
        let record = Arc::new(Record::new(&request()));
        let Failure::Tool(error) = gateway.dispatch(entry, request(), record).await.unwrap_err() else {
            panic!("another failure")
        };
        assert_eq!(error.kind(), Kind::Internal);
        assert!(error.hint_text().is_some());
        gateway.call(request()).await.unwrap();
        let rows = gateway.audit.read(audit::Wanted { limit: 9, ..Default::default() }).await.unwrap();
        assert_eq!(rows.iter().map(|row| &row["outcome"]).collect::<Vec<_>>(), ["internal", "ok"]);
    }
}
