//! `hosts`: the survey as a table.

use std::{process::ExitCode, sync::Arc};

use serde_json::{Value, json};

use super::{Paint, Screen, exit, screen::Cell};
use crate::{
    error::{Error, Result},
    gateway::{Failure, Gateway, Request},
    tool::Json,
};

pub(super) async fn run(gateway: &Arc<Gateway>, screen: &Screen, json: bool) -> Result<ExitCode> {
    let arguments: Json = [("detail".to_owned(), json!("all"))].into_iter().collect();
    let answer = gateway.call(Request::new(gateway.caller("command line"), "survey_hosts", arguments)).await;
    let answer = answer.map_err(|failure| match failure {
        Failure::UnknownTool(error) | Failure::Tool(error) => error,
        Failure::Asked { .. } => Error::internal("the survey asked for an approval"),
    })?;
    let survey = answer.structured.map(Value::from).ok_or_else(|| Error::internal("the survey has no data"))?;
    if json {
        screen.print_json(&survey)?;
    } else {
        let rows: Vec<Vec<Cell>> = list(&survey, "hosts").map(row).collect();
        let head = ["HOST", "MODE", "STATUS", "ENGINE", "RUNNING", "STOPPED", "PROBLEMS"];
        let mut lines = vec![screen.table(&head, &rows)];
        let own = list(&survey, "warnings").filter_map(Value::as_str).map(str::to_owned);
        let of_daemons = list(&survey, "daemon_warnings");
        let of_daemons = of_daemons.map(|said| format!("{}: {}", word(said, "hosts"), word(said, "warning")));
        let mark = screen.out.paint(Paint::Yellow, "warning:");
        lines.extend(own.chain(of_daemons).map(|warning| format!("{mark} {}", screen.out.show(&warning))));
        lines.extend(answer.text.lines().last().map(str::to_owned));
        screen.print(&lines.join("\n"))?;
    }
    Ok(exit(survey.pointer("/totals/unreachable").and_then(Value::as_u64) != Some(0)))
}

fn row(host: &Value) -> Vec<Cell> {
    let status = match word(host, "status").as_str() {
        "ok" => Paint::Green,
        "degraded" => Paint::Yellow,
        _ => Paint::Red,
    };
    let error = Some(word(host, "error")).filter(|error| !error.is_empty());
    let since = Some(word(host, "since")).filter(|since| !since.is_empty()).map(|since| format!("since {since}"));
    let found = list(host, "problems").filter_map(Value::as_str).map(str::to_owned);
    let problems: Vec<String> = error.into_iter().chain(since).chain(found).collect();
    vec![
        word(host, "host").into(),
        word(host, "mode").into(),
        Cell(word(host, "status"), status),
        word(host, "engine").into(),
        word(host, "running").into(),
        word(host, "stopped").into(),
        problems.join("; ").into(),
    ]
}

fn list<'a>(document: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    document.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// A field as a word; nothing where there is none.
fn word(document: &Value, field: &str) -> String {
    match document.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
