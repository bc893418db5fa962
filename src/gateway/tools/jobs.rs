//! The caller's jobs: calls that outlived their request.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Gateway, OwnTool};
use crate::{
    docker::Host,
    error::{Error, Result},
    gateway::{
        Failure,
        caller::Caller,
        jobs::Job,
        work::{Stopped, Work},
    },
    tool::{Access, Answer, Call, Effect, Json, Output, Progress, Summary, text::count},
};

/// The longest that one call waits for a job, in seconds: the first clients give up after 60.
const LONGEST_WAIT: u64 = 40;

/// Lists your jobs: calls that go on, or ended within the last hour.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListJobs {
    /// Only jobs in this state.
    #[serde(default)]
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It goes on.
    Running,
    /// It has answered.
    Done,
    /// It has ended with an error.
    Failed,
    /// It was ended by its caller.
    Cancelled,
}

impl State {
    fn of(work: &Work) -> Self {
        match work.outcome() {
            None => Self::Running,
            Some(Ok(_)) => Self::Done,
            Some(Err(_)) if work.was_stopped() => Self::Cancelled,
            Some(Err(_)) => Self::Failed,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Running => "is running",
            Self::Done => "is done",
            Self::Failed => "has failed",
            Self::Cancelled => "was cancelled",
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Jobs {
    jobs: Vec<JobRow>,
}

#[derive(Serialize, JsonSchema)]
struct JobRow {
    job: String,
    state: State,
    tool: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    began: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    /// How far it has come, of `total` where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<f64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

impl JobRow {
    fn of(job: &Job<Work>) -> Self {
        let (work, latest) = (&job.work, job.work.progress().borrow().clone());
        let time = |at: jiff::Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let has_begun = latest.done > 0.0 || latest.total.is_some();
        Self {
            job: job.id.clone(),
            state: State::of(work),
            tool: work.tool,
            hosts: work.record.named_hosts(),
            began: time(work.began),
            ended: work.end_time().map(time),
            done: has_begun.then_some((latest.done * 100.0).round() / 100.0),
            total: latest.total,
            message: latest.message,
        }
    }
}

impl Summary for Jobs {
    fn summary(&self) -> String {
        let running = self.jobs.iter().filter(|job| job.state == State::Running).count();
        format!("{}, {running} running", count(self.jobs.len(), "job"))
    }
}

impl OwnTool for ListJobs {
    const NAME: &'static str = "list_jobs";
    type Output = Jobs;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, caller: &Caller, _: &Call) -> Result<Jobs> {
        let rows = gateway.jobs.all_of(&caller.principal).iter().map(|job| JobRow::of(job)).collect::<Vec<_>>();
        let wanted = |row: &JobRow| self.state.is_none_or(|state| row.state == state);
        Ok(Jobs { jobs: rows.into_iter().filter(wanted).collect() })
    }
}

/// Shows a job: its state, how far it has come, and its answer once it has one; can wait for that.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetJob {
    /// The id that the call was answered with.
    job: String,
    /// Seconds to wait for its end, at most 40. Default: 0.
    #[serde(default)]
    #[schemars(range(max = 40))]
    wait: u64,
}

#[derive(Serialize, JsonSchema)]
struct Shown {
    #[serde(flatten)]
    row: JobRow,
    /// What the tool answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Json>,
    /// The same of a tool that answers with text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// A job, and what its tool answered in both channels.
pub(super) struct Report {
    shown: Shown,
    answer: Option<Answer>,
}

impl Output for Report {
    fn schema() -> Option<Json> {
        Some(crate::tool::schema::output(Shown::json_schema))
    }

    fn answer(self, host: Option<&str>) -> Result<Answer> {
        let Self { shown, answer } = self;
        let whole = shown.answer(host)?;
        let Some(answer) = answer else { return Ok(whole) };
        // The tool's own text says more than its data do.
        let last = whole.text.lines().last().unwrap_or_default();
        let text = format!("{}\n{last}", answer.text.trim_end());
        Ok(Answer::new(whole.structured, text))
    }
}

impl Summary for Shown {
    fn summary(&self) -> String {
        let next = match self.row.state {
            State::Running => "; call get_job with wait for its end, cancel_job to end it",
            State::Failed => "; its error is above",
            State::Done | State::Cancelled => "",
        };
        format!("{} ({}) {}{next}", self.row.job, self.row.tool, self.row.state.word())
    }
}

impl OwnTool for GetJob {
    const NAME: &'static str = "get_job";
    const CORE: bool = true;
    type Output = Report;

    fn deadline(&self) -> Option<Duration> {
        Some(Duration::from_secs(LONGEST_WAIT + 3))
    }

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, caller: &Caller, call: &Call) -> Result<Report> {
        let job = gateway.jobs.of(&caller.principal, &self.job)?;
        if self.wait > LONGEST_WAIT {
            return Err(Error::invalid(format!(
                "argument \"wait\" is {}, at most {LONGEST_WAIT} is allowed",
                self.wait
            ))
            .hint("call get_job again while the job is running"));
        }
        let mut progress = job.work.progress();
        let watch = async {
            // Whoever waits is told how far it is from the beginning.
            progress.mark_changed();
            while progress.changed().await.is_ok() {
                let latest: Progress = progress.borrow_and_update().clone();
                call.progress(latest);
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            _ = job.work.end() => {}
            () = tokio::time::sleep(Duration::from_secs(self.wait)) => {}
            () = watch => {}
        }
        let (mut result, mut text, mut error, mut answer) = (None, None, None, None);
        match job.work.outcome() {
            None => {}
            Some(Ok(answered)) => {
                let answered = answered.presentable();
                result.clone_from(&answered.structured);
                text = answered.structured.is_none().then(|| answered.text.clone());
                answer = Some(answered);
            }
            Some(Err(Failure::Tool(failed) | Failure::UnknownTool(failed))) => error = Some(failed.to_json()),
            Some(Err(Failure::Asked { .. })) => {
                let asks = Error::internal("the call ended with a question").hint("make the call again");
                error = Some(asks.to_json());
            }
        }
        Ok(Report { shown: Shown { row: JobRow::of(&job), result, text, error }, answer })
    }
}

/// Ends a job: what it has open is closed. What was sent and must not be cut off goes on.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancelJob {
    /// The id that the call was answered with.
    job: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Cancelled {
    job: String,
    /// Whether it has ended; otherwise what it sent goes on at the daemon.
    ended: bool,
    #[serde(skip)]
    before: bool,
}

impl Summary for Cancelled {
    fn summary(&self) -> String {
        let job = &self.job;
        match (self.before, self.ended) {
            (true, _) => format!("{job} had ended before"),
            (_, true) => format!("{job} has ended"),
            (_, false) => format!("{job} cannot be cut off: what was sent goes on; get_job waits for its end"),
        }
    }
}

impl OwnTool for CancelJob {
    const NAME: &'static str = "cancel_job";
    const ACCESS: Access = Access::destroy(&[]).down_to(Effect::Read);
    type Output = Cancelled;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, caller: &Caller, _: &Call) -> Result<Cancelled> {
        let job = gateway.jobs.of(&caller.principal, &self.job)?;
        let before = job.work.end_time().is_some();
        let ended = before || job.work.stop(&gateway.audit).await == Stopped::Cut;
        Ok(Cancelled { job: job.id.clone(), ended, before })
    }
}
