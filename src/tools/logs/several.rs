//! The logs of several containers as one: each is read for itself, and their lines are sorted by time.

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Ending, LogArguments, Reading, SCAN, Scan, Step, reading::Log, sorted::Sorted};
use crate::{
    docker::{Docker, stream::IDLE},
    error::{Kind, Result},
    tool::{Call, Object, Text},
    tools::{redaction::Redaction, view::few},
};

/// How many of those that keep nothing are named.
const NAMED: usize = 5;

/// What a tool that reads several logs at once is asked: a part of [`LogArguments`], and in fewer words.
#[derive(Deserialize, Serialize, JsonSchema)]
pub(crate) struct SeveralLogs {
    /// Lines at most. Default: 100.
    #[serde(default)]
    #[schemars(range(min = 1))]
    tail: Option<usize>,
    /// Not before: RFC 3339, or so long ago (`15m`).
    #[serde(default)]
    since: Option<String>,
    /// Not after.
    #[serde(default)]
    until: Option<String>,
    /// Regular expression; `(?i)` ignores case.
    #[serde(default)]
    grep: Option<String>,
    /// Shows times. Default: false.
    #[serde(default)]
    timestamps: bool,
}

/// One of several that write.
pub(crate) struct Writer {
    /// The container.
    pub(crate) container: Object,
    /// What stands in front of its lines.
    pub(crate) name: Arc<str>,
}

impl SeveralLogs {
    /// How long it may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.arguments().deadline()
    }

    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// `invalid`, naming the argument.
    pub(crate) fn check(&self, call: &Call) -> Result<()> {
        self.arguments().check(call)
    }

    /// Reads the logs as they were asked for; `whose` is what all of them belong to: `project "shop"`.
    ///
    /// # Errors
    /// Those of the arguments and of the daemon.
    pub(crate) async fn read(&self, docker: &Docker, writers: &[Writer], whose: &str, call: &Call) -> Result<Text> {
        let mut scan = self.arguments().scan(call)?;
        let unkept = call.timed(scan.several(docker, writers), SCAN, "reads the logs").await?;
        let mut summary = scan.summary(whose, true, call);
        if !unkept.is_empty() {
            summary = format!("{summary}; the log drivers of {} keep nothing", few(unkept, NAMED).join(", "));
        }
        Ok(Text { source: whose.replace('"', ""), body: scan.selection.body(), summary })
    }

    fn arguments(&self) -> LogArguments {
        LogArguments {
            tail: self.tail,
            since: self.since.clone(),
            until: self.until.clone(),
            grep: self.grep.clone(),
            timestamps: self.timestamps,
            ..LogArguments::default()
        }
    }
}

impl Scan {
    /// Reads one log after the other, for a host has few connections to give; answers whose is kept nowhere.
    async fn several(&mut self, docker: &Docker, writers: &[Writer]) -> Result<Vec<String>> {
        let end = Instant::now() + SCAN;
        // Looking for its beginning the engine may be silent for long.
        let idle = if self.wanted.since.is_some() { SCAN } else { IDLE };
        let (mut sorted, mut unkept) = (Sorted::new(self.selection.order()), Vec::new());
        for Writer { container, name } in writers {
            let mut redaction = Redaction::new(&container.masks, self.wanted.is_whole());
            let mut reading = match Reading::open(docker, &Log::of_container(container), self.wanted).await {
                Ok(reading) => reading,
                // It went while the others were read.
                Err(error) if error.kind() == Kind::NotFound && writers.len() > 1 => continue,
                Err(error) if error.kind() == Kind::Unsupported && writers.len() > 1 => {
                    unkept.push(name.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let ending = loop {
                match reading.next(end, idle, &mut redaction).await? {
                    Step::End(ending) => break ending,
                    Step::Entries(mut entries) => {
                        let read = entries.len();
                        // What is not looked for takes no room.
                        entries.retain(|entry| self.selection.matches(&entry.text));
                        self.passed += read - entries.len();
                        for entry in &mut entries {
                            entry.task = Some(name.clone());
                        }
                        sorted.extend(entries);
                    }
                }
                if Instant::now() >= end {
                    break Ending::Late;
                }
            };
            if ending != Ending::Complete {
                self.ending = ending;
            }
            if ending == Ending::Late {
                break;
            }
        }
        self.lost = sorted.lost();
        for entry in sorted.entries() {
            self.selection.take(&entry);
        }
        Ok(unkept)
    }
}
