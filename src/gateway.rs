//! The one path of every call, whoever makes it: look up, parse, plan, decide, ask, write down, run, answer.

pub mod audit;
pub mod body;
pub mod caller;
pub mod catalogue;
pub mod confirm;
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
    config::{
        Config, Environment,
        limits::{Limits, Verdict as Says},
    },
    docker::{Docker, Fleet, Host, access::Ceiling, cli::Programs, names},
    error::{Error, Result},
    files::Files,
    redact,
    registry::Registries,
    secret::Secrets,
    tool::{
        Access, Answer, Call, Course, Effect, Json, Means, ObjectKind, Permission, Permissions, Plan, Progress,
        cursor::Cursors, plans::Plans,
    },
};
use audit::Audit;
use body::Finding;
use caller::Caller;
use catalogue::{Catalogue, Entry, Run};
use confirm::{Approvals, Form, Identity, Pause, Question, Voice};
pub use explain::Explained;
use forward::Routed;
use jobs::{Job, Jobs};
use joins::{Joins, Key};
use judge::ForeignJudge;
use policy::{Decision, Facts};
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
/// What a person types to approve a call that is about no host but this machine.
const HERE: &str = "default";

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

/// What the policy said of a plan, and what it was said of.
struct Verdict {
    decision: Decision,
    findings: Vec<Finding>,
}

/// A call of a tool for one host that was planned and decided.
struct Decided<'a> {
    entry: &'a Entry,
    host: &'a Arc<Host>,
    arguments: Json,
    plan: Plan,
    verdict: Verdict,
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
            outcome = work.end() => outcome,
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

    /// Refuses a tool without `host` that is not granted, or that no host lets be; answers the first that does.
    fn admit_anywhere(&self, entry: &Entry, record: &Record) -> Result<Arc<Host>> {
        let Access { effect, always, .. } = entry.card.access;
        if let Decision::Deny { rule, reason, remedy } = self.granted(entry) {
            record.denied(effect, always, &rule);
            return Err(Error::denied(reason).hint(remedy));
        }
        let mut refused = None;
        for host in self.fleet.all() {
            match admit(entry, &host, effect, always, Some(record)) {
                Ok(()) => return Ok(host),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::internal("there is no host")))
    }

    /// Whether a tool that is about this machine is granted.
    fn granted(&self, entry: &Entry) -> Decision {
        let is_granted = !entry.card.cli_config || self.config.cli_config;
        if is_granted { Decision::Allow } else { policy::ungranted(entry.card.name) }
    }

    /// Lets a call without a host pass that needs no yes, or has one: as the strictest of the hosts asks for it.
    async fn approved_here(
        &self,
        entry: &Entry,
        host: &Arc<Host>,
        arguments: Json,
        caller: &Caller,
        voice: &Voice,
        record: &Record,
    ) -> Result<Option<String>, Failure> {
        let Access { effect, always, .. } = entry.card.access;
        let strictest = self.config.hosts.iter().map(|host| host.limits.confirm).max();
        let asked = facts(entry, host, effect, always);
        let decision = policy::decide(&Facts { confirm: strictest.unwrap_or(asked.confirm), ..asked });
        let Decision::Ask(reasons) = decision else { return Ok(None) };
        let rules = reasons.iter().map(|reason| reason.rule.as_str()).collect::<Vec<_>>().join(", ");
        let question = Question {
            principal: caller.principal.clone(),
            // No host can be called so.
            host: HERE.to_owned(),
            tool: entry.card.name,
            effect,
            reasons: reasons.into_iter().map(|reason| reason.text).collect(),
            arguments,
            objects: Vec::new(),
        };
        match self.approvals.settle(&question, &voice.for_at_most(record.left_of(PATIENCE))).await {
            Ok(()) => Ok(Some(format!("approved: {rules}"))),
            Err(pause) => {
                record.refused(&self.audit, effect, always, "ask", &rules).await;
                Err(match pause {
                    Pause::Asked { form, state } => Failure::Asked { form, state },
                    Pause::Refused(error) => error.into(),
                })
            }
        }
    }

    /// What the policy says of a plan, by what it does, what it acts on and what it sends.
    async fn decide(&self, entry: &Entry, host: &Arc<Host>, plan: &Plan) -> Result<Verdict> {
        let access = entry.card.access;
        if plan.effect > access.effect || plan.effect < access.mildest || !access.at_most.covers(plan.permissions) {
            return Err(Error::internal(format!("{} planned more than it declares", entry.card.name)));
        }
        let limits = &host.config().limits;
        let facts = Facts { loses: plan.loses, ..facts(entry, host, plan.effect, plan.permissions) };
        // What is refused already is not looked at any closer.
        let refused = policy::decide(&facts);
        if matches!(refused, Decision::Deny { .. }) {
            return Ok(Verdict { decision: refused, findings: Vec::new() });
        }
        let findings = body::judge(plan, &limits.bodies, &host.reading()).await?;
        let decision = weighed(&Facts { findings: &findings, ..facts }, plan, limits, self.own_container.as_deref());
        Ok(Verdict { decision, findings })
    }

    /// Lets a call pass that needs no yes, or has one: then it answers what the yes was for.
    async fn approved(
        &self,
        decided: &Decided<'_>,
        caller: &Caller,
        voice: &Voice,
        record: &Record,
    ) -> Result<Option<String>, Failure> {
        let Decided { entry, host, arguments, plan, verdict } = decided;
        let name = host.config().name.as_str();
        match &verdict.decision {
            Decision::Allow => Ok(None),
            Decision::Deny { rule, reason, remedy } => {
                record.refused(&self.audit, plan.effect, plan.permissions, "deny", rule).await;
                Err(Error::denied(reason.as_str()).hint(remedy.as_str()).on(name).into())
            }
            Decision::Ask(reasons) => {
                let rules = reasons.iter().map(|reason| reason.rule.as_str()).collect::<Vec<_>>().join(", ");
                let question = Question {
                    principal: caller.principal.clone(),
                    host: name.to_owned(),
                    tool: entry.card.name,
                    effect: plan.effect,
                    reasons: reasons.iter().map(|reason| reason.text.clone()).collect(),
                    arguments: arguments.clone(),
                    objects: plan.objects.iter().map(Identity::of).collect(),
                };
                let voice = voice.for_at_most(record.left_of(PATIENCE));
                match self.approvals.settle(&question, &voice).await {
                    Ok(()) => Ok(Some(format!("approved: {rules}"))),
                    Err(pause) => {
                        record.refused(&self.audit, plan.effect, plan.permissions, "ask", &rules).await;
                        Err(match pause {
                            Pause::Asked { form, state } => Failure::Asked { form, state },
                            Pause::Refused(error) => error.on(name).into(),
                        })
                    }
                }
            }
        }
    }

    /// The only place that hands out a connection which may do more than read: after the decision, the
    /// person's yes where one is needed, and the line in the audit.
    async fn permit(&self, decided: &Decided<'_>, approved: Option<String>, record: &Record) -> Result<Docker> {
        let Decided { entry, host, plan: Plan { effect, permissions, .. }, verdict, .. } = decided;
        let config = host.config();
        let asked = |finding: &&Finding| finding.verdict == Says::Ask && approved.is_some();
        let approved_findings = verdict.findings.iter().filter(asked).cloned().collect();
        let judge = ForeignJudge::new(entry.card.name, self.own_container.clone(), approved_findings);
        let written = record.allowed(&self.audit, *effect, *permissions, approved).await;
        written.map_err(|error| error.on(&config.name))?;
        if *effect != Effect::Read && !record.begins() {
            return Err(Error::cancelled("the call was taken back before anything was sent").on(&config.name));
        }
        let ceiling = Ceiling { mode: config.mode, effect: *effect, permissions: *permissions };
        Ok(host.with_ceiling(ceiling).judged_by(Arc::new(judge)))
    }
}

/// The facts of a call before its objects and its body are looked at.
fn facts<'a>(entry: &'a Entry, host: &'a Host, effect: Effect, needed: Permissions) -> Facts<'a> {
    let config = host.config();
    Facts {
        tool: entry.card.name,
        host: &config.name,
        admitted: config.limits.tools.admit([entry.card.name]),
        mode: config.mode,
        granted: config.limits.permissions,
        effect,
        ceiling: entry.ceiling,
        needed,
        foreign_image: None,
        denied_command: None,
        findings: &[],
        own_container: None,
        loses: false,
        confirm: config.limits.confirm,
    }
}

/// Decides with what a plan is about: the images, the command and the containers in it.
fn weighed(facts: &Facts<'_>, plan: &Plan, limits: &Limits, own_container: Option<&str>) -> Decision {
    let command = plan.bodies.iter().find_map(body::command_line);
    let own = (plan.effect != Effect::Read && !limits.own_container && touches_life(plan.permissions))
        .then(|| {
            let mut containers = plan.objects.iter().filter(|object| object.kind == ObjectKind::Container);
            containers.find(|object| Some(object.id.as_str()) == own_container).map(|object| object.name.as_str())
        })
        .flatten();
    policy::decide(&Facts {
        foreign_image: plan.images.iter().map(String::as_str).find(|image| {
            // What was found by its id was judged by its references when it was found.
            let is_found = names::is_image_id(image)
                && !plan.permissions.has(Permission::Images)
                && plan.objects.iter().any(|object| object.kind == ObjectKind::Image && object.asked == **image);
            !is_found && !limits.images.admit(names::spellings(image).iter().map(String::as_str))
        }),
        denied_command: command.as_deref().filter(|command| !limits.exec_deny.admit([*command])),
        own_container: own,
        ..facts.clone()
    })
}

/// Refuses what no plan could make allowed, and notes it where that refuses the whole call.
fn admit(entry: &Entry, host: &Host, effect: Effect, needed: Permissions, record: Option<&Record>) -> Result<()> {
    match policy::decide(&facts(entry, host, effect, needed)) {
        Decision::Deny { rule, reason, remedy } => {
            if let Some(record) = record {
                record.denied(effect, needed, &rule);
            }
            Err(Error::denied(reason).hint(remedy).on(&host.config().name))
        }
        Decision::Allow | Decision::Ask(_) => Ok(()),
    }
}

/// Whether a call with these permissions can end, change or remove a container.
fn touches_life(permissions: Permissions) -> bool {
    permissions.has(Permission::Lifecycle) || permissions.has(Permission::Create)
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
    use crate::{config::Flags, error::Kind, tool::Pending};

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
