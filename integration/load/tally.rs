//! What became of every call, and whether it may have become that.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use super::{client::Outcome, faults::Faults};

/// Failures that a host which suffers may answer with.
const SUFFERING: [&str; 5] = ["unreachable", "timeout", "busy", "docker", "cancelled"];
/// Failures of calls whose object went with its engine.
pub(crate) const GONE: [&str; 2] = ["conflict", "not_found"];
/// So many broken rules are quoted, the rest is counted.
const QUOTED: usize = 40;

/// What a call should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hope {
    /// An answer, while its host is well.
    Answer,
    /// A refusal, whatever goes on: the call makes no sense.
    Refusal,
    /// A failure of a host that never answers.
    Nothing,
}

/// A call that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) tool: &'static str,
    /// The host that it named.
    pub(crate) host: &'static str,
    pub(crate) hope: Hope,
    /// Since when what it acts on exists: a fault after that may have taken it.
    pub(crate) since: Instant,
    pub(crate) started: Instant,
    pub(crate) outcome: &'a Outcome,
    /// Whether it is a plain read whose time is compared.
    pub(crate) timed: bool,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: usize,
    pub(crate) done: usize,
    pub(crate) taken_back: usize,
    pub(crate) unanswered: usize,
    /// By host and kind.
    pub(crate) failures: BTreeMap<(&'static str, String), usize>,
    /// By tool.
    pub(crate) tools: BTreeMap<&'static str, usize>,
    pub(crate) broken: usize,
    pub(crate) quotes: Vec<String>,
    /// Seconds that reads of healthy hosts took, while nothing went on and while another host suffered.
    pub(crate) calm: Vec<f64>,
    pub(crate) meanwhile: Vec<f64>,
    /// The same since the last sample.
    pub(crate) recent: Vec<f64>,
    /// Reads of healthy hosts that failed while another host suffered.
    pub(crate) dragged_down: usize,
}

pub(crate) struct Tally {
    counts: Mutex<Counts>,
    faults: Arc<Faults>,
    began: Instant,
}

impl Tally {
    pub(crate) fn new(faults: Arc<Faults>) -> Self {
        Self { counts: Mutex::default(), faults, began: Instant::now() }
    }

    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a rule that was broken, and says it at once.
    #[expect(clippy::print_stderr, reason = "whoever waits for half an hour wants to know what breaks when it breaks")]
    pub(crate) fn broken(&self, what: impl std::fmt::Display) {
        let quote = format!("at {:.0} s: {what}", self.began.elapsed().as_secs_f64());
        eprintln!("broken {quote}");
        let mut counts = self.counts();
        counts.broken += 1;
        if counts.quotes.len() < QUOTED {
            counts.quotes.push(quote);
        }
    }

    /// Whether a host may fail in this time.
    pub(crate) fn suffers(&self, host: &str, from: Instant, to: Instant) -> bool {
        matches!(host, "dead" | "hung") || self.faults.touch(host, from, to)
    }

    pub(crate) fn note(&self, ended: &Ended<'_>) {
        let Ended { tool, host, hope, since, started, outcome, timed } = *ended;
        let (now, took) = (Instant::now(), started.elapsed().as_secs_f64());
        let suffers = self.suffers(host, started, now);
        let elsewhere = self.faults.go_on(started, now);
        let complaint = {
            let mut counts = self.counts();
            counts.calls += 1;
            *counts.tools.entry(tool).or_default() += 1;
            match outcome {
                Outcome::Done(_) => {
                    counts.done += 1;
                    if timed && !suffers {
                        counts.recent.push(took);
                        if elsewhere { &mut counts.meanwhile } else { &mut counts.calm }.push(took);
                    }
                    (hope == Hope::Refusal).then(|| "answered what makes no sense".to_owned())
                }
                Outcome::Refused { code } => {
                    *counts.failures.entry((host, format!("protocol {code}"))).or_default() += 1;
                    (hope != Hope::Refusal).then(|| format!("error {code} of the protocol"))
                }
                Outcome::TakenBack => {
                    counts.taken_back += 1;
                    None
                }
                Outcome::Unanswered => {
                    counts.unanswered += 1;
                    Some(format!("no answer within {took:.0} s"))
                }
                Outcome::Failed { kind, host: named, message } => {
                    *counts.failures.entry((host, kind.clone())).or_default() += 1;
                    let kind = kind.as_str();
                    let fits = match hope {
                        Hope::Refusal => matches!(kind, "invalid" | "not_found"),
                        Hope::Nothing => SUFFERING.contains(&kind),
                        Hope::Answer => {
                            (suffers && SUFFERING.contains(&kind))
                                || (GONE.contains(&kind) && self.suffers(host, since, now))
                        }
                    };
                    counts.dragged_down += usize::from(timed && !suffers && elsewhere);
                    if !fits {
                        Some(format!("{kind}: {message} (after {took:.1} s)"))
                    } else if hope != Hope::Refusal && named.as_deref() != Some(host) {
                        Some(format!("the error names the host {named:?}: {kind}: {message}"))
                    } else {
                        None
                    }
                }
            }
        };
        if let Some(complaint) = complaint {
            self.broken(format!("{tool} on {host}: {complaint}"));
        }
    }
}
