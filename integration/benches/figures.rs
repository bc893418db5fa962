//! Times and sizes: what is made of many of them, and how they are written.

use std::time::Duration;

/// A mebibyte.
pub(crate) const MIB: f64 = 1024.0 * 1024.0;

/// Many durations of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    /// Sorts them once.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    /// The run with the least median.
    pub(crate) fn best(runs: Vec<Self>) -> Self {
        runs.into_iter().min_by_key(Self::median).unwrap_or_default()
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> Duration {
        self.part(0.5)
    }

    /// The one that only one in a hundred exceeds.
    pub(crate) fn p99(&self) -> Duration {
        self.part(0.99)
    }

    /// The longest.
    pub(crate) fn worst(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few thousand"
    )]
    fn part(&self, part: f64) -> Duration {
        let at = (self.0.len() as f64 * part) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// `1.23 ms`.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.2} ms", milliseconds(time))
}

/// As a number, for the JSON report.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1000.0
}

/// `1.23 s`.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// How many times as long.
pub(crate) fn ratio(ours: Duration, theirs: Duration) -> f64 {
    ours.as_secs_f64() / theirs.as_secs_f64().max(f64::MIN_POSITIVE)
}

/// `12,345`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
