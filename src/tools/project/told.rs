//! What a run of the CLI tells, line by line: kept for reading it afterwards, and passed on to whoever waits.

use std::sync::{Mutex, PoisonError};

use crate::{
    docker::cli::Source,
    tool::{Call, Progress},
};

/// How much is kept, in bytes.
const KEPT: usize = 256 << 10;

/// The lines of a run, masked by the runner.
#[derive(Default)]
pub(crate) struct Told<'a> {
    /// Who hears of it; nobody of a rehearsal.
    call: Option<&'a Call>,
    lines: Mutex<String>,
}

impl<'a> Told<'a> {
    /// Every line is progress of the call.
    pub(crate) fn to(call: &'a Call) -> Self {
        Self { call: Some(call), ..Self::default() }
    }

    /// What the runner calls for each line.
    pub(crate) fn listener(&self) -> impl Fn(Source, &str) + Send + Sync {
        |_, line| {
            let line = line.trim();
            if let (Some(call), false) = (self.call, line.is_empty()) {
                call.progress(Progress { message: line.to_owned(), ..Progress::default() });
            }
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() + line.len() < KEPT {
                lines.push_str(line);
                lines.push('\n');
            }
        }
    }

    /// All of it, as far as it was kept.
    pub(crate) fn lines(&self) -> String {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
