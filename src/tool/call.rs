//! What a running call may use beside its daemon, and how it tells how far it has come.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Json,
    cursor::Cursors,
    plans::{OwnPlans, Plans},
};
use crate::{
    docker::cli::Programs,
    error::{Error, Result},
    files::Files,
    redact,
    registry::Registries,
    secret::Secrets,
};

/// How long there is between two reports of progress of one call.
const BETWEEN_REPORTS: Duration = Duration::from_millis(250);

/// How far a long call has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What was done, in the unit of `total`.
    pub done: f64,
    /// What there is to do, where that is known.
    pub total: Option<f64>,
    /// What is happening, in a few words.
    pub message: String,
}

impl Progress {
    /// So many of a known number of things.
    #[must_use]
    pub fn of(done: usize, total: usize, what: &str) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of hosts and containers are small")]
        let number = |count: usize| count as f64;
        Self { done: number(done), total: Some(number(total)), message: format!("{done} of {total} {what}") }
    }
}

/// What all calls of a gateway may use beside their daemons.
#[derive(Default)]
pub struct Means {
    /// Whether what is made is labelled as made here.
    pub labels: bool,
    /// The secrets that arguments may name.
    pub secrets: Secrets,
    /// The files that arguments may name.
    pub files: Files,
    /// The registries, and the credentials for them.
    pub registries: Registries,
    /// What was planned and may be done later.
    pub plans: Plans,
    /// The docker CLI and its plugins on this machine.
    pub programs: Programs,
    /// Where what outlives a call is kept; `None` where the account has no home.
    pub state: Option<PathBuf>,
}

/// What a running call may use beside its daemon.
#[derive(Clone)]
pub struct Call {
    tool: &'static str,
    progress: Arc<dyn Fn(Progress) + Send + Sync>,
    means: Arc<Means>,
    cursors: Cursors,
    plans: OwnPlans,
    /// Its own labels, once it has asked for them: a call has one date.
    marks: Arc<OnceLock<Vec<(String, String)>>>,
    /// When it was last told how far it has come.
    reported: Arc<Mutex<Option<Instant>>>,
}

impl Call {
    /// A call of a tool that reports to `progress` and says with `cursors` how its answer goes on.
    #[must_use]
    pub fn new(
        tool: &'static str,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
        means: Arc<Means>,
        cursors: Cursors,
    ) -> Self {
        let (plans, marks, reported) = (OwnPlans::default(), Arc::default(), Arc::default());
        Self { tool, progress, means, cursors, plans, marks, reported }
    }

    /// A call that nobody watches, for tests of what tools make of answers.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let cursors = Cursors::new().unwrap_or_else(|error| unreachable!("{error}"));
        Self::new("alone", Arc::new(|_| {}), Arc::default(), cursors)
    }

    /// The cursors of this call, bound to its tool, hosts and arguments.
    #[must_use]
    pub fn cursors(&self) -> &Cursors {
        &self.cursors
    }

    /// Binds its cursors to what it asks and whom.
    #[must_use]
    pub fn bound<'a>(self, tool: &str, hosts: impl Iterator<Item = &'a str>, arguments: &Json) -> Self {
        Self { cursors: self.cursors.bound(tool, hosts, arguments), ..self }
    }

    /// The same call of somebody: what they have planned is theirs.
    #[must_use]
    pub fn of(self, principal: &str) -> Self {
        Self { plans: OwnPlans::new(&self.means.plans, principal), ..self }
    }

    /// What the caller has planned.
    #[must_use]
    pub fn plans(&self) -> &OwnPlans {
        &self.plans
    }

    /// The same call, reporting to somebody else.
    #[must_use]
    pub fn reporting_to(&self, progress: Arc<dyn Fn(Progress) + Send + Sync>) -> Self {
        Self { progress, reported: Arc::default(), ..self.clone() }
    }

    /// The secrets that arguments may name.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.means.secrets
    }

    /// The files of this machine that arguments may name.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.means.files
    }

    /// The registries that can be spoken to from here, and the credentials for them.
    #[must_use]
    pub fn registries(&self) -> &Registries {
        &self.means.registries
    }

    /// The docker CLI and its plugins on this machine.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.means.programs
    }

    /// Where what outlives a call is kept.
    ///
    /// # Errors
    /// `config` where there is no such place.
    pub fn state(&self) -> Result<&Path> {
        self.means.state.as_deref().ok_or_else(|| {
            Error::config("there is no directory for what has to be kept")
                .hint("ask the person to set \"state\" in the configuration")
        })
    }

    /// Tells whoever waits how far it has come, at most four times a second; what comes sooner is dropped.
    pub fn progress(&self, mut progress: Progress) {
        {
            let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.is_some_and(|at| at.elapsed() < BETWEEN_REPORTS) {
                return;
            }
            *reported = Some(Instant::now());
        }
        progress.message = redact::shown(&progress.message);
        (self.progress)(progress);
    }

    /// Awaits work that takes a time of its own, and tells once a second how much of that is over.
    pub async fn timed<T>(&self, work: impl Future<Output = T>, time: Duration, what: &str) -> T {
        let mut work = std::pin::pin!(work);
        let started = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
            let (done, total) = (started.elapsed().as_secs_f64().round(), time.as_secs_f64());
            self.progress(Progress { done, total: Some(total.max(done)), message: what.to_owned() });
        }
    }

    /// What marks an object that is made here; nothing where labels are off.
    pub(super) fn marks(&self) -> &[(String, String)] {
        if !self.means.labels {
            return &[];
        }
        self.marks.get_or_init(|| {
            let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
            let labels =
                [("managed", "true"), ("version", env!("CARGO_PKG_VERSION")), ("tool", self.tool), ("created", &now)];
            labels.into_iter().map(|(key, value)| (format!("quaymaster.{key}"), value.to_owned())).collect()
        })
    }

    /// The labels of an object made here: ours where they are on, then the caller's, which win.
    #[must_use]
    pub fn labels(&self, given: &BTreeMap<String, String>) -> HashMap<String, String> {
        let given = given.iter().map(|(key, value)| (key.clone(), value.clone()));
        self.marks().iter().cloned().chain(given).collect()
    }
}
