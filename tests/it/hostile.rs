//! Hostile arguments for any tool, made from its input schema; the tests on the lab use them too.

use quaymaster::{gateway::catalogue::Entry, tool::Json};
use serde_json::{Value, json};

/// What must never get into a path: climbing, dividing, escapes, control characters, too much.
pub(crate) fn hostile_texts(prefix: &str) -> Vec<String> {
    vec![
        format!("../info{prefix}"),
        format!("{prefix}a/b"),
        format!("%2e%2e{prefix}"),
        format!("\u{0}{prefix}"),
        prefix.to_owned() + &"a".repeat(10_240),
    ]
}

/// The properties of a tool but `host`.
pub(crate) fn properties(entry: &Entry) -> impl Iterator<Item = (&str, &Value)> {
    let properties = entry.card.input().get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, schema)| (name.as_str(), schema))
}

/// Every way to put each hostile text into each text of the arguments: the property, the text, the arguments.
pub(crate) fn hostile(entry: &Entry, base: &Json, texts: &[String]) -> Vec<(String, String, Json)> {
    let mut calls = Vec::new();
    for (name, schema) in properties(entry) {
        let of = |text: &str| match schema["type"].as_str() {
            _ if schema.get("enum").is_some() => None,
            Some("string") => Some(text.into()),
            Some("array") if schema.pointer("/items/type") == Some(&json!("string")) => Some(json!([text])),
            Some("object") => Some(json!({text: text})),
            _ => None,
        };
        for text in texts {
            if let Some(value) = of(text) {
                let mut arguments = base.clone();
                arguments.insert(name.to_owned(), value);
                calls.push((name.to_owned(), text.clone(), arguments));
            }
        }
    }
    calls
}
