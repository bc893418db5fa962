//! The text channel: the same data as compact lines, tables for rows, and a summary at the end.

use serde_json::Value;

use super::Json;

/// Renders an answer: `name: value` lines, a table for every array of objects, then the summary.
#[must_use]
pub fn render(fields: &Json, summary: &str) -> String {
    let mut text = String::new();
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => table(&mut text, name, rows),
            Value::Object(inner) if inner.values().any(|value| value.is_object() || value.is_array()) => {
                for (key, value) in inner {
                    line(&mut text, &format!("{name}.{key}"), value);
                }
            }
            value => line(&mut text, name, value),
        }
    }
    text.push_str(summary);
    text
}

fn line(text: &mut String, name: &str, value: &Value) {
    let shown = cell(value);
    if !shown.is_empty() {
        text.extend([name, ": ", &shown, "\n"]);
    }
}

fn table(text: &mut String, name: &str, rows: &[Value]) {
    let mut columns: Vec<&str> = Vec::new();
    for row in rows.iter().filter_map(Value::as_object) {
        for key in row.keys() {
            if !columns.contains(&key.as_str()) {
                columns.push(key);
            }
        }
    }
    text.extend([name, ": ", &columns.join(" | "), "\n"]);
    for row in rows {
        let cells: Vec<String> = columns.iter().map(|column| row.get(*column).map(cell).unwrap_or_default()).collect();
        text.push_str(cells.join(" | ").trim_end_matches([' ', '|']));
        text.push('\n');
    }
}

/// One value on one line; a line break inside it becomes a blank.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(['\n', '\r'], " "),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}={}", cell(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// Free text with its source in front and behind, and the summary after it.
#[must_use]
pub fn fence(source: &str, body: &str, summary: &str) -> String {
    let body = body.trim_end_matches('\n');
    if body.is_empty() {
        return format!("[{source}: nothing]\n{summary}");
    }
    format!("[begin of data from {source}]\n{body}\n[end of data from {source}]\n{summary}")
}

/// `1 container`, `2 containers`.
#[must_use]
pub fn count(number: usize, noun: &str) -> String {
    let plural = match noun {
        _ if number == 1 => "",
        _ if noun.ends_with("process") => "es",
        _ => "s",
    };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_become_a_table() {
        let fields = json!({
            "host": "local",
            "containers": [{"name": "a", "ports": ["1->2", "3"]}, {"name": "b", "health": "healthy"}],
            "empty": null,
            "limits": {"memory": 5, "cpus": 0.5},
        });
        let text = render(fields.as_object().unwrap(), "2 containers");
        assert_eq!(
            text,
            "host: local\ncontainers: name | ports | health\na | 1->2, 3\nb |  | healthy\nlimits: memory=5, cpus=0.5\n2 containers"
        );
    }
}
