//! Looks at the process every ten seconds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::Soak;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// What one look saw.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// Seconds since the beginning.
    pub(crate) at: f64,
    /// KiB.
    pub(crate) memory: usize,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) calls: usize,
    pub(crate) failed: usize,
    pub(crate) taken_back: usize,
    /// Of reads of healthy hosts since the last look, in seconds.
    pub(crate) median: f64,
    pub(crate) slowest: f64,
}

impl Sample {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "at": round(self.at), "rss_kib": self.memory, "fds": self.descriptors, "threads": self.threads,
            "calls": self.calls, "failed": self.failed, "taken_back": self.taken_back,
            "median_ms": round(self.median * 1000.0), "slowest_ms": round(self.slowest * 1000.0),
        })
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

pub(crate) struct Watch {
    soak: Arc<Soak>,
    begun: Instant,
}

impl Watch {
    pub(crate) fn new(soak: Arc<Soak>) -> Self {
        Self { soak, begun: Instant::now() }
    }

    pub(crate) async fn until(self, end: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        while Instant::now() + EVERY <= end + Duration::from_secs(1) {
            tokio::time::sleep(EVERY).await;
            samples.push(self.look());
        }
        samples
    }

    fn look(&self) -> Sample {
        let client = &self.soak.client;
        let (memory, descriptors, threads) = (client.memory(), client.descriptors(), client.threads());
        let mut counts = self.soak.tally.counts();
        let mut recent = std::mem::take(&mut counts.recent);
        let failed = counts.failures.values().sum();
        let sample = Sample {
            at: self.begun.elapsed().as_secs_f64(),
            memory,
            descriptors,
            threads,
            calls: counts.calls,
            failed,
            taken_back: counts.taken_back,
            median: quantile(&mut recent, 0.5),
            slowest: quantile(&mut recent, 1.0),
        };
        drop(counts);
        self.say(&sample);
        sample
    }

    #[expect(clippy::print_stderr, reason = "a run of half an hour says how far it is")]
    fn say(&self, sample: &Sample) {
        eprintln!(
            "{:5.0} s  {:6} KiB  {:4} fds  {:3} threads  {:6} calls, {} failed, {} broken",
            sample.at,
            sample.memory,
            sample.descriptors,
            sample.threads,
            sample.calls,
            sample.failed,
            self.soak.tally.counts().broken
        );
    }
}

/// A quantile of some figures, which it sorts; 0 of none.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index into a list in memory"
)]
pub(crate) fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let index = ((figures.len().saturating_sub(1)) as f64 * share).round() as usize;
    figures.get(index).copied().unwrap_or(0.0)
}
