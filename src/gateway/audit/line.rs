//! What stands in a line.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Closing, Opening, chain::Hash};
use crate::{
    gateway::caller::Caller,
    tool::{Json, Permission},
};

/// The most bytes of a call's arguments.
const LONGEST_ARGUMENTS: usize = 8 << 10;
/// The most bytes of any other text.
const LONGEST_TEXT: usize = 4 << 10;
/// What a line has room for from the beginning: to grow costs more than the fields.
const MOST_FIELDS: usize = 24;
/// The most hosts by name.
const MOST_HOSTS: usize = 200;

/// A line about a call.
#[derive(Debug)]
pub(super) enum Line {
    /// It begins.
    Start(Box<Opening>),
    /// It has ended.
    End(Box<Closing>),
}

impl Line {
    /// The id of its call.
    pub(super) fn call(&self) -> &str {
        match self {
            Self::Start(opening) => &opening.call,
            Self::End(closing) => &closing.call,
        }
    }

    /// Its fields, without those of the chain.
    pub(super) fn fields(&self) -> Json {
        let mut fields = Json::with_capacity(MOST_FIELDS);
        match self {
            Self::Start(opening) => {
                let Opening { call, caller, tool, via, hosts, effect, permissions, decision, rule, arguments } =
                    &**opening;
                about(&mut fields, "start", call, caller, tool, hosts);
                if let Some(via) = via {
                    fields.insert("via".into(), (*via).into());
                }
                if let Some(effect) = effect {
                    fields.insert("effect".into(), effect.as_str().into());
                }
                if let Some(permissions) = permissions {
                    let names: Vec<&str> = permissions.iter().map(Permission::as_str).collect();
                    fields.insert("permissions".into(), names.into());
                }
                if let Some(decision) = decision {
                    fields.insert("decision".into(), (*decision).into());
                }
                if let Some(rule) = rule {
                    fields.insert("rule".into(), cut(rule).into());
                }
                fields.insert("arguments".into(), bounded(arguments));
            }
            Self::End(closing) => {
                let Closing { call, caller, tool, hosts, outcome, error, detail, took, bytes } = &**closing;
                about(&mut fields, "end", call, caller, tool, hosts);
                fields.insert("outcome".into(), outcome.as_str().into());
                for (name, text) in [("error", error), ("detail", detail)] {
                    if let Some(text) = text {
                        fields.insert(name.into(), cut(text).into());
                    }
                }
                fields.insert("ms".into(), u64::try_from(took.as_millis()).unwrap_or(u64::MAX).into());
                fields.insert("bytes".into(), (*bytes).into());
            }
        }
        fields
    }
}

/// What every line about a call says.
fn about(fields: &mut Json, event: &str, call: &str, caller: &Caller, tool: &str, hosts: &[String]) {
    fields.insert("event".into(), event.into());
    fields.insert("id".into(), call.into());
    fields.insert("caller".into(), cut(&caller.principal).into());
    fields.insert("protocol".into(), cut(&caller.protocol).into());
    if let Some(client) = &caller.client {
        fields.insert("client".into(), cut(client).into());
    }
    fields.insert("tool".into(), cut(tool).into());
    fields.insert("hosts".into(), hosts.iter().take(MOST_HOSTS).cloned().collect::<Vec<_>>().into());
}

/// A line's fields behind its time and number.
#[derive(Serialize)]
pub(super) struct Numbered<'a> {
    time: String,
    seq: u64,
    #[serde(flatten)]
    fields: &'a Json,
}

impl<'a> Numbered<'a> {
    /// Now.
    pub(super) fn new(seq: u64, fields: &'a Json) -> Self {
        Self { time: moment(Timestamp::now()), seq, fields }
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// That lines are missing here, because they could not be written.
pub(super) fn gap(lines: u64, why: &str) -> Json {
    object(json!({"event": "gap", "lines": lines, "error": cut(why)}))
}

/// That the file ends here, and why.
pub(super) fn closed(reason: &str, unfinished: &[&String]) -> Json {
    let mut fields = object(json!({"event": "closed", "reason": reason}));
    if !unfinished.is_empty() {
        fields.insert("unfinished".into(), json!(unfinished));
    }
    fields
}

/// The fields of an object.
pub(super) fn object(value: Value) -> Json {
    match value {
        Value::Object(fields) => fields,
        _ => Json::new(),
    }
}

/// Arguments of a length that a line can have: what is too long is cut, with its length and the hash of the whole.
fn bounded(arguments: &Value) -> Value {
    let text = arguments.to_string();
    if text.len() <= LONGEST_ARGUMENTS {
        return arguments.clone();
    }
    json!({"cut": begin(&text, LONGEST_ARGUMENTS), "bytes": text.len(), "sha256": Hash::of(text.as_bytes()).to_string()})
}

fn cut(text: &str) -> String {
    if text.len() <= LONGEST_TEXT {
        return text.to_owned();
    }
    format!("{}… (cut, {} bytes)", begin(text, LONGEST_TEXT), text.len())
}

/// At most so many bytes of a text, and no half character.
fn begin(text: &str, bytes: usize) -> &str {
    (0..=bytes).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_arguments_are_cut_and_can_still_be_told_apart() {
        let short = json!({"a": "b"});
        assert_eq!(bounded(&short), short);
        let long = |last: &str| json!({"text": "é".repeat(10_000), "last": last});
        let (one, other) = (bounded(&long("x")), bounded(&long("y")));
        assert!(one.to_string().len() < LONGEST_ARGUMENTS + 200, "{}", one.to_string().len());
        assert_eq!(one["bytes"], long("x").to_string().len());
        assert_eq!(one["cut"], other["cut"]);
        assert_ne!(one["sha256"], other["sha256"]);
        assert!(cut(&"é".repeat(3_000)).ends_with("(cut, 6000 bytes)"));
    }
}
