//! The pages that are generated from the tools: the table of the README and `docs/tools.md`.

use serde_json::Value;

use crate::{
    gateway::catalogue::{Entry, everything, groups},
    tool::{
        HostArgument,
        text::{count, first_sentence},
    },
};

/// Where the table of the README begins.
const BEGIN: &str = "<!-- tools:begin -->";
/// Where it ends.
const END: &str = "<!-- tools:end -->";

/// A README with the table of tools brought up to date between its markers.
///
/// Answers nothing where the markers are missing.
#[must_use]
pub fn readme(current: &str) -> Option<String> {
    let (before, rest) = current.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}{END}{after}", table()))
}

/// `docs/tools.md`: every tool with its arguments.
#[must_use]
pub fn tools_page() -> String {
    let entries = everything();
    let head = format!(
        "# The tools\n\n\
         Written by the tests from the source: `QUAYMASTER_UPDATE=1 cargo test --test it docs`.\n\n\
         {}. ★ is listed by default, the others with `--toolsets all` or by the name of their toolset. \
         The effect is the worst that a tool can do; in brackets what a call can be lowered to by its arguments. \
         Every tool needs the permission `read`; what stands in brackets only some calls need.\n",
        count(entries.len(), "tool")
    );
    let chapters = groups().map(|group| {
        let sections: String = entries.iter().filter(|entry| entry.toolset == group.name).map(section).collect();
        format!("\n## {}\n\n{}\n{sections}", group.name, group.about)
    });
    std::iter::once(head).chain(chapters).collect()
}

/// One row for each tool, with the name of a toolset at its first.
fn table() -> String {
    let entries = everything();
    let mut last = "";
    let rows = entries.iter().map(|entry| {
        let toolset = if entry.toolset == last { "" } else { entry.toolset };
        last = entry.toolset;
        let (name, about) = (entry.card.name, cell(first_sentence(entry.card.about())));
        format!("| {toolset} | {}`{name}` | {} | {} | {about} |\n", star(entry), effect(entry), permissions(entry))
    });
    let head = "| toolset | tool | effect | permissions | what it does |\n| --- | --- | --- | --- | --- |\n".to_owned();
    std::iter::once(head).chain(rows).collect()
}

fn section(entry: &Entry) -> String {
    let card = &entry.card;
    let host = match card.host {
        HostArgument::None => "no `host`",
        HostArgument::One => "one `host`",
        HostArgument::Planned => "the host of the plan",
        HostArgument::Fleet { whole: false } => "`host`: one, `all` or a tag",
        HostArgument::Fleet { whole: true } => "`host`: one, `all` (the default) or a tag",
    };
    let permissions = match permissions(entry) {
        permissions if permissions.is_empty() => String::new(),
        permissions => format!(" · {permissions}"),
    };
    let program = card.program.map(|program| format!(" · runs `{}`", program.command())).unwrap_or_default();
    let head = format!(
        "\n### {}`{}`\n\n{}{permissions} · {host}{program}\n\n{}\n",
        star(entry),
        card.name,
        effect(entry),
        card.about()
    );
    let required: Vec<&str> = card
        .input()
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = card.input().get("properties").and_then(Value::as_object).into_iter().flatten();
    let rows: Vec<String> = properties
        .map(|(name, property)| {
            let needed = if required.contains(&name.as_str()) { " (required)" } else { "" };
            let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
            format!("| `{name}`{needed} | {} | {} |\n", kind(property), cell(about))
        })
        .collect();
    if rows.is_empty() {
        return head;
    }
    format!("{head}\n| argument | type | |\n| --- | --- | --- |\n{}", rows.concat())
}

fn star(entry: &Entry) -> &'static str {
    if entry.card.core { "★ " } else { "" }
}

/// `destroy [mutate]`: the worst, and in brackets the mildest where that differs.
fn effect(entry: &Entry) -> String {
    let access = entry.card.access;
    if access.mildest == access.effect {
        access.effect.to_string()
    } else {
        format!("{} [{}]", access.effect, access.mildest)
    }
}

/// What a call needs beside `read`; in brackets what only some calls need.
fn permissions(entry: &Entry) -> String {
    let access = entry.card.access;
    let needed = access.at_most.iter().filter(|permission| permission.as_str() != "read").map(|permission| {
        if access.always.has(permission) { permission.to_string() } else { format!("[{permission}]") }
    });
    needed.collect::<Vec<_>>().join(", ")
}

/// A property's type in a few words.
fn kind(property: &Value) -> String {
    let text = |pointer: &str| property.pointer(pointer).and_then(Value::as_str);
    let bounds = || {
        let bound = |name: &str| property.get(name).map(ToString::to_string);
        match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!(", {least} to {most}"),
            (None, Some(most)) => format!(", at most {most}"),
            (Some(least), None) => format!(", at least {least}"),
            (None, None) => String::new(),
        }
    };
    if let Some(values) = property.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    match text("/type").unwrap_or_default() {
        "array" => format!("array of {}s", text("/items/type").unwrap_or("string")),
        "object" => format!("object of {}s", text("/additionalProperties/type").unwrap_or("string")),
        other => format!("{other}{}", bounds()),
    }
}

/// A text inside a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>").replace('\n', " ")
}
