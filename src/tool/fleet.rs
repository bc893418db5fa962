//! Tools that read of many hosts: how the hosts are asked, and how each took part.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Access, Answer, Call, Card, Def, HostArgument, Json, Output, Parse, Pending, Progress, schema, written};
use crate::{
    docker::Docker,
    error::{Error, Result},
};

/// One reading tool for many hosts: each is asked, then the answers are combined.
pub trait FleetTool: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {
    /// `verb_noun`, at most 32 characters.
    const NAME: &'static str;
    /// Whether it is in the default toolset.
    const CORE: bool = false;
    /// Whether it means the whole fleet when no host is named, and not just the default host.
    const WHOLE_FLEET: bool = false;
    /// Whether a call of it can reach beyond the hosts, such as to a registry.
    const OPEN_WORLD: bool = false;
    /// What one host contributes.
    type Part: Send + 'static;
    /// What it answers.
    type Output: Output;

    /// How long a host may take; `None` is the default of a read.
    fn deadline(&self) -> Option<Duration> {
        None
    }

    /// Refuses arguments that no host can serve, before any is asked.
    ///
    /// # Errors
    /// `invalid`, naming the argument.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Asks one host.
    fn ask(&self, docker: &Docker, call: &Call) -> impl Future<Output = Result<Self::Part>> + Send;

    /// Makes one answer of all, in the configured order of hosts.
    ///
    /// # Errors
    /// Whatever makes the whole answer impossible.
    fn combine(self, answers: Vec<HostAnswer<Self::Part>>, call: &Call) -> Result<Self::Output>;
}

/// What one host contributed to a fleet's answer.
pub struct HostAnswer<T> {
    /// The host's name.
    pub host: String,
    /// Its part, or why there is none.
    pub answer: Result<T>,
}

/// How a host took part in a fleet's answer.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct HostStatus {
    /// The host's name.
    pub host: String,
    /// `ok`, or the kind of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl HostStatus {
    /// The status of every answer.
    pub fn of<T>(answers: &[HostAnswer<T>]) -> Vec<Self> {
        answers
            .iter()
            .map(|answer| Self {
                host: answer.host.clone(),
                status: Some(answer.answer.as_ref().map_or_else(|error| error.kind().as_str(), |_| "ok").to_owned()),
                error: answer.answer.as_ref().err().map(ToString::to_string),
            })
            .collect()
    }
}

/// The definition of a tool for many hosts.
#[must_use]
pub fn fleet<T: FleetTool>() -> Def {
    let host = HostArgument::Fleet { whole: T::WHOLE_FLEET };
    let mut card = Card::of::<T, T::Output>(T::NAME, Access::READ, T::CORE, host);
    card.open_world = T::OPEN_WORLD;
    card.may_become_job = true;
    Def {
        card,
        parse: Parse::Fleet(|arguments, schema| {
            let tool = schema::parse::<T>(arguments, schema)?;
            tool.check()?;
            Ok(Box::new(tool))
        }),
    }
}

/// A parsed call of a [`FleetTool`], erased.
pub trait FleetCall: Send + Sync {
    /// The parsed arguments, defaults included.
    fn arguments(&self) -> Json;
    /// See [`FleetTool::deadline`].
    fn deadline(&self) -> Option<Duration>;
    /// Asks every host, at most so many at once, each within `deadline`, and combines the answers.
    fn call(self: Box<Self>, hosts: Vec<Member>, deadline: Duration, call: Call) -> Pending<'static, Result<Answer>>;
}

/// One host of a fleet call: its name, and its daemon or why it may not be asked.
pub type Member = (String, Result<Docker>);

/// How many hosts a fleet call asks at once, as long as they answer soon.
const HOSTS_AT_ONCE: usize = 64;
/// How many it may wait for at once, the slow ones included.
const HOSTS_AWAITED: usize = 512;
/// A host that has not answered by then is slow, and its place goes to the next.
const SOON: Duration = Duration::from_secs(1);

impl<T: FleetTool> FleetCall for T {
    fn arguments(&self) -> Json {
        written(self)
    }

    fn deadline(&self) -> Option<Duration> {
        FleetTool::deadline(self)
    }

    fn call(self: Box<Self>, hosts: Vec<Member>, deadline: Duration, call: Call) -> Pending<'static, Result<Answer>> {
        Box::pin(async move {
            let answers = match <[Member; 1]>::try_from(hosts) {
                // By itself: in a crowd every step of it would be taken twice, and often by another thread.
                Ok([member]) => match asked(self.as_ref(), member, deadline, &call).await {
                    HostAnswer { answer: Err(error), .. } => return Err(error),
                    answer => vec![answer],
                },
                Err(hosts) => asked_at_once(self.as_ref(), hosts, deadline, &call).await,
            };
            self.combine(answers, &call)?.answer(None)
        })
    }
}

/// Asks one host, within `deadline`.
async fn asked<T: FleetTool>(tool: &T, (host, docker): Member, deadline: Duration, call: &Call) -> HostAnswer<T::Part> {
    let asking = async { tool.ask(&docker?, call).await };
    let answer = tokio::time::timeout(deadline, asking)
        .await
        .unwrap_or_else(|_| Err(Error::timeout(format!("the host did not answer within {} s", deadline.as_secs()))));
    HostAnswer { answer: answer.map_err(|error| error.on(&host)), host }
}

/// Asks many hosts, each within `deadline`, and tells how many have answered; the answers come in the order of the
/// hosts.
async fn asked_at_once<T: FleetTool>(
    tool: &T,
    hosts: Vec<Member>,
    deadline: Duration,
    call: &Call,
) -> Vec<HostAnswer<T::Part>> {
    let (total, answered) = (hosts.len(), &AtomicUsize::new(0));
    let is_large = total > HOSTS_AT_ONCE;
    let places = &Semaphore::new(HOSTS_AT_ONCE);
    let mut answers: Vec<Option<HostAnswer<T::Part>>> = hosts.iter().map(|_| None).collect();
    stream::iter(hosts.into_iter().enumerate())
        .map(|(position, member)| async move {
            let place = places.acquire().await.ok();
            let daemon = member.1.as_ref().ok().filter(|_| is_large).cloned();
            let answer = sharing(place, asked(tool, member, deadline, call)).await;
            if let Some(daemon) = daemon {
                daemon.close_resting();
            }
            call.progress(Progress::of(answered.fetch_add(1, Ordering::Relaxed) + 1, total, "hosts"));
            (position, answer)
        })
        // Unordered, so that a host that hangs holds up nobody behind it.
        .buffer_unordered(HOSTS_AWAITED)
        .for_each(|(position, answer)| {
            if let Some(place) = answers.get_mut(position) {
                *place = Some(answer);
            }
            std::future::ready(())
        })
        .await;
    answers.into_iter().flatten().collect()
}

/// Does some work with a place among those that are done soon, and gives the place up when it takes longer.
async fn sharing<T>(place: Option<SemaphorePermit<'_>>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(SOON) => drop(place),
    }
    work.await
}
