//! Small answers: the caps of one answer, and the cursor that goes on where it was cut.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Json;
use crate::error::{Error, Result};

/// The most characters of one channel.
pub const LONGEST_ANSWER: usize = 24_000;

/// Makes a structured answer fit: shortens the longest lists and texts step by step, and says so.
///
/// Tools page their lists themselves; this is for what no page fits, such as an engine's own document.
pub fn fit(fields: &mut Json) {
    let size = |fields: &Json| serde_json::to_string(fields).map_or(0, |text| text.chars().count());
    for (items, characters) in [(500, 8_000), (100, 2_000), (40, 600), (15, 200), (5, 80), (1, 20)] {
        if size(fields) <= LONGEST_ANSWER {
            return;
        }
        for value in fields.values_mut() {
            shorten(value, items, characters);
        }
        fields.insert("truncated".into(), true.into());
    }
}

fn shorten(value: &mut Value, items: usize, characters: usize) {
    match value {
        Value::String(text) => {
            if let Some((end, _)) = text.char_indices().nth(characters) {
                text.truncate(end);
                text.push('…');
            }
        }
        Value::Array(list) => {
            list.truncate(items);
            for value in list {
                shorten(value, items, characters);
            }
        }
        Value::Object(fields) => {
            let dropped: Vec<String> = fields.keys().skip(items.max(40)).cloned().collect();
            for name in dropped {
                fields.remove(&name);
            }
            fields.values_mut().for_each(|value| shorten(value, items, characters));
        }
        _ => {}
    }
}

/// Cuts a text to the most that a channel carries, in the middle, and says so.
#[must_use]
pub fn cut(text: String) -> String {
    const NOTICE: &str = "
[… cut here: the answer is longer than one answer may be; ask for less …]
";
    let length = text.chars().count();
    if length <= LONGEST_ANSWER {
        return text;
    }
    // What an answer is about stands in front, how to go on stands at the end.
    let tail = 2_000;
    let head: String = text.chars().take(LONGEST_ANSWER - tail - NOTICE.chars().count()).collect();
    let rest: String = text.chars().skip(length - tail).collect();
    format!("{head}{NOTICE}{rest}")
}

/// Where the next page begins: after the row with this key, whatever came or went meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor behind the row with this key.
    #[must_use]
    pub fn after(key: &str) -> Self {
        Self(percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string())
    }

    /// The key of the last row that was shown.
    ///
    /// # Errors
    /// `invalid` for one that no answer gave.
    pub fn key(&self) -> Result<String> {
        percent_encoding::percent_decode_str(&self.0).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
            Error::invalid("argument \"cursor\" is not one that an answer gave").hint("call again without a cursor")
        })
    }
}

/// What an answer that may be cut says about itself.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Page {
    /// How many rows there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// How many are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<usize>,
    /// Goes on after them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
}

impl Page {
    /// For a summary: nothing when all is shown, else how much and how to go on.
    #[must_use]
    pub fn rest(&self) -> String {
        match (self.shown, self.total) {
            (Some(shown), Some(total)) if self.cursor.is_some() => {
                format!(" shown, {} more: give the cursor or a narrower filter", total - shown)
            }
            _ => String::new(),
        }
    }
}

/// Cuts sorted rows to a page: those after the cursor, at most `limit`, and no more than fit an answer.
///
/// # Errors
/// `invalid` for a broken cursor.
pub fn paged<T: Serialize>(
    rows: Vec<T>,
    key: impl Fn(&T) -> String,
    cursor: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<T>, Page)> {
    let start = cursor.map(Cursor::key).transpose()?;
    let rest: Vec<T> = rows.into_iter().filter(|row| start.as_ref().is_none_or(|start| key(row) > *start)).collect();
    let total = rest.len();
    let mut room = LONGEST_ANSWER.saturating_sub(2_000);
    let mut shown: usize = 0;
    for row in rest.iter().take(limit) {
        let size = serde_json::to_string(row).map_or(0, |text| text.len() + 1);
        if size > room && shown > 0 {
            break;
        }
        room = room.saturating_sub(size);
        shown += 1;
    }
    let cursor = rest.get(shown.wrapping_sub(1)).filter(|_| shown < total).map(|row| Cursor::after(&key(row)));
    let page = match cursor {
        None => Page::default(),
        cursor => Page { total: Some(total), shown: Some(shown), cursor },
    };
    Ok((rest.into_iter().take(shown).collect(), page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_without_a_row_twice_or_missed() {
        let rows: Vec<String> = (0..250).map(|number| format!("row-{number:03}")).collect();
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let (shown, page) = paged(rows.clone(), Clone::clone, cursor.as_ref(), 40).unwrap();
            seen.extend(shown);
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn nothing_is_longer_than_an_answer() {
        let mut fields = serde_json::json!({
            "raw": {"labels": (0..3000).map(|number| format!("label-{number}={}", "x".repeat(50))).collect::<Vec<_>>()},
            "text": "y".repeat(100_000),
        });
        let fields = fields.as_object_mut().unwrap();
        fit(fields);
        assert!(serde_json::to_string(fields).unwrap().len() <= LONGEST_ANSWER);
        assert_eq!(fields["truncated"], true);
        let text = cut(format!("begin{}end", "z".repeat(100_000)));
        assert_eq!(text.chars().count(), LONGEST_ANSWER);
        assert!(text.starts_with("begin") && text.ends_with("end"));
    }

    #[test]
    fn an_answer_has_an_end() {
        let rows: Vec<String> = (0..100).map(|number| format!("{number:03}{}", "x".repeat(1000))).collect();
        let (shown, page) = paged(rows, Clone::clone, None, 100).unwrap();
        assert!(shown.len() < 24 && page.cursor.is_some());
    }
}
