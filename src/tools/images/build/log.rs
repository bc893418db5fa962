//! What a builder says: steps, warnings, the end of its log, the image; nothing of it unmasked.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use crate::{
    docker::names::quote,
    error::Error,
    redact::{self, Masks},
    tool::Progress,
    tools::view::{clipped, text},
};

/// How many lines of the end are kept, and of warnings.
const TAIL: usize = 20;
/// The most characters of a line.
const LONGEST_LINE: usize = 200;
/// A line that does not end is taken for one at this length, in bytes.
const LONGEST_UNENDED: usize = 16 << 10;

/// What a build has said so far.
pub(super) struct Log {
    lines: redact::Lines,
    unended: String,
    pub(super) tail: VecDeque<String>,
    pub(super) warnings: Vec<String>,
    /// The step that it is at, of how many.
    step: (usize, usize),
    instruction: String,
    message: String,
    /// The id of what was built, as far as the builder has said it.
    pub(super) image: Option<String>,
}

impl Log {
    /// The log of a build with values that must not be seen.
    pub(super) fn new(masks: Masks) -> Self {
        Self {
            lines: redact::Lines::new(Arc::new(masks)),
            unended: String::new(),
            tail: VecDeque::new(),
            warnings: Vec::new(),
            step: (0, 0),
            instruction: String::new(),
            message: String::new(),
            image: None,
        }
    }

    /// Takes what the daemon tells next.
    pub(super) fn take(&mut self, told: &Value) {
        if let Some(id) = told.pointer("/aux/ID").and_then(Value::as_str) {
            self.image = Some(id.to_owned());
        }
        if let Some(output) = told.get("stream").and_then(Value::as_str) {
            for piece in output.split_inclusive('\n') {
                self.unended.push_str(piece);
                if piece.ends_with('\n') || self.unended.len() >= LONGEST_UNENDED {
                    self.end_line();
                }
            }
        }
        // The pull of an image that a step begins from.
        let (status, layer) = (text(told, "status"), text(told, "id"));
        if !status.is_empty() {
            self.message = clipped(&redact::plain(&format!("{status} {layer}")), LONGEST_LINE);
        }
    }

    /// Whatever stands without an end is a line too.
    pub(super) fn end(&mut self) {
        if !self.unended.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.unended);
        let line = clipped(self.lines.next(line.trim_end_matches(['\n', '\r'])).trim_end(), LONGEST_LINE);
        if line.is_empty() {
            return;
        }
        if let Some((step, all, instruction)) = step(&line) {
            self.step = (step, all);
            self.message = format!("step {step}/{all}: {}", clipped(instruction, 80));
            instruction.clone_into(&mut self.instruction);
        }
        let is_warning = line.starts_with("[Warning]") || line.starts_with("WARNING");
        if is_warning && self.warnings.len() < TAIL {
            self.warnings.push(line.clone());
        }
        self.tail.push_back(line);
        if self.tail.len() > TAIL {
            self.tail.pop_front();
        }
    }

    /// How many steps there are, as far as is known.
    pub(super) fn steps(&self) -> usize {
        self.step.1
    }

    /// How far it has come: the step that runs is not done.
    pub(super) fn progress(&self) -> Progress {
        #[expect(clippy::cast_precision_loss, reason = "a Dockerfile has few lines")]
        let number = |count: usize| count as f64;
        let (step, all) = self.step;
        Progress {
            done: number(step.saturating_sub(1)),
            total: (all > 0).then(|| number(all)),
            message: self.message.clone(),
        }
    }

    /// A failure with the step that failed and the end of the log.
    pub(super) fn failed(&mut self, error: &Error) -> Error {
        self.end();
        let reason = self.lines.next(error.message());
        let place = match self.step {
            (0, _) => String::new(),
            (step, all) => format!(" at step {step}/{all} ({})", quote(&self.instruction)),
        };
        let lines: Vec<&str> = self.tail.iter().map(String::as_str).collect();
        let log = if lines.is_empty() { String::new() } else { format!("; the log ends with:\n{}", lines.join("\n")) };
        let failed = Error::new(error.kind(), format!("the build failed{place}: {reason}{log}"));
        let failed = failed.detail(error.detail_text().unwrap_or_default());
        match error.hint_text() {
            Some(hint) => failed.hint(hint),
            None => failed.hint("mend the Dockerfile or the context; steps that worked are cached"),
        }
    }
}

/// `Step 3/7 : RUN make`
fn step(line: &str) -> Option<(usize, usize, &str)> {
    let (place, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (step, all) = place.split_once('/')?;
    Some((step.parse().ok()?, all.parse().ok()?, instruction))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::Kind;

    fn log(told: &[Value]) -> Log {
        let mut log = Log::new(Masks::default().with(["hunter2hunter2"]));
        for each in told {
            log.take(each);
        }
        log
    }

    #[test]
    fn steps_are_followed_and_lines_put_together() {
        let mut log = log(&[
            json!({"stream": "Step 1/2 : FROM a"}),
            json!({"stream": "\n"}),
            json!({"status": "Pulling fs layer", "id": "abc"}),
            json!({"stream": " ---> 0123456789ab\nStep 2/2 : RUN x\n"}),
            json!({"stream": "one\r\ntw"}),
            json!({"stream": "o"}),
            json!({"aux": {"ID": "sha256:00"}}),
            json!({"stream": "\n[Warning] One or more build-args [A] were not consumed\n"}),
        ]);
        log.end();
        assert_eq!(log.steps(), 2);
        assert_eq!(log.progress().message, "step 2/2: RUN x");
        assert_eq!((log.progress().done, log.progress().total), (1.0, Some(2.0)));
        assert_eq!(log.image.as_deref(), Some("sha256:00"));
        assert_eq!(log.tail.iter().map(String::as_str).collect::<Vec<_>>()[3..5], ["one", "two"]);
        assert_eq!(log.warnings.len(), 1);
    }

    #[test]
    fn a_failure_tells_step_and_end_and_no_secret() {
        let mut log = log(&[
            json!({"stream": "Step 3/7 : RUN echo hunter2hunter2\n"}),
            json!({"stream": "it is hunter2"}),
            json!({"stream": "hunter2, you see"}),
        ]);
        let failed = log.failed(&Error::docker("The command 'echo hunter2hunter2' returned a non-zero code: 1"));
        assert_eq!(failed.kind(), Kind::Docker);
        assert!(failed.message().contains("at step 3/7") && failed.message().contains("it is <redacted"), "{failed}");
        assert!(!failed.message().contains("hunter2hunter2"), "{failed}");
    }

    #[test]
    fn what_never_ends_is_held_in_bounds() {
        let told = json!({"stream": "x".repeat(100 << 10)});
        let mut log = Log::new(Masks::default());
        for _ in 0..100 {
            log.take(&told);
        }
        assert!(log.unended.len() <= LONGEST_UNENDED + (100 << 10));
        assert!(log.tail.iter().all(|line| line.chars().count() <= LONGEST_LINE + 1) && log.tail.len() <= TAIL);
    }
}
