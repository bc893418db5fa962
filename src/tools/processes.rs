//! What runs in a container, as `ps` shows it, with columns of our choice.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::view::clipped;
use crate::{
    docker::{Docker, Target},
    error::{Kind, Result},
    redact::{self, Masks},
    tool::Object,
};

/// The engine runs `ps` on its own machine with these: they are never the caller's.
const COLUMNS: &str = "-eo pid,ppid,user,stat,etime,time,rss,args";
/// The most characters of one cell; only a command has that many.
const LONGEST_CELL: usize = 300;

/// One process; the ids are the host's.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Process {
    pub(crate) pid: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    state: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    elapsed: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cpu_time: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    memory_kib: String,
    command: String,
}

impl Process {
    /// What they are sorted by.
    pub(crate) fn key(&self) -> String {
        format!("{:010}", self.pid)
    }
}

/// The processes of a running container, the oldest first.
///
/// # Errors
/// Those of the daemon; `conflict` where it does not run any more.
pub(crate) async fn processes(docker: &Docker, container: &Object) -> Result<Vec<Process>> {
    let target = Target::new(format!("/containers/{}/top", container.id));
    let document = match docker.json(target.clone().query("ps_args", COLUMNS)).await {
        // A `ps` that does not know these columns.
        Err(error) if error.kind() == Kind::Docker => docker.json(target).await,
        answer => answer,
    }?;
    Ok(rows(&document, &container.masks))
}

/// The rows of a `ps`, whatever its columns are called and however they are ordered.
///
/// A process may have been given a value of its container's variables.
fn rows(document: &Value, masks: &Masks) -> Vec<Process> {
    let titles: Vec<&str> =
        document.get("Titles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let place = |names: &[&str]| titles.iter().position(|title| names.contains(title));
    let places = [
        place(&["PID"]),
        place(&["PPID"]),
        place(&["USER", "UID"]),
        place(&["STAT", "S"]),
        place(&["ELAPSED"]),
        place(&["TIME"]),
        place(&["RSS"]),
        place(&["COMMAND", "CMD", "ARGS"]),
    ];
    let rows = document.get("Processes").and_then(Value::as_array).into_iter().flatten();
    let mut processes: Vec<Process> = rows
        .map(|row| {
            let cell = |place: Option<usize>| place.and_then(|place| row.get(place)).and_then(Value::as_str);
            let [pid, parent, user, state, elapsed, cpu_time, memory_kib, command] =
                places.map(|place| clipped(&masks.hide(&redact::plain(cell(place).unwrap_or_default())), LONGEST_CELL));
            Process {
                pid: pid.parse().unwrap_or_default(),
                parent,
                user,
                state,
                elapsed,
                cpu_time,
                memory_kib,
                command,
            }
        })
        .collect();
    processes.sort_by_key(|process| process.pid);
    processes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_found_by_their_titles() {
        let document = json!({
            "Titles": ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"],
            "Processes": [["root", "20", "1", "0", "16:38", "?", "00:00:00", "sleep\u{1b}[31m 600"], ["root", "7"]],
        });
        let found = rows(&document, &Masks::default());
        assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<_>>(), [7, 20]);
        assert_eq!((found[1].user.as_str(), found[1].command.as_str()), ("root", "sleep 600"));
        assert!(rows(&json!({"Titles": null, "Processes": null}), &Masks::default()).is_empty());
    }
}
