//! What was asked, decided and done: one line at the start of every call and one at its end.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use super::caller::Caller;
use crate::{
    config::AuditSettings,
    error::Result,
    tool::{Effect, Permissions},
};

/// The start of a call.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The call's own id, random.
    pub call: String,
    /// Who calls.
    pub caller: Caller,
    /// The tool, as it was named.
    pub tool: String,
    /// The hosts.
    pub hosts: Vec<String>,
    /// What the call was decided to do; absent where it came to no decision.
    pub effect: Option<Effect>,
    /// What it was decided to need.
    pub permissions: Option<Permissions>,
    /// `allow`, `ask` or `deny`; absent where it came to no decision.
    pub decision: Option<&'static str>,
    /// The rule behind a refusal or a question, and how an approval was given.
    pub rule: Option<String>,
    /// The parsed arguments, masked.
    pub arguments: Value,
}

/// The end of a call.
#[derive(Debug, Clone)]
pub struct Closing {
    /// The id of its opening.
    pub call: String,
    /// Who called.
    pub caller: Caller,
    /// `ok`, or the kind of the error.
    pub outcome: String,
    /// The error's message and detail, masked.
    pub error: Option<String>,
    /// How long the call took.
    pub took: Duration,
    /// The size of the answer, text and structured together.
    pub bytes: usize,
}

/// Which lines are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only this principal's; all where absent.
    pub principal: Option<String>,
    /// Not older.
    pub since: Option<jiff::Timestamp>,
    /// Only this tool's.
    pub tool: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// The newest so many.
    pub limit: usize,
}

/// The audit of one process.
pub struct Audit {}

impl Audit {
    /// An audit below a directory; nothing is opened before the first line.
    #[must_use]
    pub fn new(_state: Option<PathBuf>, _settings: &AuditSettings) -> Self {
        Self {}
    }

    /// Writes the start of a call; with `synced` it is on the disk when this returns.
    ///
    /// # Errors
    /// `denied` when it cannot be written: then nothing that changes an engine may be sent.
    pub async fn open(&self, _opening: Opening, _synced: bool) -> Result<()> {
        Ok(())
    }

    /// Writes the end of a call; a failure is logged.
    pub async fn close(&self, _closing: Closing) {}

    /// The newest lines, oldest first, of every file in the directory.
    ///
    /// # Errors
    /// `config` when the directory cannot be read.
    pub async fn read(&self, _wanted: Wanted) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }
}
