//! What compose says that it would do, read off a dry run: the only one who knows.

use schemars::JsonSchema;
use serde::Serialize;

/// What becomes of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Change {
    /// It is made.
    Create,
    /// It is removed, and made anew.
    Recreate,
    /// It is started.
    Start,
    /// It is stopped.
    Stop,
    /// It is removed.
    Remove,
}

/// One object and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Step {
    /// `container shop-web-1`.
    pub(crate) what: String,
    pub(crate) change: Change,
}

/// A dry run, as far as it was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rehearsal {
    /// In the order of the run; an object has one line, with the gravest that becomes of it.
    pub(crate) steps: Vec<Step>,
}

impl Rehearsal {
    /// Reads ` DRY-RUN MODE -  Container shop-web-1  Recreate`, as compose 2.20 and later write it.
    pub(crate) fn of(messages: &str) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for line in messages.lines() {
            let line = line.trim().trim_start_matches("DRY-RUN MODE -").trim();
            let mut words = line.split_whitespace();
            let (Some(kind), Some(name)) = (words.next(), words.next()) else { continue };
            if !["Container", "Network", "Volume"].contains(&kind) {
                continue;
            }
            let change = match words.next() {
                Some("Creating" | "Create" | "Created") => Change::Create,
                Some("Recreate" | "Recreating" | "Recreated") => Change::Recreate,
                Some("Starting" | "Start" | "Started") => Change::Start,
                Some("Stopping" | "Stop" | "Stopped" | "Killing" | "Killed") => Change::Stop,
                Some("Removing" | "Remove" | "Removed") => Change::Remove,
                _ => continue,
            };
            let told = |name: &str| format!("{} {name}", kind.to_lowercase());
            let name = name.trim_matches('"');
            // While another takes its place it has its id in front.
            let renamed = own_name(name).map(told).filter(|what| steps.iter().any(|step| step.what == *what));
            let what = renamed.unwrap_or_else(|| told(name));
            match steps.iter_mut().find(|step| step.what == what) {
                Some(step) => step.change = step.change.with(change),
                None => steps.push(Step { what, change }),
            }
        }
        Self { steps }
    }

    /// Whether something goes that was there.
    pub(crate) fn destroys(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.change, Change::Recreate | Change::Remove))
    }
}

/// The name behind a short id.
fn own_name(name: &str) -> Option<&str> {
    let (id, rest) = name.split_once('_')?;
    (id.len() == 12 && id.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(rest)
}

impl Change {
    /// What it is called when something else becomes of the same object: what is made is started too.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Recreate, _) | (_, Self::Recreate) => Self::Recreate,
            (Self::Remove, _) | (_, Self::Remove) => Self::Remove,
            (Self::Create, _) | (_, Self::Create) => Self::Create,
            (_, last) => last,
        }
    }

    /// What became of it, or what would.
    pub(crate) const fn told(self, dry_run: bool) -> &'static str {
        match (self, dry_run) {
            (Self::Create, true) => "to create",
            (Self::Create, false) => "created",
            (Self::Recreate, true) => "to recreate",
            (Self::Recreate, false) => "recreated",
            (Self::Start, true) => "to start",
            (Self::Start, false) => "started",
            (Self::Stop, true) => "to stop",
            (Self::Stop, false) => "stopped",
            (Self::Remove, true) => "to remove",
            (Self::Remove, false) => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_read() {
        let messages = " DRY-RUN MODE -  Network dry_default  Creating \n DRY-RUN MODE -  Volume \"dry_v\"  Created\n \
             DRY-RUN MODE -  Container dry-api-1  Running\n DRY-RUN MODE -  Container dry-web-1  Recreate \n \
             DRY-RUN MODE -  Container 82bea3f6be90_dry-web-1  Recreated \n DRY-RUN MODE -  Container dry-web-1  Starting \n \
             DRY-RUN MODE -  Container dry-db-1  Stopping\n DRY-RUN MODE -  Container dry-db-1  Removed\n \
             DRY-RUN MODE -  Container dry-new-1  Created\n DRY-RUN MODE -  Container dry-new-1  Started\ntime=x\n";
        let rehearsal = Rehearsal::of(messages);
        let steps: Vec<(&str, Change)> = rehearsal.steps.iter().map(|step| (step.what.as_str(), step.change)).collect();
        assert_eq!(
            steps,
            [
                ("network dry_default", Change::Create),
                ("volume dry_v", Change::Create),
                ("container dry-web-1", Change::Recreate),
                ("container dry-db-1", Change::Remove),
                ("container dry-new-1", Change::Create),
            ]
        );
        assert!(rehearsal.destroys());
        // Somebody may call a container so.
        let other = Rehearsal::of("Container deadbeefdead_web  Removed\n");
        assert_eq!(other.steps[0].what, "container deadbeefdead_web");
        assert!(!Rehearsal::of(" DRY-RUN MODE -  Container a  Created\n").destroys());
    }
}
