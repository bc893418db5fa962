//! The processes of a container, with columns of our choice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    docker::{Docker, Target},
    error::{Error, Kind, Result},
    redact::{self, Masks},
    tool::{
        Access, Call, Plan, Summary, Tool,
        cursor::Cursor,
        page::{Page, Wanted, paged},
        text::count,
    },
    tools::view::clipped,
};

/// The engine runs `ps` on its own machine with these: they are never the caller's.
const COLUMNS: &str = "-eo pid,ppid,user,stat,etime,time,rss,args";
/// The most characters of one cell; only a command has that many.
const LONGEST_CELL: usize = 300;

/// Lists the processes of a running container, as `ps` shows them; the ids are the host's.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContainerTop {
    /// Name or id.
    container: String,
    /// At most this many rows. Default: 100, fewer where they are long.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<usize>,
    /// Goes on where the answer before was cut.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[expect(clippy::struct_field_names, reason = "clients see the names")]
#[derive(Serialize, JsonSchema)]
pub(super) struct Processes {
    container: String,
    processes: Vec<Process>,
    #[serde(flatten)]
    page: Page,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Process {
    pid: u64,
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

impl Summary for Processes {
    fn summary(&self) -> String {
        let processes = count(self.processes.len(), "process");
        format!("{processes} of container \"{}\"{}", self.container, self.page.rest())
    }
}

impl Tool for ContainerTop {
    const NAME: &'static str = "container_top";
    const ACCESS: Access = Access::READ;
    type Output = Processes;

    async fn plan(&self, reading: &Docker, _: &Call) -> Result<Plan> {
        Ok(Plan::declared(Self::ACCESS).on([reading.container("container", &self.container).await?]))
    }

    async fn call(self, docker: &Docker, plan: Plan, call: &Call) -> Result<Processes> {
        let container = plan.object()?;
        if !container.is("/State/Running") {
            return Err(Error::conflict(format!("container \"{}\" does not run", container.name))
                .hint("inspect_container shows how it ended"));
        }
        let target = Target::new(format!("/containers/{}/top", container.id));
        let document = match docker.json(target.clone().query("ps_args", COLUMNS)).await {
            // A `ps` that does not know these columns.
            Err(error) if error.kind() == Kind::Docker => docker.json(target).await,
            answer => answer,
        }?;
        let wanted = Wanted { cursor: self.cursor.as_ref(), limit: self.limit, usual: 100, taken: 0 };
        let (processes, page) = paged(processes(&document, &container.masks), Process::key, wanted, call.cursors())?;
        Ok(Processes { container: container.name.clone(), processes, page })
    }
}

impl Process {
    fn key(&self) -> String {
        format!("{:010}", self.pid)
    }
}

/// The rows of a `ps`, whatever its columns are called and however they are ordered.
///
/// A process may have been given a value of its container's variables.
fn processes(document: &Value, masks: &Masks) -> Vec<Process> {
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
        let found = processes(&document, &Masks::default());
        assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<_>>(), [7, 20]);
        assert_eq!((found[1].user.as_str(), found[1].command.as_str()), ("root", "sleep 600"));
        assert!(processes(&json!({"Titles": null, "Processes": null}), &Masks::default()).is_empty());
    }
}
