//! A call as a person reads it and as an approval is bound to it: one value for both, so that they cannot differ.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Identity, Question, hex};
use crate::{redact, tool::Json};

/// Where a line of the sheet is folded; what follows begins with a mark, so that no value can pass for a line of ours.
const WIDTH: usize = 76;

/// What an approval is for, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sheet {
    /// Whom the approval belongs to.
    pub principal: String,
    /// The host.
    pub host: String,
    /// The tool.
    pub tool: String,
    /// `mutate` or `destroy`.
    pub effect: String,
    /// Why a person is asked.
    pub reasons: Vec<String>,
    /// The parsed arguments, without `host`.
    pub arguments: Json,
    /// Every object that the call acts on.
    pub objects: Vec<Thing>,
}

/// An object of a sheet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// `container`, `image`, ...
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its full id.
    pub id: String,
    /// A hash of what makes it what it is.
    pub digest: String,
}

impl From<&Identity> for Thing {
    fn from(identity: &Identity) -> Self {
        let Identity { kind, name, id, digest } = identity.clone();
        Self { kind: kind.to_owned(), name, id, digest }
    }
}

/// A hash over the whole of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Binding(String);

impl fmt::Display for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Sheet {
    /// The sheet of a question.
    #[must_use]
    pub fn of(question: &Question) -> Self {
        Self {
            principal: question.principal.clone(),
            host: question.host.clone(),
            tool: question.tool.to_owned(),
            effect: question.effect.as_str().to_owned(),
            reasons: question.reasons.clone(),
            arguments: question.arguments.clone(),
            objects: question.objects.iter().map(Thing::from).collect(),
        }
    }

    /// The hash that an approval carries: over everything, independent of the order of keys, objects and reasons.
    #[must_use]
    pub fn binding(&self) -> Binding {
        let mut sorted = self.clone();
        sorted.objects.sort();
        sorted.reasons.sort();
        let mut text = "quaymaster approval 1\n".to_owned();
        canonical(&json!(sorted), &mut text);
        Binding(hex::write(&Sha256::digest(text)))
    }

    /// The size of the call when it is written down, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        json!(self).to_string().len()
    }

    /// Everything that will happen, uncut, with nothing in it that could steer a terminal or hide.
    ///
    /// Arguments that were left out are left out here too: no value, an empty list, an empty object.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| {
            fold(&line, &mut text);
        };
        line(format!("{} on host \"{}\" ({})", visible(&self.tool), visible(&self.host), visible(&self.effect)));
        line(format!("asked by {}", visible(&self.principal)));
        line("why:".to_owned());
        self.reasons.iter().for_each(|reason| line(format!("  {}", visible(reason))));
        line(if self.arguments.is_empty() { "arguments: none" } else { "arguments:" }.to_owned());
        let is_said = |(_, value): &(&String, &Value)| !matches!(value.to_string().as_str(), "null" | "[]" | "{}");
        for (name, value) in self.arguments.iter().filter(is_said) {
            line(format!("  {}: {}", visible(name), visible(&value.to_string())));
        }
        line(if self.objects.is_empty() { "objects: none that exist yet" } else { "objects:" }.to_owned());
        for Thing { kind, name, id, .. } in &self.objects {
            line(format!("  {} {}", visible(kind), visible(name)));
            line(format!("    id {}", visible(id)));
        }
        text
    }
}

/// JSON with sorted keys and no blanks.
fn canonical(value: &Value, text: &mut String) {
    let join = |text: &mut String, first: &mut bool| {
        if !std::mem::replace(first, false) {
            text.push(',');
        }
    };
    let mut first = true;
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            text.push('{');
            for (name, value) in sorted {
                join(text, &mut first);
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                join(text, &mut first);
                canonical(item, text);
            }
            text.push(']');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// The text with every character escaped that is not plainly seen: what steers, hides, or turns the direction.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_seen(character) {
            shown.push(character);
        } else {
            shown.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    shown
}

fn is_seen(character: char) -> bool {
    if character.is_ascii() {
        return character == ' ' || character.is_ascii_graphic();
    }
    // Letters and digits only: other scripts' blanks, marks and joiners are how a text hides. So are letters
    // that are written from right to left, which turn round what stands beside them, and letters without ink.
    let turns = matches!(character, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}');
    let blank = matches!(character, '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}');
    character.is_alphanumeric() && !turns && !blank && !redact::is_invisible(character)
}

/// Adds a line, folded.
fn fold(line: &str, text: &mut String) {
    let mut column = 0;
    for character in line.chars() {
        if column == WIDTH {
            text.push_str("\n    | ");
            column = 6;
        }
        text.push(character);
        column += 1;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let arguments = json!({"volumes": ["data"], "force": true, "deep": {"b": 1, "a": [null, 2.5]}});
        let thing = |name: &str| Thing {
            kind: "volume".into(),
            name: name.into(),
            id: name.repeat(8),
            digest: format!("digest of {name}"),
        };
        Sheet {
            principal: "os:ops".into(),
            host: "prod".into(),
            tool: "remove_volume".into(),
            effect: "destroy".into(),
            reasons: vec!["remove_volume destroys data".into()],
            arguments: arguments.as_object().unwrap().clone(),
            objects: vec![thing("data"), thing("more")],
        }
    }

    #[test]
    fn the_order_of_keys_and_objects_is_nothing() {
        let mut other = sheet();
        other.objects.reverse();
        let turned = json!({"deep": {"a": [null, 2.5], "b": 1}, "force": true, "volumes": ["data"]});
        other.arguments = turned.as_object().unwrap().clone();
        assert_eq!(other.binding(), sheet().binding());
        assert_eq!(sheet().binding().to_string().len(), 64);
    }

    #[test]
    fn everything_else_is_bound() {
        let changes: [fn(&mut Sheet); 14] = [
            |sheet| sheet.principal.push('x'),
            |sheet| sheet.host.push('x'),
            |sheet| sheet.tool.push('x'),
            |sheet| sheet.effect = "mutate".into(),
            |sheet| sheet.reasons.push("another".into()),
            |sheet| sheet.arguments["force"] = false.into(),
            |sheet| sheet.arguments["volumes"] = json!(["data", "data"]),
            |sheet| sheet.arguments["deep"]["a"] = json!([2.5, null]),
            |sheet| drop(sheet.arguments.insert("new".into(), Value::Null)),
            |sheet| sheet.objects[0].id.push('x'),
            |sheet| sheet.objects[0].digest.push('x'),
            |sheet| sheet.objects[0].kind.push('x'),
            |sheet| sheet.objects[0].name.push('x'),
            |sheet| drop(sheet.objects.pop()),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = sheet();
            change(&mut other);
            assert_ne!(other.binding(), sheet().binding(), "change {number}");
        }
        // Nothing moves from one field into its neighbour.
        let (mut one, mut two) = (sheet(), sheet());
        (one.host, one.tool) = ("a".into(), "bc".into());
        (two.host, two.tool) = ("ab".into(), "c".into());
        assert_ne!(one.binding(), two.binding());
    }

    #[test]
    fn the_text_is_whole_and_plain() {
        let mut sheet = sheet();
        let long = "y".repeat(1000);
        sheet.arguments["volumes"] = json!([long]);
        let note = json!("a\nwhy: harmless\u{1b}[2J\u{202e}\u{200b}\u{5d0}\u{3164}\u{a0}\u{e0041} gr\u{fc}n");
        sheet.arguments.insert("note".into(), note);
        sheet.objects[0].name = "data\nobjects: none".into();
        let text = sheet.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.chars().all(|character| character == '\n' || is_seen(character)), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("why:") || line.starts_with("objects:")).count(), 2);
        let unfolded = text.replace("\n    | ", "");
        assert!(unfolded.contains(&long) && unfolded.contains(&"data".repeat(8)), "{text}");
        assert!(
            unfolded.contains("a\\nwhy: harmless\\u001b[2J\\u202e\\u200b\\u05d0\\u3164\\u00a0\\udb40\\udc41 gr\u{fc}n")
        );
        assert!(text.contains("\n  volume data\\u000aobjects: none\n"), "{text}");
        assert!(text.starts_with("remove_volume on host \"prod\" (destroy)\nasked by os:ops\nwhy:\n"), "{text}");
    }
}
