//! `audit`: what was called and how it ended, for people; and the proof that it is as it was written.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;

use super::{Paint, Screen, exit, screen::Cell, usage};
use crate::{
    error::{Error, Result},
    gateway::{
        Gateway,
        audit::{
            Wanted, known_outcome,
            verify::{Report, verify},
        },
    },
    tool::text::count,
    tools::{time::moment, view::clipped},
};

/// What `audit` takes.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    /// Not older: RFC 3339, unix seconds, or so long ago (15m, 1d)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only calls of this tool
    #[arg(long)]
    tool: Option<String>,
    /// Only with this outcome: ok, failed, running, unknown, or an error's kind such as denied
    #[arg(long)]
    outcome: Option<String>,
    /// Only calls on this host
    #[arg(long = "on", value_name = "HOST")]
    host: Option<String>,
    /// The newest so many
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

#[derive(Subcommand)]
enum Action {
    /// Proves that no line was changed, removed or added, and says what it cannot see
    Verify {
        /// A directory of audit files, instead of the one that is written
        directory: Option<PathBuf>,
    },
}

impl Audit {
    pub(super) async fn run(self, gateway: &Arc<Gateway>, screen: &Screen, json: bool) -> Result<ExitCode> {
        if let Some(Action::Verify { directory }) = self.action {
            let own = gateway.audit().directory();
            let directory = directory.as_deref().or(own).ok_or_else(|| {
                Error::config("there is no directory for the audit").hint("name one, or set HOME or XDG_STATE_HOME")
            })?;
            return prove(&verify(directory)?, screen, json);
        }
        let since = self.since.as_deref().map(|text| moment("since", text, Timestamp::now())).transpose();
        known_outcome(self.outcome.as_deref()).map_err(|error| usage(&error))?;
        let wanted = Wanted {
            principal: None,
            since: since.map_err(|error| usage(&error))?,
            tool: self.tool,
            host: self.host,
            outcome: self.outcome,
            limit: self.limit,
        };
        let calls = gateway.audit().read(wanted).await?;
        if json {
            screen.print_json(&calls)?;
        } else {
            let rows: Vec<Vec<Cell>> = calls.iter().map(row).collect();
            let head = ["TIME", "CALLER", "HOST", "TOOL", "EFFECT", "DECISION", "OUTCOME", "MS", "ARGUMENTS AND ERROR"];
            let place = gateway.audit().directory().map(|path| format!(", from {}", path.display()));
            let last = format!("{}{}", count(calls.len(), "call"), screen.out.show(&place.unwrap_or_default()));
            screen.print(&format!("{}{last}", screen.table(&head, &rows)))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(call: &Value) -> Vec<Cell> {
    let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let hosts = call.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let outcome = text("outcome");
    let paint = match outcome.as_str() {
        "ok" => Paint::Green,
        "running" | "asked" | "approval_needed" => Paint::Yellow,
        _ => Paint::Red,
    };
    let decision = [text("decision"), text("rule")].into_iter().filter(|word| !word.is_empty());
    let arguments = call.get("arguments").map(ToString::to_string);
    let detail = [arguments, Some(text("error")), Some(text("detail"))].into_iter().flatten();
    let detail: Vec<String> = detail.filter(|text| !text.is_empty()).map(|text| clipped(&text, 200)).collect();
    vec![
        text("time").into(),
        text("caller").into(),
        hosts.collect::<Vec<_>>().join(",").into(),
        text("tool").into(),
        text("effect").into(),
        decision.collect::<Vec<_>>().join(": ").into(),
        Cell(outcome, paint),
        call.get("ms").map(ToString::to_string).unwrap_or_default().into(),
        detail.join("  ").into(),
    ]
}

fn prove(report: &Report, screen: &Screen, json: bool) -> Result<ExitCode> {
    let failed = !report.problems.is_empty();
    if json {
        return screen.print_json(report).map(|()| exit(failed));
    }
    let marked = |paint: Paint, word: &str, text: &str| {
        format!("{} {}", screen.out.paint(paint, word), screen.out.show(&text.replace('\n', " ")))
    };
    let open = report.files.iter().filter(|file| file.state == "open").count();
    let open = if open > 0 { format!(", {open} being written") } else { String::new() };
    let (files, lines) = (count(report.files.len(), "file"), report.lines);
    let mut text = vec![format!("{}: {files}{open}, {lines} lines", screen.out.show(&report.directory))];
    text.extend(report.problems.iter().map(|problem| marked(Paint::Red, "wrong:", &problem.to_string())));
    text.extend(report.notes.iter().map(|note| marked(Paint::Yellow, "note:", note)));
    text.push(if failed {
        screen.out.paint(
            Paint::Red,
            &format!("{}: the audit is not as it was written", count(report.problems.len(), "problem")),
        )
    } else {
        screen.out.paint(Paint::Green, "every line is as it was written and where it belongs")
    });
    text.push("What this cannot see (a copy on another machine can):".to_owned());
    text.extend(report.blind.iter().map(|blind| format!("  - {blind}")));
    screen.print(&text.join("\n")).map(|()| exit(failed))
}
