//! What buildx says of a build in its plain progress: steps, warnings, the end of the log; nothing of it unmasked.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    error::{Error, Kind},
    redact::{self, Masks},
    tool::Progress,
    tools::view::clipped,
};

/// How many lines of the end are kept, and of warnings.
const TAIL: usize = 20;
/// The most characters of a line.
const LONGEST: usize = 200;
/// How many steps are told apart.
const STEPS: usize = 10_000;

/// What a build has said so far; it is told from two pipes.
pub(super) struct Log(Mutex<Told>);

struct Told {
    lines: redact::Lines,
    tail: VecDeque<String>,
    warnings: Vec<String>,
    steps: BTreeSet<u32>,
    done: BTreeSet<u32>,
    message: String,
    error: Option<String>,
}

/// What is left of it in an answer.
pub(super) struct Left {
    pub(super) tail: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) steps: usize,
}

impl Log {
    /// The log of a build with values that must not be seen.
    pub(super) fn new(masks: Masks) -> Self {
        Self(Mutex::new(Told {
            lines: redact::Lines::new(Arc::new(masks)),
            tail: VecDeque::new(),
            warnings: Vec::new(),
            steps: BTreeSet::new(),
            done: BTreeSet::new(),
            message: String::new(),
            error: None,
        }))
    }

    /// Takes a line; answers how far the build has come.
    pub(super) fn take(&self, line: &str) -> Progress {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.take(line);
        #[expect(clippy::cast_precision_loss, reason = "a build has few steps")]
        let number = |count: usize| count as f64;
        Progress { done: number(told.done.len()), total: None, message: told.message.clone() }
    }

    /// Its end.
    pub(super) fn left(&self) -> Left {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (tail, warnings) = (told.tail.iter().cloned().collect(), told.warnings.clone());
        Left { tail, warnings, steps: told.steps.len() }
    }

    /// A failure of the program with what it said, and without what it must not say.
    pub(super) fn failed(&self, error: Error) -> Error {
        if error.kind() != Kind::Docker {
            return error;
        }
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reason = told.error.clone().unwrap_or_else(|| told.lines.next(error.message()));
        let lines: Vec<&str> = told.tail.iter().map(String::as_str).collect();
        let log = if lines.is_empty() { String::new() } else { format!("; the log ends with:\n{}", lines.join("\n")) };
        let words = reason.to_ascii_lowercase();
        if words.contains("unsupported frontend capability") {
            return Error::unsupported(format!("the builder is too old for the build: {reason}"))
                .hint("leave \"contexts\" out, or build with a builder in a container (buildx_create)");
        }
        let hint = if ["denied", "unauthorized", "authorization", "forbidden"].iter().any(|word| words.contains(word)) {
            "a registry does not let the gateway in: login shows which credentials there are"
        } else {
            "mend the Dockerfile, the context or the definition; steps that worked are cached"
        };
        Error::docker(format!("the build failed: {reason}{log}")).hint(hint)
    }
}

impl Told {
    fn take(&mut self, line: &str) {
        let line = clipped(self.lines.next(line).trim_end(), LONGEST);
        if line.is_empty() {
            return;
        }
        if let Some((step, rest)) = step(&line) {
            if self.steps.len() < STEPS {
                self.steps.insert(step);
            }
            if rest.starts_with('[') {
                self.message = clipped(rest, 80);
            }
            if ["DONE", "CACHED", "ERROR", "CANCELED"].iter().any(|word| rest.starts_with(word))
                && self.steps.contains(&step)
            {
                self.done.insert(step);
            }
        }
        if let Some(reason) = line.strip_prefix("ERROR: ") {
            self.error = Some(reason.to_owned());
        }
        let is_warning = line.starts_with("WARN") || line.starts_with(" - ") && line.contains(": ");
        if is_warning && self.warnings.len() < TAIL {
            self.warnings.push(line.clone());
        }
        self.tail.push_back(line);
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }
}

/// `#5 [base 2/2] RUN make`
fn step(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_and_secrets_are_not_told() {
        let log = Log::new(Masks::default().with(["hunter2hunter2"]));
        let mut done = Vec::new();
        for line in [
            "#1 [internal] load build definition from Dockerfile",
            "#1 DONE 0.0s",
            "",
            "#2 [base 1/2] FROM docker.io/lab/base:1",
            "#2 CACHED",
            "#3 [base 2/2] RUN echo hunter2hunter2",
            "#3 0.166 it is hunter2hunter2",
            "WARNING: No output specified",
        ] {
            done.push(log.take(line).done);
        }
        assert_eq!(done, [0.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0]);
        let left = log.left();
        assert_eq!((left.steps, left.warnings.len(), left.tail.len()), (3, 1, 7));
        log.take("ERROR: failed to solve: hunter2hunter2 did not complete successfully: exit code: 7");
        let failed = log.failed(Error::docker("docker buildx ended with status 1: hunter2hunter2").hint("x"));
        assert!(failed.message().starts_with("the build failed: failed to solve: <redacted"), "{failed}");
        assert!(!failed.message().contains("hunter2hunter2") && failed.message().contains("exit code: 7"), "{failed}");
        let denied = Error::denied("no");
        assert_eq!(log.failed(denied).kind(), Kind::Denied);
    }
}
