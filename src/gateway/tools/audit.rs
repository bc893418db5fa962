//! What the caller itself has called.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Gateway, OwnTool};
use crate::{
    docker::Host,
    error::Result,
    gateway::{
        audit::{Wanted, known_outcome},
        caller::Caller,
    },
    tool::{Call, Summary, text::count},
    tools::{time::moment, view::clipped},
};

/// The most characters of one call's arguments, and of its error.
const LONGEST: usize = 300;

/// Shows your own calls on this machine, oldest first: what was asked, decided and how it ended.
///
/// Calls of others are not shown.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadAuditLog {
    /// RFC 3339, unix seconds, or so long ago (`15m`).
    #[serde(default)]
    since: Option<String>,
    /// Only calls of this tool.
    #[serde(default)]
    tool: Option<String>,
    /// `ok`, `failed` (all but ok), `running`, or an error's kind.
    #[serde(default)]
    outcome: Option<String>,
    /// The newest so many. Default: 30.
    #[serde(default)]
    #[schemars(range(min = 1, max = 200))]
    limit: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Calls {
    calls: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    time: String,
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    host: String,
    tool: String,
    /// The tool that the call came through.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    effect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// As JSON.
    arguments: String,
}

impl Summary for Calls {
    fn summary(&self) -> String {
        let failed = self.calls.iter().filter(|row| !["ok", "running"].contains(&row.outcome.as_str())).count();
        let failed = if failed > 0 { format!(", {failed} of them not ok") } else { String::new() };
        format!("{}{failed}; only your own are shown", count(self.calls.len(), "call"))
    }
}

impl OwnTool for ReadAuditLog {
    const NAME: &'static str = "read_audit_log";
    type Output = Calls;

    async fn call(self, gateway: &Gateway, _: Vec<Arc<Host>>, caller: &Caller, _: &Call) -> Result<Calls> {
        let since = self.since.as_deref().map(|text| moment("since", text, Timestamp::now())).transpose()?;
        known_outcome(self.outcome.as_deref())?;
        let limit = self.limit.unwrap_or(30);
        let wanted = Wanted {
            principal: Some(caller.principal.clone()),
            since,
            tool: self.tool,
            host: None,
            outcome: self.outcome,
            limit: limit + 1,
        };
        let rows = gateway.audit().read(wanted).await?;
        let mut calls: Vec<Row> = rows.iter().map(Row::of).collect();
        // The last one is this very call.
        calls.pop_if(|last| last.tool == Self::NAME && last.outcome == "running");
        let older = calls.len().saturating_sub(limit);
        calls.drain(..older);
        Ok(Calls { calls })
    }
}

impl Row {
    /// A call as its caller may see it: without what only the person may know of an error.
    fn of(row: &Value) -> Self {
        let optional = |name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
        let text = |name: &str| optional(name).unwrap_or_default();
        let hosts = row.get("hosts").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let arguments = row.get("arguments").map(ToString::to_string).unwrap_or_default();
        Self {
            time: text("time"),
            id: text("id"),
            host: hosts.collect::<Vec<_>>().join(", "),
            tool: text("tool"),
            via: optional("via"),
            effect: optional("effect"),
            decision: optional("decision"),
            rule: optional("rule"),
            outcome: text("outcome"),
            ms: row.get("ms").and_then(Value::as_u64),
            error: optional("error").map(|error| clipped(&error, LONGEST)),
            arguments: clipped(&arguments, LONGEST),
        }
    }
}
